"""The online store and what fills it: equal to history, whole after a crash, fast to read."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_history import EVENTS, START, TTL_H, Asked, Event, hour, spine_of, table_of
from view_samples import HEAD, HOUR_US, source, view

from roadworthy.data.history import history
from roadworthy.data.materialize import materialize
from roadworthy.data.online import OnlineRow, SqliteFeatures, pack, unpack
from roadworthy.data.served import FeatureSource
from roadworthy.data.views import View, online_key
from roadworthy.errors import DeclarationError, RequestError, StoreError
from roadworthy.types import MICRO, SettableClock

pa = pytest.importorskip("pyarrow")

START_US = 1_356_998_400_000_000


class StoppedClock(SettableClock):
    """A clock that stands where it was put."""

    def __init__(self, hours: float = 0) -> None:
        super().__init__()
        self.put(hours)

    def put(self, hours: float) -> None:
        self.us = START_US + int(hours * HOUR_US)

    def now_us(self) -> int:
        return self.us


@pytest.fixture
def online(tmp_path: Path) -> Iterator[SqliteFeatures]:
    store = SqliteFeatures(tmp_path / "online.db")
    yield store
    store.close()


def known(store: SqliteFeatures, clock: StoppedClock, origin: str | None) -> Any:
    return FeatureSource([view()], store, clock).vector({"origin": origin}).values["wind_mph"]


MOMENTS = st.lists(st.integers(0, 14), min_size=1, max_size=4)


@settings(max_examples=40, deadline=None)
@given(EVENTS, MOMENTS)
def test_online_equals_history_at_every_moment_it_was_filled(
    tmp_path_factory: pytest.TempPathFactory, events: list[Event], moments: list[int]
) -> None:
    """Late, out of order, corrected, from the future, with a clock that is also set back."""
    store = SqliteFeatures(tmp_path_factory.mktemp("online") / "online.db")
    sources, clock = {"weather": source(data=table_of(events))}, StoppedClock()
    try:
        for moment in moments:
            clock.put(moment)
            materialize(view(), sources, store, clock)
            asked = [Asked("EWR", moment), Asked("JFK", moment), Asked(None, moment)]
            offline = history([view()], spine_of(asked), sources)["wind_mph"].to_pylist()
            assert [known(store, clock, one.origin) for one in asked] == offline
    finally:
        store.close()


HELD = st.builds(
    Event, st.sampled_from(["EWR", "JFK"]), *[st.integers(2, 6)] * 2, st.sampled_from([0.0, 1.0])
)
STATES = st.tuples(st.lists(HELD, max_size=6), st.integers(4, 7))


@settings(max_examples=40, deadline=None)
@given(st.lists(STATES, min_size=2, max_size=4))
def test_online_equals_history_whatever_came_to_the_sources_or_went_in_between(
    tmp_path_factory: pytest.TempPathFactory, states: list[tuple[list[Event], int]]
) -> None:
    store, clock = SqliteFeatures(tmp_path_factory.mktemp("online") / "online.db"), StoppedClock()
    try:
        for events, moment in states:
            sources = {"weather": source(data=table_of(events))}
            clock.put(moment)
            materialize(view(), sources, store, clock)
            asked = [Asked("EWR", moment), Asked("JFK", moment)]
            offline = history([view()], spine_of(asked), sources)["wind_mph"].to_pylist()
            assert [known(store, clock, one.origin) for one in asked] == offline
    finally:
        store.close()


def test_a_row_that_comes_after_a_fill_with_an_older_created_time_gets_online(
    online: SqliteFeatures,
) -> None:
    events, clock = [Event("EWR", 1, 1, 1.0)], StoppedClock(5)
    materialize(view(), {"weather": source(data=table_of(events))}, online, clock)
    clock.put(6)
    events += [Event("EWR", 4, 4, 2.0), Event("JFK", 4, 4, 3.0)]
    filled = materialize(view(), {"weather": source(data=table_of(events))}, online, clock)
    assert (known(online, clock, "EWR"), known(online, clock, "JFK")) == (2.0, 3.0)
    assert (filled.rows, filled.gone) == (2, 0)


def test_a_row_that_was_corrected_in_its_place_gets_online(online: SqliteFeatures) -> None:
    clock = StoppedClock(5)
    for wind in (9.0, 2.0):
        sources = {"weather": source(data=table_of([Event("EWR", 4, 4, wind)]))}
        materialize(view(), sources, online, clock)
        assert known(online, clock, "EWR") == wind


def test_what_the_sources_no_longer_hold_goes_but_what_was_pushed_stays(
    online: SqliteFeatures,
) -> None:
    key, clock = online_key(view()), StoppedClock(5)
    events = [Event("EWR", 3, 3, 1.0), Event("EWR", 4, 4, 2.0), Event("JFK", 4, 4, 3.0)]
    materialize(view(), {"weather": source(data=table_of(events))}, online, clock)
    online.push(key, [row("LGA", 4, 8.0)], clock.us)
    left = {"weather": source(data=table_of(events[:1]))}
    filled = materialize(view(), left, online, clock)
    assert [known(online, clock, origin) for origin in ("EWR", "JFK", "LGA")] == [1.0, None, 8.0]
    assert (filled.rows, filled.gone) == (1, 1)


def test_a_fill_writes_nothing_that_is_online_already(online: SqliteFeatures) -> None:
    clock = StoppedClock(5)
    events = [Event("EWR", 3, 3, 1.0), Event("JFK", 3, 3, 2.0)]
    materialize(view(), {"weather": source(data=table_of(events))}, online, clock)
    marked = pack([9.0, 9.0, 9.0])
    online._writer.execute("UPDATE features SET packed = ?", (marked,))
    events.append(Event("JFK", 4, 4, 3.0))
    filled = materialize(view(), {"weather": source(data=table_of(events))}, online, clock)
    assert (filled.rows, filled.gone) == (1, 0)
    assert [known(online, clock, origin) for origin in ("EWR", "JFK")] == [9.0, 3.0]


def test_what_a_fill_compares_with_stays_until_it_is_written(
    online: SqliteFeatures, tmp_path: Path
) -> None:
    online.fill("v@1", [row("EWR", 1, 1.0)], 1, 1, whole=True)
    other = sqlite3.connect(tmp_path / "online.db", timeout=0, isolation_level=None)

    def rows() -> Iterator[OnlineRow]:
        assert len(online.digests("v@1")) == 1
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        yield row("EWR", 2, 2.0)

    assert online.fill("v@1", rows(), 2, 2, whole=False).put == 1
    other.close()


def test_a_file_of_before_is_filled_anew_and_keeps_what_was_pushed(tmp_path: Path) -> None:
    path, clock, key = tmp_path / "online.db", StoppedClock(5), online_key(view())
    sources = {"weather": source(data=table_of([Event("EWR", 3, 3, 1.0)]))}
    store = SqliteFeatures(path)
    materialize(view(), sources, store, clock)
    store.push(key, [row("JFK", 4, 8.0)], clock.us)
    store._writer.execute("ALTER TABLE features DROP COLUMN digest")
    store.close()
    again = SqliteFeatures(path)
    assert materialize(view(), sources, again, clock).rows == 1
    assert [known(again, clock, origin) for origin in ("EWR", "JFK")] == [1.0, 8.0]
    again.close()


def test_it_goes_on_from_where_it_was(online: SqliteFeatures) -> None:
    events = [Event("EWR", 1, 1, 1.0), Event("JFK", 1, 1, 2.0), Event("EWR", 3, 3, 3.0)]
    sources, clock = {"weather": source(data=table_of(events))}, StoppedClock(2)
    first = materialize(view(), sources, online, clock)
    assert (first.rows, first.since_us) == (2, None)
    clock.put(4)
    second = materialize(view(), sources, online, clock)
    assert (second.rows, second.since_us) == (1, first.until_us)
    assert materialize(view(), sources, online, clock, whole=True).rows == 2


def test_a_time_that_has_not_come_is_refused(online: SqliteFeatures) -> None:
    clock = StoppedClock(2)
    with pytest.raises(RequestError, match="in the future"):
        materialize(
            view(), {"weather": source(data=table_of([]))}, online, clock, until_us=clock.us + 1
        )


def test_how_fresh_it_is_can_be_asked(online: SqliteFeatures) -> None:
    key, clock = online_key(view()), StoppedClock(5)
    assert online.freshness(key) is None
    materialize(
        view(), {"weather": source(data=table_of([Event("EWR", 3, 4, 1.0)]))}, online, clock
    )
    fresh = online.freshness(key)
    assert fresh is not None
    assert (fresh.rows, fresh.pushed, fresh.watermark_us) == (1, 0, clock.us)
    assert fresh.newest_event_us == START_US + 3 * HOUR_US


def row(origin: str, hours: float, wind: float, known_at: float | None = None) -> OnlineRow:
    created = START_US + int((hours if known_at is None else known_at) * HOUR_US)
    happened = START_US + int(hours * HOUR_US)
    return OnlineRow(pack([origin]), happened, created, pack([wind, 50.0, 10.0]))


def test_a_push_wins_only_if_its_event_is_newer(online: SqliteFeatures) -> None:
    key, clock = online_key(view()), StoppedClock(5)
    sources = {"weather": source(data=table_of([Event("EWR", 3, 3, 1.0)]))}
    materialize(view(), sources, online, clock)
    assert online.push(key, [row("EWR", 3, 9.0), row("EWR", 2, 9.0)], clock.us) == 0
    assert known(online, clock, "EWR") == 1.0
    assert online.push(key, [row("EWR", 4, 9.0), row("JFK", 4, 8.0)], clock.us) == 2
    assert known(online, clock, "EWR") == 9.0
    fresh = online.freshness(key)
    assert fresh is not None
    assert fresh.pushed == 2


def test_what_was_pushed_stays_until_the_sources_know_as_much(online: SqliteFeatures) -> None:
    key, clock = online_key(view()), StoppedClock(5)
    events = [Event("EWR", 3, 3, 1.0)]
    online.push(key, [row("EWR", 4, 9.0)], clock.us)
    materialize(view(), {"weather": source(data=table_of(events))}, online, clock)
    materialize(view(), {"weather": source(data=table_of(events))}, online, clock, whole=True)
    assert known(online, clock, "EWR") == 9.0
    clock.put(6)
    late = {"weather": source(data=table_of([*events, Event("EWR", 4, 6, 2.0)]))}
    materialize(view(), late, online, clock)
    assert known(online, clock, "EWR") == 2.0


def test_a_row_is_stale_after_its_ttl_and_absent_before_its_time(online: SqliteFeatures) -> None:
    clock = StoppedClock(5)
    materialize(
        view(), {"weather": source(data=table_of([Event("EWR", 5, 5, 1.0)]))}, online, clock
    )
    features = FeatureSource([view()], online, clock)
    assert features.vector({"origin": "EWR"}).missing == ()
    clock.put(5 + TTL_H)
    assert features.vector({"origin": "EWR"}).age_s == TTL_H * 3600
    clock.put(5 + TTL_H + 0.01)
    late = features.vector({"origin": "EWR"})
    assert late.values == {"wind_mph": None, "temp_f": None, "temp_c": None}
    assert late.missing == ("weather_now@1",)
    assert late.views["weather_now@1"].state == "stale"
    clock.put(4)
    assert features.vector({"origin": "EWR"}).views["weather_now@1"].state == "absent"


KEYS = ("a", "b", "c")
TTLS = (None, "1h", "3h")
PUT = st.tuples(
    st.sampled_from(["v0", "v1", "v2"]), st.sampled_from(KEYS), *[st.integers(0, 9)] * 2
)


def keyed(number: int) -> View:
    """Return a view of an entity of its own, with a ttl of its own and a computed feature."""
    ttl = f'-- ttl = "{TTLS[number]}"' if TTLS[number] else "-- # for ever"
    head = HEAD.replace('"origin"', f'"key_{number}"').replace('-- ttl = "3h"', ttl)
    head += f'-- [computed]\n-- twice_{number} = "features.wind_{number} * 2.0"\n'
    names = f"origin AS key_{number}, observed_at, known_at, wind_mph AS wind_{number}"
    return view(f"SELECT {names} FROM weather", head, name=f"v{number}")


def one_by_one(
    file: sqlite3.Connection, views: list[View], asked: dict[str, Any], now_us: int
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the features of a request and the state of each view, by a statement for each."""
    values, states = dict[str, Any](), dict[str, str]()
    for number, made in enumerate(views):
        key = asked.get(f"key_{number}")
        found = file.execute(
            "SELECT event_us, created_us, packed FROM features AS f JOIN views AS v "
            "ON v.number = f.view WHERE v.view = ? AND entity = ?",
            (online_key(made), None if key is None else pack([key])),
        ).fetchone()
        if found is None or found[0] > now_us or found[1] > now_us:
            states[made.id] = "absent"
        elif made.ttl_s is not None and now_us - found[0] > made.ttl_s * MICRO:
            states[made.id] = "stale"
        else:
            states[made.id] = "fresh"
        wind = unpack(found[2])[0] if states[made.id] == "fresh" else None
        values |= {f"wind_{number}": wind, f"twice_{number}": None if wind is None else wind * 2}
    return values, states


