"""How far a judge can be believed, and what that leaves of what it says of a release.

A judge that calls some wrong answers right, or right ones wrong, measures another share than the
true one. From answers that people have judged too it is known how often it does either, and so the
share that people would find right follows (Rogan and Gladen, 1978). Assumed: it errs on the cases
as it did on the labelled answers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import product
from typing import NamedTuple, Protocol, runtime_checkable

from ..risk.evidence import interval, upper_bound
from ..risk.reliability import Estimate
from .report import Metric


class Agreement(NamedTuple):
    """How a judge's word compares with people's, on the same answers.

    Attributes:
        right: Answers that people call right, and `found_right` of them the judge does too.
        wrong: Answers that people call wrong, and `found_wrong` of them the judge does too.
        unknown: Answers of which the judge could not say anything; they are in no other count.
    """

    right: int
    found_right: int
    wrong: int
    found_wrong: int
    unknown: int = 0

    @property
    def is_enough(self) -> bool:
        """Whether there are answers of both kinds: without, nothing follows."""
        return self.right > 0 and self.wrong > 0

    def sensitivity(self, sure: float = 0.95) -> Estimate:
        """Return which share of right answers it finds right, with its exact interval."""
        return _share(self.found_right, self.right, sure)

    def specificity(self, sure: float = 0.95) -> Estimate:
        """Return which share of wrong answers it finds wrong, with its exact interval."""
        return _share(self.found_wrong, self.wrong, sure)

    def doubt(self, is_right: bool) -> float:
        """Return at most how many of such verdicts people see otherwise (0-1), 95 % sure.

        It holds for answers of which as many are right as of the labelled ones. A judge that was
        never held against people may always be wrong.
        """
        if not self.is_enough:
            return 1.0
        if is_right:
            confirmed, refuted = self.found_right, self.wrong - self.found_wrong
        else:
            confirmed, refuted = self.found_wrong, self.right - self.found_right
        return upper_bound(refuted, confirmed + refuted, 0.95, is_planned=True)


@runtime_checkable
class Calibrated(Protocol):
    """A scorer whose scores are somebody's word, which may be held against people's."""

    @property
    def is_calibrated(self) -> bool:
        """Whether there are people's labels of both kinds to hold it against."""

    def calibrate(self) -> Agreement:
        """Return how it compares with people.

        Raises:
            ModelError: It could not be asked.
        """


def agreement_of(pairs: Iterable[tuple[bool | None, bool]]) -> Agreement:
    """Return how a judge compares with people.

    Args:
        pairs: For each answer what the judge says (None: nothing), and what people say.

    >>> agreement_of([(True, True), (False, True), (False, False), (None, True)])
    Agreement(right=2, found_right=1, wrong=1, found_wrong=1, unknown=1)
    """
    right = found_right = wrong = found_wrong = unknown = 0
    for judged, is_right in pairs:
        if judged is None:
            unknown += 1
        elif is_right:
            right += 1
            found_right += judged
        else:
            wrong += 1
            found_wrong += not judged
    return Agreement(right, found_right, wrong, found_wrong, unknown)


def corrected_rate(right: float, n: int, agreement: Agreement, sure: float = 0.95) -> Estimate:
    """Return the share that people would find right, of which a judge found `right` of `n`.

    The interval holds with at least `sure`, whatever the true rates are: each of the three that it
    follows from (what the judge found, its sensitivity, its specificity) has an exact interval, all
    three hold at once with `sure`, and it spans all that they allow together. It is 0 to 1 where
    the labels leave it open whether the judge is better than chance.

    Args:
        right: How many it found right; of repeats of a case, the mean.
        n: How many cases.
        agreement: How it compares with people.
        sure: Probability (0-1) with which the interval is right.

    >>> found = corrected_rate(80, 100, Agreement(200, 190, 200, 180), 0.95)
    >>> round(found.value, 3), round(found.low, 2), round(found.high, 2)
    (0.824, 0.64, 0.98)
    """
    if n == 0 or not agreement.is_enough:
        return Estimate(math.nan, 0.0, 1.0)
    each = sure ** (1 / 3)  # the three samples are independent
    finds, passes = agreement.sensitivity(each), agreement.specificity(each)
    skill = finds.value + passes.value - 1
    value = _clipped((right / n + passes.value - 1) / skill) if skill > 0 else math.nan
    if finds.low + passes.low <= 1:
        return Estimate(value, 0.0, 1.0)
    # A mean over repeats lies between two counts: the wider of their intervals holds for it.
    low, high = interval(math.floor(right), n, each)[0], interval(math.ceil(right), n, each)[1]
    corners = [
        _clipped((found + specificity - 1) / (sensitivity + specificity - 1))
        for found, sensitivity, specificity in product((low, high), finds[1:], passes[1:])
    ]
    return Estimate(value, min(corners), max(corners))


def corrected_metric(
    name: str, right: float, n: int, agreement: Agreement | None, sure: float = 0.95
) -> Metric:
    """Return a judge's metric as people would find it; without their labels, from 0 to 1.

    So a gate can never pass on the word of a judge that nobody has held against people's.
    """
    if n == 0:
        return Metric(name=name, why="the judge has judged nothing")
    if agreement is None or not agreement.is_enough:
        why = (
            "the judge was not held against people: name `labels` of answers, right ones and wrong "
            "ones, and what it says becomes evidence"
        )
        return Metric(name=name, value=right / n, low=0.0, high=1.0, n=n, why=why)
    found = corrected_rate(right, n, agreement, sure)
    finds, passes = agreement.sensitivity(sure), agreement.specificity(sure)
    why = (
        f"the judge finds {finds.value:.0%} of right answers right ({agreement.right} labels) and "
        f"{passes.value:.0%} of wrong ones wrong ({agreement.wrong}); it found {right / n:.1%}"
    )
    value = right / n if math.isnan(found.value) else found.value
    return Metric(name=name, value=value, low=found.low, high=found.high, n=n, why=why)


def _share(count: int, n: int, sure: float) -> Estimate:
    return Estimate(count / n if n else math.nan, *interval(count, n, sure))


def _clipped(value: float) -> float:
    return min(max(value, 0.0), 1.0)
