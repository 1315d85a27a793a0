"""Which combinations of what inputs are like production has, and a suite lacks. Pure.

Combinatorial coverage (Kuhn, Kacker and Lei 2013): most faults show with one or two properties
together, few need more. What counts is not how many combinations there are, but how much of the
traffic comes with one that no case has.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any, Literal

import msgspec

Row = Mapping[str, Any]
"""What one input is like: property → value. A property that is a tag is there or is not."""
Kind = Literal["values", "ranges", "lengths"]

MISSING = "none"
OTHER = "other"
TAG = "tag:"
MOST_GAPS = 100
_EXAMPLES = 3
_TEXTS = 0.5
"""Where more than this part of a property's values are different texts, their lengths count."""

Bin = Callable[[Any], str]


class Property(msgspec.Struct, frozen=True, kw_only=True):
    """One property of inputs, and the parts that its values fall into.

    Attributes:
        kind: `values`; `ranges` of numbers; `lengths` of texts.
        parts: Part → share of the traffic (0-1).
        missing: The parts that no case has.
    """

    name: str
    kind: Kind
    parts: dict[str, float]
    missing: tuple[str, ...]


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """A combination that production has, and no case.

    Attributes:
        parts: Property → the part that its value is in.
        share: Of the traffic (0-1) that comes with it.
        like: Ids of some requests with it.
    """

    parts: dict[str, str]
    share: float
    requests: int
    like: tuple[str, ...] = ()


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """How much of what production asks a suite asks too.

    Attributes:
        ways: How many properties are combined.
        combinations, covered: How many different ones production has, and how many the suite has.
        share: Of all combinations in the traffic, each as often as it comes, those covered (0-1).
        requests_share: Share (0-1) of requests of which every combination is covered.
        gaps: The largest first; `more` are left out.
        unseen: How many combinations of the suite production does not have.
    """

    ways: int
    requests: int
    cases: int
    properties: tuple[Property, ...] = ()
    combinations: int = 0
    covered: int = 0
    share: float | None = None
    requests_share: float | None = None
    gaps: tuple[Gap, ...] = ()
    more: int = 0
    unseen: int = 0


_Facts = tuple[str, ...]


def coverage_of(
    production: Sequence[Row],
    suite: Sequence[Row],
    *,
    ids: Sequence[str] = (),
    ways: int = 2,
    bins: int = 4,
    most_values: int = 12,
    most_gaps: int = MOST_GAPS,
) -> Coverage:
    """Return which combinations production has and a suite lacks, the most frequent first.

    Args:
        production: What requests are like.
        suite: What cases are like.
        ids: Of the requests, in their order, to be named as examples.
        ways: How many properties are combined: 1 for single ones, 2 for pairs.
        bins: Into how many ranges numbers are cut, each with the same share of the traffic.
        most_values: Most values of a property that are told apart; the rarer are `other`.
        most_gaps: Most gaps that are returned.

    >>> rows = [{"plan": "paid", "lang": "de"}] * 3 + [{"plan": "free", "lang": "en"}]
    >>> found = coverage_of(rows, rows[:1])
    >>> found.share, found.gaps[0].parts
    (0.75, {'lang': 'en', 'plan': 'free'})
    """
    if not production:
        return Coverage(ways=ways, requests=0, cases=len(suite))
    properties = _properties(production, bins, most_values)
    ways, names = min(ways, len(properties)), sorted(properties)
    asked = [tuple(properties[name][1](row.get(name)) for name in names) for row in production]
    cases = {tuple(properties[name][1](row.get(name)) for name in names) for row in suite}
    known = {one for case in cases for one in _combined(case, ways)}
    counts, inside = _count(asked, known, ways)
    total = sum(counts.values())
    missing = sorted(counts.keys() - known, key=lambda one: (-counts[one], one))
    shown = missing[:most_gaps]
    examples = _examples(asked, ids, set(shown), ways)
    return Coverage(
        ways=ways,
        requests=len(production),
        cases=len(suite),
        properties=tuple(_told(names, asked, cases, properties)),
        combinations=len(counts),
        covered=len(counts) - len(missing),
        share=sum(counts[one] for one in counts.keys() & known) / total if total else None,
        requests_share=inside / len(asked),
        gaps=tuple(_gap(one, names, counts[one], len(asked), examples) for one in shown),
        more=len(missing) - len(shown),
        unseen=len(known - counts.keys()),
    )


_Combination = tuple[tuple[int, str], ...]


def _gap(
    one: _Combination,
    names: Sequence[str],
    count: int,
    requests: int,
    examples: Mapping[_Combination, Sequence[str]],
) -> Gap:
    parts = {names[place]: part for place, part in one}
    like = tuple(examples.get(one, ()))
    return Gap(parts=parts, share=count / requests, requests=count, like=like)


def _combined(facts: _Facts, ways: int) -> Iterable[_Combination]:
    return combinations(tuple(enumerate(facts)), ways)


