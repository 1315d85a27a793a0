"""`roadworthy release compare`."""

from __future__ import annotations

from pathlib import Path

from command_line import edit, run


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
