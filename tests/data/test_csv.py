"""A CSV file is read as it is: one broken line costs one line, and none is lost."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from roadworthy.data.contract import Contract, Field, Table
from roadworthy.data.report import Report
from roadworthy.data.validate import validate
from roadworthy.errors import StoreError


def contract(*, is_personal: bool = False) -> Contract:
    fields = (
        Field(name="id", column="id", type="integer", required=True),
        Field(name="text", column="text", max_length=3, is_personal=is_personal),
    )
    table = Table(name="t", physical_name="t", fields=fields, null_texts=("NA",))
    return Contract(id="c", version="1", tables=(table,), digest="")


def held(content: bytes | str, folder: Path, **more: bool) -> Report:
    file = folder / "t.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return validate(contract(**more), file, quarantine=folder / "bad.parquet")


def bad_lines(report: Report) -> list[tuple[int, int, str]]:
    rule = next(rule for rule in report.rules if rule.rule == "lines")
    return [(one["line"], one["column"], one["got"]) for one in rule.examples]


def broken(report: Report) -> dict[str, int]:
    return {rule.rule: rule.failed for rule in report.rules if rule.failed}


def test_an_empty_value_is_null_and_an_empty_text_in_quotes_is_a_text(tmp_path: Path) -> None:
    report = held('id,text\n1,""\n,x\n"",y\nNA,NA\n', tmp_path)
    assert broken(report) == {"id.required": 3}


@pytest.mark.parametrize(
    ("content", "lines", "rows"),
    [
        ('id,text\n1,a\n2,"oops\n3,b\n4,c\n', [(3, 2, "a quote that is not closed")], 4),
        ('id,text\n1,"a"x\n2,b\n', [(2, 2, "a quote that is not closed")], 2),
        ("id,text\n1\n2,b,c\n3,d\n", [(2, 2, "1"), (3, 3, "3")], 3),
        (b"id,text\n1,\xc3\xa9\n2,\xe9\n3,b\n", [(3, 2, "bytes that are not")], 3),
        (b'id,text\n1,a\x00b\n2,b\n4,"open', [(4, 2, "a quote that is not closed")], 3),
    ],
)
def test_a_broken_line_is_named_and_the_others_are_read(
    content: bytes | str, lines: list[tuple[int, int, str]], rows: int, tmp_path: Path
) -> None:
    report = held(content, tmp_path)
    assert bad_lines(report) == lines
    assert (report.rows, report.kept) == (rows, False)
    assert report.failed_rows >= len(lines)


def test_a_broken_line_is_set_aside_whole(tmp_path: Path) -> None:
    report = held(b'id,text\n1,a\n2,"oops\nx,long text\n\xff,b\n', tmp_path)
    rows = parquet.read_table(tmp_path / "bad.parquet").to_pylist()
    assert [row["roadworthy_line"] for row in rows] == [None, '2,"oops', "\\xff,b"]
    assert rows[0] == {
        "id": "x",
        "text": "long text",
        "roadworthy_row": 2,
        "roadworthy_rules": "id.type, text.max_length",
        "roadworthy_line": None,
    }
    assert rows[1]["roadworthy_rules"] == "lines (t.csv:3: a quote that is not closed)"
    assert (report.quarantined, report.failed_rows, report.rows) == (3, 3, 4)


def test_a_broken_line_of_a_table_with_personal_fields_is_not_shown(tmp_path: Path) -> None:
    assert "secret" not in str(held('id,text\n1,"secret\n2,b\n', tmp_path, is_personal=True))


def test_a_value_in_quotes_may_span_lines(tmp_path: Path) -> None:
    report = held('id,text\n1,"a\nb"\n2,"c,"\n3\n', tmp_path)
    assert bad_lines(report) == [(5, 2, "1")]
    assert report.rows == 3
    assert broken(report) == {"lines": 1}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_lines_and_values_may_end_as_they_do_elsewhere(mark: str, end: str, tmp_path: Path) -> None:
    text = end.join(f"{a}{mark}{b}" for a, b in (("id", "text"), (1, "a"), ("x", "b")))
    report = held(b"\xef\xbb\xbf" + text.encode(), tmp_path)
    assert (report.rows, broken(report)) == (2, {"id.type": 1})


def test_lines_that_end_differently_in_one_file_are_lines(tmp_path: Path) -> None:
    report = held("id,text\r\n1,a\n2,b\r\n3,c\n", tmp_path)
    assert (report.rows, report.kept) == (3, True)


def test_a_header_alone_is_a_table_without_rows(tmp_path: Path) -> None:
    assert held("text,id\n", tmp_path).rows == 0


def test_a_compressed_file_with_a_broken_line_is_read(tmp_path: Path) -> None:
    file = tmp_path / "t.csv.gz"
    file.write_bytes(gzip.compress(b'id,text\n1,a\n2,"b\n3,c\n'))
    report = validate(contract(), file)
    assert (report.rows, bad_lines(report)) == (3, [(3, 2, "a quote that is not closed")])


def test_a_very_long_line_is_a_broken_one(tmp_path: Path) -> None:
    report = held("id,text\n1," + "x" * 2_100_000 + "\n2,b\n", tmp_path)
    assert (report.rows, broken(report)["lines"]) == (2, 1)


def test_line_ends_of_an_old_mac_are_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="lines that end with a line feed, got carriage returns"):
        held("id,text\r1,a\r", tmp_path)


def test_a_header_that_is_no_header_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="a header line that names the columns, got one of"):
        held("x" * 200_000 + "\n1\n", tmp_path)


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
@pytest.mark.parametrize("text", ["id,text\n1,a\n2,b\n", 'id,text\n1,a\n2,"b\n'])
def test_compressed_files_are_read_whatever_their_letters(
    kind: str, text: str, tmp_path: Path
) -> None:
    path = tmp_path / {"gzip": "t.CSV.GZ", "zstd": "t.csv.zst"}[kind]
    with pa.output_stream(path, compression=kind) as file:
        file.write(text.encode())
    report = validate(contract(), path)
    assert (report.rows, report.kept) == (2, '"' not in text)
