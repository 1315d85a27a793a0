from __future__ import annotations

import socket
from pathlib import Path

from command_line import run

from roadworthy.app import open_project
from roadworthy.store.keys import load_keys
from roadworthy.store.lock import hold_project


def test_a_job_runs_now_and_is_listed_then(shop: Path) -> None:
    assert run("jobs", "list", "--project", shop, "--json").json == {"jobs": []}
    ran = run("jobs", "run", "retention", "--project", shop, "--json")
    assert ran.code == 0
    told = "0 records, 0 spendings, 0 notices and 0 answers to cases dropped"
    assert ran.json["last_result"] == told
    jobs = run("jobs", "list", "--project", shop, "--json").json["jobs"]
    states = {job["name"]: job["last_run"] is not None for job in jobs}
    assert states["retention"]
    assert set(states) >= {"calibrate", "certify", "leases", "retention", "rollup"}


def test_an_unknown_job_could_not_be_done(shop: Path) -> None:
    ran = run("jobs", "run", "nothing", "--project", shop)
    assert ran.code == 4
    assert "expected one of budgets, calibrate, certify, examples, learn, leases" in ran.err


def test_a_server_that_does_not_answer_is_told_and_no_key_is_left(shop: Path) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{sock.getsockname()[1]}"
    with hold_project(shop) as lock:
        lock.announce(address)
        ran = run("jobs", "run", "retention", "--project", shop)
    assert ran.code == 4
    assert f"the server at {address} cannot be reached" in ran.err
    with open_project(shop) as project:
        assert [key.name for key in load_keys(project.state).values()] == ["init"]


def test_a_process_without_http_cannot_be_asked(shop: Path) -> None:
    with hold_project(shop) as lock:
        ran = run("jobs", "run", "retention", "--project", shop)
    assert ran.code == 4
    assert f"process {lock.holder.pid}, which serves no HTTP" in ran.err


def test_a_person_reads_a_line_a_job(shop: Path) -> None:
    assert "registers them" in run("jobs", "list", "--project", shop).out
    assert "3600 s" in run("jobs", "run", "rollup", "--project", shop).out
