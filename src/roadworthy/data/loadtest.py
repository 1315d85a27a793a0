"""Tests pipelines and monitors at the declared volume, before there are so many rows.

Rows are invented in a folder that is gone afterwards; then the code that works in production runs
on them: fills, validation, checks of single rows, the point-in-time join, reads, skew and pushes.
Nothing that the project keeps is read or written, but its declaration.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ..errors import DeclarationError, NotFound, RoadworthyError
from ..types import SystemClock
from .load_figures import (
    Bounds,
    LoadReport,
    Measured,
    Step,
    StepKind,
    judged,
    not_run,
    together,
)
from .load_steps import (
    MOST_JOINED,
    MOST_PUSHED,
    MOST_READ,
    MOST_REPLAYED,
    Row,
    check_each,
    fill,
    join_history,
    newest_rows,
    push_each,
    read_online,
    replay_skew,
    requests_of,
    validate_batch,
)
from .made_sources import MadeSources, with_referenced
from .online import SqliteFeatures
from .relations import Sources, SourceTable
from .report import listed
from .views import View

Told = Callable[[str, int, int], None]
"""Is told what is done next, how many steps are done, and of how many."""


class Asked(NamedTuple):
    """A service that is tested: its views, and how often it is asked, where that is declared."""

    service: str
    views: tuple[View, ...]
    requests_per_second: float | None


class LoadPlan(NamedTuple):
    """What is tested.

    Attributes:
        sources: Every source that is made.
        views: Every view that is filled.
        services: Those that are given features.
    """

    sources: tuple[SourceTable, ...]
    views: tuple[View, ...]
    services: tuple[Asked, ...]


def plan_load(
    names: Sequence[str], sources: Sources, views: Iterable[View], services: Iterable[Asked]
) -> LoadPlan:
    """Return what is tested for these sources and services; without names, for all there are.

    A source is tested with the views that read it, a service with its views and their sources.

    Raises:
        NotFound: There is no source or service of a name, or nothing declares a volume.
    """
    known = {asked.service: asked for asked in services if asked.views}
    if unknown := [name for name in names if name not in known and name not in sources]:
        there = ", ".join(f"`{name}`" for name in (*sources, *known)) or "none"
        raise NotFound(
            f"expected a source, or a service that reads views, got `{unknown[0]:.80}`; there: "
            f"{there}"
        )
    declared = [name for name, source in sources.items() if source.volume is not None]
    if not names and not declared:
        raise NotFound(
            "expected `volume` in a `[sources.<name>]` of roadworthy.toml, got none; declare how "
            "much there will be, like `volume = { rows = 400_000 }`"
        )
    chosen = [known[name] for name in (names or known) if name in known]
    named = {name for name in (names or declared) if name in sources}
    read = {view.id: view for view in views if named & {*view.sources}}
    read |= {view.id: view for asked in chosen for view in asked.views}
    needed = {*named, *(name for view in read.values() for name in view.sources)}
    return LoadPlan(
        tuple(with_referenced(needed, sources)),
        tuple(read.values()),
        tuple(chosen),
    )


def load_test(plan: LoadPlan, bounds: Bounds, told: Told) -> LoadReport:
    """Run every step of a plan on invented rows, and say which needs are met.

    Raises:
        StoreError: The temporary folder cannot be written.
        MissingExtra: duckdb or pyarrow is not installed.
    """
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="roadworthy-load-") as folder:
        trial = _Trial(Path(folder), plan, bounds, told)
        try:
            steps = tuple(trial.run())
        finally:
            trial.close()
    kept = not any(step.verdict == "not_kept" for step in steps)
    return LoadReport(
        says=_says(steps, trial.made),
        kept=kept,
        complete=not any(step.verdict == "not_run" for step in steps),
        made=trial.made,
        memory_mb=bounds.memory_mb,
        seconds=round(time.perf_counter() - started, 1),
        steps=steps,
    )


def _says(steps: Sequence[Step], made: Mapping[str, int]) -> str:
    missed = [f"{step.step} of `{step.of}`" for step in steps if step.verdict == "not_kept"]
    unrun = [f"{step.step} of `{step.of}`" for step in steps if step.verdict == "not_run"]
    rows = f"{sum(made.values()):,} rows of {len(made)} source{'' if len(made) == 1 else 's'}"
    if missed:
        return f"not kept with {rows}: {listed(missed, 5)}"
    if unrun:
        return f"not all of it was run: {listed(unrun, 5)}"
    bare = [step for step in steps if step.verdict == "undeclared"]
    more = f"; for {len(bare)} of them no rate is declared" if bare else ""
    return f"kept with {rows}: {len(steps)} steps{more}"


class _Trial:
    """One load test.

    Attributes:
        made: Source → how many rows were made for it.
    """

    def __init__(self, folder: Path, plan: LoadPlan, bounds: Bounds, told: Told) -> None:
        self._plan, self._bounds, self._told = plan, bounds, told
        self._now_us = SystemClock().now_us()
        self._online = SqliteFeatures(folder / "online.db")
        self._made = MadeSources(folder, plan.sources, self._now_us, bounds.fill_every_s)
        self._rows: dict[str, list[Row]] = {}
        self._done = 0
        self._all = 4 * len(plan.sources) + 4 * len(plan.views) + 2 * len(plan.services)

    @property
    def made(self) -> dict[str, int]:
        return self._made.rows

    def close(self) -> None:
        self._online.close()

    def run(self) -> Iterator[Step]:
        """Yield each step: what is filled first is read afterwards."""
        yield from self._fills()
        for source in self._made.sources.values():
            yield from self._of_source(source)
        for view in self._plan.views:
            yield self._of_views("history", view.id, [view], partial(self._join, view))
        for asked in self._plan.services:
            yield from self._of_service(asked)
        for view in self._plan.views:
            yield self._push(view)

    def _fills(self) -> Iterator[Step]:
        """Fill from all rows but the newest, then again when those of one interval have come."""
        for source in self._made.sources.values():
            self._next(f"inventing rows of {source.name}")
            self._made.make(source.name, is_newest=False)
        for view in self._plan.views:
            yield self._of_views("fill", view.id, [view], partial(self._fill, view))
        for source in self._made.sources.values():
            self._next(f"inventing newer rows of {source.name}")
            self._made.make(source.name, is_newest=True)
        refills = [
            self._of_views("refill", view.id, [view], partial(self._fill, view))
            for view in self._plan.views
        ]
        yield from together(refills, self._bounds)

    def _of_source(self, source: SourceTable) -> Iterator[Step]:
        needed = None if source.volume is None else source.volume.rows_per_second
        works: tuple[tuple[StepKind, Callable[[], Measured]], ...] = (
            ("validate", partial(validate_batch, source, self._made.sources, self._now_us)),
            ("check", partial(check_each, source)),
        )
        for step, work in works:
            rate = needed if step == "check" else None
            yield self._run(step, source.name, self._made.why_not([source.name]), work, rate)

    def _of_service(self, asked: Asked) -> Iterator[Step]:
        views, rate = asked.views, asked.requests_per_second
        yield self._of_views("read", asked.service, views, partial(self._read, views), rate)
        yield self._of_views("skew", asked.service, views, partial(self._replay, views))

    def _push(self, view: View) -> Step:
        """Push to a view as fast as the fastest of its sources is declared."""
        volumes = [self._made.sources[name].volume for name in view.sources]
        rates = [volume.rows_per_second for volume in volumes if volume is not None]
        needed = max((rate for rate in rates if rate is not None), default=None)
        return self._of_views("push", view.id, [view], partial(self._push_rows, view), needed)

    def _of_views(
        self,
        step: StepKind,
        of: str,
        views: Sequence[View],
        work: Callable[[], Measured],
        needed: float | None = None,
    ) -> Step:
        why_not = self._made.why_not(name for view in views for name in view.sources)
        if step in ("read", "skew", "push"):
            unread = [f"`{view.id}`" for view in views if view.id not in self._rows]
            why_not = why_not or (f"no rows of {listed(unread, 3)} are there" if unread else "")
        return self._run(step, of, why_not, work, needed)

    def _run(
        self,
        step: StepKind,
        of: str,
        why_not: str,
        work: Callable[[], Measured],
        needed: float | None,
    ) -> Step:
        self._next(f"{step} of {of}")
        if why_not:
            return not_run(step, of, why_not)
        try:
            return judged(step, of, work(), self._bounds, needed)
        except RoadworthyError as error:
            return not_run(step, of, str(error))

    def _next(self, what: str) -> None:
        self._told(what, self._done, self._all)
        self._done += 1

    def _fill(self, view: View) -> Measured:
        return fill(view, self._made.sources, self._online, self._now_us, self._made.rows)

    def _join(self, view: View) -> Measured:
        rows = newest_rows(view, self._made.sources, MOST_JOINED)
        if not rows:
            raise DeclarationError(
                f"{view.id}: expected a row of invented sources, got none; give the fields that "
                "its SQL asks for a value of an `enum` in their contract"
            )
        self._rows[view.id] = rows[:MOST_READ]
        return join_history(view, self._made.sources, rows, self._now_us)

    def _read(self, views: Sequence[View]) -> Measured:
        asked = requests_of(views, self._rows, MOST_READ)
        return read_online(views, self._online, asked, self._now_us)

    def _replay(self, views: Sequence[View]) -> Measured:
        asked = requests_of(views, self._rows, MOST_REPLAYED)
        return replay_skew(views, self._made.sources, self._online, asked, self._now_us)

    def _push_rows(self, view: View) -> Measured:
        rows = self._rows[view.id][:MOST_PUSHED]
        return push_each(view, self._made.sources, self._online, rows, self._now_us)
