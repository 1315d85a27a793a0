"""Candidates on their way: judged by the users that met them, and never left half way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine, event

from candidates import ask, follow, service, two_releases
from conftest import MakeProject
from roadworthy.app import Project, open_project
from roadworthy.app.rollouts import Rollouts, begin_rollout
from roadworthy.errors import Conflict, NotFound, RequestError
from roadworthy.release.promotion import aliases, freeze, promote, unfreeze
from roadworthy.release.registry import champion_id_of
from roadworthy.store.actions import list_actions, verify_chain
from roadworthy.store.records import outcome_row, record_row
from roadworthy.store.release_tables import rollout_units
from roadworthy.store.rollouts import (
    MOST_LOOKS,
    Rollout,
    RolloutVerdict,
    add_look,
    list_rollouts,
    open_rollouts,
    read_looks,
    read_rollout,
    save_rollout,
    stop_rollout,
)
from roadworthy.store.state import insert_rows
from roadworthy.store.tables import bodies, outcomes, records
from roadworthy.store.writer import Writer
from roadworthy.types import MICRO, Disposition, Ids, Outcome, Record

START_US = 1_700_000_000 * MICRO
MINUTE_US = 60 * MICRO
CANARY = """
[release]
judge = "canary"
canary = { steps = [0.2, 0.5, 1.0], max_regression = 0.2, min_units = 20, window = "1m" }
"""
SHADOW = """
[outcomes]
reported = "all"
[release]
judge = "shadow"
shadow = { max_regression = 0.1, min_units = 20, labels_within = "1h" }
"""


class Past:
    """Writes down traffic as if it had been served.

    Args:
        project: With a champion and a candidate.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self.ids = Ids(project.clock)
        self.users = 0

    @property
    def now_us(self) -> int:
        return self.project.clock.now_us()

    def pass_by(self, us: int) -> None:
        self.project.clock.set(self.now_us + us)  # type: ignore[attr-defined]

    def visit(self, rollout: Rollout | None = None, arm: str = "champion", **more: Any) -> Record:
        """Let a new user ask once."""
        self.users += 1
        at_us = more.pop("at_us", self.now_us)
        disposition: Disposition = more.pop("disposition", "answered")
        release = ""
        if rollout is not None:
            release = rollout.champion if arm == "champion" else rollout.candidate
        fields = {
            "id": self.ids.new("rq", at_us),
            "at_us": at_us,
            "service": "late",
            "kind": "predict",
            "disposition": disposition,
            "release": release,
            "arm": arm,
            "canary": "" if rollout is None else rollout.id,
            "user": f"user-{self.users}",
        }
        record = Record(**(fields | more))
        with self.project.state.begin() as connection:
            insert_rows(connection, records, [record_row(record)])
            if record.output is not None:
                insert_rows(connection, bodies, [(record.id, record.input, record.output)])
        return record

    def visits(self, rollout: Rollout, champion: Sequence[bool], candidate: Sequence[bool]) -> None:
        """Let users of both arms ask in turn, of whom these are failed."""
        arms = (("champion", champion), ("candidate", candidate))
        asked = [
            (number / len(fails), arm, failed)
            for arm, fails in arms
            for number, failed in enumerate(fails)
        ]
        for _, arm, failed in sorted(asked, key=lambda one: one[0]):
            self.visit(rollout, arm, disposition="failed" if failed else "answered")

    def say(self, record: Record, label: bool) -> None:
        """Let it be known what was true."""
        outcome = Outcome(
            id=self.ids.new("oc"),
            request_id=record.id,
            kind="label",
            value=label,
            source="api",
            at_us=self.now_us,
            known_at_us=self.now_us,
            by="test",
        )
        with self.project.state.begin() as connection:
            insert_rows(connection, outcomes, [outcome_row(outcome)])


