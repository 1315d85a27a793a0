"""A request that was asked again: what was said then, and what is said now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from ..store.clock import time_of
from . import numbers
from .control import Ask
from .evaluation_page import cut, text_of
from .units import Time

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


def replay_shown(ask: Ask, id: str, service: str, found: Mapping[str, Any]) -> ReplayShown:
    """Return what the page of a replay shows."""
    same, exact = bool(found.get("same")), bool(found.get("is_exact"))
    release = str(found.get("release", ""))
    diff = list(found.get("diff") or ())
    return ReplayShown(
        says=says(same, exact, len(diff), numbers.short(release)),
        as_of=time_of(ask.control.clock.now_us()),
        request=id,
        service=service,
        same=same,
        is_exact=exact,
        similarity=found.get("similarity"),
        recorded=_told(str(found.get("recorded_release", "")), found.get("recorded") or {}),
        replayed=_told(release, found.get("replayed") or {}),
        diff=tuple(map(_place, diff[:MOST_CHANGES])),
        notes=tuple(cut(str(note)) for note in (found.get("notes") or ())),
        command=f"roadworthy replay {id}",
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


def _told(release: str, found: Mapping[str, Any]) -> ToldShown:
    return ToldShown(
        release=release,
        disposition=str(found.get("disposition", "")),
        output=text_of(found.get("output"), MOST_TOLD),
        model=str(found.get("model", "")),
        error_code=str(found.get("error_code", "")),
        latency_ms=int(found.get("latency_us", 0)) / 1000,
        cost_usd=int(found.get("cost_micro", 0)) / 1_000_000,
        input_tokens=int(found.get("input_tokens", 0)),
        output_tokens=int(found.get("output_tokens", 0)),
    )


def _place(found: Mapping[str, Any]) -> PlaceShown:
    return PlaceShown(
        path=cut(str(found.get("path", ""))),
        change=str(found.get("change", "")),
        before=text_of(found.get("before")),
        after=text_of(found.get("after")),
    )
