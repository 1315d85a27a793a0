"""How well a service's confidences agree with what came true."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..serve.opened import OpenRelease
from ..store.calibrations import StoredCalibration, list_calibrations
from ..store.clock import time_of
from ..store.waiting import count_unknown
from . import certificate_words as words
from .certificate_figures import BinShown, CalibrationPage
from .control import Ask
from .states import wilson

MOST_DRAFTS = 1000
"""The newest answers of which it is counted how many had no confidence."""


def calibration_page(ask: Ask, release: OpenRelease) -> CalibrationPage:
    """Return the newest calibration of a service; before any was fitted, what that means."""
    found = next(iter(list_calibrations(ask.control.state, release.name, 1)), None)
    detail: dict[str, Any] = {} if found is None else found.detail
    unknown, drafts = count_unknown(ask.control.state, release.name, MOST_DRAFTS)
    error = detail.get("ece")
    return CalibrationPage(
        says=words.calibration(0 if found is None else found.n, error),
        as_of=time_of(ask.control.clock.now_us()),
        service=release.name,
        release=release.id if found is None else found.release,
        scorer="" if found is None else found.scorer,
        kind=str(detail.get("calibration", {}).get("type", "")).replace("_", " "),
        fitted_at=None if found is None else time_of(found.at_us),
        is_current=_is_current(found, release),
        n=0 if found is None else found.n,
        bins=tuple(_bins(detail.get("curve", []))),
        error=error,
        error_of_scores=detail.get("ece_of_scores"),
        unknown=unknown,
        drafts=drafts,
    )


def _is_current(found: StoredCalibration | None, release: OpenRelease) -> bool:
    return found is not None and found.release == release.id


def _bins(curve: list[dict[str, Any]]) -> Iterator[BinShown]:
    for one in curve:
        n, right = int(one["n"]), float(one["right"])
        low, high = wilson(round(right * n), n)
        yield BinShown(confidence=float(one["confidence"]), right=right, low=low, high=high, n=n)
