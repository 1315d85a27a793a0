"""Runs an evaluation: asks every case, keeps what came at once, and scores it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress

from .asked import Ask, Asked
from .cache import Cache, may_be_kept, read_asked, write_asked
from .cases import Suite
from .questions import Question, questions_of
from .runs import CaseRuns
from .scorer import Scorer
from .scoring import Scoring
from .settings import Progress, Run, Settings

Wait = Callable[[float], Awaitable[None]]

MONEY = "budget_exhausted"
"""Why there is no answer, where the money is the reason."""
CHUNK = 128
"""Answers that are kept in one transaction at most."""
KEEP_EVERY_S = 0.5
"""How long an answer waits for others to be kept with: a crash loses no more than that."""
FIRST_WAIT_S = 0.5
"""How long a provider is left alone that says nothing of how long; doubled with every try."""


async def run(
    ask: Ask,
    suites: Sequence[Suite],
    scorers: Sequence[Scorer],
    settings: Settings,
    cache: Cache,
    progress: Progress = lambda what, done, of: None,
    wait: Wait = asyncio.sleep,
) -> Run:
    """Ask every case of the suites and score the answers.

    What is known is not asked again, so that an evaluation that ended on the way goes on where it
    was. A case that gets no answer counts as wrong, unless the money was the reason: when that has
    run out, nothing more is asked.

    Args:
        ask: Asks a case; it holds the budget.
        suites: What is asked.
        scorers: What says how good answers are.
        settings: How it is run.
        cache: What is known from before.
        progress: Told after every answer.
        wait: Waits so many seconds.

    Raises:
        StoreError: What was found cannot be kept.
    """
    by_case, ordered = questions_of(suites, settings)
    known = {} if settings.is_fresh else cache.read([q.key for q in ordered if q.key])
    for question in ordered:
        if question.key in known:
            question.content = known[question.key]
            question.answer = read_asked(question.content)
    scoring = Scoring(scorers, settings, cache)
    asking = _Asking(ask, settings, cache, scoring, progress, wait)
    try:
        await asking.all(ordered)
        await scoring.all(ordered, progress)
    finally:
        scoring.close()
    return Run(
        cases=tuple(_runs_of(questions) for questions in by_case),
        asked=asking.asked,
        reused=asking.reused,
        unasked=sum(question.answer is None for question in ordered),
        put_off=asking.put_off,
        cost_micro=asking.cost_micro,
        scoring_cost_micro=scoring.cost_micro,
        failed=scoring.failed,
    )


def _runs_of(questions: list[Question]) -> CaseRuns:
    first = questions[0]
    names = dict.fromkeys(name for question in questions for name in question.scores)
    return CaseRuns(
        first.case,
        first.suite,
        tuple([question.answer for question in questions]),
        {name: tuple([question.scores.get(name) for question in questions]) for name in names},
    )


class _Asking:
    """Asks with so many workers, and keeps what they get.

    Attributes:
        asked, reused, put_off: As of a `Run`.
        cost_micro: What all tries cost.
    """

    def __init__(
        self,
        ask: Ask,
        settings: Settings,
        cache: Cache,
        scoring: Scoring,
        progress: Progress,
        wait: Wait,
    ) -> None:
        self._ask = ask
        self._settings = settings
        self._cache = cache
        self._scoring = scoring
        self._progress = progress
        self._wait = wait
        self._pending: dict[str, bytes] = {}
        self._at_work = 0
        self._settled = asyncio.Event()
        self._is_out = False
        self._held_until = 0.0
        self._done = 0
        self.asked = self.reused = self.put_off = self.cost_micro = 0

    async def all(self, questions: Sequence[Question]) -> None:
        """Ask all that are without an answer, and score dear what has one."""
        self._of = len(questions)
        todo = iter(questions)
        keeper = asyncio.create_task(self._keep_forever())
        count = min(self._settings.concurrency, self._of)
        workers = [asyncio.create_task(self._work(todo)) for _ in range(count)]
        try:
            await asyncio.gather(*workers)
        finally:
            for task in (*workers, keeper):
                task.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            # Also when it is cancelled: what was paid for is not lost.
            self._cache.write("answer", self._taken())
            with suppress(asyncio.CancelledError):
                await keeper

    async def _work(self, todo: Iterator[Question]) -> None:
        for question in todo:
            if question.answer is not None:
                self.reused += 1
            elif not self._is_out:
                await self._answer(question)
            if question.answer is not None and self._scoring.has_dear:
                await self._scoring.dear(question)
            self._done += 1
            self._progress("asked", self._done, self._of)

    async def _answer(self, question: Question) -> None:
        answer = await self._tried(question)
        if answer is None:
            return
        self.asked += 1
        question.answer = answer
        question.content = write_asked(answer)
        if question.key and may_be_kept(answer):
            self._pending[question.key] = question.content
            if len(self._pending) >= CHUNK:
                await self._keep()

    async def _tried(self, question: Question) -> Asked | None:
        """Return an answer, however often it takes; None where there is no money for it."""
        tries = 0
        while True:
            await self._until_free()
            if self._is_out:
                return None
            answer = await self._once(question)
            if answer.error_code == MONEY:
                if await self._is_spent():
                    return None
                continue
            self.cost_micro += answer.cost_micro
            if answer.retry_after_s is None:
                return answer
            tries += 1
            if tries == self._settings.most_tries:
                self.put_off += 1
                return answer
            self._hold(max(answer.retry_after_s, FIRST_WAIT_S * 2 ** (tries - 1)))

    async def _once(self, question: Question) -> Asked:
        self._at_work += 1
        try:
            return await self._ask(question.case, question.repeat)
        finally:
            self._at_work -= 1
            self._settled.set()

    async def _is_spent(self) -> bool:
        """Say whether the money is gone; what is held for others at work may come back yet."""
        if not self._at_work:
            self._is_out = True
            self._settled.set()
            return True
        self._settled.clear()
        await self._settled.wait()
        return self._is_out

    def _hold(self, seconds: float) -> None:
        """Let nobody ask for so long: the provider would refuse the others too."""
        seconds = min(seconds, self._settings.most_wait_s)
        now = asyncio.get_running_loop().time()
        self._held_until = max(self._held_until, now + seconds)

    async def _until_free(self) -> None:
        if self._held_until:
            left = self._held_until - asyncio.get_running_loop().time()
            if left > 0:
                await self._wait(left)

    async def _keep_forever(self) -> None:
        while True:
            await asyncio.sleep(KEEP_EVERY_S)
            await self._keep()

    async def _keep(self) -> None:
        await asyncio.to_thread(self._cache.write, "answer", self._taken())

    def _taken(self) -> dict[str, bytes]:
        rows, self._pending = self._pending, {}
        return rows
