"""A service that never was: its pairs go through the real tables into certificates."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from roadworthy.bounds.certify import Work, certify
from roadworthy.bounds.in_force import Within, read_within
from roadworthy.bounds.joining import join
from roadworthy.bounds.terms import Subject
from roadworthy.declare.review import Outcomes
from roadworthy.risk.coin import is_drawn
from roadworthy.store.actions import list_actions
from roadworthy.store.certificates import Certificate, certificate_in_force
from roadworthy.store.pairs import add_pairs
from roadworthy.store.schema import metadata
from roadworthy.store.state import insert_rows
from roadworthy.store.tables import outcomes
from roadworthy.types import DAY_US, Pair

START_US = 20_000 * DAY_US
Floats = np.ndarray[Any, np.dtype[np.float64]]


class SetClock:
    """A clock that stands still until it is set."""

    def __init__(self, now_us: int) -> None:
        self.us = now_us

    def now_us(self) -> int:
        return self.us

    def monotonic(self) -> float:
        return self.us / 1e6


class Wagers:
    """One decision of one service, whose requests a test makes up.

    Args:
        decision: `route` or `reuse`.
        declared: Keys of `[outcomes]` that are not as in most tests.
        fields: What else of the subject is not.
    """

    def __init__(
        self, decision: str = "route", declared: dict[str, Any] | None = None, **fields: Any
    ) -> None:
        self.clock = SetClock(START_US)
        self.state = create_engine(
            "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
        )
        metadata.create_all(self.state)
        self.work = Work(self.state, self.clock)
        subject: dict[str, Any] = {
            "service": "reply",
            "release": "rl_1",
            "decision": decision,
            "scorer": "gain_1",
            "max_error": 0.05,
            "sure": 0.9,
            "of": "routed" if decision == "route" else "hits",
            "lifetime": False,
            "audit_share": 0.05,
            "pairs_share": 1.0,
            "reference": "large",
            "outcomes": Outcomes(**{"unit": "user", "matures_after": "1d", **(declared or {})}),
        }
        self.subject = Subject(**{**subject, **fields})
        self._count = 0

    @property
    def within(self) -> Within:
        with self.state.connect() as connection:
            return read_within(connection, "reply", self.subject.decision)

    @property
    def certificate(self) -> Certificate | None:
        return certificate_in_force(self.state, "reply", self.subject.decision)

    @property
    def alarms(self) -> list[dict[str, Any]]:
        """What the chain says of each time that it was switched off."""
        found = list_actions(self.state, action="certificate.off")
        return [{**act.detail, "certificate": act.subject} for act in found]

    def ask(self, at_us: int, score: float | None, unit: str, **fields: Any) -> Pair | None:
        """Return the pair of a request as a router would keep it; None where no coin fell on it."""
        self._count += 1
        within, request_id = self.within_now, f"rq_{self._count:08d}"
        threshold = within.threshold_for(self.subject.release, self.subject.scorer)
        is_given = threshold is not None and score is not None and score >= threshold
        declared = within.audit_share if is_given else min(self.subject.pairs_share, 1.0)
        if not is_drawn(request_id, declared, self.subject.decision):
            return None
        rest: dict[str, Any] = {"model": "small", "reference": "large", **fields}
        return Pair(
            id=f"pr_{self._count:08d}",
            at_us=at_us,
            decision=self.subject.decision,
            service="reply",
            release=rest.pop("release", self.subject.release),
            request_id=request_id,
            scorer=rest.pop("scorer", self.subject.scorer),
            score=score,
            share=declared,
            is_given=is_given,
            certificate=within.certificate if is_given else "",
            unit=unit,
            **rest,
        )

    def day(
        self,
        number: int,
        scores: Sequence[float] | Floats,
        quality: Sequence[float] | Floats,
        reference: Sequence[float] | Floats | None = None,
        units: Sequence[str] | None = None,
        entries: Sequence[str] | None = None,
        *,
        is_known: Callable[[int], bool] = lambda place: True,
    ) -> list[Pair]:
        """Add a day of requests whose pairs are known at once, and return those there are.

        Args:
            number: Of the day.
            scores: Of the requests.
            quality, reference: Of both answers; by default the reference's is right.
            units: Who asks; by default everybody once.
            entries: The cached answers.
            is_known: Of which place the loss is known.
        """
        self.within_now = self.within
        begun, step = START_US + number * DAY_US, DAY_US // (len(scores) + 1)
        found = []
        for k, score in enumerate(scores):
            right = 1.0 if reference is None else float(reference[k])
            ok = float(quality[k])
            known: dict[str, Any] = {"quality": ok, "reference_quality": right}
            known |= {"loss": max(right - ok, 0.0), "known_at_us": begun + k * step + 1}
            pair = self.ask(
                begun + k * step,
                float(score),
                f"u{number}-{k}" if units is None else units[k],
                entry="" if entries is None else entries[k],
                **(known if is_known(k) else {}),
            )
            if pair is not None:
                found.append(pair)
        self.add(found)
        return found

    within_now = Within()

    def add(self, pairs: Sequence[Pair]) -> None:
        with self.state.begin() as connection:
            add_pairs(connection, pairs)

    def say(self, request_id: str, kind: str, value: Any, at_us: int, source: str = "api") -> None:
        """Write what became known of an answer."""
        self._count += 1
        row = (f"oc_{self._count:08d}", request_id, kind, json.dumps(value), source, "", 1.0, 1.0)
        with self.state.begin() as connection:
            insert_rows(connection, outcomes, [(*row, at_us, at_us, "key:1")])

    def certify(self, day: float) -> str:
        """Run the job at a time, in days since the start."""
        self.clock.us = START_US + round(day * DAY_US)
        return certify(self.work, self.subject)

    def join(self, day: float) -> str:
        """Join outcomes to pairs at a time, in days since the start."""
        self.clock.us = START_US + round(day * DAY_US)
        return join(self.work, "reply", self.subject.outcomes)

    def change(self, **fields: Any) -> None:
        self.subject = self.subject._replace(**fields)


def replaced(pair: Pair, **fields: Any) -> Pair:
    return msgspec.structs.replace(pair, **fields)
