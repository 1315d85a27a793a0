from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from roadworthy.errors import RequestError
from roadworthy.store.actions import list_actions
from roadworthy.store.forget import forget_user
from roadworthy.store.records import find_records
from roadworthy.store.spool import Spool
from roadworthy.store.state import open_state
from roadworthy.store.writer import Writer
from roadworthy.types import Ids, Record, SystemClock

CLOCK = SystemClock()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_state(f"sqlite:///{tmp_path}/state.db")
    yield engine
    engine.dispose()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool", CLOCK)
    yield spool
    spool.close()


def test_what_waits_in_the_spool_is_forgotten_too(engine: Engine, spool: Spool) -> None:
    record = Record(
        id=Ids(CLOCK).new("rq"),
        at_us=CLOCK.now_us(),
        service="reply",
        kind="generate",
        disposition="answered",
        user="ann",
        input=b'{"text": "what ann wrote"}',
    )
    spool.append(record)
    drain = Writer(spool, engine, (), CLOCK).drain

    gone = forget_user(engine, CLOCK, spool, drain, "ann", by="cli:ada")

    assert (gone.records, gone.bodies) == (1, 1)
    assert [found.user for found in find_records(engine)] == [gone.pseudonym]
    assert not any(b"what ann wrote" in path.read_bytes() for path in spool.folder.iterdir())
    (act,) = list_actions(engine)
    assert (act.by, act.action, act.subject) == ("cli:ada", "records.delete", gone.pseudonym)
    assert act.detail == {"records": 1, "bodies": 1, "outcomes": 0}


@pytest.mark.parametrize("user", ["", " "])
def test_nobody_is_not_forgotten(engine: Engine, spool: Spool, user: str) -> None:
    with pytest.raises(RequestError, match="user: expected a name"):
        forget_user(engine, CLOCK, spool, lambda: 0, user, by="cli:ada")
    assert list_actions(engine) == []
