"""Features as they were known: the point-in-time join against a reference in plain Python."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import sqlglot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from view_samples import HEAD, SQL, source, view

from roadworthy.data.history import history, join_query, rank
from roadworthy.data.materialize import materialize
from roadworthy.data.online import SqliteFeatures
from roadworthy.data.relations import as_arrow, attach_sources, open_duck
from roadworthy.data.views import View, read_view
from roadworthy.declare.values import LABEL
from roadworthy.errors import DeclarationError, NotFound, StoreError
from roadworthy.types import SystemClock

pa = pytest.importorskip("pyarrow")

START = datetime(2013, 1, 1)  # noqa: DTZ001 - a column of naive times, which are UTC
TTL_H = 3


class Event(NamedTuple):
    origin: str | None
    happened: int | None
    known: int | None
    wind: float | None


class Asked(NamedTuple):
    origin: str | None
    at: int | None


def hour(number: int | None) -> datetime | None:
    return None if number is None else START + timedelta(hours=number)


def table_of(events: list[Event]) -> Any:
    return pa.table(
        {
            "origin": pa.array([e.origin for e in events], pa.string()),
            "observed_at": pa.array([hour(e.happened) for e in events], pa.timestamp("us")),
            "known_at": pa.array([hour(e.known) for e in events], pa.timestamp("us")),
            "wind_mph": pa.array([e.wind for e in events], pa.float64()),
            "temp_f": pa.array([50.0] * len(events), pa.float64()),
        }
    )


def spine_of(asked: list[Asked]) -> Any:
    return pa.table(
        {
            "origin": pa.array([a.origin for a in asked], pa.string()),
            "at": pa.array([hour(a.at) for a in asked], pa.timestamp("us")),
            "label": pa.array(range(len(asked)), pa.int64()),
        }
    )


def winds(events: list[Event], asked: list[Asked], made: View | None = None) -> list[float | None]:
    weather = source(data=table_of(events))
    table = history([made or view()], spine_of(asked), {"weather": weather})
    assert table["label"].to_pylist() == list(range(len(asked)))
    found: list[float | None] = table["wind_mph"].to_pylist()
    return found


def reference(events: list[Event], asked: Asked, ttl: int | None = TTL_H) -> float | None:
    """Look at every event, as the words of the documentation say."""
    if asked.origin is None or asked.at is None:
        return None
    best: tuple[Any, ...] | None = None
    for event in events:
        if event.origin != asked.origin or event.happened is None or event.known is None:
            continue
        if event.happened > asked.at or event.known > asked.at:
            continue
        order = (event.happened, event.known, event.wind is not None, event.wind or 0.0)
        if best is None or order > best[0]:
            best = (order, event)
    if best is None or (ttl is not None and best[1].happened < asked.at - ttl):
        return None
    found: float | None = best[1].wind
    return found


HOURS = st.one_of(st.none(), st.integers(0, 12))
ORIGINS = st.sampled_from(["EWR", "JFK", None])
EVENTS = st.lists(
    st.builds(Event, ORIGINS, HOURS, HOURS, st.sampled_from([None, 0.0, 1.0, 2.0])), max_size=25
)
ASKED = st.lists(st.builds(Asked, ORIGINS, HOURS), min_size=1, max_size=25)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(EVENTS, ASKED)
def test_every_row_gets_what_was_known_then_and_nothing_else(
    events: list[Event], asked: list[Asked]
) -> None:
    assert winds(events, asked) == [reference(events, one) for one in asked]


@settings(max_examples=20, deadline=None)
@given(EVENTS, ASKED)
def test_without_a_ttl_a_row_counts_for_ever(events: list[Event], asked: list[Asked]) -> None:
    head = HEAD.replace('-- ttl = "3h"\n', "")
    found = winds(events, asked, view(head=head))
    assert found == [reference(events, one, None) for one in asked]


def test_an_entity_with_features_only_in_the_future_is_kept_with_nulls() -> None:
    assert winds([Event("EWR", 9, 9, 7.0)], [Asked("EWR", 8), Asked("EWR", 9)]) == [None, 7.0]


def test_what_happened_but_was_not_known_yet_is_not_seen() -> None:
    events = [Event("EWR", 1, 1, 1.0), Event("EWR", 2, 6, 2.0)]
    assert winds(events, [Asked("EWR", 3), Asked("EWR", 6)]) == [1.0, None]
    assert winds([*events, Event("EWR", 4, 4, 4.0)], [Asked("EWR", 6)]) == [4.0]


def test_a_correction_of_the_same_event_counts_from_when_it_was_made() -> None:
    events = [Event("EWR", 2, 4, 9.0), Event("EWR", 2, 3, 1.0)]
    assert winds(events, [Asked("EWR", 3), Asked("EWR", 4)]) == [1.0, 9.0]


def test_the_order_of_the_files_rows_decides_nothing() -> None:
    events = [Event("EWR", 2, 3, 1.0), Event("EWR", 2, 3, 5.0), Event("EWR", 2, 3, None)]
    asked = [Asked("EWR", 4)]
    assert winds(events, asked) == winds(events[::-1], asked) == [5.0]


def test_a_null_of_the_newest_row_is_not_filled_from_an_older_one() -> None:
    events = [Event("EWR", 1, 1, 1.0), Event("EWR", 2, 2, None)]
    assert winds(events, [Asked("EWR", 2)]) == [None]


def test_a_row_is_fresh_to_the_last_moment_of_its_ttl() -> None:
    assert winds([Event("EWR", 0, 0, 1.0)], [Asked("EWR", 3), Asked("EWR", 4)]) == [1.0, None]


def test_an_empty_spine_and_an_empty_source_are_kept() -> None:
    assert winds([Event("EWR", 0, 0, 1.0)], []) == []
    assert winds([], [Asked("EWR", 0)]) == [None]


@pytest.mark.parametrize("ending", ["csv", "parquet", "csv.gz"])
def test_a_spine_may_be_a_file(tmp_path: Path, ending: str) -> None:
    weather = source(data=table_of([Event("007", 0, 0, 1.0)]))
    spine = spine_of([Asked("007", 1), Asked("7", 1)])
    path = tmp_path / f"spine.{ending}"
    if ending == "parquet":
        pa.parquet = pytest.importorskip("pyarrow.parquet")
        pa.parquet.write_table(spine, path)
    else:
        spine.to_pandas().to_csv(path, index=False, date_format="%Y-%m-%dT%H:%M:%S")
    table = history([view()], path, {"weather": weather})
    assert table["wind_mph"].to_pylist() == [1.0, None]
    assert table["label"].to_pylist() == [0, 1]


def kept_as(kind: str, spine: Any, folder: Path) -> Any:
    """Return a spine as a person may hand it in."""
    if kind == "frame":
        frame = spine.to_pandas()
        frame.index = frame.index[::-1]  # an index of another order is none of the spine's business
        return frame
    if kind == "chunks":
        return pa.concat_tables([spine.slice(at, 700) for at in range(0, spine.num_rows, 700)])
    path = folder / f"spine.{kind}"
    if kind == "parquet":
        pytest.importorskip("pyarrow.parquet").write_table(spine, path, row_group_size=500)
    else:
        spine.to_pandas().to_csv(path, index=False, date_format="%Y-%m-%dT%H:%M:%S")
    return path


@pytest.mark.parametrize("kind", ["frame", "chunks", "parquet", "csv"])
def test_the_rows_of_a_spine_keep_their_order_however_it_comes(kind: str, tmp_path: Path) -> None:
    """Rows of one entity and one moment among them, no row in the order of its time."""
    origins, count = ["EWR", "JFK", "LGA", None, "XXX"], 20_000
    asked = [Asked(origins[n % 5], (n * 7919) % 13 if n % 11 else None) for n in range(count)]
    events = [Event(o, h, h, float(h)) for o in ("EWR", "JFK", "LGA") for h in range(0, 12, 2)]
    spine = spine_of(asked)
    given = kept_as(kind, spine, tmp_path)
    table = history([view()], given, {"weather": source(data=table_of(events))})
    assert table["label"].to_pylist() == list(range(count))
    assert table["origin"].to_pylist() == [one.origin for one in asked]
    assert table["wind_mph"].to_pylist() == [reference(events, one) for one in asked]
    assert table.column_names == ["origin", "at", "label", "wind_mph", "temp_f", "temp_c"]


@pytest.mark.parametrize("kind", ["frame", "arrow", "parquet", "csv"])
def test_rows_of_a_source_that_tie_are_told_apart_alike_however_it_comes(
    kind: str, tmp_path: Path
) -> None:
    ties = [Event("EWR", h, h, float(n)) for n in range(50) for h in (1, 2)]
    rows = table_of(ties if kind != "frame" else ties[::-1])
    if kind in ("frame", "arrow"):
        weather = source(data=rows.to_pandas() if kind == "frame" else rows)
    else:
        weather = source(url=str(kept_as(kind, rows, tmp_path)))
    table = history([view()], spine_of([Asked("EWR", 1), Asked("EWR", 3)]), {"weather": weather})
    assert table["wind_mph"].to_pylist() == [49.0, 49.0]


def test_a_frame_may_be_a_spine_and_a_time_may_say_its_offset() -> None:
    pandas = pytest.importorskip("pandas")
    weather = source(data=table_of([Event("EWR", 5, 5, 1.0)]))
    times = ["2013-01-01T00:30:00-05:00", "2013-01-01T00:30:00Z"]
    frame = pandas.DataFrame({"origin": "EWR", "moment": times})
    table = history([view()], frame, {"weather": weather}, time="moment")
    assert table["wind_mph"].to_pylist() == [1.0, None]


def test_sources_are_read_from_files_and_other_files_are_not(tmp_path: Path) -> None:
    table_of([Event("EWR", 0, 0, 1.0)]).to_pandas().to_csv(
        tmp_path / "weather.csv", index=False, date_format="%Y-%m-%dT%H:%M:%S"
    )
    weather = source(url=str(tmp_path / "weather.csv"))
    spine = spine_of([Asked("EWR", 1)])
    assert history([view()], spine, {"weather": weather})["wind_mph"].to_pylist() == [1.0]
    (tmp_path / "other.csv").write_text("a\n1\n")
    connection = open_duck([str(tmp_path / "weather.csv")])
    attach_sources(connection, [weather])
    with pytest.raises(Exception, match=r"disabled|not allowed"):
        connection.execute(f"SELECT * FROM '{tmp_path}/other.csv'")
    with pytest.raises(Exception, match=r"disabled|external access"):
        connection.execute("SET enable_external_access = true")


def test_a_clock_change_is_no_trouble_because_times_are_utc() -> None:
    """Between 1 and 3 o'clock of New York on 10 March 2013 there was one hour, not two."""
    data = pa.table(
        {
            "origin": ["EWR", "EWR"],
            "observed_at": ["2013-03-10T01:00:00-05:00", "2013-03-10T03:00:00-04:00"],
            "known_at": ["2013-03-10T01:00:00-05:00", "2013-03-10T03:00:00-04:00"],
            "wind_mph": [1.0, 2.0],
            "temp_f": [1.0, 2.0],
        }
    )
    spine = pa.table(
        {"origin": ["EWR"] * 2, "at": ["2013-03-10T06:59:59Z", "2013-03-10T07:00:00Z"]}
    )
    table = history([view()], spine, {"weather": source(data=data)})
    assert table["wind_mph"].to_pylist() == [1.0, 2.0]


