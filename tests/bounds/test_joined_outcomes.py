"""What an outcome of one answer says of the other, and of what is lost."""

from __future__ import annotations

import json
from typing import Any

import pytest
from wagers import START_US, Wagers, replaced

from roadworthy.bounds.judging import judge
from roadworthy.risk.schedule import Schedule
from roadworthy.store.pairs import Said, read_pairs
from roadworthy.store.truth import Truth
from roadworthy.types import DAY_US, Pair

SCHEDULE = Schedule(DAY_US, DAY_US)
GIVEN, UNSEEN = "rq_given", "rq_unseen"


def pair(cheaper: str, reference: str, *, is_given: bool = True) -> Pair:
    return Pair(
        id="pr_1",
        at_us=START_US,
        decision="route",
        service="reply",
        release="rl_1",
        request_id=GIVEN,
        audit_id=UNSEEN,
        is_given=is_given,
        answers=(json.dumps(cheaper).encode(),),
        reference_answer=json.dumps(reference).encode(),
    )


def said(kind: str, value: Any, of: str = GIVEN, late: int = 0, source: str = "api") -> Said:
    return Said(of, kind, json.dumps(value), source, START_US + 1 + late)


def judged(one: Pair, *told: Said) -> tuple[float, float, float] | None:
    by_request: dict[str, list[Said]] = {}
    for each in told:
        by_request.setdefault(each.request_id, []).append(each)
    found = judge(one, by_request, Truth(None), SCHEDULE)
    return None if found is None else (found.quality, found.reference_quality, found.loss)


@pytest.mark.parametrize(
    ("cheaper", "reference", "expected"),
    [
        ("on time", "late", (0.0, 1.0, 1.0)),
        ("late", "on time", (1.0, 0.0, 0.0)),
        ("late", "late", (1.0, 1.0, 0.0)),
        ("on time", "on time", (0.0, 0.0, 0.0)),
    ],
)
def test_a_label_is_held_against_both_answers(
    cheaper: str, reference: str, expected: tuple[float, float, float]
) -> None:
    assert judged(pair(cheaper, reference), said("label", "late")) == expected
    assert judged(pair(cheaper, reference), said("label", "late", UNSEEN)) == expected


@pytest.mark.parametrize(
    ("cheaper", "reference", "is_given", "is_right", "loss"),
    [
        ("a", "b", True, True, 0.0),  # the cheaper one was right: nothing is lost
        ("a", "b", True, False, 1.0),  # the other one counts as right
        ("a", "a", True, False, 0.0),  # unless it says the same as a wrong one
        ("a", "b", False, True, 1.0),  # the cheaper one counts as wrong
        ("a", "a", False, True, 0.0),  # unless it says the same as a right one
        ("a", "b", False, False, 0.0),  # where the reference is wrong nothing can be lost
    ],
)
def test_of_a_verdict_the_other_answer_counts_for_the_worse(
    cheaper: str, reference: str, is_given: bool, is_right: bool, loss: float
) -> None:
    found = judged(pair(cheaper, reference, is_given=is_given), said("correct", is_right))
    assert found is not None
    assert found[2] == loss


def test_where_sources_disagree_it_counts_for_the_worse() -> None:
    told = (said("label", "late"), said("label", "on time", source="other"))
    assert judged(pair("late", "on time"), *told) == (0.0, 1.0, 1.0)


def test_what_comes_too_late_is_not_known() -> None:
    assert judged(pair("late", "on time"), said("label", "late", late=2 * DAY_US)) is None


def test_a_rating_is_no_evidence() -> None:
    assert judged(pair("late", "on time"), said("rating", 5)) is None


def test_of_several_cheaper_answers_the_worst_counts() -> None:
    both = replaced(pair("late", "late"), answers=(b'"on time"', b'"late"'))
    assert judged(both, said("label", "late")) == (0.0, 1.0, 1.0)


def test_a_job_joins_what_outcomes_say_once_their_time_is_over() -> None:
    wagers = Wagers(reference="outcomes")
    wagers.add([pair("on time", "late"), replaced(pair("a", "b"), id="pr_2", request_id="rq_2")])
    wagers.say(GIVEN, "label", "late", START_US + 5)
    assert wagers.join(1.5) == "0 pairs joined"
    assert wagers.join(2.5) == "1 pairs joined"
    assert wagers.join(2.6) == "0 pairs joined"
    first, second = read_pairs(wagers.state, "reply", "route", "rl_1", 0, 2**60)
    assert (first.loss, first.quality, first.reference_quality) == (1.0, 0.0, 1.0)
    assert second.loss is None
