"""A contract of a source changes: what the service's next release meets, and what `check` tells."""

from __future__ import annotations

from pathlib import Path

import pytest

from roadworthy.app import Project, open_project
from roadworthy.cli.examine import examine
from roadworthy.data.features import Features
from roadworthy.errors import DeclarationError

CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: weather-at-airports
version: 1.0.0
status: active
schema:
  - name: hourly
    properties:
      - name: origin
        logicalType: string
        required: true
      - name: seen_at
        logicalType: timestamp
        required: true
      - name: temp
        logicalType: number
        businessName: air temperature
        description: Two metres above ground.
        customProperties:
          - property: unit
            value: degF
"""
FILES = {
    "roadworthy.toml": """\
[project]
name = "airline"
[providers.rules]
kind = "rule"
[sources.weather]
contract = "weather.odcs.yaml"
url = "weather.parquet"
""",
    "weather.odcs.yaml": CONTRACT,
    "features/weather_now.sql": """\
-- version = 1
-- entity = ["origin"]
-- event_time = "seen_at"
-- created_time = "seen_at"
-- owner = "ana"
-- sources = ["weather"]
SELECT origin, seen_at, temp FROM weather
""",
    "services/delay/request.schema.json": """\
{"type": "object", "properties": {"origin": {"type": "string"}}, "required": ["origin"]}
""",
    "services/delay/service.toml": """\
name = "delay"
kind = "predict"
owners = { product = "ana" }
contract.input = "request.schema.json"
contract.accepts = []
features.views = ["weather_now@1"]
objectives.deadline_ms = 500
cost.per_day_usd = 1
[[models]]
name = "rule"
provider = "rules"
model = "{'late': 0.5}"
""",
}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return open_project(tmp_path)


def test_a_service_ships_again_once_it_has_agreed(project: Project) -> None:
    service, contract = (
        project.folder / name for name in ("services/delay/service.toml", "weather.odcs.yaml")
    )
    with project:
        first = project.promote(project.build_release("delay", by="ana").id, by="ana")
        edit(service, "500", "400")
        waiting = project.build_release("delay", by="ana")
        edit(contract, "degF", "degC")
        edit(contract, "1.0.0", "2.0.0")
        with pytest.raises(DeclarationError, match=r"`hourly\.temp` unit changed"):
            project.build_release("delay", by="ana")
        with pytest.raises(DeclarationError, match=r"`hourly\.temp` unit changed"):
            project.promote(waiting.id, by="ana")
        assert project.promote(first.id, by="ana").id == first.id
        edit(service, "accepts = []", 'accepts = ["weather@2.0.0"]')
        agreed = project.build_release("delay", by="ana")
        assert project.promote(agreed.id, by="ana").id == agreed.id


def break_contract(project: Project) -> None:
    contract = project.folder / "weather.odcs.yaml"
    edit(contract, "degF", "degC")
    edit(contract, "1.0.0", "2.0.0")


def apply(project: Project) -> None:
    features = Features(project.declaration, project.state, project.clock)
    features.apply(by="ana")
    features.close()


def test_what_is_served_counts_and_not_what_became_of_the_file_of_the_view(
    project: Project,
) -> None:
    with project:
        apply(project)
        project.promote(project.build_release("delay", by="ana").id, by="ana")
        view = project.folder / "features" / "weather_now.sql"
        edit(view, "version = 1", "version = 2")
        edit(view, "seen_at, temp FROM", "seen_at, 1 AS one FROM")
        break_contract(project)
        with pytest.raises(DeclarationError, match=r"`hourly\.temp` unit changed"):
            project.build_release("delay", by="ana")


def test_another_name_of_the_source_hides_no_breaking_change(project: Project) -> None:
    folder = project.folder
    with project:
        apply(project)
        project.promote(project.build_release("delay", by="ana").id, by="ana")
        edit(folder / "services" / "delay" / "service.toml", "500", "400")
        waiting = project.build_release("delay", by="ana")
    edit(folder / "roadworthy.toml", "[sources.weather]", "[sources.meteo]")
    view, service = folder / "features" / "weather_now.sql", folder / "services/delay/service.toml"
    edit(view, "version = 1", "version = 2")
    edit(view, '"weather"', '"meteo"')
    edit(view, "FROM weather", "FROM meteo")
    edit(service, "weather_now@1", "weather_now@2")
    break_contract(project)
    with open_project(folder) as renamed:
        apply(renamed)
        with pytest.raises(DeclarationError, match=r"expected `meteo@2\.0\.0`"):
            renamed.build_release("delay", by="ana")
        with pytest.raises(DeclarationError, match=r"expected `meteo@2\.0\.0`"):
            renamed.promote(waiting.id, by="ana")
        edit(service, "accepts = []", 'accepts = ["meteo@2.0.0"]')
        renamed.promote(renamed.build_release("delay", by="ana").id, by="ana")


def test_a_term_with_two_meanings_is_a_problem_that_names_both_places(project: Project) -> None:
    project.close()
    folder = project.folder
    assert examine(folder).problems == []
    with (folder / "roadworthy.toml").open("a", encoding="utf-8") as file:
        file.write('[glossary]\n"air temperature" = "Above the runway."\n')
    (problem,) = examine(folder).problems
    assert (problem.file, problem.path) == ("weather.odcs.yaml", "hourly.temp")
    assert "roadworthy.toml gives" in problem.message
