"""A model that is asked to go on where its answer was cut off, until that is whole.

What it wrote goes in again as its own, and what it writes then is joined to it without what it said
twice. Each time is a try of its own, paid for and recorded. Where the time, the money or the number
of times is used up, what there is remains marked as cut off.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import msgspec

from ..cost.prices import Meter
from ..errors import ModelError
from ..models.spec import wants_usage
from ..net import StreamLimit, expire_at
from ..types import Answer, Attempt, Call, Model, Usage

MOST_CONTINUATIONS = 3
LEAST_S = 0.05
"""Less time than this is not worth another call."""
SPARE_S = 0.03
"""Kept of the time, so that what there is can be given when another call does not end in it."""
MOST_OVERLAP = 400
LEAST_OVERLAP = 4
"""Characters that a model may say twice; what is shorter may well be meant."""
GO_ON = (
    "Your answer was cut off. Go on exactly where it stops, in the middle of a word if need be. "
    "Repeat nothing and explain nothing."
)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.decode
_raw_messages = msgspec.json.Decoder(list[msgspec.Raw])
_SINGLE = frozenset({b"1", b"null"})
_EVENT_END = re.compile(rb"\r?\n\r?\n")


class Continued:
    """Asks a model to go on where an answer of it was cut off.

    JSON that keeps a schema, calls of tools, and several answers at once are not gone on with: what
    is cut off in them cannot be told from what is whole.

    Args:
        model: The model.
        meter: Says what its tries cost.

    Attributes:
        model: The model.
        meter: As given; replaced when its price changes.
    """

    def __init__(self, model: Model, meter: Meter) -> None:
        self.name = model.name
        self.model = model
        self.meter = meter

    @property
    def missing(self) -> str:
        """What the model lacks here; empty where it works."""
        return str(getattr(self.model, "missing", ""))

    async def answer(self, call: Call) -> Answer:
        """Give a whole answer, as far as time and money allow.

        Raises:
            ModelError: The model gave no answer at all.
        """
        answer = await self.model.answer(call)
        if not answer.is_cut_off or not _is_plain(call, answer):
            return answer
        return await self._whole(call, answer)

    async def _whole(self, call: Call, first: Answer) -> Answer:
        legs, answer = _Legs(call, self.meter, first), first
        while answer.is_cut_off and legs.may_go_on():
            own = legs.call()
            try:
                with expire_at(own.deadline, time.monotonic()):
                    answer = await self.model.answer(own)
            except ModelError as error:
                legs.failed(self.name, error)
                break
            except BaseException:
                legs.abandon()
                raise
            legs.add(answer)
        return legs.joined(first, answer)

    async def stream(self, call: Call) -> AsyncGenerator[bytes | Answer, None]:
        """Yield one stream, however often the model had to be asked.

        Raises:
            ModelError: The model did not begin, or broke off in its first answer.
        """
        head, has_events = _Head(), False
        async with aclosing(self.model.stream(call)) as events:
            async for event in events:
                if isinstance(event, Answer):
                    answer = event  # every stream ends with its answer, or raises
                    break
                has_events = True
                if passed := head.feed(event):
                    yield passed
        if not answer.is_cut_off or not _is_plain(call, answer):
            if held := head.held():
                yield held
            yield answer
        elif not has_events:
            yield await self._whole(call, answer)
        else:
            async with aclosing(self._go_on(call, answer, head)) as rest:
                async for part in rest:
                    yield part

    async def _go_on(
        self, call: Call, first: Answer, head: _Head
    ) -> AsyncGenerator[bytes | Answer, None]:
        """Yield what the model writes after its first answer, and the end of the stream."""
        legs, answer = _Legs(call, self.meter, first), first
        while answer.is_cut_off and legs.may_go_on():
            own, seam = legs.call(), _Seam(legs.text)
            limit = StreamLimit(own.deadline, time.monotonic())
            try:
                async with aclosing(self.model.stream(own)) as events:
                    while True:
                        with limit:
                            event = await anext(events)
                        if isinstance(event, Answer):
                            answer = event
                            break
                        if new := seam.feed(_texts_in(event)):
                            yield head.chunk({"content": new}, None)
            except ModelError as error:
                legs.failed(self.name, error, seam.shown)
                break
            except BaseException:
                legs.abandon()
                raise
            finally:
                limit.close()
            if rest := legs.add(answer)[len(seam.shown) :]:
                yield head.chunk({"content": rest}, None)
        whole = legs.joined(first, answer)
        yield head.chunk({}, whole.finish_reason)
        if wants_usage(call.body):
            yield head.usage(whole.usage)
        yield whole

    async def close(self) -> None:
        """Close the model."""
        await self.model.close()


class _Seam:
    """Where a second text begins to say what the first has not said.

    Attributes:
        shown: What of the second was passed on.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._waiting: str | None = ""
        self.shown = ""

    def feed(self, text: str) -> str:
        """Take what came, and return what of it is known to be new."""
        if self._waiting is not None:
            self._waiting += text
            if self._waiting in self._text[-MOST_OVERLAP:]:
                return ""  # it may still turn out to be a repetition
            text, self._waiting = self._waiting[overlap_of(self._text, self._waiting) :], None
        self.shown += text
        return text


