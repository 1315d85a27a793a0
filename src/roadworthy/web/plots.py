"""The ground of charts: values in, places in a picture out, and the caption and numbers beside it.

See `charts` for how a picture is built.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple

from markupsafe import Markup

from . import svg

Better = Literal["low", "high"]
Show = Callable[[float], str]
Tick = tuple[float, str]
Value = float | None
Place = tuple[float, float]

HEIGHT = 180
TOP = 22
BOTTOM = 22
INNER = 1000
"""Units of the inner svg from left to right."""
LEAST_SHARE = 0.35
"""Per cent of the width that a bar takes at least, to be seen."""


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


def nice_ticks(top: float, most: int = 4) -> tuple[float, ...]:
    """Return round numbers from 0 to the first one at or above `top`, at most `most` steps.

    >>> nice_ticks(1140)
    (0.0, 500.0, 1000.0, 1500.0)
    >>> nice_ticks(0)
    (0.0, 1.0)
    """
    rough = top / most
    if not (math.isfinite(top) and rough >= sys.float_info.min):
        return (0.0, 1.0)
    power = 10.0 ** math.floor(math.log10(rough))
    factor = next(f for f in (1, 2, 2.5, 5, 10) if f * power >= rough * (1 - 1e-9))
    step = factor * power
    # From whole numbers, so that 3 * 0.1 does not print as 0.30000000000000004.
    count = max(1, math.ceil(top / step - 1e-9))
    return tuple(float(f"{i * step:.12g}") for i in range(count + 1))


class Plot:
    """The ground of a chart: y from 0 or below up to a round number, ticks, promise, layers.

    Attributes:
        behind, inner, words: What is drawn below the lines, the lines, and what stands on them.
    """

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
        """Return where a value stands, in pixels from the top."""
        return HEIGHT - BOTTOM - y / self.ticks[-1] * (HEIGHT - TOP - BOTTOM)

    def _place(self, point: Place) -> str:
        return f"{svg.n(self.x(point[0]) * INNER / 100)} {svg.n(self.y(point[1]))}"

    def path(self, run: Sequence[Place], cls: str) -> None:
        """Draw a line through some places."""
        line = "M" + "L".join(map(self._place, run))
        self.inner.append(svg.tag("path", cls, d=line))

    def dot(self, point: Place, cls: str) -> None:
        """Draw a dot that stays round."""
        # A stroke of no length with round ends stays round where a circle would be stretched.
        self.inner.append(svg.tag("path", cls, d=f"M{self._place(point)}h0"))

    def bar(self, left: float, right: float, low: float, high: float, cls: str) -> None:
        """Draw a bar between two places, from one value up to another."""
        a, b = self.x(left) * INNER / 100, self.x(right) * INNER / 100
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
        """Tint a span of places behind everything."""
        width = max(self.x(right) - self.x(left), LEAST_SHARE)
        start = min(self.x(left), 100 - width)
        height = HEIGHT - TOP - BOTTOM
        self.behind.append(
            svg.tag("rect", "late", x=svg.pc(start), y=TOP, width=svg.pc(width), height=height)
        )

    def axis(self, x_ticks: Sequence[Tick]) -> None:
        """Draw the lines of the values, and words at places."""
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
        """Return the whole picture; `label` says it in words."""
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
        ).format(HEIGHT, INNER, HEIGHT, Markup().join(self.inner))


def runs(points: Sequence[tuple[float, Value]]) -> list[list[Place]]:
    """Return what may be joined by a line: neighbours without a gap between them."""
    found: list[list[Place]] = [[]]
    for x, y in points:
        if y is not None:
            found[-1].append((x, y))
        elif found[-1]:
            found.append([])
    return [run for run in found if run]


def figure(
    words: Words,
    picture: Markup,
    heads: Sequence[str],
    rows: Sequence[tuple[str, list[Markup | str]]],
) -> Markup:
    """Return a picture with its caption, and its numbers as a table that opens.

    Args:
        words: The caption.
        picture: What is drawn.
        heads: The columns of the numbers but the first.
        rows: The first cell of each row, and the others.
    """
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


def alternative(words: Words, goal: Goal | None) -> str:
    """Return what a picture says to those who do not see it."""
    said = [words.finding, words.drawn, goal.text if goal else ""]
    return " ".join(part if part.endswith(".") else f"{part}." for part in said if part)


def shown(value: Value, show: Show) -> Markup | str:
    """Return a value as it stands in a table of numbers; a dash where nothing was measured."""
    number = finite(value)
    if number is None:
        return Markup('<span aria-hidden="true">\N{EN DASH}</span><span class="vh">none</span>')
    return show(number)


def total(values: Iterable[Value]) -> Value:
    """Return the sum of what was measured; None where nothing was."""
    known = [value for value in map(finite, values) if value is not None]
    return sum(known) if known else None


def finite(value: Value) -> Value:
    """Return a number; None where it is none that could be drawn."""
    return value if value is not None and math.isfinite(value) else None
