"""The airline's stream: as time goes by, the rows of its feature views that have become known.

A real airline has a stream of departures and of weather. Here each view is computed once over the
files of its sources, and its rows are pushed online when the replay's clock has reached them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from api import Api, check

from roadworthy import open_project
from roadworthy.data.features import Features
from roadworthy.data.known import KnownRows

MOST_ROWS = 5_000
"""Rows of one push."""


class Stream:
    """What is known when, of every view of a project.

    Args:
        project: The folder of the project that is served, with its sources.
        service: The service whose views they are.
        start: Everything known by then is put online at once, and nothing that was known later.
            The project's clock must have reached it.
    """

    def __init__(self, project: Path, service: str, start: datetime) -> None:
        self._known_us = micros_of(start)
        with open_project(project) as opened:
            features = Features(opened.declaration, opened.state, opened.clock)
            try:
                views = opened.load(service).features.views
                chosen = [features.view(view) for view in views]
                for view in chosen:
                    features.fill(view, until_us=self._known_us, whole=True)
                self._views = [KnownRows(view, features.sources) for view in chosen]
            finally:
                features.close()

    async def push(self, api: Api, now: datetime) -> int:
        """Push what became known since the last time, and return how many rows that were.

        Raises:
            ReplayError: The server did not take them.
            ModelError, TimeoutError: Nobody answered.
        """
        since_us, self._known_us = self._known_us, micros_of(now)
        rows = [view.between(since_us, self._known_us) for view in self._views]
        async with asyncio.TaskGroup() as pushes:
            for view, known in zip(self._views, rows, strict=True):
                pushes.create_task(push_rows(api, view.view.id, known))
        return sum(map(len, rows))


async def push_rows(api: Api, view: str, rows: Sequence[object]) -> None:
    """Push rows of one view in the order in which they became known."""
    for first in range(0, len(rows), MOST_ROWS):
        body = {"rows": rows[first : first + MOST_ROWS]}
        reply = await api.send("POST", f"/v1/features/{view}", body)
        check(reply, f"push rows of `{view}` (scope `push`)")


def micros_of(moment: datetime) -> int:
    """Return a moment in Unix microseconds."""
    return round(moment.timestamp()) * 1_000_000
