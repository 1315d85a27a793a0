"""How an OpenAI-style chat meets a service: which parts of it count as what."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, TypeVar

import msgspec

from ..declare.service import Chat
from ..errors import ContractViolation, RoadworthyError

Body = dict[str, msgspec.Raw]
T = TypeVar("T")

_NULL = msgspec.Raw(b"null")
VARIABLES = "variables"
"""Where a client puts what a prompt needs beside the message."""
_ALWAYS = frozenset({"messages", "stream", "stream_options", "user"})
_encode = msgspec.json.Encoder().encode


class _Message(msgspec.Struct):
    role: str
    content: str | list[dict[str, Any]] | None = None


_messages = msgspec.json.Decoder(list[_Message])
_raw_messages = msgspec.json.Decoder(list[msgspec.Raw])
_objects = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_object = msgspec.json.Decoder(dict[str, Any])
_anything = msgspec.json.Decoder()


def read_chat(
    body: Body, chat: Chat | None, *, is_read: bool, names: Collection[str] = ()
) -> tuple[dict[str, Any], Body]:
    """Return the service's input and the body that goes to the model.

    Without `[chat]` the body passes straight through, and is decoded only where a contract or a
    guard reads it. With `[chat]` the last user message is the declared variable, and of the
    client's parameters only those in `allow` count. `names` are those that a client may give in
    `variables`, beside the message.

    Raises:
        ContractViolation: The chat holds what the declaration does not allow.
    """
    raw = body.get("messages", _NULL)
    if chat is None:
        # How nearly every list of messages begins: a tenth of a microsecond, however long it is.
        if memoryview(raw)[:2].tobytes() != b"[{":
            _decode(raw, _objects)
        return ({k: _anything.decode(v) for k, v in body.items()} if is_read else {}), body
    given: dict[str, Any] = {}
    if names and VARIABLES in body:
        body = dict(body)
        given = _variables(body.pop(VARIABLES), names)
    unknown = sorted(set(body) - _ALWAYS - set(chat.allow))
    if unknown:
        allowed = ", ".join(f"`{name}`" for name in chat.allow) or "none"
        raise ContractViolation(
            f"`{unknown[0]}` does not count here; parameters that do: {allowed}", param=unknown[0]
        )
    messages = _decode(raw, _messages)
    _check_roles(messages, chat)
    text = _text_of(messages[-1])
    passed = {name: raw for name, raw in body.items() if name != "user"}
    if not chat.history:
        last = _raw_messages.decode(raw)[-1]
        passed["messages"] = msgspec.Raw(b"[" + bytes(last) + b"]")
    return {**given, chat.variable or "text": text}, passed


def _variables(raw: msgspec.Raw, names: Collection[str]) -> dict[str, Any]:
    """Return the inputs of a prompt that a client gave beside its messages."""
    try:
        given = _object.decode(raw)
    except msgspec.DecodeError as error:
        raise ContractViolation(
            f"`{VARIABLES}`: expected an object of the prompt's inputs; {error}", param=VARIABLES
        ) from error
    if unknown := sorted(given.keys() - set(names)):
        known = ", ".join(f"`{name}`" for name in sorted(names))
        raise ContractViolation(
            f"`{VARIABLES}`: expected inputs of the prompt ({known}), got another one",
            param=f"{VARIABLES}.{unknown[0]:.80}",
        )
    return given


def refuse_choices(raw: msgspec.Raw) -> None:
    """Refuse to ask for several answers at once where each is judged: one is, and one is shown.

    Raises:
        ContractViolation: More than one is asked for.
    """
    if bytes(raw).strip() not in (b"1", b"null"):
        raise ContractViolation(
            "`n`: expected 1, because each answer of this service is checked before it is shown",
            param="n",
        )


def _decode(raw: msgspec.Raw, decoder: msgspec.json.Decoder[list[T]]) -> list[T]:
    """Return the messages in `raw`, of which there is at least one."""
    try:
        messages = decoder.decode(raw)
    except msgspec.DecodeError as error:
        raise ContractViolation(
            f"`messages`: expected a list of messages with role and content; {error}",
            param="messages",
        ) from error
    if not messages:
        raise ContractViolation("`messages`: expected at least one, got none", param="messages")
    return messages


def _check_roles(messages: list[_Message], chat: Chat) -> None:
    if messages[-1].role not in ("user", "tool"):
        raise ContractViolation(
            "`messages`: expected the last one to be the user's", param="messages"
        )
    if chat.client_system == "untrusted":
        return
    if any(message.role in ("system", "developer") for message in messages):
        raise ContractViolation(
            "`messages`: this service takes no system message from clients "
            '(`chat.client_system = "refuse"`)',
            param="messages",
        )


def _text_of(message: _Message) -> str:
    if isinstance(message.content, str):
        return message.content
    parts = message.content or []
    return "\n".join(str(part.get("text", "")) for part in parts if part.get("type") == "text")


def in_chat_words(error: RoadworthyError, chat: Chat | None) -> RoadworthyError:
    """Return a breach of the contract with the place at which a client that chats knows it.

    The contract speaks of `input`, which such a client never sent: with `[chat]` that is the text
    of the last message, and without the body itself.
    """
    where, _, problem = str(error).partition(": ")
    if where != error.param or where.partition(".")[0] != "input":
        return error
    name = where.partition(".")[2]
    if chat is not None and name not in ("", chat.variable or "text"):
        theirs = f"{VARIABLES}.{name}"
    elif chat is not None and not name and problem.startswith("expected field"):
        theirs = VARIABLES  # the message itself is always there
    elif chat is not None:
        theirs = "messages[-1].content"
    else:
        theirs = where.removeprefix("input").removeprefix(".") or "body"
    return ContractViolation(f"{theirs}: {problem}", param=theirs)


def write_chat(values: dict[str, Any], chat: Chat | None, names: Collection[str] = ()) -> Body:
    """Return the chat body for variables that came by the native protocol; of others, `names`.

    Raises:
        ContractViolation: There is neither a list of messages nor the declared variable.
    """
    if "messages" in values:
        passed = {name: value for name, value in values.items() if name != "model"}
        return {name: msgspec.Raw(_encode(value)) for name, value in passed.items()}
    variable = (chat and chat.variable) or "text"
    text = values.get(variable)
    if not isinstance(text, str):
        raise ContractViolation(
            f"`input`: expected `{variable}` (text) or `messages`, got neither", param="input"
        )
    body = {"messages": msgspec.Raw(_encode([{"role": "user", "content": text}]))}
    if names and (rest := {name: value for name, value in values.items() if name != variable}):
        body[VARIABLES] = msgspec.Raw(_encode(rest))
    return body
