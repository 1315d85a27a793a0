from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from roadworthy.data.agreed import SourceContract
from roadworthy.data.contract import Contract, Field, Table
from roadworthy.declare.keys import known_keys
from roadworthy.declare.load import load_project, load_service
from roadworthy.declare.service import ServiceDeclaration
from roadworthy.errors import DeclarationError
from roadworthy.release.agreement import check_promotion, read_pinned
from roadworthy.release.bundle import build_release
from roadworthy.release.promotion import promote
from roadworthy.release.registry import Release
from roadworthy.store.artifacts import Artifacts
from roadworthy.store.state import open_state
from roadworthy.types import SettableClock

CLOCK = SettableClock()
ENFORCES = dict.fromkeys(known_keys(ServiceDeclaration), "tests")
PROJECT = """
[project]
name = "airline"
[providers.rules]
kind = "rule"
[sources.weather]
contract = "weather.odcs.yaml"
url = "weather.csv"
"""
SERVICE = """
name = "delay"
kind = "predict"
owners = { product = "ana" }
objectives.deadline_ms = 500
cost.per_day_usd = 1
contract.accepts = []
[[models]]
name = "rule"
provider = "rules"
model = "{'late': 0.5}"
"""


def weather(
    version: str, unit: str = "degF", fields: Collection[str] = ("temp",)
) -> SourceContract:
    temp = Field(name="temp", column="temp", type="number", unit=unit)
    hourly = Table(name="hourly", physical_name="hourly", fields=(temp,))
    digest = f"{version} {unit}"
    whole = Contract(id="weather-at-airports", version=version, tables=(hourly,), digest=digest)
    return SourceContract(whole, "hourly", frozenset(fields))


FAHRENHEIT, CELSIUS = weather("1.0.0"), weather("2.0.0", "degC")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_state(f"sqlite:///{tmp_path}/state.db")
    yield engine
    engine.dispose()


@pytest.fixture
def build(tmp_path: Path, engine: Engine) -> Callable[..., Release]:
    def build(source: SourceContract, accepts: str = "", deadline_ms: int = 500) -> Release:
        folder = tmp_path / "services" / "delay"
        folder.mkdir(parents=True, exist_ok=True)
        (tmp_path / "weather.odcs.yaml").touch()
        (tmp_path / "roadworthy.toml").write_text(PROJECT, encoding="utf-8")
        text = SERVICE.replace("accepts = []", f"accepts = [{accepts}]").replace(
            "500", str(deadline_ms)
        )
        (folder / "service.toml").write_text(text, encoding="utf-8")
        project = load_project(tmp_path)
        service = load_service(folder, project, ENFORCES)
        artifacts = Artifacts(tmp_path / "artifacts")
        given = {"weather": source}
        return build_release(service, project, artifacts, engine, CLOCK, "ana", given)

    return build


def asked(source: SourceContract, name: str = "weather") -> Callable[[], dict[str, SourceContract]]:
    return lambda: {name: source}


def serve(release: Release, engine: Engine) -> None:
    promote(engine, CLOCK, release.id, by="ana")


def test_a_release_pins_the_contracts_of_its_sources(
    build: Callable[..., Release], engine: Engine
) -> None:
    pin = build(FAHRENHEIT).manifest.contracts["weather"]
    assert (pin.id, pin.version, pin.table) == ("weather-at-airports", "1.0.0", "hourly")
    assert pin.fields == ("temp",)
    assert read_pinned(engine, pin) == FAHRENHEIT.contract


def test_a_breaking_change_stops_the_next_release_with_field_and_change(
    build: Callable[..., Release], engine: Engine
) -> None:
    serve(build(FAHRENHEIT), engine)
    with pytest.raises(DeclarationError) as caught:
        build(CELSIUS, deadline_ms=400)
    assert "`hourly.temp` unit changed (degF -> degC)" in str(caught.value)
    assert '`accepts = ["weather@2.0.0"]`' in str(caught.value)
    assert caught.value.problems[0].file == "services/delay/service.toml"


def test_a_release_that_names_the_version_is_built_and_serves(
    build: Callable[..., Release], engine: Engine
) -> None:
    serve(build(FAHRENHEIT), engine)
    agreed = build(CELSIUS, '"weather@2.0.0"')
    check_promotion(agreed, asked(CELSIUS), engine)
    serve(agreed, engine)
    assert build(CELSIUS, '"weather@2.0.0"', 400).manifest.contracts["weather"].version == "2.0.0"


def test_before_anything_serves_there_is_nothing_to_agree_to(build: Callable[..., Release]) -> None:
    build(FAHRENHEIT)
    assert build(CELSIUS, deadline_ms=400).manifest.contracts["weather"].version == "2.0.0"


def test_a_contract_that_changed_after_the_build_stops_the_promotion(
    build: Callable[..., Release], engine: Engine
) -> None:
    serve(build(FAHRENHEIT), engine)
    built = build(FAHRENHEIT, deadline_ms=400)
    check_promotion(built, asked(FAHRENHEIT), engine)
    with pytest.raises(DeclarationError, match="unit changed"):
        check_promotion(built, asked(CELSIUS), engine)


def test_another_name_of_a_source_hides_no_breaking_change(
    build: Callable[..., Release], engine: Engine
) -> None:
    serve(build(FAHRENHEIT), engine)
    built = build(FAHRENHEIT, deadline_ms=400)
    with pytest.raises(DeclarationError, match=r"`meteo@2\.0\.0`"):
        check_promotion(built, asked(CELSIUS, "meteo"), engine)
    check_promotion(built, asked(FAHRENHEIT, "meteo"), engine)


def test_a_field_that_nothing_reads_holds_no_renamed_source_up(
    build: Callable[..., Release], engine: Engine
) -> None:
    serve(build(FAHRENHEIT), engine)
    built = build(weather("1.0.0", fields=("wind",)), deadline_ms=400)
    check_promotion(built, asked(CELSIUS, "meteo"), engine)


def test_the_way_back_to_what_served_is_always_open(
    build: Callable[..., Release], engine: Engine
) -> None:
    first = build(FAHRENHEIT)
    serve(first, engine)
    serve(build(FAHRENHEIT, deadline_ms=400), engine)
    check_promotion(first, asked(CELSIUS), engine)


def test_a_change_of_a_field_that_nothing_reads_stops_nothing(
    build: Callable[..., Release], engine: Engine
) -> None:
    serve(build(FAHRENHEIT), engine)
    assert build(weather("2.0.0", "degC", fields=("wind",)), deadline_ms=400)
