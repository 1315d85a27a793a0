"""Queues in the store: 100,000 cases that wait, 2,000 that were decided, 8 queues, 5 services.

Each figure is the median of its rounds in milliseconds; the slowest stands beside it.
"""

from __future__ import annotations

import hashlib
import random
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from harness import folder, report
from sqlalchemy import Engine, update

from roadworthy.review.agreement import read_reviewers
from roadworthy.review.expiry import look_at_times
from roadworthy.review.rulings import Ruling, rule_on
from roadworthy.store.review_lists import (
    count_queues,
    find_reviews,
    similar_reviews,
    take_next,
)
from roadworthy.store.reviews import add_drafts, add_reviews, read_review
from roadworthy.store.state import open_state
from roadworthy.store.tables import reviews
from roadworthy.types import HOUR_US, Draft, Ids, Review, SystemClock

WAITING, DECIDED, ROUNDS, PART = 100_000, 2_000, 30, 2_000
CLOCK = SystemClock()
QUEUES = tuple(f"queue-{k}" for k in range(8))
SERVICES = tuple(f"service-{k}" for k in range(5))


def cases(count: int, draw: random.Random) -> Iterator[tuple[Review, Draft]]:
    """Yield cases that are due within 30 hours, each with its draft."""
    ids, now_us = Ids(CLOCK), CLOCK.now_us()
    features = {f"feature_{k}": draw.random() for k in range(20)}
    for k in range(count):
        draft = msgspec.json.encode({"label": k % 2 == 0, "probability": draw.random()})
        review = Review(
            id=ids.new("rv", now_us),
            request_id=ids.new("rq", now_us),
            at_us=now_us,
            due_us=now_us + draw.randrange(HOUR_US, 30 * HOUR_US),
            service=draw.choice(SERVICES),
            release="r@1",
            queue=draw.choice(QUEUES),
            input=msgspec.json.encode(features),
            draft=draft,
            digest=hashlib.sha256(draft).hexdigest(),
            input_digest=f"{draw.randrange(50_000)}",
            reasons=("score 0.712, certified from 0.941 on only",),
            score=draw.random(),
            content={"features": features},
            owner="Ada",
            user=f"user-{k % 500}",
        )
        yield review, _draft_of(review, k)


def _draft_of(review: Review, k: int) -> Draft:
    return Draft(
        request_id=review.request_id,
        at_us=review.at_us,
        service=review.service,
        release=review.release,
        scorer="own",
        path="person",
        score=review.score,
        is_drawn=True,
        unit=review.user,
        groups=("small" if k % 3 else "big",),
        predicted=b"true" if k % 2 == 0 else b"false",
        digest=review.input_digest,
    )


def fill(engine: Engine) -> str:
    """Store all cases, decide some, and return the id of one that waits."""
    draw = random.Random(5)
    found = list(cases(WAITING + DECIDED, draw))
    for start in range(0, len(found), PART):
        part = found[start : start + PART]
        with engine.begin() as connection:
            add_reviews(connection, [review for review, _ in part])
            add_drafts(connection, [draft for _, draft in part])
    decided = [review.id for review, _ in found[:DECIDED]]
    with engine.begin() as connection:
        change = {"state": "decided", "decision": "approve", "decided_by": "key:k_1"}
        for start in range(0, DECIDED, 500):
            here = update(reviews).where(reviews.c.id.in_(decided[start : start + 500]))
            connection.execute(here.values(**change, decided_at_us=reviews.c.at_us))
    return found[-1][0].id


def timed(run: Callable[[int], Any]) -> tuple[float, float]:
    """Return median and slowest of the rounds, in milliseconds."""
    times = []
    for k in range(ROUNDS):
        started = time.perf_counter()
        run(k)
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times), max(times)


def decide(engine: Engine, k: int) -> None:
    """Take the next case of a queue and reject it."""
    taken = take_next(engine, CLOCK, by="key:k_2", queue=QUEUES[k % len(QUEUES)])
    assert taken is not None
    ruling = Ruling(decision="reject", reason_code="other")
    rule_on(engine, CLOCK, taken.review.id, ruling, by="key:k_2")


def main() -> None:
    """Measure, and print one line of JSON."""
    with folder() as place:
        engine = open_state(f"sqlite:///{place}/state.db")
        waiting = read_review(engine, fill(engine))
        deep = find_reviews(engine, limit=200)
        for _ in range(200):
            deep = find_reviews(engine, before=deep.before, limit=200)
        measured: dict[str, Callable[[int], Any]] = {
            "page": lambda _: (find_reviews(engine), count_queues(engine, CLOCK.now_us())),
            "page_of_a_queue": lambda k: find_reviews(engine, queue=QUEUES[k % len(QUEUES)]),
            "page_after_40000": lambda _: find_reviews(engine, before=deep.before),
            "similar": lambda _: similar_reviews(engine, waiting),
            "take_and_decide": lambda k: decide(engine, k),
            "reviewers": lambda _: read_reviewers(engine),
            "look_at_times": lambda _: look_at_times(
                engine, CLOCK, {}, lambda case: {}, lambda *_: None
            ),
        }
        figures = {name: timed(run) for name, run in measured.items()}
        engine.dispose()
    result: dict[str, Any] = {"waiting": WAITING}
    for name, (median, slowest) in figures.items():
        result |= {f"{name}_ms": round(median, 2), f"{name}_slowest_ms": round(slowest, 2)}
    report("queues", **result)


if __name__ == "__main__":
    main()
