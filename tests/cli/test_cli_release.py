from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from command_line import edit, run

from roadworthy.app import open_project
from roadworthy.release.registry import champion_of
from roadworthy.store.actions import list_actions

TRIAGE = "services/triage/service.toml"


def build(shop: Path, service: str = "triage") -> str:
    release: str = run("release", "build", service, "--project", shop, "--json").json["release"]
    return release


def champion(shop: Path, service: str = "triage") -> str:
    with open_project(shop) as project:
        found = champion_of(project.state, service)
    return found.id if found else ""


@pytest.fixture
def two(shop: Path) -> tuple[str, str]:
    """Return two releases of `triage`: the one that serves, and what the files say now."""
    older = build(shop)
    run("release", "promote", "triage", older, "--project", shop)
    edit(shop / TRIAGE, "deadline_ms = 500 ", "deadline_ms = 400 ")
    return older, build(shop)


def test_the_same_files_give_the_same_release(shop: Path) -> None:
    assert build(shop) == build(shop)


def test_promoting_moves_what_serves_and_names_who_did(shop: Path, two: tuple[str, str]) -> None:
    older, newer = two
    ran = run("release", "promote", "triage", newer, "--project", shop, "--json")
    facts = {"service": "triage", "release": newer, "before": older, "serves": newer}
    assert ran.json == {**facts, "not_measured": ran.json["not_measured"], "rollout": None}
    assert champion(shop) == newer
    with open_project(shop) as project:
        act = list_actions(project.state, limit=1)[0]
    assert (act.action, act.subject) == ("release.promote", newer)
    assert act.by.startswith("cli:")


def test_the_hash_alone_names_a_release_of_the_service(shop: Path, two: tuple[str, str]) -> None:
    _, newer = two
    assert run("release", "promote", "triage", newer.partition("@")[2], "--project", shop).code == 0
    assert champion(shop) == newer


def test_a_release_of_another_service_is_refused(shop: Path, two: tuple[str, str]) -> None:
    ran = run("release", "promote", "reply", two[1], "--project", shop)
    assert ran.code == 4
    assert "expected a release of `reply`" in ran.err
    assert champion(shop, "reply") == ""


@pytest.mark.parametrize(
    "words",
    [
        ("release", "build", "nothing"),
        ("release", "promote", "triage", "triage@000000000000"),
        ("release", "show", "triage@000000000000"),
        ("release", "diff", "nothing"),
    ],
)
def test_what_is_not_there_could_not_be_done(shop: Path, words: tuple[str, ...]) -> None:
    assert run(*words, "--project", shop).code == 4


def test_a_floating_alias_is_not_released(shop: Path) -> None:
    edit(
        shop / "services/passthrough/service.toml", 'model = "gpt-5-2025-08-07"', 'model = "gpt-5"'
    )
    ran = run("release", "build", "passthrough", "--project", shop, "--json")
    assert ran.code == 1
    assert ran.json["error"]["problems"][0]["path"] == "models[0].model"


def test_the_list_is_newest_first_and_marks_what_serves(shop: Path, two: tuple[str, str]) -> None:
    older, newer = two
    build(shop, "reply")
    found = run("release", "list", "triage", "--project", shop, "--json").json["releases"]
    assert [(r["release"], r["is_champion"]) for r in found] == [(newer, False), (older, True)]
    every = run("release", "list", "--project", shop, "--json").json["releases"]
    assert {r["service"] for r in every} == {"triage", "reply"}


def test_the_releases_of_an_unknown_service_are_not_found(shop: Path) -> None:
    ran = run("release", "list", "nope", "--project", shop, "--json")
    assert (ran.code, ran.json["error"]["code"]) == (4, "not_found")
    assert "services: `passthrough`, `reply`, `triage`" in ran.json["error"]["message"]
    ran = run("release", "list", "triage", "--project", shop, "--json")
    assert (ran.code, ran.json) == (0, {"releases": []})


def test_the_releases_of_a_service_that_is_gone_are_still_listed(
    shop: Path, two: tuple[str, str]
) -> None:
    shutil.rmtree(shop / "services/triage")
    found = run("release", "list", "triage", "--project", shop, "--json").json["releases"]
    assert len(found) == len(two)


def test_a_release_whose_file_is_gone_is_not_promoted(shop: Path, two: tuple[str, str]) -> None:
    older, newer = two
    manifest = run("release", "show", newer, "--project", shop, "--json").json["manifest"]
    digest = manifest["files"]["service.toml"]
    (shop / ".roadworthy/artifacts" / digest[:2] / digest[2:]).unlink()
    ran = run("release", "promote", "triage", newer, "--project", shop)
    assert ran.code == 4
    assert f"`service.toml`: expected an artifact with SHA-256 {digest}, got none" in ran.err
    assert champion(shop) == older


def test_a_release_shows_its_files_models_and_packages(shop: Path, two: tuple[str, str]) -> None:
    facts = run("release", "show", two[0], "--project", shop, "--json").json
    assert facts["is_champion"]
    assert set(facts["manifest"]["files"]) == {
        "answer.schema.json",
        "request.schema.json",
        "service.toml",
    }
    out = run("release", "show", two[0], "--project", shop).out
    assert "(serves)" in out
    assert facts["manifest"]["files"]["service.toml"] in out


def test_differences_end_with_1(shop: Path, two: tuple[str, str]) -> None:
    older, newer = two
    ran = run("release", "diff", "triage", "--project", shop, "--json")
    assert ran.code == 1
    assert ran.json["release"] == older
    assert ran.json["differences"] == [{"name": "service.toml", "change": "changed"}]
    assert run("release", "diff", "triage", newer, "--project", shop).code == 0


def test_without_a_release_there_is_nothing_to_compare_with(shop: Path) -> None:
    ran = run("release", "diff", "triage", "--project", shop)
    assert ran.code == 4
    assert "roadworthy release build triage" in ran.err
