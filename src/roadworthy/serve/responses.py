"""The OpenAI protocol's `POST /v1/responses`: the same request as a chat, in its newer words.

Nothing is kept between two calls: a client sends the whole conversation each time, as it must with
`store = false` anywhere.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import msgspec

from ..errors import ContractViolation, RequestError, RoadworthyError
from .chat import in_chat_words
from .engine import Engine
from .http import JSON, Incoming, Outgoing, error_response, reply_headers, unreadable
from .request import Request
from .response_events import Told, Writer, response_of
from .response_items import messages_of
from .sse import completion_of

Body = dict[str, msgspec.Raw]

STREAM = (b"content-type", b"text/event-stream; charset=utf-8")
NO_CACHE = (b"cache-control", b"no-cache")
LIMIT = "max_output_tokens"

_SAME = (
    "metadata",
    "parallel_tool_calls",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "temperature",
    "top_p",
    "user",
)
"""Parameters that a chat has under the same name."""
_IDLE: Mapping[str, Any] = {
    "background": False,
    "include": [],
    "top_logprobs": 0,
    "truncation": "disabled",
}
"""Parameters that mean nothing while they have this value, or are null."""
_DROPPED = frozenset({"store", "stream_options"})
_ADVICE = {
    "previous_response_id": "nothing is kept between two calls; send the conversation as `input`",
    "conversation": "nothing is kept between two calls; send the conversation as `input`",
    "truncation": "what is left out of a long chat is declared in `[context] overflow`",
    "background": "an answer comes while its client waits",
    "include": "nothing but the answer can be had",
}
_OTHER = "no such parameter counts here"
_KEPT_OUT = "reasoning.encrypted_content"
"""Asked for by clients that keep nothing either; there is none to give, so it is not refused."""
_WORDS = {
    "messages": "input",
    "max_completion_tokens": LIMIT,
    "max_tokens": LIMIT,
    "response_format": "text",
    "reasoning_effort": "reasoning",
    "verbosity": "text",
}
"""A chat's parameter → what it is called here."""

_decode_body = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class _Form(msgspec.Struct):
    type: str = "text"
    name: str = "answer"
    schema: dict[str, Any] | None = None
    description: str | None = None
    strict: bool | None = None


class _Text(msgspec.Struct):
    format: _Form | None = None
    verbosity: str | None = None


class _Reasoning(msgspec.Struct):
    effort: str | None = None


class _Tool(msgspec.Struct):
    type: str
    name: str = ""
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class _Named(msgspec.Struct):
    type: str
    name: str = ""


async def responses(engine: Engine, incoming: Incoming) -> Outgoing:
    """Answer one call, whole or as a stream of typed events.

    Raises:
        RequestError: The body is not a JSON object with a `model`, or a value in it is no value.
        ContractViolation: It asks for what no service here gives.
    """
    asked = _read(incoming.body)
    service = _value(asked, "model", str)
    if service is None:
        raise RequestError("`model`: expected the name of a service, got nothing", param="model")
    release = engine.releases.get(service)
    if release is not None and release.kind == "predict":
        engine.keyring.find(incoming.headers.get(b"authorization", b""))
        raise ContractViolation(
            f"`{service}` is a predict service: expected POST /v2/models/{service}/infer",
            param="model",
        )
    is_stream = _value(asked, "stream", bool) is True
    chat = release.chat if release is not None else None
    only_old = chat is not None and "max_completion_tokens" not in chat.allow
    body = _chat_of(asked, limit="max_tokens" if only_old else "max_completion_tokens")
    if is_stream:
        body["stream"] = msgspec.Raw(b"true")
        body["stream_options"] = msgspec.Raw(b'{"include_usage":true}')
    request = Request(
        service=service, protocol="openai", body=body, is_stream=is_stream, **incoming.common()
    )
    reply = await (engine.stream(request) if is_stream else engine.answer(request))
    if reply.error is not None and reply.events is None:
        return error_response(_in_our_words(in_chat_words(reply.error, chat)), reply.request_id)
    headers = reply_headers(reply)
    if reply.events is not None:
        writer = Writer(reply, asked)
        first = writer.begin() + writer.feed(reply.first)
        return Outgoing(200, [STREAM, NO_CACHE, *headers], first, _events(reply.events, writer))
    told = Told.of(completion_of(reply))
    return Outgoing(200, [JSON, *headers], _encode(response_of(reply, asked, told)))


async def _events(
    events: AsyncGenerator[bytes, None], writer: Writer
) -> AsyncGenerator[bytes, None]:
    async with aclosing(events):
        async for event in events:
            if written := writer.feed(event):
                yield written
    yield writer.end()


def _read(raw: bytes) -> Body:
    try:
        return _decode_body(raw)
    except msgspec.DecodeError as error:
        raise unreadable(raw, error) from error


