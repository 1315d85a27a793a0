"""Compile the rates file from genai-prices: run by `roadworthy prices refresh`, never by a server.

One number per kind of token has to stand for what a provider may charge, and where several could
apply it is the dearest, so that a cost is not understated:

* of prices that change with the hour of the day or from a date still to come, the dearest;
* a cached token whose price is not published costs what other input costs.

A token that is written to the provider's cache has a price of its own, since usage tells how many
were (a cache for an hour must be asked for, which nothing here does: not in it), and so has one of
sound. Prices for long prompts are kept beside the others, and context
windows as far as they are known. Not in it: the prices of other service tiers, of batches and of
searches. A model that reads or writes images or films at a price of their
own is left out; it counts as unknown.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from msgspec import structs

from ..errors import MissingExtra
from ..types import MICRO, Clock, SystemClock
from .prices import Price, usd_per_million

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice, Provider

HOSTS = {
    "anthropic": ("api.anthropic.com",),
    "azure": (
        "*.openai.azure.com",
        "*.azure-api.net",
        "*.cognitiveservices.azure.com",
        "*.services.ai.azure.com",
    ),
    "cerebras": ("api.cerebras.ai",),
    "cohere": ("api.cohere.ai", "api.cohere.com"),
    "deepseek": ("api.deepseek.com",),
    "fireworks": ("api.fireworks.ai",),
    "google": ("generativelanguage.googleapis.com", "*aiplatform.googleapis.com"),
    "groq": ("api.groq.com",),
    "mistral": ("api.mistral.ai",),
    "moonshotai": ("api.moonshot.ai", "api.moonshot.cn"),
    "openai": ("api.openai.com",),
    "openrouter": ("openrouter.ai", "api.openrouter.ai"),
    "perplexity": ("api.perplexity.ai",),
    "together": ("api.together.xyz", "api.together.ai"),
    "x-ai": ("api.x.ai",),
}
"""What genai-prices calls each provider, and the hosts of its base URLs (`*` as in a shell)."""

_NOT_TEXT = ("output_image_mtok", "output_video_mtok", "input_image_mtok")


def compile_rates(clock: Clock | None = None) -> dict[str, Any]:
    """The rates of today as JSON values, in the shape that `load_rates` reads.

    Raises:
        MissingExtra: genai-prices is not installed.
    """
    try:
        from genai_prices import __version__
        from genai_prices.data import providers
    except ImportError as error:
        raise MissingExtra("prices", "`roadworthy prices refresh`") from error
    now_us = (clock or SystemClock()).now_us()
    today = datetime.fromtimestamp(now_us // MICRO, UTC).date()
    models = {p.id: _compile_provider(p, today) for p in providers if p.id in HOSTS}
    windows = {p.id: _windows_of(p) for p in providers if p.id in HOSTS}
    for provider in providers:
        if provider.id in HOSTS:
            for other in provider.fallback_model_providers or ():
                models[provider.id] = models.get(other, {}) | models[provider.id]
                windows[provider.id] = windows.get(other, {}) | windows[provider.id]
    return {
        "dated": today.isoformat(),
        "source": f"genai-prices {__version__}",
        "unit": "pico-dollars per token: [input, output, cached, micro-dollars per request,"
        " long above so many tokens of input, [the same of long calls], written to cache, sound in,"
        " sound out]; null is the price of other tokens",
        "providers": {
            name: {
                "hosts": list(HOSTS[name]),
                "windows": dict(sorted(windows[name].items())),
                "models": dict(sorted(models[name].items())),
            }
            for name in sorted(models)
        },
    }


def render_rates(rates: dict[str, Any]) -> str:
    """The text of a rates file: one model a line, so that a refresh reads well as a diff."""
    head = {key: value for key, value in rates.items() if key != "providers"}
    lines = [json.dumps(head)[:-1] + ', "providers": {']
    for name, provider in rates["providers"].items():
        lines.append(f'{json.dumps(name)}: {{"hosts": {json.dumps(provider["hosts"])},')
        lines.append(f'"windows": {_row(provider["windows"])}, "models": {{')
        rows = (f"{json.dumps(k)}:{_row(v)}" for k, v in provider["models"].items())
        lines.append(",\n".join(rows))
        lines.append("}},")
    lines[-1] = "}}"
    return "\n".join([*lines, "}}"]) + "\n"


def _row(row: Any) -> str:
    return json.dumps(row, separators=(",", ":"))


def _compile_provider(provider: Provider, today: date) -> dict[str, list[Any]]:
    rows: dict[str, list[Any]] = {}
    names = {name.lower() for model in provider.models for name in _names(model)}
    for name in names:
        model = provider.find_model(name)
        if model is None:
            continue
        prices = [price for price in map(_price, _may_apply(model.prices, today)) if price]
        if prices:
            rows[name] = _compact(_dearest(prices))
    return rows


def _windows_of(provider: Provider) -> dict[str, int]:
    """Tokens of context by the name of a model, where they are known."""
    windows: dict[str, int] = {}
    names = {name.lower() for model in provider.models for name in _names(model)}
    for name in names:
        model = provider.find_model(name)
        tokens = None if model is None else model.context_window
        if tokens:
            windows[name] = tokens
    return windows


def _names(model: Any) -> Iterator[str]:
    """The id of a model and every name its matching rule spells out."""
    yield model.id
    clauses = [model.match]
    while clauses:
        clause = clauses.pop()
        clauses += getattr(clause, "or_", ())
        for kind in ("equals", "starts_with", "ends_with", "contains"):
            literal = getattr(clause, kind, "")
            if literal and literal[-1].isalnum():
                yield literal


def _may_apply(prices: Any, today: date) -> list[ModelPrice]:
    """The price in force today and those that may take its place by the hour or on a later day."""
    if not isinstance(prices, list):
        return [prices]
    in_force = 0
    for k, conditional in enumerate(prices):
        start = getattr(conditional.constraint, "start_date", None)
        if conditional.constraint is None or (start is not None and start <= today):
            in_force = k
    return [conditional.prices for conditional in prices[in_force:]]


def _price(published: ModelPrice) -> Price | None:
    values = {k: v for k, v in vars(published).items() if v is not None}
    if any(key in values for key in _NOT_TEXT) or not {"input_mtok", "output_mtok"} & set(values):
        return None
    starts = [tier.start for value in values.values() for tier in getattr(value, "tiers", ())]
    base = _flat({k: getattr(v, "base", v) for k, v in values.items()})
    if not starts:
        return base
    long = _dearest([base, _flat({k: _top(v) for k, v in values.items()})])
    return structs.replace(base, long_above=min(starts), long=long)


def _top(value: Any) -> Any:
    tiers = getattr(value, "tiers", ())
    return max((tier.price for tier in tiers), default=getattr(value, "base", value))


def _flat(usd: dict[str, Decimal]) -> Price:
    zero = Decimal(0)
    fresh = usd.get("input_mtok", zero)
    return usd_per_million(
        fresh,
        max(usd.get(f"output_{k}mtok", zero) for k in ("", "reasoning_", "citation_")),
        usd.get("cache_read_mtok", fresh),
        usd.get("requests_kcount", zero) / 1000,
        write_usd=usd.get("cache_write_mtok"),
        audio_input_usd=usd.get("input_audio_mtok"),
        audio_output_usd=usd.get("output_audio_mtok"),
    )


def _dearest(prices: Sequence[Price]) -> Price:
    """The maximum of each number; calls are long as soon as they are for one of `prices`."""
    columns = zip(*map(_numbers, prices), strict=True)
    base = _price_of([max(column) for column in columns])
    if not any(price.long for price in prices):
        return base
    long = _dearest([base, *(price.long for price in prices if price.long)])
    above = min(price.long_above for price in prices if price.long)
    return structs.replace(base, long_above=above, long=long)


def _numbers(price: Price) -> tuple[int, ...]:
    """The numbers of a price, those that are not published being what other tokens cost."""
    flat = (price.input_pico, price.output_pico, price.cached_pico, price.request_micro)
    extra = ((price.write_pico, 0), (price.audio_input_pico, 0), (price.audio_output_pico, 1))
    return *flat, *(flat[k] if pico is None else pico for pico, k in extra)


def _price_of(numbers: Sequence[int]) -> Price:
    """The price with these numbers; what costs no more than other tokens is left out."""
    fresh, output, cached, request, write, sound, speech = numbers
    return Price(
        fresh,
        output,
        cached,
        request,
        write_pico=None if write == fresh else write,
        audio_input_pico=None if sound == fresh else sound,
        audio_output_pico=None if speech == output else speech,
    )


def _compact(price: Price) -> list[Any]:
    """The row of a price, without what says nothing at its end."""
    long = None if price.long is None else _compact(price.long)
    row: list[Any] = [price.input_pico, price.output_pico, price.cached_pico]
    row += [price.request_micro, price.long_above, long]
    row += [price.write_pico, price.audio_input_pico, price.audio_output_pico]
    while len(row) > 3 and not row[-1]:
        row.pop()
    return row