@settings(max_examples=60, deadline=None)
@given(
    st.lists(PUT, max_size=12),
    st.dictionaries(
        st.sampled_from(["key_0", "key_1", "key_2"]), st.sampled_from([*KEYS, "d", None])
    ),
    st.integers(0, 12),
    st.permutations(range(3)),
)
def test_all_views_read_at_once_are_what_each_is_by_itself(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str, int, int]],
    asked: dict[str, Any],
    hours: int,
    order: list[int],
) -> None:
    path = tmp_path_factory.mktemp("online") / "online.db"
    store, clock = SqliteFeatures(path), StoppedClock(hours)
    views = [keyed(number) for number in range(3)]
    for name, key, happened, created in rows:
        put = OnlineRow(
            pack([key]),
            START_US + happened * HOUR_US,
            START_US + created * HOUR_US,
            pack([happened + created / 10]),
        )
        store.fill(online_key(views[int(name[1])]), [put], START_US, START_US, whole=False)
    file = sqlite3.connect(path)
    try:
        values, states = one_by_one(file, views, asked, clock.us)
        found = FeatureSource([views[number] for number in order], store, clock).vector(asked)
        assert found.values == values
        assert {name: read.state for name, read in found.views.items()} == states
        assert list(found.views) == [f"v{number}@1" for number in order]
    finally:
        file.close()
        store.close()


