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
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from markupsafe import Markup

from . import numbers, svg

Better = Literal["low", "high"]
Show = Callable[[float], str]
Tick = tuple[float, str]
Value = float | None
Place = tuple[float, float]

HEIGHT = 180
TOP = 22
BOTTOM = 22
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
_INNER = 1000  # units of the inner svg from left to right
_LEAST_SHARE = 0.35  # per cent of the width that a bar takes at least, to be seen


class Goal(NamedTuple):
    """A promise, drawn as a dotted line.

    Attributes:
        text: The word with the number: `promise 800 ms`.
        better: The side of `value` on which the promise is kept.
    """

    value: float
    text: str
    better: Better = "low"

    def is_broken_by(self, value: float) -> bool:
        """Whether a value lies on the wrong side."""
        return value > self.value if self.better == "low" else value < self.value


class Series(NamedTuple):
    """What one colour stands for: one value for each place on the x axis."""

    name: str
    values: Sequence[Value]


class Words(NamedTuple):
    """What a chart says beside its plot.

    Attributes:
        finding: What is to be seen, as a sentence.
        drawn: What is drawn, its unit and its window.
        x_name: Head of the first column of the numbers.
    """

    finding: str
    drawn: str = ""
    x_name: str = "Time"


def evenly(
    found: Mapping[int, float | None], since: int, until: int, step: int
) -> list[tuple[int, Value]]:
    """Return one place for every `step` from `since` up to `until`; None where nothing was found.

    >>> evenly({0: 5.0, 20: 7.0}, 0, 30, 10)
    [(0, 5.0), (10, None), (20, 7.0)]
    """
    return [(x, found.get(x)) for x in range(since, until, step)]


def nice_ticks(top: float, most: int = 4) -> tuple[float, ...]:
    """Return round numbers from 0 to the first one at or above `top`, at most `most` steps.

    >>> nice_ticks(1140)
    (0.0, 500.0, 1000.0, 1500.0)
    >>> nice_ticks(0)
    (0.0, 1.0)
    """
    if not (math.isfinite(top) and top > 0):
        return (0.0, 1.0)
    rough = top / most
    power = 10.0 ** math.floor(math.log10(rough))
    factor = next(f for f in (1, 2, 2.5, 5, 10) if f * power >= rough * (1 - 1e-9))
    step = factor * power
    # From whole numbers, so that 3 * 0.1 does not print as 0.30000000000000004.
    count = max(1, math.ceil(top / step - 1e-9))
    return tuple(float(f"{i * step:.12g}") for i in range(count + 1))


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
    clean = [(x, _finite(y)) for x, y in points]
    plot = _Plot([x for x, _ in clean], [y for _, y in clean], goal, show_y)
    for run in _runs(clean):
        if len(run) == 1:
            plot.dot(run[0], "dot")
        else:
            plot.path(run, "line")
        for over in _breaches(run, goal):
            plot.shade(over[0][0], over[-1][0])
            if len(over) > 1:
                plot.path(over, "lateline")
    plot.axis(x_ticks)
    rows = [(show_x(x), [_shown(y, show_y)]) for x, y in clean]
    return _figure(words, plot.svg(_alternative(words, goal)), [name], rows)


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
    totals = [_sum(part.values[i] for part in parts) for i in range(len(xs))]
    ends = [*xs, xs[-1] + step] if xs else []
    plot = _Plot(ends, totals, goal, show_y)
    for i, x in enumerate(xs):
        low = 0.0
        for place, part in enumerate(parts, 1):
            value = _finite(part.values[i]) or 0.0
            if value > 0:
                plot.bar(x, x + step, low, low + value, f"s{place}")
                low += value
    plot.axis(x_ticks)
    names = [part.name for part in parts]
    rows = [
        (show_x(x), [_shown(part.values[i], show_y) for part in parts]) for i, x in enumerate(xs)
    ]
    picture = plot.svg(_alternative(words, goal))
    if len(names) > 1:
        picture = key(names) + picture
    return _figure(words, picture, names, rows)


def folded(series: Sequence[Series], most: int = MOST_SERIES) -> list[Series]:
    """Return the first `most` series, and the sum of the rest as `other`.

    >>> folded([Series("a", [1]), Series("b", [2]), Series("c", [None])], most=1)
    [Series(name='a', values=[1]), Series(name='other', values=[2])]
    """
    if len(series) <= most:
        return list(series)
    rest = zip(*(part.values for part in series[most:]), strict=True)
    return [*series[:most], Series("other", [_sum(values) for values in rest])]


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
    picture = svg.svg("plot bars", max(len(rows), 1) * ROW, out, _alternative(words, None))
    table = [(name, [show(value)]) for name, value in rows]
    return _figure(words, picture, [head], table)


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
    if (dot := _finite(value)) is not None:
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
        width = max(svg.share(took, total), _LEAST_SHARE)
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


