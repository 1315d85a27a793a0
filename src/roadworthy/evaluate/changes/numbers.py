"""Numbers a little or a lot other: raised, replaced, blurred, searched for what flips an answer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from ..cases import Case
from .change import Ground, Variant, value_of, with_value
from .paraphrase import replaced

_MOST_LARGER = 8
_RANDOM_POINTS = 32


def is_number(value: Any) -> bool:
    """Whether a value is a number to reckon with."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def numeric_fields(case: Case, declared: Sequence[str]) -> list[str]:
    """Return the fields that hold numbers: of those declared, or else of the input."""
    return [field for field in declared or case.input if is_number(value_of(case, field))]


def monotonic(case: Case, ground: Ground) -> Iterator[Variant]:
    """Yield the case with each field raised: by `by`, or to larger values that other cases hold."""
    for field in numeric_fields(case, ground.entry.fields):
        value = value_of(case, field)
        for larger in _larger(value, field, ground):
            said = f"{field}: raised from {value:g} to {larger:g}"
            yield Variant(with_value(case, field, larger), said)


def _larger(value: float, field: str, ground: Ground) -> list[float]:
    if ground.entry.by is not None:
        moved = _moved(value, _step(value, ground), field, ground)
        return [moved] if moved > value else []
    seen = {value_of(other, field) for other in ground.cases if is_number(value_of(other, field))}
    larger = sorted(other for other in seen if other > value)
    if len(larger) <= _MOST_LARGER:
        return larger
    places = [round(k * (len(larger) - 1) / (_MOST_LARGER - 1)) for k in range(_MOST_LARGER)]
    return [larger[place] for place in places]


def directional(case: Case, ground: Ground) -> Iterator[Variant]:
    """Yield the case with what is declared put in place of something, or moved by `by`."""
    entry = ground.entry
    for old, new in entry.replace.items():
        changed = case
        for field in entry.fields or tuple(case.input):
            value = value_of(case, field)
            after = _put(value, old, new, is_text=not entry.fields or " " in str(value))
            if after is not None and after != value:
                changed = with_value(changed, field, after)
        if changed != case:
            yield Variant(changed, f"`{old}` became `{new}`", f"{old} → {new}")
    if entry.by is not None:
        for field in numeric_fields(case, entry.fields):
            value = value_of(case, field)
            moved = _moved(value, _step(value, ground), field, ground)
            if moved != value:
                yield Variant(with_value(case, field, moved), f"{field}: {value:g} → {moved:g}")


def _put(value: Any, old: str, new: Any, *, is_text: bool) -> Any:
    """Return what stands in place of a value; None where it is nothing of what is replaced."""
    if str(value) == old or (isinstance(value, bool) and str(value).lower() == old):
        return new
    return replaced(value, old, str(new)) if isinstance(value, str) and is_text else None


def noise(case: Case, ground: Ground, rng: Random) -> Iterator[Variant]:
    """Yield the case with every field off by at most `by`, as a measurement may be."""
    changed, said = case, []
    for field in numeric_fields(case, ground.entry.fields):
        value = value_of(case, field)
        moved = _moved(value, rng.uniform(-1, 1) * _step(value, ground), field, ground)
        if moved == value and isinstance(value, int):  # a whole number moves by one, if it may
            moved = _moved(value, rng.choice((-1, 1)) * _step(value, ground), field, ground)
        if moved != value:
            changed = with_value(changed, field, moved)
            said.append(f"{field}: {value:g} → {moved:g}")
    if said:
        yield Variant(changed, "; ".join(said))


def bounded(case: Case, ground: Ground, rng: Random) -> Iterator[Variant]:
    """Yield points of the box of ± `by` around a case: ends of axes, corners, inner points.

    All are asked at once: the search knows nothing of the model, so it bounds robustness from one
    side only. A label that none of them flips may still be flipped by another point.
    """
    fields = numeric_fields(case, ground.entry.fields)
    axes = [
        {field: sign if field == moved else 0.0 for field in fields}
        for moved in fields
        for sign in (-1.0, 1.0)
    ]
    corners = [dict.fromkeys(fields, sign) for sign in (-1.0, 1.0)] if len(fields) > 1 else []
    for index in range(_RANDOM_POINTS):
        inner = index % 2 == 1
        corners.append({f: rng.uniform(-1, 1) if inner else rng.choice((-1, 1)) for f in fields})
    seen: list[Case] = [case]
    for point in [*axes, *corners]:
        changed = case
        for field, share in point.items():
            value = value_of(case, field)
            moved = _moved(value, share * _step(value, ground), field, ground)
            changed = with_value(changed, field, moved) if moved != value else changed
        if changed not in seen:
            seen.append(changed)
            yield Variant(changed, "; ".join(_moves(case, changed, fields)))


def _moves(case: Case, changed: Case, fields: Sequence[str]) -> Iterator[str]:
    for field in fields:
        before, after = value_of(case, field), value_of(changed, field)
        if before != after:
            yield f"{field}: {before:g} → {after:g}"


def _step(value: float, ground: Ground) -> float:
    by = ground.entry.by or 0.0
    return abs(value) * by if ground.entry.is_relative else by


def _moved(value: float, step: float, field: str, ground: Ground) -> float:
    """Return the value a step on, of the same type, within what the contract allows.

    A whole number stays one, and never moves further than the step.
    """
    low, high = ground.bounds(field)
    if not isinstance(value, int):
        return min(max(value + step, low), high)
    moved = value + math.trunc(step)
    return int(min(max(moved, math.ceil(low) if low > -math.inf else low), high))
