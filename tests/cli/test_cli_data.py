"""`roadworthy data`: what it prints, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from pyarrow import parquet

from roadworthy.app import open_project
from roadworthy.cli import cli
from roadworthy.store.data_versions import read_validations

CONTRACT = """
apiVersion: v3.2.0
kind: DataContract
id: weather
version: 2.0.0
status: active
schema:
  - name: hourly
    properties:
      - {name: origin, logicalType: string, required: true}
      - name: temp
        logicalType: number
        logicalTypeOptions: {minimum: -40, maximum: 130}
        customProperties: [{property: unit, value: degF}]
"""
PROJECT = """
[project]
name = "trial"

[sources.weather]
contract = "contracts/weather.odcs.yaml"
url = "data/*.csv"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("contracts", "data", "services"):
        (tmp_path / name).mkdir()
    (tmp_path / "roadworthy.toml").write_text(PROJECT)
    (tmp_path / "contracts" / "weather.odcs.yaml").write_text(CONTRACT)
    (tmp_path / "data" / "1.csv").write_text("origin,temp\nEWR,40\nJFK,\n")
    return tmp_path


def run(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, ["data", *words, "--project", str(folder)])


def validated(folder: Path, *words: str) -> Result:
    contract = folder / "contracts" / "weather.odcs.yaml"
    return run(folder, "validate", str(contract), str(folder / "data" / "1.csv"), *words)


def test_a_batch_that_is_kept_says_so_and_ends_with_0(folder: Path) -> None:
    done = validated(folder)
    assert done.exit_code == 0
    assert done.output.startswith("kept: 2 rows of ")
    assert "contract `weather` 2.0.0" in done.output


def test_a_broken_batch_says_what_and_what_to_do_and_ends_with_1(folder: Path) -> None:
    (folder / "data" / "1.csv").write_text("origin,temp\nEWR,400\n,30\n")
    done = validated(folder)
    assert done.exit_code == 1
    assert done.output.startswith("not kept: 2 of 6 rules of contract `weather` 2.0.0 are broken")
    assert "temp.maximum" in done.output
    assert "<= 130 degF" in done.output
    assert "temp.minimum" not in done.output
    assert "check the unit of the values first" in done.output


def test_json_holds_every_rule(folder: Path) -> None:
    (folder / "data" / "1.csv").write_text("origin,temp\nEWR,400\n")
    report = json.loads(validated(folder, "--json").output)
    assert {key: report[key] for key in ("contract", "version", "table", "rows", "kept")} == {
        "contract": "weather",
        "version": "2.0.0",
        "table": "hourly",
        "rows": 1,
        "kept": False,
    }
    assert {"rows", "failed_rows", "rules", "seconds"} <= report.keys()
    assert all({"rule", "field", "failed", "examples"} <= rule.keys() for rule in report["rules"])
    (broken,) = (rule for rule in report["rules"] if rule["failed"])
    assert broken | {"description": ""} == {
        "rule": "temp.maximum",
        "field": "temp",
        "kind": "maximum",
        "severity": "error",
        "failed": 1,
        "measured": 1,
        "expected": "<= 130 degF",
        "examples": [{"row": 1, "value": "400"}],
        "description": "",
        "not_run": "",
    }
    assert report["seconds"] > 0


def test_bad_rows_are_written_where_one_says(folder: Path) -> None:
    (folder / "data" / "1.csv").write_text('origin,temp\nEWR,400\n"JFK,1\n')
    done = validated(folder, "--quarantine", str(folder / "bad.parquet"))
    assert "wrote 2 bad rows" in done.output
    assert parquet.read_table(folder / "bad.parquet").num_rows == 2


FOREIGN = """
      - name: plane
        logicalType: string
        relationships: [{to: planes.tailnum}]
"""
PLANES = """
apiVersion: v3.2.0
kind: DataContract
id: planes
version: 1.0.0
schema:
  - {name: planes, properties: [{name: tailnum, logicalType: string}]}
"""


