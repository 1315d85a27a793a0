"""Charts by their geometry: what is drawn stands where its value says."""

from __future__ import annotations

import doctest
import math
import re
from collections.abc import Iterator
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from roadworthy.web import charts, plots, svg
from roadworthy.web.charts import Goal, Series, Words

PROMISE = Goal(800, "promise 800 ms")
HOSTILE = "<script>alert(1)</script>\"'&\x00\x1b\u202e\u2066\ud800😀"
TOP, BOTTOM = plots.TOP, plots.HEIGHT - plots.BOTTOM


def parsed(markup: Markup) -> ElementTree.Element:
    """Read markup as XML, which refuses what is not well-formed."""
    assert isinstance(markup, Markup)
    return ElementTree.fromstring(f"<all>{markup}</all>")


def having(root: ElementTree.Element, cls: str) -> list[ElementTree.Element]:
    return [e for e in root.iter() if cls in e.get("class", "").split()]


def places(path: ElementTree.Element) -> list[tuple[float, float]]:
    pairs = re.findall(r"([-\d.]+) ([-\d.]+)", path.get("d", ""))
    return [(float(x), float(y)) for x, y in pairs]


def number(element: ElementTree.Element, name: str) -> float:
    return float(element.get(name, "nan").rstrip("%"))


def words_of(root: ElementTree.Element) -> str:
    return " ".join(root.itertext())


def line(values: list[float | None], goal: Goal | None = PROMISE) -> ElementTree.Element:
    return parsed(
        charts.line_chart(
            Words("p95 stayed under 800 ms.", "p95 per hour, ms.", "Hour"),
            list(enumerate(values)),
            goal=goal,
            show_x=lambda x: f"{x:02.0f}:00",
            show_y=lambda y: f"{y:,.0f} ms",
            x_ticks=[(0, "00:00"), (len(values) - 1, "end")],
        )
    )


def stack(series: list[Series]) -> ElementTree.Element:
    xs = list(range(len(series[0].values)))
    return parsed(
        charts.stacked_bars(
            Words("All were answered."),
            xs,
            series,
            step=1,
            show_x=str,
            show_y=lambda y: f"{y:.0f}",
        )
    )


def test_the_examples_of_the_docstrings_hold() -> None:
    for module in (charts, svg):
        assert doctest.testmod(module).failed == 0


def test_a_line_goes_through_its_values_from_the_left_to_the_right_edge() -> None:
    (drawn,) = having(line([0, 500, 1000]), "line")
    assert places(drawn) == [(0, BOTTOM), (500, TOP + (BOTTOM - TOP) / 2), (1000, TOP)]


def test_the_axis_starts_at_zero_and_ends_at_a_round_number() -> None:
    root = line([700, 710])
    ticks = [e for e in having(root, "tick") if e.get("x") == "-7"]
    assert [e.text for e in ticks] == ["0 ms", "200 ms", "400 ms", "600 ms", "800 ms"]
    assert [number(e, "y") for e in ticks] == sorted((number(e, "y") for e in ticks), reverse=True)
    assert number(ticks[0], "y") == BOTTOM + 4


def test_a_gap_is_neither_zero_nor_a_bridge() -> None:
    root = line([100, 200, None, 300, 400, None])
    assert [len(places(e)) for e in having(root, "line")] == [2, 2]
    assert [places(e)[0][0] for e in having(root, "line")] == [0, 600]
    assert BOTTOM not in {y for e in having(root, "line") for _, y in places(e)}


def test_one_value_between_gaps_is_a_dot() -> None:
    root = line([None, 300, None])
    assert having(root, "line") == []
    (dot,) = having(root, "dot")
    assert dot.get("d", "").endswith("h0")
    assert places(dot)[0][0] == 500


def test_what_is_not_a_number_is_a_gap() -> None:
    root = line([100, 200, math.nan, 300, math.inf])
    assert [len(places(e)) for e in having(root, "line")] == [2]
    assert "nan" not in words_of(root)


def test_nothing_measured_says_so_and_still_shows_the_promise() -> None:
    root = line([None, None])
    assert "Nothing was measured." in words_of(root)
    assert "promise 800 ms" in words_of(root)
    assert having(root, "line") == []


def test_a_chart_without_places_is_drawn() -> None:
    assert "Nothing was measured." in words_of(line([]))


