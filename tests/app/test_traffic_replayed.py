"""Yesterday's traffic goes through a candidate, and is compared with what was answered."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from conftest import MakeProject
from live import chat_service, provider_up
from roadworthy.app import Project
from roadworthy.app.replayed import TrafficWanted, replay_traffic
from roadworthy.errors import Forbidden, RequestError
from roadworthy.evaluate.report import Paired, Report
from roadworthy.models.faulty import FaultyUpstream
from roadworthy.store.evaluations import list_evaluations, read_evaluation
from roadworthy.store.records import find_records
from roadworthy.types import DAY_US, Ids, Outcome

pytest.importorskip("numpy")

SERVICE = """
name = "late"
kind = "predict"
owners = { product = "test" }
objectives = { deadline_ms = 1000 }
cost = {}
outcomes = { unit = "request", groups = ["carrier"] }
[[models]]
name = "rule"
provider = "rule"
model = '{"label": input.p > 0.5, "probability": input.p}'
"""
EAGER = SERVICE.replace("input.p > 0.5", "input.p > 0.3")


def asked(make_project: MakeProject, n: int = 40) -> tuple[Project, str]:
    """Return a project in which n requests were answered, and the id of a candidate."""
    project = make_project({"late": SERVICE})
    service = project.service("late")
    ids = [
        service.answer(
            {"p": place / n, "carrier": "AA" if place % 2 else "UA"},
            user=f"u{place}",
            tags=("night",) if place % 4 == 0 else (),
        ).request_id
        for place in range(n)
    ]
    made = Ids(project.clock)
    for place, id in enumerate(ids):
        now = project.clock.now_us()
        project.serving.spool.append(
            Outcome(
                id=made.new("oc"),
                request_id=id,
                kind="label",
                value=place / n > 0.5,
                source="erp",
                at_us=now,
                known_at_us=now,
                by="test",
            )
        )
    project.serving.writer.drain()
    file = project.folder / "services" / "late" / "service.toml"
    file.write_text(EAGER)
    return project, project.build_release("late", by="test").id


def replayed(project: Project, release: str, **fields: Any) -> Report:
    now = project.clock.now_us()
    span = {"since_us": now - DAY_US, "until_us": now + DAY_US}
    return replay_traffic(
        project, TrafficWanted(service="late", release=release, **{**span, **fields})
    )


def right(report: Report) -> Paired:
    return next(one for one in report.paired if one.name == "right")


def test_a_worse_candidate_is_seen_by_what_became_known(make_project: MakeProject) -> None:
    project, candidate = asked(make_project)
    report = replayed(project, candidate)
    found = right(report)
    assert (found.n, found.baseline, found.candidate) == (40, 1.0, 0.8)
    assert (found.better, found.worse) == (0, 8)
    assert report.verdict == "fail"
    assert report.metrics["disagreement"].value == 0.2
    brier = next(one for one in report.paired if one.name == "brier")
    assert brier.difference is not None
    assert brier.difference > 0
    parts = {part.name: part for part in report.slices}
    assert set(parts) == {"tag:night", "carrier=AA", "carrier=UA"}
    assert len(report.results) >= 8
    assert report.results[0].why == "False → True"


def test_the_release_that_answered_agrees_with_itself(make_project: MakeProject) -> None:
    project, _ = asked(make_project)
    serves = project.serving.engine.releases["late"].id
    report = replayed(project, serves)
    assert (report.metrics["disagreement"].value, report.results) == (0.0, ())
    assert report.verdict == "pass"


def test_nothing_is_left_behind_but_an_evaluation(make_project: MakeProject) -> None:
    project, candidate = asked(make_project)
    before = len(find_records(project.state, limit=500))
    report = replayed(project, candidate)
    project.serving.writer.drain()
    assert len(find_records(project.state, limit=500)) == before
    (head,) = list_evaluations(project.state, service="late", kind="replay")
    assert (head.id, head.release, head.verdict) == (report.id, candidate, "fail")
    stored = msgspec.json.decode(read_evaluation(project.state, head.id).report, type=Report)
    assert stored.metrics == report.metrics
    assert all(one.input == {} and one.output is None for one in stored.results)
    assert any(one.input for one in report.results)


def test_only_the_newest_or_a_sample_are_asked(make_project: MakeProject) -> None:
    project, candidate = asked(make_project)
    assert replayed(project, candidate, limit=5).asked == 5
    report = replayed(project, candidate, sample=20)
    assert report.asked == 20
    night = next(part for part in report.slices if part.name == "tag:night")
    assert night.cases == 5


def test_that_an_answer_was_wrong_says_nothing_of_another(make_project: MakeProject) -> None:
    project, candidate = asked(make_project, n=0)
    service = project.service("late")
    id = service.answer({"p": 0.4}).request_id
    now = project.clock.now_us()
    project.serving.spool.append(
        Outcome(
            id=Ids(project.clock).new("oc"),
            request_id=id,
            kind="correct",
            value=False,
            source="erp",
            at_us=now,
            known_at_us=now,
            by="test",
        )
    )
    project.serving.writer.drain()
    report = replayed(project, candidate)
    assert report.metrics["disagreement"].value == 1.0
    assert report.metrics["right"].value == 0.5, "it counts both ways"
    assert report.verdict == "inconclusive"
    assert any("count both ways" in note for note in report.notes)


def test_a_time_without_requests_is_refused(make_project: MakeProject) -> None:
    project, candidate = asked(make_project, n=0)
    with pytest.raises(RequestError, match="got none"):
        replayed(project, candidate)


def test_paid_traffic_needs_a_budget_and_ends_with_it(make_project: MakeProject) -> None:
    with FaultyUpstream() as upstream:
        project = make_project(
            {"late": chat_service("late", cost="per_day_usd = 5")},
            project=provider_up(upstream, input_usd=100.0, output_usd=200.0),
        )
        for n in range(3):
            project.service("late").answer({"text": f"hello {n}"})
        project.serving.writer.drain()
        release = project.serving.engine.releases["late"].id
        with pytest.raises(Forbidden, match=r"3 requests can cost about \$"):
            replayed(project, release)
        report = replayed(project, release, budget_micro=1)
        assert any("the budget was spent after 0 of 3" in note for note in report.notes)
        whole = replayed(project, release, is_paid=True)
        assert whole.asked == 3
        assert whole.cost_micro > 0
