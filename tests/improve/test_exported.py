"""Accepted examples leave on command: as cases, as rows, without what is personal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from decided import SERVICE, START_US, Past
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.data.snapshots import open_set, read_set
from roadworthy.declare.schemas import compile_schema
from roadworthy.errors import RequestError, StoreError
from roadworthy.improve.contracts import Contract
from roadworthy.improve.exported import Leaving, leaving
from roadworthy.improve.overrule import reject_examples
from roadworthy.improve.suites import write_suite
from roadworthy.improve.training import OURS, TrainingWritten, make_set, write_training
from roadworthy.store.artifacts import Artifacts
from roadworthy.store.data_versions import read_snapshots
from roadworthy.store.examples import Detail, Example
from roadworthy.types import MICRO

parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def past(tmp_path: Path) -> Iterator[Past]:
    made = Past(tmp_path)
    yield made
    made.state.dispose()


def rows_of(past: Past, **options: Any) -> list[Leaving]:
    past.gather()
    return leaving(past.state, past.contracts, SERVICE, **options)[0]


def train(past: Past, path: Path, rows: list[Leaving], *, force: bool = False) -> TrainingWritten:
    artifacts = Artifacts(path.parent / "artifacts")
    clock = past.clock
    return write_training(SERVICE, rows, path, past.state, artifacts, clock, by="me", force=force)


def test_a_correction_becomes_a_case_and_a_row(past: Past, tmp_path: Path) -> None:
    served = {"values": {"wind": 12.5}, "views": {"weather_now@1": {"state": "fresh", "age_s": 9}}}
    request = past.request({"p": 0.5, "carrier": "AA"}, share=0.25, features=served)
    right = {"label": True, "probability": 1.0}
    review = past.rule(request, {"p": 0.5, "carrier": "AA"}, output=right, severity="critical")
    rows = rows_of(past)

    written = write_suite(rows, tmp_path / "fixed.jsonl")
    (line,) = (tmp_path / "fixed.jsonl").read_text().splitlines()
    assert (written.cases, written.left_out) == (1, 0)
    assert json.loads(line) == {
        "id": past.only().id,
        "input": {"p": 0.5, "carrier": "AA"},
        "expect": {"label": True},
        "tags": ["correction", "review"],
        "severity": "critical",
        "features": {"wind": 12.5},
    }
    names = ["id", "input", "expect", "tags", "severity", "features"]
    assert list(json.loads(line)) == names

    trained = train(past, tmp_path / "rows.parquet", rows)
    (row,) = parquet.read_table(tmp_path / "rows.parquet").to_pylist()
    assert (row["p"], row["carrier"], row["wind"]) == (0.5, "AA", 12.5)
    assert (row["label"], row["weight"], row["is_correction"]) == (True, 4.0, True)
    assert json.loads(row["output"]) == right
    assert (row["request_id"], row["release"], row["review_id"]) == (request, "rl_1", review)
    assert row["known_at"].timestamp() * MICRO == START_US + MICRO
    assert trained.classes == {"true": 1}


def test_the_same_examples_give_the_same_bytes(past: Past, tmp_path: Path) -> None:
    for n in range(30):
        past.report(past.request({"p": n / 9, "b": [n]}), "label", n % 3)
    first, second = rows_of(past), rows_of(past)
    for name, rows in (("a", first), ("b", second)):
        write_suite(rows, tmp_path / f"{name}.jsonl")
        train(past, tmp_path / f"{name}.parquet", rows)
    for ending in ("jsonl", "parquet"):
        one, other = (tmp_path / f"{name}.{ending}" for name in "ab")
        assert one.read_bytes() == other.read_bytes()
    assert len(read_snapshots(past.state)) == 1, "the same rows are one snapshot"


def test_a_snapshot_gives_its_rows_back(past: Past, tmp_path: Path) -> None:
    past.corrected({"p": 0.5})
    written = train(past, tmp_path, rows_of(past))
    assert Path(written.file) == tmp_path / f"{SERVICE}-{written.snapshot.id}.parquet"
    saved = open_set(past.state, written.snapshot.id)
    kept = read_set(saved, Artifacts(tmp_path.parent / "artifacts"))
    assert kept.equals(parquet.read_table(written.file))
    assert saved.time in kept.column_names


def test_another_correction_is_another_snapshot(past: Past, tmp_path: Path) -> None:
    past.corrected({"p": 0.5})
    first = train(past, tmp_path / "a.parquet", rows_of(past))
    past.corrected({"p": 0.6})
    second = train(past, tmp_path / "b.parquet", rows_of(past))
    assert first.snapshot.id != second.snapshot.id


def test_what_is_held_or_rejected_does_not_leave(past: Past) -> None:
    past.corrected({"p": 0.5}, label=True, by="key:ada")
    past.corrected({"p": 0.5}, label=False, by="key:bob")
    past.corrected({"p": 0.6})
    past.gather()
    (accepted,) = past.examples("accepted")
    assert [one.example.id for one in rows_of(past)] == [accepted.id]
    reject_examples(past.state, past.clock, [accepted.id], by="me", reason="no")
    assert rows_of(past) == []


def test_only_corrections_may_be_asked_for(past: Past) -> None:
    past.corrected({"p": 0.5})
    past.rule(past.request({"p": 0.6}), {"p": 0.6}, decision="approve")
    assert len(rows_of(past)) == 2
    assert [one.input for one in rows_of(past, only_corrections=True)] == [{"p": 0.5}]


def test_personal_fields_stay_here(past: Past, tmp_path: Path) -> None:
    past.contracts.contract = personal(required=["p"])
    served = {"values": {"name": "Ann", "wind": 1.0}, "views": {}}
    request = past.request({"p": 0.5, "name": "Ann"}, features=served)
    past.rule(request, {"p": 0.5, "name": "Ann"}, output={"label": True, "note": "Ann"})
    past.gather()
    rows, fields = leaving(past.state, past.contracts, SERVICE)
    assert fields == ("name", "note")
    write_suite(rows, tmp_path / "a.jsonl")
    train(past, tmp_path / "a.parquet", rows)
    assert "Ann" not in (tmp_path / "a.jsonl").read_text()
    (row,) = parquet.read_table(tmp_path / "a.parquet").to_pylist()
    assert "Ann" not in str(row)
    assert (row["wind"], row["label"]) == (1.0, True)


def test_a_case_that_needs_a_personal_field_is_left_out(past: Past, tmp_path: Path) -> None:
    past.contracts.contract = personal(required=["name"])
    past.corrected({"p": 0.5, "name": "Ann"})
    rows = rows_of(past)
    written = write_suite(rows, tmp_path / "a.jsonl")
    assert (written.cases, written.left_out) == (0, 1)
    assert (tmp_path / "a.jsonl").read_bytes() == b""
    assert train(past, tmp_path / "a.parquet", rows).snapshot.rows == 1


def personal(required: list[str]) -> Contract:
    fields = {"name": {"x-personal": True}, "p": {"type": "number"}}
    output = {"properties": {"note": {"x-personal": True}}}
    return Contract(
        input=compile_schema({"properties": fields, "required": required}),
        output=compile_schema(output, "output"),
    )


def test_a_file_that_is_there_stays_unless_forced(past: Past, tmp_path: Path) -> None:
    past.corrected({"p": 0.5})
    rows = rows_of(past)
    suite, training = tmp_path / "a.jsonl", tmp_path / "a.parquet"
    for path in (suite, training):
        path.write_text("mine")
    with pytest.raises(RequestError, match="expected the name of a new file"):
        write_suite(rows, suite)
    with pytest.raises(RequestError, match="expected the name of a new file"):
        train(past, training, rows)
    assert {suite.read_text(), training.read_text()} == {"mine"}
    assert read_snapshots(past.state) == []
    write_suite(rows, suite, force=True)
    train(past, training, rows, force=True)
    assert suite.read_text() != "mine"


def test_half_a_file_is_never_seen(past: Past, tmp_path: Path) -> None:
    past.corrected({"p": 0.5})
    rows = rows_of(past)
    with pytest.raises(StoreError, match="expected a file that can be written"):
        write_suite(rows, tmp_path / "none" / "a.jsonl")


def test_a_field_with_one_of_our_names_keeps_both(past: Past, tmp_path: Path) -> None:
    past.corrected({"weight": 70, "label": "box"})
    train(past, tmp_path / "a.parquet", rows_of(past))
    (row,) = parquet.read_table(tmp_path / "a.parquet").to_pylist()
    assert (row["input.weight"], row["input.label"]) == (70, "box")
    assert (row["weight"], row["label"]) == (1.0, True)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2)
    ),
    max_leaves=4,
)


@given(
    st.lists(st.dictionaries(st.sampled_from(["a", "b", "label"]), JSON, max_size=3), max_size=5)
)
def test_whatever_was_asked_makes_a_row(inputs: list[dict[str, Any]]) -> None:
    rows = [leave(n, input) for n, input in enumerate(inputs)]
    made = make_set(SERVICE, rows)
    assert made.rows.num_rows == len(inputs)
    assert set(OURS) <= set(made.rows.column_names)
    assert make_set(SERVICE, rows).snapshot == made.snapshot


def leave(n: int, input: dict[str, Any]) -> Leaving:
    example = Example(
        id=f"ex_{n}",
        service=SERVICE,
        at_us=START_US,
        request_id=f"rq_{n}",
        input_digest="",
        state="accepted",
        why="",
        source="review",
        by="key:a",
        weight=1.0,
        input=b"",
        output=b"",
        detail=Detail(kind="label"),
    )
    return Leaving(example, input, n % 2 == 0, {}, is_whole=True)
