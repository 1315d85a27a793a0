"""Feature views: what their files may say, what they mean, and that a version never changes."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from view_samples import HEAD, SQL, source, view

from roadworthy.data.contract import Field
from roadworthy.data.relations import SourceTable
from roadworthy.data.view_sql import normalised, parse_select
from roadworthy.data.views import View, lineage, load_views, read_view
from roadworthy.errors import DeclarationError

pytest.importorskip("duckdb")

FLIGHTS = source(
    "flights",
    {
        "origin": "string",
        "tailnum": "string",
        "departed_at": "timestamp",
        "dep_delay": "number",
        "label": "boolean",
    },
)
PLANES = source("planes", {"tailnum": "string", "seats": "integer"})
FLIGHT_HEAD = """\
-- version = 1
-- entity = ["tailnum"]
-- event_time = "departed_at"
-- created_time = "departed_at"
-- owner = "data science"
-- sources = ["flights", "planes"]
"""


def of_flights(sql: str) -> View:
    return view(sql, FLIGHT_HEAD, "planes_now", flights=FLIGHTS, planes=PLANES)


def refused(sql: str = SQL, head: str = HEAD) -> str:
    with pytest.raises(DeclarationError) as error:
        view(sql, head)
    return str(error.value)


def test_a_view_says_what_it_gives_and_of_whom() -> None:
    made = view()
    assert made.id == "weather_now@1"
    assert [(c.name, c.type) for c in made.entity] == [("origin", "string")]
    assert [(c.name, c.type) for c in made.features] == [
        ("wind_mph", "number"),
        ("temp_f", "number"),
        ("temp_c", "number"),
    ]
    assert made.ttl_s == 3 * 3600
    assert made.contracts == {"weather": "weather@1.0.0"}


def test_types_come_from_the_contract_without_any_data() -> None:
    made = of_flights(
        "SELECT tailnum, departed_at, count(*) OVER w AS n, sum(seats) OVER w AS s,"
        " dep_delay > 1 AS b, CAST(departed_at AS DATE) AS d, departed_at AS t"
        " FROM flights JOIN planes USING (tailnum)"
        " WINDOW w AS (PARTITION BY tailnum ORDER BY departed_at)"
    )
    kinds = {column.name: column.type for column in made.features}
    assert kinds == {"n": "integer", "s": "integer", "b": "boolean", "d": "date", "t": "timestamp"}


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT 1; SELECT 2", "expected one SELECT, got 2 statements"),
        ("", "expected one SELECT, got no statements"),
        ("DROP TABLE weather", "expected one SELECT, got `DROP`"),
        ("SELECT FROM WHERE", "expected one SELECT, got `"),
        (SQL + " WHERE random() < 0.5", "got `random`"),
        (SQL + " WHERE observed_at < now()", "got `now`"),
        (SQL + ' WHERE observed_at < "now"()', "got `now`"),
        (SQL + " WHERE observed_at < current_date", "got `current_date`"),
        (SQL + " WHERE observed_at < current_timestamp", "got `current_timestamp`"),
        (SQL + " WHERE observed_at < today()", "got `current_date`"),
        (SQL + " WHERE age(observed_at) > INTERVAL 1 DAY", "got `age`"),
        (SQL.replace("wind_mph", "uuid() AS wind_mph"), "got `uuid`"),
        (SQL.replace("wind_mph", "getenv('HOME') AS h"), "got `getenv`"),
        (SQL.replace("wind_mph", "row_number() OVER () AS n"), "`row_number` without one"),
        (SQL.replace("wind_mph", "any_value(wind_mph) AS w"), "`any_value` of any row"),
        (SQL + " LIMIT 3", "a limit of rows in any order"),
        (SQL + " USING SAMPLE 10%", "expected"),
        (SQL.replace("weather", "weather TABLESAMPLE 10%"), "expected all rows of a source"),
        (
            SQL.replace("FROM weather", "FROM planes"),
            "expected only its sources (`weather`), got `planes`",
        ),
        (SQL.replace("FROM weather", "FROM read_csv('/etc/passwd')"), "READ_CSV"),
        (SQL.replace("FROM weather", "FROM '/etc/passwd'"), "/etc/passwd"),
        (SQL.replace("FROM weather", "FROM other.weather"), "`other.weather`"),
        (SQL + " WHERE origin = $1", "expected a query without parameters"),
        (SQL.replace("wind_mph", "gust_mph"), 'Referenced column "gust_mph" not found'),
        (SQL.replace("wind_mph", "[wind_mph] AS winds"), "`winds` of DOUBLE[]"),
        (SQL.replace("wind_mph", "temp_f"), "expected columns of different names"),
        (SQL.replace("origin,", ""), "entity[0]: expected a column of the SELECT, got `origin`"),
        (
            SQL.replace("known_at", "origin AS known_at"),
            "expected a column of times, got `known_at`",
        ),
        ("SELECT origin, observed_at, known_at FROM weather", "expected at least one feature"),
    ],
)
def test_what_a_view_may_not_say_is_told(sql: str, said: str) -> None:
    assert said in refused(sql)


@pytest.mark.parametrize(
    "sql",
    [
        SQL + " WHERE age(observed_at, known_at) < INTERVAL 1 DAY",
        SQL.replace("wind_mph", "any_value(wind_mph) OVER (ORDER BY observed_at) AS w"),
        SQL + " ORDER BY observed_at LIMIT 3",
        f"WITH weather_then AS ({SQL}) SELECT * FROM weather_then",
        SQL + "; -- the end",
        f"-- prose below the head is SQL's\n\n{SQL}",
    ],
)
def test_what_is_stable_is_allowed(sql: str) -> None:
    assert view(f"\n{sql}").features


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "version = 1",
            "version = 0",
            "version: expected >= 1, got 0 - features/weather_now.sql:1",
        ),
        ("ttl =", "tttl =", "tttl: expected a known key"),
        ('"3h"', '"3 hours"', "ttl: expected a length of time such as `90m`"),
        ('["weather"]', '["wether"]', "sources[0]: expected a declared source, got `wether`"),
        ('-- owner = "weather team"\n', "", "owner: expected a value, got none"),
        (
            '"observed_at"',
            '"seen_at"',
            "event_time: expected a column of the SELECT, got `seen_at`",
        ),
        ('"known_at"', '"origin"', "created_time: expected a column beside the entity"),
        ("-- version", "-- the weather\n-- version", "expected a head in TOML"),
    ],
)
def test_what_is_wrong_with_a_head_is_told(old: str, new: str, said: str) -> None:
    assert said in refused(head=HEAD.replace(old, new))


def test_all_problems_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "features"
    folder.mkdir()
    (folder / "one.sql").write_text(HEAD.replace("3h", "3x").replace("= 1", "= -1") + SQL)
    (folder / "two.sql").write_text(f"{HEAD}\n{SQL} LIMIT 1")
    (folder / "Three.sql").write_bytes(b"\xff")
    (folder / "fine.sql").write_text(f"{HEAD}\n{SQL}")
    with pytest.raises(DeclarationError) as error:
        load_views(tmp_path, {"weather": source()})
    files = [problem.file for problem in error.value.problems]
    assert [file.partition(":")[0] for file in files] == [
        "features/Three.sql",
        "features/one.sql",
        "features/one.sql",
        "features/two.sql",
    ]
    for name in ("one", "two", "Three"):
        (folder / f"{name}.sql").unlink()
    assert list(load_views(tmp_path, {"weather": source()})) == ["fine"]


def test_lineage_leads_through_everything_to_the_sources() -> None:
    made = of_flights(
        """
        WITH late AS (
          SELECT tailnum, departed_at, dep_delay AS d FROM flights WHERE label
          UNION ALL
          SELECT tailnum, departed_at, 0 FROM flights
        ), wide AS (SELECT * FROM late JOIN planes USING (tailnum))
        SELECT tailnum, departed_at, avg(d) OVER w AS mean, seats + 1 AS seats,
          (SELECT max(seats) FROM planes) AS most, count(*) OVER w AS n
        FROM wide
        WINDOW w AS (PARTITION BY tailnum ORDER BY departed_at)
        """
    )
    assert lineage(made) == {
        "mean": {"flights.dep_delay"},
        "seats": {"planes.seats"},
        "most": {"planes.seats"},
        "n": frozenset(),
    }
    assert {"flights.label", "planes.tailnum"} <= made.reads.conditions
    assert view().reads.copies["wind_mph"] == "weather.wind_mph"
    assert "temp_c" not in view().reads.copies


def test_a_name_with_capitals_keeps_its_lineage() -> None:
    made = view(
        SQL.replace(
            "wind_mph,",
            "wind_mph AS Wind_Mph, temp_f + 1 AS Warmer, max(temp_f)"
            " OVER (PARTITION BY origin ORDER BY known_at),",
        )
    )
    assert lineage(made)["Wind_Mph"] == {"weather.wind_mph"}
    assert lineage(made)["Warmer"] == {"weather.temp_f"}
    assert made.reads.copies["Wind_Mph"] == "weather.wind_mph"
    assert set(lineage(made)) == {feature.name for feature in made.features}


def test_the_hash_is_of_what_is_meant_not_of_how_it_is_written() -> None:
    spelt = (
        SQL.lower().replace(" from ", "\nFROM\n  ").replace("wind_mph,", "wind_mph , -- miles\n")
    )
    words = HEAD.replace("weather team", "somebody else") + '-- description = "Wind."\n'
    assert view(spelt, words).hash == view().hash
    assert view(head=HEAD.replace("version = 1", "version = 2")).hash == view().hash


def with_field(name: str, **changes: object) -> SourceTable:
    made = source()
    fields = tuple(
        msgspec.structs.replace(f, **changes) if f.name == name else f for f in made.table.fields
    )
    table = msgspec.structs.replace(made.table, fields=fields)
    return msgspec.structs.replace(made, table=table)


@pytest.mark.parametrize(
    ("sql", "head", "weather"),
    [
        (SQL.replace("5 / 9", "5 / 8"), HEAD, source()),
        (SQL, HEAD.replace("3h", "4h"), source()),
        (SQL, HEAD.replace('created_time = "known_at"', 'created_time = "observed_at"'), source()),
        (SQL, HEAD, with_field("temp_f", unit="degC")),
        (SQL, HEAD, with_field("wind_mph", available_at="label")),
    ],
)
def test_the_hash_changes_with_what_is_meant(sql: str, head: str, weather: SourceTable) -> None:
    assert view(sql, head, weather=weather).hash != view().hash


def test_a_field_that_is_not_read_is_not_part_of_the_meaning() -> None:
    made = source()
    more = msgspec.structs.replace(
        made.table, fields=(*made.table.fields, Field(name="extra", column="extra"))
    )
    assert view(weather=msgspec.structs.replace(made, table=more)).hash == view().hash


def test_a_view_can_be_kept_and_read_back_as_json() -> None:
    made = view()
    kept = msgspec.json.encode(msgspec.to_builtins(made))
    assert msgspec.convert(msgspec.json.decode(kept), View) == made


def test_windows_line_ends_and_a_mark_of_utf_8_are_read(tmp_path: Path) -> None:
    (tmp_path / "features").mkdir()
    text = f"\ufeff{HEAD}\n{SQL}\n".replace("\n", "\r\n")
    (tmp_path / "features" / "weather_now.sql").write_bytes(text.encode())
    (made,) = load_views(tmp_path, {"weather": source()}).values()
    assert made.hash == view().hash


def test_one_spelling_is_the_spelling_of_itself() -> None:
    once = normalised(parse_select(SQL))
    assert normalised(parse_select(once)) == once


def test_names_of_any_characters_are_only_names(tmp_path: Path) -> None:
    strange = 'te"mp; DROP TABLE weather --'
    weather = source(fields={"origin": "string", "observed_at": "timestamp", strange: "number"})
    quoted = '"' + strange.replace('"', '""') + '"'
    head = HEAD.replace('"known_at"', '"observed_at"')
    made = read_view(
        "odd", f"{head}\nSELECT origin, observed_at, {quoted} FROM weather", {"weather": weather}
    )
    assert [feature.name for feature in made.features] == [strange]
