"""Whether a service has agreed to what became of the contracts that its data comes under."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from ..types import Problem
from .contract import Contract
from .diff import Change, diff

MOST_TOLD = 5
"""How many changes of one contract a problem names; `roadworthy data diff` names all."""


class SourceContract(msgspec.Struct, frozen=True):
    """The contract that a source comes under.

    Attributes:
        contract: All of it.
        table: The one of its tables that the source is.
        fields: The fields of it that a service reads; None where that is not known, so that every
            field counts.
    """

    contract: Contract
    table: str
    fields: frozenset[str] | None = None

    @property
    def alone(self) -> Contract:
        """The contract with the source's table alone."""
        tables = tuple(table for table in self.contract.tables if table.name == self.table)
        return msgspec.structs.replace(self.contract, tables=tables)


def disagreements(
    served: Mapping[str, SourceContract],
    now: Mapping[str, SourceContract],
    accepts: Collection[str],
    file: str,
) -> tuple[Problem, ...]:
    """Return each source contract whose new version breaks a service that has not agreed to it.

    A service is a consumer of its sources, so only what breaks consumers counts. A source that the
    service did not read before, or no longer reads, holds nothing up. One that has another name now
    is known by its contract.

    Args:
        served: Source -> the contract that the release serves with.
        now: Source -> the contract as it stands, with the fields that are read of it now.
        accepts: Versions that the service names in `contract.accepts`, as `<source>@<version>`.
        file: The service's file, for the problems.
    """
    problems = []
    for source in sorted(now):
        before = known_as(source, now, served)
        if before is None:
            continue
        old, new, fields = before.alone, now[source].alone, now[source].fields
        agreed = f"{source}@{new.version}"
        is_raised = old.version != new.version
        if is_raised and agreed in accepts:
            continue
        breaking = [
            change
            for change in diff(old, new).changes
            if "consumer" in change.breaks and _is_read(change, fields)
        ]
        if breaking:
            problems.append(_problem(source, old, new, breaking, file))
    return tuple(problems)


def known_as(
    source: str, now: Mapping[str, SourceContract], before: Mapping[str, SourceContract]
) -> SourceContract | None:
    """Return what a source was before: by its name, or by its contract where it was renamed."""
    if source in before:
        return before[source]
    new = now[source]
    same = [name for name, one in before.items() if one.contract.id == new.contract.id]
    gone = [before[name] for name in same if name not in now]
    tables = [before[name] for name in same if before[name].table == new.table]
    return next(iter((*tables, *gone)), None)


def _is_read(change: Change, fields: Collection[str] | None) -> bool:
    return fields is None or not change.field or change.field in fields


def _problem(
    source: str, old: Contract, new: Contract, breaking: list[Change], file: str
) -> Problem:
    told = "; ".join(map(str, breaking[:MOST_TOLD]))
    if len(breaking) > MOST_TOLD:
        told += f"; and {len(breaking) - MOST_TOLD} more"
    if old.version == new.version:
        expected = f"`{source}@{new.version}` as it was when the serving release was built"
        advice = "raise the version of the contract, or take the change back"
    else:
        expected = f"`{source}@{new.version}`, because it breaks what was agreed in {old.version}"
        advice = (
            "make the service fit the new version, then add "
            f'`accepts = ["{source}@{new.version}"]` to `[contract]`'
        )
    return Problem("contract.accepts", expected, told, file, advice)