def test_a_foreign_key_is_looked_up_in_the_sources_of_the_project(folder: Path) -> None:
    (folder / "contracts" / "weather.odcs.yaml").write_text(CONTRACT.rstrip() + FOREIGN)
    (folder / "data" / "1.csv").write_text("origin,temp,plane\nEWR,40,N1\nJFK,,N2\n")
    done = validated(folder)
    assert done.exit_code == 1
    assert done.output.startswith("not kept: of 8 rules of contract `weather` 2.0.0, 1 was not run")
    said = done.output.replace("\n", " ")
    assert "plane.foreign_key was not run: expected where the rows of `planes` are" in said
    assert "`--reference planes=SOURCE`" in said
    (folder / "contracts" / "planes.odcs.yaml").write_text(PLANES)
    (folder / "planes.csv").write_text("tailnum\nN1\n")
    source = '\n[sources.fleet]\ncontract = "contracts/planes.odcs.yaml"\nurl = "planes.csv"\n'
    (folder / "roadworthy.toml").write_text(PROJECT + source)
    done = validated(folder)
    assert (done.exit_code, "row 2 value N2" in done.output) == (1, True)
    (folder / "mine.csv").write_text("tailnum\nN1\nN2\n")
    assert validated(folder, "--reference", f"planes={folder / 'mine.csv'}").exit_code == 0


