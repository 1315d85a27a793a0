"""Everything that led to one answer, and what became known of it since."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Engine

from ..errors import NotFound, StoreError
from ..store.actions import list_actions
from ..store.records import outcomes_of, read_bodies
from ..types import Outcome, Record
from .registry import read_release


def lineage(engine: Engine, record: Record) -> dict[str, Any]:
    """Return the record, the release that answered and the outcomes, as JSON values.

    * `record` is every field, with the bodies that were kept.
    * `outcomes` are in the order they became known.
    * `release` is its id, when and by whom it was built, and the whole manifest; or its id and the
      `problem` why it cannot be read; None where no release was reached.
    * `model` is the pin of the model that answered, and None where none of the release's did.
    * `promotions` are the acts that let the release serve, newest first.
    * `as_released` says whether the declaration and the environment that answered are those that
      the release was built with.
    """
    found: dict[str, Any] = {
        "record": _record(engine, record),
        "outcomes": [_fields(outcome) for outcome in outcomes_of(engine, record.id)],
        "release": None,
        "model": None,
        "promotions": [],
        "as_released": None,
    }
    if record.release:
        found |= _released(engine, record)
    return found


def _record(engine: Engine, record: Record) -> dict[str, Any]:
    bodies = zip(("input", "output"), read_bodies(engine, record.id), strict=True)
    decoded = {name: None if body is None else msgspec.json.decode(body) for name, body in bodies}
    return _fields(msgspec.structs.replace(record, input=None, output=None)) | decoded


def _released(engine: Engine, record: Record) -> dict[str, Any]:
    try:
        release = read_release(engine, record.release)
    except (NotFound, StoreError) as error:
        # A trace is asked for when something went wrong: it shows what it can.
        return {"release": {"id": record.release, "problem": str(error)}}
    manifest = release.manifest
    acts = list_actions(engine, action="release.promote", subject=release.id)
    pins = [pin for pin in manifest.models if pin.name == record.model]
    return {
        "release": msgspec.to_builtins(release),
        "model": msgspec.to_builtins(pins[0]) if pins else None,
        "promotions": msgspec.to_builtins(acts),
        "as_released": {
            "declaration": record.declaration_hash == manifest.declaration_hash,
            "environment": record.environment_hash == manifest.environment.hash,
        },
    }


def _fields(entry: Record | Outcome) -> dict[str, Any]:
    """Return an entry by field name; as a spool's line it has none."""
    fields: dict[str, Any] = msgspec.to_builtins(msgspec.structs.asdict(entry))
    return fields
