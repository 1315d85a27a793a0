"""How an OpenAI chat is said in Anthropic's words, and what its events come back as."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
from model_calls import CALLER

from roadworthy.errors import BadAnswer, ModelError, ModelRejected
from roadworthy.models.anthropic import Messages
from roadworthy.types import Call, Usage

DIALECT = Messages("claude-sonnet-4-5-20250929")
USER = {"role": "user", "content": "hello"}
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def call_of(messages: list[dict[str, Any]] | None = None, **parameters: Any) -> Call:
    values = {"messages": messages or [USER], **parameters}
    body = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in values.items()}
    return Call(input={}, caller=CALLER, deadline=time.monotonic() + 5, body=body)


def sent(call: Call, *, stream: bool = False) -> Any:
    return msgspec.json.decode(DIALECT.body(call, stream=stream))


def body_of(messages: list[dict[str, Any]] | None = None, **parameters: Any) -> Any:
    return sent(call_of(messages, **parameters))


def text(said: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": said, **more}


def test_a_chat_is_a_message_with_its_obligatory_limit() -> None:
    assert body_of() == {
        "model": "claude-sonnet-4-5-20250929",
        "max_tokens": 4096,
        "messages": [{"role": "user", "content": [text("hello")]}],
    }
    assert sent(call_of(), stream=True)["stream"] is True


def test_what_the_system_says_stands_apart() -> None:
    body = body_of(
        [{"role": "system", "content": "Be brief."}, USER, {"role": "developer", "content": "So."}]
    )
    assert body["system"] == [text("Be brief."), text("So.")]
    assert [message["role"] for message in body["messages"]] == ["user"]


def test_parameters_go_by_their_names() -> None:
    body = body_of(
        temperature=0.5, top_p=0.9, top_k=5, stop=["a", "b"], max_tokens=7, reasoning_effort="low"
    )
    assert (body["temperature"], body["top_p"], body["top_k"]) == (0.5, 0.9, 5)
    assert (body["stop_sequences"], body["max_tokens"]) == (["a", "b"], 7)
    assert body["output_config"] == {"effort": "low"}
    assert body_of(stop="end")["stop_sequences"] == ["end"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", 7),
        ("user", "ann@example.com"),
        ("metadata", {"a": "b"}),
        ("store", False),
        ("prompt_cache_key", "k"),
        ("n", 1),
        ("frequency_penalty", 0),
        ("logprobs", False),
        ("logit_bias", None),
    ],
)
def test_what_changes_no_answer_is_left_out(name: str, value: Any) -> None:
    assert body_of(**{name: value}) == body_of()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n", 2),
        ("frequency_penalty", 0.5),
        ("logprobs", True),
        ("logit_bias", {"5": 1}),
        ("temperature", 1.5),
        ("functions", []),
        ("modalities", ["text", "audio"]),
        ("web_search_options", {}),
        ("tool_choice", "sometimes"),
        ("response_format", {"type": "xml"}),
        ("stop", 7),
        ("tools", "weather"),
        ("max_tokens", "many"),
    ],
)
def test_what_would_change_the_answer_and_has_no_word_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ModelRejected, match=f"^`{name}`") as caught:
        body_of(**{name: value})
    assert (caught.value.param, caught.value.cause) == (name, "rejected")


def test_images_and_files_go_up_as_blocks() -> None:
    url = "https://example.com/bag.png"
    parts = [
        {"type": "text", "text": "What is it?"},
        {"type": "text", "text": ""},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}},
        {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,QUJD"}},
    ]
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "QUJD"}
    assert body_of([{"role": "user", "content": parts}])["messages"][0]["content"] == [
        text("What is it?"),
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"},
        },
        {"type": "image", "source": {"type": "url", "url": url}},
        {"type": "document", "source": pdf},
    ]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "http://example.com/plain.png"}},
        {"type": "image_url", "image_url": {"url": "data:image/png,raw"}},
        {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "hologram"},
    ],
)
def test_parts_it_cannot_take_are_refused(part: dict[str, Any]) -> None:
    with pytest.raises(ModelRejected, match=r"^`messages`"):
        body_of([{"role": "user", "content": [part]}])


def test_tools_their_choice_and_their_results_are_mapped() -> None:
    called = {"name": "weather", "arguments": '{"city": "Bern"}'}
    body = body_of(
        [
            USER,
            {
                "role": "assistant",
                "content": "Let me look.",
                "tool_calls": [{"id": "t1", "type": "function", "function": called}],
            },
            {"role": "tool", "tool_call_id": "t1", "content": "rain"},
            {"role": "user", "content": "So?"},
        ],
        tools=[TOOL],
        tool_choice="required",
        parallel_tool_calls=False,
    )
    assert body["tools"][0]["name"] == "weather"
    assert body["tools"][0]["input_schema"] == TOOL["function"]["parameters"]  # type: ignore[index]
    assert body["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}
    assert body["messages"][1]["content"][1] == {
        "type": "tool_use",
        "id": "t1",
        "name": "weather",
        "input": {"city": "Bern"},
    }
    assert body["messages"][2] == {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": [text("rain")]},
            text("So?"),
        ],
    }


def test_one_tool_can_be_wanted_or_none() -> None:
    named = {"type": "function", "function": {"name": "weather"}}
    wanted = body_of(tools=[TOOL], tool_choice=named)
    assert wanted["tool_choice"] == {"type": "tool", "name": "weather"}
    assert body_of(tools=[TOOL], tool_choice="none")["tool_choice"] == {"type": "none"}
    assert "tool_choice" not in body_of(tools=[TOOL])


def test_arguments_that_are_no_object_are_refused() -> None:
    call = {"id": "t1", "type": "function", "function": {"name": "f", "arguments": "[1"}}
    with pytest.raises(ModelRejected, match="no JSON object"):
        body_of([USER, {"role": "assistant", "tool_calls": [call]}])


SCHEMA = {
    "type": "object",
    "properties": {"usd": {"type": "number", "minimum": 0}, "why": {"type": "string"}},
    "required": ["usd"],
}
NARROW = {
    "type": "object",
    "properties": {"usd": {"type": "number"}, "why": {"type": "string"}},
    "required": ["usd"],
    "additionalProperties": False,
}


def test_a_schema_goes_up_in_the_words_its_grammar_takes() -> None:
    form = {"type": "json_schema", "json_schema": {"name": "refund", "schema": SCHEMA}}
    wanted = {"format": {"type": "json_schema", "schema": NARROW}}
    assert body_of(response_format=form)["output_config"] == wanted


def test_a_declared_schema_goes_up_unless_the_client_names_a_format() -> None:
    call = call_of()
    call.output_schema = msgspec.json.encode(SCHEMA)
    assert sent(call)["output_config"]["format"]["schema"] == NARROW
    plain = call_of(response_format={"type": "text"})
    plain.output_schema = call.output_schema
    assert "output_config" not in sent(plain)


def test_a_schema_that_no_grammar_says_is_asked_for_in_words() -> None:
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    body = body_of(response_format=form)
    assert "output_config" not in body
    assert '{"type":"object"}' in body["system"][0]["text"]
    assert "JSON" in body_of(response_format={"type": "json_object"})["system"][0]["text"]


def test_what_is_the_same_in_each_call_is_marked_where_it_ends() -> None:
    call = call_of([{"role": "system", "content": "Rules."}, USER])
    call.static_messages = 1
    mark = {"type": "ephemeral"}
    assert sent(call)["system"] == [text("Rules.", cache_control=mark)]
    call.static_messages, call.static_characters = 0, 3
    assert sent(call)["system"] == [text("Rul", cache_control=mark), text("es.")]
    call.static_characters = 6
    assert sent(call)["system"] == [text("Rules.", cache_control=mark)]
    call.static_characters = 0
    assert sent(call)["system"] == [text("Rules.")]


def answer_of(**fields: Any) -> bytes:
    return msgspec.json.encode(
        {"id": "msg_1", "content": [], "stop_reason": "end_turn", "usage": USAGE, **fields}
    )


USAGE = {
    "input_tokens": 10,
    "cache_read_input_tokens": 100,
    "cache_creation_input_tokens": 50,
    "output_tokens": 20,
    "output_tokens_details": {"thinking_tokens": 15},
}


def test_cached_written_and_thought_tokens_are_counted_within_the_whole() -> None:
    assert DIALECT.read(answer_of()).usage == Usage(160, 20, 100, 15, 50)


@pytest.mark.parametrize(
    ("reason", "ours"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("tool_use", "tool_calls"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
        ("pause_turn", ""),
        (None, ""),
    ],
)
def test_reasons_why_it_ended_are_openais(reason: str | None, ours: str) -> None:
    assert DIALECT.read(answer_of(stop_reason=reason)).finish_reason == ours


def test_thoughts_come_beside_the_text_and_go_back_up_as_they_came() -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": "s1"}
    told = DIALECT.read(answer_of(content=[thought, text("Yes.")]))
    message = told.message()
    assert (message["content"], message["reasoning_content"]) == ("Yes.", "hm")
    assert message["thinking_blocks"] == [thought]
    kept = {name: message[name] for name in ("role", "content", "thinking_blocks")}
    assert body_of([USER, kept])["messages"][1]["content"] == [thought, text("Yes.")]


def event(kind: str, **fields: Any) -> bytes:
    return msgspec.json.encode({"type": kind, **fields})


def test_a_stream_of_thoughts_and_text_is_read_to_its_end() -> None:
    reader = DIALECT.reader()
    deltas = []
    for payload in (
        event("message_start", message={"id": "msg_1", "usage": {**USAGE, "output_tokens": 1}}),
        event("ping"),
        event("content_block_start", index=0, content_block={"type": "thinking", "thinking": ""}),
        event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "hm"}),
        event("content_block_delta", index=0, delta={"type": "signature_delta", "signature": "s"}),
        event("content_block_stop", index=0),
        event("content_block_start", index=1, content_block=text("")),
        event("content_block_delta", index=1, delta={"type": "text_delta", "text": "Yes."}),
        event("content_block_stop", index=1),
        event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 20}),
        event("message_stop"),
    ):
        deltas += reader.take(payload)
    assert deltas == [{"reasoning_content": "hm"}, {"content": "Yes."}]
    assert reader.is_done
    assert reader.told.usage == Usage(160, 20, 100, 15, 50)
    blocks = reader.told.extra["thinking_blocks"]
    assert blocks == [{"type": "thinking", "thinking": "hm", "signature": "s"}]


@pytest.mark.parametrize(
    ("kind", "cause", "retryable_as"),
    [
        ("overloaded_error", "server", "model_unavailable"),
        ("rate_limit_error", "rate_limit", "model_rate_limited"),
        ("billing_error", "no_credit", "model_unavailable"),
        ("api_error", "server", "model_unavailable"),
    ],
)
def test_an_error_in_a_stream_has_its_cause(kind: str, cause: str, retryable_as: str) -> None:
    with pytest.raises(ModelError) as caught:
        DIALECT.reader().take(event("error", error={"type": kind, "message": "no"}))
    assert (caught.value.cause, caught.value.code) == (cause, retryable_as)


def test_what_is_no_answer_is_said_to_be_none() -> None:
    with pytest.raises(BadAnswer, match="malformed"):
        DIALECT.read(b'{"content": 3}')
    with pytest.raises(BadAnswer, match="malformed"):
        DIALECT.reader().take(b"{")


def test_a_message_of_the_provider_is_read_and_never_shown() -> None:
    secret = "prompt is too long: the text of ann@example.com"
    error = {"type": "error", "error": {"type": "invalid_request_error", "message": secret}}
    refusal = DIALECT.refusal(400, {}, msgspec.json.encode(error))
    assert refusal.cause == "context_length"
    assert "ann@" not in str(refusal)
    empty = {"type": "invalid_request_error", "message": "Your credit balance is too low"}
    refusal = DIALECT.refusal(400, {}, msgspec.json.encode({"error": empty}))
    assert refusal.cause == "no_credit"
    assert DIALECT.refusal(502, {}, b"<html>").cause == "server"
