"""Curves over a number: gaps stay gaps, words are escaped, and the numbers stand below."""

from __future__ import annotations

import math
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from roadworthy.web.curves import Curve, Mark, Span, curve_chart
from roadworthy.web.plots import Goal, Words

HOSTILE = "<script>alert(1)</script>\"'&\x00\u202e😀"


def drawn(markup: Markup) -> ElementTree.Element:
    """Read markup as XML, which refuses what is not well-formed."""
    return ElementTree.fromstring(f"<all>{markup}</all>")


def chart(points: list[tuple[float, float | None]], **more: object) -> ElementTree.Element:
    known = {"show_x": "{:.2f}".format, "show_y": "{:.3f}".format}
    curves = [Curve("Seen", points)]
    return drawn(curve_chart(Words("Found.", "Drawn."), curves, **{**known, **more}))  # type: ignore[arg-type]


def paths(found: ElementTree.Element, cls: str) -> list[str]:
    return [path.attrib["d"] for path in found.iter("path") if path.attrib["class"] == cls]


def test_what_is_not_known_is_a_gap_and_a_dash() -> None:
    found = chart([(0.1, 0.2), (0.2, 0.3), (0.3, None), (0.4, 0.1), (0.5, math.nan)])
    assert len(paths(found, "line")) == 1
    assert len(paths(found, "dot")) == 1
    cells = ["".join(cell.itertext()) for cell in found.iter("td")]
    assert cells == ["0.200", "0.300", "\u2013none", "0.100", "\u2013none"]


def test_marks_spans_and_a_promise_are_drawn_with_their_words() -> None:
    found = chart(
        [(0.0, 0.1), (1.0, 0.2)],
        marks=[Mark(0.5, 0.15, HOSTILE, "dot chosen", "ok-t")],
        spans=[Span(0.5, 0.1, 0.3)],
        goal=Goal(0.25, "promise"),
    )
    words = ["".join(text.itertext()) for text in found.iter("text")]
    assert any(text.startswith("<script>alert(1)") for text in words)
    assert "promise" in words
    assert len(paths(found, "dot chosen")) == len(paths(found, "line thin")) == 1
    assert not list(found.iter("script"))


def test_nothing_at_all_says_so() -> None:
    assert "Nothing was measured." in "".join(chart([]).itertext())


@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.one_of(st.none(), st.floats(0, 1), st.just(math.inf))),
        max_size=20,
    ),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_whatever_is_drawn_lies_within_the_picture(
    points: list[tuple[float, float | None]], x: float, y: float
) -> None:
    found = chart(sorted(points, key=lambda p: p[0]), marks=[Mark(x, y, "here")])
    for text in found.iter("text"):
        assert 0 <= float(text.attrib["y"]) <= 180
    for path in found.iter("path"):
        assert "nan" not in path.attrib["d"]
        assert "inf" not in path.attrib["d"]
