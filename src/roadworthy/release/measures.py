"""How a release stands to each gate, by what was measured of it: pure functions of the evidence."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any, Literal, cast

import msgspec

from ..cost.report import Yield
from ..declare.service import ServiceDeclaration
from ..evaluate.report import Metric, Paired, Report
from ..store.approvals import OWNERS, Approval
from ..store.leakage import SavedLeakage
from .worth import judge_worth

State = Literal["holds", "fails", "inconclusive", "not_measured", "waived"]
GateName = Literal[
    "suites",
    "behaviours",
    "fairness",
    "stability",
    "latency",
    "throughput",
    "cost_per_request",
    "cost_per_day",
    "worth",
    "contracts",
    "skew",
    "leakage",
    "guards",
    "drills",
    "load",
    "approvals",
]

_STATES: dict[str, State] = {"pass": "holds", "fail": "fails", "inconclusive": "inconclusive"}
_WORST: tuple[State, ...] = ("fails", "inconclusive", "holds")


class Gate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a release stands to one gate.

    Attributes:
        is_declared: Whether its service promises something that the gate keeps: then it must be
            measured, however low the risk.
        value, bar: What was measured, and what is promised; None where no one number decides.
        why: What decides it, in one sentence.
        evidence: What it was measured by: an evaluation's id, or a few words.
        digest: SHA-256 of the evidence; empty where there is none.
        at_us: When that was measured.
        command: What measures it, where it is not.
        waiver: Id of the waiver that counts; empty without one.
        waived: By whom, and for what reason; empty without one.
    """

    name: str
    state: State = "not_measured"
    is_declared: bool = False
    value: float | None = None
    bar: float | None = None
    why: str = ""
    evidence: str = ""
    digest: str = ""
    at_us: int | None = None
    command: str = ""
    waiver: str = ""
    waived: str = ""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is known of a release when its gates are measured.

    Attributes:
        declared: What it declares.
        risk: The higher one of its own and of the release that serves.
        report: The newest evaluation of exactly this release, with its digest.
        contracts: What its sources' contracts hold against it; empty where nothing.
        pins: SHA-256 of each contract that it was built with.
        skew: The newest comparison of served features with what it was trained on.
        skew_serving: The same of what serves; None where nothing does, or that is this release.
        leakage: Of each way in which features were audited for leaks the newest audit that says
            something of this release, with what it found in that way alone.
        requests_per_day: Of the busiest day of the last week.
        live: What the answers of what serves cost lately; None without any.
    """

    release: str
    declared: ServiceDeclaration
    risk: str
    now_us: int
    report: Report | None = None
    report_digest: str = ""
    contracts: str = ""
    pins: tuple[str, ...] = ()
    skew: dict[str, Any] | None = None
    skew_at_us: int = 0
    skew_serving: dict[str, Any] | None = None
    leakage: tuple[SavedLeakage, ...] = ()
    requests_per_day: float = 0.0
    live: Yield | None = None
    approvals: tuple[Approval, ...] = ()

    @property
    def command(self) -> str:
        """What evaluates this release."""
        return f"roadworthy evaluate {self.declared.name} --release {self.release}"


def suites(known: Evidence) -> Gate:
    """Return whether it answers its cases as well as it must, and no worse than what serves."""
    declared = known.declared
    is_declared = bool(declared.evaluation.suites) or declared.objectives.quality is not None
    report = known.report
    if report is None or not report.suites:
        return _unevaluated(known, "suites", is_declared, "a suite")
    found: list[Metric | Paired] = [
        metric for metric in report.metrics.values() if metric.unit not in ("ms", "usd")
    ]
    found += report.paired
    found += [paired for part in report.slices for paired in part.paired]
    judged = [(one, one.verdict) for one in found if one.verdict is not None]
    quality = declared.objectives.quality
    main = report.metrics.get(quality.scorer) if quality is not None else None
    state = _worst(verdict for _, verdict in judged)
    if report.verdict != "pass" and state == "holds" and not _is_of_another_gate(report):
        state = _STATES[report.verdict]
    why = report.sentence or _names(judged, state)
    if state == "holds" and (other := _on_other_terms(declared, report)):
        state, why = "inconclusive", other
    return _evaluated(known, "suites", is_declared, state, why, main)


def _on_other_terms(declared: ServiceDeclaration, report: Report) -> str:
    """Return in what an evaluation was easier than what the release declares; empty if in nothing.

    Whoever evaluates may name other suites, and files may promise less than they did.
    """
    asked = {suite.name for suite in report.suites}
    for name in declared.evaluation.suites:
        fits_nothing = any(note.startswith(f"`{name}` was not asked") for note in report.notes)
        if name not in asked and not fits_nothing:
            return f"its newest evaluation did not ask `{name}`"
    quality = declared.objectives.quality
    if quality is None:
        return ""
    main = report.metrics.get(quality.scorer)
    if main is None or main.bar is None or main.bar < quality.at_least:
        bar = "nothing" if main is None or main.bar is None else f"{main.bar:.1%}"
        return (
            f"its newest evaluation held `{quality.scorer}` to {bar}, where the release promises "
            f"at least {quality.at_least:.1%}"
        )
    return ""


def behaviours(known: Evidence) -> Gate:
    """Return whether answers behave as declared where inputs change."""
    declared = known.declared.evaluation.behaviours
    found = known.report.behaviours if known.report is not None else ()
    if not found:
        return _unevaluated(known, "behaviours", bool(declared), "a behaviour")
    missing = {entry.name for entry in declared} - {one.name for one in found}
    if missing:
        why = f"not measured: {', '.join(sorted(missing))}"
        return _evaluated(known, "behaviours", True, "inconclusive", why)
    return _of_metrics(known, "behaviours", bool(declared), [one.broken for one in found])


def fairness(known: Evidence) -> Gate:
    """Return whether groups are treated as alike as promised."""
    declared = known.declared.objectives.fairness
    found = known.report.fairness if known.report is not None else ()
    if not found:
        return _unevaluated(known, "fairness", bool(declared), "fairness")
    return _of_metrics(known, "fairness", bool(declared), [one.difference for one in found])


def stability(known: Evidence) -> Gate:
    """Return whether repeats of a case agree as often as they must."""
    is_declared = known.declared.evaluation.repeats > 1
    report = known.report
    flaky = report.stability.flaky if report is not None else None
    if flaky is None:
        return _unevaluated(known, "stability", is_declared, "a repeat")
    return _of_metrics(known, "stability", is_declared, [flaky])


def latency(known: Evidence) -> Gate:
    """Return whether cases were answered within the promised time."""
    is_declared = known.declared.objectives.latency_p95_ms is not None and _has_suites(known)
    return _by_unit(known, "latency", is_declared, lambda one: one.unit == "ms")


def cost_per_request(known: Evidence) -> Gate:
    """Return whether a request costs what it may."""
    is_declared = known.declared.cost.per_request_usd is not None and _has_suites(known)
    return _by_unit(known, "cost_per_request", is_declared, _is_of_a_request)


def cost_per_day(known: Evidence) -> Gate:
    """Return whether a day would cost what it may, at the traffic of last week's busiest."""
    ceiling = known.declared.cost.per_day_usd
    is_declared = ceiling is not None and _has_suites(known)
    found = _by_unit(known, "cost_per_day", is_declared, _is_of_a_day)
    if ceiling is None or known.report is None:
        return found
    # Reckoned anew: the traffic may have grown since the evaluation forecast it.
    one = next((m for m in known.report.metrics.values() if _is_of_a_request(m)), None)
    if one is None or one.value is None:
        return found
    bar, traffic = float(ceiling), known.requests_per_day
    most = (one.high if one.high is not None else one.value) * traffic
    least = (one.low if one.low is not None else one.value) * traffic
    state: State = "holds" if most <= bar else "fails" if least > bar else "inconclusive"
    why = f"${one.value * traffic:,.2f} at the {traffic:,.0f} requests of last week's busiest day"
    gate = _evaluated(known, "cost_per_day", is_declared, state, why)
    return msgspec.structs.replace(gate, value=one.value * traffic, bar=bar)


