"""How each model of each provider is doing: whether it is asked, and how its tries went."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple

from ..errors import ServiceStopped
from ..models.openai import KeylessModel
from ..serve.breaker import WHY, Health, Standing
from ..serve.failover import Link
from ..store.attempt_hours import Tried, tried_by
from ..store.clock import time_of
from ..types import HOUR_US, MICRO
from . import numbers
from .control import Ask
from .provider_figures import (
    Asked,
    Ended,
    HourOfTries,
    ModelStands,
    PaceShown,
    ProvidersPage,
    SpanShown,
)
from .route import Route
from .states import State, rank, wilson
from .units import show, usd_of
from .words import exactly, listed

HOURS = 24
NEVER = Tried(attempts={})

_ENDS: Mapping[str, str] = {
    "ok": "answered",
    **WHY,
    "no_credit": "it wants to be paid first",
    "auth": "it refuses the key",
    "content_filter": "its content filter stopped it",
    "context_length": "the input is too long for it",
    "rejected": "it does not take the request",
    "turned_down": "answered, and turned down by a check or a guard",
    "unsure": "answered, and not sure enough to be given",
    "cut_off": "answered, and cut off at its limit of tokens",
    "cancelled": "the client left",
    "cooling": "not asked: it is left alone",
    "busy": "not asked: no turn in time",
}
_SKIPPED = ("cooling", "busy")
_WORDS: Mapping[Asked, tuple[State, str]] = {
    "asked": ("healthy", "Asked"),
    "left_alone": ("breached", "Left alone"),
    "tried": ("at_risk", "Tried again"),
    "no_key": ("off", "No key"),
}


class _Row(NamedTuple):
    """One model of one provider, and the services that it is of."""

    link: Link
    health: Health
    services: tuple[str, ...]


def routes() -> tuple[Route, ...]:
    """Return the route of the page."""
    return (Route("GET", "/api/providers", "read", read_providers),)


def read_providers(ask: Ask) -> ProvidersPage:
    """Show how each model of each provider is doing: asked or left alone, and how its tries went.

    Of a key that is limited to some services only their tries count.
    """
    control = ask.control
    now_us, monotonic = control.clock.now_us(), time.monotonic()
    control.drain()
    rows = list(_rows(ask))
    services = tuple(sorted({name for row in rows for name in row.services}))
    by_model = {"hour": 1, "day": HOURS}
    tried = {
        span: tried_by(
            control.state,
            ("provider", "model"),
            now_us - (hours - 1) * HOUR_US,
            now_us + HOUR_US,
            services=services or ("",),
        )
        for span, hours in by_model.items()
    }
    shown = [_model(row, tried, time_of(now_us), monotonic) for row in rows]
    shown.sort(key=lambda one: (rank(one.state), one.provider, one.model))
    providers = {row.link.provider for row in rows}
    return ProvidersPage(
        says=says(shown),
        lede="A model that fails is left alone for a while by every service, and tried with one "
        "request before it is asked again. Each try of the last hours counts here, also what a "
        "retry or the next model made good.",
        as_of=time_of(now_us),
        models=tuple(shown),
        paces=tuple(
            show(PaceShown, pace)
            for pace in control.upstreams.pacings(monotonic)
            if pace.provider in providers
        ),
        hours=tuple(_hours(ask, services, now_us)),
    )


def _rows(ask: Ask) -> Iterator[_Row]:
    """Yield each model of a provider once, with the services that ask it."""
    found: dict[tuple[str, str, str], tuple[Link, Health, list[str]]] = {}
    releases = ask.control.engine.releases
    for name in sorted(releases):
        with suppress(ServiceStopped):
            release = releases[name]
            if not ask.sees(name):
                continue
            for link in (link for chain in release.chains for link in chain.links):
                if link.health is None or not link.health.can_be_away:
                    continue
                place = (link.provider, link.name, link.health.model)
                _, _, services = found.setdefault(place, (link, link.health, []))
                if name not in services:
                    services.append(name)
    for link, health, services in found.values():
        yield _Row(link, health, tuple(services))


def says(models: Iterable[ModelStands]) -> str:
    """Return how the providers are doing, in one sentence."""
    models = list(models)
    keyless = [one for one in models if one.asked == "no_key"]
    away = [one for one in models if one.asked not in ("asked", "no_key")]
    if not models:
        return "No service asks a provider."
    if not away and keyless:
        named = listed([f"{one.provider}/{one.model}" for one in keyless], 3)
        return f"{exactly(len(models), 'model')} of providers; without a key: {named}."
    if not away:
        return f"{exactly(len(models), 'model')} of providers, all asked."
    named = listed([f"{one.provider}/{one.model}" for one in away], 3)
    verb = "is" if len(away) == 1 else "are"
    return f"{len(away)} of {exactly(len(models), 'model')} {verb} left alone: {named}."


def _model(
    row: _Row,
    tried: Mapping[str, Mapping[tuple[str, ...], Tried]],
    now: datetime,
    monotonic: float,
) -> ModelStands:
    standing = row.health.standing(monotonic)
    asked: Asked = {"closed": "asked", "open": "left_alone", "half_open": "tried"}[standing.state]  # type: ignore[assignment]
    says = _says(standing)
    if isinstance(row.link.model, KeylessModel):
        asked, says = "no_key", "the variable that its `api_key_env` names is not set"
    state, word = _WORDS[asked]
    place = (row.link.provider, row.link.name)
    again_us = int(now.timestamp() * MICRO) + int(standing.for_s * MICRO)
    return ModelStands(
        provider=row.link.provider,
        model=row.link.name,
        upstream=standing.model,
        services=row.services,
        asked=asked,
        state=state,
        word=word,
        cause=standing.cause,
        says=says,
        again=time_of(again_us) if standing.state == "open" else None,
        hour=_span(tried["hour"].get(place, NEVER)),
        day=_span(tried["day"].get(place, NEVER)),
    )


def _says(standing: Standing) -> str:
    why = WHY.get(standing.cause, standing.cause)
    if standing.state == "open":
        return f"{why}; asked again in {numbers.span(standing.for_s)}"
    if standing.state == "half_open":
        return f"{why}; the next request tries whether that is over"
    return ""


def _span(tried: Tried) -> SpanShown:
    asked, answered = tried.asked, tried.ok
    low, high = wilson(answered, asked)
    failed = [
        Ended(how=how, says=_ENDS.get(how, how.replace("_", " ")), tries=count)
        for how, count in sorted(tried.attempts.items(), key=lambda item: (-item[1], item[0]))
        if how != "ok" and how not in _SKIPPED
    ]
    return SpanShown(
        tries=asked,
        answered=answered,
        retries=tried.retries,
        skipped=sum(tried.attempts.get(how, 0) for how in _SKIPPED),
        success=_share(answered, asked),
        low=low if asked else None,
        high=high if asked else None,
        failed=tuple(failed),
        p50_ms=tried.p50_ms,
        p95_ms=tried.p95_ms,
        cached=_share(tried.cached_tokens, tried.input_tokens),
        repaired=_share(tried.repaired + tried.reasked, answered),
        cut_off=_share(tried.cut_off, answered),
        input_tokens=tried.input_tokens,
        output_tokens=tried.output_tokens,
        cost_usd=usd_of(tried.cost_micro),
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _hours(ask: Ask, services: tuple[str, ...], now_us: int) -> Iterator[HourOfTries]:
    """Yield the tries of the last hours; hours without any are left out."""
    since_us = now_us - (HOURS - 1) * HOUR_US
    found = tried_by(
        ask.control.state, ("hour_us",), since_us, now_us + HOUR_US, services=services or ("",)
    )
    for (hour_us,), tried in found.items():
        ended = [
            Ended(how=how, says=_ENDS.get(how, how.replace("_", " ")), tries=count)
            for how, count in sorted(tried.attempts.items())
        ]
        yield HourOfTries(hour=time_of(hour_us), ended=tuple(ended))
