"""`POST /v1/features/{view}`: fresh features put online, held to the contracts behind the view."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from ..errors import Forbidden
from ..types import OpenFeatures
from .http import Incoming, Outgoing, json_response, unreadable
from .identify import Keyring


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    rows: list[dict[str, Any]]


_decoder = msgspec.json.Decoder(_Body)


async def push(
    keyring: Keyring, open_features: OpenFeatures, incoming: Incoming, view: str
) -> Outgoing:
    """Put the rows of the body online where their event is newer: all of them, or none.

    Raises:
        Unauthenticated, Forbidden: The key is none, or lacks the scope `push`.
        NotFound: No such view is registered.
        ContractViolation: A row breaks what the contracts say.
        StoreError: The online store cannot be written.
    """
    key = keyring.find(incoming.headers.get(b"authorization", b""))
    if "push" not in key.scopes:
        raise Forbidden(f"key `{key.id}` may not push features: it lacks the scope `push`")
    try:
        body = _decoder.decode(incoming.body)
    except msgspec.DecodeError as error:
        raise unreadable(incoming.body, error) from error
    pushed = await asyncio.to_thread(lambda: open_features().push(view, body.rows))
    return json_response(msgspec.to_builtins(pushed))
