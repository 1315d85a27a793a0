from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import genai_prices
import pytest
from genai_prices.types import Usage as GenaiUsage

from roadworthy.cost.prices import RATES_FILE, Price, load_rates
from roadworthy.cost.refresh import compile_rates, render_rates
from roadworthy.errors import MissingExtra
from roadworthy.types import MICRO, SettableClock, Usage


@pytest.fixture(scope="module")
def clock() -> SettableClock:
    clock = SettableClock()
    day = datetime.fromisoformat(load_rates().dated).replace(tzinfo=UTC)
    clock.set(int(day.timestamp()) * MICRO)
    return clock


def test_the_shipped_file_is_what_a_refresh_of_its_day_writes(clock: SettableClock) -> None:
    rates = compile_rates(clock)
    if rates["source"] != load_rates().source:
        pytest.skip("another version of genai-prices is installed than the file was made from")
    assert RATES_FILE.read_text() == render_rates(rates)


def test_the_shipped_file_stays_small() -> None:
    assert RATES_FILE.stat().st_size < 200_000


def test_what_a_refresh_writes_can_be_read(clock: SettableClock, tmp_path: Path) -> None:
    path = tmp_path / "rates.json"
    path.write_text(render_rates(compile_rates(clock)))
    assert load_rates(path) == load_rates()


@pytest.mark.parametrize(
    ("url", "model"),
    [
        ("https://api.openai.com/v1", "gpt-4o-mini"),
        ("https://api.openai.com/v1", "gpt-5-2025-08-07"),
        ("https://api.openai.com/v1", "o3"),
        ("https://api.groq.com/openai/v1", "llama-3.1-8b-instant"),
        ("https://api.x.ai/v1", "grok-4"),
    ],
)
@pytest.mark.parametrize("usage", [Usage(1_000, 200), Usage(500_000, 10_000, 300_000)])
def test_costs_of_text_agree_with_genai_prices(
    url: str, model: str, usage: Usage, clock: SettableClock
) -> None:
    check_agreement(url, model, usage, clock)


@pytest.mark.parametrize(
    ("url", "model", "usage"),
    [
        ("https://api.anthropic.com/v1", "claude-sonnet-4-5", Usage(9_000, 200, 2_000, 0, 4_000)),
        ("https://api.anthropic.com/v1", "claude-opus-4-1", Usage(9_000, 2_000, 0, 0, 9_000)),
        ("https://api.openai.com/v1", "gpt-4o-audio-preview", Usage(9_000, 100, 0, 0, 0, 8_000)),
        (
            "https://generativelanguage.googleapis.com/v1beta",
            "gemini-2.5-flash",
            Usage(90_000, 100, 0, 0, 0, 80_000),
        ),
    ],
)
def test_costs_of_what_is_written_and_heard_agree_with_genai_prices(
    url: str, model: str, usage: Usage, clock: SettableClock
) -> None:
    check_agreement(url, model, usage, clock)


def check_agreement(url: str, model: str, usage: Usage, clock: SettableClock) -> None:
    oracle = genai_prices.calc_price(
        GenaiUsage(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cached_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            input_audio_tokens=usage.audio_input_tokens,
        ),
        model,
        provider_api_url=url,
        genai_request_timestamp=datetime.fromtimestamp(clock.now_us() / MICRO, UTC),
    )
    price = load_rates().find(url, model)
    assert price is not None
    assert 0 <= price.cost_micro(usage) - oracle.total_price * MICRO < 1


def test_no_listed_price_is_below_what_genai_prices_says(clock: SettableClock) -> None:
    now = datetime.fromtimestamp(clock.now_us() / MICRO, UTC)
    rates = load_rates()
    for name, provider in rates.providers.items():
        for model, price in provider.models.items():
            for usage in USED:
                assert _oracle_micro(name, model, usage, now) <= price.cost_micro(usage), model


USED = (
    Usage(10_000, 1_000, 5_000),
    Usage(900_000, 1_000),
    Usage(10_000, 1_000, 2_000, 0, 3_000),
    Usage(900_000, 1_000, cache_write_tokens=800_000),
)


def _oracle_micro(provider: str, model: str, usage: Usage, now: datetime) -> float:
    asked = GenaiUsage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cached_tokens,
        cache_write_tokens=usage.cache_write_tokens,
    )
    found = genai_prices.calc_price(asked, model, provider_id=provider, genai_request_timestamp=now)
    return float(found.total_price * MICRO)


def test_a_long_prompt_is_the_dearer_of_two_prices_and_never_the_cheaper() -> None:
    def check(price: Price) -> None:
        if price.long is not None:
            assert price.long_above > 0
            assert price.long.input_pico >= price.input_pico
            assert price.long.output_pico >= price.output_pico
            assert price.long.cached_pico >= price.cached_pico

    for provider in load_rates().providers.values():
        for price in provider.models.values():
            check(price)


def test_without_genai_prices_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    with pytest.raises(MissingExtra, match=r"pip install 'roadworthy\[prices\]'"):
        compile_rates()


@pytest.mark.slow
def test_reading_prices_never_imports_genai_prices() -> None:
    code = (
        "import sys; from roadworthy.cost import ledger, prices, refresh; prices.load_rates();"
        "sys.exit('genai_prices' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
