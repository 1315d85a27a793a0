"""Any OpenAI-compatible upstream: chat completions, streamed or whole, passed through untouched."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Mapping
from urllib.parse import urlsplit

import msgspec

from ..errors import BadAnswer, ModelError, ModelRejected, ModelUnavailable
from ..net import HttpClient, Reply
from ..types import Answer, Attempt, Call, Usage
from .counts import believed
from .json_formats import response_format_of
from .refusals import cause_of, refusal_of
from .spec import ModelSpec, wants_usage

PATH = "/chat/completions"
DONE = b"data: [DONE]\n\n"
_REFUSED = (400, 422)
"""How upstreams refuse a parameter."""
_MAY_BE_SCHEMA = frozenset(("", "rejected"))
"""Causes of a refusal that may be about a schema; an input that is too long is not."""

_EVENT_END = re.compile(rb"\r?\n\r?\n")


_ABSENT = msgspec.Raw()


class _PromptDetails(msgspec.Struct):
    cached_tokens: int | None = 0
    cache_write_tokens: int | None = 0
    audio_tokens: int | None = 0


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: int | None = 0
    audio_tokens: int | None = 0


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _OutputDetails | None = None


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    finish_reason: str | None = None
    message: _Message | None = None
    delta: _Message | None = None


class _Completion(msgspec.Struct):
    """The part of a completion, or of one streamed chunk, that Roadworthy has to read."""

    choices: list[_Choice]
    usage: msgspec.Raw = _ABSENT


class _ErrorBody(msgspec.Struct):
    code: str | int | None = None
    type: str | None = None


class _ErrorEnvelope(msgspec.Struct):
    error: _ErrorBody


_completion = msgspec.json.Decoder(_Completion)
_usage = msgspec.json.Decoder(_Usage | None)
_error = msgspec.json.Decoder(_ErrorEnvelope)
_encode = msgspec.json.Encoder().encode


def open_model(spec: ModelSpec) -> OpenAIModel | KeylessModel:
    """Open the upstream that `spec` names; one whose key is unset counts as down."""
    if spec.api_key == "":
        return KeylessModel(spec.name)
    headers = {"content-type": "application/json"}
    if spec.api_key:
        headers["authorization"] = f"Bearer {spec.api_key}"
    client = HttpClient(spec.base_url, headers, spec.max_connections)
    return OpenAIModel(spec.name, spec.upstream, client, spec.base_url)


class KeylessModel:
    """Stands in for an upstream whose `api_key_env` is unset, so that nothing hangs on that."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def answer(self, call: Call) -> Answer:
        """Refuse at once.

        Raises:
            ModelUnavailable: Always, with the attempt's status `no_key`.
        """
        attempt = Attempt(self.name, "no_key", 0)
        raise ModelUnavailable(
            f"model `{self.name}` has no key: set the variable its `api_key_env` names",
            attempts=(attempt,),
            cause="missing",
        )

    async def stream(self, call: Call) -> AsyncGenerator[bytes | Answer, None]:
        """Refuse at once, as `answer` does."""
        yield await self.answer(call)

    async def close(self) -> None:
        """Nothing is held."""


