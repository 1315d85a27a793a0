"""How much data of a source was declared, beside what the newest look found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ..declare.project import Volume
from ..store.data_versions import Validation
from . import data_words as words
from .data_figures import VolumeStatus
from .states import State

_PREFIX = "volume."
_DISTINCT = "volume.distinct."


class _Rule(msgspec.Struct, frozen=True):
    rule: str
    failed: int
    measured: Any = None


class _Report(msgspec.Struct, frozen=True):
    rules: tuple[_Rule, ...] = ()


def volume_status(volume: Volume | None, looks: Sequence[Validation]) -> VolumeStatus | None:
    """Return how declared and found stand to each other; None where nothing was declared."""
    if volume is None:
        return None
    rules = msgspec.convert(looks[-1].detail, _Report).rules if looks else ()
    asked = [rule for rule in rules if rule.rule.startswith(_PREFIX)]
    found = {rule.rule: rule.measured for rule in asked if isinstance(rule.measured, int)}
    # A volume that was declared after the newest look was not asked then.
    state: State = "collecting"
    if asked:
        state = "at_risk" if any(rule.failed for rule in asked) else "healthy"
    rows = looks[-1].rows if looks else None
    of_day, range_of_day = found.get("volume.rows_per_day"), volume.rows_per_day or ()
    distinct = {
        name.removeprefix(_DISTINCT): count
        for name, count in found.items()
        if name.startswith(_DISTINCT)
    }
    said = words.volume(rows, volume.rows, of_day, range_of_day, distinct, volume.distinct)
    return VolumeStatus(
        state=state,
        word=words.VOLUMES[state],
        says=tuple(said),
        rows=rows,
        most_rows=volume.rows,
        rows_of_day=of_day,
        rows_per_day=range_of_day,
        distinct=distinct,
        most_distinct=volume.distinct,
    )
