"""Pages of evaluations: the verdict first, then what it stands on, and the worst cases."""

from __future__ import annotations

from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from release_stage import HOSTILE, Stage, case, staged
from visitor import Visitor

from conftest import write_project
from control_plane import Plane
from evaluation_project import files, golden, judged
from roadworthy.app import open_project
from roadworthy.app.evaluations import Evaluator
from roadworthy.evaluate.report import Report
from roadworthy.web import numbers


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("evaluations")) as stage:
        yield stage


@pytest.fixture(scope="module")
def visitor(stage: Stage) -> Visitor:
    return Visitor(stage.plane, stage.plane.secret)


@pytest.fixture(scope="module")
def id(stage: Stage) -> str:
    return stage.evaluate()


def test_the_headline_says_the_verdict_and_how_many_cases_are_missing(
    stage: Stage, visitor: Visitor, id: str
) -> None:
    shown = visitor.see(f"/evaluations/{id}")
    short = stage.candidate.rpartition("@")[2][:6]
    assert shown.headline == f"{short} is not decided yet: 140 more cases are needed."
    assert "Inconclusive" in shown.words
    assert shown.unclosed == []


def test_a_page_says_each_number_of_its_twin(stage: Stage, visitor: Visitor, id: str) -> None:
    shown, twin = visitor.see(f"/evaluations/{id}"), stage.plane.get(f"/api/evaluations/{id}")
    assert unescape(shown.headline) == twin["says"]
    said = [
        "93.4%",
        f"{numbers.bounds(0.921, 0.947, 0.9)}, n 1,200",
        "≥ 90%",
        "≤ 20 ms",
        "6.4 ms",
        "$0.00001",
    ]
    said += ["+2.1 points", "+1.2 to +3.0", "51 / 26", "p 0.006", "could show 1.1 points"]
    said += ["carrier=UA", "tag:night", "typos", "carrier_size", "tiny", "8 more cases are needed"]
    said += ["1,100 right every time, 1 flaky, 70 wrong every time", "expected late, got not late"]
    said += ["1,190", "3,570 answers were asked for, 30 were known", *twin["notes"]]
    said += [twin["command"], *twin["because"]]
    assert [words for words in said if words not in shown.words] == []
    assert twin["metrics"][0]["name"] == "judge"
    assert [part["name"] for part in twin["slices"]] == ["tag:night", "carrier=UA"]


def test_the_whole_report_is_given_to_programs(stage: Stage, id: str) -> None:
    report = stage.plane.get(f"/api/evaluations/{id}/report")
    assert [result["id"] for result in report["results"]] == [f"case-{n}" for n in range(5)]


def test_cases_are_narrowed_to_those_that_flake(visitor: Visitor, id: str) -> None:
    shown = visitor.see(f"/evaluations/{id}?stability=stable_pass")
    assert "case-4" in shown.words
    assert "case-0" not in shown.words
    assert visitor.see(f"/evaluations/{id}?stability=odd").status == 400


@pytest.mark.slow
def test_ten_thousand_cases_are_paged_and_the_page_stays_small(
    stage: Stage, visitor: Visitor
) -> None:
    long = stage.evaluate(results=tuple(case(n, why="x" * 900) for n in range(10_000)))
    shown = visitor.see(f"/evaluations/{long}")
    assert len(shown.source) < 60_000
    assert "30 of 10,000" in shown.words
    (more,) = [link for link in shown.links if "start=30" in link]
    assert "60 of 10,000" in visitor.see(more.partition("#")[0]).words


def test_what_models_and_users_wrote_is_text_and_cut(stage: Stage, visitor: Visitor) -> None:
    odd = case(0, input={"text": HOSTILE}, output=HOSTILE, why=HOSTILE, id=HOSTILE[:60])
    shown = visitor.see(f"/evaluations/{stage.evaluate(results=(odd,))}")
    assert "<script>alert" not in shown.source
    assert "w" * 241 not in shown.source
    assert shown.unclosed == []


def test_an_empty_report_is_a_page(stage: Stage, visitor: Visitor) -> None:
    bare = Report(id="ev_bare", service="risk", release=stage.candidate, at_us=stage.now_us)
    shown = visitor.see(f"/evaluations/{stage.evaluate(bare)}")
    assert "Nothing was measured." in shown.words
    assert shown.unclosed == []


def test_the_list_says_how_the_newest_ended_and_pages_back(
    stage: Stage, visitor: Visitor, id: str
) -> None:
    first = stage.evaluate(verdict="fail", at_us=stage.now_us)
    shown = visitor.see("/services/risk/evaluations?limit=1")
    assert "failed" in shown.headline
    assert f"/evaluations/{first}" in shown.links
    (older,) = [found["href"] for found in shown.having("a", rel="next")]
    assert older
    assert f"/evaluations/{first}" not in visitor.see(older).links


def test_without_an_evaluation_the_page_teaches_the_command(visitor: Visitor) -> None:
    shown = visitor.see("/services/reply/evaluations")
    assert shown.headline == "No evaluation of reply yet."
    assert "roadworthy evaluate reply" in shown.words


def test_a_key_of_another_service_sees_no_evaluation(stage: Stage, id: str) -> None:
    _, other = stage.plane.make_key("read", services=["reply"])
    assert stage.plane.ask("GET", f"/api/evaluations/{id}", key=other).status == 403
    assert stage.plane.ask("GET", "/api/services/risk/evaluations", key=other).status == 403
    assert stage.plane.ask("GET", "/api/evaluations/ev_gone").status == 404


def test_what_an_evaluation_of_real_answers_found_is_a_page(tmp_path: Path) -> None:
    folder = tmp_path / "real"
    write_project(folder, {"judged": judged(at_least=0.99)}, files(golden(30, wrong=3)))
    with open_project(folder) as project:
        plane = Plane(project)
        release = plane.serving.engine.releases["judged"].id
        report = Evaluator(project).evaluate("judged", release_id=release, by="cli:ada")
        shown = Visitor(plane, plane.secret).see(f"/evaluations/{report.id}")
        twin = plane.get(f"/api/evaluations/{report.id}")
    assert unescape(shown.headline) == twin["says"]
    assert twin["row"]["verdict"] == report.verdict == "fail"
    assert "exact is 90.0%" in shown.headline
    worst = [one["id"] for one in twin["cases"][:3]]
    assert sorted(worst) == ["g27", "g28", "g29"]
    assert all(id in shown.words for id in worst)
    assert shown.unclosed == []
