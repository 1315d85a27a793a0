"""What a call costs: integer prices, published or declared, and the meter of a model.

A price is whole pico-dollars per token: 1 USD per million tokens is 1,000,000 pico-dollars a token,
so every published price is exact and no float ever touches money.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

import msgspec

from ..declare.project import FREE_KINDS
from ..errors import DeclarationError
from ..types import MICRO, Usage

PICO_PER_MICRO = 1_000_000
IMAGE_TOKENS = 3_000
RATES_FILE = Path(__file__).with_name("rates.json")
T = TypeVar("T")

_SNAPSHOT = re.compile(r"[-@](\d{4}-\d{2}-\d{2}|\d{8})$")


def format_usd(micro: int) -> str:
    """Micro-dollars as exact dollars with at least two decimals: `$0.25`, `$0.000013`."""
    whole, part = divmod(abs(micro), MICRO)
    decimals = f"{part:06}".rstrip("0").ljust(2, "0")
    return f"{'-' if micro < 0 else ''}${whole}.{decimals}"


class Price(msgspec.Struct, frozen=True, array_like=True):
    """What one model charges.

    Attributes:
        input_pico: Pico-dollars for a token of input that was not cached.
        output_pico: Pico-dollars for a token of output, reasoning included.
        cached_pico: Pico-dollars for a token of input that the provider had cached.
        request_micro: Micro-dollars for the call itself.
        long_above: Tokens of input above which `long` is the price of the whole call.
        long: The dearer price of long calls, where there is one.
        write_pico: Pico-dollars for a token of input that the provider writes to its cache; None
            where that costs what other input costs.
        audio_input_pico, audio_output_pico: Pico-dollars for a token of sound; None where it costs
            what text costs.
    """

    input_pico: int = 0
    output_pico: int = 0
    cached_pico: int = 0
    request_micro: int = 0
    long_above: int = 0
    long: Price | None = None
    write_pico: int | None = None
    audio_input_pico: int | None = None
    audio_output_pico: int | None = None

    def cost_micro(self, usage: Usage) -> int:
        """Micro-dollars that `usage` costs, rounded up.

        Sound may have been cached too, which no count tells: as much of it as can be is then taken
        to be both, and costs what sound costs.
        """
        if self.long is not None and usage.input_tokens > self.long_above:
            return self.long.cost_micro(usage)
        sent, written = usage.input_tokens, usage.output_tokens
        cached = min(usage.cached_tokens, sent)
        if usage.cache_write_tokens or usage.audio_input_tokens or usage.audio_output_tokens:
            return self._micro(self._detailed_pico(usage))
        return self._micro(
            (sent - cached) * self.input_pico
            + cached * self.cached_pico
            + written * self.output_pico
        )

    def _detailed_pico(self, usage: Usage) -> int:
        """Pico-dollars of a count that tells sound or what was written to a cache."""
        sent, output = usage.input_tokens, usage.output_tokens
        sound = min(usage.audio_input_tokens, sent)
        spoken = min(usage.audio_output_tokens, output)
        kept = min(usage.cache_write_tokens, sent - sound)
        cached = min(max(usage.cached_tokens - sound, 0), sent - sound - kept)
        return (
            sound * _or(self.audio_input_pico, self.input_pico)
            + kept * _or(self.write_pico, self.input_pico)
            + cached * self.cached_pico
            + (sent - sound - kept - cached) * self.input_pico
            + spoken * _or(self.audio_output_pico, self.output_pico)
            + (output - spoken) * self.output_pico
        )

    @property
    def dearest_input_pico(self) -> int:
        """Pico-dollars of a token of input, whatever becomes of it."""
        known = (self.input_pico, self.cached_pico, self.write_pico, self.audio_input_pico)
        return max(pico for pico in known if pico is not None)

    @property
    def dearest_output_pico(self) -> int:
        """Pico-dollars of a token of output, whatever it is."""
        return max(self.output_pico, _or(self.audio_output_pico, 0))

    def worst_case_micro(self, input_bytes: int, max_output_tokens: int, images: int = 0) -> int:
        """Micro-dollars that no answer of at most `max_output_tokens` exceeds.

        One token per byte is the only bound that holds for every byte-level tokenizer, because each
        token stands for at least one byte. An image is allowed `IMAGE_TOKENS`, which covers what
        most models charge but bounds none; settling corrects it.

        Args:
            input_bytes: Size of the request's whole body, so that roles and tools are in it too;
                bytes of embedded images may be left out when `images` counts them.
            max_output_tokens: The limit that goes up with the call.
            images: Number of images in the call.
        """
        tokens = input_bytes + images * IMAGE_TOKENS
        price = self._for_tokens(tokens)
        return price._micro(
            tokens * price.dearest_input_pico + max_output_tokens * price.dearest_output_pico
        )

    def affordable_output_tokens(
        self, ceiling_micro: int, input_bytes: int, images: int = 0
    ) -> int | None:
        """The largest `max_output_tokens` whose worst case stays within `ceiling_micro`.

        Zero means that not one token of output fits, None that output is free and the rest fits.
        """
        if self.worst_case_micro(input_bytes, 0, images) > ceiling_micro:
            return 0
        tokens = input_bytes + images * IMAGE_TOKENS
        price = self._for_tokens(tokens)
        if not price.dearest_output_pico:
            return None
        left_pico = (ceiling_micro - price.request_micro) * PICO_PER_MICRO
        left_pico -= tokens * price.dearest_input_pico
        return left_pico // price.dearest_output_pico

    def _for_tokens(self, input_tokens: int) -> Price:
        return self.long if self.long and input_tokens > self.long_above else self

    def _micro(self, pico: int) -> int:
        return self.request_micro - (-pico // PICO_PER_MICRO)


def _or(pico: int | None, otherwise: int) -> int:
    return otherwise if pico is None else pico


def usd_per_million(
    input_usd: Decimal,
    output_usd: Decimal,
    cached_usd: Decimal | None = None,
    request_usd: Decimal = Decimal(0),
    *,
    write_usd: Decimal | None = None,
    audio_input_usd: Decimal | None = None,
    audio_output_usd: Decimal | None = None,
) -> Price:
    """A price from dollars per million tokens (and dollars per request), rounded up.

    Without `cached_usd`, cached tokens cost what other input costs; likewise those that are written
    to a cache, and sound.
    """
    return Price(
        _round_up(input_usd),
        _round_up(output_usd),
        _round_up(input_usd if cached_usd is None else cached_usd),
        _round_up(request_usd),
        write_pico=_maybe(write_usd),
        audio_input_pico=_maybe(audio_input_usd),
        audio_output_pico=_maybe(audio_output_usd),
    )


def _maybe(usd: Decimal | None) -> int | None:
    return None if usd is None else _round_up(usd)


def _round_up(usd: Decimal) -> int:
    scaled = usd * MICRO
    return int(scaled) + (scaled != int(scaled))


class _Provider(msgspec.Struct, frozen=True):
    hosts: tuple[str, ...]
    models: dict[str, Price]
    windows: dict[str, int] = {}


class Rates(msgspec.Struct, frozen=True):
    """Published prices of one day.

    Attributes:
        dated: The day they were compiled for, as `2026-11-23`.
        source: Where they come from.
    """

    dated: str
    source: str
    providers: dict[str, _Provider]

    def find(self, base_url: str, model: str) -> Price | None:
        """The price of `model` at the provider that `base_url` belongs to, or None if unknown.

        The name must be in the file as it is, but for case, a leading `models/`, and a trailing
        date: a snapshot such as `gpt-5-2025-08-07` or `claude-opus-4@20250514` that the file does
        not list has the price of the name without its date.
        """
        provider = self._provider_at(base_url)
        return None if provider is None else _named(provider.models, model)

    def window(self, base_url: str, model: str) -> int | None:
        """The published context window of `model` in tokens, in and out; None if it is unknown.

        Names are read as `find` reads them.
        """
        provider = self._provider_at(base_url)
        return None if provider is None else _named(provider.windows, model)

    def _provider_at(self, base_url: str) -> _Provider | None:
        host = urlsplit(base_url).hostname or ""
        for provider in self.providers.values():
            if any(fnmatchcase(host, pattern) for pattern in provider.hosts):
                return provider
        return None


def _named(known: Mapping[str, T], model: str) -> T | None:
    name = model.lower().removeprefix("models/")
    found = known.get(name)
    return known.get(_SNAPSHOT.sub("", name)) if found is None else found


def load_rates(path: Path | None = None) -> Rates:
    """Read a rates file, by default the one that comes with this package.

    Raises:
        DeclarationError: It cannot be read or is not a rates file.
    """
    path = path or RATES_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Rates)
    except (OSError, msgspec.DecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DeclarationError(
            f"expected a rates file, got: {reason} - {path}; write one with"
            f" `roadworthy prices refresh --out {path}`"
        ) from error


AHEAD_US = 3_600 * MICRO
"""So long before a price changes, what is set aside covers the new one, too."""


class Term(NamedTuple):
    """What holds from a time on: a price and where it is from."""

    from_us: int
    price: Price | None
    source: str


class Meter(msgspec.Struct, frozen=True):
    """What the answers of one model cost.

    Attributes:
        price: Its price, where it is known.
        ceiling_micro: The declared ceiling of one request, which an unknown cost counts as.
        source: Where the price is from: `override`, `override:<date>`, `rates:<date>`, `free` or
            `unknown`.
        terms: What holds from when on, in order of time, the first one from ever; empty where the
            price never changes.
        coming: The price that will hold within the hour: what is set aside covers it, too.
    """

    price: Price | None
    ceiling_micro: int | None
    source: str
    terms: tuple[Term, ...] = ()
    coming: Price | None = None

    @property
    def is_free(self) -> bool:
        """Whether nobody sends a bill for its answers, now or later."""
        return self.source == "free" and len(self.terms) < 2

    def at(self, now_us: int) -> Meter:
        """Return the meter with the price that holds at a time."""
        if not self.terms:
            return self
        now = [term for term in self.terms if term.from_us <= now_us][-1]
        soon = (t.price for t in self.terms if now_us < t.from_us <= now_us + AHEAD_US)
        return Meter(now.price, self.ceiling_micro, now.source, self.terms, next(soon, None))

    def cost(self, usage: Usage | None, held_micro: int | None = None) -> tuple[int, str]:
        """Micro-dollars that an answer cost, and where that number is from.

        A cost is unknown without a price, without usage, and with usage that cannot be true; it
        then counts as the ceiling of a request or as what was set aside for it, whichever is less.
        An attempt that was refused before a model ran costs nothing and is not to be metered.

        Args:
            usage: The tokens the upstream counted, if it did.
            held_micro: What this try could cost at most, where that is known.
        """
        if self.price is not None and usage is not None and not _is_impossible(usage):
            return self.price.cost_micro(usage), self.source
        if self.source == "free":
            return 0, "free"
        bounds = (self.ceiling_micro, held_micro)
        return min((micro for micro in bounds if micro is not None), default=0), "unknown"

    def worst_case_micro(self, input_bytes: int, max_output_tokens: int, images: int = 0) -> int:
        """Micro-dollars to set aside before a call; see `Price.worst_case_micro`."""
        if self.price is not None:
            most = self.price.worst_case_micro(input_bytes, max_output_tokens, images)
        else:
            most = 0 if self.source == "free" else self.ceiling_micro or 0
        if self.coming is not None:
            most = max(most, self.coming.worst_case_micro(input_bytes, max_output_tokens, images))
        return most

    def affordable_output_tokens(
        self, left_micro: int, input_bytes: int, images: int = 0
    ) -> int | None:
        """Tokens of output that `left_micro` pays for; None where money sets no limit to them.

        An unknown price is paid for as a whole: without its ceiling left, nothing is affordable.
        """
        found = [
            price.affordable_output_tokens(left_micro, input_bytes, images)
            for price in (self.price, self.coming)
            if price is not None
        ]
        if self.price is None and self.source != "free":
            found.append(0 if left_micro < (self.ceiling_micro or 0) else None)
        return min((tokens for tokens in found if tokens is not None), default=None)


def _is_impossible(usage: Usage) -> bool:
    if usage.cached_tokens + usage.cache_write_tokens > usage.input_tokens:
        return True
    return (
        min(usage.input_tokens, usage.output_tokens, usage.cached_tokens) < 0
        or min(usage.cache_write_tokens, usage.audio_input_tokens, usage.audio_output_tokens) < 0
    )


def open_meter(
    *,
    kind: str,
    base_url: str,
    model: str,
    override: Price | None,
    rates: Rates,
    ceiling_micro: int | None,
    later: Sequence[tuple[date, Price]] = (),
    now_us: int = 0,
) -> Meter:
    """The meter of `model`: by its override, else free on this machine, else by `rates`.

    Args:
        kind: The kind of its provider.
        base_url: Where its provider is reached; empty for one on this machine.
        model: The name the provider knows it by.
        override: Its price in the provider's own `prices`.
        rates: Published prices.
        ceiling_micro: `cost.per_request_usd` of the service that asks, in micro-dollars.
        later: Overrides that hold from a UTC date on.
        now_us: The project's time; `Meter.at` gives the meter as it is at another.

    Raises:
        DeclarationError: The price is unknown and no ceiling says what an answer counts as.
    """
    first = _first_meter(kind, base_url, model, override, rates, ceiling_micro)
    if not later:
        return first
    terms = [Term(-(2**62), first.price, first.source)]
    for day, price in sorted(later, key=lambda one: one[0]):
        terms.append(Term(_midnight_us(day), price, f"override:{day}"))
    return msgspec.structs.replace(first, terms=tuple(terms)).at(now_us)


def _midnight_us(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * MICRO


def _first_meter(
    kind: str,
    base_url: str,
    model: str,
    override: Price | None,
    rates: Rates,
    ceiling_micro: int | None,
) -> Meter:
    if override is not None:
        return Meter(override, ceiling_micro, "override")
    if kind in FREE_KINDS:
        return Meter(None, ceiling_micro, "free")
    price = rates.find(base_url, model)
    if price is not None:
        return Meter(price, ceiling_micro, f"rates:{rates.dated}")
    if ceiling_micro is None:
        raise DeclarationError(
            f"cost.per_request_usd: expected a ceiling, got none, and the price of `{model}` is"
            f" unknown in the rates of {rates.dated}; declare it, and each answer counts as much,"
            f' or declare the provider\'s `prices."{model}"`'
        )
    return Meter(None, ceiling_micro, "unknown")