def stage(make_project: MakeProject, more: str = CANARY, **given: Any) -> tuple[Past, str]:
    """Return a project that was asked by 5,000 users on the last day, and a candidate."""
    project, candidate = two_releases(make_project, more=more, **given)
    project.clock.set(START_US)  # type: ignore[attr-defined]
    past = Past(project)
    rows = []
    for number in range(5_000):
        at_us = START_US - number * 17 * MICRO
        record = Record(
            id=past.ids.new("rq", at_us),
            at_us=at_us,
            service="late",
            kind="predict",
            disposition="answered",
            user=f"old-{number}",
        )
        rows.append(record_row(record))
    with project.state.begin() as connection:
        insert_rows(connection, records, rows)
    return past, candidate


def begin(past: Past, candidate: str) -> Rollout:
    return begin_rollout(past.project, "late", candidate, by="test").rollout


def look(past: Past) -> Rollout:
    """Let the job look once the windows of everybody are over; return the newest rollout."""
    past.pass_by(2 * MINUTE_US)
    Rollouts(past.project, dict).look(past.now_us)
    return list_rollouts(past.project.state, ["late"], 1)[0]


def pointers(past: Past) -> dict[str, str]:
    return aliases(past.project.state, "late")


def test_it_begins_with_its_first_step_and_says_how_long_it_takes(
    make_project: MakeProject,
) -> None:
    past, candidate = stage(make_project)
    started = begin_rollout(past.project, "late", candidate, by="ada")
    assert (started.rollout.state, started.rollout.share) == ("running", 0.2)
    assert started.forecast.units_per_day == pytest.approx(5_000, rel=0.05)
    assert started.forecast.promote_days is not None
    assert started.forecast.promote_days < 1
    assert pointers(past)["candidate"] == candidate
    (act,) = list_actions(past.project.state, action="release.begin")
    assert (act.by, act.subject) == ("ada", candidate)
    follow(past.project)
    assert past.project.serving.engine.splits["late"] is not None


def test_what_can_never_be_decided_is_refused(make_project: MakeProject) -> None:
    more = CANARY.replace("0.2, min", "0.0001, min")
    past, candidate = stage(make_project, more)
    with pytest.raises(RequestError, match="would not be decided"):
        begin(past, candidate)
    assert pointers(past)["candidate"] == ""
    assert list_rollouts(past.project.state) == []


def test_without_any_traffic_it_is_refused(make_project: MakeProject) -> None:
    project, candidate = two_releases(make_project, more=CANARY)
    with pytest.raises(RequestError, match="would not be decided"):
        begin_rollout(project, "late", candidate, by="test")


def test_a_second_one_is_refused_while_one_runs(make_project: MakeProject) -> None:
    past, candidate = stage(make_project)
    begin(past, candidate)
    with pytest.raises(Conflict, match="expected no rollout of `late`"):
        begin(past, candidate)
    assert len(list_rollouts(past.project.state)) == 1


@pytest.mark.parametrize("what", ["champion", "frozen", "none"])
def test_what_cannot_begin_says_why(make_project: MakeProject, what: str) -> None:
    past, candidate = stage(make_project, CANARY if what != "none" else "")
    project = past.project
    wanted, error = candidate, "frozen"
    if what == "champion":
        wanted, error = champion_id_of(project.state, "late"), "serves `late` already"
    elif what == "frozen":
        freeze(project.state, project.clock, "late", by="ada", reason="holidays")
    else:
        error = r"release\.judge: expected `shadow` or `canary`"
    with pytest.raises((Conflict, RequestError), match=error):
        begin(past, wanted)


