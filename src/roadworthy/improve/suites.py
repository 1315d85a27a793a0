"""Accepted examples as the cases of a suite: what a person corrected once is asked ever after."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import msgspec

from ..evaluate.cases import Case
from .exported import Leaving, check_new, write_lines

SEVERITY = {"none": "normal", "minor": "low", "major": "high", "critical": "critical"}
"""How bad a reviewer called an answer → how bad it is if the case fails; `none`: nobody said."""

_encode = msgspec.json.Encoder(order="deterministic").encode


class SuiteWritten(msgspec.Struct, frozen=True):
    """What was written to a suite; cases without a personal field they need are left out."""

    file: str
    cases: int
    left_out: int


def case_of(one: Leaving) -> Case:
    """Return the case that an example is.

    Of a prediction with a label, the label alone is expected. Its tags are `correction`, or
    `confirmed` where the model was right, and the source.
    """
    example, label = one.example, one.label
    return Case(
        id=example.id,
        input=one.input,
        expect=one.output if label is None else {"label": label},
        tags=("correction" if example.detail.is_correction else "confirmed", example.source),
        severity=SEVERITY.get(example.detail.severity, "normal"),
        features=one.served or None,
    )


def write_suite(rows: Collection[Leaving], path: Path, *, force: bool = False) -> SuiteWritten:
    """Write examples as JSON lines, by id: the same examples give the same bytes.

    A case whose contract requires a personal field could not be asked without it, and is left out.

    Raises:
        RequestError: There is such a file, and `force` is not set.
        StoreError: It cannot be written.
    """
    check_new(path, force=force)
    whole = [one for one in rows if one.is_whole]
    count = write_lines(path, (_encode(case_of(one)) for one in whole))
    return SuiteWritten(str(path), count, len(rows) - len(whole))
