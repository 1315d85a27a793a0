from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine, event, func, select, update
from store_samples import (
    CLOCK,
    HOUR_US,
    START_US,
    a_record,
    an_outcome,
    settled,
    some_records,
)

from roadworthy.errors import NotFound
from roadworthy.store.data_versions import SavedSkew, read_skew, record_skew
from roadworthy.store.records import (
    children_of,
    delete_user,
    drop_before,
    each_record,
    find_records,
    outcomes_of,
    read_bodies,
    read_record,
)
from roadworthy.store.rollups import summarise, summarise_by, verify_hours
from roadworthy.store.spending import read_spending
from roadworthy.store.spool import Spool
from roadworthy.store.state import open_state
from roadworthy.store.tables import bodies, outcomes, record_errors, record_tags, records
from roadworthy.store.writer import Writer
from roadworthy.types import DAY_US, Attempt, PassageFound, Record, SpoolEntry, Verdict

EVER = (START_US - HOUR_US, START_US + 10 * HOUR_US)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_state(f"sqlite:///{tmp_path / 'state.db'}")
    yield engine
    engine.dispose()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def store(engine: Engine, folder: Path, entries: Sequence[SpoolEntry]) -> None:
    spool = Spool(folder, CLOCK)
    for entry in entries:
        spool.append(entry)
    Writer(spool, engine, (), CLOCK).drain()
    spool.close()


def rows_in(engine: Engine, table: Any) -> int:
    with engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def ids(found: Sequence[Record]) -> list[str]:
    return [record.id for record in found]


def test_pages_come_newest_first_and_join_without_a_gap(engine: Engine, folder: Path) -> None:
    given = some_records(25)
    store(engine, folder, given)
    seen: list[Record] = []
    before = ""
    while page := find_records(engine, before_id=before, limit=10):
        seen += page
        before = page[-1].id
    assert seen == given[::-1]


def test_a_page_does_not_shift_when_records_come_in(engine: Engine, folder: Path) -> None:
    given = some_records(10)
    store(engine, folder, given)
    first = find_records(engine, limit=5)
    store(engine, folder, [a_record(START_US + HOUR_US)])
    second = find_records(engine, before_id=first[-1].id, limit=5)
    assert first + second == given[::-1]


def test_one_pages_back_the_way_one_came(engine: Engine, folder: Path) -> None:
    given = some_records(25)
    store(engine, folder, given)
    third = find_records(engine, before_id=given[5].id, limit=10)
    second = find_records(engine, after_id=third[0].id, limit=10)
    first = find_records(engine, after_id=second[0].id, limit=11)
    assert (third, second, first) == (given[4::-1], given[14:4:-1], given[:14:-1])
    assert find_records(engine, after_id=first[0].id) == []


def test_the_page_before_is_the_nearest_that_fits(engine: Engine, folder: Path) -> None:
    tagged = [a_record(START_US + k, tags=("web",), service=f"s{k % 2}") for k in range(8)]
    store(engine, folder, [*tagged, *some_records(5, service="s0")])
    after = tagged[0].id
    assert find_records(engine, after_id=after, tag="web", limit=2) == tagged[2:0:-1]
    found = find_records(engine, after_id=after, tag="web", service="s0", limit=2)
    assert found == [tagged[4], tagged[2]]
    found = find_records(engine, after_id=after, before_id=tagged[3].id, service="s1")
    assert found == [tagged[1]]


def test_a_page_can_be_of_what_took_longer(engine: Engine, folder: Path) -> None:
    given = [a_record(START_US + k, latency_us=k * 1000) for k in range(5)]
    store(engine, folder, given)
    assert find_records(engine, slower_than_us=2000) == [given[4], given[3]]
    assert len(find_records(engine, slower_than_us=0)) == 4


