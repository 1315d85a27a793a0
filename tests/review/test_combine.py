"""A score that is fitted on signals of generated answers, and not certified on its own outcomes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select
from team import START_US, Team

from roadworthy.review.combine import combine, read_fitted_score
from roadworthy.review.progress import read_progress
from roadworthy.review.scoring import SIGNALS, LeastSupport, read_signals
from roadworthy.store.certificates import list_epochs
from roadworthy.store.scorers import last_scorer, read_scorer
from roadworthy.store.tables import switchboard
from roadworthy.types import DAY_US, Answer, Call, Caller, Key, Passage, Sentence


def signals(**found: float | None) -> tuple[float | None, ...]:
    return tuple(found.get(name) for name in SIGNALS)


def a_day(team: Team, day: int, size: int = 400, scorer: str = "least-support") -> None:
    """Add answers that foreign numbers make wrong, while their support says little."""
    random, begun = np.random.default_rng(day), START_US + day * DAY_US
    drafts, said = [], []
    for k in range(size):
        support, numbers = float(random.random()), float(random.integers(0, 3))
        known = signals(least_support=support, foreign_numbers=numbers, words=10.0)
        draft = team.ask(begun + k, support, f"u{day}-{k}", signals=known, scorer=scorer)
        drafts.append(draft)
        is_wrong = random.random() < (0.02, 0.4, 0.7)[int(numbers)]
        said.append((draft, not is_wrong, draft.at_us + 1))
    team.add(drafts)
    team.say_all(said, kind="correct")


def make(**fields: Any) -> Team:
    team = Team(**fields)
    team.change(scorer="least-support")
    return team


def fit(team: Team, day: float) -> str:
    team.certify(day)
    return combine(team.work, team.subject)


def test_it_is_used_where_it_tells_right_from_wrong_better() -> None:
    team = make()
    a_day(team, 0)
    assert fit(team, 1) == "", "nothing is ripe"
    assert "is used from now on" in fit(team, 3)
    stored = last_scorer(team.state, "late", "rl_1")
    assert stored is not None
    assert stored.detail["auroc"] > stored.detail["auroc_before"] + 0.1
    assert read_scorer(team.state, stored.id) == stored
    with team.state.connect() as connection:
        query = select(switchboard.c.value).where(switchboard.c.name == "scorer:late")
        assert connection.execute(query).scalar() == stored.id
    assert fit(team, 4) == "", "until there are twice as many"


def test_what_it_was_fitted_on_is_no_evidence_for_it() -> None:
    team = make()
    a_day(team, 0)
    fit(team, 3)
    stored = last_scorer(team.state, "late", "rl_1")
    assert stored is not None
    team.change(scorer=stored.id)
    assert team.certify(4) == "late: collects scores"
    a_day(team, 5, scorer=stored.id)
    team.certify(8)
    new, old = list_epochs(team.state, "late")
    assert old.why_closed == f'scorer was "least-support", is "{stored.id}"'
    assert read_progress(new.state).tally.picked == 400, "those of its own"


def test_while_a_certificate_is_in_force_none_is_fitted() -> None:
    team = make()
    random = np.random.default_rng(1)
    for day in range(3):
        begun = START_US + day * DAY_US
        known = signals(least_support=0.5, foreign_numbers=1.0)
        drafts = [
            team.ask(
                begun + k,
                float(random.random()),
                f"{day}-{k}",
                signals=known,
                scorer="least-support",
            )
            for k in range(300)
        ]
        team.add(drafts)
        team.say_all([(draft, True, draft.at_us + 1) for draft in drafts], kind="correct")
    team.certify(5)
    assert team.certificate is not None
    assert combine(team.work, team.subject) == ""


def test_outcomes_of_one_class_fit_nothing() -> None:
    team = make()
    begun = START_US
    drafts = [
        team.ask(begun + k, 0.5, f"{k}", signals=signals(words=float(k)), scorer="least-support")
        for k in range(500)
    ]
    team.add(drafts)
    assert fit(team, 3) == "", "all are missing, so all are wrong"


def test_what_says_nothing_is_not_used() -> None:
    team = make()
    random, begun = np.random.default_rng(2), START_US
    drafts = [
        team.ask(
            begun + k,
            float(random.random()),
            f"{k}",
            signals=signals(words=float(random.integers(5, 50))),
            scorer="least-support",
        )
        for k in range(500)
    ]
    team.add(drafts)
    said = [(d, bool(random.random() < 0.7), d.at_us + 1) for d in drafts]
    team.say_all(said, kind="correct")
    assert "no better" in fit(team, 3)


def call_of(passages: tuple[Passage, ...], support: float) -> Call:
    def says(text: str, found: Any) -> tuple[Sentence, ...]:
        return (Sentence(text, support),)

    caller = Caller(Key("k", "test", frozenset()), "ada")
    question = {"question": "What may I bring?"}
    return Call(input=question, caller=caller, deadline=0.0, passages=passages, support=says)


def test_a_fitted_score_reads_the_signals_of_an_answer() -> None:
    team = make()
    a_day(team, 0)
    fit(team, 3)
    stored = last_scorer(team.state, "late", "rl_1")
    assert stored is not None
    scorer = read_fitted_score(stored)
    call = call_of((), 0.5)
    low = scorer.read(call, Answer(model="m", output={"text": "It is 17 or 34 dollars."}))
    assert low.score is not None
    assert 0 <= low.score <= 1
    assert len(low.signals) == len(SIGNALS)
    json.dumps(stored.detail, allow_nan=False)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(model="m", output=None),
        Answer(model="m", output=7),
        Answer(model="m", output=None, completion=b"{"),
        Answer(model="m", output=None, completion=b'{"choices": []}'),
        Answer(model="m", output={"text": None}),
    ],
)
def test_an_answer_that_says_nothing_has_no_score(answer: Answer) -> None:
    call = call_of((), 0.5)
    assert LeastSupport().read(call, answer).score is None
    assert len(read_signals(call, answer)) == len(SIGNALS)


def test_a_completion_is_read_where_nobody_has() -> None:
    said = json.dumps({"choices": [{"message": {"content": "One two three."}}]}).encode()
    found = read_signals(call_of((), 0.5), Answer(model="m", output=None, completion=said))
    assert found[SIGNALS.index("words")] == 3.0
