"""Finds the releases and files that nothing needs any more: mark what is needed, sweep the rest.

What is kept: what serves, served last, is being judged or was judged with an approval or a waiver;
what any record, draft or review names; the newest of each service; what is younger than a day.
Files are kept while a release, a training set, a learned scope or a logged model names them.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
from sqlalchemy import Connection, Engine, Table, delete, select

from ..store.actions import append_action
from ..store.artifacts import Artifacts
from ..store.evaluations import drop_evaluations_of
from ..store.moves import moves_of, way_back
from ..store.release_tables import (
    approvals,
    evaluations,
    gates,
    logged_models,
    moves,
    rollouts,
    waivers,
)
from ..store.rollouts import OPEN
from ..store.switchboard import hold_pointers
from ..store.tables import drafts, records, releases, reviews, skew_reports, snapshots, switchboard
from ..types import DAY_US, Clock
from .manifests import drop_manifest
from .registry import Manifest

KEEP = 10
"""Of each service so many of the newest releases are kept, whatever names them."""
YOUNG_S = 86_400.0
"""A file that was put so lately may belong to a release that is being built."""

_DIGEST = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_ALIASES = ("champion", "candidate", "last_good")
_NAMING: tuple[tuple[Table, str], ...] = (
    (snapshots, "detail"),
    (switchboard, "value"),
    (moves, "carried"),
    (logged_models, "digest"),
    (logged_models, "detail"),
)
"""Columns that name files beside those of releases."""


class Collected(msgspec.Struct, frozen=True, kw_only=True):
    """What nothing needs, and why the rest is kept.

    Attributes:
        releases: Ids of the releases that go.
        files: SHA-256 of the files that go.
        bytes: How much room that frees.
        kept: Id of each other release → what needs it.
        is_done: Whether they are gone; else it was only looked.
    """

    releases: tuple[str, ...]
    files: tuple[str, ...]
    bytes: int
    kept: dict[str, str]
    is_done: bool = False


def look(
    engine: Engine,
    artifacts: Artifacts,
    clock: Clock,
    *,
    keep: int = KEEP,
    now_s: float | None = None,
) -> Collected:
    """Return what nothing needs, and remove nothing.

    Args:
        engine: The state database.
        artifacts: The files.
        clock: The project's time.
        keep: How many of the newest releases of each service are kept.
        now_s: The machine's time, by which files are young; by default now.
    """
    with engine.connect() as connection:
        kept, gone = _sorted(connection, clock.now_us(), keep)
        needed = _needed(connection, set(gone))
    files = _unneeded(artifacts, needed, now_s)
    return Collected(
        releases=tuple(gone),
        files=tuple(digest for digest, _ in files),
        bytes=sum(size for _, size in files),
        kept=kept,
    )


def collect(
    engine: Engine,
    artifacts: Artifacts,
    clock: Clock,
    *,
    by: str,
    laid_out: Path,
    keep: int = KEEP,
    now_s: float | None = None,
) -> Collected:
    """Remove what nothing needs, and return what that was.

    The store forgets releases first, in one transaction: who is killed in between leaves files that
    nothing names, and the next run removes them.

    Args:
        engine: The state database.
        artifacts: The files.
        clock: The project's time.
        by: Who wants it.
        laid_out: Where releases are laid out to be served.
        keep: How many of the newest releases of each service are kept.
        now_s: The machine's time, by which files are young; by default now.
    """
    with engine.begin() as connection:
        hold_pointers(connection)
        kept, gone = _sorted(connection, clock.now_us(), keep)
        for release in gone:
            _forget(connection, release)
        if gone:
            detail = {"releases": gone}
            append_action(connection, clock, by, "release.collect", "releases", detail)
    for release in gone:
        drop_manifest(artifacts, release)
        shutil.rmtree(laid_out / release, ignore_errors=True)
    with engine.connect() as connection:
        files = _unneeded(artifacts, _needed(connection, set()), now_s)
    for digest, _ in files:
        artifacts.remove(digest)
    return Collected(
        releases=tuple(gone),
        files=tuple(digest for digest, _ in files),
        bytes=sum(size for _, size in files),
        kept=kept,
        is_done=True,
    )


def _sorted(connection: Connection, now_us: int, keep: int) -> tuple[dict[str, str], list[str]]:
    """Return the releases that are needed, each with why, and the others."""
    order = (releases.c.created_at_us.desc(), releases.c.id)
    columns = (releases.c.id, releases.c.service, releases.c.created_at_us)
    rows = connection.execute(select(*columns).order_by(*order)).all()
    why = dict(_reasons(connection, now_us))
    kept, gone, seen = dict[str, str](), list[str](), dict[str, int]()
    for row in rows:
        place = seen[row.service] = seen.get(row.service, 0) + 1
        is_young = row.created_at_us > now_us - DAY_US
        found = why.get(row.id) or ("younger than a day" if is_young else "")
        if not found and place <= keep:
            found = f"one of the {keep} newest"
        if found:
            kept[row.id] = found
        else:
            gone.append(row.id)
    return kept, gone


def _reasons(connection: Connection, now_us: int) -> Iterator[tuple[str, str]]:
    """Yield releases with what needs them; the weightiest reason of each comes last."""
    for table, what in ((records, "a record"), (drafts, "a draft"), (reviews, "a review")):
        named = connection.execute(select(table.c.release).distinct()).scalars()
        yield from ((release, f"{what} names it") for release in named)
    compared = select(evaluations.c.baseline).where(
        evaluations.c.baseline != "", evaluations.c.baseline != evaluations.c.release
    )
    for release in connection.execute(compared.distinct()).scalars():
        yield release, "an evaluation compares with it"
    yield from _spoken_for(connection, now_us)
    recent = select(moves.c.from_release, moves.c.to_release).where(moves.c.at_us > now_us - DAY_US)
    for row in connection.execute(recent):
        yield from ((release, "it served within a day") for release in row)
    for service in connection.execute(select(releases.c.service).distinct()).scalars().all():
        back = way_back(moves_of(connection, service))
        yield from ((release, "one can go back to it") for release in back[:1])
    is_open = rollouts.c.state.in_(OPEN)
    for row in connection.execute(select(rollouts.c.champion, rollouts.c.candidate).where(is_open)):
        yield from ((release, "it is in a rollout") for release in row)
    for row in connection.execute(select(switchboard.c.name, switchboard.c.value)):
        alias = row.name.partition(":")[0]
        if alias in _ALIASES and row.value:
            yield row.value, f"it is the {alias.replace('_', ' ')}"


def _spoken_for(connection: Connection, now_us: int) -> Iterator[tuple[str, str]]:
    """Yield the releases of which people said something that counts."""
    valid = (waivers.c.revoked_at_us.is_(None), waivers.c.expires_us > now_us)
    for release in connection.execute(select(waivers.c.release).where(*valid)).scalars():
        yield release, "a gate of it is waived"
    for release in connection.execute(select(approvals.c.release)).scalars():
        yield release, "somebody approved it"


def _forget(connection: Connection, release: str) -> None:
    for table, column in (
        (gates, gates.c.release),
        (waivers, waivers.c.release),
        (approvals, approvals.c.release),
        (skew_reports, skew_reports.c.service),
        (releases, releases.c.id),
    ):
        connection.execute(delete(table).where(column == release))
    drop_evaluations_of(connection, release)


def _needed(connection: Connection, gone: set[str]) -> set[str]:
    """Return the digests that something names, beside releases that go."""
    found: set[str] = set()
    for row in connection.execute(select(releases.c.id, releases.c.manifest)):
        if row.id not in gone:
            found.update(msgspec.json.decode(row.manifest, type=Manifest).files.values())
    for table, column in _NAMING:
        for text in connection.execute(select(table.c[column])).scalars():
            found.update(_DIGEST.findall(text or ""))
    return found


def _unneeded(artifacts: Artifacts, needed: set[str], now_s: float | None) -> list[tuple[str, int]]:
    """Return the files that nothing names and that are not young, each with its bytes."""
    until_s = (time.time() if now_s is None else now_s) - YOUNG_S
    return [
        (digest, size)
        for digest, size, put_s in artifacts.digests()
        if digest not in needed and put_s < until_s
    ]
