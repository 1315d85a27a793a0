"""One release as its page shows it: what it is made of, how far it came, what happened to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..release.registry import Release
from ..store.clock import time_of
from . import numbers
from . import release_words as words
from .control import Ask
from .evaluation_page import row_of, text_of
from .gates_shown import gates_page
from .pages import champion_id, release_facts
from .release_figures import LoggedShown, ReleaseWhole
from .release_rows import evaluations_of, logged_of, moves_with
from .rollout_page import frozen_of
from .timeline_page import move_shown, moves_shown, roles_of

MOST_EVALUATIONS = 20
MOST_MOVES = 40
MOST_FACTS = 40


def release_whole(ask: Ask, release: Release) -> ReleaseWhole:
    """Return one release with everything it is made of, and everything that came of it."""
    state, service = ask.control.state, release.service
    facts = release_facts(release, champion_id(state, service))
    moves = [move_shown(move) for move in moves_with(state, release.id, MOST_MOVES)]
    if not moves:
        every = moves_shown(ask, service, MOST_MOVES)
        moves = [one for one in every if release.id in (one.to_release, one.from_release)]
    found = evaluations_of(state, service, MOST_EVALUATIONS, release=release.id)
    return ReleaseWhole(
        **facts,
        manifest=release.manifest,
        says=words.release(release.id, service, champion_id(state, service), ask.serving(service)),
        as_of=time_of(ask.control.clock.now_us()),
        roles=roles_of(ask, service, release.id),
        gates=gates_page(ask, release.id, owners_of(ask, release)),
        evaluations=tuple(map(row_of, found)),
        logged=tuple(_logged(ask, release)),
        moves=tuple(moves),
        frozen=frozen_of(ask, service),
    )


def owners_of(ask: Ask, release: Release) -> Mapping[str, str]:
    """Return who owns a service, by role, as what serves declares it, or else a release."""
    declared = ask.declared(release.service, release.id)
    return {} if declared is None else declared.owners.model_dump()


def _logged(ask: Ask, release: Release) -> Iterator[LoggedShown]:
    """Yield what was said of the files of a release when they were made."""
    named = {digest: path for path, digest in release.manifest.files.items()}
    named |= {one.digest: one.name for one in release.manifest.models if one.digest}
    found = logged_of(ask.control.state, release.service, list(named))
    for digest, logged in sorted(found.items()):
        facts = dict(list(_flat(logged.detail))[:MOST_FACTS])
        yield LoggedShown(
            model=named[digest],
            digest=digest,
            name=logged.name,
            at=time_of(logged.at_us),
            by=logged.by,
            facts=facts,
        )


def _flat(detail: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield facts with those of a group each by itself, as texts.

    >>> list(_flat({"metrics": {"auc": 0.734}, "commit": "a81f", "views": ["a@1"]}))
    [('commit', 'a81f'), ('metrics auc', '0.734'), ('views', '["a@1"]')]
    """
    for name, value in sorted(detail.items()):
        if isinstance(value, dict):
            yield from ((f"{name} {part}", text) for part, text in _flat(value))
        elif isinstance(value, bool | int | float):
            yield name, numbers.anything(value)
        elif value:
            yield name, text_of(value)
