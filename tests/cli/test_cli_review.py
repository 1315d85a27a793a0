"""`roadworthy review`: queues, decisions, known cases and labels, as a person meets them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import run

from conftest import write_project
from review_cases import a_review, approve, ask
from roadworthy.app import open_project
from roadworthy.review.rulings import rule_on
from roadworthy.store.records import outcomes_of

QUEUES = '[queues.desk]\nowner = "Ada"\nplanted_share = 0.2\n'
SERVICE = """
name = "late"
kind = "predict"
owners = { product = "test" }
objectives = { deadline_ms = 2000 }
cost = { per_day_usd = 1 }
contract = { output = "output.json" }
outcomes = { entity = ["flight"] }
[[models]]
name = "own"
provider = "rule"
model = "{'label': input.p >= 0.5, 'probability': input.p}"
[[fallback]]
use = "static"
output = { label = false }
[review]
max_error = 0.1
queue = "desk"
"""
SCHEMA = '{"type": "object", "required": ["label"], "properties": {"label": {"type": "boolean"}}}'


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    files = {"services/late/output.json": SCHEMA}
    return write_project(tmp_path / "project", {"late": SERVICE}, files, QUEUES)


def asked(shop: Path, count: int = 1) -> list[str]:
    """Let the service ask people of some requests, and return the ids of the cases."""
    with open_project(shop) as project:
        service = project.service("late")
        return [service.answer({"p": 0.9 - k / 100, "flight": k}).review_id for k in range(count)]


def test_cases_are_listed_page_by_page(shop: Path) -> None:
    ids = asked(shop, 3)
    first = run("review", "list", "--project", shop, "--limit", "2", "--json").json
    assert [case["id"] for case in first["reviews"]] == ids[:2]
    assert first["queues"][0]["open"] == 3
    more = ("--before", first["before"], "--json")
    assert [
        case["id"] for case in run("review", "list", "--project", shop, *more).json["reviews"]
    ] == ids[2:]
    text = run("review", "list", "--project", shop).out
    assert ids[0] in text
    assert "nothing is certified yet" in text
    assert "none" in run("review", "list", "--project", shop, "--queue", "other").out


def test_a_case_is_shown_and_approved_by_its_digest(shop: Path) -> None:
    (id,) = asked(shop)
    shown = run("review", "show", id, "--project", shop)
    case = run("review", "show", id, "--project", shop, "--json").json
    assert case["digest"] in shown.out
    assert '"probability":0.9' in shown.out
    decide = ("review", "decide", id, "approve", "--project", shop)
    assert "digest: expected the digest of what is approved" in run(*decide).err
    assert run(*decide, "--digest", case["digest"][:4]).code == 4
    done = run(*decide, "--digest", case["digest"][:12], "--json").json
    assert (done["decision"], done["is_new"]) == ("approve", True)
    assert done["decided_by"].startswith("cli:")
    assert "It had been decided so before" in run(*decide, "--digest", case["digest"]).out
    other = run("review", "decide", id, "reject", "--reason-code", "other", "--project", shop)
    assert (other.code, "said `approve`" in other.err) == (4, True)


def test_a_correction_keeps_the_schema_and_is_given_next_time(shop: Path) -> None:
    (id,) = asked(shop)
    decide = ("review", "decide", id, "correct", "--project", shop, "--reason-code", "wrong_label")
    assert "expected boolean" in run(*decide, "--label", '"no"').err
    assert "--label: expected JSON" in run(*decide, "--label", "no").err
    assert "Whoever waits gets it now." in run(*decide, "--label", "false").out
    with open_project(shop) as project:
        assert project.service("late").answer({"p": 0.9, "flight": 0}).output == {"label": False}


def test_an_unknown_case_could_not_be_decided(shop: Path) -> None:
    asked(shop)
    ran = run("review", "decide", "rv_none", "reject", "--reason-code", "other", "--project", shop)
    assert (ran.code, "no review `rv_none`" in ran.err) == (4, True)


def test_known_cases_are_planted(shop: Path, tmp_path: Path) -> None:
    file = tmp_path / "known.jsonl"
    case = {"service": "late", "input": {"p": 1}, "draft": {"label": True}, "expect": "reject"}
    file.write_text(json.dumps(case) + "\n")
    plant = ("review", "plant", "--project", shop, "--json")
    assert run(*plant, file).json == {"planted": 1}
    assert run(*plant).code == 2
    assert run(*plant, file, "--from-corrections").code == 2
    file.write_text('{"service": "late"}\n')
    assert "expected a known case" in run(*plant, file).json["error"]["message"]
    (id,) = asked(shop)
    run("review", "decide", id, "reject", "--reason-code", "unsafe", "--project", shop)
    assert run(*plant, "--from-corrections").json == {"planted": 1}


def test_nothing_is_planted_where_no_queue_takes_any(tmp_path: Path) -> None:
    folder = write_project(tmp_path / "p", {}, project='[queues.desk]\nowner = "Ada"\n')
    with open_project(folder):
        pass
    ran = run("review", "plant", "--from-corrections", "--project", folder)
    assert (ran.code, "`planted_share`" in ran.err) == (2, True)


def test_labels_are_brought_in_and_what_fits_nothing_is_told(shop: Path, tmp_path: Path) -> None:
    asked(shop, 2)
    with open_project(shop) as project:
        review = ask(project.state, a_review())
        rule_on(project.state, project.clock, review.id, approve(review), by="cli:x")
    file = tmp_path / "labels.csv"
    file.write_text("flight,label\n0,true\n1,false\n7,true\n")
    bring = ("review", "labels", "import", file, "--project", shop, "--service", "late")
    first = run(*bring, "--json")
    assert (first.code, first.json["written"], first.json["unmatched"]) == (1, 2, 1)
    again = run(*bring)
    assert "0 outcomes written, 2 known before, 1 of no request" in again.out
    listed = run("records", "list", "--project", shop, "--json").json["requests"]
    with open_project(shop) as project:
        values = {o.value for row in listed for o in outcomes_of(project.state, row["id"])}
    assert values == {True, False}
    file.write_text("flight,label\n0,true\n")
    assert run(*bring).code == 0
    assert run("review", "labels", "import", file, "--project", shop).code == 2
