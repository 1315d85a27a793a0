"""Pictures as inline SVG, drawn on the server: values in, safe markup out.

The plot stretches, the words do not: the outer `svg` has no viewBox, its x is in per cent and its y
in pixels, so text keeps its size from 320 to 2,000 pixels. Only paths need numbers without units;
they lie in an inner `svg` of `preserveAspectRatio="none"`, whose strokes do not scale. There are no
style attributes: colours come from classes of the style sheet.

Every picture has a text alternative, and every chart its numbers as a table. What was not measured
is None: it leaves a gap, and is never drawn as zero or bridged.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup

from . import numbers, svg
from .plots import (
    LEAST_SHARE,
    Better,
    Place,
    Plot,
    Show,
    Value,
    alternative,
    finite,
    runs,
    shown,
    total,
)
from .plots import (
    Goal as Goal,
)
from .plots import (
    Tick as Tick,
)
from .plots import (
    Words as Words,
)
from .plots import (
    figure as figure,
)
from .plots import (
    nice_ticks as nice_ticks,
)

MOST_SERIES = 4
MINI = 16
WALK = 22
ROW = 34

_SHADES = {
    "answered": "s1",
    "cached": "s3",
    "review": "s2",
    "fallback": "s4",
    "refused": "s5",
    "failed": "s6",
}


class Series(NamedTuple):
    """What one colour stands for: one value for each place on the x axis."""

    name: str
    values: Sequence[Value]


def evenly(
    found: Mapping[int, float | None], since: int, until: int, step: int
) -> list[tuple[int, Value]]:
    """Return one place for every `step` from `since` up to `until`; None where nothing was found.

    >>> evenly({0: 5.0, 20: 7.0}, 0, 30, 10)
    [(0, 5.0), (10, None), (20, 7.0)]
    """
    return [(x, found.get(x)) for x in range(since, until, step)]


def line_chart(
    words: Words,
    points: Sequence[tuple[float, Value]],
    *,
    goal: Goal | None = None,
    show_x: Show,
    show_y: Show,
    x_ticks: Sequence[Tick] = (),
    name: str = "Measured",
) -> Markup:
    """Return a figure of one line over its promise; where it breaks it, the span is shaded.

    Args:
        words: The caption.
        points: Place and value in order of place, at most about 100; None is a gap.
        goal: The promise, always drawn.
        show_x: Writes a place in the table of numbers.
        show_y: Writes a value, with its unit.
        x_ticks: Places on the axis with their words.
        name: What the values are, as the head of their column.
    """
    clean = [(x, finite(y)) for x, y in points]
    plot = Plot([x for x, _ in clean], [y for _, y in clean], goal, show_y)
    for run in runs(clean):
        if len(run) == 1:
            plot.dot(run[0], "dot")
        else:
            plot.path(run, "line")
        for over in _breaches(run, goal):
            plot.shade(over[0][0], over[-1][0])
            if len(over) > 1:
                plot.path(over, "lateline")
    plot.axis(x_ticks)
    rows = [(show_x(x), [shown(y, show_y)]) for x, y in clean]
    return figure(words, plot.svg(alternative(words, goal)), [name], rows)


def stacked_bars(
    words: Words,
    xs: Sequence[float],
    series: Sequence[Series],
    *,
    step: float,
    show_x: Show,
    show_y: Show,
    x_ticks: Sequence[Tick] = (),
    goal: Goal | None = None,
) -> Markup:
    """Return a figure of bars whose parts lie on each other, in the order of the key.

    One series needs no key: the caption says what it is. A bar begins at its place and is `step`
    wide. Beyond four series the rest is `other`. Where all of a bar's values are None, nothing was
    measured and nothing is drawn.
    """
    parts = folded(series)
    totals = [total(part.values[i] for part in parts) for i in range(len(xs))]
    ends = [*xs, xs[-1] + step] if xs else []
    plot = Plot(ends, totals, goal, show_y)
    for i, x in enumerate(xs):
        low = 0.0
        for place, part in enumerate(parts, 1):
            value = finite(part.values[i]) or 0.0
            if value > 0:
                plot.bar(x, x + step, low, low + value, f"s{place}")
                low += value
    plot.axis(x_ticks)
    names = [part.name for part in parts]
    rows = [
        (show_x(x), [shown(part.values[i], show_y) for part in parts]) for i, x in enumerate(xs)
    ]
    picture = plot.svg(alternative(words, goal))
    if len(names) > 1:
        picture = key(names) + picture
    return figure(words, picture, names, rows)


def folded(series: Sequence[Series], most: int = MOST_SERIES) -> list[Series]:
    """Return the first `most` series, and the sum of the rest as `other`.

    >>> folded([Series("a", [1]), Series("b", [2]), Series("c", [None])], most=1)
    [Series(name='a', values=[1]), Series(name='other', values=[2])]
    """
    if len(series) <= most:
        return list(series)
    rest = zip(*(part.values for part in series[most:]), strict=True)
    return [*series[:most], Series("other", [total(values) for values in rest])]


def bar_chart(
    words: Words, rows: Sequence[tuple[str, float]], *, show: Show, head: str = "Amount"
) -> Markup:
    """Return a figure of one bar for each name, longest possible name above it, from 0 on.

    Words keep their size beside a bar of any width, so the name stands over its bar.
    """
    top = max((value for _, value in rows if math.isfinite(value)), default=0.0)
    out: list[Markup] = []
    for i, (name, value) in enumerate(rows):
        y = i * ROW
        width = svg.share(value, top)
        out += [
            svg.words_at("note", "0", y + 13, name),
            svg.words_at("note end", "100%", y + 13, show(value)),
            svg.tag("rect", "room", x="0", y=y + 18, width="100%", height=8),
            svg.tag("rect", "s1", x="0", y=y + 18, width=svg.pc(width), height=8),
        ]
    picture = svg.svg("plot bars", max(len(rows), 1) * ROW, out, alternative(words, None))
    table = [(name, [show(value)]) for name, value in rows]
    return figure(words, picture, [head], table)


def shade_of(disposition: str) -> str:
    """Return the class of the colour that requests which ended so have in every picture.

    What deviates stands apart from the blues of what does not.
    """
    return _SHADES.get(disposition, "s5")


def disposition_bar(parts: Sequence[tuple[str, int]], height: int = 20) -> Markup:
    """Return one bar of what became of all requests; widths are shares of their sum.

    >>> "answered 3, refused 1" in disposition_bar([("answered", 3), ("refused", 1)])
    True
    """
    total = sum(count for _, count in parts)
    out: list[Markup] = []
    x = 0.0
    for name, count in parts:
        share = svg.share(count, total)
        if share <= 0:
            continue
        shade = shade_of(name)
        out.append(svg.tag("rect", shade, x=svg.pc(x), y=0, width=svg.pc(share), height=height))
        if x:
            out.append(svg.tag("line", "cut", x1=svg.pc(x), x2=svg.pc(x), y1=0, y2=height))
        x += share
    said = ", ".join(f"{name} {count:,}" for name, count in parts) or "no requests"
    return svg.svg("shares", height, out, said)


def promise_plot(
    promise: float,
    scale: tuple[float, float],
    better: Better,
    *,
    value: Value = None,
    interval: tuple[float, float] | None = None,
    state: str = "",
    label: str,
) -> Markup:
    """Return a promise beside what was measured.

    The tinted side is broken, the tick is the promise, the bar the interval, the dot the value.
    What lies outside the scale stands at its edge, so that a scale never changes by itself.

    Args:
        promise: Where the tick stands.
        scale: The values at the left and the right edge.
        better: The side on which the promise is kept.
        value: What was measured; None while nothing is.
        interval: From where to where it may truly lie; None while that is not known.
        state: The class of the state's colour: `ok`, `risk`, `bad`, `wait` or `off`.
        label: The same in words.
    """

    def at(x: float) -> float:
        return min(max(svg.share(x - scale[0], scale[1] - scale[0]), 0.0), 100.0)

    tick = at(promise)
    wrong = (tick, 100 - tick) if better == "low" else (0.0, tick)
    out = [
        svg.tag("rect", "wrong", x=svg.pc(wrong[0]), y=2, width=svg.pc(wrong[1]), height=12),
        svg.tag("line", "base", x1="0", x2="100%", y1=8, y2=8),
    ]
    if interval is not None:
        low, high = at(min(interval)), at(max(interval))
        width = max(high - low, 1.2)
        out.append(svg.tag("rect", "span", x=svg.pc(low), y="5.5", width=svg.pc(width), height=5))
    out.append(svg.tag("line", "tickmark", x1=svg.pc(tick), x2=svg.pc(tick), y1=0, y2=MINI))
    if (dot := finite(value)) is not None:
        out.append(svg.tag("circle", "point", cx=svg.pc(at(dot)), cy=8, r=4))
    return svg.svg(f"mini {state}".strip(), MINI, out, label)


def purse(spent: float, ceiling: float | None, *, coming: float = 0.0, label: str) -> Markup:
    """Return money against its ceiling: solid is spent, light is what comes, the tick the ceiling.

    Args:
        spent: What is gone.
        ceiling: The most that may be spent; None where none is declared.
        coming: What is held or forecast, beyond `spent`.
        label: The same in words.
    """
    whole = spent + max(coming, 0.0)
    top = max(ceiling or 0.0, whole) * 1.04
    is_over = ceiling is not None and whole > ceiling
    out: list[Markup] = []
    if ceiling is not None:
        out.append(
            svg.tag("rect", "room", x="0", y=4, width=svg.pc(svg.share(ceiling, top)), height=8)
        )
    out += [
        svg.tag("rect", "coming", x="0", y=4, width=svg.pc(svg.share(whole, top)), height=8),
        svg.tag("rect", "spent", x="0", y=4, width=svg.pc(svg.share(spent, top)), height=8),
    ]
    if ceiling is not None:
        edge = svg.pc(svg.share(ceiling, top))
        out.append(svg.tag("line", "tickmark", x1=edge, x2=edge, y1=0, y2=MINI))
    return svg.svg("purse risk" if is_over else "purse", MINI, out, label)


def walk_bar(
    start: float,
    took: float,
    total: float,
    *,
    shape: str = "",
    objective: float | None = None,
    deadline: float | None = None,
) -> Markup:
    """Return one step on the request's clock; the table's row says the same in words.

    Args:
        start: When the step began, in the unit of `total`.
        took: How long it took; a step that was skipped draws nothing.
        total: What the whole width stands for.
        shape: The class of the bar: empty, `sub` for an attempt, `group` for what holds them.
        objective: Where the dotted line of the objective stands, if it is within.
        deadline: Where the line of the deadline stands, if it is within.
    """
    out = [
        svg.tag(
            "line",
            cls,
            x1=svg.pc(svg.share(at, total)),
            x2=svg.pc(svg.share(at, total)),
            y1=0,
            y2="100%",
        )
        for cls, at in (("obj", objective), ("ddl", deadline))
        if at is not None and at <= total
    ]
    if took > 0:
        width = max(svg.share(took, total), LEAST_SHARE)
        left = min(svg.share(start, total), 100 - width)
        place = {"x": svg.pc(left), "y": 6, "width": svg.pc(width), "height": 10, "rx": "1.5"}
        out.append(svg.tag("rect", shape, **place))
    body = Markup().join(out)
    return Markup('<svg class="walk" width="100%" height="{}" aria-hidden="true">{}</svg>').format(
        WALK, body
    )


def walk_head(total: float, objective: Value = None, deadline: Value = None) -> Markup:
    """Return the words over the lines of a walk; what lies beyond the clock has none.

    >>> "objective 800 ms" in walk_head(2000, 800, 2000)
    True
    """
    out = [svg.words_at("tick", "0", 24, "0")]
    marks = ("goal-text", "objective", objective), ("stop-text", "deadline", deadline)
    for place, (cls, name, at) in enumerate(marks):
        if at is None or at > total:
            continue
        left = svg.share(at, total)
        anchor = "end" if left > 70 else "start" if left < 15 else "middle"
        # The second stands above the first, so that they never lie on each other.
        words = f"{name} {numbers.ms(at)}"
        out.append(svg.words_at(f"{cls} {anchor}", svg.pc(left), 24 - 14 * place, words))
    body = Markup().join(out)
    return Markup(
        '<svg class="walkhead" width="100%" height="30" aria-hidden="true">{}</svg>'
    ).format(body)


def key(names: Iterable[str]) -> Markup:
    """Return the key of a chart of two series or more, in the order in which they are stacked."""
    items = [
        Markup(
            '<li><svg width="12" height="12" aria-hidden="true">'
            '<rect class="s{}" width="12" height="12"/></svg>{}</li>'
        ).format(place, svg.text(name))
        for place, name in enumerate(names, 1)
    ]
    return Markup('<ul class="key">{}</ul>').format(Markup().join(items))


def _breaches(run: Sequence[Place], goal: Goal | None) -> list[list[Place]]:
    """Return the parts of a run on the wrong side of the promise, from crossing to crossing."""
    if goal is None:
        return []
    parts: list[list[Place]] = []
    was_broken = False
    for i, point in enumerate(run):
        is_broken = goal.is_broken_by(point[1])
        if is_broken and not was_broken:
            parts.append([_crossing(run[i - 1], point, goal)] if i else [])
        if is_broken:
            parts[-1].append(point)
        elif was_broken:
            parts[-1].append(_crossing(run[i - 1], point, goal))
        was_broken = is_broken
    return parts


def _crossing(a: Place, b: Place, goal: Goal) -> Place:
    """Return where the line from `a` to `b` meets the promise, which lies between them."""
    return a[0] + (goal.value - a[1]) / (b[1] - a[1]) * (b[0] - a[0]), goal.value
