"""What the signals of a generated answer tell of made-up answers: 250 pairs of HaluEval.

    python bench/signals.py

Each question comes with the text that it is answered from, a right answer and a made-up one. They
are read from the folder that `ROADWORTHY_DATA` names. `combined` is a logistic regression on the
signals but for the length, by which this set is told apart without reading it: its right answers
are two words long, its made-up ones ten. It is cross-validated in five parts; both answers to a
question lie in one. Intervals are of 95 %, over resampled questions.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from roadworthy.signals.embed import MiniLM, open_minilm
from roadworthy.signals.generated import AnswerSignals, Generated, signals_of
from roadworthy.signals.grounded import Grounding
from roadworthy.signals.passages import Piece
from roadworthy.signals.search import Index
from roadworthy.signals.text import sentences_of
from roadworthy.types import Passage, Sentence

DRAWS = 2000
SIGNALS = (
    "least_support",
    "mean_support",
    "foreign_numbers",
    "foreign_names",
    "turned",
    "refuses",
)
Floats = npt.NDArray[np.float64]


def read(row: dict[str, str], minilm: MiniLM) -> list[tuple[AnswerSignals, float]]:
    """Return the signals of a question's right and made-up answers, and what they took."""
    sentences = tuple(sentences_of(row["knowledge"]))
    piece = Piece("knowledge.md", "Knowledge", sentences)
    vectors = minilm.embed([f"Knowledge: {sentence}" for sentence in sentences])
    near = vectors @ minilm.embed([row["question"]])[0]
    told = tuple(Sentence(text, float(s)) for text, s in zip(sentences, near, strict=True))
    passage = Passage(piece.file, piece.heading, piece.text, float(near.max()), told)
    grounding = Grounding(Index([piece], [0], vectors), minilm)
    found = []
    for answer in (row["right_answer"], row["hallucinated_answer"]):
        support = grounding.support(answer, [passage])
        generated = Generated(
            answer, question=row["question"], passages=[passage], sentences=support
        )
        started = time.perf_counter()
        signals = signals_of(generated)
        found.append((signals, time.perf_counter() - started))
    return found


def auroc(scores: Floats) -> dict[str, float]:
    """Return the chance that a right answer scores higher than a made-up one, with its interval.

    Args:
        scores: (n, 2) float64: of the right answer to each question and of the made-up one.
    """

    def of(pairs: Floats) -> float:
        is_right = np.repeat([1, 0], len(pairs))
        return float(roc_auc_score(is_right, np.r_[pairs[:, 0], pairs[:, 1]]))

    rng = np.random.default_rng(0)
    count = len(scores)
    drawn = [of(scores[rng.integers(0, count, count)]) for _ in range(DRAWS)]
    low, high = np.quantile(drawn, (0.025, 0.975)).tolist()
    return {"auroc": of(scores), "low": low, "high": high}


def combined(table: Floats) -> Floats:
    """Return (n, 2) what a model fitted on other questions makes of the signals (n, 2, k)."""
    count, _, width = table.shape
    is_right, groups = np.tile([1, 0], count), np.repeat(np.arange(count), 2)
    model = make_pipeline(StandardScaler(), LogisticRegression())
    shares: Floats = cross_val_predict(
        model,
        table.reshape(-1, width),
        is_right,
        groups=groups,
        cv=GroupKFold(5),
        method="predict_proba",
    )
    return shares[:, 1].reshape(count, 2)


def main() -> None:
    """Measure and print one JSON line."""
    file = Path(os.environ.get("ROADWORTHY_DATA", "../shared/data")) / "halueval_qa_dev.jsonl"
    if not file.exists():
        raise SystemExit(f"no answers at {file}: name their folder in ROADWORTHY_DATA")
    minilm = open_minilm()
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    found = [read(row, minilm) for row in rows]
    all_of: list[list[dict[str, Any]]] = [
        [msgspec.structs.asdict(signals) for signals, _ in pair] for pair in found
    ]
    table = np.array([[[float(each[name]) for name in SIGNALS] for each in p] for p in all_of])
    is_foreign = (table[:, :, 2] + table[:, :, 3]) > 0
    words = np.array([[-each["words"] for each in pair] for pair in all_of])
    figures: dict[str, Any] = {
        "foreign_in_right": float(is_foreign[:, 0].mean()),
        "foreign_in_made_up": float(is_foreign[:, 1].mean()),
        "least_support": auroc(table[:, :, 0]),
        "combined": auroc(combined(table)),
        "length_alone": auroc(words),
        "signals_us": float(np.median([spent for pair in found for _, spent in pair])) * 1e6,
    }
    rounded = json.loads(json.dumps(figures), parse_float=lambda number: round(float(number), 3))
    print(json.dumps({"bench": "signals", "questions": len(rows), **rounded}))


if __name__ == "__main__":
    main()
