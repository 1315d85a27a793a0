"""What one evaluation is made of: its cases, its scorers, the releases, the money."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import select

from ..cost.ledger import Ledger
from ..declare.files import check_file
from ..declare.schemas import open_schema
from ..declare.service import ServiceDeclaration
from ..errors import DeclarationError, NotFound, RequestError
from ..evaluate.behaviours import Changed, changed_cases
from ..evaluate.builtin import fit_attacks, load_builtin, target_of
from ..evaluate.cases import Case, Suite, suite_of
from ..evaluate.loading import load_cases
from ..evaluate.suites import BUILTIN, ScorersUsed
from ..release import registry
from ..serve.rehearsal import open_purse
from ..store.tables import switchboard
from ..types import Problem
from .ground import Ground

POINTERS = ("champion", "last_good")
"""Words for the baseline that are no id."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody asks to be evaluated; see `Evaluator.evaluate`."""

    service: str
    release_id: str = ""
    against: str = ""
    by: str = "python"
    suites: tuple[str, ...] = ()
    repeats: int | None = None
    fresh: bool = False


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One evaluation that is to be made.

    Attributes:
        service: As the working tree declares it: by that every release is judged.
        baseline: Id of what the release is compared with; empty for nothing.
        suites: What both releases are asked.
        changed: Name of a behaviour → the changed cases, which only the candidate is asked.
        budget_micro: The most that all of it may cost, in micro-dollars.
        ledger: What all of it is paid from.
    """

    service: ServiceDeclaration
    release: str
    baseline: str
    suites: tuple[Suite, ...]
    changed: dict[str, list[Changed]]
    scorers: ScorersUsed
    repeats: int
    fresh: bool
    budget_micro: int | None
    ledger: Ledger
    notes: tuple[str, ...] = ()

    @property
    def cases(self) -> dict[str, Case]:
        """All cases of the suites, by id."""
        return {case.id: case for suite in self.suites for case in suite.cases}

    @property
    def changed_suites(self) -> tuple[Suite, ...]:
        """The changed cases as suites, which are asked and not scored."""
        return tuple(
            suite_of(f"behaviour:{name}", [one.case for one in changed])
            for name, changed in self.changed.items()
        )


def job_of(ground: Ground, wanted: Wanted) -> Job:
    """Return what is to be done, after checking that it can be.

    Raises:
        NotFound: There is no such service or release.
        DeclarationError: The service file or a suite is wrong.
        RequestError: There are no cases.
    """
    service = ground.load(wanted.service)
    declared = service.evaluation
    _check_below(ground, service, wanted.suites)
    schema = _schema_of(service)
    named = tuple(dict.fromkeys(wanted.suites)) or declared.suites
    suites, notes = _suites_of(service, named, schema)
    own = [case for suite in suites if not suite.name.startswith(BUILTIN) for case in suite.cases]
    scorers = ScorersUsed(service, suites)
    if wanted.release_id:
        release = release_of(ground, wanted.service, wanted.release_id).id
    else:
        release = ground.build_release(wanted.service, by=wanted.by).id
    baseline, note = _baseline_of(ground, wanted, release)
    return Job(
        service=service,
        release=release,
        baseline=baseline,
        suites=suites,
        changed={
            entry.name: changed_cases(entry, own, schema=schema) for entry in declared.behaviours
        },
        scorers=scorers,
        repeats=wanted.repeats or declared.repeats,
        fresh=wanted.fresh,
        budget_micro=declared.max_cost_micro,
        ledger=open_purse(ground.clock),
        notes=(*notes, *([note] if note else [])),
    )


def _check_below(ground: Ground, service: ServiceDeclaration, names: Sequence[str]) -> None:
    """Refuse suites elsewhere: who may evaluate may not read other files by it."""
    problems = [
        Problem(found.path, found.expected, found.got, service.name, found.advice)
        for name in names
        if not name.startswith(BUILTIN)
        for found in check_file(service, ground.declaration, "suite", name)
    ]
    if problems:
        raise DeclarationError("\n".join(map(str, problems)), problems)


def _schema_of(service: ServiceDeclaration) -> Mapping[str, Any]:
    check = open_schema(service.folder, service.contract.input)
    return {} if check is None else check.schema


def _suites_of(
    service: ServiceDeclaration, names: Sequence[str], schema: Mapping[str, Any]
) -> tuple[tuple[Suite, ...], list[str]]:
    """Return the suites in the order of their names, and what a reader must know of them."""
    files = [name for name in names if not name.startswith(BUILTIN)]
    loaded = {suite.name: suite for suite in load_cases(service.folder, files)}
    notes = []
    first = next((case for suite in loaded.values() for case in suite.cases), None)
    for name in names:
        if name not in loaded and (fitted := _builtin(service, name, schema, first)):
            loaded[name] = fitted
        elif name not in loaded:
            notes.append(f"`{name}` was not asked: no field of the input takes free text")
    suites = tuple(loaded[name] for name in names if name in loaded)
    if not any(suite.cases for suite in suites):
        raise RequestError(
            f"evaluation.suites: expected cases for `{service.name}`, got none; write some as JSON "
            'lines (`{"id", "input", "expect"}`) and name the file, or give `--suite`'
        )
    return suites, notes


def _builtin(
    service: ServiceDeclaration, name: str, schema: Mapping[str, Any], like: Case | None
) -> Suite | None:
    """Return a suite that comes with the package, as inputs of this service; None if none fits."""
    variable = (service.chat and service.chat.variable) or "text"
    prompt = service.prompt
    target = target_of(
        schema,
        variable=variable if service.kind == "generate" else "",
        like=None if like is None else like.input,
        secret=(service.folder / prompt.file).read_text(encoding="utf-8") if prompt else "",
    )
    suite = load_builtin(name)
    return None if target is None else fit_attacks(suite, target)


def _baseline_of(ground: Ground, wanted: Wanted, release: str) -> tuple[str, str]:
    """Return the id of the baseline, or why there is none."""
    if not wanted.against:
        return "", ""
    if wanted.against in POINTERS:
        found = _pointed_at(ground, f"{wanted.against}:{wanted.service}")
        if not found:
            return "", f"there is no `{wanted.against}` yet: it was compared with nothing"
    else:
        found = release_of(ground, wanted.service, wanted.against).id
    if found == release:
        return "", f"`{release}` is the baseline itself: it was compared with nothing"
    return found, ""


def release_of(ground: Ground, service: str, release_id: str) -> registry.Release:
    """Return a release of a service; its id may be given without the service's name.

    Raises:
        NotFound: There is none of this id, or it is another service's.
    """
    whole = release_id if "@" in release_id else f"{service}@{release_id}"
    found = registry.read_release(ground.state, whole)
    if found.service != service:
        raise NotFound(
            f"expected a release of `{service}`, got `{found.id}`; "
            f"`roadworthy release list {service}` shows those there are"
        )
    return found


def _pointed_at(ground: Ground, pointer: str) -> str:
    query = select(switchboard.c.value).where(switchboard.c.name == pointer)
    with ground.state.connect() as connection:
        return connection.execute(query).scalar() or ""
