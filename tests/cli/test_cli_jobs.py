from __future__ import annotations

from pathlib import Path

from command_line import run


def test_a_job_runs_now_and_is_listed_then(shop: Path) -> None:
    assert run("jobs", "list", "--project", shop, "--json").json == {"jobs": []}
    ran = run("jobs", "run", "retention", "--project", shop, "--json")
    assert ran.code == 0
    assert ran.json["last_result"] == "0 records and 0 spendings dropped"
    jobs = run("jobs", "list", "--project", shop, "--json").json["jobs"]
    states = {job["name"]: job["last_run"] is not None for job in jobs}
    assert states["retention"]
    assert set(states) >= {"leases", "retention", "rollup"}


def test_an_unknown_job_could_not_be_done(shop: Path) -> None:
    ran = run("jobs", "run", "nothing", "--project", shop)
    assert ran.code == 4
    assert "expected one of leases" in ran.err


def test_a_person_reads_a_line_a_job(shop: Path) -> None:
    assert "registers them" in run("jobs", "list", "--project", shop).out
    assert "3600 s" in run("jobs", "run", "rollup", "--project", shop).out
