"""Keys: who may call, for what, how much and until when.

A key is `rw_` and 32 random bytes. Only its SHA-256 is stored: 256 random bits cannot be guessed
from their hash, so the slow, salted hashing that protects passwords people choose would add nothing
but milliseconds to every request.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from typing import Any, get_args

import msgspec
from sqlalchemy import Engine, Row, insert, select, update

from ..errors import NotFound, RequestError
from ..types import DAY_US, Clock, Key, Scope
from .actions import append_action
from .switchboard import move_pointer
from .tables import keys

MOST_CHARACTERS = 200
"""Of a key's name."""
MOST_DAYS = 36_500
"""For which a key may be made; what lies further ahead is a slip of the keyboard."""

SCOPES: frozenset[str] = frozenset(get_args(Scope))


class KeyEntry(msgspec.Struct, frozen=True):
    """A key as a list shows it: when it was created and, if so, revoked (Unix microseconds)."""

    key: Key
    created_at_us: int
    revoked_at_us: int | None = None


def create_key(
    engine: Engine,
    clock: Clock,
    *,
    name: str,
    scopes: Iterable[str],
    services: Iterable[str] = (),
    team: str = "",
    per_day_micro: int | None = None,
    expires_us: int | None = None,
    by: str,
) -> tuple[Key, str]:
    """Create a key and return it with its secret, which is shown once and kept nowhere.

    Raises:
        RequestError: A scope, the ceiling or the expiry makes no sense.
    """
    now_us = clock.now_us()
    key = Key(
        id=f"k_{secrets.token_hex(8)}",
        name=name,
        scopes=frozenset(scopes),
        services=frozenset(services),
        team=team,
        per_day_micro=per_day_micro,
        expires_us=expires_us,
    )
    _check(key, now_us)
    secret = f"rw_{secrets.token_urlsafe(32)}"
    row = msgspec.structs.asdict(key) | {
        "hash": hashlib.sha256(secret.encode()).digest(),
        "scopes": _listed(key.scopes),
        "services": _listed(key.services),
        "created_at_us": now_us,
    }
    with engine.begin() as connection:
        move_pointer(connection, "keys", key.id)
        connection.execute(insert(keys).values(row))
        detail = {"name": name, "scopes": sorted(key.scopes), "services": sorted(key.services)}
        append_action(connection, clock, by, "keys.create", key.id, detail)
    return key, secret


def revoke_key(engine: Engine, clock: Clock, key_id: str, *, by: str) -> None:
    """Refuse this key from now on, in every process; a revoked one stays as it is.

    Raises:
        NotFound: There is no key with this id.
    """
    with engine.begin() as connection:
        move_pointer(connection, "keys", key_id)
        here = keys.c.id == key_id
        row = connection.execute(select(keys.c.revoked_at_us).where(here)).first()
        if row is None:
            raise NotFound(f"no key `{key_id}`; `roadworthy keys list` shows the ids")
        if row.revoked_at_us is None:
            connection.execute(update(keys).where(here).values(revoked_at_us=clock.now_us()))
            append_action(connection, clock, by, "keys.revoke", key_id)


def list_keys(engine: Engine) -> list[KeyEntry]:
    """Return every key ever created, oldest first, revoked and expired ones too."""
    query = select(keys).order_by(keys.c.created_at_us, keys.c.id)
    with engine.connect() as connection:
        rows = connection.execute(query).all()
    return [KeyEntry(_key(row), row.created_at_us, row.revoked_at_us) for row in rows]


def load_keys(engine: Engine) -> dict[bytes, Key]:
    """Return all keys that are not revoked by the SHA-256 digest of their secret.

    Expired ones are among them: whoever looks one up compares its `expires_us` with the time.
    """
    query = select(keys).where(keys.c.revoked_at_us.is_(None))
    with engine.connect() as connection:
        return {row.hash: _key(row) for row in connection.execute(query)}


def _check(key: Key, now_us: int) -> None:
    """Refuse a key that could do nothing, or more than its maker can have meant."""
    if not key.name.strip():
        raise RequestError("name: expected a name, got an empty one", param="name")
    if len(key.name) > MOST_CHARACTERS:
        wanted = f"at most {MOST_CHARACTERS} characters"
        raise RequestError(f"name: expected {wanted}, got {len(key.name)}", param="name")
    unknown = sorted(key.scopes - SCOPES)
    if unknown or not key.scopes:
        known = ", ".join(sorted(SCOPES))
        got = ", ".join(unknown) or "none"
        raise RequestError(f"scopes: expected some of {known}, got {got}", param="scopes")
    if key.per_day_micro is not None and key.per_day_micro < 0:
        got = f"{key.per_day_micro} micro-dollars"
        raise RequestError(f"per_day_usd: expected 0 or more, got {got}", param="per_day_usd")
    if key.expires_us is not None and key.expires_us <= now_us:
        raise RequestError("expires: expected a time to come, got a past one", param="expires")
    if key.expires_us is not None and key.expires_us > now_us + MOST_DAYS * DAY_US:
        raise RequestError(
            f"expires: expected a time within {MOST_DAYS} days, got a later one; leave it out for a"
            " key that does not end",
            param="expires",
        )


def _listed(names: Iterable[str]) -> str:
    return msgspec.json.encode(sorted(names)).decode()


def _key(row: Row[Any]) -> Key:
    return Key(
        id=row.id,
        name=row.name,
        scopes=frozenset(msgspec.json.decode(row.scopes)),
        services=frozenset(msgspec.json.decode(row.services)),
        team=row.team,
        per_day_micro=row.per_day_micro,
        expires_us=row.expires_us,
    )
