"""What an evaluation's numbers come to: a stand-in that only counts, without any interval."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ..declare.service import ServiceDeclaration
from .report import Metric, Paired, Slice, Stability, Verdict
from .runs import CaseRuns


class Concluded(msgspec.Struct, frozen=True, kw_only=True):
    """What the numbers of an evaluation come to."""

    metrics: dict[str, Metric] = {}
    paired: tuple[Paired, ...] = ()
    slices: tuple[Slice, ...] = ()
    stability: Stability = Stability()
    verdict: Verdict = "inconclusive"
    sentence: str = ""
    needed: int | None = None
    needs_repeats: bool = False


def conclude(
    declared: ServiceDeclaration,
    cases: Sequence[CaseRuns],
    baseline: Sequence[CaseRuns] | None = None,
) -> Concluded:
    """Return the share of right answers, held against the bar without any doubt."""
    quality = declared.objectives.quality
    name = quality.scorer if quality else "exact"
    scores = [score for runs in cases for score in runs.scores.get(name, ()) if score]
    known = [score.value for score in scores if score.value is not None]
    value = sum(known) / len(known) if known else None
    bar = quality.at_least if quality else None
    verdict: Verdict | None = None
    if bar is not None:
        verdict = "inconclusive" if value is None else "pass" if value >= bar else "fail"
    metric = Metric(name=name, value=value, n=len(known), bar=bar, verdict=verdict)
    sentence = f"{name} is {value} of {len(known)} cases"
    return Concluded(metrics={name: metric}, verdict=verdict or "pass", sentence=sentence)
