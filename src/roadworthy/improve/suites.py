"""Accepted examples as the cases of a suite: what a person corrected once is asked ever after."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec

from .exported import Leaving, check_new, write_lines

_encode = msgspec.json.Encoder(order="deterministic").encode


class Case(msgspec.Struct, frozen=True):
    """One line of a suite.

    Attributes:
        expect: The right answer; of a prediction with a label, the label alone.
        tags: `correction`, or `confirmed` where the model was right, and the source.
        severity: How bad the reviewer called the model's answer; `none` where nobody did.
    """

    id: str
    input: dict[str, Any]
    expect: Any
    tags: tuple[str, ...]
    severity: str


class SuiteWritten(msgspec.Struct, frozen=True):
    """What was written to a suite; cases without a personal field they need are left out."""

    file: str
    cases: int
    left_out: int


def case_of(one: Leaving) -> Case:
    """Return the case that an example is."""
    example, label = one.example, one.label
    return Case(
        id=example.id,
        input=one.input,
        expect=one.output if label is None else {"label": label},
        tags=("correction" if example.detail.is_correction else "confirmed", example.source),
        severity=example.detail.severity,
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