def _value(asked: Body, name: str, kind: Any) -> Any:
    raw = asked.get(name)
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw, type=kind | None)
    except msgspec.DecodeError as error:
        reason = str(error)
        raise RequestError(f"`{name}`: {reason[:1].lower()}{reason[1:]}", param=name) from error


def _chat_of(asked: Body, *, limit: str) -> Body:
    """Return the chat that a call asks for.

    Args:
        asked: Its parameters, values still JSON bytes.
        limit: What the chat calls the most tokens of an answer.

    Raises:
        RequestError: A value is of another type than it has to be.
        ContractViolation: A parameter asks for what no service here gives.
    """
    _check_known(asked)
    messages = messages_of(_value(asked, "instructions", str), _input_of(asked))
    body: Body = {"messages": _raw(messages)}
    for name in _SAME:
        if name in asked and bytes(asked[name]) != b"null":
            body[name] = asked[name]
    tokens = _value(asked, LIMIT, int)
    if tokens is not None:
        body[limit] = _raw(tokens)
    for name, value in (*_text_of(asked), *_tools_of(asked), *_effort_of(asked)):
        body[name] = _raw(value)
    return body


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(_encode(value))


_READ = frozenset(
    {
        "input",
        "instructions",
        "model",
        "reasoning",
        "stream",
        "text",
        "tool_choice",
        "tools",
        LIMIT,
        *_SAME,
    }
)


def _check_known(asked: Body) -> None:
    for name in asked:
        if name in _READ or name in _DROPPED:
            continue
        value = _value(asked, name, object)
        if name == "include" and isinstance(value, list):
            value = [wanted for wanted in value if wanted != _KEPT_OUT]
        if value is not None and not (name in _IDLE and value == _IDLE[name]):
            advice = _ADVICE.get(name, _OTHER)
            raise ContractViolation(f"`{name:.80}`: {advice}", param=name[:80])


def _input_of(asked: Body) -> str | list[dict[str, Any]]:
    given = _value(asked, "input", str | list[dict[str, Any]])
    if not given:
        raise ContractViolation(
            "`input`: expected a text or a list of at least one item, got none", param="input"
        )
    values: str | list[dict[str, Any]] = given
    return values


def _text_of(asked: Body) -> list[tuple[str, Any]]:
    text: _Text | None = _value(asked, "text", _Text)
    if text is None:
        return []
    found: list[tuple[str, Any]] = []
    if text.verbosity is not None:
        found.append(("verbosity", text.verbosity))
    form = text.format
    if form is None or form.type == "text":
        return found
    if form.type == "json_object":
        return [*found, ("response_format", {"type": "json_object"})]
    if form.type != "json_schema" or form.schema is None:
        raise ContractViolation(
            "`text.format`: expected `text`, `json_object` or a `json_schema` with its schema",
            param="text.format",
        )
    schema: dict[str, Any] = {"name": form.name, "schema": form.schema}
    more = {"description": form.description, "strict": form.strict}
    schema |= {name: value for name, value in more.items() if value is not None}
    return [*found, ("response_format", {"type": "json_schema", "json_schema": schema})]


def _tools_of(asked: Body) -> list[tuple[str, Any]]:
    tools: list[_Tool] = _value(asked, "tools", list[_Tool]) or []
    other = next((tool.type for tool in tools if tool.type != "function"), None)
    if other is not None:
        raise ContractViolation(
            f"`tools`: expected functions, got `{other:.40}`: nothing here runs it", param="tools"
        )
    found: list[tuple[str, Any]] = []
    if tools:
        found.append(("tools", [_as_chat_tool(tool) for tool in tools]))
    choice = _value(asked, "tool_choice", str | _Named)
    if isinstance(choice, str):
        found.append(("tool_choice", choice))
    elif choice is not None:
        if choice.type != "function":
            expected = "`tool_choice`: expected auto, none, required or a function"
            raise ContractViolation(f"{expected}, got `{choice.type:.40}`", param="tool_choice")
        named = {"type": "function", "function": {"name": choice.name}}
        found.append(("tool_choice", named))
    return found


def _as_chat_tool(tool: _Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    more = {
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": tool.strict,
    }
    function |= {name: value for name, value in more.items() if value is not None}
    return {"type": "function", "function": function}


def _effort_of(asked: Body) -> list[tuple[str, Any]]:
    reasoning: _Reasoning | None = _value(asked, "reasoning", _Reasoning)
    effort = reasoning.effort if reasoning is not None else None
    return [] if effort is None else [("reasoning_effort", effort)]


def _in_our_words(error: RoadworthyError) -> RoadworthyError:
    """Return an error that names a chat's parameter with the name it has here."""
    ours = _WORDS.get(error.param or "")
    if ours is None:
        return error
    said = ContractViolation(str(error).replace(f"`{error.param}`", f"`{ours}`"), param=ours)
    return said if isinstance(error, ContractViolation) else error
