"""Parts of the cases told apart: by tag, and by declared fields of the input.

Of many slices some look bad by chance, so what is said to have become worse is corrected for how
many were looked at (Holm, 1979).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from ..declare.evaluation import Evaluation
from ..risk.paired import holm
from .comparing import common_cases, pair_scores
from .measures import score_metric
from .report import Paired, Slice
from .runs import CaseRuns
from .tallies import scorers_of, tallies_of

MOST_VALUES = 100
"""A field with more values than that names cases rather than slices."""


class Sliced(NamedTuple):
    """What slices say.

    Attributes:
        slices: In the order in which they first come.
        notes: What a reader must know of them.
    """

    slices: tuple[Slice, ...]
    notes: tuple[str, ...] = ()


def cases_of_slices(
    cases: Sequence[CaseRuns], fields: Sequence[str]
) -> tuple[dict[str, list[CaseRuns]], list[str]]:
    """Return the cases of each slice, and notes of fields that make none.

    A case is in every slice whose tag or value it has; one that lacks a field is in none of its.
    """
    found: dict[str, list[CaseRuns]] = {}
    notes = []
    for runs in cases:
        for tag in dict.fromkeys(runs.case.tags):
            found.setdefault(f"tag:{tag}", []).append(runs)
    for field in fields:
        by_value: dict[str, list[CaseRuns]] = {}
        for runs in cases:
            if field in runs.case.input:
                value = _shown(runs.case.input[field])
                by_value.setdefault(f"{field}={value}", []).append(runs)
        if len(by_value) > MOST_VALUES:
            notes.append(
                f"`{field}` has {len(by_value):,} values, more than {MOST_VALUES}: no slices"
            )
        elif by_value:
            found.update(by_value)
        else:
            found[field] = []
            notes.append(f"no case has the field `{field}`, so that nothing is known of its slices")
    return found, notes


def slices_of(
    cases: Sequence[CaseRuns],
    baseline: Sequence[CaseRuns] | None,
    declared: Evaluation,
    asks_somebody: frozenset[str],
) -> Sliced:
    """Return what is known of each slice, and beside a baseline where it became worse.

    A slice fails where it is worse than allowed and surely worse at all, counting all slices.
    """
    parts, notes = cases_of_slices(cases, declared.slices)
    names = scorers_of(cases)
    _, theirs = common_cases(cases, baseline or ())
    before = {runs.case.id: runs for runs in theirs}
    slices = []
    for name, part in parts.items():
        metrics = tuple(
            score_metric(scorer, tallies, None, declared.sure).metric
            for scorer in names
            if (tallies := tallies_of(part, scorer, asks_somebody)).by_case
        )
        paired = _paired(part, before, declared, asks_somebody)
        slices.append(Slice(name=name, cases=len(part), metrics=metrics, paired=paired))
    return Sliced(_corrected(slices, 1 - declared.sure), tuple(notes))


def _paired(
    part: Sequence[CaseRuns],
    before: Mapping[str, CaseRuns],
    declared: Evaluation,
    asks_somebody: frozenset[str],
) -> tuple[Paired, ...]:
    ours = [runs for runs in part if runs.case.id in before]
    theirs = [before[runs.case.id] for runs in ours]
    found = []
    for scorer in scorers_of(ours):
        pairing = pair_scores(
            scorer,
            tallies_of(ours, scorer, asks_somebody),
            tallies_of(theirs, scorer, asks_somebody),
            declared.max_regression,
            declared.sure,
        )
        if pairing.paired.n:
            found.append(replace(pairing.paired, verdict=None, needed=None))
    return tuple(found)


def _corrected(slices: Sequence[Slice], level: float) -> tuple[Slice, ...]:
    """Return slices whose p values are corrected for all of them, and what that comes to."""
    places = [
        (k, j)
        for k, one in enumerate(slices)
        for j, paired in enumerate(one.paired)
        if paired.p is not None
    ]
    p_values = [slices[k].paired[j].p or 0.0 for k, j in places]
    adjusted: Mapping[tuple[int, int], float] = dict(zip(places, holm(p_values), strict=True))
    return tuple(
        replace(
            one,
            paired=tuple(
                _judged(paired, adjusted[k, j], level) if (k, j) in adjusted else paired
                for j, paired in enumerate(one.paired)
            ),
        )
        for k, one in enumerate(slices)
    )


def _judged(paired: Paired, adjusted: float, level: float) -> Paired:
    is_worse = paired.difference is not None and paired.difference < -paired.margin
    verdict = "fail" if is_worse and adjusted <= level else None
    return replace(paired, adjusted=adjusted, verdict=verdict)


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else f"{value!s:.60}"