def test_a_service_without_views_has_no_features(online: SqliteFeatures) -> None:
    assert FeatureSource([], online, StoppedClock()).vector({}).values == {}


@pytest.mark.parametrize("value", ["JFK", None, 7, ["EWR"], float("nan")])
def test_an_entity_that_nothing_is_known_of_has_nulls(online: SqliteFeatures, value: Any) -> None:
    clock = StoppedClock(5)
    materialize(
        view(), {"weather": source(data=table_of([Event("EWR", 5, 5, 1.0)]))}, online, clock
    )
    found = FeatureSource([view()], online, clock).vector({"origin": value})
    assert found.missing == ("weather_now@1",)
    assert set(found.values.values()) == {None}


def test_a_whole_number_is_the_same_entity_however_json_wrote_it(online: SqliteFeatures) -> None:
    head = HEAD.replace('"origin"', '"flight"')
    sql = "SELECT CAST(temp_f AS INTEGER) AS flight, observed_at, known_at, wind_mph FROM weather"
    made, clock = view(sql, head), StoppedClock(5)
    materialize(made, {"weather": source(data=table_of([Event("EWR", 5, 5, 1.0)]))}, online, clock)
    features = FeatureSource([made], online, clock)
    assert features.vector({"flight": 50}).values == {"wind_mph": 1.0}
    assert features.vector({"flight": 50.0}).values == {"wind_mph": 1.0}
    assert features.vector({"flight": True}).values == {"wind_mph": None}


