"""Pass, fail, or how much more would settle it."""

from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from judged import answered, cases, declared, one, scored

from roadworthy.evaluate.report import BehaviourResult, FairnessResult, Metric, Verdict
from roadworthy.evaluate.runs import CaseRuns
from roadworthy.evaluate.scorer import Score
from roadworthy.evaluate.verdicts import conclude


def test_five_right_cases_are_no_pass_and_it_says_how_many_more() -> None:
    found = conclude(declared(), cases([True] * 5))
    assert found.verdict == "inconclusive"
    assert found.needed == 24
    assert not found.needs_repeats
    assert found.sentence == (
        "exact is 100.0% (54.9% to 100.0%) of 5 cases, where at least 90.0% is promised; "
        "about 24 cases more would settle it"
    )
    metric = found.metrics["exact"]
    assert (metric.value, metric.n, metric.bar) == (1.0, 5, 0.9)
    assert (metric.verdict, metric.needed) == ("inconclusive", 24)


def test_enough_right_cases_pass_and_enough_wrong_ones_fail() -> None:
    passed = conclude(declared(), cases([True] * 60))
    assert (passed.verdict, passed.needed) == ("pass", None)
    assert passed.sentence == "everything that is promised is kept: 1 of 1"
    failed = conclude(declared(), cases([True] * 60 + [False] * 20))
    assert (failed.verdict, failed.needed) == ("fail", None)
    assert failed.sentence.startswith("exact is 75.0% (")


def test_what_is_measured_exactly_on_its_bar_is_settled_by_no_number() -> None:
    found = conclude(declared(), cases([True] * 90 + [False] * 10))
    assert (found.verdict, found.needed) == ("inconclusive", None)
    assert found.sentence.endswith("no number of cases like these would settle it")


def test_repeats_of_a_case_are_no_more_cases() -> None:
    found = conclude(declared(), cases([[True] * 20] * 5))
    assert found.verdict == "inconclusive"
    assert found.metrics["exact"].n == 5


def test_a_promise_that_nothing_was_scored_for_is_not_kept() -> None:
    found = conclude(declared(), scored(Score(None), 50))
    assert found.verdict == "inconclusive"
    assert found.sentence == "exact could not be measured: no case says anything of it"
    assert conclude(declared(), []).verdict == "inconclusive"


def test_a_scorer_that_fails_counts_against_both_ends() -> None:
    broken = [*cases([True] * 100)[20:], *scored(None, 20)]
    found = conclude(declared(), broken)
    assert found.verdict == "inconclusive"
    metric = found.metrics["exact"]
    assert metric.low is not None
    assert metric.low < 0.8
    assert metric.high == 1.0
    assert metric.needed is None
    assert metric.why == "of 20 cases it is not known, so that they count either way"


def test_a_judge_that_says_nothing_counts_against_both_ends_too() -> None:
    judged = declared(scorers=[{"use": "judge", "name": "exact", "model": "local/x"}])
    some = [*cases([True] * 100)[20:], *scored(Score(None), 20)]
    assert conclude(judged, some).verdict == "inconclusive"
    assert conclude(judged, scored(Score(None), 20)).sentence == (
        "exact could not be measured: of none of 20 cases the scorer could say"
    )
    assert conclude(declared(), some).verdict == "pass"


def test_what_people_would_see_otherwise_widens_the_interval() -> None:
    assert conclude(declared(), scored(Score(1.0, True), 100)).verdict == "pass"
    found = conclude(declared(), scored(Score(1.0, True, doubt=0.2), 100))
    assert found.verdict == "inconclusive"
    assert found.needed is None
    metric = found.metrics["exact"]
    assert metric.low is not None
    assert 0.7 < metric.low < 0.8
    assert metric.why == "people would see 20.0% of these scores otherwise, which widens it"


def test_a_critical_case_that_fails_fails_everything() -> None:
    right = cases([True] * 99)
    found = conclude(declared(), [*right, one(99, [False, False], severity="critical")])
    assert (found.verdict, found.sentence) == ("fail", "the critical case `c99` fails")
    flaky = conclude(declared(), [*right, one(99, [False, True], severity="critical")])
    assert flaky.verdict == "inconclusive"
    assert conclude(declared(), [*right, one(99, [False], severity="high")]).verdict == "pass"


