from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from declare_files import CASES, EIGHT_LINES, PROJECT
from test_load import FULL

from roadworthy.declare.json_schema import project_schema, service_schema
from roadworthy.declare.schemas import compile_schema

SCHEMAS = {"project": project_schema(), "service": service_schema()}


def properties(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for title, table in [("", schema), *schema["$defs"].items()]:
        for name, node in table["properties"].items():
            target = node.get("$ref", "").rpartition("/")[2]
            yield f"{title}.{name}", {**schema["$defs"].get(target, {}), **node}


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_every_property_has_a_description_that_ends_like_a_sentence(
    schema: dict[str, Any],
) -> None:
    described = {path: node.get("description", "") for path, node in properties(schema)}
    assert [path for path, text in described.items() if not text.endswith((".", "``"))] == []


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_units_of_a_name_stand_in_its_description(schema: dict[str, Any]) -> None:
    units = {"_ms": "millisecond", "_usd": "USD", "_days": "Days", "_tokens": "tokens"}
    missing = [
        path
        for path, node in properties(schema)
        for ending, word in units.items()
        if path.endswith(ending) and word.lower() not in node["description"].lower()
    ]
    assert missing == []


def test_what_loads_keeps_the_schema() -> None:
    service, project = compile_schema(SCHEMAS["service"]), compile_schema(SCHEMAS["project"])
    for text in (EIGHT_LINES, FULL):
        assert service.first_problem(tomllib.loads(text)) == ""
    assert project.first_problem(tomllib.loads(PROJECT)) == ""


@pytest.mark.parametrize("name", ["types", "unknown", "missing", "not-yet", "missing-in-tables"])
def test_an_editor_sees_what_the_loader_refuses(name: str) -> None:
    data = tomllib.loads((CASES / f"{name}.toml").read_text(encoding="utf-8"))
    # An editor has no dates in JSON; the loader has a case of its own for them.
    data.pop("fallback", None)
    assert not compile_schema(SCHEMAS["service"]).is_valid(data)


def test_the_schema_says_nothing_that_toml_cannot() -> None:
    assert "null" not in str(SCHEMAS)
    assert "None" not in str(SCHEMAS)


def test_schemas_name_their_file(tmp_path: Path) -> None:
    assert SCHEMAS["project"]["title"] == "roadworthy.toml"
    assert SCHEMAS["service"]["title"] == "service.toml"
