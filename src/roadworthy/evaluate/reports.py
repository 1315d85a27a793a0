"""What asking the releases adds to a report: its costs, its notes, and money that ran out."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from .report import Report
from .settings import Run
from .verdicts import Concluded

NO_MONEY = "the money ran out before every case was asked"


def without_money(concluded: Concluded, runs: Sequence[Run]) -> Concluded:
    """Return what an evaluation comes to, also where the money ran out: then nothing passes."""
    if concluded.verdict == "fail" or not any(run.unasked for run in runs):
        return concluded
    return msgspec.structs.replace(concluded, verdict="inconclusive", sentence=NO_MONEY)


def with_runs(report: Report, asked: Run, baseline: Run | None) -> Report:
    """Return a report with what asking took, of both releases together."""
    runs = [asked] if baseline is None else [asked, baseline]
    notes = [*report.notes, *asked.notes]
    if baseline is not None:
        notes += [f"of the baseline: {note}" for note in baseline.notes]
    return msgspec.structs.replace(
        report,
        asked=sum(run.asked for run in runs),
        reused=sum(run.reused for run in runs),
        cost_micro=sum(run.cost_micro for run in runs),
        scoring_cost_micro=sum(run.scoring_cost_micro for run in runs),
        notes=tuple(notes),
    )