class _Plot:
    """The ground of a chart: y from 0 or below up to a round number, ticks, promise, layers."""

    def __init__(
        self, xs: Sequence[float], ys: Sequence[Value], goal: Goal | None, show_y: Show
    ) -> None:
        known = [y for y in ys if y is not None]
        self.ticks = nice_ticks(max([*known, goal.value if goal else 0.0], default=0.0))
        self.x0, self.x1 = (min(xs), max(xs)) if xs else (0.0, 1.0)
        self.goal, self.show_y, self.is_empty = goal, show_y, not known
        self.behind: list[Markup] = []
        self.inner: list[Markup] = []
        self.words: list[Markup] = []

    def x(self, x: float) -> float:
        """Per cent of the width; the only place there is stands in the middle."""
        return svg.share(x - self.x0, self.x1 - self.x0) if self.x1 > self.x0 else 50.0

    def y(self, y: float) -> float:
        return HEIGHT - BOTTOM - y / self.ticks[-1] * (HEIGHT - TOP - BOTTOM)

    def _place(self, point: Place) -> str:
        return f"{svg.n(self.x(point[0]) * _INNER / 100)} {svg.n(self.y(point[1]))}"

    def path(self, run: Sequence[Place], cls: str) -> None:
        line = "M" + "L".join(map(self._place, run))
        self.inner.append(svg.tag("path", cls, d=line))

    def dot(self, point: Place, cls: str) -> None:
        # A stroke of no length with round ends stays round where a circle would be stretched.
        self.inner.append(svg.tag("path", cls, d=f"M{self._place(point)}h0"))

    def bar(self, left: float, right: float, low: float, high: float, cls: str) -> None:
        a, b = self.x(left) * _INNER / 100, self.x(right) * _INNER / 100
        gap = (b - a) * 0.08
        top, bottom = self.y(high), self.y(low)
        self.inner.append(
            svg.tag(
                "rect",
                cls,
                x=svg.n(a + gap),
                y=svg.n(top),
                width=svg.n(b - a - 2 * gap),
                height=svg.n(bottom - top),
            )
        )

    def shade(self, left: float, right: float) -> None:
        width = max(self.x(right) - self.x(left), _LEAST_SHARE)
        start = min(self.x(left), 100 - width)
        height = HEIGHT - TOP - BOTTOM
        self.behind.append(
            svg.tag("rect", "late", x=svg.pc(start), y=TOP, width=svg.pc(width), height=height)
        )

    def axis(self, x_ticks: Sequence[Tick]) -> None:
        for tick in self.ticks:
            y = svg.n(self.y(tick))
            cls = "grid" if tick else "axis"
            self.behind.append(svg.tag("line", cls, x1="0", x2="100%", y1=y, y2=y))
            self.words.append(svg.words_at("tick end", "-7", self.y(tick) + 4, self.show_y(tick)))
        for x, words in x_ticks:
            left = self.x(x)
            anchor = "start" if left < 3 else "end" if left > 97 else "middle"
            self.words.append(
                svg.words_at(f"tick {anchor}", svg.pc(left), HEIGHT - BOTTOM + 15, words)
            )
        if self.is_empty:
            self.words.append(
                svg.words_at("note middle", "50%", HEIGHT / 2, "Nothing was measured.")
            )

    def svg(self, label: str) -> Markup:
        body = [*self.behind, self._inner_svg(), *self.words]
        if self.goal is not None:
            y = self.y(self.goal.value)
            body.insert(
                len(self.behind),
                svg.tag("line", "goal", x1="0", x2="100%", y1=svg.n(y), y2=svg.n(y)),
            )
            body.append(svg.words_at("goal-text end halo", "100%", y - 5, self.goal.text))
        return svg.svg("plot g", HEIGHT, body, label)

    def _inner_svg(self) -> Markup:
        return Markup(
            '<svg width="100%" height="{}" viewBox="0 0 {} {}" preserveAspectRatio="none"'
            ' overflow="visible">{}</svg>'
        ).format(HEIGHT, _INNER, HEIGHT, Markup().join(self.inner))


def _runs(points: Sequence[tuple[float, Value]]) -> list[list[Place]]:
    """Return what may be joined by a line: neighbours without a gap between them."""
    runs: list[list[Place]] = [[]]
    for x, y in points:
        if y is not None:
            runs[-1].append((x, y))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


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


def _figure(
    words: Words,
    picture: Markup,
    heads: Sequence[str],
    rows: Sequence[tuple[str, list[Markup | str]]],
) -> Markup:
    drawn = Markup("<span>{}</span>").format(svg.text(words.drawn)) if words.drawn else ""
    return Markup('<figure class="chart"><figcaption><b>{}</b>{}</figcaption>{}{}</figure>').format(
        svg.text(words.finding), drawn, picture, _numbers(words, heads, rows)
    )


def _numbers(
    words: Words, heads: Sequence[str], rows: Sequence[tuple[str, list[Markup | str]]]
) -> Markup:
    head = Markup().join(
        Markup('<th scope="col" class="num">{}</th>').format(svg.text(name)) for name in heads
    )
    body = Markup().join(
        Markup('<tr><th scope="row">{}</th>{}</tr>').format(
            svg.text(name),
            Markup().join(
                Markup('<td class="num">{}</td>').format(svg.text(cell)) for cell in cells
            ),
        )
        for name, cells in rows
    )
    return Markup(
        '<details><summary>Show the numbers</summary><div class="scroll" tabindex="0" role="region"'
        ' aria-label="{}"><table><thead><tr><th scope="col">{}</th>{}</tr></thead>'
        "<tbody>{}</tbody></table></div></details>"
    ).format(svg.text(f"Numbers: {words.finding}"), svg.text(words.x_name), head, body)


def _alternative(words: Words, goal: Goal | None) -> str:
    said = [words.finding, words.drawn, goal.text if goal else ""]
    return " ".join(part if part.endswith(".") else f"{part}." for part in said if part)


def _shown(value: Value, show: Show) -> Markup | str:
    finite = _finite(value)
    if finite is None:
        return Markup('<span aria-hidden="true">\N{EN DASH}</span><span class="vh">none</span>')
    return show(finite)


def _sum(values: Iterable[Value]) -> Value:
    known = [value for value in map(_finite, values) if value is not None]
    return sum(known) if known else None


def _finite(value: Value) -> Value:
    return value if value is not None and math.isfinite(value) else None
