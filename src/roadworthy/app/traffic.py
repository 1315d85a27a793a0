"""How much a service is asked at present, by how many, and how often it fails them."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from ..declare.review import Outcomes
from ..release.losses import has_failed, unit_of
from ..serve.splits import entity_of
from ..store.records import count_records, find_records
from ..store.rollout_units import read_inputs
from ..types import DAY_US, Record
from .ground import Ground

DAYS = 7
MOST_RECORDS = 20_000
"""Records that are looked through; of more traffic the newest are enough."""
MOST_INPUTS = 2_000
"""Inputs that are read, where they say what a request is about."""
_LEAST_US = DAY_US // 24


class Traffic(NamedTuple):
    """What was seen of the last days.

    Attributes:
        units_per_day: Users, or whatever `[outcomes] unit` counts, of a day.
        base: Share of the requests that failed.
    """

    units_per_day: float
    base: float


def measure_traffic(ground: Ground, service: str, outcomes: Outcomes) -> Traffic:
    """Return how many units of a day ask a service at present."""
    now_us = ground.clock.now_us()
    since_us = now_us - DAYS * DAY_US
    found = find_records(ground.state, service=service, since_us=since_us, limit=MOST_RECORDS)
    if not found:
        return Traffic(0.0, 0.0)
    base = sum(map(has_failed, found)) / len(found)
    if outcomes.unit == "entity":
        found = _with_entities(ground, found[:MOST_INPUTS], outcomes.entity)
    name_of = unit_of(outcomes)
    units = {(name_of(record), record.at_us // DAY_US) for record in found}
    covered_us = max(now_us - found[-1].at_us, _LEAST_US)
    return Traffic(len(units) * DAY_US / covered_us, base)


def requests_per_day(ground: Ground, service: str) -> float | None:
    """Return how often a service is asked of a day at present; None where nobody asked.

    Counted is what somebody was to be answered, also where it was refused.
    """
    now_us = ground.clock.now_us()
    count, first_us = count_records(ground.state, service, now_us - DAYS * DAY_US)
    return count * DAY_US / max(now_us - first_us, _LEAST_US) if count else None


def _with_entities(ground: Ground, found: list[Record], names: tuple[str, ...]) -> list[Record]:
    """Return records with what they are about, as far as their inputs were kept."""
    inputs = read_inputs(ground.state, {record.id for record in found})
    values = {id: msgspec.json.decode(body) for id, body in inputs.items()}
    return [
        msgspec.structs.replace(record, entity=entity_of(values[record.id], names))
        if isinstance(values.get(record.id), dict)
        else record
        for record in found
    ]
