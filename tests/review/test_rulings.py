"""What people decide: once, of exactly what they saw, and heard of everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, update

from review_cases import CLOCK, a_review, approve, ask, correct, reject
from roadworthy.declare.project import Queue
from roadworthy.errors import Conflict, ContractViolation, Forbidden, NotFound, RequestError
from roadworthy.review.rulings import Ruled, Ruling, rule_on
from roadworthy.store.actions import list_actions, verify_chain
from roadworthy.store.records import outcomes_of
from roadworthy.store.review_lists import take_review
from roadworthy.store.reviews import read_corrections, read_review, reviews_of
from roadworthy.store.state import open_state
from roadworthy.store.tables import actions, reviews, switchboard
from roadworthy.types import Key, Review


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_state(f"sqlite:///{tmp_path}/state.db")
    yield engine
    engine.dispose()


REVIEWER = Key("k_2", "Bo", frozenset({"review"}))


def decide(
    engine: Engine, review: Review, ruling: Ruling, by: str = "key:k_2", **more: Any
) -> Ruled:
    return rule_on(engine, CLOCK, review.id, ruling, by=by, **more)


def pointer(engine: Engine, name: str) -> str:
    with engine.connect() as connection:
        query = switchboard.select().where(switchboard.c.name == name)
        row = connection.execute(query).first()
    return "" if row is None else str(row.value)


def test_an_approval_gives_the_draft_and_is_an_outcome(engine: Engine) -> None:
    review = ask(engine)
    ruled = decide(engine, review, approve(review))
    assert (ruled.is_new, ruled.is_late) == (True, False)
    known = read_review(engine, review.id)
    assert known == ruled.waiting
    assert (known.state, known.decision, known.decided_by) == ("decided", "approve", "key:k_2")
    assert known.given["output"] == {"label": True, "probability": 0.9}
    assert known.given["disposition"] == "answered"
    (outcome,) = outcomes_of(engine, review.request_id)
    assert (outcome.kind, outcome.value, outcome.source) == ("correct", True, "review")
    assert (outcome.by, outcome.propensity) == ("key:k_2", 0.5)
    (act,) = list_actions(engine)
    assert (act.action, act.subject, act.by) == ("review.decide", review.id, "key:k_2")
    assert act.detail["shown"] == review.digest
    assert read_corrections(engine, "late") == []


def test_a_correction_supersedes_the_answer_wherever_it_is_asked_again(engine: Engine) -> None:
    review = ask(engine, a_review(role="agent"))
    output = {"label": False, "probability": 0.1}
    ruled = decide(engine, review, correct(output=output, label=False))
    assert ruled.waiting.given["output"] == output
    (row,) = read_corrections(engine, "late")
    assert (row.input_digest, row.role, row.review_id) == ("d1", "agent", review.id)
    assert msgspec.json.decode(row.output) == output
    assert pointer(engine, "corrections:late") == review.id
    kinds = {o.kind: o.value for o in outcomes_of(engine, review.request_id)}
    assert kinds == {"correct": False, "label": False, "correction": output}


def test_a_label_alone_is_the_output(engine: Engine) -> None:
    review = ask(engine)
    assert decide(engine, review, correct(label=False)).waiting.given["output"] == {"label": False}
    plain = ask(engine, a_review(output=3))
    assert decide(engine, plain, correct(label=4)).waiting.given["output"] == 4


def test_a_rejection_refuses_and_corrects_nothing(engine: Engine) -> None:
    review = ask(engine)
    known = decide(engine, review, reject()).waiting
    assert (known.given["disposition"], known.given["output"]) == ("refused", None)
    assert "rejected: it could do harm" in known.given["reasons"]
    assert read_corrections(engine, "late") == []
    assert [o.value for o in outcomes_of(engine, review.request_id)] == [False]


def test_of_a_chat_its_text_is_given(engine: Engine) -> None:
    review = ask(engine, a_review(output={"role": "assistant", "content": "Hello."}))
    assert decide(engine, review, approve(review)).waiting.given["output"] == {"text": "Hello."}


def test_where_the_model_gave_a_text_a_correction_is_one(engine: Engine) -> None:
    review = ask(engine, a_review(output={"text": "Hello."}))
    for ruling in (correct(label="greeting"), correct(output="Bye."), correct(output={"text": 1})):
        with pytest.raises(ContractViolation, match="an object with a `text`"):
            decide(engine, review, ruling)
    assert decide(engine, review, correct(output={"text": "Bye."}, label="x")).is_new


def test_a_double_click_changes_nothing(engine: Engine) -> None:
    review = ask(engine)
    ruling = correct(label=False)
    first = decide(engine, review, ruling)
    again = decide(engine, review, ruling)
    assert (again.is_new, again.waiting) == (False, first.waiting)
    assert len(outcomes_of(engine, review.request_id)) == 2
    assert len(list_actions(engine)) == 1


def test_another_ruling_is_told_who_decided_what(engine: Engine) -> None:
    review = ask(engine)
    decide(engine, review, approve(review), by="key:k_2")
    with pytest.raises(Conflict, match="key:k_2 said `approve`") as caught:
        decide(engine, review, reject(), by="key:k_3")
    assert caught.value.status == 409
    assert read_review(engine, review.id).decision == "approve"


def test_of_two_at_once_one_decides(engine: Engine) -> None:
    review = ask(engine)

    def one(k: int) -> str:
        try:
            ruling = approve(review) if k % 2 else reject()
            return f"{decide(engine, review, ruling, by=f'key:k_{k}').is_new}"
        except Conflict:
            return "conflict"

    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(one, range(16)))
    assert said.count("True") == 1
    assert said.count("conflict") == 8
    assert len(list_actions(engine)) == 1
    assert len(outcomes_of(engine, review.request_id)) == 1


def test_what_somebody_is_at_work_on_nobody_else_decides(engine: Engine) -> None:
    review = ask(engine)
    take_review(engine, CLOCK, review.id, by="key:k_2")
    with pytest.raises(Conflict, match="key:k_2 is at work on"):
        decide(engine, review, approve(review), by="key:k_3")
    assert decide(engine, review, approve(review), by="key:k_2").is_new


def test_an_approval_is_of_what_was_seen(engine: Engine) -> None:
    review = ask(engine)
    with pytest.raises(Conflict, match="an edit needs a new approval"):
        decide(engine, review, approve(a_review(output={"label": False})))
    with pytest.raises(RequestError, match="expected the digest"):
        decide(engine, review, Ruling(decision="approve"))
    assert read_review(engine, review.id).state == "open"


def test_an_answer_that_was_changed_behind_its_digest_is_not_approved(engine: Engine) -> None:
    review = ask(engine)
    with engine.begin() as connection:
        here = update(reviews).where(reviews.c.id == review.id)
        connection.execute(here.values(draft=b'{"label":false}'))
    with pytest.raises(Conflict, match="is not what was asked"):
        decide(engine, review, approve(review))


def test_a_late_decision_is_evidence_and_changes_nothing_for_who_waited(engine: Engine) -> None:
    review = ask(engine)
    with engine.begin() as connection:
        here = update(reviews).where(reviews.c.id == review.id)
        connection.execute(here.values(state="expired", given=b'{"output":{"label":false}}'))
    ruled = decide(engine, review, correct(label=False))
    assert (ruled.is_new, ruled.is_late) == (True, True)
    known = read_review(engine, review.id)
    assert (known.state, known.decision) == ("expired", "correct")
    assert known.given == {"output": {"label": False}}
    assert len(outcomes_of(engine, review.request_id)) == 2
    assert len(read_corrections(engine, "late")) == 1
    assert decide(engine, review, correct(label=False)).is_late


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (Key("k_9", "x", frozenset({"answer", "read", "admin"})), "lacks the scope `review`"),
        (Key("k_9", "x", frozenset({"review"}), frozenset({"other"})), "may not review `late`"),
    ],
)
def test_a_key_without_the_role_or_the_service_decides_nothing(
    engine: Engine, key: Key, said: str
) -> None:
    review = ask(engine)
    with pytest.raises(Forbidden, match=said):
        decide(engine, review, approve(review), key=key)
    assert decide(engine, review, approve(review), key=REVIEWER).is_new


@pytest.mark.parametrize(
    ("ruling", "said"),
    [
        (Ruling(decision="correct", reason_code="other"), "expected `output` or `label`"),
        (Ruling(decision="reject", reason_code="other", label=1), "expected neither"),
        (Ruling(decision="correct", label=1), "reason_code: expected one of wrong_label"),
        (Ruling(decision="reject"), "reason_code: .* got none"),
        (Ruling(decision="reject", reason_code="mood"), "reason_code: .* got another"),
    ],
)
def test_a_ruling_that_makes_no_sense_is_refused(engine: Engine, ruling: Ruling, said: str) -> None:
    review = ask(engine)
    with pytest.raises(RequestError, match=said):
        decide(engine, review, ruling)
    assert list_actions(engine) == []


def test_a_correction_keeps_the_schema_of_the_service(engine: Engine) -> None:
    review = ask(engine)

    def check(service: str, output: Any) -> str:
        return (
            "" if "probability" in output else f"output: expected field `probability` - {service}"
        )

    with pytest.raises(ContractViolation, match="expected field `probability` - late"):
        decide(engine, review, correct(label=False), check=check)
    assert read_review(engine, review.id).state == "open"
    output = {"label": False, "probability": 0}
    assert decide(engine, review, correct(output=output), check=check).is_new


def test_nothing_is_approved_where_no_model_answered(engine: Engine) -> None:
    review = ask(engine, a_review(output=None))
    with pytest.raises(RequestError, match="nothing can be approved"):
        decide(engine, review, approve(review))
    assert decide(engine, review, correct(output={"label": True})).is_new


def test_an_unknown_case_is_not_found(engine: Engine) -> None:
    with pytest.raises(NotFound, match="no review `rv_none`"):
        decide(engine, a_review(id="rv_none"), reject())


def test_a_second_look_is_blind_and_another_persons(engine: Engine) -> None:
    review = ask(engine)
    queues = {"desk": Queue(owner="Ada", second_share=1.0)}
    decide(engine, review, correct(label=False), queues=queues)
    with engine.connect() as connection:
        _, second = reviews_of(connection, review.request_id)
    asked = second.review
    assert (asked.kind, asked.score, asked.confidence, asked.reasons) == ("second", None, None, ())
    assert (asked.draft, asked.input, second.state) == (review.draft, review.input, "open")
    with pytest.raises(Forbidden, match="needs another person"):
        decide(engine, asked, approve(review))
    with pytest.raises(Forbidden, match="needs another person"):
        take_review(engine, CLOCK, asked.id, by="key:k_2")
    assert decide(engine, asked, approve(review), by="key:k_3", queues=queues).waiting.given == {}
    sources = [(o.source, o.value) for o in outcomes_of(engine, review.request_id)]
    assert ("second", True) in sources
    assert len(read_corrections(engine, "late")) == 1, "what disagrees supersedes nothing"


def test_what_is_told_is_told_in_the_same_transaction(engine: Engine) -> None:
    review, told = ask(engine), []

    def tell(connection: Any, queue: str, event: str, subject: str, facts: Any) -> None:
        told.append((queue, event, facts["decision"]))
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk"):
        decide(engine, review, approve(review), tell=tell)
    assert told == [("desk", "review.decide", "approve")]
    assert read_review(engine, review.id).state == "open"
    assert (outcomes_of(engine, review.request_id), list_actions(engine)) == ([], [])


def test_a_tampered_decision_breaks_the_chain(engine: Engine) -> None:
    for _ in range(3):
        review = ask(engine)
        decide(engine, review, approve(review))
    assert verify_chain(engine).broken_at is None
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER actions_no_update")
        detail = connection.execute(actions.select().where(actions.c.seq == 2)).one().detail
        changed = detail.replace('"approve"', '"reject"')
        connection.execute(update(actions).where(actions.c.seq == 2).values(detail=changed))
    assert verify_chain(engine).broken_at == 2


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(label=_json, output=_json)
def test_a_ruling_comes_back_as_it_was(label: Any, output: Any) -> None:
    ruling = correct(label=label, output=output)
    assert msgspec.convert(msgspec.to_builtins(ruling), Ruling) == ruling
