"""Prices that change on a day: what is set aside before, and what a request costs after."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from control_plane import Plane, served
from roadworthy.app import open_project
from roadworthy.types import MICRO

CHANGE = int(datetime(2013, 12, 1, tzinfo=UTC).timestamp()) * MICRO
DEARER = """
[[providers.paid.prices."script.jsonl"]]
effective_from = 2013-12-01
input_usd_per_million = 2.0
output_usd_per_million = 20.0
"""


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    with served(tmp_path):
        pass
    toml = tmp_path / "roadworthy.toml"
    table = '[providers.paid.prices."script.jsonl"]'
    text = toml.read_text().replace("{clock}", "settable").replace(table, f"[{table}]")
    toml.write_text(text + DEARER)
    with open_project(tmp_path) as project:
        project.clock.set(CHANGE - 86_400 * MICRO)  # type: ignore[attr-defined]
        yield Plane(project)


def asked(plane: Plane, at_us: int) -> tuple[int, int, str]:
    """Return what a request costs at a time, what was set aside for it, and by which price."""
    plane.project.clock.set(at_us)  # type: ignore[attr-defined]
    plane.serving.jobs.run_now("prices")
    reply = plane.answer("reply", {"text": "when?"})
    record = plane.get(f"/api/requests/{reply.request_id}")
    return (
        round(record["cost_usd"] * MICRO),
        round(record["reserved_usd"] * MICRO),
        record["price_source"],
    )


def test_a_price_holds_from_its_day_on(plane: Plane) -> None:
    before = asked(plane, CHANGE - 7_200 * MICRO)
    assert (before[0], before[2]) == (200, "override")
    after = asked(plane, CHANGE + MICRO)
    assert (after[0], after[2]) == (400, "override:2013-12-01")
    assert after[1] == 2 * before[1]


def test_what_is_set_aside_shortly_before_covers_the_new_price(plane: Plane) -> None:
    long_before = asked(plane, CHANGE - 7_200 * MICRO)
    shortly = asked(plane, CHANGE - 60 * MICRO)
    assert shortly[0] == long_before[0]
    assert shortly[1] == 2 * long_before[1]


def test_a_clock_that_is_set_back_pays_the_old_price(plane: Plane) -> None:
    assert asked(plane, CHANGE + MICRO)[0] == 400
    assert asked(plane, CHANGE - 7_200 * MICRO)[0] == 200
