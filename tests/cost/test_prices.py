from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from roadworthy.cost.prices import (
    IMAGE_TOKENS,
    PICO_PER_MICRO,
    Meter,
    Price,
    Rates,
    format_usd,
    load_rates,
    open_meter,
    usd_per_million,
)
from roadworthy.errors import DeclarationError
from roadworthy.types import Usage

MINI = usd_per_million(Decimal("0.15"), Decimal("0.60"), Decimal("0.075"))
OPENAI = "https://api.openai.com/v1"

numbers = st.integers(0, 10**9)
tokens = st.integers(0, 10**6)
maybe = st.none() | numbers
short_prices = st.builds(
    Price,
    numbers,
    numbers,
    numbers,
    st.integers(0, 10**7),
    write_pico=maybe,
    audio_input_pico=maybe,
    audio_output_pico=maybe,
)


def twice(pico: int | None) -> int | None:
    return None if pico is None else pico * 2


def dearer(price: Price) -> Price:
    return Price(
        price.input_pico * 2,
        price.output_pico * 2,
        price.cached_pico * 2,
        write_pico=twice(price.write_pico),
        audio_input_pico=twice(price.audio_input_pico),
        audio_output_pico=twice(price.audio_output_pico),
    )


prices = short_prices | st.builds(
    lambda price, above: replace(price, request_micro=0, long_above=above, long=dearer(price)),
    short_prices,
    tokens,
)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Every count that can be true."""
    sent, written = draw(tokens), draw(tokens)
    cached = draw(st.integers(0, sent))
    return Usage(
        sent,
        written,
        cached,
        draw(st.integers(0, written)),
        draw(st.integers(0, sent - cached)),
        draw(st.integers(0, sent)),
        draw(st.integers(0, written)),
    )


def meter_of(
    rates: Rates,
    model: str,
    ceiling_micro: int | None = None,
    kind: str = "openai",
    override: Price | None = None,
) -> Meter:
    return open_meter(
        kind=kind,
        base_url=OPENAI,
        model=model,
        override=override,
        rates=rates,
        ceiling_micro=ceiling_micro,
    )


@pytest.fixture(scope="module")
def rates() -> Rates:
    return load_rates()


def test_cost_is_exact_and_rounds_up_to_a_micro_dollar() -> None:
    assert MINI.cost_micro(Usage(1_000_000, 1_000_000)) == 750_000
    assert MINI.cost_micro(Usage(1, 0)) == 1
    assert MINI.cost_micro(Usage(0, 0)) == 0


def test_cached_tokens_have_their_own_price() -> None:
    assert MINI.cost_micro(Usage(1_000_000, 0, cached_tokens=400_000)) == 90_000 + 30_000


def test_more_cached_tokens_than_input_never_make_a_call_cheaper_than_all_cached() -> None:
    assert MINI.cost_micro(Usage(100, 0, cached_tokens=10**9)) == MINI.cost_micro(
        Usage(100, 0, cached_tokens=100)
    )


def test_a_price_per_request_is_added() -> None:
    price = usd_per_million(Decimal(1), Decimal(1), request_usd=Decimal("0.005"))
    assert price.cost_micro(Usage(10, 10)) == 5_020


def test_a_long_call_has_the_long_price_for_all_its_tokens() -> None:
    price = Price(1_000_000, 0, 0, long_above=1_000, long=Price(2_000_000, 0, 0))
    assert price.cost_micro(Usage(1_000, 0)) == 1_000
    assert price.cost_micro(Usage(1_001, 0)) == 2_002
    assert price.worst_case_micro(1_001, 0) == 2_002


@given(price=prices, usage=usages(), spare_bytes=tokens, spare_output=tokens)
def test_worst_case_bounds_every_answer_whose_tokens_are_at_least_a_byte(
    price: Price, usage: Usage, spare_bytes: int, spare_output: int
) -> None:
    worst = price.worst_case_micro(
        usage.input_tokens + spare_bytes, usage.output_tokens + spare_output
    )
    assert price.cost_micro(usage) <= worst
    assert Meter(price, None, "override").cost(usage)[0] <= worst


@given(price=prices, usage=usages())
def test_sound_that_may_be_cached_too_never_costs_less_than_it_may(
    price: Price, usage: Usage
) -> None:
    """Whichever of its tokens were cached, at a price that is no dearer than that of fresh ones."""
    fair = replace(price, cached_pico=min(price.cached_pico, price.input_pico), long=None)
    both = min(usage.cached_tokens, usage.audio_input_tokens)
    least = max(0, usage.cached_tokens + usage.audio_input_tokens - usage.input_tokens)
    told = fair.cost_micro(replace(usage, cache_write_tokens=0))
    for overlap in {least, both}:
        heard = fair.input_pico if fair.audio_input_pico is None else fair.audio_input_pico
        sound = usage.audio_input_tokens * heard
        cached = (usage.cached_tokens - overlap) * fair.cached_pico
        rest = usage.input_tokens - usage.audio_input_tokens - usage.cached_tokens + overlap
        spoken = fair.output_pico if fair.audio_output_pico is None else fair.audio_output_pico
        written = usage.audio_output_tokens * spoken
        written += (usage.output_tokens - usage.audio_output_tokens) * fair.output_pico
        exact = sound + cached + rest * fair.input_pico + written
        assert told >= fair.request_micro + exact // PICO_PER_MICRO


def test_each_kind_of_token_has_its_price() -> None:
    price = usd_per_million(
        Decimal(1),
        Decimal(10),
        Decimal("0.1"),
        write_usd=Decimal("1.25"),
        audio_input_usd=Decimal(4),
        audio_output_usd=Decimal(20),
    )
    million = 1_000_000
    assert price.cost_micro(Usage(million, 0, cache_write_tokens=million)) == 1_250_000
    assert price.cost_micro(Usage(million, 0, cached_tokens=million)) == 100_000
    assert price.cost_micro(Usage(million, 0, audio_input_tokens=million)) == 4_000_000
    assert price.cost_micro(Usage(0, million, audio_output_tokens=million)) == 20_000_000
    mixed = Usage(
        million, million, 300_000, 0, 200_000, audio_input_tokens=0, audio_output_tokens=500_000
    )
    assert price.cost_micro(mixed) == 500_000 + 30_000 + 250_000 + 5_000_000 + 10_000_000


def test_a_kind_without_a_price_of_its_own_costs_what_others_cost() -> None:
    plain = Usage(1_000_000, 1_000_000)
    kinds = Usage(1_000_000, 1_000_000, 0, 0, 400_000, 500_000, 600_000)
    assert MINI.cost_micro(kinds) == MINI.cost_micro(plain)


@given(price=prices, ceiling=st.integers(0, 10**12), size=tokens, images=st.integers(0, 5))
def test_affordable_output_is_the_largest_that_keeps_the_ceiling(
    price: Price, ceiling: int, size: int, images: int
) -> None:
    affordable = price.affordable_output_tokens(ceiling, size, images)
    if affordable is None:
        assert price.worst_case_micro(size, 10**9, images) <= ceiling
        return
    assert price.worst_case_micro(size, affordable + 1, images) > ceiling
    assert affordable == 0 or price.worst_case_micro(size, affordable, images) <= ceiling


def test_an_image_counts_as_its_tokens() -> None:
    assert MINI.worst_case_micro(0, 0, images=2) == MINI.worst_case_micro(2 * IMAGE_TOKENS, 0)


@pytest.mark.parametrize(
    ("micro", "text"),
    [
        (0, "$0.00"),
        (250_000, "$0.25"),
        (13, "$0.000013"),
        (20_000_000, "$20.00"),
        (-1_500_000, "-$1.50"),
    ],
)
def test_micro_dollars_read_as_exact_dollars(micro: int, text: str) -> None:
    assert format_usd(micro) == text


@pytest.mark.parametrize(
    ("base_url", "model"),
    [
        ("https://api.openai.com/v1", "gpt-4o-mini"),
        ("https://api.openai.com/v1", "gpt-5-2025-08-07"),
        ("https://api.openai.com/v1", "GPT-4o-mini"),
        ("https://api.anthropic.com/v1/", "claude-opus-4-20250514"),
        ("https://generativelanguage.googleapis.com/v1beta/openai/", "models/gemini-2.5-flash"),
        ("https://generativelanguage.googleapis.com/v1beta", "gemini-2.5-flash"),
        ("https://europe-west1-aiplatform.googleapis.com/v1", "gemini-2.5-pro"),
        ("https://openrouter.ai/api/v1", "openai/gpt-4o-mini"),
        ("https://api.groq.com/openai/v1", "llama-3.1-8b-instant"),
        ("https://api.mistral.ai/v1", "mistral-large-2411"),
        ("https://api.deepseek.com", "deepseek-chat"),
        ("https://api.together.xyz/v1", "meta-llama/Llama-3.3-70B-Instruct-Turbo"),
        ("https://team.openai.azure.com/openai/v1", "gpt-4o"),
        ("https://api.x.ai/v1", "grok-4"),
    ],
)
def test_rates_know_the_models_of_the_main_providers(
    rates: Rates, base_url: str, model: str
) -> None:
    price = rates.find(base_url, model)
    assert price is not None
    assert price.output_pico > 0


def test_a_snapshot_that_is_not_listed_has_the_price_of_its_name(rates: Rates) -> None:
    url = "https://api.openai.com/v1"
    assert rates.find(url, "gpt-4o-mini-2031-01-31") == rates.find(url, "gpt-4o-mini")


def test_a_snapshot_that_is_listed_keeps_its_own_price(rates: Rates) -> None:
    url = "https://api.openai.com/v1"
    assert rates.find(url, "gpt-4o-2024-05-13") != rates.find(url, "gpt-4o")


@pytest.mark.parametrize(
    ("base_url", "model"),
    [
        ("https://api.openai.com/v1", "gpt-4o-mini-of-ours"),
        ("https://api.openai.com/v1", "gpt-5-"),
        ("https://api.openai.com.evil.example/v1", "gpt-4o-mini"),
        ("http://127.0.0.1:8000/v1", "gpt-4o-mini"),
        ("", "gpt-4o-mini"),
    ],
)
def test_anything_else_is_unknown(rates: Rates, base_url: str, model: str) -> None:
    assert rates.find(base_url, model) is None


def test_rates_are_dated_and_name_their_source(rates: Rates) -> None:
    assert len(rates.dated) == len("2026-11-23")
    assert rates.source.startswith("genai-prices ")


@pytest.mark.parametrize("text", [None, "{", '{"dated": 3}'])
def test_a_broken_rates_file_says_how_to_get_one(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "rates.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DeclarationError, match="prices refresh --out") as caught:
        load_rates(path)
    assert str(path) in str(caught.value)


def test_a_known_price_is_metered_and_names_the_day_of_its_rates(rates: Rates) -> None:
    meter = meter_of(rates, "gpt-4o-mini", 10_000)
    assert meter.cost(Usage(1_000_000, 1_000_000)) == (750_000, f"rates:{rates.dated}")
    assert meter.worst_case_micro(1_000, 100) == MINI.worst_case_micro(1_000, 100)
    assert meter.affordable_output_tokens(1_000, 100) == MINI.affordable_output_tokens(1_000, 100)


@pytest.mark.parametrize("kind", ["openai", "python"])
def test_an_override_wins_even_over_a_model_on_this_machine(rates: Rates, kind: str) -> None:
    price = usd_per_million(Decimal(1), Decimal(2), request_usd=Decimal("0.5"))
    meter = meter_of(rates, "gpt-4o-mini", kind=kind, override=price)
    assert meter.cost(Usage(1_000_000, 1_000_000)) == (3_500_000, "override")
    assert not meter.is_free


def test_a_model_on_this_machine_is_free(rates: Rates) -> None:
    meter = meter_of(rates, "m.onnx", 10_000, kind="onnx")
    assert meter.is_free
    assert meter.cost(None) == (0, "free")
    assert meter.worst_case_micro(10**6, 10**6) == 0
    assert meter.affordable_output_tokens(0, 10**6) is None


def test_a_plugin_is_free_only_where_its_price_says_so(rates: Rates) -> None:
    with pytest.raises(DeclarationError, match=r"cost\.per_request_usd"):
        meter_of(rates, "loud", kind="shout")
    assert meter_of(rates, "loud", 10_000, kind="shout").cost(None) == (10_000, "unknown")
    meter = meter_of(rates, "loud", kind="shout", override=usd_per_million(Decimal(0), Decimal(0)))
    assert meter.cost(None, meter.worst_case_micro(10**6, 10**6))[0] == 0


def test_an_unknown_price_counts_at_the_ceiling_of_a_request(rates: Rates) -> None:
    meter = meter_of(rates, "in-house", 10_000)
    assert meter.cost(Usage(1, 1)) == (10_000, "unknown")
    assert meter.worst_case_micro(1, 1) == 10_000
    assert meter.affordable_output_tokens(10_000, 1) is None
    assert meter.affordable_output_tokens(9_999, 1) == 0


def test_an_unknown_price_without_a_ceiling_is_refused_when_it_is_opened(rates: Rates) -> None:
    with pytest.raises(DeclarationError, match=r"cost\.per_request_usd.*`in-house`"):
        meter_of(rates, "in-house")


@pytest.mark.parametrize(
    "usage",
    [
        None,
        Usage(-1, 0),
        Usage(1, -5),
        Usage(1, 1, -1),
        Usage(10, 1, 11),
        Usage(10, 1, 6, 0, 5),
        Usage(10, 1, cache_write_tokens=-1),
        Usage(10, 1, audio_output_tokens=-1),
    ],
)
def test_usage_that_is_missing_or_impossible_counts_as_unknown(usage: Usage | None) -> None:
    assert Meter(MINI, 10_000, "override").cost(usage) == (10_000, "unknown")
    assert Meter(MINI, None, "override").cost(usage, held_micro=70) == (70, "unknown")
    assert Meter(MINI, 10_000, "override").cost(usage, held_micro=70) == (70, "unknown")
