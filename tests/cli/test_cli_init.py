from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import run

from roadworthy.app import open_project
from roadworthy.cli.init import project_name
from roadworthy.store.actions import list_actions
from roadworthy.store.keys import list_keys

ASKED = {"subject": "We cannot log in since noon", "plan": "paid", "amount_usd": 0}


def test_a_new_project_holds_a_service_of_each_kind(shop: Path) -> None:
    with open_project(shop) as project:
        kinds = {name: project.load(name).kind for name in project.service_names}
        assert project.declaration.name == "shop"
    assert kinds == {"passthrough": "generate", "reply": "generate", "triage": "predict"}


def test_a_new_project_has_no_problem_and_says_what_the_pass_through_lacks(shop: Path) -> None:
    ran = run("check", "--project", shop, "--json")
    assert ran.code == 0
    assert ran.json["problems"] == []
    warned = [(w["code"], w["service"]) for w in ran.json["warnings"]]
    assert warned == [("no_key", "passthrough"), ("no_fallback", "passthrough")]


def test_the_pass_through_is_eight_lines(shop: Path) -> None:
    text = (shop / "services/passthrough/service.toml").read_text()
    assert len([line for line in text.splitlines() if not line.startswith("#")]) == 8


def test_a_new_project_answers_at_once(shop: Path) -> None:
    with open_project(shop) as project:
        decided = project.service("triage").answer(ASKED)
        replied = project.service("reply").answer({"question": "May I bring a bag?"})
        passed = project.service("passthrough").answer({"text": "hello"})
    assert decided.output == {"team": "engineering", "is_urgent": True}
    assert (replied.disposition, replied.model) == ("answered", "rehearsal")
    assert passed.disposition == "failed"
    assert "no key" in str(passed.error)


EXTRAS = ("numpy", "onnxruntime", "pyarrow", "genai_prices", "opentelemetry", "pandas", "sklearn")
CORE_ONLY = f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {EXTRAS!r}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
from click.testing import CliRunner
from roadworthy import open_project
from roadworthy.cli import cli

for words in (["init", sys.argv[1]], ["check", "--project", sys.argv[1]]):
    ran = CliRunner().invoke(cli, words)
    assert ran.exit_code == 0, ran.output
with open_project(sys.argv[1]) as project:
    reply = project.service("triage").answer({ASKED!r})
    sys.stdout.write(reply.disposition)
"""


@pytest.mark.slow
def test_a_new_project_needs_no_extra(tmp_path: Path) -> None:
    words = [sys.executable, "-c", CORE_ONLY, str(tmp_path / "shop")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "answered", done.stderr


def test_the_readme_asks_what_triage_takes(shop: Path) -> None:
    found = re.search(r"-d '(.*)'", (shop / "README.md").read_text())
    assert found is not None
    assert json.loads(found[1]) == {"input": ASKED}


def test_the_store_stays_out_of_git(shop: Path) -> None:
    assert ".roadworthy/" in (shop / ".gitignore").read_text().splitlines()


def test_the_key_is_shown_once_and_may_answer_and_read(tmp_path: Path) -> None:
    made = run("init", tmp_path / "shop", "--json").json
    with open_project(tmp_path / "shop") as project:
        (entry,) = list_keys(project.state)
        (act,) = list_actions(project.state)
    assert made["key"].startswith("rw_")
    assert entry.key.id == made["id"]
    assert entry.key.scopes == {"answer", "read"}
    assert act.by.startswith("cli:")


def test_a_person_sees_the_key_and_the_next_commands(tmp_path: Path) -> None:
    ran = run("init", tmp_path / "shop")
    assert re.search(r"^rw_[\w-]{43}$", ran.out, re.MULTILINE)
    assert "  roadworthy up\n" in ran.out


def test_the_command_to_go_there_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "  cd 'bad name!'\n" in run("init", "bad name!").out
    assert run("init", "$(id)", "--json").json["next"][0] == "cd '$(id)'"


@pytest.mark.parametrize("there", ["notes.txt", ".gitignore", "services/old/service.toml"])
def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path, there: str) -> None:
    path = tmp_path / there
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    ran = run("init", tmp_path)
    assert ran.code == 2
    assert "expected an empty folder" in ran.err
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [path]


def test_a_fresh_repository_with_an_environment_counts_as_empty(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".venv").mkdir()
    assert run("init", tmp_path, "--json").code == 0


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "shop").write_text("")
    ran = run("init", tmp_path / "shop", "--json")
    assert ran.code == 2
    assert ran.json["error"]["code"] == "invalid_request"
    assert ran.json["error"]["message"].startswith("expected a folder, got a file")


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = run("init", tmp_path / "file" / "shop")
    assert ran.code == 4
    assert "cannot write" in ran.err


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("My Shop_2", "my-shop-2"),
        ("2024-shop", "shop"),
        ("___", "my-project"),
        ("a" * 80, "a" * 63),
    ],
)
def test_the_project_is_called_after_its_folder(tmp_path: Path, folder: str, name: str) -> None:
    assert project_name(tmp_path / folder) == name