def test_a_spine_without_the_entity_or_the_time_is_refused() -> None:
    with pytest.raises(DeclarationError, match=r"expected columns `origin`, `at`, got `x`"):
        history([view()], pa.table({"x": [1]}), {"weather": source(data=table_of([]))})
    with pytest.raises(NotFound, match="expected a file of rows, got none"):
        history([view()], "nowhere.csv", {"weather": source(data=table_of([]))})


def test_a_feature_must_not_have_the_name_of_a_column_of_the_spine() -> None:
    spine = spine_of([Asked("EWR", 1)]).append_column("wind_mph", pa.array([1.0]))
    with pytest.raises(DeclarationError, match="`wind_mph`, which is also a column of the spine"):
        history([view()], spine, {"weather": source(data=table_of([]))})


def test_a_value_that_is_not_of_its_type_is_an_error_that_does_not_quote_it() -> None:
    data = table_of([Event("EWR", 0, 0, 1.0)]).set_column(3, "wind_mph", pa.array(["secret"]))
    with pytest.raises(DeclarationError, match="roadworthy data validate") as refused:
        history([view()], spine_of([Asked("EWR", 1)]), {"weather": source(data=data)})
    assert "secret" not in str(refused.value)


def test_a_column_that_the_contract_has_and_the_data_has_not_is_named() -> None:
    data = table_of([]).drop_columns(["wind_mph"])
    with pytest.raises(DeclarationError, match="none of the name `wind_mph`"):
        history([view()], spine_of([]), {"weather": source(data=data)})


