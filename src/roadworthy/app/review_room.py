"""What reviewing needs of all rooms: the job of the queues, and what tells their webhooks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Engine

from ..declare.project import ProjectDeclaration
from ..review.expiry import JOB, look_at_times
from ..review.notices import Tell, tell_nobody
from ..review.queue import release_planted
from ..serve.expiring import given_instead, serving_now
from ..serve.opened import OpenRelease
from ..store.jobs import Job
from ..store.reviews import Waiting
from ..types import Clock

LOOK_EVERY_S = 10
"""Seconds of the project's time between two looks at the queues."""
TELL: Tell = tell_nobody
"""What queues the notices of all queues."""
Releases = Callable[[], Mapping[str, OpenRelease]]


def queue_job(
    project: ProjectDeclaration,
    state: Engine,
    clock: Clock,
    releases: Releases,
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> Job:
    """Return the job that sees to it that nobody waits longer than declared.

    Args:
        project: Has the queues.
        state: Has the cases.
        clock: The project's time.
        releases: Service → what serves it now.
        loop: The loop on which models answer.
    """
    queues = project.queues

    def instead(waiting: Waiting) -> Mapping[str, Any]:
        release = serving_now(releases(), waiting.review.service)
        answering = given_instead(release, waiting, clock)
        return asyncio.run_coroutine_threadsafe(answering, loop()).result()

    def run() -> str:
        planted = release_planted(state, clock, queues)
        did = look_at_times(state, clock, queues, instead, TELL)
        return f"{did.escalated} escalated, {did.expired} expired, {planted} planted"

    return Job(JOB, LOOK_EVERY_S, run)
