from __future__ import annotations

import shutil
from pathlib import Path

from command_line import run

from roadworthy.store.keys import list_keys
from roadworthy.store.state import SCHEMA, open_state


def test_a_state_is_made_once(shop: Path) -> None:
    shutil.rmtree(shop / ".roadworthy")
    first = run("store", "migrate", "--project", shop, "--json").json
    assert first == {"before": None, "schema": SCHEMA, "has_changed": True}
    again = run("store", "migrate", "--project", shop, "--json").json
    assert again == {"before": SCHEMA, "schema": SCHEMA, "has_changed": False}
    assert "already" in run("store", "migrate", "--project", shop).out


def test_a_backup_is_a_state_of_its_own(shop: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    ran = run("store", "backup", copy, "--project", shop, "--json")
    assert ran.json["bytes"] == copy.stat().st_size
    state = open_state(f"sqlite:///{copy}")
    assert [entry.key.name for entry in list_keys(state)] == ["init"]
    state.dispose()


def test_a_backup_replaces_nothing(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "copy.db").write_text("mine")
    ran = run("store", "backup", tmp_path / "copy.db", "--project", shop)
    assert ran.code == 2
    assert (tmp_path / "copy.db").read_text() == "mine"


def test_a_backup_into_no_folder_is_said(shop: Path, tmp_path: Path) -> None:
    ran = run("store", "backup", tmp_path / "nowhere" / "copy.db", "--project", shop, "--json")
    assert ran.code == 4
    assert ran.json["error"]["code"] == "store_unavailable"