@pytest.mark.parametrize("dialect", ["spark", "postgres"])
def test_the_join_can_be_written_for_other_engines(dialect: str) -> None:
    (text,) = sqlglot.transpile(join_query(view()), read="duckdb", write=dialect)
    assert sqlglot.parse_one(text, read=dialect).find(sqlglot.exp.Window) is not None
    assert "ASOF" not in text


def test_the_portable_query_gives_what_the_join_gives() -> None:
    events = [Event("EWR", 1, 2, 1.0), Event("EWR", 2, 3, 2.0), Event("EWR", 1, 4, 3.0)]
    asked = [Asked("EWR", number) for number in range(8)]
    weather, made = source(data=table_of(events)), view()
    connection = open_duck()
    attach_sources(connection, [weather])
    rank(connection, made)
    connection.register("given", spine_of(asked))
    connection.execute(
        'CREATE TABLE _asked AS SELECT label AS place, origin AS k0, "at" FROM given'
    )
    connection.execute("ALTER TABLE _ranked RENAME TO narrow")
    wide = (
        "SELECT n.*, r.f0, r.f1, r.f2 FROM narrow AS n JOIN _rows_of_view AS r ON r.rowid = place"
    )
    connection.execute(f"CREATE TEMP TABLE _ranked AS {wide}")
    (text,) = sqlglot.transpile(join_query(made), read="duckdb", write="duckdb")
    assert as_arrow(connection, text)["f0"].to_pylist() == winds(events, asked)