@pytest.mark.parametrize(
    ("words", "exit_code", "said"),
    [
        (["contracts/weather.odcs.yaml", "nothing.csv"], 4, "expected a file, got none"),
        (["contracts/weather.odcs.yaml", "roadworthy.toml"], 2, "expected a source that ends"),
        (["nothing.odcs.yaml", "data/1.csv"], 1, "a YAML file with keys, got none"),
        (["contracts/weather.odcs.yaml"], 2, "name a contract and a source"),
        (["contracts/weather.odcs.yaml", "data/1.csv", "--table", "daily"], 4, "got `daily`"),
        (["contracts/weather.odcs.yaml", "data/1.csv", "--reference", "x"], 2, "TABLE=SOURCE"),
        (["planes"], 4, "there: `weather`"),
    ],
)
def test_what_cannot_be_done_ends_with_its_code(
    words: list[str], exit_code: int, said: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(cli, ["data", "validate", *words])
    assert (done.exit_code, said in done.output) == (exit_code, True), done.output


@pytest.mark.parametrize("words", [[], ["weather"]])
def test_the_sources_of_a_project_are_validated_and_remembered(
    words: list[str], folder: Path
) -> None:
    assert run(folder, "validate", *words).exit_code == 0
    (folder / "data" / "2.csv").write_text("temp,origin\n400,EWR\n")
    bad = folder / "bad"
    done = run(folder, "validate", *words, "--json", "--quarantine", str(bad))
    facts: dict[str, Any] = json.loads(done.output)
    assert (done.exit_code, facts["kept"]) == (1, False)
    assert (facts["sources"]["weather"]["rows"], facts["sources"]["weather"]["failed_rows"]) == (
        3,
        1,
    )
    assert parquet.read_table(bad / "weather.parquet").num_rows == 1
    with open_project(folder) as project:
        found = read_validations(project.state, "weather")
    assert [(one.rows, one.failed_rows, one.is_kept) for one in found] == [
        (3, 1, False),
        (2, 0, True),
    ]
    assert any(rule["failed"] for rule in found[0].detail["rules"])


def test_a_project_without_sources_says_so(folder: Path) -> None:
    (folder / "roadworthy.toml").write_text('[project]\nname = "trial"\n')
    done = run(folder, "validate")
    assert (done.exit_code, "[sources.<name>]" in done.output) == (4, True)


def test_a_draft_is_printed_or_written(folder: Path) -> None:
    parquet.write_table(pa.table({"a": [1, 2]}), folder / "a.parquet")
    shown = CliRunner().invoke(cli, ["data", "profile", str(folder / "a.parquet")])
    out = folder / "draft.odcs.yaml"
    words = ["data", "profile", str(folder / "a.parquet"), "--out", str(out)]
    written = CliRunner().invoke(cli, words)
    assert (shown.exit_code, written.exit_code) == (0, 0)
    assert shown.output == out.read_text()
    assert "1 field from 2 rows" in written.output
    facts = json.loads(CliRunner().invoke(cli, [*words[:3], "--json"]).output)
    assert facts["columns"][0]["type"] == "integer"


@pytest.mark.slow
def test_the_list_of_commands_imports_no_data_packages() -> None:
    code = (
        "import sys; from roadworthy.cli import cli; cli(['--help'], standalone_mode=False);"
        "assert not {'duckdb', 'pyarrow', 'sqlglot', 'yaml', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE)


PERSONAL = """
apiVersion: v3.2.0
kind: DataContract
id: people
version: 1.0.0
schema:
  - name: people
    properties:
      - name: mail
        logicalType: string
        classification: personal
        primaryKey: true
        primaryKeyPosition: 1
        logicalTypeOptions: {pattern: '@', maxLength: 12}
        relationships: [{to: known.mail}]
        quality:
          - {metric: invalidValues, arguments: {pattern: '^a'}, mustBe: 0}
          - {metric: duplicateValues, mustBe: 0}
          - {type: sql, query: 'SELECT CAST(${column} AS INT) FROM ${table}', mustBe: 0}
      - {name: n, logicalType: integer, primaryKey: true, primaryKeyPosition: 2}
      - name: born
        logicalType: date
        classification: personal
        logicalTypeOptions: {maximum: '1950-01-01'}
        enum: [{value: '1940-01-01'}]
"""
SECRETS = ("zoe", "1987", "Grüner")


def test_no_personal_value_is_shown_anywhere(folder: Path) -> None:
    """Not as text, as JSON or in what the console reads; the quarantine holds the rows."""
    (folder / "contracts" / "people.odcs.yaml").write_text(PERSONAL)
    lines = ("zoe", 1, "1987-06-05"), ("zoe", 1, "1987-06-05"), ("zoe@a-long-address", "x", "?")
    rows = "\n".join(",".join(map(str, line)) for line in lines)
    text = f'mail,n,born\n{rows}\n"Grüner Weg,3,1987-01-01\n'
    (folder / "people.csv").write_text(text, encoding="utf-8")
    (folder / "known.csv").write_text("mail\na@b.c\n")
    source = '\n[sources.people]\ncontract = "contracts/people.odcs.yaml"\nurl = "people.csv"\n'
    known = source.replace("sources.people", "sources.known").replace("people.csv", "known.csv")
    (folder / "roadworthy.toml").write_text('[project]\nname = "trial"\n' + source + known)
    words = [str(folder / "contracts" / "people.odcs.yaml"), str(folder / "people.csv")]
    bad = folder / "bad.parquet"
    said = [
        run(folder, "validate", *words, "--quarantine", str(bad)),
        run(folder, "validate", *words, "--json"),
        run(folder, "validate", "people"),
        run(folder, "validate", "people", "--json"),
        CliRunner().invoke(cli, ["data", "profile", words[1], "--json"]),
    ]
    assert [one.exit_code for one in said] == [1, 1, 1, 1, 0]
    broken = [rule for rule in json.loads(said[1].output)["rules"] if rule["failed"]]
    assert len(broken) >= 9
    for one in said[:4]:
        assert [secret for secret in SECRETS if secret in one.output] == []
    with open_project(folder) as project:
        remembered = str(read_validations(project.state, "people"))
    assert [secret for secret in SECRETS if secret in remembered] == []
    kept = parquet.read_table(bad).to_pylist()
    assert [row["mail"] for row in kept].count("zoe") == 2
    rules = " ".join(row["roadworthy_rules"] for row in kept)
    assert [secret for secret in SECRETS if secret in rules] == []
