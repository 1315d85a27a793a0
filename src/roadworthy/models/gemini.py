"""Gemini's generateContent: chats in its words, answers and streams back in OpenAI's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from ..errors import ModelError
from ..net import HttpClient
from ..types import Call, Usage
from .chats import (
    SYSTEM_ROLES,
    Chat,
    Message,
    Part,
    ToolCall,
    check_parameters,
    read_chat,
    read_data_url,
    refused,
)
from .chats import in_words as asked_in_words
from .counts import believed
from .narrowed import narrowed
from .openai import KeylessModel
from .refusals import refusal_of
from .remote import RemoteModel, Told, unread
from .spec import ModelSpec

Block = dict[str, Any]

SKIP_SIGNATURE = "skip_thought_signature_validator"
"""What Google documents for calls whose signature the client did not keep: OpenAI's have no place
for one, and Gemini 3 refuses a call without."""

_TAKEN = (
    "temperature",
    "top_p",
    "top_k",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "reasoning_effort",
)
_DROPPED = (
    "metadata",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "store",
    "user",
)
"""Parameters without which the answer is no other."""
_IDLE: Mapping[str, Any] = {
    "logit_bias": {},
    "logprobs": False,
    "modalities": ["text"],
    "n": 1,
    "parallel_tool_calls": True,
    "service_tier": "auto",
    "top_logprobs": 0,
    "verbosity": "medium",
}
_NAMES = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
}
_BUDGETS = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576}
"""Tokens of thought by effort, as Google's own OpenAI-compatible endpoint has them for 2.5."""
_WORDS = frozenset(
    {
        "$anchor",
        "$defs",
        "$id",
        "$ref",
        "additionalProperties",
        "anyOf",
        "description",
        "enum",
        "format",
        "items",
        "maxItems",
        "maximum",
        "minItems",
        "minimum",
        "oneOf",
        "prefixItems",
        "properties",
        "required",
        "title",
        "type",
    }
)
"""What a schema may say to its grammar."""
_FILTERS = frozenset(
    {
        "SAFETY",
        "RECITATION",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
    }
)
_TOO_LONG = re.compile(
    r"token count.{0,80}exceed|exceed\w*.{0,60}(?:tokens|context)|too many tokens", re.IGNORECASE
)
_DELAY = re.compile(r"(\d+(?:\.\d+)?)s")

_encode = msgspec.json.Encoder().encode


class _Detail(msgspec.Struct):
    reason: str = ""
    retryDelay: str = ""  # Google's own name


class _Said(msgspec.Struct):
    code: int = 0
    status: str = ""
    message: str = ""
    details: list[_Detail] = []


class _Error(msgspec.Struct):
    error: _Said = msgspec.field(default_factory=_Said)


class _Modality(msgspec.Struct, rename="camel"):
    modality: str = ""
    token_count: int | None = 0


class _Usage(msgspec.Struct, rename="camel"):
    prompt_token_count: int | None = 0
    candidates_token_count: int | None = 0
    thoughts_token_count: int | None = 0
    cached_content_token_count: int | None = 0
    tool_use_prompt_token_count: int | None = 0
    prompt_tokens_details: list[_Modality] | None = None
    candidates_tokens_details: list[_Modality] | None = None


class _Content(msgspec.Struct):
    parts: list[Block] = []


class _Candidate(msgspec.Struct, rename="camel"):
    content: _Content | None = None
    finish_reason: str | None = None


class _Feedback(msgspec.Struct, rename="camel"):
    block_reason: str | None = None


class _Answer(msgspec.Struct, rename="camel"):
    candidates: list[_Candidate] = []
    prompt_feedback: _Feedback | None = None
    usage_metadata: msgspec.Raw = msgspec.Raw(b"null")
    response_id: str = ""
    error: _Said | None = None


_answer = msgspec.json.Decoder(_Answer).decode
_usage = msgspec.json.Decoder(_Usage | None).decode
_error = msgspec.json.Decoder(_Error).decode


