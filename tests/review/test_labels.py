"""Labels that come late: joined, checked, written once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from review_cases import CLOCK, a_review, approve, ask
from roadworthy.errors import RequestError
from roadworthy.review.label_files import read_labels
from roadworthy.review.labels import Imported, Label, import_labels
from roadworthy.review.rulings import rule_on
from roadworthy.store.records import outcomes_of, record_row
from roadworthy.store.state import insert_rows, open_state
from roadworthy.store.tables import bodies, outcomes, records
from roadworthy.types import DAY_US, HOUR_US, Ids, Record

NOW_US = CLOCK.now_us()
_IDS = Ids(CLOCK)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_state(f"sqlite:///{tmp_path}/state.db")
    yield engine
    engine.dispose()


def asked(engine: Engine, at_us: int = NOW_US, service: str = "late", **values: Any) -> str:
    """Store a request of these values, and return its id."""
    record = Record(
        id=_IDS.new("rq", at_us),
        at_us=at_us,
        service=service,
        kind="predict",
        disposition="answered",
    )
    with engine.begin() as connection:
        insert_rows(connection, records, [record_row(record)])
        raw = json.dumps(values).encode()
        insert_rows(connection, bodies, [(record.id, raw, None)])
    return record.id


def bring(engine: Engine, *labels: Label, **more: Any) -> Imported:
    return import_labels(engine, CLOCK, labels, by="cli:ann", **more)


def test_a_label_is_an_outcome_of_its_request(engine: Engine) -> None:
    id = asked(engine)
    found = bring(engine, Label(row=1, request_id=id, label=True, at_us=NOW_US + 5))
    assert (found.written, found.unmatched, found.contradictory) == (1, 0, 0)
    (outcome,) = outcomes_of(engine, id)
    assert (outcome.kind, outcome.value, outcome.source) == ("label", True, "import")
    assert (outcome.at_us, outcome.by) == (NOW_US + 5, "cli:ann")
    assert outcome.known_at_us >= NOW_US


def test_the_same_file_again_changes_nothing(engine: Engine) -> None:
    labels = [Label(row=1, request_id=asked(engine), correct=False)]
    assert bring(engine, *labels).written == 1
    again = bring(engine, *labels)
    assert (again.written, again.known) == (0, 1)


def test_labels_of_unknown_requests_are_told_and_not_written(engine: Engine) -> None:
    id, other = asked(engine), asked(engine, service="other")
    labels = [Label(row=k, request_id=r, label=1) for k, r in enumerate(("rq_x", id, other), 1)]
    found = bring(engine, *labels, service="late")
    assert (found.written, found.unmatched) == (1, 2)
    assert [(one.row, one.request_id) for one in found.shown] == [(1, "rq_x"), (3, other)]
    assert "no request of `late`" in found.shown[0].why


def test_rows_that_contradict_each_other_are_told_and_not_written(engine: Engine) -> None:
    id = asked(engine)
    found = bring(
        engine, Label(row=1, request_id=id, label=1), Label(row=2, request_id=id, label=2)
    )
    assert (found.written, found.contradictory) == (0, 2)
    assert found.shown[0].why == "row 2 says otherwise of the same request"
    assert outcomes_of(engine, id) == []


def test_an_import_that_contradicts_an_earlier_one_is_not_written(engine: Engine) -> None:
    id = asked(engine)
    bring(engine, Label(row=1, request_id=id, label=1))
    found = bring(engine, Label(row=1, request_id=id, label=2))
    assert (found.written, found.contradictory) == (0, 1)
    assert [outcome.value for outcome in outcomes_of(engine, id)] == [1]


def test_where_another_source_says_otherwise_both_are_kept_and_told(engine: Engine) -> None:
    id = asked(engine)
    review = ask(engine, a_review(request_id=id))
    rule_on(engine, CLOCK, review.id, approve(review), by="key:k_2")
    found = bring(engine, Label(row=1, request_id=id, correct=False))
    assert (found.written, found.disagreeing) == (1, 1)
    assert [(o.source, o.value) for o in outcomes_of(engine, id)] == [
        ("review", True),
        ("import", False),
    ]
    assert outcomes_of(engine, id)[1].propensity == 0.5


def test_an_entity_and_a_time_tell_the_requests(engine: Engine) -> None:
    flight: dict[str, Any] = {"carrier": "UA", "flight": 7}
    before = asked(engine, NOW_US - HOUR_US, **flight)
    long_before = asked(engine, NOW_US - 40 * DAY_US, **flight)
    after = asked(engine, NOW_US + HOUR_US, **flight)
    other = asked(engine, NOW_US - HOUR_US, carrier="UA", flight=8)
    entity = {"carrier": "UA", "flight": "7"}
    nobody = {"carrier": "XX", "flight": "7"}
    labels = [
        Label(row=1, entity=entity, label=True, at_us=NOW_US),
        Label(row=2, entity=nobody, label=True, at_us=NOW_US),
    ]
    found = bring(engine, *labels, service="late")
    assert (found.written, found.unmatched) == (1, 1)
    assert [o.value for o in outcomes_of(engine, before)] == [True]
    for id in (long_before, after, other):
        assert outcomes_of(engine, id) == []


def test_a_label_that_is_text_stays_text_where_texts_are_predicted(engine: Engine) -> None:
    from review_cases import a_draft
    from roadworthy.store.reviews import add_drafts

    id, number = asked(engine), asked(engine)
    with engine.begin() as connection:
        add_drafts(connection, [a_draft(a_review(request_id=id), predicted=b'"2"')])
    labels = [Label(row=k, request_id=r, label=1, text="1") for k, r in enumerate((id, number))]
    bring(engine, *labels)
    assert [outcomes_of(engine, one)[0].value for one in (id, number)] == ["1", 1]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=12))
def test_every_row_is_accounted_for(engine: Engine, said: list[tuple[int, int]]) -> None:
    with engine.begin() as connection:
        connection.execute(outcomes.delete())
    ids = [*(asked(engine) for _ in range(3)), "rq_none"]
    labels = [Label(row=k, request_id=ids[w], label=v) for k, (w, v) in enumerate(said)]
    found = bring(engine, *labels)
    unmatched = [w for w, _ in said if w == 3]
    values = [{v for w, v in said if w == k} for k in range(3)]
    assert found.unmatched == len(unmatched)
    assert found.written == sum(len(some) == 1 for some in values)
    assert found.contradictory == sum(
        sum(w == k for w, _ in said) for k in range(3) if len(values[k]) > 1
    )


def test_files_of_three_kinds_say_the_same(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = [{"request_id": "rq_1", "label": True}, {"request_id": "rq_2", "label": 3}]
    csv = tmp_path / "l.csv"
    csv.write_text("request_id,label,note\nrq_1,true,x\nrq_2,3,\n")
    jsonl = tmp_path / "l.jsonl"
    jsonl.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    columns = {"request_id": ["rq_1", "rq_2"], "label": ["true", "3"]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "l.parquet")
    for name in ("l.csv", "l.jsonl", "l.parquet"):
        found = [(one.request_id, one.label) for one in read_labels(tmp_path / name)]
        assert found == [("rq_1", True), ("rq_2", 3)], name


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("l.txt", "", "ends in one of"),
        ("l.csv", "label\n1\n", "expected `request_id`, got neither"),
        ("l.csv", "request_id,note\nrq_1,x\n", "either `label` or `correct`"),
        ("l.csv", "request_id,label,correct\nrq_1,1,true\n", "either `label` or `correct`"),
        ("l.csv", "request_id,correct\nrq_1,maybe\n", "expected true or false"),
        ("l.csv", "request_id,label,at\nrq_1,1,soon\n", "at: expected a date"),
        ("l.jsonl", '{"request_id": "rq_1"\n', "expected a JSON object a line"),
        ("l.parquet", "no parquet", "expected a Parquet file"),
        ("none.csv", None, "No such file"),
        ("l.csv", b"request_id,label\n\xff,1\n", "UnicodeDecodeError"),
    ],
)
def test_a_file_that_is_none_is_refused(
    tmp_path: Path, name: str, text: str | bytes | None, said: str
) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(RequestError, match=said):
        list(read_labels(path))


def test_an_entity_is_read_from_its_fields(tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    path.write_text("carrier,flight,label,at\nUA,7,true,2026-01-02T03:04:05\n")
    (label,) = read_labels(path, ("carrier", "flight"))
    assert label.entity == {"carrier": "UA", "flight": "7"}
    assert label.at_us == 1_767_323_045_000_000
    with pytest.raises(RequestError, match="expected `request_id`, or carrier, tail"):
        list(read_labels(path, ("carrier", "tail")))
