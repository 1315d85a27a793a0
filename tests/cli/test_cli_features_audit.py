"""`features skew` and `features leakage`, on a service that answered with features."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import run

from conftest import MakeProject
from feature_project import AT_US, FILES, SERVICE, SERVICE_FILES, SOURCES
from roadworthy.app import open_project
from roadworthy.data import audit_skew
from roadworthy.data.features import Features
from roadworthy.types import HOUR_US, MICRO, Ids, Record

pytest.importorskip("duckdb")

ASKED = 30


def answered(
    make_project: MakeProject, files: dict[str, str] | None = None, every_s: int = 0
) -> Path:
    """Return a project whose service was asked of three airports, ten times each."""
    everything = SERVICE_FILES | (files or {})
    project = make_project({"wind": SERVICE}, files=everything, project=SOURCES)
    project.clock.set(AT_US)  # type: ignore[attr-defined]
    features = Features(project.declaration, project.state, project.clock)
    features.apply(by="test")
    features.fill_all()
    features.close()
    for number in range(ASKED):
        project.clock.set(AT_US + number // 3 * every_s * MICRO)  # type: ignore[attr-defined]
        project.service("wind").answer({"origin": ("EWR", "JFK", "LGA")[number % 3]})
    project.serving.writer.drain()
    project.close()
    return project.folder


def spine(folder: Path) -> Path:
    """Write a spine of the same airports, 40 times each, with the truth."""
    lines = ["origin,at,late"]
    for number in range(120):
        origin = ("EWR", "JFK", "LGA")[number % 3]
        late = str(origin == "EWR").lower()
        lines.append(f"{origin},2013-01-01T06:00:00Z,{late}")
    file = folder / "spine.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


def test_what_is_served_is_what_the_views_say(make_project: MakeProject) -> None:
    folder = answered(make_project)
    ran = run("features", "skew", "wind", "--project", folder, "--json")
    assert ran.code == 3, ran.err
    report = ran.json
    assert report["requests"] == report["replayed"] == ASKED
    assert report["says"].startswith(f"all values of {ASKED} requests are what the views say")
    assert {row["feature"]: (row["compared"], row["unequal"]) for row in report["features"]} == {
        "wind_mph": (ASKED, 0),
        "temp_f": (ASKED, 0),
        "temp_c": (ASKED, 0),
    }


def test_a_source_that_says_something_else_now_is_a_difference_with_its_request(
    make_project: MakeProject,
) -> None:
    folder = answered(make_project)
    rows = folder / "data" / "weather.csv"
    rows.write_text(rows.read_text().replace(",12.5,41", ",12.5,5"))
    ran = run("features", "skew", "wind", "--project", folder)
    assert ran.code == 1
    assert "wind: served values of `temp_f`, `temp_c` differ from what the views say" in ran.out
    assert "20 of 30" in ran.out
    assert "temp_f: served 41.0, the view says 5.0" in ran.out


def test_live_values_are_held_against_the_newest_training_set(make_project: MakeProject) -> None:
    folder = answered(make_project)
    out = folder / "joined.parquet"
    words = ("--spine", spine(folder), "--out", out, "--save", "--project", folder, "--json")
    saved = run("features", "history", "wind", *words)
    assert saved.code == 0, saved.err
    report = run("features", "skew", "wind", "--project", folder, "--json").json
    assert report["trained"] == saved.json["snapshot"]["id"]
    assert {row["trained"] for row in report["features"]} == {120}
    assert all(row["stability"] is not None for row in report["features"])
    by_file = run("features", "skew", "wind", "--training", out, "--project", folder, "--json").json
    assert by_file["trained"] == str(out)


def test_a_time_is_held_against_training_by_how_long_ago_it_was(
    make_project: MakeProject,
) -> None:
    view = FILES["features/weather_now.sql"].replace(
        "wind_mph, temp_f,", "wind_mph, temp_f, observed_at AS seen_at, observed_at::DATE AS day,"
    )
    folder = answered(make_project, {"features/weather_now.sql": view}, every_s=60)
    asked = [f"{o},2013-01-01T06:0{m}:00Z" for m in range(10) for o in ("EWR", "JFK", "LGA")]
    (folder / "spine.csv").write_text("\n".join(["origin,at", *asked, *asked, *asked]) + "\n")
    out = folder / "joined.parquet"
    words = ("--spine", folder / "spine.csv", "--out", out, "--save", "--project", folder)
    assert run("features", "history", "wind", *words).code == 0
    report = run("features", "skew", "wind", "--project", folder, "--json").json
    rows = {row["feature"]: row for row in report["features"]}
    for name in ("seen_at", "day"):
        row = rows[name]
        assert (row["compared"], row["unequal"]) == (ASKED, 0)
        assert row["stability"][0] < 0.1, row
        assert row["state"] != "breached"
        assert row["bins"][-1] == "missing"
        assert all(bin.endswith(" s before") for bin in row["bins"][:-1])


def test_newer_requests_without_features_are_looked_past(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = answered(make_project)
    with open_project(folder) as project:
        ids = Ids(project.clock)
        for _ in range(ASKED + 10):
            plain = Record(
                id=ids.new("rq"),
                at_us=AT_US + HOUR_US,
                service="wind",
                kind="predict",
                disposition="answered",
            )
            project.serving.spool.append(plain)
        project.serving.writer.drain()
    monkeypatch.setattr(audit_skew, "_PAGE", 7)
    report = run("features", "skew", "wind", "--limit", "20", "--project", folder, "--json").json
    assert report["requests"] == 20


def test_without_a_request_nothing_is_known(make_project: MakeProject) -> None:
    project = make_project({"wind": SERVICE}, files=SERVICE_FILES, project=SOURCES)
    features = Features(project.declaration, project.state, project.clock)
    features.apply(by="test")
    features.close()
    project.close()
    ran = run("features", "skew", "wind", "--project", project.folder)
    assert ran.code == 4
    assert "expected requests that were given features, got none yet" in ran.err


@pytest.fixture
def fresh(make_project: MakeProject) -> Path:
    """Return a project as one clones it: its model is not trained, and its data are not there."""
    service = SERVICE.replace('provider = "rule"', 'provider = "onnx"')
    project = make_project(
        {"wind": service.replace("'{\"wind\": input.wind_mph}'", '"model.onnx"')},
        files=SERVICE_FILES,
        project=SOURCES + '[providers.onnx]\nkind = "onnx"\n',
    )
    project.close()
    (project.folder / "data" / "weather.csv").unlink()
    return project.folder


@pytest.mark.parametrize(
    "words",
    [
        ("features", "leakage", "wind"),
        ("features", "leakage", "wind", "--label", "late"),
        ("features", "skew", "wind"),
        ("features", "get", "weather_now", "EWR"),
        ("features", "history", "wind", "--spine", "spine.csv", "--out", "out.parquet"),
    ],
)
def test_before_a_view_is_registered_it_is_said_how(fresh: Path, words: tuple[str, ...]) -> None:
    ran = run(*words, "--project", fresh)
    assert ran.code == 4
    assert "no registered feature view `weather_now" in ran.err
    assert "`roadworthy features apply` registers those of `features/`" in ran.err


def test_what_is_declared_can_be_looked_at_before_there_are_data_and_a_model(fresh: Path) -> None:
    for word in ("list", "materialize"):
        ran = run("features", word, "--project", fresh)
        assert ran.code == 0
        assert "`roadworthy features apply` registers the views of `features/`" in ran.out
    assert run("features", "apply", "--project", fresh).code == 0
    ran = run("features", "leakage", "wind", "--project", fresh)
    assert (ran.code, ran.err) == (0, "")
    got = run("features", "get", "weather_now", "EWR", "--project", fresh)
    assert "nothing of it is online yet: `roadworthy features materialize` fills it" in got.out
    spine(fresh)
    words = ("--spine", fresh / "spine.csv", "--out", fresh / "out.parquet", "--project", fresh)
    joined = run("features", "history", "wind", *words)
    assert joined.code == 4
    assert "source `weather`: expected a file, got none - " in joined.err
    assert "write it, or correct `url` of `[sources.weather]` in roadworthy.toml" in joined.err
    skew = run("features", "skew", "wind", "--project", fresh)
    assert skew.code == 4
    assert "got none yet; start it with `roadworthy up`, and let it answer" in skew.err


def test_what_is_wrong_with_the_features_of_a_service_is_still_told(fresh: Path) -> None:
    file = fresh / "services" / "wind" / "service.toml"
    file.write_text(file.read_text().replace('["weather_now@1"]', '["weather_now"]'))
    ran = run("features", "leakage", "wind", "--project", fresh)
    assert ran.code == 1
    assert "features.views" in ran.err
    assert "model.onnx" not in ran.err


def test_an_honest_view_has_no_leak(make_project: MakeProject) -> None:
    folder = answered(make_project)
    ran = run("features", "leakage", "wind", "--project", folder, "--json")
    assert ran.code == 0
    assert ran.json["leaks"] == []
    assert ran.json["says"].startswith("no leak is declared")


def test_a_field_that_is_known_later_is_a_leak(make_project: MakeProject) -> None:
    contract = FILES["contracts/weather.odcs.yaml"].replace(
        "{name: temp_f, logicalType: number}",
        "{name: temp_f, logicalType: number, "
        "customProperties: [{property: availableAt, value: known_at}]}",
    )
    view = FILES["features/weather_now.sql"].replace(
        'created_time = "known_at"', 'created_time = "observed_at"'
    )
    view = view.replace("observed_at, known_at,", "observed_at,")
    folder = answered(
        make_project, {"contracts/weather.odcs.yaml": contract, "features/weather_now.sql": view}
    )
    ran = run("features", "leakage", "wind", "--project", folder)
    assert ran.code == 1
    assert "`temp_f` is made of `weather.temp_f`, which is known only at `known_at`" in ran.out
    assert "`temp_c` is made of `weather.temp_f`" in ran.out


def test_a_view_whose_times_cannot_be_traced_is_no_clean_one(make_project: MakeProject) -> None:
    view = FILES["features/weather_now.sql"].replace(
        "known_at, wind", "TIMESTAMP '2013-01-01 05:30:00' AS known_at, wind"
    )
    folder = answered(make_project, {"features/weather_now.sql": view})
    ran = run("features", "leakage", "wind", "--project", folder)
    assert (ran.code, ran.err) == (3, "")
    assert "no leak is declared, as far as it can be traced: 1 of the views cannot" in ran.out
    assert "`weather_now@1` cannot be traced: nothing shows that `known_at`" in ran.out


def test_a_feature_whose_name_has_capitals_is_looked_at_like_any_other(
    make_project: MakeProject,
) -> None:
    view = FILES["features/weather_now.sql"].replace("wind_mph,", "wind_mph AS Wind,")
    service = SERVICE.replace("input.wind_mph", "input.Wind")
    files = SERVICE_FILES | {"features/weather_now.sql": view}
    project = make_project({"wind": service}, files=files, project=SOURCES)
    features = Features(project.declaration, project.state, project.clock)
    features.apply(by="test")
    features.close()
    project.close()
    ran = run("features", "leakage", "wind", "--project", project.folder)
    assert (ran.code, ran.err) == (0, "")


def test_a_training_set_shows_a_feature_that_is_the_label(make_project: MakeProject) -> None:
    folder = answered(make_project)
    out = folder / "joined.parquet"
    words = ("--spine", spine(folder), "--out", out, "--save", "--project", folder, "--json")
    run("features", "history", "wind", *words)
    ran = run("features", "leakage", "wind", "--label", "late", "--project", folder, "--json")
    assert ran.code == 1
    assert {leak["feature"] for leak in ran.json["leaks"]} == {"wind_mph", "temp_f", "temp_c"}
    assert {leak["cause"] for leak in ran.json["leaks"]} == {"power", "missing"}
    wrong = run("features", "leakage", "wind", "--label", "truth", "--project", folder)
    assert "label: expected a column of the training set" in wrong.err


def test_rows_that_training_and_test_share_are_a_leak(make_project: MakeProject) -> None:
    folder = answered(make_project)
    header, *lines = spine(folder).read_text().splitlines()
    train, test = folder / "train.csv", folder / "test.csv"
    days = [line.replace("2013-01-01", f"2013-02-{n % 28 + 1:02}") for n, line in enumerate(lines)]
    train.write_text("\n".join([header, *days[:80]]) + "\n")
    test.write_text("\n".join([header, *days[-30:], *days[:10]]) + "\n")
    words = ("--training", train, "--project", folder)
    ran = run("features", "leakage", "wind", "--test", test, *words)
    shared = sum(row in days[:80] for row in [*days[-30:], *days[:10]])
    assert ran.code == 1
    assert f"{shared} of 40 test rows" in ran.out
    assert "the test set cannot say how good the model is" in ran.out
    test.write_text(header.replace("origin,at,late", "a,b,c") + "\n1,2,3\n")
    wrong = run("features", "leakage", "wind", "--test", test, *words)
    assert "test: expected columns of the training set" in wrong.err


def test_a_training_set_of_the_join_did_not_travel_in_time(make_project: MakeProject) -> None:
    folder = answered(make_project)
    out = folder / "joined.parquet"
    words = ("--spine", spine(folder), "--out", out, "--save", "--project", folder, "--json")
    run("features", "history", "wind", *words)
    ran = run("features", "leakage", "wind", "--label", "late", "--project", folder, "--json")
    assert {row["feature"]: (row["rows"], row["unequal"]) for row in ran.json["time_travel"]} == {
        "wind_mph": (120, 0),
        "temp_f": (120, 0),
        "temp_c": (120, 0),
    }
    told = run("features", "leakage", "wind", "--label", "late", "--project", folder)
    assert "time travel" in told.out
    assert "0 of 120" in told.out


@pytest.mark.parametrize("word", ["--label", "--test"])
def test_what_cannot_be_measured_is_said(make_project: MakeProject, word: str) -> None:
    folder = answered(make_project)
    ran = run("features", "leakage", "wind", word, spine(folder), "--project", folder)
    assert ran.code == 4
    assert "expected a training set, got none; a training set is saved by" in ran.err
