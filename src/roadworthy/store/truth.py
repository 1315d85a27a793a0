"""Whether an answer was right, from what became known of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from ..declare.expressions import Expression, ExpressionError, compile_expression

_NO_EVIDENCE = ("rating",)

_decode = msgspec.json.decode


class Said(NamedTuple):
    """What a source said of an answer.

    Attributes:
        kind: `label`, `correct`, `correction`, or what is no evidence.
        value: As JSON.
    """

    kind: str
    value: str
    source: str
    known_at_us: int


class Truth:
    """Says of a draft whether it was right, from what was said of it.

    A label that an expression cannot be computed for says nothing.

    Args:
        right: When an answer is right: `outcomes.right`, or None for equality.
    """

    def __init__(self, right: str | None) -> None:
        self._right = None if right is None else compile_expression(right, "outcome")

    def verdicts(self, predicted: bytes, said: Iterable[Said]) -> set[bool]:
        """Return what the sources hold of a draft: nothing, one verdict, or both.

        Args:
            predicted: What a label is compared with, as JSON; empty where nothing is.
            said: By whatever sources. Within one of them a label outweighs a verdict, and that a
                correction.
        """
        by_source: dict[str, dict[str, set[bool]]] = {}
        for one in said:
            verdict = self._verdict(predicted, one)
            if verdict is not None:
                by_source.setdefault(one.source, {}).setdefault(one.kind, set()).add(verdict)
        return set().union(*(_strongest(kinds) for kinds in by_source.values()))

    def _verdict(self, predicted: bytes, said: Said) -> bool | None:
        if said.kind in _NO_EVIDENCE or said.source == "planted":
            return None
        value = _decode(said.value)
        if said.kind in ("correct", "audit"):
            return value if isinstance(value, bool) else None
        if said.kind == "label":
            return _is_right(self._right, predicted, value)
        if said.kind == "correction":
            return bool(predicted) and _is_same(predicted, value)
        return None


def _strongest(kinds: dict[str, set[bool]]) -> set[bool]:
    """Return the verdicts of the kind that weighs most."""
    return next(
        kinds[kind] for kind in ("label", "correct", "audit", "correction") if kind in kinds
    )


def _is_right(right: Expression | None, predicted: bytes, label: Any) -> bool | None:
    if not predicted:
        return None
    if right is None:
        return bool(_decode(predicted) == label)
    try:
        found = right.evaluate({"output": _decode(predicted), "label": label})
    except ExpressionError:
        return None
    return found if isinstance(found, bool) else None


def _is_same(predicted: bytes, output: Any) -> bool:
    """Whether what somebody put in the place of an answer is what it was."""
    was = _decode(predicted)
    return bool(was == output or (isinstance(output, dict) and was == output.get("label", output)))