def worth(known: Evidence) -> Gate:
    """Return whether an accepted answer costs less than it is worth."""
    declared = known.declared
    metrics = {} if known.report is None else known.report.metrics
    one = next((metric for metric in metrics.values() if _is_of_a_request(metric)), None)
    state, why, value, bar = judge_worth(declared, one, known.live)
    if state != "holds" and declared.cost.on_loss == "alert":
        state, why = "holds", f"{why}; `cost.on_loss` is `alert`: it holds nothing up"
    return Gate(
        name="worth",
        state=cast(State, state),
        is_declared=declared.cost.on_loss == "refuse" and bar is not None,
        value=value,
        bar=bar,
        why=why,
        evidence="" if known.report is None or one is None else known.report.id,
        digest=known.report_digest if one is not None else _digest([value, bar]),
        at_us=known.now_us,
        command=known.command,
    )


def contracts(known: Evidence) -> Gate:
    """Return whether it has agreed to the contracts of its sources as they stand."""
    named = len(known.pins)
    why = known.contracts or (
        f"agrees with {named} contracts as they stand" if named else "it reads no source"
    )
    return Gate(
        name="contracts",
        state="fails" if known.contracts else "holds",
        is_declared=bool(named),
        why=why,
        evidence="the sources' contracts",
        digest=_digest(known.pins) if named else "",
        at_us=known.now_us,
    )


