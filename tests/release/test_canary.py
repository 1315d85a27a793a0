"""A rollout: closed users in, one word and its numbers out."""

import json
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.declare.release import ReleasePolicy
from roadworthy.release.canary import (
    Asked,
    ClosedUnit,
    Forecast,
    Progress,
    Terms,
    decide,
    expected_duration,
    plain_of,
    progress_of,
    take,
    take_asked,
    take_requests,
    terms_of,
)
from roadworthy.risk.bets import log_wealth_of_pairs

SECOND = 1_000_000
CANARY = Terms(metrics=("errors",), steps=(0.05, 0.25, 1.0))
HALF = Terms(metrics=("errors", "late", "wrong"), steps=(0.5, 1.0))
SHADOW = Terms(metrics=("errors", "brier"), judge="shadow")


def test_nothing_seen_is_nothing_decided() -> None:
    verdict = decide(Progress(), CANARY)
    assert verdict.word == "wait"
    assert verdict.why == "0 of at least 50 users of the candidate were seen"
    assert verdict.expected_us is None
    (figure,) = verdict.figures
    assert figure.units == 0
    assert figure.low is None
    assert figure.worse == 1.0


def test_five_failures_in_a_row_roll_back_at_once_and_stay() -> None:
    progress = take_requests(Progress(), [True, True, True, True])
    assert decide(progress, CANARY).word == "wait"
    saved = take_requests(progress, [False, True])
    assert (saved.consecutive_failures, saved.has_crashed) == (1, False)
    crashed = take_requests(progress, [True, False])
    verdict = decide(progress_of(plain_of(crashed)), CANARY)
    assert verdict.word == "roll_back"
    assert verdict.why == "5 requests of the candidate failed in a row"


def asked(arms: str, *, failed: str, users: int = 100) -> list[Asked]:
    """Return requests of the champion (`c`) and the candidate (`n`); of `failed` all fail."""
    names = {"c": "champion", "n": "candidate"}
    return [
        Asked(names[arm], f"u{number % users}", arm in failed)  # type: ignore[arg-type]
        for number, arm in enumerate(arms)
    ]


def test_one_whose_ladder_hides_that_no_model_answers_goes_back_at_once() -> None:
    crashed = take_asked(Progress(), asked("cn" * 12, failed="n"))
    verdict = decide(progress_of(plain_of(crashed)), HALF)
    assert verdict.word == "roll_back"
    assert "answered none of" in verdict.why
    both = [Asked("both", f"u{number}", has_failed=True) for number in range(12)]
    assert decide(take_asked(Progress(), both), SHADOW).word == "roll_back"


def test_what_fails_both_releases_is_no_crash_of_the_candidate() -> None:
    outage = take_asked(Progress(), asked("c" * 500 + "cn" * 60, failed="cn"))
    assert not outage.has_crashed
    both = [Asked("both", f"u{number}", True, True) for number in range(60)]
    assert not take_asked(Progress(), both).has_crashed


def test_one_user_that_fails_again_and_again_is_no_crash() -> None:
    assert not take_asked(Progress(), asked("cn" * 60, failed="n", users=2)).has_crashed


def test_users_that_fail_by_chance_are_no_crash() -> None:
    rng = np.random.default_rng(3)
    crashes = 0
    for _ in range(50):
        found, is_candidate = rng.random(4_000) < 0.2, rng.random(4_000) < 0.5
        arms = np.where(is_candidate, "candidate", "champion")
        requests = [
            Asked(arm, f"u{number}", bool(failed))
            for number, (arm, failed) in enumerate(zip(arms, found, strict=True))
        ]
        crashes += take_asked(Progress(), requests).has_crashed
    assert crashes <= 2


