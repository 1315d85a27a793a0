"""The same question gets the same answer again, and nobody gets what is another's."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

import msgspec
import pytest

from conftest import InstallPlugin, MakeProject
from roadworthy.app import Project
from roadworthy.serve.caches import ReleaseCache
from roadworthy.serve.request import Reply, Request
from roadworthy.store.records import read_record
from roadworthy.types import Key, Record, SettableClock

HOUR_US = 3_600_000_000
SERVICE = """
name = "reply"
kind = "generate"
owners = {{ product = "test" }}
objectives = {{ deadline_ms = {deadline_ms} }}
cost = {{ per_day_usd = 1 }}
[cache]
exact_ttl_s = 3600
{cache}
[[models]]
name = "script"
provider = "paid"
model = "script.jsonl"
max_output_tokens = 100
{more}
"""
PAID = """
[providers.paid]
kind = "scripted"
[providers.paid.prices."script.jsonl"]
input_usd_per_million = 1.0
output_usd_per_million = 10.0
"""
USAGE = {"input_tokens": 100, "output_tokens": 10}
NUMBERED = "\n".join(
    json.dumps({"text": f"answer {number}", "usage": USAGE}) for number in range(1, 40)
)
ANN = Key("k1", "one", frozenset({"answer", "act_as"}), team="red")
BEN = Key("k2", "two", frozenset({"answer", "act_as"}), team="blue")
NOBODY = Key("k3", "three", frozenset({"answer", "act_as"}))


def make(
    make_project: MakeProject,
    cache: str = "",
    more: str = "",
    lines: str = NUMBERED,
    deadline_ms: int = 2000,
) -> Project:
    service = SERVICE.format(cache=cache, more=more, deadline_ms=deadline_ms)
    files = {"services/reply/script.jsonl": lines}
    project = make_project({"reply": service}, files=files, project=PAID)
    project.promote(project.build_release("reply", by="test").id, by="test")
    made: Project = project
    return made


def ask(project: Project, text: str = "when?", key: Key = ANN, **given: Any) -> Reply:
    """Ask by a key, as a gateway would."""
    parameters = given.pop("parameters", {})
    messages = given.pop("messages", [{"role": "user", "content": text}])
    body = {
        name: msgspec.Raw(msgspec.json.encode(value))
        for name, value in {"messages": messages, **parameters}.items()
    }
    request = Request(service="reply", key=key, protocol="openai", body=body, **given)
    return project.run(project.serving.engine.answer(request)).result()


def said(reply: Reply) -> str:
    text: str = reply.output["text"]
    return text


def record_of(project: Project, reply: Reply) -> Record:
    project.serving.writer.drain()
    return read_record(project.state, reply.request_id)


@pytest.fixture
def project(make_project: MakeProject) -> Project:
    return make(make_project)


def test_the_same_question_gets_the_same_answer_and_costs_nothing(project: Project) -> None:
    first, again = ask(project), ask(project)
    assert (first.disposition, again.disposition) == ("answered", "cached")
    assert said(first) == said(again) == "answer 1"
    assert (first.cost_micro > 0, again.cost_micro) == (True, 0)
    record = record_of(project, again)
    assert record.cache == {"kind": "exact", "source": first.request_id, "age_s": 0}
    assert (record.attempts, record.reserved_micro, record.input_tokens) == ((), 0, 0)
    assert record.model == "script"


@pytest.mark.parametrize(
    "changed",
    [
        {"text": "When?"},
        {"text": "when? "},
        {"text": "when\u200b?"},
        {"parameters": {"temperature": 0.7}},
        {"parameters": {"seed": 1}},
        {"parameters": {"user": "x"}},
        {"role": "agent"},
        {"messages": [{"role": "system", "content": ""}, {"role": "user", "content": "when?"}]},
        {"messages": [{"role": "user", "content": "when?", "name": "x"}]},
    ],
)
def test_whatever_an_answer_may_depend_on_is_of_the_key(
    project: Project, changed: dict[str, Any]
) -> None:
    ask(project)
    assert ask(project, **changed).disposition == "answered"
    assert ask(project, **changed).disposition == "cached"


@pytest.mark.parametrize("scope", ["user", "team", "role", "all"])
def test_nobody_outside_of_the_scope_is_given_an_answer(
    make_project: MakeProject, scope: str
) -> None:
    project = make(make_project, f'scope = "{scope}"')
    owner: dict[tuple[str, ...], str] = {}
    people = itertools.product((ANN, BEN, NOBODY), ("ann", "bob", "team", ""), ("", "agent"))
    for key, user, role in people:
        reply = ask(project, key=key, user=user, role=role)
        team = key.team or key.id
        shares = {
            "user": (team, user or key.id, role),
            "team": (team, role),
            "role": (role,),
            "all": (role,),
        }[scope]
        if shares in owner:
            assert (reply.disposition, said(reply)) == ("cached", owner[shares])
        else:
            assert reply.disposition == "answered"
            assert said(reply) not in owner.values()
            owner[shares] = said(reply)


def test_a_user_who_is_called_like_a_key_or_a_team_is_given_nothing_of_theirs(
    make_project: MakeProject,
) -> None:
    project = make(make_project)
    lone, crafted = Key("k9", "n", ANN.scopes), Key("k8", "n", ANN.scopes, team="k9")
    replies = [
        ask(project, key=lone),
        ask(project, key=crafted, user="key:k9"),
        ask(project, key=ANN, user="key:k9"),
        ask(project, key=ANN, user="red\x00ann"),
        ask(project, key=ANN, user="1:a"),
        ask(project, key=ANN, user="1", role=":a"),
    ]
    assert [reply.disposition for reply in replies] == ["answered"] * len(replies)


def test_names_that_only_look_alike_share_nothing(project: Project) -> None:
    names = ["ann", "Ann", "ann ", "a\u0000nn", "\u0430nn", "an\u0301n", "ann\u202e"]
    replies = [ask(project, user=name) for name in names]
    assert {reply.disposition for reply in replies} == {"answered"}
    assert len({said(reply) for reply in replies}) == len(names)


def test_an_answer_grows_old_by_the_clock_of_the_project(project: Project) -> None:
    clock = project.clock
    assert isinstance(clock, SettableClock)
    ask(project)
    start_us = clock.now_us()
    clock.set(start_us + HOUR_US - 60_000_000)
    kept = ask(project)
    told = record_of(project, kept).cache
    assert told is not None
    assert (kept.disposition, told["age_s"]) == ("cached", 3_540)
    clock.set(start_us + HOUR_US + 60_000_000)
    assert ask(project).disposition == "answered"


def test_an_answer_of_the_future_is_given_to_nobody(project: Project) -> None:
    clock = project.clock
    assert isinstance(clock, SettableClock)
    ask(project)
    clock.set(clock.now_us() - HOUR_US)
    assert ask(project).disposition == "answered"


def test_a_client_that_wants_a_fresh_answer_gets_one_and_it_is_kept(project: Project) -> None:
    ask(project)
    fresh = ask(project, cache="no-cache")
    assert (fresh.disposition, said(fresh)) == ("answered", "answer 2")
    assert said(ask(project)) == "answer 2"


def test_a_client_can_want_nothing_kept(project: Project) -> None:
    assert said(ask(project, cache="no-store")) == "answer 1"
    assert said(ask(project)) == "answer 2"
    assert said(ask(project, cache="no-store")) == "answer 3"
    assert said(ask(project)) == "answer 2"


def lines(*answers: dict[str, Any]) -> str:
    return "\n".join(map(json.dumps, answers))


def test_errors_are_not_kept(make_project: MakeProject) -> None:
    project = make(make_project, lines=lines({"error": "model_unavailable"}, {"text": "fine"}))
    assert ask(project).disposition == "failed"
    assert said(ask(project)) == "fine"


def test_what_the_ladder_gave_is_not_kept(make_project: MakeProject) -> None:
    static = '[[fallback]]\nuse = "static"\noutput = { text = "later" }'
    script = lines({"error": "model_unavailable"}, {"text": "fine"})
    project = make(make_project, more=static, lines=script)
    assert said(ask(project)) == "later"
    assert (ask(project).disposition, said(ask(project))) == ("answered", "fine")


def test_what_a_guard_denied_is_not_kept(make_project: MakeProject) -> None:
    guard = '[[guards]]\nuse = "rule"\nexpression = "output.text != \'bad\'"'
    project = make(make_project, more=guard, lines=lines({"text": "bad"}, {"text": "good"}))
    assert ask(project).disposition in ("refused", "failed")
    assert said(ask(project)) == "good"


def test_who_shares_answers_is_not_given_personal_ones(make_project: MakeProject) -> None:
    script = lines(
        {"text": "Sent to ann@mail.example"}, {"text": "Dear ben.b, yes"}, {"text": "yes"}
    )
    project = make(make_project, 'scope = "all"', lines=script)
    asked = [ask(project, user="ann.a"), ask(project, user="ben.b"), ask(project, user="cy")]
    assert [reply.disposition for reply in asked] == ["answered"] * 3
    assert ask(project, user="dee").disposition == "cached"


def test_of_many_who_ask_at_once_one_asks_the_model(make_project: MakeProject) -> None:
    slow = lines({"text": "slow", "delay_ms": 300}, {"text": "another"})
    project = make(make_project, lines=slow, deadline_ms=60_000)
    engine = project.serving.engine
    messages = msgspec.Raw(b'[{"role":"user","content":"when?"}]')

    async def all_at_once() -> list[Reply]:
        asked = [
            engine.answer(
                Request(service="reply", key=ANN, protocol="openai", body={"messages": messages})
            )
            for _ in range(10_000)
        ]
        return await asyncio.gather(*asked)

    replies = project.run(all_at_once()).result()
    ends = [reply.disposition for reply in replies]
    assert (ends.count("answered"), ends.count("cached")) == (1, 9_999)
    assert {said(reply) for reply in replies} == {"slow"}
    assert project.serving.ledger.spent("service:reply")[1] == 0


def test_who_waits_for_another_that_fails_asks_too(make_project: MakeProject) -> None:
    script = lines({"error": "model_unavailable", "delay_ms": 50}, {"text": "fine"})
    project = make(make_project, lines=script)

    async def two() -> list[Reply]:
        engine = project.serving.engine
        body = {"messages": msgspec.Raw(b'[{"role":"user","content":"when?"}]')}
        return await asyncio.gather(
            *(engine.answer(Request(service="reply", key=ANN, body=body)) for _ in range(2))
        )

    first, second = project.run(two()).result()
    assert (first.disposition, second.disposition) == ("failed", "answered")


def test_a_stream_is_served_from_what_was_kept(project: Project) -> None:
    first = ask(project)

    async def stream() -> tuple[Reply, bytes]:
        body = {
            "messages": msgspec.Raw(b'[{"role":"user","content":"when?"}]'),
            "stream": msgspec.Raw(b"true"),
        }
        request = Request(service="reply", key=ANN, protocol="openai", body=body, is_stream=True)
        reply = await project.serving.engine.stream(request)
        events = [reply.first]
        assert reply.events is not None
        events += [event async for event in reply.events]
        return reply, b"".join(events)

    reply, events = project.run(stream()).result()
    assert (reply.disposition, reply.cache) == ("cached", "exact")
    assert b"answer 1" in events
    assert events.endswith(b"data: [DONE]\n\n")
    record = record_of(project, reply)
    assert (record.disposition, record.is_stream) == ("cached", True)
    assert record.cache is not None
    assert record.cache["source"] == first.request_id


def test_the_least_used_goes_when_there_is_no_room(make_project: MakeProject) -> None:
    project = make(make_project, "max_entries = 2")
    for text in ("a", "b", "a", "c"):
        ask(project, text)
    assert ask(project, "a").disposition == "cached"
    assert ask(project, "b").disposition == "answered"


def test_memory_is_bounded(make_project: MakeProject) -> None:
    big = "x" * 400_000
    project = make(make_project, "max_mb = 1", lines=lines({"text": big}))
    for number in range(8):
        ask(project, f"question {number}")
    cache = project.serving.engine.releases["reply"].cache
    assert isinstance(cache, ReleaseCache)
    assert cache.kept.bytes <= 1_000_000
    assert 1 <= len(cache.kept) <= 2


def test_a_new_release_begins_with_nothing(project: Project) -> None:
    ask(project)
    file = project.folder / "services/reply/service.toml"
    file.write_text(file.read_text().replace("deadline_ms = 2000", "deadline_ms = 2500"))
    project.promote(project.build_release("reply", by="test").id, by="test")
    project.run(project.serving.follow()).result()
    assert ask(project).disposition == "answered"


def test_what_a_client_is_given_it_cannot_change_for_others(project: Project) -> None:
    ask(project)
    ask(project).output["text"] = "poison"
    assert said(ask(project)) == "answer 1"


def test_a_user_who_is_forgotten_is_forgotten_here_too(project: Project) -> None:
    ask(project, user="ann")
    cache = project.serving.engine.releases["reply"].cache
    assert cache is not None
    assert cache.forget_user("ann") == 1
    assert ask(project, user="ann").disposition == "answered"


FAILS_AFTER_ONE = lines({"text": "fine"}, *[{"error": "model_unavailable"}] * 9)
STALE = '[[fallback]]\nuse = "stale_cache"'


def test_an_old_answer_is_given_by_its_rung_when_models_fail(make_project: MakeProject) -> None:
    project = make(make_project, 'stale_for = "2h"', STALE, FAILS_AFTER_ONE)
    clock = project.clock
    assert isinstance(clock, SettableClock)
    first = ask(project)
    clock.set(clock.now_us() + 2 * HOUR_US)
    stale = ask(project)
    assert (stale.disposition, said(stale), stale.cache) == ("fallback", "fine", "stale")
    record = record_of(project, stale)
    assert record.cache == {"kind": "stale", "source": first.request_id, "age_s": 7200}
    assert record.attempts[-1].model == "stale_cache:1"
    clock.set(clock.now_us() + 2 * HOUR_US)
    assert ask(project, "other").disposition == "failed"


def test_an_answer_that_is_too_old_is_given_by_no_rung(make_project: MakeProject) -> None:
    project = make(make_project, 'stale_for = "2h"', STALE, FAILS_AFTER_ONE)
    clock = project.clock
    assert isinstance(clock, SettableClock)
    ask(project)
    clock.set(clock.now_us() + 3 * HOUR_US + 1_000_000)
    assert ask(project).disposition == "failed"


def test_the_rung_gives_nobody_another_ones_answer(make_project: MakeProject) -> None:
    project = make(make_project, 'stale_for = "2h"', STALE, FAILS_AFTER_ONE)
    ask(project, user="ann")
    assert ask(project, user="bob").disposition == "failed"
    assert ask(project, user="ann", cache="no-store").disposition == "failed"


PREDICT = """
name = "late"
kind = "predict"
owners = { product = "test" }
objectives = { deadline_ms = 2000 }
cost = {}
[cache]
exact_ttl_s = 60
scope = "all"
[[models]]
name = "own"
provider = "rule"
model = "{'p': input.p == null ? 'none' : 'some'}"
"""


def test_a_number_that_is_none_is_not_mistaken_for_null(make_project: MakeProject) -> None:
    project = make_project({"late": PREDICT})
    service = project.service("late")
    values = [None, float("nan"), float("inf"), 1, 1.0, True, "1"]
    for value in values:
        assert service.answer({"p": value}).disposition != "cached"
    assert service.answer({"p": 1}).disposition == "cached"


HALF = PAID.replace("paid", "half").replace('"scripted"', '"half"')
NOT_WHOLE = """
from roadworthy.models.scripted import ScriptedModel
from roadworthy.types import Answer

CALL = b'{"choices":[{"message":{"role":"assistant","tool_calls":[{"id":"c"}]}}]}'

def open_it(spec):
    name = spec.name
    return ScriptedModel(name, [ANSWER])
"""


@pytest.mark.parametrize(
    "answer",
    [
        'Answer(model=name, output={"text": ""}, completion=CALL, finish_reason="tool_calls")',
        'Answer(model=name, output={"text": ""}, completion=CALL)',
        'Answer(model=name, output={"text": "cut o"}, finish_reason="length")',
        'Answer(model=name, output={"p": float("nan")})',
    ],
)
def test_calls_of_tools_and_what_is_not_whole_are_not_kept(
    make_project: MakeProject, install_plugin: InstallPlugin, answer: str
) -> None:
    install_plugin("models", "half", NOT_WHOLE.replace("ANSWER", answer))
    service = SERVICE.format(cache="", more="", deadline_ms=2000).replace('"paid"', '"half"')
    project = make_project({"reply": service}, project=HALF)
    assert ask(project).disposition != "cached"
    assert ask(project).disposition != "cached"
    cache = project.serving.engine.releases["reply"].cache
    assert isinstance(cache, ReleaseCache)
    assert len(cache.kept) == 0
