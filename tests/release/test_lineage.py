from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine

from roadworthy.release.environment import Environment
from roadworthy.release.lineage import AsReleased, Lineage, lineage
from roadworthy.release.promotion import promote
from roadworthy.release.registry import Manifest, PinnedModel, Release, add_release
from roadworthy.store.records import read_record, record_row
from roadworthy.store.state import insert_rows, open_state
from roadworthy.store.tables import records
from roadworthy.types import Attempt, Record, SettableClock, Usage, Verdict

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
    assert found.release == release
    assert found.model == MODEL


def test_who_let_the_release_serve_is_told(engine: Engine, release: Release) -> None:
    promote(engine, CLOCK, release.id, by="ada")
    (act,) = lineage(engine, stored(engine, release.id)).promotions
    assert (act.by, act.action, act.subject) == ("ada", "release.promote", release.id)


@pytest.mark.parametrize("is_same", [True, False])
def test_an_answer_from_another_environment_than_was_released_shows(
    engine: Engine, release: Release, is_same: bool
) -> None:
    environment = release.manifest.environment.hash if is_same else "e" * 64
    record = stored(engine, release.id, environment_hash=environment)
    same = AsReleased(declaration=True, environment=is_same)
    assert lineage(engine, record).as_released == same


def test_a_fallback_that_no_model_gave_names_no_pin(engine: Engine, release: Release) -> None:
    record = stored(engine, release.id, disposition="fallback", model="static:1")
    assert lineage(engine, record).model is None


def test_a_request_that_reached_no_release_is_told_without_one(engine: Engine) -> None:
    assert lineage(engine, stored(engine, "", disposition="refused")) == Lineage()


def test_a_release_that_cannot_be_read_does_not_hide_the_rest(
    engine: Engine, release: Release, path: Path
) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE releases SET manifest = replace(manifest, '1.22', '1.21')")
    connection.close()
    found = lineage(engine, stored(engine, release.id))
    assert found.release is None
    assert "was changed in the store" in found.problem
