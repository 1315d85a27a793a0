from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine, insert

from roadworthy.release.environment import Environment
from roadworthy.release.lineage import lineage
from roadworthy.release.registry import Manifest, PinnedModel, Release, add_release, promote
from roadworthy.store.records import outcome_row, read_record, record_row
from roadworthy.store.state import insert_rows, open_state
from roadworthy.store.tables import bodies, outcomes, records
from roadworthy.types import Attempt, Outcome, Record, SettableClock, Usage, Verdict

CLOCK = SettableClock()
MODEL = PinnedModel("main", "files", "onnx", "model.onnx", "digest", "1" * 64)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def engine(path: Path) -> Iterator[Engine]:
    engine = open_state(f"sqlite:///{path}")
    yield engine
    engine.dispose()


@pytest.fixture
def release(engine: Engine) -> Release:
    manifest = Manifest(
        service="delay",
        declaration_hash="d" * 64,
        files={"service.toml": "2" * 64, "model.onnx": "1" * 64},
        models=(MODEL,),
        providers={},
        packages={"onnxruntime": "1.22"},
        environment=Environment("3.11.9", "linux-x86_64", {"onnxruntime": "1.22"}),
        commit=None,
    )
    return add_release(engine, CLOCK, manifest, "ada")


def stored(engine: Engine, release_id: str, **changes: Any) -> Record:
    """Return a record as it is read again after it was written."""
    record = Record(
        id="rq_1",
        at_us=1_365_000_000_000_000,
        service="delay",
        kind="predict",
        disposition="answered",
        release=release_id,
        model="main",
        attempts=(Attempt("main", "ok", 900, Usage(3, 4), 7),),
        verdicts=(Verdict("schema", "output", "allow"),),
        timings={"identify": 3, "call": 900},
        declaration_hash="d" * 64,
    )
    record = msgspec.structs.replace(record, **changes)
    with engine.begin() as connection:
        insert_rows(connection, records, [record_row(record)])
    return read_record(engine, "rq_1")


def test_an_answer_leads_back_to_its_release_and_the_pin_of_its_model(
    engine: Engine, release: Release
) -> None:
    found = lineage(engine, stored(engine, release.id))
    assert found["release"]["id"] == release.id
    assert found["release"]["manifest"]["files"]["model.onnx"] == "1" * 64
    assert found["model"]["digest"] == "1" * 64


def test_a_record_is_told_by_the_names_of_its_fields(engine: Engine, release: Release) -> None:
    record = lineage(engine, stored(engine, release.id))["record"]
    assert record["disposition"] == "answered"
    assert record["attempts"][0]["usage"]["output_tokens"] == 4
    assert record["verdicts"][0]["guard"] == "schema"
    assert record["timings"] == {"identify": 3, "call": 900}
    assert (record["input"], record["output"]) == (None, None)


def test_the_bodies_that_were_kept_are_told(engine: Engine, release: Release) -> None:
    with engine.begin() as connection:
        body = {"request_id": "rq_1", "input": b'{"carrier":"UA"}', "output": b'{"late":true}'}
        connection.execute(insert(bodies).values(body))
    record = lineage(engine, stored(engine, release.id))["record"]
    assert (record["input"], record["output"]) == ({"carrier": "UA"}, {"late": True})


def test_what_became_known_since_is_told(engine: Engine, release: Release) -> None:
    truth = Outcome(
        id="oc_1",
        request_id="rq_1",
        kind="label",
        value={"late": False},
        source="airport",
        at_us=5,
        known_at_us=9,
        by="key:k_1",
    )
    with engine.begin() as connection:
        insert_rows(connection, outcomes, [outcome_row(truth)])
    (outcome,) = lineage(engine, stored(engine, release.id))["outcomes"]
    assert (outcome["value"], outcome["source"]) == ({"late": False}, "airport")


def test_who_let_the_release_serve_is_told(engine: Engine, release: Release) -> None:
    promote(engine, CLOCK, release.id, by="ada")
    (act,) = lineage(engine, stored(engine, release.id))["promotions"]
    assert (act["by"], act["action"], act["subject"]) == ("ada", "release.promote", release.id)


@pytest.mark.parametrize("is_same", [True, False])
def test_an_answer_from_another_environment_than_was_released_shows(
    engine: Engine, release: Release, is_same: bool
) -> None:
    environment = release.manifest.environment.hash if is_same else "e" * 64
    record = stored(engine, release.id, environment_hash=environment)
    assert lineage(engine, record)["as_released"] == {"declaration": True, "environment": is_same}


def test_a_fallback_that_no_model_gave_names_no_pin(engine: Engine, release: Release) -> None:
    record = stored(engine, release.id, disposition="fallback", model="static:1")
    assert lineage(engine, record)["model"] is None


def test_a_request_that_reached_no_release_is_told_without_one(engine: Engine) -> None:
    found = lineage(engine, stored(engine, "", disposition="refused"))
    assert (found["release"], found["promotions"]) == (None, [])
    assert found["record"]["disposition"] == "refused"


def test_a_release_that_cannot_be_read_does_not_hide_the_rest(
    engine: Engine, release: Release, path: Path
) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE releases SET manifest = replace(manifest, '1.22', '1.21')")
    connection.close()
    found = lineage(engine, stored(engine, release.id))
    assert found["release"]["id"] == release.id
    assert "was changed in the store" in found["release"]["problem"]
    assert found["record"]["model"] == "main"


def test_a_lineage_holds_only_what_json_holds(engine: Engine, release: Release) -> None:
    promote(engine, CLOCK, release.id, by="ada")
    found = lineage(engine, stored(engine, release.id))
    assert json.loads(json.dumps(found)) == msgspec.json.decode(msgspec.json.encode(found))
