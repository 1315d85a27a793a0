"""What routers and caches go by: what is certified, what was learned, and who asks again unseen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import Engine

from ..bounds.in_force import Within, within_of
from ..plugins import load_plugin
from ..serve.auditing import Auditing
from ..serve.opened import OpenRelease
from ..store.scorers import read_scorer
from ..store.switchboard import Switchboard
from ..types import PairDecision

if TYPE_CHECKING:
    from ..serve.learned import Learned  # at work it would import what computes


class Bets:
    """Keeps the routers and caches of what is served in step with the switchboard.

    Args:
        state: Has what was learned.
        switchboard: Says what is certified.
        open_audits: Makes what asks a release again.
    """

    def __init__(
        self,
        state: Engine,
        switchboard: Switchboard,
        open_audits: Callable[[OpenRelease], Auditing],
    ) -> None:
        self._state = state
        self._board = switchboard
        self._open_audits = open_audits
        self._audits: dict[str, Auditing] = {}
        self._learned: dict[str, Learned | None] = {}

    @property
    def audits(self) -> Mapping[str, Auditing]:
        """What asks again, by release."""
        return self._audits

    def obey(self, releases: Mapping[str, OpenRelease]) -> None:
        """Take over what needs nothing opened: what is certified, and what a person stopped."""
        for opened in releases.values():
            policy = opened.declaration.routing
            if opened.router is not None:
                own = Within(audit_share=policy.audit_share, pairs_share=policy.pairs_share)
                opened.router.within = self._within(opened, "route", own)
            semantic = opened.declaration.cache.semantic
            if opened.cache is not None and semantic is not None:
                own = Within(audit_share=semantic.audit_share, pairs_share=semantic.pairs_share)
                opened.cache.within = self._within(opened, "reuse", own)

    def _within(self, opened: OpenRelease, decision: PairDecision, own: Within) -> Within:
        """Return what holds for a release; until a job has looked at it, as it declares."""
        now = within_of(self._board.get(f"{decision}:{opened.name}"))
        if now is None or now.release != opened.id:
            return own
        if now.certificate and self._board.stopped(opened.name, now.certificate) is not None:
            now = msgspec.structs.replace(now, is_stopped=True)
        return now

    def follow(self, releases: Mapping[str, OpenRelease]) -> None:
        """Let what is served be compared, and predicted by what was learned last."""
        for name, opened in releases.items():
            if opened.router is None and opened.cache is None:
                continue
            audits = self._audits.get(opened.id)
            if audits is None:
                audits = self._audits[opened.id] = self._open_audits(opened)
            if opened.router is not None:
                opened.router.audits = audits
                opened.router.learned = self._learned_of(name, opened)
            if opened.cache is not None:
                opened.cache.audits = audits
        self.obey(releases)
        self._drop({opened.id for opened in releases.values()})

    def _drop(self, served: set[str]) -> None:
        for id in self._audits.keys() - served:
            audits = self._audits.pop(id)
            asyncio.get_running_loop().create_task(audits.close())

    def _learned_of(self, name: str, opened: OpenRelease) -> Learned | None:
        """Return what predicts of a release's models; None where it was learned of other ones."""
        id = self._board.get(f"learned:{name}")
        if not id or opened.declaration.routing.strategy != "learned":
            return None
        if id not in self._learned:
            stored = read_scorer(self._state, id)
            open_learned = load_plugin("routing", "learned")
            self._learned[id] = None if stored is None else open_learned(stored)
        learned = self._learned[id]
        names = {entry.name for entry in opened.declaration.chain}
        if learned is None or not {*learned.models, learned.reference} <= names:
            return None
        return learned

    async def close(self) -> None:
        """End what is being asked again."""
        for audits in self._audits.values():
            await audits.close()
        self._audits.clear()
