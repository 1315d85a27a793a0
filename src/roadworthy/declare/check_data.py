"""What a service must keep in what it names of the project's data: source contracts and views."""

from __future__ import annotations

import msgspec

from .files import Findings, check_file, near
from .project import ProjectDeclaration
from .service import ServiceDeclaration
from .source import Finding
from .training import read_training
from .validate import shown

VIEWS_FOLDER = "features"
"""Folder of the project that holds its feature views, a file each: `features/<view>.sql`."""


def agreed_sources_exist(service: ServiceDeclaration, project: ProjectDeclaration) -> Findings:
    """What a service agrees to is a version of a contract that the project has, named once."""
    accepts = service.contract.accepts
    known = ", ".join(f"`{name}`" for name in project.sources) or "it has none"
    for index, agreed in enumerate(accepts):
        path = f"contract.accepts[{index}]"
        if agreed.partition("@")[0] not in project.sources:
            advice = "declare it as `[sources.<name>]` in roadworthy.toml"
            yield Finding(path, f"a source of this project ({known})", shown(agreed), advice)
        elif agreed in accepts[:index]:
            yield Finding(path, "each version once", shown(agreed), "remove it")


def features_are_for_predictions(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """Only a model of rows has features."""
    if service.kind != "predict" and service.features.views:
        yield Finding("features.views", "no views in a `generate`", "some", "remove `[features]`")


def views_are_there(service: ServiceDeclaration, project: ProjectDeclaration) -> Findings:
    """Each view has its file in the project, and is named in one version."""
    names: list[str] = []
    for index, view in enumerate(service.features.views):
        path, name = f"features.views[{index}]", view.partition("@")[0]
        folder = project.folder / VIEWS_FOLDER
        if name in names:
            advice = "name one version of it"
            yield Finding(path, "each view once", shown(view), advice)
        elif not (folder / f"{name}.sql").is_file():
            got = f"{shown(view)}, and no file `{VIEWS_FOLDER}/{name}.sql`"
            yield Finding(path, "a view of this project", got, near(folder, project.folder))
        names.append(name)


def training_has_what_is_served(
    service: ServiceDeclaration, project: ProjectDeclaration
) -> Findings:
    """The model learned from the versions of the views that it is given."""
    path, name = "features.training", service.features.training
    if name is None:
        return
    problems = list(check_file(service, project, path, name))
    yield from problems
    if problems:
        return
    try:
        learned = read_training(service.folder / name)
    except (OSError, msgspec.DecodeError) as error:
        expected = "what `roadworthy features history --save --json` prints"
        yield Finding(path, expected, f"{error} in {name}")
        return
    others = [view for view in service.features.views if view not in learned.views]
    if others:
        there = ", ".join(f"`{view}`" for view in learned.views)
        expected = f"a training set with {', '.join(map(shown, others))}, which is served"
        advice = "train again with the views that `features.views` names, or name those of then"
        yield Finding(path, expected, f"one with {there or 'none'}", advice)


DATA_CHECKS = (
    (agreed_sources_exist, ("contract.accepts",)),
    (features_are_for_predictions, ("kind", "features")),
    (views_are_there, ("features",)),
    (training_has_what_is_served, ("features",)),
)
"""Every check, with the parts that must be sound for it to say anything."""
