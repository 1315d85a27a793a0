"""Cases that are planted among the others, and how people do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from review_cases import CLOCK, a_review, approve, ask, correct, reject
from roadworthy.declare.project import Queue
from roadworthy.errors import RequestError
from roadworthy.review.agreement import Misses, read_misses, read_reviewers
from roadworthy.review.queue import Planted, plant, plant_corrections, release_planted
from roadworthy.review.rulings import rule_on
from roadworthy.store.records import outcomes_of
from roadworthy.store.review_lists import find_reviews, take_review
from roadworthy.store.reviews import empty_reviews, read_review
from roadworthy.store.state import open_state
from roadworthy.types import DAY_US, Review

QUEUES = {"desk": Queue(owner="Ada", planted_share=0.2)}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_state(f"sqlite:///{tmp_path}/state.db")
    yield engine
    engine.dispose()


def known(p: float = 0.7) -> Planted:
    draft = {"label": True, "probability": p}
    return Planted(service="late", input={"p": p}, draft=draft, expect="correct")


def open_cases(engine: Engine) -> list[Review]:
    return [waiting.review for waiting in find_reviews(engine).found]


def test_planted_cases_come_as_often_as_the_queue_says(engine: Engine) -> None:
    plant(engine, CLOCK, [known(p=k / 10) for k in range(5)], {"late": "desk"}, by="cli:ann")
    assert open_cases(engine) == []
    assert release_planted(engine, CLOCK, QUEUES) == 0, "nothing was asked"
    ask(engine, *[a_review() for _ in range(8)])
    assert release_planted(engine, CLOCK, QUEUES) == 2
    assert release_planted(engine, CLOCK, QUEUES) == 0
    kinds = [review.kind for review in open_cases(engine)]
    assert (kinds.count("planted"), kinds.count("review")) == (2, 8)
    ask(engine, *[a_review() for _ in range(40)])
    assert release_planted(engine, CLOCK, QUEUES) == 3, "no more are held"
    assert release_planted(engine, CLOCK, {"desk": Queue(owner="Ada")}) == 0


def test_a_case_from_a_file_has_a_release_and_a_reason_like_any_other(engine: Engine) -> None:
    plant(engine, CLOCK, [known()], {"late": "desk"}, by="cli:ann")
    ask(engine, *[a_review(content={"model": "own", "features": {"p": 1}}) for _ in range(8)])
    assert release_planted(engine, CLOCK, QUEUES) == 1
    usual, *_ = [review for review in open_cases(engine) if review.kind == "review"]
    (planted,) = [review for review in open_cases(engine) if review.kind == "planted"]
    assert (planted.release, planted.reasons) == (usual.release, usual.reasons)
    assert (planted.score, planted.confidence) == (usual.score, usual.confidence)
    assert (planted.content, planted.user, planted.key) == ({"model": "own"}, "", "")


def test_what_people_found_wrong_is_planted_once(engine: Engine) -> None:
    wrong, right = ask(engine, a_review()), ask(engine, a_review())
    rule_on(engine, CLOCK, wrong.id, correct(label=False), by="ann")
    rule_on(engine, CLOCK, right.id, approve(right), by="ann")
    assert plant_corrections(engine, CLOCK, by="cli:ann") == 1
    assert plant_corrections(engine, CLOCK, by="cli:ann") == 0
    ask(engine, *[a_review() for _ in range(8)])
    release_planted(engine, CLOCK, QUEUES)
    (planted,) = [review for review in open_cases(engine) if review.kind == "planted"]
    assert (planted.draft, planted.score) == (wrong.draft, wrong.score)
    assert planted.id != wrong.id
    rule_on(engine, CLOCK, planted.id, correct(label=False), by="bo")
    assert len(outcomes_of(engine, wrong.request_id)) == 2, "it says nothing of its request"
    assert read_review(engine, planted.id).given == {}


def test_a_held_case_that_was_emptied_is_shown_to_nobody(engine: Engine) -> None:
    plant(engine, CLOCK, [known()], {"late": "desk"}, by="cli:ann")
    ask(engine, *[a_review() for _ in range(40)])
    assert empty_reviews(engine, "late", CLOCK.now_us() + 2 * DAY_US) == 1
    assert release_planted(engine, CLOCK, QUEUES) == 0


def test_a_service_without_a_queue_has_nothing_planted(engine: Engine) -> None:
    with pytest.raises(RequestError, match="expected one with a queue"):
        plant(engine, CLOCK, [known()], {}, by="cli:ann")


def test_misses_are_counted_with_an_exact_bound(engine: Engine) -> None:
    cases = [known(k / 20) for k in range(10)]
    plant(engine, CLOCK, cases, {"late": "desk"}, by="cli:ann")
    ask(engine, *[a_review() for _ in range(80)])
    release_planted(engine, CLOCK, QUEUES)
    page = find_reviews(engine, limit=200).found
    planted = [waiting.review for waiting in page if waiting.review.kind == "planted"]
    assert len(planted) == 10
    for k, review in enumerate(sorted(planted, key=lambda review: review.draft)):
        ruling = approve(review) if k < 2 else reject()
        rule_on(engine, CLOCK, review.id, ruling, by="bo")
    (bo,) = read_reviewers(engine).reviewers
    assert (bo.decided, bo.planted, bo.missed) == (10, 10, 2)
    assert 0.5 < bo.most_missed < 0.8
    assert read_misses(engine, "late") == Misses(2, 10)
    assert read_misses(engine, "other") == Misses(0, 0)


def test_two_people_agree_beyond_chance_or_not(engine: Engine) -> None:
    queues = {"desk": Queue(owner="Ada", second_share=1.0)}
    for first, second in [(1, 1)] * 6 + [(0, 0)] * 2 + [(1, 0)] + [(0, 1)]:
        review = ask(engine)
        ruling = approve(review) if first else reject()
        rule_on(engine, CLOCK, review.id, ruling, by="bo", queues=queues)
        (again,) = open_cases(engine)
        rule_on(engine, CLOCK, again.id, approve(again) if second else reject(), by="ann")
    found = read_reviewers(engine)
    assert [one.by for one in found.reviewers] == ["ann", "bo"]
    (pair,) = found.pairs
    assert (pair.first, pair.second) == ("ann", "bo")
    said = pair.agreement
    assert (said.n, said.agreed) == (10, 8)
    assert said.low < 0.8 < said.high
    assert said.kappa == pytest.approx(0.524, abs=1e-3)
    assert said.kappa_low is not None
    assert said.kappa_high is not None
    assert said.kappa_low < 0.524 < said.kappa_high


def test_how_long_a_case_took_is_known_where_it_was_taken(engine: Engine) -> None:
    review, other = ask(engine), ask(engine)
    take_review(engine, CLOCK, review.id, by="bo")
    rule_on(engine, CLOCK, review.id, approve(review), by="bo")
    rule_on(engine, CLOCK, other.id, approve(other), by="ann")
    ann, bo = read_reviewers(engine).reviewers
    assert ann.median_s is None
    assert bo.median_s is not None
    assert 0 <= bo.median_s < 60
