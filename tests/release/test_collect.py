"""Nothing that is needed is ever removed, and nothing else is kept for ever."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from release_cases import a_release
from roadworthy.release import promotion
from roadworthy.release.bundle import check_whole
from roadworthy.release.collect import YOUNG_S, Collected, collect, look
from roadworthy.release.manifests import keep_manifest, recover
from roadworthy.release.registry import Release, read_release
from roadworthy.store.approvals import Approval, add_approval, add_waiver
from roadworthy.store.artifacts import Artifacts
from roadworthy.store.data_versions import SavedSnapshot, save_snapshot
from roadworthy.store.evaluations import EvaluationHead, put_evaluation
from roadworthy.store.records import record_row
from roadworthy.store.state import insert_rows, open_state
from roadworthy.store.switchboard import move_pointer
from roadworthy.store.tables import records, releases
from roadworthy.types import DAY_US, Ids, Record

LATER_S = 4_000_000_000.0
"""The machine's time at which every file of a test is old."""


class SetClock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.us = 20_000 * DAY_US

    def now_us(self) -> int:
        self.us += 1
        return self.us

    def monotonic(self) -> float:
        return self.us / 1e6


class Store:
    """A store with releases whose files are real."""

    def __init__(self, folder: Path) -> None:
        self.clock = SetClock()
        self.engine: Engine = open_state(f"sqlite:///{folder / 'state.db'}")
        self.artifacts = Artifacts(folder / "artifacts")
        self.folder = folder

    def release(self, *contents: str, service: str = "svc") -> Release:
        """Return a release of files with these contents; releases may share some."""
        files = {f"f{k}": self.artifacts.put(text.encode()) for k, text in enumerate(contents)}
        release = a_release(self.engine, self.clock, "", service, files=files)
        keep_manifest(self.artifacts, release)
        return release

    def record(self, release: Release) -> None:
        """Let a record name a release."""
        found = Record(
            id=Ids(self.clock).new("rq"),
            at_us=self.clock.now_us(),
            service=release.service,
            kind="predict",
            disposition="answered",
            release=release.id,
        )
        with self.engine.begin() as connection:
            insert_rows(connection, records, [record_row(found)])

    def collect(self, keep: int = 0) -> Collected:
        fields: dict[str, Any] = {"keep": keep, "now_s": LATER_S}
        planned = look(self.engine, self.artifacts, self.clock, **fields)
        done = collect(
            self.engine,
            self.artifacts,
            self.clock,
            by="ada",
            laid_out=self.folder / "releases",
            **fields,
        )
        assert msgspec.structs.replace(planned, is_done=True) == done
        return done

    def pass_days(self, days: float) -> None:
        self.clock.us += round(days * DAY_US)

    def left(self) -> set[str]:
        with self.engine.connect() as connection:
            return set(connection.execute(select(releases.c.id)).scalars())


@pytest.fixture
def store(tmp_path: Path) -> Any:
    made = Store(tmp_path)
    yield made
    made.engine.dispose()


def test_what_nothing_names_goes_with_its_files_alone(store: Store) -> None:
    old, kept = store.release("only in the old one", "shared"), store.release("shared")
    store.pass_days(2)
    promotion.promote(store.engine, store.clock, kept.id, by="ada")
    done = store.collect()
    assert done.releases == (old.id,)
    assert done.files == (old.manifest.files["f0"],)
    assert done.bytes == len("only in the old one")
    assert store.left() == {kept.id}
    check_whole(kept, store.artifacts)
    assert not list((store.artifacts.folder / "manifests").glob(f"{old.id}*"))


def test_the_newest_and_the_young_are_kept(store: Store) -> None:
    three = [store.release(f"{k}") for k in range(3)]
    store.pass_days(2)
    young = store.release("young")
    assert store.collect(keep=2).releases == (three[1].id, three[0].id)
    assert store.left() == {three[2].id, young.id}


def test_what_an_evaluation_of_another_compares_with_is_kept(store: Store) -> None:
    served, candidate = store.release("served"), store.release("candidate")
    store.pass_days(2)
    promotion.promote(store.engine, store.clock, candidate.id, by="ada")
    head = EvaluationHead(
        id="ev_1",
        service=served.service,
        release=candidate.id,
        baseline=served.id,
        kind="suite",
        at_us=store.clock.now_us(),
        by="ada",
        verdict="pass",
    )
    with store.engine.begin() as connection:
        put_evaluation(connection, store.clock, head, b"{}")
    done = store.collect()
    assert done.releases == ()
    assert done.kept[served.id] == "an evaluation compares with it"


