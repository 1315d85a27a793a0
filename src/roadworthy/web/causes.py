"""Why requests ended as they did, counted from the newest of them, and one of each to look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple
from urllib.parse import quote, urlencode

from sqlalchemy import Engine

from ..store.clock import time_of
from ..store.records import End, find_ends, read_record
from . import numbers
from .figures import Cause, Example, FallenBack
from .story import sentence
from .words import exactly, listed

Kind = Literal["answered", "fallback", "kept_back"]

MOST_LOOKED_AT = 200
"""Requests whose causes are counted, the newest, on Home of all services together: they are found
and read in 2 ms, 500 in 5.
"""
MOST_SAID = 3


class _Why(NamedTuple):
    """What happened to one request, and to several."""

    one: str
    many: str


def _same(what: str) -> _Why:
    return _Why(what, what)


_CODES = {
    "no_passages": _same("found no page"),
    "not_sure": _same("might not be given alone"),
    "budget_exhausted": _same("met a ceiling"),
    "contract_violation": _same("broke the contract of the input"),
    "invalid_request": _same("could not be read"),
    "service_stopped": _same("came while it was stopped"),
    "overloaded": _same("came while too many were under way"),
    "cancelled": _Why("was left by its client", "were left by their clients"),
    "internal_error": _same("met an error inside"),
}
_TRIES = {
    "model_timeout": _same("got no answer in time"),
    "no_time_left": _same("got no answer in time"),
    "bad_answer": _same("got no whole answer"),
    "model_rate_limited": _same("met a provider that refused for now"),
    "model_rejected": _same("met a provider that refused"),
    "too_dear": _same("met a ceiling"),
    "busy": _same("met a provider at its limits"),
    "cooling": _same("met a provider that is left alone"),
    "model_unavailable": _same("reached no model"),
    "no_key": _same("reached no model"),
    "stopped": _same("met a stopped model"),
}
"""How a try ended → what happened, what says most first."""
_UNKNOWN = _same("ended for another reason")


def why_of(end: End) -> _Why:
    """Return why a request was not simply answered."""
    denied = next((v for v in end.verdicts if not v.is_acceptable), None)
    if denied is not None:
        kept = "kept back" if denied.on == "output" else "turned away"
        return _Why(f"was {kept} by `{denied.guard}`", f"were {kept} by `{denied.guard}`")
    statuses = {attempt.status for attempt in end.attempts}
    if "rejected" in statuses:
        return _Why("was kept back by its schema", "were kept back by their schema")
    codes = [end.error_code, *(reason.partition(":")[0] for reason in reversed(end.reasons))]
    for code in codes:
        if code in _CODES:
            return _CODES[code]
    tried = (why for status, why in _TRIES.items() if status in statuses or status in codes)
    return next(tried, _UNKNOWN)


def causes_of(ends: Iterable[End]) -> tuple[Cause, ...]:
    """Return why these requests ended so, the most frequent cause first."""
    counted = Counter(map(why_of, ends))
    return tuple(
        Cause(requests=n, says=why.one if n == 1 else why.many) for why, n in counted.most_common()
    )


def told(causes: Sequence[Cause], of: int) -> str:
    """Return causes in words; `of` are the requests, of which fewer may have been looked at.

    >>> one, two = Cause(requests=12, says="found no page"), Cause(requests=1, says="met a ceiling")
    >>> told([one, two], 13)
    '12 found no page and 1 met a ceiling'
    >>> told([one], 20)
    'of the newest 12, 12 found no page'
    """
    seen = sum(cause.requests for cause in causes)
    said = [f"{numbers.count(cause.requests)} {cause.says}" for cause in causes[:MOST_SAID]]
    rest = seen - sum(cause.requests for cause in causes[:MOST_SAID])
    if rest:
        said.append(f"{numbers.count(rest)} ended for other reasons")
    if not said:
        return ""
    newest = f"of the newest {numbers.count(seen)}, " if seen < of else ""
    return newest + listed(said, MOST_SAID + 1)


def fallen_back(service: str, fallen: int, requests: int, ends: Iterable[End]) -> FallenBack:
    """Return how many requests of a service came down to its ladder, and why.

    Args:
        service: Its name.
        fallen: How many did, of `requests`.
        requests: n of the same time.
        ends: The newest of those that did.
    """
    causes = causes_of(ends)
    why = told(causes, fallen)
    head = f"{numbers.count(fallen)} of {exactly(requests, 'request')} got the fallback"
    return FallenBack(
        requests=fallen,
        says=f"{head}: {why}." if why else f"{head}.",
        causes=causes,
        link="/requests?" + urlencode({"service": service, "disposition": "fallback"}),
    )


def newest_fallen(engine: Engine, services: Collection[str], since_us: int) -> dict[str, list[End]]:
    """Return the newest requests of these services that got the fallback, by service.

    They are at most `MOST_LOOKED_AT` of all services together.
    """
    fallen: dict[str, list[End]] = {name: [] for name in services}
    if fallen:
        found = find_ends(
            engine,
            services=services,
            disposition="fallback",
            since_us=since_us,
            limit=MOST_LOOKED_AT,
        )
        for end in found:
            fallen[end.service].append(end)
    return fallen


def examples_of(
    engine: Engine,
    services: Collection[str],
    fallen: Mapping[str, Sequence[End]],
    since_us: int,
) -> Iterator[Example]:
    """Yield the newest request that was answered, that fell back, and that was kept back."""
    found = find_ends(engine, services=services, disposition="answered", since_us=since_us, limit=1)
    for end in found:
        yield _example(end, "answered", sentence(read_record(engine, end.id)))
    newest = sorted((end for ends in fallen.values() for end in ends), key=_id, reverse=True)
    kept = next((end for end in newest if _kept_back(end)), None)
    fell = next((end for end in newest if not _kept_back(end)), None)
    if fell is not None:
        yield _example(fell, "fallback", sentence(read_record(engine, fell.id)))
    if kept is not None:
        wrote, by = _kept_back(kept), why_of(kept).one.removeprefix("was ")
        says = f"{kept.service} asked {wrote}, whose answer was {by}; {kept.model} answered."
        yield _example(kept, "kept_back", says)


def _id(end: End) -> str:
    return end.id


def _kept_back(end: End) -> str:
    """Return the model whose answer was kept back; empty where none was."""
    return next((a.model for a in reversed(end.attempts) if a.status == "rejected"), "")


def _example(end: End, kind: Kind, says: str) -> Example:
    return Example(
        kind=kind, says=says, at=time_of(end.at_us), link=f"/requests/{quote(end.id, safe='')}"
    )
