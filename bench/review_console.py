"""The pages of a review queue over HTTP, while 100,000 cases wait.

Each page is asked for in turns on one kept connection, the server on one core and the asker on the
other; a figure is the median of its rounds, and the slowest stands beside it. One service of the
project asks people, two queues are declared, and every case has a prediction with its features.
"""

from __future__ import annotations

import hashlib
import os
import random
from pathlib import Path

import msgspec
from console import BIN, LOAD_CORE, SERVER_CORE, Visitor, rounds
from console import PORT as CONSOLE_PORT
from harness import folder, need_ports, process, report, wait_for

from roadworthy.app import Project, open_project
from roadworthy.store.keys import create_key
from roadworthy.store.reviews import add_drafts, add_reviews
from roadworthy.types import HOUR_US, Draft, Ids, Review, SystemClock

OPEN, BATCH, ROUNDS = 100_000, 5_000, 30
BAR_MS = 100
CLOCK = SystemClock()
PROJECT = """
[project]
name = "bench"
[providers.rule]
kind = "rule"
[queues.desk]
owner = "Ada"
[queues.leads]
owner = "Grace"
"""
SERVICE = """
name = "late"
kind = "predict"
owners = { product = "bench" }
objectives = { deadline_ms = 2000 }
cost = { }
[[models]]
name = "own"
provider = "rule"
model = "{'label': input.p >= 0.5, 'probability': input.p}"
[[fallback]]
use = "static"
output = { label = false, probability = 0.2 }
[review]
max_error = 0.1
queue = "desk"
respond_within = "30d"
"""


def write_project(home: Path) -> None:
    """Write the project's files."""
    place = home / "services" / "late"
    place.mkdir(parents=True)
    (home / "roadworthy.toml").write_text(PROJECT)
    (place / "service.toml").write_text(SERVICE)


def fill(project: Project, release: str) -> str:
    """Let cases wait, most of one queue; return one in between."""
    rng, ids, now_us = random.Random(7), Ids(CLOCK), CLOCK.now_us()
    middle = ""
    for start in range(0, OPEN, BATCH):
        cases = [a_case(rng, ids, now_us, release) for _ in range(BATCH)]
        drafts = [a_draft(case) for case in cases]
        with project.state.begin() as connection:
            add_reviews(connection, cases)
            add_drafts(connection, drafts)
        middle = cases[0].id if start == OPEN // 2 else middle
    return middle


def a_case(rng: random.Random, ids: Ids, now_us: int, release: str) -> Review:
    """Return a case that is due within a month."""
    p = rng.random()
    draft = msgspec.json.encode({"label": p >= 0.5, "probability": p})
    features = {f"feature_{n}": rng.random() for n in range(12)}
    return Review(
        id=ids.new("rv"),
        request_id=ids.new("rq"),
        at_us=now_us,
        due_us=now_us + HOUR_US + rng.randrange(700 * HOUR_US),
        service="late",
        release=release,
        queue="desk" if rng.random() < 0.9 else "leads",
        reasons=(f"score {p:.3f}, certified from 0.950 on only",),
        input=msgspec.json.encode({"p": p, "carrier": "UA", "origin": "EWR"}),
        draft=draft,
        digest=hashlib.sha256(draft).hexdigest(),
        input_digest=hashlib.sha256(str(p).encode()).hexdigest(),
        score=p,
        confidence=p,
        content={"model": "own", "features": {"weather@1": {"values": features}}},
        owner="Ada",
        key="k_1",
        user=f"user-{rng.randrange(5000)}",
    )


def a_draft(case: Review) -> Draft:
    """Return the draft that a case is about."""
    return Draft(
        request_id=case.request_id,
        at_us=case.at_us,
        service=case.service,
        release=case.release,
        scorer="own",
        path="person",
        score=case.score,
        is_drawn=True,
        unit=case.user,
        predicted=b"true",
        digest=case.input_digest,
    )


def measure(secret: str, middle: str) -> dict[str, object]:
    """Return what each page takes."""
    visitor = Visitor(secret)
    targets = {
        "queue": "/review",
        "one_queue": "/review?queue=leads",
        "one_service": "/review?service=late",
        "decided": "/review?state=decided",
        "case": f"/review/{middle}",
        "certificates": "/certificates",
        "certificate": "/certificates/late",
        "reviewers": "/reviewers",
        "home": "/",
        "words": "/words",
    }
    found: dict[str, object] = {}
    for name, target in targets.items():
        median, slowest, page = rounds(visitor, target, ROUNDS)
        found |= {f"{name}_ms": median, f"{name}_slowest_ms": slowest}
        found[f"{name}_kb"] = len(page) / 1000
    return found


def main() -> None:
    """Fill a project, serve it, ask for its pages, print one JSON line."""
    need_ports(CONSOLE_PORT)
    os.sched_setaffinity(0, {LOAD_CORE})
    with folder() as place:
        write_project(place)
        with open_project(place) as project:
            release = project.build_release("late", by="bench")
            project.promote(release.id, by="bench")
            middle = fill(project, release.id)
            scopes = ("read", "review", "admin")
            _, secret = create_key(project.state, CLOCK, name="bench", scopes=scopes, by="bench")
        command: list[str | Path] = [BIN / "roadworthy", "up", "--project", place]
        command += ["--port", str(CONSOLE_PORT)]
        with process(command, SERVER_CORE, log=place / "up.log"):
            wait_for(f"http://127.0.0.1:{CONSOLE_PORT}/healthz", 60)
            figures = measure(secret, middle)
    report("review console", open_cases=OPEN, bar_queue_ms=BAR_MS, **figures)


if __name__ == "__main__":
    main()
