"""The airline example: nothing of the future is a feature, and what is prepared can be served."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from roadworthy.app import ENFORCES
from roadworthy.data.history import history
from roadworthy.data.registered import load_sources
from roadworthy.data.views import load_views
from roadworthy.declare.expressions import compile_expression
from roadworthy.declare.load import load_project, load_service
from roadworthy.declare.schemas import SchemaCheck, compile_schema, read_schema
from roadworthy.declare.service import ServiceDeclaration
from roadworthy.models.onnx import open_model
from roadworthy.models.spec import ModelSpec

AIRLINE = Path(__file__).parents[2] / "examples" / "airline"
SERVICE = AIRLINE / "services" / "flight-delay"
sys.path.append(str(AIRLINE))

flights: Any = import_module("flights")
prepare: Any = import_module("prepare")
scoreboard: Any = import_module("scoreboard")
timeline: Any = import_module("timeline")

DAYS = ("2013-01-01", "2013-03-10", "2013-07-04", "2013-11-03")
"""The first day, both changes of daylight saving time, and a summer evening."""


@pytest.fixture(scope="module")
def sources() -> Any:
    """The real tables, with the flights of `DAYS` and some of the cancelled ones only."""
    whole = prepare.read_sources()
    table = whole.flights
    day = pd.to_datetime(table[["year", "month", "day"]]).dt.strftime("%Y-%m-%d")
    return whole._replace(flights=table[day.isin(DAYS)])


@pytest.fixture(scope="module")
def prepared(sources: Any) -> pd.DataFrame:
    table: pd.DataFrame = prepare.prepare(sources)
    return table


@pytest.fixture(scope="module")
def folder(sources: Any, prepared: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The flights of `DAYS`, and what views read of them, written as the scripts read them."""
    folder: Path = tmp_path_factory.mktemp("data")
    for month in (1, 3, 7, 11):
        prepare.write_month(prepared, month, folder)
    prepare.write_source(prepare.departures(sources.flights), folder / flights.DEPARTURES)
    prepare.write_source(prepare.weather(sources.weather), folder / flights.WEATHER)
    return folder


@pytest.fixture(scope="module")
def real(folder: Path) -> list[Any]:
    """The flights of January 1st, as the replay asks about them."""
    return read(folder, 1)


@pytest.fixture(scope="module")
def request_check() -> SchemaCheck:
    return compile_schema(read_schema(SERVICE / "request.schema.json"))


@pytest.fixture(scope="module")
def answer_check() -> SchemaCheck:
    return compile_schema(read_schema(SERVICE / "answer.schema.json"), "output")


def read(folder: Path, month: int) -> list[Any]:
    first = datetime(2013, month, 1, tzinfo=UTC).date()
    return list(flights.read_flights(first, first + timedelta(days=27), folder))


def one_flight(scheduled: str, **more: Any) -> pd.DataFrame:
    """A flight of the source, planned for a local time like `2013-03-10 05:30`."""
    at = datetime.fromisoformat(scheduled)
    row = {
        "year": at.year,
        "month": at.month,
        "day": at.day,
        "hour": at.hour,
        "minute": at.minute,
        "origin": "JFK",
        "carrier": "B6",
        "flight": 1,
        "tailnum": "N1",
        "distance": 1,
        "dep_delay": 0.0,
    }
    return pd.DataFrame([row | more])


def hourly_weather(first: str, hours: int) -> pd.DataFrame:
    """Weather whose temperature says which hour it is: the hours since `first`."""
    times = pd.date_range(first, periods=hours, freq="h", tz="UTC")
    table = pd.DataFrame({"origin": "JFK", "time_hour": times, "temp": np.arange(hours) % 100})
    others = dict.fromkeys(set(prepare.WEATHER_COLUMNS) - {"temp"}, 0.0)
    return table.assign(**(others | {"pressure": 1000.0}))


def test_no_column_of_the_future_is_asked_with() -> None:
    future = {*flights.UNKNOWN_AT_T, *flights.TRUTH}
    assert future == {
        "dep_time",
        "dep_delay",
        "arr_time",
        "arr_delay",
        "air_time",
        "truth_status",
        "truth_delay_min",
    }
    assert not future & set(flights.INPUT)
    assert not any("sched_arr" in name for name in flights.INPUT)


