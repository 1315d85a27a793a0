from __future__ import annotations

import fcntl
import multiprocessing
import os
import re
import threading
from collections.abc import Iterator
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from roadworthy.errors import StoreBusy, StoreError
from roadworthy.store.lock import find_holder, hold_project

SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def lock_file(tmp_path: Path) -> Path:
    return tmp_path / ".roadworthy" / "serving.lock"


@pytest.fixture
def dead_pid() -> int:
    child = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(child, 0)
    return child


def test_a_second_holder_is_refused_and_told_who_serves_since_when(tmp_path: Path) -> None:
    with hold_project(tmp_path), pytest.raises(StoreBusy) as refused:
        hold_project(tmp_path)
    assert re.search(
        rf"is served by process {os.getpid()} since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d UTC; "
        "stop it, or use its HTTP address$",
        str(refused.value),
    )


def test_the_refusal_names_the_address_once_the_holder_announced_it(tmp_path: Path) -> None:
    with hold_project(tmp_path) as lock:
        lock.announce("http://127.0.0.1:8700")
        with pytest.raises(StoreBusy, match=r"use its HTTP address http://127\.0\.0\.1:8700$"):
            hold_project(tmp_path)


def test_a_closed_lock_can_be_taken_again(tmp_path: Path) -> None:
    lock = hold_project(tmp_path)
    lock.close()
    lock.close()
    assert find_holder(tmp_path) is None
    with hold_project(tmp_path) as again:
        assert find_holder(tmp_path) == again.holder


def test_two_projects_do_not_know_each_other(tmp_path: Path) -> None:
    with hold_project(tmp_path / "a") as one, hold_project(tmp_path / "b"):
        one.announce("http://127.0.0.1:8700")
        holders = [find_holder(tmp_path / name) for name in ("a", "b")]
    assert [holder and holder.address for holder in holders] == ["http://127.0.0.1:8700", ""]


def test_a_project_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".roadworthy").write_text("a file where the folder should be")
    with pytest.raises(StoreError, match="expected a file that can be written"):
        hold_project(tmp_path)


@pytest.mark.parametrize("note", [b"", b"{", b"nonsense", b'{"pid": 1}', b"\xff" * 9])
def test_what_an_earlier_holder_left_does_not_matter(
    tmp_path: Path, lock_file: Path, note: bytes
) -> None:
    lock_file.parent.mkdir()
    lock_file.write_bytes(note)
    with (
        hold_project(tmp_path),
        pytest.raises(StoreBusy, match=f"served by process {os.getpid()} since"),
    ):
        hold_project(tmp_path)


@pytest.fixture
def silently_held(lock_file: Path) -> Iterator[Path]:
    """Hold the lock as a process does that has not yet written its name."""
    lock_file.parent.mkdir()
    with lock_file.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield lock_file


def test_a_note_that_names_a_dead_process_is_not_believed(
    tmp_path: Path, silently_held: Path, dead_pid: int
) -> None:
    silently_held.write_text(f'{{"pid": {dead_pid}, "since_us": 1}}')
    with pytest.raises(StoreBusy, match="served by another process"):
        hold_project(tmp_path)


@pytest.mark.parametrize("holder", [(0, 1), (10**12, 1), (1, 10**18), (1, -1)])
def test_a_note_that_makes_no_sense_is_not_believed(
    tmp_path: Path, silently_held: Path, holder: tuple[int, int]
) -> None:
    silently_held.write_text(f'{{"pid": {holder[0]}, "since_us": {holder[1]}}}')
    with pytest.raises(StoreBusy, match="served by another process"):
        hold_project(tmp_path)


def test_a_holder_that_has_not_said_its_name_is_another_process(
    tmp_path: Path, silently_held: Path
) -> None:
    with pytest.raises(StoreBusy, match="served by another process"):
        hold_project(tmp_path)


def test_whoever_only_looks_who_serves_keeps_nobody_from_serving(
    tmp_path: Path, lock_file: Path
) -> None:
    assert find_holder(tmp_path) is None
    lock_file.parent.mkdir()
    with lock_file.open("wb") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        timer = threading.Timer(0.02, fcntl.flock, (looking, fcntl.LOCK_UN))
        timer.start()
        with hold_project(tmp_path) as lock:
            assert find_holder(tmp_path) == lock.holder
        timer.join()
    assert find_holder(tmp_path) is None


def hold_for_ever(folder: Path, held: Event) -> None:
    lock = hold_project(folder)
    held.set()
    SPAWN.Event().wait()
    lock.close()


@pytest.mark.slow
def test_the_lock_of_a_killed_process_is_free(tmp_path: Path, lock_file: Path) -> None:
    held = SPAWN.Event()
    other = SPAWN.Process(target=hold_for_ever, args=(tmp_path, held))
    other.start()
    assert held.wait(30)
    with pytest.raises(StoreBusy, match=f"served by process {other.pid} since"):
        hold_project(tmp_path)
    other.kill()
    other.join(30)
    assert str(other.pid) in lock_file.read_text()
    with hold_project(tmp_path), pytest.raises(StoreBusy, match=f"process {os.getpid()} since"):
        hold_project(tmp_path)


def url_of(database: Path) -> str:
    return f"sqlite:///{database.as_posix()}"


def test_one_store_is_served_once_from_whatever_folder(tmp_path: Path) -> None:
    database = tmp_path / "a" / ".roadworthy" / "state.db"
    with hold_project(tmp_path / "a", url_of(database)) as lock:
        lock.announce("http://127.0.0.1:8700")
        with pytest.raises(StoreBusy) as refused:
            hold_project(tmp_path / "b", url_of(database))
    message = str(refused.value)
    assert message.startswith(f"the store {database} is served by process {os.getpid()} since")
    assert "stop it, or use its HTTP address http://127.0.0.1:8700" in message
    assert "a store of its own (`store.url`, ROADWORTHY_STORE_URL)" in message


def test_a_folder_that_was_refused_a_store_is_free_again(tmp_path: Path) -> None:
    database = tmp_path / "state.db"
    with hold_project(tmp_path / "a", url_of(database)), pytest.raises(StoreBusy):
        hold_project(tmp_path / "b", url_of(database))
    with hold_project(tmp_path / "b", url_of(database)) as again:
        assert find_holder(tmp_path / "b", url_of(database)) == again.holder


def test_a_link_to_a_store_is_that_store(tmp_path: Path) -> None:
    database, link = tmp_path / "state.db", tmp_path / "elsewhere" / "link.db"
    link.parent.mkdir()
    link.symlink_to(database)
    with hold_project(tmp_path / "a", url_of(database)), pytest.raises(StoreBusy):
        hold_project(tmp_path / "b", url_of(link))


def test_who_serves_a_store_is_found_from_another_folder(tmp_path: Path) -> None:
    database = tmp_path / "state.db"
    with hold_project(tmp_path / "a", url_of(database)) as lock:
        assert find_holder(tmp_path / "b", url_of(database)) == lock.holder
        assert find_holder(tmp_path / "b", url_of(tmp_path / "other.db")) is None