class OpenAIModel:
    """One model of one OpenAI-compatible upstream.

    The client's body goes up as it came, but for `model`, the output limit the budget allows, and
    `stream_options.include_usage`. What comes down is read for usage and completeness only.

    Args:
        name: The declared name.
        upstream: The name the upstream knows it by.
        client: The pool to its base URL.
        base_url: Tells which name the output limit goes by.
    """

    def __init__(self, name: str, upstream: str, client: HttpClient, base_url: str) -> None:
        self.name = name
        self._client = client
        self._model = msgspec.Raw(_encode(upstream))
        official = urlsplit(base_url).hostname == "api.openai.com"
        self._takes_schemas = True
        self._limit_key = "max_completion_tokens" if official else "max_tokens"
        self._takes_cache_key = official

    async def answer(self, call: Call) -> Answer:
        """Ask for one whole completion.

        Raises:
            ModelError: Mapped from the upstream's status, or the reply was not a whole completion.
        """
        started = time.perf_counter_ns()
        body = self._body(call, stream=False)
        try:
            reply = await self._client.post(PATH, body)
            if self._refuses_schema(reply, call):
                reply = await self._without_schema(call, reply)
            if reply.status != 200:
                raise error_of(reply.status, reply.headers, reply.body)
            return self._read(reply.body, started)
        except ModelError as error:
            error.attempts = error.attempts or (
                self._attempt(error.code, started, None, str(error)),
            )
            raise
        except asyncio.CancelledError:
            call.unfinished = self._attempt("cancelled", started, None)
            raise

    def _tells_schema(self, call: Call) -> bool:
        """Whether the upstream is told the schema: a client that says how it wants JSON counts."""
        is_told = bool(call.output_schema) and "response_format" not in call.body
        return is_told and self._takes_schemas

    def _refuses_schema(self, reply: Reply, call: Call) -> bool:
        """Whether an upstream may have refused what it was told of a schema."""
        if reply.status not in _REFUSED or not self._tells_schema(call):
            return False
        return cause_of(reply.status, _error_code(reply.body)) in _MAY_BE_SCHEMA

    async def _without_schema(self, call: Call, refused: Reply) -> Reply:
        """Ask an upstream again that refused what it was told of a schema, and remember if so.

        Not every compatible one knows `json_schema`, or each schema. A refusal costs nothing, and
        the answer is held to the schema here anyway.
        """
        self._takes_schemas = False
        reply = await self._client.post(PATH, self._body(call, stream=False))
        self._takes_schemas = reply.status in _REFUSED  # then it was something else
        return refused if self._takes_schemas else reply

    def _read(self, body: bytes, started: int) -> Answer:
        try:
            seen = _completion.decode(body)
        except msgspec.DecodeError as error:
            raise _unread("expected a chat completion, got malformed JSON") from error
        if not seen.choices:
            raise _unread("expected at least one choice, got none")
        choice = seen.choices[0]
        usage = usage_of(seen.usage)
        if choice.finish_reason == "content_filter":
            filtered = ModelRejected(
                "the upstream's content filter stopped the answer", cause="content_filter"
            )
            filtered.attempts = (self._attempt(filtered.code, started, usage, str(filtered)),)
            filtered.may_cost = True
            raise filtered
        return Answer(
            model=self.name,
            output={"text": (choice.message and choice.message.content) or ""},
            completion=body,
            usage=usage,
            finish_reason=choice.finish_reason or "stop",
            attempts=(self._attempt("ok", started, usage),),
        )

    async def stream(self, call: Call) -> AsyncGenerator[bytes | Answer, None]:
        """Yield the upstream's events as they come, then the answer; the engine writes `[DONE]`.

        Raises:
            ModelError: Also when the stream ends without a finish reason: a cut is not a success.
        """
        started = time.perf_counter_ns()
        reader = _StreamReader(wants_usage=wants_usage(call.body))
        body, is_good = self._body(call, stream=True), False
        try:
            async with self._client.stream(PATH, body) as reply:
                if reply.status != 200:
                    raise error_of(reply.status, reply.headers, await reply.read())
                is_good = True
                while chunk := await reply.read_chunk():
                    if events := reader.feed(chunk):
                        yield events
                    if reader.is_done:
                        break
            reader.check_complete()
        except ModelError as error:
            error.may_cost = is_good
            error.attempts = (self._attempt(error.code, started, reader.counted, str(error)),)
            raise
        except (asyncio.CancelledError, GeneratorExit):
            call.unfinished = self._attempt("cancelled", started, reader.counted)
            raise
        yield Answer(
            model=self.name,
            output={"text": "".join(reader.text)},
            usage=reader.usage,
            finish_reason=reader.finish_reason,
            attempts=(self._attempt("ok", started, reader.usage),),
        )

    def _body(self, call: Call, *, stream: bool) -> bytes:
        body = {**call.body, "model": self._model}
        if call.max_output_tokens is not None:
            body.pop("max_tokens", None)
            body.pop("max_completion_tokens", None)
            body[self._limit_key] = msgspec.Raw(b"%d" % call.max_output_tokens)
        if self._tells_schema(call):
            body["response_format"] = response_format_of(call.output_schema)
        if call.static_key and self._takes_cache_key and "prompt_cache_key" not in body:
            # Requests that begin alike then meet the same machine, which has cached that part.
            body["prompt_cache_key"] = msgspec.Raw(_encode(call.static_key))
        if stream:
            body["stream"] = msgspec.Raw(b"true")
            body["stream_options"] = msgspec.Raw(b'{"include_usage":true}')
        else:
            body.pop("stream", None)
            body.pop("stream_options", None)
        return _encode(body)

    def _attempt(self, status: str, started: int, usage: Usage | None, detail: str = "") -> Attempt:
        us = (time.perf_counter_ns() - started) // 1000
        return Attempt(self.name, status, us, usage, detail=detail)

    async def close(self) -> None:
        """Close the pool."""
        await self._client.close()


