"""What differs between two releases: numbers side by side, files by line, values, environment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from ..evaluate.report import Metric, Report, Unit
from ..release.compare import Comparison
from ..release.environment import Environment
from ..release.registry import Manifest
from . import measures
from .evaluation_page import cut
from .release_figures import Changed, Line, SideBySide

MOST_LINES = 120
"""Lines of one file's difference that a page shows."""
MOST_FILES = 12
MOST_VALUES = 40
MOST_PACKAGES = 40
MOST_OF_A_LINE = 300
MOST_OF_A_VALUE = 120
_MEASURED: tuple[Unit, ...] = ("ms", "usd", "tokens")


def sides_of(
    compared: Comparison | None, a: Report | None, b: Report | None
) -> Iterator[SideBySide]:
    """Yield latency, cost and tokens of both: as measured while they served, and on cases."""
    for one in compared.figures if compared is not None else ():
        if one.a or one.b:
            yield _side(one.name, one.unit, one.a, one.b)
    before = a.metrics if a else {}
    for name, metric in b.metrics.items() if b else ():
        if metric.unit in _MEASURED:
            other = before.get(name)
            value = other.value if other else None
            yield _side(f"{name}, on cases", metric.unit, value, metric.value, metric)


def _side(
    name: str, unit: Unit, a: float | None, b: float | None, of: Metric | None = None
) -> SideBySide:
    difference = ""
    if a is not None and b is not None:
        difference = measures.difference(b - a, unit)
    interval, n = "", ""
    if of is not None:
        n = f"{of.n:,}"
        if of.low is not None and of.high is not None:
            interval = measures.measured_span(of.low, of.high, unit)
    return SideBySide(
        name=measures.word_of(name),
        a="" if a is None else measures.measure(a, unit),
        b="" if b is None else measures.measure(b, unit),
        difference=difference,
        interval=interval,
        n=n,
    )


def changes_of(compared: Comparison | None, a: Manifest, b: Manifest) -> Iterator[Changed]:
    """Yield what differs in files, prompts, schemas, contracts, guards and declared values.

    Without a full comparison it is what both releases say that they are made of.
    """
    if compared is None:
        yield from _of_facts(a.facts, b.facts)
        return
    for prompt in compared.prompts:
        if prompt.static:
            yield file_changed(f"{prompt.file}, the same in each call", prompt.static)
        yield _value_changed(f"version of {prompt.file}", prompt.a or None, prompt.b or None)
        for value in prompt.values:
            yield _value_changed(f"{value.kind} {value.name} of {prompt.file}", value.a, value.b)
    for text in compared.texts[:MOST_FILES]:
        yield file_changed(text.file, text.diff, is_cut=text.is_cut)
    for one in [*compared.declared, *compared.parts][:MOST_VALUES]:
        part = one.name if one.kind == "key" else f"{one.kind} {one.name}"
        yield _value_changed(part, one.a, one.b)


def file_changed(name: str, diff: str, *, is_cut: bool = False) -> Changed:
    r"""Return the difference of a file, from its unified diff.

    >>> found = file_changed("a.txt", "--- a\n+++ b\n@@ -1 +1 @@\n-old\n+new\n same")
    >>> [(line.kind, line.text) for line in found.lines]
    [('hunk', '@@ -1 +1 @@'), ('minus', '-old'), ('plus', '+new'), ('same', ' same')]
    """
    every = [one for one in diff.split("\n") if one and not one.startswith(("--- ", "+++ "))]
    lines = tuple(Line(kind=_kind(one), text=cut(one, MOST_OF_A_LINE)) for one in every)
    return Changed(
        part=name,
        before="",
        after="",
        lines=lines[:MOST_LINES],
        is_cut=is_cut or len(lines) > MOST_LINES,
    )


def _kind(line: str) -> str:
    return {"+": "plus", "-": "minus", "@": "hunk"}.get(line[:1], "same")


def environment_of(a: Environment, b: Environment) -> Iterator[Changed]:
    """Yield what differs in Python, platform and packages."""
    for name in ("python", "platform"):
        before, after = getattr(a, name), getattr(b, name)
        if before != after:
            yield _value_changed(name, before, after)
    yield from _differing(a.packages, b.packages, MOST_PACKAGES)


def _of_facts(a: Mapping[str, str], b: Mapping[str, str]) -> Iterator[Changed]:
    yield from _differing(
        {name: value[:12] for name, value in a.items()},
        {name: value[:12] for name, value in b.items()},
        MOST_VALUES,
    )


def _differing(a: Mapping[str, str], b: Mapping[str, str], most: int) -> Iterator[Changed]:
    names: Sequence[str] = sorted({*a, *b})
    differing = [name for name in names if a.get(name) != b.get(name)]
    for name in differing[:most]:
        yield _value_changed(name, a.get(name), b.get(name))


def _value_changed(part: str, before: Any, after: Any) -> Changed:
    return Changed(
        part=cut(part, MOST_OF_A_VALUE),
        before=_text(before),
        after=_text(after),
        lines=(),
        is_cut=False,
    )


def _text(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return cut(text, MOST_OF_A_VALUE)
