"""What `roadworthy check` finds out: problems, warnings, facts about keys, models and releases."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from ..app import (
    ENFORCES,
    contracts_named,
    look_at_desk,
    open_declared_features,
    open_signals,
)
from ..cost.prices import Rates, load_rates
from ..data.glossary import contradictions, entries_of
from ..declare.check_rules import unnamed_fields
from ..declare.load import load_project, load_service
from ..declare.project import PROJECT_FILE, SERVICE_FILE, ProjectDeclaration
from ..declare.remedies import Grade, graded_remedies
from ..declare.service import ModelEntry, ServiceDeclaration
from ..declare.show import check_report, project_report
from ..errors import DeclarationError, MissingExtra, NotFound, StoreError
from ..observe.webhooks import Address
from ..release import bundle, registry
from ..serve.failover import Link
from ..serve.ladder import AbsentModel
from ..serve.opened import OpenRelease, open_release
from ..store.state import find_schema, open_state_to_read
from ..store.switchboard import Switchboard
from ..types import Problem, SystemClock


class Complaint(msgspec.Struct, frozen=True):
    """Something that is wrong; without a `path` only its `message` says what."""

    file: str
    message: str
    path: str = ""
    expected: str = ""
    got: str = ""
    advice: str = ""


class Warned(msgspec.Struct, frozen=True):
    """Something that holds, and that its owner may still not want.

    Attributes:
        code: `no_key`, `unknown_price`, `no_fallback`, `missing_extra`, `unnamed_field`,
            `release_differs`, `stopped`, `no_services`, `no_service_file`, `no_volume` or `store`.
        service: The service it concerns; empty for the project.
        model: The model it concerns; empty for the service.
    """

    code: str
    message: str
    service: str = ""
    model: str = ""


class KeyFact(msgspec.Struct, frozen=True):
    """One key that stands in a file, and what enforces it (or `descriptive`).

    Attributes:
        service: Whose file; empty for roadworthy.toml.
    """

    service: str
    path: str
    value: Any
    enforced_by: str


class RemedyFact(msgspec.Struct, frozen=True):
    """One remedy against a known failure of the field, as far as the code keeps it today.

    Attributes:
        row: Its number in the list of failures.
        grade: `kept`, or `declare` where this file does not ask for it.
        evidence: The lines that ask for it, `always`, or what is missing.
    """

    service: str
    row: int
    remedy: str
    grade: Grade
    enforced_by: str
    evidence: str


class ModelFact(msgspec.Struct, frozen=True):
    """One declared model.

    Attributes:
        asked: `in turn`, `on the ladder` where a rung keeps it, or `for the intent` where it only
            says what is wanted.
        price: Where its price is from: `free`, `override`, `rates:<date>`, `unknown`; `-` where the
            service could not be opened here.
        is_down: Whether it answers nothing here.
        down_code: Why: its provider's key is unset (`no_key`), or what it or its service needs is
            not installed (`missing_extra`); empty while it is up.
    """

    service: str
    name: str
    asked: str
    provider: str
    kind: str
    upstream: str
    price: str
    is_down: bool
    down_code: str


class ReleaseFact(msgspec.Struct, frozen=True):
    """What serves a service, and how its files differ from that."""

    service: str
    release: str
    differences: tuple[bundle.Difference, ...]


class Report(msgspec.Struct):
    """Everything that was found, in the order of the services' names.

    Attributes:
        services: The declarations that could be loaded.
    """

    project: str = ""
    services: list[ServiceDeclaration] = []
    problems: list[Complaint] = []
    warnings: list[Warned] = []
    keys: list[KeyFact] = []
    remedies: list[RemedyFact] = []
    models: list[ModelFact] = []
    releases: list[ReleaseFact] = []


def examine(folder: Path, only: str = "") -> Report:
    """Look at every declaration in `folder`, or at that of the service `only`.

    Raises:
        NotFound: There is no such service.
    """
    report = Report()
    try:
        project = load_project(folder)
    except DeclarationError as error:
        report.problems += _complaints(error, "roadworthy.toml")
        return report
    report.project = project.name
    report.keys += [KeyFact("", *row) for row in project_report(project, ENFORCES)]
    rates = load_rates()
    for place in _chosen(project, only):
        try:
            service = load_service(place, project, ENFORCES)
        except DeclarationError as error:
            report.problems += _complaints(error, _file_of(place, project))
            continue
        report.services.append(service)
        report.keys += [KeyFact(service.name, *row) for row in check_report(service, ENFORCES)]
        report.remedies += [RemedyFact(service.name, *row) for row in graded_remedies(service)]
        _look_inside(report, service, project, rates)
    if not only:
        _look_at_words(report, project)
    if not only:
        report.warnings += _unused_folders(project)
        report.warnings += _silent_webhooks(project)
    if not report.services and not report.problems:
        where = project.folder / "services"
        message = f"no services: expected {SERVICE_FILE} in a folder of {where}, got none"
        report.warnings.append(Warned("no_services", message))
    _look_at_store(report, project)
    return report


def _silent_webhooks(project: ProjectDeclaration) -> Iterator[Warned]:
    """Warn of each webhook whose secret is not in this environment."""
    for name, webhook in project.webhooks.items():
        try:
            Address(webhook)
        except DeclarationError as error:
            message = f"webhook `{name}` can be sent nothing: {error}"
            yield Warned("no_secret", message)


def _unused_folders(project: ProjectDeclaration) -> Iterator[Warned]:
    """Warn of each folder that looks like a service and is none."""
    for folder in sorted((project.folder / "services").glob("[!._]*/")):
        if folder.is_dir() and not (folder / SERVICE_FILE).exists():
            message = (
                f"services/{folder.name}: expected {SERVICE_FILE} in it, got none, so that it is no"
                " service; add one, or move the folder away"
            )
            yield Warned("no_service_file", message)


def _chosen(project: ProjectDeclaration, only: str) -> list[Path]:
    folders = list(project.service_folders())
    if not only:
        return folders
    chosen = [folder for folder in folders if folder.name == only]
    if not chosen:
        known = ", ".join(f"`{folder.name}`" for folder in folders) or "none"
        raise NotFound(f"no service `{only:.80}` in {project.folder}; services: {known}")
    return chosen


def _complaints(error: DeclarationError, file: str) -> list[Complaint]:
    """Return what an error says; one that has no problems says it in its message alone."""
    if not error.problems:
        return [Complaint(file, f"{error} - {file}")]
    return list(map(_complaint, error.problems))


def _complaint(problem: Problem) -> Complaint:
    where = (problem.path, problem.expected, problem.got, problem.advice)
    return Complaint(problem.file, str(problem), *where)


def _file_of(folder: Path, project: ProjectDeclaration) -> str:
    return (folder / SERVICE_FILE).relative_to(project.folder).as_posix()


def _look_inside(
    report: Report, service: ServiceDeclaration, project: ProjectDeclaration, rates: Rates
) -> None:
    """Open a service as `up` would, and note what its models are and lack."""
    prices: dict[str, str] = {}
    absent: dict[str, str] = {}
    try:
        bundle.describe(service, project)
        clock = SystemClock()
        opened = open_release(
            "check",
            service,
            project,
            service.folder,
            rates,
            clock,
            open_signals,
            partial(open_declared_features, project),
            partial(look_at_desk, project),
        )
    except DeclarationError as error:
        report.problems += _complaints(error, _file_of(service.folder, project))
    except MissingExtra as error:
        message = f"`{service.name}` cannot be opened: {error}"
        report.warnings.append(Warned("missing_extra", message, service.name))
        absent = {entry.name: "" for entry in service.models}
    else:
        prices, absent = _prices(opened), _absent(opened)
        report.warnings += _context_warnings(opened)
        report.warnings += _volume_warnings(opened, project)
        asyncio.run(opened.close())
    models = [_model_fact(entry, service, project, prices, absent) for entry in service.models]
    report.models += models
    for fact in models:
        report.warnings += _model_warnings(fact, service, project, absent.get(fact.name, ""))
    report.warnings += _rule_warnings(service, project)
    if not service.fallback:
        message = (
            f"`{service.name}` has no `[[fallback]]`: when its models fail, are late or may not be"
            " shown, its callers get an error"
        )
        report.warnings.append(Warned("no_fallback", message, service.name))


def _links(opened: OpenRelease) -> list[Link]:
    return [link for chain in opened.chains for link in chain.links]


def _volume_warnings(opened: OpenRelease, project: ProjectDeclaration) -> Iterator[Warned]:
    """Warn of each source of a service that declares how much it is asked, and not of how much."""
    service = opened.declaration
    if service.volume.requests_per_second is None or opened.features is None:
        return
    for name in sorted(opened.features.contracts):
        volume = project.sources[name].volume
        if volume is None or volume.rows is None:
            message = (
                f"`{service.name}` reads source `{name}`: expected `rows` in its `volume` of "
                "roadworthy.toml, got none, so that no load test can be run"
            )
            yield Warned("no_volume", message, service.name)


def _rule_warnings(service: ServiceDeclaration, project: ProjectDeclaration) -> Iterator[Warned]:
    for finding, _ in unnamed_fields(service, project):
        message = (
            f"{finding.path} of `{service.name}`: expected {finding.expected}, got {finding.got}: "
            f"where that is missing the rule has no value; {finding.advice}"
        )
        yield Warned("unnamed_field", message, service.name)


def _prices(opened: OpenRelease) -> dict[str, str]:
    return {link.name: link.meter.source for link in _links(opened)}


def _absent(opened: OpenRelease) -> dict[str, str]:
    """Return what each model lacks whose packages are not installed."""
    models = {link.name: link.model for link in _links(opened)}
    return {name: one.missing for name, one in models.items() if isinstance(one, AbsentModel)}


def _context_warnings(opened: OpenRelease) -> Iterator[Warned]:
    if opened.context is not None and opened.context.missing:
        message = (
            f"`{opened.name}` finds no passages, so none of its models is asked: "
            f"{opened.context.missing}"
        )
        yield Warned("missing_extra", message, opened.name)


def _model_fact(
    entry: ModelEntry,
    service: ServiceDeclaration,
    project: ProjectDeclaration,
    prices: dict[str, str],
    absent: Mapping[str, str],
) -> ModelFact:
    provider = project.providers[entry.provider]
    variable = provider.api_key_env
    code = "missing_extra" if entry.name in absent else ""
    if variable is not None and not os.environ.get(variable):
        code = "no_key"
    return ModelFact(
        service=service.name,
        name=entry.name,
        asked=_asked(entry, service),
        provider=entry.provider,
        kind=provider.kind,
        upstream=entry.model,
        price=prices.get(entry.name, "-"),
        is_down=bool(code),
        down_code=code,
    )


def _model_warnings(
    fact: ModelFact, service: ServiceDeclaration, project: ProjectDeclaration, missing: str
) -> Iterator[Warned]:
    who = f"model `{fact.name}` of `{service.name}`"
    if missing:
        message = f"{who} is down: {missing}"
        yield Warned("missing_extra", message, service.name, fact.name)
    if fact.down_code == "no_key":
        variable = project.providers[fact.provider].api_key_env
        message = f"{who} is down: `{variable}` is unset; set it where `roadworthy up` runs"
        yield Warned("no_key", message, service.name, fact.name)
    if fact.price == "unknown":
        ceiling = service.cost.per_request_usd
        message = (
            f"the price of {who} is unknown, so each answer counts as ${ceiling:f}, its"
            f' `cost.per_request_usd`; declare `providers.{fact.provider}.prices."{fact.upstream}"`'
        )
        yield Warned("unknown_price", message, service.name, fact.name)


def _look_at_words(report: Report, project: ProjectDeclaration) -> None:
    """Note each term of the business that means two things in the project."""
    try:
        contracts = contracts_named(project, report.services)
    except DeclarationError as error:
        report.problems += _complaints(error, PROJECT_FILE)
        return
    except MissingExtra as error:
        who = ", ".join(f"`{service.name}`" for service in report.services)
        message = f"words were not compared, for {who or 'the project'}: {error}"
        report.warnings.append(Warned("missing_extra", message))
        contracts = {}
    entries = entries_of(contracts, project.glossary)
    report.problems += [_complaint(problem) for problem in contradictions(entries)]


def _look_at_store(report: Report, project: ProjectDeclaration) -> None:
    """Compare files with releases where there is a store; a check makes none."""
    try:
        url = project.store.resolved_url(project.folder)
        if not find_schema(url):
            return
        state = open_state_to_read(url)
        try:
            board = Switchboard(state, SystemClock())
            try:
                for service in report.services:
                    champion = registry.champion_of(state, service.name)
                    _look_at_release(report, service, project, champion)
                    _look_at_stops(report, service, board)
            finally:
                board.close()
        finally:
            state.dispose()
    except DeclarationError as error:
        report.problems += _complaints(error, "roadworthy.toml")
    except StoreError as error:
        report.warnings.append(Warned("store", f"releases were not compared: {error}"))


def _look_at_release(
    report: Report,
    service: ServiceDeclaration,
    project: ProjectDeclaration,
    champion: registry.Release | None,
) -> None:
    file = _file_of(service.folder, project)
    if champion is None or any(problem.file.startswith(file) for problem in report.problems):
        return
    found = bundle.differences(champion, service, project)
    report.releases.append(ReleaseFact(service.name, champion.id, found))
    if found:
        message = (
            f"`{champion.id}` serves, and the files differ: {', '.join(map(str, found))}; "
            f"`roadworthy release build {service.name}` and `release promote` take them over"
        )
        report.warnings.append(Warned("release_differs", message, service.name))


def _look_at_stops(report: Report, service: ServiceDeclaration, board: Switchboard) -> None:
    for model in ("", *(entry.name for entry in service.models)):
        stop = board.stopped(service.name, model)
        if stop is None:
            continue
        what = f"model `{model}` of `{service.name}`" if model else f"`{service.name}`"
        undo = f"roadworthy resume {service.name}{f' --model {model}' if model else ''}"
        why = f" ({stop.reason})" if stop.reason else ""
        message = f"{what} was stopped by {stop.by}{why}; `{undo}` lets it go on"
        report.warnings.append(Warned("stopped", message, service.name, model))


def _asked(entry: ModelEntry, service: ServiceDeclaration) -> str:
    """Return when a model is asked."""
    if entry in service.chain:
        return "in turn"
    return "for the intent" if entry.name in service.routing.only_asked else "on the ladder"
