"""Says how far an input lies from what its release was asked before, and learns that from records.

A score of 1 is as far as one in twenty of those; see `signals/scope.py` for how it is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np
from sqlalchemy import Engine

from ..signals.scope import (
    FARTHEST,
    RowScope,
    TextReference,
    TextScope,
    fit_rows,
    fit_texts,
    from_bytes,
    to_bytes,
)
from ..store.artifacts import Artifacts
from ..store.records import find_records
from ..store.switchboard import Switchboard
from ..types import Call, Embedder, OpenSignals
from .asked import row_of, text_of
from .opened import OpenRelease

LEAST, MOST = 300, 2_000
"""Inputs that a reference is made of."""


class Kept(msgspec.Struct, frozen=True):
    """What a release's inputs are held against: an artifact, and whose it is."""

    release: str
    digest: str


class Scopes:
    """Learns what releases are asked, and opens what they are then held against.

    Args:
        state: Has the records.
        artifacts: Keep what was learned.
        switchboard: Says in `scope:<service>` which of it is in use.
        open_signals: Gives what makes vectors of texts.
    """

    def __init__(
        self,
        state: Engine,
        artifacts: Artifacts,
        switchboard: Switchboard,
        open_signals: OpenSignals,
    ) -> None:
        self._state = state
        self._artifacts = artifacts
        self._board = switchboard
        self._open_signals = open_signals

    def learn(self, releases: list[OpenRelease]) -> str:
        """Learn what was asked of each release that has no reference yet, as a job does."""
        said = []
        for release in releases:
            if self.kept(release.name, release.id) is not None:
                continue
            count = self._learn(release)
            said.append(f"{release.name}: {count}")
        return "; ".join(said) or "nothing to learn"

    def kept(self, name: str, release_id: str) -> Kept | None:
        """Return what is in use for a release, if anything is."""
        said = self._board.get(f"scope:{name}")
        kept = msgspec.json.decode(said, type=Kept) if said else None
        return kept if kept is not None and kept.release == release_id else None

    def open(self, kept: Kept, variable: str) -> Callable[[Call], float] | None:
        """Return what says how far a call lies; None where its texts are read otherwise now.

        Raises:
            NotFound, StoreError: What was learned is gone or damaged.
        """
        reference = from_bytes(self._artifacts.read(kept.digest))
        if not isinstance(reference, TextReference):
            rows = RowScope(reference)
            return lambda call: rows.score(call.input)
        embedder, texts = self._open_signals().embedder(), TextScope(reference)
        if embedder.name != reference.embedder:
            return None
        return lambda call: _far(texts, embedder, call.input.get(variable))

    def _learn(self, release: OpenRelease) -> str:
        asked = list(self._asked_of(release))
        if len(asked) < LEAST:
            return f"{len(asked)} of {LEAST} inputs"
        if release.kind == "predict":
            reference: Any = fit_rows(asked)
        else:
            embedder = self._open_signals().embedder()
            vectors = np.concatenate([embedder.embed([text]) for text in asked])
            reference = fit_texts(vectors, embedder.name)
        kept = Kept(release.id, self._artifacts.put(to_bytes(reference)))
        value = msgspec.json.encode(kept).decode()
        self._board.set(f"scope:{release.name}", value, by="job:scope")
        return f"learned from {len(asked)} inputs"

    def _asked_of(self, release: OpenRelease) -> Iterator[Any]:
        """Yield what the release was asked lately: rows, or texts."""
        variable = variable_of(release)
        for record in find_records(
            self._state, service=release.name, release=release.id, limit=MOST
        ):
            found: Any
            if release.kind == "predict":
                found = row_of(self._state, record)
            else:
                found = text_of(self._state, record, variable)
            if found:
                yield found


def variable_of(release: OpenRelease) -> str:
    """Return the field of the input that a chat's question is."""
    chat = release.chat
    return (chat.variable if chat is not None else None) or ""


def _far(scope: TextScope, embedder: Embedder, text: Any) -> float:
    if not isinstance(text, str) or not text:
        return FARTHEST
    return scope.score(embedder.embed([text])[0])
