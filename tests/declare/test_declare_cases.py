"""Every file in tests/cases/declare holds mistakes, each followed by `#!` and what must be said.

The remark stands on the line that the problem must name. On a line of its own it is a problem that
has no line. Files whose names start with `project-` are a roadworthy.toml, all others a
service.toml.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from declare_files import CASES, load_text, write_project

from roadworthy.errors import DeclarationError

FILES = sorted(CASES.glob("*.toml"))


def remarks(text: str) -> list[tuple[int | None, str]]:
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        code, *said = line.split("#!")
        found += [(number if code.strip() else None, words.strip()) for words in said]
    return sorted(found, key=str)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_mistake_of_a_file_is_told_with_its_line(path: Path, tmp_path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    load = write_project if path.name.startswith("project-") else load_text
    with pytest.raises(DeclarationError) as caught:
        load(tmp_path, text)
    told = []
    for problem in caught.value.problems:
        _, _, line = problem.file.partition(":")
        words = f"{problem.path}: expected {problem.expected}, got {problem.got}"
        told.append((int(line) if line else None, words))
    assert sorted(told, key=str) == remarks(text)


def test_there_are_cases() -> None:
    assert len(FILES) > 20
