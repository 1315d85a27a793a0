"""Decisions as rulings write them, for tests of what is made of them."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Engine, insert, update

from roadworthy.improve.checks import Missed
from roadworthy.improve.contracts import Contract, Contracts
from roadworthy.improve.examples import Gatherer
from roadworthy.store.artifacts import Artifacts
from roadworthy.store.examples import Example, list_examples
from roadworthy.store.records import outcome_row, record_row
from roadworthy.store.reviews import add_drafts, add_reviews
from roadworthy.store.state import insert_rows, open_state
from roadworthy.store.tables import bodies, outcomes, records, reviews
from roadworthy.types import MICRO, Draft, Outcome, Record, Review, SettableClock

START_US = 1_750_000_000 * MICRO
"""A time of June 2025, of which a UTC day has most of its hours left."""
SERVICE = "late"


@cache
def _empty() -> Path:
    """Return a state without anything in it: to migrate one takes half a second."""
    path = Path(tempfile.mkdtemp()) / "empty.db"
    open_state(f"sqlite:///{path}").dispose()
    return path


def digest_of(input: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(input, sort_keys=True).encode()).hexdigest()


class Given(Contracts):
    """Contracts that a test gives, instead of those of releases."""

    def __init__(self, state: Engine, folder: Path, contract: Contract) -> None:
        super().__init__(state, Artifacts(folder), folder)
        self.contract = contract

    def of(self, release_id: str) -> Contract:
        return self.contract


class Past:
    """A store in which requests were answered and decided, and the job that learns from them."""

    def __init__(self, folder: Path, contract: Contract | None = None) -> None:
        shutil.copy(_empty(), folder / "state.db")
        self.state: Engine = open_state(f"sqlite:///{folder}/state.db")
        self.clock = SettableClock()
        self.clock.set(START_US + 3_600 * MICRO)
        self.missed: dict[str, Missed] = {}
        self.contracts = Given(self.state, folder, contract or Contract())
        self._count = 0

    def _next(self) -> int:
        self._count += 1
        return self._count

    def request(
        self,
        input: dict[str, Any],
        output: Any = None,
        *,
        user: str = "ann",
        share: float = 1.0,
        features: dict[str, Any] | None = None,
        at_us: int = START_US,
        has_draft: bool = True,
        is_drawn: bool = True,
    ) -> str:
        """Leave a request's record, bodies and draft, and return its id."""
        output = {"label": False, "probability": 0.2} if output is None else output
        id = f"rq_{at_us // 1000:012x}{self._next():014x}"
        made = Record(
            id=id,
            at_us=at_us,
            service=SERVICE,
            kind="predict",
            disposition="answered",
            release="rl_1",
            key="k",
            user=user,
            features=features,
        )
        drafted = Draft(
            request_id=id,
            at_us=at_us,
            service=SERVICE,
            release="rl_1",
            scorer="own",
            path="person",
            share=share,
            is_drawn=is_drawn,
            predicted=msgspec.json.encode(output.get("label")),
            digest=digest_of(input),
        )
        with self.state.begin() as connection:
            insert_rows(connection, records, [record_row(made)])
            body = (id, msgspec.json.encode(input), msgspec.json.encode(output))
            insert_rows(connection, bodies, [body])
            if has_draft:
                add_drafts(connection, [drafted])
        return id

    def rule(
        self,
        request: str,
        input: dict[str, Any],
        *,
        decision: str = "correct",
        output: Any = None,
        label: Any = None,
        draft: Any = None,
        by: str = "key:ada",
        kind: str = "review",
        state: str = "decided",
        severity: str = "major",
        at_us: int = START_US + MICRO,
    ) -> str:
        """Leave a review of a request and what was decided, and return its id."""
        id = f"rv_{self._next():026x}"
        draft = {"label": False, "probability": 0.2} if draft is None else draft
        asked = Review(
            id=id,
            request_id=request,
            at_us=at_us,
            due_us=at_us,
            service=SERVICE,
            release="rl_1",
            queue="desk",
            kind=kind,  # type: ignore[arg-type]
            input=msgspec.json.encode(input),
            draft=msgspec.json.encode(draft),
            input_digest=digest_of(input),
        )
        ruling = {
            "decision": decision,
            "reason_code": "wrong_label",
            "severity": severity,
            "text": "",
            "digest": "",
        }
        ruling |= {k: v for k, v in (("output", output), ("label", label)) if v is not None}
        with self.state.begin() as connection:
            add_reviews(connection, [asked])
            if state == "decided":
                done = {"decided_at_us": at_us, "decided_by": by, "decision": decision}
                done |= {"state": state, "ruling": msgspec.json.encode(ruling)}
                connection.execute(update(reviews).where(reviews.c.id == id).values(done))
        return id

    def report(
        self,
        request: str,
        kind: str,
        value: Any,
        *,
        by: str = "key:erp",
        source: str = "erp",
        at_us: int = START_US + MICRO,
    ) -> str:
        """Leave an outcome that a system reported, and return its id."""
        known = Outcome(
            id=f"oc_{self._next():026x}",
            request_id=request,
            kind=kind,
            value=value,
            source=source,
            at_us=at_us,
            known_at_us=at_us,
            by=by,
        )
        with self.state.begin() as connection:
            connection.execute(insert(outcomes).values(outcome_row(known)))
        return known.id

    def corrected(self, input: dict[str, Any], *, label: bool = True, **fields: Any) -> str:
        """Leave a request that a person corrected, and return its id."""
        request = self.request(input, user=fields.pop("user", "ann"))
        output = {"label": label, "probability": float(label)}
        self.rule(request, input, output=output, **fields)
        return request

    def gather(self) -> str:
        """Run the job once."""
        return Gatherer(self.state, self.clock, self.contracts, lambda: self.missed).run()

    def examples(self, state: str = "") -> list[Example]:
        """Return the examples that are there."""
        return list_examples(self.state, state=state)

    def only(self) -> Example:
        """Return the one example that is there."""
        (found,) = self.examples()
        return found
