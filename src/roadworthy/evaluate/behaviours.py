"""Behavioural tests: inputs changed in ways whose effect is known, and whether answers follow.

The idea is that of CheckList (Ribeiro and others, 2020): an answer must not change where a change
means nothing (invariance), and must move one way where it means something (direction).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from typing import Any

import msgspec

from ..declare.evaluation import BehaviourEntry
from ..types import Embedder
from .asked import Asked
from .cases import Case
from .changes import hostile, locale, numbers, order, paraphrase, people, wording
from .changes.change import Ground, TextChange, Variant, text_variants
from .judging import (
    Broken,
    Watch,
    alike_by_meaning,
    judge_change,
    reader_of,
    same_decision,
)
from .report import BehaviourResult
from .shares import share_metric

_TEXT_CHANGES: Mapping[str, TextChange] = {
    "typos": wording.typos,
    "case": wording.letter_case,
    "whitespace": wording.spaces,
    "format": wording.frames,
    "paraphrase": paraphrase.paraphrase,
    "names": people.names,
    "gender": people.gender,
    "locale": locale.locale,
}
_COUNTERFACTUAL = ("names", "gender", "swap", "directional")
_MOST_EXAMPLES = 10


class Changed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One changed case.

    Attributes:
        case: With an id of its own, made from the old one.
        of: Id of the case that was changed.
        said: What was changed, in words.
        pair: Of a counterfactual swap, what stands in the place of what; else empty.
        marks: What an answer that fell for an attack holds.
    """

    case: Case
    of: str
    said: str
    pair: str = ""
    marks: tuple[str, ...] = ()


Same = Callable[[Case, Asked, Asked], bool | None]
"""Whether the answer to a changed case is as good as that before; None leaves it to the words."""


def changed_cases(
    entry: BehaviourEntry,
    cases: Sequence[Case],
    seed: int = 0,
    *,
    schema: Mapping[str, Any] | None = None,
) -> list[Changed]:
    """Return the cases of one behaviour, always the same of the same cases and seed.

    Args:
        entry: What is declared of it.
        cases: Those of the suites; at most `entry.cases` that hold something to change are drawn.
        seed: Draws and changes otherwise.
        schema: JSON Schema of the input: numbers stay within what it allows.
    """
    ground = Ground(entry, cases, schema or {})
    found: dict[str, list[Variant]] = {}
    for case in sorted(cases, key=lambda case: _random(seed, entry, case, "draw").random()):
        if len(found) == entry.cases:
            break
        variants = [v for v in _variants(case, ground, seed) if v.case.asked != case.asked]
        if variants:
            found[case.id] = variants
    return [
        _changed(case, index, variant, entry)
        for case in cases
        for index, variant in enumerate(found.get(case.id, ()))
    ]


def _random(seed: int, entry: BehaviourEntry, case: Case, purpose: str) -> Random:
    return Random(f"{seed}:{purpose}:{entry.name}:{case.id}")  # noqa: S311 - repeatable on purpose


def _variants(case: Case, ground: Ground, seed: int) -> Iterator[Variant]:
    entry = ground.entry
    if change := _TEXT_CHANGES.get(entry.use):
        return text_variants(change, case, f"{seed}:{entry.name}:{case.id}", ground)
    rng = _random(seed, entry, case, "change")
    others: Mapping[str, Callable[[], Iterator[Variant]]] = {
        "swap": lambda: people.swap(case, ground),
        "order": lambda: order.order(case, ground, rng),
        "monotonic": lambda: numbers.monotonic(case, ground),
        "directional": lambda: numbers.directional(case, ground),
        "noise": lambda: numbers.noise(case, ground, rng),
        "bounded": lambda: numbers.bounded(case, ground, rng),
        "attacks": lambda: hostile.attacks(case, ground, rng),
    }
    return others[entry.use]()


def _changed(case: Case, index: int, variant: Variant, entry: BehaviourEntry) -> Changed:
    new = msgspec.structs.replace(variant.case, id=f"{case.id}~{entry.name}.{index + 1}")
    return Changed(case=new, of=case.id, said=variant.said, pair=variant.pair, marks=variant.marks)


