"""What providers counted: bytes that went in and the tokens they said these were."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Engine, func, select

from .gateway_tables import attempt_hours


def read_token_hours(
    state: Engine, service: str, since_us: int
) -> Mapping[str, list[tuple[int, int]]]:
    """Return hourly sums of (bytes, tokens) of inputs that were counted, by the name of a model."""
    table = attempt_hours
    query = (
        select(table.c.model, func.sum(table.c.input_bytes), func.sum(table.c.input_tokens))
        .where(
            table.c.service == service,
            table.c.hour_us >= since_us,
            table.c.status == "ok",
            table.c.input_bytes > 0,
        )
        .group_by(table.c.model, table.c.hour_us)
        .order_by(table.c.model, table.c.hour_us)
    )
    found: dict[str, list[tuple[int, int]]] = {}
    with state.connect() as connection:
        for model, size, tokens in connection.execute(query):
            found.setdefault(model, []).append((int(size), int(tokens)))
    return found
