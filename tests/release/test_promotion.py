"""What serves changes in one transaction, once, and back again."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, insert, select

from release_cases import a_release
from roadworthy.errors import Conflict, NotFound
from roadworthy.release import promotion
from roadworthy.release.promotion import (
    aliases,
    finish_rollout,
    freeze,
    frozen,
    has_served,
    history,
    promote,
    roll_back,
    unfreeze,
)
from roadworthy.release.registry import Release, champion_id_of
from roadworthy.store.actions import append_action, list_actions, verify_chain
from roadworthy.store.moves import Move, way_back
from roadworthy.store.release_tables import rollouts
from roadworthy.store.rollouts import Rollout, RolloutVerdict
from roadworthy.store.state import open_state
from roadworthy.store.switchboard import move_pointer, read_pointer
from roadworthy.types import SettableClock

CLOCK = SettableClock()


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'state.db'}"


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = open_state(url)
    yield engine
    engine.dispose()


@pytest.fixture
def three(engine: Engine) -> list[Release]:
    return [a_release(engine, CLOCK, content) for content in "abc"]


def test_aliases_move_together(engine: Engine, three: list[Release]) -> None:
    first, second, _ = three
    promote(engine, CLOCK, first.id, by="ada", why="the first")
    assert aliases(engine, "svc") == {"champion": first.id, "candidate": "", "last_good": ""}
    promote(engine, CLOCK, second.id, by="bob")
    assert aliases(engine, "svc")["last_good"] == first.id
    newest, oldest = history(engine, "svc")
    assert (newest.kind, newest.from_release, newest.to_release) == (
        "promote",
        first.id,
        second.id,
    )
    assert (newest.by, oldest.why) == ("bob", "the first")


def test_going_back_twice_goes_further_back(engine: Engine, three: list[Release]) -> None:
    for release in three:
        promote(engine, CLOCK, release.id, by="ada")
    assert roll_back(engine, CLOCK, "svc", by="bob", why="worse") == three[1]
    assert aliases(engine, "svc")["last_good"] == three[0].id
    assert roll_back(engine, CLOCK, "svc", by="bob", why="worse, too") == three[0]
    with pytest.raises(NotFound, match="expected a release that served `svc` before, got none"):
        roll_back(engine, CLOCK, "svc", by="bob", why="worse")
    act = list_actions(engine, limit=1)[0]
    assert (act.action, act.subject, act.detail["why"]) == (
        "release.rollback",
        three[0].id,
        "worse, too",
    )
    assert verify_chain(engine).problem == ""


def test_one_goes_back_to_an_earlier_champion_by_name(engine: Engine, three: list[Release]) -> None:
    for release in three[:2]:
        promote(engine, CLOCK, release.id, by="ada")
    with pytest.raises(NotFound, match="which never served"):
        roll_back(engine, CLOCK, "svc", to=three[2].id, by="bob", why="?")
    promote(engine, CLOCK, three[2].id, by="ada")
    assert roll_back(engine, CLOCK, "svc", to=three[0].id, by="bob", why="?") == three[0]
    assert has_served(engine, three[2].id)


def test_what_served_before_moves_were_written_is_known_from_the_chain(
    engine: Engine, three: list[Release]
) -> None:
    first, second, _ = three
    with engine.begin() as connection:
        move_pointer(connection, "champion:svc", second.id)
        for release, left in (first, ""), (second, first.id):
            detail = {"service": "svc", "from": left}
            append_action(connection, CLOCK, "ada", "release.promote", release.id, detail)
    assert roll_back(engine, CLOCK, "svc", by="bob", why="worse") == first


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["promote", "rollback"]), st.sampled_from("abcde"))))
def test_the_way_back_never_names_what_serves_or_was_given_up(
    steps: list[tuple[Any, str]],
) -> None:
    moves: list[Move] = []
    serves = ""
    for kind, wanted in steps:
        back = way_back(moves)
        to = (back[0] if back else serves) if kind == "rollback" else wanted
        if to == serves:
            continue
        given_up = serves if kind == "rollback" else ""
        move = Move(
            id="", service="s", at_us=0, kind=kind, from_release=serves, to_release=to, by=""
        )
        moves.insert(0, move)
        serves = to
        now = way_back(moves)
        assert serves not in now
        assert len(set(now)) == len(now)
        assert not given_up or set(now) <= set(back)


def test_the_second_of_two_is_told_who_was_faster(engine: Engine, three: list[Release]) -> None:
    first, second, third = three
    promote(engine, CLOCK, first.id, by="ada")
    promote(engine, CLOCK, second.id, by="cli:bob", expected=first.id)
    with pytest.raises(Conflict, match=r"got `svc@\w+`: `cli:bob` promoted it at 20") as caught:
        promote(engine, CLOCK, third.id, by="ada", expected=first.id)
    assert f"expected `{first.id}` to serve" in str(caught.value)
    assert champion_id_of(engine, "svc") == second.id
    assert len(history(engine, "svc")) == 2


def test_of_many_promoters_at_once_one_wins(engine: Engine) -> None:
    first = a_release(engine, CLOCK, "first")
    promote(engine, CLOCK, first.id, by="ada")
    others = [a_release(engine, CLOCK, f"{k}") for k in range(6)]
    said: list[str] = []
    barrier = threading.Barrier(len(others))

    def run(release: Release) -> None:
        barrier.wait()
        try:
            promote(engine, CLOCK, release.id, by=release.id, expected=first.id)
            said.append(release.id)
        except Conflict:
            said.append("conflict")

    threads = [threading.Thread(target=run, args=(release,)) for release in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said.count("conflict") == len(others) - 1
    assert champion_id_of(engine, "svc") in said
    assert [move.from_release for move in history(engine, "svc")] == [first.id, ""]


RACER = """
import sys
from roadworthy.errors import Conflict
from roadworthy.release.promotion import promote
from roadworthy.store.state import open_state
from roadworthy.types import SettableClock
url, release, expected = sys.argv[1:]
engine = open_state(url)
sys.stdin.readline()
try:
    promote(engine, SettableClock(), release, by=f"cli:{release}", expected=expected)
