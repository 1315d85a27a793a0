"""How an evaluation is run, and what came of it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from .runs import CaseRuns

Progress = Callable[[str, int, int], None]
"""Told how far it is: what is done (`asked`, `scored`), how many are, and of how many."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How an evaluation is run.

    Attributes:
        release: Who answers.
        environment: What is installed here, as far as answers depend on it.
        repeats: How often each case is asked.
        concurrency: How many are asked at the same time.
        is_fresh: Whether everything is asked again, whatever is known.
        reads_live: Whether a case without features of its own is given those of this moment, so
            that its answer is not kept.
        unscored: Suites whose cases are asked once and not scored: the changed cases.
        measures: Scorers that measure what an answer took, whatever it is: also one that failed.
        only_named: Scorers that score only the cases that name them.
        most_tries: How often an answer is tried that a provider refuses for now.
        most_wait_s: The longest wait that a provider is granted before the next try.
    """

    release: str
    environment: str = ""
    repeats: int = 1
    concurrency: int = 8
    is_fresh: bool = False
    reads_live: bool = False
    unscored: frozenset[str] = frozenset()
    measures: frozenset[str] = frozenset()
    only_named: frozenset[str] = frozenset()
    most_tries: int = 6
    most_wait_s: float = 60.0


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What came of asking the cases of all suites.

    Attributes:
        cases: In the order of suites and cases.
        asked, reused: Answers that were asked for, and that were known from before.
        unasked: Answers that nobody was asked for, because the money ran out.
        put_off: Answers that a provider refused for now until the tries were used up.
        cost_micro: What asking cost, in micro-dollars.
        scoring_cost_micro: What scoring cost.
        failed: Scorer → how many scores it failed to give, and why the first.
    """

    cases: tuple[CaseRuns, ...]
    asked: int = 0
    reused: int = 0
    unasked: int = 0
    put_off: int = 0
    cost_micro: int = 0
    scoring_cost_micro: int = 0
    failed: dict[str, tuple[int, str]] = {}

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the numbers must know."""
        notes = []
        if self.unasked:
            notes.append(
                f"the money ran out: {self.unasked} of {self._answers} answers were not asked for; "
                "raise `evaluation.max_cost_usd`, what is known already is not paid again"
            )
        if self.put_off:
            notes.append(
                f"a provider refused {self.put_off} answers for now, however often they were tried:"
                " they count as wrong; lower `evaluation.concurrency`"
            )
        for name, (count, why) in sorted(self.failed.items()):
            notes.append(f"scorer `{name}` gave no score of {count} answers: {why:.200}")
        return tuple(notes)

    @property
    def _answers(self) -> int:
        return sum(len(runs.answers) for runs in self.cases)
