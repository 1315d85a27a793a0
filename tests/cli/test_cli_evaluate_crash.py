"""An evaluation whose process is killed in the middle goes on where it was."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from command_line import run

from conftest import write_project
from evaluation_project import lines
from live import until

pytestmark = pytest.mark.slow

CASES = 60
SERVICE = """
name = "said"
kind = "generate"
owners = { product = "test" }
objectives = { deadline_ms = 5000, quality = { scorer = "exact", at_least = 0.5 } }
cost = {}
[[models]]
name = "script"
provider = "scripted"
model = "script.jsonl"
[evaluation]
suites = ["golden.jsonl"]
concurrency = 2
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    cases = lines(
        {"id": f"c{n}", "input": {"text": f"say {n}"}, "expect": "yes"} for n in range(CASES)
    )
    script = json.dumps({"text": "yes", "delay_ms": 100}) + "\n"
    files = {"services/said/golden.jsonl": cases, "services/said/script.jsonl": script}
    return write_project(tmp_path / "project", {"said": SERVICE}, files)


def known(folder: Path) -> int:
    """Return how many answers are kept, as another process sees it."""
    path = folder / ".roadworthy" / "state.db"
    if not path.exists():
        return 0
    with closing(sqlite3.connect(path, timeout=5)) as database:
        try:
            (count,) = database.execute("SELECT count(*) FROM evaluation_cache").fetchone()
        except sqlite3.OperationalError:  # its tables are being made
            return 0
    return int(count)


def test_what_was_answered_before_a_kill_is_not_asked_again(folder: Path) -> None:
    words = [sys.executable, "-m", "roadworthy", "evaluate", "said", "--project", str(folder)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until(lambda: known(folder) >= 5, limit_s=30)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    kept = known(folder)
    assert 5 <= kept < CASES
    with closing(sqlite3.connect(folder / ".roadworthy/state.db")) as database:
        assert database.execute("SELECT count(*) FROM evaluations").fetchone() == (0,)
    report = run("evaluate", "said", "--project", folder, "--json").json
    assert (report["reused"], report["asked"]) == (kept, CASES - kept)
    assert report["metrics"]["exact"]["value"] == 1.0
    assert len(report["results"]) == CASES


def test_a_person_who_interrupts_it_is_not_told_that_a_promise_is_broken(folder: Path) -> None:
    words = [sys.executable, "-m", "roadworthy", "evaluate", "said", "--project", str(folder)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        until(lambda: known(folder) >= 5, limit_s=30)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (4, b"")
    assert err.decode().splitlines() == ["interrupted"]
    assert 5 <= known(folder) < CASES
