"""How an OpenAI chat is said in Gemini's words, and what its answers come back as."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
from model_calls import CALLER

from roadworthy.errors import BadAnswer, ModelRejected
from roadworthy.models.gemini import SKIP_SIGNATURE, GenerateContent
from roadworthy.types import Call, Usage

OLDER = GenerateContent("gemini-2.5-flash")
NEWER = GenerateContent("gemini-3-pro-preview")
USER = {"role": "user", "content": "hello"}
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 9}},
            "$schema": "x",
        },
    },
}


def call_of(messages: list[dict[str, Any]] | None = None, **parameters: Any) -> Call:
    values = {"messages": messages or [USER], **parameters}
    body = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in values.items()}
    return Call(input={}, caller=CALLER, deadline=time.monotonic() + 5, body=body)


def body_of(
    messages: list[dict[str, Any]] | None = None,
    dialect: GenerateContent = OLDER,
    **parameters: Any,
) -> Any:
    return msgspec.json.decode(dialect.body(call_of(messages, **parameters), stream=False))


def test_the_model_stands_in_the_path_and_nothing_of_the_caller_does() -> None:
    assert OLDER.path(stream=False) == "/models/gemini-2.5-flash:generateContent"
    assert OLDER.path(stream=True).endswith(":streamGenerateContent?alt=sse")
    assert GenerateContent("tunedModels/mine").path(stream=False).startswith("/tunedModels/mine:")
    assert GenerateContent("a b?c#d").path(stream=False) == "/models/a%20b%3Fc%23d:generateContent"


def test_a_chat_is_contents_with_an_instruction() -> None:
    body = body_of([{"role": "system", "content": "Be brief."}, USER, ANSWER, USER])
    assert body == {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "hello"}]},
            {"role": "model", "parts": [{"text": "hi"}]},
            {"role": "user", "parts": [{"text": "hello"}]},
        ],
    }


ANSWER = {"role": "assistant", "content": "hi"}


def test_parameters_go_by_their_names() -> None:
    body = body_of(
        temperature=1.5,
        top_p=0.9,
        top_k=5,
        seed=7,
        stop=["a"],
        max_tokens=9,
        presence_penalty=0.1,
        frequency_penalty=0.2,
    )
    assert body["generationConfig"] == {
        "temperature": 1.5,
        "topP": 0.9,
        "topK": 5,
        "seed": 7,
        "presencePenalty": 0.1,
        "frequencyPenalty": 0.2,
        "maxOutputTokens": 9,
        "stopSequences": ["a"],
    }


def test_effort_is_a_level_or_a_budget_as_the_model_wants_it() -> None:
    def thinking(dialect: GenerateContent, effort: str) -> Any:
        body = body_of(dialect=dialect, reasoning_effort=effort)
        return body["generationConfig"]["thinkingConfig"]

    assert thinking(OLDER, "none") == {"thinkingBudget": 0}
    assert thinking(OLDER, "medium") == {"thinkingBudget": 8192}
    assert thinking(NEWER, "low") == {"thinkingLevel": "low"}
    with pytest.raises(ModelRejected, match=r"^`reasoning_effort`"):
        thinking(NEWER, "enormous")


@pytest.mark.parametrize(("name", "value"), [("user", "ann"), ("store", True), ("n", 1)])
def test_what_changes_no_answer_is_left_out(name: str, value: Any) -> None:
    assert body_of(**{name: value}) == body_of()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n", 2),
        ("logprobs", True),
        ("parallel_tool_calls", False),
        ("thinking", {"type": "enabled"}),
        ("web_search_options", {}),
    ],
)
def test_what_would_change_the_answer_and_has_no_word_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ModelRejected, match=f"^`{name}`") as caught:
        body_of(**{name: value})
    assert caught.value.param == name


def test_images_files_and_sound_go_up_inline() -> None:
    parts = [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,QUJD"}},
        {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "mp3"}},
    ]
    sent = body_of([{"role": "user", "content": parts}])["contents"][0]["parts"]
    kinds = [part["inlineData"]["mimeType"] for part in sent]
    assert kinds == ["image/png", "application/pdf", "audio/mp3"]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "https://example.com/bag.png"}},
        {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "flac"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "hologram"},
    ],
)
def test_parts_it_cannot_take_are_refused(part: dict[str, Any]) -> None:
    with pytest.raises(ModelRejected, match=r"^`messages`"):
        body_of([{"role": "user", "content": [part]}])


CALLED: dict[str, Any] = {
    "id": "t1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city":"Bern"}'},
}


def conversation(call: dict[str, Any], result: str = "rain") -> list[dict[str, Any]]:
    return [
        USER,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "t1", "content": result},
    ]


def test_tools_their_choice_and_their_results_are_mapped() -> None:
    body = body_of(conversation(CALLED), tools=[TOOL], tool_choice="required")
    declared = body["tools"][0]["functionDeclarations"][0]
    assert declared["parametersJsonSchema"] == {
        "type": "object",
        "properties": {"city": {"type": "string"}},
    }
    assert body["toolConfig"] == {"functionCallingConfig": {"mode": "ANY"}}
    assert body["contents"][1]["parts"] == [
        {"functionCall": {"name": "weather", "args": {"city": "Bern"}}}
    ]
    assert body["contents"][2]["parts"] == [
        {"functionResponse": {"name": "weather", "response": {"result": "rain"}}}
    ]
    told = body_of(conversation(CALLED, '{"rain": true}'))["contents"][2]["parts"][0]
    assert told["functionResponse"]["response"] == {"rain": True}
    named = {"type": "function", "function": {"name": "weather"}}
    config = body_of(tools=[TOOL], tool_choice=named)["toolConfig"]["functionCallingConfig"]
    assert config == {"mode": "ANY", "allowedFunctionNames": ["weather"]}


def test_a_result_that_answers_no_call_is_refused() -> None:
    with pytest.raises(ModelRejected, match="names no call"):
        body_of([{"role": "tool", "tool_call_id": "t9", "content": "x"}])


def test_signatures_go_back_up_and_newer_models_never_miss_one() -> None:
    signed = {**CALLED, "extra_content": {"google": {"thought_signature": "sig"}}}

    def part(call: dict[str, Any], dialect: GenerateContent) -> Any:
        return body_of(conversation(call), dialect=dialect)["contents"][1]["parts"][0]

    assert part(signed, OLDER)["thoughtSignature"] == "sig"
    assert "thoughtSignature" not in part(CALLED, OLDER)
    assert part(CALLED, NEWER)["thoughtSignature"] == SKIP_SIGNATURE


def test_a_schema_goes_up_in_the_words_its_grammar_takes() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": "x"}}}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    config = body_of(response_format=form)["generationConfig"]
    narrow = {"type": "object", "properties": {"a": {"type": "string"}}}
    assert config == {"responseMimeType": "application/json", "responseJsonSchema": narrow}
    config = body_of(response_format={"type": "json_object"})["generationConfig"]
    assert config == {"responseMimeType": "application/json"}


def answer_of(
    parts: list[dict[str, Any]] | None = None, finish: str | None = "STOP", **fields: Any
) -> bytes:
    candidate = {"content": {"parts": parts or [{"text": "hi"}]}, "finishReason": finish}
    return msgspec.json.encode({"candidates": [candidate], "responseId": "r1", **fields})


def test_every_kind_of_token_is_counted_within_the_whole() -> None:
    usage = {
        "promptTokenCount": 100,
        "toolUsePromptTokenCount": 5,
        "cachedContentTokenCount": 40,
        "candidatesTokenCount": 10,
        "thoughtsTokenCount": 30,
        "promptTokensDetails": [
            {"modality": "TEXT", "tokenCount": 80},
            {"modality": "AUDIO", "tokenCount": 20},
        ],
        "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 7}],
    }
    told = OLDER.read(answer_of(usageMetadata=usage))
    assert told.usage == Usage(105, 40, 40, 30, 0, 20, 7)


@pytest.mark.parametrize(
    ("reason", "ours"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("SPII", "content_filter"),
        (None, ""),
    ],
)
def test_reasons_why_it_ended_are_openais(reason: str | None, ours: str) -> None:
    assert OLDER.read(answer_of(finish=reason)).finish_reason == ours


@pytest.mark.parametrize("reason", ["MALFORMED_FUNCTION_CALL", "OTHER", "LANGUAGE"])
def test_an_end_that_left_no_answer_is_none(reason: str) -> None:
    with pytest.raises(BadAnswer, match=reason):
        OLDER.read(answer_of(finish=reason))


def test_a_prompt_that_is_blocked_is_filtered_and_its_tokens_are_counted() -> None:
    body = {
        "promptFeedback": {"blockReason": "SAFETY"},
        "usageMetadata": {"promptTokenCount": 8},
    }
    told = OLDER.read(msgspec.json.encode(body))
    assert (told.finish_reason, told.usage) == ("content_filter", Usage(8, 0))


def test_thoughts_come_beside_the_text_and_calls_with_their_signature() -> None:
    call = {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "sig"}
    told = NEWER.read(answer_of([{"text": "hm", "thought": True}, {"text": "Yes."}, call]))
    message = told.message()
    assert (message["content"], message["reasoning_content"]) == ("Yes.", "hm")
    assert message["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "sig"}}
    assert message["tool_calls"][0]["id"] == "call_0_r1"
    assert told.finish_reason == "tool_calls"


def refusal_of(code: int, message: str = "", **fields: Any) -> Any:
    error = {"code": code, "message": message, **fields}
    return OLDER.refusal(code, {}, msgspec.json.encode({"error": error}))


def test_refusals_have_their_cause_and_their_advice() -> None:
    info = {"retryDelay": "34.5s", "@type": "type.googleapis.com/google.rpc.RetryInfo"}
    limited = refusal_of(429, "Quota of ann", status="RESOURCE_EXHAUSTED", details=[info])
    assert (limited.cause, limited.retry_after_s) == ("rate_limit", 34.5)
    assert "ann" not in str(limited)
    assert refusal_of(400, details=[{"reason": "API_KEY_INVALID"}]).cause == "auth"
    assert refusal_of(403, details=[{"reason": "BILLING_DISABLED"}]).cause == "no_credit"
    long = "The input token count (9) exceeds the maximum number of tokens allowed (8)."
    assert refusal_of(400, long, status="INVALID_ARGUMENT").cause == "context_length"
    assert refusal_of(503, status="UNAVAILABLE").cause == "server"
    assert OLDER.refusal(502, {}, b"<html>").cause == "server"
