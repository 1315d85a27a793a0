"""Pairs: what both sides answered, with the chance that was known before either had."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from conftest import MakeProject
from roadworthy.app import Project
from roadworthy.serve.auditing import Auditing
from roadworthy.store.gateway_tables import pairs
from roadworthy.store.pairs import pair_of
from routed import ask, certify, cheaper, opened, service

ROUTING = """
[routing]
strategy = "cascade"
max_error = 0.1
pairs_share = {pairs}
audit_share = {audits}
reference = "{reference}"
[outcomes]
reported = "all"
unit = "{unit}"
"""
MODELS = {
    "small": "{'label': input.guess, 'confidence': input.p}",
    "large": "{'label': 'right', 'confidence': 1.0}",
}
THREE = {
    "small": "{'label': input.guess, 'confidence': input.p}",
    "middle": "{'label': 'middle', 'confidence': input.q}",
    "large": "{'label': 'right', 'confidence': 1.0}",
}


def desk(
    *,
    share: float = 1.0,
    audits: float = 1.0,
    reference: str = "outcomes",
    unit: str = "user",
    models: dict[str, str] = MODELS,
) -> str:
    routing = ROUTING.format(pairs=share, audits=audits, reference=reference, unit=unit)
    return service(routing, models)


def audited(project: Project) -> Auditing:
    """Let the router's audits ask again, as a served release's do."""
    serving, router = project.serving, cheaper(project)
    if not isinstance(router.audits, Auditing):
        router.audits = Auditing(opened(project), project.clock, serving.ledger, serving.spool)
    return router.audits


def kept(project: Project, auditing: Auditing) -> list[dict[str, Any]]:
    project.run(auditing.finish()).result()
    project.serving.writer.drain()
    with project.state.connect() as connection:
        rows = connection.execute(select(pairs).order_by(pairs.c.id)).all()
    return [msgspec.structs.asdict(pair_of(row)) for row in rows]


def answers(pair: dict[str, Any]) -> list[Any]:
    return [msgspec.json.decode(one) for one in pair["answers"]]


def test_before_anything_is_certified_the_cheap_model_answers_unseen(
    make_project: MakeProject,
) -> None:
    project = make_project({"desk": desk()})
    auditing = audited(project)
    reply, record = ask(project, guess="wrong", p=0.7, user="ada", tags=("vip",))
    (pair,) = kept(project, auditing)
    assert reply.model == "large"
    assert pair["request_id"] == reply.request_id
    assert (pair["decision"], pair["model"], pair["reference"]) == ("route", "small", "large")
    assert (pair["score"], pair["share"], pair["is_given"]) == (0.7, 1.0, 0)
    assert (pair["unit"], pair["tags"], pair["certificate"]) == ("ada", ("vip",), "")
    assert (answers(pair), pair["reference_answer"]) == (["wrong"], b'"right"')
    assert pair["scorer"] == "own"
    assert pair["loss"] is None, "an outcome says it"
    assert record.route is not None
    assert (record.route["share"], record.route["is_drawn"]) == (1.0, True)


def test_a_coin_of_the_request_says_who_is_compared(make_project: MakeProject) -> None:
    project = make_project({"desk": desk(share=0.3)})
    auditing = audited(project)
    records = [ask(project, guess="x", p=0.7, user=f"u{n}")[1] for n in range(100)]
    drawn = {r.id for r in records if r.route is not None and r.route["is_drawn"]}
    found = kept(project, auditing)
    assert {pair["request_id"] for pair in found} == drawn
    assert 15 < len(drawn) < 47
    assert {pair["share"] for pair in found} == {0.3}
    assert {r.route["share"] for r in records if r.route is not None} == {0.3}


def test_a_cheap_answer_that_was_given_is_audited_by_the_strongest(
    make_project: MakeProject,
) -> None:
    project = make_project({"desk": desk()})
    auditing = audited(project)
    certify(project, 0.8, audit_share=1.0)
    reply, _ = ask(project, guess="wrong", p=0.9)
    (pair,) = kept(project, auditing)
    assert reply.model == "small"
    assert (pair["is_given"], pair["certificate"], pair["share"]) == (1, "ct_1", 1.0)
    assert (pair["score"], pair["model"], pair["reference"]) == (0.9, "small", "large")
    assert pair["audit_id"]
    assert (answers(pair), pair["reference_answer"]) == (["wrong"], b'"right"')


def test_an_escalated_request_has_both_sides_already(make_project: MakeProject) -> None:
    project = make_project({"desk": desk(audits=0.01, share=0.01)})
    auditing = audited(project)
    certify(project, 0.8)
    ask(project, guess="wrong", p=0.4)
    (pair,) = kept(project, auditing)
    assert (pair["audit_id"], pair["share"], pair["score"]) == ("", 1.0, 0.4)
    assert (pair["is_given"], pair["certificate"]) == (0, "")
    assert (answers(pair), pair["reference_answer"]) == (["wrong"], b'"right"')


@pytest.mark.parametrize(("guess", "loss"), [("right", 0.0), ("wrong", 1.0)])
def test_against_a_named_model_the_loss_is_known_at_once(
    make_project: MakeProject, guess: str, loss: float
) -> None:
    project = make_project({"desk": desk(reference="large")})
    auditing = audited(project)
    ask(project, guess=guess, p=0.7)
    (pair,) = kept(project, auditing)
    assert (pair["loss"], pair["quality"], pair["reference_quality"]) == (loss, 1 - loss, 1.0)
    assert pair["known_at_us"] >= pair["at_us"]
    assert answers(pair) == []


def test_of_several_cheaper_models_all_are_heard_and_the_worst_counts(
    make_project: MakeProject,
) -> None:
    project = make_project({"desk": desk(models=THREE, reference="large")})
    auditing = audited(project)
    ask(project, guess="right", p=0.6, q=0.8)
    certify(project, 0.9)
    ask(project, guess="right", p=0.5, q=0.7)
    for pair, score in zip(kept(project, auditing), (0.8, 0.7), strict=True):
        assert (pair["score"], pair["loss"]) == (score, 1.0), "the middle one is wrong"


def test_a_cheap_model_that_fails_leaves_no_pair(make_project: MakeProject) -> None:
    models = {**MODELS, "small": "{'label': input.gone, 'confidence': 0.9}"}
    project = make_project({"desk": desk(models=models)})
    auditing = audited(project)
    ask(project, guess="x", p=0.9)
    certify(project, 0.8)
    ask(project, guess="x", p=0.9)
    assert kept(project, auditing) == []


def test_what_the_ladder_gave_is_compared_with_nothing(make_project: MakeProject) -> None:
    models = {**MODELS, "large": "{'label': input.gone}"}
    text = desk(models=models) + '[[fallback]]\nuse = "static"\noutput = { label = "later" }\n'
    project = make_project({"desk": text})
    auditing = audited(project)
    certify(project, 0.8)
    ask(project, guess="x", p=0.4)
    assert kept(project, auditing) == []


def test_what_counts_once_is_as_outcomes_say(make_project: MakeProject) -> None:
    project = make_project({"desk": desk(unit="request")})
    auditing = audited(project)
    reply, _ = ask(project, guess="x", p=0.7, user="ada")
    (pair,) = kept(project, auditing)
    assert pair["unit"] == reply.request_id


def test_nothing_is_asked_again_in_a_rehearsal(make_project: MakeProject) -> None:
    from roadworthy.serve.rehearsal import Rehearsal

    project = make_project({"desk": desk()})
    auditing = audited(project)
    rehearsal = Rehearsal(opened(project), project.clock)

    async def rehearse() -> Any:
        return await rehearsal.ask({"guess": "x", "p": 0.7})

    found = project.run(rehearse()).result()
    assert found.record.model == "large"
    assert found.record.route["choice"] == "large"
    assert kept(project, auditing) == []


def test_what_an_audit_asks_is_itself_compared_with_nothing(make_project: MakeProject) -> None:
    project = make_project({"desk": desk()})
    auditing = audited(project)
    for number in range(5):
        ask(project, guess="x", p=0.7, user=f"u{number}")
    assert len(kept(project, auditing)) == 5
