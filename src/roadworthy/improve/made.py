"""What one example is: made of all that was said of one input, and what holds it back. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from ..store.examples import Detail, Example, ExampleState, Part, digest_of_answer
from .checks import Missed, chosen, conflict, disagreement, weight_of
from .contracts import Contract
from .said import Asked, Said

MOST_PARTS = 100
"""Decisions that one example is made of, the newest: some inputs come every minute."""

_SEVERITIES = ("none", "minor", "major", "critical")
OF_THE_DAY = ("burst", "alike")
"""Checks that compare an example with the others of its day."""
CHECKS = ("contract", "conflict", "agreement", *OF_THE_DAY)
"""What may hold an example, in the order in which it is told."""

_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.decode


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
    is_label = answer.kind == "label"
    seconds = [state for one in of_said for state in one.seconds]
    before = Detail() if known is None else known.detail
    held = {check: before.held.get(check, "") for check in OF_THE_DAY} | {
        "contract": contract.first_problem(input, _decode(answer.answer), is_label=is_label),
        "conflict": conflict(said, contract.kind),
        "agreement": disagreement(said, answer, seconds, missed),
    }
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
        detail=_detail(said, answer, by_request, before),
    )
    return judged(made, held)


def _detail(
    said: Sequence[Said], answer: Said, by_request: Mapping[str, Asked], before: Detail
) -> Detail:
    record = by_request[answer.request_id].record
    return Detail(
        kind=answer.kind,
        is_correction=any(one.is_correction for one in said),
        release=record.release,
        review_id=answer.review_id,
        severity=max((one.severity for one in said), key=_how_bad),
        reason=answer.reason,
        parts=tuple(_part(one, by_request[one.request_id]) for one in said),
        features=record.features or {},
        overruled=before.overruled,
    )


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
