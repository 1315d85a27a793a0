"""What another model would make of the texts of a project: in tokens, and in money."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy import Engine

from ..cost.prices import Meter, Price, Rates
from ..declare.project import Provider
from ..declare.service import ModelEntry, ServiceDeclaration
from ..errors import DeclarationError, NotFound, RequestError
from ..evaluate.cases import load_suites
from ..evaluate.suites import BUILTIN
from ..release import registry
from ..release.registry import PinnedModel, Release
from ..release.token_change import Sample, TokenChange, token_change
from ..serve.opened import meter_at
from ..signals.tokens import Counter, open_counter, rate_of
from ..store.rollups import summarise, summarise_by
from ..store.text_sample import sample_bodies
from ..store.token_hours import read_token_hours
from ..types import DAY_US, MICRO
from .ground import Ground

MOST_TEXTS = 400
SPAN_US = 30 * DAY_US
MONTH_DAYS = 30
_CHATS = frozenset({"openai", "anthropic", "gemini", "llama_cpp"})
_encode = msgspec.json.Encoder().encode


class Traffic(msgspec.Struct, frozen=True):
    """What a month brings at the pace of the last 30 days, or of as much as there is of them."""

    requests: float
    input_tokens: float
    output_tokens: float


class Money(msgspec.Struct, frozen=True):
    """What a month costs, by the tokens alone; `low` and `high` go by the intervals of ratios."""

    old_usd: float | None
    new_usd: float | None
    low_usd: float | None
    high_usd: float | None
    same_price_usd: float | None


class CostOfTokens(msgspec.Struct, frozen=True, kw_only=True):
    """What `roadworthy cost tokens` says.

    Attributes:
        services: Whose texts and traffic.
        change: What the new model makes of the same texts.
        traffic: Tokens as the old model counts them.
        per_month: What that means in money: `same_price_usd` is the new count at the old price, so
            that what tokens change and what prices change can be told apart.
        notes: What a reader must know.
    """

    services: tuple[str, ...]
    change: TokenChange
    traffic: Traffic
    per_month: Money
    notes: tuple[str, ...] = ()


class _Model(NamedTuple):
    name: str
    counter: Counter
    meter: Meter | None


def cost_of_tokens(ground: Ground, old: str, new: str, *, service: str = "") -> CostOfTokens:
    """Return what the tokens of a project become with another model.

    Args:
        ground: The project.
        old: A model as a service or its provider calls it, or a release.
        new: Likewise.
        service: Only this one; by default all that chat.

    Raises:
        NotFound: There is no such service or release.
        RequestError: No service of the project chats.
    """
    names = (service,) if service else ground.service_names
    declared = [ground.load(name) for name in names]
    chats = [one for one in declared if one.kind == "generate"]
    if not chats:
        raise RequestError("expected a service of kind `generate`, got none: only they have tokens")
    now_us = ground.clock.now_us()
    services = tuple(one.name for one in chats)
    sample = _sample(ground, chats, now_us - SPAN_US)
    ours, theirs = (_find(ground, chats, name, now_us - SPAN_US) for name in (old, new))
    change = token_change(sample, ours.name, theirs.name, ours.counter, theirs.counter)
    traffic = _traffic(ground.state, services, now_us)
    money = _money(change, traffic, ours.meter, theirs.meter)
    notes = tuple(_notes(change, money, traffic))
    return CostOfTokens(
        services=services, change=change, traffic=traffic, per_month=money, notes=notes
    )


def change_of_releases(state: Engine, a: Release, b: Release) -> tuple[TokenChange, ...]:
    """Return what became of tokens where models of two releases differ that read chats."""
    pairs = _changed(a.manifest.models, b.manifest.models)
    if not pairs:
        return ()
    sample = _of_bodies(sample_bodies(state, [a.service], 0, MOST_TEXTS // 2))
    return tuple(
        token_change(
            sample,
            old.model,
            new.model,
            _counter(state, [a.service], old.name, old.model, 0),
            _counter(state, [a.service], new.name, new.model, 0),
        )
        for old, new in pairs
    )


def _changed(
    before: Sequence[PinnedModel], after: Sequence[PinnedModel]
) -> list[tuple[PinnedModel, PinnedModel]]:
    """Return the models that stand under one name and are others; else the first ones, if so."""
    ours = {pin.name: pin for pin in before if pin.kind in _CHATS}
    theirs = [pin for pin in after if pin.kind in _CHATS]
    pairs = [(ours[pin.name], pin) for pin in theirs if pin.name in ours]
    if not pairs and ours and theirs:
        pairs = [(next(iter(ours.values())), theirs[0])]
    return [(old, new) for old, new in pairs if old.model != new.model]


def _of_bodies(found: Sequence[tuple[bytes | None, bytes | None]]) -> Sample:
    inputs = tuple(one for one, _ in found if one)
    outputs = tuple(other for _, other in found if other)
    return Sample(inputs, outputs, "records" if inputs or outputs else "none")


def _sample(ground: Ground, services: Sequence[ServiceDeclaration], since_us: int) -> Sample:
    """Return texts of records, and where no bodies are kept those of the suites."""
    names = [service.name for service in services]
    sample = _of_bodies(sample_bodies(ground.state, names, since_us, MOST_TEXTS))
    if sample.inputs:
        return sample
    inputs: list[bytes] = []
    for service in services:
        suites = [name for name in service.evaluation.suites if not name.startswith(BUILTIN)]
        for suite in load_suites(service.folder, suites):
            inputs += [_encode(case.input) for case in suite.cases]
    return Sample(tuple(inputs[:MOST_TEXTS]), (), "suites" if inputs else "none")


def _find(
    ground: Ground, services: Sequence[ServiceDeclaration], name: str, since_us: int
) -> _Model:
    """Return a model by what a service, a provider or a release calls it."""
    if "@" in name and "/" not in name:
        return _of_release(ground, name, since_us)
    for service in services:
        for entry in service.models:
            if name in (entry.name, entry.model):
                return _declared(ground, service, entry, since_us)
    counter = open_counter(name)
    for provider in ground.declaration.providers.values():
        if name in provider.prices:
            now_us = ground.clock.now_us()
            return _Model(name, counter, meter_at(provider, name, ground.rates, None, now_us))
    price = _published(ground.rates, name)
    meter = None if price is None else Meter(price, None, f"rates:{ground.rates.dated}")
    return _Model(name, counter, meter)


def _of_release(ground: Ground, name: str, since_us: int) -> _Model:
    release = registry.read_release(ground.state, name)
    pins = release.manifest.models
    if not pins:
        raise NotFound(f"release `{name}` has no model")
    pin = pins[0]
    counter = _counter(ground.state, [release.service], pin.name, pin.model, since_us)
    provider = ground.declaration.providers.get(pin.provider)
    if provider is None:
        return _Model(pin.model, counter, None)
    return _Model(pin.model, counter, _meter(ground, provider, pin.model, None))


def _declared(
    ground: Ground, service: ServiceDeclaration, entry: ModelEntry, since_us: int
) -> _Model:
    provider = ground.declaration.providers[entry.provider]
    counter = _counter(ground.state, [service.name], entry.name, entry.model, since_us)
    ceiling = service.cost.per_request_micro
    return _Model(entry.model, counter, _meter(ground, provider, entry.model, ceiling))


def _meter(ground: Ground, provider: Provider, model: str, ceiling: int | None) -> Meter | None:
    """Return what a model costs; None where that is not known, which is said beside the count."""
    try:
        return meter_at(provider, model, ground.rates, ceiling, ground.clock.now_us())
    except DeclarationError:
        return None


def _counter(
    state: Engine, services: Sequence[str], name: str, model: str, since_us: int
) -> Counter:
    """Return what counts as a model does; what was seen goes without a margin here."""
    counter = open_counter(model)
    if not counter.is_exact:
        hours = [
            hour
            for service in services
            for hour in read_token_hours(state, service, since_us).get(name, ())
        ]
        rate = rate_of(hours)
        if rate is not None:
            counter.learn(rate.seen)
    return counter


def _published(rates: Rates, name: str) -> Price | None:
    """Return the price of a model that no service names: its maker's, whichever that is."""
    for provider in rates.providers.values():
        host = provider.hosts[0].replace("*", "x")
        found = rates.find(f"https://{host}", name)
        if found is not None:
            return found
    return None