def test_a_page_can_be_of_one_id_or_of_what_lists_show_of_it(engine: Engine, folder: Path) -> None:
    given = some_records(5)
    store(engine, folder, given)
    assert find_records(engine, id=given[2].id) == [given[2]]
    assert find_records(engine, id_part=given[2].id[11:20]) == [given[2]]
    assert find_records(engine, id_part=given[2].id[11:19]) == []


def test_the_code_of_an_error_is_found_in_its_text(engine: Engine, folder: Path) -> None:
    said = a_record(reasons=("no_passages: none is near enough",))
    unsaid = a_record(error_code="internal_error", reasons=("step two",))
    silent = a_record(error_code="cancelled", reasons=())
    store(engine, folder, [said, unsaid, silent])
    for code, record in (("no_passages", said), ("internal_error", unsaid), ("cancelled", silent)):
        assert find_records(engine, error=code) == [record]
    assert find_records(engine, error="step two") == [unsaid]


def test_a_page_can_be_of_several_services(engine: Engine, folder: Path) -> None:
    given = [a_record(START_US + k, service="abc"[k % 3]) for k in range(9)]
    store(engine, folder, given)
    found = find_records(engine, services={"a", "c"}, limit=4)
    assert found == [given[8], given[6], given[5], given[3]]
    assert find_records(engine, services=("a", "c"), service="b") == []


@pytest.mark.parametrize(
    "filters",
    [
        {"service": "s1"},
        {"service": "s1", "key": "none"},
        {"user": "ann"},
        {"error": "why"},
        {"error": "why", "user": "ann", "disposition": "failed"},
        {"since_us": START_US + 5, "until_us": START_US + 25},
        {"since_us": START_US + 5, "until_us": START_US + 25, "model": "onnx"},
    ],
)
def test_a_common_tag_finds_the_same_as_a_rare_one(
    engine: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch, filters: dict[str, Any]
) -> None:
    given = [
        a_record(
            START_US + k,
            tags=("web",) if k % 2 else (),
            service=f"s{k % 3}",
            user="ann" if k % 5 == 0 else "bob",
            reasons=("why",) if k % 3 == 1 else (),
            disposition="failed" if k % 3 == 1 else "answered",
        )
        for k in range(30)
    ]
    store(engine, folder, given)
    wanted = [record for record in find_records(engine, **filters) if "web" in record.tags]
    for common in (0, 14, 15, 1000):
        monkeypatch.setattr("roadworthy.store.records._COMMON", common)
        assert find_records(engine, tag="web", **filters) == wanted
        assert find_records(engine, tag="web", **filters, limit=2) == wanted[:2]
        assert find_records(engine, tag="web", after_id=given[0].id, **filters) == wanted


@pytest.mark.parametrize(
    "fields",
    [
        {"service": "reply"},
        {"disposition": "failed"},
        {"disposition": "answered"},
        {"release": "rl_2"},
        {"model": "rule"},
        {"user": "ann"},
        {"key": "k2"},
        {"team": "ops"},
        {"error_code": "model_timeout"},
        {"service": "reply", "model": "rule", "disposition": "fallback"},
    ],
)
def test_a_page_can_be_filtered_by_what_a_list_shows(
    engine: Engine, folder: Path, fields: dict[str, Any]
) -> None:
    wanted = [a_record(START_US + k * HOUR_US, **fields) for k in range(3)]
    plain = {"disposition": "cached"}
    others = [a_record(START_US + k, **plain) for k in range(20)]
    half = [a_record(START_US, **{**plain, name: fields[name]}) for name in list(fields)[1:]]
    store(engine, folder, [*others, *half, *wanted])
    assert find_records(engine, **fields) == wanted[::-1]
    assert find_records(engine, **fields, limit=1) == wanted[-1:]