def open_model(spec: ModelSpec) -> RemoteModel | KeylessModel:
    """Open the model that `spec` names; one whose key is unset counts as down."""
    if not spec.api_key:
        return KeylessModel(spec.name)
    headers = {"content-type": "application/json", "x-goog-api-key": spec.api_key}
    client = HttpClient(spec.base_url, headers, spec.max_connections)
    return RemoteModel(spec.name, spec.upstream, client, GenerateContent(spec.upstream), spec.clock)


class GenerateContent:
    """The dialect of generateContent."""

    def __init__(self, upstream: str) -> None:
        name = upstream if "/" in upstream else f"models/{upstream}"
        self._path = f"/{quote(name, safe='/')}"
        self._has_levels = not upstream.rpartition("/")[2].startswith(("gemini-1", "gemini-2"))

    def path(self, *, stream: bool) -> str:
        """See `Dialect`."""
        return self._path + (":streamGenerateContent?alt=sse" if stream else ":generateContent")

    def body(self, call: Call, *, stream: bool, in_words: bool = False) -> bytes:
        """See `Dialect`."""
        chat = read_chat(call)
        check_parameters(chat.parameters, taken=_TAKEN, dropped=_DROPPED, idle=_IDLE)
        system, contents = self._turns(chat)
        if in_words and chat.schema is not None:
            system.append({"text": asked_in_words(chat)})
            chat.schema, chat.is_json = None, True
        body: dict[str, Any] = {"contents": contents}
        if system:
            body["systemInstruction"] = {"parts": system}
        if chat.tools:
            body["tools"] = [{"functionDeclarations": _declarations(chat)}]
            body.update(_tool_config(chat))
        config = self._config(chat)
        if config:
            body["generationConfig"] = config
        return _encode(body)

    def _turns(self, chat: Chat) -> tuple[list[Block], list[dict[str, Any]]]:
        """Return the system's parts, and the turns of user and model in their order."""
        system: list[Block] = []
        turns: list[dict[str, Any]] = []
        called: dict[str, str] = {}
        for message in chat.messages:
            if message.role in SYSTEM_ROLES:
                system += [_part(part) for part in message.parts]
                continue
            called.update({call.id: call.function.name for call in message.tool_calls or ()})
            role = "model" if message.role == "assistant" else "user"
            parts = self._parts(message, called)
            if turns and turns[-1]["role"] == role:
                turns[-1]["parts"] += parts
            elif parts:
                turns.append({"role": role, "parts": parts})
        return system, turns

    def _parts(self, message: Message, called: Mapping[str, str]) -> list[Block]:
        if message.role == "tool":
            return [_result(message, called)]
        calls = [self._call(call) for call in message.tool_calls or ()]
        return [*(_part(part) for part in message.parts), *calls]

    def _call(self, call: ToolCall) -> Block:
        part: Block = {"functionCall": {"name": call.function.name, "args": call.arguments()}}
        signature = _signature_of(call)
        if signature or self._has_levels:
            part["thoughtSignature"] = signature or SKIP_SIGNATURE
        return part

    def _config(self, chat: Chat) -> dict[str, Any]:
        asked = chat.parameters
        config = {theirs: asked[ours] for ours, theirs in _NAMES.items() if ours in asked}
        if chat.max_tokens is not None:
            config["maxOutputTokens"] = chat.max_tokens
        if chat.stop:
            config["stopSequences"] = chat.stop
        if chat.schema is not None or chat.is_json:
            config["responseMimeType"] = "application/json"
        if chat.schema is not None:
            config["responseJsonSchema"] = narrowed(chat.schema, _WORDS)
        effort = asked.get("reasoning_effort")
        if effort is not None:
            config["thinkingConfig"] = self._thinking(str(effort))
        return config

    def _thinking(self, effort: str) -> dict[str, Any]:
        if effort not in _BUDGETS:
            known = ", ".join(_BUDGETS)
            raise refused("reasoning_effort", f"expected one of {known}, got `{effort:.40}`")
        if self._has_levels:
            return {"thinkingLevel": "minimal" if effort == "none" else effort}
        return {"thinkingBudget": _BUDGETS[effort]}

    def read(self, body: bytes) -> Told:
        """See `Dialect`."""
        reader = _Reader()
        reader.take(body)
        return reader.told

    def reader(self) -> _Reader:
        """See `Dialect`."""
        return _Reader()

    def refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> ModelError:
        """See `Dialect`."""
        try:
            said = _error(body).error
        except msgspec.DecodeError:
            said = _Said()
        return _refusal_of(status, headers, said)


