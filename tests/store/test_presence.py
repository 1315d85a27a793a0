from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine
from store_samples import a_record

from roadworthy.store.presence import Presence
from roadworthy.store.spool import Spool
from roadworthy.store.state import open_state
from roadworthy.types import SystemClock

SEGMENT = "000000000001.spool"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_state(f"sqlite:///{tmp_path / 'state.db'}")
    yield engine
    engine.dispose()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool", SystemClock())
    yield spool
    spool.close()


@pytest.fixture
def presence(engine: Engine, spool: Spool) -> Presence:
    return Presence(engine, spool)


def look(presence: Presence) -> dict[str, str]:
    presence.look()
    return presence.trouble


def test_what_is_in_its_place_is_no_trouble(presence: Presence, spool: Spool) -> None:
    assert look(presence) == {}
    spool.append(a_record())
    assert look(presence) == {}


def test_a_database_that_is_deleted_is_told_with_its_place_and_what_to_do(
    presence: Presence, tmp_path: Path
) -> None:
    path = tmp_path / "state.db"
    path.unlink()
    assert look(presence) == {
        "database": "expected the file that is open, got `No such file or directory` -"
        f" {path}; what is recorded now is lost when this process ends: move the file back if it"
        " was moved, else stop the server, put a backup there and start it again"
    }


def test_a_folder_of_the_spool_that_is_deleted_is_told(presence: Presence, spool: Spool) -> None:
    shutil.rmtree(spool.folder)
    spool.append(a_record())  # which does not fail
    assert list(look(presence)) == ["spool"]
    assert str(spool.folder / SEGMENT) in presence.trouble["spool"]
    assert "restart the server" in presence.trouble["spool"]


def test_both_are_told_when_the_whole_folder_is_gone(presence: Presence, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path)
    assert set(look(presence)) == {"database", "spool"}


@pytest.mark.parametrize(
    ("part", "name"), [("database", "state.db"), ("spool", f"spool/{SEGMENT}")]
)
def test_another_file_in_its_place_is_not_taken_for_it(
    presence: Presence, tmp_path: Path, part: str, name: str
) -> None:
    path = tmp_path / name
    aside = path.with_name("aside")
    path.rename(aside)
    shutil.copy(aside, path)
    assert list(look(presence)) == [part]
    assert "got another one" in presence.trouble[part]
    path.unlink()
    assert list(look(presence)) == [part]
    aside.rename(path)
    assert look(presence) == {}, "it was put back"


def test_a_segment_that_was_ended_and_dropped_is_no_trouble(
    presence: Presence, spool: Spool
) -> None:
    for _ in range(3):
        spool.append(a_record())
        spool.rotate()
        spool.drop_before(spool.end)
        assert look(presence) == {}
    spool.rotate()
    next(spool.folder.glob(f"{spool.end.segment:012}.spool")).unlink()
    assert list(look(presence)) == ["spool"]


def test_what_is_gone_is_logged_once(
    presence: Presence, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state.db").unlink()
    with caplog.at_level(logging.ERROR, "roadworthy.store"):
        look(presence)
        look(presence)
    assert [record.getMessage() for record in caplog.records] == [
        f"database: {presence.trouble['database']}"
    ]