def test_the_promise_is_a_line_at_its_value_with_word_and_number() -> None:
    root = line([100, 1000])
    (goal,) = having(root, "goal")
    expected = BOTTOM - 0.8 * (BOTTOM - TOP)
    assert number(goal, "y1") == number(goal, "y2") == pytest.approx(expected)
    (words,) = having(root, "goal-text")
    assert words.text == "promise 800 ms"
    assert number(words, "y") < number(goal, "y1")


def test_a_promise_above_all_values_is_still_inside_the_plot() -> None:
    (goal,) = having(line([1, 2]), "goal")
    assert TOP <= number(goal, "y1") <= BOTTOM


def test_a_breach_is_shaded_from_crossing_to_crossing_and_its_line_thickens() -> None:
    root = line([600, 1000, 600, 600])
    (shade,) = having(root, "late")
    # 600 → 1000 crosses 800 half way between the places, on both sides.
    assert number(shade, "x") == pytest.approx(100 / 6, abs=0.01)
    assert number(shade, "width") == pytest.approx(100 / 3, abs=0.01)
    (thick,) = having(root, "lateline")
    goal = number(having(root, "goal")[0], "y1")
    assert places(thick)[0][1] == places(thick)[-1][1] == pytest.approx(goal, abs=0.01)
    assert len(places(thick)) == 3


def test_a_value_on_its_promise_keeps_it() -> None:
    assert having(line([800, 800]), "late") == []


def test_a_breach_that_lasts_to_the_end_stays_inside() -> None:
    (shade,) = having(line([900, 900]), "late")
    assert number(shade, "x") + number(shade, "width") == pytest.approx(100)


def test_a_single_late_value_between_gaps_is_shaded_too() -> None:
    (shade,) = having(line([100, None, 900]), "late")
    assert 0 < number(shade, "width") < 1
    assert number(shade, "x") + number(shade, "width") <= 100


def test_a_promise_that_wants_much_is_broken_below_it() -> None:
    root = line([0.5, 1.0], Goal(0.9, "promise 90%", "high"))
    (shade,) = having(root, "late")
    assert number(shade, "x") == 0


@given(st.lists(st.one_of(st.none(), st.floats(0, 1e12)), max_size=30))
def test_every_line_stays_inside_its_plot(values: list[float | None]) -> None:
    for path in having(line(values), "line") + having(line(values), "lateline"):
        for x, y in places(path):
            assert -0.01 <= x <= 1000.01
            assert TOP - 0.01 <= y <= BOTTOM + 0.01


def test_words_on_the_edge_of_the_axis_do_not_leave_it() -> None:
    root = line([1, 2])
    first, last = (e for e in having(root, "tick") if e.text in ("00:00", "end"))
    assert "start" in first.get("class", "")
    assert "end" in last.get("class", "")


def test_the_numbers_are_a_table_that_names_what_is_missing() -> None:
    root = line([612, None])
    (table,) = root.iter("table")
    assert [words_of(row) for row in table.iter("tr")] == [
        "Hour Measured",
        "00:00 612 ms",
        "01:00 \N{EN DASH} none",
    ]


def test_parts_of_a_bar_lie_on_each_other_in_the_order_of_the_key() -> None:
    root = stack([Series("answered", [3, 1]), Series("failed", [1, None])])
    bars = [e for e in root.iter("rect") if e.get("width") != "12"]
    first, second, third = ((number(e, "y"), number(e, "y") + number(e, "height")) for e in bars)
    unit = (BOTTOM - TOP) / 4
    assert first == pytest.approx((BOTTOM - 3 * unit, BOTTOM), abs=0.02)
    assert second == pytest.approx((BOTTOM - 4 * unit, BOTTOM - 3 * unit), abs=0.02)
    assert third == pytest.approx((BOTTOM - unit, BOTTOM), abs=0.02)
    assert [e.get("class") for e in bars] == ["s1", "s2", "s1"]
    assert [words_of(e) for e in root.iter("li")] == ["answered", "failed"]


def test_one_series_has_no_key() -> None:
    root = stack([Series("Cost", [3, 1])])
    assert list(root.iter("li")) == having(root, "key") == []
    assert [words_of(e) for e in root.iter("th")][:2] == ["Time", "Cost"]


