from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from roadworthy.cli.data_diff import diff_command

CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: weather
version: 1.0.0
status: active
schema:
  - name: hourly
    properties:
      - name: origin
        logicalType: string
        required: true
      - name: temp
        logicalType: number
        logicalTypeOptions:
          maximum: 130
        customProperties:
          - property: unit
            value: degF
"""
CELSIUS = CONTRACT.replace("degF", "degC").replace("1.0.0", "2.0.0")
NARROW = CONTRACT.replace("130", "120").replace("1.0.0", "1.1.0")


def written(folder: Path, **texts: str) -> list[Path]:
    paths = []
    for name, text in texts.items():
        paths.append(folder / f"{name}.odcs.yaml")
        paths[-1].write_text(text, encoding="utf-8")
    return paths


def run(*words: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(diff_command, list(map(str, words)))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def facts(*words: str | Path) -> tuple[int, Any]:
    code, out = run(*words, "--json")
    return code, json.loads(out)


def test_json_names_each_change_and_whom_it_breaks(tmp_path: Path) -> None:
    old, new = written(tmp_path, old=CONTRACT, new=CELSIUS)
    code, found = facts(old, new, "--project", tmp_path)
    assert code == 1
    assert found["compatibility"] == "NONE"
    assert (found["old"], found["new"]) == (["1.0.0"], "2.0.0")
    assert found["changes"] == [
        {
            "table": "hourly",
            "field": "temp",
            "change": "unit changed",
            "old": "degF",
            "new": "degC",
            "breaks": ["producer", "consumer"],
            "read_by": [],
        }
    ]


def test_the_text_starts_with_a_sentence(tmp_path: Path) -> None:
    old, new = written(tmp_path, old=CONTRACT, new=NARROW)
    code, out = run(old, new, "--project", tmp_path)
    assert code == 1
    assert out.splitlines()[0] == "`weather` 1.1.0 breaks its producers: 1 change since 1.0.0"
    assert "maximum lowered (130 -> 120)" in out
    assert "FORWARD: consumers may go on" in out


def test_what_breaks_nobody_ends_well(tmp_path: Path) -> None:
    old, new = written(tmp_path, old=CONTRACT, new=CONTRACT.replace("1.0.0", "1.0.1"))
    assert facts(old, new)[0] == 0
    code, out = run(old, new)
    assert code == 0
    assert out.startswith("`weather` 1.0.1 promises what 1.0.0 did")


def test_a_broken_promise_within_one_version_is_said(tmp_path: Path) -> None:
    old, new = written(tmp_path, old=CONTRACT, new=NARROW.replace("1.1.0", "1.0.0"))
    assert "raise `version`: it is 1.0.0 in both" in run(old, new)[1]


def test_several_old_contracts_are_compared_each(tmp_path: Path) -> None:
    paths = written(tmp_path, a=CONTRACT, b=NARROW, c=CONTRACT.replace("1.0.0", "1.2.0"))
    code, found = facts(*paths)
    assert code == 1
    assert found["compatibility"] == "BACKWARD_TRANSITIVE"
    assert [(change["since"], change["change"]) for change in found["changes"]] == [
        ("1.1.0", "maximum raised")
    ]


def git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=ana", "-c", "user.email=ana@example.com"]
    subprocess.run(["git", "-C", folder, *who, *words], check=True, capture_output=True)


def test_a_file_is_compared_with_what_git_has_of_it(tmp_path: Path) -> None:
    (path,) = written(tmp_path, weather=CONTRACT)
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "one")
    path.write_text(CELSIUS, encoding="utf-8")
    code, found = facts(path, "--against", "HEAD")
    assert (code, found["changes"][0]["change"]) == (1, "unit changed")
    code, out = run(path, "--against", "nowhere")
    assert code == 4
    assert "git has no weather.odcs.yaml in nowhere" in out


@pytest.mark.parametrize("words", [[], ["--against", "HEAD", "other.odcs.yaml"]])
def test_what_to_compare_with_is_named_once(tmp_path: Path, words: list[str]) -> None:
    (path,) = written(tmp_path, weather=CONTRACT)
    assert run(path, *words)[0] == 2


def test_a_contract_with_problems_is_not_compared(tmp_path: Path) -> None:
    old, new = written(tmp_path, old=CONTRACT, new=CONTRACT.replace("number", "numeral"))
    code, out = run(old, new)
    assert code == 1
    assert "declaration_error" in out
