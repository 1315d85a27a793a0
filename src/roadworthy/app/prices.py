"""The job that lets prices hold from their day on, without opening anything anew."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from ..serve.continuing import Continued
from ..serve.opened import OpenRelease
from ..store.jobs import Job
from ..types import Clock

EVERY_S = 60


def prices_job(clock: Clock, releases: Callable[[], Iterable[OpenRelease]]) -> Job:
    """Return the job that looks which prices hold now.

    A try that has begun costs what it cost when it began; what is set aside within an hour before
    a change covers both prices.
    """

    def look() -> str:
        now_us, changed = clock.now_us(), 0
        for opened in releases():
            for chain in opened.chains:
                for link in chain.links:
                    meter = link.meter.at(now_us)
                    if meter != link.meter:
                        msgspec.structs.force_setattr(link, "meter", meter)
                        if isinstance(link.model, Continued):
                            link.model.meter = meter
                        changed += 1
        return f"{changed} prices changed" if changed else "no price changed"

    return Job("prices", EVERY_S, look)
