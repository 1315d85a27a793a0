from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from typing import Any, Literal

import pytest
from evaluated import Dear, MemoryCache, Same, Upper, cases, no_wait, run_now, suite, text

from roadworthy.errors import ModelUnavailable, StoreError
from roadworthy.evaluate.asked import Asked
from roadworthy.evaluate.cases import Case, suite_of
from roadworthy.evaluate.rights import rights_of
from roadworthy.evaluate.run import CHUNK, run
from roadworthy.evaluate.scorer import Score
from roadworthy.evaluate.settings import Settings

NO_MONEY = Asked(disposition="refused", error_code="budget_exhausted")
FAILED = Asked(disposition="failed", error_code="all_models_failed")


def test_every_case_is_asked_as_often_as_declared_and_scored() -> None:
    ask = Upper()
    found = run_now(ask, [suite(5)], repeats=3)
    assert [runs.case.id for runs in found.cases] == [f"c{n}" for n in range(5)]
    assert all(rights_of(runs) == (True,) * 3 for runs in found.cases)
    assert (found.asked, found.reused, len(ask.asked)) == (15, 0, 15)


def test_suites_take_turns_and_every_case_is_asked_once_before_any_is_again() -> None:
    ask = Upper()
    run_now(ask, [suite(3, "a"), suite(1, "b")], repeats=2, concurrency=1)
    once = [("a0", 0), ("b0", 0), ("a1", 0), ("a2", 0)]
    assert ask.asked == once + [(id, 1) for id, _ in once]


def test_no_more_are_asked_at_once_than_declared() -> None:
    at_once, most = 0, 0

    async def ask(case: Case, repeat: int) -> Asked:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0)
        at_once -= 1
        return text("x")

    settings = Settings(release="r@1", concurrency=3)
    asyncio.run(run(ask, [suite(20)], [Same()], settings, MemoryCache()))
    assert most == 3


def test_what_is_known_is_not_asked_again() -> None:
    cache, first, second = MemoryCache(), Upper(), Upper()
    before = run_now(first, [suite(4)], cache=cache, repeats=2)
    after = run_now(second, [suite(4)], cache=cache, repeats=2)
    assert (after.asked, after.reused, second.asked) == (0, 8, [])
    assert after.cases == before.cases
    assert after.cost_micro == 0


def test_a_change_of_what_is_expected_asks_nothing_and_scores_again() -> None:
    cache = MemoryCache()
    run_now(Upper(), [suite(1)], cache=cache)
    other = [Case("c0", {"text": "c 0"}, "something else")]
    after = run_now(ask := Upper(), [suite_of("c.jsonl", other)], cache=cache)
    assert ask.asked == []
    assert rights_of(after.cases[0]) == (False,)


@pytest.mark.parametrize(
    "other", [{"release": "r@2"}, {"environment": "newer"}, {"is_fresh": True}], ids=str
)
def test_another_release_or_environment_or_a_fresh_run_asks_again(other: dict[str, Any]) -> None:
    cache = MemoryCache()
    run_now(Upper(), [suite(2)], cache=cache)
    run_now(ask := Upper(), [suite(2)], cache=cache, **other)
    assert len(ask.asked) == 2


def test_features_of_this_moment_are_not_taken_for_those_of_another() -> None:
    cache = MemoryCache()
    given = suite_of("g", [*cases(1, "a"), *cases(1, "b", features={"delay": 3})])
    run_now(Upper(), [given], cache=cache, reads_live=True)
    run_now(ask := Upper(), [given], cache=cache, reads_live=True)
    assert ask.asked == [("a0", 0)]


def test_a_failure_of_the_moment_counts_as_wrong_and_is_asked_again() -> None:
    cache = MemoryCache()
    found = run_now(Upper(lambda case, repeat: FAILED), [suite(1)], cache=cache)
    score = found.cases[0].scores["same"][0]
    assert score == Score(0.0, False, "no answer: all_models_failed")
    again = run_now(Upper(), [suite(1)], cache=cache)
    assert again.asked == 1
    assert rights_of(again.cases[0]) == (True,)


