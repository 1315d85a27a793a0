"""What tests of scorers need: a ground without a project, cases as data, and answers to them."""

from __future__ import annotations

import importlib
import sqlite3
import tomllib
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from roadworthy.declare.evaluation import ScorerEntry
from roadworthy.errors import ModelUnavailable
from roadworthy.evaluate.asked import Asked
from roadworthy.evaluate.cases import Case
from roadworthy.evaluate.scorer import Score, Scorer, ScoringGround
from roadworthy.types import Answer, Attempt, Call, Embedder, Passage, Sentence, Support

ROOT = Path(__file__).parent.parent
CASES = ROOT / "tests" / "cases" / "scorers"
DOORS: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
    "entry-points"
]["roadworthy.scorers"]
FILES = {
    "reply.schema.json": '{"type": "object", "required": ["refund"], '
    '"properties": {"refund": {"type": "number", "minimum": 0}}}',
    "word.schema.json": '{"type": "string", "maxLength": 5}',
}
FLIGHTS = [
    (1, "UA", "EWR", 10.5, None),
    (2, "UA", "JFK", -3.0, "late bag"),
    (3, "AA", "JFK", 0.25, "ok"),
]


class ScorerCase(msgspec.Struct, forbid_unknown_fields=True):
    """One line of a file of `tests/cases/scorers`."""

    id: str
    entry: dict[str, Any]
    value: float | None
    expect: Any = None
    output: Any = None
    right: bool | None = None
    message: dict[str, Any] | None = None
    passages: tuple[dict[str, Any], ...] = ()
    disposition: str = "answered"
    schema_problem: str = ""
    latency_us: int = 0
    cost_micro: int = 0
    why: str = ""


def scorer_cases() -> list[ScorerCase]:
    """Return the cases of all files."""
    decode = msgspec.json.Decoder(ScorerCase).decode
    return [
        decode(line)
        for path in sorted(CASES.glob("*.jsonl"))
        for line in path.read_bytes().splitlines()
        if line.strip()
    ]


def asked_of(case: ScorerCase) -> Asked:
    """Return the answer that a case is about."""
    output = {"text": case.output} if isinstance(case.output, str) else case.output
    return msgspec.convert(
        {
            "disposition": case.disposition,
            "output": output,
            "message": case.message,
            "passages": case.passages,
            "schema_problem": case.schema_problem,
            "latency_us": case.latency_us,
            "cost_micro": case.cost_micro,
        },
        Asked,
    )


def open_named(entry: ScorerEntry, ground: ScoringGround) -> Scorer:
    """Open a scorer by the door that pyproject.toml names."""
    module, _, name = DOORS[entry.use].partition(":")
    scorer: Scorer = getattr(importlib.import_module(module), name)(entry, ground)
    return scorer


def entry_of(use: str, **settings: Any) -> ScorerEntry:
    """Return what a service says of a scorer."""
    return ScorerEntry.model_validate({"use": use, **settings}, strict=False)


def said(output: Any, **fields: Any) -> Asked:
    """Return an answer; a text is one as models write it."""
    return Asked(
        disposition="answered",
        output={"text": output} if isinstance(output, str) else output,
        **fields,
    )


def case_of(expect: Any, id: str = "one", **input: Any) -> Case:
    """Return a case that expects this."""
    return Case(id, input, expect)


class Vectors:
    """Stands in for an embedder: a text's vector counts its words, by their first letter."""

    name = "letters"
    dimensions = 26

    def embed(self, texts: Sequence[str]) -> Any:
        """Return (n, 26) float32, rows of length 1."""
        import numpy as np

        rows = np.full((len(texts), 26), 1e-6, dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in text.lower().split():
                if "a" <= word[0] <= "z":
                    row[ord(word[0]) - ord("a")] += 1
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        return rows / lengths

    def count(self, text: str) -> int:
        """Return the words of a text."""
        return len(text.split())


def word_support(text: str, passages: Sequence[Passage]) -> tuple[Sentence, ...]:
    """Return 1 for each sentence that stands in a passage, else .2."""
    sentences = [part.strip() for part in text.split(".") if part.strip()]
    return tuple(
        Sentence(part, 1.0 if any(part in passage.text for passage in passages) else 0.2)
        for part in sentences
    )


class Replies:
    """Stands in for a judge's model: gives replies in turn, each for a tenth of a cent.

    Attributes:
        calls: What it was asked.
    """

    def __init__(self, *replies: str | Callable[[Call], str]) -> None:
        self._replies = replies
        self.calls: list[Call] = []

    def __call__(self, name: str, call: Call) -> Answer:
        """Return the next reply; the last one again and again."""
        if not self._replies:
            raise ModelUnavailable("nobody judges here")
        reply = self._replies[min(len(self.calls), len(self._replies) - 1)]
        self.calls.append(call)
        text = reply if isinstance(reply, str) else reply(call)
        attempt = Attempt(name, "ok", 1, cost_micro=1000)
        return Answer(model=name, output={"text": text}, attempts=(attempt,))


def ground_in(folder: Path, ask: Any = None, kept: Path | None = None) -> ScoringGround:
    """Return a ground with the files that cases name."""
    for name, text in FILES.items():
        (folder / name).write_text(text)
    database = folder / "flights.db"
    if not database.exists():
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("CREATE TABLE flight (id INT, carrier, origin, delay REAL, note)")
            connection.executemany("INSERT INTO flight VALUES (?, ?, ?, ?, ?)", FLIGHTS)
            connection.commit()

    def embedder() -> Embedder:
        return Vectors()

    def support() -> Support:
        return word_support

    return ScoringGround(
        folder=folder,
        embedder=embedder,
        support=support,
        ask_model=ask or Replies(),
        kept=kept,
    )


def check_score(case: ScorerCase, score: Score) -> None:
    """Check a score against what its case says."""
    if case.value is None:
        assert score.value is None, score
    else:
        assert score.value is not None, score
        assert abs(score.value - case.value) < 1e-5, score
    assert score.is_right is case.right, score
    assert case.why in score.why, score
