"""One page of the list of requests: which are on it, and what the list says of itself."""

from __future__ import annotations

import re
from typing import Any, Literal, NamedTuple

from msgspec import UNSET

from ..errors import RequestError
from ..release.registry import list_release_ids
from ..store.clock import micros_of, time_of
from ..store.records import find_records
from ..store.rollups import Summary, summarise
from ..types import DAY_US, HOUR_US, Record
from . import lists, shapes
from .control import Ask
from .pages import request_rows

MOST_RELEASES = 50

_ID = re.compile(r"rq_\w{1,60}", re.ASCII)
_ID_PART = re.compile(r"[0-9a-f]{9}", re.ASCII)
_BY: tuple[Literal["user", "team", "tag", "key"], ...] = ("user", "team", "tag", "key")


class _Found(NamedTuple):
    """A page of records, and whether there are more on its far side."""

    records: list[Record]
    has_more: bool


def requests_page(ask: Ask, query: shapes.RequestQuery) -> shapes.Requests:
    """Return one page of requests, newest first.

    Raises:
        RequestError: Two parameters contradict each other.
    """
    _check(query)
    found = _find(ask, query)
    page = found.records
    # Whoever came from one side can go back there.
    has_older, has_newer = (
        (True, found.has_more) if query.after else (found.has_more, bool(query.before))
    )
    return shapes.Requests(
        sentence=_sentence(ask, query, found),
        requests=request_rows(page),
        before=page[-1].id if page and has_older else None,
        after=page[0].id if page and has_newer else None,
        service=query.service,
        services=seen_services(ask),
        releases=_releases(ask, query.service),
        models=_models(ask, query.service),
    )


def seen_services(ask: Ask) -> tuple[str, ...]:
    """Return the services that answer and that the key may see."""
    return tuple(sorted(name for name in ask.control.engine.releases if ask.sees(name)))


def _check(query: shapes.RequestQuery) -> None:
    if query.before and query.after:
        raise RequestError("query: expected `before` or `after`, got both", param="after")
    if query.q and query.user:
        raise RequestError("query: expected `q` or `user`, got both", param="q")
    if query.since and query.until and query.since >= query.until:
        raise RequestError(
            "since: expected a time before that of `until`, got one that is not", param="since"
        )


def _find(ask: Ask, query: shapes.RequestQuery) -> _Found:
    """Return the page; what was answered a moment ago may have to be written down first."""
    if _ID.fullmatch(query.q):
        found = _find_where(ask, query, id=query.q)
        if not found.records:
            ask.control.drain()
            found = _find_where(ask, query, id=query.q)
        return found
    if _ID_PART.fullmatch(query.q) and (found := _find_where(ask, query, id_part=query.q)).records:
        return found
    return _find_where(ask, query, user=query.q or query.user)


def _find_where(
    ask: Ask, query: shapes.RequestQuery, *, id: str = "", id_part: str = "", user: str = ""
) -> _Found:
    slower_ms = query.slower_than_ms
    found = find_records(
        ask.control.state,
        services=ask.services_of(query.service),
        disposition=query.disposition or None,
        release=query.release,
        model=query.model,
        key=query.key,
        team=query.team,
        error_code=query.error_code,
        tag=query.tag,
        error=query.error,
        slower_than_us=None if slower_ms is UNSET else int(slower_ms * 1000),
        since_us=micros_of(query.since, "since") if query.since else None,
        until_us=micros_of(query.until, "until") if query.until else None,
        before_id=query.before,
        after_id=query.after,
        limit=query.limit + 1,  # one that is not shown, to know whether there are more
        id=id,
        id_part=id_part,
        user=user,
    )
    page = found[-query.limit :] if query.after else found[: query.limit]
    return _Found(page, len(found) > query.limit)


def _sentence(ask: Ask, query: shapes.RequestQuery, found: _Found) -> str:
    """Return what the list shows; whole hours are counted, the rest as far as the page knows it."""
    n = len(found.records)
    side: lists.Side = "older" if query.before else "newer" if query.after else ""
    if not n and side:
        return lists.matching(0, has_more=False, side=side)
    if not n and query.service and query.service not in seen_services(ask):
        return f"No service is called {query.service:.60}."
    narrowed, has_span = _narrowed(query), bool(query.since or query.until)
    # To sum up a day of all services takes 10 ms: only where it is said.
    total = _counted(ask, query, {}) if has_span or not narrowed else None
    now = time_of(ask.control.clock.now_us())
    span = lists.span_of(query.since or None, query.until or None, now)
    if not narrowed and total is not None and (total.requests or not n):
        return lists.counted(total, span)
    matched = _counted(ask, query, narrowed) if narrowed and has_span else None
    if matched is None and not side and not found.has_more:
        matched = _summed(found.records)
    known = total if has_span else None
    return lists.matching(
        n, has_more=found.has_more, side=side, matched=matched, total=known, span=span
    )


def _narrowed(query: shapes.RequestQuery) -> dict[str, Any]:
    """Return what the query filters by beside service and time."""
    free = {"service", "since", "until", "before", "after", "limit"}
    names = [name for name in query.__struct_fields__ if name not in free]
    return {name: value for name in names if (value := getattr(query, name)) or value == 0.0}


def _counted(ask: Ask, query: shapes.RequestQuery, by: dict[str, Any]) -> Summary | None:
    """Return what the rollups say of a span of whole hours; None where they do not tell."""
    now_us = ask.control.clock.now_us()
    until_us = micros_of(query.until, "until") if query.until else now_us
    since_us = micros_of(query.since, "since") if query.since else max(0, until_us - DAY_US)
    if (query.since and since_us % HOUR_US) or (query.until and until_us % HOUR_US):
        return None
    who = [(name, by[name]) for name in _BY if name in by]
    known = {"disposition", "model", "release", *_BY}
    release = by.get("release", "")
    if release and "@" not in release:
        return None
    if by.keys() - known or len(who) > 1 or str(by.get("user", "")).startswith("key:"):
        return None
    found = summarise(
        ask.control.state,
        since_us=since_us - since_us % HOUR_US,
        until_us=until_us,
        services=ask.services_of(query.service),
        release=release,
        model=by.get("model", ""),
        by=who[0][0] if who else "all",
        value=who[0][1] if who else "",
    )
    if "disposition" not in by:
        return found
    n = getattr(found, by["disposition"])
    return Summary(**{"requests": n, by["disposition"]: n})


def _summed(records: list[Record]) -> Summary:
    """Return how the requests of a whole page ended."""
    ends = [record.disposition for record in records]
    return Summary(
        requests=len(ends),
        answered=ends.count("answered"),
        cached=ends.count("cached"),
        fallback=ends.count("fallback"),
        review=ends.count("review"),
        refused=ends.count("refused"),
        failed=ends.count("failed"),
        late=sum(record.is_late for record in records),
    )


def _releases(ask: Ask, service: str) -> tuple[str, ...]:
    return list_release_ids(ask.control.state, ask.services_of(service), MOST_RELEASES)


def _models(ask: Ask, service: str) -> tuple[str, ...]:
    opened = ask.control.engine.releases
    names = [service] if service in opened else [] if service else seen_services(ask)
    links = (link for name in names for chain in opened[name].chains for link in chain.links)
    return tuple(sorted({link.name for link in links}))
