from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
from declare_files import ENFORCES, write_project, write_service

from roadworthy.declare.load import load_service

DOCS = Path(__file__).parent.parent.parent / "docs"
PAGES = ("declaration.md", "expressions.md")
DECLARATION = (DOCS / "reference" / "declaration.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def make_reference() -> ModuleType:
    path = DOCS / "make_declaration_reference.py"
    spec = importlib.util.spec_from_file_location("make_declaration_reference", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES)
def test_generated_parts_are_as_the_code_is(page: str, make_reference: ModuleType) -> None:
    text = (DOCS / "reference" / page).read_text(encoding="utf-8")
    assert "<!-- generated: " in text
    assert make_reference.renewed(text) == text, "run `make docs`"


def test_every_key_is_in_the_reference() -> None:
    missing = []
    for key in ENFORCES:
        table, _, name = key.rpartition(".")
        if f"`{key}`" not in DECLARATION and f"`{table}[].{name}`" not in DECLARATION:
            missing.append(key)
    assert missing == []


def test_the_examples_of_the_reference_load(tmp_path: Path) -> None:
    examples = re.findall(r"```toml\n(.*?)```", DECLARATION, re.DOTALL)
    services = [text for text in examples if text.startswith("name")]
    [project_text] = [text for text in examples if text.startswith("# roadworthy.toml")]
    project = write_project(tmp_path, project_text)
    assert len(services) == 2
    for text in services:
        name = text.split('"')[1]
        assert load_service(write_service(tmp_path, text, name), project, ENFORCES).name == name
