from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from command_line import run

from roadworthy.cost.prices import load_rates
from roadworthy.declare.json_schema import project_schema, service_schema
from roadworthy.store.lock import hold_project


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
    assert "store_unavailable" in ran.err
    assert "got `No such file or directory`; check the folder" in ran.err


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
    out.write_text(text.replace(f'"{name}":[', '"gone-away":[', 1))
    again = run("prices", "refresh", "--out", out, "--json").json
    assert again["removed"] == [f"{provider}/gone-away"]
    assert again["added"] == [f"{provider}/{name}"]
    assert again["changed"] == []


READING = [
    ("records", "list"),
    ("keys", "list"),
    ("release", "list"),
    ("jobs", "list"),
    ("clock", "show"),
    ("trace", "rq_1"),
    ("export", "--out", "records.parquet"),
    ("store", "backup", "copy.db"),
]


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_what_only_reads_makes_no_state(
    shop: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shop)
    shutil.rmtree(".roadworthy")
    ran = run(*words)
    assert ran.code == 4
    assert f"not_found  expected a state, got none - {shop}/.roadworthy/state.db" in ran.err
    assert "`roadworthy up` makes it" in ran.err
    assert not Path(".roadworthy").exists()


@pytest.mark.parametrize("words", [*READING, ("keys", "create")], ids=" ".join)
def test_no_state_is_made_beside_a_server_whose_state_is_gone(
    shop: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shop)
    state = shop / ".roadworthy" / "state.db"
    with hold_project(shop) as lock:
        state.unlink()
        ran = run(*words)
    assert ran.code == 4
    assert f"expected the state of process {lock.holder.pid}, which serves this project" in ran.err
    assert "stop that process, put a backup there" in ran.err
    assert not state.exists()