def test_a_canary_is_paired_with_the_next_nineteen_of_the_champion() -> None:
    rng = np.random.default_rng(1)
    ours, theirs = rng.random(30) < 0.3, rng.random((30, 19)) < 0.1
    units = []
    for mine, others in zip(ours, theirs, strict=True):
        units.append(_unit("candidate", float(mine)))
        units += [_unit("champion", float(other)) for other in others]
    progress = take(Progress(), units, CANARY)
    expected = log_wealth_of_pairs(ours - theirs.mean(axis=1))
    evidence = progress.tracks["errors"].evidence
    assert evidence.log_worse == pytest.approx(expected[-1])
    assert evidence.most_worse == pytest.approx(max(expected.max(), 0))
    (figure,) = decide(progress, CANARY).figures
    assert figure.units == 30
    assert figure.difference == pytest.approx(ours.mean() - theirs.mean())
    assert figure.candidate == pytest.approx(ours.mean())
    assert figure.champion == pytest.approx(theirs.mean())


def test_where_most_meet_the_candidate_many_of_it_make_one_pair() -> None:
    terms = Terms(metrics=("errors",), steps=(0.75, 1.0))
    assert terms.block == (3, 1)
    units = [_unit("candidate", loss) for loss in (1.0, 0.0, 0.5)] + [_unit("champion", 0.25)]
    assert take(Progress(), units, terms).tracks["errors"].evidence.total == 0.25


_unit_of = st.builds(
    lambda arm, errors, late, wrong: ClosedUnit(
        arm=arm,
        closed_us=1,
        losses={
            "errors": errors,
            **({} if late is None else {"late": late}),
            **({} if wrong is None else {"wrong": wrong}),
        },
        champion_losses={"errors": 0.5} if arm == "both" else {},
    ),
    st.sampled_from(["champion", "candidate", "both"]),
    st.floats(0, 1),
    st.none() | st.floats(0, 1),
    st.none() | st.floats(0, 1),
)


@given(st.lists(_unit_of, max_size=80), st.lists(st.integers(0, 80), max_size=5))
@settings(deadline=None)
def test_how_users_are_batched_and_kept_changes_nothing(
    units: list[ClosedUnit], cuts: list[int]
) -> None:
    terms = Terms(metrics=("errors", "late", "wrong"), steps=(0.25, 1.0))
    whole = take(Progress(), units, terms)
    parts, at = Progress(), 0
    for cut in [*sorted(cuts), len(units)]:
        parts = take(parts, units[at : max(cut, at)], terms)
        parts = progress_of(json.loads(json.dumps(plain_of(parts))))
        at = max(cut, at)
    assert parts == whole
    assert decide(parts, terms) == decide(whole, terms)


def test_taking_leaves_what_was_there_as_it_was() -> None:
    before = take(Progress(), [_unit("candidate", 1.0)], HALF)
    kept = plain_of(before)
    take(before, [_unit("champion", 0.0)] * 5, HALF)
    assert plain_of(before) == kept


def test_a_loss_that_is_none_is_refused() -> None:
    for loss in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="from 0 to 1"):
            take(Progress(), [_unit("candidate", loss)], HALF)


def test_a_worse_candidate_is_rolled_back_with_its_numbers() -> None:
    verdict = decide(take(Progress(), _traffic(0.3, 0.05, 3000, HALF), HALF), HALF)
    assert verdict.word == "roll_back"
    assert verdict.why.startswith("more failures with the candidate: 3")
    assert verdict.why.endswith("the evidence that is enough")
    errors = verdict.figures[0]
    assert errors.low is not None
    assert errors.low > 0
    assert errors.worse >= errors.worse_needed == pytest.approx(60)


def test_an_equal_one_advances_step_by_step_and_is_promoted_at_the_last() -> None:
    terms = Terms(metrics=("errors",), steps=(0.25, 0.5, 1.0), min_units=100)
    progress = take(Progress(), _traffic(0.02, 0.02, 8000, terms), terms)
    first = decide(progress, terms)
    assert first.word == "advance"
    assert first.why.startswith("not worse than allowed in errors, on ")
    second = Terms(metrics=("errors",), steps=terms.steps, step=1, min_units=100)
    assert decide(progress, second).word == "wait"
    assert decide(progress, second).why == "0 of at least 100 users of the candidate were seen"
    progress = take(progress, _traffic(0.02, 0.02, 1000, second, seed=6), second)
    assert decide(progress, second).word == "promote"


