from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import run

from conftest import MakeProject, write_project
from feature_project import AT_US, FILES, SOURCES
from roadworthy.app import open_project
from roadworthy.store.data_versions import read_snapshots

pytest.importorskip("duckdb")

SPINE = """\
origin,at,label
EWR,2013-01-01T05:30:00Z,1
JFK,2013-01-01T05:30:00Z,0
XXX,2013-01-01T06:00:00Z,1
EWR,2013-01-01T06:00:00Z,0
"""


@pytest.fixture
def farm(tmp_path: Path) -> Path:
    folder = write_project(tmp_path / "project", {}, FILES, SOURCES)
    with open_project(folder) as project:
        project.clock.set(AT_US)  # type: ignore[attr-defined]
    return folder


def features(farm: Path, *words: str | Path) -> object:
    ran = run("features", *words, "--project", farm, "--json")
    assert ran.code == 0, ran.out + ran.err
    return ran.json


def test_views_are_applied_filled_and_read(farm: Path) -> None:
    applied = run("features", "apply", "--project", farm)
    assert "weather_now@1  registered" in applied.out
    assert run("features", "apply", "--project", farm, "--json").json["views"][0]["is_new"] is False
    assert "never filled" in run("features", "list", "--project", farm).out
    filled = run("features", "materialize", "--project", farm, "--json").json["views"]
    assert [(one["view"], one["rows"]) for one in filled] == [("weather_now@1", 2)]
    (listed,) = run("features", "list", "--project", farm, "--json").json["views"]
    assert listed["freshness"]["rows"] == 2
    got = run("features", "get", "weather_now", "EWR", "--project", farm, "--json").json
    assert got["state"] == "fresh"
    assert got["features"] == {"wind_mph": 12.5, "temp_f": 41.0, "temp_c": 5.0}
    assert "12.5" in run("features", "get", "weather_now@1", "EWR", "--project", farm).out
    absent = run("features", "get", "weather_now", "LGA", "--project", farm)
    assert "weather_now@1: absent" in absent.out


def test_what_was_known_at_a_time_can_be_put_online(farm: Path) -> None:
    features(farm, "apply")
    features(farm, "materialize", "weather_now", "--until", "2013-01-01T05:30")
    got = run("features", "get", "weather_now", "EWR", "--project", farm, "--json").json
    assert got["features"]["wind_mph"] == 10.5
    ran = run("features", "materialize", "--until", "2031-01-01", "--project", farm)
    assert ran.code == 2
    assert "got one in the future" in ran.err


@pytest.mark.parametrize("ending", ["json", "jsonl", "csv"])
def test_rows_of_a_file_are_pushed(farm: Path, tmp_path: Path, ending: str) -> None:
    features(farm, "apply")
    row = {"origin": "EWR", "observed_at": "2013-01-01T05:30:00Z", "wind_mph": 20.0}
    row |= {"temp_f": 50.0, "temp_c": 10.0}
    path = tmp_path / f"rows.{ending}"
    if ending == "csv":
        path.write_text(",".join(row) + "\n" + ",".join(map(str, row.values())) + "\n")
    else:
        path.write_text(json.dumps([row] if ending == "json" else row))
    ran = run("features", "push", "weather_now", path, "--project", farm)
    assert ran.out == "1 of 1 rows of weather_now@1 are online\n"
    got = run("features", "get", "weather_now", "EWR", "--project", farm, "--json").json
    assert got["features"]["wind_mph"] == 20.0


def test_a_pushed_row_that_breaks_the_contract_could_not_be_done(
    farm: Path, tmp_path: Path
) -> None:
    features(farm, "apply")
    path = tmp_path / "rows.json"
    path.write_text('{"origin": "Newark", "observed_at": "2013-01-01T05:30:00Z"}')
    ran = run("features", "push", "weather_now", path, "--project", farm)
    assert ran.code == 4
    assert "rows[0].origin: expected a string that matches" in ran.err
    for text in ("{", "3", '[["EWR"]]', "null", "[" * 100_000):
        path.write_text(text)
        ran = run("features", "push", "weather_now", path, "--project", farm)
        assert (ran.code, "expected" in ran.err) == (2, True), text[:20]