def _refusal_of(status: int, headers: Mapping[str, str], said: _Said) -> ModelError:
    """Return what an error says, whose own words tell more than its status.

    A key that is no key is a 400 there, and how long to wait stands in the body.
    """
    reasons = {detail.reason for detail in said.details}
    code = re.sub(r"[^\w.-]", "_", said.status)[:60] or "without a code"
    if "API_KEY_INVALID" in reasons:
        return refusal_of(401, headers, "API_KEY_INVALID")
    if "BILLING_DISABLED" in reasons:
        return refusal_of(402, headers, "billing_disabled")
    if status == 400 and _TOO_LONG.search(said.message):
        code = "context_length_exceeded"
    delays = [_DELAY.fullmatch(detail.retryDelay) for detail in said.details]
    waits = [found[1] for found in delays if found]
    if waits and "retry-after" not in headers:
        headers = {**headers, "retry-after": waits[0]}
    return refusal_of(status, headers, code)


# What goes up.


def _part(part: Part) -> Block:
    if part.type in ("text", "refusal"):
        return {"text": part.text or part.refusal}
    if part.type == "input_audio" and part.input_audio is not None:
        sound = part.input_audio
        kind = {"wav": "audio/wav", "mp3": "audio/mp3"}.get(sound.format)
        if kind is None:
            raise refused("messages", f"expected sound as wav or mp3, got `{sound.format:.20}`")
        return {"inlineData": {"mimeType": kind, "data": sound.data}}
    url = ""
    if part.type == "image_url" and part.image_url is not None:
        url = part.image_url.url
    elif part.type == "file" and part.file is not None:
        url = part.file.file_data or ""
    else:
        raise refused("messages", f"this model takes no part of type `{part.type:.40}`")
    held = read_data_url(url)
    if held is None:
        raise refused("messages", "this model takes images and files as `data:` URLs in base64")
    return {"inlineData": {"mimeType": held[0], "data": held[1]}}


def _result(message: Message, called: Mapping[str, str]) -> Block:
    """Return what a tool gave, under the name of the call that it answers."""
    name = called.get(message.tool_call_id)
    if name is None:
        raise refused("messages", "a tool's result names no call that was made before it")
    try:
        value = msgspec.json.decode(message.text)
    except msgspec.DecodeError:
        value = message.text
    response = value if isinstance(value, dict) else {"result": value}
    return {"functionResponse": {"name": name, "response": response}}


def _signature_of(call: ToolCall) -> str:
    """Return the signature that a client kept beside a call, where Google's own endpoint has it."""
    extra = call.extra_content
    google = extra.get("google") if isinstance(extra, dict) else None
    signature = google.get("thought_signature") if isinstance(google, dict) else None
    return signature if isinstance(signature, str) else ""


def _declarations(chat: Chat) -> list[dict[str, Any]]:
    declared: list[dict[str, Any]] = []
    for tool in chat.tools:
        one: dict[str, Any] = {"name": tool.name}
        if tool.description:
            one["description"] = tool.description
        if tool.parameters:
            one["parametersJsonSchema"] = narrowed(tool.parameters, _WORDS)
        declared.append(one)
    return declared