def test_one_step_for_everybody_has_nothing_to_pass() -> None:
    assert decide(Progress(), Terms(metrics=("errors",), steps=(1.0,))).word == "promote"
    assert decide(Progress(), SHADOW).word == "wait"


def test_a_harm_that_comes_with_the_second_step_keeps_it_from_passing() -> None:
    terms = Terms(metrics=("errors",), steps=(0.25, 0.5, 1.0))
    progress = take(Progress(), _traffic(0.02, 0.02, 8000, terms), terms)
    assert decide(progress, terms).word == "advance"
    second = Terms(metrics=("errors",), steps=terms.steps, step=1)
    progress = take(progress, _traffic(0.3, 0.02, 300, second, seed=7), second)
    assert decide(progress, second).word == "roll_back"


def test_outcomes_that_come_later_are_paired_among_themselves() -> None:
    units = _traffic(0.02, 0.02, 4000, HALF)
    late = [
        ClosedUnit(arm=unit.arm, closed_us=unit.closed_us, losses={"wrong": float(k % 5 == 0)})
        for k, unit in enumerate(units[:400])
    ]
    progress = take(take(Progress(), units, HALF), late, HALF)
    by_name = {figure.name: figure for figure in decide(progress, HALF).figures}
    assert by_name["errors"].units > 1900
    assert 150 < by_name["wrong"].units < 250
    assert by_name["late"].units == 0


def test_what_is_required_is_waited_for_and_what_is_rare_is_not() -> None:
    required = Terms(metrics=HALF.metrics, required=("wrong",), steps=HALF.steps)
    progress = take(Progress(), _traffic(0.01, 0.01, 6000, HALF), HALF)
    assert decide(progress, HALF).word == "promote"
    waiting = decide(progress, required)
    assert waiting.word == "wait"
    assert waiting.why.startswith("wrong: evidence 1.0 of 10")
    assert waiting.expected_us is None


def test_a_user_without_labels_never_counts_as_right() -> None:
    units = [_unit("candidate", 0.0), _unit("champion", 0.0)] * 200
    progress = take(Progress(), units, HALF)
    assert set(progress.tracks) == {"errors"}


def test_a_shadow_needs_no_pairing_since_each_user_is_a_pair() -> None:
    units = [
        ClosedUnit(
            arm="both",
            closed_us=k * SECOND,
            losses={"errors": 0.0, "brier": 0.30},
            champion_losses={"errors": 0.0, "brier": 0.20},
        )
        for k in range(1, 400)
    ]
    verdict = decide(take(Progress(), units, SHADOW), SHADOW)
    assert verdict.word == "roll_back"
    assert verdict.why.startswith(
        "a larger squared error of probabilities with the candidate: 0.300"
    )
    better = [
        ClosedUnit(
            arm="both",
            closed_us=unit.closed_us,
            losses=unit.champion_losses,
            champion_losses=unit.losses,
        )
        for unit in units
    ]
    promoted = decide(take(Progress(), better, SHADOW), SHADOW)
    assert promoted.word == "promote"
    assert promoted.why.endswith("on 399 compared users")


def test_it_says_when_it_expects_to_know() -> None:
    half = _traffic(0.05, 0.05, 1200, HALF)
    verdict = decide(take(Progress(), half, HALF), HALF)
    assert verdict.word == "wait"
    errors = verdict.figures[0]
    assert errors.needed is not None
    assert verdict.expected_us is not None
    per_user = 1200 * SECOND / errors.units
    assert verdict.expected_us == pytest.approx(1200 * SECOND + errors.needed * per_user, rel=0.01)
    assert f"about {errors.needed:,} users more" in verdict.why


def test_terms_are_what_was_declared() -> None:
    policy = ReleasePolicy.model_validate(
        {"judge": "canary", "canary": {"steps": [0.1, 1.0], "max_regression": 0.05, "sure": 0.8}}
    )
    terms = terms_of(policy, ["errors", "late"], required=["errors"])
    assert (terms.steps, terms.share, terms.is_last) == ((0.1, 1.0), 0.1, True)
    assert terms.log_worse == pytest.approx(math.log(2 / 0.05))
    assert terms.log_better == pytest.approx(math.log(5))
    shadow = terms_of(ReleasePolicy.model_validate({"judge": "shadow"}), ["brier"])
    assert (shadow.judge, shadow.block, shadow.is_last) == ("shadow", (1, 1), True)


