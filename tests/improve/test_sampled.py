"""Suites from production: like the traffic, without what is personal, the same each time."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from decided import SERVICE, START_US, Past
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update

from roadworthy.declare.schemas import compile_schema
from roadworthy.errors import RequestError
from roadworthy.evaluate.cases import load_suites
from roadworthy.improve.contracts import Contract
from roadworthy.improve.exported import write_lines
from roadworthy.improve.incidents import Incidents, incidents
from roadworthy.improve.sampled import Sampled, Wanted, allocate, sample
from roadworthy.store.records import read_record, record_row
from roadworthy.store.tables import bodies, records
from roadworthy.types import DAY_US


@pytest.fixture
def past(tmp_path: Path) -> Iterator[Past]:
    made = Past(tmp_path)
    yield made
    made.state.dispose()


def sampled(past: Past, **fields: Any) -> Sampled:
    known = {"service": SERVICE, "since_us": START_US - DAY_US, "until_us": START_US + DAY_US}
    return sample(past.state, past.contracts, Wanted(**{**known, **fields}))


def went_wrong(past: Past, n: int = 200) -> Incidents:
    span = (START_US - DAY_US, START_US + DAY_US)
    return incidents(past.state, past.contracts, SERVICE, *span, n=n)


def change(past: Past, id: str, **fields: Any) -> str:
    """Let a record say something else."""
    changed = msgspec.structs.replace(read_record(past.state, id), **fields)
    names = [column.name for column in records.c]
    row = dict(zip(names, record_row(changed), strict=True))
    with past.state.begin() as connection:
        connection.execute(update(records).where(records.c.id == id).values(**row))
    return id


STRATA = st.dictionaries(
    st.tuples(st.text(max_size=3)),
    st.integers(1, 500).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n))),
    min_size=1,
    max_size=8,
)


@given(STRATA, st.integers(1, 300))
def test_no_more_is_taken_than_there_is(strata: dict[Any, tuple[int, int]], n: int) -> None:
    taken = allocate(strata, n)
    assert sum(taken.values()) == min(n, sum(most for _, most in strata.values()))
    assert all(0 <= taken[name] <= most for name, (_, most) in strata.items())


@given(st.lists(st.integers(1, 500), min_size=1, max_size=8), st.integers(1, 300))
def test_each_stratum_gets_its_share_to_one_case(sizes: list[int], n: int) -> None:
    strata: dict[tuple[str, ...], tuple[int, int]] = {
        (str(place),): (size, 10_000) for place, size in enumerate(sizes)
    }
    taken = allocate(strata, n)
    for name, (size, _) in strata.items():
        assert abs(taken[name] - n * size / sum(sizes)) < 1


def test_a_sample_keeps_the_shares_of_the_traffic(past: Past) -> None:
    for n in range(90):
        past.request({"p": n / 100, "carrier": "AA"})
    for n in range(10):
        past.request({"p": n / 100, "carrier": "UA"})
    found = sampled(past, n=20, by=("input.carrier",))
    assert Counter(case.input["carrier"] for case in found.cases) == {"AA": 18, "UA": 2}
    assert [(part.share, part.taken) for part in found.parts] == [(0.9, 18), (0.1, 2)]


def test_what_strata_cannot_be_told_apart_by_is_refused(past: Past) -> None:
    with pytest.raises(RequestError, match=r"expected `tags`.*got `weather`"):
        sampled(past, by=("weather",))


def test_where_nobody_knows_what_is_personal_no_case_is_made(tmp_path: Path) -> None:
    past = Past(tmp_path, Contract(problem="it is gone"))
    past.request({"name": "Ann Lee"})
    found = sampled(past)
    past.state.dispose()
    assert (found.cases, found.left_out.personal) == ((), 1)


def test_the_same_seed_draws_the_same(past: Past) -> None:
    for n in range(60):
        past.request({"p": n / 100})
    one, same, other = (sampled(past, n=10, seed=seed).cases for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_nothing_is_asked_twice(past: Past) -> None:
    for n in range(40):
        past.request({"p": n % 4})
    found = sampled(past, n=40)
    assert len(found.cases) == 4
    assert found.requests == 40
    assert len({case.asked for case in found.cases}) == 4


def test_what_became_known_is_expected(past: Past) -> None:
    past.report(past.request({"p": 1}), "label", True)
    past.report(past.request({"p": 2}), "correct", False)
    past.request({"p": 3}, features={"values": {"wind": 7.5}, "views": {}})
    found = sampled(past)
    expects = {case.input["p"]: case.expect for case in found.cases}
    assert expects == {1: {"label": True}, 2: None, 3: None}
    assert found.expected == 1
    assert next(case.features for case in found.cases if case.input["p"] == 3) == {"wind": 7.5}


def test_personal_fields_and_patterns_do_not_leave(tmp_path: Path) -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "x-personal": True},
            "seat": {"type": "string", "x-personal": True},
            "text": {"type": "string"},
        },
        "required": ["name"],
    }
    past = Past(tmp_path, Contract(input=compile_schema(schema)))
    past.request({"name": "Ann Lee", "seat": "12A", "text": "write to ann@example.com"})
    past.request({"name": "Ann Lee", "text": "hello"})
    found = sampled(past)
    past.state.dispose()
    assert found.personal == ("name", "seat")
    assert {case.input["name"] for case in found.cases} == {"name-1"}
    assert all("seat" not in case.input for case in found.cases)
    assert "ann" not in str(found.cases).lower()
    assert found.masked == {"e-mail": 1}


def test_who_asked_does_not_leave(past: Past) -> None:
    change(past, past.request({"p": 1}, user="ann"), role="pilot")
    (case,) = sampled(past).cases
    assert (case.user, case.role) == ("", "pilot")


def test_what_cannot_be_asked_is_counted(past: Past) -> None:
    change(past, past.request({"p": 1}), error_code="contract_violation")
    past.request({"p": 2}, user="deleted-0")
    gone = past.request({"p": 3})
    with past.state.begin() as connection:
        connection.execute(bodies.delete().where(bodies.c.request_id == gone))
    found = sampled(past)
    assert found.cases == ()
    left = found.left_out
    assert (left.invalid, left.forgotten, left.bodies) == (1, 1, 1)


def test_a_sample_is_a_suite(past: Past, tmp_path: Path) -> None:
    past.report(past.request({"p": 1}), "label", True)
    found = sampled(past)
    write_lines(tmp_path / "sampled.jsonl", (msgspec.json.encode(case) for case in found.cases))
    (suite,) = load_suites(tmp_path, ["sampled.jsonl"])
    assert suite.cases == found.cases


def test_what_went_wrong_is_a_case_that_says_how(past: Past) -> None:
    past.request({"p": 0})
    change(past, past.request({"p": 1}), disposition="failed", error_code="all_models_failed")
    change(past, past.request({"p": 2}), disposition="refused", error_code="guard_denied")
    change(past, past.request({"p": 3}), is_late=True)
    past.report(past.request({"p": 4}), "label", True)
    past.report(past.request({"p": 5}), "rating", 1.0)
    past.report(past.request({"p": 6}), "rating", 5.0)
    past.report(past.request({"p": 7}), "label", False)
    found = went_wrong(past)
    said = {case.input["p"]: (case.tags, case.severity) for case in found.cases}
    assert said == {
        1: (("incident", "failed"), "high"),
        2: (("incident", "guard"), "normal"),
        3: (("incident", "late"), "low"),
        4: (("incident", "wrong"), "high"),
        5: (("incident", "complained"), "normal"),
    }
    assert found.kinds == {"failed": 1, "guard": 1, "late": 1, "wrong": 1, "complained": 1}
    assert next(case.expect for case in found.cases if case.input["p"] == 4) == {"label": True}


def test_the_worst_are_kept_where_there_are_too_many(past: Past) -> None:
    for n in range(5):
        change(past, past.request({"p": n}), is_late=True)
    change(past, past.request({"p": 9}), disposition="failed", error_code="all_models_failed")
    found = went_wrong(past, n=2)
    assert found.found == 6
    assert found.cases[0].input == {"p": 9}
    assert json.loads(msgspec.json.encode(found.cases[0]))["severity"] == "high"
