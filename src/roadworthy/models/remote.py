"""Models behind an API that is not OpenAI's: asked in its dialect, told as chat completions."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import Any, Protocol

import msgspec

from ..errors import BadAnswer, ModelError, ModelRejected
from ..net import MAX_REPLY_BYTES, HttpClient, Reply
from ..types import MICRO, Answer, Call, Clock, Usage
from .counts import chat_usage
from .spec import Try, wants_usage

_EVENT_END = re.compile(rb"\r?\n\r?\n")
_encode = msgspec.json.Encoder().encode


class Told(msgspec.Struct):
    """What a provider has told until now, in the words of a chat completion.

    Attributes:
        id: The provider's own id of the answer.
        finish_reason: Empty until it says why it ended.
        usage: None while it is not known, or cannot be true.
        extra: Further fields of the message: what its provider wants to see again.
    """

    id: str = ""
    text: list[str] = []
    reasoning: list[str] = []
    tool_calls: list[dict[str, Any]] = []
    finish_reason: str = ""
    usage: Usage | None = None
    extra: dict[str, Any] = {}

    def message(self) -> dict[str, Any]:
        """Return the message of a completion."""
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self.text) or None}
        if self.reasoning:
            message["reasoning_content"] = "".join(self.reasoning)
        if self.tool_calls:
            message["tool_calls"] = self.tool_calls
        elif message["content"] is None:
            message["content"] = ""
        return {**message, **self.extra}


class Reader(Protocol):
    """Reads one stream of a provider.

    Attributes:
        told: What came until now.
        is_done: Whether nothing more is to come.
    """

    told: Told
    is_done: bool

    def take(self, payload: bytes) -> list[dict[str, Any]]:
        """Take the data of one event; return the deltas of a completion that it is.

        Raises:
            ModelError: It is no event of this provider, or it says that something failed.
        """


class Dialect(Protocol):
    """How one provider is spoken to."""

    def path(self, *, stream: bool) -> str:
        """Return where a call is sent, below the base URL."""

    def body(self, call: Call, *, stream: bool, in_words: bool = False) -> bytes:
        """Return what is sent.

        Args:
            call: What is asked.
            stream: Whether the answer is to come in events.
            in_words: Whether a schema is asked for in words, and told to no grammar.

        Raises:
            ModelRejected: It holds what the provider has no word for.
        """

    def read(self, body: bytes) -> Told:
        """Read a whole answer.

        Raises:
            BadAnswer: It is none.
        """

    def reader(self) -> Reader:
        """Return what reads a stream."""

    def refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> ModelError:
        """Return what an answer with a status other than 200 says."""


def unread(why: str) -> BadAnswer:
    """Return the error of an answer that came, so that it may be charged for, and is none."""
    error = BadAnswer(why)
    error.may_cost = True
    return error


def filtered() -> ModelRejected:
    """Return the error of an answer that its provider's filter stopped; it may cost something."""
    error = ModelRejected(
        "the upstream's content filter stopped the answer", cause="content_filter"
    )
    error.may_cost = True
    return error


class RemoteModel:
    """One model of one provider that speaks a dialect of its own.

    Args:
        name: The declared name.
        upstream: The name the provider knows it by.
        client: The pool to its base URL.
        dialect: How it is spoken to.
        clock: Says when an answer was made.
    """

    def __init__(
        self, name: str, upstream: str, client: HttpClient, dialect: Dialect, clock: Clock
    ) -> None:
        self.name = name
        self._upstream = upstream
        self._client = client
        self._dialect = dialect
        self._clock = clock
        self._in_words = False

    async def answer(self, call: Call) -> Answer:
        """Ask for one whole answer.

        Raises:
            ModelError: Mapped from what the provider said, or the reply was no whole answer.
        """
        this_try, told = Try(self.name, self._clock), Told()
        try:
            this_try.check_time(call)
            reply = await self._post(call, in_words=self._in_words)
            if reply.status == 400 and not self._in_words and _tells_schema(call):
                reply = await self._without_grammar(call, reply)
            if reply.status != 200:
                raise self._dialect.refusal(reply.status, reply.headers, reply.body)
            told = self._dialect.read(reply.body)
            _check_whole(told)
        except ModelError as error:
            raise this_try.failed(error, told.usage) from error.__cause__
        except asyncio.CancelledError:
            call.unfinished = this_try.ended("cancelled")
            raise
        completion = {
            **self._head(told, "chat.completion"),
            "choices": [
                {"index": 0, "message": told.message(), "finish_reason": told.finish_reason}
            ],
        }
        if told.usage is not None:
            completion["usage"] = chat_usage(told.usage)
        return self._answer(told, this_try, _encode(completion))

    async def _post(self, call: Call, *, in_words: bool) -> Reply:
        body = self._dialect.body(call, stream=False, in_words=in_words)
        return await self._client.post(self._dialect.path(stream=False), body)

    async def _without_grammar(self, call: Call, refused: Reply) -> Reply:
        """Ask again in words, where it may be the declared schema that is refused.

        Not every model has a grammar, or one for each schema. A refusal costs nothing, and answers
        are held to the schema here anyway. If that helps, it is asked in words from then on.
        """
        error = self._dialect.refusal(refused.status, refused.headers, refused.body)
        if error.cause != "rejected":
            return refused
        reply = await self._post(call, in_words=True)
        self._in_words = reply.status != 400
        return reply if self._in_words else refused

    async def stream(self, call: Call) -> AsyncGenerator[bytes | Answer, None]:
        """Yield chunks of a chat completion as they come, then the answer.

        Nothing is sent before there is something to show: until then another model can take over.

        Raises:
            ModelError: Also when the stream ends without a reason why: a cut is not a success.
        """
        this_try, reader, is_good = Try(self.name, self._clock), self._dialect.reader(), False
        try:
            this_try.check_time(call)
            body = self._dialect.body(call, stream=True, in_words=self._in_words)
            async with self._client.stream(self._dialect.path(stream=True), body) as reply:
                if reply.status != 200:
                    raise self._dialect.refusal(reply.status, reply.headers, await reply.read())
                is_good, chunks, events = True, _Chunks(self._head_of_stream), _Events()
                while chunk := await reply.read_chunk():
                    written = [chunks.delta(d, reader) for d in _deltas(events, reader, chunk)]
                    if written:
                        yield b"".join(written)
                    if reader.is_done:
                        break
            _check_whole(reader.told)
        except ModelError as error:
            error.may_cost = is_good and _may_be_billed(error, reader.told)
            raise this_try.failed(error, _counted(reader.told)) from error.__cause__
        except (asyncio.CancelledError, GeneratorExit):
            call.unfinished = this_try.ended("cancelled", _counted(reader.told))
            raise
        yield chunks.end(reader, with_usage=wants_usage(call.body))
        yield self._answer(reader.told, this_try)

    def _answer(self, told: Told, this_try: Try, completion: bytes | None = None) -> Answer:
        return Answer(
            model=self.name,
            output={"text": "".join(told.text)},
            completion=completion,
            usage=told.usage,
            finish_reason=told.finish_reason,
            attempts=(this_try.ended(usage=told.usage),),
        )

    def _head(self, told: Told, kind: str) -> dict[str, Any]:
        return {
            "id": told.id,
            "object": kind,
            "created": self._clock.now_us() // MICRO,
            "model": self._upstream,
        }

    def _head_of_stream(self, told: Told) -> bytes:
        return _encode(self._head(told, "chat.completion.chunk"))[:-1]

    async def close(self) -> None:
        """Close the pool."""
        await self._client.close()


