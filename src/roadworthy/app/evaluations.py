"""Evaluates a release: the same for the command line, the console and Python."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Sequence

import msgspec
import uvloop
from sqlalchemy import select

from ..cost.ledger import Ledger
from ..declare.service import ServiceDeclaration
from ..errors import NotFound, RequestError, RoadworthyError
from ..evaluate.cache import StoredCache
from ..evaluate.cases import Case, Suite, load_suites
from ..evaluate.report import Report, SuiteUsed
from ..evaluate.reports import whole_of, with_run
from ..evaluate.results import results_of, runs_from
from ..evaluate.run import run
from ..evaluate.runs import CaseRuns
from ..evaluate.scorer import open_scorer
from ..evaluate.settings import Progress, Run, Settings
from ..evaluate.suites import ScorersUsed
from ..evaluate.verdicts import conclude
from ..release import registry
from ..release.environment import describe_environment
from ..serve.opened import OpenRelease
from ..serve.rehearsal import Rehearsal, open_purse
from ..store.evaluations import EvaluationHead, newest_evaluation, put_evaluation
from ..store.tables import switchboard
from ..types import MICRO, Ids
from .ground import Ground
from .judges import Judges, scoring_ground
from .rehearsals import ask_of, open_rehearsal

POINTERS = ("champion", "last_good")
"""Words for the baseline that are no id."""

_encode = msgspec.json.Encoder(order="deterministic").encode


class _Job(msgspec.Struct, frozen=True, kw_only=True):
    """One evaluation that is to be made.

    Attributes:
        service: As the working tree declares it: by that every release is judged.
        baseline: Id of what the release is compared with; empty for nothing.
        budget_micro: The most that all of it may cost, in micro-dollars.
    """

    service: ServiceDeclaration
    release: str
    baseline: str
    suites: tuple[Suite, ...]
    scorers: ScorersUsed
    repeats: int
    is_fresh: bool
    budget_micro: int | None
    ledger: Ledger
    notes: tuple[str, ...] = ()

    @property
    def cases(self) -> dict[str, Case]:
        """All cases, by id."""
        return {case.id: case for suite in self.suites for case in suite.cases}


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
        by = by or "python"
        job = self._job(service, release_id, against, by, suites, repeats, is_fresh=fresh)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            report = runner.run(self._evaluate(job, progress or _silent))
        seconds = time.perf_counter() - started
        report = msgspec.structs.replace(report, by=by, seconds=round(seconds, 3))
        self._store(report)
        return report

    def _job(
        self,
        name: str,
        release_id: str,
        against: str,
        by: str,
        suites: Sequence[str],
        repeats: int | None,
        *,
        is_fresh: bool,
    ) -> _Job:
        ground = self._ground
        service = ground.load(name)
        declared = service.evaluation
        loaded = load_suites(service.folder, suites or declared.suites)
        if not any(suite.cases for suite in loaded):
            raise RequestError(
                f"evaluation.suites: expected cases for `{name}`, got none; write some as JSON "
                'lines (`{"id", "input", "expect"}`) and name the file, or give `--suite`'
            )
        scorers = ScorersUsed(service, loaded)
        if release_id:
            release = release_of(ground, name, release_id).id
        else:
            release = ground.build_release(name, by=by).id
        baseline, note = self._baseline_of(name, against, release)
        return _Job(
            service=service,
            release=release,
            baseline=baseline,
            suites=loaded,
            scorers=scorers,
            repeats=repeats or declared.repeats,
            is_fresh=is_fresh,
            budget_micro=declared.max_cost_micro,
            ledger=open_purse(ground.clock),
            notes=(note,) if note else (),
        )

    def _baseline_of(self, name: str, against: str, release: str) -> tuple[str, str]:
        """Return the id of the baseline, or why there is none."""
        if not against:
            return "", ""
        if against in POINTERS:
            found = _pointed_at(self._ground, f"{against}:{name}")
            if not found:
                return "", f"there is no `{against}` yet: it was compared with nothing"
        else:
            found = release_of(self._ground, name, against).id
        if found == release:
            return "", f"`{release}` is the baseline itself: it was compared with nothing"
        return found, ""

    async def _evaluate(self, job: _Job, progress: Progress) -> Report:
        asked = await self._ask(job, self._open(job, job.release), progress)
        baseline = await self._ask_baseline(job, progress) if job.baseline else None
        before = None if baseline is None else baseline.cases
        concluded = conclude(job.service, asked.cases, before)
        is_unfinished = bool(asked.unasked or (baseline and baseline.run and baseline.run.unasked))
        whole = whole_of(concluded, (), (), is_unfinished=is_unfinished)
        clock = self._ground.clock
        report = Report(
            id=Ids(clock).new("ev"),
            service=job.service.name,
            release=job.release,
            at_us=clock.now_us(),
            baseline=job.baseline,
            verdict=whole.verdict,
            sentence=whole.sentence,
            needed=whole.needed,
            needs_repeats=whole.needs_repeats,
            repeats=job.repeats,
            suites=_suites_used(job.suites, before),
            metrics=concluded.metrics,
            paired=concluded.paired,
            slices=concluded.slices,
            stability=concluded.stability,
            results=results_of(asked.cases, before or ()),
            notes=(*job.notes, *(baseline.notes if baseline else ())),
        )
        return with_run(report, asked, baseline.run if baseline else None)

    async def _ask(self, job: _Job, rehearsal: Rehearsal, progress: Progress) -> Run:
        """Ask an opened release, and close it."""
        ground, service = self._ground, job.service
        loop = asyncio.get_running_loop()
        judges = Judges(ground, service, job.ledger, job.budget_micro, loop)
        try:
            _check_limited(rehearsal.opened, job)
            texts = scoring_ground(service, rehearsal.opened, judges)
            scorers = [open_scorer(entry, texts) for entry in job.scorers.entries]
            settings = self._settings(job, rehearsal.opened)
            cache = StoredCache(ground.state, ground.clock, service.name)
            return await run(ask_of(rehearsal), job.suites, scorers, settings, cache, progress)
        finally:
            await rehearsal.close()
            await judges.close()

    def _open(self, job: _Job, release_id: str) -> Rehearsal:
        return open_rehearsal(
            self._ground, release_id, budget_micro=job.budget_micro, ledger=job.ledger
        )

    def _settings(self, job: _Job, opened: OpenRelease) -> Settings:
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
            is_fresh=job.is_fresh,
            reads_live=opened.features is not None,
            measures=job.scorers.measures,
            only_named=job.scorers.only_named,
        )

    async def _ask_baseline(self, job: _Job, progress: Progress) -> _Baseline:
        """Ask the baseline the same cases, or read what it said when it could still be asked."""

        def told(what: str, done: int, of: int) -> None:
            progress(f"baseline {what}", done, of)

        try:
            opened = self._open(job, job.baseline)
        except RoadworthyError as error:
            return self._remembered(job, error)
        asked = await self._ask(job, opened, told)
        return _Baseline(asked.cases, asked)

    def _remembered(self, job: _Job, error: RoadworthyError) -> _Baseline:
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


def release_of(ground: Ground, service: str, release_id: str) -> registry.Release:
    """Return a release of a service; its id may be given without the service's name.

    Raises:
        NotFound: There is none of this id, or it is another service's.
    """
    whole = release_id if "@" in release_id else f"{service}@{release_id}"
    found = registry.read_release(ground.state, whole)
    if found.service != service:
        raise NotFound(
            f"expected a release of `{service}`, got `{found.id}`; "
            f"`roadworthy release list {service}` shows those there are"
        )
    return found


def _pointed_at(ground: Ground, pointer: str) -> str:
    query = select(switchboard.c.value).where(switchboard.c.name == pointer)
    with ground.state.connect() as connection:
        return connection.execute(query).scalar() or ""


def _check_limited(opened: OpenRelease, job: _Job) -> None:
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


def _silent(what: str, done: int, of: int) -> None:
    """Tell nobody."""
