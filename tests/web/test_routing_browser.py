"""The routing page in a real browser: wide and narrow, with and without evidence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from browser_window import (
    SCREENS,
    Seen,
    axe_source,
    browser_open,
    check_accessible,
    check_fits,
)
from routing_stage import served_routes

from control_plane import Plane, listening

pytestmark = pytest.mark.slow

PAGES = tuple(f"/services/{name}/routing" for name in ("cascade", "new", "rules", "plain"))


class Stage:
    """A served project whose services route, and where it listens."""

    def __init__(self, plane: Plane, port: int) -> None:
        self.plane = plane
        self.url = f"http://127.0.0.1:{port}"

    def path(self, page: str) -> str:
        return self.url + page


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("routes")
    with served_routes(folder) as plane, listening(plane) as port:
        yield Stage(plane, port)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser_open() as browser:
        yield browser


@pytest.mark.parametrize(("width", "scheme"), SCREENS)
def test_each_page_fits_and_is_accessible(
    stage: Stage, chromium: Any, width: int, scheme: str
) -> None:
    axe = axe_source()
    seen = Seen(chromium, stage, width, color_scheme=scheme)
    seen.log_in()
    for page in PAGES:
        check_fits(seen, page)
        check_accessible(seen, axe, page)
    seen.context.close()
