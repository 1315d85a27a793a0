"""The running audit of what is given alone: notices that a bound no longer holds, and how soon."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..risk.audit import (
    LEAST_RUN,
    YEAR_DAYS,
    expected_delay,
    is_alarm,
    level_of,
    share_on_probation,
)
from ..risk.recent import since_it_rose
from ..types import DAY_US
from .progress import ALL, Progress
from .terms import Terms


def run_length(progress: Progress, terms: Terms, place: int, share: float, seen_us: int) -> float:
    """Return how many audits are expected in a year, in which one false alarm is tolerable.

    Args:
        progress: Of the epoch, which tells how many requests and units there are.
        terms: Of the epoch.
        place: The threshold that lets answers pass.
        share: Of the answers given alone that are audited.
        seen_us: Until when the epoch has counted.
    """
    days = max(seen_us - terms.from_us, terms.window_us, 1) / DAY_US
    passing = (place + 1) / len(terms.grid)
    audits = min(progress.tally.requests * share, progress.tally.units)
    return max(LEAST_RUN, audits * passing / days * YEAR_DAYS)


MOST_SILENT = 100
"""By so many audits without an outcome more than with one, nobody would notice a broken bound."""


class Alarm(NamedTuple):
    """Why a certificate is switched off.

    Attributes:
        group: Whose audits showed it; empty where those of all did.
        n, wrong: Audits since the error is likeliest to have risen, and the wrong ones.
    """

    why: str
    group: str
    n: int
    wrong: int


def alarm_of(progress: Progress, terms: Terms, length: float) -> Alarm | None:
    """Return the alarm that the audits raise, if they do.

    With several groups each is given a part of the false alarms. An audit without an outcome speaks
    for no error; where most have none, there is no audit any more.
    """
    silent = progress.tally.silence
    if silent >= MOST_SILENT:
        why = f"of the latest audits {silent} more had no outcome than had one: nobody audits"
        return Alarm(why, ALL, silent, 0)
    level = length * len(progress.detectors)
    for key, detector in progress.detectors.items():
        if is_alarm(detector, level):
            where = f" of {key}" if key != ALL else ""
            n, wrong = since_it_rose(progress.recent[key])
            why = (
                f"{wrong} of the last {n} audits{where} were wrong ({wrong / max(n, 1):.1%}),"
                f" promised were at most {terms.max_error:.1%}"
            )
            return Alarm(why, key, n, wrong)
    return None


def audit_share(declared: float, alone: int, terms: Terms) -> float:
    """Return the share of what is given alone that is audited; it is higher in the beginning.

    Where all outcomes are reported, all are.
    """
    return 1.0 if terms.reported == "all" else share_on_probation(declared, alone)


def shown(progress: Progress, terms: Terms, length: float, share: float) -> dict[str, Any]:
    """Return how a running audit stands, as JSON values.

    Args:
        progress: Of the epoch.
        terms: Of the epoch.
        length: How many audits there are, in the mean, to one false alarm.
        share: Of the answers given alone that are audited.
    """
    detector = progress.detectors[ALL]
    audits = expected_delay(terms.max_error, length)
    worst = max(progress.detectors.values(), key=lambda one: one.log_level)
    return {
        "n": detector.n,
        "wrong": round(detector.wrong),
        "level": level_of(worst, length * len(progress.detectors)),
        "run_length": round(length),
        "share": share,
        "delay_audits": round(audits),
        "delay_answers": round(audits / share),
    }
