"""Curves over a number: risk by threshold, evidence by audit, labels by bound, hits by confidence.

A curve is drawn as `charts` draws time: the plot stretches, the words do not, and its numbers stand
below it as a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from . import svg
from .plots import (
    BOTTOM,
    HEIGHT,
    TOP,
    Goal,
    Place,
    Plot,
    Show,
    Tick,
    Value,
    Words,
    alternative,
    figure,
    finite,
    runs,
    shown,
)


class Curve(NamedTuple):
    """One line: what it is, its places in order, and the class it is drawn with."""

    name: str
    points: Sequence[tuple[float, Value]]
    cls: str = "line"


class Mark(NamedTuple):
    """A place with a word: the class of its dot, and of its word, so many pixels above it."""

    x: float
    y: float
    text: str
    cls: str = "dot"
    text_cls: str = "note"
    above: int = 12


class Span(NamedTuple):
    """From where to where a value at `x` may truly lie."""

    x: float
    low: float
    high: float


def curve_chart(
    words: Words,
    curves: Sequence[Curve],
    *,
    show_x: Show,
    show_y: Show,
    x_ticks: Sequence[Tick] = (),
    goal: Goal | None = None,
    marks: Sequence[Mark] = (),
    spans: Sequence[Span] = (),
    is_band: bool = False,
) -> Markup:
    """Return a figure of some curves on one ground, with words at places.

    Args:
        words: The caption.
        curves: At most four; each place is a row of the numbers, each curve a column.
        show_x: Writes a place in the table of numbers.
        show_y: Writes a value, with its unit.
        x_ticks: Places on the axis with their words.
        goal: What is promised, as a dotted line.
        marks: Places with words, drawn above the lines.
        spans: Intervals, drawn upright behind the lines.
        is_band: Whether the room between the first two curves is tinted.
    """
    clean = [[(x, finite(y)) for x, y in curve.points] for curve in curves]
    places = [x for points in clean for x, _ in points] + [tick for tick, _ in x_ticks]
    values = [y for points in clean for _, y in points]
    tops = [*values, *(mark.y for mark in marks), *(span.high for span in spans)]
    plot = Plot(places, tops, goal, show_y)
    if is_band:
        _tint(plot, clean[0], clean[1])
    for span in spans:
        plot.path([(span.x, span.low), (span.x, span.high)], "line thin")
    for curve, points in zip(curves, clean, strict=True):
        for run in runs(points):
            if curve.cls == "dots" or len(run) == 1:
                for place in run:
                    plot.dot(place, "dot")
            else:
                plot.path(run, curve.cls)
    for mark in marks:
        _mark(plot, mark)
    plot.axis(x_ticks)
    picture = Markup('<div class="curve">{}</div>').format(plot.svg(alternative(words, goal)))
    return figure(words, picture, [curve.name for curve in curves], _rows(clean, show_x, show_y))


def _rows(
    clean: Sequence[Sequence[tuple[float, Value]]], show_x: Show, show_y: Show
) -> list[tuple[str, list[Markup | str]]]:
    by_curve = [dict(points) for points in clean]
    places = sorted({x for points in clean for x, _ in points})
    return [(show_x(x), [shown(found.get(x), show_y) for found in by_curve]) for x in places]


def _tint(
    plot: Plot, one: Sequence[tuple[float, Value]], other: Sequence[tuple[float, Value]]
) -> None:
    """Tint the room between two curves, as far as both are known."""
    above: list[Place] = [(x, y) for x, y in one if y is not None]
    below: list[Place] = [(x, y) for x, y in other if y is not None]
    if len(above) > 1 and len(below) > 1:
        plot.path([*above, *reversed(below)], "band")


def _mark(plot: Plot, mark: Mark) -> None:
    plot.dot((mark.x, mark.y), mark.cls)
    left = plot.x(mark.x)
    anchor = "end" if left > 60 else "start" if left < 15 else "middle"
    y = min(max(plot.y(mark.y) - mark.above, TOP), HEIGHT - BOTTOM - 4)
    plot.words.append(svg.words_at(f"{mark.text_cls} {anchor} halo", svg.pc(left), y, mark.text))