def test_when_the_money_runs_out_the_rest_is_not_asked_and_is_not_wrong() -> None:
    left = 3

    def paid(case: Case, repeat: int) -> Asked:
        nonlocal left
        left -= 1
        return text("x", cost_micro=10) if left >= 0 else NO_MONEY

    ask = Upper(paid)
    found = run_now(ask, [suite(10)], concurrency=1)
    assert (found.asked, found.unasked, found.cost_micro) == (3, 7, 30)
    assert len(ask.asked) == 4
    assert [rights_of(runs)[0] for runs in found.cases[3:]] == [None] * 7
    assert "the money ran out: 7 of 10 answers" in found.notes[0]


def test_money_that_is_held_for_others_at_work_is_waited_for() -> None:
    free = 2

    async def ask(case: Case, repeat: int) -> Asked:
        nonlocal free
        if not free:
            return NO_MONEY
        free -= 1
        await asyncio.sleep(0)
        free += 1
        return text(case.input["text"].upper())

    settings = Settings(release="r@1", concurrency=8)
    found = asyncio.run(run(ask, [suite(30)], [Same()], settings, MemoryCache()))
    assert (found.asked, found.unasked) == (30, 0)


def test_a_provider_that_refuses_for_now_is_waited_for_by_all() -> None:
    waits: list[float] = []
    refusals = {"c0": 2}

    def answers(case: Case, repeat: int) -> Asked:
        if refusals.get(case.id):
            refusals[case.id] -= 1
            return Asked(disposition="fallback", output={"text": "sorry"}, retry_after_s=7.0)
        return text(case.input["text"].upper())

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    settings = Settings(release="r@1", concurrency=1)
    ask = Upper(answers)
    found = asyncio.run(run(ask, [suite(2)], [Same()], settings, MemoryCache(), wait=wait))
    assert [rights_of(runs) for runs in found.cases] == [(True,), (True,)]
    assert waits[0] == pytest.approx(7.0, abs=0.5)
    assert (found.asked, found.put_off, found.notes) == (2, 0, ())


def test_a_provider_that_goes_on_refusing_is_given_up_with_a_note() -> None:
    refused = Asked(disposition="failed", error_code="all_models_failed", retry_after_s=0.0)
    cache = MemoryCache()
    found = run_now(
        ask := Upper(lambda case, repeat: refused), [suite(1)], cache=cache, most_tries=3
    )
    assert len(ask.asked) == 3
    assert rights_of(found.cases[0]) == (False,)
    assert "refused 1 answers for now" in found.notes[0]
    assert cache.rows == {}


def test_dear_scores_are_kept_with_their_answers() -> None:
    cache = MemoryCache()
    first = run_now(Upper(), [suite(3)], [Dear()], cache)
    again = run_now(Upper(), [suite(3)], [dear := Dear()], cache)
    assert (first.scoring_cost_micro, again.scoring_cost_micro) == (300, 0)
    assert not dear.scored
    assert again.cases == first.cases


def test_a_dear_score_of_another_version_or_another_expectation_is_made_anew() -> None:
    cache = MemoryCache()
    run_now(Upper(), [suite(1)], [Dear()], cache)
    newer = Dear()
    newer.version = "2"
    assert run_now(Upper(), [suite(1)], [newer], cache).scoring_cost_micro == 100
    other = suite_of("c.jsonl", [Case("c0", {"text": "c 0"}, "else")])
    assert run_now(Upper(), [other], [Dear()], cache).scoring_cost_micro == 100


def test_a_dear_score_is_of_the_answer_that_was_given() -> None:
    cache = MemoryCache()
    run_now(Upper(), [suite(1)], [Dear()], cache)
    said_anew = Upper(lambda case, repeat: text("another"))
    run_now(said_anew, [suite(1)], [], cache, is_fresh=True)
    assert run_now(Upper(), [suite(1)], [Dear()], cache).scoring_cost_micro == 100


def test_scorers_run_in_threads() -> None:
    seen = set()

    class Where(Same):
        def score(self, case: Case, asked: Asked) -> Score:
            seen.add(threading.current_thread().name.rpartition("_")[0])
            return Score(1.0, True)

    run_now(Upper(), [suite(3)], [Where()])
    assert seen == {"roadworthy-scoring"}


