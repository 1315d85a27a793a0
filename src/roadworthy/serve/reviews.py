"""Whoever waits for a person: `GET /v1/reviews/{id}`, at once or as soon as it is decided."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from sqlalchemy import Engine, select
from sqlalchemy.exc import SQLAlchemyError

from ..errors import Forbidden, NotFound, RequestError
from ..store.clock import time_of
from ..store.reviews import Waiting, read_review
from ..store.tables import reviews
from ..types import Key
from .http import Headers, Incoming, Outgoing, json_response
from .identify import Keyring

LONGEST_WAIT_S = 60.0
MOST_WAITING = 1_000
"""Who comes beyond is answered at once, and told when to ask again."""
LOOK_S = 0.25
"""How often one look is taken for all who wait, however many they are."""
ASK_AGAIN_S = 5
_AT_ONCE = 500


class WaitingRoom:
    """Tells what became of a case; who waits costs a future, and no thread.

    Args:
        keyring: The valid keys. Whoever asked may read what became of it; others need `review`.
        state: Where cases are.
        drain: Writes down what waits in the spool: a case may have been asked a moment ago.
    """

    def __init__(self, keyring: Keyring, state: Engine, drain: Callable[[], object]) -> None:
        self._keyring = keyring
        self._state = state
        self._drain = drain
        self._waiting: dict[str, set[asyncio.Future[None]]] = defaultdict(set)
        self._watch: asyncio.Task[None] | None = None
        self._count = 0

    async def read(
        self, is_ending: Callable[[], bool], incoming: Incoming, review_id: str
    ) -> Outgoing:
        """Return how a case stands; with `wait_s`, once it is decided or that time is over.

        Raises:
            RequestError: A parameter is unknown, or `wait_s` makes no sense.
            NotFound: There is no such case.
            Forbidden: It is another key's, and this one lacks the scope `review`.
        """
        key = self._keyring.find(incoming.headers.get(b"authorization", b""))
        wait_s = _wait_s(incoming.query)
        known = await asyncio.to_thread(self._read, review_id)
        _check_may_read(key, known)
        headers: Headers = []
        if known.state == "open" and wait_s and not is_ending():
            if self._count < MOST_WAITING:
                await self._wait(review_id, wait_s, is_ending)
                known = await asyncio.to_thread(self._read, review_id)
            else:
                headers.append((b"retry-after", b"%d" % ASK_AGAIN_S))
        return json_response(_shown(known), headers=headers)

    def _read(self, review_id: str) -> Waiting:
        try:
            return read_review(self._state, review_id)
        except NotFound:
            self._drain()
            return read_review(self._state, review_id)

    async def _wait(self, review_id: str, wait_s: float, is_ending: Callable[[], bool]) -> None:
        """Wait until a case is no longer open, the time is over, or this process ends."""
        decided: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting[review_id]
        waiting.add(decided)
        self._count += 1
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._look(is_ending))
        try:
            await asyncio.wait([decided], timeout=wait_s)
        finally:
            self._count -= 1
            waiting.discard(decided)
            if not waiting and self._waiting.get(review_id) is waiting:
                del self._waiting[review_id]

    async def _look(self, is_ending: Callable[[], bool]) -> None:
        """Look for all who wait at once, until nobody does."""
        while self._waiting:
            await asyncio.sleep(LOOK_S)
            ids = list(self._waiting)
            try:
                done = ids if is_ending() else await asyncio.to_thread(self._no_longer_open, ids)
            except SQLAlchemyError:
                continue  # they go on waiting: a store that fails now may answer in time
            for id in done:
                for decided in self._waiting.pop(id, ()):
                    if not decided.done():
                        decided.set_result(None)

    def _no_longer_open(self, ids: list[str]) -> list[str]:
        found: set[str] = set()
        with self._state.connect() as connection:
            for start in range(0, len(ids), _AT_ONCE):
                some = ids[start : start + _AT_ONCE]
                is_open = (reviews.c.id.in_(some), reviews.c.state == "open")
                found.update(connection.execute(select(reviews.c.id).where(*is_open)).scalars())
        return [id for id in ids if id not in found]


def _wait_s(query: bytes) -> float:
    """Return how long to wait, in seconds.

    Raises:
        RequestError: A parameter is unknown, or it is no such time.
    """
    given = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    for name, _ in given:
        if name != "wait_s":
            raise RequestError(f"query: unknown parameter `{name:.80}`; expected `wait_s`")
    if len(given) > 1:
        raise RequestError("query: expected `wait_s` once, got it twice", param="wait_s")
    text = given[0][1] if given else "0"
    is_number = text.isascii() and text.replace(".", "", 1).isdigit() and len(text) < 9
    if not is_number or not 0 <= float(text) <= LONGEST_WAIT_S:
        raise RequestError(
            f"wait_s: expected seconds from 0 to {LONGEST_WAIT_S:.0f}, got another", param="wait_s"
        )
    return float(text)


def _check_may_read(key: Key, known: Waiting) -> None:
    review = known.review
    if key.services and review.service not in key.services:
        raise NotFound(f"no review `{review.id:.60}`")
    if review.key != key.id and "review" not in key.scopes:
        raise Forbidden(
            f"key `{key.id}` may see what became of its own requests only; for those of other keys"
            " it needs the scope `review`"
        )


def _shown(known: Waiting) -> dict[str, Any]:
    """Return a case as whoever waits sees it: what they got stays, whatever is decided later."""
    given, is_decided = known.given, known.state == "decided"
    if known.state == "withdrawn":
        given = {"disposition": "refused", "reasons": ["withdrawn: its user was forgotten"]}
    decided_us = known.decided_at_us if is_decided else None
    return {
        "review_id": known.review.id,
        "request_id": known.review.request_id,
        "service": known.review.service,
        "state": known.state,
        "due_at": time_of(known.review.due_us),
        "disposition": given.get("disposition", "review"),
        "output": given.get("output"),
        "decision": known.decision if is_decided else None,
        "decided_at": None if decided_us is None else time_of(decided_us),
        "reasons": given.get("reasons", []),
    }
