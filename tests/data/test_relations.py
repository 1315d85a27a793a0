from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from view_samples import source

from roadworthy.data.relations import attach_sources, open_duck

pytest.importorskip("duckdb")


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
