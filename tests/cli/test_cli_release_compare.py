"""`roadworthy release compare`."""

from __future__ import annotations

from pathlib import Path

from command_line import edit, run

from roadworthy.app import open_project


def two_releases(shop: Path) -> tuple[str, str]:
    first = run("release", "build", "triage", "--project", shop, "--json").json["release"]
    edit(shop / "services" / "triage" / "service.toml", "deadline_ms = 500 ", "deadline_ms = 1500 ")
    second = run("release", "build", "triage", "--project", shop, "--json").json["release"]
    return first, second


def test_two_releases_are_shown_side_by_side(shop: Path) -> None:
    first, second = two_releases(shop)
    found = run("release", "compare", first, second, "--project", shop, "--json").json
    assert (found["a"]["release"], found["b"]["release"]) == (first, second)
    (key,) = found["declared"]
    assert key["name"] == "objectives.deadline_ms"
    (text,) = found["texts"]
    assert text["file"] == "service.toml"
    assert "+deadline_ms = 1500 " in text["diff"]


def test_the_second_may_be_given_without_its_service(shop: Path) -> None:
    first, second = two_releases(shop)
    shown = run("release", "compare", first, second.partition("@")[2], "--project", shop)
    assert shown.code == 0
    assert "objectives.deadline_ms" in shown.out
    assert "was not evaluated" in shown.out


def test_an_unknown_release_could_not_be_compared(shop: Path) -> None:
    first, _ = two_releases(shop)
    assert run("release", "compare", first, "none", "--project", shop).code == 4


def test_a_release_whose_files_are_gone_or_damaged_is_compared_by_what_is_known(
    shop: Path,
) -> None:
    first, second = two_releases(shop)
    shown = run("release", "show", second, "--project", shop, "--json").json
    with open_project(shop) as project:
        kept = project.artifacts.path(shown["manifest"]["files"]["service.toml"])
    kept.chmod(0o600)
    kept.write_text("damaged")
    found = run("release", "compare", first, second, "--project", shop, "--json").json
    assert (found.get("declared", []), found.get("texts", [])) == ([], [])
    assert any(f"`{second}`: `service.toml` gone or damaged" in note for note in found["notes"])
    kept.unlink()
    found = run("release", "compare", first, second, "--project", shop)
    assert found.code == 0
    assert "gone or damaged" in found.out
