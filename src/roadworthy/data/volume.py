"""Holds the batches of a source to its declared volume: how many rows, how many a day, how varied.

Each declared number is one more rule of the batch, of severity `warning`: a thousand rows too few
are seen wherever a broken contract is, and nothing is refused for it.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ..declare.project import Volume
from ..declare.values import seconds_of
from ..errors import DeclarationError
from .contract import Check, Contract, Limits, Table

ROWS, ROWS_PER_DAY, DISTINCT = "volume.rows", "volume.rows_per_day", "volume.distinct"
"""Names of the rules; behind the last one stands the field."""
DAY_S = 86_400


def held_to(contract: Contract, table: Table, volume: Volume | None) -> Contract:
    """Return a contract with one table, whose batches are held to a volume too."""
    if volume is None:
        return contract
    checks = (*table.checks, *_checks(volume))
    return msgspec.structs.replace(contract, tables=(_with(table, checks),))


def _with(table: Table, checks: tuple[Check, ...]) -> Table:
    return msgspec.structs.replace(table, checks=checks)


def _checks(volume: Volume) -> Iterator[Check]:
    if volume.rows is not None:
        yield Check(
            kind="row_count",
            limits=Limits(at_most=volume.rows),
            name=ROWS,
            description="more than was declared, and tested by `roadworthy data loadtest`",
            severity="warning",
        )
    if volume.rows_per_day is not None and volume.time is not None:
        low, high = volume.rows_per_day
        yield Check(
            kind="rows_per_day",
            field=volume.time,
            limits=Limits(at_least=low, at_most=high),
            max_age_s=late_s(volume),
            name=ROWS_PER_DAY,
            description="a delivery that is lost, cut off or came twice",
            severity="warning",
        )
    for field, count in volume.distinct.items():
        yield Check(
            kind="distinct_values",
            field=field,
            limits=Limits(at_most=count),
            name=f"{DISTINCT}.{field}",
            description="more entities than were declared, and tested",
            severity="warning",
        )


def late_s(volume: Volume) -> int:
    """Return how late rows may come, in seconds."""
    return 0 if volume.late_by is None else seconds_of(volume.late_by)


def check_volume(source: str, volume: Volume | None, table: Table) -> None:
    """Check that the fields which a volume names are there.

    Raises:
        DeclarationError: One is not, or its type says no day.
    """
    if volume is None:
        return
    names = ", ".join(f"`{field.name}`" for field in table.fields)
    for key, name in (("time", volume.time), *(("distinct", name) for name in volume.distinct)):
        field = None if name is None else table.field(name)
        if name is not None and field is None:
            raise DeclarationError(
                f"sources.{source}.volume.{key}: expected a field of the contract ({names}), got "
                f"`{name:.80}` - roadworthy.toml"
            )
        if key == "time" and field is not None and field.type not in ("date", "timestamp"):
            raise DeclarationError(
                f"sources.{source}.volume.time: expected a field of type `date` or `timestamp`, "
                f"got `{name}` of type `{field.type}` - roadworthy.toml"
            )
