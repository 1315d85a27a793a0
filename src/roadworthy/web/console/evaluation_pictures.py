"""Pictures of the pages about evaluations: promises, differences, groups."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from .. import charts, evaluation_words, measures, svg
from ..evaluation_figures import FairnessShown, GroupShown, MetricShown, PairedShown
from ..plots import LEAST_SHARE, Words, shown
from ..states import CLASSES

_ROW = 36


def metric(found: MetricShown) -> Markup:
    """Return a metric beside what is promised of it; nothing where nothing is."""
    if found.bar is None:
        return Markup()
    interval = None
    if found.low is not None and found.high is not None:
        interval = (found.low, found.high)
    return charts.promise_plot(
        found.bar,
        found.scale,
        "high" if found.is_least else "low",
        value=found.value,
        interval=interval,
        state=CLASSES[found.state],
        label=f"{found.label}: {found.word}. {_said(found)}",
    )


def _said(found: MetricShown) -> str:
    assert found.bar is not None
    bar = measures.promised_bar(found.bar, found.unit, found.is_least)
    if found.value is None:
        return f"Promised {bar}, nothing measured."
    return f"Promised {bar}, measured {measures.measure(found.value, found.unit, found.bar)}."


def paired(found: PairedShown) -> Markup:
    """Return a difference on the same cases: right of the line is better, tinted is too much worse.

    Without a difference nothing is drawn.
    """
    if found.difference is None:
        return Markup()
    turn = -1.0 if found.unit in measures.LESS_IS_BETTER else 1.0

    def at(x: float) -> float:
        return min(max(50 + 50 * turn * x / found.reach, 0.0), 100.0)

    out = [svg.tag("line", "base", x1="0", x2="100%", y1=8, y2=8)]
    if found.margin > 0:
        width = at(-turn * found.margin)
        out.insert(0, svg.tag("rect", "wrong", x="0", y=2, width=svg.pc(width), height=12))
    if found.low is not None and found.high is not None:
        left, right = sorted((at(found.low), at(found.high)))
        width = max(right - left, 1.2)
        out.append(svg.tag("rect", "span", x=svg.pc(left), y="5.5", width=svg.pc(width), height=5))
    out.append(svg.tag("line", "tickmark", x1="50%", x2="50%", y1=0, y2=charts.MINI))
    out.append(svg.tag("circle", "point", cx=svg.pc(at(found.difference)), cy=8, r=4))
    value = measures.difference(found.difference, found.unit)
    label = f"{found.label}: {value}; {found.word}."
    return svg.svg(f"mini {CLASSES[found.state]}", charts.MINI, out, label)


def groups(found: FairnessShown) -> Markup:
    """Return what each group met with, each with its interval, on one scale from 0 to 1."""
    out: list[Markup] = []
    for place, one in enumerate(found.groups):
        out += _group(one, place * _ROW)
    finding = evaluation_words.capital(f"{_fairness(found)}.")
    drawn = "Rate of each group from 0 to 100%; bar: its interval."
    words = Words(finding, drawn, "Group")
    rows = [
        (
            one.group,
            [shown(one.rate, _share), shown(one.low, _share), shown(one.high, _share), str(one.n)],
        )
        for one in found.groups
    ]
    height = max(len(found.groups), 1) * _ROW
    picture = svg.svg("plot groups", height, out, f"{finding} {drawn}")
    return charts.figure(words, picture, ["Rate", "From", "To", "n"], rows)


def _group(one: GroupShown, y: int) -> Iterator[Markup]:
    yield svg.words_at("note", "0", y + 13, one.group)
    said = evaluation_words.group(one.rate, one.missing)
    if one.rate is not None:
        said = f"{_share(one.rate)}, n {one.n:,}"
    yield svg.words_at("note end", "100%", y + 13, said)
    yield svg.tag("line", "grid", x1="0", x2="100%", y1=y + 23, y2=y + 23)
    if one.low is not None and one.high is not None:
        low, high = svg.share(one.low, 1), svg.share(one.high, 1)
        width = max(high - low, LEAST_SHARE)
        yield svg.tag("rect", "spanned", x=svg.pc(low), y=y + 20, width=svg.pc(width), height=6)
    if one.rate is not None:
        yield svg.tag("circle", "spot", cx=svg.pc(svg.share(one.rate, 1)), cy=y + 23, r=4)


def _fairness(found: FairnessShown) -> str:
    name = measures.word_of(found.difference.label)
    if found.difference.value is None:
        return f"{name} by {found.attribute} is not measured"
    value = measures.measure(found.difference.value, found.difference.unit, found.difference.bar)
    return f"{name} by {found.attribute} is {value}"


def _share(value: float) -> str:
    return measures.measure(value)
