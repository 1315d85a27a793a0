"""Outcomes: the truth that arrives later, by `POST /v1/requests/{id}/outcome`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import msgspec

from ..errors import Forbidden, NotFound, RequestError
from ..store.clock import micros_of
from ..store.spool import Spool
from ..types import Clock, Ids, Outcome
from .http import Incoming, Outgoing, json_response, unreadable
from .identify import Keyring

OURS = frozenset({"review", "audit", "second", "planted", "import"})
"""Sources of what people decided in a queue, or brought in a file: nobody else may say so."""
KINDS = ("label", "correct", "rating", "correction")


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    source: str
    label: Any = msgspec.UNSET
    correct: bool | msgspec.UnsetType = msgspec.UNSET
    rating: float | msgspec.UnsetType = msgspec.UNSET
    correction: Any = msgspec.UNSET
    reason: str = ""
    at: datetime | None = None


_decoder = msgspec.json.Decoder(_Body)


class OutcomeDesk:
    """Takes outcomes and writes them to the spool.

    Args:
        keyring: The valid keys. With the scope `answer` one may tell what became of its own
            requests, with `review` of all that it may see.
        spool: Where they are written.
        clock: Says when an outcome became known: now.
        asked_by: Request id → its service and key, or None where there is no such request.
        forget: Called with service and id of a request whose answer was wrong: it is given to
            nobody again.
    """

    def __init__(
        self,
        keyring: Keyring,
        spool: Spool,
        clock: Clock,
        asked_by: Callable[[str], Awaitable[tuple[str, str] | None]],
        forget: Callable[[str, str], Awaitable[None]],
    ) -> None:
        self._keyring = keyring
        self._spool = spool
        self._clock = clock
        self._ids = Ids(clock)
        self._asked_by = asked_by
        self._forget = forget

    async def take(self, incoming: Incoming, request_id: str) -> Outgoing:
        """Take what is known now about an earlier answer.

        Raises:
            RequestError: The body says nothing, or something in it has the wrong type.
            NotFound: There is no such request.
            Forbidden: The key lacks a scope, or it is another key's request.
        """
        key = self._keyring.find(incoming.headers.get(b"authorization", b""))
        if not key.scopes & {"answer", "review"}:
            raise Forbidden(f"key `{key.id}` lacks the scope `answer` or `review`")
        body = _read(incoming.body)
        asked = await self._asked_by(request_id)
        if asked is None or (key.services and asked[0] not in key.services):
            raise NotFound(f"no request `{request_id:.60}`")
        if asked[1] != key.id and "review" not in key.scopes:
            raise Forbidden(
                f"key `{key.id}` may tell what became of its own requests only; for those of other"
                " keys it needs the scope `review`"
            )
        now_us = self._clock.now_us()
        at_us = micros_of(body.at, "at") if body.at is not None else now_us
        given = {kind: getattr(body, kind) for kind in KINDS}
        ids = []
        for kind, value in given.items():
            if value is msgspec.UNSET:
                continue
            outcome = Outcome(
                id=self._ids.new("oc", now_us),
                request_id=request_id,
                kind=kind,
                value=value,
                source=body.source,
                at_us=at_us,
                known_at_us=now_us,
                by=f"key:{key.id}",
                reason=body.reason,
            )
            try:
                self._spool.append(outcome)
            except OverflowError as error:
                raise RequestError(f"`{kind}`: expected numbers of at most 64 bits") from error
            ids.append(outcome.id)
        if body.correct is False or body.correction is not msgspec.UNSET:
            await self._forget(asked[0], request_id)
        return json_response({"request_id": request_id, "outcomes": ids}, 201)


def _read(raw: bytes) -> _Body:
    try:
        body = _decoder.decode(raw)
    except msgspec.DecodeError as error:
        raise unreadable(raw, error) from error
    if body.source.strip().casefold() in OURS:
        raise RequestError(
            f"`source`: expected the name of a system of yours, got `{body.source:.20}`, which is "
            "what people decide in a queue or bring in a file",
            param="source",
        )
    if all(getattr(body, kind) is msgspec.UNSET for kind in KINDS):
        raise RequestError(f"body: expected at least one of {', '.join(KINDS)}, got none")
    return body
