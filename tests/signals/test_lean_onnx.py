from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import onnxruntime
import pytest

from roadworthy.signals.embed import _WEIGHTS, _WORDS, _place, open_minilm
from roadworthy.signals.lean_onnx import look_up_before_scaling


@pytest.fixture(scope="module")
def weights() -> bytes:
    path = _place(*_WEIGHTS)
    assert path is not None
    return path.read_bytes()


def hidden(model: bytes, ids: Any) -> Any:
    feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {**feeds, "token_type_ids": np.zeros_like(ids)})
    return found


def test_the_numbers_are_the_same_bit_by_bit(weights: bytes) -> None:
    lean = look_up_before_scaling(weights, _WORDS, "input_ids")
    assert lean != weights
    ids = np.random.default_rng(0).integers(0, 30_522, (3, 25))
    assert np.array_equal(hidden(lean, ids), hidden(weights, ids))


@pytest.mark.parametrize(
    ("table", "ids"), [("another", "input_ids"), (_WORDS, "another"), ("val_49", "input_ids")]
)
def test_a_graph_that_looks_nothing_up_like_that_is_refused(
    weights: bytes, table: str, ids: str
) -> None:
    with pytest.raises(ValueError, match="expected"):
        look_up_before_scaling(weights, table, ids)


@pytest.mark.parametrize("size", [1, 1000, 5_000_000])
def test_a_file_that_is_cut_off_is_refused(weights: bytes, size: int) -> None:
    with pytest.raises(ValueError, match="expected an ONNX file"):
        look_up_before_scaling(weights[:size], _WORDS, "input_ids")


def test_what_is_no_onnx_file_is_refused() -> None:
    with pytest.raises(ValueError, match="expected an ONNX file"):
        look_up_before_scaling(b"\x1dno ONNX", _WORDS, "input_ids")


def test_the_session_is_opened_lean(weights: bytes) -> None:
    assert _place(*_WEIGHTS) is not None
    assert open_minilm()._session._model_path != str(_place(*_WEIGHTS))


MEMORY = """
from pathlib import Path
import numpy, onnxruntime, tokenizers
from roadworthy.signals.embed import open_minilm

def rss_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

before = rss_mb()
minilm = open_minilm()
opened = rss_mb()
for length in range(20, 1000, 7):
    minilm.embed(["word " * length])
print(opened - before, rss_mb() - opened)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_it_takes_80_mb_and_long_texts_leave_nothing_behind() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEMORY], capture_output=True, text=True, timeout=60, check=True
    )
    opened, after = map(float, done.stdout.split())
    assert opened < 90, "112 MB with the whole table in float32"
    assert after < 20, "40 to 60 MB where the allocator keeps them"
