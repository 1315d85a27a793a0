"""A model that says what a script tells it: for tests, rehearsals and drills."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from itertools import cycle
from typing import Any

import msgspec

from .. import errors
from ..errors import BadAnswer, DeclarationError, ModelError, ModelTimeout
from ..types import Answer, Call, Clock, SystemClock, Usage
from .spec import ModelSpec, Try

KEPT_CALLS = 1_000


class ScriptLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One answer of a script: exactly one of `text`, `output` and `error`.

    Attributes:
        text: Becomes `{"text": …}`.
        output: The output as it stands.
        error: The code of a model error, for example `model_rate_limited`.
        delay_ms: Milliseconds to wait before it.
    """

    text: str | None = None
    output: dict[str, Any] | None = None
    error: str | None = None
    delay_ms: float = 0
    usage: Usage | None = None

    def __post_init__(self) -> None:
        if sum(part is not None for part in (self.text, self.output, self.error)) != 1:
            raise ValueError("expected exactly one of `text`, `output` and `error`")
        if self.error is not None and self.error not in ERRORS:
            raise ValueError(f"expected `error` to be one of {', '.join(sorted(ERRORS))}")


Part = bytes | Answer | Exception
Scripted = str | Mapping[str, Any] | Answer | Exception | ScriptLine | Sequence[Part]

ERRORS: dict[str, type[ModelError]] = {
    kind.code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, ModelError)
}


def open_model(spec: ModelSpec) -> ScriptedModel:
    """Read the JSONL script that `spec.upstream` names; at its end it starts again.

    Raises:
        DeclarationError: The file is missing or empty, or a line is not a `ScriptLine`.
    """
    path = spec.folder / spec.upstream
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        message = f"model `{spec.name}`: expected a script at `{spec.upstream}`, found none"
        raise DeclarationError(message) from error
    script: list[ScriptLine] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            script.append(msgspec.json.decode(line, type=ScriptLine))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DeclarationError(f"{spec.upstream}, line {number}: {error}") from error
    if not script:
        raise DeclarationError(f"{spec.upstream}: expected at least one line, got none")
    return ScriptedModel(spec.name, script, clock=spec.clock)


class ScriptedModel:
    """Gives the answers it was handed, in order, and again from the start.

    An answer is a text (`{"text": …}`), an output, an `Answer`, a `ScriptLine`, an exception to
    raise, or a sequence of parts: a stream yields each of its bytes and ends with its `Answer`, or
    raises its exception. A callable makes one of these from each call.

    Attributes:
        calls: The last 1,000 calls it saw, the newest last.
    """

    def __init__(
        self,
        name: str,
        answers: Sequence[Scripted] | Callable[[Call], Scripted],
        *,
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self.calls: deque[Call] = deque(maxlen=KEPT_CALLS)
        self._clock = clock or SystemClock()
        if callable(answers):
            self._next: Callable[[Call], Scripted] = answers
        else:
            script = cycle(answers)
            self._next = lambda _: next(script)

    async def answer(self, call: Call) -> Answer:
        """Give the next answer; of a sequence of parts, the last.

        Raises:
            ModelError: The script says so, or its delay does not fit before the deadline.
        """
        this_try, parts = await self._next_parts(call)
        return self._finish(parts[-1], this_try)

    async def stream(self, call: Call) -> AsyncGenerator[bytes | Answer, None]:
        """Yield the parts of the next answer; one that has no parts comes whole.

        Raises:
            ModelError: The script says so, or its delay does not fit before the deadline.
        """
        this_try, parts = await self._next_parts(call)
        for part in parts[:-1]:
            yield part if isinstance(part, bytes) else self._finish(part, this_try)
        yield self._finish(parts[-1], this_try)

    async def _next_parts(self, call: Call) -> tuple[Try, Sequence[Any]]:
        self.calls.append(call)
        this_try = Try(self.name, self._clock)
        this_try.check_time(call)
        scripted = self._next(call)
        if isinstance(scripted, ScriptLine):
            await self._wait(scripted, call, this_try)
        if isinstance(scripted, Sequence) and not isinstance(scripted, str):
            return this_try, scripted
        return this_try, (scripted,)

    async def _wait(self, line: ScriptLine, call: Call, this_try: Try) -> None:
        left_s = call.deadline - self._clock.monotonic()
        try:
            await asyncio.sleep(min(line.delay_ms / 1000, left_s))
        except asyncio.CancelledError:
            call.unfinished = this_try.ended("cancelled", line.usage)
            raise
        if line.delay_ms / 1000 > left_s:
            message = f"the script of `{self.name}` waits longer than the deadline allows"
            raise this_try.failed(ModelTimeout(message), line.usage)

    def _finish(self, scripted: Any, this_try: Try) -> Answer:
        if isinstance(scripted, ScriptLine):
            return self._finish_line(scripted, this_try)
        if isinstance(scripted, bytes):
            raise this_try.failed(BadAnswer("the scripted stream ended without its answer"))
        if isinstance(scripted, ModelError):
            raise this_try.failed(scripted)
        if isinstance(scripted, Exception):
            raise scripted
        if isinstance(scripted, Answer):
            if scripted.attempts:
                return scripted
            return msgspec.structs.replace(
                scripted, attempts=(this_try.ended(usage=scripted.usage),)
            )
        output = {"text": scripted} if isinstance(scripted, str) else dict(scripted)
        return Answer(model=self.name, output=output, attempts=(this_try.ended(),))

    def _finish_line(self, line: ScriptLine, this_try: Try) -> Answer:
        if line.error is not None:
            message = f"the script of `{self.name}` says {line.error}"
            raise this_try.failed(ERRORS[line.error](message), line.usage)
        output = {"text": line.text} if line.output is None else dict(line.output)
        attempt = this_try.ended(usage=line.usage)
        return Answer(model=self.name, output=output, usage=line.usage, attempts=(attempt,))

    async def close(self) -> None:
        """Nothing is held."""
