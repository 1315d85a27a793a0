"""`roadworthy data loadtest`: what it prints, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

pytest.importorskip("duckdb")

from feature_project import SERVICE, SERVICE_FILES, SOURCES, write_files
from roadworthy.cli import cli

VOLUME = """
[sources.weather.volume]
rows = 500
rows_per_day = [90, 100]
time = "known_at"
rows_per_second = 1
"""


RULE = '[providers.rule]\nkind = "rule"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_files(tmp_path, SERVICE_FILES)
    (tmp_path / "roadworthy.toml").write_text(f'[project]\nname = "trial"\n{RULE}{SOURCES}{VOLUME}')
    load = "[volume]\nrequests_per_second = 2\n"
    (tmp_path / "services/wind/service.toml").write_text(SERVICE + load)
    return tmp_path


def run(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, ["data", "loadtest", *words, "--project", str(folder)])


def test_what_holds_ends_with_0_and_leaves_nothing_behind(folder: Path) -> None:
    done = run(folder)
    assert done.exit_code == 0, done.output
    assert done.output.startswith("kept with 500 rows of 1 source: 8 steps (")
    assert "within 300 s" in done.output
    assert not (folder / ".roadworthy").exists()


def test_json_holds_every_step(folder: Path) -> None:
    done = run(folder, "wind", "--json")
    report = json.loads(done.stdout)
    assert (report["kept"], report["complete"], report["made"]) == (True, True, {"weather": 500})
    assert [(step["step"], step["of"]) for step in report["steps"]] == [
        ("fill", "weather_now@1"),
        ("refill", "weather_now@1"),
        ("validate", "weather"),
        ("check", "weather"),
        ("history", "weather_now@1"),
        ("read", "wind"),
        ("skew", "wind"),
        ("push", "weather_now@1"),
    ]
    assert {"rows", "seconds", "per_second", "peak_mb", "needs_s", "says"} <= report["steps"][
        0
    ].keys()
    assert report["steps"][5]["needs_per_second"] == 2


def test_too_much_memory_ends_with_1_and_says_what_to_do(folder: Path) -> None:
    done = run(folder, "weather", "--memory", "1")
    assert done.exit_code == 1
    assert done.output.startswith("not kept with 500 rows of 1 source: fill of `weather_now@1`")
    assert "take a machine with more memory" in done.output


def test_what_cannot_be_run_ends_with_3(folder: Path) -> None:
    path = folder / "roadworthy.toml"
    path.write_text(path.read_text().replace("rows = 500\n", ""))
    done = run(folder)
    assert done.exit_code == 3
    assert "expected `rows` in its `volume` of roadworthy.toml, got none" in done.output


def test_a_name_that_is_not_there_ends_with_4(folder: Path) -> None:
    done = run(folder, "nobody", "--json")
    assert done.exit_code == 4
    message = json.loads(done.stdout)["error"]["message"]
    assert message.endswith("got `nobody`; there: `weather`, `wind`")


def test_check_names_what_enforces_each_number_and_warns_of_a_source_without(folder: Path) -> None:
    words = ["check", "--project", str(folder), "--json"]
    report = json.loads(CliRunner().invoke(cli, words).stdout)
    enforced = {key["path"]: key["enforced_by"] for key in report["keys"]}
    assert enforced["sources.weather.volume.rows_per_day"] == "data/volume.py"
    assert enforced["sources.weather.volume.rows_per_second"] == "data/loadtest.py"
    assert enforced["volume.requests_per_second"] == "data/loadtest.py"
    assert "no_volume" not in {warning["code"] for warning in report["warnings"]}
    shown = CliRunner().invoke(cli, words[:-1]).output
    assert "sources.weather.volume.rows " in shown
    path = folder / "roadworthy.toml"
    path.write_text(path.read_text().replace("rows = 500\n", ""))
    report = json.loads(CliRunner().invoke(cli, words).stdout)
    (warning,) = (one for one in report["warnings"] if one["code"] == "no_volume")
    assert warning["message"].startswith("`wind` reads source `weather`: expected `rows`")
