"""Which combinations production has, and a suite lacks."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from roadworthy.evaluate.coverage import coverage_of, proposed

VALUE = st.none() | st.booleans() | st.integers(0, 40) | st.sampled_from(["de", "en", "fr"])
ROW = st.dictionaries(st.sampled_from(["a", "b", "c", "tag:x", "tag:y"]), VALUE, max_size=5)
ROWS = st.lists(ROW, min_size=1, max_size=30)
WAYS = st.integers(1, 3)


@given(ROWS, WAYS)
def test_production_covers_itself(rows: list[dict[str, Any]], ways: int) -> None:
    found = coverage_of(rows, rows, ways=ways)
    assert found.gaps == ()
    assert found.share in (None, 1.0)
    assert found.requests_share == 1.0
    assert found.unseen == 0


@given(ROWS, WAYS)
def test_without_cases_nothing_is_covered(rows: list[dict[str, Any]], ways: int) -> None:
    found = coverage_of(rows, [], ways=ways, most_gaps=10_000)
    assert found.covered == 0
    assert len(found.gaps) == found.combinations


@given(ROWS, ROWS, ROW, WAYS)
def test_one_more_case_never_covers_less(
    rows: list[dict[str, Any]], suite: list[dict[str, Any]], more: dict[str, Any], ways: int
) -> None:
    before, after = (coverage_of(rows, cases, ways=ways) for cases in (suite, [*suite, more]))
    assert after.covered >= before.covered
    assert (after.share or 0) >= (before.share or 0)
    assert (after.requests_share or 0) >= (before.requests_share or 0)


@given(ROWS, ROWS, WAYS)
def test_gaps_come_largest_first_and_name_requests_that_have_them(
    rows: list[dict[str, Any]], suite: list[dict[str, Any]], ways: int
) -> None:
    ids = [str(place) for place in range(len(rows))]
    found = coverage_of(rows, suite, ids=ids, ways=ways)
    shares = [gap.share for gap in found.gaps]
    assert shares == sorted(shares, reverse=True)
    assert all(gap.like and set(gap.like) <= set(ids) for gap in found.gaps)
    assert found.covered + len(found.gaps) + found.more == found.combinations


@given(ROWS, ROWS, WAYS)
def test_what_is_proposed_closes_every_gap_that_it_is_like(
    rows: list[dict[str, Any]], suite: list[dict[str, Any]], ways: int
) -> None:
    ids = [str(place) for place in range(len(rows))]
    found = coverage_of(rows, suite, ids=ids, ways=ways, most_gaps=10_000)
    added = [rows[int(id)] for id in proposed(found, len(rows))]
    assert coverage_of(rows, [*suite, *added], ways=ways).share in (None, 1.0)


def test_numbers_fall_into_ranges_of_equal_shares() -> None:
    rows = [{"minutes": n, "plan": "paid" if n % 2 else "free"} for n in range(100)]
    found = coverage_of(rows, [{"minutes": 99, "plan": "paid"}])
    minutes = next(one for one in found.properties if one.name == "minutes")
    assert minutes.kind == "ranges"
    assert max(minutes.parts.values()) - min(minutes.parts.values()) <= 0.021
    assert set(minutes.missing) == {"up to 25", "25 to 50", "50 to 75"}
    assert found.covered == 1


def test_texts_are_told_apart_by_their_length() -> None:
    rows = [{"question": "x" * n, "lang": "de" if n % 2 else "en"} for n in range(40)]
    found = coverage_of(rows, [])
    question = next(one for one in found.properties if one.name == "question")
    assert question.kind == "lengths"
    assert len(question.parts) == 4


def test_rare_values_are_other() -> None:
    rows = [{"carrier": f"C{n % 5}"} for n in range(100)]
    rows += [{"carrier": f"R{n % 20}"} for n in range(40)]
    found = coverage_of(rows, [], ways=1, most_values=5)
    assert {part for gap in found.gaps for part in gap.parts.values()} == {
        *(f"C{n}" for n in range(5)),
        "other",
    }


def test_what_never_changes_is_no_property() -> None:
    rows = [{"version": 1, "plan": plan} for plan in ("free", "paid")]
    assert [one.name for one in coverage_of(rows, rows).properties] == ["plan"]