def test_a_forecast_says_what_the_simulation_measures() -> None:
    canary = expected_duration(CANARY, 1000, 0.05)
    assert canary.promote_units == pytest.approx(895, rel=0.3)
    assert canary.promote_days is not None
    assert canary.promote_units is not None
    assert canary.promote_days == pytest.approx(canary.promote_units / 50 + 50 / 250)
    assert canary.is_decidable
    shadow = expected_duration(
        Terms(metrics=("errors",), judge="shadow", max_regression=0.025), 1000, 0.05, shared=0.8
    )
    assert shadow.notice_units == pytest.approx(199, rel=0.3)


def test_a_margin_that_traffic_never_decides_is_told_with_the_numbers() -> None:
    never = expected_duration(CANARY, 0, 0.05)
    assert (never.is_decidable, never.promote_days) == (False, None)
    assert "which never come" in never.why
    fine = Terms(metrics=("errors",), steps=(0.05, 1.0), max_regression=0.0005)
    forecast = expected_duration(fine, 100, 0.05)
    assert not forecast.is_decidable
    assert forecast.why.startswith("at 100 users a day of whose requests 5.0% fail, a candidate")
    everybody = expected_duration(Terms(metrics=("errors",), steps=(1.0,)), 10, 0.05)
    assert isinstance(everybody, Forecast)
    assert everybody.promote_days == 0.0


@pytest.mark.slow
def test_whole_rollouts_keep_their_promise_at_every_look() -> None:
    first = Terms(metrics=("errors", "late", "denials"), steps=(0.25, 0.5, 1.0))
    words = [_rollout(first, candidate=0.05, seed=seed) for seed in range(60)]
    assert words.count("roll_back") / 60 <= 0.05
    assert words.count("promote") / 60 >= 0.9
    bad = [_rollout(first, candidate=0.15, seed=seed) for seed in range(30)]
    assert bad.count("roll_back") == 30


def _rollout(terms: Terms, *, candidate: float, seed: int) -> str:
    """Return how a rollout of real traffic ends that is looked at after every 100 users."""
    rng, progress = np.random.default_rng(seed), Progress()
    for look in range(300):
        units = []
        for _ in range(100):
            is_candidate = rng.random() < terms.share
            error = candidate if is_candidate else 0.05
            requests = max(1, int(rng.lognormal(1.2, 1.0)))
            losses = {
                name: float(rng.binomial(requests, rng.beta(4 * each, 4 * (1 - each)))) / requests
                for name, each in (("errors", error), ("late", 0.03), ("denials", 0.01))
            }
            arm: Literal["candidate", "champion"] = "candidate" if is_candidate else "champion"
            units.append(ClosedUnit(arm=arm, closed_us=look + 1, losses=losses))
        progress = take(progress, units, terms)
        word = decide(progress, terms).word
        if word == "advance":
            terms = Terms(metrics=terms.metrics, steps=terms.steps, step=terms.step + 1)
        elif word != "wait":
            return word
    return "wait"


def _unit(arm: Literal["champion", "candidate"], loss: float) -> ClosedUnit:
    return ClosedUnit(arm=arm, closed_us=1, losses={"errors": loss})


def _traffic(
    candidate: float, champion: float, n: int, terms: Terms, *, seed: int = 5
) -> Sequence[ClosedUnit]:
    """Return users of one request each, one a second."""
    rng = np.random.default_rng(seed)
    is_candidate = rng.random(n) < terms.share
    has_failed = rng.random(n) < np.where(is_candidate, candidate, champion)
    return [
        ClosedUnit(
            arm="candidate" if mine else "champion",
            closed_us=(k + 1) * SECOND,
            losses={"errors": float(failed)},
        )
        for k, (mine, failed) in enumerate(zip(is_candidate, has_failed, strict=True))
    ]
