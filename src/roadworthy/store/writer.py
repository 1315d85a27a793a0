"""The one thread that moves what the spool holds into the database."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, Engine, bindparam, delete, select, update
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from ..errors import StoreError
from ..types import Clock, Draft, Hold, Outcome, Pair, Record, Review, SpoolEntry
from .attempt_hours import add_attempts, take_attempts, tally_attempts
from .pairs import add_pairs
from .records import outcome_row, record_of, record_row
from .reviews import add_drafts, add_reviews
from .rollups import add_cells, take_cells, tally
from .spending import add_spending, close_holds, open_holds
from .spool import Position, Spool
from .state import insert_rows
from .tables import bodies, outcomes, record_errors, record_tags, records, spool_positions

Sink = Callable[[Sequence[SpoolEntry]], None]

BATCH = 1000
_WAKE_S = 0.2
"""How often it looks: at 8,000 requests/s four times as often costs each of them 4 us more."""
_LONGEST_WAIT_S = 5.0
_log = logging.getLogger("roadworthy.store")


_MOVE = (
    update(spool_positions)
    .where(
        spool_positions.c.spool == bindparam("id"),
        spool_positions.c.segment == bindparam("from_segment"),
        spool_positions.c.offset == bindparam("from_offset"),
    )
    .values(segment=bindparam("to_segment"), offset=bindparam("to_offset"))
)


class Lag(NamedTuple):
    """How far the database is behind the spool: since how many seconds, and by how many bytes."""

    seconds: float
    bytes: int


class Writer:
    """Drains the spool into the database, each entry exactly once.

    One transaction holds a batch of entries, everything that is added up from them, and the
    position in the spool behind them: whatever ends it in the middle, the next one begins at the
    same place.

    Args:
        spool: Where entries come from.
        engine: The state they go to.
        sinks: Called with what a batch has stored, after its commit.
        clock: Measures the lag.
    """

    def __init__(self, spool: Spool, engine: Engine, sinks: Sequence[Sink], clock: Clock) -> None:
        self._spool = spool
        self._engine = engine
        self._sinks = tuple(sinks)
        self._clock = clock
        self._position: Position | None = None
        self._draining = threading.Lock()
        self._awake = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._why = ""
        self._mark = Position(0, 0)
        self._marked_at = self._in_step_at = clock.monotonic()
        self._failed_sinks: set[Sink] = set()

    def start(self) -> None:
        """Begin to drain in the background."""
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="roadworthy-writer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Drain what is there and end the thread; what the database refuses stays in the spool."""
        self._stopping = True
        self._awake.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        try:
            self.drain()
        except StoreError as error:
            _log.error("the last records were not stored; the next start tries again: %s", error)

    def wake(self) -> None:
        """Let the thread look now instead of within 200 ms."""
        self._awake.set()

    def drain(self) -> int:
        """Move all there is into the database and return how many entries it was.

        Raises:
            StoreError: The database or the spool does not take part now; what lies in the spool
                stays there.
        """
        moved = 0
        with self._draining:
            self._spool.retry()
            try:
                while (entries := self._drain_batch()) is not None:
                    moved += entries
            except (SQLAlchemyError, StoreError) as error:
                self._position = None  # the commit itself may have failed, or not: ask again
                # A StoreError is about the spool itself: whether anything waits there, it says.
                is_database = isinstance(error, SQLAlchemyError)
                what = "records wait in the spool" if is_database else "records are not stored"
                self._why = f"{what}: {_reason(error)}"
                raise StoreError(self._why) from error
            self._why = ""
        return moved

    @property
    def trouble(self) -> str:
        """What is wrong here or in the spool, in one sentence; empty when nothing is."""
        return "; ".join(filter(None, (self._why, self._spool.trouble)))

    @property
    def lag(self) -> Lag:
        """How far the database is behind."""
        behind = self._spool.bytes_after(self._position or Position(0, 0))
        seconds = self._clock.monotonic() - self._in_step_at if behind else 0.0
        return Lag(seconds, behind)

    def _run(self) -> None:
        wait_s = _WAKE_S
        while not self._stopping:
            self._awake.wait(wait_s)
            self._awake.clear()
            known = self._why
            try:
                self.drain()
                wait_s = _WAKE_S
            except Exception as error:  # noqa: BLE001 - an edge: a thread that ends, ends in silence
                self._why = self._why or f"records are not stored: {error!r}"
                if known != self._why:
                    _log.error("%s", self._why, exc_info=error)
                wait_s = min(wait_s * 2, _LONGEST_WAIT_S)

    def _drain_batch(self) -> int | None:
        """Move one batch and return how many entries it was, or None when nothing is left."""
        start = self._position or self._read_position()
        entries, end = self._spool.read(start, BATCH)
        self._note_progress(end)
        if end == start:
            return None
        stored = self._store(entries, start, end)
        self._position = end
        self._spool.drop_before(end)
        self._tell_sinks(stored)
        return len(entries)

    def _note_progress(self, end: Position) -> None:
        """Keep the time at which everything that is drained by now had been written."""
        if end >= self._mark:
            self._in_step_at = self._marked_at
            self._mark, self._marked_at = self._spool.end, self._clock.monotonic()

    def _store(
        self, entries: list[SpoolEntry], start: Position, end: Position
    ) -> Sequence[SpoolEntry]:
        """Store a batch, and return those of its entries that were not there before."""
        try:
            with self._engine.begin() as connection:
                self._move(connection, start, end)
                _write(connection, entries)
            return entries
        except (IntegrityError, DataError, OverflowError):
            with self._engine.begin() as connection:
                self._move(connection, start, end)
                return [entry for entry in entries if self._write_alone(connection, entry)]

    def _move(self, connection: Connection, start: Position, end: Position) -> None:
        """Move the stored position, which also takes the write lock before anything is read."""
        places = {"id": self._spool.id, "from_segment": start.segment, "from_offset": start.offset}
        moved = connection.execute(
            _MOVE, {**places, "to_segment": end.segment, "to_offset": end.offset}
        )
        if moved.rowcount != 1:
            raise StoreError(f"expected one process to drain this spool - {self._spool.folder}")

    def _write_alone(self, connection: Connection, entry: SpoolEntry) -> bool:
        """Store one entry of a batch that could not be stored as it is, unless it is there already.

        One that the database will never take, such as a count beyond 64 bits, is set aside: else
        everything behind it would wait for ever.
        """
        try:
            with connection.begin_nested():
                if isinstance(entry, Record) and not _make_room(connection, entry):
                    return False
                _write(connection, [entry])
        except (IntegrityError, DataError, OverflowError) as error:
            self._spool.set_aside(entry, type(error).__name__)
            return False
        return True

    def _read_position(self) -> Position:
        table = spool_positions
        is_ours = table.c.spool == self._spool.id
        with self._engine.begin() as connection:
            insert_rows(connection, table, [(self._spool.id, 0, 0)], "ignore")
            query = select(table.c.segment, table.c.offset).where(is_ours)
            position = Position(*connection.execute(query).one())
            if position > self._spool.end:
                # The folder is an older copy. What it repeats is known by its ids.
                position = Position(0, 0)
                connection.execute(update(table).where(is_ours).values(segment=0, offset=0))
        self._position = position
        return position

    def _tell_sinks(self, entries: Sequence[SpoolEntry]) -> None:
        for sink in self._sinks:
            try:
                sink(entries)
            except Exception:  # noqa: BLE001 - an edge: whatever metrics or traces do, records go on
                if sink not in self._failed_sinks:
                    self._failed_sinks.add(sink)
                    _log.exception("a sink failed; from now on it does so in silence")


