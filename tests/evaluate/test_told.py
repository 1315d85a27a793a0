from __future__ import annotations

import json
import re
from typing import Any
from xml.etree import ElementTree

import pytest

from roadworthy.evaluate.junit import junit_xml
from roadworthy.evaluate.markdown import markdown_of
from roadworthy.evaluate.report import (
    BehaviourResult,
    CaseResult,
    Metric,
    Paired,
    Report,
    Slice,
    SuiteUsed,
)
from roadworthy.evaluate.reports import NO_MONEY, with_runs, without_money
from roadworthy.evaluate.settings import Run
from roadworthy.evaluate.told import as_json, needed_text
from roadworthy.evaluate.verdicts import Concluded

EXACT = Metric(name="exact", value=0.9, low=0.82, high=0.95, n=60, bar=0.85, verdict="inconclusive")


def case(id: str, **fields: Any) -> CaseResult:
    known = {"suite": "golden.jsonl", "stability": "stable_pass", "passes": 1, "runs": 1}
    return CaseResult(id=id, **{**known, **fields})


def report(**fields: Any) -> Report:
    known: dict[str, Any] = {
        "id": "ev_1",
        "service": "reply",
        "release": "reply@2",
        "at_us": 1,
        "sentence": "exact is 0.900",
        "needed": 120,
        "suites": (SuiteUsed(name="golden.jsonl", digest="d", cases=4),),
        "metrics": {"exact": EXACT},
        "results": (
            case("wrong", stability="stable_fail", passes=0, why="expected `a`", baseline=True),
            case("now and then", stability="flaky", passes=1, runs=3),
            case("nobody knows", stability="unknown", why="nothing was expected"),
            case("right"),
        ),
        "seconds": 1.5,
    }
    return Report(**{**known, **fields})


def test_json_begins_with_the_verdict_the_metrics_and_what_is_needed() -> None:
    found = as_json(report())
    assert list(found)[:3] == ["verdict", "metrics", "needed"]
    assert (found["verdict"], found["needed"]) == ("inconclusive", 120)
    assert found["metrics"]["exact"]["low"] == 0.82
    assert len(found["results"]) == 4
    json.dumps(found)


def test_a_metric_in_json_has_its_numbers_also_where_they_are_unknown() -> None:
    found = as_json(report(metrics={"label": Metric(name="label")}, verdict="pass", needed=None))
    assert found["needed"] is None
    numbers = {key: found["metrics"]["label"][key] for key in ("value", "low", "high", "n")}
    assert numbers == {"value": None, "low": None, "high": None, "n": 0}


def test_what_is_needed_is_told_in_cases_or_in_repeats() -> None:
    assert "about 120 more cases would settle it" in needed_text(report())
    assert "`--repeats 8`" in needed_text(report(needed=5, needs_repeats=True, repeats=3))
    assert needed_text(report(verdict="fail")) == ""


def test_junit_has_one_test_case_a_case_with_its_failure_or_why_it_was_skipped() -> None:
    root = ElementTree.fromstring(junit_xml(report()))
    suite = root.find("testsuite[@name='golden.jsonl']")
    assert suite is not None
    found = {one.get("name"): one for one in suite.findall("testcase")}
    assert set(found) == {"wrong", "now and then", "nobody knows", "right"}
    failure = found["wrong"].find("failure")
    assert failure is not None
    assert failure.get("message") == "expected `a` (right 0 of 1 times)"
    assert "baseline: right" in (failure.text or "")
    assert found["now and then"].find("failure[@type='flaky']") is not None
    assert found["nobody knows"].find("skipped") is not None
    assert not list(found["right"])
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("4", "2", "1")


def test_junit_tells_the_verdict_and_the_promises() -> None:
    root = ElementTree.fromstring(junit_xml(report(verdict="fail")))
    facts = {one.get("name"): one.get("value") for one in root.iter("property")}
    assert (facts["verdict"], facts["release"], facts["needed"]) == ("fail", "reply@2", "120")
    promises = root.find("testsuite[@name='promises']")
    assert promises is not None
    assert promises.find("testcase[@name='exact']/skipped") is not None
    assert promises.find("testcase[@name='verdict']/failure") is not None
    assert root.get("failures") == "3"


