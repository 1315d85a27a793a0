"""A scorer of the tools that an answer calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ...declare.evaluation import ScorerEntry
from ..asked import Asked
from ..cases import Case
from ..scorer import Score, ScoringGround
from .reading import (
    expected_of,
    folding,
    is_equal,
    is_set,
    json_of,
    no_answer,
    not_asked,
    quoted,
    rated,
    version_of,
)

MOST_CALLS = 100


class _ToolCall(NamedTuple):
    name: str
    arguments: Any


class ToolCalls:
    """The answer calls the expected tools with the expected arguments, and no others.

    Expected is a list of `{"name", "arguments"}`; of the arguments only the named ones count, and
    an empty list says that no tool may be called. The score is the share of all calls, made or
    expected, that fit. `options.any_order = true` lets them come in any order.
    """

    is_dear = False

    def __init__(self, entry: ScorerEntry, ground: ScoringGround) -> None:
        self.name = entry.name
        self.version = version_of(entry, 1)
        self._at_least = entry.at_least
        self._any_order = entry.options.get("any_order") is True
        self._fold = folding(entry)

    def score(self, case: Case, asked: Asked) -> Score:
        """Return the share that fits; nothing where the case expects no list of calls."""
        wanted = _expected(expected_of(case, self.name))
        if wanted is None:
            return not_asked('a list of `{"name", "arguments"}`')
        if (missing := no_answer(asked)) is not None:
            return missing
        made = _made(asked.message)
        count = max(len(wanted), len(made))
        if count == 0:
            return Score(1.0, True)
        if count > MOST_CALLS:
            return Score(0.0, False, f"expected at most {MOST_CALLS} calls, got {count}")
        fits = [[self._does_fit(want, call) for call in made] for want in wanted]
        matched = _matched(fits) if self._any_order else _in_order(fits)
        names = ", ".join(call.name for call in made) or "none"
        why = f"expected {quoted(', '.join(call.name for call in wanted) or 'none')}, "
        return rated(
            matched / count,
            self._at_least,
            f"{why}got {quoted(names)}; {matched} of {count} calls fit",
        )

    def _does_fit(self, want: _ToolCall, call: _ToolCall) -> bool:
        return want.name == call.name and (
            want.arguments is None or is_equal(want.arguments, call.arguments, self._fold)
        )


def _expected(expect: Any) -> list[_ToolCall] | None:
    tables = [expect] if isinstance(expect, dict) and "name" in expect else expect
    if not isinstance(tables, list | tuple):
        return None
    calls = []
    for table in tables:
        if not isinstance(table, dict) or not isinstance(table.get("name"), str):
            return None
        calls.append(_ToolCall(table["name"], table.get("arguments")))
    return calls


def _made(message: dict[str, Any] | None) -> list[_ToolCall]:
    """Return the calls of a message; arguments that are no JSON are `UNSET` and fit nothing."""
    listed = message.get("tool_calls") if isinstance(message, dict) else None
    made = []
    for call in listed if isinstance(listed, list | tuple) else ():
        function = call.get("function") if isinstance(call, dict) else None
        function = function if isinstance(function, dict) else {}
        arguments = function.get("arguments", "{}")
        if isinstance(arguments, str):
            arguments = json_of(arguments or "{}")
        name = function.get("name")
        made.append(
            _ToolCall(name if isinstance(name, str) and is_set(arguments) else "", arguments)
        )
    return made


def _in_order(fits: Sequence[Sequence[bool]]) -> int:
    """Return how many calls fit at their own place."""
    return sum(row[place] for place, row in enumerate(fits) if place < len(row))


def _matched(fits: Sequence[Sequence[bool]]) -> int:
    """Return the most calls that can be matched one to one, by augmenting paths (Kuhn, 1955)."""
    taken: dict[int, int] = {}

    def find(row: int, seen: set[int]) -> bool:
        for place, does_fit in enumerate(fits[row]):
            if does_fit and place not in seen:
                seen.add(place)
                if place not in taken or find(taken[place], seen):
                    taken[place] = row
                    return True
        return False

    return sum(find(row, set()) for row in range(len(fits)))
