"""What earlier requests asked, as their model was given it."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Engine

from ..store.records import read_bodies
from ..types import Record

Row = dict[str, Any]


def row_of(state: Engine, record: Record) -> Row | None:
    """Return the row that a prediction was made of, or None where it was not kept."""
    asked = _asked(state, record)
    return None if asked is None else {**asked, **(record.features or {}).get("values", {})}


def text_of(state: Engine, record: Record, variable: str) -> str | None:
    """Return the question of a chat, or None where it was not kept or is no text."""
    asked = _asked(state, record) or {}
    messages = asked.get("messages")
    if isinstance(messages, list) and messages and isinstance(messages[-1], dict):
        text = messages[-1].get("content")
    else:
        text = asked.get(variable)
    return text if isinstance(text, str) else None


def _asked(state: Engine, record: Record) -> Row | None:
    body, _ = read_bodies(state, record.id)
    asked = None if body is None else msgspec.json.decode(body)
    return asked if isinstance(asked, dict) else None