except Conflict as error:
    print(error)
else:
    print("won")
"""


@pytest.mark.slow
def test_of_two_processes_at_once_one_wins(engine: Engine, url: str, three: list[Release]) -> None:
    first, *others = three
    promote(engine, CLOCK, first.id, by="ada")
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, url, release.id, first.id],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for release in others
    ]
    said = [racer.communicate("go\n", timeout=60)[0].strip() for racer in racers]
    won = said.index("won")
    (lost,) = (text for text in said if text != "won")
    assert f"`cli:{others[won].id}` promoted it at" in lost
    assert champion_id_of(engine, "svc") == others[won].id


def test_a_promotion_that_is_killed_has_changed_nothing(
    engine: Engine, three: list[Release], monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(engine, CLOCK, three[0].id, by="ada")
    before = aliases(engine, "svc")

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for step in ("move_pointer", "leave", "restore", "add_move", "append_action"):
        with monkeypatch.context() as patched:
            patched.setattr(promotion, step, killed)
            with pytest.raises(KeyboardInterrupt):
                promote(engine, CLOCK, three[1].id, by="ada")
        assert aliases(engine, "svc") == before
        assert len(history(engine, "svc")) == 1
    promote(engine, CLOCK, three[1].id, by="ada")
    assert aliases(engine, "svc")["last_good"] == three[0].id
    assert verify_chain(engine).problem == ""


def test_while_frozen_nothing_else_serves_but_one_may_go_back(
    engine: Engine, three: list[Release]
) -> None:
    first, second, third = three
    promote(engine, CLOCK, first.id, by="ada")
    promote(engine, CLOCK, second.id, by="ada")
    freeze(engine, CLOCK, "svc", by="cli:eve", reason="the week of the fair")
    with pytest.raises(Conflict, match="frozen by `cli:eve`: the week of the fair"):
        promote(engine, CLOCK, third.id, by="ada")
    said = frozen(engine, "svc")
    assert said is not None
    assert said.by == "cli:eve"
    assert roll_back(engine, CLOCK, "svc", by="ada", why="harm") == first
    unfreeze(engine, CLOCK, "svc", by="cli:eve")
    assert frozen(engine, "svc") is None
    assert promote(engine, CLOCK, third.id, by="ada") == third
    with pytest.raises(Conflict, match="expected `svc` to be frozen"):
        unfreeze(engine, CLOCK, "svc", by="cli:eve")


def begin(engine: Engine, champion: Release, candidate: Release) -> Rollout:
    """Let a rollout run."""
    rollout = Rollout(
        id="ro_1",
        service="svc",
        champion=champion.id,
        candidate=candidate.id,
        judge="canary",
        state="running",
        step=0,
        share=0.05,
        started_at_us=1,
        step_at_us=1,
        ended_at_us=None,
        by="ada",
        why="",
        seen="",
        version=1,
        progress={},
        verdict=RolloutVerdict(),
    )
    fields = {name: getattr(rollout, name) for name in rollout.__struct_fields__}
    with engine.begin() as connection:
        move_pointer(connection, "candidate:svc", candidate.id)
        move_pointer(connection, "rollout:svc", '{"id":"ro_1"}')
        row = fields | {"progress": b"{}", "verdict": "{}"}
        connection.execute(insert(rollouts).values(row))
    return rollout


def state_of(engine: Engine) -> tuple[str, str, int]:
    """Return how the rollout stands, and what its pointer says."""
    with engine.connect() as connection:
        row = connection.execute(select(rollouts)).one()
        return row.state, read_pointer(connection, "rollout:svc"), row.version


def test_a_rollout_ends_as_its_evidence_says(engine: Engine, three: list[Release]) -> None:
    first, second, _ = three
    promote(engine, CLOCK, first.id, by="ada")
    rollout = begin(engine, first, second)
    with engine.begin() as connection:
        move = finish_rollout(connection, CLOCK, rollout, "promote", "no worse", "job:rollout")
    assert move is not None
    assert (move.rollout, move.why) == ("ro_1", "no worse")
    assert aliases(engine, "svc") == {
        "champion": second.id,
        "candidate": "",
        "last_good": first.id,
    }
    assert state_of(engine)[:2] == ("promoted", "")
    with pytest.raises(Conflict, match="got one that has ended"), engine.begin() as connection:
        finish_rollout(connection, CLOCK, rollout, "roll_back", "worse", "job:rollout")


def test_a_rejected_candidate_leaves_what_serves(engine: Engine, three: list[Release]) -> None:
    first, second, _ = three
    promote(engine, CLOCK, first.id, by="ada")
    rollout = begin(engine, first, second)
    with engine.begin() as connection:
        assert finish_rollout(connection, CLOCK, rollout, "roll_back", "worse", "job:x") is None
    assert aliases(engine, "svc") == {"champion": first.id, "candidate": "", "last_good": ""}
    assert state_of(engine)[:2] == ("rolled_back", "")
    assert list_actions(engine, limit=1)[0].action == "release.reject"


def test_a_change_by_hand_stops_a_rollout(engine: Engine, three: list[Release]) -> None:
    first, second, third = three
    promote(engine, CLOCK, first.id, by="ada")
    begin(engine, first, second)
    promote(engine, CLOCK, third.id, by="bob")
    assert state_of(engine) == ("stopped", "", 2)
    assert aliases(engine, "svc")["candidate"] == ""
    assert list_actions(engine, limit=1)[0].detail["stopped"] == "ro_1"


def test_a_rollout_stands_still_while_frozen(engine: Engine, three: list[Release]) -> None:
    first, second, _ = three
    promote(engine, CLOCK, first.id, by="ada")
    rollout = begin(engine, first, second)
    freeze(engine, CLOCK, "svc", by="eve", reason="")
    assert state_of(engine) == ("frozen", "", 2)
    with pytest.raises(Conflict, match="frozen by `eve`"), engine.begin() as connection:
        finish_rollout(connection, CLOCK, rollout, "promote", "no worse", "job:rollout")
    assert champion_id_of(engine, "svc") == first.id
    unfreeze(engine, CLOCK, "svc", by="eve")
    state, split, _ = state_of(engine)
    assert state == "running"
    assert '"share":0.05' in split
