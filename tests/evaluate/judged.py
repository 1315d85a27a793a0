"""Declarations and cases that were asked and scored, for the tests of verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from roadworthy.declare.service import ServiceDeclaration
from roadworthy.evaluate.asked import Asked
from roadworthy.evaluate.cases import Case
from roadworthy.evaluate.runs import CaseRuns
from roadworthy.evaluate.scorer import Score


def declared(
    quality: float | None = 0.9,
    objectives: dict[str, Any] | None = None,
    cost: dict[str, Any] | None = None,
    **evaluation: Any,
) -> ServiceDeclaration:
    """Return a service that promises a share of right answers by the scorer `exact`."""
    promised: dict[str, Any] = {"deadline_ms": 1000, **(objectives or {})}
    if quality is not None:
        promised["quality"] = {"scorer": "exact", "at_least": quality}
    return ServiceDeclaration.model_validate(
        {
            "name": "flights",
            "kind": "predict",
            "owners": {"product": "a", "model": "b", "platform": "c"},
            "objectives": promised,
            "cost": {"per_day_usd": 5, **(cost or {})},
            "models": [{"name": "rule", "provider": "local", "model": "builtin:x"}],
            "evaluation": evaluation,
        }
    )


def answered(**fields: Any) -> Asked:
    """Return an answer of ten milliseconds."""
    return Asked(**{"disposition": "answered", "output": "x", "latency_us": 10_000, **fields})


def one(
    number: int, rights: Sequence[bool | None], answer: Asked | None = None, **fields: Any
) -> CaseRuns:
    """Return a case with one repeat for each of `rights`; None is one that was not asked."""
    asked = answer or answered()
    case = Case(**{"id": f"c{number}", "input": {"carrier": "UA"}, "expect": "x", **fields})
    return CaseRuns(
        case,
        "golden.jsonl",
        tuple(None if right is None else asked for right in rights),
        {"exact": tuple(None if right is None else Score(float(right), right) for right in rights)},
    )


def cases(rights: Iterable[bool | Sequence[bool | None]], **fields: Any) -> list[CaseRuns]:
    """Return a case for each: right or not, or so in each of its repeats."""
    return [
        one(k, [right] if isinstance(right, bool) else right, **fields)
        for k, right in enumerate(rights)
    ]


def scored(score: Score | None, count: int) -> list[CaseRuns]:
    """Return cases of which the scorer says this."""
    return [
        CaseRuns(each.case, each.suite, each.answers, {"exact": (score,)})
        for each in cases([True] * count, tags=("scored",))
    ]
