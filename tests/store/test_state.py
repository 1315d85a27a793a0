from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, insert, select, text
from sqlalchemy.exc import IntegrityError, OperationalError
from store_samples import a_record

from roadworthy.errors import NotFound, StoreError
from roadworthy.store.records import find_records, record_row
from roadworthy.store.schema import metadata
from roadworthy.store.state import SCHEMA, insert_rows, open_state, open_state_to_read, reading
from roadworthy.store.tables import actions, records, spendings


def at(path: Path) -> str:
    return f"sqlite:///{path}"


def schema_of(path: Path) -> dict[str, str]:
    """Return what SQLite was told to create, by name, without its spacing."""
    found = sqlite3.connect(path).execute("SELECT name, sql FROM sqlite_master WHERE sql <> ''")
    return {name: re.sub(r"\s+", "", sql.replace('"', "")) for name, sql in found}


def test_the_folder_and_the_database_are_created(tmp_path: Path) -> None:
    engine = open_state(at(tmp_path / "deep" / "down" / "state.db"))
    with engine.connect() as connection:
        assert connection.execute(select(spendings)).all() == []
    engine.dispose()


def test_readers_do_not_wait_for_the_writer(tmp_path: Path) -> None:
    engine = open_state(at(tmp_path / "state.db"))
    with engine.begin() as writing, engine.connect() as other:
        writing.execute(insert(spendings).values(day_us=1, scope="a", micro=1))
        assert other.execute(select(spendings)).all() == []
        assert other.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert other.exec_driver_sql("PRAGMA synchronous").scalar() == 1
        assert other.exec_driver_sql("PRAGMA busy_timeout").scalar() == 5000
    engine.dispose()


def test_the_migrations_make_what_the_tables_say(tmp_path: Path) -> None:
    open_state(at(tmp_path / "migrated.db")).dispose()
    direct = create_engine(at(tmp_path / "direct.db"))
    metadata.create_all(direct)
    direct.dispose()
    migrated = schema_of(tmp_path / "migrated.db")
    extra = {"alembic_version", "actions_no_update", "actions_no_delete"}
    assert extra <= migrated.keys()
    made = {name: sql for name, sql in migrated.items() if name not in extra}
    assert made == schema_of(tmp_path / "direct.db")


def test_alembic_finds_nothing_left_to_migrate(tmp_path: Path) -> None:
    engine = open_state(at(tmp_path / "state.db"))
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_the_schema_this_version_knows_is_the_newest_revision() -> None:
    config = Config()
    config.set_main_option("script_location", "roadworthy.store:migrations")
    assert ScriptDirectory.from_config(config).get_current_head() == SCHEMA