def test_what_is_asked_does_not_change_with_what_happens_later(
    sources: Any, prepared: pd.DataFrame
) -> None:
    changed = sources.flights.copy()
    for name in flights.UNKNOWN_AT_T:
        changed[name] = 1234.0
    other = prepare.prepare(sources._replace(flights=changed))
    known = [*flights.KEYS, *flights.INPUT]
    pd.testing.assert_frame_equal(other[known], prepared[known])


@pytest.mark.parametrize(
    ("scheduled", "asked", "newest_known_hour"),
    [
        # Winter: local time is five hours behind UTC.
        ("2013-01-02 05:15", "2013-01-02T08:15", "2013-01-02T07:00"),
        # An hour that ends as the question is asked is known; one that has just begun is not.
        ("2013-01-02 06:00", "2013-01-02T09:00", "2013-01-02T08:00"),
        ("2013-01-02 06:59", "2013-01-02T09:59", "2013-01-02T08:00"),
        # Asked before local midnight, and before midnight in UTC, about the day after.
        ("2013-07-27 01:06", "2013-07-27T03:06", "2013-07-27T02:00"),
        ("2013-07-04 21:30", "2013-07-04T23:30", "2013-07-04T22:00"),
        ("2013-01-02 20:59", "2013-01-02T23:59", "2013-01-02T22:00"),
        # Daylight saving time begins at 02:00 and ends at 02:00.
        ("2013-03-09 05:30", "2013-03-09T08:30", "2013-03-09T07:00"),
        ("2013-03-10 05:30", "2013-03-10T07:30", "2013-03-10T06:00"),
        ("2013-11-02 05:10", "2013-11-02T07:10", "2013-11-02T06:00"),
        ("2013-11-03 05:10", "2013-11-03T08:10", "2013-11-03T07:00"),
    ],
)
def test_weather_is_the_last_whole_hour_two_hours_before(
    scheduled: str, asked: str, newest_known_hour: str
) -> None:
    begin = "2013-01-01T00:00"
    flight = prepare.add_schedule(one_flight(scheduled))
    assert flight["asked_at"].iloc[0] == pd.Timestamp(asked, tz="UTC")
    (known,) = known_weather(flight, hourly_weather(begin, 365 * 24))
    since = pd.Timestamp(newest_known_hour) - pd.Timestamp(begin)
    assert known["temp_f"] == (since / pd.Timedelta(hours=1)) % 100


def known_weather(asked: pd.DataFrame, hours: pd.DataFrame) -> list[dict[str, Any]]:
    """What the view `weather_now` says when these flights are asked about."""
    sources = load_sources(load_project(AIRLINE))
    weather = msgspec.structs.replace(sources["weather"], data=prepare.weather(hours), url="")
    view = load_views(AIRLINE, sources)["weather_now"]
    spine = asked[["origin", "asked_at"]]
    found: list[dict[str, Any]] = history(
        [view], spine, {"weather": weather}, time="asked_at"
    ).to_pylist()
    return found


def test_first_flight_of_the_year_has_the_weather_of_two_in_the_morning(
    prepared: pd.DataFrame, sources: Any
) -> None:
    # UA1545 from Newark, planned for 05:15; the hour from 03:00 is not over at 03:15.
    first = prepared[(prepared["date"] == "2013-01-01") & (prepared["flight"] == 1545)]
    (known,) = known_weather(first, sources.weather)
    expected = {"temp_f": 39.02, "dewpoint_f": 26.96, "wind_from_deg": 250.0, "wind_mph": 8.06}
    assert {name: known[name] for name in expected} == expected
    assert known["humidity_share"] == 0.6163
    assert known["gust_mph"] is None


def test_a_wind_that_no_storm_ever_had_is_missing() -> None:
    hours = hourly_weather("2013-01-02T00:00", 24).assign(wind_speed=1048.36, wind_gust=40.0)
    known = prepare.weather(hours)
    assert known["wind_mph"].isna().all()
    assert (known["gust_mph"] == 40.0).all()


def test_planes_have_one_name_per_manufacturer() -> None:
    names = {
        "AIRBUS INDUSTRIE": "AIRBUS",
        "AIRBUS": "AIRBUS",
        "MCDONNELL DOUGLAS AIRCRAFT CO": "MCDONNELL DOUGLAS",
        "KILDALL GARY": "OTHER",
    }
    for name, expected in names.items():
        planes = pd.DataFrame(
            {"tailnum": ["N1"], "manufacturer": [name], "year": [2003.0], "seats": [55]}
        )
        row = prepare.add_plane(one_flight("2013-01-02 12:00"), planes).iloc[0]
        assert (row["manufacturer"], row["plane_age_years"], row["seats"]) == (expected, 10, 55)
        stranger = prepare.add_plane(one_flight("2013-01-02 12:00", tailnum="N2"), planes).iloc[0]
        assert stranger["manufacturer"] == "UNKNOWN"
        assert stranger[["plane_age_years", "seats"]].isna().all()


