"""A served project with a candidate on its way: evaluations, gates, moves and a running rollout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Table, insert, update

from control_plane import RISK, Plane, served
from roadworthy.errors import StoreBusy
from roadworthy.evaluate.report import (
    BehaviourResult,
    CaseResult,
    FairnessResult,
    Metric,
    Paired,
    Report,
    Slice,
    Stability,
    SuiteUsed,
    Verdict,
)
from roadworthy.release.registry import Manifest, read_release
from roadworthy.store import release_tables, tables
from roadworthy.store.evaluations import EvaluationHead, EvaluationKind, put_evaluation
from roadworthy.store.rollouts import Figure, Rollout, RolloutVerdict, Split
from roadworthy.store.switchboard import move_pointer
from roadworthy.types import DAY_US, HOUR_US, MICRO, Ids, SettableClock

NOW_US = 1_826_980_320 * MICRO
"""23 November 2027, 14:32 UTC: later than any release that a test builds before it sets this."""
HOSTILE = "<script>alert(1)</script>\u202eevil\u2066 \x07 " + "w" * 300


class Stage:
    """A served project, the release of `risk` that serves, and the one that is to."""

    def __init__(self, plane: Plane, folder: Path) -> None:
        self.plane = plane
        self.folder = folder
        self.ids = Ids(plane.project.clock)
        self.champion = plane.serving.engine.releases["risk"].id
        self.candidate = self.build("40.0")

    @property
    def now_us(self) -> int:
        now_us: int = self.plane.project.clock.now_us()
        return now_us

    def build(self, wind: str) -> str:
        """Build a release of `risk` that calls a flight late from this wind on."""
        file = self.folder / "services" / "risk" / "service.toml"
        file.write_text(RISK.replace("20.0", wind))
        answer = self.plane.ask("POST", "/api/services/risk/releases", {})
        assert answer.status == 201, answer.body
        release: str = answer.json["release"]
        return release

    def put(self, table: Table, **row: Any) -> None:
        """Write one row."""
        with self.plane.project.state.begin() as connection:
            connection.execute(insert(table).values(**row))

    def point(self, name: str, value: str) -> None:
        """Move one pointer, and let the process see it."""
        with self.plane.project.state.begin() as connection:
            move_pointer(connection, name, value)
        self.plane.follow()

    def report(self, **fields: Any) -> Report:
        """Return a report of the candidate with something in each part."""
        known: dict[str, Any] = {
            "id": self.ids.new("ev"),
            "service": "risk",
            "release": self.candidate,
            "baseline": self.champion,
            "at_us": self.now_us - HOUR_US,
            "by": "cli:ada",
        }
        return Report(**{**known, **PARTS, **fields})

    def evaluate(
        self, report: Report | None = None, kind: EvaluationKind = "suite", **fields: Any
    ) -> str:
        """Remember an evaluation, and return its id."""
        report = report or self.report(**fields)
        named = ("id", "service", "release", "baseline", "at_us", "by", "verdict")
        head = EvaluationHead(kind=kind, **{name: getattr(report, name) for name in named})
        with self.plane.project.state.begin() as connection:
            put_evaluation(connection, self.plane.project.clock, head, msgspec.json.encode(report))
        return report.id

    def move(self, kind: str, left: str, to: str, hours_ago: int, **more: Any) -> None:
        """Remember a change of what serves."""
        at_us = self.now_us - hours_ago * HOUR_US
        known = {"by": "cli:ada", "why": "", "rollout": "", "carried": "{}"}
        row = {"service": "risk", "at_us": at_us, "kind": kind}
        row |= {"from_release": left, "to_release": to}
        self.put(release_tables.moves, id=self.ids.new("mv", at_us), **row, **{**known, **more})

    def roll_out(self, looks: int = 40, **fields: Any) -> str:
        """Let a canary of the candidate run since yesterday, and return its id."""
        started_us = self.now_us - DAY_US
        known: dict[str, Any] = {
            "id": self.ids.new("ro", started_us),
            "service": "risk",
            "champion": self.champion,
            "candidate": self.candidate,
            "judge": "canary",
            "state": "running",
            "step": 1,
            "share": 0.25,
            "started_at_us": started_us,
            "step_at_us": started_us + 8 * HOUR_US,
            "ended_at_us": None,
            "by": "cli:ada",
            "why": "",
            "seen": "",
            "version": 3,
            "progress": {},
            "verdict": verdict_at(looks, self.now_us + 2 * HOUR_US),
        }
        rollout = Rollout(**{**known, **fields})
        self.hold_looks()
        row = msgspec.structs.asdict(rollout)
        row["progress"] = msgspec.json.encode(rollout.progress)
        row["verdict"] = msgspec.json.encode(rollout.verdict).decode()
        self.put(release_tables.rollouts, **row)
        for n in range(looks):
            at_us = started_us + n * (self.now_us - started_us) // max(looks, 1)
            detail = msgspec.json.encode(verdict_at(n + 1)).decode()
            self.put(
                release_tables.rollout_looks,
                rollout=rollout.id,
                number=n,
                at_us=at_us,
                detail=detail,
            )
        if rollout.state in ("running", "frozen"):
            split = Split(rollout.id, rollout.candidate, rollout.judge, rollout.share)
            self.point("rollout:risk", msgspec.json.encode(split).decode())
            self.point("candidate:risk", rollout.candidate)
        return rollout.id

    def hold_looks(self) -> None:
        """Hold the job that would look at rollouts, as another process would."""
        jobs = tables.jobs
        with suppress(StoreBusy):  # it is held already
            self.plane.serving.jobs.run_now("rollouts")
        lease = {"lease_owner": "test", "lease_until_us": 2**62}
        with self.plane.project.state.begin() as connection:
            connection.execute(update(jobs).where(jobs.c.name == "rollouts").values(lease))

    def copies(self, count: int) -> None:
        """Let there be so many older releases of `risk`."""
        made = read_release(self.plane.project.state, self.champion).manifest
        for n in range(count):
            files = {**made.files, "note.txt": f"{n:064x}"}
            manifest: Manifest = msgspec.structs.replace(made, files=files)
            text = msgspec.json.encode(manifest, order="sorted").decode()
            self.put(
                tables.releases,
                id=manifest.release_id,
                service="risk",
                manifest=text,
                created_at_us=self.now_us - (n + 2) * HOUR_US,
                by="cli:ada",
            )


def verdict_at(look: int, expected_us: int | None = None) -> RolloutVerdict:
    """Return what the look of such a number says: the band closes on a small difference."""
    units = look * 20
    wide = 0.6 / units**0.5
    errors = Figure(
        name="errors",
        units=units,
        champion=0.189,
        candidate=0.182,
        difference=-0.007,
        low=-0.007 - wide,
        high=-0.007 + wide,
        worse=0.8,
        worse_needed=20.0,
        better=1.0 + look / 10,
        better_needed=10.0,
        needed=522,
    )
    late = Figure(name="late", units=units, champion=0.01, candidate=0.02, worse=4.0)
    late = msgspec.structs.replace(late, worse_needed=20.0, better_needed=10.0)
    return RolloutVerdict(
        word="wait",
        why="the band does not yet keep what may be worse",
        figures=(errors, late),
        expected_us=expected_us,
    )


def case(n: int, stability: str = "stable_fail", **fields: Any) -> CaseResult:
    """Return one case that came out so."""
    passes = {"stable_pass": 3, "flaky": 1}.get(stability, 0)
    known: dict[str, Any] = {
        "id": f"case-{n}",
        "suite": "golden.jsonl",
        "tags": ("night",),
        "stability": stability,
        "passes": passes,
        "runs": 3,
        "outputs": 2 if stability == "flaky" else 1,
        "input": {"wind": n},
        "expect": {"late": True},
        "output": {"late": False},
        "why": f"expected late, got not late in case {n}",
        "latency_ms": 0.8,
        "baseline": True,
    }
    return CaseResult(**{**known, **fields})


def metric(name: str = "exact", verdict: Verdict | None = "pass", **fields: Any) -> Metric:
    """Return a metric that keeps its bar."""
    known = {"value": 0.934, "low": 0.921, "high": 0.947, "n": 1200, "bar": 0.9}
    return Metric(name=name, verdict=verdict, **{**known, **fields})


_PAIRED = Paired(
    name="exact",
    n=1200,
    baseline=0.913,
    candidate=0.934,
    difference=0.021,
    low=0.012,
    high=0.03,
    better=51,
    worse=26,
    p=0.0058,
    margin=0.02,
    verdict="pass",
    detectable=0.011,
)
PARTS: Mapping[str, Any] = {
    "verdict": "inconclusive",
    "sentence": "whether gender is treated alike is open",
    "needed": 140,
    "repeats": 3,
    "suites": (SuiteUsed(name="golden.jsonl", digest="a81f" * 16, cases=1200, common=1190),),
    "metrics": {
        "exact": metric(),
        "latency": metric(
            "latency", unit="ms", value=6.4, low=6.1, high=6.9, bar=20.0, is_least=False
        ),
        "cost": Metric(name="cost", unit="usd", value=0.00001, n=1200),
        "judge": metric("judge", "inconclusive", value=0.91, low=0.88, high=0.94, needed=140),
    },
    "paired": (_PAIRED,),
    "slices": (
        Slice(name="carrier=UA", cases=300, metrics=(metric(n=300),), paired=(_PAIRED,)),
        Slice(name="tag:night", cases=60, metrics=(metric(verdict="fail", value=0.7, n=60),)),
    ),
    "behaviours": (
        BehaviourResult(
            name="typos",
            use="typos",
            broken=metric("typos", value=0.02, low=0.01, high=0.04, bar=0.05, is_least=False),
            examples=(
                {
                    "case": "case-7",
                    "before": "late?",
                    "after": "ltae?",
                    "said": "yes",
                    "says": "no",
                },
            ),
        ),
    ),
    "fairness": (
        FairnessResult(
            attribute="carrier_size",
            difference=metric(
                "accuracy_difference", value=0.019, low=0.008, high=0.034, bar=0.05, is_least=False
            ),
            groups=(
                {"group": "large", "n": 900, "rate": 0.94, "low": 0.92, "high": 0.955},
                {"group": "small", "n": 288, "rate": 0.921, "low": 0.88, "high": 0.95},
                {"group": "tiny", "n": 12, "missing": 8},
            ),
        ),
    ),
    "stability": Stability(
        stable_pass=1100,
        stable_fail=70,
        flaky=metric("flaky", value=0.025, low=0.017, high=0.035, bar=0.1, is_least=False),
        varied=Metric(name="varied", value=0.03, n=1200),
    ),
    "results": (*map(case, range(3)), case(3, "flaky"), case(4, "stable_pass")),
    "asked": 3570,
    "reused": 30,
    "cost_micro": 12_500,
    "seconds": 4.2,
    "notes": ("10 cases of golden.jsonl changed since the baseline and are not compared",),
}


@contextmanager
def staged(folder: Path, now_us: int = NOW_US) -> Iterator[Stage]:
    """Serve two services; of `risk` a candidate is built."""
    with served(folder) as plane:
        clock = plane.project.clock
        assert isinstance(clock, SettableClock)
        clock.set(now_us)
        yield Stage(plane, folder)
