"""Scorers that compare an output with what was expected, by its words and numbers alone."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ...declare.evaluation import ScorerEntry
from ...errors import DeclarationError
from ..asked import Asked
from ..cases import Case
from ..paths import JsonPath, compile_path
from ..patterns import Pattern
from ..scorer import Score, ScoringGround
from .reading import (
    Compared,
    expected_of,
    folding,
    is_equal,
    is_set,
    json_of,
    no_answer,
    not_asked,
    number_of,
    numbers_in,
    quoted,
    rated,
    texts_of,
    version_of,
    whole_of,
)

NEAREST = ("any", "first", "last", "only")
"""Which number of a text counts: `options.number`."""


class Exact:
    """The output equals what was expected: 1 or 0.

    Values are compared as JSON: 1 is 1.0, and neither is true. Of an expected object only the named
    keys count, at every depth. Of a prediction with a label, the label does where no object is
    expected. A text that holds JSON counts as that where an object or a list is expected.
    """

    is_dear = False

    def __init__(self, entry: ScorerEntry, ground: ScoringGround) -> None:
        self.name = entry.name
        self.version = version_of(entry, 1)
        self._compared = Compared(entry)
        self._fold = folding(entry)

    def score(self, case: Case, asked: Asked) -> Score:
        """Return 1 where they are equal, else 0; nothing where nothing was expected."""
        expect = expected_of(case, self.name)
        if expect is None:
            return not_asked("`expect`")
        if (missing := no_answer(asked)) is not None:
            return missing
        got = self._compared.of(asked)
        if isinstance(expect, dict | list):
            got = json_of(got) if isinstance(got, str) else got
        elif isinstance(got, dict) and "label" in got:
            got = got["label"]
        is_right = is_equal(expect, got, self._fold)
        return rated(float(is_right), None, f"expected {quoted(expect)}, got {quoted(got)}")


class Regex:
    """A part of the text matches the pattern that the case expects, or all of several: 1 or 0."""

    is_dear = False

    def __init__(self, entry: ScorerEntry, ground: ScoringGround) -> None:
        self.name = entry.name
        self.version = version_of(entry, 1)
        self._compared = Compared(entry)
        self._ignore_case = entry.ignore_case

    def score(self, case: Case, asked: Asked) -> Score:
        """Return 1 where it matches, else 0; nothing where the case holds no usable pattern."""
        sources = texts_of(expected_of(case, self.name))
        if not sources:
            return not_asked("a regular expression")
        try:
            patterns = [_pattern(source, self._ignore_case) for source in sources]
        except DeclarationError as error:
            return Score(None, None, str(error))
        if (missing := no_answer(asked)) is not None:
            return missing
        text = self._compared.text(asked)
        failed = [pattern.source for pattern in patterns if not pattern.matches(text)]
        why = f"{quoted(text)} does not match {quoted(failed[0])}" if failed else ""
        return rated(float(not failed), None, why)


@lru_cache(1024)
def _pattern(source: str, ignore_case: bool) -> Pattern:
    return Pattern(source, ignore_case=ignore_case)


class Contains:
    """The text holds all that is expected and nothing that must not be there: the share kept.

    Expected is a text, a list of texts, or `{"all": […], "any": […], "not": […]}`.
    """

    is_dear = False

    def __init__(self, entry: ScorerEntry, ground: ScoringGround) -> None:
        self.name = entry.name
        self.version = version_of(entry, 1)
        self._at_least = entry.at_least
        self._compared = Compared(entry)
        self._fold = folding(entry)

    def score(self, case: Case, asked: Asked) -> Score:
        """Return the share of the conditions that hold; nothing where the case states none."""
        wanted = _conditions(expected_of(case, self.name))
        if wanted is None:
            return not_asked('a text, a list of texts, or `{"all", "any", "not"}`')
        if (missing := no_answer(asked)) is not None:
            return missing
        text = self._fold(self._compared.text(asked))
        every, some, none = ([self._fold(part) for part in parts] for parts in wanted)
        broken = [f"{quoted(part)} is missing" for part in every if part not in text]
        broken += [f"{quoted(part)} is there" for part in none if part in text]
        if some and not any(part in text for part in some):
            broken.append(f"none of {quoted(some)} is there")
        count = len(every) + len(none) + bool(some)
        return rated(1 - len(broken) / count, self._at_least, "; ".join(broken[:3]))


def _conditions(expect: Any) -> tuple[list[str], list[str], list[str]] | None:
    if isinstance(expect, dict):
        if not expect or not expect.keys() <= {"all", "any", "not"}:
            return None
        every, some, none = (texts_of(expect.get(key, [])) for key in ("all", "any", "not"))
    else:
        every, some, none = texts_of(expect), [], []
    if every is None or some is None or none is None or not (every or some or none):
        return None
    return every, some, none


class Number:
    """The number is as near to the expected one as `tolerance` says: 1 or 0; measured is how far.

    Of a text any of its numbers may be it; `options.number` says `first`, `last` or `only` where
    that is too kind.

    Raises:
        DeclarationError: `options.number` is something else.
    """

    is_dear = False

    def __init__(self, entry: ScorerEntry, ground: ScoringGround) -> None:
        self.name = entry.name
        self.version = version_of(entry, 1)
        self._compared = Compared(entry)
        self._tolerance = entry.tolerance or 0.0
        self._is_relative = entry.is_relative
        self._which = entry.options.get("number", "any")
        if self._which not in NEAREST:
            raise DeclarationError(
                f"scorer `{entry.name}`: expected `options.number` to be one of "
                f"{', '.join(NEAREST)}, got {quoted(self._which)}"
            )

    def score(self, case: Case, asked: Asked) -> Score:
        """Return 1 where it is near enough; nothing where the case expects no number."""
        expect = number_of(expected_of(case, self.name))
        if expect is None:
            return not_asked("a number")
        if (missing := no_answer(asked)) is not None:
            return missing
        numbers = self._numbers(self._compared.of(asked))
        if not numbers:
            return Score(0.0, False, f"expected {expect:g}, got no number")
        off = min(abs(number - expect) for number in numbers)
        bound = self._tolerance * (abs(expect) if self._is_relative else 1)
        # What was written with decimals is compared so: 0.3 is 0.1 + 0.2.
        is_right = off <= bound + 1e-12 * max(abs(expect), bound)
        return rated(float(is_right), None, f"expected {expect:g}, off by {off:g}", off)

    def _numbers(self, value: Any) -> list[float]:
        if isinstance(value, dict):
            value = next((value[key] for key in ("text", "value", "label") if key in value), None)
        single = number_of(value)
        if single is not None:
            return [single]
        numbers = numbers_in(value) if isinstance(value, str) else []
        if self._which == "any":
            return numbers
        if self._which == "only":
            return numbers if len(set(numbers)) == 1 else []
        return numbers[:1] if self._which == "first" else numbers[-1:]


class AtPath:
    """What lies at paths of the output is as expected: the share of the paths that lead to it.

    With `path`, the case expects its value; without, a table of path → value. A path with `[*]`
    gives the list of all that it finds.
    """

    is_dear = False

    def __init__(self, entry: ScorerEntry, ground: ScoringGround) -> None:
        self.name = entry.name
        self.version = version_of(entry, 1)
        self._at_least = entry.at_least
        self._path = None if entry.path is None else compile_path(entry.path)
        self._fold = folding(entry)

    def score(self, case: Case, asked: Asked) -> Score:
        """Return the share that is as expected; nothing where the case names none."""
        try:
            wanted = self._wanted(expected_of(case, self.name))
        except DeclarationError as error:
            return Score(None, None, str(error))
        if not wanted:
            return not_asked("a value, or a table of path and value,")
        if (missing := no_answer(asked)) is not None:
            return missing
        output = whole_of(asked)
        output = json_of(output) if isinstance(output, str) else output
        if not is_set(output):
            return Score(0.0, False, "expected JSON, got text that is none")
        broken = []
        for path, expect in wanted:
            found = path.find(output)
            got: Any = found if not path.is_single else found[0] if found else None
            if not (found or not path.is_single) or not is_equal(expect, got, self._fold):
                broken.append(f"`{path.source}`: expected {quoted(expect)}, got {quoted(got)}")
        return rated(1 - len(broken) / len(wanted), self._at_least, "; ".join(broken[:3]))

    def _wanted(self, expect: Any) -> list[tuple[JsonPath, Any]]:
        if self._path is not None:
            return [] if expect is None else [(self._path, expect)]
        if not isinstance(expect, dict):
            return []
        return [(_path(source), value) for source, value in expect.items()]


_path = lru_cache(1024)(compile_path)
