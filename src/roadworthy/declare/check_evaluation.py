"""What `[evaluation]`, `objectives.quality` and `objectives.fairness` must keep together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .check_rules import schema_of
from .evaluation import BehaviourEntry, ScorerEntry
from .files import Findings, check_file
from .project import ProjectDeclaration
from .service import ServiceDeclaration
from .source import Finding
from .validate import shown

BUILTIN_SUITE = "builtin:"
"""How the names of suites begin that come with the package."""
_DEFAULT_SCORER = "exact"


class _Needs(NamedTuple):
    """What a behaviour cannot do without: `keys`, and one of `either`."""

    keys: tuple[str, ...] = ()
    either: tuple[str, ...] = ()


_NEEDS: dict[str, _Needs] = {
    "monotonic": _Needs(("fields", "direction")),
    "noise": _Needs(("fields", "by")),
    "bounded": _Needs(("fields", "by")),
    "directional": _Needs(("direction",), ("replace", "by")),
    "swap": _Needs(("replace",)),
}
_ONLY_FOR: dict[str, tuple[str, ...]] = {
    "by": ("monotonic", "noise", "bounded", "directional"),
    "is_relative": ("monotonic", "noise", "bounded", "directional"),
    "direction": ("monotonic", "directional"),
    "replace": ("paraphrase", "names", "gender", "directional", "swap"),
    "must_not": ("attacks",),
}


def names_of_evaluation_differ(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """Reports tell scorers and behaviours apart by name."""
    parts: tuple[tuple[str, Sequence[ScorerEntry | BehaviourEntry]], ...] = (
        ("scorers", service.evaluation.scorers),
        ("behaviours", service.evaluation.behaviours),
    )
    for part, entries in parts:
        names = [entry.name for entry in entries]
        for index, name in enumerate(names):
            if name in names[:index]:
                path = f"evaluation.{part}[{index}].name"
                expected = f"a name that no other of the {part} has"
                yield Finding(path, expected, shown(name), "give each its own `name`")
    if len(set(service.evaluation.suites)) < len(service.evaluation.suites):
        yield Finding("evaluation.suites", "each suite once", "one twice", "remove one")


def quality_names_a_scorer(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """What is promised is measured by a scorer that there is."""
    quality = service.objectives.quality
    names = [entry.name for entry in service.evaluation.scorers] or [_DEFAULT_SCORER]
    if quality is not None and quality.scorer not in names:
        known = ", ".join(f"`{name}`" for name in dict.fromkeys(names))
        yield Finding(
            "objectives.quality.scorer",
            f"the name of a scorer ({known})",
            shown(quality.scorer),
            "declare it as one of `[[evaluation.scorers]]`",
        )


def judges_can_be_asked(service: ServiceDeclaration, project: ProjectDeclaration) -> Findings:
    """A judge is a model of a provider that the project has."""
    for index, entry in enumerate(service.evaluation.scorers):
        path = f"evaluation.scorers[{index}].model"
        if entry.use == "judge" and entry.model is None:
            yield Finding(path, "`provider/model`, because `use` is `judge`", "none", "add it")
        elif entry.model is not None and entry.model.partition("/")[0] not in project.providers:
            known = ", ".join(f"`{name}`" for name in project.providers)
            expected = f"`provider/model` with a provider of this project ({known})"
            yield Finding(path, expected, shown(entry.model))


def behaviours_are_whole(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """A behaviour holds what its kind needs, and nothing that its kind ignores."""
    for index, entry in enumerate(service.evaluation.behaviours):
        path = f"evaluation.behaviours[{index}]"
        given = entry.model_fields_set
        needs = _NEEDS.get(entry.use, _Needs())
        for key in needs.keys:
            if key not in given:
                yield Finding(f"{path}.{key}", f"a value, because `use` is `{entry.use}`", "none")
        if needs.either and not given.intersection(needs.either):
            keys = " or ".join(f"`{key}`" for key in needs.either)
            yield Finding(path, f"{keys}, because `use` is `{entry.use}`", "neither")
        for key, kinds in _ONLY_FOR.items():
            if key in given and entry.use not in kinds:
                expected = f"no such key, because `use` is `{entry.use}`"
                yield Finding(f"{path}.{key}", expected, "one", "remove it")


def behaviours_name_fields(service: ServiceDeclaration, project: ProjectDeclaration) -> Findings:
    """What is changed, and by what results are told apart, are fields of the input."""
    named = [
        (f"evaluation.behaviours[{index}].fields", entry.fields)
        for index, entry in enumerate(service.evaluation.behaviours)
    ]
    file = service.contract.input
    check = schema_of(service, project, file) if file else None
    fields = check.schema.get("properties") if check else None
    if not isinstance(fields, dict) or service.features.views:
        return  # a feature is a field too, for an evaluation
    known = ", ".join(f"`{name}`" for name in fields) or "none"
    for path, names in (*named, ("evaluation.slices", service.evaluation.slices)):
        for place, name in enumerate(names):
            if name not in fields:
                expected = f"a property of {file} ({known})"
                yield Finding(f"{path}[{place}]", expected, shown(name))


def fairness_has_one_bar(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """A difference has a largest, a ratio a least value."""
    for index, entry in enumerate(service.objectives.fairness):
        path = f"objectives.fairness[{index}]"
        right = "at_least" if entry.metric.endswith("_ratio") else "at_most"
        wrong = "at_most" if right == "at_least" else "at_least"
        if getattr(entry, right) is None:
            expected = f"a value, because `metric` is `{entry.metric}`"
            yield Finding(f"{path}.{right}", expected, "none")
        if getattr(entry, wrong) is not None:
            expected = f"no such key, because `metric` is `{entry.metric}`"
            yield Finding(f"{path}.{wrong}", expected, "one", "remove it")


def what_is_paid_is_limited(service: ServiceDeclaration, project: ProjectDeclaration) -> Findings:
    """An evaluation spends no money without a limit."""
    named = [entry.provider for entry in service.models]
    named += [entry.model.partition("/")[0] for entry in service.evaluation.scorers if entry.model]
    priced = [name for name in named if (found := project.providers.get(name)) and found.is_priced]
    if priced and service.evaluation.suites and service.evaluation.max_cost_usd is None:
        yield Finding(
            "evaluation.max_cost_usd",
            f"a limit, because provider `{priced[0]}` charges",
            "none",
            "add `max_cost_usd` to `[evaluation]`",
        )


def suites_are_there(service: ServiceDeclaration, project: ProjectDeclaration) -> Findings:
    """Suites, and what scorers read, are files below the service's folder.

    A release holds none of them: what it answers does not depend on what it is asked.
    """
    if service.folder.parent != project.folder / "services":
        return
    for path, name in _files_of(service):
        yield from check_file(service, project, path, name)


def _files_of(service: ServiceDeclaration) -> Iterator[tuple[str, str]]:
    for index, name in enumerate(service.evaluation.suites):
        if not name.startswith(BUILTIN_SUITE):
            yield f"evaluation.suites[{index}]", name
    for index, entry in enumerate(service.evaluation.scorers):
        for key, name in _files_of_scorer(entry):
            yield f"evaluation.scorers[{index}].{key}", name


def _files_of_scorer(entry: ScorerEntry) -> Iterator[tuple[str, str]]:
    """Yield the files that a scorer names; a rubric may also be the words themselves."""
    for key, name in (
        ("schema", entry.schema_file),
        ("database", entry.database),
        ("labels", entry.labels),
    ):
        if name is not None:
            yield key, name


def evaluation_files(service: ServiceDeclaration) -> frozenset[str]:
    """Return the files that only an evaluation reads: no part of what answers."""
    named = {name for _, name in _files_of(service)}
    rubrics = {entry.rubric for entry in service.evaluation.scorers if entry.rubric}
    return frozenset(named | rubrics) - set(service.files)


EVALUATION_CHECKS = (
    (names_of_evaluation_differ, ("evaluation",)),
    (quality_names_a_scorer, ("objectives.quality", "evaluation.scorers")),
    (judges_can_be_asked, ("evaluation.scorers",)),
    (behaviours_are_whole, ("evaluation.behaviours",)),
    (behaviours_name_fields, ("evaluation", "contract.input")),
    (fairness_has_one_bar, ("objectives.fairness",)),
    (what_is_paid_is_limited, ("evaluation", "models")),
    (suites_are_there, ("evaluation",)),
)