def judge_behaviour(
    entry: BehaviourEntry,
    changed: Sequence[Changed],
    before: Mapping[str, Asked | None],
    after: Mapping[str, Asked | None],
    *,
    same: Same | None = None,
    embedder: Embedder | None = None,
    similar: float = 0.85,
    sure: float = 0.95,
) -> BehaviourResult:
    """Return on what share of the cases it broke, with its exact interval and verdict.

    A case counts once, however many changes it was asked with, and as broken if any of them broke
    it: changes of one case err together, and an interval over them would be too narrow.

    Args:
        entry: What is declared of it.
        changed: The changed cases.
        before: Id of each old case → its answer; None where it was not asked.
        after: Id of each changed case → its answer.
        same: Says of free text whether the answer is as good as before, such as
            `same_verdict(scorers)`; where it cannot, the embedder says it, or else the words must
            be equal.
        embedder: Makes vectors of answers, for those that mean alike.
        similar: From what cosine two answers mean alike.
        sure: Of the interval, both sides together.

    Raises:
        DeclarationError: `output` is no path.
    """
    by_case: dict[str, list[tuple[Changed, Broken]]] = defaultdict(list)
    for one in changed:
        watch = Watch(entry, _alike(one, same, embedder, similar), reader_of(entry))
        told = judge_change(watch, before.get(one.of), after.get(one.case.id), one.marks)
        if told.is_broken is not None:
            by_case[one.of].append((one, told))
    broken = sum(any(told.is_broken for _, told in pairs) for pairs in by_case.values())
    metric = share_metric(
        entry.name, broken, len(by_case), entry.at_most, sure, _why(entry, changed, by_case)
    )
    judged = [pair for pairs in by_case.values() for pair in pairs]
    return BehaviourResult(
        name=entry.name,
        use=entry.use,
        broken=metric,
        examples=_examples(judged, before, after),
        pairs=_pairs(judged) if entry.use in _COUNTERFACTUAL else (),
    )


def _alike(
    one: Changed, same: Same | None, embedder: Embedder | None, similar: float
) -> Callable[[Asked, Asked], bool]:
    by_meaning = alike_by_meaning(embedder, similar) if embedder is not None else same_decision

    def alike(before: Asked, after: Asked) -> bool:
        if not (before.text and after.text):
            return same_decision(before, after)
        told = None if same is None else same(one.case, before, after)
        return by_meaning(before, after) if told is None else told

    return alike


def _why(entry: BehaviourEntry, changed: Sequence[Changed], by_case: Mapping[str, Any]) -> str:
    asked = {one.of for one in changed}
    if not asked:
        return "no case holds anything to change: name `fields`, or add cases"
    left_out = len(asked - by_case.keys())
    if left_out:
        return f"{left_out} of {len(asked)} cases were left out: no two answers to compare"
    return ""


def _examples(
    judged: Sequence[tuple[Changed, Broken]],
    before: Mapping[str, Asked | None],
    after: Mapping[str, Asked | None],
) -> tuple[dict[str, Any], ...]:
    """Return some that broke, of as many cases as there are."""
    first: dict[str, dict[str, Any]] = {}
    for one, told in judged:
        if told.is_broken and one.of not in first and len(first) < _MOST_EXAMPLES:
            first[one.of] = {
                "case": one.of,
                "before": _shown(before.get(one.of)),
                "after": _shown(after.get(one.case.id)),
                "said": one.said[:300],
                "says": told.why,
            }
    return tuple(first.values())


def _shown(asked: Asked | None) -> Any:
    if asked is None:
        return None
    return asked.text[:300] or (asked.output if asked.output is not None else asked.disposition)


def _pairs(judged: Sequence[tuple[Changed, Broken]]) -> tuple[dict[str, Any], ...]:
    """Return of each counterfactual pair how often it mattered, and where the number went."""
    found: dict[str, list[Broken]] = defaultdict(list)
    for one, told in judged:
        found[one.pair].append(told)
    return tuple(
        {"pair": pair, "n": len(all_told), **_outcomes(all_told)}
        for pair, all_told in sorted(found.items())
        if pair
    )


def _outcomes(all_told: Sequence[Broken]) -> dict[str, Any]:
    moves = [told.moved for told in all_told if told.moved is not None]
    mean = sum(moves) / len(moves) if moves else None
    return {"broken": sum(bool(told.is_broken) for told in all_told), "moved": mean}
