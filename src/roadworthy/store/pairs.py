"""Pairs of answers to one question: how they lie in their table, and how they are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection

from ..types import Pair
from .gateway_tables import pairs
from .state import insert_rows

_NAMES = tuple(column.name for column in pairs.columns)


def add_pairs(connection: Connection, found: Sequence[Pair]) -> None:
    """Store pairs; one that is there already is left as it is."""
    insert_rows(connection, pairs, [_row(pair) for pair in found], "ignore")


def _row(pair: Pair) -> tuple[Any, ...]:
    values = msgspec.structs.asdict(pair)
    values["tags"] = msgspec.json.encode(pair.tags).decode()
    values["answers"] = msgspec.json.encode([answer.decode() for answer in pair.answers]).decode()
    values["is_given"] = int(pair.is_given)
    return tuple([values[name] for name in _NAMES])
