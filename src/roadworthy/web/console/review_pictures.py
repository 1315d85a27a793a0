"""Pictures of the pages about reviews, certificates and calibration."""

from __future__ import annotations

from markupsafe import Markup

from .. import charts, numbers, svg
from ..review_figures import Attributed, CaseShown

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
    rows = [(f"{part.feature} {_value(part.value)}".strip(), part.amount) for part in head]
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
            svg.words_at("note", "0", y + 13, name[:60]),
            svg.words_at("note end", "100%", y + 13, signed(amount)),
            svg.tag("rect", "s1" if amount >= 0 else "less", **bar),
        ]
    base, end = numbers.anything(round(found.reference, 4)), numbers.anything(round(found.value, 4))
    exactly = "exact" if found.is_exact else "a sample of orders"
    drawn_as = f"Added to the mean {base} of {numbers.count(found.rows)} rows; {exactly}."
    words = charts.Words(f"The prediction is {end}.", drawn_as, "Feature")
    label = f"{words.finding} {drawn_as}"
    picture = svg.svg("plot bars", max(len(rows), 1) * charts.ROW, drawn, label)
    return charts.figure(words, picture, ["Adds"], [(name, [signed(a)]) for name, a in rows])


def signed(amount: float) -> str:
    """Write what a feature adds, with its sign.

    >>> signed(0.12345), signed(-2).lstrip(_MINUS)
    ('+0.123', '2')
    """
    return f"{amount:+.3g}".replace("-", _MINUS)


def _value(value: object) -> str:
    return "" if value is None else numbers.anything(value)[:40]
