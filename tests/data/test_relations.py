from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import pytest
from pyarrow import parquet
from view_samples import source

from roadworthy.data.contract import Contract, Field, Table
from roadworthy.data.relations import (
    SourceTable,
    attach_sources,
    failed_read,
    files_of,
    open_duck,
)
from roadworthy.data.validate import validate
from roadworthy.errors import DeclarationError


def test_what_a_contract_calls_null_is_null_to_a_view(tmp_path: Path) -> None:
    file = tmp_path / "planes.csv"
    file.write_text("tailnum,seats\nN1,NA\nN2,55\nN3,\n")
    planes = source("planes", {"tailnum": "string", "seats": "integer"})
    table = msgspec.structs.replace(planes.table, null_texts=("NA",))
    planes = msgspec.structs.replace(planes, url=str(file), table=table)
    connection = open_duck([str(file)])
    attach_sources(connection, [planes])
    rows = connection.execute("SELECT tailnum, seats FROM planes ORDER BY tailnum").fetchall()
    assert rows == [("N1", None), ("N2", 55), ("N3", None)]


def rain(field: Field, **where: Any) -> SourceTable:
    """Return a source of one field beside `id`."""
    fields = (Field(name="id", column="id", type="integer"), field)
    table = Table(name="rain", physical_name="rain", fields=fields)
    contract = Contract(id="rain", version="1.0.0", tables=(table,), digest="")
    return SourceTable(name="rain", contract=contract, table=table, **where)


def read(source: SourceTable, query: str = "SELECT x FROM rain ORDER BY id") -> list[Any]:
    connection = open_duck(files_of([source]))
    try:
        attach_sources(connection, [source])
        return [row[0] for row in connection.execute(query).fetchall()]
    except duckdb.Error as error:
        raise failed_read(error, "history") from error


@pytest.mark.parametrize(
    ("options", "values", "rule"),
    [
        ({"type": "number", "maximum": 100}, [1.0, 9000.0], "x.maximum"),
        ({"type": "integer"}, [1.0, 12.5], "x.type"),
        ({"type": "string"}, [1, 2], "x.type"),
        ({"type": "timestamp"}, ["2013-01-01 00:00:00 Europe/Paris"] * 2, "x.type"),
        ({"type": "number", "required": True}, [1.0, float("nan")], "x.required"),
        ({"type": "string", "enum": ("a",)}, ["a", "b"], "x.enum"),
    ],
)
def test_what_a_contract_forbids_is_refused_and_not_changed(
    options: Any, values: list[Any], rule: str
) -> None:
    source = rain(
        Field(name="x", column="x", **options), data=pa.table({"id": [1, 2], "x": values})
    )
    with pytest.raises(DeclarationError) as caught:
        read(source)
    said = str(caught.value)
    assert said.startswith("history: source `rain`: expected `x` to be ")
    assert f"rule `{rule}" in said
    assert "contract `rain@1.0.0`" in said
    assert "`roadworthy data validate rain`" in said
    assert "9000" not in said
    # What no view asks for is nobody's loss.
    assert read(source, "SELECT id FROM rain ORDER BY id") == [1, 2]


def test_what_a_contract_only_warns_of_is_read_as_it_is() -> None:
    field = Field(name="x", column="x", type="integer", maximum=10, severity="warning")
    data = pa.table({"id": [1, 2, 3], "x": [1.0, 9000.0, 12.5]})
    assert read(rain(field, data=data)) == [1, 9000, None]


def test_a_csv_is_read_as_validation_reads_it(tmp_path: Path) -> None:
    (tmp_path / "rain.csv").write_text('id;x\n1;"a,b"\n2;""\n3;\n')
    source = rain(Field(name="x", column="x"), url=str(tmp_path / "rain.csv"))
    assert read(source) == ["a,b", "", None]
    assert validate(source.contract, source.url).kept


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_column_that_one_of_several_files_lacks_is_missing(kind: str, tmp_path: Path) -> None:
    for name, table in (
        ("a", pa.table({"id": [1], "x": ["u"]})),
        ("b", pa.table({"id": [2]})),
    ):
        if kind == "csv":
            table.to_pandas().to_csv(tmp_path / f"{name}.csv", index=False)
        else:
            parquet.write_table(table, tmp_path / f"{name}.parquet")
    source = rain(Field(name="x", column="x"), url=str(tmp_path / f"*.{kind}"))
    with pytest.raises(DeclarationError, match=rf"none of the name `x` - .*b\.{kind}"):
        read(source)
    report = validate(source.contract, source.url)
    rule = next(rule for rule in report.rules if rule.rule == "columns")
    assert (report.kept, rule.failed) == (False, 1)
    assert rule.examples == ({"missing": "x", "file": str(tmp_path / f"b.{kind}")},)


def test_names_of_files_may_have_capitals_and_brackets(tmp_path: Path) -> None:
    folder = tmp_path / "[x]"
    folder.mkdir()
    (folder / "RAIN.CSV").write_text("id,x\n1,a\n")
    source = rain(Field(name="x", column="x"), url=str(folder / "RAIN.CSV"))
    assert read(source) == ["a"]
    assert validate(source.contract, source.url).rows == 1


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_of_every_unit_are_times(unit: str, tmp_path: Path) -> None:
    times = pa.array([0, 1], pa.timestamp(unit))
    parquet.write_table(pa.table({"id": [1, 2], "x": times}), tmp_path / "rain.parquet")
    field = Field(name="x", column="x", type="timestamp", minimum="1970-01-01T00:00:00Z")
    source = rain(field, url=str(tmp_path / "rain.parquet"))
    assert validate(source.contract, source.url).kept
    assert read(source)[0].year == 1970


def test_a_column_of_uuids_is_text(tmp_path: Path) -> None:
    path = tmp_path / "rain.parquet"
    duckdb.execute(f"COPY (SELECT 1::BIGINT AS id, uuid() AS x) TO '{path}'")
    source = rain(Field(name="x", column="x", pattern="^[0-9a-f-]{36}$"), url=str(path))
    assert validate(source.contract, source.url).kept
    assert len(read(source)[0]) == 36
