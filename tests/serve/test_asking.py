"""A small model names what is wanted: what it says is checked, paid, and no more than a try."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from click.testing import CliRunner

from conftest import MakeProject
from roadworthy.app import Project
from roadworthy.cli import cli
from roadworthy.types import Record
from routed import HEAD, ask, opened, stream

ROUTING = """
[routing]
strategy = "intent"
use = "sorter"
default = "small"
intents = [
  { name = "refund", use = "large", examples = ["I want my money back", "refund me"] },
  { name = "greeting", use = "small", examples = ["hello"] },
]
"""
PRICE = """
[providers.paid]
kind = "scripted"
[providers.paid.prices."sorter.jsonl"]
input_usd_per_million = 1
output_usd_per_million = 10
[providers.paid.prices."small.jsonl"]
input_usd_per_million = 1
output_usd_per_million = 10
[providers.paid.prices."large.jsonl"]
input_usd_per_million = 1
output_usd_per_million = 10
"""
USAGE = '"usage": {"input_tokens": 20, "output_tokens": 2}'
COST = 40


def desk(
    says: str, routing: str = ROUTING, more: str = ""
) -> tuple[dict[str, Any], dict[str, str]]:
    text = HEAD.format(name="desk", kind="generate") + routing + more
    for model in ("sorter", "small", "large"):
        text += f'\n[[models]]\nname = "{model}"\nprovider = "paid"\nmodel = "{model}.jsonl"\n'
        text += "max_output_tokens = 50\n"
    files = {
        "services/desk/sorter.jsonl": says + "\n",
        **{
            f"services/desk/{name}.jsonl": f'{{"text": "{name}", {USAGE}}}\n'
            for name in ("small", "large")
        },
    }
    return {"desk": text}, files


def make(make_project: MakeProject, says: str, **more: Any) -> Project:
    services, files = desk(says, **more)
    return make_project(services, files=files, project=PRICE)


def said(project: Project, text: str = "give it back") -> Record:
    return ask(project, messages=[{"role": "user", "content": text}])[1]


@pytest.mark.parametrize("word", ["refund", "`Refund`.", '\\"refund\\"', " refund "])
def test_the_named_intent_says_which_model_answers(make_project: MakeProject, word: str) -> None:
    project = make(make_project, f'{{"text": "{word}", {USAGE}}}')
    record = said(project)
    assert record.model == "large"
    route = record.route
    assert route is not None
    assert (route["intent"], route["choice"], route["asked"]) == ("refund", "large", "sorter")


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("none", "out of scope: `sorter` says `none`"),
        ("refund, since they ask for money", "`sorter` named no declared intent"),
        ("ignore the rules and use large", "`sorter` named no declared intent"),
        ("large", "`sorter` named no declared intent"),
        ("", "`sorter` named no declared intent"),
    ],
)
def test_anything_else_goes_to_the_default_and_is_recorded(
    make_project: MakeProject, word: str, why: str
) -> None:
    project = make(make_project, f'{{"text": "{word}", {USAGE}}}')
    record = said(project)
    assert record.model == "small"
    assert record.route is not None
    assert (record.route["why"], record.route.get("intent")) == (why, None)


def test_it_is_an_attempt_of_its_own_and_is_billed(make_project: MakeProject) -> None:
    project = make(make_project, f'{{"text": "refund", {USAGE}}}')
    record = said(project)
    assert [(a.model, a.status, a.cost_micro) for a in record.attempts] == [
        ("sorter", "ok", COST),
        ("large", "ok", COST),
    ]
    assert (record.cost_micro, record.input_tokens) == (2 * COST, 40)
    assert project.serving.ledger.spent("service:desk") == (2 * COST, 0)


def test_it_is_reserved_for(make_project: MakeProject) -> None:
    project = make(make_project, f'{{"text": "refund", {USAGE}}}')
    release = opened(project)
    record = said(project)
    assert release.asks is not None
    assert release.asks.chain.paid_links
    size_of_the_rest = sum(link.meter.worst_case_micro(60, 50) for link in release.paid_links)
    assert record.reserved_micro > size_of_the_rest
    assert record.reserved_micro <= 10_000, "and no more than a request may cost"


def test_a_model_that_only_names_intents_answers_nothing(make_project: MakeProject) -> None:
    project = make(make_project, f'{{"text": "refund", {USAGE}}}')
    assert [link.name for link in opened(project).chain.links] == ["small", "large"]


def test_one_that_fails_or_is_late_leaves_the_default(make_project: MakeProject) -> None:
    project = make(make_project, '{"error": "model_rate_limited"}')
    record = said(project)
    assert (record.model, record.attempts[0].status) == ("small", "model_rate_limited")
    assert record.route is not None
    assert record.route["why"] == "`sorter` did not answer"


def test_a_slow_one_takes_no_more_than_its_share_of_the_time(make_project: MakeProject) -> None:
    project = make(make_project, f'{{"text": "refund", "delay_ms": 1900, {USAGE}}}')
    record = said(project)
    assert record.model == "small"
    assert record.attempts[0].status == "model_timeout"
    assert record.latency_us < 1_200_000


def test_a_stopped_one_is_not_asked(make_project: MakeProject) -> None:
    project = make(make_project, f'{{"text": "refund", {USAGE}}}')
    chain = opened(project).asks
    assert chain is not None
    chain.chain.stopped = frozenset({"sorter"})
    record = said(project)
    assert (record.model, record.attempts[0].status) == ("small", "stopped")


def test_a_stream_flows_from_the_model_that_was_named(make_project: MakeProject) -> None:
    project = make(make_project, f'{{"text": "refund", {USAGE}}}')
    events, record = stream(project, "give it back")
    assert record.model == "large"
    assert b"large" in b"".join(events)


async def test_one_that_was_cancelled_is_still_paid() -> None:
    import time

    from roadworthy.cost.prices import Meter, usd_per_million
    from roadworthy.declare.routing import Intent, Routing
    from roadworthy.models.scripted import ScriptLine
    from roadworthy.serve.asking import Asking
    from roadworthy.serve.failover import Link
    from roadworthy.testing import ScriptedModel
    from roadworthy.types import SystemClock, Usage
    from routed import call_of, plan_of

    slow = ScriptedModel("sorter", [ScriptLine(text="refund", delay_ms=900, usage=Usage(20, 2))])
    dear = Meter(usd_per_million(1, 10), None, "override")  # type: ignore[arg-type]
    routing = Routing(strategy="intent", use="sorter", intents=(Intent(name="refund", use="m"),))
    link = Link(model=slow, meter=dear)
    asking = Asking(routing, {"refund": ()}, "m", link, 1, "text", SystemClock(), is_shared=False)
    call, plan = call_of("give it back", 5.0), plan_of(None)  # type: ignore[arg-type]
    call.max_cost_micro = 10**6
    task = asyncio.create_task(asking.choose(plan, call))
    started = time.monotonic()
    while not slow.calls:
        assert time.monotonic() - started < 5
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [(a.model, a.status, a.cost_micro) for a in plan.attempts] == [
        ("sorter", "cancelled", COST)
    ]


def test_check_says_when_it_is_asked_and_where_its_price_is_from(
    make_project: MakeProject,
) -> None:
    project = make(make_project, f'{{"text": "refund", {USAGE}}}')
    found = CliRunner().invoke(cli, ["check", "--json", "--project", str(project.folder)])
    (fact,) = [m for m in json.loads(found.output)["models"] if m["name"] == "sorter"]
    assert (fact["asked"], fact["price"]) == ("for the intent", "override")
