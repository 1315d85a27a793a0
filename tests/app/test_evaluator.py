"""Evaluations end to end: real releases, real models, a real store."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from conftest import MakeProject, write_project
from evaluation_project import files, golden, judged, lines, write_suite
from live import chat_service, provider_up, serve
from roadworthy.app import Project, open_project
from roadworthy.app.evaluations import Evaluator
from roadworthy.errors import DeclarationError, NotFound, RequestError
from roadworthy.evaluate.report import Report
from roadworthy.models.faulty import Fault, FaultyUpstream
from roadworthy.release import registry
from roadworthy.store.actions import list_actions
from roadworthy.store.evaluations import list_evaluations, read_evaluation
from roadworthy.store.records import find_records, record_row
from roadworthy.store.state import insert_rows
from roadworthy.store.tables import records
from roadworthy.types import HOUR_US, Arm, Ids, Record

Evaluate = Callable[..., Report]


@pytest.fixture
def project(make_project: MakeProject) -> Project:
    return make_project({"judged": judged()}, files())


def evaluate(project: Project, service: str = "judged", **terms: Any) -> Report:
    return Evaluator(project).evaluate(service, **terms)


def change(project: Project, limit: float) -> None:
    """Let the files say another rule."""
    path = project.folder / "services/judged/service.toml"
    path.write_text(judged(limit=limit), encoding="utf-8")


def gone(project: Project, release: str) -> None:
    """Remove a file that a release is made of."""
    digest = registry.read_release(project.state, release).manifest.files["service.toml"]
    (project.folder / ".roadworthy/artifacts" / digest[:2] / digest[2:]).unlink()


def test_what_the_files_describe_is_built_asked_and_not_promoted(project: Project) -> None:
    report = evaluate(project)
    assert (report.verdict, report.asked, report.reused) == ("pass", 40, 0)
    assert report.metrics["exact"].value == 1.0
    assert report.release == project.build_release("judged", by="test").id
    assert not registry.champion_id_of(project.state, "judged")
    assert [one.name for one in report.suites] == ["golden.jsonl"]
    named = evaluate(project, suites=("golden.jsonl", "golden.jsonl"))
    assert [one.cases for one in named.suites] == [40]


def test_a_report_is_stored_and_the_chain_says_who_made_it(project: Project) -> None:
    report = evaluate(project, by="cli:ana")
    stored = read_evaluation(project.state, report.id)
    assert msgspec.json.decode(stored.report, type=Report) == report
    assert (stored.head.by, stored.head.verdict) == ("cli:ana", "pass")
    act = list_actions(project.state, limit=1)[0]
    assert (act.action, act.subject, act.by) == ("evaluation.run", report.release, "cli:ana")


def test_an_evaluation_leaves_no_record_and_spends_nothing(project: Project) -> None:
    evaluate(project)
    assert find_records(project.state) == []


def test_what_was_answered_before_is_not_asked_again(project: Project) -> None:
    first = evaluate(project)
    again = evaluate(project)
    assert (again.asked, again.reused) == (0, 40)
    assert again.metrics["exact"] == first.metrics["exact"]
    fresh = evaluate(project, fresh=True)
    assert (fresh.asked, fresh.reused) == (40, 0)


def test_a_new_case_is_asked_alone_and_makes_no_other_release(project: Project) -> None:
    first = evaluate(project)
    write_suite(project.folder, golden(41))
    report = evaluate(project)
    assert (report.asked, report.reused) == (1, 40)
    assert report.release == first.release


def test_repeats_are_asked_each(project: Project) -> None:
    report = evaluate(project, repeats=3)
    assert (report.asked, report.repeats) == (120, 3)
    assert {(one.passes, one.runs, one.outputs) for one in report.results} == {(3, 3, 1)}


def test_cases_that_are_the_same_but_for_their_ids_are_told(project: Project) -> None:
    assert not any("the same as another" in note for note in evaluate(project).notes)
    copies = [
        {"id": f"c{n}", "input": {"amount": 20.0 + n % 2}, "expect": {"label": "low"}}
        for n in range(100)
    ]
    write_suite(project.folder, lines(copies))
    (note,) = evaluate(project).notes
    assert note.startswith("98 of 100 cases ask and expect the same as another, and count each")


def test_another_suite_may_be_given(project: Project) -> None:
    write_suite(project.folder, golden(3), "small.jsonl")
    assert evaluate(project, suites=("small.jsonl",)).asked == 3


def test_a_baseline_is_asked_the_same_cases(project: Project) -> None:
    champion = evaluate(project).release
    project.promote(champion, by="test")
    change(project, 150.0)
    report = evaluate(project, against="champion")
    assert report.baseline == champion
    assert (report.asked, report.reused) == (40, 40)
    assert [one.common for one in report.suites] == [40]
    worse = [one for one in report.results if one.baseline and one.stability == "stable_fail"]
    assert [one.id for one in worse] == ["g11", "g12", "g13", "g14", "g15"]
    assert worse[0].baseline_output == {"label": "high"}


def test_any_release_may_be_evaluated_against_any_other(project: Project) -> None:
    first = evaluate(project).release
    change(project, 150.0)
    second = evaluate(project).release
    report = evaluate(project, release_id=first.partition("@")[2], against=second)
    assert (report.release, report.baseline, report.asked) == (first, second, 0)


def test_without_a_champion_nothing_is_compared_and_the_report_says_so(project: Project) -> None:
    report = evaluate(project, against="champion")
    assert (report.baseline, report.notes) == (
        "",
        ("there is no `champion` yet: it was compared with nothing",),
    )


def test_what_serves_is_not_compared_with_itself(project: Project) -> None:
    project.promote(evaluate(project).release, by="test")
    report = evaluate(project, against="champion")
    assert report.baseline == ""
    assert "is the baseline itself" in report.notes[0]


def test_a_baseline_that_is_gone_is_compared_by_its_last_report_on_unchanged_cases(
    project: Project,
) -> None:
    champion = evaluate(project)
    project.promote(champion.release, by="test")
    change(project, 150.0)
    write_suite(project.folder, golden(44, wrong=4 + 3))  # 3 of the old ones expect another label
    gone(project, champion.release)
    report = evaluate(project, against="champion")
    assert [(one.cases, one.common) for one in report.suites] == [(44, 37)]
    note = next(note for note in report.notes if "cannot be opened any more" in note)
    assert f"those of evaluation `{champion.id}`" in note
    assert "37 of 44 cases are unchanged since and were compared" in note
    by_id = {one.id: one.baseline for one in report.results}
    assert (by_id["g12"], by_id["g40"]) == (True, None)


def test_a_baseline_that_is_gone_without_a_report_is_an_error(project: Project) -> None:
    champion = project.build_release("judged", by="test").id
    project.promote(champion, by="test")
    change(project, 150.0)
    gone(project, champion)
    with pytest.raises(NotFound, match="no evaluation of it is stored"):
        evaluate(project, against="champion")


def test_a_release_whose_file_is_gone_is_not_evaluated(project: Project) -> None:
    release = project.build_release("judged", by="test").id
    gone(project, release)
    change(project, 150.0)
    with pytest.raises(NotFound, match="expected an artifact"):
        evaluate(project, release_id=release)


def test_ids_that_stand_twice_are_all_told(project: Project) -> None:
    twice = {"id": "a", "input": {"amount": 1.0}}
    write_suite(project.folder, lines([twice, twice, {"id": "b", "input": {}}]))
    write_suite(project.folder, lines([{"id": "b", "input": {}}]), "more.jsonl")
    with pytest.raises(DeclarationError) as caught:
        evaluate(project, suites=("golden.jsonl", "more.jsonl"))
    assert [problem.path for problem in caught.value.problems] == ["line 2: id", "line 1: id"]
    assert list_evaluations(project.state) == []


def test_a_case_that_names_an_unknown_scorer_is_refused(project: Project) -> None:
    case = {"id": "a", "input": {"amount": 1.0}, "scorer": "nobody"}
    write_suite(project.folder, lines([case]))
    with pytest.raises(DeclarationError, match="case `a`: scorer: expected a scorer of this"):
        evaluate(project)


def test_without_cases_there_is_nothing_to_evaluate(project: Project) -> None:
    write_suite(project.folder, "\n")
    with pytest.raises(RequestError, match="expected cases for `judged`, got none"):
        evaluate(project)


def test_cases_that_expect_nothing_are_inconclusive(project: Project) -> None:
    write_suite(project.folder, lines([{"id": "a", "input": {"amount": 1.0}}]))
    report = evaluate(project)
    assert report.verdict == "inconclusive"
    assert report.results[0].stability == "unknown"


def test_a_slice_that_no_case_falls_into_is_no_trouble(make_project: MakeProject) -> None:
    sliced = 'suites = ["golden.jsonl"]\nslices = ["place"]'
    project = make_project({"judged": judged(evaluation=sliced)}, files())
    report = evaluate(project)
    assert report.verdict == "pass"
    assert [(one.name, one.cases) for one in report.slices] == [("tag:golden", 40), ("place", 0)]


def test_an_input_that_breaks_the_contract_is_a_wrong_answer_and_not_the_end(
    project: Project,
) -> None:
    bad = {"id": "bad", "input": {"amount": "much"}, "expect": {"label": "low"}}
    write_suite(project.folder, golden(3) + lines([bad]))
    report = evaluate(project)
    worst = report.results[0]
    assert (worst.id, worst.stability, worst.error_code) == (
        "bad",
        "stable_fail",
        "contract_violation",
    )


def test_changed_inputs_are_asked_and_judged(make_project: MakeProject) -> None:
    behaviour = """
    suites = ["golden.jsonl"]
    [[evaluation.behaviours]]
    use = "bounded"
    fields = ["amount"]
    by = 15.0
    at_most = 0.01
    """
    project = make_project({"judged": judged(evaluation=behaviour)}, files())
    report = evaluate(project)
    (found,) = report.behaviours
    assert (found.name, found.broken.n) == ("bounded", 40)
    assert found.broken.value
    assert {example["case"] for example in found.examples} <= {"g9", "g10", "g11"}
    assert len(report.results) == 40
    assert report.metrics["exact"].n == 40


def test_a_release_is_evaluated_while_a_server_serves_the_project(tmp_path: Path) -> None:
    folder = write_project(tmp_path / "project", {"judged": judged()}, files())
    with serve(folder) as live, open_project(folder) as project:
        champion = live.serving.engine.releases["judged"].id
        path = folder / "services/judged/service.toml"
        path.write_text(judged(limit=150.0), encoding="utf-8")
        report = evaluate(project, against="champion")
        assert report.baseline == champion
        assert len(report.results) == 40
        answer = live.answer("judged", {"amount": 120.0}).json
        assert (answer["output"], answer["release"]) == ({"label": "high"}, champion)
        assert len(live.records()) == 1


# Chats, prices and providers that refuse.


CHAT = 'evaluation = { suites = ["golden.jsonl"], concurrency = CONCURRENCY, max_cost_usd = MAX }'


def chats(
    folder: Path,
    upstream: FaultyUpstream,
    cases: str,
    *,
    max_usd: float = 1.0,
    concurrency: int = 1,
    usd: float = 1.0,
) -> Project:
    """Return a project whose service passes chats on to an upstream that charges."""
    text = chat_service(cost="per_day_usd = 100.0", more="max_output_tokens = 10")
    table = CHAT.replace("MAX", str(max_usd)).replace("CONCURRENCY", str(concurrency))
    beside = {"services/reply/golden.jsonl": cases}
    up = provider_up(upstream, input_usd=usd, output_usd=usd)
    written = write_project(folder, {"reply": f"{table}\n{text}"}, beside, up)
    return open_project(written)


def questions(count: int) -> str:
    return lines(
        {"id": f"q{n}", "input": {"text": f"say {n}"}, "expect": "yes"} for n in range(count)
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "project"


def test_chats_are_asked_scored_and_paid_from_the_evaluation_s_own_money(folder: Path) -> None:
    with FaultyUpstream(answer="yes") as up, chats(folder, up, questions(3)) as project:
        report = evaluate(project, "reply")
        assert report.metrics["exact"].value == 1.0
        assert report.cost_micro > 0
        assert report.results[0].output == {"text": "yes"}
        assert up.received == 3
        assert evaluate(project, "reply").cost_micro == 0
        assert find_records(project.state) == []


def test_what_a_day_costs_is_forecast_at_the_present_traffic(folder: Path) -> None:
    with FaultyUpstream(answer="yes") as up, chats(folder, up, questions(3)) as project:
        assert "cost_per_day_usd" not in evaluate(project, "reply").metrics
        ids = Ids(project.clock)
        at_us = project.clock.now_us() - 6 * HOUR_US
        arms: tuple[Arm, ...] = (*(("champion",) * 9), "shadow")
        seen = [
            Record(
                id=ids.new("rq", at_us),
                at_us=at_us,
                service="reply",
                kind="generate",
                disposition="answered",
                arm=arm,
            )
            for arm in arms
        ]
        with project.state.begin() as connection:
            insert_rows(connection, records, [record_row(record) for record in seen])
        metrics = evaluate(project, "reply").metrics
        per_request, per_day = metrics["cost_per_request_usd"], metrics["cost_per_day_usd"]
        assert per_request.value is not None
        assert per_day.value == pytest.approx(36 * per_request.value, rel=0.001)
        assert (per_day.bar, per_day.verdict) == (100.0, "pass")
        assert per_day.why == "at 36 requests a day"


def test_when_the_money_runs_out_the_verdict_is_open_and_what_was_paid_is_known(
    folder: Path,
) -> None:
    with (
        FaultyUpstream(answer="yes") as up,
        chats(folder, up, questions(40), max_usd=0.01, concurrency=4, usd=100.0) as project,
    ):
        report = evaluate(project, "reply")
        assert report.verdict == "inconclusive"
        assert report.sentence == "the money ran out before every case was asked"
        assert any("of 40 answers were not asked for" in note for note in report.notes)
        assert 0 < report.asked < 40
        assert report.cost_micro <= 10_000
        again = evaluate(project, "reply")
        assert again.reused == report.asked
        assert again.asked > 0


def test_a_service_that_charges_is_not_evaluated_without_a_limit(folder: Path) -> None:
    with FaultyUpstream(answer="yes") as up, chats(folder, up, questions(1)) as project:
        path = folder / "services/reply/service.toml"
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(", max_cost_usd = 1.0", ""), encoding="utf-8")
        with pytest.raises(DeclarationError, match=r"evaluation\.max_cost_usd: expected a limit"):
            evaluate(project, "reply")


def test_a_provider_that_refuses_for_now_is_asked_again(folder: Path) -> None:
    with FaultyUpstream(answer="yes") as up, chats(folder, up, questions(3)) as project:
        up.next(Fault.RATE_LIMITED, retry_after_s=0.01)
        report = evaluate(project, "reply")
        assert (report.asked, report.notes) == (3, ())
        assert report.metrics["exact"].value == 1.0
        assert up.received == 4


def test_a_case_may_hold_messages_or_a_history(folder: Path) -> None:
    def last_two(messages: Any) -> str:
        return " / ".join(message["content"] for message in messages[-2:])

    said = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    cases = lines(
        [
            {"id": "a", "input": {"messages": said[:1]}, "expect": "hi"},
            {"id": "b", "input": {"text": "bye"}, "history": said, "expect": "hello / bye"},
        ]
    )
    with FaultyUpstream(answer=last_two) as up, chats(folder, up, cases) as project:
        report = evaluate(project, "reply")
        assert {one.id: one.stability for one in report.results} == {
            "a": "stable_pass",
            "b": "stable_pass",
        }


def test_attacks_that_come_with_the_package_are_put_into_the_chat(folder: Path) -> None:
    with (
        FaultyUpstream(answer="I can not") as up,
        chats(folder, up, questions(1), max_usd=5.0, concurrency=8) as project,
    ):
        report = evaluate(project, "reply", suites=("builtin:attacks/leak",))
        assert len(report.results) == report.suites[0].cases > 3
        assert {one.suite for one in report.results} == {"builtin:attacks/leak"}
        assert json.dumps(report.results[0].input)


# What a case may bring, and what a rehearsal leaves out.


SURE = """
name = "sure"
kind = "predict"
owners = { product = "test" }
objectives = { deadline_ms = 2000 }
cost = {}
[[models]]
name = "rule"
provider = "rule"
model = "{'label': input.amount > 100.0, 'probability': 0.5}"
[review]
when = ["true"]
queue = "desk"
on_expiry = "refuse"
[evaluation]
suites = ["golden.jsonl"]
"""


def test_a_model_that_people_watch_is_judged_by_what_it_says_itself(
    make_project: MakeProject,
) -> None:
    cases = lines([{"id": "a", "input": {"amount": 1.0}, "expect": {"label": False}}])
    desk = '[queues.desk]\nowner = "Ana"\n'
    project = make_project({"sure": SURE}, {"services/sure/golden.jsonl": cases}, desk)
    (result,) = evaluate(project, "sure").results
    assert (result.disposition, result.stability) == ("answered", "stable_pass")


def test_a_judge_of_the_project_s_own_models_scores_and_is_asked_once(
    make_project: MakeProject,
) -> None:
    scorer = """
    suites = ["golden.jsonl"]
    max_cost_usd = 1
    [[evaluation.scorers]]
    use = "exact"
    [[evaluation.scorers]]
    use = "judge"
    model = "scripted/judge.jsonl"
    rubric = "Any label will do."
    """
    verdict = json.dumps({"text": '{"reason": "it will do", "verdict": "right", "score": 1}'})
    beside = files(golden(3)) | {"services/judged/judge.jsonl": verdict + "\n"}
    project = make_project({"judged": judged(evaluation=scorer)}, beside)
    report = evaluate(project)
    scores = {one.id: one.scores for one in report.results}
    assert set(scores["g0"]) == {"exact", "judge"}
    again = evaluate(project)
    assert {one.id: one.scores for one in again.results} == scores


def test_fairness_is_measured_where_it_is_promised(make_project: MakeProject) -> None:
    promised = '{ attribute = "place", metric = "accuracy_difference", at_most = 0.3 }'
    cases = lines(
        {
            "id": f"c{n}",
            "input": {"amount": 10.0 * n, "place": "here" if n % 2 else "there"},
            "expect": {"label": "high" if n > 10 else "low"},
        }
        for n in range(120)
    )
    project = make_project({"judged": judged(fairness=promised)}, files(cases))
    (found,) = evaluate(project).fairness
    assert (found.attribute, found.difference.value) == ("place", 0.0)
    assert {group["group"] for group in found.groups} == {"here", "there"}


def test_python_evaluates_through_the_same_door(project: Project) -> None:
    report = project.service("judged").evaluate(repeats=2)
    assert (report.verdict, report.repeats, report.by) == ("pass", 2, "python")
    assert [one.id for one in list_evaluations(project.state)] == [report.id]
