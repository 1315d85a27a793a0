"""The pages about data: what they say, that it is their twins' word, and that a GET measures none.

Each test that changes the project has one of its own; the others share a stage.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import text
from visitor import Shown, Visitor

from control_plane import Plane, served
from feature_project import AT_US, FILES
from roadworthy.cli import cli
from roadworthy.data import trained
from roadworthy.errors import ContractViolation
from roadworthy.store.data_versions import SavedSkew, read_skew, record_skew
from roadworthy.types import HOUR_US, SettableClock
from roadworthy.web import data_words, numbers
from roadworthy.web.console import data_pictures
from roadworthy.web.data_figures import FeatureStatus
from roadworthy.web.data_standing import Standing

pytest.importorskip("duckdb")

from data_stage import (
    ASKED,
    REFUSED,
    change_contract,
    save_training_set,
    served_data,
    validate,
)

PAGE = "/services/wind/data"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """A service with data that was measured once; nobody changes it."""
    with served_data(tmp_path_factory.mktemp("data")) as plane:
        plane.serving.jobs.run_now("skew")
        yield plane


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Plane]:
    """A project of the test's own, not measured yet."""
    with served_data(tmp_path) as plane:
        yield plane


def set_clock(plane: Plane, at_us: int) -> None:
    assert isinstance(plane.project.clock, SettableClock)
    plane.project.clock.set(at_us)


def words_of(source: str) -> str:
    """Return what a person reads, without the marks of code."""
    plain = re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", "", source)))
    return plain.replace("`", "")


def missing_from(shown: Shown, said: list[str]) -> list[str]:
    text = words_of(shown.source)
    return [words for words in said if words.replace("`", "") not in text]


def test_the_page_says_each_sentence_and_number_of_its_twin(stage: Plane) -> None:
    shown = Visitor(stage, stage.secret).see(PAGE)
    twin = stage.get(f"/api{PAGE}")
    said = [twin["says"], twin["asked"]["says"], twin["skew"]["trained"]]
    said += [words for todo in twin["todos"] for words in (todo["says"], todo["why"])]
    for path in twin["asked"]["paths"]:
        said += [path["path"], path["expected"], numbers.count(path["requests"])]
    for source in twin["sources"]:
        said += [*source["says"], source["source"], source["version"], *source["views"]]
        said += (source["volume"] or {"says": []})["says"]
        for rule in source["broken"]:
            said += [rule["rule"], rule["expected"], rule["severity"]]
    for view in twin["views"]:
        said += [view["view"], view["owner"], ", ".join(view["features"])]
        # How far behind a view is goes on with the clock.
        said += [one.partition(",")[0] for one in view["says"]]
    said += [rate["says"] for rate in twin["rates"]]
    for feature in twin["skew"]["features"]:
        said += [feature["feature"], f"{feature['compared']:,} of {feature['compared']:,}"]
        for apart in (feature["stability"], feature["divergence"], feature["gap"]):
            if apart:
                low, high = numbers.distance(apart["low"]), numbers.distance(apart["high"])
                said += [numbers.distance(apart["value"]), f"{low}\N{EN DASH}{high}"]
        said += [numbers.share(feature["missing_live"]), *feature["bins"]]
    assert missing_from(shown, said) == []
    assert len(said) > 60
    features = len(twin["skew"]["features"])
    for side in ("was", "now"):
        assert len(re.findall(f'<path class="{side}" d="M0 39V', shown.source)) == features == 5
    assert len(shown.source) < 60_000


