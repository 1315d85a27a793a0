"""The releases that are open beside the champions: candidates, and those that served before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

from ..errors import Conflict, RoadworthyError
from ..release import registry
from ..serve.opened import OpenRelease
from ..serve.shadows import Shadows
from ..serve.splits import OpenSplit
from ..store.rollouts import OPEN, Split, read_rollout, read_split
from ..store.switchboard import Switchboard
from .ground import Ground
from .rollouts import Rollouts

_TRIES = 5


class Beside:
    """Opens and closes what is open beside the champions, as the switchboard says.

    Args:
        ground: Has the releases.
        switchboard: Says which.
        open_release: Opens a stored one.
        open_shadows: Makes what lets a candidate answer unseen.
        rollouts: Takes a candidate back that does not open.

    Attributes:
        splits: Service → where its requests meet its candidate. Replaced, never changed, so that
            the engine may read it at any time.
        trouble: What could not be opened, by part; empty when all could.
    """

    def __init__(
        self,
        ground: Ground,
        switchboard: Switchboard,
        open_release: Callable[[registry.Release], OpenRelease],
        open_shadows: Callable[[OpenRelease], Shadows],
        rollouts: Rollouts,
    ) -> None:
        self.splits: Mapping[str, OpenSplit] = {}
        self.trouble: dict[str, str] = {}
        self._ground = ground
        self._board = switchboard
        self._open_release = open_release
        self._open_shadows = open_shadows
        self._rollouts = rollouts
        self._before: dict[str, OpenRelease] = {}
        self._unopened: dict[str, str] = {}

    @property
    def candidates(self) -> list[OpenRelease]:
        """The candidates at work."""
        return [split.candidate for split in self.splits.values()]

    def __iter__(self) -> Iterator[OpenRelease]:
        """Yield everything that asks models here."""
        for split in self.splits.values():
            yield from split.releases
        yield from self._before.values()

    def drop_ended(self) -> None:
        """Let nobody meet a candidate any more that was taken back.

        One that was promoted goes on with its share until it is open as what serves.
        """
        for name, split in list(self.splits.items()):
            is_promoted = self._board.get(f"champion:{name}") == split.split.release
            if not is_promoted and self._said(name) is None:
                self._drop(name)

    async def refresh(self, champions: Mapping[str, OpenRelease]) -> None:
        """Open and close what the switchboard says, beside these champions."""
        for name in {*self.splits, *champions}:
            await self._follow_split(name)
        for name, champion in champions.items():
            await self._follow_before(name, champion)

    async def close(self) -> None:
        """Close all of it."""
        for name in list(self.splits):
            split = self.splits[name]
            await _close(split)
        self.splits = {}
        for opened in self._before.values():
            await opened.close()
        self._before = {}

    def _said(self, name: str) -> Split | None:
        return read_split(self._board.get(f"rollout:{name}"))

    async def _follow_split(self, name: str) -> None:
        said, here = self._said(name), self.splits.get(name)
        if said is None:
            self._drop(name)
        elif here is None or here.split.id != said.id:
            self._drop(name)
            await self._open_split(name, said)
        elif here.split != said:
            self.splits = {**self.splits, name: here.moved(said)}

    async def _open_split(self, name: str, said: Split) -> None:
        try:
            opened = await self._open(said.release)
            if said.judge == "shadow" and opened.has_effects:
                await opened.close()
                raise Conflict("it acts on what is outside, so it cannot answer unseen")
        except RoadworthyError as error:
            await asyncio.to_thread(self._give_up, said, str(error))
            return
        shadows = self._open_shadows(opened) if said.judge == "shadow" else None
        self.splits = {**self.splits, name: OpenSplit(said, opened, shadows)}

    def _give_up(self, said: Split, why: str) -> None:
        """End a rollout whose candidate does not open: what serves is not touched."""
        for _ in range(_TRIES):  # a look may have written it in the same moment
            with suppress(Conflict):
                rollout = read_rollout(self._ground.state, said.id)
                if rollout.state in OPEN:
                    self._rollouts.give_up(rollout, f"it could not be opened: {why}")
                return

    def _drop(self, name: str) -> None:
        split = self.splits.get(name)
        if split is None:
            return
        self.splits = {key: value for key, value in self.splits.items() if key != name}
        _later(split.candidate.deadline_s + 1, lambda: _close(split))

    async def _follow_before(self, name: str, champion: OpenRelease) -> None:
        """Let the ladders that say so end in the release that served before.

        Of a candidate that is what serves now, which is open already.
        """
        split, rung = self.splits.get(name), champion.last_good
        if split is not None and split.candidate.last_good is not None:
            split.candidate.last_good.opened = champion
        wanted = self._board.get(f"last_good:{name}") if rung is not None else ""
        wanted = "" if wanted == champion.id else wanted
        here = self._before.get(name)
        if (here.id if here else "") != wanted and self._unopened.get(name) != wanted:
            if here is not None:
                del self._before[name]
                _later(here.deadline_s + 1, here.close)
            here = await self._open_before(name, wanted) if wanted else None
        if rung is not None:
            rung.opened = here

    async def _open_before(self, name: str, release_id: str) -> OpenRelease | None:
        part = f"last good of {name}"
        self.trouble.pop(part, None)
        self._unopened.pop(name, None)
        try:
            opened = self._before[name] = await self._open(release_id)
        except RoadworthyError as error:
            self._unopened[name] = release_id
            self.trouble[part] = (
                f"`{release_id}` could not be opened, that rung of the ladder is missing: {error}"
            )
            return None
        return opened

    async def _open(self, release_id: str) -> OpenRelease:
        stored = await asyncio.to_thread(registry.read_release, self._ground.state, release_id)
        return await asyncio.to_thread(self._open_release, stored)


async def _close(split: OpenSplit) -> None:
    if split.shadows is not None:
        await split.shadows.close()
    await split.candidate.close()


def _later(after_s: float, close: Callable[[], object]) -> None:
    """Close something once what it still answers is over."""
    loop = asyncio.get_running_loop()
    loop.call_later(after_s, lambda: loop.create_task(close()))  # type: ignore[arg-type]
