"""What need not be asked or scored a second time, by the content that it depends on."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from typing import Literal, Protocol

import msgspec
from sqlalchemy import Engine

from ..store.evaluations import put_cached, read_cached
from ..types import Clock
from .asked import Asked
from .cases import Case
from .scorer import Score, Scorer

_encode = msgspec.json.Encoder(order="deterministic").encode
_asked = msgspec.json.Decoder(Asked)
_score = msgspec.json.Decoder(Score)

_LASTING = frozenset({"answered", "cached", "refused"})
"""How a request ends that would end so again. A fallback or a failure may be the moment's."""


class Cache(Protocol):
    """Keeps answers and dear scores from one evaluation to the next."""

    def read(self, keys: Collection[str]) -> Mapping[str, bytes]:
        """Return what is known under these keys.

        Raises:
            StoreError: The store cannot be read.
        """

    def write(self, kind: Literal["answer", "score"], rows: Mapping[str, bytes]) -> None:
        """Keep what was found. It is called from a thread.

        Raises:
            StoreError: The store cannot be written.
        """


class StoredCache:
    """Keeps them in the project's database.

    Args:
        engine: The state database.
        clock: Says how old they are.
        service: Whose they are.
    """

    def __init__(self, engine: Engine, clock: Clock, service: str) -> None:
        self._engine = engine
        self._clock = clock
        self._service = service

    def read(self, keys: Collection[str]) -> Mapping[str, bytes]:
        """Return what is known under these keys."""
        return read_cached(self._engine, keys)

    def write(self, kind: Literal["answer", "score"], rows: Mapping[str, bytes]) -> None:
        """Keep what was found, in one transaction."""
        put_cached(self._engine, self._clock, self._service, kind, rows)


class NoCache:
    """Knows nothing and keeps nothing."""

    def read(self, keys: Collection[str]) -> Mapping[str, bytes]:
        """Return nothing."""
        return {}

    def write(self, kind: Literal["answer", "score"], rows: Mapping[str, bytes]) -> None:
        """Keep nothing."""


def answer_key(release: str, environment: str, asked: str, repeat: int) -> str:
    """Return the key of an answer.

    Args:
        release: Who answers.
        environment: What is installed here, as far as answers depend on it.
        asked: `Case.asked`.
        repeat: Which one, from 0.
    """
    return _digest(release, environment, asked, str(repeat))


def score_key(answer: str, content: bytes, scorer: Scorer, case: Case) -> str:
    """Return the key of a score: of this very answer, by this version of a scorer."""
    said = hashlib.sha256(content).hexdigest()
    return _digest(answer, said, scorer.name, scorer.version, case.digest)


def may_be_kept(asked: Asked) -> bool:
    """Whether the same question would be answered so again, as far as anybody here knows."""
    return asked.disposition in _LASTING and asked.retry_after_s is None


def write_asked(asked: Asked) -> bytes:
    """Return an answer as it is kept."""
    return _encode(asked)


def read_asked(content: bytes) -> Asked | None:
    """Return an answer that was kept; None where another version kept it and it reads no more."""
    try:
        return _asked.decode(content)
    except msgspec.DecodeError:
        return None


def write_score(score: Score) -> bytes:
    """Return a score as it is kept."""
    return _encode(score)


def read_score(content: bytes) -> Score | None:
    """Return a score that was kept; None where it reads no more."""
    try:
        return _score.decode(content)
    except msgspec.DecodeError:
        return None


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
