from __future__ import annotations

from pathlib import Path

import pytest
from command_line import run


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a new project, as `init` writes it."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("ROADWORTHY_STORE_URL", raising=False)
    folder = tmp_path / "shop"
    assert run("init", folder, "--json").code == 0
    return folder