def test_a_case_may_name_its_own_scorers_and_is_measured_all_the_same() -> None:
    mine = suite(1, scorer="b")
    names = [Same(name) for name in ("a", "b", "latency")]
    found = run_now(Upper(), [mine], names, measures=frozenset({"latency"}))
    assert set(found.cases[0].scores) == {"b", "latency"}


def test_a_scorer_that_fails_leaves_the_score_unknown_and_says_so() -> None:
    class Broken(Same):
        def score(self, case: Case, asked: Asked) -> Score:
            raise ModelUnavailable("the judge is away") if case.id == "c0" else ValueError("odd")

    found = run_now(Upper(), [suite(2)], [Broken()], concurrency=1)
    assert [runs.scores["same"] for runs in found.cases] == [(None,), (None,)]
    assert found.notes == ("scorer `same` gave no score of 2 answers: the judge is away",)


@pytest.mark.parametrize(
    ("score", "why"),
    [
        (None, "expected a Score, got NoneType"),
        (True, "expected a Score, got bool"),
        (Score(float("nan"), True), "value: expected a number from 0 to 1 or None, got nan"),
        (Score(7.0), "value: expected a number from 0 to 1 or None, got 7.0"),
        (Score("1"), "value: expected a number from 0 to 1 or None, got '1'"),  # type: ignore[arg-type]
        (Score(1.0, "yes"), "is_right: expected a bool or None, got 'yes'"),  # type: ignore[arg-type]
        (Score(1.0, True, doubt=-1.0), "doubt: expected a number from 0 to 1, got -1.0"),
        (Score(1.0, True, cost_micro=-5), "cost_micro: expected a whole number >= 0, got -5"),
    ],
    ids=str,
)
def test_what_a_scorer_says_that_is_no_score_is_unknown(score: Any, why: str) -> None:
    class Odd(Same):
        def score(self, case: Case, asked: Asked) -> Score:
            return score  # type: ignore[no-any-return]

    for is_dear in (False, True):
        odd = Odd()
        odd.is_dear = is_dear
        found = run_now(Upper(), [suite(2)], [odd])
        assert [runs.scores["same"] for runs in found.cases] == [(None,), (None,)]
        assert found.notes == (f"scorer `same` gave no score of 2 answers: ValueError: {why}",)


def test_changed_cases_are_asked_and_not_scored() -> None:
    found = run_now(Upper(), [suite(1), suite(1, "typos")], unscored=frozenset({"typos.jsonl"}))
    assert [runs.scores for runs in found.cases] == [{"same": (Score(1.0, True),)}, {}]


def test_answers_are_kept_in_chunks_as_they_come() -> None:
    cache = MemoryCache()
    run_now(Upper(), [suite(300)], cache=cache)
    counts = [count for _, count in cache.writes]
    assert (sum(counts), max(counts) <= CHUNK, len(counts) >= 3) == (300, True, True)


def test_what_was_answered_is_kept_when_the_evaluation_is_cancelled() -> None:
    cache = MemoryCache()

    async def ask(case: Case, repeat: int) -> Asked:
        if case.id == "c3":
            await asyncio.Event().wait()
        return text("x")

    async def cancel_it() -> None:
        settings = Settings(release="r@1", concurrency=1)
        task = asyncio.create_task(run(ask, [suite(9)], [Same()], settings, cache))
        for _ in range(20):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel_it())
    assert len(cache.rows) == 3


def test_a_store_that_cannot_be_written_ends_the_evaluation_with_its_error() -> None:
    class Full(MemoryCache):
        def write(self, kind: Literal["answer", "score"], rows: Mapping[str, bytes]) -> None:
            raise StoreError("the disk is full")

    with pytest.raises(StoreError, match="the disk is full"):
        run_now(Upper(), [suite(200)], cache=Full())


def test_no_cases_are_no_trouble() -> None:
    assert run_now(Upper(), [suite_of("empty", [])]).cases == ()


def test_progress_is_told_of_every_answer() -> None:
    told: list[tuple[str, int, int]] = []
    settings = Settings(release="r@1")
    progress = lambda what, done, of: told.append((what, done, of))  # noqa: E731
    asyncio.run(run(Upper(), [suite(4)], [Same()], settings, MemoryCache(), progress, wait=no_wait))
    assert told == [("asked", n, 4) for n in range(1, 5)] + [("scored", 4, 4)]