def test_a_critical_case_of_which_nobody_knows_keeps_from_passing() -> None:
    unknown = msgspec.structs.replace(one(99, [True], severity="critical"), scores={})
    found = conclude(declared(), [*cases([True] * 99), unknown])
    assert found.verdict == "inconclusive"
    assert found.sentence == "nobody can say whether the critical case `c99` is right"


def test_what_was_not_asked_keeps_from_passing() -> None:
    found = conclude(declared(), [*cases([True] * 99), one(99, [None])])
    assert found.verdict == "inconclusive"
    assert found.sentence == "of 1 cases not every repeat was asked"


def test_nothing_promised_is_nothing_passed() -> None:
    found = conclude(declared(None), cases([True] * 100))
    assert found.verdict == "inconclusive"
    assert found.sentence.startswith("nothing is promised of how good answers are")


def test_latency_is_held_by_order_statistics() -> None:
    slow = declared(objectives={"latency_p95_ms": 20})
    found = conclude(slow, cases([True] * 40)).metrics["latency_p95_ms"]
    assert (found.value, found.high) == (10.0, None)
    assert (found.verdict, found.needed) == ("inconclusive", 19)
    passed = conclude(slow, cases([True] * 59))
    assert passed.metrics["latency_p95_ms"].verdict == "pass"
    assert passed.verdict == "pass"
    late = [one(k, [True], answered(latency_us=30_000)) for k in range(60, 80)]
    failed = conclude(slow, [*cases([True] * 59), *late])
    assert failed.metrics["latency_p95_ms"].verdict == "fail"
    assert failed.verdict == "fail"
    assert "where at most 20 ms is promised" in failed.sentence


def test_cost_is_held_by_request_and_by_day() -> None:
    dear = [one(k, [True], answered(cost_micro=2000 + 10 * (k % 2))) for k in range(100)]
    service = declared(cost={"per_request_usd": 0.01, "per_day_usd": 5})
    found = conclude(service, dear, requests_per_day=1000)
    request = found.metrics["cost_per_request_usd"]
    assert request.value == pytest.approx(0.002005)
    assert request.verdict == "pass"
    day = found.metrics["cost_per_day_usd"]
    assert day.value == pytest.approx(2.005)
    assert (day.bar, day.verdict, day.why) == (5.0, "pass", "at 1,000 requests a day")
    busy = conclude(service, dear, requests_per_day=10_000)
    assert busy.metrics["cost_per_day_usd"].verdict == "fail"
    assert busy.verdict == "fail"
    assert "cost_per_day_usd" not in conclude(service, dear).metrics


def test_what_costs_nothing_costs_nothing() -> None:
    service = declared(cost={"per_request_usd": 0.01})
    found = conclude(service, cases([True] * 60), requests_per_day=1e6)
    assert found.metrics["cost_per_day_usd"].high == 0.0
    assert found.verdict == "pass"


def test_failures_fail_where_availability_is_surely_not_kept() -> None:
    service = declared(objectives={"availability": 0.999})
    fine = conclude(service, cases([True] * 100))
    assert fine.metrics["errors"].verdict is None
    assert fine.verdict == "pass"
    down = [one(k, [True], answered(disposition="failed")) for k in range(95, 100)]
    broken = conclude(service, [*cases([True] * 95), *down])
    assert broken.metrics["errors"].value == 0.05
    assert broken.verdict == "fail"


def test_answers_that_vary_are_counted_and_held() -> None:
    service = declared(0.5, repeats=3)
    steady = conclude(service, cases([[True] * 3] * 80))
    assert steady.stability.flaky is not None
    assert (steady.stability.stable_pass, steady.stability.flaky.verdict) == (80, "pass")
    mixed = conclude(service, cases([[True] * 3] * 60 + [[True, False, True]] * 20))
    assert mixed.stability.flaky is not None
    assert mixed.stability.flaky.value == 0.25
    assert mixed.verdict == "fail"
    assert mixed.sentence.startswith("flaky is 25.0% (")
    assert conclude(service, cases([True] * 80)).stability.flaky is None


