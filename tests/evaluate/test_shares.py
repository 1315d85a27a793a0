from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.evaluate.shares import settle_share, share_metric


@given(st.integers(0, 400), st.integers(1, 400), st.sampled_from([0.01, 0.05, 0.2, 0.5]))
def test_the_verdict_is_that_of_the_whole_interval(count: int, n: int, bar: float) -> None:
    count = min(count, n)
    found = settle_share(count, n, bar, 0.95)
    if found.high < bar - 1e-6:
        assert found.verdict == "pass"
    elif found.low > bar + 1e-6:
        assert found.verdict == "fail"
    elif found.low < bar - 1e-6 and found.high > bar + 1e-6:
        assert found.verdict == "inconclusive"


@given(st.integers(0, 20), st.integers(1, 200), st.sampled_from([0.01, 0.05, 0.2]))
def test_so_many_more_at_the_present_rate_settle_it(count: int, n: int, bar: float) -> None:
    count = min(count, n)
    needed = settle_share(count, n, bar, 0.95).needed
    if needed is not None:
        expected = count + count / n * needed
        verdicts = {
            settle_share(round_(expected), n + needed, bar, 0.95).verdict
            for round_ in (int, lambda x: -int(-x // 1))
        }
        assert verdicts & {"pass", "fail"}


def test_a_share_at_its_bar_is_never_settled() -> None:
    found = share_metric("typos", 5, 100, 0.05, 0.95)
    assert (found.verdict, found.needed) == ("inconclusive", None)
    assert "near to the bar" in found.why
    assert share_metric("typos", 0, 0, 0.05, 0.95).value is None


@pytest.mark.parametrize("true", [0.05, 0.08])
def test_a_share_above_its_bar_passes_no_more_often_than_promised(true: float) -> None:
    counts = np.random.default_rng(1).binomial(200, true, 4000)
    kept = {k for k in range(200) if settle_share(k, 200, 0.05, 0.95).verdict == "pass"}
    assert kept
    assert np.isin(counts, list(kept)).mean() <= 0.025