def test_a_tag_finds_what_bears_it_page_by_page(engine: Engine, folder: Path) -> None:
    tagged = [a_record(START_US + k, tags=("web", f"v{k % 2}", "web")) for k in range(6)]
    store(engine, folder, [*tagged, *some_records(5), a_record(START_US, tags=("webb",))])
    assert find_records(engine, tag="web") == tagged[::-1]
    assert find_records(engine, tag="v1", model=tagged[1].model) == tagged[5::-2]
    first = find_records(engine, tag="web", limit=4)
    assert find_records(engine, tag="web", before_id=first[-1].id) == tagged[1::-1]
    assert find_records(engine, tag="web", since_us=START_US + 4) == tagged[:3:-1]


def test_the_text_of_an_error_is_found_in_either_case_and_as_it_is(
    engine: Engine, folder: Path
) -> None:
    late = a_record(START_US, disposition="failed", reasons=("a", "model_timeout: No answer in 9%"))
    other = a_record(START_US + 1, disposition="refused", reasons=("guard `x`: deny",), tags=("t",))
    store(engine, folder, [late, other, *some_records(5)])
    assert find_records(engine, error="no ANSWER") == [late]
    assert find_records(engine, error="9%") == [late]
    assert find_records(engine, error="_%_") == []
    assert find_records(engine, error="guard", tag="t") == [other]
    assert find_records(engine, error="guard", tag="u") == []


def test_what_finds_a_record_goes_with_it(engine: Engine, folder: Path) -> None:
    store(engine, folder, [a_record(START_US, tags=("t",), reasons=("why",))])
    drop_before(engine, a_record().service, START_US + 1)
    assert rows_in(engine, record_tags) == rows_in(engine, record_errors) == 0


def test_a_span_includes_its_begin_and_not_its_end(engine: Engine, folder: Path) -> None:
    given = some_records(10, step_us=1000)
    store(engine, folder, given)
    found = find_records(engine, since_us=START_US + 2000, until_us=START_US + 5000)
    assert found == given[4:1:-1]


@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"service": "s", "model": "m", "key": "k", "team": "t", "release": "r", "error_code": "e"},
        {"disposition": "failed"},
        {"user": "u"},
        {"slower_than_us": 5, "service": "s"},
        {"id_part": "0123456ab"},
        {"services": ("r", "s"), "after_id": "rq_x"},
        {"tag": "t", "service": "s", "before_id": "rq_x"},
        {"tag": "t", "user": "u"},
        {"tag": "t", "after_id": "rq_x"},
        {"error": "e", "tag": "t"},
        {"error": "e", "since_us": START_US, "before_id": "rq_x"},
        {"service": "s", "since_us": START_US, "until_us": START_US + 1, "before_id": "rq_x"},
    ],
)
def test_a_page_is_found_in_an_index_and_only_its_own_rows_are_read(
    engine: Engine, filters: dict[str, Any]
) -> None:
    asked: list[tuple[str, Any]] = []
    event.listen(
        engine, "before_cursor_execute", lambda _c, _u, sql, values, *_: asked.append((sql, values))
    )
    find_records(engine, **filters)
    (sql, values) = asked.pop()
    with engine.connect() as connection:
        plan = [r[3] for r in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)]
    scans = [line for line in plan if line.startswith("SCAN") and "USING" not in line]
    assert scans == []
    assert not [line for line in plan if "TEMP B-TREE" in line and "records" in line]
    used = " ".join(plan)
    if filters.keys() & {"disposition", "user"}:
        assert "records_not_answered" in used or "records_user_id" in used
    elif filters.keys() & {"tag", "error"}:
        assert "tags" in used or "errors" in used
    elif "id_part" in filters:
        assert "COVERING INDEX" in used  # that of the ids is narrower still
    elif filters:
        assert "COVERING INDEX records_page" in used


def test_children_are_found_by_their_parent(engine: Engine, folder: Path) -> None:
    parent = a_record()
    children = some_records(3, parent=parent.id)
    store(engine, folder, [parent, *children, a_record(parent="rq_other")])
    assert children_of(engine, parent.id) == children
    assert children_of(engine, parent.id, limit=2) == children[:2]
    assert children_of(engine, "") == []


