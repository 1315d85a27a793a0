"""What reviewing needs of all rooms: the job of the queues, and what tells their webhooks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, Engine

from ..declare.project import ProjectDeclaration
from ..review.expiry import JOB, look_at_times
from ..review.notices import Tell
from ..review.queue import release_planted
from ..serve.expiring import given_instead, serving_now
from ..serve.opened import OpenRelease
from ..store.deliveries import queue_delivery
from ..store.jobs import Job
from ..store.reviews import Waiting, empty_reviews
from ..types import DAY_US, Clock

LOOK_EVERY_S = 10
"""Seconds of the project's time between two looks at the queues."""
EMPTY_EVERY_S = 3_600
"""Seconds of the project's time between two looks at cases of services that keep no bodies."""
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
    queues, tell = project.queues, teller(project, clock)

    def instead(waiting: Waiting) -> Mapping[str, Any]:
        release = serving_now(releases(), waiting.review.service)
        answering = given_instead(release, waiting, clock)
        return asyncio.run_coroutine_threadsafe(answering, loop()).result()

    def run() -> str:
        planted = release_planted(state, clock, queues)
        did = look_at_times(state, clock, queues, instead, tell)
        said = f"{did.escalated} escalated, {did.expired} expired, {planted} planted"
        return f"{said}, {did.told} told"

    return Job(JOB, LOOK_EVERY_S, run)


def bodies_job(state: Engine, clock: Clock, releases: Releases) -> Job:
    """Return the job that lets go of what people were shown, for services that keep no bodies."""

    def run() -> str:
        before_us = clock.now_us() - DAY_US
        bare = [name for name, release in releases().items() if not release.keeps_bodies]
        return f"{sum(empty_reviews(state, name, before_us) for name in bare)} cases emptied"

    return Job("bodies", EMPTY_EVERY_S, run)


def teller(project: ProjectDeclaration, clock: Clock) -> Tell:
    """Return what queues a notice for the webhook that a queue names, if that takes the event."""

    def tell(
        connection: Connection, queue: str, event: str, subject: str, facts: Mapping[str, Any]
    ) -> None:
        name = project.queues[queue].webhook if queue in project.queues else None
        webhook = project.webhooks.get(name or "")
        if name is None or webhook is None or not webhook.takes(event):
            return
        link = f"/review/{subject}" if subject.startswith("rv_") else f"/review?queue={queue}"
        queue_delivery(connection, clock, name, event, subject, {**facts, "link": link})

    return tell
