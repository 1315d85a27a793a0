from __future__ import annotations

from pathlib import Path

import pytest
from command_line import run

from control_plane import Plane, listening
from roadworthy.app import open_project
from roadworthy.store.actions import list_actions


def can_be_set(folder: Path) -> Path:
    path = folder / "roadworthy.toml"
    path.write_text(path.read_text().replace("[project]", '[project]\nclock = "settable"', 1))
    return folder


def test_a_clock_is_set_and_goes_on_from_there_in_the_next_process(shop: Path) -> None:
    can_be_set(shop)
    ran = run("clock", "set", "2013-04-01T05:00", "--project", shop, "--json")
    assert ran.json["now"].startswith("2013-04-01T05:00:0")
    assert run("clock", "show", "--project", shop).out.startswith("2013-04-01 05:00:0")
    with open_project(shop) as project:
        act = list_actions(project.state, limit=1)[0]
        assert project.service("triage").answer({}).request_id.startswith("rq_013dc3")
    assert (act.action, act.detail) == ("clock.set", {"to": "2013-04-01T05:00:00Z"})
    assert act.by.startswith("cli:")


def test_the_machines_clock_cannot_be_set(shop: Path) -> None:
    ran = run("clock", "set", "2013-04-01", "--project", shop)
    assert ran.code == 4
    assert "`project.clock`" in ran.err
    assert run("clock", "show", "--project", shop, "--json").json["clock"] == "system"


@pytest.mark.parametrize("time", ["7d", "soon", "0001-01-01", "9999-06-01"])
def test_what_is_no_time_is_wrong_usage(shop: Path, time: str) -> None:
    ran = run("clock", "set", time, "--project", can_be_set(shop))
    assert ran.code == 2
    assert "expected a UTC date or time" in ran.err


@pytest.mark.slow
def test_the_clock_of_the_server_is_set(shop: Path) -> None:
    with open_project(can_be_set(shop)) as project:
        plane = Plane(project)
        with listening(plane) as port:
            plane.serving.announce(f"http://127.0.0.1:{port}")
            ran = run("clock", "set", "2013-04-01T05:00", "--project", shop, "--json")
        assert ran.json["clock"] == "settable"
        assert plane.get("/api/clock")["now"].startswith("2013-04-01T05:00:")
