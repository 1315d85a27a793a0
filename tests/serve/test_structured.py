"""Services whose answers are JSON: what providers are told, what is mended, who is asked again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import write_project
from live import Live, provider_up, serve
from roadworthy.declare.schemas import compile_schema
from roadworthy.models.faulty import FaultyUpstream
from roadworthy.serve.judge import OutputJudge
from roadworthy.serve.structured import REASK_BYTES, asked_again, told_schema
from roadworthy.types import Answer

SCHEMA = {
    "type": "object",
    "properties": {
        "topic": {"enum": ["refund", "bags"], "x-personal": True},
        "usd": {"type": "number", "minimum": 0},
    },
    "required": ["topic", "usd"],
    "additionalProperties": False,
}
GOOD = '{"topic": "bags", "usd": 12.50}'
MODELS = """
[[models]]
name = "first"
provider = "up"
model = "m"
max_output_tokens = 50
"""
SECOND = """
[[models]]
name = "second"
provider = "up"
model = "n"
max_output_tokens = 50
"""
STATIC = '[[fallback]]\nuse = "static"\noutput = { topic = "refund", usd = 0 }\n'

Says = Callable[[list[dict[str, Any]]], str]


def service(*parts: str, more: str = "", chat: str = "") -> str:
    return f"""
name = "sort"
kind = "generate"
owners = {{ product = "test" }}
objectives = {{ deadline_ms = 5000 }}
cost = {{ per_day_usd = 1 }}
{more}
[contract]
output = "answer.schema.json"
{chat}
{MODELS}
{"".join(parts)}
"""


class Upstream(FaultyUpstream):
    """An upstream that says what a test puts into `texts`, one after the other."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        super().__init__(answer=lambda messages: self.texts.pop(0), models=("m", "n"))

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(request.body) for request in self.requests]


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


@pytest.fixture
def write(tmp_path: Path, upstream: Upstream) -> Callable[..., Path]:
    def write(text: str, schema: dict[str, Any] = SCHEMA, folder: str = "project") -> Path:
        prices = provider_up(upstream, input_usd=1, output_usd=1)
        other = prices.partition("[providers.up.prices")[2].replace('"m"', '"n"')
        return write_project(
            tmp_path / folder,
            {"sort": text},
            {"services/sort/answer.schema.json": json.dumps(schema)},
            f"{prices}\n[providers.up.prices{other}",
        )

    return write


def ask(live: Live, **more: Any) -> Any:
    messages = [{"role": "user", "content": "What is it about?"}]
    return live.ask("POST", "/v1/chat/completions", {"model": "sort", "messages": messages, **more})


def content(reply: Any) -> str:
    return str(reply.json["choices"][0]["message"]["content"])


def test_clean_json_passes_untouched(write: Any, upstream: Upstream) -> None:
    upstream.texts = [GOOD]
    with serve(write(service())) as live:
        reply = ask(live)
        (record,) = live.records()
    assert content(reply) == GOOD
    assert [(a.status, a.mended) for a in record.attempts] == [("ok", "")]


def test_the_client_gets_mended_json_and_nothing_else_is_touched(
    write: Any, upstream: Upstream
) -> None:
    upstream.texts = [f"<think>bags</think>Sure!\n```json\n{GOOD[:-1]}, }}\n```"]
    with serve(write(service())) as live:
        reply = ask(live)
        native = live.records()[0]
    assert json.loads(content(reply)) == json.loads(GOOD)
    assert reply.json["usage"]["completion_tokens"] > 0
    assert reply.json["id"].startswith("chatcmpl")
    assert [(a.status, a.mended) for a in native.attempts] == [("ok", "repair")]


def test_a_stream_is_held_and_gives_the_mended_json(write: Any, upstream: Upstream) -> None:
    upstream.texts = [f"Sure: {GOOD}"]
    with serve(write(service())) as live:
        reply = ask(live, stream=True)
    events = [json.loads(line[6:]) for line in reply.body.decode().split("\n\n")[:-2]]
    text = "".join(c["delta"].get("content", "") for e in events for c in e["choices"])
    assert json.loads(text) == json.loads(GOOD)


