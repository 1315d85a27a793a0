"""Views and contracts of a project: read, registered, never changed, read back."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pyarrow as pa
import pytest
from view_samples import HEAD, SQL

from conftest import MakeProject
from feature_project import CONTRACT, FILES, SOURCES, write_files
from roadworthy.app import Project, open_project
from roadworthy.data import registered
from roadworthy.data.history import history
from roadworthy.data.registered import (
    apply_views,
    load_sources,
    newest_views,
    registered_contract,
    registered_view,
)
from roadworthy.data.validate import validate_sources
from roadworthy.data.views import View, load_views
from roadworthy.errors import DeclarationError, NotFound
from roadworthy.store.data_versions import read_contracts, read_views

pytest.importorskip("duckdb")


@pytest.fixture
def project(make_project: MakeProject) -> Project:
    return make_project({}, files=FILES, project=SOURCES)


def apply(project: Project) -> list[tuple[str, bool]]:
    sources = load_sources(project.declaration)
    found = apply_views(project.declaration, sources, project.state, project.clock, by="test")
    return [(one.view, one.is_new) for one in found]


def change(project: Project, old: str, new: str, name: str = "features/weather_now.sql") -> None:
    path = project.folder / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_view_is_registered_once_with_the_contract_behind_it(project: Project) -> None:
    assert apply(project) == [("weather_now@1", True)]
    assert apply(project) == [("weather_now@1", False)]
    (contract,) = read_contracts(project.state)
    assert (contract.contract, contract.version) == ("weather", "1.0.0")
    assert registered_contract(project.state, "weather", "1.0.0").tables[0].name == "weather"


def test_what_was_registered_is_read_back_as_it_was(project: Project) -> None:
    apply(project)
    (there,) = load_views(project.folder, load_sources(project.declaration)).values()
    change(project, "5 / 9", "5 / 8")
    assert registered_view(project.state, "weather_now@1") == there
    assert registered_view(project.state, "weather_now") == there
    assert newest_views(project.state) == [there]


def test_changed_sql_under_the_same_version_is_refused_and_nothing_is_registered(
    project: Project,
) -> None:
    apply(project)
    change(project, "5 / 9", "5 / 8")
    write_files(project.folder, {"features/aa_new.sql": f"{HEAD}\n{SQL}"})
    with pytest.raises(DeclarationError, match="raise `version` to 2 or higher"):
        apply(project)
    assert [version.view for version in read_views(project.state)] == ["weather_now"]
    change(project, "version = 1", "version = 2")
    assert apply(project) == [("aa_new@1", True), ("weather_now@2", True)]
    assert registered_view(project.state, "weather_now").version == 2


def test_a_changed_meaning_of_a_field_that_is_read_is_refused_too(project: Project) -> None:
    apply(project)
    name = "contracts/weather.odcs.yaml"
    change(project, "name: Weather", "name: The weather", name)
    assert apply(project) == [("weather_now@1", False)]
    unit = "temp_f, logicalType: number, customProperties: [{property: unit, value: degC}]"
    change(project, "temp_f, logicalType: number", unit, name)
    with pytest.raises(DeclarationError, match="got changed content"):
        apply(project)


def test_another_spelling_by_a_newer_parser_is_no_change(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(project)
    before = registered_view(project.state, "weather_now").hash
    fresh = "f" * 64

    def newer(*args: object) -> dict[str, View]:
        found = load_views(*args)  # type: ignore[arg-type]
        return {name: msgspec.structs.replace(v, hash=fresh) for name, v in found.items()}

    monkeypatch.setattr(registered, "load_views", newer)
    monkeypatch.setattr(registered, "_hash_of", lambda *_: fresh)
    assert apply(project) == [("weather_now@1", False)]
    assert registered_view(project.state, "weather_now").hash == before


def test_a_computed_feature_that_has_no_value_is_not_registered(project: Project) -> None:
    text = '-- [computed]\n-- x = "features.wind_mph * 2"\n'
    change(project, '-- sources = ["weather"]\n', f'-- sources = ["weather"]\n{text}')
    with pytest.raises(DeclarationError, match="to have a value for some row"):
        apply(project)
    assert read_views(project.state) == []


def test_a_view_that_is_not_registered_is_not_found(project: Project) -> None:
    with pytest.raises(NotFound, match="registered: none; `roadworthy features apply`"):
        registered_view(project.state, "weather_now")
    apply(project)
    with pytest.raises(NotFound, match="registered: `weather_now@1`"):
        registered_view(project.state, "weather_now@2")
    with pytest.raises(NotFound, match="no registered contract `weather@9`"):
        registered_contract(project.state, "weather", "9")


def test_a_contract_of_several_tables_needs_one_named(make_project: MakeProject) -> None:
    two = (
        CONTRACT + "  - name: stations\n    properties:\n      - {name: id, logicalType: string}\n"
    )
    files = FILES | {"contracts/weather.odcs.yaml": two}
    project = make_project({}, files=files, project=SOURCES)
    with pytest.raises(DeclarationError, match="name one of `weather`, `stations` behind `#`"):
        load_sources(project.declaration)


def test_a_named_table_is_taken(make_project: MakeProject) -> None:
    two = (
        CONTRACT + "  - name: stations\n    properties:\n      - {name: id, logicalType: string}\n"
    )
    files = FILES | {"contracts/weather.odcs.yaml": two}
    named = SOURCES.replace("odcs.yaml", "odcs.yaml#stations")
    project = make_project({}, files=files, project=named)
    (source,) = load_sources(project.declaration).values()
    assert list(source.schema) == ["id"]
    assert source.url == str(project.folder / "data/weather.csv")


@pytest.mark.parametrize("url", ["data/*.csv", "data/weather.csv", "data/w[e]ather.csv"])
def test_a_project_may_be_in_a_folder_with_brackets(url: str, tmp_path: Path) -> None:
    folder = tmp_path / "trial [1] *"
    write_files(folder)
    (folder / "services").mkdir()
    named = SOURCES.replace("data/weather.csv", url)
    (folder / "roadworthy.toml").write_text('[project]\nname = "trial"\n' + named)
    with open_project(folder) as project:
        sources = load_sources(project.declaration)
        reports = validate_sources(sources, project.state, project.clock)
        (view,) = load_views(project.folder, sources).values()
        spine = pa.table({"origin": ["EWR"], "at": ["2013-01-01T07:00:00Z"]})
        assert history([view], spine, sources)["wind_mph"].to_pylist() == [12.5]
    assert reports["weather"].rows == 3
