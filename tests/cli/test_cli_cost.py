"""`roadworthy cost estimate` and `roadworthy cost report`."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import run

from roadworthy.app import open_project
from roadworthy.store.actions import list_actions

PROJECT = """
[project]
name = "desk"
[providers.metered]
kind = "scripted"
[providers.metered.prices."script.jsonl"]
input_usd_per_million = 1.0
output_usd_per_million = 10.0
"""
SERVICE = """
name = "answers"
kind = "generate"
[owners]
product = "ada"
[objectives]
deadline_ms = 2000
[cost]
per_request_usd = 0.01
per_day_usd = 50
value_per_answer_usd = 0.002
egress_usd_per_gb = 0.09
retrain_usd = 25
retrains_per_month = 1
[[models]]
name = "metered"
provider = "metered"
model = "script.jsonl"
max_output_tokens = 500
"""
SCRIPT = '{"text": "On Friday.", "usage": {"input_tokens": 400, "output_tokens": 90}}\n'


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    service = tmp_path / "services" / "answers"
    service.mkdir(parents=True)
    (tmp_path / "roadworthy.toml").write_text(PROJECT)
    (service / "service.toml").write_text(SERVICE)
    (service / "script.jsonl").write_text(SCRIPT)
    return tmp_path


def asked(desk: Path, n: int) -> None:
    with open_project(desk) as project:
        handle = project.service("answers")
        for k in range(n):
            assert handle.answer({"text": "when?"}, user=f"u{k % 7}", tags=("web",)).output


def test_an_estimate_before_launch_has_a_range_and_drivers(desk: Path) -> None:
    ran = run("cost", "estimate", "answers", "--volume", "100000/day", "--project", desk, "--json")
    found = ran.json
    range_ = found["usd_per_month"]
    assert ran.code == 0
    assert 0 < range_["low"] < range_["expected"] < range_["high"]
    assert found["requests_per_month"] == 3_043_750
    assert {driver["name"] for driver in found["drivers"]} == {
        "model metered",
        "retraining",
        "egress",
    }
    assert sum(d["usd_per_month"] for d in found["drivers"]) == pytest.approx(
        range_["expected"], abs=1e-5
    )
    assert found["source"] == "sizes"


def test_an_estimate_says_what_drives_it(desk: Path) -> None:
    asked(desk, 40)
    ran = run("cost", "estimate", "answers", "--volume", "1k/hour", "--project", desk)
    assert ran.code == 0
    assert "answers: $" in ran.out
    assert "40 requests at the prices of today" in ran.out
    assert "model metered" in ran.out


@pytest.mark.parametrize("volume", ["lots", "100/week", "-5/day"])
def test_what_is_no_volume_is_wrong_usage(desk: Path, volume: str) -> None:
    ran = run("cost", "estimate", "answers", f"--volume={volume}", "--project", desk)
    assert (ran.code, "expected a volume such as `100000/day`" in ran.err) == (2, True)


def test_a_service_that_is_not_there_is_said_so(desk: Path) -> None:
    ran = run("cost", "estimate", "nobody", "--volume", "1/day", "--project", desk)
    assert (ran.code, "no service `nobody`" in ran.err) == (4, True)


def test_a_report_breaks_down_by_each_dimension(desk: Path) -> None:
    asked(desk, 14)
    by = "service,user,team,tag,release,model"
    ran = run("cost", "report", "--by", by, "--project", desk, "--json")
    assert ran.code == 0
    found = {tuple(one["by"]): one for one in ran.json["breakdowns"]}
    assert set(found) == {(name,) for name in by.split(",")}
    assert found[("service",)]["rows"][0]["models_usd"] == pytest.approx(14 * 0.0013)
    assert len(found[("user",)]["rows"]) == 7
    assert found[("tag",)]["rows"][0]["tag"] == "web"
    assert ran.json["total"]["models_usd"] == pytest.approx(14 * 0.0013)
    (value,) = ran.json["value"]
    assert (value["accepted"], value["value_usd"], value["is_lost"]) == (14, 0.002, False)


def test_a_report_reads_as_tables(desk: Path) -> None:
    asked(desk, 14)
    ran = run("cost", "report", "--by", "service,service/day", "--project", desk)
    assert ran.code == 0
    assert "an accepted answer costs $0.0013" in ran.out
    assert "is worth $0.002" in ran.out
    assert "service / day" in ran.out


def test_an_unknown_dimension_is_wrong_usage(desk: Path) -> None:
    asked(desk, 1)
    ran = run("cost", "report", "--by", "colour", "--project", desk)
    assert (ran.code, "got `colour`" in ran.err) == (2, True)


def test_nothing_spent_is_said_plainly(desk: Path) -> None:
    with open_project(desk):
        pass
    ran = run("cost", "report", "--project", desk)
    assert (ran.code, "$0.00 spent" in ran.out) == (0, True)


def test_a_ceiling_is_raised_until_its_day_ends(desk: Path) -> None:
    asked(desk, 1)
    words = ("cost", "raise", "answers", "--to", "75", "--reason", "launch", "--project", desk)
    ran = run(*words, "--json")
    assert (ran.code, ran.json["scope"], ran.json["usd"]) == (0, "service:answers", 75.0)
    with open_project(desk) as project:
        (act,) = list_actions(project.state, action="budget.raise")
        assert (act.subject, act.detail["reason"]) == ("service:answers", "launch")


@pytest.mark.parametrize(
    ("scope", "code", "says"),
    [
        ("nobody", 4, "no service `nobody`"),
        ("colour:red", 2, "expected a service, `project` or `service:…`"),
        ("team:", 2, "expected a service, `project` or"),
    ],
)
def test_an_unknown_scope_is_refused(desk: Path, scope: str, code: int, says: str) -> None:
    ran = run("cost", "raise", scope, "--to", "5", "--project", desk)
    assert (ran.code, says in ran.err) == (code, True)
