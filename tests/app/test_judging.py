"""Judges and metrics of all cases in evaluations end to end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from conftest import MakeProject
from roadworthy.app import Project
from roadworthy.app.evaluations import Evaluator
from roadworthy.evaluate.report import Report

PRICED = """
[providers.big]
kind = "scripted"

[providers.big.prices."verdicts.jsonl"]
input_usd_per_million = 1
output_usd_per_million = 10
"""
SERVICE = """
name = "desk"
kind = "predict"

[owners]
product = "you"

[objectives]
deadline_ms = 500
{quality}

[cost]
per_day_usd = 1

[[models]]
name = "rule"
provider = "rule"
model = "{{'label': input.amount > 100.0 ? 'large' : 'small', 'probability': 0.75}}"

[evaluation]
suites = ["golden.jsonl"]
max_cost_usd = {most}

{scorers}
"""
JUDGE = """
[[evaluation.scorers]]
use = "judge"
model = "big/verdicts.jsonl"
rubric = "It is right."
"""
LABELLED = f'{JUDGE}labels = "labels.jsonl"\n'
QUALITY = 'quality = { scorer = "judge", at_least = 0.6 }'
RIGHT = '{"right": true, "score": 1, "reason": "Yes."}'
WRONG = '{"right": false, "score": 0, "reason": "No."}'
USED = {"usage": {"input_tokens": 1000, "output_tokens": 20}}
COST = 1000 + 20 * 10
CASES = 30


def jsonl(*lines: Any) -> str:
    return "".join(json.dumps(line) + "\n" for line in lines)


def project_of(
    make_project: MakeProject,
    scorers: str,
    *,
    quality: str = "",
    most: str = "1",
    verdicts: tuple[str, ...] = (RIGHT,),
    labels: tuple[bool, ...] = (),
) -> Project:
    amounts = [10.0 * number for number in range(CASES)]
    golden = [
        {
            "id": f"g{number}",
            "input": {"amount": amount},
            "expect": {"label": "large" if amount > 120 else "small", "probability": 1},
            "scorer": [],
        }
        for number, amount in enumerate(amounts)
    ]
    said = [{"output": f"answer {n}", "right": right} for n, right in enumerate(labels)]
    files = {
        "golden.jsonl": jsonl(*golden),
        "verdicts.jsonl": jsonl(*({"text": text, **USED} for text in verdicts)),
        "labels.jsonl": jsonl(*said),
    }
    return make_project(
        {"desk": SERVICE.format(quality=quality, most=most, scorers=scorers)},
        {f"services/desk/{name}": text for name, text in files.items()},
        PRICED,
    )


def evaluate(project: Project, **terms: Any) -> Report:
    return Evaluator(project).evaluate("desk", **terms)


def test_a_judge_is_paid_once_and_its_cost_is_told(make_project: MakeProject) -> None:
    project = project_of(make_project, JUDGE)
    report = evaluate(project)
    different = 2  # answers: the judge is not asked again of the same question and answer
    assert different * COST <= report.scoring_cost_micro <= CASES * 2 * COST
    assert evaluate(project).scoring_cost_micro == 0
    assert (project.folder / ".roadworthy" / "artifacts" / "judged").is_dir()


def test_the_word_of_a_judge_that_nobody_checked_passes_nothing(make_project: MakeProject) -> None:
    report = evaluate(project_of(make_project, JUDGE, quality=QUALITY))
    metric = report.metrics["judge"]
    assert (metric.value, metric.low, metric.high) == (1.0, 0.0, 1.0)
    assert report.verdict == "inconclusive"


def test_held_against_people_its_word_is_evidence(make_project: MakeProject) -> None:
    # Labels come first, in their order, so that the script can say of each what people do.
    labels = (True,) * 60 + (False,) * 60
    project = project_of(
        make_project,
        LABELLED,
        quality=QUALITY,
        labels=labels,
        verdicts=tuple(RIGHT if right else WRONG for right in labels) + (RIGHT,) * 60,
    )
    (project.folder / "services/desk/labels.jsonl").write_text(
        jsonl(*({"output": f"answer {n}", "right": right} for n, right in enumerate(labels)))
    )
    report = evaluate(project)
    metric = report.metrics["judge"]
    assert metric.low is not None
    assert metric.low > 0.6
    assert metric.verdict == "pass"


def test_a_judge_without_money_says_nothing(make_project: MakeProject) -> None:
    report = evaluate(project_of(make_project, JUDGE, most="0.000001"))
    assert report.metrics["judge"].value is None
    assert report.scoring_cost_micro == 0
    assert report.verdict == "inconclusive"


def test_metrics_of_all_cases_are_in_the_report(make_project: MakeProject) -> None:
    scorers = '[[evaluation.scorers]]\nuse = "label"\n'
    report = evaluate(project_of(make_project, scorers))
    assert report.metrics["accuracy"].value == pytest.approx(28 / 30)
    assert report.metrics["accuracy"].n == CASES
    assert "`small` was taken for `large`: 2 of 13" in report.metrics["accuracy"].why
    assert report.metrics["label"].value == pytest.approx(28 / 30)
    assert {"balanced_accuracy", "macro_f1"} <= report.metrics.keys()
    assert "auc" not in report.metrics
