"""Behaviours, fairness, stability and templates end to end: real releases, a real store."""

from __future__ import annotations

from conftest import MakeProject
from evaluation_project import files, golden, judged, lines
from roadworthy.app.evaluations import Evaluator
from roadworthy.evaluate.report import Report

CHAT = """
name = "echo"
kind = "generate"
owners = { product = "test" }
objectives = { deadline_ms = 2000 }
cost = {}
contract = { input = "request.schema.json" }
[chat]
variable = "question"
[[models]]
name = "rule"
provider = "rule"
model = "{'text': 'You said: ' + input.question}"
[evaluation]
suites = ["golden.jsonl"]
[[evaluation.scorers]]
use = "contains"
[[evaluation.behaviours]]
use = "typos"
"""
SCHEMA = '{"type": "object", "properties": {"question": {"type": "string"}}}'


def evaluated(make_project: MakeProject, evaluation: str, suite: str | None = None) -> Report:
    """Evaluate the rule that calls amounts above 100 high."""
    project = make_project({"judged": judged(evaluation=evaluation)}, files(suite))
    return Evaluator(project).evaluate("judged")


def test_a_label_that_a_small_error_flips_is_found(make_project: MakeProject) -> None:
    behaviour = '[[evaluation.behaviours]]\nuse = "bounded"\nfields = ["amount"]\nby = BY'
    suites = 'suites = ["golden.jsonl"]\n'
    # Of 0, 10, … 390 only 100 is flipped by 5 more, but every one from 10 to 190 by 95.
    near = evaluated(make_project, suites + behaviour.replace("BY", "5")).behaviours[0]
    assert (near.broken.n, near.broken.value) == (40, 1 / 40)
    assert near.examples[0]["case"] == "g10"
    far = evaluated(make_project, suites + behaviour.replace("BY", "95")).behaviours[0]
    assert far.broken.verdict == "fail"


def test_attacks_on_the_values_of_a_predict_are_refused_in_order(
    make_project: MakeProject,
) -> None:
    text = 'suites = ["golden.jsonl"]\n[[evaluation.behaviours]]\nuse = "attacks"\nat_most = 0.1'
    found = evaluated(make_project, text).behaviours[0]
    assert (found.broken.value, found.broken.n, found.broken.verdict) == (0.0, 40, "pass")


def test_a_text_that_changes_with_its_input_is_held_to_its_scorer(
    make_project: MakeProject,
) -> None:
    suite = lines(
        {"id": f"c{n}", "input": {"question": f"where is parcel {n}"}, "expect": ["You said"]}
        for n in range(80)
    )
    folder = "services/echo"
    project = make_project(
        {"echo": CHAT},
        {f"{folder}/request.schema.json": SCHEMA, f"{folder}/golden.jsonl": suite},
    )
    found = Evaluator(project).evaluate("echo").behaviours[0]
    assert (found.broken.value, found.broken.verdict) == (0.0, "pass")


def test_groups_that_are_treated_otherwise_fail_an_evaluation(make_project: MakeProject) -> None:
    promise = "{ attribute = 'place', metric = 'demographic_parity_difference', at_most = 0.1 }"
    suite = lines(
        {
            "id": f"c{n}",
            "input": {"amount": 200.0 if n % 2 else 50.0, "place": "ab"[n % 2]},
            "expect": {"label": "high" if n % 2 else "low"},
        }
        for n in range(80)
    )
    text = judged(fairness=promise)
    project = make_project({"judged": text}, files(suite))
    report = Evaluator(project).evaluate("judged")
    assert report.verdict == "fail"
    assert "demographic_parity_difference by place" in report.sentence
    assert report.fairness[0].difference.value == 1.0


def test_templates_are_a_suite_and_repeats_are_compared(make_project: MakeProject) -> None:
    template = (
        '{"id": "t", "template": {"amount": "{usd}"}, "fill": {"usd": [150, 250, 350]}, '
        '"expect": {"label": "high"}}\n'
    )
    project = make_project(
        {
            "judged": judged(
                evaluation='suites = ["golden.jsonl", "t.templates.jsonl"]\nrepeats = 2'
            )
        },
        {**files(golden(40)), "services/judged/t.templates.jsonl": template},
    )
    report = Evaluator(project).evaluate("judged")
    assert [(one.name, one.cases) for one in report.suites] == [
        ("golden.jsonl", 40),
        ("t.templates.jsonl", 3),
    ]
    assert report.stability.stable_pass == 43
    assert report.stability.flaky is not None
    assert report.stability.flaky.value == 0
    assert report.stability.varied is not None
    assert report.stability.unparsed is not None
