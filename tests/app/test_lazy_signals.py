"""What reads texts is imported where pages are declared, and nowhere else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from conftest import write_project

HEAVY = ("numpy", "onnxruntime", "tokenizers", "xllamacpp")
SERVICE = """
name = "reply"
kind = "generate"
owners = { product = "test" }
objectives = { deadline_ms = 5000 }
cost = {}
[chat]
variable = "question"
[[models]]
provider = "local"
model = "builtin:extractive"
[context]
retrieval = { folder = "pages/" }
"""
RULE = """
name = "reply"
kind = "predict"
owners = { product = "test" }
objectives = { deadline_ms = 5000 }
cost = {}
[[models]]
provider = "rule"
name = "hour"
model = "{'late': input.hour > 12}"
"""
SERVE = """
import sys
from roadworthy import open_project
import roadworthy.app.http
with open_project(sys.argv[1]) as project:
    project.serving
    print(*(name for name in sys.argv[2:] if name in sys.modules))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "imported"),
    [(RULE, ""), (SERVICE, "numpy onnxruntime tokenizers")],
    ids=["without pages", "with pages"],
)
def test_only_a_service_with_pages_imports_what_reads_them(
    tmp_path: Path, text: str, imported: str
) -> None:
    pages = {"services/reply/pages/pets.md": "# Pets\nA dog costs $110.\n"}
    folder = write_project(tmp_path / "p", {"reply": text}, pages)
    done = subprocess.run(
        [sys.executable, "-c", SERVE, str(folder), *HEAVY],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == imported
