"""How much work the loops of an expression (its macros) can be, before it is evaluated.

Nothing stops an evaluation once it has begun, and it holds up everything else: two loops over 4,000
items of a caller's list take 4 s. So the work is bounded from above beforehand, by the lists that
are handed in and the places where the source loops over them. One step is about .3 µs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

LOOPS = ("all", "exists", "exists_one", "existsOne", "map", "filter")
"""Macros that look at every item of a list or map."""

MOST_STEPS = 100_000
"""Of one evaluation: 20 to 70 ms, measured with one to four comparisons in a step."""

_BUILD = ("map", "filter")
_RAW = r"\b(?:[rR][bB]?|[bB][rR])"
_TEXT_OR_COMMENT = re.compile(
    rf'{_RAW}(?:"""[\s\S]*?"""|\'\'\'[\s\S]*?\'\'\'|"[^"]*"|\'[^\']*\')'
    r'|"""(?:\\.|[^\\])*?"""|\'\'\'(?:\\.|[^\\])*?\'\'\''
    r'|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|//[^\n]*',
    re.DOTALL,
)
_LOOP = re.compile(rf"\.\s*({'|'.join(LOOPS)})\s*\(")
_LOOKUP = re.compile(r"\bin\b(?!\s*\[)")
_SEARCH = re.compile(r"\.\s*(?:contains|matches)\s*\(")
_PATTERN = re.compile(r"\.\s*matches\s*\(")


class Extent(NamedTuple):
    """How large the values are that an expression is evaluated with.

    Attributes:
        longest: Items of the longest list or map, at any depth.
        items: Items of all of them.
        characters: Of the longest text.
    """

    longest: int
    items: int
    characters: int


class Loop(NamedTuple):
    """One macro.

    Attributes:
        depth: How many macros it stands in, itself included.
        copies: 1 where it builds a list, for each step copies what is built so far; 2 where each
            item of that list may hold all that was handed in.
        lookups: How often its body looks through a list with `in`.
        searches: How often its body looks through a text.
        patterns: How often its body compiles a regular expression.
    """

    depth: int
    copies: int
    lookups: int
    searches: int
    patterns: int

    def steps(self, extent: Extent) -> int:
        """Return the most steps that it can take over values of this extent.

        A comparison or a copy inside a step is a tenth of it, 2,000 characters are searched as
        fast, and a pattern takes 40 times as long.
        """
        one = 10 + self.lookups * extent.longest
        one += extent.items**self.copies if self.copies else 0
        one += self.searches * extent.characters // 200 + self.patterns * 400
        return int(extent.longest**self.depth * one // 10)


class Loops:
    """All macros of an expression.

    Args:
        source: The expression.
        names: What it reads of its place.
    """

    __slots__ = ("_literal", "_loops", "depth")

    def __init__(self, source: str, names: Iterable[str] = ()) -> None:
        text = without_texts(source)
        found = [(at.end(), end_of_call(text, at.end()), at[1]) for at in _LOOP.finditer(text)]
        reads = re.compile(rf"(?<![.\w])(?:{'|'.join(names) or '$.'})\b")
        self._loops = tuple(
            Loop(
                sum(first <= start < last for first, last, _ in found),
                (macro in _BUILD) + (macro == "map" and reads.search(text, start, end) is not None),
                len(_LOOKUP.findall(text, start, end)),
                len(_SEARCH.findall(text, start, end)),
                len(_PATTERN.findall(text, start, end)),
            )
            for start, end, macro in found
        )
        self._literal = text.count(",") + 1  # no list that the source spells out is longer
        self.depth = max((loop.depth for loop in self._loops), default=0)

    def __bool__(self) -> bool:
        return bool(self._loops)

    def excess(self, values: Iterable[Any]) -> str:
        """Return what is too large about `values`, or an empty string."""
        extent = _extent(values)
        if extent.items > MOST_STEPS:
            return f"more than {MOST_STEPS} items"
        n = max(extent.longest, self._literal)
        if sum(loop.steps(extent._replace(longest=n)) for loop in self._loops) <= MOST_STEPS:
            return ""
        longest, _, characters = extent
        return (
            f"a list or map of {longest} items and a text of {characters} characters, "
            f"for loops nested {self.depth} deep"
        )


def without_texts(source: str) -> str:
    """Return `source` with every text in it emptied, and without comments."""
    return _TEXT_OR_COMMENT.sub('""', source)


def patterns_of(source: str) -> Iterator[str]:
    """Yield what `source` hands to each `matches`, as it is written there."""
    # Every text is blanked, not emptied, so that places are the same as in the source.
    text = _TEXT_OR_COMMENT.sub(lambda found: " " * len(found[0]), source)
    for found in _PATTERN.finditer(text):
        yield source[found.end() : end_of_call(text, found.end()) - 1]


def end_of_call(text: str, start: int) -> int:
    """Return the position after the parenthesis that closes the one open before `start`."""
    depth = 1
    for position in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[position], 0)
        if depth == 0:
            return position + 1
    return len(text)


def _extent(values: Iterable[Any]) -> Extent:
    """Measure `values`; once there are more items than steps, the rest is not looked at."""
    longest = items = characters = 0
    left = list(values)
    while left and items <= MOST_STEPS:
        value = left.pop()
        if isinstance(value, str | bytes):
            characters = max(characters, len(value))
        elif isinstance(value, dict | list | tuple):
            longest = max(longest, len(value))
            items += len(value)
            if items <= MOST_STEPS:
                left.extend(value.values() if isinstance(value, dict) else value)
    return Extent(longest, items, characters)