def test_a_record_that_is_not_there_is_not_found(engine: Engine) -> None:
    with pytest.raises(NotFound, match="no record `rq_nowhere`"):
        read_record(engine, "rq_nowhere")
    assert read_bodies(engine, "rq_nowhere") == (None, None)
    assert outcomes_of(engine, "rq_nowhere") == []


def test_outcomes_come_in_the_order_they_became_known(engine: Engine, folder: Path) -> None:
    record = a_record()
    late = an_outcome(record.id, {"minutes": 20}, known_at_us=START_US + 2)
    soon = an_outcome(
        record.id, None, kind="rating", known_at_us=START_US + 1, reason="r", weight=0.5
    )
    store(engine, folder, [record, late, soon, an_outcome("rq_other")])
    assert outcomes_of(engine, record.id) == [soon, late]


def test_nan_has_no_word_in_json_and_comes_back_as_none(engine: Engine, folder: Path) -> None:
    record = a_record(features={"wind": float("nan"), "gust": float("inf")})
    store(engine, folder, [record])
    assert read_record(engine, record.id).features == {"wind": None, "gust": None}


def test_a_record_with_fields_of_a_later_version_can_be_read(engine: Engine, folder: Path) -> None:
    record = a_record(tags=("a",))
    store(engine, folder, [record])
    with engine.begin() as connection:
        connection.execute(update(records).values(detail=b'{"kind":"predict","later":[1]}'))
    assert read_record(engine, record.id) == msgspec.structs.replace(record, tags=())


def test_all_records_of_a_span_come_once_in_chunks(engine: Engine, folder: Path) -> None:
    given = [a_record(START_US + k, service=("delay", "reply")[k % 2]) for k in range(20)]
    store(engine, folder, given)
    with engine.connect() as connection:
        chunks = list(each_record(connection, START_US + 2, START_US + 18, chunk=7))
        assert [len(chunk) for chunk in chunks] == [7, 7, 2]
        assert [record for chunk in chunks for record in chunk] == given[2:18]
        (replies,) = each_record(connection, 0, 1 << 62, service="reply")
    assert replies == given[1::2]


def test_retention_drops_what_is_old_of_one_service_and_keeps_the_sums(
    engine: Engine, folder: Path
) -> None:
    old = [a_record(START_US + k, input=b"{}") for k in range(1200)]
    new = a_record(START_US + HOUR_US, input=b"{}")
    other = a_record(service="reply", input=b"{}")
    store(engine, folder, [*old, new, other, *(an_outcome(r.id) for r in (old[0], new, other))])
    assert drop_before(engine, "delay", START_US + HOUR_US) == 1200
    assert ids(find_records(engine)) == [new.id, other.id]
    assert rows_in(engine, bodies) == rows_in(engine, outcomes) == 2
    assert summarise(engine, "delay").requests == 1201
    assert drop_before(engine, "delay", START_US + HOUR_US) == 0


def personal(k: int) -> Record:
    record = a_record(
        START_US + k,
        user="ann",
        team="ops",
        entity="passenger-7",
        conversation="c-7",
        features={"seat": "12A"},
        cache={"kind": "exact", "source": "rq_7"},
        passages=(PassageFound("pregnancy.md", "Pregnancy > Twins", 0.8),),
        attempts=(Attempt("gpt", "ok", 5, detail="ann said so"),),
        verdicts=(Verdict("pii", "input", "redact", "ann's address"),),
        reasons=(
            "contract_violation: input.weight_kg: expected <= 200, got 333",
            "guard `weights`: 333 is too heavy",
            "annotated by hand",
        ),
        input=b'"ann asks"',
        output=b'"dear ann"',
    )
    return settled(record, 7, scopes=("service:delay", "user:delay/ann"))


