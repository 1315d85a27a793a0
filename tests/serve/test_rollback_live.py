"""A really bad candidate in a really running server goes by itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from candidates import service
from conftest import write_project
from live import Live, serve, until
from roadworthy.app import open_project
from roadworthy.app.rollouts import begin_rollout
from roadworthy.serve.splits import MOST_FAILED
from roadworthy.store.records import find_records
from roadworthy.store.rollouts import list_rollouts

pytestmark = pytest.mark.slow

CANARY = """
[release]
judge = "canary"
canary = { steps = [0.5, 1.0], max_regression = 0.2, min_units = 20, window = "1m" }
"""
BAD = "{'by': 'candidate', 'p': input.gone}"


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    folder = write_project(tmp_path / "project", {"late": service(more=CANARY)})
    with open_project(folder) as project:
        project.promote(project.build_release("late", by="test").id, by="test")
    with serve(folder) as live:
        live.key = live.new_key("answer", "read", "admin", "act_as")
        for number in range(50):
            live.answer("late", {"p": 0.5}, headers={"x-roadworthy-user": f"before-{number}"})
        live.records()
        yield live


def candidate(live: Live, model: str) -> str:
    """Build another release and let it meet users, as another process does."""
    folder = live.project.folder
    (folder / "services/late/service.toml").write_text(service(model, CANARY))
    with open_project(folder) as other:
        built = other.build_release("late", by="test")
        begin_rollout(other, "late", built.id, by="test")
    until(lambda: "late" in live.serving.engine.splits, 5)
    return built.id


def test_one_that_fails_goes_by_itself_after_five_requests(live: Live) -> None:
    bad = candidate(live, BAD)
    users, failed = iter(range(10_000)), 0

    def is_back() -> bool:
        nonlocal failed
        reply = live.answer("late", {"p": 0.5}, headers={"x-roadworthy-user": f"u{next(users)}"})
        failed += reply.status >= 500
        return list_rollouts(live.project.state, ["late"], 1)[0].state == "rolled_back"

    until(is_back, 20)
    assert failed == MOST_FAILED
    (rollout,) = list_rollouts(live.project.state)
    assert "failed in a row" in rollout.why
    until(lambda: not live.serving.engine.splits, 5)
    assert live.answer("late", {"p": 0.5}).headers["x-roadworthy-release"] != bad
    live.serving.writer.drain()
    assert len(find_records(live.project.state, release=bad)) == failed


def test_a_sound_one_is_not_touched_meanwhile(live: Live) -> None:
    sound = candidate(live, "{'by': 'candidate', 'p': input.p}")
    for number in range(40):
        live.answer("late", {"p": 0.5}, headers={"x-roadworthy-user": f"u{number}"})
    until(lambda: bool(list_rollouts(live.project.state)[0].seen), 5)
    assert list_rollouts(live.project.state)[0].state == "running"
    live.serving.writer.drain()
    assert find_records(live.project.state, release=sound)
