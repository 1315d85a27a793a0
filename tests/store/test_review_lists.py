"""Queues as lists: pages, who is at work on what, counts, and past cases that are alike."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, update
from store_samples import a_record

from review_cases import CLOCK, a_draft, a_review, approve, ask, correct
from roadworthy.errors import Conflict, Forbidden, RequestError
from roadworthy.review.rulings import rule_on
from roadworthy.store.records import delete_user, drop_before, outcomes_of, record_row
from roadworthy.store.review_lists import (
    count_queues,
    find_reviews,
    similar_reviews,
    take_next,
    take_review,
)
from roadworthy.store.reviews import add_drafts, add_reviews, read_corrections, read_review
from roadworthy.store.state import insert_rows, open_state
from roadworthy.store.tables import drafts, records, reviews
from roadworthy.types import HOUR_US, MICRO, Review


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_state(f"sqlite:///{tmp_path}/state.db")
    yield engine
    engine.dispose()


def due(*minutes: int, **fields: Any) -> list[Review]:
    now_us = CLOCK.now_us()
    return [a_review(due_us=now_us + m * 60 * MICRO, **fields) for m in minutes]


def all_pages(engine: Engine, limit: int, **filters: Any) -> list[str]:
    ids, before = [], ""
    while True:
        page = find_reviews(engine, before=before, limit=limit, **filters)
        ids += [waiting.review.id for waiting in page.found]
        before = page.before
        if not before:
            return ids


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(minutes=st.lists(st.integers(0, 5), max_size=12), limit=st.integers(1, 5))
def test_pages_hold_each_case_once_as_it_is_due(
    engine: Engine, minutes: list[int], limit: int
) -> None:
    with engine.begin() as connection:
        connection.execute(reviews.delete())
    found = due(*minutes)
    if found:
        ask(engine, *found)
    expected = [r.id for r in sorted(found, key=lambda review: (review.due_us, review.id))]
    assert all_pages(engine, limit) == expected
    with engine.begin() as connection:
        connection.execute(update(reviews).values(state="expired"))
    assert all_pages(engine, limit, state="expired") == expected[::-1]
    assert all_pages(engine, limit) == []


def test_a_page_is_of_what_is_asked_for(engine: Engine) -> None:
    ours, theirs, other = due(1, owner="Ada"), due(2, owner="Bo"), due(3, queue="q", service="s")
    ask(engine, *ours, *theirs, *other)
    ids = [review.id for review in (*ours, *theirs, *other)]
    assert all_pages(engine, 9, queue="desk") == ids[:2]
    assert all_pages(engine, 9, owner="Bo") == ids[1:2]
    assert all_pages(engine, 9, services=("s", "t")) == ids[2:]
    soon = CLOCK.now_us() + 90 * MICRO
    assert all_pages(engine, 9, due_before_us=soon) == ids[:1]


@pytest.mark.parametrize("before", ["x", "12", "-rv", "1e3-rv_1", "9" * 19 + "-rv", "\u0661-rv"])
def test_a_page_begins_where_another_ended(engine: Engine, before: str) -> None:
    with pytest.raises(RequestError, match="before: expected"):
        find_reviews(engine, before=before)


def test_queues_are_counted(engine: Engine) -> None:
    ask(engine, *due(-5, 5, 9), *due(7, queue="other"))
    now_us = CLOCK.now_us()
    with engine.begin() as connection:
        late = update(reviews).where(reviews.c.due_us < now_us)
        connection.execute(late.values(escalated_at_us=now_us))
    desk, other = count_queues(engine, now_us)
    assert (desk.queue, desk.open, desk.late, desk.escalated) == ("desk", 3, 1, 1)
    assert desk.next_due_us < now_us
    assert (other.queue, other.open, other.late) == ("other", 1, 0)
    assert count_queues(engine, now_us, ("none",)) == []


def test_a_case_is_one_persons_for_a_while(engine: Engine) -> None:
    review = ask(engine)
    taken = take_review(engine, CLOCK, review.id, by="ann")
    assert (taken.taken_by, taken.taken_until_us > CLOCK.now_us()) == ("ann", True)
    with pytest.raises(Conflict, match="ann is at work on"):
        take_review(engine, CLOCK, review.id, by="bo")
    assert take_review(engine, CLOCK, review.id, by="ann").taken_by == "ann"
    with engine.begin() as connection:
        connection.execute(update(reviews).values(taken_until_us=CLOCK.now_us() - 1))
    assert take_review(engine, CLOCK, review.id, by="bo").taken_by == "bo"


def test_many_people_never_get_the_same_case(engine: Engine) -> None:
    ask(engine, *due(*range(8)))

    def one(k: int) -> str:
        taken = take_next(engine, CLOCK, by=f"p{k}", queue="desk")
        return "" if taken is None else taken.review.id

    with ThreadPoolExecutor(8) as pool:
        got = [id for id in pool.map(one, range(8)) if id]
    assert len(got) == len(set(got))
    assert len(got) >= 5
    assert take_next(engine, CLOCK, by="p9", services=("other",)) is None


def test_what_is_decided_is_not_taken(engine: Engine) -> None:
    review = ask(engine)
    rule_on(engine, CLOCK, review.id, approve(review), by="ann")
    with pytest.raises(Conflict, match="is decided by ann, not open"):
        take_review(engine, CLOCK, review.id, by="bo")
    assert take_next(engine, CLOCK, by="bo") is None


def test_past_cases_that_are_alike_come_nearest_first(engine: Engine) -> None:
    def past(digest: str, score: float, group: str, predicted: bytes) -> str:
        review = a_review(input_digest=digest, score=score)
        draft = a_draft(review, groups=(group,), predicted=predicted)
        with engine.begin() as connection:
            add_reviews(connection, [review])
            add_drafts(connection, [draft])
        rule_on(engine, CLOCK, review.id, correct(label=False), by="ann")
        return review.id

    far = past("d2", 0.1, "big", b"false")
    near = past("d3", 0.88, "small", b"true")
    nearer = past("d4", 0.9, "small", b"true")
    same = past("d1", 0.2, "big", b"false")
    asked = a_review()
    with engine.begin() as connection:
        add_reviews(connection, [asked, a_review(input_digest="d1")])
        add_drafts(connection, [a_draft(asked, groups=("small",))])
    found = similar_reviews(engine, read_review(engine, asked.id))
    assert [case.id for case in found] == [same, nearer, near, far]
    assert [case.is_same for case in found] == [True, False, False, False]
    assert (found[0].decision, found[0].decided_by) == ("correct", "ann")
    assert found[0].ruling["label"] is False
    assert (found[1].groups, found[1].predicted) == (("small",), True)
    assert len(similar_reviews(engine, read_review(engine, asked.id), 1)) == 1


def keep(engine: Engine, review: Review) -> Review:
    """Store a case with its record."""
    record = a_record(review.at_us, id=review.request_id, service="late", user=review.user)
    with engine.begin() as connection:
        insert_rows(connection, records, [record_row(record)])
    return ask(engine, review)


def test_a_forgotten_users_cases_are_empty(engine: Engine) -> None:
    theirs = [keep(engine, a_review(user="ann", input_digest=f"d{k}")) for k in range(2)]
    other = keep(engine, a_review(user="bo", input_digest="d9"))
    for review in (theirs[0], other):
        rule_on(engine, CLOCK, review.id, correct(label="secret", text="secret"), by="cy")
    delete_user(engine, "ann")
    known = [read_review(engine, review.id) for review in theirs]
    assert [waiting.state for waiting in known] == ["decided", "withdrawn"]
    assert known[0].ruling == {
        "decision": "correct",
        "reason_code": "wrong_label",
        "severity": "major",
    }
    assert (known[0].given, known[0].decided_by) == ({}, "cy")
    for waiting in known:
        asked = waiting.review
        assert (asked.input, asked.draft, asked.user, asked.content) == (b"", b"", "", {})
        assert (asked.reasons, asked.score, asked.input_digest) == ((), None, "")
        assert outcomes_of(engine, asked.request_id) == []
    with engine.connect() as connection:
        left = connection.execute(drafts.select()).all()
    assert [row.request_id for row in left] == [other.request_id]
    assert [row.review_id for row in read_corrections(engine, "late")] == [other.id]
    with pytest.raises(Conflict, match="is withdrawn: nobody may"):
        rule_on(engine, CLOCK, theirs[1].id, approve(theirs[1]), by="cy")


def test_what_is_old_goes_with_what_it_corrected(engine: Engine) -> None:
    now_us = CLOCK.now_us()
    old = keep(engine, a_review(at_us=now_us - 50 * HOUR_US))
    new = keep(engine, a_review(input_digest="d2"))
    for review in (old, new):
        rule_on(engine, CLOCK, review.id, correct(label=False), by="cy")
    assert drop_before(engine, "other", now_us) == 0
    assert len(read_corrections(engine, "late")) == 2
    assert drop_before(engine, "late", now_us - 48 * HOUR_US) == 1
    assert [row.review_id for row in read_corrections(engine, "late")] == [new.id]
    assert all_pages(engine, 9, state="decided") == [new.id]
    with engine.connect() as connection:
        assert len(connection.execute(drafts.select()).all()) == 1


@pytest.mark.parametrize("kind", ["second", "planted"])
def test_who_decided_a_case_is_not_asked_of_it_again(engine: Engine, kind: Any) -> None:
    first = ask(engine)
    rule_on(engine, CLOCK, first.id, approve(first), by="ann")
    again = ask(engine, a_review(kind=kind, request_id=first.request_id))
    assert take_next(engine, CLOCK, by="ann") is None
    with pytest.raises(Forbidden, match="ann decided the same case before"):
        take_review(engine, CLOCK, again.id, by="ann")
    taken = take_next(engine, CLOCK, by="bo")
    assert taken is not None
    assert taken.review.id == again.id
