"""How fast a service is asked and its views are pushed to, beside what was declared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from ..serve.opened import OpenRelease
from ..store.rollups import Hour
from ..types import HOUR_US, MICRO
from . import data_words as words
from .data_figures import RateStatus
from .states import State

if TYPE_CHECKING:
    from ..data.features import ViewState  # at work it would import all that reads data


def rates_of(
    release: OpenRelease, views: Iterable[ViewState], hours: Sequence[Hour]
) -> Iterator[RateStatus]:
    """Yield each rate that was declared for a service, with the highest that was measured.

    Args:
        release: The service.
        views: How its views stand.
        hours: What it was asked in the hours of the last day.
    """
    declared = release.declaration.volume.requests_per_second
    if declared is not None:
        most = max((hour.requests for hour in hours), default=0) / (HOUR_US / MICRO)
        says = words.asked_rate(most, declared)
        yield _rate(f"requests of {release.name}", most if hours else None, declared, says)
    for view in views:
        if view.most_per_second is not None:
            pushed = view.pushed_per_second
            says = words.pushed_rate(pushed, view.most_per_second)
            yield _rate(f"pushes to {view.view}", pushed or None, view.most_per_second, says)


def _rate(of: str, found: float | None, declared: float, says: str) -> RateStatus:
    state: State = "collecting"
    if found is not None:
        state = "at_risk" if found > declared else "healthy"
    return RateStatus(
        of=of,
        state=state,
        word=words.RATES[state],
        says=says,
        per_second=found,
        most_per_second=declared,
    )
