from __future__ import annotations

from pathlib import Path

from command_line import run

from roadworthy.app import open_project
from roadworthy.store.actions import list_actions
from roadworthy.store.switchboard import Stop, Switchboard

ASKED = {"subject": "hello", "plan": "free", "amount_usd": 0}


def stop_of(shop: Path, service: str, model: str = "") -> Stop | None:
    with open_project(shop) as project:
        board = Switchboard(project.state, project.clock)
        board.close()
        return board.stopped(service, model)


def test_a_stopped_service_answers_nobody_until_it_is_resumed(shop: Path) -> None:
    assert run("stop", "triage", "--reason", "wrong team", "--project", shop).code == 0
    with open_project(shop) as project:
        assert project.service("triage").answer(ASKED).disposition == "refused"
    assert run("resume", "triage", "--project", shop).code == 0
    with open_project(shop) as project:
        assert project.service("triage").answer(ASKED).disposition == "answered"


def test_who_stopped_what_and_why_is_kept(shop: Path) -> None:
    ran = run("stop", "triage", "--reason", "wrong team", "--project", shop, "--json")
    assert ran.json == {"service": "triage", "model": None, "is_stopped": True}
    stop = stop_of(shop, "triage")
    assert stop is not None
    assert stop.reason == "wrong team"
    assert stop.by.startswith("cli:")
    with open_project(shop) as project:
        assert list_actions(project.state, limit=1)[0].action == "service.stop"


def test_one_model_is_stopped_and_the_service_is_not(shop: Path) -> None:
    run("stop", "reply", "--model", "rehearsal", "--project", shop)
    assert stop_of(shop, "reply") is None
    assert stop_of(shop, "reply", "rehearsal") is not None
    run("resume", "reply", "--model", "rehearsal", "--project", shop)
    assert stop_of(shop, "reply", "rehearsal") is None


def test_what_is_misspelt_is_not_stopped(shop: Path) -> None:
    ran = run("stop", "tirage", "--project", shop)
    assert ran.code == 4
    assert "services: `passthrough`, `reply`, `triage`" in ran.err
    ran = run("stop", "reply", "--model", "rehearsel", "--project", shop)
    assert ran.code == 4
    assert "models: `rehearsal`" in ran.err


def test_resuming_what_runs_changes_nothing(shop: Path) -> None:
    ran = run("resume", "triage", "--project", shop)
    assert ran.code == 0
    assert ran.out == "`triage` was not stopped\n"
    with open_project(shop) as project:
        assert list_actions(project.state, action="service.resume") == []


def test_what_is_answered_alone_is_stopped_by_itself(shop: Path) -> None:
    ran = run("stop", "triage", "--review-all", "--reason", "odd", "--project", shop, "--json")
    assert ran.json["review_all"] is True
    with open_project(shop) as project:
        board = Switchboard(project.state, project.clock)
        board.close()
        asked = board.asked("triage")
        assert board.stopped("triage") is None
    assert asked is not None
    assert asked.reason == "odd"
    assert "answers alone again" in run("resume", "triage", "--review-all", "--project", shop).out


def test_a_certificate_that_is_not_in_force_is_not_stopped(shop: Path) -> None:
    ran = run("stop", "triage", "--certificate", "ct_1", "--project", shop)
    assert ran.code == 4
    assert "in force: none" in ran.err


def test_one_part_is_stopped_at_a_time(shop: Path) -> None:
    ran = run("stop", "triage", "--review-all", "--model", "x", "--project", shop)
    assert ran.code == 2
