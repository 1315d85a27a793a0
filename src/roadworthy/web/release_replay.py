"""A request that was asked again: what was said then, and what is said now."""

from __future__ import annotations

from msgspec import Struct

from ..serve.replay import Change, Replay, Told
from ..store.clock import time_of
from . import numbers
from .control import Ask
from .evaluation_page import cut, text_of
from .units import Time, show

MOST_CHANGES = 40
MOST_TOLD = 2000


class ToldShown(Struct, frozen=True, kw_only=True):
    """How a request ended, then or now; the output is cut."""

    release: str
    disposition: str
    output: str
    model: str
    error_code: str
    latency_ms: float
    cost_usd: float
    input_tokens: int
    output_tokens: int


class PlaceShown(Struct, frozen=True, kw_only=True):
    """One place at which two answers differ; values are cut."""

    path: str
    change: str
    before: str
    after: str


class ReplayShown(Struct, frozen=True, kw_only=True):
    """What became of a request that was asked again.

    Attributes:
        same: Whether it ended alike, with the same answer.
        is_exact: Whether the same answer is to be expected to the last bit.
        similarity: How alike the texts are (0-1); None where that is not told.
    """

    says: str
    as_of: Time
    request: str
    service: str
    same: bool
    is_exact: bool
    similarity: float | None
    recorded: ToldShown
    replayed: ToldShown
    diff: tuple[PlaceShown, ...]
    notes: tuple[str, ...]
    command: str


def replay_shown(ask: Ask, found: Replay) -> ReplayShown:
    """Return what the page of a replay shows."""
    return ReplayShown(
        says=says(found.same, found.is_exact, len(found.diff), numbers.short(found.release)),
        as_of=time_of(ask.control.clock.now_us()),
        request=found.request_id,
        service=found.service,
        same=found.same,
        is_exact=found.is_exact,
        similarity=found.similarity,
        recorded=_told(found.recorded_release, found.recorded),
        replayed=_told(found.release, found.replayed),
        diff=tuple(map(_place, found.diff[:MOST_CHANGES])),
        notes=tuple(cut(note) for note in found.notes),
        command=f"roadworthy replay {found.request_id}",
    )


def says(same: bool, is_exact: bool, places: int, release: str) -> str:
    """Return whether an answer came out the same, in one line.

    >>> says(True, True, 0, "e0539f")
    'e0539f answers the same, to the last bit.'
    >>> says(False, False, 2, "e0539f")
    'e0539f answers otherwise, in 2 places; its models may.'
    """
    if same:
        return f"{release} answers the same{', to the last bit' if is_exact else ''}."
    where = f", in {places} place{'' if places == 1 else 's'}" if places else ""
    return f"{release} answers otherwise{where}{'' if is_exact else '; its models may'}."


def _told(release: str, told: Told) -> ToldShown:
    return show(ToldShown, told, release=release, output=text_of(told.output, MOST_TOLD))


def _place(found: Change) -> PlaceShown:
    return PlaceShown(
        path=cut(found.path),
        change=found.change,
        before=text_of(found.before),
        after=text_of(found.after),
    )