def test_an_equal_candidate_goes_step_by_step_and_serves(make_project: MakeProject) -> None:
    past, candidate = stage(make_project)
    rollout = begin(past, candidate)
    past.visits(rollout, [False] * 160, [False] * 40)
    rollout = look(past)
    assert (rollout.state, rollout.step, rollout.share) == ("running", 1, 0.5)
    past.visits(rollout, [False] * 40, [False] * 40)
    rollout = look(past)
    assert (rollout.state, rollout.verdict.word) == ("promoted", "promote")
    champion = rollout.champion
    assert pointers(past) == {"champion": candidate, "candidate": "", "last_good": champion}
    acts = [act.action for act in list_actions(past.project.state)]
    assert acts[:3] == ["release.promote", "release.advance", "release.begin"]
    assert verify_chain(past.project.state).problem == ""
    follow(past.project)
    assert ask(past.project, "ada").release == candidate


def test_a_worse_one_goes_back(make_project: MakeProject) -> None:
    past, candidate = stage(make_project)
    rollout = begin(past, candidate)
    past.visits(rollout, [False] * 200, [number % 2 == 0 for number in range(60)])
    rollout = look(past)
    assert (rollout.state, rollout.verdict.word) == ("rolled_back", "roll_back")
    assert "more failures with the candidate" in rollout.why
    assert pointers(past)["candidate"] == ""
    assert pointers(past)["champion"] == rollout.champion
    (act,) = list_actions(past.project.state, action="release.reject")
    assert (act.by, act.subject) == ("job:rollouts", candidate)
    follow(past.project)
    assert past.project.serving.engine.splits == {}


def test_one_between_waits_and_says_for_what(make_project: MakeProject) -> None:
    past, candidate = stage(make_project)
    rollout = begin(past, candidate)
    past.visits(rollout, [False] * 20, [False] * 5)
    rollout = look(past)
    assert (rollout.state, rollout.verdict.word) == ("running", "wait")
    assert "5 of at least 20 users" in rollout.verdict.why
    (seen,) = read_looks(past.project.state, rollout.id)
    assert seen.verdict == rollout.verdict


def test_a_user_counts_once_however_often_and_whenever_it_asks(make_project: MakeProject) -> None:
    past, candidate = stage(make_project)
    rollout = begin(past, candidate)
    for number in range(30):
        failed = "failed" if number % 3 == 0 else "answered"
        past.visit(rollout, "candidate", user="ada", disposition=failed)
    rollout = look(past)
    past.visit(rollout, "candidate", user="ada", disposition="answered")
    rollout = look(past)
    figure = next(f for f in rollout.verdict.figures if f.name == "errors")
    assert figure.units == 1
    assert figure.candidate == pytest.approx(1 / 3)


def test_looks_in_small_steps_see_what_one_look_sees(make_project: MakeProject) -> None:
    past, candidate = stage(make_project)
    rollout = begin(past, candidate)
    fails = [number % 5 == 0 for number in range(19)]
    for failed in fails:
        past.visits(rollout, [failed] * 4, [failed])
        past.pass_by(10 * MICRO)
        Rollouts(past.project, dict).look(past.now_us)
    many = look(past)
    figure = next(f for f in many.verdict.figures if f.name == "errors")
    assert figure.candidate == pytest.approx(fails.count(True) / len(fails))
    assert figure.units == len(fails)


def test_a_request_that_ends_late_is_not_missed(make_project: MakeProject) -> None:
    past, candidate = stage(make_project)
    rollout = begin(past, candidate)
    early_us = past.now_us
    past.pass_by(MICRO)
    past.visit(rollout, "candidate")
    Rollouts(past.project, dict).look(past.now_us)
    past.visit(rollout, "candidate", at_us=early_us, disposition="failed")
    rollout = look(past)
    figure = next(f for f in rollout.verdict.figures if f.name == "errors")
    assert (figure.units, figure.candidate) == (2, 0.5)


