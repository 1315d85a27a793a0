"""A spine that cannot be read says which column is wrong, and what should be there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from view_samples import source, view

from roadworthy.data.history import history, read_rows
from roadworthy.errors import DeclarationError, RequestError

TIME = "2013-01-01T06:00:00Z"
TIMES = "times in ISO 8601, such as `2026-03-01T08:30:00Z`"
ROWS = {"origin": ["EWR"], "observed_at": [TIME], "known_at": [TIME], "wind_mph": [1.0]}


def joined(spine: Any) -> Any:
    rows = pa.table({**ROWS, "temp_f": [50.0]})
    return history([view()], spine, {"weather": source(data=rows)})


def refusal(spine: Any) -> str:
    with pytest.raises(DeclarationError) as caught:
        joined(spine)
    return str(caught.value)


@pytest.mark.parametrize(
    "times",
    [
        [1],
        [1.5],
        [True],
        [[TIME]],
        [{"at": TIME}],
        [b"x"],
        pa.array([1], pa.time64("us")),
        pa.array([1], pa.duration("us")),
    ],
)
def test_a_column_that_cannot_be_times_says_so(times: Any) -> None:
    said = refusal(pa.table({"origin": ["EWR"], "at": times}))
    assert said.startswith(f"spine: expected column `at` to hold {TIMES}, got values of type ")
    assert said.endswith("name another with `--time`, or convert it")


def test_a_text_that_is_no_time_is_found_by_its_row_and_not_quoted() -> None:
    said = refusal(pa.table({"origin": ["EWR"] * 3, "at": [TIME, None, "next week"]}))
    assert said == f"spine: expected {TIMES}, got another value in row 3"


@pytest.mark.parametrize("entity", [[["EWR"]], [{"a": "EWR"}]])
def test_an_entity_of_lists_is_refused_and_not_lost(entity: Any) -> None:
    said = refusal(pa.table({"origin": entity, "at": [TIME]}))
    assert said.startswith("spine: expected entity `origin` to be VARCHAR, as the views have it")


@pytest.mark.parametrize("more", [[[1, 2]], [{"a": 1}]])
def test_any_other_column_may_hold_what_it_likes(more: Any) -> None:
    table = joined(pa.table({"origin": ["EWR"], "at": [TIME], "more": more}))
    assert (table["more"].to_pylist(), table["wind_mph"].to_pylist()) == (more, [1.0])


def test_a_column_that_is_there_twice_is_named() -> None:
    spine = pa.table([["EWR"], [TIME], ["JFK"]], ["origin", "at", "origin"])
    assert "got `origin` 2 times; rename all but one" in refusal(spine)


@pytest.mark.parametrize("spine", [3, None, [1], {"origin": ["EWR"]}])
def test_what_is_no_spine_is_wrong_usage(spine: Any) -> None:
    with pytest.raises(RequestError, match="expected a file, a frame or an Arrow table, got a val"):
        joined(spine)


def test_a_line_of_a_csv_that_is_wrong_is_named(tmp_path: Path) -> None:
    file = tmp_path / "spine.csv"
    file.write_text(f"origin,at\nEWR,{TIME}\nEWR,yesterday\n")
    said = refusal(file)
    assert said == f"spine: expected column `at` to hold {TIMES}, got another value - {file}:3"


def test_a_file_that_is_torn_says_so(tmp_path: Path) -> None:
    file = tmp_path / "spine.parquet"
    file.write_bytes(b"PAR1 nothing")
    with pytest.raises(DeclarationError, match="expected a Parquet or CSV file that can be read"):
        read_rows(file, {})


@pytest.mark.parametrize("name", ["s*.csv", "s[1].csv", "s?.CSV"])
def test_a_name_of_a_spine_is_no_pattern(name: str, tmp_path: Path) -> None:
    for one in (name, "s1.csv", "s1.CSV"):
        (tmp_path / one).write_text(f"origin,at\nEWR,{TIME}\n")
    assert joined(tmp_path / name).num_rows == 1
