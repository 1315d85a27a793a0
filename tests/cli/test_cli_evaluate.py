from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from command_line import run

from conftest import write_project
from evaluation_project import files, golden, judged, lines, write_suite
from roadworthy.evaluate.report import CaseResult, Report


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_project(tmp_path / "project", {"judged": judged()}, files(golden(200)))


def test_a_release_that_keeps_its_promise_ends_with_0(folder: Path) -> None:
    ran = run("evaluate", "judged", "--project", folder)
    assert ran.code == 0
    assert ran.out.splitlines()[0].startswith("PASS: ")
    assert "exact" in ran.out
    assert "200 answers asked for, 0 known from before" in ran.out
    assert ": 200 cases, once\n" in ran.out


def test_one_that_does_not_ends_with_1_and_shows_the_worst_cases(folder: Path) -> None:
    write_suite(folder, golden(200, wrong=180))
    ran = run("evaluate", "judged", "--project", folder)
    assert ran.code == 1
    assert ran.out.splitlines()[0].startswith("FAIL: exact is 10.0%")
    assert "worst cases" in ran.out
    assert "0 of 1" in ran.out


def test_too_few_cases_end_with_3_and_say_how_many_more_would_settle_it(folder: Path) -> None:
    write_suite(folder, golden(3))
    ran = run("evaluate", "judged", "--project", folder)
    assert ran.code == 3
    assert ran.out.splitlines()[0].startswith("INCONCLUSIVE: ")
    assert "more cases would settle it" in ran.out


def test_json_says_the_verdict_the_metrics_and_what_is_needed_first(folder: Path) -> None:
    ran = run("evaluate", "judged", "--project", folder, "--json")
    assert list(ran.json)[:3] == ["verdict", "metrics", "needed"]
    assert (ran.json["verdict"], ran.json["needed"]) == ("pass", None)
    exact = ran.json["metrics"]["exact"]
    assert (exact["value"], exact["n"], exact["bar"]) == (1.0, 200, 0.5)
    assert exact["low"] < 1.0
    assert ran.json["by"].startswith("cli:")
    assert set(Report.__struct_fields__) < set(ran.json)
    assert (ran.json["reused"], ran.json["notes"], ran.json["paired"]) == (0, [], [])
    for result in ran.json["results"]:
        assert set(result) == set(CaseResult.__struct_fields__)
    write_suite(folder, golden(3))
    few = run("evaluate", "judged", "--project", folder, "--json")
    assert few.json["verdict"] == "inconclusive"
    assert few.json["needed"] > 0


def test_junit_and_markdown_are_written_also_where_it_fails(folder: Path, tmp_path: Path) -> None:
    write_suite(folder, golden(200, wrong=180))
    junit, markdown = tmp_path / "out.xml", tmp_path / "out.md"
    words = ("--junit", junit, "--markdown", markdown)
    assert run("evaluate", "judged", "--project", folder, *words).code == 1
    root = ElementTree.parse(junit).getroot()
    suite = root.find("testsuite[@name='golden.jsonl']")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures")) == ("200", "180")
    assert markdown.read_text(encoding="utf-8").startswith("### ❌ FAIL: `judged`")


@pytest.mark.parametrize("option", ["--junit", "--markdown"])
def test_a_file_that_cannot_be_written_is_told_before_anything_is_asked(
    folder: Path, tmp_path: Path, option: str
) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "none" / "x", tmp_path / "file" / "x", tmp_path):
        ran = run("evaluate", "judged", "--project", folder, option, place)
        assert (ran.code, ran.out) == (4, "")
        assert "cannot write" in ran.err
    again = run("evaluate", "judged", "--project", folder, "--json")
    assert again.json["reused"] == 0


def test_a_worse_release_than_the_one_that_serves_ends_with_1(folder: Path) -> None:
    built = run("release", "build", "judged", "--project", folder, "--json").json["release"]
    run("release", "promote", "judged", built, "--project", folder)
    text = judged(limit=800.0, at_least=0.2)
    (folder / "services/judged/service.toml").write_text(text, encoding="utf-8")
    ran = run("evaluate", "judged", "--against", "champion", "--project", folder)
    assert ran.code == 1
    assert f"against {built}" in ran.out
    assert "beside the baseline" in ran.out


def test_suites_repeats_and_fresh_answers_may_be_asked_for(folder: Path) -> None:
    write_suite(folder, golden(5), "small.jsonl")
    words = ("evaluate", "judged", "--project", folder, "--json", "--suite", "small.jsonl")
    found = run(*words, "--repeats", "2").json
    assert (found["asked"], found["repeats"], found["suites"][0]["name"]) == (10, 2, "small.jsonl")
    assert run(*words).json["reused"] == 5
    assert run(*words, "--fresh").json["asked"] == 5


def test_how_often_each_case_was_asked_is_said_in_words(folder: Path) -> None:
    write_suite(folder, golden(10))
    ran = run("evaluate", "judged", "--project", folder, "--repeats", "3")
    assert ": 10 cases, 3 times each\n" in ran.out


def test_what_is_wrong_with_a_suite_is_told_line_by_line(folder: Path) -> None:
    write_suite(folder, golden(1) + "nonsense\n" + lines([{"id": "g0", "input": {}}]))
    ran = run("evaluate", "judged", "--project", folder, "--json")
    assert (ran.code, ran.json["error"]["code"]) == (1, "declaration_error")
    paths = [problem["path"] for problem in ran.json["error"]["problems"]]
    assert paths == ["line 2", "line 3: id"]


def test_an_unknown_service_or_release_is_not_found(folder: Path) -> None:
    assert run("evaluate", "nobody", "--project", folder).code == 4
    ran = run("evaluate", "judged", "--release", "abc", "--project", folder)
    assert (ran.code, "no release `judged@abc`" in ran.err) == (4, True)


def test_a_service_without_suites_says_how_to_write_one(folder: Path) -> None:
    text = judged(evaluation="repeats = 2")
    (folder / "services/judged/service.toml").write_text(text, encoding="utf-8")
    ran = run("evaluate", "judged", "--project", folder)
    assert ran.code == 2
    assert "expected cases for `judged`, got none" in ran.err
