"""Candidates that meet the traffic of a real server: equal, worse, crashing; shown and unseen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from conftest import write_project
from live import Live, serve
from roadworthy.store.rollouts import Rollout, list_rollouts
from roadworthy.types import MICRO

SERVICE = """
name = "late"
kind = "predict"
owners = {{ product = "test" }}
objectives = {{ deadline_ms = 1000 }}
cost = {{}}
contract = {{ output = "out.json" }}
[[models]]
name = "own"
provider = "rule"
model = "{model}"
{fallback}
[release]
judge = "{judge}"
canary = {{ steps = [{share}, 1.0], max_regression = 0.05, min_units = 50, window = "1m" }}
shadow = {{ max_regression = 0.05, min_units = 50 }}
"""
CHAMPION = "{'share': 100 / input.fails_5}"
EQUAL = "{'share': 100 / input.fails_5_more}"
WORSE = "{'share': 100 / input.fails_30}"
CRASHING = "{'share': input.fails_5 / 0}"
LADDER = '[[fallback]]\nuse = "static"\noutput = { share = 0 }'


class Stage:
    """A real server with a champion that fails every twentieth user, and users that ask it."""

    def __init__(self, live: Live) -> None:
        self.live = live
        self.key = live.new_key("answer", "act_as", "read", "release")
        self.rng = np.random.default_rng(7)
        self.users = 0

    def declare(self, model: str, judge: str, fallback: str = "", share: float = 0.5) -> None:
        text = SERVICE.format(model=model, judge=judge, fallback=fallback, share=share)
        (self.live.project.folder / "services/late/service.toml").write_text(text)

    def promote(self) -> dict[str, object]:
        self.live.serving.writer.drain()
        release = self.live.project.build_release("late", by="test")
        path = f"/api/releases/{release.id}/promote"
        got = self.live.ask("POST", path, {}, key=self.key)
        assert got.status == 200, got.json
        self.live.project.state.dispose()
        said: dict[str, object] = got.json
        return said

    def visit(self, count: int) -> list[int]:
        """Let as many new users ask once; return the statuses they got."""
        found = []
        for _ in range(count):
            self.users += 1
            chances = {"fails_5": 0.05, "fails_5_more": 0.05, "fails_30": 0.3}
            values = {name: int(self.rng.random() >= share) for name, share in chances.items()}
            user = {"x-roadworthy-user": f"user-{self.users}"}
            found.append(self.live.answer("late", values, headers=user, key=self.key).status)
        return found

    def look(self, minutes: float = 2) -> Rollout:
        clock = self.live.project.clock
        clock.set(clock.now_us() + int(minutes * 60) * MICRO)  # type: ignore[attr-defined]
        self.live.serving.jobs.run_now("rollouts")
        return self.newest

    @property
    def newest(self) -> Rollout:
        return list_rollouts(self.live.project.state, ["late"], 1)[0]

    def until_ended(self, most: int = 4_000) -> Rollout:
        rollout = self.newest
        while rollout.state == "running" and self.users < most:
            self.visit(100)
            rollout = self.look()
        return rollout


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    text = SERVICE.format(model=CHAMPION, judge="shadow", fallback="", share=0.5)
    files = {"services/late/out.json": '{"properties": {"share": {"type": "number"}}}'}
    with serve(write_project(tmp_path, {"late": text}, files)) as live:
        yield Stage(live)


@pytest.mark.parametrize("judge", ["canary", "shadow"])
@pytest.mark.parametrize(("model", "state"), [(EQUAL, "promoted"), (WORSE, "rolled_back")])
def test_an_equal_candidate_is_promoted_and_a_worse_one_rolled_back(
    stage: Stage, judge: str, model: str, state: str
) -> None:
    stage.visit(60)
    stage.declare(model, judge)
    said = stage.promote()
    assert (said["is_champion"], said["judge"]) == (False, judge)
    assert "a candidate that is equal is promoted after" in str(said["forecast"])
    rollout = stage.until_ended()
    assert rollout.state == state
    # Of one that fails three times in ten, five in a row may end it before the users are counted.
    said_last = "not worse" if state == "promoted" else r"with the candidate|failed in a row"
    assert re.search(said_last, rollout.verdict.why)


@pytest.mark.parametrize("judge", ["canary", "shadow"])
def test_one_whose_models_crash_is_out_at_once(stage: Stage, judge: str) -> None:
    stage.visit(60)
    stage.declare(CRASHING, judge)
    stage.promote()
    statuses = stage.visit(40)
    assert sum(status >= 500 for status in statuses) <= (12 if judge == "canary" else 6)
    rollout = stage.look(0.1)
    assert (rollout.state, rollout.why) == (
        "rolled_back",
        "5 requests of the candidate failed in a row",
    )


@pytest.mark.parametrize("judge", ["canary", "shadow"])
def test_one_whose_models_crash_is_out_at_once_though_its_ladder_answers(
    stage: Stage, judge: str
) -> None:
    stage.visit(60)
    stage.declare(CRASHING, judge, LADDER)
    stage.promote()
    assert set(stage.visit(60)) <= {200, 502}
    rollout = stage.look(0.1)
    assert rollout.state == "rolled_back"
    assert "the models of the candidate answered none of" in rollout.why


def test_the_page_of_a_rollout_shows_the_steps_and_margins_of_its_candidate(
    stage: Stage,
) -> None:
    stage.visit(60)
    stage.declare(EQUAL, "canary", share=0.25)
    stage.promote()
    page = stage.live.ask("GET", "/api/services/late/rollout", key=stage.key).json["rollout"]
    assert [step["share"] for step in page["steps"]] == [0.25, 1.0]
    assert page["allowed"] == 0.05
