"""What scorers of a served project may use: its files, an embedder, and its providers' models."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from conftest import write_project
from roadworthy.app import Project, open_project
from roadworthy.app.scoring import Scoring, open_scoring
from roadworthy.cost.ledger import Ceiling, Ledger
from roadworthy.errors import (
    DeclarationError,
    ModelError,
    ModelRejected,
    ModelUnavailable,
    NotFound,
)
from roadworthy.evaluate.scorer import open_scorer
from roadworthy.types import Call, Caller, Key, SystemClock
from scorer_cases import case_of, entry_of, said

SERVICE = """
name = "desk"
kind = "predict"

[owners]
product = "you"

[objectives]
deadline_ms = 500

[cost]
per_day_usd = 1

[[models]]
provider = "rule"
model = "{'answer': 'yes'}"
"""
PRICED = """
[providers.big]
kind = "scripted"

[providers.big.prices."verdicts.jsonl"]
input_usd_per_million = 1
output_usd_per_million = 10
"""
VERDICT = {"text": '{"right": true, "score": 1, "reason": "Yes."}'}
USED = {"usage": {"input_tokens": 1000, "output_tokens": 20}}


def project_in(folder: Path, *lines: object) -> Project:
    script = "".join(json.dumps(line) + "\n" for line in lines)
    files = {"services/desk/verdicts.jsonl": script}
    return open_project(write_project(folder, {"desk": SERVICE}, files, PRICED))


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with project_in(tmp_path / "p", {**VERDICT, **USED}) as opened:
        yield opened


@pytest.fixture
def scoring(project: Project) -> Iterator[Scoring]:
    opened = open_scoring(project, "desk")
    yield opened
    opened.close()


def call_of() -> Call:
    caller = Caller(Key("k", "k", frozenset()), "u")
    body = {"messages": msgspec.Raw(b"[]")}
    return Call(
        input={},
        caller=caller,
        deadline=SystemClock().monotonic() + 30,
        body=body,
        max_output_tokens=100,
    )


def test_a_judge_is_asked_and_its_cost_is_known(scoring: Scoring, project: Project) -> None:
    judge = open_scorer(
        entry_of("judge", model="big/verdicts.jsonl", rubric="It is right."), scoring.ground
    )
    score = judge.score(case_of(None), said("yes"))
    assert (score.value, score.is_right) == (1.0, True)
    assert score.cost_micro == 1000 + 20 * 10
    again = judge.score(case_of(None), said("yes"))
    assert (again.value, again.cost_micro) == (1.0, 0)
    kept = list((project.folder / ".roadworthy" / "artifacts" / "judged").iterdir())
    assert len(kept) == 1


def test_many_threads_may_ask_at_once(scoring: Scoring) -> None:
    with ThreadPoolExecutor(8) as pool:
        work = [
            pool.submit(scoring.ground.ask_model, "big/verdicts.jsonl", call_of())
            for _ in range(20)
        ]
        answers = [each.result() for each in work]
    assert {answer.output["text"] for answer in answers} == {VERDICT["text"]}


@pytest.mark.parametrize("name", ["small/one", "big", "big/nowhere.jsonl"])
def test_what_is_not_declared_is_unavailable(scoring: Scoring, name: str) -> None:
    with pytest.raises(ModelUnavailable, match="cannot be asked"):
        scoring.ground.ask_model(name, call_of())


def test_a_model_that_fails_raises_with_its_attempts(tmp_path: Path) -> None:
    with project_in(tmp_path / "p", {"error": "model_rate_limited"}) as project:
        scoring = open_scoring(project, "desk")
        with pytest.raises(ModelError) as error:
            scoring.ground.ask_model("big/verdicts.jsonl", call_of())
        scoring.close()
    assert [attempt.status for attempt in error.value.attempts] == ["model_rate_limited"]


def test_judges_are_paid_from_the_budget_of_the_evaluation(project: Project) -> None:
    ledger = Ledger(project.clock, lambda hold: None, lambda day_us: {})
    ceiling = Ceiling("rehearsal", 3000, "evaluation.max_cost_usd")
    scoring = open_scoring(project, "desk", ledger=ledger, ceilings=(ceiling,))
    try:
        for _ in range(2):
            scoring.ground.ask_model("big/verdicts.jsonl", call_of())
        assert ledger.spent("rehearsal") == (2400, 0)
        with pytest.raises(ModelRejected, match=r"evaluation\.max_cost_usd"):
            scoring.ground.ask_model("big/verdicts.jsonl", call_of())
    finally:
        scoring.close()
    assert ledger.spent("rehearsal") == (2400, 0)


def test_closing_leaves_no_thread_and_may_be_done_twice(project: Project) -> None:
    scoring = open_scoring(project, "desk")
    scoring.ground.ask_model("big/verdicts.jsonl", call_of())
    scoring.close()
    scoring.close()
    assert "roadworthy-asked-models" not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(ModelUnavailable, match="after all was closed"):
        scoring.ground.ask_model("big/verdicts.jsonl", call_of())


def test_nothing_is_started_where_no_scorer_asks(project: Project) -> None:
    scoring = open_scoring(project, "desk")
    assert "roadworthy-asked-models" not in {thread.name for thread in threading.enumerate()}
    scoring.close()


def test_there_must_be_such_a_service(project: Project) -> None:
    with pytest.raises(NotFound):
        open_scoring(project, "nowhere")


def test_a_model_without_a_price_or_a_ceiling_is_not_asked(tmp_path: Path) -> None:
    text = '\n[providers.far]\nkind = "openai"\nbase_url = "https://models.example/v1"\n'
    folder = write_project(tmp_path / "p", {"desk": SERVICE}, None, text)
    with open_project(folder) as project:
        scoring = open_scoring(project, "desk")
        with pytest.raises(ModelUnavailable, match="expected a ceiling"):
            scoring.ground.ask_model("far/unknown-1", call_of())
        scoring.close()


def test_passages_support_an_answer_by_the_embedder(scoring: Scoring) -> None:
    grounded = open_scorer(entry_of("grounded"), scoring.ground)
    passage = {
        "file": "bags.md",
        "heading": "Bags",
        "text": "A checked bag may weigh up to 50 pounds. It is free.",
        "score": 0.9,
    }
    good = grounded.score(
        case_of(None), said("A bag that you check in may weigh 50 pounds.", passages=(passage,))
    )
    bad = grounded.score(
        case_of(None), said("A checked bag may weigh up to 70 pounds.", passages=(passage,))
    )
    assert good.is_right
    assert (bad.value, bad.is_right) == (0.0, False)


def test_texts_of_one_meaning_are_similar(scoring: Scoring) -> None:
    similar = open_scorer(entry_of("similar"), scoring.ground)
    near = similar.score(case_of("Bags may weigh 50 pounds."), said("A bag may weigh 50 pounds."))
    far = similar.score(case_of("Bags may weigh 50 pounds."), said("Dogs travel in the cabin."))
    assert near.is_right
    assert not far.is_right


def test_an_entry_that_names_nothing_is_refused(scoring: Scoring) -> None:
    with pytest.raises(DeclarationError):
        open_scorer(entry_of("judge"), scoring.ground)
