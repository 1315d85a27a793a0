"""Invents texts that match a pattern: what a load test fills columns with, and nobody's real data.

A pattern is in the common subset that `common_pattern` writes: groups, alternatives, classes,
repetitions, anchors at its ends, escapes by number or of punctuation.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from itertools import count
from string import ascii_lowercase, digits

Maker = Callable[[random.Random], str]

_TRIES = 20
"""Texts that are tried for each one asked for, before a pattern is taken to have no more."""
_OPEN_END = 8
"""How much further a repetition without an end goes."""
_PLAIN = [chr(code) for code in range(0x20, 0x7F)]
_REPEATED = re.compile(r"([*+?])\??|\{(\d+)(?:(,)(\d*))?\}\??")
_LETTERS = digits + ascii_lowercase


def texts_of(pattern: str, least: int, most: int | None, wanted: int, seed: int) -> list[str]:
    """Return different texts that match a pattern, as many as are wanted or as were found.

    Args:
        pattern: What they match; empty for any text.
        least: Their fewest characters.
        most: Their most characters.
        wanted: How many.
        seed: The same one gives the same texts.

    >>> sorted(texts_of("^[A-C]$", 0, None, 9, seed=1))
    ['A', 'B', 'C']
    """
    if not pattern:
        return list(_any_texts(least, most, wanted))
    chance, make, matches = random.Random(seed), _read(pattern), re.compile(pattern)  # noqa: S311
    found: dict[str, None] = {}
    for _ in range(_TRIES * wanted + 1000):
        text = make(chance)
        if len(text) < least:
            text = text.ljust(least, text[-1:] or "a")
        if (most is None or len(text) <= most) and matches.search(text):
            found[text] = None
        if len(found) == wanted:
            break
    return list(found)


def _any_texts(least: int, most: int | None, wanted: int) -> Iterator[str]:
    """Yield texts of digits and letters, each a number to the base of 36."""
    for number in count():
        text, rest = "", number
        while rest or not text:
            rest, digit = divmod(rest, len(_LETTERS))
            text = _LETTERS[digit] + text
        text = text.rjust(max(least, min(4, most or 4)), "0")
        if number == wanted or (most is not None and len(text) > most):
            return
        yield text


def _read(pattern: str) -> Maker:
    return _Reader(pattern).alternatives()


class _Reader:
    """Reads a pattern from left to right into what makes texts of it."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0

    def alternatives(self) -> Maker:
        """Read up to the end of a group or of the pattern."""
        branches = [self._sequence()]
        while self._next("|"):
            branches.append(self._sequence())
        return lambda chance: chance.choice(branches)(chance)

    def _sequence(self) -> Maker:
        parts: list[Maker] = []
        while self._at < len(self._pattern) and self._pattern[self._at] not in "|)":
            parts.append(self._repeated(self._one()))
        return lambda chance: "".join(part(chance) for part in parts)

    def _one(self) -> Maker:
        if self._next("(?:") or self._next("("):
            inner = self.alternatives()
            self._next(")")
            return inner
        if self._next("^") or self._next("$"):
            return lambda chance: ""
        chars = self._class() if self._next("[") else [self._char()]
        return lambda chance: chance.choice(chars)

    def _class(self) -> list[str]:
        is_negated = self._next("^")
        chars: list[str] = []
        while not self._next("]"):
            first = self._char()
            if self._next("-"):
                chars += map(chr, range(ord(first), ord(self._char()) + 1))
            else:
                chars.append(first)
        if is_negated:
            return [char for char in _PLAIN if char not in chars] or ["\N{LATIN SMALL LETTER E}"]
        return chars

    def _char(self) -> str:
        if not self._next("\\"):
            self._at += 1
            return self._pattern[self._at - 1]
        if self._next("x"):
            self._at += 2
            return chr(int(self._pattern[self._at - 2 : self._at], 16))
        self._at += 1
        char = self._pattern[self._at - 1]
        return {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}.get(char, char)

    def _repeated(self, one: Maker) -> Maker:
        found = _REPEATED.match(self._pattern, self._at)
        if found is None:
            return one
        self._at = found.end()
        sign, least, comma, most = found.groups()
        low = {"*": 0, "?": 0, "+": 1}[sign] if sign else int(least)
        high = low if not sign and not comma else low + _OPEN_END
        if sign == "?":
            high = 1
        elif most:
            high = int(most)
        return lambda chance: "".join(one(chance) for _ in range(chance.randint(low, high)))

    def _next(self, sign: str) -> bool:
        is_there = self._pattern.startswith(sign, self._at)
        self._at += len(sign) * is_there
        return is_there