def test_bars_stand_side_by_side_from_edge_to_edge() -> None:
    root = stack([Series("a", [1, 1, 1, 1])])
    bars = [e for e in root.iter("rect") if e.get("width") != "12"]
    lefts = [number(e, "x") for e in bars]
    assert lefts == [20, 270, 520, 770]
    assert lefts[-1] + number(bars[-1], "width") == 980


def test_a_fifth_series_is_summed_up_as_other() -> None:
    root = stack([Series(name, [1]) for name in "abcdef"])
    assert [words_of(e) for e in root.iter("li")] == ["a", "b", "c", "d", "other"]
    assert words_of(list(root.iter("tr"))[1]) == "0 1 1 1 1 2"


def test_a_bar_that_was_not_measured_is_missing_and_said_to_be() -> None:
    root = stack([Series("a", [None, 2])])
    assert len([e for e in root.iter("rect") if e.get("width") != "12"]) == 1
    assert "0 \N{EN DASH} none" in words_of(root)


def test_bars_by_name_are_measured_against_the_longest() -> None:
    rows = [("checkout", 4.0), ("care", 1.0), ("idle", 0.0)]
    root = parsed(
        charts.bar_chart(Words("Checkout spends most."), rows, show=lambda v: f"${v:.2f}")
    )
    assert [number(e, "width") for e in having(root, "s1")] == [100, 25, 0]
    assert [e.text for e in having(root, "note")[:2]] == ["checkout", "$4.00"]


def test_bars_of_nothing_are_drawn() -> None:
    assert having(parsed(charts.bar_chart(Words("None."), [], show=str)), "s1") == []


def test_parts_of_a_whole_fill_it_and_never_overlap() -> None:
    root = parsed(charts.disposition_bar([("answered", 6), ("cached", 0), ("failed", 2)]))
    (answered,), (failed,) = having(root, "s1"), having(root, "s6")
    assert (number(answered, "x"), number(answered, "width")) == (0, 75)
    assert (number(failed, "x"), number(failed, "width")) == (75, 25)
    assert having(root, "s3") == []
    assert len(having(root, "cut")) == 1
    assert root[0].get("aria-label") == "answered 6, cached 0, failed 2"


def test_a_bar_of_no_requests_says_so() -> None:
    assert parsed(charts.disposition_bar([]))[0].get("aria-label") == "no requests"


def promise(**given: object) -> ElementTree.Element:
    usual: dict[str, object] = {
        "promise": 800,
        "scale": (0, 1000),
        "better": "low",
        "label": "612 ms against 800 ms",
    }
    return parsed(charts.promise_plot(**{**usual, **given}))  # type: ignore[arg-type]


def test_a_promise_is_tinted_on_its_broken_side() -> None:
    (low,), (high,) = having(promise(), "wrong"), having(promise(better="high"), "wrong")
    assert (number(low, "x"), number(low, "width")) == (80, 20)
    assert (number(high, "x"), number(high, "width")) == (0, 80)


def test_the_tick_is_the_promise_the_bar_the_interval_the_dot_the_value() -> None:
    root = promise(value=612, interval=(588, 641), state="ok")
    (tick,), (span,), (dot,) = (having(root, cls) for cls in ("tickmark", "span", "point"))
    assert number(tick, "x1") == number(tick, "x2") == 80
    assert (number(span, "x"), number(span, "width")) == pytest.approx((58.8, 5.3))
    assert number(dot, "cx") == 61.2
    assert root[0].get("class") == "mini ok"
    assert root[0].get("aria-label") == "612 ms against 800 ms"


def test_what_is_not_measured_has_no_dot_and_no_bar() -> None:
    root = promise()
    assert having(root, "point") == having(root, "span") == []
    assert len(having(root, "tickmark")) == 1


def test_a_value_off_the_scale_stands_at_its_edge() -> None:
    root = promise(value=9000, interval=(-5, 9100))
    assert number(having(root, "point")[0], "cx") == 100
    assert (number(having(root, "span")[0], "x"), number(having(root, "span")[0], "width")) == (
        0,
        100,
    )


