"""Releases in a real browser: each page, wide and narrow, light and dark, and by keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from browser_window import (
    PHONE,
    SCREENS,
    WIDE,
    Seen,
    axe_source,
    browser_open,
    check_accessible,
    check_fits,
)
from release_stage import HOSTILE, Stage, case, staged

from control_plane import Plane, listening
from roadworthy.release.measures import Gate, State
from roadworthy.store import release_tables
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
            release_tables.gates,
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
        release_tables.waivers,
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
        release_tables.approvals,
        release=stage.candidate,
        owner="product",
        service="risk",
        by="key:k_grace",
        note=HOSTILE,
        at_us=stage.now_us,
    )
    made = stage.plane.get(f"/api/releases/{stage.candidate}")["manifest"]
    stage.put(
        release_tables.logged_models,
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


@pytest.fixture
def window(chromium: Any, stage: Watched) -> Iterator[Seen]:
    """Somebody with all scopes, before a wide screen."""
    seen = Seen(chromium, stage)
    seen.log_in()
    yield seen
    seen.context.close()


def test_an_evaluation_is_found_and_opened_with_the_keyboard_alone(
    window: Seen, stage: Watched
) -> None:
    page = window.page
    page.goto(stage.path("/services/risk/evaluations"))
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/evaluations/ev_*")
    assert window.headline.endswith("is not decided yet: 140 more cases are needed.")
    assert window.complaints == []


def test_a_rollout_is_frozen_and_goes_on_with_the_keyboard_alone(
    window: Seen, stage: Watched
) -> None:
    page = window.page
    page.goto(stage.path("/services/risk/rollout"))
    page.get_by_label("Reason").first.focus()
    page.keyboard.type("a holiday")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert window.headline.endswith("It is frozen.")
    assert "a holiday" in page.inner_text("main")
    page.get_by_role("button", name="Let it go on").first.focus()
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert "It is frozen." not in window.headline
    assert window.complaints == []


@pytest.mark.parametrize("width", [WIDE, PHONE])
def test_the_picture_of_a_canary_keeps_its_words_apart(
    chromium: Any, stage: Watched, width: int
) -> None:
    seen = Seen(chromium, stage, width)
    seen.log_in()
    seen.page.goto(stage.path("/services/risk/rollout"))
    words = seen.page.locator(".canary text.end.halo").all()
    boxes = [box for word in words if (box := word.bounding_box())]
    assert len(boxes) >= 2
    tops = sorted((box["y"], box["y"] + box["height"]) for box in boxes)
    assert all(one[1] <= other[0] + 2 for one, other in pairwise(tops))
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes)
    seen.context.close()