def test_rules_are_counted_in_each_validation_and_drawn(stage: Plane) -> None:
    twin = stage.get(f"/api{PAGE}")
    fleet, weather = twin["sources"]
    assert fleet["state"] == "collecting"
    assert fleet["says"] == ["Not validated yet: `roadworthy data validate fleet` does it."]
    assert (fleet["word"], weather["word"]) == ("Not validated", "Broken")
    assert weather["state"] == "breached"
    assert [look["kept"] for look in weather["looks"]] == [True, False, False]
    failed = {rule["rule"]: rule["failed"] for rule in weather["broken"]}
    assert failed == {"wind_mph.maximum": [0, 1, 1], "origin.pattern": [0, 1, 0]}
    assert weather["says"][0] == "Last validated 1 min ago: the contract was not kept."
    assert "one contract is broken" in twin["says"]
    shown = Visitor(stage, stage.secret).see(PAGE)
    assert len(re.findall(r'<rect class="s[12]" x="\d', shown.source)) == 3  # bars of the chart
    assert "1 failure in the last validation." in shown.words


def test_a_volume_is_shown_with_what_the_newest_look_found(stage: Plane) -> None:
    fleet, weather = stage.get(f"/api{PAGE}")["sources"]
    assert fleet["volume"] is None
    volume = weather["volume"]
    assert (volume["state"], volume["word"]) == ("healthy", "As declared")
    assert (volume["rows"], volume["most_rows"]) == (3, 3)
    assert (volume["rows_of_day"], volume["rows_per_day"]) == (1, [0, 3])
    assert (volume["distinct"], volume["most_distinct"]) == ({"origin": 2}, {"origin": 2})
    assert volume["says"] == [
        "At most 3 rows declared; it has 3.",
        "0 to 3 rows a day declared; in the last whole day 1 came.",
        "`origin`: at most 2 values declared; it has 2.",
    ]


def test_more_rows_than_declared_put_a_source_at_risk(own: Plane) -> None:
    path = own.project.folder / "data/weather.csv"
    path.write_text(path.read_text() + "LGA,2013-01-01T04:00:00Z,2013-01-01T04:30:00Z,1,50\n")
    validate(own, AT_US)
    twin = own.get(f"/api{PAGE}")
    weather = twin["sources"][1]
    assert (weather["state"], weather["word"]) == ("at_risk", "Kept, with warnings")
    assert weather["volume"]["state"] == "at_risk"
    assert {rule["rule"]: rule["failed"][-1] for rule in weather["broken"]} == {
        "volume.rows": 1,
        "volume.rows_per_day": 1,
        "volume.distinct.origin": 1,
        "wind_mph.maximum": 0,
        "origin.pattern": 0,
    }
    assert weather["volume"]["says"][1].endswith("in the last whole day 4 came.")
    assert "one contract has warnings" in twin["says"]
    shown = Visitor(own, own.secret).see(PAGE)
    assert missing_from(shown, [*weather["volume"]["says"], "Not as declared"]) == []


def test_a_rate_above_what_was_declared_is_at_risk_here_and_on_home(own: Plane) -> None:
    twin = own.get(f"/api{PAGE}")
    asked, pushed = twin["rates"]
    assert (asked["of"], asked["state"], asked["most_per_second"]) == (
        "requests of wind",
        "healthy",
        0.02,
    )
    assert asked["per_second"] == pytest.approx((ASKED + REFUSED) / 3600)
    assert (pushed["of"], pushed["state"]) == ("pushes to weather_now@1", "collecting")
    row = {"origin": "EWR", "observed_at": "2013-01-01T05:30:00Z", "wind_mph": 1.0}
    row |= {"temp_f": 50.0, "temp_c": 10.0}
    own.serving.open_features().push("weather_now", [row] * 9)
    for _ in range(ASKED):
        own.answer("wind", {"origin": "EWR"})
    rates = own.get(f"/api{PAGE}")["rates"]
    assert [rate["state"] for rate in rates] == ["at_risk", "at_risk"]
    assert rates[1]["says"].startswith("9 rows in the busiest second of an hour; at most 4 a sec")
    (home,) = (one for one in own.get("/api/home")["services"] if one["data"])
    todo = "Declare a higher rate for requests of wind and 1 more, and test at it."
    assert todo in [one["says"] for one in home["data"]["todos"]]