def test_a_purse_shows_what_is_spent_what_comes_and_its_ceiling() -> None:
    root = parsed(charts.purse(5, 20, coming=5, label="$5 of $20"))
    ceiling = 100 / 1.04
    assert number(having(root, "spent")[0], "width") == pytest.approx(ceiling / 4, abs=0.01)
    assert number(having(root, "coming")[0], "width") == pytest.approx(ceiling / 2, abs=0.01)
    assert number(having(root, "tickmark")[0], "x1") == pytest.approx(ceiling, abs=0.01)
    assert root[0].get("class") == "purse"


def test_a_purse_that_will_not_do_is_marked() -> None:
    root = parsed(charts.purse(15, 20, coming=6, label=""))
    assert "risk" in root[0].get("class", "")
    assert number(having(root, "coming")[0], "width") <= 100


@pytest.mark.parametrize(("spent", "ceiling"), [(0, 0), (0, None), (3, None), (3, 0)])
def test_a_purse_without_a_ceiling_or_money_is_drawn(spent: float, ceiling: float | None) -> None:
    root = parsed(charts.purse(spent, ceiling, label="words"))
    assert len(having(root, "tickmark")) == (ceiling is not None)
    assert number(having(root, "spent")[0], "width") <= 100


def test_a_step_lies_on_the_clock_of_its_request() -> None:
    root = parsed(charts.walk_bar(500, 250, 2000, objective=800, deadline=2000))
    (bar,) = root.iter("rect")
    assert (number(bar, "x"), number(bar, "width")) == (25, 12.5)
    assert number(having(root, "obj")[0], "x1") == 40
    assert number(having(root, "ddl")[0], "x1") == 100


def test_a_short_step_can_be_seen_and_stays_inside() -> None:
    (bar,) = parsed(charts.walk_bar(2000, 0.01, 2000)).iter("rect")
    assert number(bar, "width") > 0.3
    assert number(bar, "x") + number(bar, "width") <= 100


def test_a_skipped_step_draws_nothing() -> None:
    assert list(parsed(charts.walk_bar(0, 0, 2000)).iter("rect")) == []


def test_a_deadline_beyond_the_clock_is_not_drawn() -> None:
    assert having(parsed(charts.walk_bar(0, 1, 100, deadline=2000)), "ddl") == []


def test_the_words_over_a_walk_stand_where_its_lines_do() -> None:
    root = parsed(charts.walk_head(2000, 800, 2000))
    (objective,), (deadline,) = having(root, "goal-text"), having(root, "stop-text")
    assert (objective.text, objective.get("x")) == ("objective 800 ms", "40%")
    assert (deadline.text, deadline.get("x")) == ("deadline 2,000 ms", "100%")
    assert number(objective, "y") != number(deadline, "y")


def test_limits_beyond_the_clock_have_no_words_on_it() -> None:
    assert having(parsed(charts.walk_head(100, 800, 2000)), "goal-text") == []


def hostile_pictures() -> Iterator[Markup]:
    words, points = Words(HOSTILE, HOSTILE, HOSTILE), [(0.0, 1.0), (1.0, 2.0)]
    goal = Goal(1, HOSTILE)

    def said(_: float) -> str:
        return HOSTILE

    ticks = [(0.0, HOSTILE)]
    yield charts.line_chart(
        words, points, goal=goal, show_x=said, show_y=said, x_ticks=ticks, name=HOSTILE
    )
    parts = [Series(HOSTILE, [1.0])]
    yield charts.stacked_bars(
        words, [0.0], parts, step=1, show_x=said, show_y=said, x_ticks=ticks, goal=goal
    )
    yield charts.bar_chart(words, [(HOSTILE, 1.0)], show=said, head=HOSTILE)
    yield charts.disposition_bar([(HOSTILE, 1)])
    yield charts.promise_plot(1, (0, 2), "low", state=HOSTILE, label=HOSTILE)
    yield charts.purse(1, 2, label=HOSTILE)
    yield charts.walk_bar(0, 1, 1, shape=HOSTILE)


@pytest.mark.parametrize("picture", list(hostile_pictures()))
def test_hostile_words_stay_words(picture: Markup) -> None:
    root = parsed(Markup(picture))
    assert next(root.iter("script"), None) is None
    assert {name for e in root.iter() for name in e.attrib}.isdisjoint({"style", "onload"})
    written = words_of(root) + " ".join(v for e in root.iter() for v in e.attrib.values())
    assert "<script>" in written
    assert not set(written) & set("\x00\x1b\u202e\u2066\ud800")
