"""Scores answers in threads, dear scores as soon as there is an answer, the others in one go."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from ..errors import ModelError
from .cache import Cache, read_score, score_key, write_score
from .cases import Case
from .questions import Question
from .scorer import Score, Scorer, checked
from .settings import Progress, Settings

BATCH = 256
"""Answers that one thread scores before it says how far it is."""


class Scoring:
    """What says how good the answers of a run are.

    Args:
        scorers: By their names; a case may name some for itself alone.
        settings: How the evaluation is run.
        cache: What is known of dear scores.

    Attributes:
        has_dear: Whether any of them costs money or seconds.
        cost_micro: What scoring has cost.
        failed: Scorer → how many scores it failed to give, and why the first.
    """

    def __init__(self, scorers: Sequence[Scorer], settings: Settings, cache: Cache) -> None:
        self._scorers = tuple(scorers)
        self._usual = [one for one in scorers if one.name not in settings.only_named]
        self._settings = settings
        self._cache = cache
        self._pool = ThreadPoolExecutor(settings.concurrency, "roadworthy-scoring")
        self._lock = threading.Lock()
        self.has_dear = any(scorer.is_dear for scorer in scorers)
        self.cost_micro = 0
        self.failed: dict[str, tuple[int, str]] = {}

    def close(self) -> None:
        """Let the threads end, without waiting for what they are at."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def dear(self, question: Question) -> None:
        """Score one answer by what is dear, as far as that is not known."""
        if question.suite not in self._settings.unscored:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._pool, self._score_dear, question)

    async def all(self, questions: Sequence[Question], progress: Progress) -> None:
        """Score all answers by what is not dear."""
        loop = asyncio.get_running_loop()
        todo = [
            question
            for question in questions
            if question.answer is not None and question.suite not in self._settings.unscored
        ]
        batches = [todo[start : start + BATCH] for start in range(0, len(todo), BATCH)]
        work = [loop.run_in_executor(self._pool, self._score_cheap, batch) for batch in batches]
        done = 0
        for batch, scored in zip(batches, work, strict=True):
            await scored
            done += len(batch)
            progress("scored", done, len(todo))

    def _score_cheap(self, questions: Sequence[Question]) -> None:
        for question in questions:
            for scorer in self._of(question.case):
                if not scorer.is_dear:
                    question.scores[scorer.name] = self._score(scorer, question)

    def _score_dear(self, question: Question) -> None:
        for scorer in self._of(question.case):
            if scorer.is_dear:
                question.scores[scorer.name] = self._known_or_scored(scorer, question)

    def _known_or_scored(self, scorer: Scorer, question: Question) -> Score | None:
        if not question.key:
            return self._score(scorer, question)
        key = score_key(question.key, question.content, scorer, question.case)
        if not self._settings.is_fresh:
            kept = self._cache.read([key]).get(key)
            known = None if kept is None else read_score(kept)
            if known is not None:
                return known
        score = self._score(scorer, question)
        if score is not None:
            self._cache.write("score", {key: write_score(score)})
        return score

    def _score(self, scorer: Scorer, question: Question) -> Score | None:
        answer = question.answer
        if answer is None:
            return None
        if answer.disposition == "failed" and scorer.name not in self._settings.measures:
            return Score(0.0, False, f"no answer: {answer.error_code or 'unknown'}")
        try:
            score = checked(scorer.score(question.case, answer))
        except ModelError as error:
            self._note_failure(scorer, str(error))
            return None
        except Exception as error:  # noqa: BLE001 - outer edge: a scorer may be anybody's code
            self._note_failure(scorer, f"{type(error).__name__}: {error}")
            return None
        if score.cost_micro:
            with self._lock:
                self.cost_micro += score.cost_micro
        return score

    def _note_failure(self, scorer: Scorer, why: str) -> None:
        with self._lock:
            count, first = self.failed.get(scorer.name, (0, why))
            self.failed[scorer.name] = (count + 1, first)

    def _of(self, case: Case) -> Sequence[Scorer]:
        named = case.scorers
        if not named:
            return self._usual
        wanted = {*named, *self._settings.measures}
        return [scorer for scorer in self._scorers if scorer.name in wanted]
