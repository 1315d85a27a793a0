"""Evaluates a release: the same for the command line, the console and Python.

Import it where an evaluation is made, not where a server starts: what computes intervals and
changes cases is imported with it.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Iterable, Sequence

import msgspec
import uvloop

from ..cost.ledger import Ceiling
from ..errors import MissingExtra, NotFound, RequestError, RoadworthyError
from ..evaluate.aggregates import aggregates_of
from ..evaluate.asked import Asked
from ..evaluate.behaviours import Same, judge_behaviour
from ..evaluate.cache import StoredCache
from ..evaluate.cases import Suite
from ..evaluate.fairness import fairness_of
from ..evaluate.judges import believed
from ..evaluate.judging import same_verdict
from ..evaluate.report import BehaviourResult, FairnessResult, Report, SuiteUsed
from ..evaluate.reports import with_runs, without_money
from ..evaluate.results import results_of, runs_from
from ..evaluate.run import run
from ..evaluate.runs import CaseRuns, copies_among
from ..evaluate.scorer import open_scorer
from ..evaluate.settings import Progress, Run, Settings
from ..evaluate.suites import BUILTIN
from ..evaluate.verdicts import conclude
from ..release import registry
from ..release.environment import describe_environment
from ..serve.opened import OpenRelease
from ..serve.rehearsal import SCOPE, Rehearsal
from ..store.evaluations import EvaluationHead, newest_evaluation, put_evaluation
from ..types import MICRO, Embedder, Ids
from .evaluation_jobs import Job, Wanted, job_of
from .ground import Ground
from .rehearsals import ask_of, open_rehearsal
from .rooms import open_signals
from .scoring import open_scoring
from .traffic import requests_per_day
from .waiting import write_waiting

_encode = msgspec.json.Encoder(order="deterministic").encode


class _Baseline(msgspec.Struct, frozen=True):
    """What the baseline answered.

    Attributes:
        run: None where it was read from an earlier report.
    """

    cases: tuple[CaseRuns, ...]
    run: Run | None = None
    notes: tuple[str, ...] = ()


class Evaluator:
    """Asks releases the cases of their suites, judges the answers, and stores what came of it.

    It takes no lock: a server of the project may run at the same time.

    Args:
        ground: The project.
    """

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def evaluate(
        self,
        service: str,
        *,
        release_id: str = "",
        against: str = "",
        by: str = "",
        progress: Progress | None = None,
        suites: Sequence[str] = (),
        repeats: int | None = None,
        fresh: bool = False,
    ) -> Report:
        """Evaluate a release, store the report, and return it.

        The cases, the scorers and what is promised are those of the working tree, whatever the age
        of the release. It must not be called from a thread in which an event loop runs.

        Args:
            service: Whose release.
            release_id: Which one; without it that which the working tree describes, which is built.
            against: What it is compared with: `champion`, `last_good` or an id; empty for nothing.
            by: Who evaluates.
            progress: Told after every answer.
            suites: Other suites than those declared.
            repeats: How often each case is asked, in the place of what is declared.
            fresh: Whether everything is asked again, whatever is known.

        Raises:
            NotFound: There is no such service or release.
            DeclarationError: The service file or a suite is wrong, or the release does not open.
            RequestError: There are no cases, or no limit on what they may cost.
            StoreError: The store cannot be read or written.
        """
        started = time.perf_counter()
        wanted = Wanted(
            service=service,
            release_id=release_id,
            against=against,
            by=by or "python",
            suites=tuple(suites),
            repeats=repeats,
            fresh=fresh,
        )
        job = job_of(self._ground, wanted)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            report = runner.run(self._evaluate(job, progress or _silent))
        seconds = round(time.perf_counter() - started, 3)
        report = msgspec.structs.replace(report, by=wanted.by, seconds=seconds)
        self._store(report)
        return report

    async def _evaluate(self, job: Job, progress: Progress) -> Report:
        opened = self._open(job, job.release)
        asked, same = await self._ask(job, opened, (*job.suites, *job.changed_suites), progress)
        baseline = await self._ask_baseline(job, progress) if job.baseline else None
        own = {suite.name for suite in job.suites}
        cases = [runs for runs in asked.cases if runs.suite in own]
        before = None if baseline is None else baseline.cases
        asked_too = baseline.run if baseline else None
        declared = job.service.evaluation
        behaviours = _behaved(job, asked.cases, same)
        fairness = _treated(job, cases)
        concluded = conclude(
            job.service,
            cases,
            before,
            behaviours=behaviours,
            fairness=fairness,
            requests_per_day=requests_per_day(self._ground, job.service.name),
            notes=(
                *job.notes,
                *(baseline.notes if baseline else ()),
                *_of_copies(cases),
            ),
        )
        concluded = without_money(concluded, [asked, *([asked_too] if asked_too else [])])
        together = aggregates_of(cases, job.scorers.entries, sure=declared.sure)
        clock = self._ground.clock
        report = Report(
            id=Ids(clock).new("ev"),
            service=job.service.name,
            release=job.release,
            at_us=clock.now_us(),
            baseline=job.baseline,
            verdict=concluded.verdict,
            sentence=concluded.sentence,
            needed=concluded.needed,
            needs_repeats=concluded.needs_repeats,
            repeats=job.repeats,
            suites=_suites_used(job.suites, before),
            metrics={**together, **asked.by_people, **concluded.metrics},
            paired=concluded.paired,
            slices=concluded.slices,
            behaviours=behaviours,
            fairness=fairness,
            stability=concluded.stability,
            results=results_of(cases, before or ()),
            notes=concluded.notes,
        )
        return with_runs(report, asked, asked_too)

    def _open(self, job: Job, release_id: str) -> Rehearsal:
        return open_rehearsal(
            self._ground, release_id, budget_micro=job.budget_micro, ledger=job.ledger
        )

    async def _ask(
        self, job: Job, rehearsal: Rehearsal, suites: Sequence[Suite], progress: Progress
    ) -> tuple[Run, Same]:
        """Ask an opened release, and close it; with what says whether answers are as good."""
        ground, service = self._ground, job.service
        scoring = open_scoring(
            ground, service.name, ledger=job.ledger, ceilings=_ceilings(job.budget_micro)
        )
        try:
            _check_limited(rehearsal.opened, job)
            scorers = [open_scorer(entry, scoring.ground) for entry in job.scorers.entries]
            settings = self._settings(job, rehearsal.opened)
            cache = StoredCache(ground.state, ground.clock, service.name)
            ask = ask_of(rehearsal)
            asked = await run(ask, suites, scorers, settings, cache, progress)
            asked = await asyncio.to_thread(believed, asked, scorers, service.evaluation.sure)
            asked = write_waiting(ground, rehearsal.opened.id, asked, scorers)
            return asked, same_verdict([s for s in scorers if s.name not in settings.measures])
        finally:
            await rehearsal.close()
            scoring.close()

    def _settings(self, job: Job, opened: OpenRelease) -> Settings:
        stored = registry.read_release(self._ground.state, opened.id)
        providers = self._ground.declaration.providers
        limits = [
            providers[name].max_connections
            for name in stored.manifest.providers
            if name in providers
        ]
        return Settings(
            release=opened.id,
            environment=_environment_of(stored),
            repeats=job.repeats,
            concurrency=min([job.service.evaluation.concurrency, *limits]),
            is_fresh=job.fresh,
            reads_live=opened.features is not None,
            unscored=frozenset(suite.name for suite in job.changed_suites),
            measures=job.scorers.measures,
            only_named=job.scorers.only_named,
        )

    async def _ask_baseline(self, job: Job, progress: Progress) -> _Baseline:
        """Ask the baseline the same cases, or read what it said when it could still be asked."""

        def told(what: str, done: int, of: int) -> None:
            progress(f"baseline {what}", done, of)

        try:
            opened = self._open(job, job.baseline)
        except RoadworthyError as error:
            return self._remembered(job, error)
        asked, _ = await self._ask(job, opened, job.suites, told)
        return _Baseline(asked.cases, asked)

    def _remembered(self, job: Job, error: RoadworthyError) -> _Baseline:
        stored = newest_evaluation(self._ground.state, job.baseline)
        if stored is None:
            raise NotFound(
                f"the baseline `{job.baseline}` cannot be opened any more, and no evaluation of it "
                f"is stored: {error}"
            ) from error
        earlier = msgspec.json.decode(stored.report, type=Report)
        cases = runs_from(earlier.results, job.cases)
        note = (
            f"the baseline `{job.baseline}` cannot be opened any more ({error}): its answers are "
            f"those of evaluation `{stored.head.id}`, and {len(cases)} of {len(job.cases)} cases "
            "are unchanged since and were compared"
        )
        return _Baseline(cases, None, (note,))

    def _store(self, report: Report) -> None:
        ground = self._ground
        head = EvaluationHead(
            id=report.id,
            service=report.service,
            release=report.release,
            baseline=report.baseline,
            kind="suite",
            at_us=report.at_us,
            by=report.by,
            verdict=report.verdict,
        )
        facts = {"cases": len(report.results), "cost_usd": report.cost_micro / MICRO}
        with ground.state.begin() as connection:
            put_evaluation(connection, ground.clock, head, _encode(report), facts)


def _of_copies(cases: Sequence[CaseRuns]) -> list[str]:
    """Return what a reader must know of cases that are the same but for their ids.

    They count each: of requests as they came, some are alike, and leaving them out would weigh the
    rare as much as the common. Of cases that somebody copied nobody but a reader can know.
    """
    copies = copies_among(cases)
    if not copies:
        return []
    return [
        f"{copies:,} of {len(cases):,} cases ask and expect the same as another, and count each: "
        "that is right of requests as they came, while copies of a case say no more than one"
    ]


def _ceilings(budget_micro: int | None) -> tuple[Ceiling, ...]:
    """Return what judges count against: the same as the answers that they judge."""
    if budget_micro is None:
        return ()
    return (Ceiling(SCOPE, budget_micro, "evaluation.max_cost_usd"),)


def _check_limited(opened: OpenRelease, job: Job) -> None:
    if opened.is_paid and job.budget_micro is None:
        raise RequestError(
            f"evaluation.max_cost_usd: expected a limit, because models of `{opened.id}` charge, "
            "got none; add it to `[evaluation]`"
        )


def _environment_of(stored: registry.Release) -> str:
    """Return the SHA-256 (hex) of what is installed here of that which decides its answers."""
    here = describe_environment().packages
    found = {name: here.get(name, "") for name in sorted(stored.manifest.packages)}
    return hashlib.sha256(_encode(found)).hexdigest()


def _suites_used(
    suites: Sequence[Suite], before: Sequence[CaseRuns] | None
) -> tuple[SuiteUsed, ...]:
    known = None if before is None else {runs.case.id for runs in before}
    return tuple(
        SuiteUsed(
            name=suite.name,
            digest=suite.digest,
            cases=len(suite.cases),
            common=None if known is None else sum(case.id in known for case in suite.cases),
        )
        for suite in suites
    )


def _treated(job: Job, cases: Sequence[CaseRuns]) -> tuple[FairnessResult, ...]:
    """Return how differently groups are treated; attacks that come with the package are nobody's.

    Whether a text is right is said by the scorer of the promised quality; a label says it itself.
    """
    service = job.service
    own = [runs for runs in cases if not runs.suite.startswith(BUILTIN)]
    quality = service.objectives.quality
    scorer = quality.scorer if quality is not None and service.kind == "generate" else ""
    return tuple(
        fairness_of(declared, own, sure=service.evaluation.sure, scorer=scorer)
        for declared in service.objectives.fairness
    )


def _behaved(job: Job, cases: Iterable[CaseRuns], same: Same) -> tuple[BehaviourResult, ...]:
    """Return how the answers behaved where inputs were changed."""
    declared = job.service.evaluation
    if not declared.behaviours:
        return ()
    answers: dict[str, Asked | None] = {runs.case.id: runs.answers[0] for runs in cases}
    embedder = _embedder() if job.service.kind == "generate" else None
    return tuple(
        judge_behaviour(
            entry,
            job.changed[entry.name],
            answers,
            answers,
            same=same,
            embedder=embedder,
            sure=declared.sure,
        )
        for entry in declared.behaviours
    )


def _embedder() -> Embedder | None:
    """Return what says whether two texts mean alike; without it they must be the same words."""
    try:
        return open_signals().embedder()
    except MissingExtra:
        return None


def _silent(what: str, done: int, of: int) -> None:
    """Tell nobody."""
