"""Pictures of the pages about releases: who served when, and how a rollout stands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from markupsafe import Markup

from .. import charts, measures, numbers, svg
from ..curves import Curve, curve_chart
from ..plots import BOTTOM, HEIGHT, LEAST_SHARE, TOP, Goal, Place, Words, alternative, runs, shown
from ..release_figures import Band, FigureShown, LookShown, RolloutShown, Timeline
from ..signed import SignedPlot

MOST_ROWS = 8
"""Releases that have a row in the picture of who served when: the latest ones."""
_BAND_ROW = 34
_MOST_AWAY = 8.0
"""A band wider than so many times what may be worse says nothing: it is drawn at the edge."""


def bands(page: Timeline) -> Markup:
    """Return which release served when: one row for each, the latest on top."""
    since, until = _span(page)
    whole = (until - since).total_seconds()

    def at(time: datetime) -> float:
        return svg.share((time - since).total_seconds(), whole)

    rows = list(dict.fromkeys(band.release for band in page.bands))[:MOST_ROWS]
    out: list[Markup] = []
    for place, release in enumerate(rows):
        out += _row(place, release, [one for one in page.bands if one.release == release], at)
    height = len(rows) * _BAND_ROW
    for time in (since, since + (until - since) / 2, until):
        anchor = "start" if time == since else "end" if time == until else "middle"
        left = svg.pc(at(time))
        out.append(svg.words_at(f"tick {anchor}", left, height + 14, _day(time)))
    finding = f"{numbers.short(page.champion)} serves." if page.champion else "Nothing serves."
    words = Words(finding, "Which release served when, in UTC; dark: now.", "From")
    table = [
        (_moment(band.since), [_moment(band.until) if band.until else "now", band.release])
        for band in page.bands
    ]
    label = f"{finding} {words.drawn}"
    return charts.figure(
        words, svg.svg("plot bands", height + 22, out, label), ["To", "Release"], table
    )


def _row(place: int, release: str, found: Sequence[Band], at: object) -> Iterator[Markup]:
    assert callable(at)
    y = place * _BAND_ROW
    yield svg.words_at("note", "0", y + 13, numbers.short(release))
    yield svg.tag("rect", "room", x="0", y=y + 18, width="100%", height=10)
    for band in found:
        left = at(band.since)
        right = at(band.until) if band.until else 100.0
        cls = "served" if band.until else "serving"
        width = max(right - left, LEAST_SHARE)
        bar = {"x": svg.pc(min(left, 100 - width)), "y": y + 18, "width": svg.pc(width)}
        yield svg.tag("rect", cls, **bar, height=10)


def _span(page: Timeline) -> tuple[datetime, datetime]:
    """Return from when until when the picture goes: at least an hour."""
    until = page.as_of
    since = min((band.since for band in page.bands), default=until)
    return min(since, until - timedelta(hours=1)), until


def canary(rollout: RolloutShown, now: datetime) -> Markup:
    """Return the difference with its band against where it promotes and where it rolls back."""
    drawn = rollout.figures[0] if rollout.figures else None
    looks = [one for one in rollout.looks if one.difference is not None]
    if drawn is None or not looks:
        return Markup()
    allowed = rollout.allowed or 0.0
    coming = _coming(drawn, looks[-1])
    plot = _ground(looks, allowed, coming, drawn)
    clean = [(float(one.units), one.low, one.high) for one in looks]
    above: list[Place] = [(x, high) for x, _, high in clean if high is not None]
    below: list[Place] = [(x, low) for x, low, _ in clean if low is not None]
    if len(above) > 1 and len(below) > 1:
        plot.path([*above, *reversed(below)], "band")
    for y, cls, text, text_cls, away in (
        (allowed, "go", f"promote: band below {_signed(drawn, allowed)}", "ok-t", -5),
        (0.0, "halt", "roll back: band above 0", "bad-t", -5),
    ):
        plot.path([(plot.x0, y), (plot.x1, y)], cls)
        plot.words.append(svg.words_at(f"{text_cls} end halo", "100%", plot.y(y) + away, text))
    for run in runs([(float(one.units), one.difference) for one in looks]):
        plot.path(run, "line") if len(run) > 1 else plot.dot(run[0], "dot")
    last = looks[-1]
    assert last.difference is not None
    plot.dot((last.units, last.difference), "dot")
    if coming is not None:
        plot.path([(last.units, last.difference), coming], "coming-line")
        plot.dot(coming, "chosen")
    _mark_now(plot, last)
    plot.axis(_ticks(plot, last))
    words = Words(_finding(rollout), _drawn(rollout, drawn), "Users")
    picture = Markup('<div class="canary">{}</div>').format(plot.svg(alternative(words, None)))
    rows = [
        (numbers.count(one.units), [_cell(value, drawn) for value in _values(one)]) for one in looks
    ]
    return charts.figure(words, picture, ["Difference", "From", "To"], rows)


def _ground(
    looks: Sequence[LookShown], allowed: float, coming: Place | None, drawn: FigureShown
) -> SignedPlot:
    xs = [float(one.units) for one in looks] + ([coming[0]] if coming else [])
    last = looks[-1]
    seen = [last.low, last.high, last.difference, allowed, -allowed]
    early = [one.difference for one in looks]
    most = _MOST_AWAY * max(allowed, 0.005)
    return SignedPlot([0.0, *xs], [*seen, *early], most, lambda y: _signed(drawn, y))


def _ticks(plot: SignedPlot, last: LookShown) -> list[tuple[float, str]]:
    """Return the ends and where it stands by now, unless that is near an end."""
    places = {plot.x0, plot.x1}
    if 15 < plot.x(last.units) < 85:
        places.add(float(last.units))
    return [(x, numbers.count(int(x))) for x in sorted(places)]


def _mark_now(plot: SignedPlot, last: LookShown) -> None:
    """Draw a line where it stands by now."""
    left = svg.pc(plot.x(last.units))
    plot.behind.append(svg.tag("line", "step", x1=left, x2=left, y1=TOP, y2=HEIGHT - BOTTOM))
    anchor = "end" if plot.x(last.units) > 85 else "start"
    plot.words.append(svg.words_at(f"note {anchor} halo", left, TOP - 6, "now"))


def _coming(drawn: FigureShown, last: LookShown) -> Place | None:
    """Return where it is expected to be decided."""
    if drawn.needed is None or last.difference is None or drawn.needed <= 0:
        return None
    return (float(last.units + drawn.needed), last.difference)


def _finding(rollout: RolloutShown) -> str:
    if rollout.progress not in ("running", "frozen"):
        return f"{rollout.word}."
    harmed = [one for one in rollout.figures if one.state == "breached"]
    if harmed:
        return f"It has more {harmed[0].label}."
    if rollout.figures and rollout.figures[0].difference is not None:
        return "No harm is found; the band is still open."
    return "There is too little to say."


def _drawn(rollout: RolloutShown, drawn: FigureShown) -> str:
    unit = "in percentage points" if drawn.unit == "share" else "from 0 to 1"
    sure = "" if rollout.sure is None else f"{numbers.promised(rollout.sure)} "
    return (
        f"Candidate's {drawn.label} minus champion's, {unit}, by closed users of the candidate; "
        f"band: {sure}interval that holds at every look; dashed: to the expected decision."
    )


def _values(one: LookShown) -> tuple[float | None, float | None, float | None]:
    return one.difference, one.low, one.high


def _cell(value: float | None, drawn: FigureShown) -> Markup | str:
    return shown(value, lambda y: measures.difference(y, drawn.unit))


def _signed(drawn: FigureShown, value: float) -> str:
    return measures.difference(value, drawn.unit).removesuffix(" points")


def evidence(rollout: RolloutShown) -> Markup:
    """Return how the evidence of both sides grew over time, each against what is enough."""
    looks = rollout.looks
    if len(looks) < 2:
        return Markup()
    start = looks[0].at
    harm, gain = looks[-1].harm_level, looks[-1].gain_level
    finding = "Neither side has enough evidence."
    if harm >= 1:
        finding = "There is enough evidence of harm."
    elif gain >= 1:
        finding = "There is enough evidence that it is not worse than allowed."

    def hours(one: LookShown) -> float:
        return (one.at - start).total_seconds() / 3600

    def time(x: float) -> str:
        return _moment(start + timedelta(hours=x))

    return curve_chart(
        Words(
            finding,
            "Evidence as a part of what is enough, log scale; dashed: that it is not worse.",
            "Look",
        ),
        [
            Curve("That it is worse", [(hours(one), one.harm_level) for one in looks]),
            Curve("That it is not worse", [(hours(one), one.gain_level) for one in looks], "line2"),
        ],
        show_x=time,
        show_y=numbers.promised,
        x_ticks=[(0.0, _moment(start)), (hours(looks[-1]), _moment(looks[-1].at))],
        goal=Goal(1.0, "enough"),
    )


def level(level: float, cls: str, label: str) -> Markup:
    """Return one piece of evidence as a bar towards what is enough."""
    width = svg.pc(svg.share(level, 1.0))
    out = [
        svg.tag("rect", "room", x="0", y=4, width="100%", height=8),
        svg.tag("rect", "spent", x="0", y=4, width=width, height=8),
        svg.tag("line", "tickmark", x1="100%", x2="100%", y1=0, y2=charts.MINI),
    ]
    return svg.svg(f"purse {cls}".strip(), charts.MINI, out, label)


def _day(time: datetime) -> str:
    return f"{time.day} {time:%b}, {time:%H:%M}"


def _moment(time: datetime) -> str:
    return f"{time.astimezone(UTC).day} {time:%b, %H:%M}"
