from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from control_plane import Plane, served


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    """A project of the test's own."""
    with served(tmp_path) as plane:
        yield plane


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """A project for tests that leave nothing behind but keys."""
    with served(tmp_path_factory.mktemp("shared")) as plane:
        yield plane