def test_two_versions_of_a_view_are_served_beside_each_other(online: SqliteFeatures) -> None:
    clock, sources = StoppedClock(5), {"weather": source(data=table_of([Event("EWR", 5, 5, 1.0)]))}
    second = view(
        "SELECT origin, observed_at, known_at, wind_mph * 2 AS wind_mph FROM weather",
        HEAD.replace("version = 1", "version = 2"),
    )
    for made in (view(), second):
        materialize(made, sources, online, clock)
    assert known(online, clock, "EWR") == 1.0
    assert FeatureSource([second], online, clock).vector({"origin": "EWR"}).values == {
        "wind_mph": 2.0
    }


def test_features_of_one_name_cannot_serve_together(online: SqliteFeatures) -> None:
    other = view(name="weather_then")
    with pytest.raises(DeclarationError, match="`wind_mph` of `weather_then@1`"):
        FeatureSource([view(), other], online, StoppedClock())
    with pytest.raises(DeclarationError, match=r"`wind_mph` .* also in the input"):
        FeatureSource([view()], online, StoppedClock(), ["origin", "wind_mph"])
    with pytest.raises(DeclarationError, match="expected `origin`, which `weather_now@1` needs"):
        FeatureSource([view()], online, StoppedClock(), ["dest"])


def test_each_thread_reads_for_itself_while_another_writes(online: SqliteFeatures) -> None:
    key, stop, wrong = online_key(view()), threading.Event(), []
    online.fill(key, [row(f"A{i}", 1, 0.0) for i in range(50)], START_US, START_US, whole=True)

    def look() -> None:
        while not stop.is_set():
            winds = set()
            for number in range(50):
                (found,) = online.read((key,), [pack([f"A{number}"])])
                winds.add(None if found is None else unpack(found[2])[0])
            if None in winds:
                wrong.append(winds)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(20):
        rows = [row(f"A{i}", turn + 2, float(turn)) for i in range(50)]
        online.fill(key, rows, START_US, START_US, whole=True)
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_rows_that_fail_half_way_change_nothing(online: SqliteFeatures) -> None:
    key = online_key(view())
    online.fill(key, [row("EWR", 1, 1.0)], START_US, START_US, whole=True)

    def broken() -> Iterator[OnlineRow]:
        yield row("EWR", 2, 2.0)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        online.fill(key, broken(), START_US + 9, START_US, whole=True)
    (found,), fresh = online.read((key,), [pack(["EWR"])]), online.freshness(key)
    assert found is not None
    assert unpack(found[2])[0] == 1.0
    assert fresh is not None
    assert fresh.watermark_us == START_US
    assert online.fill(key, [row("EWR", 2, 2.0)], START_US + 9, START_US, whole=False).put == 1


