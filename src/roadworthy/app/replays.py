"""Asks a release again what was asked once: for the command line, the console and Python."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import uvloop
from sqlalchemy import select

from ..cost.prices import format_usd
from ..errors import Forbidden, RequestError
from ..release import registry
from ..release.environment import describe_environment
from ..serve.opened import OpenRelease
from ..serve.replay import Asked, Replay, replay, worst_case_micro
from ..store.records import read_bodies, read_record
from ..store.tables import reviews
from .ground import Ground
from .rehearsals import open_rehearsal


def replay_request(
    ground: Ground,
    request_id: str,
    *,
    release_id: str = "",
    is_paid: bool = False,
    budget_micro: int | None = None,
) -> Replay:
    """Ask again what was asked in a request, and compare; it leaves nothing behind.

    It must not be called from a thread in which an event loop runs.

    Args:
        ground: The project.
        request_id: Which request.
        release_id: What is asked; by default the release that answered, though it serves no more.
        is_paid: Whether it may cost something.
        budget_micro: The most that it may cost, in micro-dollars; it allows that too.

    Raises:
        NotFound: There is no such request, its input was not kept, or its release is gone.
        Forbidden: It can cost something, and nobody has allowed that.
        RequestError: The release is one of another service.
        DeclarationError, StoreError: The release cannot be opened.
    """
    asked = read_asked_again(ground, request_id)
    wanted = release_id or asked.record.release
    if wanted and "@" not in wanted:
        wanted = f"{asked.record.service}@{wanted}"
    if wanted and wanted.partition("@")[0] != asked.record.service:
        raise RequestError(
            f"expected a release of `{asked.record.service}`, which was asked, got `{wanted:.80}`",
            param="release",
        )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_replay(ground, asked, wanted, is_paid, budget_micro))


async def _replay(
    ground: Ground, asked: Asked, release_id: str, is_paid: bool, budget_micro: int | None
) -> Replay:
    rehearsal = open_rehearsal(ground, release_id, budget_micro=budget_micro)
    try:
        if not is_paid and budget_micro is None:
            check_free(rehearsal.opened, worst_case_micro(rehearsal.opened, asked))
        kinds = kinds_of(ground, release_id)
        return await replay(rehearsal, asked, kinds, describe_environment().hash)
    finally:
        await rehearsal.close()


def check_free(opened: OpenRelease, worst_micro: int) -> None:
    """Refuse what costs something, as long as nobody has said that it may.

    Raises:
        Forbidden: A model of the release charges; the message says what it can come to.
    """
    if opened.is_paid:
        paid = ", ".join(
            f"`{name}`" for name in dict.fromkeys(link.name for link in opened.paid_links)
        )
        raise Forbidden(
            f"expected a release whose models cost nothing, got `{opened.id}`, where {paid} charge:"
            f" at most about {format_usd(worst_micro)}; say `--paid`, or set a limit with "
            "`--budget-usd`"
        )


def kinds_of(ground: Ground, release_id: str) -> Mapping[str, str]:
    """Return model → kind of its provider, of one release.

    Raises:
        NotFound: There is no such release.
    """
    models = registry.read_release(ground.state, release_id).manifest.models
    return {model.name: model.kind for model in models}


def read_asked_again(ground: Ground, request_id: str) -> Asked:
    """Return what a request was asked and what came of it, as far as it is kept.

    Raises:
        NotFound: There is no such request, or not any more.
    """
    record = read_record(ground.state, request_id)
    input, output = read_bodies(ground.state, request_id)
    draft = b""
    if record.disposition == "review":
        held = select(reviews.c.input, reviews.c.draft).where(reviews.c.id == record.review)
        with ground.state.connect() as connection:
            row = connection.execute(held).first()
        if row is not None:
            input, draft = input or row.input or None, row.draft
    return Asked(record=record, input=input, output=output, draft=draft)
