"""Anthropic's Messages API: chats in its words, answers and streams back in OpenAI's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from ..errors import ModelError, ModelUnavailable
from ..net import HttpClient
from ..types import Call, Usage
from .chats import (
    OUTPUT_TOKENS,
    SYSTEM_ROLES,
    Chat,
    Message,
    Part,
    check_parameters,
    read_chat,
    read_data_url,
    refused,
)
from .chats import in_words as asked_in_words
from .counts import believed
from .narrowed import closed, is_closed, narrowed
from .openai import KeylessModel
from .refusals import refusal_of
from .remote import RemoteModel, Told, unread
from .spec import ModelSpec

VERSION = "2023-06-01"
PATH = "/messages"

Block = dict[str, Any]

_TAKEN = ("temperature", "top_p", "top_k", "reasoning_effort", "thinking", "parallel_tool_calls")
_DROPPED = (
    "metadata",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "seed",
    "store",
    "user",
)
"""Parameters without which the answer is no other, or that promise nothing: no seed does."""
_IDLE: Mapping[str, Any] = {
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "logit_bias": {},
    "logprobs": False,
    "modalities": ["text"],
    "n": 1,
    "service_tier": "auto",
    "top_logprobs": 0,
    "verbosity": "medium",
}
_WORDS = frozenset(
    {
        "$defs",
        "$ref",
        "additionalProperties",
        "allOf",
        "anyOf",
        "const",
        "default",
        "definitions",
        "description",
        "enum",
        "format",
        "items",
        "properties",
        "required",
        "title",
        "type",
    }
)
"""What a schema may say to its grammar."""
_MARK = {"type": "ephemeral"}
_ENDS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}
_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""What an error that comes in the middle of a stream would have had for a status."""
_TOO_LONG = re.compile(
    r"prompt is too long|input is too long|exceed\w* (?:the )?context|context (?:limit|window)",
    re.IGNORECASE,
)
_NO_CREDIT = re.compile(r"credit balance|billing", re.IGNORECASE)
_FILTERED = re.compile(r"content filter|blocked by", re.IGNORECASE)

_encode = msgspec.json.Encoder().encode


class _Said(msgspec.Struct):
    type: str = ""
    message: str = ""


class _Error(msgspec.Struct):
    error: _Said = msgspec.field(default_factory=_Said)


class _Thought(msgspec.Struct):
    thinking_tokens: int | None = 0


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    output_tokens_details: _Thought | None = None


class _Answer(msgspec.Struct):
    content: list[Block]
    id: str = ""
    stop_reason: str | None = None
    usage: msgspec.Raw = msgspec.Raw(b"null")


class _Begun(msgspec.Struct):
    id: str = ""
    usage: msgspec.Raw = msgspec.Raw(b"null")


class _Ended(msgspec.Struct):
    stop_reason: str | None = None


class _Event(msgspec.Struct):
    """One event of a stream; which fields it has is said by its `type`."""

    type: str
    index: int = 0
    message: _Begun | None = None
    content_block: Block | None = None
    delta: Block | None = None
    usage: msgspec.Raw = msgspec.Raw(b"null")
    error: _Said | None = None


_answer = msgspec.json.Decoder(_Answer).decode
_event = msgspec.json.Decoder(_Event).decode
_usage = msgspec.json.Decoder(_Usage | None).decode
_error = msgspec.json.Decoder(_Error).decode


def open_model(spec: ModelSpec) -> RemoteModel | KeylessModel:
    """Open the model that `spec` names; one whose key is unset counts as down."""
    if not spec.api_key:
        return KeylessModel(spec.name)
    headers = {
        "content-type": "application/json",
        "x-api-key": spec.api_key,
        "anthropic-version": VERSION,
    }
    client = HttpClient(spec.base_url, headers, spec.max_connections)
    return RemoteModel(spec.name, spec.upstream, client, Messages(spec.upstream), spec.clock)


