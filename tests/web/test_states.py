"""States follow from numbers: the interval is the exact one, and nothing is said too early."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.web import numbers
from roadworthy.web.states import LEAST, Better, is_proven, judge, needed, wilson

Z = 1.959963984540054


@given(n=st.integers(1, 10**7), share=st.floats(0, 1))
def test_both_ends_of_the_interval_solve_the_equation_of_the_score_test(
    n: int, share: float
) -> None:
    hits = round(n * share)
    low, high = wilson(hits, n)
    assert 0 <= low <= hits / n <= high <= 1
    for end in (low, high):
        if 0 < end < 1:
            distance = Z * math.sqrt(end * (1 - end) / n)
            assert abs(hits / n - end) == pytest.approx(distance, rel=1e-4, abs=1e-9)


@given(n=st.integers(1, 10**6), share=st.floats(0, 1))
def test_the_interval_of_the_rest_is_the_mirror_image(n: int, share: float) -> None:
    hits = round(n * share)
    low, high = wilson(hits, n)
    assert wilson(n - hits, n) == pytest.approx((1 - high, 1 - low), abs=1e-9)


@given(
    hits=st.integers(0, 5000),
    misses=st.integers(0, 5000),
    promise=st.floats(0.01, 0.999),
    better=st.sampled_from(["low", "high"]),
)
def test_a_state_says_what_the_interval_says(
    hits: int, misses: int, promise: float, better: Better
) -> None:
    n = hits + misses
    low, high = wilson(hits, n)
    state = judge(promise, better, hits, n)
    if n < LEAST:
        assert state == "collecting"
        return
    keeps = low >= promise if better == "high" else high <= promise
    breaks = high < promise if better == "high" else low > promise
    is_good = hits / n >= promise if better == "high" else hits / n <= promise
    so_far = is_good and not breaks and n < needed(promise, better)
    assert is_proven(promise, better, hits, n) == keeps
    assert (state == "healthy") == (keeps or so_far)
    assert (state == "breached") == breaks
    assert state != "collecting"


@pytest.mark.parametrize("promise", [0.9, 0.99, 0.999, 0.9999])
def test_the_number_that_is_needed_is_the_first_that_proves(promise: float) -> None:
    n = needed(promise, "high")
    assert is_proven(promise, "high", n, n)
    assert not is_proven(promise, "high", n - 1, n - 1)
    assert judge(promise, "high", n, n) == judge(promise, "high", n - 1, n - 1) == "healthy"
    assert not is_proven(promise, "high", n - 1, n)


@given(value=st.floats(0, 1), promise=st.floats(0.0001, 0.9999))
def test_a_share_is_never_written_on_the_other_side_of_its_promise(
    value: float, promise: float
) -> None:
    promise = round(promise, 4)
    written = numbers.share(value, promise)
    assert written.endswith("%")
    number = float(written[:-1].lstrip("<>"))
    if abs(value - promise) > 1e-8:
        if value < promise:
            assert number <= promise * 100 + 1e-9
        else:
            assert number >= promise * 100 - 1e-9 or written.startswith("<")
