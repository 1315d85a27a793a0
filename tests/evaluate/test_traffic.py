"""Traffic through a candidate: what is counted of it, and how sure that is."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.evaluate.report import Paired
from roadworthy.evaluate.traffic import (
    MOST_SHOWN,
    Clustered,
    Replayed,
    Side,
    Terms,
    Traffic,
    apart,
    judged,
)

OUTPUT = st.none() | st.fixed_dictionaries({"label": st.booleans(), "probability": st.floats(0, 1)})


def one(id: str, **fields: Any) -> Replayed:
    known: dict[str, Any] = {
        "id": id,
        "unit": id,
        "slices": (),
        "recorded": Side(disposition="answered", is_right=True),
        "replayed": Side(disposition="answered", is_right=True),
        "distance": 0.0,
        "differs": False,
    }
    return Replayed(**{**known, **fields})


def counted(*found: Replayed, margin: float = 0.02) -> Any:
    traffic = Traffic(Terms(0.95, margin))
    for each in found:
        traffic.add(each)
    return traffic.report(id="ev_1", service="late", release="b", at_us=1)


@given(OUTPUT, OUTPUT)
def test_a_distance_is_a_share_and_has_no_direction(a: Any, b: Any) -> None:
    there, back = apart(a, b, None), apart(b, a, None)
    assert 0 <= there.distance <= 1
    assert there.distance == pytest.approx(back.distance)
    assert there.differs == back.differs
    assert apart(a, a, None) == (0.0, False, "")


def test_another_label_is_farther_than_any_other_probability() -> None:
    same = apart({"label": 1, "probability": 0.0}, {"label": 1, "probability": 1.0}, None)
    other = apart({"label": 1, "probability": 0.5}, {"label": 0, "probability": 0.5}, None)
    assert same.distance <= other.distance
    assert (same.differs, other.differs) == (False, True)


def test_numbers_that_are_near_say_the_same() -> None:
    assert not apart({"minutes": 100.0}, {"minutes": 100.5}, None).differs
    assert apart({"minutes": 100.0}, {"minutes": 120.0}, None).differs


def test_a_probability_alone_stands_for_a_label() -> None:
    assert apart({"probability": 0.4}, {"probability": 0.6}, None).differs
    assert not apart({"probability": 0.6}, {"probability": 0.7}, None).differs


@given(st.lists(st.booleans(), min_size=2, max_size=60))
def test_an_interval_of_a_share_holds_it(values: list[bool]) -> None:
    found = Clustered()
    for place, value in enumerate(values):
        found.add(str(place), float(value))
    low, high = found.interval(0.95, is_share=True)
    assert found.mean is not None
    assert low is not None
    assert high is not None
    assert 0 <= low <= found.mean <= high <= 1


def test_what_users_have_in_common_widens_an_interval() -> None:
    alone, together = Clustered(), Clustered()
    for n in range(100):
        alone.add(f"u{n}", float(n % 10 < 3))
        together.add(f"u{n % 10}", float(n % 10 < 3))
    assert (alone.half_width(0.95) or 0) * 2 < (together.half_width(0.95) or 0)


@pytest.mark.slow
def test_intervals_over_users_cover_what_they_promise() -> None:
    draw = random.Random(7)
    covered = 0
    for _ in range(600):
        found = Clustered()
        for user in range(60):
            own = draw.betavariate(2, 6)
            for _ in range(draw.randint(1, 12)):
                found.add(f"u{user}", float(draw.random() < own))
        low, high = found.interval(0.95, is_share=True)
        covered += (low or 0) <= 0.25 <= (high or 1)
    assert covered / 600 >= 0.92


def test_no_worse_than_allowed_passes_and_worse_fails() -> None:
    good = [one(str(n)) for n in range(200)]
    assert counted(*good).verdict == "pass"
    wrong = Side(disposition="answered", is_right=False)
    bad = [one(str(n), replayed=wrong if n % 4 == 0 else good[0].replayed) for n in range(200)]
    report = counted(*bad)
    assert report.verdict == "fail"
    (right,) = (paired for paired in report.paired if paired.name == "right")
    assert (right.baseline, right.candidate, right.worse) == (1.0, 0.75, 50)


def test_what_is_open_says_how_many_more_it_needs() -> None:
    wrong = Side(disposition="answered", is_right=False)
    few = [
        one(
            str(n),
            replayed=wrong if n == 0 else Side(disposition="answered", is_right=True),
            recorded=wrong if n == 1 else Side(disposition="answered", is_right=True),
        )
        for n in range(40)
    ]
    report = counted(*few)
    assert report.verdict == "inconclusive"
    assert report.needed is not None
    assert report.needed > 0


@given(st.integers(1, 100))
def test_other_answers_of_which_nothing_is_known_never_pass_by_being_left_out(other: int) -> None:
    unknown = Side(disposition="answered", is_right=None)
    found = [one(str(n)) for n in range(200)]
    found += [one(f"o{n}", replayed=unknown, differs=True) for n in range(other)]
    report = counted(*found)
    (right,) = (paired for paired in report.paired if paired.name == "right")
    assert right.low is not None
    assert right.low <= -other / (200 + other)
    assert (report.verdict == "pass") == (right.low >= -0.02)


def test_where_nothing_is_known_of_answers_nothing_is_concluded() -> None:
    unknown = Side(disposition="answered")
    report = counted(one("a", recorded=unknown, replayed=unknown))
    assert report.verdict == "inconclusive"
    assert "nothing that became known" in report.sentence


def test_the_farthest_apart_are_kept_and_no_more() -> None:
    found = [one(f"{n:04}", distance=n / 1000, differs=True) for n in range(500)]
    report = counted(*found)
    assert len(report.results) == MOST_SHOWN
    assert [each.id for each in report.results[:2]] == ["0499", "0498"]
    assert report.metrics["disagreement"].value == 1.0


def test_parts_are_told_apart() -> None:
    differ = one("a", slices=("tag:night",), differs=True, distance=1.0)
    report = counted(differ, one("b", slices=("tag:day",)))
    shares = {part.name: part.metrics[0].value for part in report.slices}
    assert shares == {"tag:night": 1.0, "tag:day": 0.0}


def test_how_requests_end_is_told_beside_how_they_ended() -> None:
    failed = Side(disposition="failed", error_code="model_timeout")
    report = counted(one("a", replayed=failed), one("b"))
    assert report.metrics["disposition_failed"].value == 0.5
    assert report.metrics["disposition_failed"].why == "0.0% as recorded"


@given(st.floats(-0.5, 0.5), st.floats(0, 0.5), st.floats(0, 0.2))
def test_a_verdict_follows_from_the_interval(difference: float, half: float, margin: float) -> None:
    found = Paired(
        name="right", n=100, difference=difference, low=difference - half, high=difference + half
    )
    verdict = judged(found, margin).verdict
    if verdict == "pass":
        assert difference - half >= -margin
    if verdict == "fail":
        assert difference + half < -margin
    assert not math.isnan(difference)