def _tool_config(chat: Chat) -> dict[str, Any]:
    modes = {"auto": "AUTO", "none": "NONE", "required": "ANY", "named": "ANY"}
    mode = modes.get(chat.choice.mode)
    if mode is None:
        return {}
    config: dict[str, Any] = {"mode": mode}
    if chat.choice.name:
        config["allowedFunctionNames"] = [chat.choice.name]
    return {"toolConfig": {"functionCallingConfig": config}}


# What comes down.


class _Reader:
    """Reads one answer, whole or in the pieces of a stream, which have the same shape."""

    def __init__(self) -> None:
        self.told = Told()
        self.is_done = False

    def take(self, payload: bytes) -> list[dict[str, Any]]:
        """See `Reader`."""
        try:
            seen = _answer(payload)
        except msgspec.DecodeError as error:
            raise unread("expected an answer of generateContent, got malformed JSON") from error
        if seen.error is not None:
            raise _refusal_of(seen.error.code or 500, {}, seen.error)
        told = self.told
        told.id = seen.response_id or told.id
        self._count(seen.usage_metadata)
        if seen.prompt_feedback is not None and seen.prompt_feedback.block_reason:
            told.finish_reason, self.is_done = "content_filter", True
            return []
        if not seen.candidates:
            return []
        candidate = seen.candidates[0]
        parts = candidate.content.parts if candidate.content is not None else []
        deltas = [delta for part in parts if (delta := self._part(part))]
        if candidate.finish_reason:
            self._finish(candidate.finish_reason)
        return deltas

    def _part(self, part: Block) -> dict[str, Any] | None:
        told = self.told
        call = part.get("functionCall")
        if isinstance(call, dict):
            return self._call(call, part.get("thoughtSignature"))
        text = part.get("text")
        if not isinstance(text, str) or not text:
            return None
        if part.get("thought"):
            told.reasoning.append(text)
            return {"reasoning_content": text}
        told.text.append(text)
        return {"content": text}

    def _call(self, call: Block, signature: Any) -> dict[str, Any]:
        place = len(self.told.tool_calls)
        arguments = _encode(call.get("args") or {}).decode()
        told: dict[str, Any] = {
            "id": str(call.get("id") or f"call_{place}_{self.told.id}"),
            "type": "function",
            "function": {"name": str(call.get("name", "")), "arguments": arguments},
        }
        if signature:
            told["extra_content"] = {"google": {"thought_signature": signature}}
        self.told.tool_calls.append(told)
        return {"tool_calls": [{"index": place, **told}]}

    def _finish(self, reason: str) -> None:
        told = self.told
        if reason == "STOP":
            told.finish_reason = "tool_calls" if told.tool_calls else "stop"
        elif reason == "MAX_TOKENS":
            told.finish_reason = "length"
        elif reason in _FILTERS:
            told.finish_reason = "content_filter"
        else:
            raise unread(f"the upstream ended its answer with `{reason:.40}`")

    def _count(self, raw: msgspec.Raw) -> None:
        """Take a count. Each is of all until then, so the newest is right and none is added."""
        try:
            usage = _usage(raw)
        except msgspec.DecodeError:
            usage = None
        if usage is not None:
            self.told.usage = _counted(usage)


def _counted(usage: _Usage) -> Usage | None:
    thought = usage.thoughts_token_count or 0
    sent = (usage.prompt_token_count or 0, usage.tool_use_prompt_token_count or 0)
    written = usage.candidates_token_count or 0
    if min(*sent, written, thought) < 0:
        return None
    return believed(
        Usage(
            sum(sent),
            written + thought,
            usage.cached_content_token_count or 0,
            thought,
            audio_input_tokens=_audio(usage.prompt_tokens_details),
            audio_output_tokens=_audio(usage.candidates_tokens_details),
        )
    )


def _audio(details: list[_Modality] | None) -> int:
    return sum(d.token_count or 0 for d in details or () if d.modality == "AUDIO")
