"""What a change is held to before it is merged: checks, contracts and evaluations, in parallel."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Lock
from typing import Literal

import msgspec

from ..data.agreed import SourceContract, disagreements
from ..declare.load import load_project, load_service
from ..declare.project import SERVICE_FILE
from ..declare.service import ServiceDeclaration
from ..errors import DeclarationError, RequestError, RoadworthyError
from ..evaluate.report import Report
from ..plugins import load_plugin
from ..release import bundle, registry
from ..release.agreement import read_pinned
from ..store.data_versions import read_views
from .changes import Touched, changed_files, files_of_commit, resolve_base, touched_services
from .evaluations import Evaluator
from .ground import Ground
from .rooms import ENFORCES, source_contracts

StepName = Literal["check", "contracts", "evaluate", "loadtest", "drills"]
State = Literal["kept", "not_kept", "inconclusive", "could_not", "not_measured", "skipped"]
Check = Callable[[str], tuple[list[str], list[str]]]
"""Gives the problems and the warnings of a service's files."""
Told = Callable[[str, int, int], None]

STEPS: tuple[StepName, ...] = ("check", "contracts", "evaluate", "loadtest", "drills")
NOT_YET: Mapping[StepName, str] = {
    "loadtest": "no load profile of a service can be declared yet",
    "drills": "no drill of a service's failures exists yet",
}
AT_ONCE = 4
_OF_VERDICT: Mapping[str, State] = {
    "pass": "kept",
    "fail": "not_kept",
    "inconclusive": "inconclusive",
}
_WORST: tuple[State, ...] = ("not_kept", "could_not", "inconclusive")


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a service was held to, and how that went.

    Attributes:
        sentence: What decides its state.
        report: Of the evaluation.
    """

    service: str
    step: StepName
    state: State
    sentence: str
    seconds: float = 0.0
    report: Report | None = None


class Gone(msgspec.Struct, frozen=True, kw_only=True):
    """How a change went.

    Attributes:
        state: The worst of all steps; `kept` where none says otherwise.
        notes: What could not be compared.
    """

    state: State
    touched: Touched
    steps: tuple[Step, ...]
    seconds: float
    notes: tuple[str, ...] = ()


def worst_of(states: Iterable[State]) -> State:
    """Return the worst of some states; what was not measured or skipped says nothing.

    >>> worst_of(["kept", "inconclusive", "not_measured"])
    'inconclusive'
    """
    found = set(states)
    return next((state for state in _WORST if state in found), "kept")


class Pipeline:
    """Holds what a change touches to what its services promise.

    Args:
        ground: The project, as the working tree has it.
        check: Looks at a service's files as `roadworthy check` does.
        by: Who runs it.
    """

    def __init__(self, ground: Ground, check: Check, by: str) -> None:
        self._ground = ground
        self._check = check
        self._by = by
        self._bases: dict[str, str] = {}
        self._notes: list[str] = []
        self._stopped = Event()

    def run(
        self,
        base: str,
        *,
        is_all: bool = False,
        against: Literal["", "champion", "base"] = "",
        progress: Told = lambda what, done, of: None,
    ) -> Gone:
        """Run everything, and return how it went.

        Args:
            base: What the change is against: a branch or a commit.
            is_all: Whether every service counts, whatever changed.
            against: What evaluations compare with: the `champion`, or what the files of the `base`
                are; by default the champion where one serves, else the base.
            progress: Told after every step, and by evaluations after every answer.
        """
        started = time.perf_counter()
        commit = resolve_base(self._ground.folder, base)
        touched = self._touched(base, commit, is_all=is_all)
        self._register_views()
        if commit and touched.services and against != "champion":
            self._build_bases(commit, touched.services, is_wanted=against == "base")
        done, lock, of = [0], Lock(), len(touched.services) * len(STEPS)

        def told(step: Step) -> Step:
            with lock:
                done[0] += 1
                progress("steps", done[0], of)
            return step

        def of_service(name: str) -> list[Step]:
            return [told(step) for step in self._steps(name, against, progress)]

        with ThreadPoolExecutor(min(AT_ONCE, max(len(touched.services), 1))) as pool:
            try:
                steps = tuple(s for found in pool.map(of_service, touched.services) for s in found)
            except KeyboardInterrupt:
                self._stopped.set()  # or the pool would wait for evaluations that nobody wants
                raise
        return Gone(
            state=worst_of(step.state for step in steps),
            touched=touched,
            steps=steps,
            seconds=round(time.perf_counter() - started, 3),
            notes=tuple(self._notes),
        )

    def _touched(self, base: str, commit: str, *, is_all: bool) -> Touched:
        names = self._ground.service_names
        if is_all:
            note = "all services were asked for"
            return Touched(base=commit, services=tuple(sorted(names)), note=note)
        changed = changed_files(self._ground.folder, commit) if commit else None
        services = {name: self._declared(name) for name in names}
        return touched_services(self._ground.declaration, services, base, changed)

    def _declared(self, name: str) -> ServiceDeclaration | None:
        try:
            return self._ground.load(name)
        except DeclarationError:
            return None  # the step `check` tells what is wrong

    def _register_views(self) -> None:
        """Register the feature views where none ever was, as on a machine that only tests.

        Elsewhere a change that nobody has merged must not register any.
        """
        ground = self._ground
        if not ground.declaration.sources or read_views(ground.state):
            return
        try:
            features = load_plugin("features", "local")(
                ground.declaration, ground.state, ground.clock
            )
            try:
                features.apply(by=self._by)
            finally:
                features.close()
        except RoadworthyError as error:
            self._notes.append(f"the feature views could not be registered: {error}")

    # What a change is compared with.

    def _build_bases(self, commit: str, names: Iterable[str], *, is_wanted: bool) -> None:
        """Build what the services were in a commit, where no champion stands for that."""
        state = self._ground.state
        wanted = [n for n in names if is_wanted or not registry.champion_id_of(state, n)]
        if not wanted:
            return
        try:
            with files_of_commit(self._ground.folder, commit) as folder:
                for name in wanted:
                    self._build_base(folder, name)
        except RoadworthyError as error:
            self._notes.append(f"nothing was compared with `{commit[:12]}`: {error}")

    def _build_base(self, folder: Path, name: str) -> None:
        ground = self._ground
        place = folder / "services" / name
        if not (place / SERVICE_FILE).exists():
            self._notes.append(f"`{name}` is new: it is compared with nothing")
            return
        try:
            project = load_project(folder)
            service = load_service(place, project, ENFORCES)
            built = bundle.build_release(
                service,
                project,
                ground.artifacts,
                ground.state,
                ground.clock,
                by=self._by,
                contracts=source_contracts(service, project, ground.state),
            )
        except RoadworthyError as error:
            self._notes.append(f"`{name}` as it was cannot be built, and nothing compares: {error}")
            return
        self._bases[name] = built.id

    # What each service is held to.

    def _steps(self, name: str, against: str, progress: Told) -> Iterable[Step]:
        checked = self._timed(name, "check", self._checked)
        yield checked
        if checked.state != "kept":
            why = "its files have problems"
            for step in STEPS[1:]:
                yield Step(service=name, step=step, state="skipped", sentence=why)
            return
        yield self._timed(name, "contracts", self._contracts)
        yield self._timed(name, "evaluate", lambda n: self._evaluate(n, against, progress))
        for step, why in NOT_YET.items():
            yield Step(service=name, step=step, state="not_measured", sentence=why)

    def _timed(
        self, name: str, step: StepName, work: Callable[[str], tuple[State, str, Report | None]]
    ) -> Step:
        started = time.perf_counter()
        try:
            state, sentence, report = work(name)
        except DeclarationError as error:
            state, sentence, report = "not_kept", str(error), None
        except RoadworthyError as error:
            state, sentence, report = "could_not", f"{error.code}: {error}", None
        return Step(
            service=name,
            step=step,
            state=state,
            sentence=sentence,
            seconds=round(time.perf_counter() - started, 3),
            report=report,
        )

    def _checked(self, name: str) -> tuple[State, str, None]:
        problems, warnings = self._check(name)
        if problems:
            return "not_kept", "\n".join(problems), None
        return "kept", f"no problems, {len(warnings) or 'no'} warnings", None

    def _contracts(self, name: str) -> tuple[State, str, None]:
        """Hold the contracts of a service's sources to what serves, or to what it was."""
        ground = self._ground
        built = ground.build_release(name, by=self._by)  # it refuses what the champion never agreed
        now = source_contracts(ground.load(name), ground.declaration, ground.state)
        if not now:
            return "kept", f"`{built.id}` is built; it reads no sources", None
        base = self._bases.get(name)
        if base:
            pins = registry.read_release(ground.state, base).manifest.contracts
            served = {
                source: SourceContract(read_pinned(ground.state, pin), pin.table)
                for source, pin in pins.items()
            }
            file = f"services/{name}/{SERVICE_FILE}"
            found = disagreements(served, now, built.manifest.accepts, file)
            if found:
                raise DeclarationError("\n".join(map(str, found)), found)
        return "kept", f"`{built.id}` is built; it agrees with {', '.join(sorted(now))}", None

    def _evaluate(
        self, name: str, against: str, progress: Told
    ) -> tuple[State, str, Report | None]:
        if not self._ground.load(name).evaluation.suites:
            return "not_measured", "it declares no `evaluation.suites`", None

        def told(what: str, done: int, of: int) -> None:
            if self._stopped.is_set():
                raise RequestError("the pipeline was interrupted")
            progress(f"{name}: {what}", done, of)

        report = Evaluator(self._ground).evaluate(
            name, against=self._baseline(name, against), by=self._by, progress=told
        )
        return _OF_VERDICT[report.verdict], report.sentence, report

    def _baseline(self, name: str, against: str) -> str:
        champion = registry.champion_id_of(self._ground.state, name)
        if against == "champion" or (not against and champion):
            return champion
        return self._bases.get(name, "")
