"""A cheaper model on its whole way: compared, certified, given, watched, and switched off."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from conftest import write_project
from live import Live, serve
from roadworthy.bounds.in_force import Within
from roadworthy.cli import cli
from roadworthy.serve.cheaper import Cheaper
from roadworthy.types import Record, SettableClock
from routed import service

pytestmark = pytest.mark.slow

ROUTING = """
[routing]
strategy = "cascade"
max_error = 0.1
pairs_share = 1.0
audit_share = 1.0
[outcomes]
reported = "all"
unit = "user"
window = "1h"
matures_after = "1h"
"""
MODELS = {
    # Right where it is sure, and wrong on half of what it is not sure of, until it breaks.
    "small": "{'label': input.small, 'confidence': input.p}",
    "large": "{'label': input.truth, 'confidence': 1.0}",
}


class Told:
    """A live service whose callers report what turned out to be true."""

    def __init__(self, live: Live) -> None:
        self.live = live
        self.random = np.random.default_rng(5)
        self.users = 0
        clock = live.project.clock
        assert isinstance(clock, SettableClock)
        self.clock = clock
        self.folder = live.project.folder
        self.key = live.new_key("answer", "read", "act_as")

    @property
    def within(self) -> Within:
        router = self.live.serving.engine.releases["desk"].router
        assert isinstance(router, Cheaper)
        return router.within

    def asks(self, n: int, *, is_broken: bool = False) -> list[Record]:
        """Let so many users ask, and report the outcome of each."""
        ids = []
        for _ in range(n):
            self.users += 1
            p = round(float(self.random.random()), 3)
            is_right = not is_broken and (p > 0.5 or self.random.random() < 0.5)
            values = {"p": p, "truth": "a", "small": "a" if is_right else "b"}
            body = {"input": values, "user": f"u{self.users}"}
            got = self.live.ask("POST", "/v1/services/desk/answer", body, key=self.key)
            assert got.status == 200, got.body
            ids.append(got.json["request_id"])
            outcome = {"label": "a", "source": "system"}
            said = self.live.ask("POST", f"/v1/requests/{ids[-1]}/outcome", outcome, key=self.key)
            assert said.status in (200, 201, 202), said.body
        self.settle()
        return [record for record in self.live.records() if record.id in ids]

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something on the loop that serves, and wait."""
        asyncio.run_coroutine_threadsafe(work, self.live.serving._loop).result(60)

    def settle(self) -> None:
        """Wait for what is asked again unseen."""
        for audits in self.live.serving.audits.values():
            self.run(audits.finish())

    def look(self) -> str:
        """Let three hours pass, and the job look at what is ripe."""
        self.clock.set(self.clock.now_us() + 3 * 3_600_000_000)
        said = self.live.serving.jobs.run_now("pairs").last_result
        self.run(self.live.serving.follow())
        return said


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    folder = write_project(tmp_path / "project", {"desk": service(ROUTING, MODELS)})
    with serve(folder) as live:
        yield Told(live)


def models_of(records: list[Record]) -> set[str]:
    return {record.model for record in records}


def test_from_the_first_pair_to_the_switch_off(told: Told) -> None:
    assert models_of(told.asks(150)) == {"large"}, "nothing is certified"
    for _ in range(4):
        said = told.look()
        if "certified" in said:
            break
        assert models_of(told.asks(150)) == {"large"}
    assert "certified from" in said
    within = told.within
    assert within.threshold is not None

    records = told.asks(80)
    by_small = [record for record in records if record.model == "small"]
    assert 10 < len(by_small) < 80
    assert {record.certificates for record in by_small} == {(within.certificate,)}
    for record in records:
        route: dict[str, Any] = record.route or {}
        assert route["choice"] == record.model
    assert all((r.route or {})["score"] >= within.threshold for r in by_small)

    for _ in range(6):
        told.asks(80, is_broken=True)
        said = told.look()
        if "switched off" in said:
            break
    assert "switched off" in said
    assert told.within.threshold is None
    assert models_of(told.asks(20)) == {"large"}, "the strongest answers everything again"
    twin = told.live.ask("GET", "/api/services/desk/routing").json
    assert twin["standing"] == "collecting"


def test_a_person_stops_it_by_its_certificate(told: Told) -> None:
    for _ in range(5):
        told.asks(150)
        if "certified" in told.look():
            break
    within = told.within
    assert within.threshold is not None
    stop = CliRunner().invoke(
        cli, ["stop", "desk", "--certificate", within.certificate, "--project", str(told.folder)]
    )
    assert stop.exit_code == 0, stop.output
    told.run(told.live.serving.follow())
    assert told.within.is_stopped
    records = told.asks(30)
    assert models_of(records) == {"large"}
    assert {(record.route or {})["why"] for record in records} == {"a person stopped it"}
