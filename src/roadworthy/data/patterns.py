r"""Regular expressions that mean the same to RE2, to Rust and to Postgres.

A pattern of a contract is read once, refused where engines differ, and written with nothing that
they read differently: `\d`, `\w` and `\s` are spelled out for ASCII, and `.` is all but a line
feed. DuckDB matches with RE2, a live request is matched in Rust; both in linear time.
"""

from __future__ import annotations

import re

_SHORT = {"d": "0-9", "w": "0-9A-Za-z_", "s": r"\t\n\x0b\f\r "}
_CONTROL = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v", "0": "\0"}
_PUNCTUATION = frozenset(r"\.^$*+?()[]{}|/-'" + '"!#%&,:;<=>@_`~ ')
_MOST_CHARACTERS = 1000
_MOST_REPEATS = 1000
_MOST_NESTED = 100
_MOST_SIZE = 50_000
"""Of a pattern whose repetitions are written out: RE2 and Rust refuse what is much larger."""
_CLASS_SIZE = 10
_QUANTIFIER = re.compile(r"(?:[*+?]|\{(\d{1,6})(?:,(\d{0,6}))?\})\??")
_NUMBERS = re.compile(r"\d+")
_HEX = re.compile(r"x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})")
_IN_SQL = re.compile(r"[\x00-\x1f]")


class PatternError(ValueError):
    """A pattern does not mean the same everywhere; the text says what to write instead."""


def common_pattern(pattern: str) -> str:
    r"""Return a pattern that all engines read alike.

    >>> common_pattern(r"^\d{2}.$")
    '^[0-9]{2}[^\\n]$'

    Raises:
        PatternError: It uses what one of them lacks or reads differently.
    """
    if len(pattern) > _MOST_CHARACTERS:
        raise PatternError(f"{len(pattern)} characters; at most {_MOST_CHARACTERS}")
    written, at, size = [], 0, _Size()
    while at < len(pattern):
        part, next_at = _part(pattern, at)
        size.add(pattern[at], part)
        written.append(part)
        at = next_at
    common = "".join(written)
    try:
        re.compile(common)
    except (re.error, OverflowError, RecursionError) as error:
        raise PatternError(f"a syntax error ({error})") from None
    return common


class _Group:
    """What is known of a group while it is read: the size of it and of its last part."""

    def __init__(self) -> None:
        self.size = self.last = 0
        self.repeats = self.last_repeats = 1

    def add(self, size: int, repeats: int = 1) -> None:
        self.size += size
        self.last, self.last_repeats = size, repeats
        self.repeats = max(self.repeats, repeats)

    def repeat(self, times: int) -> None:
        self.add(self.last * (times - 1), self.last_repeats * times)


class _Size:
    """How large a pattern is for an engine that writes its repetitions out."""

    def __init__(self) -> None:
        self._groups = [_Group()]

    def add(self, char: str, part: str) -> None:
        """Count a part by its first character, and refuse what engines have no room for."""
        group = self._groups[-1]
        if char == "(":
            self._groups.append(_Group())
        elif char == ")" and len(self._groups) > 1:
            self._groups.pop()
            self._groups[-1].add(group.size + 2, group.repeats)
        elif char in "*+?{":
            # The `?` of `(?:` repeats nothing.
            times = [int(number) for number in _NUMBERS.findall(part)]
            group.repeat(max(times, default=1) or 1)
        else:
            group.add(_CLASS_SIZE if part[0] == "[" or not part.isascii() else 1)
        group = self._groups[-1]
        if len(self._groups) > _MOST_NESTED:
            raise PatternError(f"more than {_MOST_NESTED} groups within each other")
        if group.repeats > _MOST_REPEATS:
            got = f"a repetition of a repetition that makes {group.repeats:,}"
            raise PatternError(f"{got}; RE2 has no more than {_MOST_REPEATS}")
        if group.size > _MOST_SIZE:
            raise PatternError("repetitions of too much; write a smaller count")


def _part(pattern: str, at: int) -> tuple[str, int]:
    """Return the common form of what stands at `at`, and where the next part starts."""
    char = pattern[at]
    if char == "\\":
        return _escape(pattern, at + 1, in_class=False)
    if char == "[":
        return _class(pattern, at)
    if char == ".":
        return r"[^\n]", at + 1
    if char == "(" and pattern[at + 1 : at + 2] == "?" and pattern[at + 2 : at + 3] != ":":
        raise PatternError("a group `(?...)`; look-around, names and flags differ: use `(?:...)`")
    if char in "*+?{":
        return _quantifier(pattern, at)
    if char in "]}":
        return f"\\{char}", at + 1
    return (char if char in "^$|()?:" else _literal(char)), at + 1


def _quantifier(pattern: str, at: int) -> tuple[str, int]:
    found = _QUANTIFIER.match(pattern, at)
    if found is None:
        raise PatternError("a `{` that is no repetition; write `\\{`")
    if any(int(number) > _MOST_REPEATS for number in found.groups() if number):
        raise PatternError(f"more than {_MOST_REPEATS} repetitions; RE2 has no more")
    if pattern[found.end() : found.end() + 1] in ("*", "+", "?", "{"):
        raise PatternError("a repetition of a repetition; put the inner one into `(?:...)`")
    return found[0], found.end()


