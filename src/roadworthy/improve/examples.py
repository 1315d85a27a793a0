"""The job that makes examples of decisions, and holds each back until it passes its checks.

An example is a function of what is stored: made again from the same decisions it is the same, so
a run that was cut off is simply repeated. There is one of each input.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping

import msgspec
from sqlalchemy import Connection, Engine

from ..store.examples import (
    Example,
    drop_examples,
    example_id,
    examples_between,
    ids_accepted_by,
    newest_decision_us,
    put_examples,
    read_examples,
)
from ..store.sequence import next_number
from ..types import DAY_US, HOUR_US, Clock
from .bursts import Correction, held_by_day
from .checks import Missed
from .contracts import Contracts
from .made import OF_THE_DAY, example_of, judged
from .said import BY_PEOPLE, Asked, read_asked, requests_decided_since, requests_reviewed, users_of

GATHER_EVERY_S = 300
LOOK_BACK_US = HOUR_US
"""How far behind the newest known decision a run looks: what was said may wait in the spool."""
CHUNK = 500
"""Requests of one transaction; until it ends nobody else writes."""

MissedBy = Callable[[], Mapping[str, Missed]]
"""Gives what each reviewer missed of the planted cases they were given."""


class Gatherer:
    """Makes examples of decisions.

    Args:
        state: Has the decisions, and gets the examples.
        clock: The project's time.
        contracts: Gives the contract of the release that answered.
        missed_by: Says which reviewers' word alone is not enough.
    """

    def __init__(
        self, state: Engine, clock: Clock, contracts: Contracts, missed_by: MissedBy
    ) -> None:
        self._state = state
        self._clock = clock
        self._contracts = contracts
        self._missed_by = missed_by

    def run(self) -> str:
        """Take up what was decided since the last run, and say how it went, as a job does."""
        since_us = min(newest_decision_us(self._state), self._clock.now_us()) - LOOK_BACK_US
        missed = self._missed_by()
        unfit = [by for by, known in missed.items() if not known.is_acceptable]
        with self._state.connect() as connection:
            requests = requests_decided_since(connection, since_us)
            doubted = ids_accepted_by(connection, unfit) if unfit else []
            again = read_examples(connection, doubted).values()
        requests += [part.request_id for example in again for part in example.detail.parts]
        requests = list(dict.fromkeys(requests))
        counts: Counter[str] = Counter()
        for start in range(0, len(requests), CHUNK):
            counts.update(self._take(requests[start : start + CHUNK], missed))
        return (
            f"{len(requests)} decided requests: {counts['changed']} examples made or changed, "
            f"{counts['unknown']} requests without a record or an input"
        )

    def _take(self, requests: Collection[str], missed: Mapping[str, Missed]) -> dict[str, int]:
        """Make or change the examples of some requests, and settle their days, all or nothing."""
        with self._state.begin() as connection:
            # From here on nobody else writes, so that a deletion is seen whole or not at all.
            next_number(connection, "examples")
            asked = read_asked(connection, requests)
            here = {example_id(one.record.service, one.digest) for one in asked.values()}
            known = read_examples(connection, here)
            earlier = {part.request_id for old in known.values() for part in old.detail.parts}
            inputs = [(one.record.service, one.digest) for one in asked.values()]
            earlier |= requests_reviewed(connection, inputs)
            everything = asked | read_asked(connection, earlier - set(requests))
            made = dict(self._made(everything.values(), known, missed))
            changed = [one for id, one in made.items() if one != known.get(id)]
            put_examples(connection, changed)
            drop_examples(connection, known.keys() - made.keys())
            left = [old for id, old in known.items() if made.get(id) != old]
            for service, day_us in sorted({_day_of(one) for one in (*changed, *left)}):
                _settle_day(connection, service, day_us)
        return {"changed": len(changed), "unknown": len(requests) - len(asked)}

    def _made(
        self,
        asked: Iterable[Asked],
        known: Mapping[str, Example],
        missed: Mapping[str, Missed],
    ) -> Iterable[tuple[str, Example]]:
        of_input: dict[str, list[Asked]] = {}
        for one in asked:
            of_input.setdefault(example_id(one.record.service, one.digest), []).append(one)
        for id, found in of_input.items():
            contracts = {
                one.record.release: self._contracts.of(one.record.release) for one in found
            }
            example = example_of(id, found, contracts, missed, known.get(id))
            if example is not None:
                yield id, example


def _day_of(example: Example) -> tuple[str, int]:
    return example.service, example.at_us - example.at_us % DAY_US


def _settle_day(connection: Connection, service: str, day_us: int) -> None:
    """Hold, or hold no longer, what the guard against poisoning says of a day's corrections."""
    found = examples_between(connection, service, day_us, day_us + DAY_US)
    users = users_of(connection, [one.request_id for one in found])
    corrections = [
        Correction(
            one.id,
            one.by if one.source in BY_PEOPLE else "",
            users.get(one.request_id, ""),
            msgspec.json.decode(one.input),
        )
        for one in found
        if one.detail.is_correction
    ]
    held = held_by_day(corrections)
    own = (
        (one, {k: why for k, why in one.detail.held.items() if k not in OF_THE_DAY})
        for one in found
    )
    settled = {one.id: judged(one, kept | held.get(one.id, {})) for one, kept in own}
    put_examples(connection, [settled[one.id] for one in found if settled[one.id] != one])
