"""Hourly sums of tries: added, taken back, repaired and read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, select, update
from store_samples import START_US, a_record

from roadworthy.store.attempt_hours import (
    NOT_ASKED,
    add_attempts,
    drop_attempts,
    rebuild_attempts,
    tally_attempts,
    tried_by,
)
from roadworthy.store.gateway_tables import attempt_hours
from roadworthy.store.spool import Spool
from roadworthy.store.state import open_state
from roadworthy.store.writer import Writer
from roadworthy.types import HOUR_US, Attempt, SystemClock, Usage

DAY = (START_US, START_US + 24 * HOUR_US)
GOOD = Attempt(
    "big", "ok", 400, Usage(100, 10, 40), 30, "override", provider="openai", input_bytes=420
)
DOWN = Attempt("big", "model_unavailable", 5_000, provider="openai", cause="server")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_state(f"sqlite:///{tmp_path}/state.db")
    yield engine
    engine.dispose()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool", SystemClock())
    yield spool
    spool.close()


def drain(spool: Spool, engine: Engine) -> None:
    Writer(spool, engine, (), SystemClock()).drain()


def test_the_writer_sums_up_each_try_under_what_ended_it(engine: Engine, spool: Spool) -> None:
    again = Attempt("big", "ok", 900, Usage(50, 5), 7, provider="openai", retry=1, mended="repair")
    spool.append(a_record(attempts=(DOWN, again)))
    spool.append(a_record(attempts=(GOOD,), service="reply"))
    drain(spool, engine)

    found = tried_by(engine, ("provider", "model"), *DAY)[("openai", "big")]
    assert found.attempts == {"ok": 2, "server": 1}
    assert (found.asked, found.ok, found.retries, found.repaired) == (3, 2, 1, 1)
    assert (found.input_tokens, found.output_tokens, found.cached_tokens) == (150, 15, 40)
    assert found.cost_micro == 37
    assert found.p95_ms is not None
    assert found.p95_ms < 2, "only what was answered counts in the time of answers"
    by_service = tried_by(engine, ("service",), *DAY, services=("reply",))
    assert by_service[("reply",)].bytes_per_token == 4.2


def test_what_was_not_asked_is_no_attempt_of_a_model(engine: Engine) -> None:
    tries = tuple(Attempt("big", status, 0, provider="openai") for status in NOT_ASKED)
    skipped = Attempt("big", "cooling", 0, provider="openai", cause="rate_limit")
    cells = tally_attempts([a_record(attempts=(*tries, skipped))])
    assert [cell[-1] for cell in cells] == ["cooling"]


def test_an_answer_that_was_turned_down_is_none_that_was_refused(
    engine: Engine, spool: Spool
) -> None:
    turned_down = Attempt("big", "rejected", 300, Usage(1, 1), provider="openai")
    refused = Attempt("big", "model_rejected", 300, provider="openai", cause="rejected")
    spool.append(a_record(attempts=(turned_down, refused, GOOD)))
    drain(spool, engine)
    found = tried_by(engine, ("model",), *DAY)[("big",)]
    assert found.attempts == {"ok": 1, "rejected": 1, "turned_down": 1}
    assert (found.asked, found.ok) == (3, 2)


def test_a_record_that_was_given_up_as_lost_and_comes_after_all_counts_once(
    engine: Engine, spool: Spool
) -> None:
    lost = a_record(attempts=(DOWN,), error_code="lost", disposition="failed")
    spool.append(lost)
    drain(spool, engine)
    came = a_record(id=lost.id, attempts=(GOOD,))
    spool.append(came)
    drain(spool, engine)
    found = tried_by(engine, ("model",), *DAY)[("big",)]
    assert found.attempts == {"ok": 1}
    spool.append(came)
    drain(spool, engine)
    assert tried_by(engine, ("model",), *DAY)[("big",)].attempts == {"ok": 1}


def test_sums_that_differ_from_the_records_are_repaired(engine: Engine, spool: Spool) -> None:
    for hour in range(3):
        spool.append(a_record(START_US + hour * HOUR_US, attempts=(GOOD, DOWN)))
    drain(spool, engine)
    assert rebuild_attempts(engine, *DAY) == 0
    true = tried_by(engine, ("hour_us",), *DAY)
    with engine.begin() as connection:
        wrong = attempt_hours.c.hour_us == START_US
        connection.execute(update(attempt_hours).where(wrong).values(cost_micro=99, b04=5))
        gone = attempt_hours.c.hour_us == START_US + HOUR_US
        connection.execute(attempt_hours.delete().where(gone))
        add_attempts(connection, tally_attempts([a_record(attempts=(GOOD,), service="ghost")]))
    assert rebuild_attempts(engine, *DAY) == 5
    assert tried_by(engine, ("hour_us",), *DAY) == true
    with engine.connect() as connection:
        assert len(connection.execute(select(attempt_hours)).all()) == 6


def test_what_is_old_is_dropped(engine: Engine) -> None:
    with engine.begin() as connection:
        old = [a_record(START_US + hour * HOUR_US, attempts=(GOOD,)) for hour in range(3)]
        add_attempts(connection, tally_attempts(old))
        assert drop_attempts(connection, START_US + 2 * HOUR_US) == 2
    assert list(tried_by(engine, ("hour_us",), *DAY)) == [(START_US + 2 * HOUR_US,)]