def test_rates_above_what_was_declared_are_said_in_few_words() -> None:
    rates = [Standing("requests of wind", "at_risk"), Standing("pushes to a@1", "at_risk")]
    assert data_words.brief([], [], [], rates) == "Two rates are above what was declared."
    said = data_words.data("wind", [], [], [], rates[:1], None)
    assert said == ("The data of wind may not be as promised: one rate is above what was declared.")
    assert data_words.pushed_rate(0, 1e6).startswith("Nothing was pushed in this hour; at most 1,")


def test_what_live_requests_broke_is_counted_by_path(stage: Plane) -> None:
    asked = stage.get(f"/api{PAGE}")["asked"]
    assert asked["file"] == "request.odcs.yaml"
    assert (asked["requests"], asked["refused"]) == (ASKED + REFUSED, REFUSED)
    assert [(path["path"], path["requests"]) for path in asked["paths"]] == [
        ("input.origin", REFUSED - 1),
        ("input.origin", 1),
    ]
    shown = Visitor(stage, stage.secret).see(PAGE)
    link = "/requests?service=wind&error_code=contract_violation"
    assert link in [found.replace("&amp;", "&") for found in shown.links]
    assert ContractViolation.code in link


def test_a_view_says_until_when_it_is_filled_and_when_it_goes_stale(stage: Plane) -> None:
    weather, fleet = stage.get(f"/api{PAGE}")["views"]
    assert weather["says"][0].startswith("Filled until 06:00, ")
    assert weather["says"][2] == (
        "The newest event is of 05:00; with a ttl of 3 hours it goes stale at 08:00."
    )
    assert weather["stale_at"] == "2013-01-01T08:00:00Z"
    assert (weather["state"], fleet["state"]) == ("healthy", "healthy")
    assert weather["served"] == {"fresh": ASKED}
    assert weather["says"][3] == f"Of the newest {ASKED} requests, {ASKED} found it fresh."
    assert fleet["says"][2] == "The newest event is of 31 Dec 2012, 00:00 and never goes stale."


