"""`POST /v1/responses` over a real port, by OpenAI's own client, whoever the upstream is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI, UnprocessableEntityError

from conftest import write_project
from live import Live, Response, chat_service, serve
from roadworthy.testing import Fault, FaultyUpstream, ToolUse

pytestmark = pytest.mark.slow

KINDS = ("openai", "anthropic", "gemini")
STATIC = """
[[fallback]]
use = "static"
output = { text = "A colleague will answer." }
"""
CONTRACT = """
[contract]
output = "reply.json"
"""
SCHEMA = '{"type": "object", "properties": {"usd": {"type": "number"}}, "required": ["usd"]}'
ASKING = """
[review]
when = ["true"]
queue = "desk"
on_expiry = "refuse"
"""
DESK = """
[queues.desk]
owner = "ann"
"""
CHAT = """
[chat]
variable = "text"
allow = ["max_tokens"]
"""
TOOL: Any = {
    "type": "function",
    "name": "weather",
    "description": "The weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": False,
}


def says(messages: list[dict[str, Any]]) -> Any:
    """Answer as the last message asks."""
    last = messages[-1]["content"]
    text = last if isinstance(last, str) else " ".join(p.get("text", "") for p in last)
    if "two tools" in text:
        return [ToolUse("weather", {"city": "Bern"}), ToolUse("weather", {"city": "Rome"})]
    if "json" in text:
        return '{"usd": 12.5}'
    return "one two three four"


def provider(kind: str, upstream: FaultyUpstream) -> str:
    return f"""
