"""Home: every service with the answers to four questions, computed from what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from msgspec import structs

from ..serve.opened import OpenRelease
from ..store.clock import time_of
from ..store.records import End
from ..store.rollups import Failures, Hour, read_failures, read_hours
from ..types import DAY_US, HOUR_US
from . import numbers, promises, words
from .automation import automations_of
from .by_itself import deeds_of
from .candidates import ships_of
from .causes import examples_of, fallen_back, newest_fallen
from .control import Ask
from .data_standing import briefs_of
from .figures import (
    Automation,
    DataBrief,
    ErrorBudget,
    Home,
    HomeRow,
    Promise,
    Ship,
    Trouble,
)
from .shapes import Stopped
from .states import rank, worst
from .todo import Todo
from .units import show

MOST_TODOS = 3


class _Facts(NamedTuple):
    """What was read for all services at once."""

    now_us: int
    hours: Mapping[str, tuple[Hour, ...]]
    failures: Mapping[str, Failures]
    ships: Mapping[str, Ship]
    spent: Mapping[str, tuple[int, int]]
    data: Mapping[str, DataBrief]
    fallen: Mapping[str, Sequence[End]]
    automations: Mapping[str, Automation]

    @property
    def now(self) -> datetime:
        return time_of(self.now_us)


def since_of(now_us: int) -> int:
    """Return the whole hour in which the last 24 hours began."""
    since_us = max(0, now_us - DAY_US)
    return since_us - since_us % HOUR_US


def home_page(ask: Ask) -> Home:
    """Return what Home shows to a key."""
    now_us = ask.control.clock.now_us()
    now = time_of(now_us)
    opened = [
        release for name, release in sorted(ask.control.engine.releases.items()) if ask.sees(name)
    ]
    facts = _read(ask, opened, now_us)
    rows = sorted((_row(ask, release, facts) for release in opened), key=_worst_first)
    trouble = tuple(_trouble(ask))
    counted = [promise for row in rows for promise in _counted(row)]
    states = [promise.state for promise in counted]
    todos = [todo for row in rows for todo in row.todos]
    first = min((todo.by for todo in todos if todo.by), default=None)
    count = len(todos) + len(trouble)
    return Home(
        says=words.home(len(rows), counted, count, first, now),
        as_of=now,
        since=time_of(since_of(now_us)),
        broken=states.count("breached"),
        at_risk=states.count("at_risk"),
        collecting=states.count("collecting"),
        kept=states.count("healthy"),
        todos=count,
        first=first,
        trouble=trouble,
        services=tuple(rows),
        deeds=deeds_of(ask.control.state, [row.name for row in rows], now_us),
        examples=tuple(
            examples_of(ask.control.state, ask.key.services, facts.fallen, since_of(now_us))
        ),
    )


def rows_of(ask: Ask, opened: Sequence[OpenRelease], now_us: int) -> Iterator[HomeRow]:
    """Yield a row for each service; all that is stored is read once for all of them."""
    facts = _read(ask, opened, now_us)
    for release in opened:
        yield _row(ask, release, facts)


def _read(ask: Ask, opened: Sequence[OpenRelease], now_us: int) -> _Facts:
    names = [release.name for release in opened]
    state, ledger = ask.control.state, ask.control.ledger
    month_us = max(0, now_us - promises.BUDGET_DAYS * DAY_US)

    def spent() -> dict[str, tuple[int, int]]:
        return {name: ledger.spent(f"service:{name}") for name in names}

    since_us = since_of(now_us)
    hours = read_hours(state, names, since_us, now_us)
    falling = [name for name in names if any(hour.fallback for hour in hours[name])]
    return _Facts(
        now_us=now_us,
        hours=hours,
        fallen=newest_fallen(state, falling, since_us),
        failures=read_failures(state, names, month_us, now_us),
        ships=ships_of(ask, opened, time_of(now_us)),
        spent=ask.on_loop(spent),
        data=briefs_of(ask, opened, time_of(now_us)),
        automations=automations_of(ask, opened, since_us),
    )


def _row(ask: Ask, release: OpenRelease, facts: _Facts) -> HomeRow:
    name, declared = release.name, release.declaration
    hours, stop = facts.hours[name], ask.control.switchboard.stopped(name)
    stopped = show(Stopped, stop) if stop else None
    budget = promises.error_budget(declared.objectives.availability, facts.failures[name])
    kept = tuple(promises.promises_of(declared.objectives, hours, facts.failures[name]))
    requests, fallen = _sum_of(hours, "requests"), _sum_of(hours, "fallback")
    cost = promises.cost_today(
        declared.cost, facts.spent[name], hours, facts.now_us, is_paid=release.is_paid
    )
    ship = facts.ships[name]
    row = HomeRow(
        name=name,
        kind=release.kind,
        purpose=declared.purpose,
        risk=declared.risk,
        release=release.id,
        state="off" if stopped else worst(promise.state for promise in kept),
        is_proven=all(promise.is_proven for promise in kept),
        says=tuple(_health(stopped, kept, budget, hours, facts.now)),
        stopped=stopped,
        requests=requests,
        promises=kept,
        budget=budget,
        fallen_back=fallen_back(name, fallen, requests, facts.fallen[name]) if fallen else None,
        data=facts.data.get(name),
        automation=facts.automations.get(name),
        cost=cost,
        ship=ship,
        todos=(),
    )
    changes = () if ship.is_folder else ask.control.differences(release)
    todos = sorted(_todos(row, declared.cost.on_exhausted, changes), key=_due)
    return structs.replace(row, todos=tuple(todos[:MOST_TODOS]))


def _health(
    stopped: Stopped | None,
    kept: Sequence[Promise],
    budget: ErrorBudget | None,
    hours: Sequence[Hour],
    now: datetime,
) -> Iterator[str]:
    if stopped:
        because = f": {stopped.reason.rstrip('. ')}" if stopped.reason.rstrip(". ") else ""
        since = numbers.at(stopped.since, now)
        yield f"Stopped since {since} by {stopped.by or 'somebody'}{because}."
        return
    yield from words.health(kept, budget, _sum_of(hours, "requests"), now)


def _sum_of(hours: Sequence[Hour], count: str) -> int:
    return sum(getattr(hour, count) for hour in hours)


def _todos(row: HomeRow, on_exhausted: str, changes: Sequence[str]) -> Iterator[Todo]:
    here = f"/services/{row.name}"
    if row.stopped:
        yield _todo("Resume it, or leave it off.", "It refuses every request.", f"{here}#levers")
    for promise in () if row.stopped else row.promises:
        if promise.state == "breached":
            yield _todo(*_repair(promise), _evidence(row.name, promise))
    cost = row.cost
    if cost.state in ("at_risk", "breached"):
        what = "fallbacks" if on_exhausted == "fallback" else "refusals"
        order = f"Raise the ceiling or accept {what}."
        yield _todo(order, cost.says[-1], f"{here}#cost", cost.reached_at)
    if changes:
        order = "Release the changes in its folder, or undo them."
        yield _todo(order, f"{words.listed(changes)}.", f"{here}#release")
    if row.automation:
        yield from row.automation.todos
    if row.data:
        yield from row.data.todos


def _repair(promise: Promise) -> tuple[str, str]:
    if promise.key == "objectives.latency_p95_ms":
        return "Find out why it is slow.", f"{promise.hits:,} requests were {promise.of}."
    failed = promise.n - promise.hits
    why = f"{words.exactly(failed, 'request')} failed." if failed else "The error budget is spent."
    return "Find out why requests fail.", why


def _evidence(name: str, promise: Promise) -> str:
    """Return where it is seen why a promise is broken."""
    if promise.key == "objectives.latency_p95_ms":
        return f"/services/{name}#latency"
    return f"/requests?service={name}&disposition=failed"


def _todo(says: str, why: str, link: str, by: datetime | None = None) -> Todo:
    return Todo(says=says, why=why, link=link, by=by)


def _trouble(ask: Ask) -> Iterator[Trouble]:
    for part in ask.on_loop(ask.control.health)["trouble"]:
        service = part.removeprefix("release of ")
        if service == part or ask.sees(service):
            yield Trouble(part=part, says=words.trouble(part))


def _counted(row: HomeRow) -> Sequence[Promise]:
    """Return the promises of a service that answers; a stopped one keeps and breaks none."""
    return () if row.stopped else row.promises


def _worst_first(row: HomeRow) -> tuple[int, float, int, str]:
    due = min((todo.by.timestamp() for todo in row.todos if todo.by), default=float("inf"))
    return (rank(row.state), due, rank(row.data.state if row.data else "off"), row.name)


def _due(todo: Todo) -> float:
    return todo.by.timestamp() if todo.by else float("inf")