class Messages:
    """The dialect of the Messages API."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream

    def path(self, *, stream: bool) -> str:
        """See `Dialect`."""
        return PATH

    def body(self, call: Call, *, stream: bool, in_words: bool = False) -> bytes:
        """See `Dialect`."""
        chat = read_chat(call)
        check_parameters(chat.parameters, taken=_TAKEN, dropped=_DROPPED, idle=_IDLE)
        system, messages = _turns(chat)
        form = None if in_words else _grammar(chat)
        if form is None and (chat.schema is not None or chat.is_json):
            system.append({"type": "text", "text": asked_in_words(chat)})
        body: dict[str, Any] = {
            "model": self._upstream,
            "max_tokens": OUTPUT_TOKENS if chat.max_tokens is None else chat.max_tokens,
            "messages": messages,
            **_parameters(chat, form),
        }
        if system:
            body["system"] = system
        if chat.tools:
            body["tools"] = _tools(chat)
            body.update(_tool_choice(chat))
        if stream:
            body["stream"] = True
        return _encode(body)

    def read(self, body: bytes) -> Told:
        """See `Dialect`."""
        try:
            seen = _answer(body)
        except msgspec.DecodeError as error:
            raise unread("expected a message, got malformed JSON") from error
        told = Told(id=seen.id, finish_reason=_finish(seen.stop_reason))
        for block in seen.content:
            _add_block(told, block)
        told.usage = _counted(_read_usage(seen.usage))
        return told

    def reader(self) -> _Reader:
        """See `Dialect`."""
        return _Reader()

    def refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> ModelError:
        """See `Dialect`."""
        try:
            said = _error(body).error
        except msgspec.DecodeError:
            said = _Said()
        return refusal_of(status, headers, _code_of(said))


def _code_of(said: _Said) -> str:
    """Return a word for an error that tells its cause, where only its message does.

    The message itself may quote the chat, so it is not passed on.
    """
    if _NO_CREDIT.search(said.message):
        return "credit_balance_too_low"
    if said.type == "invalid_request_error":
        if _TOO_LONG.search(said.message):
            return "prompt_too_long"
        if _FILTERED.search(said.message):
            return "content_filter"
    return re.sub(r"[^\w.-]", "_", said.type)[:60] or "without a code"


def _finish(stop_reason: str | None) -> str:
    """Return OpenAI's word for why it ended; empty where it has none, as of a paused turn."""
    return _ENDS.get(stop_reason or "", "")


# What goes up.


def _turns(chat: Chat) -> tuple[list[Block], list[dict[str, Any]]]:
    """Return the system's blocks, and the turns of user and assistant in their order."""
    system: list[Block] = []
    turns: list[dict[str, Any]] = []
    for place, message in enumerate(chat.messages):
        blocks = _blocks(message)
        _mark_static(blocks, place, chat)
        if message.role in SYSTEM_ROLES:
            system += blocks
            continue
        role = "assistant" if message.role == "assistant" else "user"
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": role, "content": blocks})
    return system, turns


def _mark_static(blocks: list[Block], place: int, chat: Chat) -> None:
    """Mark where what is the same in each call ends: up to there it is kept, and read cheaply.

    A message that is only the same at its beginning is cut in two there.
    """
    if not blocks:
        return
    if place == chat.static_messages and chat.static_characters:
        text, cut = blocks[0].get("text", ""), chat.static_characters
        if 0 < cut < len(text):
            rest = {"type": "text", "text": text[cut:]}
            blocks[:1] = [{"type": "text", "text": text[:cut], "cache_control": _MARK}, rest]
        elif cut == len(text):
            blocks[0]["cache_control"] = _MARK
    elif place == chat.static_messages - 1 and not chat.static_characters:
        blocks[-1]["cache_control"] = _MARK


def _blocks(message: Message) -> list[Block]:
    if message.role == "tool":
        content = [_block(part) for part in message.parts]
        return [
            {"type": "tool_result", "tool_use_id": message.tool_call_id, "content": content},
        ]
    blocks = [*(message.thinking_blocks or ()), *(_block(part) for part in message.parts)]
    for call in message.tool_calls or ():
        name = call.function.name
        blocks.append({"type": "tool_use", "id": call.id, "name": name, "input": call.arguments()})
    return blocks


