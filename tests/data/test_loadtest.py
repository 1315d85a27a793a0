"""Load tests: what they run, what they hold it to, and that they touch nothing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("duckdb")

from feature_project import CONTRACT, FILES, SOURCES, write_files
from roadworthy.data.load_figures import Bounds, Measured, Step, judged, together
from roadworthy.data.loadtest import Asked, LoadPlan, load_test, plan_load
from roadworthy.data.peak import Peak, memory_mb
from roadworthy.data.registered import load_sources
from roadworthy.data.views import load_views
from roadworthy.declare.load import load_project
from roadworthy.errors import DeclarationError, NotFound

VOLUME = """
[sources.weather.volume]
rows = 2_000
rows_per_day = [900, 1_000]
time = "known_at"
rows_per_second = 5
distinct = { origin = 3 }
"""
WIDE = Bounds(fill_every_s=300, skew_every_s=3600, memory_mb=100_000)


def plan_of(
    folder: Path,
    volume: str = VOLUME,
    names: tuple[str, ...] = (),
    rate: float | None = 10,
    files: dict[str, str] | None = None,
) -> LoadPlan:
    """Return the plan of a project whose service `wind` reads its one view."""
    write_files(folder, FILES | (files or {}))
    (folder / "roadworthy.toml").write_text(f'[project]\nname = "trial"\n{SOURCES}{volume}')
    sources = load_sources(load_project(folder))
    views = load_views(folder, sources)
    asked = [Asked("wind", tuple(views.values()), rate), Asked("plain", (), None)]
    return plan_load(names, sources, views.values(), asked)


def steps_of(plan: LoadPlan, bounds: Bounds = WIDE) -> dict[str, Step]:
    told: list[tuple[int, int]] = []
    report = load_test(plan, bounds, lambda what, done, of: told.append((done, of)))
    assert [done for done, _ in told] == list(range(len(told)))
    assert told[-1][0] < told[-1][1]
    found = {step.step: step for step in report.steps}
    assert len(found) == len(report.steps)
    assert report.kept == all(step.verdict != "not_kept" for step in report.steps)
    assert report.complete == all(step.verdict != "not_run" for step in report.steps)
    return found  # type: ignore[return-value]


def test_every_step_runs_on_as_many_rows_as_are_declared(tmp_path: Path) -> None:
    found = steps_of(plan_of(tmp_path))
    assert list(found) == [
        "fill", "refill", "validate", "check", "history", "read", "skew", "push",
    ]  # fmt: skip
    assert {step.verdict for step in found.values()} == {"kept"}
    assert (found["fill"].rows, found["refill"].rows, found["validate"].rows) == (1996, 2000, 2000)
    assert found["fill"].says.endswith("3 entities were written")
    assert "do not keep" not in found["validate"].says
    assert found["check"].needs_per_second == found["push"].needs_per_second == 5
    assert found["read"].needs_per_second == 10
    assert all(step.peak_mb for step in found.values())


def test_what_was_served_is_what_the_views_say_of_invented_rows(tmp_path: Path) -> None:
    skew = steps_of(plan_of(tmp_path))["skew"]
    assert "6,000 of 6,000 served values are what the views say" in skew.says


def test_what_is_too_slow_or_too_large_is_not_kept_and_says_what_to_do(tmp_path: Path) -> None:
    volume = VOLUME.replace("rows_per_second = 5", "rows_per_second = 1_000_000")
    found = steps_of(plan_of(tmp_path, volume, rate=900_000), Bounds(1e-6, 1e-6, 100_000))
    assert {name for name, step in found.items() if step.verdict != "not_kept"} == {"history"}
    assert "a second, of 1,000,000 that are declared: push several" in found["push"].says
    assert "between two fills: narrow what its SQL looks back on" in found["fill"].says
    found = steps_of(plan_of(tmp_path), Bounds(300, 3600, memory_mb=1))
    assert {step.verdict for step in found.values()} == {"not_kept"}
    assert "MB, and may take 1: take a machine with more memory" in found["history"].says


def test_without_a_declared_rate_a_step_is_measured_and_held_to_nothing(tmp_path: Path) -> None:
    volume = VOLUME.replace("rows_per_second = 5\n", "")
    found = steps_of(plan_of(tmp_path, volume, rate=None))
    assert [name for name, step in found.items() if step.verdict == "undeclared"] == [
        "check", "read", "push",
    ]  # fmt: skip
    assert "a second, and none are declared" in found["read"].says


def test_all_views_together_must_be_filled_between_two_fills() -> None:
    took = Measured(rows=10, seconds=20.0, peak_mb=1.0)
    bounds = Bounds(fill_every_s=30, skew_every_s=30, memory_mb=10)
    steps = [judged("refill", name, took, bounds, None) for name in ("a", "b")]
    assert [step.verdict for step in together(steps[:1], bounds)] == ["kept"]
    both = [*together(steps, bounds)]
    assert [step.verdict for step in both] == ["not_kept", "not_kept"]
    assert both[0].says.endswith("all 2 views take 40.0 s")


def test_nothing_of_the_project_is_read_or_written(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    (tmp_path / "data/weather.csv").unlink()
    before = sorted(tmp_path.rglob("*"))
    assert {step.verdict for step in steps_of(plan).values()} == {"kept"}
    assert sorted(tmp_path.rglob("*")) == before


def test_a_source_without_rows_to_make_is_not_run_and_says_what_to_declare(tmp_path: Path) -> None:
    found = steps_of(plan_of(tmp_path, "[sources.weather.volume]\nrows_per_second = 5\n"))
    assert {step.verdict for step in found.values()} == {"not_run"}
    assert {step.says for step in found.values()} == {
        "source `weather`: expected `rows` in its `volume` of roadworthy.toml, got none; declare "
        "how many rows there will be"
    }


def test_a_view_that_takes_no_invented_row_says_so(tmp_path: Path) -> None:
    view = FILES["features/weather_now.sql"]
    only = view.replace("FROM weather", "FROM weather WHERE origin = 'not there'")
    found = steps_of(plan_of(tmp_path, files={"features/weather_now.sql": only}))
    assert found["fill"].verdict == "kept"
    assert found["history"].says.startswith("weather_now@1: expected a row of invented sources")
    assert "no rows of `weather_now@1` are there" in found["read"].says


def test_a_foreign_key_finds_its_values_among_the_invented_ones(tmp_path: Path) -> None:
    ports = """
