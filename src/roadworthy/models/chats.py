"""An OpenAI chat, read for providers that speak otherwise: its messages, tools and parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from ..errors import ModelRejected
from ..types import Call

OUTPUT_TOKENS = 4096
"""Tokens of an answer where neither client nor declaration say, and a provider must be told."""
SYSTEM_ROLES = frozenset({"system", "developer"})

_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+);base64,([A-Za-z0-9+/=_-]+)")
_decode = msgspec.json.Decoder().decode


class Link(msgspec.Struct):
    """Where an image is: a `data:` URL that holds it, or an address."""

    url: str


class Sound(msgspec.Struct):
    """Sound in base64, `wav` or `mp3`."""

    data: str
    format: str = "wav"


class Attached(msgspec.Struct):
    """A file as a `data:` URL, or the id of one that was uploaded."""

    file_data: str | None = None
    file_id: str | None = None


class Part(msgspec.Struct):
    """A part of a message, as its `type` says."""

    type: str
    text: str = ""
    image_url: Link | None = None
    input_audio: Sound | None = None
    file: Attached | None = None
    refusal: str = ""


class Function(msgspec.Struct):
    """What a model wants to be called, its arguments as JSON."""

    name: str
    arguments: str = "{}"


class ToolCall(msgspec.Struct):
    """One call that a model asked for.

    Attributes:
        extra_content: What its provider wants to see again; see `gemini.py`.
    """

    id: str
    function: Function
    extra_content: Any = None

    def arguments(self) -> dict[str, Any]:
        """Return its arguments.

        Raises:
            ModelRejected: They are no JSON object.
        """
        try:
            values = _decode(self.function.arguments or "{}")
        except msgspec.DecodeError:
            values = None
        if not isinstance(values, dict):
            raise refused("messages", "the arguments of a tool call are no JSON object")
        return values


class Message(msgspec.Struct):
    """One message of a chat."""

    role: str
    content: str | list[Part] | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str = ""
    thinking_blocks: list[dict[str, Any]] | None = None

    @property
    def parts(self) -> list[Part]:
        """Its content in parts, those without anything in them left out."""
        if isinstance(self.content, str):
            return [Part("text", self.content)] if self.content else []
        return [p for p in self.content or () if p.type != "text" or p.text]

    @property
    def text(self) -> str:
        """The text of its content."""
        return "\n".join(part.text or part.refusal for part in self.parts)


class Tool(msgspec.Struct):
    """A function that a model may ask for."""

    name: str
    description: str = ""
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class _DeclaredTool(msgspec.Struct):
    function: Tool
    type: str = "function"


class _NamedTool(msgspec.Struct):
    class Named(msgspec.Struct):
        name: str

    function: Named


class _JsonSchema(msgspec.Struct):
    schema: dict[str, Any] = {}


class _Format(msgspec.Struct):
    type: str
    json_schema: _JsonSchema | None = None


class Choice(NamedTuple):
    """Whether a model must call a tool: `auto`, `none`, `required`, or the one that is named."""

    mode: str
    name: str = ""


class Chat(msgspec.Struct):
    """What a chat body says, in parts.

    Attributes:
        schema: JSON Schema that the answer has to keep, where one is asked for.
        is_json: Whether the answer has to be some JSON object.
        parameters: What else there is, by name; nothing that is null.
        static_messages, static_characters: As in `Call`.
    """

    messages: list[Message]
    tools: list[Tool]
    choice: Choice
    stop: list[str]
    max_tokens: int | None
    schema: dict[str, Any] | None
    is_json: bool
    parameters: dict[str, Any]
    static_messages: int = 0
    static_characters: int = 0


_messages = msgspec.json.Decoder(list[Message])
_PARTS_OF_CHAT = frozenset(
    {
        "messages",
        "tools",
        "tool_choice",
        "stop",
        "max_tokens",
        "max_completion_tokens",
        "response_format",
        "stream",
        "stream_options",
    }
)


def refused(name: str, why: str) -> ModelRejected:
    """Return the refusal of what a provider has no word for; another model may take it."""
    return ModelRejected(f"`{name:.80}`: {why}", param=name, cause="rejected")


def read_chat(call: Call) -> Chat:
    """Read the body of a call.

    Raises:
        ModelRejected: It is not as OpenAI's API wants it.
    """
    body = call.body
    raw = body.get("messages", msgspec.Raw(b"[]"))
    try:
        messages = _messages.decode(raw)
    except msgspec.DecodeError as error:
        raise refused("messages", _reason(error)) from error
    form = _value(body, "response_format", _Format)
    schema = form.json_schema.schema if form is not None and form.json_schema else None
    if form is None and call.output_schema:
        schema = _decode(call.output_schema)
    if form is not None and form.type not in ("text", "json_object", "json_schema"):
        raise refused("response_format", f"expected a known type, got `{form.type:.40}`")
    others = {name: _decode(raw) for name, raw in body.items() if name not in _PARTS_OF_CHAT}
    return Chat(
        messages=messages,
        tools=_tools(body),
        choice=_choice(body),
        stop=_stop(body),
        max_tokens=_limit(call),
        schema=schema,
        is_json=form is not None and form.type == "json_object",
        parameters={name: value for name, value in others.items() if value is not None},
        static_messages=call.static_messages,
        static_characters=call.static_characters,
    )


def in_words(chat: Chat) -> str:
    """Return what asks for the JSON that is wanted, for a model without a grammar for it."""
    if chat.schema is None:
        return "Answer with one JSON object and nothing else."
    schema = msgspec.json.encode(chat.schema).decode()
    return f"Answer with JSON that keeps this JSON Schema, and nothing else:\n{schema}"


def _reason(error: msgspec.DecodeError) -> str:
    reason = str(error)
    return f"{reason[:1].lower()}{reason[1:]}"[:200]


def _value(body: Mapping[str, msgspec.Raw], name: str, kind: Any) -> Any:
    raw = body.get(name)
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw, type=kind | None)
    except msgspec.DecodeError as error:
        raise refused(name, _reason(error)) from error


def _tools(body: Mapping[str, msgspec.Raw]) -> list[Tool]:
    declared: list[_DeclaredTool] = _value(body, "tools", list[_DeclaredTool]) or []
    return [tool.function for tool in declared]


def _choice(body: Mapping[str, msgspec.Raw]) -> Choice:
    choice = _value(body, "tool_choice", str | _NamedTool)
    if choice is None:
        return Choice("")
    if isinstance(choice, _NamedTool):
        return Choice("named", choice.function.name)
    if choice not in ("auto", "none", "required"):
        raise refused("tool_choice", f"expected auto, none or required, got `{choice:.40}`")
    return Choice(choice)


def _stop(body: Mapping[str, msgspec.Raw]) -> list[str]:
    stop = _value(body, "stop", str | list[str])
    if stop is None:
        return []
    return [stop] if isinstance(stop, str) else list(stop)


def _limit(call: Call) -> int | None:
    """Return the most tokens of an answer: the smallest that client and budget allow."""
    names = ("max_tokens", "max_completion_tokens")
    asked = [_value(call.body, name, int) for name in names]
    limits = [limit for limit in (*asked, call.max_output_tokens) if limit is not None]
    return min(limits, default=None)


def check_parameters(
    parameters: Mapping[str, Any],
    *,
    taken: Sequence[str],
    dropped: Sequence[str],
    idle: Mapping[str, Any],
) -> None:
    """Refuse a parameter that would change the answer and that a provider has no word for.

    Args:
        parameters: By name, none of them null.
        taken: Those that are translated.
        dropped: Those without which the answer is no other.
        idle: Those that mean nothing while they have this value.

    Raises:
        ModelRejected: There is another; it is named.
    """
    for name, value in parameters.items():
        if name in taken or name in dropped or (name in idle and value == idle[name]):
            continue
        raise refused(name, "this model's provider has no such parameter; leave it out")


def read_data_url(url: str) -> tuple[str, str] | None:
    """Return media type and base64 of a `data:` URL; None for what is none.

    >>> read_data_url("data:image/png;base64,AAAA")
    ('image/png', 'AAAA')
    """
    found = _DATA_URL.fullmatch(url)
    return (found[1], found[2]) if found else None
