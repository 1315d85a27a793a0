"""Pictures of the pages about data: rules over time, and training beside live values."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

from markupsafe import Markup

from .. import charts, numbers, svg, words
from ..data_figures import FeatureStatus, SourceStatus

HEIGHT = 40
MOST_BINS = 14
"""Bins of one feature that are shown, with those of other and of missing values."""
_MOST_TICKS = 4


class Bin(NamedTuple):
    """Values of training and of requests that lie in one bin, and their shares (0-1) there."""

    name: str
    trained: int
    live: int
    share_trained: float
    share_live: float


def bins(feature: FeatureStatus) -> list[Bin]:
    """Return the bins of a feature as they are shown: those far down the list are one."""
    rows = list(zip(feature.bins, feature.trained_counts, feature.live_counts, strict=False))
    if len(rows) > MOST_BINS:
        head, rest, last = rows[: MOST_BINS - 2], rows[MOST_BINS - 2 : -1], rows[-1]
        rows = [*head, ("other", sum(r[1] for r in rest), sum(r[2] for r in rest)), last]
    whole = max(sum(r[1] for r in rows), 1), max(sum(r[2] for r in rows), 1)
    return [Bin(name, a, b, a / whole[0], b / whole[1]) for name, a, b in rows]


def pair(feature: FeatureStatus) -> Markup:
    """Return training as bars and live values as a line of steps; of one side alone, that side."""
    found = bins(feature)
    top = max(chain((b.share_trained for b in found), (b.share_live for b in found)), default=0.0)
    if not top:
        return Markup()
    body = []
    if any(b.trained for b in found):
        body.append(svg.tag("path", "was", d=_steps([b.share_trained for b in found], top) + "Z"))
    if any(b.live for b in found):
        body.append(svg.tag("path", "now", d=_steps([b.share_live for b in found], top)))
    plot = Markup(
        '<svg width="100%" height="{}" viewBox="0 0 {} {}" preserveAspectRatio="none">{}</svg>'
    ).format(HEIGHT, len(found) * 10, HEIGHT, Markup().join(body))
    return svg.svg("pair", HEIGHT, [plot], _told(feature, found))


def _steps(shares: Sequence[float], top: float) -> str:
    """Return the outline of bars from the left end of the ground to its right end."""
    ground = HEIGHT - 1
    heights = (svg.n(ground - share / top * (ground - 2)) for share in shares)
    ups = "".join(f"V{y}H{n * 10}" for n, y in enumerate(heights, 1))
    return f"M0 {ground}{ups}V{ground}"


def _told(feature: FeatureStatus, found: Sequence[Bin]) -> str:
    """Return where the two sides differ most, in words."""
    if not (feature.trained and feature.live):
        side, n = ("training", feature.trained) if feature.trained else ("live", feature.live)
        return f"{feature.feature}: {numbers.count(n)} {side} values by bin."
    far = max(found, key=lambda one: abs(one.share_live - one.share_trained))
    return (
        f"{feature.feature} by bin, training and live; furthest apart is {far.name}: "
        f"{numbers.share(far.share_trained)} of training, {numbers.share(far.share_live)} live."
    )


def rules(source: SourceStatus) -> Markup:
    """Return how many rows broke each rule, one bar for each validation."""
    looks = source.looks
    last = looks[-1]
    failed = sum(rule.failed[-1] or 0 for rule in source.broken)
    finding = (
        f"{words.exactly(failed, 'failure')} in the last validation."
        if failed
        else "Every rule held in the last validation."
    )
    step = max(1, -(-len(looks) // _MOST_TICKS))
    ticks = [(n + 0.5, _moment(source, n)) for n in range(0, len(looks), step)]
    return charts.stacked_bars(
        charts.Words(
            finding,
            f"Rows that broke a rule, by rule; the last {words.exactly(len(looks), 'validation')}.",
            "Validated",
        ),
        [float(n) for n in range(len(looks))],
        [charts.Series(rule.rule, rule.failed) for rule in source.broken],
        step=1,
        show_x=lambda n: numbers.at(looks[int(n)].at, last.at),
        show_y=_rows,
        x_ticks=ticks,
    )


def _rows(n: float) -> str:
    """Write a number of rows; of the axis only whole ones have a word."""
    return numbers.count(int(n)) if n == int(n) else ""


def _moment(source: SourceStatus, n: int) -> str:
    at = source.looks[n].at
    day = f"{at.day} {at:%b}"
    return day if len({look.at.date() for look in source.looks}) > 1 else f"{at:%H:%M}"