[providers.{kind}]
kind = "{kind}"
base_url = "{upstream.base_url}"
api_key_env = "RW_TEST_KEY"
[providers.{kind}.prices."m"]
input_usd_per_million = 1.0
output_usd_per_million = 2.0
"""


def service(name: str, kind: str, more: str = "", model: str = "m") -> str:
    cost = "per_day_usd = 1.0, per_request_usd = 0.01"
    return chat_service(name, model=model, deadline_ms=4000, cost=cost, more=more).replace(
        'provider = "up"', f'provider = "{kind}"'
    )


@pytest.fixture(scope="module")
def upstream() -> Iterator[FaultyUpstream]:
    with FaultyUpstream(answer=says, api_key="k-1") as server:
        yield server


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, upstream: FaultyUpstream) -> Iterator[Live]:
    services = {kind: service(kind, kind) for kind in KINDS}
    # Models of their own, so that what fails here is not left alone there.
    services |= {f"frail-{kind}": service(f"frail-{kind}", kind, model="f") for kind in KINDS}
    services["backed"] = service("backed", "openai", STATIC, model="b")
    services["asking"] = service("asking", "gemini", ASKING)
    poor = service("poor", "openai")
    services["poor"] = poor.replace("1.0, per_request_usd = 0.01", "0.001")
    services["typed"] = service("typed", "anthropic", CONTRACT)
    services["brief"] = service("brief", "openai", CHAT)
    files = {"services/typed/reply.json": SCHEMA}
    providers = "".join(provider(kind, upstream) for kind in KINDS) + DESK
    folder: Path = tmp_path_factory.mktemp("project")
    write_project(folder, services, files, providers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RW_TEST_KEY", "k-1")
        with serve(folder) as running:
            yield running


@pytest.fixture
def live(shared: Live, upstream: FaultyUpstream) -> Iterator[Live]:
    yield shared
    upstream.behave()


@pytest.fixture
def client(live: Live) -> OpenAI:
    return OpenAI(base_url=f"{live.url}/v1", api_key=live.key, max_retries=0)


def ask(live: Live, **body: Any) -> Response:
    return live.ask("POST", "/v1/responses", {"input": "hello", "model": "openai", **body})


def events_of(live: Live, **body: Any) -> list[dict[str, Any]]:
    """Return the events of a stream, each checked to be named as its type says."""
    raw = ask(live, stream=True, **body).body.decode()
    events = []
    for event in raw.removesuffix("\n\n").split("\n\n"):
        name, data = event.split("\n")
        value = json.loads(data.removeprefix("data: "))
        assert name == f"event: {value['type']}"
        events.append(value)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    return events


@pytest.mark.parametrize("kind", KINDS)
def test_the_openai_client_gets_its_response(live: Live, client: OpenAI, kind: str) -> None:
    got = client.responses.create(
        model=kind, input="hello", instructions="Be brief.", max_output_tokens=50, store=False
    )

    assert got.output_text == "one two three four"
    assert (got.status, got.object, got.model) == ("completed", "response", kind)
    assert (got.instructions, got.max_output_tokens) == ("Be brief.", 50)
    assert got.usage is not None
    assert (got.usage.output_tokens, got.usage.total_tokens) == (4, 7)
    record = live.records()[0]
    assert (record.service, record.disposition, record.output_tokens) == (kind, "answered", 4)
    assert record.cost_micro == 3 + 8


@pytest.mark.parametrize("kind", KINDS)
def test_the_openai_client_gets_its_stream(live: Live, client: OpenAI, kind: str) -> None:
    with client.responses.stream(model=kind, input="hello") as stream:
        kinds = [event.type for event in stream]
        got = stream.get_final_response()

    assert got.output_text == "one two three four"
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert kinds[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert set(kinds[4:-4]) == {"response.output_text.delta"}
    assert got.usage is not None
    assert got.usage.output_tokens == 4
    record = live.records()[0]
    assert (record.disposition, record.is_stream, record.output_tokens) == ("answered", True, 4)


@pytest.mark.parametrize("kind", KINDS)
def test_tools_are_called_and_their_results_go_back(
    live: Live, client: OpenAI, upstream: FaultyUpstream, kind: str
) -> None:
    asked = "Use two tools."
    first = client.responses.create(model=kind, input=asked, tools=[TOOL], tool_choice="required")
    calls = [item for item in first.output if item.type == "function_call"]
    assert [json.loads(call.arguments)["city"] for call in calls] == ["Bern", "Rome"]

    items: Any = [{"role": "user", "content": asked}]
    items += [call.model_dump(exclude_none=True) for call in calls]
    items += [
        {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
        for call in calls
    ]
    second = client.responses.create(model=kind, input=[*items, USER], tools=[TOOL])
    assert second.output_text == "one two three four"
    sent = upstream.requests[-1].body.decode()
    assert sent.count("rain") == 2


USER: Any = {"role": "user", "content": "And so?"}


@pytest.mark.parametrize("kind", KINDS)
def test_calls_of_tools_are_streamed_as_items_of_their_own(live: Live, kind: str) -> None:
    events = events_of(live, model=kind, input="Use two tools.", tools=[TOOL])
    done = [e["item"] for e in events if e["type"] == "response.output_item.done"]
    calls = [item for item in done if item["type"] == "function_call"]
    assert [json.loads(call["arguments"])["city"] for call in calls] == ["Bern", "Rome"]
    assert len({call["id"] for call in calls}) == len({call["call_id"] for call in calls}) == 2
    assert events[-1]["response"]["output"] == done
    deltas = [e for e in events if e["type"] == "response.function_call_arguments.delta"]
    assert (
        "".join(e["delta"] for e in deltas if e["item_id"] == calls[0]["id"])
        == (calls[0]["arguments"])
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_goes_up_and_the_client_parses_what_comes(
    live: Live, client: OpenAI, upstream: FaultyUpstream, kind: str
) -> None:
    schema = {**json.loads(SCHEMA), "additionalProperties": False}
    form: Any = {"type": "json_schema", "name": "refund", "schema": schema, "strict": True}
    got = client.responses.create(model=kind, input="as json", text={"format": form})
    assert json.loads(got.output_text) == {"usd": 12.5}
    assert '"usd"' in upstream.requests[-1].body.decode()


def test_items_of_every_kind_are_read(live: Live, upstream: FaultyUpstream) -> None:
    image = {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"}
    text = {"type": "input_text", "text": "What is it?"}
    said = {"type": "output_text", "text": "A bag.", "annotations": []}
    items: list[dict[str, Any]] = [
        {"type": "message", "role": "developer", "content": "Be brief."},
        {"role": "user", "content": [text, image]},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "message", "role": "assistant", "id": "msg_1", "content": [said]},
        USER,
    ]
    assert ask(live, input=items).status == 200
    sent = upstream.requests[-1].json()["messages"]
    assert [message["role"] for message in sent] == ["developer", "user", "assistant", "user"]
    assert sent[1]["content"][1]["image_url"] == {
        "url": "data:image/png;base64,AAAA",
        "detail": "low",
    }
    assert sent[2]["content"] == "A bag."


@pytest.mark.parametrize(
    ("body", "param", "says"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id", "nothing is kept"),
        ({"conversation": "conv_1"}, "conversation", "nothing is kept"),
        ({"background": True}, "background", "while its client waits"),
        ({"truncation": "auto"}, "truncation", "overflow"),
        ({"include": ["file_search_call.results"]}, "include", "nothing but the answer"),
        ({"max_tool_calls": 3}, "max_tool_calls", "no such parameter"),
        ({"tools": [{"type": "web_search"}]}, "tools", "nothing here runs it"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format", "with its schema"),
        ({"input": []}, "input", "at least one"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input", "a chat can hold"),
        ({"input": [{"role": "wizard", "content": "x"}]}, "input", "a chat can hold"),
        ({"input": [{"role": "user", "content": 3}]}, "input", "a text or a list"),
        ({"input": [{"type": "function_call", "name": "f"}]}, "input", "call_id"),
    ],
)
def test_what_no_service_gives_is_refused_with_what_to_do(
    live: Live, upstream: FaultyUpstream, body: dict[str, Any], param: str, says: str
) -> None:
    received = upstream.received
    got = ask(live, **body)
    assert (got.status, got.code, got.json["error"]["param"]) == (422, "contract_violation", param)
    assert says in got.json["error"]["message"]
    assert upstream.received == received


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b'{"input": "hi"}', 400),
        (b'{"model": 3, "input": "hi"}', 400),
        (b'{"model": "openai", "input": 3}', 400),
        (b'{"model": "openai", "input": "hi", "stream": "yes"}', 400),
        (b'{"model": "openai", "input": "hi", "max_output_tokens": "many"}', 400),
        (b'{"model": "openai", "input": "hi", "max_output_tokens": 0}', 422),
        (b'{"model": "nobody", "input": "hi"}', 404),
    ],
)
def test_bad_input_gets_a_clear_error(live: Live, body: bytes, status: int) -> None:
    got = live.ask("POST", "/v1/responses", body)
    assert got.status == status
    assert got.json["error"]["message"]


def test_what_means_nothing_is_let_pass(live: Live) -> None:
    idle = {
        "background": False,
        "include": ["reasoning.encrypted_content"],
        "previous_response_id": None,
        "reasoning": {"summary": "auto"},
        "store": True,
        "top_logprobs": 0,
        "truncation": "disabled",
    }
    got = ask(live, **idle)
    assert got.status == 200
    assert got.json["store"] is False, "nothing is kept to be asked for later"


def test_a_key_that_may_not_ask_is_told_as_everywhere(live: Live) -> None:
    got = live.ask("POST", "/v1/responses", {"model": "openai", "input": "hi"}, key="rw_wrong")
    assert (got.status, got.code) == (401, "unauthenticated")


def test_a_parameter_that_a_service_does_not_allow_is_named_as_its_client_knows_it(
    live: Live,
) -> None:
    assert ask(live, model="brief", max_output_tokens=5).status == 200
    got = ask(live, model="brief", text={"format": {"type": "json_object"}})
    assert (got.status, got.json["error"]["param"]) == (422, "text")
    got = ask(live, model="brief", instructions="Be rude.")
    assert (got.status, got.json["error"]["param"]) == (422, "input")


def test_a_parameter_that_no_model_takes_is_a_422_that_names_it(live: Live, client: OpenAI) -> None:
    with pytest.raises(UnprocessableEntityError) as caught:
        client.responses.create(model="anthropic", input="hello", temperature=1.7)
    assert caught.value.param == "temperature"
    assert "0 to 1" in str(caught.value)
    record = live.records()[0]
    assert (record.disposition, record.cost_micro) == ("refused", 0)


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_that_was_cut_off_is_incomplete(live: Live, kind: str) -> None:
    got = ask(live, model=kind, max_output_tokens=2).json
    assert (got["status"], got["incomplete_details"]) == (
        "incomplete",
        {"reason": "max_output_tokens"},
    )
    events = events_of(live, model=kind, max_output_tokens=2)
    assert events[-1]["type"] == "response.incomplete"
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == "one two"


def test_a_fallback_answers_as_a_response_and_says_so(live: Live, upstream: FaultyUpstream) -> None:
    upstream.always(Fault.SERVER_ERROR)
    got = ask(live, model="backed")
    assert got.headers["x-roadworthy-disposition"] == "fallback"
    assert got.json["output"][0]["content"][0]["text"] == "A colleague will answer."
    events = events_of(live, model="backed")
    assert events[-1]["type"] == "response.completed"
    text = events[-1]["response"]["output"][0]["content"][0]["text"]
    assert text == "A colleague will answer."


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_that_breaks_off_says_so(live: Live, upstream: FaultyUpstream, kind: str) -> None:
    upstream.chunk_delay_s = 0.01
    upstream.next(Fault.NO_FINISH, after_chunks=5)
    try:
        events = events_of(live, model=f"frail-{kind}")
    finally:
        upstream.chunk_delay_s = 0.0
    assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
    assert events[-2]["code"] == "bad_answer"
    failed = events[-1]["response"]
    assert (failed["status"], failed["error"]["code"]) == ("failed", "server_error")
    assert failed["output"][0]["status"] == "incomplete"
    record = live.records()[0]
    assert (record.disposition, record.error_code) == ("failed", "bad_answer")


@pytest.mark.parametrize("is_stream", [False, True])
def test_what_waits_for_a_person_is_answered_with_words_to_wait_by(
    live: Live, is_stream: bool
) -> None:
    got = ask(live, model="asking", stream=is_stream)
    assert (got.status, got.headers["x-roadworthy-disposition"]) == (200, "review")
    assert got.headers["x-roadworthy-review-id"].startswith("rv_")
    response = json.loads(got.body.split(b"data: ")[-1])["response"] if is_stream else got.json
    assert response["status"] == "completed"
    assert response["output"][0]["content"][0]["text"]
    assert b"one two three four" not in got.body


@pytest.mark.parametrize("is_stream", [False, True])
def test_an_empty_purse_is_a_429(live: Live, is_stream: bool) -> None:
    got = ask(live, model="poor", stream=is_stream)
    assert (got.status, got.code) == (429, "budget_exhausted")


def test_a_failure_before_the_first_word_is_an_error_with_its_status(
    live: Live, upstream: FaultyUpstream
) -> None:
    upstream.always(Fault.UNAVAILABLE)
    for is_stream in (False, True):
        got = ask(live, model="frail-anthropic", stream=is_stream)
        assert (got.status, got.code) == (503, "all_models_failed")


def test_an_answer_that_is_held_until_judged_is_streamed_whole(live: Live) -> None:
    events = events_of(live, model="typed", input="as json")
    assert events[-1]["type"] == "response.completed"
    assert json.loads(events[-1]["response"]["output"][0]["content"][0]["text"]) == {"usd": 12.5}
    got = ask(live, model="typed", input="no such thing")
    assert (got.status, got.code) == (403, "guard_denied")


def test_chat_completions_of_every_upstream_pass_the_openai_client(
    live: Live, client: OpenAI
) -> None:
    for kind in KINDS:
        got = client.chat.completions.create(
            model=kind, messages=[{"role": "user", "content": "hello"}]
        )
        assert got.choices[0].message.content == "one two three four"
        stream = client.chat.completions.create(
            model=kind, messages=[{"role": "user", "content": "hello"}], stream=True
        )
        pieces = [chunk.choices[0].delta.content or "" for chunk in stream]
        assert "".join(pieces) == "one two three four"