def _write(connection: Connection, entries: Sequence[SpoolEntry]) -> None:
    """Store entries and everything that is added up from them."""
    finished: list[Record] = []
    known: list[Outcome] = []
    drafts: list[Draft] = []
    reviews: list[Review] = []
    pairs: list[Pair] = []
    opened: dict[str, Hold] = {}
    closed: list[str] = []
    for entry in entries:
        if isinstance(entry, Record):
            finished.append(entry)
            # Most holds are settled within their batch and never reach the table.
            if entry.reserved_micro and opened.pop(entry.id, None) is None:
                closed.append(entry.id)
        elif isinstance(entry, Hold):
            opened[entry.id] = entry
        elif isinstance(entry, Draft):
            drafts.append(entry)
        elif isinstance(entry, Review):
            reviews.append(entry)
        elif isinstance(entry, Pair):
            pairs.append(entry)
        else:
            known.append(entry)
    insert_rows(connection, records, [record_row(record) for record in finished])
    insert_rows(
        connection, record_tags, [(tag, r.id) for r in finished for tag in sorted(set(r.tags))]
    )
    insert_rows(connection, record_errors, [(r.id, text) for r in finished if (text := _why(r))])
    insert_rows(
        connection,
        bodies,
        [
            (r.id, r.input, r.output)
            for r in finished
            if r.input is not None or r.output is not None
        ],
    )
    add_cells(connection, tally(finished))
    add_attempts(connection, tally_attempts(finished))
    add_spending(connection, finished)
    open_holds(connection, opened.values())
    close_holds(connection, closed)
    insert_rows(connection, outcomes, [outcome_row(outcome) for outcome in known], "ignore")
    add_drafts(connection, drafts)
    add_reviews(connection, reviews)
    if pairs:
        add_pairs(connection, pairs)


def _make_room(connection: Connection, record: Record) -> bool:
    """Return whether `record` is to be stored, given what is stored under its id.

    The same record again is not, though its hold ends. One that was given up as `lost` and comes
    after all takes the place of the one that said so.
    """
    row = connection.execute(select(records).where(records.c.id == record.id)).first()
    if row is None:
        return True
    stored = record_of(row)
    if stored.error_code != "lost" or record.error_code == "lost":
        close_holds(connection, [record.id])
        return False
    take_cells(connection, tally([stored]))
    take_attempts(connection, tally_attempts([stored]))
    connection.execute(delete(records).where(records.c.id == record.id))
    connection.execute(delete(record_errors).where(record_errors.c.request_id == record.id))
    return True


def _why(record: Record) -> str:
    """Return why a request ended as it did, line by line; its code is found there in any case."""
    lines = list(record.reasons)
    if record.error_code and not any(line.startswith(record.error_code) for line in lines):
        lines.append(record.error_code)
    return "\n".join(lines)


def _reason(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).splitlines()[0]
