"""What scorers share: the part of an answer that is compared, and how values are compared."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from ...declare.evaluation import ScorerEntry
from ..asked import Asked
from ..cases import Case
from ..paths import compile_path
from ..scorer import Score

MOST_QUOTED = 60
LONGEST_TEXT = 1_000_000
"""Characters of an answer that are read."""

_NUMBER = re.compile(
    r"(?<![\w.,])(?P<sign>[-+\u2212])?"
    r"(?P<digits>(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)(?P<power>[eE][-+]?\d{1,3})?"
)
_FENCED = re.compile(r"\s*```[a-zA-Z]*\s*\n(.*?)\n?```\s*", re.DOTALL)
_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder().decode

Fold = Callable[[str], str]


def version_of(entry: ScorerEntry, revision: int, *files: bytes | str) -> str:
    """Return a version that changes with anything that the entry says, and with the files it names.

    Args:
        entry: What the service says.
        revision: Of the scorer's own code.
        files: What the files hold that change its scores.
    """
    whole = hashlib.sha256(_encode(entry.model_dump(mode="json")))
    for file in files:
        content = file.encode() if isinstance(file, str) else file
        whole.update(hashlib.sha256(content).digest())
    return f"{revision}-{whole.hexdigest()[:16]}"


def expected_of(case: Case, name: str) -> Any:
    """Return what a case expects of the scorer of this name.

    Where one case is for several scorers, its expectation is a table with a key for each.
    """
    if isinstance(case.expect, dict) and name in case.expect:
        return case.expect[name]
    return case.expect


class Compared:
    """The part of an answer that is compared: what lies at `path`, or else all of it.

    Raises:
        DeclarationError: `path` is none.
    """

    def __init__(self, entry: ScorerEntry) -> None:
        self._path = None if entry.path is None else compile_path(entry.path)

    def of(self, asked: Asked) -> Any:
        """Return the part; `UNSET` where there is nothing. A path with `[*]` gives a list.

        Where the answer is a text that holds JSON, the path leads into that.
        """
        if self._path is None:
            return whole_of(asked)
        found = self._path.find(asked.output)
        if not found:
            parsed = json_of(asked.text)
            found = [] if parsed is UNSET else self._path.find(parsed)
        if self._path.is_single:
            return found[0] if found else UNSET
        return found

    def text(self, asked: Asked) -> str:
        """Return the part as text; empty where it is none. Numbers are written as in JSON."""
        return text_of(self.of(asked))


def whole_of(asked: Asked) -> Any:
    """Return an answer as what it is: a text, or JSON; `UNSET` where there is none."""
    output = asked.output
    if output is None:
        return asked.text if asked.message is not None else UNSET
    if isinstance(output, dict) and set(output) == {"text"} and isinstance(output["text"], str):
        return output["text"]
    return output


def text_of(value: Any) -> str:
    """Return a value as text: its `text`, itself, or as JSON writes it."""
    if isinstance(value, dict) and isinstance(value.get("text"), str):
        value = value["text"]
    if isinstance(value, str):
        return value[:LONGEST_TEXT]
    if value is None or value is UNSET:
        return ""
    return written(value)[:LONGEST_TEXT]


def json_of(text: str) -> Any:
    """Return the JSON that a text is, also between the fences of a code block; else `UNSET`."""
    fenced = _FENCED.fullmatch(text[:LONGEST_TEXT])
    try:
        return _decode(fenced[1] if fenced else text[:LONGEST_TEXT])
    except (ValueError, RecursionError):
        return UNSET


def written(value: Any) -> str:
    """Return a value as JSON; what JSON cannot hold is told by its type."""
    try:
        return _encode(value).decode(errors="replace")
    except (TypeError, ValueError, OverflowError, RecursionError):
        return f"<{type(value).__name__}>"


def quoted(value: Any) -> str:
    """Return a value for a message, cut short."""
    if value is UNSET:
        return "nothing"
    text = value[:MOST_QUOTED] if isinstance(value, str) else written(value)
    text = " ".join(text[: MOST_QUOTED * 2].split()).encode(errors="replace").decode()
    return f"`{text[:MOST_QUOTED]}`"


def number_of(value: Any) -> float | None:
    """Return a finite number; None where it is none. A truth is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def numbers_in(text: str) -> list[float]:
    """Return the numbers of a text in their order, with their signs.

    >>> numbers_in("From -3.5 to 1,200 (2024-05), 10-20, 1e3")
    [-3.5, 1200.0, 2024.0, 5.0, 10.0, 20.0, 1000.0]
    """
    found = []
    for part in re.split(r"(?<=\d)[-\u2013](?=\d)", text[:LONGEST_TEXT]):
        for match in _NUMBER.finditer(part):
            number = float(match["digits"].replace(",", "") + (match["power"] or ""))
            if math.isfinite(number):
                found.append(-number if match["sign"] in ("-", "\u2212") else number)
    return found


def folding(entry: ScorerEntry) -> Fold:
    """Return what makes texts alike that the entry calls the same."""

    def fold(text: str) -> str:
        text = text.casefold() if entry.ignore_case else text
        return " ".join(text.split()) if entry.ignore_space else text

    return fold


def is_equal(expect: Any, got: Any, fold: Fold = str) -> bool:
    """Return whether JSON values are the same: 1 is 1.0; of an object, only the named keys count.

    It follows what was expected, which is finite, and never recurses.

    >>> is_equal({"a": [1]}, {"a": [1.0], "b": 2}), is_equal(1, True), is_equal({"a": None}, {})
    (True, False, False)
    """
    open_pairs = [(expect, got)]
    while open_pairs:
        wanted, found = open_pairs.pop()
        if isinstance(wanted, dict):
            if not isinstance(found, dict) or not wanted.keys() <= found.keys():
                return False
            open_pairs += [(part, found[key]) for key, part in wanted.items()]
        elif isinstance(wanted, list | tuple):
            if not isinstance(found, list | tuple) or len(wanted) != len(found):
                return False
            open_pairs += zip(wanted, found, strict=True)
        elif not _is_same(wanted, found, fold):
            return False
    return True


def _is_same(wanted: Any, found: Any, fold: Fold) -> bool:
    if isinstance(wanted, str):
        return isinstance(found, str) and fold(wanted) == fold(found)
    if isinstance(wanted, bool) or wanted is None:
        return found is wanted
    is_number = isinstance(found, int | float) and not isinstance(found, bool)
    return isinstance(wanted, int | float) and is_number and wanted == found


def texts_of(value: Any) -> list[str] | None:
    """Return one text or a list of texts as a list; None where it is neither."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
        return list(value)
    return None


def no_answer(asked: Asked) -> Score | None:
    """Return the score of what is no answer: it is wrong, for something was expected."""
    if asked.is_answer:
        return None
    return Score(0.0, False, f"no answer: {asked.error_code or asked.disposition}")


def not_asked(expected: str) -> Score:
    """Return the score where a case holds nothing that the scorer could compare with."""
    return Score(None, None, f"the case expects nothing: {expected} is needed")


def rated(value: float, at_least: float | None, why: str, measured: float | None = None) -> Score:
    """Return a score that is right from `at_least` on, by default only where it is whole."""
    bar = 1.0 if at_least is None else at_least
    is_right = value >= bar
    return Score(value, is_right, "" if is_right and value == 1 else why, measured)


def is_set(value: Any) -> bool:
    """Return whether there is a value."""
    return not isinstance(value, UnsetType)
