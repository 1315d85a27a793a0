"""What every kind of model is opened with, and what all of them share."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from ..errors import ModelError, ModelTimeout
from ..types import MICRO, Answer, Attempt, Call, Clock, Model, SystemClock, Usage


class ModelSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One `[[models]]` entry with its provider, as a factory `open_model(spec) -> Model` gets it.

    Attributes:
        name: The name the declaration gives the model; attempts and errors carry it.
        upstream: The `model` key: a path, `module:callable`, CEL, a script, an upstream's name.
        folder: Where relative paths and modules are looked up: the release's files.
        base_url: The provider's address, where it has one.
        api_key: The provider's key; None where it needs none, empty where its variable is unset.
        max_connections: Most connections to the provider at one time.
        options: What else the provider's declaration says.
    """

    name: str
    upstream: str
    folder: Path = Path()
    base_url: str = ""
    api_key: str | None = None
    max_connections: int = 512
    options: Mapping[str, Any] = msgspec.field(default_factory=dict)
    clock: Clock = msgspec.field(default_factory=SystemClock)


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


_options = msgspec.json.Decoder(_StreamOptions)


def wants_usage(body: Mapping[str, msgspec.Raw]) -> bool:
    """Whether a client asked for the tokens of its stream, by `stream_options.include_usage`."""
    raw = body.get("stream_options")
    if raw is None:
        return False
    try:
        return _options.decode(raw).include_usage is True
    except msgspec.DecodeError:
        return False


class Try:
    """Times one try of one model, and writes its `Attempt` however it ends."""

    __slots__ = ("_clock", "_model", "_started")

    def __init__(self, model: str, clock: Clock) -> None:
        self._model = model
        self._clock = clock
        self._started = clock.monotonic()

    def ended(self, status: str = "ok", usage: Usage | None = None, detail: str = "") -> Attempt:
        """Return what was tried, as long as it took until now."""
        us = int((self._clock.monotonic() - self._started) * MICRO)
        return Attempt(self._model, status, us, usage, detail=detail)

    def failed(self, error: ModelError, usage: Usage | None = None) -> ModelError:
        """Return `error` with its attempt, unless it brought its own."""
        if not error.attempts:
            error.attempts = (self.ended(error.code, usage, str(error)),)
        return error

    def check_time(self, call: Call) -> None:
        """Refuse to start when nobody waits any more.

        Raises:
            ModelTimeout: The deadline has passed.
        """
        if self._started >= call.deadline:
            raise self.failed(
                ModelTimeout(f"no time was left for model `{self._model}`: its deadline had passed")
            )


async def stream_whole(model: Model, call: Call) -> AsyncGenerator[bytes | Answer, None]:
    """Yield only the answer: how a model streams that writes all of it at once.

    Whoever serves it turns the answer's text into events, as it does for a cached one.
    """
    yield await model.answer(call)
