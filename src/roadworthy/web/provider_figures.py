"""What the page of providers shows: the values behind it and its twin under `/api`."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from .states import State
from .units import Time

Asked = Literal["asked", "left_alone", "tried", "no_key"]


class Ended(Struct, frozen=True, kw_only=True):
    """How many tries ended in one way; `says` is that in words."""

    how: str
    says: str
    tries: int


class SpanShown(Struct, frozen=True, kw_only=True):
    """What the tries of one model did in some hours.

    Attributes:
        tries: How many were sent; `answered` of them ended in an answer.
        success: Share (0-1) of tries that were answered; None where there were none, like every
            other share.
        low, high: The 95 % interval of it.
        skipped: Tries that were not made: the model was left alone, or no turn came in time.
        failed: The tries that were not answered, by what was wrong, the most first.
        p50_ms, p95_ms: Time of the tries that were answered.
        cached: Share of input tokens that the provider's prompt cache held.
        repaired: Share of answers whose JSON was mended or asked for again.
        cut_off: Share of answers that ended at their limit of tokens.
    """

    tries: int
    answered: int
    retries: int
    skipped: int
    success: float | None
    low: float | None
    high: float | None
    failed: tuple[Ended, ...]
    p50_ms: float | None
    p95_ms: float | None
    cached: float | None
    repaired: float | None
    cut_off: float | None
    input_tokens: int
    output_tokens: int
    cost_usd: float


class ModelStands(Struct, frozen=True, kw_only=True):
    """One model of one provider.

    Attributes:
        model: The name that the services give it; `upstream` the provider's own.
        asked: Whether it is asked, left alone, tried with one request, or lacks its key.
        state: The same as a colour and a shape, with `word`.
        cause: Why it is left alone; empty while it is asked.
        says: The same in one sentence, with until when.
        again: When it is asked again; None while it is asked.
        hour, day: What its tries did in the last hour and the last 24.
    """

    provider: str
    model: str
    upstream: str
    services: tuple[str, ...]
    asked: Asked
    state: State
    word: str
    cause: str
    says: str
    again: Time | None
    hour: SpanShown
    day: SpanShown


class PaceShown(Struct, frozen=True, kw_only=True):
    """How much of its limits a provider is used now, by all services; None where there is none."""

    provider: str
    at_work: int
    waiting: int
    max_concurrent: int | None
    requests: int | None
    requests_per_minute: int | None
    tokens: int | None
    tokens_per_minute: int | None


class HourOfTries(Struct, frozen=True, kw_only=True):
    """The tries of one hour, by how they ended."""

    hour: Time
    ended: tuple[Ended, ...]


class ProvidersPage(Struct, frozen=True, kw_only=True):
    """How the providers are doing.

    Attributes:
        models: Those in trouble first.
        paces: Of the providers that have limits.
        hours: The tries of the last 24 hours.
    """

    says: str
    lede: str
    as_of: Time
    models: tuple[ModelStands, ...]
    paces: tuple[PaceShown, ...]
    hours: tuple[HourOfTries, ...]
