"""Requests as cases of a suite: what was asked, without what is personal, and what was right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, select

from ..evaluate.cases import Case
from ..store.records import each_record
from ..store.tables import bodies
from ..types import Record
from .checks import chosen
from .contracts import Contract, Contracts
from .personal import Pseudonyms, masked, personal_of, required_of, without
from .said import Asked

CHUNK = 400
FORGOTTEN = "deleted-"
"""How the user of a record begins that nobody may be led back to."""
INVALID = "contract_violation"

_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.decode


class Kept(NamedTuple):
    """A request whose input was kept.

    Attributes:
        input: As the contract of the release that answered reads it.
    """

    record: Record
    input: dict[str, Any]


class LeftOut(msgspec.Struct):
    """How many requests made no case, by why.

    Attributes:
        bodies: Their input was not kept.
        invalid: They broke the contract, so that no model was asked.
        personal: They could not be asked without a personal field, or what is personal in them is
            not known, because the contract of the release that answered cannot be read.
        forgotten: Their user asked to be forgotten.
    """

    bodies: int = 0
    invalid: int = 0
    personal: int = 0
    forgotten: int = 0


def kept_requests(
    connection: Connection,
    contracts: Contracts,
    service: str,
    since_us: int,
    until_us: int,
    left_out: LeftOut,
) -> Iterator[Kept]:
    """Yield the requests of a span that can be asked again, oldest first, a chunk in memory."""
    for found in each_record(connection, since_us, until_us, service=service, chunk=CHUNK):
        ids = [record.id for record in found]
        query = select(bodies.c.request_id, bodies.c.input).where(bodies.c.request_id.in_(ids))
        inputs = {row.request_id: row.input for row in connection.execute(query)}
        for record in found:
            input = inputs.get(record.id)
            if record.user.startswith(FORGOTTEN):
                left_out.forgotten += 1
            elif not input:
                left_out.bodies += 1
            elif record.error_code == INVALID:
                left_out.invalid += 1
            else:
                yield Kept(record, contracts.of(record.release).input_of(input))


class CaseMaker:
    """Makes cases of requests: personal fields go, and texts are masked.

    A personal field that the contract requires gets a pseudonym, where the contract takes one. Who
    asked is left out; their role stays, since rules may go by it.

    Args:
        contracts: Gives the contracts of the releases that answered.
        releases: Those releases, and whatever else says what is personal.

    Attributes:
        personal: The fields that were left out.
        masked: Kind of pattern → how often it was masked.
        left_out: What made no case.
    """

    def __init__(self, contracts: Contracts, releases: Iterable[str]) -> None:
        self._contracts = contracts
        self._pseudonyms = Pseudonyms()
        self.personal = personal_of(contracts.of(name) for name in sorted(set(releases)) if name)
        self.masked: Counter[str] = Counter()
        self.left_out = LeftOut()

    def make(
        self, asked: Asked, prefix: str, *, tags: tuple[str, ...] = (), severity: str = "normal"
    ) -> Case | None:
        """Return the case that a request is; None where it cannot be asked without what goes.

        Args:
            asked: The request, and all that was said of its answer.
            prefix: What the case's id begins with.
            tags: Of the case, beside those of the request.
            severity: Of the case.
        """
        record = asked.record
        contract = self._contracts.of(record.release)
        input = None
        if not contract.problem:
            input = self._without_person(contract.input_of(asked.input), contract)
        if input is None:
            self.left_out.personal += 1
            return None
        served = without(dict((record.features or {}).get("values") or {}), self.personal)
        case = Case(
            id="",
            input=input,
            expect=self._expectation(asked, contract),
            tags=tuple(dict.fromkeys((*tags, *record.tags))),
            severity=severity,
            features=masked(served, self.masked) if record.features is not None else None,
            role=record.role,
        )
        return msgspec.structs.replace(case, id=f"{prefix}-{case.asked[:16]}")

    def _without_person(self, input: dict[str, Any], contract: Contract) -> dict[str, Any] | None:
        needed = required_of(contract.input) & self.personal & input.keys()
        left: dict[str, Any] = masked(without(input, self.personal), self.masked)
        for name in sorted(needed):
            if not isinstance(input[name], str):
                return None
            left[name] = self._pseudonyms.of(name, input[name])
        return None if contract.input_problem(left) else left

    def _expectation(self, asked: Asked, contract: Contract) -> Any:
        """Return the right answer, where anybody has named one."""
        answer = chosen(asked.said)
        if answer is None:
            return None
        if answer.kind == "label":
            return {"label": _decode(answer.answer)}
        output = without(contract.output_of(answer.answer), self.personal)
        if isinstance(output, dict) and "label" in output:
            return {"label": output["label"]}
        return masked(output, self.masked)


def facts_of(
    input: Mapping[str, Any], features: Mapping[str, Any] | None, tags: Iterable[str]
) -> dict[str, Any]:
    """Return what tells one request from another: `input.<field>`, `features.<name>`, `tag:<tag>`.

    Of messages, how many they are and how long the last one is.
    """
    facts: dict[str, Any] = {}
    for name, value in input.items():
        if name == "messages" and isinstance(value, list):
            facts["messages.count"] = len(value)
            facts["messages.last_length"] = len(_encode(value[-1])) if value else 0
        elif isinstance(value, list | dict):
            facts[f"input.{name}.size"] = len(value)
        else:
            facts[f"input.{name}"] = value
    for name, value in (features or {}).items():
        if not isinstance(value, list | dict):
            facts[f"features.{name}"] = value
    return facts | {f"tag:{tag}": True for tag in tags}
