"""Cases, answers and a cache in memory for the tests of `evaluate`."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal

from roadworthy.evaluate.asked import Asked
from roadworthy.evaluate.cases import Case, Suite, suite_of
from roadworthy.evaluate.run import run
from roadworthy.evaluate.scorer import Score, Scorer
from roadworthy.evaluate.settings import Run, Settings


def text(words: str, **fields: Any) -> Asked:
    """Return an answer that is a text."""
    return Asked(
        **{"disposition": "answered", "output": {"text": words}, "latency_us": 5, **fields}
    )


def cases(count: int, prefix: str = "c", **fields: Any) -> list[Case]:
    """Return cases whose right answer is their question in capitals."""
    return [
        Case(f"{prefix}{n}", {"text": f"{prefix} {n}"}, f"{prefix} {n}".upper(), **fields)
        for n in range(count)
    ]


def suite(count: int, prefix: str = "c", **fields: Any) -> Suite:
    return suite_of(f"{prefix}.jsonl", cases(count, prefix, **fields))


class Upper:
    """Answers in capitals, or with what it was told to; remembers what it was asked."""

    def __init__(self, answers: Callable[[Case, int], Asked] | None = None) -> None:
        self.asked: list[tuple[str, int]] = []
        self._answers = answers or (lambda case, repeat: text(case.input["text"].upper()))

    async def __call__(self, case: Case, repeat: int) -> Asked:
        self.asked.append((case.id, repeat))
        await asyncio.sleep(0)
        return self._answers(case, repeat)


class Same:
    """The text is what was expected."""

    is_dear = False
    version = "1"

    def __init__(self, name: str = "same") -> None:
        self.name = name

    def score(self, case: Case, asked: Asked) -> Score:
        return Score(float(asked.text == case.expect), asked.text == case.expect)


class Dear(Same):
    """The same for money."""

    is_dear = True

    def __init__(self, name: str = "dear") -> None:
        super().__init__(name)
        self.scored: deque[str] = deque()

    def score(self, case: Case, asked: Asked) -> Score:
        self.scored.append(case.id)
        return Score(1.0, True, cost_micro=100)


class MemoryCache:
    """Keeps it in memory, and counts transactions."""

    def __init__(self) -> None:
        self.rows: dict[str, bytes] = {}
        self.writes: list[tuple[str, int]] = []

    def read(self, keys: Collection[str]) -> Mapping[str, bytes]:
        return {key: self.rows[key] for key in keys if key in self.rows}

    def write(self, kind: Literal["answer", "score"], rows: Mapping[str, bytes]) -> None:
        if rows:
            self.writes.append((kind, len(rows)))
        self.rows.update(rows)


async def no_wait(seconds: float) -> None:
    """Wait for nothing."""


def run_now(
    ask: Upper,
    suites: Sequence[Suite],
    scorers: Sequence[Scorer] = (Same(),),
    cache: MemoryCache | None = None,
    **fields: Any,
) -> Run:
    """Run an evaluation and return what came of it."""
    settings = Settings(**{"release": "r@1", **fields})
    return asyncio.run(run(ask, suites, scorers, settings, cache or MemoryCache(), wait=no_wait))
