"""Cases that wait for a person, in a store of the test's own."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from sqlalchemy import Engine

from roadworthy.review.rulings import Ruling
from roadworthy.store.reviews import add_drafts, add_reviews
from roadworthy.types import HOUR_US, Clock, Draft, Ids, Review, SettableClock

CLOCK = SettableClock()
_IDS = Ids(CLOCK)
DRAFT = {"label": True, "probability": 0.9}


def a_review(clock: Clock = CLOCK, output: Any = DRAFT, **fields: Any) -> Review:
    """Return a case of now that is due in an hour."""
    at_us = fields.get("at_us", clock.now_us())
    draft = b"" if output is None else msgspec.json.encode(output)
    known = {
        "id": _IDS.new("rv", at_us),
        "request_id": _IDS.new("rq", at_us),
        "at_us": at_us,
        "due_us": at_us + HOUR_US,
        "service": "late",
        "release": "late@1",
        "queue": "desk",
        "input": b'{"p":0.9}',
        "draft": draft,
        "digest": hashlib.sha256(draft).hexdigest(),
        "input_digest": "d1",
        "reasons": ("score 0.900, certified from 0.950 on only",),
        "score": 0.9,
        "confidence": 0.8,
        "owner": "Ada",
        "key": "k_1",
        "user": "ann",
    }
    return Review(**{**known, **fields})


def a_draft(review: Review, **fields: Any) -> Draft:
    """Return the draft that a case is about."""
    known = {
        "request_id": review.request_id,
        "at_us": review.at_us,
        "service": review.service,
        "release": review.release,
        "scorer": "own",
        "path": "person",
        "score": review.score,
        "share": 0.5,
        "is_drawn": True,
        "unit": review.user,
        "predicted": b"true",
        "digest": review.input_digest,
    }
    return Draft(**{**known, **fields})


def ask(engine: Engine, *found: Review, share: float = 0.5) -> Review:
    """Store cases with their drafts, and return the first."""
    found = found or (a_review(),)
    with engine.begin() as connection:
        add_reviews(connection, list(found))
        add_drafts(connection, [a_draft(review, share=share) for review in found])
    return found[0]


def approve(review: Review, **fields: Any) -> Ruling:
    """Return the approval of a case."""
    return Ruling(decision="approve", digest=review.digest, **fields)


def correct(**fields: Any) -> Ruling:
    """Return a correction."""
    known = {"reason_code": "wrong_label", "severity": "major", "text": "looked at the sky"}
    return Ruling(decision="correct", **{**known, **fields})


def reject(**fields: Any) -> Ruling:
    """Return a rejection."""
    return Ruling(decision="reject", **{"reason_code": "unsafe", **fields})