def _traffic(state: Engine, services: Sequence[str], now_us: int) -> Traffic:
    since_us = now_us - SPAN_US
    total = summarise(state, services=services, since_us=since_us)
    hours = summarise_by(state, "hour_us", services=services, since_us=since_us)
    days = max((now_us - min(hours, default=now_us)) / DAY_US, 1 / 24)
    scale = MONTH_DAYS / min(days, SPAN_US / DAY_US)
    return Traffic(total.requests * scale, total.input_tokens * scale, total.output_tokens * scale)


def _money(change: TokenChange, traffic: Traffic, old: Meter | None, new: Meter | None) -> Money:
    if not change.is_known:
        return Money(_usd(old, traffic), None, None, None, None)
    value, low, high = (_grown(change, traffic, end) for end in ("value", "low", "high"))
    return Money(
        _usd(old, traffic), _usd(new, value), _usd(new, low), _usd(new, high), _usd(old, value)
    )


def _grown(change: TokenChange, traffic: Traffic, end: str) -> Traffic:
    """Return the traffic as the new model counts it; what was not counted stays as it is."""
    sent, written = (
        1.0 if ratio is None else getattr(ratio, end) or ratio.value
        for ratio in (change.input, change.output)
    )
    return Traffic(traffic.requests, traffic.input_tokens * sent, traffic.output_tokens * written)


def _usd(meter: Meter | None, traffic: Traffic) -> float | None:
    if meter is None or (meter.price is None and not meter.is_free):
        return None
    if meter.price is None:
        return 0.0
    pico = traffic.input_tokens * meter.price.input_pico
    pico += traffic.output_tokens * meter.price.output_pico
    return (pico / MICRO + traffic.requests * meter.price.request_micro) / MICRO


def _notes(change: TokenChange, money: Money, traffic: Traffic) -> list[str]:
    notes = []
    if change.source == "suites":
        notes.append("no bodies are kept: counted are the inputs of the suites, and no outputs")
    if change.output is None and change.input is not None:
        notes.append("outputs are taken to change as they are: none was counted")
    if "learned" in (change.old_counted, change.new_counted):
        notes.append("a model without a published vocabulary is counted at what its provider saw")
    for name, usd in ((change.old, money.old_usd), (change.new, money.new_usd)):
        if usd is None and change.is_known:
            notes.append(f"the price of `{name}` is not known: declare it in its provider's prices")
    if not traffic.requests:
        notes.append("nothing was asked in the last 30 days: no money is said to change")
    return notes
