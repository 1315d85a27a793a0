"""What whoever waited gets when nobody decided in time, as the service declares it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ..errors import RoadworthyError, ServiceStopped
from ..review.rulings import Check, draft_output
from ..store.reviews import Waiting
from ..types import Call, Caller, Clock, Key
from .chat import read_chat, write_chat
from .ladder import AskPerson
from .opened import OpenRelease

EXPIRED = "nobody decided in time"
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def serving_now(releases: Mapping[str, OpenRelease], service: str) -> OpenRelease | None:
    """Return what serves a service, if anything does: its release may not have opened."""
    try:
        return releases.get(service)
    except ServiceStopped:
        return None


def output_check(releases: Mapping[str, OpenRelease]) -> Check:
    """Return what says why a service may not give an output; empty where it may."""

    def check(service: str, output: Any) -> str:
        release = serving_now(releases, service)
        return "" if release is None else release.judge.problem(output)

    return check


async def given_instead(
    release: OpenRelease | None, waiting: Waiting, clock: Clock
) -> dict[str, Any]:
    """Return what is given in place of a decision.

    Args:
        release: What serves the case's service now; None where nothing does.
        waiting: The case.
        clock: Where the ladder's time comes from.
    """
    desk = None if release is None else release.desk
    if release is None or desk is None:
        return _refused("its service asks nobody any more")
    policy, is_trusted = desk.policy, not desk.in_force.is_stopped
    if policy.on_expiry == "answer" and waiting.review.draft and is_trusted:
        return _answered("answered", draft_output(waiting.review.draft), EXPIRED)
    if policy.on_expiry == "refuse":
        return _refused("`review.on_expiry` is `refuse`")
    try:
        return await _from_ladder(release, waiting, clock)
    except (RoadworthyError, AskPerson, msgspec.MsgspecError) as error:
        return _refused(f"no rung of the ladder answered: {error}")


async def _from_ladder(release: OpenRelease, waiting: Waiting, clock: Clock) -> dict[str, Any]:
    """Ask the rungs that cost nothing, with what was asked then."""
    if release.free_ladder is None:
        return _refused("no rung of the ladder is free")
    call = _call_of(release, waiting, clock)
    if release.features is not None:
        call.input = {**call.input, **release.features.vector(call.input).values}
    answer = await release.free_ladder.answer(call)
    output = answer.output
    if answer.completion is not None and output is None:
        output = msgspec.json.decode(answer.completion)["choices"][0]["message"]
    return {**_answered("fallback", output, EXPIRED), "model": answer.model}


def _call_of(release: OpenRelease, waiting: Waiting, clock: Clock) -> Call:
    review = waiting.review
    values: dict[str, Any] = _decode(review.input)
    body: dict[str, msgspec.Raw] = {}
    if release.kind == "generate":
        names = () if release.context is None else release.context.variables
        written = write_chat(values, release.chat, names)
        values, body = read_chat(written, release.chat, is_read=release.reads_input, names=names)
    key = Key(review.key, "", frozenset({"answer"}))
    caller = Caller(key, review.user, review.role)
    deadline = clock.monotonic() + release.deadline_s
    return Call(input=values, caller=caller, deadline=deadline, body=body)


def _answered(disposition: str, output: Any, reason: str) -> dict[str, Any]:
    return {"disposition": disposition, "output": output, "reasons": [reason]}


def _refused(why: str) -> dict[str, Any]:
    return _answered("refused", None, f"{EXPIRED}: {why}")