def _block(part: Part) -> Block:
    if part.type in ("text", "refusal"):
        return {"type": "text", "text": part.text or part.refusal}
    if part.type == "image_url" and part.image_url is not None:
        return {"type": "image", "source": _source(part.image_url.url)}
    if part.type == "file" and part.file is not None:
        held = read_data_url(part.file.file_data or "")
        if held is not None and held[0] == "application/pdf":
            source = {"type": "base64", "media_type": held[0], "data": held[1]}
            return {"type": "document", "source": source}
        raise refused("messages", "this model takes files as `data:` URLs of PDF alone")
    raise refused("messages", f"this model takes no part of type `{part.type:.40}`")


def _source(url: str) -> dict[str, str]:
    held = read_data_url(url)
    if held is not None:
        return {"type": "base64", "media_type": held[0], "data": held[1]}
    if url.startswith("https://"):
        return {"type": "url", "url": url}
    raise refused("messages", "expected an image as a `data:` URL in base64 or an https URL")


def _grammar(chat: Chat) -> dict[str, Any] | None:
    """Return what makes the answer keep a schema; None where no grammar can say it."""
    if chat.schema is None or not is_closed(chat.schema):
        return None
    return {"type": "json_schema", "schema": closed(narrowed(chat.schema, _WORDS))}


def _parameters(chat: Chat, form: dict[str, Any] | None) -> dict[str, Any]:
    asked = chat.parameters
    temperature = asked.get("temperature")
    if isinstance(temperature, int | float) and temperature > 1:
        raise refused("temperature", f"this model takes 0 to 1, got {temperature:g}")
    names = ("temperature", "top_p", "top_k", "thinking")
    body: dict[str, Any] = {name: asked[name] for name in names if name in asked}
    if chat.stop:
        body["stop_sequences"] = chat.stop
    output: dict[str, Any] = {} if form is None else {"format": form}
    effort = asked.get("reasoning_effort")
    if effort not in (None, "none"):
        output["effort"] = "low" if effort == "minimal" else effort
    if output:
        body["output_config"] = output
    return body


def _tools(chat: Chat) -> list[dict[str, Any]]:
    tools: list[dict[str, Any]] = []
    for tool in chat.tools:
        schema = tool.parameters or {"type": "object", "properties": {}}
        one: dict[str, Any] = {"name": tool.name, "input_schema": schema}
        if tool.description:
            one["description"] = tool.description
        if tool.strict and is_closed(schema):
            one["strict"] = True
            one["input_schema"] = closed(narrowed(schema, _WORDS))
        tools.append(one)
    return tools


def _tool_choice(chat: Chat) -> dict[str, Any]:
    modes = {"auto": "auto", "none": "none", "required": "any", "named": "tool"}
    one_at_a_time = chat.parameters.get("parallel_tool_calls") is False
    mode = modes.get(chat.choice.mode, "auto" if one_at_a_time else "")
    if not mode:
        return {}
    choice: dict[str, Any] = {"type": mode}
    if chat.choice.name:
        choice["name"] = chat.choice.name
    if one_at_a_time and mode != "none":
        choice["disable_parallel_tool_use"] = True
    return {"tool_choice": choice}


# What comes down.


def _add_block(told: Told, block: Block) -> None:
    kind = block.get("type")
    if kind == "text":
        told.text.append(str(block.get("text", "")))
    elif kind == "tool_use":
        arguments = _encode(block.get("input") or {}).decode()
        told.tool_calls.append(_tool_call(block, arguments))
    elif kind in ("thinking", "redacted_thinking"):
        told.reasoning.append(str(block.get("thinking", "")))
        told.extra.setdefault("thinking_blocks", []).append(block)


def _tool_call(block: Block, arguments: str) -> dict[str, Any]:
    function = {"name": str(block.get("name", "")), "arguments": arguments}
    return {"id": str(block.get("id", "")), "type": "function", "function": function}


def _read_usage(raw: msgspec.Raw) -> _Usage | None:
    try:
        usage: _Usage | None = _usage(raw)
    except msgspec.DecodeError:
        return None
    return usage


def _counted(usage: _Usage | None) -> Usage | None:
    """Return a count in our words: what was read from the cache or written there is input too."""
    if usage is None or usage.input_tokens is None or usage.output_tokens is None:
        return None
    cached = usage.cache_read_input_tokens or 0
    written = usage.cache_creation_input_tokens or 0
    thought = usage.output_tokens_details
    if min(usage.input_tokens, cached, written) < 0:
        return None
    return believed(
        Usage(
            usage.input_tokens + cached + written,
            usage.output_tokens,
            cached,
            (thought.thinking_tokens or 0) if thought else 0,
            written,
        )
    )