def test_a_model_is_asked_once_more_with_what_is_wrong(write: Any, upstream: Upstream) -> None:
    upstream.texts = ['{"topic": "pets", "usd": -1}', GOOD]
    with serve(write(service())) as live:
        reply = ask(live)
        (record,) = live.records()
    assert content(reply) == GOOD
    asked, again = upstream.bodies
    assert again["messages"][: len(asked["messages"])] == asked["messages"]
    quoted, told = again["messages"][-2:]
    assert quoted == {"role": "assistant", "content": '{"topic": "pets", "usd": -1}'}
    assert 'output.topic: expected one of ["refund", "bags"]' in told["content"]
    assert "output.usd: expected >= 0, got -1" in told["content"]
    first, second = record.attempts
    assert (first.status, first.mended, first.model) == ("rejected", "", "first")
    assert (second.status, second.mended, second.model) == ("ok", "reask", "first")
    assert 0 < first.cost_micro < second.cost_micro
    assert record.cost_micro == first.cost_micro + second.cost_micro <= record.reserved_micro


def test_then_comes_the_next_model_and_then_the_ladder(write: Any, upstream: Upstream) -> None:
    upstream.texts = ["no", "still no", GOOD]
    with serve(write(service(SECOND, STATIC))) as live:
        reply = ask(live)
        upstream.texts = ["no"] * 4
        fallen = ask(live)
        last, _ = live.records()
    assert reply.headers["x-roadworthy-model"] == "second"
    assert fallen.headers["x-roadworthy-disposition"] == "fallback"
    assert json.loads(content(fallen)) == {"topic": "refund", "usd": 0}
    tried = [(a.model, a.status, a.mended) for a in last.attempts]
    assert tried == [
        ("first", "rejected", ""),
        ("first", "rejected", "reask"),
        ("second", "rejected", ""),
        ("second", "rejected", "reask"),
        ("static:1", "ok", ""),
    ]
    assert "output: expected JSON, got text that is no JSON" in last.attempts[0].detail


def test_without_reasks_the_next_model_is_asked_at_once(write: Any, upstream: Upstream) -> None:
    upstream.texts = ["no", GOOD]
    text = service(SECOND).replace("[contract]", "[contract]\nreasks = 0")
    with serve(write(text)) as live:
        assert ask(live).headers["x-roadworthy-model"] == "second"
        (record,) = live.records()
    assert [a.model for a in record.attempts] == ["first", "second"]


def test_the_second_time_is_set_aside_for_before_the_first(write: Any, upstream: Upstream) -> None:
    reserved = []
    for reasks in (0, 1):
        upstream.texts = [GOOD]
        text = service().replace("[contract]", f"[contract]\nreasks = {reasks}")
        with serve(write(text, folder=str(reasks))) as live:
            ask(live)
            reserved.append(live.records()[0].reserved_micro)
    assert reserved[1] == 2 * reserved[0] + REASK_BYTES, "at a micro-dollar a token and byte"


def test_where_the_money_is_short_nobody_is_asked_again(write: Any, upstream: Upstream) -> None:
    upstream.texts = ["no", "never asked for"]
    text = service().replace("per_day_usd = 1", "per_day_usd = 1, per_request_usd = 0.0019")
    with serve(write(text)) as live:
        assert ask(live).status == 403
        (record,) = live.records()
    assert [a.status for a in record.attempts] == ["rejected", "too_dear"]
    assert record.cost_micro <= 1900
    assert upstream.received == 1


def test_an_answer_that_was_cut_off_is_neither_mended_nor_asked_again(
    write: Any, upstream: Upstream
) -> None:
    upstream.texts = ['{"topic": "bags", "usd": 12, "note": "' + "a b " * 90]
    with serve(write(service())) as live:
        reply = ask(live)
        (record,) = live.records()
    assert reply.status == 403
    assert [a.status for a in record.attempts] == ["rejected"]
    assert "text that was cut off" in record.reasons[0]


@pytest.mark.parametrize(
    "text",
    [
        '{"topic": "bags", "usd": 1, "usd": 100}',
        '{"topic": "bags", "usd": NaN}',
        '{"topic": "bags", "usd": 1e999}',
        "[" * 100_000,
        '{"topic": "bags", "usd": 12',
    ],
)
def test_hostile_json_is_refused_and_never_shown(text: str, write: Any, upstream: Upstream) -> None:
    upstream.texts = [text, text]
    with serve(write(service().replace("= 50", "= 400000"))) as live:
        reply = ask(live)
        (record,) = live.records()
    assert (reply.status, reply.code) == (403, "guard_denied")
    assert record.reasons[0].startswith("schema: output: expected JSON, got ")