@pytest.mark.parametrize("hostile", ["<b>&]]>", "\x00\x1b[31m", "\ud7ff\ufffe", '"\n--'])
def test_junit_is_xml_whatever_a_case_holds(hostile: str) -> None:
    bad = case(hostile, stability="stable_fail", why=hostile, output=hostile, input={"x": hostile})
    root = ElementTree.fromstring(junit_xml(report(results=(bad,))))
    assert len(list(root.iter("failure"))) == 1


def test_markdown_begins_with_the_verdict_and_shows_numbers_beside_the_baseline() -> None:
    paired = Paired(
        name="exact", baseline=0.95, candidate=0.9, difference=-0.05, low=-0.1, high=0.0
    )
    shown = markdown_of(report(baseline="reply@1", paired=(paired,)))
    lines = shown.splitlines()
    assert lines[0].endswith("INCONCLUSIVE: `reply`")
    assert "about 120 more cases would settle it" in shown
    assert "| exact | 90.0 % | 82.0 % to 95.0 % | 60 | >= 85.0 % | 95.0 % | -5.0 %" in shown
    assert "**1 that the baseline has right are wrong now:**" in shown
    assert shown.count("<details>") == shown.count("</details>") == 2


def test_a_table_of_markdown_has_as_many_cells_in_each_row() -> None:
    shown = markdown_of(report(baseline="reply@1"))
    tables: list[list[str]] = [[]]
    for line in shown.splitlines():
        if line.startswith("|"):
            tables[-1].append(line)
        elif tables[-1]:
            tables.append([])
    for table in filter(None, tables):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1


def test_what_a_case_holds_is_no_markup_and_calls_nobody() -> None:
    bad = case("a|b", stability="stable_fail", why="</details> @ana [x](http://y) `c`", output="|")
    shown = markdown_of(report(results=(bad,)))
    assert "@ana" not in shown
    assert r"a\|b" in shown
    assert r"\<\/details" not in shown
    assert r"\</details\>" in shown


def test_slices_and_behaviour_are_folded_away() -> None:
    slices = (Slice(name="tag:refund", cases=9, metrics=(EXACT,)),)
    broken = Metric(name="typos", value=0.2, n=10, bar=0.05, is_least=False, verdict="fail")
    behaviours = (BehaviourResult(name="typos", use="typos", broken=broken),)
    shown = markdown_of(report(slices=slices, behaviours=behaviours))
    assert "| tag:refund | 9 | 90.0 % | 82.0 % to 95.0 % |" in shown
    assert "| typos | 20.0 % |  | 10 | <= 5.0 % |" in shown


def test_without_money_nothing_passes_and_what_fails_still_does() -> None:
    passed = Concluded(verdict="pass", sentence="all is well")
    failed = Concluded(verdict="fail", sentence="it is not")
    whole, half = Run(cases=(), asked=9), Run(cases=(), asked=4, unasked=5)
    assert without_money(passed, [whole]) == passed
    found = without_money(passed, [whole, half])
    assert (found.verdict, found.sentence) == ("inconclusive", NO_MONEY)
    assert without_money(failed, [half]) == failed


def test_a_report_tells_what_asking_both_releases_took() -> None:
    asked = Run(cases=(), asked=4, cost_micro=10, scoring_cost_micro=1, put_off=2)
    baseline = Run(cases=(), reused=4, scoring_cost_micro=3, failed={"judge": (1, "it was late")})
    found = with_runs(report(notes=("a suite is new",)), asked, baseline)
    assert (found.asked, found.reused, found.cost_micro, found.scoring_cost_micro) == (4, 4, 10, 4)
    assert found.notes[0] == "a suite is new"
    assert "refused 2 answers for now" in found.notes[1]
    assert found.notes[2].startswith("of the baseline: scorer `judge` gave no score of 1 answers")
