"""Whatever stands in a file, loading it either gives a value or one DeclarationError."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from declare_files import ENFORCES, write_project, write_service
from hypothesis import given, settings
from hypothesis import strategies as st
from test_load import FULL

from roadworthy.declare.keys import known_keys
from roadworthy.declare.load import load_service
from roadworthy.declare.planned import SERVICE_KEYS
from roadworthy.declare.project import ProjectDeclaration
from roadworthy.declare.service import ServiceDeclaration
from roadworthy.errors import DeclarationError

WORDS = sorted(
    {part for key in (*known_keys(ServiceDeclaration), *SERVICE_KEYS) for part in key.split(".")}
    | {"rule", "static", "model", "upstream", "onnx", "model.onnx", "generate", "predict", "true"}
)
LINES = FULL.splitlines()

words = st.sampled_from(WORDS) | st.text(st.characters(codec="ascii"), max_size=6)
values = st.recursive(
    st.booleans() | st.integers() | words | st.just(float("inf")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def project() -> Iterator[ProjectDeclaration]:
    with tempfile.TemporaryDirectory() as folder:
        yield write_project(Path(folder))


def check_loading(project: ProjectDeclaration, text: str) -> None:
    folder = write_service(project.folder, text)
    problems = problems_of(folder, project)
    assert all("\n" not in problem for problem in problems)


def problems_of(folder: Path, project: ProjectDeclaration) -> list[str]:
    try:
        load_service(folder, project, ENFORCES)
    except DeclarationError as error:
        return list(map(str, error.problems)) or ["an error without problems:\n"]
    return []


def toml(value: Any) -> str:
    if isinstance(value, float):
        return "inf"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(k)} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value).replace("\x7f", "\\u007f")


@settings(max_examples=80, deadline=None)
@given(table=st.dictionaries(words, values, max_size=12))
def test_any_table_loads_or_is_refused(project: ProjectDeclaration, table: dict[str, Any]) -> None:
    text = "".join(f"{toml(key)} = {toml(value)}\n" for key, value in table.items())
    check_loading(project, text)


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_a_sound_file_with_lines_changed_loads_or_is_refused(
    project: ProjectDeclaration, data: st.DataObject
) -> None:
    lines = list(LINES)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(lines) - 1))
        key = lines[at].partition("=")[0]
        if data.draw(st.booleans()):
            lines[at] = f"{key}= {toml(data.draw(values))}"
        else:
            lines[at] = data.draw(st.sampled_from(["", *LINES]))
    check_loading(project, "\n".join(lines))