def test_a_schema_that_no_output_satisfies_sends_every_request_to_the_ladder(
    write: Any, upstream: Upstream
) -> None:
    low, high = ({"properties": {"a": rule}} for rule in ({"minimum": 3}, {"maximum": 2}))
    schema = {"type": "object", "required": ["a"], "allOf": [low, high]}
    upstream.texts = ['{"a": 1}', '{"a": 9}'] * 2
    text = '[[fallback]]\nuse = "rule"\nexpression = "{\\"a\\": 4}"\n'
    with serve(write(service(text), schema)) as live:
        assert ask(live).status == 403
        (record,) = live.records()
    assert "output.a: expected >= 3, got 1" in record.attempts[0].detail
    assert record.reasons[0].startswith("schema: output.a: expected")


# What a provider is told.


def test_an_upstream_is_told_the_schema_strictly_where_it_fits(
    write: Any, upstream: Upstream
) -> None:
    upstream.texts = [GOOD]
    with serve(write(service())) as live:
        ask(live)
    told = upstream.bodies[0]["response_format"]
    assert told["type"] == "json_schema"
    assert told["json_schema"]["strict"] is True
    assert told["json_schema"]["schema"]["properties"]["topic"] == {"enum": ["refund", "bags"]}


def test_a_clients_own_format_is_passed_on_where_it_may_be(write: Any, upstream: Upstream) -> None:
    upstream.texts = [GOOD]
    with serve(write(service())) as live:
        assert ask(live, response_format={"type": "json_object"}).status == 200
    assert upstream.bodies[0]["response_format"] == {"type": "json_object"}


def test_a_clients_own_format_is_refused_where_the_chat_does_not_allow_it(
    write: Any, upstream: Upstream
) -> None:
    text = service(chat='[chat]\nvariable = "question"\n')
    with serve(write(text)) as live:
        reply = ask(live, response_format={"type": "json_object"})
    assert (reply.status, reply.json["error"]["param"]) == (422, "response_format")
    assert upstream.received == 0


def test_several_choices_are_refused_where_each_is_checked(write: Any, upstream: Upstream) -> None:
    upstream.texts = [GOOD]
    with serve(write(service())) as live:
        reply = ask(live, n=2)
        assert (reply.status, reply.json["error"]["param"]) == (422, "n")
        assert ask(live, n=1).status == 200


def test_our_own_keywords_are_not_told() -> None:
    check = compile_schema(
        {
            "type": "object",
            "properties": {"x-ray": {"type": "string", "x-expected": "an x-ray"}},
            "$defs": {"x-a": {"x-personal": True}},
        },
        "output",
    )
    assert json.loads(told_schema(check)) == {
        "type": "object",
        "properties": {"x-ray": {"type": "string"}},
        "$defs": {"x-a": {}},
    }


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=9000), st.text(max_size=1500))
def test_what_is_said_again_is_never_longer_than_what_was_set_aside(
    text: str, problems: str
) -> None:
    body = {"messages": msgspec.Raw(b'[{"role":"user","content":"hi"}]')}
    answer = Answer(model="m", content=text)
    again = asked_again(body, answer, problems.encode("ascii", "replace").decode())
    grown = len(bytes(again["messages"])) - len(bytes(body["messages"]))
    assert grown <= REASK_BYTES
    assert all(message["content"] for message in json.loads(bytes(again["messages"])))


def test_a_text_of_a_schema_with_one_text_is_still_json_for_a_chat() -> None:
    schema = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    judge = OutputJudge(compile_schema(schema, "output"), (), reads_json=True)
    answer = Answer(model="m", output={"text": 'Sure: {"text": "hi"}'})
    assert judge(None, answer).is_acceptable  # type: ignore[arg-type]
    assert (answer.output, answer.content) == ({"text": "hi"}, '{"text":"hi"}')


@pytest.mark.parametrize(
    ("text", "is_shown"), [('{"a": 1}', True), ("[1, 2]", True), ("12", False), ('{"a": 1', False)]
)
def test_of_what_was_cut_off_only_a_closed_value_is_whole(text: str, is_shown: bool) -> None:
    judge = OutputJudge(compile_schema({}, "output"), (), reads_json=True)
    answer = Answer(model="m", output={"text": text}, finish_reason="length")
    judgement = judge(None, answer)  # type: ignore[arg-type]
    assert judgement.is_acceptable == is_shown
    assert judgement.mendable == "", "asked again, it would be cut off again"
