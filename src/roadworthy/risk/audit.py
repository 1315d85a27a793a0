"""The running audit of a certificate: notices that it no longer holds, and how soon.

A certificate says nothing of tomorrow. A share of what is answered alone is labelled all the same,
by a coin whose odds are recorded, and a Shiryaev-Roberts detector watches the outcomes: in the
mean it runs at least `run_length` audits until a false alarm, whatever the order of what it sees
(Shin, Ramdas and Rinaldo, E-detectors, 2022). After a good period it is faster
than a test that began with the certificate.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .coin import LEAST_SHARE
from .evidence import Floats

TIMES = np.array([1.25, 1.5, 2.0, 3.0, 5.0, 10.0])
"""Which errors are looked for, as multiples of the bound."""

YEAR_DAYS = 365
LEAST_RUN = 100
"""Audits to a false alarm, where there are hardly any in a year."""
_HIGHEST = 0.999


class Detector(NamedTuple):
    """What an audit has seen.

    Attributes:
        logs: (6,) float64; log of the statistic for each multiple of the bound.
        n, wrong: Audits, and the sum of their losses, since it began.
    """

    logs: Floats
    n: int = 0
    wrong: float = 0

    @property
    def log_level(self) -> float:
        """Log of the mean statistic: at least ln(run_length) is an alarm."""
        return float(np.logaddexp.reduce(self.logs) - math.log(len(self.logs)))


def begin() -> Detector:
    """Return a detector that has seen nothing."""
    return Detector(np.full(len(TIMES), -np.inf))


def see(detector: Detector, is_wrong: bool, max_error: float) -> Detector:
    """Return the detector after one more audited outcome.

    >>> quiet = begin()
    >>> for _ in range(500): quiet = see(quiet, False, 0.02)
    >>> for _ in range(12): quiet = see(quiet, True, 0.02)
    >>> bool(quiet.log_level > math.log(10_000))
    True
    """
    rates = np.minimum(TIMES * max_error, _HIGHEST)
    factor = np.log(rates / max_error) if is_wrong else np.log1p(-rates) - math.log1p(-max_error)
    logs = np.logaddexp(detector.logs, 0.0) + factor
    return Detector(logs, detector.n + 1, detector.wrong + is_wrong)


def see_weighted(
    detector: Detector, loss: float, propensity: float, max_error: float, least_propensity: float
) -> Detector:
    """Return the detector after an audit whose chance was its own.

    The factor is 1 + c (loss - max_error) / propensity, whose mean over all requests is at most 1
    while the bound holds; c is as large as the least chance allows. If all chances are equal it is
    that of `see`. One run length is then that many audits.

    Args:
        detector: So far; all of it with the same least chance.
        loss: In [0, 1].
        propensity: The recorded chance of this audit.
        max_error: The bound.
        least_propensity: The smallest chance that any accepted request has.

    Raises:
        ValueError: The propensity lies below the least one, or the loss outside of [0, 1].

    >>> first, second = see(begin(), True, 0.02), see_weighted(begin(), 1.0, 0.05, 0.02, 0.05)
    >>> bool(np.allclose(first.logs, second.logs))
    True
    """
    if not 0 < least_propensity <= propensity or not 0 <= loss <= 1:
        raise ValueError(
            f"expected a propensity of at least {least_propensity} and a loss from 0 to 1, "
            f"got {propensity} and {loss}"
        )
    rates = np.minimum(TIMES * max_error, _HIGHEST)
    bets = (rates / max_error - 1) / (1 - max_error) * least_propensity
    factor = np.log1p(bets * (loss - max_error) / propensity)
    logs = np.logaddexp(detector.logs, 0.0) + factor
    return Detector(logs, detector.n + 1, detector.wrong + loss)


def is_alarm(detector: Detector, run_length: float) -> bool:
    """Whether it is time to switch off.

    Args:
        detector: What was seen.
        run_length: How many audits there are, in the mean, to one false alarm: those of the time in
            which one is tolerable, a year by default.
    """
    return detector.log_level >= math.log(run_length)


def expected_delay(max_error: float, run_length: float, times: float = 2.0) -> float:
    """Return after how many audits an error of `times` the bound is noticed, about.

    It is ln(A KL) / KL, with KL the divergence of the two rates.

    >>> round(expected_delay(0.02, 10_000)), round(expected_delay(0.05, 10_000))
    (551, 258)
    """
    rate = min(times * max_error, _HIGHEST)
    divergence = rate * math.log(rate / max_error)
    divergence += (1 - rate) * (math.log1p(-rate) - math.log1p(-max_error))
    return math.log(max(run_length * divergence, math.e)) / divergence


def share_on_probation(share: float, accepted: int) -> float:
    """Return the share to audit, which is higher while a certificate is young.

    max(share, min(half, 100 / accepted since the certificate)).

    >>> share_on_probation(0.05, 0), share_on_probation(0.05, 500), share_on_probation(0.05, 9999)
    (0.5, 0.2, 0.05)
    """
    return max(share, LEAST_SHARE, min(0.5, 100 / max(accepted, 1)))


def level_of(detector: Detector, length: float) -> float:
    """Return how near an audit is to its alarm: 0 at rest, 1 is the alarm."""
    if detector.log_level == -math.inf:
        return 0.0
    return min(1.0, max(0.0, detector.log_level / math.log(max(length, math.e))))