def test_cancelled_flights_are_asked_about_and_have_no_label(folder: Path, sources: Any) -> None:
    read_back = [flight for month in (1, 3, 7, 11) for flight in read(folder, month)]
    assert len(read_back) == len(sources.flights)
    unlabelled = [flight for flight in read_back if flight.is_late is None]
    assert len(unlabelled) == sources.flights["dep_delay"].isna().sum() > 0
    assert all(flight.departed_at is None for flight in unlabelled)


def test_late_means_more_than_fifteen_minutes(real: list[Any]) -> None:
    by_delay = {
        int((flight.departed_at - flight.asked_at) / timedelta(minutes=1)) - 120: flight.is_late
        for flight in real
        if flight.departed_at
    }
    assert (by_delay[15], by_delay[16], by_delay[-5]) == (False, True, False)


def test_the_contract_accepts_every_real_request(folder: Path, request_check: SchemaCheck) -> None:
    for month in (1, 3, 7, 11):
        for flight in read(folder, month):
            assert request_check.first_problem(flight.input) == ""


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"distance_miles": "far"}, "input.distance_miles: expected integer"),
        ({"distance_miles": -1}, "input.distance_miles: expected >= 0"),
        ({"scheduled_minute": 1440}, "input.scheduled_minute: expected <= 1439"),
        ({"scheduled_minute": None}, "input.scheduled_minute: expected integer"),
        ({"weekday": 0}, "input.weekday: expected >= 1"),
        ({"origin": "ORD"}, "input.origin: expected one of"),
        ({"carrier": "Delta"}, "input.carrier: expected a string that matches"),
        ({"manufacturer": None}, "input.manufacturer: expected one of"),
        ({"tailnum": "n14228"}, "input.tailnum: expected a string that matches"),
        ({"temp_f": 39.0}, "input: expected only fields that the schema names"),
        ({"dep_delay": 4}, "input: expected only fields that the schema names"),
    ],
)
def test_the_contract_refuses_what_cannot_be(
    real: list[Any], request_check: SchemaCheck, change: dict[str, Any], problem: str
) -> None:
    assert request_check.first_problem(real[0].input | change).startswith(problem)


def test_every_field_is_required_and_only_the_plane_may_be_unknown(
    real: list[Any], request_check: SchemaCheck
) -> None:
    nullable = set()
    for name in flights.INPUT:
        without = {key: value for key, value in real[0].input.items() if key != name}
        assert request_check.first_problem(without) == f"input: expected field `{name}`, got none"
        if request_check.is_valid(real[0].input | {name: None}):
            nullable.add(name)
    assert nullable == {"tailnum", *flights.PLANE_NUMBERS}
    assert set(real[0].input) == set(flights.INPUT)


DECLARED = (
    "roadworthy.toml",
    "contracts/departures.odcs.yaml",
    "contracts/weather.odcs.yaml",
    "services/flight-delay/service.toml",
    "services/flight-delay/request.schema.json",
    "services/flight-delay/answer.schema.json",
    "services/flight-delay/training.json",
    "services/support-reply/service.toml",
    "services/support-reply/request.schema.json",
    "services/support-reply/prompts/reply.md",
    "services/support-reply/suites/questions.jsonl",
    *(p.relative_to(AIRLINE).as_posix() for p in AIRLINE.glob("features/*.sql")),
    *(p.relative_to(AIRLINE).as_posix() for p in AIRLINE.glob("services/support-reply/policies/*")),
)


def copy_project(folder: Path) -> Path:
    """Copy what is declared, without what the scripts make."""
    for path in DECLARED:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((AIRLINE / path).read_bytes())
    return folder


@pytest.fixture(scope="module")
def declared(tmp_path_factory: pytest.TempPathFactory) -> ServiceDeclaration:
    """The declaration of flight-delay, which names a model file that training writes."""
    folder = copy_project(tmp_path_factory.mktemp("airline"))
    (folder / "services/flight-delay/model.onnx").touch()
    (folder / "services/flight-delay/suites").mkdir()
    (folder / "services/flight-delay/suites/summer.jsonl").touch()
    project = load_project(folder)
    load_service(folder / "services" / "support-reply", project, ENFORCES)
    return load_service(folder / "services" / "flight-delay", project, ENFORCES)


