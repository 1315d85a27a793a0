"""Whether an accepted answer of a service costs less than it is worth, as the last weeks show."""

from __future__ import annotations

from sqlalchemy import Engine

from ..declare.service import ServiceDeclaration
from ..store import costs as store
from ..types import DAY_US, HOUR_US, MICRO
from .extras import Extras
from .report import Known, Yield, breakdown, yield_of

DAYS = 28
LEAST_ACCEPTED = 50
"""Of fewer accepted answers nothing is said: their cost is a few requests' chance."""


def known_of(
    engine: Engine,
    service: ServiceDeclaration,
    since_us: int,
    until_us: int,
    *,
    decided: int,
    trained: int,
) -> Known:
    """Return what is known of a service beside what its records cost."""
    value = service.value_per_answer_usd
    return Known(
        extras=Extras.of(service.cost),
        decided=decided,
        trained=trained,
        wrong=store.count_wrong(engine, service.name, since_us, until_us),
        bytes_per_token=store.read_bytes_per_token(engine, service.name, since_us),
        value_micro=None if value is None else int(value * MICRO),
    )


def read_yield(
    engine: Engine, service: ServiceDeclaration, now_us: int, *, trained: int = 0
) -> Yield | None:
    """Return what the answers of the last four weeks cost and are worth; None without requests.

    Args:
        engine: The state.
        service: What it declares.
        now_us: The project's time.
        trained: How many trainings were released in that time.
    """
    until_us = now_us - now_us % HOUR_US + HOUR_US
    since_us = until_us - DAYS * DAY_US
    decided = store.count_decided(engine, since_us, until_us).get(service.name, 0)
    known = known_of(engine, service, since_us, until_us, decided=decided, trained=trained)
    cells = store.read_spent(engine, ("service",), since_us, until_us, (service.name,))
    rows = breakdown(("service",), cells, {service.name: known}).rows
    return yield_of(service.name, rows[0], known) if rows else None
