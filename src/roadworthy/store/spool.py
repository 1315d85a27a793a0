"""The spool: where a record is safe before its answer is sent, and waits for the database.

Append-only files, `000000000001.spool` and on. An entry is its length and its CRC-32 (both u32,
little-endian) and then MessagePack. It is copied into a mapping of the file, so the kernel has it
at once and keeps it when the process is killed: half the time of a `write`, and no moment in which
another thread takes the interpreter. Room is allocated before it is mapped, so a full disk is an
error here and never a fault on a page; what is allocated and not used is zeros, which end a
segment.
There is no fsync: it costs a thousand times the copy, so a power cut or a kernel panic may lose the
last moments (Linux writes back within about 30 s). What was torn is found by its length or CRC and
said aloud.
"""

from __future__ import annotations

import logging
import mmap
import os
import struct
import threading
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import msgspec

from ..errors import StoreError
from ..types import MICRO, Clock, SpoolEntry

SEGMENT_BYTES = 64 << 20
EXTENT_BYTES = 1 << 20
BACKLOG_BYTES = 64 << 20
_READ_BYTES = 1 << 20

_HEADER = struct.Struct("<II")
_HEADER_BYTES = _HEADER.size
_NO_ROOM = mmap.mmap(-1, 1)
_log = logging.getLogger("roadworthy.store")


class Position(NamedTuple):
    """A place between two entries: the segment's number and the byte in it."""

    segment: int
    offset: int


