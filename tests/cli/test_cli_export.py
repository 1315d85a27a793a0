from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from command_line import run
from pyarrow import parquet

from roadworthy.app import open_project

ASKED = {"subject": "hello", "plan": "free", "amount_usd": 0}


@pytest.fixture(scope="module")
def answered(new_shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    shop = Path(shutil.copytree(new_shop, tmp_path_factory.mktemp("answered") / "shop"))
    with open_project(shop) as project:
        project.service("triage").answer(ASKED, user="ann")
        project.service("reply").answer({"question": "May I?"}, user="bob")
    return shop


def test_records_become_rows(answered: Path, tmp_path: Path) -> None:
    out = tmp_path / "records.parquet"
    ran = run("export", "--out", out, "--project", answered, "--json")
    assert ran.json == {"file": str(out), "records": 2}
    rows = parquet.read_table(out).to_pylist()
    assert [(row["service"], row["user"]) for row in rows] == [("triage", "ann"), ("reply", "bob")]
    assert "input" not in rows[0]


def test_a_service_and_bodies_are_chosen(answered: Path, tmp_path: Path) -> None:
    out = tmp_path / "records.parquet"
    run("export", "--out", out, "--service", "triage", "--bodies", "--project", answered)
    (row,) = parquet.read_table(out).to_pylist()
    assert json.loads(row["input"]) == ASKED


def test_a_span_is_chosen(answered: Path, tmp_path: Path) -> None:
    out = tmp_path / "records.parquet"
    ran = run("export", "--out", out, "--until", "1h", "--project", answered, "--json")
    assert ran.json["records"] == 0
    assert parquet.read_table(out).num_rows == 0


def test_a_file_that_cannot_be_written_is_said(answered: Path, tmp_path: Path) -> None:
    ran = run("export", "--out", tmp_path / "nowhere" / "x.parquet", "--project", answered)
    assert ran.code == 4
    assert "expected a file that can be written" in ran.err


def test_a_file_is_asked_for(answered: Path) -> None:
    assert run("export", "--project", answered).code == 2


def test_a_file_that_is_there_is_replaced_only_if_that_is_asked_for(
    answered: Path, tmp_path: Path
) -> None:
    out = tmp_path / "records.parquet"
    out.write_text("mine")
    ran = run("export", "--out", out, "--project", answered)
    assert ran.code == 2
    assert f"expected the name of a new file, got one that exists - {out}" in ran.err
    assert "`--replace`" in ran.err
    assert out.read_text() == "mine"
    assert run("export", "--out", out, "--replace", "--project", answered).code == 0
    assert parquet.read_table(out).num_rows == 2