def test_the_ladder_answers_within_the_contract(
    declared: ServiceDeclaration, real: list[Any], answer_check: SchemaCheck
) -> None:
    rule, static = declared.fallback
    assert answer_check.first_problem(static.output) == ""
    expression = compile_expression(rule.expression or "", "fallback_rule")
    answers = [expression.evaluate(names_of(flight.input)) for flight in real]
    assert all(answer_check.first_problem(answer) == "" for answer in answers)
    assert {answer["probability"] for answer in answers} == {0.12, 0.23, 0.29}


def test_the_guards_let_real_flights_pass_and_stop_absurd_ones(
    declared: ServiceDeclaration, real: list[Any]
) -> None:
    guard = {entry.name: entry.expression or "" for entry in declared.guards}
    holds = compile_expression(guard["goes-somewhere"], "guard_input").evaluate
    assert all(holds(names_of(flight.input)) for flight in real)
    assert not holds(names_of(real[0].input | {"dest": real[0].input["origin"]}))
    assert not holds(names_of(real[0].input | {"distance_miles": 0}))
    holds = compile_expression(guard["is-a-probability"], "guard_output").evaluate
    for probability, expected in ((0.0, True), (0.3, True), (1.0, True), (1.1, False)):
        names = names_of(real[0].input) | {"output": {"probability": probability}}
        assert holds(names) is expected


def names_of(values: dict[str, Any]) -> dict[str, Any]:
    return {"input": values, "user": "", "role": "", "team": "", "tags": []}


def test_events_come_in_order_of_time_and_truths_not_before_the_plane_has_left(
    real: list[Any],
) -> None:
    events = list(timeline.timeline(iter(real), ["why?"]))
    assert [event.at for event in events] == sorted(event.at for event in events)
    told = {event.number: event for event in events if isinstance(event, timeline.Tell)}
    departed = {n: flight for n, flight in enumerate(real) if flight.departed_at is not None}
    assert told.keys() == departed.keys()
    for number, flight in departed.items():
        assert told[number].at == flight.departed_at
        step = timedelta(hours=1)
        asked, left = (timeline.end_of_step(at, step) for at in (flight.asked_at, told[number].at))
        assert asked < left
    assert sum(isinstance(event, timeline.Question) for event in events) == len(real) // 25 + 1


def test_a_step_of_simulated_time_ends_after_everything_in_it() -> None:
    at = datetime(2013, 4, 1, 9, tzinfo=UTC)
    hour = timedelta(hours=1)
    assert timeline.end_of_step(at, hour) == at + hour
    assert timeline.end_of_step(at + timedelta(minutes=59), hour) == at + hour
    assert timeline.end_of_step(at, timedelta(minutes=1)) == at + timedelta(minutes=1)


def test_the_scoreboards_auc_is_that_of_scikit_learn() -> None:
    draw = random.Random(0)
    truth = [draw.random() < 0.2 for _ in range(5000)]
    said = [min(max(draw.gauss(0.3 + 0.1 * late, 0.15), 0.0), 1.0) for late in truth]
    matured = scoreboard.Matured()
    for probability, late in zip(said, truth, strict=True):
        matured.add(probability, probability > 0.5, late)
    assert matured.auc == pytest.approx(roc_auc_score(truth, said), abs=0.001)
    right = sum((p > 0.5) == late for p, late in zip(said, truth, strict=True))
    assert matured.accuracy == right / 5000


@pytest.fixture(scope="module")
def train() -> Any:
    return import_module("train")


converts = pytest.mark.filterwarnings("ignore:Field onnx.AttributeProto:DeprecationWarning")
"""skl2onnx 1.20 hands booleans to protobuf, which wants numbers."""


