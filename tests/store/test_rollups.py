from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event, select, update
from store_samples import HOUR_US, START_US, a_record
from store_samples import records as any_records

from roadworthy.store.records import record_row
from roadworthy.store.rollups import (
    BOUNDS_US,
    add_cells,
    quantile_ms,
    read_failures,
    read_hours,
    rebuild_hours,
    summarise,
    summarise_by,
    take_cells,
    tally,
    verify_hours,
)
from roadworthy.store.state import insert_rows, open_state
from roadworthy.store.tables import LATENCY_BUCKETS, records, rollups
from roadworthy.types import Record

DAY = (START_US, START_US + 24 * HOUR_US)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_state(f"sqlite:///{tmp_path / 'state.db'}")
    yield engine
    engine.dispose()


def store(engine: Engine, found: Sequence[Record]) -> None:
    with engine.begin() as connection:
        insert_rows(connection, records, [record_row(record) for record in found])
        add_cells(connection, tally(found))


def cells_of(engine: Engine, by: str) -> set[str]:
    with engine.connect() as connection:
        return set(connection.execute(select(rollups.c.value).where(rollups.c.by == by)).scalars())


def test_every_figure_is_the_sum_over_its_records(engine: Engine) -> None:
    store(
        engine,
        [
            a_record(disposition="answered", latency_us=1000, cost_micro=5, input_tokens=3),
            a_record(disposition="cached", latency_us=3000, output_tokens=4, is_late=True),
            a_record(disposition="refused", latency_us=5000),
            a_record(disposition="failed", latency_us=7000),
        ],
    )
    found = summarise(engine)
    assert (found.requests, found.answered, found.cached, found.refused, found.failed) == (
        4,
        1,
        1,
        1,
        1,
    )
    assert (found.input_tokens, found.output_tokens, found.cost_micro) == (3, 4, 5)
    assert found.mean_ms == 4.0
    assert sum(found.histogram) == 4


def test_a_refusal_is_no_failure(engine: Engine) -> None:
    kinds = ["answered", "refused", "refused", "failed"]
    store(engine, [a_record(disposition=kind) for kind in kinds])
    assert summarise(engine).availability == 0.75


def test_the_late_share_counts_what_missed_the_objective(engine: Engine) -> None:
    store(engine, [a_record(is_late=late) for late in (True, False, False, False)])
    assert summarise(engine).late_share == 0.25


def test_nothing_gives_no_shares(engine: Engine) -> None:
    found = summarise(engine, "delay", *DAY)
    assert found.requests == 0
    assert found.availability is found.late_share is found.p95_ms is found.mean_ms is None


def test_a_summary_is_of_what_was_asked_for(engine: Engine) -> None:
    store(
        engine,
        [
            a_record(START_US, model="a", arm="champion"),
            a_record(START_US + HOUR_US - 1, model="b"),
            a_record(START_US + HOUR_US, model="a", arm="candidate"),
            a_record(START_US + 2 * HOUR_US, service="reply", release="rl_2"),
        ],
    )
    assert summarise(engine).requests == 4
    assert summarise(engine, "delay").requests == 3
    assert summarise(engine, "", START_US, START_US + HOUR_US).requests == 2
    assert summarise(engine, "", START_US + 5).requests == 4, "whole hours"
    assert summarise(engine, "", START_US + HOUR_US).requests == 2
    assert summarise(engine, "delay", model="a").requests == 2
    assert summarise(engine, arms=("candidate",)).requests == 1
    assert summarise(engine, release="rl_2").requests == 1


def test_requests_are_counted_again_by_user_team_tag_and_key(engine: Engine) -> None:
    store(
        engine,
        [
            a_record(user="ann", team="ops", tags=("web", "beta"), cost_micro=1),
            a_record(user="ann", team="ops", tags=("web", "web"), cost_micro=10),
            a_record(user="bob", key="k2", cost_micro=100),
        ],
    )
    by_user = summarise_by(engine, "user")
    assert {name: found.cost_micro for name, found in by_user.items()} == {"ann": 11, "bob": 100}
    assert {n: f.requests for n, f in summarise_by(engine, "team").items()} == {"ops": 2}
    assert {n: f.requests for n, f in summarise_by(engine, "tag").items()} == {"beta": 1, "web": 2}
    assert {n: f.requests for n, f in summarise_by(engine, "key").items()} == {"k1": 2, "k2": 1}
    assert summarise(engine, by="tag", value="web").cost_micro == 11
    assert summarise(engine).cost_micro == 111


