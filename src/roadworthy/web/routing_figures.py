"""What the routing page shows: values that the page and its JSON twin share."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from .states import State
from .units import Time

Standing = Literal["certified", "collecting", "off", "none"]


class ModelShare(Struct, frozen=True, kw_only=True):
    """What one model answered of the requests that were looked at.

    Attributes:
        place: Whether it is the `cheapest`, the `strongest`, or neither.
        share: Of the requests that a model answered (0-1); None of fewer than 20.
        mean_usd: What its answers cost in the mean, whatever was asked before; None of none.
    """

    model: str
    place: str
    requests: int
    share: float | None
    mean_usd: float | None


class RouteRow(Struct, frozen=True, kw_only=True):
    """What one rule, intent or reason got.

    Attributes:
        route: The rule or intent, or why the default or the strongest was asked.
        choice: The model that was asked first.
        answered: How many of them it answered itself.
        share: As in `ModelShare`.
    """

    route: str
    choice: str
    requests: int
    answered: int
    share: float | None


class DayOfRoutes(Struct, frozen=True, kw_only=True):
    """How many requests each model answered on one day, in the order of `models`."""

    day: Time
    requests: tuple[int, ...]


class CostPoint(Struct, frozen=True, kw_only=True):
    """What one threshold would give.

    Attributes:
        threshold: Least score from which on a cheaper model answers.
        cheaper: Share of the requests (0-1) that a cheaper model answers.
        quality: Mean quality as a share of the reference's, by the pairs; None where it has none.
        low, high: In between it lies, 95 % sure.
        usd: What 1,000 requests cost; None where no answer of one side was seen.
    """

    threshold: float
    cheaper: float
    quality: float | None
    low: float | None
    high: float | None
    usd: float | None


class RoutingPage(Struct, frozen=True, kw_only=True):
    """How a service's models are chosen, what each got, and what that saves.

    Attributes:
        says: The answer in one sentence.
        why: What else is to be known, in sentences.
        strategy: As declared.
        reference: What a wrong answer is judged against; empty where nothing is bet.
        standing: Whether cheaper models are `certified`, `collecting` evidence, `off`, or no bet.
        state: The same as a state of the pages.
        looked_at: The newest requests that all shares are of.
        since: When the first of them came.
        models: In their order, the cheapest first.
        threshold: Least score that is certified; None while none is.
        pairs: Questions that both sides answered; `known` of which the loss is known.
        curve: What each threshold would give, from the strictest on; empty where nothing is bet.
        spent_usd: What the requests cost.
        strongest_usd: What they would have cost had the strongest answered all; None where it
            answered fewer than 20.
        saved_usd: The difference.
        trouble: Why it does not choose as declared; empty where it does.
    """

    says: str
    why: tuple[str, ...]
    as_of: Time
    service: str
    release: str
    strategy: str
    reference: str
    standing: Standing
    state: State
    looked_at: int
    since: Time | None
    models: tuple[ModelShare, ...]
    routes: tuple[RouteRow, ...]
    days: tuple[DayOfRoutes, ...]
    max_error: float | None
    sure: float | None
    threshold: float | None
    certificate: str
    pairs: int
    known: int
    curve: tuple[CostPoint, ...]
    spent_usd: float
    strongest_usd: float | None
    saved_usd: float | None
    trouble: str