class Spool:
    """Takes entries from the event loop's thread and gives them to the writer's.

    A process begins a segment of its own, so it never writes behind what another one tore.

    Attributes:
        folder: Where the segments lie. Its file `id` names the spool in the database, so that the
            folder may move.
    """

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        extent_bytes: int = EXTENT_BYTES,
        backlog_bytes: int = BACKLOG_BYTES,
    ) -> None:
        self.folder = folder
        self._clock = clock
        self._segment_bytes = segment_bytes
        self._extent_bytes = extent_bytes
        self._backlog_bytes = backlog_bytes
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder[SpoolEntry](SpoolEntry).decode
        self._lock = threading.Lock()
        self._backlog: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._why = ""
        self._since_us = 0
        self._fd, self._map = -1, _NO_ROOM
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._sizes = _segments_in(folder)
            self.id = _read_id(folder / "id", is_new=not self._sizes)
            self._damage = _left_aside(folder)
            self._current = max(self._sizes, default=0)
            self._begin(self._current + 1)
        except OSError as error:
            raise StoreError(
                f"expected a folder for the spool that can be written, got `{error.strerror}`"
                f" - {folder}; remount it or change its permissions"
            ) from error

    def append(self, entry: SpoolEntry) -> None:
        """Write one entry. When the disk will not take it, it waits in memory for the next try.

        Raises:
            StoreError: The disk has not taken entries for so long that no more may wait.
            OverflowError, TypeError: It holds what MessagePack has no word for; nothing is written.
        """
        payload = self._encode(entry)
        frame = _HEADER.pack(len(payload), crc32(payload)) + payload
        with self._lock:
            if self._backlog or not self._write(frame):
                self._wait(frame)

    def retry(self) -> None:
        """Write what waits in memory, as far as the disk takes it."""
        with self._lock:
            self._flush()

    def rotate(self) -> None:
        """Begin a new segment, so that the present one can be drained and dropped.

        Raises:
            StoreError: The disk does not take a new file.
        """
        with self._lock:
            try:
                self._begin(self._current + 1)
            except OSError as error:
                raise StoreError(
                    f"expected a new file in the spool, got `{error.strerror}` - {self.folder}"
                ) from error

    def close(self) -> None:
        """Try a last time to write what waits, and let go of the file."""
        with self._lock:
            self._flush()
            if self._backlog:
                _log.error("%d records are lost: %s", len(self._backlog), self._why)
            self._end_segment()

    def _write(self, frame: bytes) -> bool:
        """Write one frame whole or not at all. The caller holds the lock."""
        try:
            if self._fd < 0:
                self._begin(self._current + 1)
            size = self._sizes[self._current]
            end = size + len(frame)
            if end > len(self._map):
                self._grow(end)
        except OSError as error:
            self._why = error.strerror or str(error)
            return False
        self._map[size:end] = frame
        self._sizes[self._current] = end
        if end >= self._segment_bytes:
            self._begin_in_time()
        return True

    def _grow(self, least: int) -> None:
        """Allocate room for the segment to be at least so long."""
        allocated = len(self._map)
        wanted = -(-least // self._extent_bytes) * self._extent_bytes
        os.posix_fallocate(self._fd, allocated, wanted - allocated)
        self._map.resize(wanted)

    def _begin(self, number: int) -> None:
        path = self._path(number)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.posix_fallocate(fd, 0, self._extent_bytes)
            room = mmap.mmap(fd, self._extent_bytes)
        except OSError:
            os.close(fd)
            path.unlink()
            raise
        self._end_segment()
        self._fd, self._map = fd, room
        self._current = number
        self._sizes[number] = 0

    def _end_segment(self) -> None:
        """Let go of the present segment, and give back the room that it did not use."""
        if self._fd < 0:
            return
        self._map.close()
        with suppress(OSError):  # then it keeps its zeros, which a reader takes for its end
            os.ftruncate(self._fd, self._sizes[self._current])
        os.close(self._fd)
        self._fd, self._map = -1, _NO_ROOM

    def _begin_in_time(self) -> None:
        """Begin the next segment, or stay in this one and try again with the next entry."""
        try:
            self._begin(self._current + 1)
        except OSError as error:
            _log.warning("no new file in the spool yet (%s) - %s", error.strerror, self.folder)

    def _wait(self, frame: bytes) -> None:
        if not self._backlog:
            self._since_us = self._clock.now_us()
            _log.error("the spool cannot be written (%s) - %s", self._why, self.folder)
        if self._waiting_bytes + len(frame) > self._backlog_bytes:
            self._flush()
        if self._waiting_bytes + len(frame) > self._backlog_bytes:
            raise StoreError(f"expected room for one more entry, got none: {self._cannot_write()}")
        self._backlog.append(frame)
        self._waiting_bytes += len(frame)
        self._flush()

    def _flush(self) -> None:
        while self._backlog and self._write(self._backlog[0]):
            self._waiting_bytes -= len(self._backlog.popleft())
            if not self._backlog:
                _log.warning("the spool can be written again - %s", self.folder)

    @property
    def backlog(self) -> int:
        """How many entries wait in memory because the disk does not take them."""
        return len(self._backlog)

    @property
    def is_full(self) -> bool:
        """Whether to refuse new requests: the half that is left is for those already running."""
        return self._waiting_bytes * 2 > self._backlog_bytes

    @property
    def trouble(self) -> str:
        """What is wrong, in one sentence; empty when nothing is."""
        return self._cannot_write() if self._backlog else self._damage

    def _cannot_write(self) -> str:
        since = datetime.fromtimestamp(self._since_us // MICRO, UTC).isoformat()
        return (
            f"the spool cannot be written since {since} (`{self._why}`), {self.backlog} entries"
            f" wait in memory - {self.folder}; free space or remount the disk"
        )

    @property
    def path(self) -> Path:
        """Where the segment that is written to lies, unless somebody moved it."""
        return self._path(self._current)

    @property
    def end(self) -> Position:
        """Where the next entry will begin."""
        with self._lock:
            return Position(self._current, self._sizes[self._current])

    def bytes_after(self, position: Position) -> int:
        """Return how many bytes lie behind `position`, on disk and in memory."""
        with self._lock:
            ahead = sum(size for n, size in self._sizes.items() if n >= position.segment)
            drained = position.offset if position.segment in self._sizes else 0
            return ahead - drained + self._waiting_bytes

    def read(self, start: Position, limit: int) -> tuple[list[SpoolEntry], Position]:
        """Return up to `limit` whole entries from `start` on, and the position behind them.

        An entry at the end of the present segment that is not whole yet is left for later.

        Raises:
            StoreError: A segment cannot be read, or what cannot be decoded not be set aside.
        """
        with self._lock:
            current = self._current
            sizes = {n: size for n, size in self._sizes.items() if n >= start.segment}
        try:
            for number, size in sizes.items():
                offset = start.offset if number == start.segment else 0
                entries, end = self._read_segment(number, offset, limit)
                if entries or number == current:
                    return entries, Position(number, end)
                if end < size and not self._is_unfinished(number, end):
                    self._keep_damaged(number, end)
        except OSError as error:
            raise StoreError(
                f"expected a spool that can be read, got `{error.strerror}` - {error.filename}"
            ) from error
        return [], start

    def _is_unfinished(self, number: int, offset: int) -> bool:
        """Whether a segment holds no more than one entry from `offset` on, cut by a killed process.

        Such an entry was never acknowledged, and only room that was not used follows it. An entry
        that anything follows, or that the file is too short for, is damage.
        """
        with self._path(number).open("rb") as file:
            file.seek(offset)
            head = file.read(_HEADER.size)
            if len(head) < _HEADER.size:
                return not any(head)
            length, _ = _HEADER.unpack(head)
            if offset + _HEADER.size + length > os.fstat(file.fileno()).st_size:
                return False
            file.seek(length, os.SEEK_CUR)
            return not any(map(any, iter(lambda: file.read(_READ_BYTES), b"")))

    def _read_segment(self, number: int, offset: int, limit: int) -> tuple[list[SpoolEntry], int]:
        with self._path(number).open("rb") as file:
            file.seek(offset)
            data = file.read(_READ_BYTES)
            entries, used = self._parse(data, limit)
            if not used and len(data) == _READ_BYTES:  # one entry that is larger than that
                (length, _) = _HEADER.unpack_from(data)
                entries, used = self._parse(data + file.read(length), 1)
        return entries, offset + used

    def _parse(self, data: bytes, limit: int) -> tuple[list[SpoolEntry], int]:
        """Return the whole entries at the start of `data` and how many bytes they take."""
        entries: list[SpoolEntry] = []
        view = memoryview(data)
        at, end, decode = 0, len(data), self._decode
        while end - at > _HEADER_BYTES and len(entries) < limit:
            length, crc = _HEADER.unpack_from(data, at)
            begin = at + _HEADER_BYTES
            payload = view[begin : begin + length]
            # A length of 0 is what a file system leaves where a power cut ate the content.
            if not length or begin + length > end or crc32(payload) != crc:
                break
            try:
                entries.append(decode(payload))
            except msgspec.DecodeError as error:
                self._set_aside(bytes(payload), str(error))
            at = begin + length
        return entries, at

    def drop_before(self, position: Position) -> None:
        """Delete the segments that lie wholly before `position`; damaged ones are kept aside."""
        with self._lock:
            drained = [n for n in self._sizes if n < position.segment and n != self._current]
            for number in drained:
                del self._sizes[number]
        for number in drained:
            try:
                self._path(number).unlink(missing_ok=True)
            except OSError as error:  # what lies before the stored position is never read again
                _log.warning("a drained segment stays (%s) - %s", error.strerror, self.folder)

    def set_aside(self, entry: SpoolEntry, why: str) -> None:
        """Keep an entry that the database will never take in the file `rejected`, and say so.

        Raises:
            StoreError: That file cannot be written either.
        """
        self._set_aside(self._encode(entry), why)

    def _set_aside(self, payload: bytes, why: str) -> None:
        path = self.folder / "rejected"
        try:
            with path.open("ab") as file:
                file.write(_HEADER.pack(len(payload), crc32(payload)) + payload)
        except OSError as error:
            raise StoreError(
                f"expected a file that can be written, got `{error.strerror}` - {path}"
            ) from error
        _log.error("an entry of the spool was set aside (%s) - %s", why, path)
        self._damage = _left_aside(self.folder)

    def _keep_damaged(self, number: int, end: int) -> None:
        """Keep a closed segment in which not all is whole entries, instead of deleting it."""
        path = self._path(number)
        _log.error("from byte %d on the spool holds no whole entries - %s", end, path)
        path.rename(path.with_suffix(".damaged"))
        with self._lock:
            del self._sizes[number]
        self._damage = _left_aside(self.folder)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:012}.spool"


def _read_id(path: Path, is_new: bool) -> str:
    """Return the spool's name; one whose segments somebody removed begins to count anew."""
    if is_new or not path.exists():
        path.write_text(os.urandom(8).hex())
    return path.read_text()


def used_bytes(path: Path) -> int:
    """Return how many bytes of a segment hold entries; the rest is room that was not used."""
    at = 0
    with path.open("rb") as file:
        while len(head := file.read(_HEADER.size)) == _HEADER.size:
            length, _ = _HEADER.unpack(head)
            if not length:
                break
            at += _HEADER.size + length
            file.seek(at)
    return at


def _segments_in(folder: Path) -> dict[int, int]:
    """Return the size of each segment by its number, in order."""
    return {int(path.stem): path.stat().st_size for path in sorted(folder.glob("*.spool"))}


def _left_aside(folder: Path) -> str:
    """Say what lies in the spool's folder that could not be read or stored."""
    aside = sorted(path.name for path in folder.iterdir() if _is_aside(path))
    if not aside:
        return ""
    return (
        f"parts of the spool could not be read or stored: {', '.join(aside)} - {folder};"
        " look at them, then move them away"
    )


def _is_aside(path: Path) -> bool:
    return path.suffix == ".damaged" or path.name == "rejected"