def test_a_clock_that_was_set_back_ends_it_since_nobody_would_be_counted(
    make_project: MakeProject,
) -> None:
    past, candidate = stage(make_project)
    rollout = begin(past, candidate)
    past.visits(rollout, [False] * 4, [False])
    assert look(past).state == "running"
    past.pass_by(-4 * MINUTE_US)
    past.visits(rollout, [False] * 4, [False])
    assert look(past).state == "running", "a little is made up for"
    past.pass_by(-60 * MINUTE_US)
    rollout = look(past)
    assert (rollout.state, pointers(past)["candidate"]) == ("rolled_back", "")
    assert "the clock was set back" in rollout.why


def test_a_clock_that_jumps_by_a_month_counts_each_user_once(make_project: MakeProject) -> None:
    past, candidate = stage(make_project)
    rollout = begin(past, candidate)
    past.visit(rollout, "candidate", user="ada")
    past.pass_by(30 * 24 * 60 * MINUTE_US)
    past.visit(rollout, "candidate", user="ada", disposition="failed")
    for _ in range(2):
        figure = next(f for f in look(past).verdict.figures if f.name == "errors")
        assert (figure.units, figure.candidate) == (1, 0.0)


def test_a_gate_that_holds_no_longer_keeps_it_from_serving(make_project: MakeProject) -> None:
    suite = '[evaluation]\nsuites = ["golden.jsonl"]\n'
    files = {"services/late/golden.jsonl": '{"id": "a", "input": {"p": 0.5}, "expect": {}}'}
    past, candidate = stage(make_project, suite + CANARY, files=files)
    project = past.project
    project.gates_of(candidate)
    until_us = past.now_us + 60 * MINUTE_US
    project.waive(candidate, "suites", by="ada", reason="a holiday", expires_us=until_us)
    rollout = begin(past, candidate)
    past.visits(rollout, [False] * 160, [False] * 40)
    rollout = look(past)
    past.visits(rollout, [False] * 40, [False] * 40)
    past.pass_by(60 * MINUTE_US)
    rollout = look(past)
    assert (rollout.state, rollout.verdict.word) == ("running", "wait")
    assert "expected every gate" in rollout.verdict.why
    until_us = past.now_us + 60 * MINUTE_US
    project.waive(candidate, "suites", by="ada", reason="a holiday", expires_us=until_us)
    past.visits(rollout, [False], [False])
    assert look(past).state == "promoted"


def test_records_of_another_rollout_do_not_count(make_project: MakeProject) -> None:
    past, candidate = stage(make_project)
    rollout = begin(past, candidate)
    past.visit(rollout, "candidate", canary="ro_other", disposition="failed")
    past.visit(rollout, "candidate")
    figure = next(f for f in look(past).verdict.figures if f.name == "errors")
    assert (figure.units, figure.candidate) == (1, 0.0)


def shadowed(past: Past, rollout: Rollout, label: bool, ours: float, theirs: float) -> None:
    """Let a user be answered and shadowed, and the truth be known."""
    shown = past.visit(rollout, output=_answer(theirs))
    past.visit(rollout, "shadow", user=shown.user, parent=shown.id, output=_answer(ours))
    past.say(shown, label)


def _answer(probability: float) -> bytes:
    return msgspec.json.encode({"label": probability >= 0.5, "probability": probability})


@pytest.mark.parametrize(("ours", "state"), [(0.9, "promoted"), (0.1, "rolled_back")])
def test_a_shadow_is_judged_by_what_became_known_of_the_same_requests(
    make_project: MakeProject, ours: float, state: str
) -> None:
    past, candidate = stage(make_project, SHADOW)
    rollout = begin(past, candidate)
    for _ in range(150):
        shadowed(past, rollout, label=True, ours=ours, theirs=0.9)
    past.pass_by(30 * MINUTE_US)
    assert look(past).state == "running", "outcomes of all are waited for as long"
    past.pass_by(60 * MINUTE_US)
    rollout = look(past)
    assert rollout.state == state
    figure = next(f for f in rollout.verdict.figures if f.name == "wrong")
    assert figure.units == 150


