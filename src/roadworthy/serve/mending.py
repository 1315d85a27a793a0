"""Reads the JSON that a model wrote: strictly where it can, mended where nothing is changed by it.

What is JSON is taken as it stands, or refused. What is not is mended by what is known to stand
around the JSON of models (thoughts, fences, comments, prose) and by json-repair, and the result
counts only if it holds what the text holds: the same words and numbers in the same order. A text
that could mean two things is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import msgspec

MOST_DEPTH = 100
"""Levels of arrays and objects within each other; what goes deeper is there to hurt."""
MOST_MENDED = 32_768
"""Characters of a text that is mended: json-repair needs up to a second for longer ones."""

_MOST_PARTS = 16
"""Brackets of a text at which JSON is looked for: each look may go through all of it."""
_MOST_WHOLE, _LEAST_WHOLE = 2**64 - 1, -(2**63)
_decode = msgspec.json.Decoder().decode

_THOUGHT = re.compile(r"\s*<(think|thinking|thought|reasoning)>.*?</\1>", re.DOTALL | re.IGNORECASE)
_OPEN_THOUGHT = re.compile(r"\s*<(?:think|thinking|thought|reasoning)>", re.IGNORECASE)
_END_OF_THOUGHT = re.compile(r"</(?:think|thinking|thought|reasoning)>", re.IGNORECASE)
_FENCED = re.compile(r"```[ \t]*[\w+-]*[ \t]*\r?\n?(.*?)```", re.DOTALL)
_OPEN_FENCE = re.compile(r"```[ \t]*[\w+-]*[ \t]*\r?\n")
_OPENING = re.compile(r"[\[{]")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_SPARE_COMMA = re.compile(r'("(?:[^"\\]|\\.)*")|,(\s*[}\]])', re.DOTALL)
_NAME = re.compile(r"""["']\s*:""")
_NO_NUMBER = re.compile(r"(?<![\w.])[-+]?(?:nan|infinity|inf)(?![\w.])", re.IGNORECASE)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_PAIR = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\.", re.DOTALL)
_NOTHING = re.compile(r"\bNone\b")
_TOKEN = re.compile(
    r"""[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[^\s{}\[\],:"'\\`\u2018\u2019\u201c\u201d]"""
)
_SIGNS = frozenset('{}[]",\n')
_SEAM = re.compile(r"""["']\s*[,:\]}]|[,:\[{]\s*["']""")
_BEFORE_COMMENT = frozenset(" \t\r\n,{}[]\"'") | frozenset("0123456789")


class NotJson(ValueError):
    """A text is no JSON, and none can be made of it without guessing; the message says why."""


class RefusedJson(NotJson):
    """It is JSON, but of a kind that readers take differently: it is not mended either."""


def read_json(text: str) -> Any:
    """Return the value of a text that is JSON.

    Raises:
        RefusedJson: A key stands twice in one object, or it is too deep, or a number too large.
        NotJson: It is none.
    """
    try:
        value = _decode(text)
    except RecursionError:
        raise RefusedJson(f"more than {MOST_DEPTH} levels") from None
    except msgspec.ValidationError:
        raise RefusedJson("a number that is too large") from None
    except (msgspec.DecodeError, UnicodeError):
        raise NotJson("text that is no JSON") from None
    if text.count(":") != _colons_in(value) or "\\u" in text:
        _check_keys(text)
    return value


def _colons_in(value: Any) -> int:
    """Return how many colons a text has whose value this is, unless a key stands in it twice.

    A colon follows each key, and others stand within strings; a key that was overwritten leaves
    its own out. That is four times as fast as to look at the keys one by one (2 µs, 20 fields).
    """
    colons = depth = 0
    level = [value]
    while level:
        depth += 1
        if depth > MOST_DEPTH:
            raise RefusedJson(f"more than {MOST_DEPTH} levels")
        following: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is str:
                colons += item.count(":")
            elif kind is dict:
                colons += len(item) + "".join(item).count(":")
                following.extend(item.values())
            elif kind is list:
                following.extend(item)
            elif kind is int and not _LEAST_WHOLE <= item <= _MOST_WHOLE:
                raise RefusedJson("a number that is too large")
        level = following
    return colons


def _check_keys(text: str) -> None:
    def members(pairs: list[tuple[str, Any]]) -> None:
        if len({name for name, _ in pairs}) < len(pairs):
            raise RefusedJson("a key that stands twice in one object")

    try:
        json.loads(text, object_pairs_hook=members)
    except RecursionError:
        raise RefusedJson(f"more than {MOST_DEPTH} levels") from None


