"""What people do with releases on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import edit, run

from roadworthy.app import open_project
from roadworthy.store.actions import list_actions

TRIAGE = "services/triage/service.toml"
SUITE = '\n[evaluation]\nsuites = ["golden.jsonl"]\n'


def build(shop: Path) -> str:
    release: str = run("release", "build", "triage", "--project", shop, "--json").json["release"]
    return release


@pytest.fixture
def two(shop: Path) -> tuple[str, str]:
    """Return two releases of `triage`: the one that served, and the one that serves."""
    older = build(shop)
    run("release", "promote", "triage", older, "--project", shop)
    edit(shop / TRIAGE, "deadline_ms = 500 ", "deadline_ms = 400 ")
    newer = build(shop)
    assert run("release", "promote", "triage", newer, "--project", shop).code == 0
    return older, newer


def test_one_goes_back_to_what_served_before(shop: Path, two: tuple[str, str]) -> None:
    older, newer = two
    ran = run("release", "rollback", "triage", "--why", "worse", "--project", shop, "--json")
    assert ran.json == {"service": "triage", "release": older, "before": newer}
    moves = run("release", "history", "triage", "--project", shop, "--json").json["moves"]
    assert [(move["kind"], move["to"], move["why"]) for move in moves] == [
        ("rollback", older, "worse"),
        ("promote", newer, ""),
        ("promote", older, ""),
    ]
    again = run("release", "rollback", "triage", "--project", shop)
    assert again.code == 4
    assert "expected a release that served `triage` before, got none that was not" in again.err
    assert "one that is named is gone back to all the same" in again.err
    ran = run("release", "rollback", "triage", newer.partition("@")[2], "--project", shop)
    assert f"`{newer}` serves again instead of `{older}`" in ran.out
    assert "went back" in run("release", "history", "triage", "--project", shop).out


def test_while_frozen_one_may_only_go_back(shop: Path, two: tuple[str, str]) -> None:
    older, newer = two
    words = ("triage", "--reason", "the fair", "--project", shop)
    assert run("release", "freeze", *words).code == 0
    edit(shop / TRIAGE, "deadline_ms = 400 ", "deadline_ms = 300 ")
    ran = run("release", "promote", "triage", build(shop), "--project", shop)
    assert ran.code == 4
    assert "was frozen by `cli:" in ran.err
    status = run("release", "status", "triage", "--project", shop, "--json").json
    assert (status["champion"], status["last_good"]) == (newer, older)
    assert status["frozen"]["reason"] == "the fair"
    assert "frozen since" in run("release", "status", "triage", "--project", shop).out
    assert run("release", "rollback", "triage", "--project", shop).code == 0
    ran = run("release", "unfreeze", "triage", "--project", shop, "--json")
    assert ran.json == {"service": "triage", "is_frozen": False, "release": older}
    assert run("release", "unfreeze", "triage", "--project", shop).code == 4


def unmeasured(shop: Path) -> str:
    """Return a release that declares a suite and was not evaluated."""
    (shop / "services/triage/golden.jsonl").write_text("")
    with (shop / TRIAGE).open("a") as file:
        file.write(SUITE)
    return build(shop)


def test_a_gate_that_does_not_hold_refuses_with_the_table_of_gates(
    shop: Path, two: tuple[str, str]
) -> None:
    release = unmeasured(shop)
    for words in ((), ("--now",)):
        ran = run("release", "promote", "triage", release, *words, "--project", shop)
        assert ran.code == 1
        assert "not measured" in ran.out
        assert f"roadworthy evaluate triage --release {release}" in ran.out
    ran = run("release", "promote", "triage", release, "--project", shop, "--json")
    assert ran.json["error"]["code"] == "not_ready"
    assert {gate["name"]: gate["state"] for gate in ran.json["gates"]}["suites"] == "not_measured"
    ran = run("release", "gates", release, "--project", shop, "--json")
    assert ran.code == 1
    assert "suites" in ran.json["held_up_by"]
    status = run("release", "status", "triage", "--project", shop, "--json").json
    assert status["champion"] == two[1]


def test_gates_of_what_none_holds_up_say_that_it_may_serve_all_the_same(shop: Path) -> None:
    first = unmeasured(shop)
    ran = run("release", "gates", first, "--project", shop)
    assert ran.code == 1
    assert "held up by: suites" in ran.out
    assert "it may serve all the same: it served before, or nothing serves yet" in ran.out
    facts = run("release", "gates", first, "--project", shop, "--json").json
    assert facts["is_gated"] is False
    assert run("release", "promote", "triage", first, "--project", shop).code == 0


def test_a_waiver_lets_it_ship_until_it_is_taken_back(shop: Path, two: tuple[str, str]) -> None:
    release = unmeasured(shop)
    held = run("release", "gates", release, "--project", shop, "--json").json["held_up_by"]
    why = ("--reason", "cases come next week", "--project", shop)
    for gate in held:
        assert run("release", "waive", release, gate, "--expires", "7d", *why).code == 0
    assert run("release", "gates", release, "--project", shop).code == 0
    ran = run("release", "waive", release, held[0], "--revoke", *why)
    assert "1 waivers of" in ran.out
    assert run("release", "gates", release, "--project", shop).code == 1
    assert run("release", "waive", release, held[0], "--revoke", *why).code == 4
    assert run("release", "waive", release, held[0], "--expires", "2999-01-31", *why).code == 0
    assert run("release", "promote", "triage", release, "--project", shop).code == 0
    with open_project(shop) as project:
        acts = list_actions(project.state, action="release.waive")
    assert {act.detail["reason"] for act in acts} == {"cases come next week"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--expires", "7d"), "expected why the gate is waived"),
        (("--reason", "x"), "expected a length of time like `7d`"),
        (("--reason", "x", "--expires", "soon"), "got `soon`"),
        (("--reason", "x", "--expires", "2001-01-01"), "expected a time to come"),
    ],
)
def test_a_waiver_without_reason_or_end_is_wrong_usage(
    shop: Path, two: tuple[str, str], words: tuple[str, ...], says: str
) -> None:
    ran = run("release", "waive", two[1], "load", *words, "--project", shop)
    assert ran.code == 2
    assert says in ran.err


def test_an_owner_approves(shop: Path, two: tuple[str, str]) -> None:
    words = (two[1], "--as", "model", "--note", "looked", "--project", shop, "--json")
    said = run("release", "approve", *words).json
    assert (said["owner"], said["note"], said["by"][:4]) == ("model", "looked", "cli:")


def test_without_a_rollout_there_is_none_to_stop(shop: Path, two: tuple[str, str]) -> None:
    assert run("release", "stop", "triage", "--project", shop).code == 4


def test_what_nothing_needs_is_shown_and_only_then_removed(
    shop: Path, two: tuple[str, str]
) -> None:
    ran = run("release", "gc", "--keep", "0", "--project", shop, "--json").json
    assert (ran["releases"], ran["is_done"]) == ([], False)
    assert ran["kept"][two[1]] == "it is the champion"
    ran = run("release", "gc", "--yes", "--project", shop)
    assert "removed: 0 releases, 0 files, 0 B" in ran.out


def test_an_older_backup_learns_its_releases_again(shop: Path, two: tuple[str, str]) -> None:
    edit(shop / TRIAGE, "deadline_ms = 400 ", "deadline_ms = 350 ")
    state, backup = shop / ".roadworthy/state.db", shop / "backup.db"
    assert run("store", "backup", backup, "--project", shop).code == 0
    later = build(shop)
    for part in ("state.db", "state.db-wal", "state.db-shm"):
        (shop / ".roadworthy" / part).unlink(missing_ok=True)
    backup.rename(state)
    assert run("release", "show", later, "--project", shop).code == 4
    ran = run("release", "recover", "--project", shop, "--json")
    assert (ran.code, ran.json["learned"]) == (0, [later])
    assert run("release", "promote", "triage", later, "--project", shop).code == 0
    assert run("release", "recover", "--project", shop, "--json").json["learned"] == []