KILLED = """
    import sys, time
    from pathlib import Path
    from roadworthy.data.online import OnlineRow, SqliteFeatures, pack

    def rows():
        for number in range(10**9):
            yield OnlineRow(pack([number]), 2, 2, pack([2.0]))
            if number == 200_000:
                print("half way", flush=True)

    store = SqliteFeatures(Path(sys.argv[1]))
    store.fill("v@1", rows(), 2, 2, whole=True)
"""


@pytest.mark.slow
def test_a_process_that_is_killed_while_it_fills_leaves_the_old_values(tmp_path: Path) -> None:
    path = tmp_path / "online.db"
    store = SqliteFeatures(path)
    old = [OnlineRow(pack([i]), 1, 1, pack([1.0])) for i in range(1000)]
    store.fill("v@1", old, 1, 1, whole=True)
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "half way\n"
    served = [store.read(("v@1",), [pack([i])])[0] for i in range(1000)]  # while it writes
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    after = [store.read(("v@1",), [pack([i])])[0] for i in range(1000)]
    assert served == after == [(1, 1, pack([1.0]))] * 1000
    fresh = store.freshness("v@1")
    assert fresh is not None
    assert (fresh.rows, fresh.watermark_us) == (1000, 1)
    assert store.fill("v@1", old, 3, 3, whole=True).put == 1000
    store.close()
    again = SqliteFeatures(path)
    assert again.read(("v@1",), [pack([7])]) == [(1, 1, pack([1.0]))]
    again.close()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="online store that can be read and written"):
        SqliteFeatures(tmp_path / "file" / "online.db")
    (tmp_path / "online.db").write_text("no database at all, but long enough to be read as one")
    with pytest.raises(StoreError, match="file is not a database"):
        SqliteFeatures(tmp_path / "online.db")