def mend_json(text: str) -> Any:
    """Return the value of the JSON that stands in a text which is none itself.

    >>> mend_json('<think>Two?</think> Here it is: {"bags": 2, /* checked */}')
    {'bags': 2}

    Raises:
        NotJson: There is none, there are two, it is cut off, or something would be lost or made up.
    """
    if len(text) > MOST_MENDED:
        raise NotJson(f"text of {len(text)} characters that is no JSON")
    text = _inside_fence(_without_thoughts(text.removeprefix("\ufeff")).strip())
    bare = _without_comments(text)
    for attempt in (text, bare, _SPARE_COMMA.sub(r"\1\2", bare)):
        try:
            return read_json(attempt)
        except RefusedJson:
            raise
        except NotJson:
            text = attempt
    found = _only_one(text)
    return _repaired(_part_of(text)) if found is None else found[0]


def _without_thoughts(text: str) -> str:
    """Leave out what a model thought before it answered."""
    while thought := _THOUGHT.match(text):
        text = text[thought.end() :]
    if _OPEN_THOUGHT.match(text):
        raise NotJson("thoughts without an answer")
    if not text.lstrip().startswith(("{", "[")):
        ends = list(_END_OF_THOUGHT.finditer(text))
        text = text[ends[-1].end() :] if ends else text
    return text


def _inside_fence(text: str) -> str:
    """Return what stands in the only code block, if the JSON does not begin before it."""
    opening, fence = _OPENING.search(text), text.find("```")
    if fence < 0 or (opening is not None and opening.start() < fence):
        return text
    blocks = _FENCED.findall(text)
    if not blocks:
        opened = _OPEN_FENCE.search(text)
        return text[opened.end() :].strip() if opened else text
    blocks = [block.strip() for block in blocks if _OPENING.search(block)] or blocks
    if len(set(blocks)) > 1:
        raise NotJson("several code blocks")
    return str(blocks[0]).strip()


def _distinct(texts: Iterable[str]) -> Iterator[Any]:
    """Yield the values of those that are JSON, each once."""
    seen: list[Any] = []
    for text in texts:
        try:
            value = read_json(text)
        except RefusedJson:
            raise
        except NotJson:
            continue
        if value not in seen:
            seen.append(value)
            yield value


def _without_comments(text: str) -> str:
    """Leave out `//`, `#` and `/* */` where they stand outside strings."""
    kept: list[str] = []
    place, quote, is_value_next = 0, "", True
    while place < len(text):
        char = text[place]
        if quote:
            step = 2 if char == "\\" else 1
            kept.append(text[place : place + step])
            quote = "" if char == quote else quote
            place += step
            continue
        if end := _end_of_comment(text, place):
            kept.append(" ")
            place = end
            continue
        if char == '"' or (char == "'" and is_value_next):
            quote = char
        if not char.isspace():
            is_value_next = char in "{[,:"
        kept.append(char)
        place += 1
    return "".join(kept)


def _end_of_comment(text: str, place: int) -> int:
    """Return where the comment ends that begins at `place`; 0 where none does."""
    two = text[place : place + 2]
    if two == "/*":
        end = text.find("*/", place + 2)
        return end + 2 if end >= 0 else 0
    if two != "//" and text[place] != "#":
        return 0
    if place and text[place - 1] not in _BEFORE_COMMENT:
        return 0  # as in `http://` without quotes
    end = text.find("\n", place)
    return len(text) if end < 0 else end


def _only_one(text: str) -> tuple[Any] | None:
    """Return the one object in a text, or its one array; None where neither is whole JSON.

    Raises:
        NotJson: There are two.
    """
    regions = _regions(text)
    outside = text
    for region in regions:
        outside = outside.replace(region, " ", 1)
    if regions and (_NAME.search(outside) or set(outside) & set("[]{}")):
        raise NotJson("JSON with a bracket too many or one missing")
    values = list(_distinct(regions))
    if any(map(_is_broken, regions)):
        return None
    objects = [value for value in values if isinstance(value, dict)]
    chosen = objects or values
    if len(chosen) > 1:
        raise NotJson("several JSON values")
    return (chosen[0],) if chosen else None


def _is_broken(text: str) -> bool:
    """Whether a part in brackets is meant to be JSON and is none, unlike `[as asked]` in prose."""
    if not set(text) & {'"', ":"}:
        return False
    try:
        read_json(text)
    except NotJson:
        return True
    return False


def _regions(text: str) -> list[str]:
    """Return the parts of a text between outermost brackets that fit."""
    found, place = [], 0
    for _ in range(_MOST_PARTS):
        opening = _OPENING.search(text, place)
        end = 0 if opening is None else _closed_at(text, opening.start())
        if opening is None or not end:  # what stands in an open bracket is only a part
            break
        found.append(text[opening.start() : end])
        place = end
    return found