def test_without_outcomes_a_shadow_that_needs_them_waits(make_project: MakeProject) -> None:
    past, candidate = stage(make_project, SHADOW)
    rollout = begin(past, candidate)
    for _ in range(150):
        shown = past.visit(rollout)
        past.visit(rollout, "shadow", user=shown.user, parent=shown.id)
    past.pass_by(120 * MINUTE_US)
    rollout = look(past)
    assert (rollout.state, rollout.verdict.word) == ("running", "wait")


def test_frozen_it_stands_still_and_goes_on_where_it_was(make_project: MakeProject) -> None:
    past, candidate = stage(make_project)
    project, rollout = past.project, begin(past, candidate)
    freeze(project.state, project.clock, "late", by="ada", reason="holidays")
    past.visits(rollout, [False] * 160, [False] * 40)
    assert look(past).state == "frozen"
    follow(project)
    assert project.serving.engine.splits == {}
    unfreeze(project.state, project.clock, "late", by="ada")
    follow(project)
    assert set(project.serving.engine.splits) == {"late"}
    assert look(past).step == 1


def test_a_person_ends_it_without_a_verdict(make_project: MakeProject) -> None:
    past, candidate = stage(make_project)
    project, rollout = past.project, begin(past, candidate)
    ended = stop_rollout(project.state, project.clock, "late", by="ada", why="a holiday")
    assert (ended.id, ended.state, ended.why) == (rollout.id, "stopped", "a holiday")
    assert pointers(past)["candidate"] == ""
    follow(project)
    assert project.serving.engine.splits == {}
    with pytest.raises(NotFound, match="none that runs"):
        stop_rollout(project.state, project.clock, "late", by="ada")
    begin(past, candidate)


def test_who_promotes_another_meanwhile_ends_it(make_project: MakeProject) -> None:
    past, candidate = stage(make_project)
    project, rollout = past.project, begin(past, candidate)
    file = project.folder / "services/late/service.toml"
    file.write_text(service("{'by': 'third', 'p': input.p}", CANARY))
    third = project.build_release("late", by="test").id
    promote(project.state, project.clock, third, by="ada")
    past.visits(rollout, [False] * 160, [False] * 40)
    assert look(past).state == "stopped"
    assert pointers(past)["champion"] == third


def test_of_two_who_write_one_is_refused(make_project: MakeProject) -> None:
    past, candidate = stage(make_project)
    rollout = begin(past, candidate)
    state = past.project.state
    with state.begin() as connection:
        save_rollout(connection, rollout)
    with pytest.raises(Conflict, match="got a later one"), state.begin() as connection:
        save_rollout(connection, rollout)
    assert read_rollout(state, rollout.id).version == rollout.version + 1


class Killed(BaseException):
    """The process ends here."""


def _kill_at(engine: Engine, number: int) -> Iterator[None]:
    count = 0

    def before(*_: Any) -> None:
        nonlocal count
        count += 1
        if count == number:
            raise Killed

    event.listen(engine, "before_cursor_execute", before)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", before)


def test_killed_in_the_middle_it_is_the_old_or_the_new_and_never_half(
    make_project: MakeProject,
) -> None:
    past, candidate = stage(make_project)
    state = past.project.state
    rollout = begin(past, candidate)
    past.visits(rollout, [False] * 160, [False] * 40)
    rollout = look(past)
    past.visits(rollout, [False] * 40, [False] * 40)
    past.pass_by(2 * MINUTE_US)
    before = (pointers(past), read_rollout(state, rollout.id))
    kills = 0
    for number in range(1, 200):
        kill = _kill_at(state, number)
        next(kill)
        try:
            Rollouts(past.project, dict).look(past.now_us)
        except Killed:
            kills += 1
            next(kill, None)
            assert (pointers(past), read_rollout(state, rollout.id)) == before
        else:
            next(kill, None)
            break
    assert kills > 20
    assert read_rollout(state, rollout.id).state == "promoted"
    assert pointers(past)["champion"] == candidate
    assert verify_chain(state).problem == ""


