"""`roadworthy suites`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from command_line import run

from roadworthy.app import open_project
from roadworthy.evaluate.cases import load_suites

SERVICE = Path("services") / "triage"


def asked(shop: Path, n: int = 12) -> None:
    """Let `triage` answer n different tickets."""
    with open_project(shop) as project:
        service = project.service("triage")
        for place in range(n):
            ticket = {
                "subject": f"ticket {place}: write to me@example.com",
                "plan": "paid" if place % 3 else "free",
                "amount_usd": place * 10,
            }
            assert service.answer(ticket, tags=("web",) if place % 2 else ()).output


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_sample_is_written_beside_the_service(shop: Path) -> None:
    asked(shop)
    ran = run("suites", "sample", "triage", "--n", "6", "--project", shop, "--json")
    assert (ran.code, ran.json["cases"], ran.json["requests"]) == (0, 6, 12)
    path = shop / SERVICE / "suites" / "sampled.jsonl"
    found = lines(path)
    assert [bool(case.get("tags")) for case in found].count(True) == 3
    assert all("[e-mail]" in case["input"]["subject"] for case in found)
    (suite,) = load_suites(shop / SERVICE, ["suites/sampled.jsonl"])
    assert len(suite.cases) == 6


def test_a_file_that_is_there_stays(shop: Path) -> None:
    asked(shop, 2)
    words = ("suites", "sample", "triage", "--project", shop)
    assert run(*words).code == 0
    again = run(*words)
    assert (again.code, "--force" in again.err) == (2, True)
    shown = run(*words, "--force")
    assert "2 cases are in" in shown.out
    assert "nobody has said what is right" in shown.out
    assert "masked in texts: 2 e-mail" in shown.out


def test_what_is_not_covered_is_proposed_as_cases(shop: Path) -> None:
    asked(shop)
    fields = ("--fields", "input.plan,tag:web")
    words = ("suites", "coverage", "triage", *fields, "--project", shop)
    before = run(*words, "--json").json
    assert (before["share"], before["combinations"], before["cases"]) == (0.0, 4, 0)
    out = shop / SERVICE / "gaps.jsonl"
    assert "4 cases for the largest gaps" in run(*words, "--out", out).out
    with (shop / SERVICE / "service.toml").open("a") as file:
        file.write('\n[evaluation]\nsuites = ["gaps.jsonl"]\n')
    after = run(*words, "--json").json
    assert (after["share"], after["requests_share"], after["gaps"]) == (1.0, 1.0, [])


def test_a_property_that_nothing_has_is_refused_and_not_covered(shop: Path) -> None:
    asked(shop)
    ran = run("suites", "coverage", "triage", "--fields", "input.plan,plam", "--project", shop)
    assert (ran.code, ran.out) == (2, "")
    assert "got `plam`" in ran.err
    assert "`input.plan`" in ran.err


def test_templates_cover_too_and_attacks_of_the_package_are_nobody_s_cases(shop: Path) -> None:
    asked(shop)
    template = {
        "template": {"subject": "{what}", "plan": "free", "amount_usd": 0},
        "fill": {"what": ["Hello", "Bye"]},
    }
    (shop / SERVICE / "hello.templates.jsonl").write_text(json.dumps(template))
    with (shop / SERVICE / "service.toml").open("a") as file:
        file.write('\n[evaluation]\nsuites = ["hello.templates.jsonl", "builtin:attacks"]\n')
    ran = run("suites", "coverage", "triage", "--project", shop, "--json")
    assert (ran.code, ran.json["cases"]) == (0, 2)


def test_incidents_and_corrections_are_written_beside_the_service(shop: Path) -> None:
    asked(shop, 2)
    ran = run("suites", "incidents", "triage", "--project", shop, "--json")
    assert ran.code == 0
    assert set(ran.json["kinds"]) <= {"late"}, "a busy machine may be late"
    assert run("suites", "corrections", "triage", "--project", shop).code == 0
    assert lines(shop / SERVICE / "suites" / "corrections.jsonl") == []


def test_an_unknown_service_is_not_found(shop: Path) -> None:
    asked(shop, 1)
    for command in ("sample", "incidents", "corrections", "coverage"):
        assert run("suites", command, "nobody", "--project", shop).code == 4