def _closed_at(text: str, start: int) -> int:
    """Return where the bracket is closed that opens at `start`; 0 where it is not."""
    depth, place = 0, start
    while place < len(text):
        char = text[place]
        if char == '"':
            string = _STRING.match(text, place)
            if string is None:
                return 0
            place = string.end()
            continue
        if char in "[{":
            depth += 1
            if depth > MOST_DEPTH:
                raise RefusedJson(f"more than {MOST_DEPTH} levels")
        elif char in "]}":
            depth -= 1
            if not depth:
                return place + 1
        place += 1
    return 0


def _part_of(text: str) -> str:
    """Return the part of a text that is repaired: between its first bracket and its last."""
    opening = _OPENING.search(text)
    if opening is None:
        raise NotJson("text that is no JSON")
    if '"' in text[: opening.start()]:
        raise NotJson("JSON whose first bracket is missing")
    end = max(text.rfind("}"), text.rfind("]")) + 1
    part = text[opening.start() : end] if end > opening.start() else text[opening.start() :].strip()
    rest = text[end:] if end > opening.start() else ""
    if '"' in rest:  # a value goes on behind the last bracket
        part = text[opening.start() :].strip()
    if not part.endswith(("}", "]", '"')) or '"' in _STRING.sub("", part):
        raise NotJson("JSON that is cut off, or lacks a quotation mark")
    return part


def _check_brackets(text: str) -> None:
    """Refuse what is deep, or has many brackets without another: json-repair takes minutes then."""
    opened: list[str] = []
    odd = 0
    for char in text:
        if char in "[{":
            opened.append("]" if char == "[" else "}")
            if len(opened) > MOST_DEPTH:
                raise RefusedJson(f"more than {MOST_DEPTH} levels")
        elif char in "]}":
            if opened and opened[-1] == char:
                opened.pop()
            else:
                odd += 1
    if odd + len(opened) > _MOST_PARTS:
        raise NotJson("JSON whose brackets do not fit")


def _repaired(part: str) -> Any:
    """Return what json-repair makes of a part, if it holds just what the part holds."""
    if _NO_NUMBER.search(_STRING.sub('""', part)):
        raise RefusedJson("a number that JSON has none for (NaN, Infinity)")
    _check_brackets(part)
    try:
        value = _repairer()(_PAIR.sub(_joined, part), skip_json_loads=True)
    except (ValueError, RecursionError, ArithmeticError):
        raise NotJson("JSON that cannot be repaired") from None
    if not isinstance(value, dict | list):
        raise NotJson("text that is no JSON")
    _colons_in(value)
    scalars = list(_scalars(value))
    if "Infinity" in scalars or "-Infinity" in scalars:
        raise RefusedJson("a number that is too large")
    source = _unescaped(part)
    is_same = _tokens(source) == [token for one in scalars for token in _tokens(one)]
    if not is_same or not all(_is_said(one, source) for one in scalars):
        raise NotJson("JSON that cannot be repaired without a loss")
    return value


def _is_said(text: str, source: str) -> bool:
    """Whether a text with signs of JSON stood so between quotation marks, and has no seam.

    A quotation mark beside a comma or colon may have ended the text before.
    """
    if not _SIGNS.intersection(text):
        return True
    if _SEAM.search(text):
        return False
    text, source = " ".join(text.replace("\\", "").split()), " ".join(source.split())
    return f'"{text}"' in source or f"'{text}'" in source


@cache
def _repairer() -> Any:
    """Return json-repair's reader; imported late, since most answers never need it."""
    import json_repair

    return json_repair.loads


def _joined(found: re.Match[str]) -> str:
    """Return the character that two escapes stand for together; json-repair leaves them two."""
    return str(json.loads(f'"{found[0]}"')) if len(found[0]) == 12 else found[0]


def _scalars(value: Any) -> Iterator[str]:
    """Yield every key and every value of a JSON value as text, in its order."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from _scalars(item)
    elif isinstance(value, list):
        for item in value:
            yield from _scalars(item)
    elif isinstance(value, str):
        yield value
    else:
        yield json.dumps(value)


def _unescaped(text: str) -> str:
    """Return a text with its escapes as what they stand for; those of whitespace as a space."""

    def meant(found: re.Match[str]) -> str:
        said = found[1]
        if len(said) == 5:
            return chr(int(said[1:], 16))
        return " " if said in "nrtbf" else said

    text = _ESCAPE.sub(meant, text)
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _tokens(text: str) -> list[str]:
    """Return the numbers of a text and all its other characters but those that JSON is made of."""
    return [_number(token) for token in _TOKEN.findall(_NOTHING.sub("null", text).casefold())]


def _number(token: str) -> str:
    """Return one spelling for all of a number; one with zeros in front is no number."""
    digits = token.lstrip("+-")
    if not digits[:1].isdecimal() and not (digits.startswith(".") and len(digits) > 1):
        return token
    if digits[0] == "0" and digits[1:2].isdecimal():
        return token
    return repr(float(token)) if set(digits) & set(".e") else token.removeprefix("+")
