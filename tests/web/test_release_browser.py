"""Releases in a real browser: each page, wide and narrow, light and dark, and by keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from browser_window import (
    SCREENS,
    Seen,
    axe_source,
    browser_open,
    check_accessible,
    check_fits,
)
from release_stage import HOSTILE, Stage, case, staged

from control_plane import Plane, listening
from roadworthy.release.measures import Gate, State
from roadworthy.store import tables
from roadworthy.types import DAY_US, HOUR_US

pytestmark = pytest.mark.slow

PAGES = (
    "/releases",
    "/releases/{candidate}",
    "/releases/{champion}",
    "/services/risk/releases",
    "/services/risk/releases/compare",
    "/services/reply/releases/compare",
    "/services/risk/rollout",
    "/services/reply/rollout",
    "/services/risk/evaluations",
    "/services/reply/evaluations",
    "/evaluations/{evaluation}",
    "/evaluations/{hostile}",
    "/evaluations/{evaluation}?stability=lost",
    "/evaluations/ev_gone",
    "/services/risk",
    "/",
)


class Watched:
    """The stage, and where it listens."""

    def __init__(self, stage: Stage, port: int, facts: dict[str, str]) -> None:
        self.stage = stage
        self.plane: Plane = stage.plane
        self.url = f"http://127.0.0.1:{port}"
        self.facts = facts

    def path(self, page: str) -> str:
        """Return where a page is, with the ids of this stage."""
        return self.url + page.format_map(self.facts)


def fill(stage: Stage) -> dict[str, str]:
    """Let there be something of each kind, and return the ids."""
    stage.move("promote", "", stage.champion, 90)
    stage.move("promote", stage.champion, stage.candidate, 60, why="it knows June")
    stage.move("rollback", stage.candidate, stage.champion, 30, why="too many late answers")
    stage.point("last_good:risk", stage.candidate)
    states: tuple[tuple[str, State], ...] = (
        ("suites", "holds"),
        ("latency", "fails"),
        ("drills", "not_measured"),
    )
    for n, (name, state) in enumerate(states):
        stage.put(
            tables.gates,
            release=stage.candidate,
            gate=name,
            service="risk",
            state=state,
            at_us=stage.now_us - n * HOUR_US,
            digest="0c2d" * 16,
            detail=msgspec.json.encode(
                Gate(
                    name=name,
                    state=state,
                    is_declared=True,
                    value=31.0,
                    bar=20.0,
                    why="measured under `load`",
                    command="roadworthy evaluate risk",
                )
            ).decode(),
        )
    stage.put(
        tables.waivers,
        id=stage.ids.new("wv"),
        service="risk",
        release=stage.candidate,
        gate="drills",
        by="key:k_grace",
        reason=HOSTILE,
        at_us=stage.now_us,
        expires_us=stage.now_us + 3 * DAY_US,
        revoked_at_us=None,
    )
    stage.put(
        tables.approvals,
        release=stage.candidate,
        owner="product",
        service="risk",
        by="key:k_grace",
        note=HOSTILE,
        at_us=stage.now_us,
    )
    made = stage.plane.get(f"/api/releases/{stage.candidate}")["manifest"]
    stage.put(
        tables.logged_models,
        digest=made["files"]["service.toml"],
        service="risk",
        name="gbm",
        at_us=stage.now_us,
        by="cli:ada",
        detail=msgspec.json.encode({"auc": 0.734, "note": HOSTILE}).decode(),
    )
    stage.roll_out(state="rolled_back", ended_at_us=stage.now_us, why=HOSTILE)
    stage.roll_out(started_at_us=stage.now_us - 12 * HOUR_US)
    evaluation = stage.evaluate()
    odd = tuple(
        case(n, "flaky", input={"text": HOSTILE}, output=HOSTILE, why=HOSTILE) for n in range(50)
    )
    notes = (HOSTILE, "`x`")
    hostile = stage.evaluate(results=odd, notes=notes, at_us=stage.now_us - DAY_US)
    return {"evaluation": evaluation, "hostile": hostile}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with staged(tmp_path_factory.mktemp("releases")) as found, listening(found.plane) as port:
        ids = fill(found)
        ids |= {"champion": found.champion, "candidate": found.candidate}
        yield Watched(found, port, ids)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser_open() as browser:
        yield browser


@pytest.fixture(scope="session")
def axe() -> str:
    return axe_source()


@pytest.fixture(scope="module", params=SCREENS)
def screen(request: pytest.FixtureRequest, chromium: Any, stage: Watched) -> Iterator[Seen]:
    width, scheme = request.param
    seen = Seen(chromium, stage, width, color_scheme=scheme)
    seen.log_in()
    yield seen
    seen.context.close()


@pytest.mark.parametrize("path", PAGES)
def test_a_page_fits_its_screen_and_nothing_complains(screen: Seen, path: str) -> None:
    check_fits(screen, path)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_passes_axe(screen: Seen, axe: str, path: str) -> None:
    check_accessible(screen, axe, path)
