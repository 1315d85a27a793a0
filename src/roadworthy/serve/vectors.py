"""The vector of a question, computed once whoever needs it: the router, the cache, or both."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from ..declare.service import ServiceDeclaration
from ..errors import ModelTimeout, ModelUnavailable
from ..types import Call, Embedder, OpenSignals

MOST_CHARACTERS = 4_000
"""Of a question; an embedder reads no more than its window anyway."""


class _Message(msgspec.Struct):
    role: str = ""
    content: str | list[Any] | None = None


_messages = msgspec.json.Decoder(list[_Message])


class Questions:
    """Makes vectors of questions in a thread of its own: 3 to 5 ms each.

    Args:
        embedder: What makes them.
        variable: The input that is the question.
    """

    def __init__(self, embedder: Embedder, variable: str) -> None:
        self.embedder = embedder
        self._variable = variable
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="questions")

    def text(self, call: Call) -> str:
        """Return the question; empty where there is none."""
        return question_of(call, self._variable)

    async def vector(self, call: Call) -> Any:
        """Return (d,) float32 of length 1, which stays on the call.

        Raises:
            ModelTimeout: The deadline passed first.
            ModelUnavailable: The embedder failed inside, or is closed.
        """
        if call.vector is None:
            text = self.text(call)[:MOST_CHARACTERS]
            loop = asyncio.get_running_loop()
            try:
                running = loop.run_in_executor(self._executor, self.embedder.embed, (text,))
            except RuntimeError as error:
                raise ModelUnavailable("the embedder is closed") from error
            try:
                async with asyncio.timeout_at(call.deadline):
                    call.vector = (await running)[0]
            except TimeoutError as error:
                raise ModelTimeout("the question was not read in time") from error
        return call.vector

    def close(self) -> None:
        """Stop its thread."""
        self._executor.shutdown(wait=False, cancel_futures=True)


def question_of(call: Call, variable: str) -> str:
    """Return what is asked: the input that is the question, or the last message of a user."""
    text = call.input.get(variable)
    if text is None and "messages" in call.body:
        return _last_said(call.body["messages"])
    return str(text or "")


def _last_said(raw: msgspec.Raw) -> str:
    """Return the text of the last message of a user in a chat that passes through."""
    try:
        messages = _messages.decode(raw)
    except msgspec.DecodeError:
        return ""
    said = next((one.content for one in reversed(messages) if one.role == "user"), None)
    if isinstance(said, str):
        return said
    return "\n".join(str(part.get("text", "")) for part in said or () if isinstance(part, dict))


def open_questions(service: ServiceDeclaration, open_signals: OpenSignals) -> Questions | None:
    """Open what makes vectors of a service's questions; None where nothing it declares needs any.

    Raises:
        MissingExtra: The embedder is not installed.
    """
    routing = service.routing
    compares = routing.strategy == "learned" or (routing.strategy == "intent" and not routing.use)
    if not compares and service.cache.semantic is None:
        return None
    return Questions(open_signals().embedder(), variable_of(service))


def variable_of(service: ServiceDeclaration) -> str:
    """Return the input that is the question."""
    return (service.chat and service.chat.variable) or "text"
