"""What a change is made from, and how a field of a case is read and replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from random import Random
from typing import Any, NamedTuple

import msgspec

from ...declare.evaluation import BehaviourEntry
from ..cases import Case


class Edit(NamedTuple):
    """One text after a change.

    Attributes:
        said: What was changed, in words.
        pair: Of a counterfactual swap, `before → after`; else empty.
    """

    text: str
    said: str
    pair: str = ""


class Variant(NamedTuple):
    """One case after a change.

    Attributes:
        case: With everything changed but its id.
        marks: What an answer that fell for an attack holds.
    """

    case: Case
    said: str
    pair: str = ""
    marks: tuple[str, ...] = ()


class Ground(NamedTuple):
    """What changes are made from beside the case itself.

    Attributes:
        cases: All of them, for what values there are.
        schema: JSON Schema of the input; empty where none is known.
    """

    entry: BehaviourEntry
    cases: Sequence[Case]
    schema: Mapping[str, Any]

    def bounds(self, field: str) -> tuple[float, float]:
        """Between what the contract allows a number of this field."""
        known = self.schema.get("properties", {}).get(field, {})
        low = known.get("minimum", known.get("exclusiveMinimum"))
        high = known.get("maximum", known.get("exclusiveMaximum"))
        return (float("-inf") if low is None else low, float("inf") if high is None else high)


TextChange = Callable[[str, Random, BehaviourEntry], Iterable[Edit]]
"""Gives the texts that one text is changed to; nothing where there is nothing to change."""


def value_of(case: Case, field: str) -> Any:
    """Return a field of the input, or of the features that a case brings; None where it is not."""
    if field in case.input:
        return case.input[field]
    return (case.features or {}).get(field)


def with_value(case: Case, field: str, value: Any) -> Case:
    """Return the case with another value in one field."""
    if field in case.input:
        return msgspec.structs.replace(case, input={**case.input, field: value})
    return msgspec.structs.replace(case, features={**(case.features or {}), field: value})


def is_prose(value: Any) -> bool:
    """Whether a value is free text rather than a code or a category: it has three words or more."""
    return isinstance(value, str) and len(value.split()) >= 3


def text_fields(case: Case, declared: Sequence[str]) -> list[str]:
    """Return the fields whose text is changed: those declared, or else every one with prose."""
    if declared:
        return [field for field in declared if isinstance(value_of(case, field), str)]
    return [field for field, value in case.input.items() if is_prose(value)]


def text_variants(change: TextChange, case: Case, seed: str, ground: Ground) -> Iterator[Variant]:
    """Yield the case with all of its texts changed; the first change of each text goes together."""
    found = {
        field: list(change(value_of(case, field), Random(seed), ground.entry))  # noqa: S311 - no secret
        for field in text_fields(case, ground.entry.fields)
    }
    for index in range(max(map(len, found.values()), default=0)):
        changed, said, pair = case, [], ""
        for field, edits in found.items():
            if index < len(edits):
                changed = with_value(changed, field, edits[index].text)
                said.append(f"{field}: {edits[index].said}")
                pair = pair or edits[index].pair
        if changed != case:
            yield Variant(changed, "; ".join(said), pair)
