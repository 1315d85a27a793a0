"""Every scorer says of every case what its line says, and behaves whatever it meets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from roadworthy.declare.evaluation import SCORERS, ScorerEntry
from roadworthy.errors import DeclarationError
from roadworthy.evaluate.scorers.reading import numbers_in
from roadworthy.testing import check_scorer
from scorer_cases import (
    DOORS,
    Replies,
    ScorerCase,
    asked_of,
    case_of,
    check_score,
    entry_of,
    ground_in,
    open_named,
    said,
    scorer_cases,
)

VERDICT = '{"right": true, "score": 1, "reason": "It says so."}'
PASSAGE = {"file": "a.md", "heading": "", "text": "Bags are free", "score": 0.9}
CALL = {"function": {"name": "issue", "arguments": '{"usd": 5}'}}

ATTACK = {"must_not": ["SECRET"]}

BEHAVED: dict[str, tuple[dict[str, Any], Any, Any, list[dict[str, Any]]]] = {
    # What the entry says, the expectation, the answer, and settings that change the version.
    "attack": ({}, ATTACK, said("no"), []),
    "exact": ({}, "yes", said("yes"), [{"ignore_case": True}, {"path": "$.a"}]),
    "regex": ({}, "^y", said("yes"), [{"ignore_case": True}]),
    "contains": ({}, ["y"], said("yes"), [{"at_least": 0.5}, {"ignore_space": True}]),
    "number": ({}, 5, said("5"), [{"tolerance": 1}, {"options": {"number": "last"}}]),
    "json_path": ({"path": "$.a"}, 1, said({"a": 1}), [{"path": "$.b"}]),
    "schema": ({}, None, said({"refund": 1}), [{"schema": "reply.schema.json"}]),
    "cites": ({}, "a.md", said("x [a.md]"), [{"at_least": 0.5}]),
    "grounded": ({}, None, said("Bags are free", passages=(PASSAGE,)), [{"at_least": 0.9}]),
    "similar": ({}, "bag", said("bag"), [{"at_least": 0.9}]),
    "tool_calls": (
        {},
        [{"name": "issue", "arguments": {"usd": 5}}],
        said(None, message={"content": None, "tool_calls": [CALL]}),
        [{"options": {"any_order": True}}],
    ),
    "sql": ({"database": "flights.db"}, "SELECT 1", said("SELECT 1"), [{"path": "$.sql"}]),
    "cost": ({"at_most": 1}, None, said("x"), [{"at_most": 2}]),
    "latency": ({"at_most": 1}, None, said("x"), [{"at_most": 2}]),
    "label": ({}, "late", said({"label": "late"}), [{"ignore_case": True}]),
    "probability": ({}, 1, said({"probability": 0.9}), [{"options": {"loss": "log"}}]),
    "regression": ({"tolerance": 1}, 5, said({"value": 5}), [{"tolerance": 2}]),
    "judge": (
        {"model": "judge/one", "rubric": "It is right."},
        "yes",
        said("yes"),
        [{"rubric": "It is kind."}, {"model": "judge/two"}, {"labels": "labels.jsonl"}],
    ),
    "human": ({"labels": "said.jsonl"}, None, said("yes"), [{"labels": "labels-none.jsonl"}]),
}


@pytest.mark.parametrize("case", scorer_cases(), ids=lambda case: f"{case.entry['use']}: {case.id}")
def test_a_case_gets_its_score(case: ScorerCase, tmp_path: Path) -> None:
    entry = entry_of(**case.entry)
    scorer = open_named(entry, ground_in(tmp_path))
    check_score(case, scorer.score(case_of(case.expect), asked_of(case)))


def test_no_two_cases_have_the_same_name() -> None:
    names = [(case.entry["use"], case.id) for case in scorer_cases()]
    assert len(names) == len(set(names))


def test_every_scorer_that_a_declaration_may_name_is_there() -> None:
    assert set(SCORERS) == set(BEHAVED)
    assert set(SCORERS) <= set(DOORS)


@pytest.mark.parametrize("use", SCORERS)
def test_a_scorer_behaves(use: str, tmp_path: Path) -> None:
    settings, expect, answer, changes = BEHAVED[use]
    (tmp_path / "labels.jsonl").write_text('{"output": "yes", "right": true}\n')
    (tmp_path / "labels-none.jsonl").write_text("")
    (tmp_path / "said.jsonl").write_text('{"id": "one", "answer": "0", "right": true}\n')
    changed = [entry_of(use, **{**settings, **change}) for change in changes]
    check_scorer(
        open_named,
        entry_of(use, **settings),
        ground_in(tmp_path, Replies(VERDICT)),
        case_of(expect),
        answer,
        changed=changed,
    )


@pytest.mark.parametrize(
    ("use", "settings", "said_so"),
    [
        ("exact", {"path": "a.b"}, "path: expected one like"),
        ("json_path", {"path": "$..a"}, "path: expected one like"),
        ("number", {"options": {"number": "middle"}}, "any, first, last, only"),
        ("probability", {"options": {"loss": "absolute"}}, "brier or log"),
        ("schema", {"schema": "nowhere.json"}, "nowhere.json"),
        ("sql", {}, "a SQLite file beside the service, got none"),
        ("sql", {"database": "nowhere.db"}, "got `nowhere.db`"),
        ("sql", {"database": "reply.schema.json"}, "to be a SQLite database"),
        ("judge", {"rubric": "x"}, "expected `model`"),
        ("judge", {"model": "a/b", "rubric": "nowhere.md"}, "rubric: expected a file"),
        ("human", {}, "no `labels`"),
        ("human", {"labels": "reply.schema.json"}, "line 1: expected JSON with `id`"),
    ],
)
def test_an_entry_that_does_not_fit_is_refused_at_opening(
    use: str, settings: dict[str, Any], said_so: str, tmp_path: Path
) -> None:
    entry: ScorerEntry = entry_of(use, **settings)
    with pytest.raises(DeclarationError) as refused:
        open_named(entry, ground_in(tmp_path))
    assert said_so in str(refused.value)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("", []),
        ("A320 and 24h", [24.0]),
        ("1.5.3", [1.5]),
        ("-.5 and \u22123", [-0.5, -3.0]),
        ("1,234,567.5 or 1,2", [1234567.5, 1.0]),
    ],
)
def test_numbers_are_found_in_texts(text: str, numbers: list[float]) -> None:
    assert numbers_in(text)[: len(numbers)] == numbers