@pytest.fixture(scope="module")
def example(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example with the flights of `DAYS`."""
    copied = copy_project(tmp_path_factory.mktemp("example") / "airline")
    shutil.copytree(folder, copied / "data")
    return copied


@pytest.fixture(scope="module")
def learned(train: Any, example: Path) -> Any:
    """What a model can learn from these flights, with features as they were known."""
    return train.load((1, 3, 7, 11), example, save=True)


@pytest.mark.slow
@converts
def test_the_converted_model_answers_like_the_trained_one(
    train: Any, learned: Any, answer_check: SchemaCheck, real: list[Any], tmp_path: Path
) -> None:
    rows, numbers = learned.rows, learned.numbers
    pipeline = train.fit(rows, numbers)
    model = train.convert(pipeline, train.describe(learned), numbers)
    again = train.convert(train.fit(rows, numbers), train.describe(learned), numbers)
    assert model == again, "the same data, the same bytes"
    session = train.open_session(model)
    assert {tensor.name for tensor in session.get_inputs()} == {*flights.CATEGORIES, *numbers}
    cases = train.hard_cases(rows, numbers)
    assert (cases["carrier"] == "??").any()
    assert cases[list(numbers)].isna().all(axis=1).any()
    assert train.check_equality(pipeline, session, cases, numbers) <= train.MOST_DIFFERENCE

    (tmp_path / "model.onnx").write_bytes(model)
    served = open_model(ModelSpec(name="trees", upstream="model.onnx", folder=tmp_path))
    nothing = dict.fromkeys(numbers)  # no view knows anything
    outputs = served.predict_rows([nothing | flight.input for flight in real])
    assert all(answer_check.first_problem(output) == "" for output in outputs)
    first = rows.iloc[[0]]
    expected = pipeline.predict_proba(first)[0, 1]
    row = {name: first[name].iloc[0] for name in flights.CATEGORIES}
    row |= {name: none_of(first[name].iloc[0]) for name in numbers}
    assert served.predict_rows([row])[0]["probability"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.slow
@converts
def test_training_fails_when_the_converted_model_answers_otherwise(
    train: Any, learned: Any
) -> None:
    rows, numbers = learned.rows, learned.numbers
    half = rows.iloc[::2].reset_index(drop=True)
    other = train.open_session(train.convert(train.fit(half, numbers), {}, numbers))
    with pytest.raises(SystemExit, match="differ from scikit-learn"):
        train.check_equality(
            train.fit(rows, numbers), other, train.hard_cases(rows, numbers), numbers
        )


@pytest.mark.slow
def test_no_row_is_lost_and_features_are_there(learned: Any, prepared: pd.DataFrame) -> None:
    departed = prepared[prepared["truth_status"] == "departed"]
    assert len(learned.rows) == learned.snapshot["rows"] == len(departed)
    assert len(learned.features) == 5
    known = learned.rows[list(learned.numbers)].notna().mean()
    assert (known.drop("gust_mph") > 0.05).all(), "an afternoon knows of its morning"


def none_of(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


@pytest.fixture
def project(train: Any, learned: Any, example: Path, tmp_path: Path, practice_url: str) -> Path:
    """A copy of the example with a model learned from few flights."""
    copied = Path(shutil.copytree(example, tmp_path / "airline"))
    declared = copied / "roadworthy.toml"
    text = declared.read_text(encoding="utf-8")
    assert "http://127.0.0.1:8799/v1" in text
    declared.write_text(text.replace("http://127.0.0.1:8799/v1", practice_url), encoding="utf-8")
    pipeline, about = train.fit(learned.rows, learned.numbers), train.describe(learned)
    model = train.convert(pipeline, about, learned.numbers)
    train.write(model, about, learned.snapshot, copied / "services/flight-delay")
    assert import_module("suite").write_suite(learned, copied / "services/flight-delay") > 100
    return copied


@pytest.fixture
def practice_url() -> Iterator[str]:
    practice: Any = import_module("practice")
    with practice.open_practice(port=0) as upstream:
        yield upstream.base_url


@pytest.fixture
def served(project: Path) -> Iterator[str]:
    """The address of a real server of the project."""
    command = [sys.executable, "-m", "roadworthy", "up", "--project", str(project), "--port", "0"]
    environment = {k: v for k, v in os.environ.items() if k != "OPENAI_API_KEY"}
    with (
        (project / "up.log").open("wb") as log,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, env=environment, text=True
        ) as server,
    ):
        try:
            yield address_said_by(server)
        finally:
            server.terminate()


def address_said_by(server: subprocess.Popen[str]) -> str:
    """Wait until the server says that it is ready, and return where it listens."""
    assert server.stdout is not None
    said = ""
    for line in server.stdout:
        said += line
        if "ready in" in line and (found := re.search(r"is served on (\S+)", said)):
            return found[1]
    raise AssertionError(f"the server ended: {said}")


TOLD = """You answer passengers. Use only the passages below. Name the page, like [refunds.md].


Pets > Fees [pets.md]
A small dog travels for $110 each way. Rabbits stay at home.

Bags [bags.md]
A checked bag may weigh up to 50 pounds."""


def test_practice_copies_a_sentence_and_names_its_page() -> None:
    replies = [practised(f"How heavy may a checked bag be, please, number {n}?") for n in range(99)]
    copied = "A checked bag may weigh up to 50 pounds. [bags.md]"
    assert all(reply.startswith(copied) for reply in replies)
    made_up = sum(reply != copied for reply in replies)
    assert 10 <= made_up <= 30, "one in five holds a promise that no page makes"
    assert practised("How heavy may a checked bag be?") == practised(
        "How heavy may a checked bag be?"
    )


def test_practice_says_that_it_does_not_know_what_no_passage_mentions() -> None:
    assert practised("Who won in 1966?") == "I do not know."


def practised(question: str) -> str:
    practice: Any = import_module("practice")
    messages = [{"role": "system", "content": TOLD}, {"role": "user", "content": question}]
    reply: str = practice.reply_to(messages)
    return reply


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=60)


@pytest.mark.slow
@converts
def test_a_real_day_is_replayed_over_http(project: Path, served: str, sources: Any) -> None:
    made = run(
        *("-m", "roadworthy", "keys", "create", "--project", str(project)),
        *("--scopes", "answer,read,admin,push", "--json"),
    )
    key = json.loads(made.stdout)["key"]
    options = ("--url", served, "--project", str(project), "--from", "2013-07-04", "--days", "1")
    replay = str(AIRLINE / "replay.py")
    done = run(replay, *options, "--key", key, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)

    day = sources.flights[(sources.flights["month"] == 7) & (sources.flights["day"] == 4)]
    departed = int(day["dep_delay"].notna().sum())
    ended = told["services"]["flight-delay"]["dispositions"]
    assert sum(ended.values()) == len(day)
    assert set(ended) == {"review", "fallback"}, "nothing is certified yet"
    assert ended["review"] <= 400, "200 of each UTC day, of which a day in New York has two"
    assert told["outcomes"] == departed
    assert told["alone"] == 0
    assert told["cancelled"] == len(day) - departed
    chat = told["services"]["support-reply"]
    assert set(chat["dispositions"]) == {"answered", "fallback"}, "what no page says is not shown"
    assert sum(chat["dispositions"].values()) == len(day) // 25 + 1
    assert chat["dispositions"]["answered"] >= 10
    assert 0 < chat["dearest_day_usd"] <= chat["cost_usd"] < chat["per_day_usd"] == 2.0
    assert chat["promised_p95_ms"] == 2500
    assert told["pushed"] > 4 * departed * 0.9, "four views of departures, and the weather"
    skew = look(project, "skew")
    assert sum(one["compared"] for one in skew["features"]) == 24 * len(day)
    assert sum(one["unequal"] for one in skew["features"]) == 0, "served as the views say"
    assert skew["trained"] == learned_from(project)
    assert look(project, "leakage")["leaks"] == []

    again = run(replay, *options, "--key", key, "--limit", "60", "--json")
    ended = json.loads(again.stdout)["services"]["flight-delay"]["dispositions"]
    assert sum(ended.values()) == 60
    assert set(ended) <= {"review", "fallback"}
    skew = look(project, "skew")
    assert sum(one["compared"] for one in skew["features"]) == 24 * (len(day) + 60)
    assert sum(one["unequal"] for one in skew["features"]) == 0, "also with the clock set back"

    refused = run(replay, *options, "--key", "rw_nobody")
    assert refused.returncode == 4
    assert "unauthenticated" in refused.stderr


def look(project: Path, what: str) -> Any:
    """What the command line says of the features of `flight-delay`."""
    words = ("features", what, "flight-delay", "--project", str(project), "--json")
    return json.loads(run("-m", "roadworthy", *words).stdout)


def learned_from(project: Path) -> str:
    """The training set that the release's lineage names."""
    listed = run("-m", "roadworthy", "release", "list", "--project", str(project), "--json")
    releases = json.loads(listed.stdout)["releases"]
    (release,) = [r["release"] for r in releases if r["service"] == "flight-delay"]
    shown = run("-m", "roadworthy", "release", "show", release, "--project", str(project), "--json")
    found: str = json.loads(shown.stdout)["manifest"]["training"]["id"]
    return found


@pytest.mark.slow
def test_a_replay_without_a_server_says_how_to_start_one(example: Path) -> None:
    options = ("--url", "http://127.0.0.1:1", "--project", str(example), "--key", "rw_x")
    done = run(str(AIRLINE / "replay.py"), *options, "--from", "2013-07-04", "--days", "1")
    assert done.returncode == 4
    assert "roadworthy up" in done.stderr
