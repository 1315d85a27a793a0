"""What counts as evidence in a rollout: what models said, of whoever was really answered."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from candidates import follow
from conftest import MakeProject
from roadworthy.app import Project
from roadworthy.app.rollouts import Rollouts, begin_rollout
from roadworthy.release.promotion import promote, roll_back
from roadworthy.serve.request import Reply
from roadworthy.serve.splits import OpenSplit
from roadworthy.store.records import delete_user, outcome_row, record_row
from roadworthy.store.release_tables import rollout_units
from roadworthy.store.rollouts import Figure, Rollout, list_rollouts, stop_rollout
from roadworthy.store.state import insert_rows
from roadworthy.store.tables import outcomes, records
from roadworthy.types import MICRO, Ids, Outcome, Record

START_US = 1_700_000_000 * MICRO
QUEUE = '[queues.desk]\nowner = "Ada"\n'
SERVICE = """
name = "late"
kind = "predict"
owners = {{ product = "test" }}
objectives = {{ deadline_ms = 500 }}
cost = {{}}
contract = {{ input = "in.json", output = "out.json" }}
[[models]]
name = "own"
provider = "rule"
model = "{model}"
{more}
[outcomes]
reported = "all"
[release]
judge = "{judge}"
shadow = {{ max_regression = 0.1, min_units = 20, labels_within = "1h" }}
canary = {{ steps = [0.5, 1.0], max_regression = 0.1, min_units = 20, window = "1m" }}
"""
STATIC = '[[fallback]]\nuse = "static"\noutput = { label = false, probability = 0.2 }\n'
HELD = f'{STATIC}[review]\nmax_error = 0.1\nqueue = "desk"\n'
LADDER = f"{STATIC}[review]\nmax_error = 0.1\n"
REFUSING = f'{HELD}capacity_per_day = 1\noverflow = "refuse"\n'
GOOD = "{'label': input.p >= 0.5, 'probability': input.p}"
BAD = "{'label': input.p < 0.5, 'probability': 1.0 - input.p}"
FILES = {
    "services/late/in.json": '{"properties": {"p": {"type": "number"}}}',
    "services/late/out.json": msgspec.json.encode(
        {"properties": {"label": {"type": "boolean"}, "probability": {"type": "number"}}}
    ).decode(),
}


def stage(
    make_project: MakeProject, model: str, more: str, judge: str = "shadow"
) -> tuple[Project, str]:
    """Return a project that serves `GOOD`, asked by 2,000 users on a day, and a candidate."""
    text = SERVICE.format(model=GOOD, more=more, judge=judge)
    project = make_project({"late": text}, FILES, project=QUEUE)
    project.promote(project.build_release("late", by="test").id, by="test")
    file = project.folder / "services/late/service.toml"
    file.write_text(SERVICE.format(model=model + " ", more=more, judge=judge))
    candidate = project.build_release("late", by="test").id
    project.clock.set(START_US)  # type: ignore[attr-defined]
    ids, rows = Ids(project.clock), []
    for number in range(2_000):
        at_us = START_US - number * 43 * MICRO
        fields: dict[str, Any] = {"service": "late", "kind": "predict", "disposition": "answered"}
        record = Record(id=ids.new("rq", at_us), at_us=at_us, user=f"old-{number}", **fields)
        rows.append(record_row(record))
    with project.state.begin() as connection:
        insert_rows(connection, records, rows)
    return project, candidate


def begin(project: Project, candidate: str) -> Rollout:
    rollout = begin_rollout(project, "late", candidate, by="test").rollout
    follow(project)
    return rollout


def ask(project: Project, count: int) -> list[Reply]:
    late = project.service("late")
    asked = [
        late.answer({"p": 0.9 if number % 2 else 0.1}, user=f"u{number}") for number in range(count)
    ]
    found = project.serving.engine.splits["late"]
    assert isinstance(found, OpenSplit)
    if found.shadows is not None:
        project.run(found.shadows.finish()).result()
    project.serving.writer.drain()
    return asked


def say(project: Project, replies: list[Reply], kind: str = "label", *, right: bool = True) -> None:
    """Let it be known of all: the truth, or that the shown answer was `right`."""
    now_us, ids = project.clock.now_us(), Ids(project.clock)
    rows = []
    for number, reply in enumerate(replies):
        value = number % 2 == 1 if kind == "label" else right
        outcome = Outcome(
            id=ids.new("oc"),
            request_id=reply.request_id,
            kind=kind,
            value=value,
            source="api",
            at_us=now_us,
            known_at_us=now_us,
            by="test",
        )
        rows.append(outcome_row(outcome))
    with project.state.begin() as connection:
        insert_rows(connection, outcomes, rows)


def look(project: Project, hours: float = 2) -> Rollout:
    clock = project.clock
    clock.set(clock.now_us() + int(hours * 3600) * MICRO)  # type: ignore[attr-defined]
    project.serving.writer.drain()
    Rollouts(project, dict).look(clock.now_us())
    return list_rollouts(project.state, ["late"], 1)[0]


def figure(rollout: Rollout, name: str) -> Figure:
    return next(figure for figure in rollout.verdict.figures if figure.name == name)


@pytest.mark.parametrize(("more", "got"), [(HELD, "review"), (LADDER, "fallback")])
@pytest.mark.parametrize(("model", "state"), [(GOOD, "promoted"), (BAD, "rolled_back")])
def test_a_shadow_is_held_against_the_draft_and_not_against_what_a_user_got_instead(
    make_project: MakeProject, model: str, state: str, more: str, got: str
) -> None:
    project, candidate = stage(make_project, model, more)
    begin(project, candidate)
    replies = ask(project, 150)
    assert {reply.disposition for reply in replies} == {got}
    say(project, replies)
    rollout = look(project)
    brier = figure(rollout, "brier")
    assert brier.units == 150
    assert brier.champion == pytest.approx(0.01)
    assert brier.candidate == pytest.approx(0.01 if model == GOOD else 0.81)
    assert rollout.state == state


def test_a_shadow_answers_also_what_was_refused_for_want_of_certainty(
    make_project: MakeProject,
) -> None:
    project, candidate = stage(make_project, BAD, REFUSING)
    begin(project, candidate)
    replies = ask(project, 60)
    assert {reply.disposition for reply in replies} == {"review", "refused"}
    say(project, replies)
    rollout = look(project)
    assert figure(rollout, "brier").units == 60
    assert rollout.state == "rolled_back"


@pytest.mark.parametrize(("model", "state"), [(GOOD, "promoted"), (BAD, "rolled_back")])
def test_verdicts_on_what_was_shown_judge_a_candidate_that_says_something_else(
    make_project: MakeProject, model: str, state: str
) -> None:
    project, candidate = stage(make_project, model, "")
    begin(project, candidate)
    say(project, ask(project, 150), "correct")
    rollout = look(project)
    assert figure(rollout, "brier").units == 150
    assert rollout.state == state


def test_a_stopped_service_promotes_nobody(make_project: MakeProject) -> None:
    project, candidate = stage(make_project, BAD, "", "canary")
    begin(project, candidate)
    project.serving.switchboard.stop("late", by="ada", reason="smoke")
    follow(project)
    replies = ask(project, 100)
    assert {reply.disposition for reply in replies} == {"refused"}
    rollout = look(project)
    assert (rollout.state, figure(rollout, "errors").units) == ("running", 0)
    project.serving.switchboard.resume("late", by="ada")
    follow(project)
    ask(project, 100)
    rollout = look(project)
    assert figure(rollout, "errors").units > 20, (
        "who asked while it was stopped counts once it is not"
    )


def units_of(project: Project) -> list[Any]:
    with project.state.connect() as connection:
        return list(connection.execute(rollout_units.select()).all())


@pytest.mark.parametrize("how", ["stop", "promote", "rollback"])
def test_however_it_ended_nothing_is_kept_of_its_users(make_project: MakeProject, how: str) -> None:
    project, candidate = stage(make_project, GOOD, "")
    first = project.serving.engine.releases["late"].id
    if how == "rollback":
        promote(project.state, project.clock, candidate, by="ada")
        candidate = first
    follow(project)
    begin(project, candidate)
    ask(project, 5)
    look(project, 0.1)
    assert len(units_of(project)) == 5
    if how == "stop":
        stop_rollout(project.state, project.clock, "late", by="ada")
    elif how == "promote":
        promote(project.state, project.clock, candidate, by="ada")
    else:
        roll_back(project.state, project.clock, "late", by="ada", why="harm")
    assert units_of(project) == []


def test_of_a_forgotten_user_a_rollout_keeps_nothing(make_project: MakeProject) -> None:
    project, candidate = stage(make_project, GOOD, "")
    begin(project, candidate)
    ask(project, 5)
    look(project, 0.1)
    kept = {row.unit for row in units_of(project)}
    delete_user(project.state, "u3")
    assert len(kept - {row.unit for row in units_of(project)}) == 1