apiVersion: v3.2.0
kind: DataContract
id: ports
version: 1.0.0
schema:
  - name: ports
    properties:
      - name: code
        logicalType: string
        primaryKey: true
        logicalTypeOptions: {pattern: '^Q[A-Z]$'}
"""
    weather = CONTRACT.replace(
        "logicalTypeOptions: {pattern: '^[A-Z]{3}$'}", "relationships: [{to: ports.code}]"
    )
    more = """
[sources.ports]
contract = "contracts/ports.odcs.yaml"
url = "data/ports.csv"
volume = { rows = 12 }
"""
    volume = VOLUME.replace("distinct = { origin = 3 }\n", "") + more
    files = {"contracts/ports.odcs.yaml": ports, "contracts/weather.odcs.yaml": weather}
    plan = plan_of(tmp_path, volume, files=files)
    report = load_test(plan, WIDE, lambda *_: None)
    said = {(step.step, step.of): step for step in report.steps}
    assert list(report.made) == ["ports", "weather"]
    assert "do not keep" not in said["validate", "weather"].says
    assert said["fill", "weather_now@1"].says.endswith("11 entities were written")


@pytest.mark.parametrize(
    ("names", "sources", "services"),
    [
        ((), ("weather",), ("wind",)),
        (("weather",), ("weather",), ()),
        (("wind",), ("weather",), ("wind",)),
    ],
)
def test_a_source_is_tested_with_its_views_and_a_service_with_its_own(
    names: tuple[str, ...], sources: tuple[str, ...], services: tuple[str, ...], tmp_path: Path
) -> None:
    plan = plan_of(tmp_path, names=names)
    assert tuple(source.name for source in plan.sources) == sources
    assert tuple(asked.service for asked in plan.services) == services
    assert [view.id for view in plan.views] == ["weather_now@1"]


def test_what_is_not_there_is_told_with_what_is(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="got `plain`; there: `weather`, `wind`"):
        plan_of(tmp_path, names=("plain",))
    with pytest.raises(NotFound, match="declare how much there will be"):
        plan_of(tmp_path, volume="")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('time = "wind_mph"', "expected a field of type `date` or `timestamp`, got `wind_mph`"),
        ('time = "gone"', "volume.time: expected a field of the contract"),
        ("distinct = { gone = 3 }", "volume.distinct: expected a field of the contract"),
    ],
)
def test_a_volume_names_fields_of_its_contract(line: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match=said):
        plan_of(tmp_path, f"[sources.weather.volume]\nrows = 9\n{line}\n")


def test_the_peak_is_seen_while_it_lasts() -> None:
    with Peak() as before:
        pass
    with Peak() as peak:
        held: Any = bytearray(80_000_000)
        held[::4096] = b"x" * len(held[::4096])
        time.sleep(0.05)  # it is looked at in a thread of its own
        del held
    assert peak.mb > before.mb + 40
    assert 100 < memory_mb() < 100_000_000