def test_an_entity_may_be_several_columns_and_numbers() -> None:
    head = HEAD.replace('["origin"]', '["origin", "temp_f"]')
    made = view(SQL.replace("temp_f,", "CAST(temp_f AS INTEGER) AS temp_f,"), head)
    spine = pa.table({"origin": ["EWR", "EWR"], "temp_f": [50, 51], "at": [START] * 2})
    weather = source(data=table_of([Event("EWR", 0, 0, 1.0)]))
    found = history([made], spine, {"weather": weather})
    assert found["wind_mph"].to_pylist() == [1.0, None]


def test_a_nan_of_a_parquet_file_is_null_also_within_an_average(tmp_path: Path) -> None:
    """The statistics of the file leave it out, and an optimizer would believe them."""
    parquet = pytest.importorskip("pyarrow.parquet")
    events = [Event("EWR", 0, 0, 1.0), Event("EWR", 1, 1, float("nan")), Event("EWR", 2, 2, 3.0)]
    parquet.write_table(table_of(events), tmp_path / "weather.parquet")
    weather = source(url=str(tmp_path / "weather.parquet"))
    mean = "avg(wind_mph) OVER (PARTITION BY origin ORDER BY observed_at) AS wind_mph"
    made = view(SQL.replace("wind_mph", mean), weather=weather)
    asked = [Asked("EWR", 1), Asked("EWR", 2)]
    table = history([made], spine_of(asked), {"weather": weather})
    assert table["wind_mph"].to_pylist() == [1.0, 2.0]


@pytest.mark.parametrize("name", ["gone.parquet", "gone-*.csv"])
def test_a_source_whose_file_is_gone_is_named(tmp_path: Path, name: str) -> None:
    weather = source(url=str(tmp_path / name))
    with pytest.raises(NotFound, match="source `weather`: expected a file, got none - /"):
        history([view()], spine_of([]), {"weather": weather})


def test_views_do_not_read_databases_yet() -> None:
    weather = source(url="postgresql://localhost/flights#weather")
    with pytest.raises(DeclarationError, match="got the URL of a database"):
        history([view()], spine_of([]), {"weather": weather})


def test_files_of_several_months_are_one_source(tmp_path: Path) -> None:
    for month, event in enumerate([Event("EWR", 0, 0, 1.0), Event("EWR", 1, 1, 2.0)]):
        path = tmp_path / f"weather-{month}.csv.gz"
        table_of([event]).to_pandas().to_csv(path, index=False, date_format="%Y-%m-%dT%H:%M:%S")
    weather = source(url=str(tmp_path / "weather-*.csv.gz"))
    assert history([view()], spine_of([Asked("EWR", 1)]), {"weather": weather})[
        "wind_mph"
    ].to_pylist() == [2.0]


def test_too_little_memory_is_a_matter_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roadworthy.data.relations.MEMORY", "1MB")
    weather = source(data=table_of([Event("EWR", 0, 0, 1.0)] * 50_000))
    with pytest.raises(StoreError, match="expected files that can be read and 1MB of memory"):
        history([view()], spine_of([Asked("EWR", 0)] * 50_000), {"weather": weather})


OURS = ("ranked", "spine", "asked", "given", "times", "held", "told", "rows_of_view", "dealt")


@pytest.mark.parametrize("name", [*OURS, "shuffled", "seen", "moments", "Ranked"])
def test_a_source_may_have_any_name(name: str, tmp_path: Path) -> None:
    """Tables of our own stand in the same database: none may take the place of a source."""
    events = [Event("EWR", 1, 2, 1.0), Event("EWR", 2, 3, 2.0), Event("EWR", 1, 4, 3.0)]
    asked = [Asked("EWR", number) for number in range(8)]
    weather = source(name, data=table_of(events))
    head = HEAD.replace('sources = ["weather"]', f'sources = ["{name}"]')
    sql = SQL.replace("FROM weather", f'FROM "{name}"')
    sources = {name: weather}
    made = read_view("weather_now", f"{head}\n{sql}\n", sources)
    assert history([made], spine_of(asked), sources)["wind_mph"].to_pylist() == winds(events, asked)
    history([made], spine_of(asked), sources, shuffled=1)
    store, clock = SqliteFeatures(tmp_path / "online.db"), SystemClock()
    assert materialize(made, sources, store, clock).rows == 1
    assert materialize(made, sources, store, clock).rows == 0
    store.close()


def test_no_source_is_named_as_tables_of_our_own_are() -> None:
    assert all(re.match(LABEL, f"_{name}") is None for name in OURS)
