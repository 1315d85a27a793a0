from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.cost.prices import (
    IMAGE_TOKENS,
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
short_prices = st.builds(Price, numbers, numbers, numbers, st.integers(0, 10**7))


def dearer(price: Price) -> Price:
    return Price(price.input_pico * 2, price.output_pico * 2, price.cached_pico * 2)


prices = short_prices | st.builds(
    lambda price, above: Price(
        price.input_pico, price.output_pico, price.cached_pico, 0, above, dearer(price)
    ),
    short_prices,
    tokens,
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


@given(
    price=prices,
    input_tokens=tokens,
    output_tokens=tokens,
    cached=tokens,
    spare_bytes=st.integers(0, 10**6),
    spare_output=tokens,
)
def test_worst_case_bounds_every_answer_whose_tokens_are_at_least_a_byte(
    price: Price,
    input_tokens: int,
    output_tokens: int,
    cached: int,
    spare_bytes: int,
    spare_output: int,
) -> None:
    usage = Usage(input_tokens, output_tokens, min(cached, input_tokens))
    worst = price.worst_case_micro(input_tokens + spare_bytes, output_tokens + spare_output)
    assert price.cost_micro(usage) <= worst


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


@pytest.mark.parametrize("usage", [None, Usage(-1, 0), Usage(1, -5), Usage(1, 1, -1)])
def test_usage_that_is_missing_or_impossible_counts_as_unknown(usage: Usage | None) -> None:
    assert Meter(MINI, 10_000, "override").cost(usage) == (10_000, "unknown")
    assert Meter(MINI, None, "override").cost(usage, held_micro=70) == (70, "unknown")
    assert Meter(MINI, 10_000, "override").cost(usage, held_micro=70) == (70, "unknown")