@pytest.mark.slow
def test_alembic_is_not_imported_when_nothing_is_to_migrate(tmp_path: Path) -> None:
    open_state(at(tmp_path / "state.db")).dispose()
    code = (
        "import sys; from roadworthy.store.state import open_state;"
        f"open_state({at(tmp_path / 'state.db')!r}).dispose(); sys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("attempt", range(5))
def test_several_that_open_a_new_state_at_once_all_get_it(tmp_path: Path, attempt: int) -> None:
    opened: list[Engine] = []
    threads = [
        threading.Thread(target=lambda: opened.append(open_state(at(tmp_path / "state.db"))))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 4
    for engine in opened:
        engine.dispose()


@pytest.mark.parametrize("change", ["UPDATE actions SET \"by\" = 'x'", "DELETE FROM actions"])
def test_actions_can_only_be_appended(tmp_path: Path, change: str) -> None:
    engine = open_state(at(tmp_path / "state.db"))
    row = dict.fromkeys(("by", "action", "subject", "detail", "previous", "hash"), "x")
    with engine.begin() as connection:
        connection.execute(insert(actions).values(seq=1, at_us=1, **row))
    with pytest.raises(IntegrityError, match="append-only"), engine.begin() as connection:
        connection.execute(text(change))
    engine.dispose()


def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    open_state(at(path)).dispose()
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9001'")
    raw.close()
    before = schema_of(path)
    with pytest.raises(StoreError, match=f"expected schema {SCHEMA} or older, got 9001"):
        open_state(at(path))
    assert schema_of(path) == before


def test_a_state_of_the_first_schema_is_brought_to_this_one_with_what_it_holds(
    tmp_path: Path,
) -> None:
    config = Config()
    config.set_main_option("script_location", "roadworthy.store:migrations")
    old = create_engine(at(tmp_path / "state.db"))
    record = a_record(tags=("web", "web", "app"), reasons=("late", "no answer"))
    with old.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        marks = ", ".join("?" * len(records.c))
        for row in (record_row(record), record_row(a_record())):
            connection.exec_driver_sql(f"INSERT INTO records VALUES ({marks})", row)
    old.dispose()
    engine = open_state(at(tmp_path / "state.db"))
    assert find_records(engine, tag="web") == find_records(engine, error="NO") == [record]
    assert find_records(engine, tag="none") == []
    assert len(find_records(engine)) == 2
    engine.dispose()


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_text("this is not a database, but long enough to be mistaken for one\n" * 100)
    with pytest.raises(StoreError, match="file is not a database"):
        open_state(at(path))


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="expected a folder that can be made") as caught:
        open_state(at(tmp_path / "file" / "state.db"))
    assert str(tmp_path / "file") in str(caught.value)


def test_a_read_only_place_is_refused_before_anything_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root may write everywhere, so what the system says of a read-only disk is said here.
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(StoreError, match="got a read-only one"):
        open_state(at(tmp_path / "state.db"))


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_state_in_memory_is_refused(url: str) -> None:
    with pytest.raises(StoreError, match="expected the path of a file"):
        open_state(url)


@pytest.mark.parametrize("url", ["state.db", "nosuch+driver://host/db"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(StoreError, match=r"store\.url: expected `sqlite:///…` or"):
        open_state(url)


def test_a_password_does_not_appear_in_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        open_state("postgresql+nosuch://user:hunter2@127.0.0.1/db")
    assert "hunter2" not in str(caught.value)


def test_reading_shows_one_moment(tmp_path: Path) -> None:
    engine = open_state(at(tmp_path / "state.db"))
    with reading(engine) as connection:
        assert connection.execute(select(spendings)).all() == []
        with engine.begin() as other:
            other.execute(insert(spendings).values(day_us=1, scope="a", micro=1))
        assert connection.execute(select(spendings)).all() == []
    with reading(engine) as connection:
        assert len(connection.execute(select(spendings)).all()) == 1
    engine.dispose()


def test_rows_that_exist_raise_are_ignored_or_added_up(tmp_path: Path) -> None:
    engine = open_state(at(tmp_path / "state.db"))
    with engine.begin() as connection:
        insert_rows(connection, spendings, [(1, "a", 5), (1, "b", 7)])
        insert_rows(connection, spendings, [(1, "a", 100)], "ignore")
        insert_rows(connection, spendings, [(1, "b", 3), (2, "b", 1)], "add")
        found = connection.execute(select(spendings).order_by("day_us", "scope")).all()
        assert list(map(tuple, found)) == [(1, "a", 5), (1, "b", 10), (2, "b", 1)]
        with pytest.raises(IntegrityError):
            insert_rows(connection, spendings, [(1, "a", 5)])
    engine.dispose()


def test_a_state_that_is_not_there_is_not_made_to_be_read(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="expected a state, got none"):
        open_state_to_read(at(tmp_path / "state.db"))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def shut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a state in a place where nothing can be written."""
    open_state(at(tmp_path / "state.db")).dispose()
    monkeypatch.setattr("roadworthy.store.state._can_be_written", lambda _: False)
    return tmp_path / "state.db"


def test_a_state_where_nothing_can_be_written_is_read(shut: Path) -> None:
    engine = open_state_to_read(at(shut))
    with engine.connect() as connection:
        assert connection.execute(select(spendings)).all() == []
        with pytest.raises(OperationalError, match="readonly"):
            connection.execute(insert(spendings).values(day_us=1, scope="a", micro=1))
    engine.dispose()


def test_on_a_disk_that_nobody_can_write_no_file_is_made_to_read_a_state(
    shut: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = os.statvfs(shut)
    read_only = os.statvfs_result((*found[:8], found.f_flag | os.ST_RDONLY, *found[9:]))
    monkeypatch.setattr("os.statvfs", lambda _: read_only)
    engine = open_state_to_read(at(shut))
    with engine.connect() as connection:
        assert connection.execute(select(spendings)).all() == []
        assert [path.name for path in shut.parent.iterdir()] == ["state.db"]
    engine.dispose()


def test_what_cannot_be_migrated_says_so(shut: Path) -> None:
    with sqlite3.connect(shut) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    with pytest.raises(StoreError, match=f"expected schema {SCHEMA}, got 0001 where nothing can"):
        open_state_to_read(at(shut))


def test_a_database_that_is_gone_is_not_made_anew_and_read_again_when_it_is_back(
    tmp_path: Path,
) -> None:
    path = tmp_path / "state.db"
    engine = open_state(f"sqlite:///{path}")
    with engine.connect() as held:
        held.execute(records.select().limit(1))
        path.rename(tmp_path / "aside")
        with pytest.raises(OperationalError, match="unable to open"), engine.connect():
            pass
        assert not path.exists()
        (tmp_path / "aside").rename(path)
        with engine.connect() as other:
            assert other.execute(records.select().limit(1)).all() == []
