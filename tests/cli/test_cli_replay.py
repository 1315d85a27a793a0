"""`roadworthy replay`."""

from __future__ import annotations

from pathlib import Path

from command_line import edit, run

from roadworthy.app import open_project

TRIAGE = "services/triage/service.toml"
ASKED = {"subject": "Where is my parcel?", "plan": "paid", "amount_usd": 0}


def answered(shop: Path) -> str:
    """Answer one request of `triage`, and return its id."""
    with open_project(shop) as project:
        return project.service("triage").answer(ASKED).request_id


def test_the_same_answer_ends_with_0(shop: Path) -> None:
    id = answered(shop)
    ran = run("replay", id, "--project", shop, "--json")
    assert (ran.code, ran.json["same"], ran.json["diff"]) == (0, True, [])
    shown = run("replay", id, "--project", shop)
    assert "same" in shown.out
    assert "recorded" in shown.out


def test_another_answer_ends_with_1_and_says_where(shop: Path) -> None:
    id = answered(shop)
    edit(shop / TRIAGE, ': "support"', ': "engineering"')
    built = run("release", "build", "triage", "--project", shop, "--json").json["release"]
    ran = run("replay", id, "--release", built, "--project", shop, "--json")
    assert (ran.code, ran.json["release"]) == (1, built)
    (change,) = ran.json["diff"]
    assert (change["path"], change["before"], change["after"]) == (
        "$.team",
        "support",
        "engineering",
    )


def test_what_cannot_be_asked_ends_with_4(shop: Path) -> None:
    answered(shop)
    assert run("replay", "rq_none", "--project", shop).code == 4


def test_what_to_replay_must_be_said(shop: Path) -> None:
    answered(shop)
    assert run("replay", "--project", shop).code == 2
    assert run("replay", "--since", "1d", "--project", shop).code == 2


def test_a_day_goes_through_a_release(shop: Path) -> None:
    answered(shop)
    release = run("release", "list", "triage", "--project", shop, "--json").json["releases"][0]
    words = ("replay", "--since", "1d", "--release", release["release"], "--project", shop)
    ran = run(*words, "--json")
    assert ran.code == 3, "nothing became known yet"
    assert ran.json["verdict"] == "inconclusive"
    assert ran.json["metrics"]["disagreement"]["value"] == 0
    assert (ran.json["metrics"]["right"]["value"], ran.json["needed"]) == (None, None)
    shown = run(*words)
    assert "nothing that became known says which answers are right" in shown.out
