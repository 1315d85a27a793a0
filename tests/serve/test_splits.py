"""Who meets a candidate: a coin by the unit, that stays where it fell while the share grows."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from candidates import (
    GATE,
    OPENING,
    SLOW,
    USERS,
    ask,
    end,
    follow,
    met_candidate,
    record_of,
    service,
    split,
    two_releases,
)
from conftest import InstallPlugin, MakeProject
from live import until
from roadworthy.errors import ServiceStopped
from roadworthy.serve.identify import LOCAL_KEY
from roadworthy.serve.request import Request
from roadworthy.serve.splits import MOST_FAILED, entity_of
from roadworthy.store.records import find_records
from roadworthy.store.rollouts import Split
from roadworthy.store.switchboard import move_pointer


def test_a_user_meets_the_same_release_every_time(make_project: MakeProject) -> None:
    project, candidate = two_releases(make_project)
    split(project, candidate, 0.3)
    first = met_candidate(project)
    assert 35 < len(first) < 85
    assert met_candidate(project) == first


def test_whoever_is_in_stays_in_while_the_share_grows(make_project: MakeProject) -> None:
    project, candidate = two_releases(make_project)
    before: set[str] = set()
    for share in (0.05, 0.25, 0.6, 1.0):
        split(project, candidate, share)
        now = met_candidate(project)
        assert before <= now
        before = now
    assert before == set(USERS)


def test_the_next_rollout_draws_others(make_project: MakeProject) -> None:
    project, candidate = two_releases(make_project)
    split(project, candidate, 0.3)
    first = met_candidate(project)
    split(project, candidate, 0.3, id="ro_2")
    second = met_candidate(project)
    assert 0 < len(first & second) < len(first)


def test_records_say_who_answered_in_which_rollout_with_which_chance(
    make_project: MakeProject,
) -> None:
    project, candidate = two_releases(make_project)
    split(project, candidate, 0.25)
    found = {
        record.arm: record for record in (record_of(project, ask(project, u)) for u in USERS[:40])
    }
    ours, theirs = found["candidate"], found["champion"]
    assert (ours.release, ours.canary, ours.propensity) == (candidate, "ro_1", 0.25)
    assert (theirs.canary, theirs.propensity) == ("ro_1", 0.75)
    assert theirs.release != candidate


def test_the_release_that_answered_is_told(make_project: MakeProject) -> None:
    project, candidate = two_releases(make_project)
    split(project, candidate, 1.0)
    assert ask(project, "ada").release == candidate


def test_when_it_ends_everybody_meets_what_serves_and_records_name_no_rollout(
    make_project: MakeProject,
) -> None:
    project, candidate = two_releases(make_project)
    split(project, candidate, 1.0)
    end(project)
    reply = ask(project, "ada")
    assert reply.output["by"] == "champion"
    record = record_of(project, reply)
    assert (record.arm, record.canary, record.propensity) == ("champion", "", 1.0)


OUTCOMES = '[outcomes]\nunit = "{unit}"\n{more}\n'


def test_requests_of_one_conversation_meet_one_release(make_project: MakeProject) -> None:
    more = OUTCOMES.format(unit="conversation", more="")
    project, candidate = two_releases(make_project, more=more)
    split(project, candidate, 0.5)
    engine = project.serving.engine
    seen: dict[str, set[str]] = {}
    for number in range(60):
        for user in ("ada", "ben"):
            request = Request(
                service="late",
                key=LOCAL_KEY,
                protocol="python",
                input={"p": 0.1},
                user=user,
                conversation=f"c{number}",
            )
            reply = project.run(engine.answer(request)).result()
            seen.setdefault(f"c{number}", set()).add(reply.output["by"])
    assert all(len(releases) == 1 for releases in seen.values())
    assert {release for releases in seen.values() for release in releases} == {
        "champion",
        "candidate",
    }


def test_requests_about_one_entity_meet_one_release_and_records_name_it(
    make_project: MakeProject,
) -> None:
    more = OUTCOMES.format(unit="entity", more='entity = ["flight", "day"]')
    project, candidate = two_releases(make_project, more=more)
    split(project, candidate, 0.5)
    for flight in range(30):
        replies = [ask(project, user, flight=flight, day="mon") for user in ("ada", "ben", "cy")]
        assert len({reply.release for reply in replies}) == 1
        assert record_of(project, replies[0]).entity == f"{flight}|mon"


def test_without_the_fields_of_its_entity_a_request_counts_by_its_user(
    make_project: MakeProject,
) -> None:
    more = OUTCOMES.format(unit="entity", more='entity = ["flight"]')
    project, candidate = two_releases(make_project, more=more)
    split(project, candidate, 0.5)
    for flight in (None, {"number": 1}, [1]):
        releases = {ask(project, user, flight=flight).release for user in USERS[:30]}
        assert len(releases) == 2
        assert record_of(project, ask(project, "ada", flight=flight)).entity == ""
    assert len({ask(project, "ada", flight=[n]).release for n in range(30)}) == 1


@pytest.mark.parametrize(
    ("values", "entity"),
    [
        ({"a": "x", "b": 1}, "x|1"),
        ({"a": "x", "b": True}, "x|true"),
        ({"a": "x", "b": 1.5}, "x|1.5"),
        ({"a": "x"}, ""),
        ({"a": "x", "b": None}, ""),
        ({"a": "x", "b": {"c": 1}}, ""),
        ({}, ""),
    ],
)
def test_an_entity_is_its_fields_or_nothing(values: dict[str, Any], entity: str) -> None:
    assert entity_of(values, ("a", "b")) == entity


def test_five_failures_in_a_row_end_it_at_once(make_project: MakeProject) -> None:
    project, candidate = two_releases(make_project, model="{'by': 'candidate', 'p': input.gone}")
    split(project, candidate, 1.0)
    replies = [ask(project, user) for user in USERS[: MOST_FAILED + 3]]
    failed = [reply.disposition == "failed" for reply in replies]
    assert failed == [True] * MOST_FAILED + [False] * 3
    assert replies[-1].output["by"] == "champion"
    assert record_of(project, replies[-1]).canary == ""


def test_failures_that_others_interrupt_do_not_end_it(make_project: MakeProject) -> None:
    project, candidate = two_releases(
        make_project, model="{'by': 'candidate', 'p': input.odd ? input.gone : 0.5}"
    )
    split(project, candidate, 1.0)
    replies = [ask(project, "ada", odd=number % 5 != 0) for number in range(20)]
    assert [reply.disposition for reply in replies].count("failed") == 16
    assert replies[-1].release == candidate


def test_a_person_who_stops_the_service_stops_its_candidate(make_project: MakeProject) -> None:
    project, candidate = two_releases(make_project)
    split(project, candidate, 1.0)
    project.serving.switchboard.stop("late", by="test")
    follow(project)
    reply = ask(project, "ada")
    assert reply.error is not None
    assert reply.error.code == "service_stopped"


def test_a_model_that_a_person_stopped_is_stopped_in_the_candidate(
    make_project: MakeProject,
) -> None:
    project, candidate = two_releases(make_project)
    split(project, candidate, 1.0)
    project.serving.switchboard.stop("late", "own", by="test")
    follow(project)
    reply = ask(project, "ada")
    assert reply.release == candidate
    assert reply.disposition == "failed"


def test_a_service_is_stopped_at_once_while_a_candidate_is_being_opened(
    make_project: MakeProject, install_plugin: InstallPlugin
) -> None:
    install_plugin("models", "slow", SLOW)
    project = make_project({"late": service()}, project='[providers.slow]\nkind = "slow"\n')
    project.promote(project.build_release("late", by="test").id, by="test")
    ask(project, "ada")
    file = project.folder / "services/late/service.toml"
    text = service().replace('provider = "rule"', 'provider = "slow"')
    file.write_text(text.replace("cost = {}", "cost = { per_request_usd = 0.1, per_day_usd = 1 }"))
    candidate = project.build_release("late", by="test").id
    said = msgspec.json.encode(Split("ro_1", candidate, "canary", 0.5)).decode()
    try:
        with project.state.begin() as connection:
            move_pointer(connection, "rollout:late", said)
        assert OPENING.wait(20)
        project.serving.switchboard.stop("late", by="ada")
        until(lambda: "late" in project.serving.engine.stopped, 10)
        assert isinstance(ask(project, "ada").error, ServiceStopped)
    finally:
        GATE.set()


def test_a_split_that_cannot_be_read_splits_nothing(make_project: MakeProject) -> None:
    project, _ = two_releases(make_project)
    with project.state.begin() as connection:
        move_pointer(connection, "rollout:late", "{nonsense")
    follow(project)
    assert ask(project, "ada").output["by"] == "champion"
    assert project.serving.engine.splits == {}


def test_figures_of_requests_count_both_arms(make_project: MakeProject) -> None:
    project, candidate = two_releases(make_project)
    split(project, candidate, 0.5)
    for user in USERS[:20]:
        ask(project, user)
    project.serving.writer.drain()
    assert len(find_records(project.state, service="late")) == 20