def test_a_default_user_gets_no_cell_of_its_own(engine: Engine) -> None:
    store(engine, [a_record(user="key:k1"), a_record(user=""), a_record(user="key:other")])
    assert cells_of(engine, "user") == {"key:other"}
    assert cells_of(engine, "team") == set()


def test_a_span_is_summed_up_by_hour_and_by_release(engine: Engine) -> None:
    store(engine, [a_record(START_US + k * HOUR_US // 2, release=f"rl_{k % 2}") for k in range(6)])
    hours = summarise_by(engine, "hour_us", "delay", *DAY)
    assert {hour: found.requests for hour, found in hours.items()} == {
        START_US + k * HOUR_US: 2 for k in range(3)
    }
    assert list(summarise_by(engine, "release")) == ["rl_0", "rl_1"]


@given(st.lists(st.integers(1, 21_000_000), min_size=1, max_size=60), st.floats(0.01, 1))
@settings(max_examples=300, deadline=None)
def test_a_percentile_is_at_most_half_too_high_or_a_third_too_low(
    latencies: list[int], share: float
) -> None:
    histogram = [0] * LATENCY_BUCKETS
    for cell, sums in tally([a_record(latency_us=us) for us in latencies]).items():
        if cell[5] == "all":
            histogram = sums[-LATENCY_BUCKETS:]
    rank = next(k for k in range(1, len(latencies) + 1) if k >= share * len(latencies))
    true_ms = sorted(latencies)[rank - 1] / 1000
    estimate = quantile_ms(histogram, share)
    assert estimate is not None
    if true_ms <= 0.25:
        assert 0 < estimate <= 0.25
    else:
        assert true_ms / 1.501 <= estimate <= true_ms * 1.501


def test_percentiles_of_many_requests_are_close(engine: Engine) -> None:
    rng = random.Random(3)
    latencies = sorted(int(rng.lognormvariate(9, 1)) for _ in range(5000))
    store(engine, [a_record(latency_us=us) for us in latencies])
    found = summarise(engine)
    for estimate, share in ((found.p50_ms, 0.5), (found.p95_ms, 0.95), (found.p99_ms, 0.99)):
        assert estimate == pytest.approx(latencies[int(share * 5000) - 1] / 1000, rel=0.1)


def test_a_bucket_counts_latencies_up_to_its_bound(engine: Engine) -> None:
    store(engine, [a_record(latency_us=us) for us in (0, 250, 251, 375, 376)])
    assert summarise(engine).histogram[:4] == (2, 2, 1, 0)


def test_what_is_slower_than_the_histogram_is_a_lower_bound(engine: Engine) -> None:
    store(engine, [a_record(latency_us=3_600_000_000)])
    assert summarise(engine).p99_ms == BOUNDS_US[-1] / 1000


def test_hours_that_agree_have_nothing_to_repair(engine: Engine) -> None:
    store(engine, [a_record(START_US + k * HOUR_US // 3, user=f"u{k}") for k in range(9)])
    assert verify_hours(engine, *DAY) == {}
    assert rebuild_hours(engine, *DAY) == 0


def test_hours_that_differ_are_found_and_repaired(engine: Engine) -> None:
    found = [a_record(START_US + k * HOUR_US, user=f"u{k}", cost_micro=k) for k in range(3)]
    store(engine, found)
    true = summarise_by(engine, "user")
    with engine.begin() as connection:
        connection.execute(update(rollups).where(rollups.c.value == "u1").values(cost_micro=99))
        connection.execute(rollups.delete().where(rollups.c.value == "u2"))
        add_cells(connection, tally([a_record(user="ghost")]))
    differing = verify_hours(engine, *DAY)
    assert {cell[-1] for cell in differing} == {"u1", "u2", "ghost", "", "k1"}
    assert rebuild_hours(engine, *DAY) == len(differing)
    assert verify_hours(engine, *DAY) == {}
    assert summarise_by(engine, "user") == true
    assert "ghost" not in cells_of(engine, "user")


def test_only_the_hours_asked_for_are_repaired(engine: Engine) -> None:
    store(engine, [a_record(START_US), a_record(START_US + 5 * HOUR_US)])
    with engine.begin() as connection:
        connection.execute(update(rollups).values(cost_micro=99))
    rebuild_hours(engine, START_US + 5, START_US + HOUR_US)
    by_hour = summarise_by(engine, "hour_us")
    assert [found.cost_micro for found in by_hour.values()] == [0, 99]


def test_repairing_bears_records_that_come_in_between(engine: Engine) -> None:
    store(engine, [a_record()])
    with engine.begin() as connection:
        connection.execute(rollups.delete())
    missing = verify_hours(engine, *DAY)
    store(engine, [a_record()])
    with engine.begin() as connection:
        add_cells(connection, missing)
    assert summarise(engine).requests == 2
    assert verify_hours(engine, *DAY) == {}


@given(st.lists(any_records, max_size=10))
@settings(max_examples=10, deadline=None)
def test_what_is_added_and_taken_away_leaves_zeros(
    tmp_path_factory: pytest.TempPathFactory, found: list[Record]
) -> None:
    engine = open_state(f"sqlite:///{tmp_path_factory.mktemp('any') / 'state.db'}")
    with engine.begin() as connection:
        add_cells(connection, tally(found))
        take_cells(connection, tally(found))
        sums = connection.execute(select(*rollups.c[len(rollups.primary_key) :])).all()
    assert not any(any(row) for row in sums)
    engine.dispose()


def test_a_tally_in_parts_is_the_tally_of_the_whole(engine: Engine) -> None:
    found = [a_record(START_US, key=f"k{k % 3}", team="ops", cost_micro=k) for k in range(10)]
    with engine.begin() as connection:
        add_cells(connection, tally(found[:4]))
        add_cells(connection, tally(found[4:]))
        stored = {tuple(row[:7]): list(row[7:]) for row in connection.execute(select(rollups))}
    assert stored == tally(found)


def test_some_services_are_summed_up_and_no_other(engine: Engine) -> None:
    store(engine, [a_record(service=name, user="ann") for name in "aabccc"])
    assert summarise(engine, services=("a", "b")).requests == 3
    assert summarise(engine, "c", services=("a", "b")).requests == 0
    assert list(summarise_by(engine, "service", services={"c", "a"})) == ["a", "c"]
    assert summarise_by(engine, "user", services=["b"])["ann"].requests == 1


def test_the_hours_of_several_services_are_read_at_once(engine: Engine) -> None:
    store(
        engine,
        [
            a_record(START_US, service="a", disposition="failed", model="x", cost_micro=3),
            a_record(START_US + 1, service="a", is_late=True, model="y", cost_micro=4),
            a_record(START_US + HOUR_US, service="a", disposition="fallback", tags=("t",)),
            a_record(START_US - HOUR_US, service="a"),
            a_record(START_US + 2 * HOUR_US, service="a"),
            a_record(START_US, service="b"),
            a_record(START_US, service="c"),
        ],
    )
    found = read_hours(engine, ["a", "b", "idle"], START_US, START_US + HOUR_US)
    assert found == {
        "a": ((START_US, 2, 1, 1, 0, 7), (START_US + HOUR_US, 1, 0, 0, 1, 0)),
        "b": ((START_US, 1, 0, 0, 0, 0),),
        "idle": (),
    }


def test_the_failures_of_several_services_are_read_in_an_index_alone(engine: Engine) -> None:
    store(
        engine,
        [
            a_record(START_US, service="a", disposition="failed", user="ann"),
            a_record(START_US + HOUR_US, service="a", tags=("t",)),
            a_record(START_US - HOUR_US, service="a", disposition="failed"),
            a_record(START_US + 2 * HOUR_US, service="a", disposition="failed"),
            a_record(START_US, service="b"),
            a_record(START_US, service="c", disposition="failed"),
        ],
    )
    asked: list[tuple[str, object]] = []
    event.listen(
        engine, "before_cursor_execute", lambda _c, _u, sql, values, *_: asked.append((sql, values))
    )
    found = read_failures(engine, ["a", "b", "idle"], START_US, START_US + HOUR_US)
    assert found == {"a": (2, 1, START_US), "b": (1, 0, START_US), "idle": (0, 0, None)}
    (sql, values) = asked.pop()
    with engine.connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values).all()  # type: ignore[arg-type]
    assert "USING COVERING INDEX rollups_failures" in str(plan)
