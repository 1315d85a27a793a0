from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from contract_files import SERVICE, VIEW, write_airline
from sqlalchemy import Engine

from roadworthy.data.consumed import (
    consumed_by,
    contracts_named,
    contracts_of,
    readers_of,
    source_contracts,
)
from roadworthy.data.registered import apply_views, load_sources
from roadworthy.declare.keys import known_keys
from roadworthy.declare.load import load_project, load_service
from roadworthy.declare.project import ProjectDeclaration
from roadworthy.declare.service import ServiceDeclaration
from roadworthy.errors import DeclarationError
from roadworthy.store.state import open_state
from roadworthy.types import SystemClock

ENFORCES = dict.fromkeys(known_keys(ServiceDeclaration), "tests")
PLAIN = SERVICE.replace('input = "flight.odcs.yaml"', "")


def opened(folder: Path, text: str = PLAIN) -> tuple[ServiceDeclaration, ProjectDeclaration]:
    project = load_project(write_airline(folder, text))
    return load_service(folder / "services" / "delay", project, ENFORCES), project


def test_a_service_consumes_what_its_views_read_and_nothing_else(tmp_path: Path) -> None:
    service, project = opened(tmp_path)
    found = list(consumed_by(service, project))
    assert {(one.source, one.field) for one in found} == {
        ("weather", "origin"),
        ("weather", "seen_at"),
        ("weather", "temp"),
    }
    assert readers_of("weather", found)["hourly.temp"] == ("delay",)
    assert "hourly.wind" not in readers_of("weather", found)
    assert readers_of("flights", found) == {}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_state(f"sqlite:///{tmp_path}/state.db")
    yield engine
    engine.dispose()


def apply(project: ProjectDeclaration, engine: Engine) -> None:
    apply_views(project, load_sources(project), engine, SystemClock(), by="test")


def test_a_registered_view_is_read_as_it_is_served_whatever_its_file_says_now(
    tmp_path: Path, engine: Engine
) -> None:
    service, project = opened(tmp_path)
    apply(project, engine)
    file = tmp_path / "features" / "weather_now.sql"
    file.write_text(VIEW.replace("version = 1", "version = 2").replace("temp FROM", "wind FROM"))
    found = {one.field for one in consumed_by(service, project, engine)}
    assert found == {"origin", "seen_at", "temp"}
    assert source_contracts(service, project, engine)["weather"].fields == frozenset(found)


def test_a_view_that_is_not_registered_may_come_to_read_every_field(
    tmp_path: Path, engine: Engine
) -> None:
    service, project = opened(tmp_path)
    assert source_contracts(service, project, engine)["weather"].fields is None


def test_a_registered_view_whose_source_is_gone_is_told(tmp_path: Path, engine: Engine) -> None:
    service, project = opened(tmp_path)
    apply(project, engine)
    file = tmp_path / "roadworthy.toml"
    file.write_text(file.read_text().replace("[sources.weather]", "[sources.meteo]"))
    said = "sources.weather: expected the source that `weather_now@1` reads, got none"
    with pytest.raises(DeclarationError, match=said):
        source_contracts(service, load_project(tmp_path), engine)


def test_the_contracts_of_its_sources_come_with_the_fields_that_it_reads(
    tmp_path: Path, engine: Engine
) -> None:
    service, project = opened(tmp_path)
    apply(project, engine)
    (name, found), *others = source_contracts(service, project, engine).items()
    assert others == []
    assert (name, found.contract.id, found.contract.version) == ("weather", "weather", "1.0.0")
    assert found.table == "hourly"
    assert set(found.fields or ()) == {"origin", "seen_at", "temp"}
    assert contracts_of(project, ["weather", "gone"]).keys() == {"weather"}


def test_a_service_without_views_has_no_source_contracts(tmp_path: Path, engine: Engine) -> None:
    service, project = opened(tmp_path, PLAIN.replace('views = ["weather_now@1"]', ""))
    assert source_contracts(service, project, engine) == {}
    assert list(consumed_by(service, project)) == []


def test_every_contract_that_a_project_names_is_found_by_its_file(tmp_path: Path) -> None:
    service, project = opened(tmp_path)
    assert list(contracts_named(project, [service])) == ["contracts/weather.odcs.yaml"]
