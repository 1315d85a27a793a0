"""A team that never was: its drafts and outcomes go through the real tables into certificates."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
from sqlalchemy import create_engine, insert
from sqlalchemy.pool import StaticPool

from roadworthy.declare.review import Outcomes, ReviewPolicy
from roadworthy.review.certify import certify
from roadworthy.review.desk import InForce
from roadworthy.review.in_force import Work, read_in_force
from roadworthy.review.terms import Subject
from roadworthy.store.actions import list_actions
from roadworthy.store.certificates import Certificate, certificate_in_force
from roadworthy.store.reviews import add_drafts
from roadworthy.store.schema import metadata
from roadworthy.store.state import insert_rows
from roadworthy.store.tables import outcomes, reviews
from roadworthy.types import DAY_US, Draft

START_US = 20_000 * DAY_US


class SetClock:
    """A clock that stands still until it is set."""

    def __init__(self, now_us: int) -> None:
        self.us = now_us

    def now_us(self) -> int:
        return self.us

    def monotonic(self) -> float:
        return self.us / 1e6


class Team:
    """One service, whose requests and outcomes a test makes up.

    Args:
        policy: Keys of `[review]` that are not as in most tests.
        declared: Keys of `[outcomes]` likewise.
    """

    def __init__(
        self, policy: dict[str, Any] | None = None, declared: dict[str, Any] | None = None
    ) -> None:
        self.clock = SetClock(START_US)
        self.state = create_engine(
            "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
        )
        metadata.create_all(self.state)
        self.work = Work(self.state, self.clock)
        self.subject = Subject(
            "late",
            "rl_1",
            "own",
            ReviewPolicy(**{"max_error": 0.05, "sure": 0.9, "queue": "desk", **(policy or {})}),
            Outcomes(**{"unit": "user", "matures_after": "1d", **(declared or {})}),
        )
        self._count = 0

    def ask(self, at_us: int, score: float | None, user: str, **fields: Any) -> Draft:
        """Return a draft of a request; by default a person is asked."""
        self._count += 1
        rest = {"path": "person", "share": 1.0, "is_drawn": True, "predicted": b"true", **fields}
        return Draft(
            request_id=f"rq_{self._count:08d}",
            at_us=at_us,
            service=rest.pop("service", "late"),
            release=rest.pop("release", self.subject.release),
            scorer=rest.pop("scorer", "own"),
            score=score,
            unit=user,
            **rest,
        )

    def add(self, drafts: list[Draft]) -> None:
        with self.state.begin() as connection:
            add_drafts(connection, drafts)

    def say(self, draft: Draft, value: Any, known_us: int | None = None, **fields: str) -> None:
        self.say_all([(draft, value, draft.at_us + 1 if known_us is None else known_us)], **fields)

    def say_all(
        self, said: list[tuple[Draft, Any, int]], kind: str = "label", source: str = "api"
    ) -> None:
        """Write what became known: drafts with a value, and when that was."""
        rows = []
        for draft, value, known_us in said:
            self._count += 1
            id, text = f"oc_{self._count:08d}", json.dumps(value)
            row = (id, draft.request_id, kind, text, source, "", 1.0, draft.share)
            rows.append((*row, known_us, known_us, "key:1"))
        with self.state.begin() as connection:
            insert_rows(connection, outcomes, rows)

    def day(
        self,
        number: int,
        scores: np.ndarray,
        is_wrong: np.ndarray,
        users: list[str] | None = None,
        **fields: Any,
    ) -> list[Draft]:
        """Add a day of requests whose labels come a second later."""
        begun = START_US + number * DAY_US
        step = DAY_US // (len(scores) + 1)
        names = users or [f"u{number}-{k}" for k in range(len(scores))]
        drafts = [
            self.ask(begun + k * step, float(score), name, **fields)
            for k, (score, name) in enumerate(zip(scores, names, strict=True))
        ]
        self.add(drafts)
        said = zip(drafts, is_wrong, strict=True)
        self.say_all([(d, not wrong, d.at_us + 1_000_000) for d, wrong in said if d.is_drawn])
        return drafts

    def certify(self, day: float) -> str:
        """Run the job at a time, in days since the start."""
        self.clock.us = START_US + round(day * DAY_US)
        return certify(self.work, self.subject)

    def change(self, **fields: Any) -> None:
        self.subject = self.subject._replace(**fields)

    @property
    def alarms(self) -> list[dict[str, Any]]:
        """What the chain says of each time that it was switched off."""
        found = list_actions(self.state, action="certificate.off")
        return [{**act.detail, "certificate": act.subject} for act in found]

    @property
    def in_force(self) -> InForce:
        with self.state.connect() as connection:
            return read_in_force(connection, "late")

    @property
    def certificate(self) -> Certificate | None:
        return certificate_in_force(self.state, "late")

    def plant(self, day: float, missed: int, found: int) -> None:
        """Let reviewers decide planted wrong answers."""
        at_us = START_US + round(day * DAY_US)
        rows = []
        for k in range(missed + found):
            self._count += 1
            fields = dict.fromkeys((column.name for column in reviews.c), "")
            row: dict[str, Any] = {**fields, "id": f"rv_{self._count}", "service": "late"}
            row |= {"kind": "planted", "decision": "approve" if k < missed else "reject"}
            row |= {"at_us": at_us, "due_us": at_us, "taken_until_us": 0, "ruling": None}
            row |= {"given": None, "expected": b'{"decision": "reject"}'}
            row |= {"decided_at_us": at_us, "escalated_at_us": None, "state": "decided"}
            row |= dict.fromkeys(("input", "draft", "detail"), b"{}")
            rows.append(row)
        with self.state.begin() as connection:
            connection.execute(insert(reviews), rows)


def replaced(draft: Draft, **fields: Any) -> Draft:
    return msgspec.structs.replace(draft, **fields)