def _tells_schema(call: Call) -> bool:
    """Whether the declared schema goes up: a client that says how it wants JSON counts."""
    return bool(call.output_schema) and "response_format" not in call.body


def _check_whole(told: Told) -> None:
    """Refuse an answer that its provider stopped, or that was cut off somewhere.

    Raises:
        ModelRejected: A filter stopped it.
        BadAnswer: Nothing says why it ended.
    """
    if told.finish_reason == "content_filter":
        raise filtered()
    if not told.finish_reason:
        raise unread("the answer ended without a reason why: it is cut off")


def _may_be_billed(error: ModelError, told: Told) -> bool:
    """Whether a stream that failed may cost something: not if its provider said so before a word.

    Such an error comes in place of a status, since a stream has begun by then.
    """
    has_told = bool(told.text or told.reasoning or told.tool_calls or told.finish_reason)
    return has_told or error.cause in ("malformed", "connection", "timeout")


def _counted(told: Told) -> Usage | None:
    """Return the tokens, if they were counted behind the whole answer.

    Of one that was cut off nobody knows: tokens of reasoning are paid for and never seen.
    """
    return told.usage if told.finish_reason else None


def _deltas(events: _Events, reader: Reader, chunk: bytes) -> Iterator[dict[str, Any]]:
    for payload in events.feed(chunk):
        yield from reader.take(payload)


class _Events:
    """Cuts a stream of bytes into the data of its events."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Take what arrived; yield the data of each event that is whole by now.

        Raises:
            BadAnswer: An event has no end.
        """
        data = self._rest + chunk
        start = 0
        for end in _EVENT_END.finditer(data):
            lines = data[start : end.start()].splitlines()
            start = end.end()
            payload = b"\n".join(line[5:].strip() for line in lines if line.startswith(b"data:"))
            if payload:
                yield payload
        self._rest = data[start:]
        if len(self._rest) > MAX_REPLY_BYTES:
            raise unread(f"expected events of at most {MAX_REPLY_BYTES} bytes, got more")


class _Chunks:
    """Writes the chunks of a streamed completion."""

    def __init__(self, head_of: Any) -> None:
        self._head_of = head_of
        self._head = b""

    def delta(self, delta: Mapping[str, Any], reader: Reader) -> bytes:
        """Return the chunk of one delta; the first says whose message it is."""
        if not self._head:
            self._head = self._head_of(reader.told)
            delta = {"role": "assistant", **delta}
        return b'data: %b,"choices":[{"index":0,"delta":%b,"finish_reason":null}]}\n\n' % (
            self._head,
            _encode(delta),
        )

    def end(self, reader: Reader, *, with_usage: bool) -> bytes:
        """Return the chunk that says why it ended, and the one that counts, where it is wanted."""
        told = reader.told
        first = b"" if self._head else self.delta({"content": ""}, reader)
        last = first + b'data: %b,"choices":[{"index":0,"delta":%b,"finish_reason":%b}]}\n\n' % (
            self._head,
            _encode(told.extra),
            _encode(told.finish_reason),
        )
        if not with_usage:
            return last
        usage = _encode(chat_usage(told.usage))
        return last + b'data: %b,"choices":[],"usage":%b}\n\n' % (self._head, usage)
