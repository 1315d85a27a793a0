"""What a served project remembers of requests that nobody sent."""

from __future__ import annotations

from typing import Any

from control_plane import Plane
from roadworthy.types import MICRO, Ids, Record


def remember(plane: Plane, count: int, **fields: Any) -> None:
    """Let `risk` have answered so often, a moment ago."""
    release = plane.serving.engine.releases[fields.get("service", "risk")].id
    at_us = fields.pop("at_us", plane.project.clock.now_us() - MICRO)
    known: dict[str, Any] = {
        "service": "risk",
        "kind": "predict",
        "disposition": "answered",
        "key": "k_1",
    }
    known |= {"release": release, "model": "by-rule", "latency_us": 800, **fields}
    ids = Ids(plane.project.clock)
    for _ in range(count):
        plane.serving.spool.append(Record(id=ids.new("rq", at_us), at_us=at_us, **known))
    plane.serving.writer.drain()