@pytest.mark.parametrize("view", ["weather_now", "weather_now@1"])
def test_history_is_joined_to_every_row_and_saved(farm: Path, tmp_path: Path, view: str) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    features(farm, "apply")
    spine, out = tmp_path / "spine.csv", tmp_path / "out.parquet"
    spine.write_text(SPINE)
    words = ("history", view, "--spine", spine, "--out", out)
    first = run("features", *words, "--project", farm, "--json").json
    rows = parquet.read_table(out).to_pylist()
    assert [row["wind_mph"] for row in rows] == [10.5, None, None, 12.5]
    assert [row["label"] for row in rows] == [1, 0, 1, 0]
    saved = run("features", *words, "--save", "--project", farm)
    assert f"snapshot {first['snapshot']['id']} is saved" in saved.out
    with open_project(farm) as project:
        (kept,) = read_snapshots(project.state)
        assert kept.id == first["snapshot"]["id"]
        assert project.artifacts.path(kept.detail["artifact"]).is_file()


def test_a_spine_that_is_not_there_and_a_time_that_it_has_not(farm: Path, tmp_path: Path) -> None:
    features(farm, "apply")
    out = tmp_path / "out.parquet"
    words = ("features", "history", "weather_now", "--out", out, "--project", farm)
    ran = run(*words, "--spine", tmp_path / "none.csv")
    assert ran.code == 4
    spine = tmp_path / "spine.csv"
    spine.write_text(SPINE)
    ran = run(*words, "--spine", spine, "--time", "moment")
    assert ran.code == 1
    assert "expected columns `moment`, got `origin`, `at`, `label`" in ran.err
    assert not out.exists()


def test_a_view_that_changed_is_not_kept(farm: Path) -> None:
    features(farm, "apply")
    path = farm / "features" / "weather_now.sql"
    path.write_text(path.read_text().replace("5 / 9", "5 / 8"))
    ran = run("features", "apply", "--project", farm)
    assert ran.code == 1
    assert "raise `version` to 2 or higher" in ran.err


SERVICE = """
name = "wind"
kind = "predict"
[owners]
product = "weather team"
[features]
views = ["weather_now@1"]
[objectives]
deadline_ms = 1000
[cost]
[[models]]
name = "rule"
provider = "rule"
model = '{"wind": input.wind_mph}'
"""


def test_a_version_that_is_served_is_listed_and_filled_beside_a_newer_one(
    make_project: MakeProject,
) -> None:
    project = make_project({"wind": SERVICE}, files=FILES, project=SOURCES)
    project.clock.set(AT_US)  # type: ignore[attr-defined]
    folder = project.folder
    features(folder, "apply")
    project.promote(project.build_release("wind", by="test").id, by="test")
    project.close()
    path = folder / "features" / "weather_now.sql"
    path.write_text(path.read_text().replace("version = 1", "version = 2"))
    features(folder, "apply")
    filled = run("features", "materialize", "--project", folder, "--json").json["views"]
    assert [one["view"] for one in filled] == ["weather_now@2", "weather_now@1"]
    listed = run("features", "list", "--project", folder, "--json").json["views"]
    assert [(one["view"], one["services"]) for one in listed] == [
        ("weather_now@2", []),
        ("weather_now@1", ["wind"]),
    ]
    assert all(one["freshness"]["rows"] == 2 for one in listed)
    assert "weather_now@1  wind  " in run("features", "list", "--project", folder).out
    named = run("features", "materialize", "weather_now", "--project", folder, "--json").json
    assert [one["view"] for one in named["views"]] == ["weather_now@2"]


def test_a_release_whose_files_are_gone_does_not_hide_the_views(
    make_project: MakeProject,
) -> None:
    project = make_project({"wind": SERVICE}, files=FILES, project=SOURCES)
    features(project.folder, "apply")
    release = project.build_release("wind", by="test")
    project.promote(release.id, by="test")
    project.artifacts.path(release.manifest.files["service.toml"]).unlink()
    project.close()
    (listed,) = run("features", "list", "--project", project.folder, "--json").json["views"]
    assert (listed["view"], listed["services"]) == ("weather_now@1", [])


def test_an_entity_is_as_many_values_as_the_view_says(farm: Path) -> None:
    features(farm, "apply")
    ran = run("features", "get", "weather_now", "EWR", "JFK", "--project", farm)
    assert ran.code == 2
    assert "entity: expected ORIGIN, got 2 values" in ran.err


def test_a_service_without_views_has_no_history(farm: Path, tmp_path: Path) -> None:
    ran = run("features", "history", "no", "--spine", "x", "--out", "y", "--project", farm)
    assert ran.code == 4
    assert "no registered feature view `no`" in ran.err
