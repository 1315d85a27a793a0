"""`roadworthy release compare`: two releases side by side."""

from __future__ import annotations

from pathlib import Path

import click

from ..app import read_project
from ..app.comparisons import compare_releases
from ..release.compare import Comparison, Differing, Figure, PromptDiff, Quality
from .common import (
    command,
    json_option,
    print_json,
    print_line,
    print_table,
    project_option,
    short_text,
    time_text,
)
from .parameters import since_option

_STYLES = {"+": "green", "-": "red", "@": "cyan"}


@click.command()
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@since_option
@project_option
@json_option
@command
def compare(a: str, b: str, since_us: int | None, folder: Path, as_json: bool) -> None:
    """Show two releases side by side: quality, latency, cost, and everything that differs.

    B may be given without the service's name.
    """
    b = b if "@" in b else f"{a.partition('@')[0]}@{b}"
    with read_project(folder) as project:
        found = compare_releases(project.state, project.artifacts, a, b, since_us=since_us or 0)
    if as_json:
        print_json(found)
        return
    _print(found)


def _print(found: Comparison) -> None:
    for letter, side in (("a", found.a), ("b", found.b)):
        serves = " (serves)" if side.is_champion else ""
        built = f"built {time_text(side.built_at_us)} by {side.by}"
        print_line(f"{letter}  {side.release}{serves}  {built}  {side.commit[:13]}", style="bold")
    print_line()
    heads = ("slice", "scorer", "n", "a", "b", "difference", "95 %")
    print_table("quality", heads, map(_quality_row, found.quality))
    figures = [_figure_row(one) for one in found.figures if (one.a, one.b) != (None, None)]
    print_table("as they served", ("figure", "a", "b"), figures)
    print_table("declared", ("key", "a", "b"), [_row(one) for one in found.declared])
    parts = [[one.kind, *_row(one)] for one in found.parts]
    print_table("made of", ("what", "name", "a", "b"), parts)
    for prompt in found.prompts:
        _print_prompt(prompt)
    for text in found.texts:
        print_line()
        for line in text.diff.splitlines():
            print_line(line, style=_STYLES.get(line[:1], ""))
        if text.is_cut:
            print_line("... the rest is left out", style="dim")
    for note in found.notes:
        print_line(note, style="yellow")


def _print_prompt(prompt: PromptDiff) -> None:
    print_line()
    versions = f"{prompt.a or 'none'} to {prompt.b or 'none'}"
    print_line(f"prompt {prompt.file}: {versions}", style="bold")
    before, after = prompt.static_characters_a, prompt.static_characters_b
    print_line(f"the same in each call: {before:,} characters before, {after:,} now")
    for line in prompt.static.splitlines():
        print_line(line, style=_STYLES.get(line[:1], ""))
    rows = [[one.kind, *_row(one)] for one in prompt.values]
    print_table("what it says of itself", ("what", "name", "a", "b"), rows)


def _row(one: Differing) -> list[str]:
    return [one.name, *("-" if value is None else short_text(value) for value in (one.a, one.b))]


def _quality_row(one: Quality) -> list[str]:
    n = str(one.n) if one.n == one.n_b else f"{one.n}, {one.n_b}"
    span = "-" if one.low is None or one.high is None else f"{one.low:+.3f} to {one.high:+.3f}"
    difference = "-" if one.difference is None else f"{one.difference:+.3f}"
    values = ["-" if value is None else f"{value:.3f}" for value in (one.a, one.b)]
    return [one.slice, f"{one.name} ({one.source})", n, *values, difference, span]


def _figure_row(one: Figure) -> list[str]:
    return [one.name, *(_value(value, one.unit) for value in (one.a, one.b))]


def _value(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    if unit == "share":
        return f"{value:.1%}"
    if unit == "usd":
        return f"${value:.6f}"
    return f"{value:,.1f} ms" if unit == "ms" else f"{value:,.4g}"