def _escape(pattern: str, at: int, *, in_class: bool) -> tuple[str, int]:
    if at >= len(pattern):
        raise PatternError("a `\\` at its end")
    char = pattern[at]
    if char in _SHORT:
        return _SHORT[char] if in_class else f"[{_SHORT[char]}]", at + 1
    if char.lower() in _SHORT and not in_class:
        return f"[^{_SHORT[char.lower()]}]", at + 1
    if char in _CONTROL and char != "0":
        return _literal(_CONTROL[char]), at + 1
    if found := _HEX.match(pattern, at):
        code = int(found[1] or found[2], 16)
        if code == 0 or 0xD800 <= code <= 0xDFFF:
            raise PatternError(f"`\\{found[0]}`, which no text holds")
        return _literal(chr(code)), found.end()
    if char in _PUNCTUATION:
        return _literal(char), at + 1
    raise PatternError(f"`\\{char}`, which engines read differently; spell it out")


def _class(pattern: str, at: int) -> tuple[str, int]:
    """Return a class of characters; nothing nests in it, and nothing is an operator."""
    written, at = ["["], at + 1
    if pattern[at : at + 1] == "^":
        written.append("^")
        at += 1
    first = at
    while at < len(pattern) and (pattern[at] != "]" or at == first):
        char = pattern[at]
        if char == "\\":
            part, at = _escape(pattern, at + 1, in_class=True)
        elif char == "-":
            part, at = _dash(pattern, at, first)
        elif char == "[" and pattern[at + 1 : at + 2] in (":", ".", "="):
            raise PatternError(f"`[{pattern[at + 1]}` in a class; spell its characters out")
        else:
            part, at = _literal(char), at + 1
        written.append(part)
    if at >= len(pattern):
        raise PatternError("a `[` that is not closed")
    return "".join(written) + "]", at + 1


def _dash(pattern: str, at: int, first: int) -> tuple[str, int]:
    is_range = at > first and pattern[at + 1 : at + 2] not in ("", "]")
    return ("-" if is_range else r"\-"), at + 1


def _literal(char: str) -> str:
    """Return one character so that no engine takes it for more; control characters by number."""
    if char == "\0":
        raise PatternError("a NUL character, which not every database can hold")
    if _IN_SQL.match(char):
        return f"\\x{ord(char):02x}"
    return f"\\{char}" if char in r"\.^$*+?()[]{}|-&~#" else char


_YEAR = "(?:[0-9]{3}[1-9]|[0-9]{2}[1-9][0-9]|[0-9][1-9][0-9]{2}|[1-9][0-9]{3})"
_LONG = "(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
_MIDDLE = "(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
_SHORTEST = "02-(?:0[1-9]|1[0-9]|2[0-8])"
_LEAP = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)-02-29"
_DAY = f"(?:{_YEAR}-(?:{_LONG}|{_MIDDLE}|{_SHORTEST})|{_LEAP})"
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?"
_OFFSET = "(?:Z|[+-](?:[01][0-9]|2[0-3])(?::[0-5][0-9])?)"

DATE = f"^{_DAY}$"
"""A day of the years 1 to 9999 in ISO 8601; one that the calendar has."""
TIME = f"^{_TIME}$"
TIMESTAMP = f"^{_DAY}[T ]{_TIME}{_OFFSET}?$"
TIMESTAMP_WITH_OFFSET = f"^{_DAY}[T ]{_TIME}{_OFFSET}$"
NUMBER = r"^[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"
WHOLE = r"^[+-]?[0-9]+(?:\.0*)?$"

_BYTE = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_LABEL = "[0-9A-Za-z](?:[0-9A-Za-z-]{0,61}[0-9A-Za-z])?"
_GROUP = "[0-9A-Fa-f]{1,4}"
_IPV6 = "|".join(
    (
        f"(?:{_GROUP}:){{7}}{_GROUP}",
        f"(?:{_GROUP}:){{1,7}}:",
        *(f"(?:{_GROUP}:){{1,{7 - n}}}(?::{_GROUP}){{1,{n}}}" for n in range(1, 7)),
        f":(?::{_GROUP}){{1,7}}",
        "::",
    )
)
FORMATS = {
    "email": rf"^[0-9A-Za-z._%+'-]{{1,64}}@(?:{_LABEL}\.)+[A-Za-z]{{2,63}}$",
    "uuid": "^[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}$",
    "uri": r"^[A-Za-z][0-9A-Za-z+.-]*:[0-9A-Za-z._~:/?#\[\]@!$&'()*+,;=%-]+$",
    "hostname": rf"^{_LABEL}(?:\.{_LABEL})*$",
    "ipv4": rf"^{_BYTE}(?:\.{_BYTE}){{3}}$",
    "ipv6": f"^(?:{_IPV6})$",
    "byte": "^(?:[0-9A-Za-z+/]{4})*(?:[0-9A-Za-z+/]{2}==|[0-9A-Za-z+/]{3}=)?$",
}
"""ODCS's string formats → what a text of one holds; each is in the common subset."""
