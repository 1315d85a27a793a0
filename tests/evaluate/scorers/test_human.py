"""A score that waits for people."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from roadworthy.evaluate.asked import Asked
from roadworthy.evaluate.people import answer_digest, waiting_line
from roadworthy.evaluate.scorers.human import Human
from scorer_cases import case_of, entry_of, ground_in, said


def human_in(folder: Path, *lines: bytes) -> Human:
    (folder / "said.jsonl").write_bytes(b"".join(lines))
    return Human(entry_of("human", labels="said.jsonl"), ground_in(folder))


def test_an_answer_that_nobody_has_looked_at_is_unknown(tmp_path: Path) -> None:
    case, asked = case_of(None), said("So.")
    human = human_in(tmp_path, waiting_line(case, asked))
    score = human.score(case, asked)
    assert (score.value, score.is_right) == (None, None)
    assert human.is_missing(case, asked)


def test_a_line_that_waits_shows_the_answer_and_is_filled_in_by_one_word(tmp_path: Path) -> None:
    case, asked = case_of("Because.", question="Why?"), said("So.")
    line = json.loads(waiting_line(case, asked))
    assert (line["output"], line["input"], line["right"]) == ("So.", {"question": "Why?"}, None)
    human = human_in(tmp_path, json.dumps({**line, "right": True}).encode())
    assert human.score(case, asked).is_right
    assert not human.is_missing(case, asked)


def test_another_answer_needs_another_look(tmp_path: Path) -> None:
    case = case_of(None)
    line = msgspec.json.encode({"id": "one", "answer": answer_digest(said("So.")), "right": True})
    human = human_in(tmp_path, line)
    assert human.score(case, said("So.", latency_us=5, cost_micro=9)).is_right
    assert human.score(case, said("Not so.")).value is None


def test_what_was_said_last_counts(tmp_path: Path) -> None:
    case, asked = case_of(None), said("So.")
    table = {"id": "one", "answer": answer_digest(asked)}
    lines = [{**table, "right": True}, {**table, "right": False, "why": "It lies."}]
    human = human_in(tmp_path, *(msgspec.json.encode(line) + b"\n" for line in lines))
    score = human.score(case, asked)
    assert (score.value, score.is_right, score.why) == (0.0, False, "It lies.")


def test_no_answer_waits_for_nobody(tmp_path: Path) -> None:
    nothing = Asked(disposition="failed")
    human = human_in(tmp_path)
    assert human.score(case_of(None), nothing).is_right is False
    assert not human.is_missing(case_of(None), nothing)
