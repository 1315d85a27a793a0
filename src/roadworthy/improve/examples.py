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
    Detail,
    Example,
    ExampleState,
    Part,
    digest_of_answer,
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
from .checks import Missed, chosen, conflict, disagreement, weight_of
from .contracts import Contract, Contracts
from .said import Asked, Said, read_asked, requests_decided_since, users_of

GATHER_EVERY_S = 300
LOOK_BACK_US = HOUR_US
"""How far behind the newest known decision a run looks: what was said may wait in the spool."""
CHUNK = 200
"""Requests of one transaction; until it ends nobody else writes."""

MOST_PARTS = 100
"""Decisions that one example is made of, the newest: some inputs come every minute."""

_SEVERITIES = ("none", "minor", "major", "critical")
_OF_THE_DAY = ("burst", "alike")
CHECKS = ("contract", "conflict", "agreement", *_OF_THE_DAY)
"""What may hold an example, in the order in which it is told."""
_encode = msgspec.json.Encoder(order="deterministic").encode

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
            parts = {part.request_id for old in known.values() for part in old.detail.parts}
            everything = asked | read_asked(connection, parts - set(requests))
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


def example_of(
    id: str,
    found: Collection[Asked],
    contracts: Mapping[str, Contract],
    missed: Mapping[str, Missed],
    known: Example | None,
) -> Example | None:
    """Return the example of one input, from all requests with it; None where none names an answer.

    Args:
        id: Its id.
        found: The requests.
        contracts: Release → its contract, for the releases that answered.
        missed: What reviewers missed.
        known: What is stored of it: what a person decided, and what its day holds against it.
    """
    by_request = {one.record.id: one for one in found}
    said = _newest(
        _normal(each, contracts[one.record.release]) for one in found for each in one.said
    )
    answer = chosen(said)
    if answer is None:
        return None
    asked = by_request[answer.request_id]
    record, contract = asked.record, contracts[asked.record.release]
    of_said = [by_request[request] for request in sorted({one.request_id for one in said})]
    input = contract.input_of(asked.input)
    output = msgspec.json.decode(answer.answer)
    seconds = [state for one in of_said for state in one.seconds]
    held = {
        "contract": contract.first_problem(input, output, is_label=answer.kind == "label"),
        "conflict": conflict(said, contract.kind),
        "agreement": disagreement(said, answer, seconds, missed),
    }
    before = Detail() if known is None else known.detail
    held |= {check: before.held.get(check, "") for check in _OF_THE_DAY}
    made = Example(
        id=id,
        service=record.service,
        at_us=max(one.at_us for one in said if one.answer),
        request_id=record.id,
        input_digest=asked.digest,
        state="quarantined",
        why="",
        source=answer.source,
        by=answer.by,
        weight=max(weight_of(one.share) for one in of_said),
        input=_encode(input),
        output=answer.answer,
        detail=Detail(
            kind=answer.kind,
            is_correction=any(one.is_correction for one in said),
            release=record.release,
            review_id=answer.review_id,
            severity=max((one.severity for one in said), key=_how_bad),
            reason=answer.reason,
            parts=tuple(_part(one, by_request[one.request_id]) for one in said),
            features=record.features or {},
            overruled=before.overruled,
        ),
    )
    return judged(made, held)


def _newest(said: Iterable[Said]) -> list[Said]:
    """Return the newest decisions that an example is made of, oldest first."""
    return sorted(said, key=lambda one: (one.at_us, one.id))[-MOST_PARTS:]


def _part(said: Said, asked: Asked) -> Part:
    return Part(said.id, said.request_id, asked.record.release)


def _how_bad(severity: str) -> int:
    return _SEVERITIES.index(severity) if severity in _SEVERITIES else -1


def judged(example: Example, held: Mapping[str, str]) -> Example:
    """Return an example in the state that its checks and its people put it in.

    Args:
        example: Without regard to its state.
        held: Check → why it holds it; empty where it does not.
    """
    held = {check: held[check] for check in CHECKS if held.get(check)}
    state: ExampleState = "quarantined" if held else "accepted"
    why = "\n".join(f"{check}: {text}" for check, text in held.items())
    said = example.detail.overruled
    if said is not None and said.digest != digest_of_answer(example.output):
        said = None  # they saw another answer
    if said is not None:
        state = said.state
        why = f"{said.state} by {said.by}" + (f": {said.reason}" if said.reason else "")
    detail = msgspec.structs.replace(example.detail, held=held, overruled=said)
    return msgspec.structs.replace(example, state=state, why=why, detail=detail)


def _normal(said: Said, contract: Contract) -> Said:
    """Return what was said with its answers as scorers meet them."""
    if said.kind == "label":
        return said
    return msgspec.structs.replace(
        said,
        answer=_encode(contract.output_of(said.answer)) if said.answer else b"",
        given=_encode(contract.output_of(said.given)) if said.given else b"",
    )


def _day_of(example: Example) -> tuple[str, int]:
    return example.service, example.at_us - example.at_us % DAY_US


def _settle_day(connection: Connection, service: str, day_us: int) -> None:
    """Hold, or hold no longer, what the guard against poisoning says of a day's corrections."""
    found = examples_between(connection, service, day_us, day_us + DAY_US)
    users = users_of(connection, [one.request_id for one in found])
    corrections = [
        Correction(one.id, one.by, users.get(one.request_id, ""), msgspec.json.decode(one.input))
        for one in found
        if one.detail.is_correction
    ]
    held = held_by_day(corrections)
    own = (
        (one, {k: why for k, why in one.detail.held.items() if k not in _OF_THE_DAY})
        for one in found
    )
    settled = {one.id: judged(one, kept | held.get(one.id, {})) for one, kept in own}
    put_examples(connection, [settled[one.id] for one in found if settled[one.id] != one])