def test_a_file_that_was_put_lately_is_kept_whatever_names_it(store: Store) -> None:
    digest = store.artifacts.put(b"of a release that is being built")
    path = store.artifacts.path(digest)
    os.utime(path, (LATER_S - YOUNG_S + 60,) * 2)
    assert store.collect().files == ()
    os.utime(path, (LATER_S - YOUNG_S - 60,) * 2)
    assert store.collect().files == (digest,)


NEEDS = ("champion", "candidate", "last_good", "record", "waiver", "approval")


def need(store: Store, what: str, release: Release) -> None:
    """Let something need a release."""
    now_us = store.clock.now_us()
    if what == "record":
        store.record(release)
    elif what == "waiver":
        known = {"service": release.service, "release": release.id, "gate": "load"}
        days = now_us + 9 * DAY_US
        add_waiver(store.engine, store.clock, **known, by="t", reason="later", expires_us=days)
    elif what == "approval":
        approval = Approval(
            release=release.id, owner="model", service="svc", by="t", note="", at_us=now_us
        )
        add_approval(store.engine, store.clock, approval, must_differ=False)
    else:
        with store.engine.begin() as connection:
            move_pointer(connection, f"{what}:{release.service}", release.id)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=3), min_size=1, max_size=8),
    st.lists(st.tuples(st.sampled_from(NEEDS), st.integers(0, 7)), max_size=6),
    st.sets(st.sampled_from("abcdefgh")),
    st.integers(0, 3),
)
def test_nothing_that_is_needed_is_ever_removed(
    contents: list[list[str]],
    needs: list[tuple[str, int]],
    trained_on: set[str],
    keep: int,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        found = [store.release(*texts) for texts in contents]
        for text in sorted(trained_on):
            digest = store.artifacts.put(text.encode())
            saved = SavedSnapshot(
                id=f"sn_{text}", at_us=1, by="t", rows=1, detail={"artifact": digest}
            )
            save_snapshot(store.engine, saved)
        store.pass_days(2)
        named: dict[str, Release] = {}
        needed = set()
        for what, place in needs:
            release = found[place % len(found)]
            need(store, what, release)
            named[what] = release
            if what in ("record", "waiver", "approval"):
                needed.add(release.id)
        needed |= {named[what].id for what in NEEDS[:3] if what in named}
        done = store.collect(keep)
        assert needed <= store.left()
        assert not needed & set(done.releases)
        for id in store.left():
            check_whole(read_release(store.engine, id), store.artifacts)
        for text in trained_on:
            assert store.artifacts.read(store.artifacts.put(text.encode())) == text.encode()
        assert store.collect(keep).releases == ()
        store.engine.dispose()


def test_a_record_within_retention_keeps_its_release(store: Store) -> None:
    release = store.release("a")
    store.record(release)
    store.pass_days(400)
    assert store.collect().kept == {release.id: "a record names it"}
    with store.engine.begin() as connection:
        connection.execute(records.delete())
    assert store.collect().releases == (release.id,)


def test_a_store_from_before_learns_releases_again_from_their_manifests(store: Store) -> None:
    first, second = store.release("a"), store.release("b")
    store.record(second)
    with store.engine.begin() as connection:
        connection.execute(releases.delete())
    store.artifacts.remove(second.manifest.files["f0"])
    found = recover(store.engine, store.artifacts, store.clock, by="ada")
    assert set(found.learned) == {first.id, second.id}
    assert found.incomplete == (second.id,)
    assert found.lost == ()
    assert read_release(store.engine, first.id) == first


def test_a_manifest_under_another_name_is_not_believed(store: Store) -> None:
    release = store.release("a")
    store.record(release)
    folder = store.artifacts.folder / "manifests"
    (folder / f"{release.id}.json").rename(folder / "svc@000000000000.json")
    (folder / "broken.json").write_text("{")
    with store.engine.begin() as connection:
        connection.execute(releases.delete())
    found = recover(store.engine, store.artifacts, store.clock, by="ada")
    assert found.learned == ()
    assert found.unreadable == ("broken.json", "svc@000000000000.json")
    assert found.lost == (release.id,)
