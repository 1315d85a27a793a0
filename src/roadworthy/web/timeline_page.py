"""Which release of a service served when, who decided it, and what is on its way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..release import registry
from ..release.registry import Release
from ..store.actions import list_actions
from ..store.clock import time_of
from ..store.moves import Move
from . import release_words as words
from .control import Ask
from .evaluation_page import row_of
from .gates_shown import counts_of
from .release_figures import Band, MoveShown, ReleaseStands, Timeline, TimelineQuery
from .release_rows import moves_of, newest_evaluations
from .rollout_page import frozen_of, open_rollout, rollout_shown, says_frozen
from .units import show

MOST_BANDS = 60
MOST_LOOKED_AT = 500
"""Acts that are looked through where no move is written down: of projects of earlier versions."""


def timeline_page(ask: Ask, service: str, query: TimelineQuery) -> Timeline:
    """Return what the timeline of a service shows."""
    state = ask.control.state
    now = time_of(ask.control.clock.now_us())
    latest = moves_shown(ask, service, MOST_BANDS)
    shown = latest
    if query.before or query.limit > MOST_BANDS:
        shown = moves_shown(ask, service, query.limit, query.before)
    moves = shown[: query.limit]
    rollout = open_rollout(ask, service)
    frozen = frozen_of(ask, service)
    champion = ask.control.switchboard.get(f"champion:{service}")
    releases = registry.list_releases(state, service, query.limit)
    newest = latest[0] if latest else None
    return Timeline(
        says=words.timeline(
            service, champion, newest, rollout is not None, now, ask.serving(service)
        ),
        as_of=now,
        service=service,
        champion=champion,
        candidate=candidate_of(ask, service),
        last_good=ask.control.switchboard.get(f"last_good:{service}"),
        frozen=frozen,
        says_frozen=says_frozen(frozen, now),
        rollout=None if rollout is None else rollout_shown(ask, rollout),
        bands=tuple(bands_of(latest)),
        moves=tuple(moves),
        releases=tuple(_stands(ask, service, releases)),
        before=moves[-1].id if len(moves) == query.limit and moves[-1].id else "",
    )


def roles_of(ask: Ask, service: str, release_id: str) -> tuple[str, ...]:
    """Return what a release is to its service: champion, candidate, last good."""
    named = {
        "champion": ask.control.switchboard.get(f"champion:{service}"),
        "candidate": candidate_of(ask, service),
        "last_good": ask.control.switchboard.get(f"last_good:{service}"),
    }
    found = tuple(role for role, id in named.items() if id and id == release_id)
    return tuple(role for role in found if role != "last_good" or "champion" not in found)


def candidate_of(ask: Ask, service: str) -> str:
    """Return the release that is being judged; empty where none is."""
    pointed = ask.control.switchboard.get(f"candidate:{service}")
    if pointed:
        return pointed
    rollout = open_rollout(ask, service)
    return rollout.candidate if rollout is not None else ""


def moves_shown(ask: Ask, service: str, limit: int, before: str = "") -> list[MoveShown]:
    """Return how what serves changed, newest first.

    Where nothing is written down the chain of acts tells it, as far as it goes back.
    """
    found = moves_of(ask.control.state, service, limit, before)
    if not found and not before:
        found = list(_from_acts(ask, service))[:limit]
    return [move_shown(move) for move in found]


def move_shown(move: Move) -> MoveShown:
    """Return one change of what serves."""
    return show(MoveShown, move, did=words.DID.get(move.kind, move.kind))


def _from_acts(ask: Ask, service: str) -> Iterator[Move]:
    for act in list_actions(ask.control.state, action="release.promote", limit=MOST_LOOKED_AT):
        if act.detail.get("service") == service:
            left = str(act.detail.get("from", ""))
            yield Move(
                id="",
                service=service,
                at_us=act.at_us,
                kind="promote",
                from_release=left,
                to_release=act.subject,
                by=act.by,
            )


def bands_of(moves: Sequence[MoveShown]) -> Iterator[Band]:
    """Yield from when until when each release served, the latest first."""
    until = None
    for move in moves:
        yield Band(release=move.to_release, since=move.at, until=until)
        until = move.at


def _stands(ask: Ask, service: str, releases: Sequence[Release]) -> Iterator[ReleaseStands]:
    ids = [release.id for release in releases]
    evaluated = newest_evaluations(ask.control.state, ids)
    counts = counts_of(ask, ids)
    for release in releases:
        held, waived, failing, opened, gated = counts.get(release.id, (0, 0, 0, 0, 0))
        found = evaluated.get(release.id)
        yield ReleaseStands(
            release=release.id,
            built_at=time_of(release.created_at_us),
            by=release.by,
            commit=registry.commit_of(release.manifest),
            roles=roles_of(ask, service, release.id),
            evaluation=None if found is None else row_of(found),
            failing=failing,
            open=opened,
            held=held,
            waived=waived,
            gated=gated,
        )