def skew(known: Evidence) -> Gate:
    """Return whether it is served the features that it was trained on.

    A feature that is far from training, but surely no farther than that of what serves, holds
    nothing up: the season has moved both.
    """
    if not known.declared.features.views:
        return _nothing(known, "skew", "it has no feature views")
    command = f"roadworthy features skew {known.declared.name}"
    if known.skew is None:
        why = "served features were not compared with what it was trained on"
        return Gate(name="skew", why=why, command=command)
    rows = known.skew.get("features", ())
    is_known = any(row.get("state") != "collecting" for row in rows)
    farther = _farther(known.skew, known.skew_serving)
    kept = known.skew.get("kept") or farther == []
    state: State = "holds" if kept else "fails"
    why = str(known.skew.get("says", ""))
    if kept and not known.skew.get("kept"):
        why += "; what serves is as far from what it was trained on"
    elif farther:
        why += f"; farther than with what serves: {', '.join(f'`{name}`' for name in farther[:5])}"
    return Gate(
        name="skew",
        state=state if is_known or state == "fails" else "not_measured",
        why=why,
        evidence=f"skew against {known.skew.get('trained') or 'no training set'}",
        digest=_digest(known.skew),
        at_us=known.skew_at_us,
        command=command,
    )


def _farther(skew: Mapping[str, Any], serving: Mapping[str, Any] | None) -> list[str] | None:
    """Return the features that are farther from training than with what serves.

    None where that says nothing: nothing serves, or values are not what the views say.
    """
    rows = skew.get("features", ())
    if serving is None or any(row.get("unequal") for row in rows):
        return None
    beside = {row["feature"]: row.get("gap") for row in serving.get("features", ())}
    far = [row for row in rows if row.get("state") == "breached"]
    return [
        row["feature"] for row in far if _is_farther(row.get("gap"), beside.get(row["feature"]))
    ]


def _is_farther(gap: Sequence[float] | None, beside: Sequence[float] | None) -> bool:
    """Return whether one distance may be above another: each is its value, low and high ends."""
    return gap is None or beside is None or gap[1] > beside[2]


def leakage(known: Evidence) -> Gate:
    """Return whether its features know what nobody can know when it is asked."""
    if not known.declared.features.views:
        return _nothing(known, "leakage", "it has no feature views")
    command = f"roadworthy features leakage {known.declared.name} --label COLUMN"
    if not known.leakage:
        why = "no audit of its features as they are is kept"
        return Gate(name="leakage", why=why, command=command)
    decides = max(known.leakage, key=_weight)
    leaks, untraced, *_ = _weight(decides)
    found = decides.found
    said = "no leak is declared or measured"
    if leaks:
        said = found.says
    elif untraced:
        said = (
            f"no leak is declared, as far as it can be traced: {found.untraced} of the views cannot"
        )
    elif not found.measured:
        said = "no leak is declared; `--label COLUMN` measures a training set too"
    return Gate(
        name="leakage",
        state="fails" if leaks else "inconclusive" if untraced else "holds",
        why=said,
        evidence=f"audit of {PurePath(found.measured).name or 'what is declared'}",
        digest=decides.digest,
        at_us=decides.at_us,
        command=command,
    )


def _weight(one: SavedLeakage) -> tuple[bool, bool, bool, int]:
    """Return by what one audit decides before another: what it found, then how much it saw."""
    found = one.found
    return any(found.leaks.values()), found.untraced > 0, bool(found.measured), one.at_us


def approvals(known: Evidence) -> Gate:
    """Return whether the owners let it ship: of a high-risk service all three, each another."""
    found = known.approvals
    said = ", ".join(f"{one.owner} by `{one.by}`" for one in found)
    last = max((one.at_us for one in found), default=known.now_us)
    gate = Gate(
        name="approvals",
        state="holds",
        is_declared=known.risk == "high",
        value=float(len(found)),
        evidence="what owners said",
        digest=_digest(found) if found else "",
        at_us=last,
        why=f"approved as {said}" if said else f"risk is {known.risk}: none is asked for",
        command=f"roadworthy release approve {known.release} --as OWNER",
    )
    if known.risk != "high":
        return gate
    missing = [owner for owner in OWNERS if owner not in {one.owner for one in found}]
    gate = msgspec.structs.replace(gate, bar=float(len(OWNERS)))
    if missing:
        why = f"risk is high: waits for the owners of {', '.join(missing)}"
        return msgspec.structs.replace(gate, state="fails", why=why)
    if len({one.by for one in found}) < len(OWNERS):
        why = f"risk is high: expected three different people, got {said}"
        return msgspec.structs.replace(gate, state="fails", why=why)
    return gate


