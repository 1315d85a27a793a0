from __future__ import annotations

from pathlib import Path

from contract_files import SERVICE, write_airline

from roadworthy.data.consumed import (
    consumed_by,
    contracts_named,
    contracts_of,
    readers_of,
    source_contracts,
)
from roadworthy.declare.keys import known_keys
from roadworthy.declare.load import load_project, load_service
from roadworthy.declare.project import ProjectDeclaration
from roadworthy.declare.service import ServiceDeclaration

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


def test_the_contracts_of_its_sources_come_with_the_fields_that_it_reads(tmp_path: Path) -> None:
    service, project = opened(tmp_path)
    (name, found), *others = source_contracts(service, project).items()
    assert others == []
    assert (name, found.contract.id, found.contract.version) == ("weather", "weather", "1.0.0")
    assert found.table == "hourly"
    assert set(found.fields or ()) == {"origin", "seen_at", "temp"}
    assert contracts_of(project, ["weather", "gone"]).keys() == {"weather"}


def test_a_service_without_views_has_no_source_contracts(tmp_path: Path) -> None:
    service, project = opened(tmp_path, PLAIN.replace('views = ["weather_now@1"]', ""))
    assert source_contracts(service, project) == {}
    assert list(consumed_by(service, project)) == []


def test_every_contract_that_a_project_names_is_found_by_its_file(tmp_path: Path) -> None:
    service, project = opened(tmp_path)
    assert list(contracts_named(project, [service])) == ["contracts/weather.odcs.yaml"]
