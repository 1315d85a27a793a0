"""The jobs that look after bounds; nothing is imported for them where none is declared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from ..plugins import load_plugin
from ..serve.opened import OpenRelease
from ..store.jobs import Job
from .ground import Ground

if TYPE_CHECKING:
    from .bounds import Bounds
    from .pair_bounds import PairBounds

CERTIFY_EVERY_S = 60
"""Seconds of the project's time between two looks at what outcomes certify."""
CALIBRATE_EVERY_S = 3_600
LEARN_EVERY_S = 600
"""Seconds of the project's time between two looks at whether there is twice as much to learn of."""
LANE, LANE_OF_PAIRS = "bounds", "pairs"
"""An alarm of the one waits for no work of the other."""


class BoundJobs:
    """Runs what certifies, calibrates and learns.

    Args:
        ground: The project.
        drain: Stores what waits in the spool.
        releases: Service → what serves it now.
    """

    def __init__(
        self,
        ground: Ground,
        drain: Callable[[], object],
        releases: Callable[[], Mapping[str, OpenRelease]],
    ) -> None:
        self._ground = ground
        self._drain = drain
        self._releases = releases

    def jobs(self) -> list[Job]:
        """Return the jobs."""
        return [
            Job("certify", CERTIFY_EVERY_S, self._certify, lane=LANE),
            Job("calibrate", CALIBRATE_EVERY_S, self._calibrate, lane=LANE),
            Job("pairs", CERTIFY_EVERY_S, self._certify_pairs, lane=LANE_OF_PAIRS),
            Job("learn", LEARN_EVERY_S, self._learn, lane=LANE_OF_PAIRS),
        ]

    @property
    def _has_bounds(self) -> bool:
        desks = [opened.desk for opened in self._releases().values()]
        return any(desk is not None and desk.policy.max_error is not None for desk in desks)

    @property
    def _has_bets(self) -> bool:
        opened = self._releases().values()
        return any(release.router is not None or release.cache is not None for release in opened)

    def _certify(self) -> str:
        if not self._has_bounds:
            return "no service has a bound"
        self._drain()
        return self._bounds.certify()

    def _calibrate(self) -> str:
        if not self._has_bounds:
            return "no service has a bound"
        self._drain()
        return self._bounds.calibrate()

    def _certify_pairs(self) -> str:
        if not self._has_bets:
            return "no service bets on a cheaper model or a cache"
        self._drain()
        return self._pair_bounds.certify()

    def _learn(self) -> str:
        if not self._has_bets:
            return "no service bets on a cheaper model or a cache"
        self._drain()
        return self._pair_bounds.learn()

    @cached_property
    def _bounds(self) -> Bounds:
        ground = self._ground
        opened: Bounds = load_plugin("review", "bounds")(ground.state, ground.clock, self._releases)
        return opened

    @cached_property
    def _pair_bounds(self) -> PairBounds:
        ground = self._ground
        opened: PairBounds = load_plugin("routing", "bounds")(
            ground.state, ground.clock, self._releases
        )
        return opened
