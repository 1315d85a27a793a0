from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, update

from roadworthy.errors import NotFound, StoreError
from roadworthy.store.actions import list_actions, verify_chain
from roadworthy.store.evaluations import (
    EvaluationHead,
    drop_cached,
    drop_evaluations_of,
    list_evaluations,
    newest_evaluation,
    put_cached,
    put_evaluation,
    read_cached,
    read_evaluation,
)
from roadworthy.store.housekeeping import KEEP_CACHED_DAYS
from roadworthy.store.release_tables import evaluations
from roadworthy.store.state import open_state
from roadworthy.types import DAY_US, SettableClock

NOW_US = 1_700_000_000_000_000


@pytest.fixture
def clock() -> SettableClock:
    clock = SettableClock()
    clock.set(NOW_US)
    return clock


@pytest.fixture
def state(tmp_path: Path) -> Engine:
    return open_state(f"sqlite:///{tmp_path / 'state.db'}")


def head(id: str, release: str = "reply@1", at_us: int = NOW_US, **fields: str) -> EvaluationHead:
    known = {
        "service": "reply",
        "baseline": "",
        "kind": "suite",
        "by": "cli:ana",
        "verdict": "pass",
    }
    return EvaluationHead(id=id, release=release, at_us=at_us, **{**known, **fields})  # type: ignore[arg-type]


def put(state: Engine, clock: SettableClock, head: EvaluationHead, report: bytes = b"{}") -> str:
    with state.begin() as connection:
        return put_evaluation(connection, clock, head, report, {"cases": 3}).digest


def test_a_report_comes_back_whole(state: Engine, clock: SettableClock) -> None:
    digest = put(state, clock, head("ev_1"), b'{"id":"ev_1"}')
    found = read_evaluation(state, "ev_1")
    assert found.report == b'{"id":"ev_1"}'
    assert (found.head.digest, found.head.verdict) == (digest, "pass")


def test_the_chain_says_that_it_was_made_and_what_came_of_it(
    state: Engine, clock: SettableClock
) -> None:
    digest = put(state, clock, head("ev_1"))
    act = list_actions(state, limit=1)[0]
    assert (act.action, act.subject, act.by) == ("evaluation.run", "reply@1", "cli:ana")
    assert (act.detail["digest"], act.detail["cases"]) == (digest, 3)
    assert not verify_chain(state).problem


def test_a_report_that_was_changed_in_the_store_is_refused(
    state: Engine, clock: SettableClock
) -> None:
    put(state, clock, head("ev_1"))
    with state.begin() as connection:
        connection.execute(update(evaluations).values(detail=b"other"))
    with pytest.raises(StoreError, match="was changed in the store"):
        read_evaluation(state, "ev_1")


def test_one_that_never_was_is_not_found(state: Engine) -> None:
    with pytest.raises(NotFound, match="no evaluation `ev_9`"):
        read_evaluation(state, "ev_9")
    assert newest_evaluation(state, "reply@1") is None


def test_they_are_listed_newest_first_by_service_release_and_kind(
    state: Engine, clock: SettableClock
) -> None:
    put(state, clock, head("ev_1"))
    put(state, clock, head("ev_2", "reply@2", NOW_US + 1))
    put(state, clock, head("ev_3", at_us=NOW_US + 2, kind="replay"))
    put(state, clock, head("ev_4", "other@1", NOW_US + 3, service="other"))

    def ids(**terms: Any) -> list[str]:
        return [one.id for one in list_evaluations(state, **terms)]

    assert ids() == ["ev_4", "ev_3", "ev_2", "ev_1"]
    assert ids(service="reply", kind="suite") == ["ev_2", "ev_1"]
    assert ids(release="reply@1", limit=1) == ["ev_3"]
    assert ids(services=("other",)) == ["ev_4"]
    newest = newest_evaluation(state, "reply@1")
    assert newest is not None
    assert newest.head.id == "ev_1"


def test_they_go_with_their_release(state: Engine, clock: SettableClock) -> None:
    put(state, clock, head("ev_1"))
    put(state, clock, head("ev_2", "reply@2"))
    with state.begin() as connection:
        assert drop_evaluations_of(connection, "reply@1") == 1
    assert [one.id for one in list_evaluations(state)] == ["ev_2"]


def test_what_is_cached_is_found_by_its_key_and_renewed(
    state: Engine, clock: SettableClock
) -> None:
    put_cached(state, clock, "reply", "answer", {f"k{n}": b"old" for n in range(900)})
    put_cached(state, clock, "reply", "answer", {"k1": b"new"})
    found = read_cached(state, [f"k{n}" for n in range(1_000)])
    assert len(found) == 900
    assert (found["k0"], found["k1"]) == (b"old", b"new")
    assert read_cached(state, []) == {}


def test_what_is_cached_goes_after_its_days_and_reports_stay(
    state: Engine, clock: SettableClock
) -> None:
    put(state, clock, head("ev_1"))
    put_cached(state, clock, "reply", "score", {"old": b"1"})
    clock.set(NOW_US + (KEEP_CACHED_DAYS + 1) * DAY_US)
    put_cached(state, clock, "reply", "score", {"new": b"1"})
    with state.begin() as connection:
        assert drop_cached(connection, clock.now_us() - KEEP_CACHED_DAYS * DAY_US) == 1
    assert set(read_cached(state, ["old", "new"])) == {"new"}
    assert len(list_evaluations(state)) == 1
