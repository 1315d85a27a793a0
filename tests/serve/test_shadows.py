"""A candidate answers what was answered: nobody is shown it, asked for it, or charged for it."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from candidates import ask, record_of, split, two_releases
from conftest import MakeProject
from roadworthy.app import Project
from roadworthy.errors import BudgetExhausted
from roadworthy.serve.identify import LOCAL_KEY
from roadworthy.serve.request import Reply, Request
from roadworthy.serve.shadows import Shadows
from roadworthy.serve.splits import OpenSplit
from roadworthy.serve.unseen import MOST_WAITING
from roadworthy.store.records import children_of, find_records, read_bodies
from roadworthy.store.rollups import summarise
from roadworthy.store.spending import read_spending
from roadworthy.store.tables import drafts, outcomes, reviews
from roadworthy.types import DAY_US, Record

SHADOW = '[release]\njudge = "shadow"\n{more}\n'


def shadowing(make_project: MakeProject, share: float = 1.0, **more: Any) -> tuple[Project, str]:
    project, candidate = two_releases(make_project, **more)
    split(project, candidate, share, judge="shadow")
    return project, candidate


def shadows_of(project: Project) -> Shadows:
    found = project.serving.engine.splits["late"]
    assert isinstance(found, OpenSplit)
    assert found.shadows is not None
    return found.shadows


def finish(project: Project) -> None:
    """Wait until all shadows have answered and are written down."""
    project.run(shadows_of(project).finish()).result()
    project.serving.writer.drain()


def shadow_of(project: Project, reply: Reply) -> Record | None:
    finish(project)
    found = [r for r in children_of(project.state, reply.request_id) if r.arm == "shadow"]
    return found[0] if found else None


def test_the_same_input_is_answered_unseen(make_project: MakeProject) -> None:
    project, candidate = shadowing(make_project)
    reply = ask(project, "ada", p=0.7)
    assert reply.output == {"by": "champion", "p": 0.7}
    shadow = shadow_of(project, reply)
    assert shadow is not None
    assert (shadow.release, shadow.canary, shadow.propensity) == (candidate, "ro_1", 1.0)
    assert (shadow.user, shadow.parent, shadow.key) == ("ada", reply.request_id, "local")
    output = read_bodies(project.state, shadow.id)[1]
    assert output is not None
    assert msgspec.json.decode(output) == {"by": "candidate", "p": 0.7}


def test_it_is_about_what_the_shown_answer_is_about(make_project: MakeProject) -> None:
    about = '[outcomes]\nunit = "entity"\nentity = ["p"]\n'
    project, _ = shadowing(make_project, more=about)
    found = [shadow_of(project, ask(project, "ada", p=p)) for p in (0.25, 0.75)]
    assert [shadow.entity for shadow in found if shadow is not None] == ["0.25", "0.75"]


def test_what_is_shown_names_the_rollout(make_project: MakeProject) -> None:
    project, _ = shadowing(make_project)
    shown = record_of(project, ask(project, "ada"))
    assert (shown.arm, shown.canary, shown.propensity) == ("champion", "ro_1", 1.0)


def test_a_share_of_users_is_shadowed(make_project: MakeProject) -> None:
    project, _ = shadowing(make_project, 0.4)
    replies = [ask(project, f"user-{number}") for number in range(60)]
    shadows = [shadow for reply in replies if (shadow := shadow_of(project, reply))]
    assert 12 < len(shadows) < 36
    assert {shadow.propensity for shadow in shadows} == {0.4}


def test_it_counts_in_no_figure_of_what_users_got(make_project: MakeProject) -> None:
    project, _ = shadowing(make_project)
    for number in range(5):
        ask(project, f"user-{number}")
    finish(project)
    assert summarise(project.state, "late").requests == 5
    assert summarise(project.state, "late", arms=("shadow",)).requests == 5
    assert len(find_records(project.state, service="late")) == 5
    assert len(find_records(project.state, service="late", arms=("shadow",))) == 5


def test_bodies_are_kept_as_the_service_says(make_project: MakeProject) -> None:
    project, _ = shadowing(make_project, more='[records]\nbodies = "none"\n')
    shadow = shadow_of(project, ask(project, "ada"))
    assert shadow is not None
    assert read_bodies(project.state, shadow.id) == (None, None)


PAID = """
[providers.paid]
kind = "scripted"
[providers.paid.prices."script.jsonl"]
input_usd_per_million = 1.0
output_usd_per_million = 10.0
"""
REPLY = """
name = "late"
kind = "generate"
owners = {{ product = "test" }}
objectives = {{ deadline_ms = 2000 }}
cost = {{ per_request_usd = 0.01, per_day_usd = {per_day}, per_user_per_day_usd = 1 }}
purpose = "{purpose}"
[release]
judge = "shadow"
shadow = {{ per_day_usd = {shadow} }}
[[guards]]
use = "rule"
expression = "output.text != ''"
[[models]]
name = "script"
provider = "paid"
model = "script.jsonl"
max_output_tokens = 100
"""
SCRIPT = '{"text": "soon", "usage": {"input_tokens": 100, "output_tokens": 10}}\n'
COST_MICRO = 200


def paid(make_project: MakeProject, shadow: float = 1.0) -> tuple[Project, str]:
    texts = [REPLY.format(per_day=5, shadow=shadow, purpose=which) for which in ("one", "two")]
    files = {"services/late/script.jsonl": SCRIPT}
    project = make_project({"late": texts[0]}, files=files, project=PAID)
    champion = project.build_release("late", by="test")
    project.promote(champion.id, by="test")
    (project.folder / "services/late/service.toml").write_text(texts[1])
    candidate = project.build_release("late", by="test").id
    split(project, candidate, 1.0, judge="shadow")
    return project, candidate


def chat(project: Project, user: str = "ada") -> Reply:
    return project.service("late").answer({"text": "when?"}, user=user)


def test_it_counts_in_nobody_s_budget_but_its_own(make_project: MakeProject) -> None:
    project, _ = paid(make_project)
    reply = chat(project)
    shadow = shadow_of(project, reply)
    assert shadow is not None
    assert (reply.cost_micro, shadow.cost_micro) == (COST_MICRO, COST_MICRO)
    assert shadow.scopes == ("shadow:late",)
    ledger = project.serving.ledger
    for scope in ("service:late", "user:late/ada", "shadow:late"):
        assert ledger.spent(scope) == (COST_MICRO, 0)
    now_us = project.clock.now_us()
    spent = read_spending(project.state, now_us - now_us % DAY_US)
    assert spent["shadow:late"] == COST_MICRO
    assert spent["service:late"] == COST_MICRO


def test_when_its_money_is_spent_users_notice_nothing(make_project: MakeProject) -> None:
    project, _ = paid(make_project, shadow=0.01)
    replies = [chat(project, f"user-{number}") for number in range(60)]
    finish(project)
    assert {reply.disposition for reply in replies} == {"answered"}
    found = find_records(project.state, arms=("shadow",), limit=200)
    refused = [record for record in found if record.error_code == BudgetExhausted.code]
    assert shadows_of(project).refused == len(refused) > 0
    settled, held = project.serving.ledger.spent("shadow:late")
    assert (held, settled) == (0, COST_MICRO * (len(found) - len(refused)))
    assert settled <= 10_000


def test_what_the_contract_or_the_budget_refused_is_not_asked(make_project: MakeProject) -> None:
    more = '[contract]\ninput = "in.json"\n'
    files = {"services/late/in.json": '{"required": ["p"]}'}
    project, _ = shadowing(make_project, more=more, files=files)
    reply = project.service("late").answer({"q": 1}, user="ada")
    assert reply.error is not None
    assert shadow_of(project, reply) is None


GUARD = """
[[guards]]
use = "rule"
on = "output"
expression = "output.p < 0.9"
"""


def test_what_a_guard_denied_is_asked_since_the_candidate_may_fare_better(
    make_project: MakeProject,
) -> None:
    model = "{'by': 'candidate', 'p': 0.1}"
    project, _ = shadowing(make_project, model=model, more=GUARD)
    reply = ask(project, "ada", p=0.95)
    assert reply.disposition == "refused"
    shadow = shadow_of(project, reply)
    assert shadow is not None
    assert shadow.disposition == "answered"


REVIEW = """
[review]
max_error = 0.1
queue = "desk"
on_expiry = "refuse"
overflow = "refuse"
[[fallback]]
use = "human"
"""


def test_no_person_is_asked_and_no_draft_is_left(make_project: MakeProject) -> None:
    queue = '[queues.desk]\nowner = "Ada"\n'
    project, candidate = shadowing(make_project, more=REVIEW, project=queue)
    reply = ask(project, "ada")
    assert reply.disposition == "review"
    shadow = shadow_of(project, reply)
    assert shadow is not None
    assert (shadow.disposition, shadow.review) == ("answered", "")
    with project.state.connect() as connection:
        left = connection.execute(drafts.select().where(drafts.c.release == candidate)).all()
        waiting = connection.execute(reviews.select()).all()
        known = connection.execute(outcomes.select()).all()
    assert (left, known) == ([], [])
    assert [review.request_id for review in waiting] == [reply.request_id]


def test_a_candidate_whose_models_fail_asks_no_person_either(make_project: MakeProject) -> None:
    queue = '[queues.desk]\nowner = "Ada"\n'
    model = "{'by': 'candidate', 'p': input.gone}"
    project, _ = shadowing(make_project, model=model, more=REVIEW, project=queue)
    shadow = shadow_of(project, ask(project, "ada"))
    assert shadow is not None
    assert shadow.disposition == "failed"


def test_what_comes_while_too_many_wait_is_dropped_and_counted(make_project: MakeProject) -> None:
    project, _ = shadowing(make_project)
    engine, service = project.serving.engine, project.service("late")

    async def burst() -> list[Reply]:
        asked = (service.answer_async({"p": 0.5}, user=f"u{n}") for n in range(2 * MOST_WAITING))
        return list(await asyncio.gather(*asked))

    replies = asyncio.run(burst())
    assert {reply.disposition for reply in replies} == {"answered"}
    finish(project)
    shadows = shadows_of(project)
    answered = summarise(project.state, "late", arms=("shadow",)).requests
    assert answered + shadows.dropped == 2 * MOST_WAITING
    assert engine.in_flight == 0


def test_what_still_waits_when_it_ends_is_forgotten(make_project: MakeProject) -> None:
    project, _ = shadowing(make_project)
    for number in range(10):
        ask(project, f"u{number}")
    shadows = shadows_of(project)
    project.run(shadows.close()).result()
    project.run(shadows.finish()).result()
    assert shadows.refused == 0


@pytest.mark.slow
def test_a_stream_is_shadowed_too(make_project: MakeProject) -> None:
    project, candidate = paid(make_project)

    async def stream() -> str:
        request = Request(
            service="late",
            key=LOCAL_KEY,
            protocol="openai",
            input={"text": "when?"},
            is_stream=True,
            user="ada",
        )
        reply = await project.serving.engine.stream(request)
        assert reply.events is not None
        async for _ in reply.events:
            pass
        return reply.request_id

    id = project.run(stream()).result()
    finish(project)
    (shadow,) = children_of(project.state, id)
    assert (shadow.arm, shadow.release) == ("shadow", candidate)