def test_looks_are_thinned_and_span_the_whole_time(make_project: MakeProject) -> None:
    past, candidate = stage(make_project)
    rollout, state = begin(past, candidate), past.project.state
    with state.begin() as connection:
        for number in range(1_200):
            add_look(connection, rollout.id, number, RolloutVerdict(why=str(number)))
    found = read_looks(state, rollout.id)
    assert MOST_LOOKS / 2 <= len(found) <= MOST_LOOKS
    assert (found[0].at_us, found[-1].at_us) == (0, 1_199)


def test_a_candidate_that_cannot_be_opened_goes_back_and_what_serves_is_untouched(
    make_project: MakeProject,
) -> None:
    more = CANARY + '[contract]\ninput = "in.json"\n'
    project = make_project({"late": service(more=more)}, {"services/late/in.json": "{}"})
    project.promote(project.build_release("late", by="test").id, by="test")
    (project.folder / "services/late/in.json").write_text('{"title": "new"}')
    candidate = project.build_release("late", by="test")
    past = Past(project)
    for _ in range(300):
        past.visit()
    begin(past, candidate.id)
    path = project.artifacts.path(candidate.manifest.files["in.json"])
    path.chmod(0o600)
    path.write_text("[]")
    follow(project)
    (rollout,) = list_rollouts(project.state)
    assert rollout.state == "rolled_back"
    assert "could not be opened" in rollout.why
    assert ask(project, "ada").output["by"] == "champion"
    assert project.serving.health()["status"] == "ok"


def test_when_it_ended_nothing_is_kept_of_its_users(make_project: MakeProject) -> None:
    past, candidate = stage(make_project)
    rollout = begin(past, candidate)
    past.visits(rollout, [False] * 200, [True] * 40)
    assert look(past).state == "rolled_back"
    with past.project.state.connect() as connection:
        assert connection.execute(rollout_units.select()).all() == []


def test_what_is_kept_of_users_names_nobody(make_project: MakeProject) -> None:
    past, candidate = stage(make_project)
    rollout = begin(past, candidate)
    past.visit(rollout, "candidate", user="ada@example.org")
    look(past)
    with past.project.state.connect() as connection:
        (row,) = connection.execute(rollout_units.select()).all()
    assert "ada" not in str(tuple(row))


def test_one_that_runs_goes_on_after_a_restart(make_project: MakeProject, tmp_path: Path) -> None:
    past, candidate = stage(make_project)
    project = past.project
    begin(past, candidate)
    follow(project)
    users = {user: ask(project, user).release for user in (f"u{n}" for n in range(40))}
    project.serving.writer.drain()
    project.close()
    with open_project(project.folder) as again:
        assert [rollout.candidate for rollout in open_rollouts(again.state)] == [candidate]
        assert {user: ask(again, user).release for user in users} == users
        assert len(set(users.values())) == 2
        assert isinstance(again.serving.writer, Writer)


def test_of_two_processes_that_look_at_once_each_user_counts_once(
    make_project: MakeProject,
) -> None:
    past, candidate = stage(make_project)
    rollout = begin(past, candidate)
    for _ in range(12):
        past.visits(rollout, [False] * 4, [False])
    past.pass_by(2 * MINUTE_US)
    with open_project(past.project.folder) as other:
        lookers = [Rollouts(past.project, dict), Rollouts(other, dict)]
        together = Barrier(len(lookers))

        def look_often(looker: Rollouts) -> None:
            for _ in range(10):
                together.wait(20)
                looker.look(past.now_us)

        with ThreadPoolExecutor(len(lookers)) as pool:
            for done in [pool.submit(look_often, looker) for looker in lookers]:
                done.result()
    figure = next(f for f in look(past).verdict.figures if f.name == "errors")
    assert figure.units == 12
    assert verify_chain(past.project.state).problem == ""