class _Reader:
    """Reads one stream of the Messages API; see `Reader`."""

    def __init__(self) -> None:
        self.told = Told()
        self.is_done = False
        self._usage = _Usage()
        self._blocks: dict[int, Block] = {}

    def take(self, payload: bytes) -> list[dict[str, Any]]:
        """See `Reader`."""
        try:
            event = _event(payload)
        except msgspec.DecodeError as error:
            raise unread("expected an event of a stream, got malformed JSON") from error
        if event.type == "content_block_delta":
            return self._delta(event)
        if event.type == "content_block_start":
            return self._begin_block(event)
        if event.type == "content_block_stop":
            return self._end_block(event)
        if event.type == "error":
            raise _error_in(event.error or _Said())
        self._note(event)
        return []

    def _note(self, event: _Event) -> None:
        """Take what is no content: the beginning, the reason of the end, the counts."""
        if event.message is not None:
            self.told.id = event.message.id
            self._count(event.message.usage)
        elif event.type == "message_delta":
            reason = (event.delta or {}).get("stop_reason")
            self.told.finish_reason = _finish(reason) or self.told.finish_reason
            self._count(event.usage)
        elif event.type == "message_stop":
            self.is_done = True

    def _count(self, raw: msgspec.Raw) -> None:
        """Take a count. Each is of all until then, so the newest is right and none is added."""
        usage = _read_usage(raw)
        if usage is None:
            return
        for name in usage.__struct_fields__:
            if getattr(usage, name) is not None:
                setattr(self._usage, name, getattr(usage, name))
        self.told.usage = _counted(self._usage)

    def _begin_block(self, event: _Event) -> list[dict[str, Any]]:
        block = dict(event.content_block or {})
        self._blocks[event.index] = block
        kind = block.get("type")
        if kind == "text" and block.get("text"):
            return self._text(str(block["text"]))
        if kind == "tool_use":
            call = _tool_call(block, "")
            block["place"] = len(self.told.tool_calls)
            self.told.tool_calls.append(call)
            return [{"tool_calls": [{"index": block["place"], **call}]}]
        return []

    def _delta(self, event: _Event) -> list[dict[str, Any]]:
        delta = event.delta or {}
        kind, block = delta.get("type"), self._blocks.get(event.index, {})
        if kind == "text_delta":
            return self._text(str(delta.get("text", "")))
        if kind == "input_json_delta":
            return self._arguments(block, str(delta.get("partial_json", "")))
        if kind == "thinking_delta":
            text = str(delta.get("thinking", ""))
            block["thinking"] = block.get("thinking", "") + text
            self.told.reasoning.append(text)
            return [{"reasoning_content": text}] if text else []
        if kind == "signature_delta":
            block["signature"] = block.get("signature", "") + str(delta.get("signature", ""))
        return []

    def _text(self, text: str) -> list[dict[str, Any]]:
        if not text:
            return []
        self.told.text.append(text)
        return [{"content": text}]

    def _arguments(self, block: Block, piece: str) -> list[dict[str, Any]]:
        if not piece or "place" not in block:
            return []
        place = block["place"]
        self.told.tool_calls[place]["function"]["arguments"] += piece
        return [{"tool_calls": [{"index": place, "function": {"arguments": piece}}]}]

    def _end_block(self, event: _Event) -> list[dict[str, Any]]:
        block = self._blocks.pop(event.index, {})
        if block.get("type") in ("thinking", "redacted_thinking"):
            self.told.extra.setdefault("thinking_blocks", []).append(block)
        place = block.get("place")
        if place is not None and not self.told.tool_calls[place]["function"]["arguments"]:
            return self._arguments(block, "{}")
        return []


def _error_in(said: _Said) -> ModelError:
    """Return what an error in the middle of a stream says."""
    status = _STATUSES.get(said.type, 500)
    error = refusal_of(status, {}, _code_of(said))
    if status < 500 and status not in (402, 429):
        return error
    message = f"the upstream sent an error: {_code_of(said)}"
    return error if status in (402, 429) else ModelUnavailable(message, cause="server")
