"""The conformance suite finds scorers that do not behave."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from roadworthy.declare.evaluation import ScorerEntry
from roadworthy.errors import ModelUnavailable
from roadworthy.evaluate.asked import Asked
from roadworthy.evaluate.cases import Case
from roadworthy.evaluate.scorer import Score, ScoringGround
from roadworthy.testing import check_scorer
from scorer_cases import case_of, entry_of, ground_in, said

Judge = Callable[[Case, Asked], Any]
_numbers = itertools.count()


class Shaped:
    """A scorer that is made of what a test hands in."""

    def __init__(
        self, entry: ScorerEntry, judge: Judge, version: str = "1", is_dear: bool = False
    ) -> None:
        self.name = entry.name
        self.version = version
        self.is_dear = is_dear
        self._judge = judge

    def score(self, case: Case, asked: Asked) -> Score:
        found: Score = self._judge(case, asked)
        return found


def check(folder: Path, judge: Judge, *, changed: int = 0, **settings: Any) -> Score:
    def open_it(entry: ScorerEntry, ground: ScoringGround) -> Shaped:
        return Shaped(entry, judge, **settings)

    others = [entry_of("exact", ignore_case=True)] * changed
    entry = entry_of("exact")
    return check_scorer(open_it, entry, ground_in(folder), case_of("a"), said("a"), changed=others)


def raise_it(error: Exception) -> Any:
    raise error


def test_one_that_behaves_passes(tmp_path: Path) -> None:
    assert check(tmp_path, lambda case, asked: Score(1.0, True)).value == 1


@pytest.mark.parametrize(
    ("judge", "said_so"),
    [
        (lambda case, asked: Score(1.5, True), "value: expected 0 to 1"),
        (lambda case, asked: Score(float("nan"), None), "value: expected 0 to 1"),
        (lambda case, asked: Score(None, True), "is_right: expected None"),
        (lambda case, asked: Score(0.0, False), "why: expected a reason"),
        (lambda case, asked: Score(0.0, False, "x" * 5000), "why: expected one sentence"),
        (lambda case, asked: Score(0.5, None, measured=float("inf")), "measured"),
        (lambda case, asked: Score(0.5, None, cost_micro=-1), "cost_micro"),
        (lambda case, asked: Score(0.5, None, doubt=2), "doubt"),
        (lambda case, asked: 1.0, "expected a Score, got float"),
        (lambda case, asked: Score(float(asked.output["text"] == "a")), "got TypeError"),
        (lambda case, asked: Score(next(_numbers) % 2 / 2), "again"),
        (lambda case, asked: raise_it(ModelUnavailable("down")), "got a ModelError"),
        (lambda case, asked: Score(asked.output.update(text="b") or 1.0), "it changed"),
    ],
)
def test_one_that_does_not_is_told_how(judge: Judge, said_so: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError) as error:
        check(tmp_path, judge)
    assert said_so in str(error.value)


def test_a_dear_one_may_say_something_else_next_time(tmp_path: Path) -> None:
    check(tmp_path, lambda case, asked: Score(next(_numbers) % 2 / 2), is_dear=True)


def test_other_settings_need_another_version(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="version: expected another"):
        check(tmp_path, lambda case, asked: Score(1.0, True), changed=1)


@pytest.mark.parametrize(
    ("settings", "said_so"),
    [
        ({"version": ""}, "version: expected a text, got an empty one"),
        ({"version": 1}, "version: expected a text, got int"),
        ({"is_dear": "no"}, "is_dear: expected a bool"),
    ],
)
def test_a_scorer_has_a_face(settings: dict[str, Any], said_so: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=said_so):
        check(tmp_path, lambda case, asked: Score(1.0, True), **settings)
