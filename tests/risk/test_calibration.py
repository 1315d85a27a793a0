"""From scores to chances: beside scikit-learn, beside the definition, and with bad input."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.isotonic import IsotonicRegression, isotonic_regression
from sklearn.linear_model import LogisticRegression

from roadworthy.risk.calibration import (
    Calibration,
    Isotonic,
    fit_isotonic,
    fit_platt,
    fit_venn_abers,
    from_plain,
    pool,
    to_plain,
)
from roadworthy.risk.evidence import Floats
from roadworthy.risk.walk import Flags


def fit_platt_of_logit(scores: Floats, right: Flags) -> Calibration:
    return fit_platt(scores, right, "logit")


FITS: list[Callable[[Floats, Flags], Calibration]] = [
    fit_isotonic,
    fit_platt,
    fit_platt_of_logit,
    fit_venn_abers,
]
BAD = [math.nan, math.inf, -math.inf]
# Scikit-learn takes scores that are next to equal as one, so that these are not that near.
SCORE = st.integers(0, 64).map(lambda k: k / 64) | st.sampled_from([1e300, *BAD])
PLACE = st.integers(-32, 96).map(lambda k: k / 64)


@st.composite
def outcomes(draw: st.DrawFn, least: int = 0) -> tuple[Floats, Flags]:
    n = draw(st.integers(least, 40))
    return draw(arrays(float, n, elements=SCORE)), draw(arrays(bool, n))


def known(scores: Floats, right: Flags) -> tuple[Floats, Flags]:
    is_known = np.abs(scores) < 1e100
    return scores[is_known], right[is_known]


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(0.1, 9)), min_size=1, max_size=50))
def test_pooled_values_are_those_of_scikit_learn(pairs: list[tuple[float, float]]) -> None:
    values, weights = np.array(pairs).T
    expected = isotonic_regression(values, sample_weight=weights)
    assert pool(values, weights) == pytest.approx(expected, abs=1e-9)


@settings(deadline=None)
@given(outcomes(), st.lists(PLACE, max_size=20))
def test_an_isotonic_curve_is_that_of_scikit_learn_held_to_what_n_outcomes_show(
    found: tuple[Floats, Flags], places: list[float]
) -> None:
    scores, right = known(*found)
    if not scores.size:
        return
    theirs = IsotonicRegression(out_of_bounds="clip", y_min=0, y_max=1).fit(scores, right)
    low, high = 1 / (scores.size + 2), (scores.size + 1) / (scores.size + 2)
    curve = IsotonicRegression(out_of_bounds="clip", y_min=low, y_max=high).fit(scores, right)
    places = [*places, *scores.tolist()]
    ours = fit_isotonic(*found).apply(np.array(places))
    assert ours == pytest.approx(curve.predict(places), abs=1e-6)
    at_outcomes = np.clip(theirs.predict(scores), low, high)
    assert ours[len(places) - scores.size :] == pytest.approx(at_outcomes, abs=1e-6)


@settings(deadline=None)
@given(outcomes(), st.lists(PLACE, min_size=1, max_size=9))
def test_venn_abers_is_the_regression_with_the_new_one_as_right_and_as_wrong(
    found: tuple[Floats, Flags], places: list[float]
) -> None:
    fitted = fit_venn_abers(*found)
    scores, right = known(*found)
    for place in [*places, *scores[:5].tolist()]:
        for label, chance in zip((0.0, 1.0), fitted.interval(place), strict=True):
            joint = IsotonicRegression().fit(np.append(scores, place), np.append(right, label))
            assert chance == pytest.approx(joint.predict([place])[0], abs=1e-6)


@pytest.mark.parametrize("of", ["score", "logit"])
def test_platts_curve_is_the_logistic_regression_on_his_targets(of: str) -> None:
    rng = np.random.default_rng(2)
    scores = rng.random(400)
    right = rng.random(400) < scores**2
    ours = fit_platt(scores, right, "logit" if of == "logit" else "score")
    x = np.log(scores / (1 - scores)) if of == "logit" else scores
    high, low = (right.sum() + 1) / (right.sum() + 2), 1 / ((~right).sum() + 2)
    targets = np.where(right, high, low)
    theirs = LogisticRegression(C=1e9, tol=1e-10, max_iter=1000).fit(
        np.concatenate([x, x])[:, None],
        np.repeat([1, 0], 400),
        sample_weight=np.concatenate([targets, 1 - targets]),
    )
    assert ours.slope == pytest.approx(theirs.coef_[0, 0], rel=1e-4)
    assert ours.intercept == pytest.approx(theirs.intercept_[0], rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("fit", FITS)
@settings(deadline=None)
@given(outcomes(), st.lists(SCORE, min_size=2, max_size=20))
def test_chances_rise_with_the_score_and_promise_no_more_than_the_outcomes_show(
    fit: Callable[[Floats, Flags], Calibration], found: tuple[Floats, Flags], places: list[float]
) -> None:
    calibration = fit(*found)
    n = known(*found)[0].size
    chances = calibration.apply(np.sort(np.array([p for p in places if math.isfinite(p)])))
    assert (np.diff(chances) >= -1e-12).all()
    assert ((chances >= 0) & (chances <= ((n + 1) / (n + 2) if n else 0))).all()
    assert calibration.apply(np.array(BAD)).tolist() == [0, 0, 0]
    stored = from_plain(json.loads(json.dumps(to_plain(calibration))))
    assert stored == calibration
    assert [stored.chance(place) for place in places] == calibration.apply(
        np.array(places)
    ).tolist()


@pytest.mark.parametrize("fit", FITS)
def test_bad_outcomes_neither_fail_nor_promise(
    fit: Callable[[Floats, Flags], Calibration],
) -> None:
    right = np.arange(20) % 2 == 0
    assert fit(np.empty(0), np.empty(0, bool)).chance(0.99) == 0
    assert fit(np.full(20, math.nan), right).chance(0.99) == 0
    assert fit(np.full(20, 0.7), right).chance(0.7) == pytest.approx(0.5, abs=0.02)
    few = np.linspace(0.5, 0.9, 3)
    assert fit(few, np.ones(3, bool)).chance(0.99) <= 0.8
    assert fit(few, np.zeros(3, bool)).chance(0.99) <= (0.5 if fit is fit_venn_abers else 0.25)


@pytest.mark.parametrize("fit", FITS)
def test_scores_of_single_precision_are_taken_as_they_are(
    fit: Callable[[Floats, Flags], Calibration],
) -> None:
    scores = np.linspace(0, 1, 65)
    right = np.arange(65) % 3 > 0
    assert fit(scores.astype(np.float32), right) == fit(scores, right)


@pytest.mark.parametrize("fit", FITS)
def test_scores_that_say_nothing_are_given_the_share_that_is_right(
    fit: Callable[[Floats, Flags], Calibration],
) -> None:
    scores = np.linspace(0.01, 0.99, 300)
    falling = fit(scores, np.arange(300) < 150)
    assert falling.apply(np.array([0.05, 0.95])) == pytest.approx([0.5, 0.5], abs=0.02)


@pytest.mark.parametrize("fit", FITS)
def test_chances_of_many_outcomes_are_near_the_true_ones(
    fit: Callable[[Floats, Flags], Calibration],
) -> None:
    rng = np.random.default_rng(7)
    scores = rng.random(20_000)
    truth = 1 / (1 + np.exp(2 - 5 * scores))
    calibration = fit(scores, rng.random(20_000) < truth)
    places = np.linspace(0.1, 0.9, 9)
    expected = 1 / (1 + np.exp(2 - 5 * places))
    assert calibration.apply(places) == pytest.approx(expected, abs=0.08)


def test_one_of_the_two_chances_is_calibrated() -> None:
    rng, total = np.random.default_rng(5), np.zeros(2)
    for _ in range(400):
        scores = rng.random(31)
        right = rng.random(31) < scores
        interval = fit_venn_abers(scores[:30], right[:30]).interval(float(scores[30]))
        total += np.array([interval[int(right[30])], right[30]])
    assert total[0] / 400 == pytest.approx(total[1] / 400, abs=3 * 0.5 / math.sqrt(400))


@pytest.mark.parametrize(
    "plain",
    [
        {"type": "isotonic", "scores": [0.5, 0.1], "chances": [0.1, 0.2]},
        {"type": "isotonic", "scores": [0.5], "chances": []},
        {"type": "venn_abers", "ends": [], "uppers": [], "starts": [], "lowers": [0], "high": 1},
        {"type": "other"},
        [],
    ],
)
def test_what_is_no_calibration_is_refused(plain: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        from_plain(plain)


def test_a_stored_curve_does_not_change() -> None:
    with pytest.raises(AttributeError):
        Isotonic((0.0,), (1.0,)).scores = ()  # type: ignore[misc]