def test_a_deleted_user_leaves_only_what_was_counted_and_spent(
    engine: Engine, folder: Path
) -> None:
    mine = [personal(k) for k in range(1100)]
    other = a_record(user="joann", input=b"1", scopes=("user:delay/joann",))
    store(engine, folder, [*mine, other, an_outcome(mine[0].id, "ann"), an_outcome(other.id)])
    gone = delete_user(engine, "ann")
    assert (gone.records, gone.bodies, gone.outcomes) == (1100, 1100, 1)
    record = read_record(engine, mine[0].id)
    assert "ann" not in str(record)
    for trace in ("passenger-7", "c-7", "12A", "rq_7", "pregnancy", "333"):
        assert trace not in str(record)
    assert record.reasons == ("contract_violation", "guard `weights`")
    assert find_records(engine, error="333") == find_records(engine, error="by hand") == []
    assert len(find_records(engine, error="guard `weights`", limit=2000)) == 1100
    assert (record.user, record.team, record.cost_micro) == (gone.pseudonym, "ops", 7)
    assert read_bodies(engine, record.id) == (None, None)
    assert summarise(engine).cost_micro == 7700
    assert summarise_by(engine, "user").keys() == {gone.pseudonym, "joann"}
    assert read_spending(engine, START_US - START_US % DAY_US) == {
        "service:delay": 7700,
        f"user:delay/{gone.pseudonym}": 7700,
    }
    assert read_record(engine, other.id).user == "joann"
    assert read_bodies(engine, other.id) == (b"1", None)
    assert len(outcomes_of(engine, other.id)) == 1
    assert verify_hours(engine, *EVER) == {}


SEAT = {"values": {"seat": "1A"}}


def differing(*requests: str) -> SavedSkew:
    """Return a report in which these requests were served another seat than the views say."""
    examples = [{"request": id, "served": f"12A {id}", "offline": "7C"} for id in requests]
    features = [{"feature": "seat", "examples": examples, "unequal": len(examples)}]
    return SavedSkew(service="delay", at_us=1, detail={"says": "s", "features": features})


def named_in(engine: Engine) -> list[str]:
    (saved,) = read_skew(engine, "delay")
    (feature,) = saved.detail["features"]
    assert feature["unequal"] == 2
    return [example["request"] for example in feature["examples"]]


def test_a_report_of_skew_does_not_name_the_requests_of_a_deleted_user(
    engine: Engine, folder: Path
) -> None:
    mine, other = personal(1), a_record(user="joann", features=SEAT)
    store(engine, folder, [mine, other])
    record_skew(engine, differing(mine.id, other.id))
    delete_user(engine, "ann")
    assert named_in(engine) == [other.id]
    (saved,) = read_skew(engine, "delay")
    assert mine.id not in str(saved)


def test_a_report_that_was_measured_while_a_user_was_deleted_does_not_name_them_either(
    engine: Engine, folder: Path
) -> None:
    mine = personal(1)
    other = a_record(user="joann", features=SEAT)
    store(engine, folder, [mine, other])
    delete_user(engine, "ann")
    record_skew(engine, differing(mine.id, other.id))
    assert named_in(engine) == [other.id]


def test_a_report_of_skew_does_not_outlive_the_records_that_it_names(
    engine: Engine, folder: Path
) -> None:
    old, new = (a_record(START_US + n * HOUR_US, features=SEAT) for n in range(2))
    store(engine, folder, [old, new])
    record_skew(engine, differing(old.id, new.id))
    drop_before(engine, old.service, START_US + 1)
    assert named_in(engine) == [new.id]


def test_deleting_a_user_who_left_nothing_is_no_error(engine: Engine) -> None:
    gone = delete_user(engine, "nobody")
    assert (gone.records, gone.bodies, gone.outcomes) == (0, 0, 0)


def test_two_deletions_do_not_meet_in_one_pseudonym(engine: Engine, folder: Path) -> None:
    store(engine, folder, [a_record(user="ann"), a_record(user="bob")])
    assert delete_user(engine, "ann").pseudonym != delete_user(engine, "bob").pseudonym