def _count(
    asked: Iterable[_Facts], known: set[_Combination], ways: int
) -> tuple[Counter[_Combination], int]:
    """Return how many requests come with each combination, and how many with covered ones alone."""
    counts: Counter[_Combination] = Counter()
    inside = 0
    for facts, n in Counter(asked).items():
        found = list(_combined(facts, ways))
        for one in found:
            counts[one] += n
        inside += n * all(one in known for one in found)
    return counts, inside


def _examples(
    asked: Sequence[_Facts], ids: Sequence[str], wanted: set[_Combination], ways: int
) -> dict[_Combination, list[str]]:
    examples: dict[_Combination, list[str]] = {}
    left = set(wanted)
    for facts, id in zip(asked, ids, strict=False):
        if not left:
            break
        for one in _combined(facts, ways):
            if one in left:
                examples.setdefault(one, []).append(id)
                if len(examples[one]) >= _EXAMPLES:
                    left.discard(one)
    return examples


def _told(
    names: Sequence[str],
    asked: Sequence[_Facts],
    cases: Iterable[_Facts],
    properties: Mapping[str, tuple[Kind, Bin]],
) -> Iterable[Property]:
    for place, name in enumerate(names):
        counts = Counter(facts[place] for facts in asked)
        there = {facts[place] for facts in cases}
        yield Property(
            name=name,
            kind=properties[name][0],
            parts={part: n / len(asked) for part, n in counts.most_common()},
            missing=tuple(part for part, _ in counts.most_common() if part not in there),
        )


def proposed(coverage: Coverage, n: int) -> tuple[str, ...]:
    """Return the requests that would close the most, at most n, the best first.

    Each is the one with the largest share of gaps that none before it closes (greedy set cover).
    """
    closes: dict[str, set[int]] = {}
    for place, gap in enumerate(coverage.gaps):
        for id in gap.like:
            closes.setdefault(id, set()).add(place)
    open_ = set(range(len(coverage.gaps)))
    chosen: list[str] = []
    while open_ and len(chosen) < n:
        gains = {
            id: math.fsum(coverage.gaps[place].share for place in places & open_)
            for id, places in closes.items()
        }
        best = max(sorted(gains), key=gains.__getitem__, default="")
        if not best or not gains[best]:
            break
        chosen.append(best)
        open_ -= closes.pop(best)
    return tuple(chosen)


# What values fall into.


def _properties(
    production: Sequence[Row], bins: int, most_values: int
) -> dict[str, tuple[Kind, Bin]]:
    """Return each property that tells requests apart, with what puts a value into a part."""
    names = Counter(name for row in production for name in row)
    tags = [name for name, _ in names.most_common() if name.startswith(TAG)][:most_values]
    found: dict[str, tuple[Kind, Bin]] = {}
    for name in [*tags, *(name for name in names if not name.startswith(TAG))]:
        values = [row.get(name) for row in production]
        kind, put = _binned(values, bins, most_values)
        if len({put(value) for value in values}) > 1:
            found[name] = (kind, put)
    return found


def _binned(values: Sequence[Any], bins: int, most_values: int) -> tuple[Kind, Bin]:
    there = [value for value in values if value is not None]
    words = Counter(map(_word, there))
    if len(words) > most_values and all(map(_is_number, there)):
        return "ranges", _Ranges(there, bins)
    texts = [value for value in there if isinstance(value, str)]
    if len(words) > most_values and len(texts) == len(there) and _are_texts(words, len(there)):
        return "lengths", _Lengths(texts, bins)
    if len(words) <= most_values:
        return "values", _Values(words)
    common = words.most_common(most_values)
    return "values", _Values(dict(common))


def _are_texts(words: Counter[str], n: int) -> bool:
    return len(words) > _TEXTS * n


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _word(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


class _Values:
    """Each value is a part; what production hardly has is `other`."""

    def __init__(self, known: Iterable[str]) -> None:
        self._known = frozenset(known)

    def __call__(self, value: Any) -> str:
        if value is None:
            return MISSING
        word = _word(value)
        return word if word in self._known else OTHER


class _Ranges:
    """Numbers in ranges, each with about the same share of the traffic."""

    unit = ""

    def __init__(self, values: Sequence[float], bins: int) -> None:
        ordered = sorted(values)
        cuts = (ordered[len(ordered) * k // bins] for k in range(1, bins))
        self._edges = sorted(set(cuts))

    def __call__(self, value: Any) -> str:
        if value is None:
            return MISSING
        if not _is_number(value):
            return OTHER
        edges, place = self._edges, bisect_left(self._edges, value)
        if place == 0:
            return f"up to {edges[0]:g}{self.unit}"
        if place == len(edges):
            return f"above {edges[-1]:g}{self.unit}"
        return f"{edges[place - 1]:g} to {edges[place]:g}{self.unit}"


class _Lengths(_Ranges):
    """Texts by how long they are."""

    unit = " characters"

    def __init__(self, texts: Sequence[str], bins: int) -> None:
        super().__init__([len(text) for text in texts], bins)

    def __call__(self, value: Any) -> str:
        if value is None:
            return MISSING
        return super().__call__(len(value)) if isinstance(value, str) else OTHER
