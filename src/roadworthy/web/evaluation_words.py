"""The sentences of the pages about evaluations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from ..evaluate.report import Metric, Report
from . import measures, numbers
from .states import State
from .words import exactly

if TYPE_CHECKING:
    from .evaluation_figures import EvaluationRow

WORDS = {"pass": "Pass", "fail": "Fail", "inconclusive": "Inconclusive"}
"""What a verdict is called."""
STATES: dict[str, State] = {"pass": "healthy", "fail": "breached", "inconclusive": "collecting"}
STABLE = {
    "stable_pass": "right every time",
    "flaky": "flaky",
    "stable_fail": "wrong every time",
    "unknown": "not scored",
}
"""What a case is called by how its repeats came out."""
KINDS = {"suite": "suites", "replay": "a replay of traffic"}


def word_of(verdict: str | None) -> str:
    """Return what a verdict is called; of what nothing is promised, that."""
    return WORDS.get(verdict or "", "No bar")


def state_of(verdict: str | None) -> State:
    """Return the colour and shape of a verdict."""
    return STATES.get(verdict or "", "off")


def evaluation(report: Report) -> str:
    """Return the verdict of an evaluation in one line.

    >>> report = Report(id="ev_1", service="risk", release="risk@e0539fc43b6c", at_us=0)
    >>> evaluation(report)
    'e0539f is not decided yet: more is needed.'
    >>> from msgspec.structs import replace
    >>> evaluation(replace(report, needed=140)), evaluation(replace(report, verdict="pass"))
    ('e0539f is not decided yet: 140 more cases are needed.', 'e0539f passes its evaluation.')
    """
    release = numbers.short(report.release)
    if report.verdict == "pass":
        return f"{release} passes its evaluation."
    if report.verdict == "inconclusive":
        return f"{release} is not decided yet: {missing(report.needed, report.needs_repeats)}."
    failing = [name for name, metric in report.metrics.items() if metric.verdict == "fail"]
    if failing:
        return f"{release} fails: {failed(report.metrics[failing[0]])}."
    return f"{release} fails its evaluation."


def failed(metric: Metric) -> str:
    """Return by how much a metric breaks its bar.

    >>> failed(Metric(name="exact", value=0.81, bar=0.9, n=120))
    'exact is 81.0%, 90% is promised'
    """
    name = measures.word_of(metric.name)
    if metric.value is None or metric.bar is None:
        return f"{name} does not hold"
    value = measures.measure(metric.value, metric.unit, metric.bar)
    bar = measures.promised_bar(metric.bar, metric.unit, metric.is_least)[2:]
    return f"{name} is {value}, {'' if metric.is_least else 'at most '}{bar} is promised"


def missing(needed: int | None, is_repeats: bool = False) -> str:
    """Return what is missing until a verdict.

    >>> missing(1), missing(2, True), missing(None)
    ('1 more case is needed', '2 more repeats are needed', 'more is needed')
    """
    if needed is None:
        return "more is needed"
    noun = "more repeat" if is_repeats else "more case"
    return f"{exactly(needed, noun)} {'is' if needed == 1 else 'are'} needed"


def because(report: Report) -> Iterator[str]:
    """Yield what decides a verdict, and what is missing."""
    if said := report.sentence.strip():
        yield capital(said if said.endswith(".") else f"{said}.")
    if report.verdict == "inconclusive" and report.needed is not None:
        yield f"{capital(missing(report.needed, report.needs_repeats))}."
    if report.verdict == "pass":
        yield "Nothing speaks against it."


def capital(text: str) -> str:
    """Return a sentence that begins as one."""
    return f"{text[:1].upper()}{text[1:]}"


def evaluations(rows: Sequence[EvaluationRow], service: str, now: datetime) -> str:
    """Return how the newest evaluation of a service ended."""
    if not rows:
        return f"No evaluation of {service} yet."
    newest = rows[0]
    verb = {"pass": "passed", "fail": "failed"}.get(newest.verdict, "was not decided")
    return f"{numbers.short(newest.release)} {verb}, {numbers.at(newest.at, now)}."


def group(rate: float | None, missing: int | None) -> str:
    """Return why a group has no rate.

    >>> group(None, 12), group(0.5, None)
    ('12 more cases are needed', '')
    """
    if rate is not None:
        return ""
    if missing is None:
        return "too few to say"
    return f"{exactly(missing, 'more case')} {'is' if missing == 1 else 'are'} needed"
