"""A suite of what went wrong: what failed, was refused, came late, was wrong or complained of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import msgspec
from sqlalchemy import Connection, Engine, or_, select

from ..evaluate.cases import SEVERITIES, Case
from ..store.state import reading
from ..store.tables import outcomes, records
from ..types import Record
from .contracts import Contracts
from .requests import CHUNK, CaseMaker, LeftOut, kept_requests
from .said import KINDS, Asked, read_asked
from .suites import SEVERITY

SEVERITY_OF = {
    "failed": "high",
    "guard": "normal",
    "late": "low",
    "wrong": "high",
    "complained": "normal",
}
"""What went wrong → how bad it is if the case fails; what a reviewer called it counts more."""

INCIDENT = "incident"
_LOW_SHARE = 0.5
"""Below this part of the highest rating that was ever given, somebody complained."""


class Incidents(msgspec.Struct, frozen=True, kw_only=True):
    """A suite of what went wrong.

    Attributes:
        cases: The worst first.
        kinds: What went wrong → in how many of the cases.
        expected: How many of them say what is right.
        found: How many incidents there were; with a limit, more than there are cases.
    """

    cases: tuple[Case, ...]
    kinds: Mapping[str, int]
    found: int
    expected: int
    left_out: LeftOut
    personal: tuple[str, ...]
    masked: Mapping[str, int]


def incidents(
    state: Engine,
    contracts: Contracts,
    service: str,
    since_us: int,
    until_us: int,
    *,
    n: int = 200,
    champion: str = "",
) -> Incidents:
    """Return as cases what went wrong in a span, each question once: the worst, then the newest.

    Args:
        state: Has the requests.
        contracts: Gives what is personal in each release.
        service: Whose requests.
        since_us: From when.
        until_us: Until when.
        n: Most cases.
        champion: The release that serves: what it calls personal counts for older requests too.
    """
    left_out = LeftOut()
    with reading(state) as connection:
        best = _best_rating(connection, service)
        span = (service, since_us, until_us)
        suspects: list[tuple[str, str]] = []
        batch: list[Record] = []
        for kept in kept_requests(connection, contracts, *span, left_out):
            batch.append(kept.record)
            if len(batch) >= CHUNK:
                suspects += _suspects(connection, batch)
                batch = []
        suspects += _suspects(connection, batch)
        maker = CaseMaker(contracts, {release for _, release in suspects} | {champion})
        cases = dict(_cases(connection, suspects, maker, best))
    left_out.personal = maker.left_out.personal
    worst = sorted(cases.values(), key=lambda case: -SEVERITIES.index(case.severity))[:n]
    return Incidents(
        cases=tuple(worst),
        kinds=dict(Counter(tag for case in worst for tag in case.tags if tag in SEVERITY_OF)),
        found=len(cases),
        expected=sum(case.expect is not None for case in worst),
        left_out=left_out,
        personal=tuple(sorted(maker.personal)),
        masked=dict(sorted(maker.masked.items())),
    )


def _suspects(connection: Connection, found: list[Record]) -> list[tuple[str, str]]:
    """Return the requests that went wrong by their record, or of which something was said."""
    told = select(outcomes.c.request_id).where(
        outcomes.c.request_id.in_([record.id for record in found]),
        or_(outcomes.c.kind.in_(KINDS), outcomes.c.kind == "rating"),
    )
    said = set(connection.execute(told).scalars())
    return [(r.id, r.release) for r in found if r.id in said or any(_of_record(r))]


def _of_record(record: Record) -> Iterator[str]:
    if record.disposition == "failed" and record.error_code != "cancelled":
        yield "failed"
    if record.error_code == "guard_denied":
        yield "guard"
    if record.is_late:
        yield "late"


def _cases(
    connection: Connection, suspects: list[tuple[str, str]], maker: CaseMaker, best: float
) -> Iterator[tuple[str, Case]]:
    """Yield the cases by id, newest request first, so that the newest of one question stays."""
    for start in range(0, len(suspects), CHUNK):
        ids = [id for id, _ in suspects[start : start + CHUNK]]
        asked = read_asked(connection, ids)
        unhappy = _complaints(connection, ids, best)
        for id in ids:
            if id not in asked:
                continue
            kinds = list(_kinds_of(asked[id], is_complaint=id in unhappy))
            if not kinds:
                continue
            tags, severity = (INCIDENT, *kinds), _severity_of(asked[id], kinds)
            case = maker.make(asked[id], INCIDENT, tags=tags, severity=severity)
            if case is not None:
                yield case.id, case


def _kinds_of(asked: Asked, *, is_complaint: bool) -> Iterator[str]:
    yield from _of_record(asked.record)
    if any(one.is_correction or not one.answer for one in asked.said):
        yield "wrong"
    if is_complaint:
        yield "complained"


def _severity_of(asked: Asked, kinds: list[str]) -> str:
    named = [SEVERITY[one.severity] for one in asked.said if one.severity in SEVERITY]
    known = [SEVERITY_OF[kind] for kind in kinds]
    return max((*known, *named), key=SEVERITIES.index)


def _best_rating(connection: Connection, service: str) -> float:
    """Return the highest rating of a service's answers: ratings have no scale that is declared."""
    query = (
        select(outcomes.c.value)
        .join(records, records.c.id == outcomes.c.request_id)
        .where(records.c.service == service, outcomes.c.kind == "rating")
    )
    return max((float(value) for value in connection.execute(query).scalars()), default=0.0)


def _complaints(connection: Connection, ids: list[str], best: float) -> set[str]:
    query = select(outcomes.c.request_id, outcomes.c.value).where(
        outcomes.c.request_id.in_(ids), outcomes.c.kind == "rating"
    )
    rows = connection.execute(query)
    return {id for id, value in rows if float(value) < best * _LOW_SHARE}
