"""What is bet on cheaper models, from a declaration to a certificate, an alarm and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from conftest import MakeProject
from roadworthy.app import Project
from roadworthy.bounds.in_force import pointer_of, read_within
from roadworthy.serve.auditing import Auditing
from roadworthy.store.certificates import certificate_in_force
from roadworthy.store.pairs import read_pairs
from roadworthy.store.records import children_of, delete_user, drop_before
from roadworthy.store.switchboard import Switchboard
from roadworthy.types import Pair
from routed import ask, cheaper, opened, service

ROUTING = """
[routing]
strategy = "cascade"
reference = "large"
max_error = 0.1
pairs_share = 1.0
of = "routed"
[outcomes]
unit = "request"
window = "1s"
"""
MODELS = {
    "small": "{'label': input.p > 0.3 ? 'right' : 'wrong', 'confidence': input.p}",
    "large": "{'label': 'right', 'confidence': 1.0}",
}
FOREVER_US = 2**60


def auditing(project: Project) -> Auditing:
    (found,) = project.serving.audits.values()
    return found


def pairs_of(project: Project) -> Sequence[Pair]:
    """Return the pairs there are once nothing is asked any more."""
    project.run(auditing(project).finish()).result()
    project.serving.writer.drain()
    return read_pairs(project.state, "desk", "route", opened(project).id, 0, FOREVER_US)


def ask_many(project: Project, ps: Sequence[float]) -> None:
    """Ask in portions that the queue of audits takes."""
    for begun in range(0, len(ps), 40):
        for p in ps[begun : begun + 40]:
            project.service("desk").answer({"p": float(p)})
        pairs_of(project)


def test_the_cheaper_model_is_asked_unseen_until_something_is_certified(
    make_project: MakeProject,
) -> None:
    project = make_project({"desk": service(ROUTING, MODELS)})
    reply, record = ask(project, p=0.2, user="ada")
    assert reply.output["label"] == "right"
    (pair,) = pairs_of(project)
    assert (pair.request_id, pair.share, pair.is_given) == (reply.request_id, 1.0, False)
    assert (pair.model, pair.reference, pair.score, pair.loss) == ("small", "large", 0.2, 1.0)
    (child,) = children_of(project.state, record.id)
    assert (child.id, child.arm, child.parent) == (pair.audit_id, "audit", record.id)
    assert (child.model, child.user, child.disposition) == ("small", "ada", "answered")


def test_an_audit_is_not_itself_compared(make_project: MakeProject) -> None:
    project = make_project({"desk": service(ROUTING, MODELS)})
    ask(project, p=0.9)
    assert len(pairs_of(project)) == 1
    assert len(pairs_of(project)) == 1


def test_what_is_audited_is_nobodys_request(make_project: MakeProject) -> None:
    from roadworthy.store.rollups import summarise

    project = make_project({"desk": service(ROUTING, MODELS)})
    for p in (0.1, 0.5, 0.9):
        ask(project, p=p)
    pairs_of(project)
    assert summarise(project.state, "desk").requests == 3
    assert summarise(project.state, "desk", arms=("audit",)).requests == 3


def test_too_many_that_wait_are_dropped_and_counted(make_project: MakeProject) -> None:
    project = make_project({"desk": service(ROUTING, MODELS)})
    audits = auditing(project)
    _, record = ask(project, p=0.9)
    pairs_of(project)
    told: list[str] = []

    async def flood() -> list[bool]:
        plan = _plan(project)
        return [audits.ask(plan, lambda answer, id: told.append(id)) for _ in range(100)]

    taken = project.run(flood()).result()
    project.run(audits.finish()).result()
    assert (sum(taken), audits.dropped, len(told)) == (64, 36, 64)
    assert record.id not in told


def _plan(project: Project):  # type: ignore[no-untyped-def]
    from routed import plan_of

    plan = plan_of(opened(project))
    plan.request.input = {"p": 0.5}
    return plan


def test_from_pairs_to_a_cheaper_model_that_answers(make_project: MakeProject) -> None:
    project = make_project({"desk": service(ROUTING, MODELS)})
    ask_many(project, np.random.default_rng(0).permutation(np.linspace(1, 0, 400)).tolist())
    _make_older(project)
    said = project.serving.jobs.run_now("pairs")
    assert "certified from" in str(said)
    project.run(project.serving.follow()).result()
    held = certificate_in_force(project.state, "desk", "route")
    assert held is not None
    assert cheaper(project).within.certificate == held.id
    reply, record = ask(project, p=0.95)
    assert reply.model == "small"
    assert record.certificates == (held.id,)
    unsure, _ = ask(project, p=0.1)
    assert unsure.model == "large"


def test_a_certificate_that_a_person_stops_decides_nothing(make_project: MakeProject) -> None:
    project = make_project({"desk": service(ROUTING, MODELS)})
    _put_in_force(project, 0.5)
    assert ask(project, p=0.9)[0].model == "small"
    board = Switchboard(project.state, project.clock)
    board.stop("desk", "ct_1", by="ada", reason="odd")
    project.run(project.serving.follow()).result()
    assert ask(project, p=0.9)[0].model == "large"
    board.resume("desk", "ct_1", by="ada")
    project.run(project.serving.follow()).result()
    assert ask(project, p=0.9)[0].model == "small"
    board.close()


def test_what_is_certified_for_another_release_holds_for_none_other(
    make_project: MakeProject,
) -> None:
    project = make_project({"desk": service(ROUTING, MODELS)})
    _put_in_force(project, 0.5, release="rl_other")
    assert ask(project, p=0.9)[0].model == "large"


def test_a_user_who_is_forgotten_leaves_nothing_personal_in_pairs(
    make_project: MakeProject,
) -> None:
    project = make_project({"desk": service(ROUTING.replace('"request"', '"user"'), MODELS)})
    ask(project, p=0.2, user="ada", tags=("vip",))
    ask(project, p=0.8, user="bob", tags=("vip",))
    assert {pair.unit for pair in pairs_of(project)} == {"ada", "bob"}
    delete_user(project.state, "ada")
    forgotten, kept = pairs_of(project)
    assert (forgotten.unit, forgotten.tags, forgotten.vector) == ("forgotten", (), b"")
    assert (forgotten.answers, forgotten.reference_answer) == ((), b"")
    assert forgotten.loss == 1.0, "what was counted is not forgotten"
    assert (kept.unit, kept.tags) == ("bob", ("vip",))


def test_pairs_go_with_the_records_of_their_time(make_project: MakeProject) -> None:
    project = make_project({"desk": service(ROUTING, MODELS)})
    ask(project, p=0.2)
    assert len(pairs_of(project)) == 1
    drop_before(project.state, "desk", project.clock.now_us() + 1)
    assert list(pairs_of(project)) == []


def test_closing_ends_what_is_asked_again(make_project: MakeProject) -> None:
    project = make_project({"desk": service(ROUTING, MODELS)})
    audits = auditing(project)

    async def ask_and_close() -> int:
        plan = _plan(project)
        for _ in range(30):
            audits.ask(plan, lambda answer, id: None)
        await audits.close()
        return len(audits._at_work)

    assert project.run(ask_and_close()).result() == 0


def test_a_service_that_bets_on_nothing_has_no_audits(make_project: MakeProject) -> None:
    project = make_project({"desk": service("", {"only": "{'label': 'right'}"})})
    ask(project, p=0.5)
    assert dict(project.serving.audits) == {}
    assert "bets on" in str(project.serving.jobs.run_now("pairs"))


def _put_in_force(project: Project, threshold: float, release: str = "") -> None:
    from roadworthy.bounds.in_force import Within

    now = Within(
        certificate="ct_1",
        threshold=threshold,
        release=release or opened(project).id,
        scorer=cheaper(project).scorer,
    )
    project.serving.jobs.run_now("pairs")  # it would take back what no certificate stands behind
    with project.state.begin() as connection:
        pointer_of("desk", "route", now).move(connection)
        assert read_within(connection, "desk", "route") == now
    project.run(project.serving.follow()).result()


def _make_older(project: Project) -> None:
    """Let all pairs have been asked an hour ago: what is known of them has had its time."""
    from sqlalchemy import update

    from roadworthy.store.gateway_tables import pairs

    with project.state.begin() as connection:
        connection.execute(update(pairs).values(at_us=pairs.c.at_us - 3_600_000_000))