def _later(name: GateName, what: str) -> Callable[[Evidence], Gate]:
    """Return a gate that nothing in this project measures yet."""

    def measure(known: Evidence) -> Gate:
        return Gate(name=name, why=f"{what} is not measured by this version")

    return measure


MEASURES: tuple[Callable[[Evidence], Gate], ...] = (
    suites,
    behaviours,
    fairness,
    stability,
    latency,
    _later("throughput", "how many requests it stands"),
    cost_per_request,
    cost_per_day,
    worth,
    contracts,
    skew,
    leakage,
    _later("guards", "how much its guards let through"),
    _later("drills", "what happens when its parts fail"),
    _later("load", "how it stands a load"),
    approvals,
)
"""What measures each gate, in the order in which they are shown."""


def _has_suites(known: Evidence) -> bool:
    """Whether anything can be evaluated: without cases nothing is asked."""
    return bool(known.declared.evaluation.suites)


def _is_of_a_request(metric: Metric) -> bool:
    return metric.unit == "usd" and not _is_of_a_day(metric)


def _is_of_a_day(metric: Metric) -> bool:
    return metric.unit == "usd" and "per_day" in metric.name


def _is_of_another_gate(report: Report) -> bool:
    """Whether something else than its cases is what a report does not pass for."""
    others = [metric for metric in report.metrics.values() if metric.unit in ("ms", "usd")]
    others += [one.broken for one in report.behaviours]
    others += [one.difference for one in report.fairness]
    found = report.stability
    others += [one for one in (found.flaky, found.varied, found.unparsed) if one is not None]
    return any(metric.verdict in ("fail", "inconclusive") for metric in others)


def _by_unit(
    known: Evidence, name: GateName, is_declared: bool, is_it: Callable[[Metric], bool]
) -> Gate:
    report = known.report
    found = [] if report is None else [m for m in report.metrics.values() if is_it(m)]
    judged = [metric for metric in found if metric.verdict is not None]
    if not judged:
        return _unevaluated(known, name, is_declared, "a promise of it")
    return _of_metrics(known, name, is_declared, judged)


def _of_metrics(known: Evidence, name: GateName, is_declared: bool, found: list[Metric]) -> Gate:
    """Return the gate of the worst of some metrics."""
    judged = [(one, one.verdict or "pass") for one in found]
    state = _worst(verdict for _, verdict in judged)
    worst = next(one for one, verdict in judged if _STATES[verdict] == state)
    return _evaluated(known, name, is_declared, state, _names(judged, state), worst)


def _evaluated(
    known: Evidence,
    name: GateName,
    is_declared: bool,
    state: State,
    why: str,
    metric: Metric | None = None,
) -> Gate:
    report = known.report
    return Gate(
        name=name,
        state=state,
        is_declared=is_declared,
        value=None if metric is None else metric.value,
        bar=None if metric is None else metric.bar,
        why=why,
        evidence="" if report is None else report.id,
        digest=known.report_digest,
        at_us=None if report is None else report.at_us,
        command=known.command,
    )


def _unevaluated(known: Evidence, name: GateName, is_declared: bool, what: str) -> Gate:
    """Return a gate that no evaluation of this very release measured."""
    if not is_declared:
        return Gate(name=name, why=f"its service declares no {what.removeprefix('a ')}")
    seen = "it was not evaluated" if known.report is None else "its evaluation says nothing of it"
    return Gate(name=name, is_declared=True, why=seen, command=known.command)


def _nothing(known: Evidence, name: GateName, why: str) -> Gate:
    """Return a gate that holds because there is nothing that it could stop."""
    return Gate(name=name, state="holds", why=why, at_us=known.now_us)


def _worst(verdicts: Iterable[str]) -> State:
    found = {_STATES[verdict] for verdict in verdicts}
    return next((state for state in _WORST if state in found), "holds")


def _names(judged: Iterable[tuple[Metric | Paired, str]], state: State) -> str:
    """Return of what a gate is as it is."""
    named = [one.name for one, verdict in judged if _STATES[verdict] == state]
    said = {"holds": "within what is promised", "fails": "not as promised"}
    return f"{', '.join(dict.fromkeys(named)) or 'all'}: {said.get(state, 'not settled yet')}"


def _digest(value: object) -> str:
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()