def test_reading_is_not_writing(online: SqliteFeatures) -> None:
    online.read(("v@1",), [b""])
    (reader,) = online._readers
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("DELETE FROM features")


@pytest.mark.slow
def test_a_vector_of_twenty_features_is_read_in_microseconds(online: SqliteFeatures) -> None:
    """Half a millisecond would mean a connection or a statement made anew for each read."""
    vector = pack([float(i) for i in range(20)])
    rows = [OnlineRow(pack([i]), 1, 1, vector) for i in range(20_000)]
    online.fill("v@1", rows, 1, 1, whole=True)
    spent = []
    for number in range(20_000):
        started = time.perf_counter_ns()
        online.read(("v@1",), [pack([number * 7919 % 20_000])])
        spent.append(time.perf_counter_ns() - started)
    assert sorted(spent)[10_000] < 50_000


def test_dates_and_times_are_the_same_online_and_offline(online: SqliteFeatures) -> None:
    sql = "SELECT *, observed_at AS seen_at, CAST(observed_at AS DATE) AS day FROM weather"
    made, clock = view(sql), StoppedClock(5)
    sources = {"weather": source(data=table_of([Event("EWR", 4, 5, 1.0)]))}
    materialize(made, sources, online, clock)
    values = FeatureSource([made], online, clock).vector({"origin": "EWR"}).values
    assert values["seen_at"] == "2013-01-01T04:00:00Z"
    assert values["day"] == "2013-01-01"
    offline = history([made], spine_of([Asked("EWR", 5)]), sources)
    assert offline["seen_at"].to_pylist() == [hour(4)]
    assert offline["day"].to_pylist() == [(START + timedelta(hours=4)).date()]


def test_fills_and_pushes_at_the_same_time_do_not_hinder_each_other(
    online: SqliteFeatures,
) -> None:
    def fill() -> None:
        for moment in range(300):
            online.fill("weather_now@1", [of(0, moment)], moment, moment, whole=False)

    def push(entity: int) -> int:
        return sum(online.push("weather_now@1", [of(entity, n)], n) for n in range(300))

    def of(entity: int, moment: int) -> OnlineRow:
        return OnlineRow(pack([entity]), moment, moment, pack([1.0, 2.0, 3.0]))

    with ThreadPoolExecutor() as pool:
        filled = pool.submit(fill)
        assert list(pool.map(push, (1, 2, 3))) == [300] * 3
        filled.result()


def test_a_write_that_could_not_be_ended_does_not_hold_up_the_next(online: SqliteFeatures) -> None:
    row = OnlineRow(pack(["EWR"]), 1, 1, pack([1.0, 2.0, 3.0]))
    online.fill("weather_now@1", [row], 1, 1, whole=False)
    unfetched = online._writer.execute("PRAGMA wal_checkpoint")
    with pytest.raises(StoreError, match="statements in progress"):
        online.push("weather_now@1", [OnlineRow(row.entity, 2, 2, row.packed)], 2)
    unfetched.close()
    assert online.push("weather_now@1", [OnlineRow(row.entity, 3, 3, row.packed)], 3) == 1