def _unread(why: str) -> BadAnswer:
    """Return the error of an answer that came, so that it may be charged for, and is none."""
    error = BadAnswer(why)
    error.may_cost = True
    return error


class _StreamReader:
    """Cuts a byte stream into whole events and keeps what must be known at its end."""

    def __init__(self, *, wants_usage: bool) -> None:
        self._wants_usage = wants_usage
        self._rest = b""
        self.text: list[str] = []
        self.usage: Usage | None = None
        self.finish_reason = ""
        self.is_done = False

    def feed(self, chunk: bytes) -> bytes:
        """Take what arrived; return the whole events to pass on, in one piece.

        Raises:
            BadAnswer: An event is not a chunk of a completion.
        """
        data = self._rest + chunk if self._rest else chunk
        passed: list[bytes] = []
        start = 0
        for end in _EVENT_END.finditer(data):
            if self._is_for_client(data[start : end.start()]):
                passed.append(data[start : end.end()])
            start = end.end()
        self._rest = data[start:]
        return passed[0] if len(passed) == 1 else b"".join(passed)

    def _is_for_client(self, event: bytes) -> bool:
        if not event.startswith(b"data:"):
            return event.startswith(b":")
        payload = event[5:].strip()
        if payload == b"[DONE]":
            self.is_done = True
            return False
        try:
            seen = _completion.decode(payload)
        except msgspec.DecodeError as error:
            raise self._error_in(payload) from error
        self.usage = usage_of(seen.usage) or self.usage
        for choice in seen.choices:
            if choice.delta is not None and choice.delta.content:
                self.text.append(choice.delta.content)
            if choice.finish_reason:
                self.finish_reason = choice.finish_reason
        if self.finish_reason == "content_filter":
            raise ModelRejected(
                "the upstream's content filter stopped the answer", cause="content_filter"
            )
        return bool(seen.choices) or self._wants_usage

    @property
    def counted(self) -> Usage | None:
        """The tokens, if the upstream counted them behind the whole answer.

        Of one that was cut off nobody knows: tokens of reasoning are paid for and never seen.
        """
        return self.usage if self.finish_reason else None

    @staticmethod
    def _error_in(payload: bytes) -> ModelError:
        try:
            envelope = _error.decode(payload)
        except msgspec.DecodeError:
            return BadAnswer("expected a streamed chunk, got malformed JSON")
        code = _short(envelope.error.code)
        return ModelUnavailable(f"the upstream sent an error: {code}", cause="server")

    def check_complete(self) -> None:
        """Refuse a stream that ended before its answer did.

        Raises:
            BadAnswer: There was no finish reason, so the text is cut off somewhere.
        """
        if not self.finish_reason:
            raise BadAnswer("the stream ended without a finish reason: the answer is cut off")


def usage_of(raw: msgspec.Raw) -> Usage | None:
    """Read an upstream's count; one that is absent, all zero or cannot be true is unknown."""
    try:
        usage = _usage.decode(raw) if len(memoryview(raw)) else None
    except msgspec.DecodeError:
        return None
    if usage is None:
        return None
    sent, written = usage.prompt_tokens_details, usage.completion_tokens_details
    if sent is None and written is None:
        return believed(Usage(usage.prompt_tokens, usage.completion_tokens))
    reasoning = (written.reasoning_tokens or 0) if written else 0
    output = usage.completion_tokens
    if reasoning and usage.total_tokens == usage.prompt_tokens + output + reasoning:
        output += reasoning  # some count what was thought beside what was written, not in it
    return believed(
        Usage(
            usage.prompt_tokens,
            output,
            (sent.cached_tokens or 0) if sent else 0,
            reasoning,
            (sent.cache_write_tokens or 0) if sent else 0,
            (sent.audio_tokens or 0) if sent else 0,
            (written.audio_tokens or 0) if written else 0,
        )
    )


def error_of(status: int, headers: Mapping[str, str], body: bytes) -> ModelError:
    """Turn an upstream's refusal into ours; its message may hold user text and is left out."""
    code = _error_code(body)
    return refusal_of(status, headers, code)


def _error_code(body: bytes) -> str:
    try:
        error = _error.decode(body).error
    except msgspec.DecodeError:
        return "without a code"
    return _short(error.code or error.type)


def _short(code: str | int | None) -> str:
    return re.sub(r"[^\w.-]", "_", str(code))[:60] if code is not None else "without a code"
