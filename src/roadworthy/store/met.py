"""What is kept of what a user of a rollout met, by which name, and how it is forgotten."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

import msgspec
from sqlalchemy import Connection, delete, select

from ..types import Record
from .release_tables import rollout_units

_BATCH = 500


class Met(msgspec.Struct, omit_defaults=True):
    """What the requests of a user came to, added up.

    Attributes:
        sums, counts: Metric → sum of the losses of the release that it met, and of how many.
        champion_sums, champion_counts: The champion's on the same requests, of a shadow.
        requests: The requests, as outcomes name them, with that whose answer is judged by them.
    """

    sums: dict[str, float] = {}
    counts: dict[str, int] = {}
    champion_sums: dict[str, float] = {}
    champion_counts: dict[str, int] = {}
    requests: list[tuple[str, str]] = []


def unit_key(rollout: str, step: int, unit: str, window: int = 0) -> str:
    """Return the hash by which a user is known in one step of one rollout, and nowhere else."""
    text = f"{rollout}:{step}:{window}:{unit}".encode()
    return hashlib.blake2b(text, digest_size=12).hexdigest()


def forget_units_of(connection: Connection, found: Collection[Record]) -> None:
    """Delete what is kept of whoever sent these requests, as part of the caller's transaction.

    What was counted of them stays in the evidence, which names nobody.
    """
    ids = {record.id for record in found}
    names = {name for r in found for name in (r.user, r.conversation) if name}
    here = rollout_units.c
    query = select(here.unit, here.step, here.detail)
    for rollout in {record.canary for record in found} - {""}:
        gone = []
        for row in connection.execute(query.where(here.rollout == rollout)):
            met = msgspec.json.decode(row.detail, type=Met)
            is_asked = any(id in ids for pair in met.requests for id in pair)
            if is_asked or row.unit in {unit_key(rollout, row.step, name) for name in names}:
                gone.append(row.unit)
        for start in range(0, len(gone), _BATCH):
            chunk = here.unit.in_(gone[start : start + _BATCH])
            connection.execute(delete(rollout_units).where(here.rollout == rollout, chunk))
