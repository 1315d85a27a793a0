from __future__ import annotations

import os
import resource
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_samples import CLOCK, a_hold, a_record, an_outcome, some_records
from store_samples import records as any_records

from roadworthy.errors import StoreError
from roadworthy.store.spool import EXTENT_BYTES, Position, Spool
from roadworthy.types import Record, SpoolEntry

BEGIN = Position(0, 0)
UNLIMITED = resource.getrlimit(resource.RLIMIT_FSIZE)[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def spool(folder: Path) -> Iterator[Spool]:
    spool = Spool(folder, CLOCK, extent_bytes=1000)
    yield spool
    spool.close()


def read_all(spool: Spool, start: Position = BEGIN) -> list[SpoolEntry]:
    """Read to the end, a few at a time."""
    found: list[SpoolEntry] = []
    while True:
        entries, end = spool.read(start, 3)
        if end == start:
            return found
        found += entries
        start = end


def segments(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.spool"))


def test_entries_come_back_in_order_and_equal(spool: Spool) -> None:
    record = a_record(features={"wind": 3.5, "gates": ["A1"]}, input=b"{}", output=b"\x00\xff")
    entries: list[SpoolEntry] = [a_hold(record.id), record, an_outcome(record.id, {"late": True})]
    for entry in entries:
        spool.append(entry)
    assert read_all(spool) == entries


@given(st.lists(any_records, max_size=4))
@settings(max_examples=30, deadline=None)
def test_every_record_survives_the_spool(
    tmp_path_factory: pytest.TempPathFactory, records: list[SpoolEntry]
) -> None:
    spool = Spool(tmp_path_factory.mktemp("any"), CLOCK)
    for record in records:
        spool.append(record)
    assert read_all(spool) == records
    spool.close()


def test_an_entry_larger_than_a_read_comes_back_whole(spool: Spool) -> None:
    entries = [a_record(), a_record(input=b"x" * 3_000_000), a_record()]
    for entry in entries:
        spool.append(entry)
    assert read_all(spool) == entries


def test_reading_goes_on_where_it_ended(spool: Spool) -> None:
    first, second = some_records(2)
    spool.append(first)
    entries, end = spool.read(BEGIN, 10)
    assert entries == [first]
    assert spool.read(end, 10) == ([], end)
    spool.append(second)
    assert spool.read(end, 10)[0] == [second]


def test_a_new_process_begins_a_segment_of_its_own(folder: Path) -> None:
    first, second = some_records(2)
    abandoned = Spool(folder, CLOCK)  # as if killed: never closed
    abandoned.append(first)
    spool = Spool(folder, CLOCK)
    spool.append(second)
    assert read_all(spool) == [first, second]
    assert segments(folder) == ["000000000001.spool", "000000000002.spool"]
    assert spool.id == abandoned.id
    spool.close()
    abandoned.close()


def test_segments_are_rotated_and_dropped_when_drained(folder: Path) -> None:
    spool = Spool(folder, CLOCK, segment_bytes=500)
    records = some_records(20)
    for record in records:
        spool.append(record)
    assert len(segments(folder)) > 5
    end = spool.read(BEGIN, 1)[1]
    spool.drop_before(end)
    assert read_all(spool, end) == records[1:]
    spool.drop_before(spool.end)
    assert segments(folder) == [f"{spool.end.segment:012}.spool"]
    assert spool.bytes_after(spool.end) == 0
    spool.close()


def test_the_bytes_that_are_left_are_counted(spool: Spool) -> None:
    assert spool.bytes_after(BEGIN) == 0
    for record in some_records(3):
        spool.append(record)
    whole = spool.bytes_after(BEGIN)
    _, end = spool.read(BEGIN, 1)
    assert whole == spool.end.offset
    assert spool.bytes_after(end) == whole - end.offset


def test_a_rotated_spool_can_drop_what_it_wrote(spool: Spool, folder: Path) -> None:
    spool.append(a_record())
    spool.rotate()
    spool.drop_before(spool.end)
    assert segments(folder) == ["000000000002.spool"]


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_tail_torn_at_any_byte_loses_only_what_was_not_whole(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("torn")
    records = some_records(4)
    ends = []
    with_all = Spool(folder, CLOCK)
    for record in records:
        with_all.append(record)
        ends.append(with_all.end.offset)
    with_all.close()
    cut = data.draw(st.integers(0, ends[-1]))
    os.truncate(folder / "000000000001.spool", cut)
    spool = Spool(folder, CLOCK)
    spool.append(records[0])
    whole = sum(end <= cut for end in ends)
    assert read_all(spool) == [*records[:whole], records[0]]
    is_torn = cut not in (0, *ends)
    assert ("000000000001.damaged" in spool.trouble) == is_torn
    spool.close()


@pytest.mark.parametrize("at", [4, 8, 40, -1])
def test_a_flipped_byte_is_reported_and_what_follows_the_segment_is_read(
    folder: Path, at: int
) -> None:
    records = some_records(3)
    broken = Spool(folder, CLOCK)
    ends = [0]
    for record in records:
        broken.append(record)
        ends.append(broken.end.offset)
    broken.close()
    path = folder / "000000000001.spool"
    content = bytearray(path.read_bytes())
    where = ends[1] + at if at >= 0 else ends[2] - 1
    content[where] ^= 0x40
    path.write_bytes(content)
    spool = Spool(folder, CLOCK)
    spool.append(records[2])
    assert read_all(spool) == [records[0], records[2]]
    assert "000000000001.damaged" in spool.trouble
    assert (folder / "000000000001.damaged").read_bytes() == content
    spool.close()
    (folder / "000000000001.damaged").unlink()
    again = Spool(folder, CLOCK)
    assert again.trouble == ""
    again.close()


def test_room_that_was_not_used_is_the_end_of_a_segment(folder: Path) -> None:
    record = a_record()
    killed = Spool(folder, CLOCK)
    killed.append(record)
    assert (folder / "000000000001.spool").stat().st_size == EXTENT_BYTES
    spool = Spool(folder, CLOCK)
    assert read_all(spool) == [record]
    assert spool.trouble == ""
    spool.drop_before(spool.end)
    assert segments(folder) == ["000000000002.spool"]
    spool.close()
    killed.close()


@pytest.mark.parametrize("missing", [1, 30, 100])
def test_an_entry_that_a_killed_process_did_not_finish_is_no_damage(
    folder: Path, missing: int
) -> None:
    first, second = some_records(2)
    killed = Spool(folder, CLOCK)
    killed.append(first)
    killed.append(second)
    end = killed.end.offset
    with (folder / "000000000001.spool").open("r+b") as file:
        file.seek(end - missing)
        file.write(bytes(missing))
    spool = Spool(folder, CLOCK)
    assert read_all(spool) == [first]
    assert spool.trouble == ""
    spool.close()
    killed.close()


def test_what_follows_a_hole_is_said_to_be_damaged(folder: Path) -> None:
    record = a_record()
    cut = Spool(folder, CLOCK)
    cut.append(record)
    cut.close()
    with (folder / "000000000001.spool").open("ab") as file:
        file.write(bytes(100) + b"what a power cut left behind")
    spool = Spool(folder, CLOCK)
    assert read_all(spool) == [record]
    assert "damaged" in spool.trouble
    assert "rejected" not in spool.trouble
    spool.close()


def test_a_closed_spool_takes_only_the_room_it_used(folder: Path) -> None:
    spool = Spool(folder, CLOCK)
    spool.append(a_record())
    used = spool.end.offset
    spool.close()
    assert (folder / "000000000001.spool").stat().st_size == used


def test_what_cannot_be_decoded_is_set_aside_and_the_rest_is_read(folder: Path) -> None:
    class Other(msgspec.Struct, array_like=True, tag="x"):
        a: int

    spool = Spool(folder, CLOCK)
    first, second = some_records(2)
    spool.append(first)
    spool.append(Other(1))  # type: ignore[arg-type]
    spool.append(second)
    assert read_all(spool) == [first, second]
    assert "rejected" in spool.trouble
    assert msgspec.msgpack.encode(Other(1)) in (folder / "rejected").read_bytes()
    spool.close()


def limit_files(size: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))


@contextmanager
def full_disk() -> Iterator[None]:
    """Let no file grow beyond 1,000 bytes: no more room than that can be allocated.

    Only inside of a test: what the test runner itself writes may go to a file as well.
    """
    limit_files(1000)
    try:
        yield
    finally:
        limit_files(UNLIMITED)


@full_disk()
def test_what_the_disk_refuses_waits_and_is_written_later(spool: Spool) -> None:
    records = some_records(30)
    for record in records:
        spool.append(record)
    assert spool.backlog > 0
    assert not spool.is_full
    assert f"{spool.backlog} entries wait in memory" in spool.trouble
    assert len(read_all(spool)) == 30 - spool.backlog
    limit_files(UNLIMITED)
    spool.retry()
    assert spool.trouble == ""
    assert read_all(spool) == records
    assert spool.bytes_after(BEGIN) == spool.end.offset


@full_disk()
def test_the_next_entry_brings_what_waits_along(spool: Spool) -> None:
    records = some_records(30)
    for record in records[:-1]:
        spool.append(record)
    limit_files(UNLIMITED)
    spool.append(records[-1])
    assert spool.backlog == 0
    assert read_all(spool) == records


@full_disk()
def test_waiting_entries_count_as_not_drained(spool: Spool) -> None:
    for record in some_records(30):
        spool.append(record)
    assert spool.bytes_after(spool.end) > 0


@full_disk()
def test_a_full_backlog_refuses_instead_of_losing(folder: Path) -> None:
    spool = Spool(folder, CLOCK, extent_bytes=1000, backlog_bytes=3000)
    taken = some_records(100)
    while not spool.is_full:
        spool.append(taken.pop())
    with pytest.raises(StoreError, match="expected room for one more entry"):
        spool.append(a_record(input=b"x" * 2000))
    limit_files(UNLIMITED)
    spool.close()
    again = Spool(folder, CLOCK)
    assert len(read_all(again)) == 100 - len(taken)
    again.close()


def test_room_that_cannot_be_given_back_does_no_harm(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(fd: int, size: int) -> None:
        raise OSError(5, "Input/output error")

    spool = Spool(folder, CLOCK, segment_bytes=1000, extent_bytes=700)
    records = some_records(30)
    monkeypatch.setattr("os.ftruncate", fail)
    for record in records:
        spool.append(record)
    assert read_all(spool) == records
    assert spool.trouble == ""
    spool.close()


def test_a_folder_that_cannot_be_written_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="expected a folder for the spool"):
        Spool(tmp_path / "file" / "spool", CLOCK)


def test_it_says_where_it_writes(spool: Spool, folder: Path) -> None:
    first = spool.path
    assert (first.parent, first.exists()) == (folder, True)
    spool.rotate()
    assert spool.path > first
    assert spool.path.exists()


def test_a_folder_that_vanished_is_an_error_of_the_store(spool: Spool, folder: Path) -> None:
    spool.append(a_record())
    (folder / "000000000001.spool").unlink()
    with pytest.raises(StoreError, match="No such file or directory"):
        spool.read(BEGIN, 10)


def test_one_thread_may_append_while_another_reads_and_drops(folder: Path) -> None:
    spool = Spool(folder, CLOCK, segment_bytes=5_000)
    records = some_records(3000)
    found: list[SpoolEntry] = []

    def follow() -> None:
        position = BEGIN
        while len(found) < len(records):
            entries, position = spool.read(position, 100)
            found.extend(entries)
            spool.drop_before(position)

    reader = threading.Thread(target=follow)
    reader.start()
    for record in records:
        spool.append(record)
    reader.join(20)
    assert found == records
    assert spool.trouble == ""
    spool.close()


@pytest.mark.slow
def test_every_append_that_returned_survives_kill_9(folder: Path) -> None:
    code = textwrap.dedent(
        f"""
        import os, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from pathlib import Path
        from store_samples import CLOCK, a_record
        from roadworthy.store.spool import Spool
        spool = Spool(Path({str(folder)!r}), CLOCK)
        while True:
            record = a_record()
            spool.append(record)
            os.write(1, (record.id + "\\n").encode())
        """
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        said = [process.stdout.readline().decode().strip() for _ in range(2000)]
        process.kill()
        said += process.stdout.read().decode().split("\n")[:-1]
    spool = Spool(folder, CLOCK)
    found = [entry.id for entry in read_all(spool) if isinstance(entry, Record)]
    assert found[: len(said)] == said
    assert len(found) - len(said) <= 1
    assert spool.trouble == ""
    spool.close()
