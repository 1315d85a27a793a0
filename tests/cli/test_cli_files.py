from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import run

from roadworthy.cost.prices import load_rates
from roadworthy.declare.json_schema import project_schema, service_schema


@pytest.mark.parametrize(
    ("file", "schema"), [("service", service_schema), ("project", project_schema)]
)
def test_the_schema_of_each_file_is_printed(file: str, schema: object, tmp_path: Path) -> None:
    assert callable(schema)
    assert run("schema", file).json == schema()
    assert run("schema", file, "--out", tmp_path / "out.json").code == 0
    assert json.loads((tmp_path / "out.json").read_text()) == schema()


def test_there_are_two_schemas() -> None:
    assert run("schema", "other").code == 2


def test_a_schema_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    ran = run("schema", "service", "--out", tmp_path / "nowhere" / "out.json")
    assert ran.code == 4
    assert "cannot write" in ran.err


@pytest.mark.slow
def test_refreshed_prices_are_a_rates_file_and_what_changed_is_said(tmp_path: Path) -> None:
    out = tmp_path / "rates.json"
    first = run("prices", "refresh", "--out", out, "--json").json
    rates = load_rates(out)
    assert first["dated"] == rates.dated
    assert len(first["added"]) == first["models"] > 100
    text = out.read_text()
    provider, entry = next(iter(rates.providers.items()))
    name = next(iter(entry.models))
    out.write_text(text.replace(f'"{name}":', '"gone-away":', 1))
    again = run("prices", "refresh", "--out", out, "--json").json
    assert again["removed"] == [f"{provider}/gone-away"]
    assert again["added"] == [f"{provider}/{name}"]
    assert again["changed"] == []
