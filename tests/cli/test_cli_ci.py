"""`roadworthy ci`: what a change is held to before it is merged."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from command_line import Ran, edit, run

from roadworthy.cli import cli
from roadworthy.cli.ci import PLACES

yaml = pytest.importorskip("yaml")
pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

TRIAGE = Path("services") / "triage"
ASKED = {"plan": "free", "amount_usd": 0}
CASES = [
    {"id": id, "input": {"subject": subject, **ASKED}, "expect": {"team": team}}
    for id, subject, team in (
        ("parcel", "Where is it?", "support"),
        ("invoice", "My invoice", "billing"),
    )
]


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com")
    subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True)


@pytest.fixture
def repository(shop: Path) -> Path:
    """Return a project in git, on a branch of its own, with cases for `triage`."""
    (shop / TRIAGE / "golden.jsonl").write_text("\n".join(map(json.dumps, CASES)))
    with (shop / TRIAGE / "service.toml").open("a") as file:
        file.write('\n[evaluation]\nsuites = ["golden.jsonl"]\n')
    git(shop, "init", "-q", "-b", "main")
    git(shop, "add", ".")
    git(shop, "commit", "-qm", "first")
    git(shop, "checkout", "-qb", "change")
    return shop


def ci(repository: Path, *words: str | Path) -> Ran:
    return run("ci", "--base", "main", "--project", repository, *words)


def states(facts: Any, service: str = "triage") -> dict[str, str]:
    return {s["step"]: s["state"] for s in facts["steps"] if s["service"] == service}


def test_a_change_that_touches_nothing_is_kept(repository: Path) -> None:
    (repository / "notes.txt").write_text("nothing")
    ran = ci(repository, "--json")
    assert (ran.code, ran.json["touched"]["services"]) == (0, [])
    assert "touches no service" in ci(repository).out


def test_what_a_change_touches_is_checked_and_evaluated(repository: Path) -> None:
    edit(repository / TRIAGE / "service.toml", "log ?in", "log ?on")
    ran = ci(repository, "--json")
    assert ran.json["touched"]["services"] == ["triage"]
    found = states(ran.json)
    assert (found["check"], found["contracts"]) == ("kept", "kept")
    assert (found["loadtest"], found["drills"]) == ("not_measured", "not_measured")
    (step,) = (s for s in ran.json["steps"] if s["step"] == "evaluate")
    assert "evaluation" in step, step
    assert all({"value", "low", "verdict"} < set(m) for m in step["evaluation"]["metrics"].values())
    assert step["evaluation"]["baseline"] not in ("", step["evaluation"]["release"])
    assert ran.code == {"kept": 0, "inconclusive": 3, "not_kept": 1}[ran.json["state"]]


def test_a_wrong_file_is_not_kept_and_nothing_more_is_asked(repository: Path) -> None:
    edit(repository / TRIAGE / "service.toml", "deadline_ms", "deadlines_ms")
    ran = ci(repository, "--json")
    assert (ran.code, ran.json["state"]) == (1, "not_kept")
    assert states(ran.json) == {
        "check": "not_kept",
        "contracts": "skipped",
        "evaluate": "skipped",
        "loadtest": "skipped",
        "drills": "skipped",
    }


def test_all_services_count_where_the_base_is_unknown(repository: Path) -> None:
    ran = run("ci", "--base", "origin/none", "--project", repository, "--json")
    assert ran.json["touched"]["services"] == ["passthrough", "reply", "triage"]
    assert "not known" in ran.json["touched"]["note"]


def test_a_summary_is_written_for_people_and_for_servers(repository: Path, tmp_path: Path) -> None:
    edit(repository / TRIAGE / "service.toml", "deadline_ms", "deadlines_ms")
    junit, markdown = tmp_path / "out.xml", tmp_path / "out.md"
    assert ci(repository, "--junit", junit, "--markdown", markdown).code == 1
    (suite,) = ElementTree.parse(junit).getroot()
    assert suite.attrib["failures"] == "1"
    assert suite.attrib["skipped"] == "4"
    text = markdown.read_text()
    assert "| triage | ❌ | - | - | - | - |" in text
    assert "deadlines_ms" in text


@pytest.mark.parametrize("kind", sorted(PLACES))
def test_a_workflow_is_yaml_whose_commands_exist(repository: Path, kind: str) -> None:
    ran = run("ci", "--write", kind, "--project", repository, "--json")
    assert ran.code == 0
    path = repository / PLACES[kind]
    assert Path(ran.json["file"]).resolve() == path.resolve()
    text = path.read_text()
    assert "{{" not in text.replace("${{", "")
    parsed = yaml.safe_load(text)
    steps = parsed["jobs"]["gate"]["steps"] if kind == "github" else [parsed["roadworthy"]]
    lines = [line for step in steps for line in _lines_of(step)]
    (line,) = (line for line in lines if line.startswith("roadworthy "))
    words = [word for word in line.split() if word.startswith("--")]
    help_text = CliRunner().invoke(cli, ["ci", "--help"]).output
    assert words
    assert all(word in help_text for word in words)
    again = run("ci", "--write", kind, "--project", repository)
    assert (again.code, "--force" in again.err) == (2, True)


def _lines_of(step: dict[str, Any]) -> list[str]:
    found = step.get("run") or step.get("script") or []
    return found.splitlines() if isinstance(found, str) else found


def test_a_workflow_names_a_project_that_is_not_at_the_root(tmp_path: Path, shop: Path) -> None:
    root = tmp_path / "mono"
    (root / "ml").mkdir(parents=True)
    project = Path(shutil.copytree(shop, root / "ml" / "shop"))
    git(root, "init", "-q")
    assert run("ci", "--write", "github", "--project", project).code == 0
    text = (root / PLACES["github"]).read_text()
    assert '--project "ml/shop"' in text


def test_a_file_that_cannot_be_written_is_told_before_anything_is_held_to_anything(
    repository: Path, tmp_path: Path
) -> None:
    ran = ci(repository, "--all", "--junit", tmp_path / "none" / "out.xml")
    assert (ran.code, ran.out) == (4, "")
    with closing(sqlite3.connect(repository / ".roadworthy" / "state.db")) as database:
        assert database.execute("SELECT count(*) FROM evaluations").fetchone() == (0,)
