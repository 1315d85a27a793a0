"""What the pages tell people to type does what they say."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from doc_pages import DOCS, run_page

RUNNABLE = [DOCS / "tutorial" / "first-service.md", *sorted((DOCS / "how-to").glob("*.md"))]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("curl") is None, reason="the pages call curl"),
]


@pytest.mark.parametrize("page", RUNNABLE, ids=lambda path: path.stem)
def test_a_page_does_what_it_says(page: Path, tmp_path: Path) -> None:
    run_page(page, tmp_path)