def test_a_view_is_at_risk_and_then_stale_as_the_clock_goes_on(own: Plane) -> None:
    set_clock(own, AT_US + 2 * HOUR_US - HOUR_US // 6)
    page = own.get(f"/api{PAGE}")
    assert [view["state"] for view in page["views"]] == ["at_risk", "healthy"]
    set_clock(own, AT_US + 3 * HOUR_US)
    own.answer("wind", {"origin": "EWR"})
    own.answer("wind", {"origin": "SFO"})
    page = own.get(f"/api{PAGE}")
    assert [view["state"] for view in page["views"]] == ["breached", "healthy"]
    assert "one view is stale" in page["says"]
    assert page["views"][0]["says"][2].endswith("it went stale at 08:00.")
    assert page["views"][0]["served"] == {"fresh": ASKED, "stale": 1, "absent": 1}
    assert page["views"][0]["says"][3] == (
        f"Of the newest {ASKED + 2} requests, {ASKED} found it fresh, 1 stale and 1 absent."
    )


def test_only_the_job_measures_skew_and_the_page_says_so_before(own: Plane) -> None:
    shown = Visitor(own, own.secret).see(PAGE)
    assert "Not measured yet." in shown.words
    assert "roadworthy jobs run skew" in shown.words
    assert read_skew(own.project.state, "wind") == []
    job = own.serving.jobs.run_now("skew")
    assert job.last_result.startswith(f"wind: all values of {ASKED} requests are what the views")
    (saved,) = read_skew(own.project.state, "wind")
    skew = own.get(f"/api{PAGE}")["skew"]
    assert skew["says"] == saved.detail["says"]
    assert (skew["requests"], skew["replayed"]) == (ASKED, ASKED)
    assert skew["trained"].startswith("ts_")
    assert {feature["trained"] for feature in skew["features"]} == {200}
    own.get(f"/api{PAGE}")
    assert len(read_skew(own.project.state, "wind", limit=9)) == 1


def test_live_values_are_held_against_the_training_set_that_the_release_names(own: Plane) -> None:
    folder = own.project.folder
    named = save_training_set(folder, 40)
    newest = save_training_set(folder, 80)["snapshot"]["id"]
    own.serving.jobs.run_now("skew")
    assert own.get(f"/api{PAGE}")["skew"]["trained"] == newest
    (folder / "services/wind/training.json").write_text(json.dumps(named))
    file = folder / "services/wind/service.toml"
    text = file.read_text().replace("[objectives]", 'training = "training.json"\n[objectives]')
    file.write_text(text)
    own.project.promote(own.project.build_release("wind", by="test").id, by="test")
    own.follow()
    own.serving.jobs.run_now("skew")
    skew = own.get(f"/api{PAGE}")["skew"]
    assert skew["trained"] == named["snapshot"]["id"]
    assert {feature["trained"] for feature in skew["features"]} == {40}


def test_a_request_of_this_moment_is_measured_too(own: Plane) -> None:
    own.project.service("wind").answer({"origin": "EWR"})
    own.serving.jobs.run_now("skew")
    assert own.get(f"/api{PAGE}")["skew"]["requests"] == ASKED + 1


def a_feature(trained: list[int], live: list[int]) -> FeatureStatus:
    return FeatureStatus(
        feature="carrier",
        state="collecting",
        word="Too few values",
        says="",
        far=False,
        compared=0,
        unequal=0,
        examples=(),
        trained=sum(trained),
        live=sum(live),
        missing_trained=None,
        missing_live=None,
        stability=None,
        divergence=None,
        gap=None,
        bins=(*(f"c{n}" for n in range(len(live) - 1)), "missing"),
        trained_counts=tuple(trained),
        live_counts=tuple(live),
    )


def test_many_bins_are_shown_as_few_that_hold_all_values() -> None:
    feature = a_feature(list(range(52)), [1] * 52)
    shown = data_pictures.bins(feature)
    assert [one.name for one in shown[-2:]] == ["other", "missing"]
    assert len(shown) == data_pictures.MOST_BINS
    assert (sum(one.trained for one in shown), sum(one.live for one in shown)) == (1326, 52)
    assert sum(one.share_live for one in shown) == pytest.approx(1)


def test_a_side_without_values_is_not_drawn() -> None:
    drawn = str(data_pictures.pair(a_feature([0, 0, 0], [3, 1, 0])))
    assert 'class="now"' in drawn
    assert 'class="was"' not in drawn
    assert "carrier: 4 live values by bin." in drawn
    assert str(data_pictures.pair(a_feature([0, 0], [0, 0]))) == ""


def test_a_large_training_set_is_thinned(own: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trained, "MOST_TRAINED", 50)
    own.serving.jobs.run_now("skew")
    features = own.get(f"/api{PAGE}")["skew"]["features"]
    assert {feature["trained"] for feature in features} == {50}


def home_row(plane: Plane) -> Any:
    return next(row for row in plane.get("/api/home")["services"] if row["name"] == "wind")


def test_home_the_service_and_its_data_say_one_state_and_one_list_of_todos(stage: Plane) -> None:
    page, row = stage.get(f"/api{PAGE}"), home_row(stage)
    assert row["data"]["state"] == page["state"] == "breached"
    assert row["data"]["todos"] == page["todos"]
    assert row["data"]["says"].startswith("One contract is broken")
    assert row["todos"] == page["todos"][:3]
    home = stage.get("/api/home")
    assert home["todos"] >= len(page["todos"])
    visitor = Visitor(stage, stage.secret)
    for path in ("/", "/services/wind"):
        shown = visitor.see(path)
        assert row["data"]["says"] in shown.words
        assert PAGE in shown.links
        assert missing_from(shown, [page["todos"][0]["says"], page["todos"][0]["why"]]) == []
    assert next(r for r in home["services"] if r["name"] == "plain")["data"] is None


def test_a_world_that_moved_is_at_risk_and_breaks_no_promise(own: Plane) -> None:
    own.serving.jobs.run_now("skew")
    detail: dict[str, Any] = read_skew(own.project.state, "wind")[0].detail
    for feature in detail["features"]:
        feature |= {"state": "breached", "unequal": 0}
    save = SavedSkew(service="wind", at_us=own.project.clock.now_us(), detail=detail)
    record_skew(own.project.state, save)
    (own.project.folder / "data/weather.csv").write_text(FILES["data/weather.csv"])
    validate(own)
    page, row = own.get(f"/api{PAGE}"), home_row(own)
    n = len(detail["features"])
    assert page["says"] == f"{n} of {n} features of wind are far from training."
    assert row["data"]["says"] == f"{n} of {n} features are far from training."
    assert (page["state"], row["data"]["state"]) == ("at_risk", "at_risk")
    assert {feature["word"] for feature in page["skew"]["features"]} == {"Far"}
    assert page["todos"][0]["says"].startswith("Look at the skew of ")
    assert "is broken" not in own.get("/api/home")["says"]


def test_home_goes_on_where_the_state_of_data_cannot_be_read(own: Plane) -> None:
    with own.project.state.begin() as connection:
        connection.execute(text("DELETE FROM view_versions"))
    assert home_row(own)["data"]["says"] == "How its data stand cannot be read."


def test_a_value_that_its_view_does_not_say_leads_to_its_request(own: Plane) -> None:
    file = own.project.folder / "data/weather.csv"
    file.write_text(file.read_text().replace(",12.5,41", ",12.5,5"))
    own.serving.jobs.run_now("skew")
    page = own.get(f"/api{PAGE}")
    worst = page["skew"]["features"][0]
    assert (worst["feature"], worst["state"], worst["unequal"]) == ("temp_f", "breached", 40)
    example = worst["examples"][0]
    assert (example["served"], example["offline"]) == (41.0, 5.0)
    assert "two features are skewed" in page["says"]
    shown = Visitor(own, own.secret).see(PAGE)
    assert f"/requests/{example['request']}" in shown.links
    assert "temp_f: served 41, the view says 5" in words_of(shown.source)


def test_a_personal_value_is_in_no_report(own: Plane) -> None:
    file = own.project.folder / "data/fleet.csv"
    file.write_text(file.read_text().replace("Grace Jones", "Joan Brown"))
    own.serving.jobs.run_now("skew")
    features = {row["feature"]: row for row in own.get(f"/api{PAGE}")["skew"]["features"]}
    chief = features["chief"]
    assert chief["unequal"] == ASKED // 3
    assert (chief["examples"], chief["bins"][0], chief["bins"][-1]) == ([], "value 1", "missing")
    stored = str(read_skew(own.project.state, "wind")[0].detail)
    source = Visitor(own, own.secret).see(PAGE).source
    for name in ("Ada Smith", "Grace Jones", "Joan Brown"):
        assert name not in stored
        assert name not in source


def test_a_job_that_fails_is_said(own: Plane) -> None:
    (own.project.folder / "data/weather.csv").unlink()
    own.serving.jobs.run_now("skew")
    (line,) = own.get(f"/api{PAGE}")["trouble"]
    assert line.startswith("The job `skew` fails: StoreError: wind: ")
    assert "The job skew fails" in words_of(Visitor(own, own.secret).see(PAGE).source)


def test_a_service_without_data_says_so_and_how_to_begin(stage: Plane) -> None:
    shown = Visitor(stage, stage.secret).see("/services/plain/data")
    assert shown.headline == "plain has no feature views, and its input no contract."
    assert "views = [" in shown.words
    page = stage.get("/api/services/plain/data")
    assert (page["state"], page["asked"], page["skew"]) == ("off", None, None)


def test_the_page_of_a_service_leads_to_its_data(stage: Plane) -> None:
    assert PAGE in Visitor(stage, stage.secret).see("/services/wind").links


def test_every_word_of_others_is_a_word(own: Plane) -> None:
    hostile = "<script>alert(1)</script>\u202e"
    own.serving.jobs.run_now("skew")
    detail: dict[str, Any] = read_skew(own.project.state, "wind")[0].detail
    row = detail["features"][0]
    row |= {"feature": hostile, "says": hostile, "bins": [hostile] * len(row["bins"])}
    row["examples"] = [{"request": hostile, "served": hostile, "offline": None}]
    detail |= {"says": hostile, "trained": hostile, "features": [row] * 40}
    at_us = own.project.clock.now_us()
    record_skew(own.project.state, SavedSkew(service="wind", at_us=at_us, detail=detail))
    shown = Visitor(own, own.secret).see(PAGE)
    assert shown.status == 200
    assert "<script>alert" not in shown.source
    assert "\u202e" not in shown.source
    assert shown.unclosed == []
    assert len(shown.source) < 120_000


def source_page(plane: Plane, source: str = "weather", query: str = "") -> Any:
    return plane.get(f"/api/sources/{source}{query}")


def test_a_contract_that_did_not_change_promises_what_it_did(stage: Plane) -> None:
    page = source_page(stage)
    assert page["says"] == "weather 1.0.0 is as it was registered."
    assert (page["changes"], page["compatibility"]) == ([], "FULL")
    assert page["new"]["registered_at"] == page["versions"][0]["registered_at"]
    (reader,) = page["readers"]
    assert (reader["service"], reader["agrees"]) == ("wind", True)
    assert reader["fields"] == ["known_at", "observed_at", "origin", "temp_f", "wind_mph"]


def test_a_changed_contract_names_whom_it_breaks_and_who_has_not_agreed(own: Plane) -> None:
    assert source_page(own)["compatibility"] == "FULL"
    change_contract(own.project.folder)
    page = source_page(own)
    assert page["says"] == (
        "weather 2.0.0 breaks its producers and its consumers: 2 changes since 1.0.0."
    )
    assert page["compatibility"] == "NONE"
    assert page["new"]["registered_at"] is None
    found = {change["where"]: (change["breaks"], change["read_by"]) for change in page["changes"]}
    assert found == {
        "weather.wind_mph": (["consumer"], ["wind"]),
        "weather.temp_f": (["producer"], ["wind"]),
    }
    (reader,) = page["readers"]
    assert not reader["agrees"]
    shown = Visitor(own, own.secret).see("/sources/weather")
    said = [page["says"], page["means"], reader["says"], 'accepts = ["weather@2.0.0"]']
    said += [change["change"] for change in page["changes"]]
    assert missing_from(shown, said) == []


def test_a_service_that_names_the_version_agrees(own: Plane) -> None:
    change_contract(own.project.folder)
    file = own.project.folder / "services/wind/service.toml"
    file.write_text(
        file.read_text().replace("[features]", 'accepts = ["weather@2.0.0"]\n[features]')
    )
    built = own.project.build_release("wind", by="test")
    own.project.promote(built.id, by="test")
    own.follow()
    (reader,) = source_page(own)["readers"]
    assert (reader["accepts"], reader["agrees"]) == (["weather@2.0.0"], True)
    assert reader["says"] == "It accepts 2.0.0, which breaks what it reads."


def test_what_no_service_reads_holds_nobody_up(own: Plane) -> None:
    file = own.project.folder / "contracts/fleet.odcs.yaml"
    text = file.read_text().replace("version: 1.0.0", "version: 1.1.0")
    file.write_text(f"{text}      - {{name: hangars, logicalType: integer, required: true}}\n")
    page = source_page(own, "fleet")
    assert [change["read_by"] for change in page["changes"]] == [[]]
    assert page["readers"][0]["says"] == "Nothing that it reads breaks."


def test_an_earlier_version_is_held_against_the_file_by_its_digest(own: Plane) -> None:
    change_contract(own.project.folder)
    own.serving.open_features()
    digest = source_page(own)["versions"][0]["digest"]
    page = source_page(own, query=f"?old={digest[:12]}")
    assert page["old"]["digest"] == digest
    assert own.ask("GET", "/api/sources/weather?old=feed").status == 404
    links = Visitor(own, own.secret).see("/sources/weather").links
    assert f"/sources/weather?old={digest[:12]}" in links


def test_a_contract_that_cannot_be_read_is_said_with_its_problem(own: Plane) -> None:
    (own.project.folder / "contracts/weather.odcs.yaml").write_text("kind: [")
    page = source_page(own)
    assert page["says"] == "The contract of weather cannot be read."
    assert "contracts/weather.odcs.yaml" in page["problem"]
    assert page["versions"]
    shown = Visitor(own, own.secret).see("/sources/weather")
    assert shown.status == 200
    assert "contracts/weather.odcs.yaml" in shown.words


def test_a_key_sees_the_sources_of_its_services_alone(stage: Plane) -> None:
    _, secret = stage.make_key("read", services=["plain"])
    assert stage.ask("GET", "/api/sources/weather", key=secret).status == 404
    assert stage.ask("GET", f"/api{PAGE}", key=secret).status == 403
    _, secret = stage.make_key("read", services=["wind"])
    assert stage.ask("GET", "/api/sources/weather", key=secret).status == 200
    assert stage.ask("GET", "/api/sources/nothing").status == 404


def test_a_request_shows_what_each_view_gave_it(stage: Plane) -> None:
    rows = stage.get("/api/requests?service=wind&disposition=answered")["requests"]
    page = stage.get(f"/api/requests/{rows[0]['id']}")
    weather, fleet = page["served"]
    assert (weather["view"], weather["state"], weather["age_s"] // 60) == (
        "weather_now@1",
        "fresh",
        60,
    )
    assert list(weather["values"]) == ["wind_mph", "temp_f", "temp_c"]
    assert list(fleet["values"]) == ["planes", "chief"]
    shown = Visitor(stage, stage.secret).see(f"/requests/{rows[0]['id']}")
    said = ["Features it was served", "weather_now@1", "fresh, 60 min old", "temp_c"]
    said += ["weather_now@1 fresh, fleet@1 fresh"]
    assert missing_from(shown, said) == []
    refused = stage.get("/api/requests?service=wind&disposition=refused")["requests"][0]["id"]
    assert (
        "Features it was served"
        not in Visitor(stage, stage.secret).see(f"/requests/{refused}").words
    )


def test_a_trace_tells_the_features_as_the_page_does(own: Plane) -> None:
    request = own.answer("wind", {"origin": "EWR"}).request_id
    lines = CliRunner().invoke(cli, ["trace", request, "--project", str(own.project.folder)])
    assert lines.exit_code == 0, lines.output
    told = lines.stdout.partition("\nfeatures\n")[2].partition("\n\n")[0].splitlines()
    assert [" ".join(line.split()) for line in told] == [
        "weather_now@1 fresh, 60 min old",
        "wind_mph 12.5",
        "temp_f 41.0",
        "temp_c 5.0",
        "fleet@1 fresh, 30 hours old",
        "planes 40",
        "chief Ada Smith",
    ]


WITHOUT = """
import sys
sys.path[:0] = {paths!r}
from pathlib import Path
from control_plane import served
with served(Path({folder!r})) as plane:
    plane.get("/api/services/risk/data")
    print([name for name in ("duckdb", "sqlglot", "yaml", "pyarrow") if name in sys.modules])
"""


@pytest.mark.slow
def test_the_page_of_a_service_without_data_imports_nothing_that_reads_data(
    tmp_path: Path,
) -> None:
    code = WITHOUT.format(paths=sys.path, folder=str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_a_project_without_sources_has_no_such_page(tmp_path: Path) -> None:
    with served(tmp_path) as plane:
        assert plane.ask("GET", "/api/sources/weather").status == 404
        assert plane.get("/api/services/risk/data")["state"] == "off"
        assert "skew" not in [job["name"] for job in plane.get("/api/jobs")["jobs"]]