class _Legs:
    """What a model wrote until now, what that cost, and what may still be spent.

    Attributes:
        text: What it wrote, joined.
    """

    def __init__(self, call: Call, meter: Meter, first: Answer) -> None:
        self._call = call
        self._meter = meter
        self.text = _text_of(first)
        self._tried: list[Attempt] = []
        self._good: list[Attempt] = []
        self._usage: list[Usage | None] = []
        self._spent = 0
        self._went_on = 0
        self._most_tokens = call.max_output_tokens
        self._note(first)

    def _note(self, answer: Answer) -> None:
        """Price the try that is over, all but the last of which the chain does not see."""
        self._usage.append(answer.usage)
        last = answer.attempts[-1]
        cost, source = self._price(answer.usage)
        self._spent += cost
        self._good.append(
            msgspec.structs.replace(
                last, cost_micro=cost, price_source=source, is_cut_off=answer.is_cut_off
            )
        )

    def _price(self, usage: Usage | None) -> tuple[int, str]:
        if self._meter.is_free:
            return 0, "free"
        size = self._call.size
        most = None
        if size is not None:
            output = self._most_tokens or size.output_tokens or 0
            most = self._meter.worst_case_micro(self._bytes(), output, size.images)
        return self._meter.cost(usage, most)

    def _bytes(self) -> int:
        """Return a bound on the tokens of what goes in next."""
        size = self._call.size
        return (size.input_bytes if size else 0) + len(_encode(self._messages()))

    def may_go_on(self) -> bool:
        """Whether time, money and the number of times allow another try; sets its limit."""
        call = self._call
        if self._went_on == MOST_CONTINUATIONS or not self.text:
            return False
        if call.deadline - time.monotonic() < LEAST_S + SPARE_S:
            return False
        if call.left_micro is None or call.size is None or self._meter.is_free:
            return True
        tokens = self._meter.affordable_output_tokens(
            call.left_micro - self._spent, self._bytes(), call.size.images
        )
        if tokens is None:
            return True
        wanted = call.max_output_tokens or call.size.output_tokens or tokens
        self._most_tokens = min(wanted, tokens)
        return tokens > 0

    def call(self) -> Call:
        """Return what to ask next."""
        self._went_on += 1
        body = {k: v for k, v in self._call.body.items() if k not in ("stream", "stream_options")}
        body["messages"] = msgspec.Raw(_encode(self._messages()))
        self._own = msgspec.structs.replace(
            self._call,
            body=body,
            max_output_tokens=self._most_tokens,
            unfinished=None,
            deadline=self._call.deadline - SPARE_S,
        )
        return self._own

    def _messages(self) -> list[Any]:
        said = {"role": "assistant", "content": self.text}
        return [
            *_raw_messages.decode(self._call.body["messages"]),
            said,
            {"role": "user", "content": GO_ON},
        ]

    def add(self, answer: Answer) -> str:
        """Join what came, and return what of it is new."""
        text = _text_of(answer)
        new = text[overlap_of(self.text, text) :]
        self.text += new
        self._note(answer)
        return new

    def failed(self, name: str, error: ModelError, shown: str = "") -> None:
        """Note a try that broke off: what there is stays, with what of it was shown already."""
        self.text += shown
        last = error.attempts[-1] if error.attempts else self._own.unfinished
        last = last or Attempt(name, error.code, 0)
        cost, source = 0, ""
        if last.usage is not None or error.may_cost or self._own.unfinished is not None:
            cost, source = self._price(last.usage)
        self._spent += cost
        self._tried.append(
            msgspec.structs.replace(
                last, status=error.code, cost_micro=cost, price_source=source, detail=str(error)
            )
        )

    def abandon(self) -> None:
        """Leave on the call what was used when nobody waits any more."""
        self._call.unfinished = self._own.unfinished
        self._call.before = tuple(self._good)

    def joined(self, first: Answer, last: Answer) -> Answer:
        """Return the answer as one.

        The last try that gave text is the last of its attempts, which the chain prices; tries that
        gave none stand before it.
        """
        reason = last.finish_reason
        known = [usage for usage in self._usage if usage is not None]
        usage = _sum(known) if len(known) == len(self._usage) else None
        return msgspec.structs.replace(
            first,
            output={"text": self.text},
            completion=None
            if first.completion is None
            else _rewritten(first.completion, self.text, reason, usage),
            usage=usage,
            finish_reason=reason,
            attempts=(*self._good[:-1], *self._tried, self._good[-1]),
        )