def test_repeats_are_asked_for_where_they_settle_it_without_new_cases() -> None:
    service = declared(0.7, max_flaky=1.0)
    noisy = [[True, True]] * 56 + [[True, False]] * 38 + [[False, False]] * 6
    found = conclude(service, cases(noisy))
    assert found.verdict == "inconclusive"
    assert found.needs_repeats
    assert found.needed is not None
    assert found.sentence.endswith(f"; {found.needed} repeats more of each would settle it")
    asked = [[True, True, True, False] * (found.needed // 2)] * 100
    assert conclude(service, cases(asked)).verdict == "pass"
    differing = conclude(service, cases([[True, True]] * 75 + [[False, False]] * 25))
    assert differing.verdict == "inconclusive"
    assert not differing.needs_repeats


def test_a_release_is_held_against_its_baseline() -> None:
    service = declared(0.5)
    good = cases([True] * 190 + [False] * 10)
    same = conclude(service, good, good)
    assert same.verdict == "pass"
    (paired, latency, cost) = same.paired
    assert (paired.name, paired.n, paired.difference, paired.verdict) == ("exact", 200, 0.0, "pass")
    assert (latency.name, latency.verdict, cost.name) == ("latency_ms", None, "cost_usd")
    assert paired.detectable is not None
    assert 0 < paired.detectable < 0.05
    worse = conclude(service, cases([True] * 160 + [False] * 40), good)
    assert worse.verdict == "fail"
    assert worse.sentence.startswith("exact is -15.0 points beside the baseline's (-")
    assert worse.sentence.endswith(" on 200 cases, where -2.0 points is allowed")
    few = conclude(service, good[:40], good[:40])
    assert few.verdict == "inconclusive"
    assert few.needed == 141
    assert few.sentence.endswith("; 141 cases more would settle it")


def test_only_cases_that_are_the_same_are_compared_and_it_says_so() -> None:
    changed = [one(0, [False], expect="y"), *cases([True] * 200)[1:]]
    found = conclude(declared(0.5), changed, cases([True] * 150))
    assert found.paired[0].n == 149
    assert found.notes == (
        "51 of 200 cases are not compared: the baseline was not asked them, or not in these words",
        "1 cases of the baseline are not in the suites any more, or were changed",
    )
    apart = conclude(declared(0.5), cases([True] * 200), [])
    assert apart.verdict == "inconclusive"
    assert "no case in common" in apart.sentence


def test_a_scorer_of_few_cases_can_fail_but_need_not_be_settled() -> None:
    few = conclude(declared(0.5), _cited([True] * 3), _cited([True] * 3))
    assert few.verdict == "pass"
    assert {paired.name: paired.verdict for paired in few.paired}["cites"] is None
    lost = conclude(declared(0.5), _cited([False] * 60), _cited([True] * 60))
    assert lost.verdict == "fail"
    assert lost.sentence.startswith("cites is -100.0 points")


def _cited(rights: list[bool]) -> list[CaseRuns]:
    """Return 200 right cases, of the first of which a second scorer says something too."""
    found = cases([True] * 200)
    for k, right in enumerate(rights):
        scores = {**found[k].scores, "cites": (Score(float(right), right),)}
        found[k] = CaseRuns(found[k].case, found[k].suite, found[k].answers, scores)
    return found


def test_without_a_promise_the_baseline_is_what_decides() -> None:
    good = cases([True] * 200)
    found = conclude(declared(None), good, good)
    assert (found.verdict, found.paired[0].name) == ("pass", "right")


def test_doubt_about_a_judge_enters_the_comparison() -> None:
    def doubted(rights: list[bool], doubt: float) -> list[CaseRuns]:
        scores = [Score(float(right), right, doubt=doubt) for right in rights]
        return [
            CaseRuns(each.case, each.suite, each.answers, {"exact": (score,)})
            for each, score in zip(cases(rights), scores, strict=True)
        ]

    after, before = [False] * 12 + [True] * 188, [True] * 200
    plain = conclude(declared(0.5), doubted(after, 0.0), doubted(before, 0.0)).paired[0]
    unsure = conclude(declared(0.5), doubted(after, 0.2), doubted(before, 0.2)).paired[0]
    assert plain.low is not None
    assert plain.high is not None
    assert unsure.low is not None
    assert unsure.high is not None
    assert unsure.low <= plain.low
    assert unsure.high > plain.high
    assert (plain.verdict, unsure.verdict) == ("fail", "inconclusive")


def test_what_neither_release_answered_shows_nothing() -> None:
    failed = answered(disposition="failed", output=None, error_code="all_models_failed")
    down = [one(k, [False], failed) for k in range(300)]
    found = conclude(declared(None), down, down)
    assert (found.verdict, found.paired[0].n) == ("inconclusive", 0)
    assert found.notes[0].startswith("300 cases are not compared, because neither")
    alone = conclude(declared(None), down, cases([True] * 300))
    assert (alone.verdict, alone.paired[0].n) == ("fail", 300)


def test_what_a_scorer_failed_to_score_counts_either_way_in_the_comparison() -> None:
    before = cases([True] * 300)
    known, lost = cases([True] * 280), cases([True] * 300)[280:]
    gone = [CaseRuns(each.case, each.suite, each.answers, {"exact": (None,)}) for each in lost]
    whole = conclude(declared(0.5), cases([True] * 300), before).paired[0]
    found = conclude(declared(0.5), [*known, *gone], before)
    assert (whole.verdict, found.paired[0].verdict) == ("pass", "inconclusive")
    assert (found.paired[0].n, found.verdict) == (280, "inconclusive")
    low, high = found.paired[0].low, found.paired[0].high
    assert low is not None
    assert high is not None
    assert low < -20 / 300 < 0 < high


@pytest.mark.parametrize("verdict", ["pass", "inconclusive", "fail"])
def test_behaviours_and_fairness_are_part_of_the_verdict(verdict: Verdict) -> None:
    broken = Metric(name="typos", value=0.1, n=9, bar=0.05, is_least=False, verdict=verdict)
    behaviour = BehaviourResult(name="typos", use="typos", broken=broken)
    fairness = FairnessResult(attribute="carrier", difference=broken)
    good = cases([True] * 100)
    assert conclude(declared(), good, behaviours=[behaviour]).verdict == verdict
    found = conclude(declared(), good, fairness=[fairness])
    assert found.verdict == verdict
    if verdict != "pass":
        assert found.sentence.startswith("fairness (typos by carrier) is 10.0% of 9 cases")


def test_the_largest_of_the_needed_is_what_is_needed() -> None:
    service = declared(objectives={"latency_p95_ms": 20})
    found = conclude(service, cases([True] * 20))
    assert found.metrics["exact"].needed == 9
    assert found.metrics["latency_p95_ms"].needed == 39
    assert found.needed == 39
    assert "latency_p95_ms" in found.sentence


def test_no_number_is_needed_where_one_of_the_open_is_settled_by_none() -> None:
    service = declared(objectives={"latency_p95_ms": 20})
    found = conclude(service, scored(Score(None), 20))
    assert found.metrics["latency_p95_ms"].needed == 39
    assert (found.verdict, found.needed) == ("inconclusive", None)
    assert found.sentence == "exact could not be measured: no case says anything of it"


def _varying(rng: np.random.Generator, n: int, repeats: int) -> list[list[bool]]:
    return [[bool(right) for right in rng.random(repeats) < 0.75] for _ in range(n)]


def test_the_same_cases_give_the_same_to_the_last_bit() -> None:
    some = cases(_varying(np.random.default_rng(3), 50, 3))
    first = conclude(declared(), some, some[:30])
    assert msgspec.json.encode(first) == msgspec.json.encode(conclude(declared(), some, some[:30]))


Draw = Callable[[np.random.Generator, int], list[CaseRuns]]


def _single(rng: np.random.Generator, n: int) -> list[CaseRuns]:
    return cases([bool(right) for right in rng.random(n) < 0.9])


def _repeated(rng: np.random.Generator, n: int) -> list[CaseRuns]:
    chances = rng.beta(1.8, 0.2, n)
    return cases([[bool(right) for right in rng.random(3) < chance] for chance in chances])


def _of_tags(rng: np.random.Generator, n: int) -> list[CaseRuns]:
    """Return cases of five tags that are of five difficulties."""
    found = []
    for k, tag in enumerate(rng.integers(5, size=n)):
        right = bool(rng.random() < 0.8 + 0.05 * tag)
        found.append(one(k, [right], tags=(f"t{tag}",)))
    return found


def _graded(rng: np.random.Generator, n: int) -> list[CaseRuns]:
    return [
        CaseRuns(each.case, each.suite, each.answers, {"exact": (Score(float(rng.beta(9, 1))),)})
        for each in cases([True] * n)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("draw", [_single, _repeated, _of_tags, _graded])
def test_what_is_exactly_on_its_bar_seldom_passes(draw: Draw) -> None:
    rng, service, runs = np.random.default_rng(4), declared(max_flaky=1.0), 150
    for n in (10, 40, 150):
        verdicts = [conclude(service, draw(rng, n)).verdict for _ in range(runs)]
        assert verdicts.count("pass") / runs <= 0.05 + 0.03
        assert verdicts.count("fail") / runs <= 0.05 + 0.03
