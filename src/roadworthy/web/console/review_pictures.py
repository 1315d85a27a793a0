"""Pictures of the pages about reviews, certificates and calibration."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from markupsafe import Markup

from .. import charts, numbers, svg
from ..certificate_figures import MORE, CalibrationPage, CertificatePage, PowerPoint, RiskPoint
from ..curves import Curve, Mark, Span, curve_chart
from ..plots import Goal, Words
from ..review_figures import Attributed, CaseShown, Contribution, ReviewerPage

MOST_BARS = 12
"""Features whose contribution is drawn; the rest is summed up."""
_MINUS = "\N{MINUS SIGN}"


def doubt(page: CaseShown) -> Markup:
    """Return how sure the model was, beside where it may answer alone."""
    if page.score is None or page.threshold is None:
        return Markup()
    is_kept = page.score >= page.threshold
    return charts.promise_plot(
        page.threshold,
        (0.0, 1.0),
        "high",
        value=page.score,
        state="ok" if is_kept else "wait",
        label=f"Score {page.score:.3f}; alone from {page.threshold:.3f} on.",
    )


def attributed(found: Attributed) -> Markup:
    """Return what each feature added to the reference, the largest first."""
    parts = sorted(found.parts, key=lambda part: -abs(part.amount))
    head, rest = parts[:MOST_BARS], parts[MOST_BARS:]
    rows = [(_named(part), part.amount) for part in head]
    if rest:
        rows.append((f"{len(rest)} others", sum(part.amount for part in rest)))
    top = max((abs(amount) for _, amount in rows), default=0.0)
    drawn: list[Markup] = []
    for place, (name, amount) in enumerate(rows):
        y = place * charts.ROW
        width = svg.share(abs(amount), top) / 2
        left = 50.0 if amount >= 0 else 50.0 - width
        bar = {"x": svg.pc(left), "y": y + 18, "width": svg.pc(width), "height": 8}
        drawn += [
            svg.words_at("note", "0", y + 13, name),
            svg.words_at("note end", "100%", y + 13, signed(amount)),
            svg.tag("rect", "s1" if amount >= 0 else "less", **bar),
        ]
    base, end = numbers.anything(round(found.reference, 4)), numbers.anything(round(found.value, 4))
    exactly = "exact" if found.is_exact else "a sample of orders"
    drawn_as = f"Added to the mean {base} of {numbers.count(found.rows)} rows; {exactly}."
    words = Words(f"The prediction is {end}.", drawn_as, "Feature")
    label = f"{words.finding} {drawn_as}"
    picture = svg.svg("plot bars", max(len(rows), 1) * charts.ROW, drawn, label)
    return charts.figure(words, picture, ["Adds"], [(name, [signed(a)]) for name, a in rows])


def _named(part: Contribution) -> str:
    """Return a feature with its value, in few words."""
    return f"{part.feature[:60]} {_value(part.value)}".strip()


def signed(amount: float) -> str:
    """Write what a feature adds, with its sign.

    >>> signed(0.12345), signed(-2).lstrip(_MINUS)
    ('+0.123', '2')
    """
    return f"{amount:+.3g}".replace("-", _MINUS)


def _value(value: object) -> str:
    return "" if value is None else numbers.anything(value)[:40]


def risk(page: CertificatePage) -> Markup:
    """Return what was seen wrong and what is ruled out at each threshold."""
    row, points = page.row, sorted(page.curve, key=lambda point: point.threshold)
    by_place = {point.threshold: point for point in points}
    marks = []
    if row.threshold is not None and row.bound is not None:
        text = f"{row.threshold:.2f}: at most {numbers.share(row.bound, row.max_error)}"
        marks.append(Mark(row.threshold, row.bound, text, "dot chosen", "ok-t", 30))
    naive = by_place.get(page.naive) if page.naive is not None else None
    if naive is not None and naive.seen is not None and naive.threshold != row.threshold:
        marks.append(Mark(naive.threshold, naive.seen, "naive", "dot naive", "other-t", -20))
    start = "" if page.start is None else f" Covered up to {page.start:.2f}."
    finding = "No threshold is shown to keep the promise yet."
    if row.threshold is not None:
        finding = f"Thresholds from {row.threshold:.2f} up keep the promise."
    drawn = f"Share wrong, by threshold, walked from strict to loose; thin: seen.{start}"
    return curve_chart(
        Words(finding, drawn, "From score"),
        [
            Curve(f"Bound, {numbers.promised(row.sure)} sure", _line(points, "bound")),
            Curve("Seen", _line(points, "seen"), "line thin"),
        ],
        show_x=_score,
        show_y=numbers.share,
        x_ticks=_ends([point.threshold for point in points], _score),
        goal=Goal(row.max_error, f"promise: at most {numbers.promised(row.max_error)}"),
        marks=marks,
    )


def _line(points: Sequence[RiskPoint], name: str) -> list[tuple[float, float | None]]:
    return [(point.threshold, getattr(point, name)) for point in points]


def audit(page: CertificatePage) -> Markup:
    """Return how near the running audit is to its alarm, on a log scale."""
    row, length = page.row, max(page.run_length, 3)

    def of_alarm(level: float) -> str:
        return numbers.share(length ** (level - 1)) if level < 1 else "100%"

    points: list[tuple[float, float | None]] = [(p.audits, p.level) for p in page.audit]
    if not points and row.audits:
        points = [(0, 0.0), (row.audits, row.level)]
    finding = "Nothing is audited yet."
    if row.audits:
        against = "finds nothing against it" if row.state == "healthy" else "speaks against it"
        finding = f"The audit {against}: at {of_alarm(row.level)} of its alarm level."
    if row.standing == "off" and row.audits:
        finding = "The audit raised its alarm."
    return curve_chart(
        Words(
            finding, "Evidence that the promise is broken, log scale, by audited answer.", "Audits"
        ),
        [Curve("Of the alarm level", points)],
        show_x=lambda n: numbers.count(int(n)),
        show_y=of_alarm,
        x_ticks=_ends([x for x, _ in points], lambda n: numbers.count(int(n))),
        goal=Goal(1.0, "switched off here"),
    )


def power(page: CertificatePage) -> Markup:
    """Return what share could be given alone at other bounds, and with more outcomes."""
    points, declared = page.power, page.row.max_error
    now = next((point.now for point in points if point.max_error == declared), None)
    said = "nothing" if now is None else numbers.share(now)
    marks = []
    if now is not None:
        marks = [Mark(declared, now, f"now: {numbers.share(now)}", "dot chosen", "ok-t")]
    return curve_chart(
        Words(
            f"{numbers.promised(declared)} allows {said} to be given alone.",
            f"Share given alone by allowed error; dashed: with {MORE} times the outcomes.",
            "Wrong at most",
        ),
        [
            Curve(f"With {numbers.count(page.counted)} outcomes", _power(points, "now")),
            Curve(f"With {MORE} times as many", _power(points, "more"), "line2"),
        ],
        show_x=numbers.promised,
        show_y=numbers.share,
        x_ticks=_ticks([point.max_error for point in points], declared),
        marks=marks,
    )


def _power(points: Sequence[PowerPoint], name: str) -> list[tuple[float, float | None]]:
    return [(point.max_error, getattr(point, name)) for point in points]


def _ticks(bounds: Sequence[float], declared: float) -> list[tuple[float, str]]:
    """Return the ends, and the bound that is declared."""
    return [(x, numbers.promised(x)) for x in sorted({bounds[0], declared, bounds[-1]})]


def reliability(page: CalibrationPage) -> Markup:
    """Return what was said beside what came true, with an interval for each bin."""
    off = [one for one in page.bins if not one.low <= one.confidence <= one.high]
    finding = "Every bin holds what it says."
    if off:
        do = "does" if len(off) == 1 else "do"
        finding = f"{len(off)} of {len(page.bins)} bins {do} not hold what stands on them."
    return curve_chart(
        Words(
            finding,
            "Share right by confidence, bins of as many answers each; upright: 95% interval; "
            "dashed: as it should be.",
            "Confidence",
        ),
        [
            Curve("Right", [(one.confidence, one.right) for one in page.bins], "dots"),
            Curve("Should be", [(0.0, 0.0), (1.0, 1.0)], "line2"),
        ],
        show_x=lambda x: f"{x:.2f}",
        show_y=numbers.share,
        x_ticks=[(0.0, "0"), (0.5, "0.5"), (1.0, "1")],
        spans=[Span(one.confidence, one.low, one.high) for one in page.bins],
    )


def load(page: ReviewerPage) -> Markup:
    """Return how many cases were decided on each day, against what a day has room for."""
    n = sum(day.decided for day in page.load)
    goal = None
    if page.capacity is not None:
        goal = Goal(page.capacity, f"capacity {numbers.count(page.capacity)}")
    finding = f"{numbers.count(n)} decided, {numbers.up_to(page.waiting)} waiting."
    return charts.stacked_bars(
        Words(finding, f"Cases decided on each UTC day, last {page.days} days.", "Day"),
        [float(place) for place in range(len(page.load))],
        [charts.Series("Decided", [float(day.decided) for day in page.load])],
        step=1,
        show_x=lambda place: _day(page, int(place)),
        show_y=lambda value: numbers.count(int(value)) if value == int(value) else "",
        x_ticks=[(n + 0.5, _day(page, n)) for n in range(0, len(page.load), 2)],
        goal=goal,
    )


def _day(page: ReviewerPage, place: int) -> str:
    day = page.load[place].day
    return f"{day.day} {day:%b}"


def _score(value: float) -> str:
    return f"{value:.2f}"


def _ends(places: Sequence[float], show: Callable[[float], str]) -> list[tuple[float, str]]:
    """Return the first, the last and a middle place as ticks."""
    if not places:
        return []
    low, high = min(places), max(places)
    return [(x, show(x)) for x in ({low, (low + high) / 2, high} if high > low else {low})]