def overlap_of(text: str, more: str) -> int:
    """Return how many characters `more` begins with that `text` ends with.

    What is said twice begins with a word: that `more` goes on with the letters that `text` ends
    with is no repetition.

    >>> overlap_of("The fee is $110 each", "is $110 each way."), overlap_of("1000", "000 km")
    (12, 0)
    """
    most = min(len(text), len(more), MOST_OVERLAP)
    for size in range(most, LEAST_OVERLAP - 1, -1):
        start = len(text) - size
        begins = start == 0 or not (text[start - 1].isalnum() and text[start].isalnum())
        if begins and text.endswith(more[:size]):
            return size
    return 0


def _texts_in(events: bytes) -> str:
    """Return what events of a stream add to its text."""
    texts = []
    for event in _EVENT_END.split(events):
        if not event.startswith(b"data:") or event[5:].strip() == b"[DONE]":
            continue
        try:
            choices = _chunk.decode(event[5:]).choices
        except msgspec.DecodeError:
            continue
        texts += [choice.delta.content or "" for choice in choices if choice.delta is not None]
    return "".join(texts)


def _is_plain(call: Call, answer: Answer) -> bool:
    """Whether an answer is text, and the only one."""
    body = call.body
    if call.output_schema or "response_format" in body:
        return False
    if bytes(body.get("n", b"1")).strip() not in _SINGLE or not _text_of(answer):
        return False
    return answer.completion is None or b'"tool_calls"' not in answer.completion


def _text_of(answer: Answer) -> str:
    output = answer.output
    text = output.get("text") if isinstance(output, dict) else None
    return text if isinstance(text, str) else ""


def _sum(usages: list[Usage]) -> Usage:
    names = Usage.__struct_fields__
    return Usage(**{name: sum(getattr(usage, name) for usage in usages) for name in names})


def _rewritten(completion: bytes, text: str, reason: str, usage: Usage | None) -> bytes:
    """Return the upstream's first completion with the whole text and what all of it took."""
    body = _decode(completion)
    choice = body["choices"][0]
    choice["message"]["content"], choice["finish_reason"] = text, reason
    if usage is not None:
        body["usage"] = _usage_of(usage)
    return _encode(body)


def _usage_of(usage: Usage | None) -> dict[str, int]:
    sent, written = (usage.input_tokens, usage.output_tokens) if usage else (0, 0)
    return {"prompt_tokens": sent, "completion_tokens": written, "total_tokens": sent + written}


class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []


_chunk = msgspec.json.Decoder(_Chunk)


class _Head:
    """The events of a first answer: all pass but those from its end on, which are held.

    Attributes:
        is_known: Whether an event has told how this upstream's events begin.
    """

    def __init__(self) -> None:
        self.is_known = False
        self._common: dict[str, Any] = {}
        self._held = b""

    def feed(self, events: bytes) -> bytes:
        """Take events, and return those that may pass."""
        if self._held:
            self._held += events
            return b""
        passed: list[bytes] = []
        start = 0
        for end in _EVENT_END.finditer(events):
            event = events[start : end.end()]
            start = end.end()
            if self._held or self._is_last(event):
                self._held += event
            else:
                passed.append(event)
        return b"".join(passed)

    def _is_last(self, event: bytes) -> bool:
        """Whether an answer ends with an event; reads each that may say so, and the first."""
        if self.is_known and b'"finish_reason":null' in event.replace(b" ", b""):
            return False
        if not event.startswith(b"data:"):
            return False
        try:
            chunk = _decode(event[5:])
        except msgspec.DecodeError:
            return False
        if not isinstance(chunk, dict) or not isinstance(chunk.get("choices"), list):
            return False
        if not self.is_known:
            self._common = {k: v for k, v in chunk.items() if k not in ("choices", "usage")}
            self.is_known = True
        return any(choice.get("finish_reason") for choice in chunk["choices"])

    def held(self) -> bytes:
        """Return what did not pass."""
        held, self._held = self._held, b""
        return held

    def chunk(self, delta: dict[str, Any], reason: str | None) -> bytes:
        """Return an event as this upstream would have sent it."""
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return self._event({"choices": [choice]})

    def usage(self, usage: Usage | None) -> bytes:
        """Return the event that says what all of it took."""
        return self._event({"choices": [], "usage": _usage_of(usage)})

    def _event(self, what: dict[str, Any]) -> bytes:
        return b"data: " + _encode({**self._common, **what}) + b"\n\n"
