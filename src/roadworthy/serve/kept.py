"""Answers that are kept in memory: within a time, a number and a size; the least used go first."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import msgspec

from ..signals.marks import Marks
from ..types import Answer, Clock, Usage

Why = Literal["expired", "room", "renewed", "corrected", "forgotten", "wrong"]
"""Why an answer is kept no longer: its time is over, others needed its room, a newer one came, a
person corrected it, its user was forgotten, or a fresh answer said something else."""
TOLD: frozenset[Why] = frozenset({"corrected", "forgotten", "wrong"})
"""Those that somebody may want to look into."""
MOST_TOLD = 20
OVERHEAD_BYTES = 700
"""What an entry takes beside its texts (tracemalloc, 10,000 of them)."""

_decode = msgspec.json.Decoder().decode


class Entry(msgspec.Struct, kw_only=True):
    """One answer that may be given again.

    Attributes:
        source: The request that it was given to first.
        output: As JSON bytes, so that nobody who is given it can change it.
        certificate: What let it be given without a person; empty where nothing had to.
        user: Who asked, so that it can be forgotten with them.
        shelf, marks: Of a question that others may mean too: what both must have in common, and
            what is compared of it.
        is_audited: Whether its reuse was, or is being, held against a fresh answer.
        extra_bytes: What its marks and the index take.
    """

    key: bytes
    source: str
    at_us: int
    model: str
    output: bytes
    completion: bytes | None
    finish_reason: str
    usage: Usage | None
    certificate: str = ""
    user: str = ""
    shelf: bytes = b""
    marks: Marks | None = None
    is_audited: bool = False
    extra_bytes: int = 0

    @property
    def bytes(self) -> int:
        """About how much memory it takes."""
        texts = len(self.output) + len(self.completion or b"")
        return OVERHEAD_BYTES + texts + self.extra_bytes

    def answer(self) -> Answer:
        """Return the answer, made anew: nothing was tried for it, so it costs nothing."""
        return Answer(
            model=self.model,
            output=_decode(self.output),
            completion=self.completion,
            usage=self.usage,
            finish_reason=self.finish_reason,
        )


class Gone(NamedTuple):
    """An answer that is kept no longer, and why."""

    at_us: int
    source: str
    why: Why


Dropped = Callable[[Entry], None]


class Kept:
    """Entries by their key.

    Args:
        clock: The project's time. An entry from the future, since the clock was set back, is over.
        max_entries: Most entries.
        max_bytes: Most memory of all together, about.
        keep_us: How long one is kept at most.
        dropped: Told of each entry that goes.

    Attributes:
        bytes: What all take, about.
        gone: How many went, by why.
        told: Those of the last that somebody may want to look into.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        max_entries: int,
        max_bytes: int,
        keep_us: int,
        dropped: Dropped = lambda entry: None,
    ) -> None:
        self.bytes = 0
        self.gone: Counter[Why] = Counter()
        self.told: deque[Gone] = deque(maxlen=MOST_TOLD)
        self._clock = clock
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._keep_us = keep_us
        self._dropped = dropped
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()
        self._by_source: dict[str, bytes] = {}
        self._born: deque[tuple[int, bytes]] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def find(self, key: bytes, now_us: int, within_us: int) -> Entry | None:
        """Return the entry of a key if it is no older than `within_us`; it counts as used."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        age_us = now_us - entry.at_us
        if not 0 <= age_us <= within_us:
            if not 0 <= age_us <= self._keep_us:
                self.drop(entry, "expired")
            return None
        self._entries.move_to_end(key)
        return entry

    def peek(self, key: bytes) -> Entry | None:
        """Return the entry of a key, however old; it does not count as used."""
        return self._entries.get(key)

    def put(self, entry: Entry) -> bool:
        """Keep an entry, in the place of one with the same key; say whether there is room."""
        if entry.bytes > self._max_bytes:
            return False
        before = self._entries.get(entry.key)
        if before is not None:
            self.drop(before, "renewed")
        self._sweep(entry.at_us)
        while self._entries and (
            len(self._entries) >= self._max_entries or self.bytes + entry.bytes > self._max_bytes
        ):
            self.drop(next(iter(self._entries.values())), "room")
        self._entries[entry.key] = entry
        self._by_source[entry.source] = entry.key
        self._born.append((entry.at_us, entry.key))
        self.bytes += entry.bytes
        return True

    def _sweep(self, now_us: int) -> None:
        """Let go of what is over: the oldest stand first."""
        while self._born:
            at_us, key = self._born[0]
            entry = self._entries.get(key)
            if entry is not None and entry.at_us == at_us:
                if 0 <= now_us - at_us <= self._keep_us:
                    break
                self.drop(entry, "expired")
            self._born.popleft()
        if len(self._born) > 2 * len(self._entries) + 64:  # most of them went already
            self._born = deque((entry.at_us, entry.key) for entry in self._entries.values())

    def of_source(self, request_id: str) -> Entry | None:
        """Return the entry that a request's answer became."""
        return self._entries.get(self._by_source.get(request_id, b""))

    def drop(self, entry: Entry, why: Why) -> None:
        """Keep an entry no longer."""
        if self._entries.get(entry.key) is not entry:
            return
        del self._entries[entry.key]
        self._by_source.pop(entry.source, None)
        self.bytes -= entry.bytes
        self.gone[why] += 1
        if why in TOLD:
            self.told.append(Gone(self._clock.now_us(), entry.source, why))
        self._dropped(entry)

    def drop_user(self, user: str) -> int:
        """Forget all that a user was answered, and return how much that was."""
        theirs = [entry for entry in self if entry.user == user]
        for entry in theirs:
            self.drop(entry, "forgotten")
        return len(theirs)


def as_json(output: Any) -> bytes | None:
    """Return an output as the JSON that reads back as the same; None where there is none."""
    try:
        written = msgspec.json.encode(output)
        return written if _decode(written) == output else None
    except (TypeError, ValueError, OverflowError, RecursionError):
        return None
