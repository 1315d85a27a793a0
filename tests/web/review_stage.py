"""A served project whose services ask people, with cases of every kind and certificates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from conftest import write_project
from control_plane import Plane
from review_cases import a_review, ask
from roadworthy.app import open_project
from roadworthy.store.certificates import certificate_in_force
from roadworthy.store.explanations import save_explanation
from roadworthy.store.records import outcome_row
from roadworthy.store.reviews import add_drafts, add_reviews
from roadworthy.store.state import insert_rows
from roadworthy.store.tables import outcomes
from roadworthy.types import (
    DAY_US,
    HOUR_US,
    MICRO,
    Draft,
    DraftPath,
    Ids,
    Outcome,
    Review,
    SettableClock,
)

NOW_US = 1_795_444_320 * MICRO
"""23 November 2026, 14:32 UTC."""
QUEUE = '[queues.desk]\nowner = "Ada"\n[queues.leads]\nowner = "Grace"\n'
LATE = """
name = "late"
kind = "predict"
purpose = "Say whether a flight is late."
owners = { product = "ada" }
objectives = { deadline_ms = 2000 }
cost = { per_day_usd = 1 }
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
capacity_per_day = 200
"""
CHAT = """
name = "chat"
kind = "generate"
purpose = "Answer passengers."
owners = { product = "ada" }
objectives = { deadline_ms = 2000 }
cost = { per_day_usd = 1 }
[[models]]
name = "own"
provider = "rule"
model = "{'text': 'You may choose. We will refund your hotel of $164 within 7 days.'}"
[[fallback]]
use = "static"
output = { text = "A colleague will answer you." }
[review]
max_error = 0.05
queue = "leads"
"""
PLAIN = """
name = "plain"
kind = "predict"
owners = { product = "nobody" }
objectives = { deadline_ms = 1000 }
cost = { per_day_usd = 1 }
[[models]]
name = "rule"
provider = "rule"
model = '{"late": true}'
"""
ANSWER = "You may choose a refund or a rebooking. We will refund your hotel of $164 within 7 days."
QUESTION = "My flight was cancelled by the storm. I paid $164 for a hotel. Do I get that back?"


def a_chat(plane: Plane, text: str = ANSWER, **fields: Any) -> Review:
    """Return a case of `chat`, with passages and what supports each sentence."""
    found = re.findall(r"[^.]+\.", text[:400])[:2]
    sentences = [[part, 0.9 - 0.6 * n] for n, part in enumerate(found)]
    content = {
        "model": "own",
        "passages": [
            {"file": "hotels.md", "heading": "Weather", "text": "Hotels are not paid after storms."}
        ],
        "sentences": sentences,
        "verdicts": [["grounded", "deny", "1 of 2 sentences not supported by the passages"]],
    }
    known: dict[str, Any] = {
        "service": "chat",
        "queue": "leads",
        "release": plane.serving.engine.releases["chat"].id,
        "input": msgspec.json.encode({"text": QUESTION}),
        "content": content,
        "reasons": (
            "not_sure: the answer may not be given alone: score 0.300, certified from 0.760",
        ),
        "score": 0.3,
        "confidence": 0.58,
        "owner": "Grace",
    }
    return a_review(plane.project.clock, {"text": text}, **{**known, **fields})


def a_late(plane: Plane, p: float = 0.8, **fields: Any) -> Review:
    """Return a case of `late`, with features and what each added."""
    content = {
        "model": "own",
        "features": {"weather@1": {"values": {"wind": 31.5, "snow": None}, "state": "fresh"}},
    }
    known: dict[str, Any] = {
        "release": plane.serving.engine.releases["late"].id,
        "input": msgspec.json.encode({"p": p, "origin": "EWR"}),
        "content": content,
        "score": p,
    }
    output = {"label": p >= 0.5, "probability": p}
    return a_review(plane.project.clock, output, **{**known, **fields})


def store(plane: Plane, *found: Review) -> None:
    """Let these cases wait."""
    ask(plane.project.state, *found)


def plain(plane: Plane, *found: Review) -> None:
    """Let these cases wait, without drafts."""
    with plane.project.state.begin() as connection:
        add_reviews(connection, list(found))


def remember_outcomes(
    plane: Plane, count: int, path: DraftPath = "person", *, wrong_above: float = 0.0, **fields: Any
) -> None:
    """Let `late` have answered so often since its release, and let all of it be known.

    Scores are even from 0 to 1; of a score s a share 1 - s is wrong, and `wrong_above` beside that.
    """
    until_us = plane.project.clock.now_us()
    start_us = fields.pop("since_us", until_us - 20 * DAY_US)
    ids, release = Ids(plane.project.clock), plane.serving.engine.releases["late"].id
    found, known = [], []
    for n in range(count):
        at_us = start_us + (until_us - start_us) * n // count
        least = fields.get("least", 0.0)
        score = least + (1 - least) * ((n * 37) % count) / count
        is_wrong = ((n * 61) % 997) / 997 < (1 - score) ** 2 + wrong_above
        kinds = {
            "request_id": ids.new("rq", at_us),
            "at_us": at_us,
            "service": "late",
            "release": release,
            "scorer": "own",
            "path": path,
            "score": score,
            "is_drawn": True,
            "unit": f"user {n}",
            "predicted": b"true",
        }
        kinds |= {name: value for name, value in fields.items() if name != "least"}
        found.append(Draft(**kinds))
        source = "audit" if path == "alone" else "review"
        known.append(
            Outcome(
                id=ids.new("oc", at_us),
                request_id=found[-1].request_id,
                kind="correct",
                value=not is_wrong,
                source=source,
                at_us=at_us,
                known_at_us=at_us + MICRO,
                by="key:k_1",
                propensity=found[-1].share,
            )
        )
    with plane.project.state.begin() as connection:
        add_drafts(connection, found)
        insert_rows(connection, outcomes, [outcome_row(outcome) for outcome in known])


def certify(plane: Plane, *, wrong_above: float = 0.0) -> None:
    """Let a certificate be issued for `late`, and audits of what it lets pass come in.

    Args:
        plane: Opened a month before.
        wrong_above: Share of the audited answers that is wrong for no reason.
    """
    clock = plane.project.clock
    assert isinstance(clock, SettableClock)
    opened_us = clock.now_us()
    clock.set(opened_us + 20 * DAY_US)
    remember_outcomes(plane, 1500)
    clock.set(opened_us + 24 * DAY_US)
    plane.serving.jobs.run_now("certify")
    held = certificate_in_force(plane.project.state, "late")
    assert held is not None
    clock.set(opened_us + 30 * DAY_US)
    more: dict[str, Any] = {"share": 0.05, "certificate": held.id, "least": held.threshold}
    since_us = opened_us + 25 * DAY_US
    remember_outcomes(plane, 200, "alone", wrong_above=wrong_above, since_us=since_us, **more)
    clock.set(opened_us + 34 * DAY_US)
    plane.serving.jobs.run_now("certify")
    plane.serving.jobs.run_now("calibrate")
    plane.follow()


@contextmanager
def served_reviews(folder: Path, now_us: int = NOW_US) -> Iterator[Plane]:
    """Serve a project with two services that ask people, and one that does not."""
    write_project(folder, {"late": LATE, "chat": CHAT, "plain": PLAIN}, project=QUEUE)
    with open_project(folder) as project:
        clock = project.clock
        assert isinstance(clock, SettableClock)
        clock.set(now_us)
        yield Plane(project)


def fill(plane: Plane) -> dict[str, str]:
    """Let one case of each kind wait, and return their ids by kind."""
    now_us = plane.project.clock.now_us()
    cases = {
        "chat": a_chat(plane, due_us=now_us + 360 * MICRO),
        "late": a_late(plane, due_us=now_us + HOUR_US),
        "audit": a_late(plane, 0.97, kind="audit", due_us=now_us + 2 * HOUR_US),
        "second": a_chat(plane, kind="second", due_us=now_us + 3 * HOUR_US),
        "planted": a_chat(plane, kind="planted", due_us=now_us + 4 * HOUR_US),
        "soon": a_late(plane, 0.6, due_us=now_us + 180 * MICRO),
        "bare": a_late(plane, 0.7, draft=b"", digest="", due_us=now_us + 5 * HOUR_US),
    }
    store(plane, *cases.values())
    attribution = {
        "reference": 0.31,
        "value": 0.8,
        "parts": [["wind", 0.4], ["origin", 0.19], ["snow", -0.1]],
        "background_rows": 100,
        "is_exact": True,
    }
    save_explanation(
        plane.project.state, cases["late"].request_id, now_us, {"attribution": attribution}
    )
    return {kind: review.id for kind, review in cases.items()}
