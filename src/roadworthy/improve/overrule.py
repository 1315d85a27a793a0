"""A person's word about an example: it is accepted or rejected, whatever its checks say."""

from __future__ import annotations

from collections.abc import Collection

import msgspec
from sqlalchemy import Engine

from ..errors import Forbidden, RequestError
from ..store.actions import append_action
from ..store.examples import (
    Example,
    ExampleState,
    Overruled,
    digest_of_answer,
    put_examples,
    read_example,
)
from ..store.sequence import next_number
from ..types import Clock
from .made import judged


def release_examples(
    state: Engine, clock: Clock, ids: Collection[str], *, by: str, reason: str = ""
) -> list[Example]:
    """Accept examples that checks hold back, all or none; the chain says who did, and why.

    It holds for the answer that is stored now: another one is checked anew.

    Raises:
        NotFound: One of them is not there.
        Forbidden: One rests on the word of whoever asks: somebody else must look.
    """
    return _overrule(state, clock, ids, "accepted", by, reason)


def reject_examples(
    state: Engine, clock: Clock, ids: Collection[str], *, by: str, reason: str
) -> list[Example]:
    """Reject examples, all or none, so that they are not exported; the chain says who, and why.

    Raises:
        NotFound: One of them is not there.
        RequestError: No reason is given.
    """
    if not reason.strip():
        raise RequestError("reason: expected why it is rejected, got none", param="reason")
    return _overrule(state, clock, ids, "rejected", by, reason)


def _overrule(
    state: Engine, clock: Clock, ids: Collection[str], to: ExampleState, by: str, reason: str
) -> list[Example]:
    done = []
    with state.begin() as connection:
        next_number(connection, "examples")
        for id in dict.fromkeys(ids):
            example = read_example(connection, id)
            if to == "accepted":
                _check_other(example, by)
            said = Overruled(to, by, clock.now_us(), digest_of_answer(example.output), reason)
            detail = msgspec.structs.replace(example.detail, overruled=said)
            new = judged(msgspec.structs.replace(example, detail=detail), detail.held)
            put_examples(connection, [new])
            verb = "release" if to == "accepted" else "reject"
            facts = {"service": new.service, "held": sorted(detail.held), "digest": said.digest}
            append_action(connection, clock, by, f"examples.{verb}", id, facts | {"reason": reason})
            done.append(new)
    return done


def _check_other(example: Example, by: str) -> None:
    """Refuse to let anybody release what a check holds of their own.

    Raises:
        Forbidden: The answer is theirs.
    """
    if example.detail.held and example.by == by:
        raise Forbidden(
            f"example `{example.id}` rests on the word of {by}, and is held "
            f"({', '.join(example.detail.held)}); somebody else must release it"
        )
