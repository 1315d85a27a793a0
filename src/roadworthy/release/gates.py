"""What must hold before a release ships, measured from evidence with its date and digest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import get_args

import msgspec
from sqlalchemy import Engine, delete, insert, select

from ..cost.worth import DAYS, read_yield
from ..declare.schemas import split_table
from ..declare.service import ServiceDeclaration
from ..errors import DeclarationError, NotFound, NotReady, RequestError, StoreError
from ..evaluate.report import Report
from ..store.approvals import (
    Approval,
    Waiver,
    add_approval,
    add_waiver,
    list_approvals,
    list_waivers,
)
from ..store.artifacts import Artifacts
from ..store.data_versions import read_skew
from ..store.evaluations import newest_evaluation
from ..store.leakage import SavedLeakage, Way, read_leakage
from ..store.release_tables import gates as table
from ..store.rollups import summarise
from ..types import DAY_US, HOUR_US, Clock, Problem
from .bundle import read_declared
from .measures import MEASURES, Evidence, Gate, GateName
from .promotion import has_served
from .registry import Release, champion_id_of, champion_of, trainings

__all__ = ["GATES", "Gate", "measure_gates", "standing_of"]

GATES: tuple[str, ...] = get_args(GateName)
"""What must hold before a release ships, in the order in which it is shown."""

_NEVER_WAIVED: Mapping[str, str] = {
    "approvals": "the owners are asked themselves: `roadworthy release approve`",
    "contracts": "the service agrees to a version in `contract.accepts`",
}
_RISKS = ("low", "limited", "high")
_WEEK = 7


def measure_gates(
    engine: Engine,
    artifacts: Artifacts,
    clock: Clock,
    release: Release,
    check_contracts: Callable[[], None],
) -> tuple[Gate, ...]:
    """Measure how a release stands to every gate, keep that, and return it.

    Args:
        engine: The state database.
        artifacts: Have what it declares.
        clock: The project's time.
        release: What is to ship.
        check_contracts: Raises `DeclarationError` where it does not agree with its sources.

    Raises:
        NotFound: What it declares is gone.
    """
    known = evidence_of(engine, artifacts, clock, release, check_contracts)
    found = tuple(measure(known) for measure in MEASURES)
    _keep(engine, release, found, clock.now_us())
    return with_waivers(found, list_waivers(engine, release.id), clock.now_us())


def evidence_of(
    engine: Engine,
    artifacts: Artifacts,
    clock: Clock,
    release: Release,
    check_contracts: Callable[[], None],
) -> Evidence:
    """Return everything that is known of a release.

    Raises:
        NotFound: What it declares is gone.
    """
    declared = _declared(release, artifacts)
    evaluated = newest_evaluation(engine, release.id)
    report = None if evaluated is None else msgspec.json.decode(evaluated.report, type=Report)
    skew = _skew_of(engine, release)
    now_us = clock.now_us()
    problem = ""
    try:
        check_contracts()
    except DeclarationError as error:
        problem = str(error)
    return Evidence(
        release=release.id,
        declared=declared,
        risk=risk_of(engine, artifacts, release),
        now_us=now_us,
        report=report,
        report_digest="" if evaluated is None else evaluated.head.digest,
        contracts=problem,
        pins=tuple(pin.digest for pin in release.manifest.contracts.values()),
        skew=skew[0],
        skew_at_us=skew[1],
        skew_serving=_skew_serving(engine, release),
        leakage=_leakage_of(engine, release, declared),
        requests_per_day=requests_per_day(engine, release.service, now_us),
        live=read_yield(
            engine,
            declared,
            now_us,
            trained=trainings(engine, release.service, now_us - DAYS * DAY_US, now_us + 1),
        ),
        approvals=list_approvals(engine, release.id),
    )


def standing_of(engine: Engine, release_id: str, now_us: int) -> tuple[Gate, ...]:
    """Return how a release stood to its gates when they were measured last; empty before that.

    A waiver counts as it stands at `now_us`.
    """
    query = select(table.c.gate, table.c.detail).where(table.c.release == release_id)
    with engine.connect() as connection:
        rows = {row.gate: row.detail for row in connection.execute(query)}
    found = [msgspec.json.decode(rows[name], type=Gate) for name in GATES if name in rows]
    return with_waivers(found, list_waivers(engine, release_id), now_us)


def with_waivers(found: Iterable[Gate], waivers: Sequence[Waiver], now_us: int) -> tuple[Gate, ...]:
    """Return gates as they count: a gate that does not hold is `waived` while a waiver is valid."""
    valid = {one.gate: one for one in reversed(waivers) if one.holds_at(now_us)}
    return tuple(
        msgspec.structs.replace(
            gate,
            state="waived",
            waiver=valid[gate.name].id,
            waived=f"waived by `{valid[gate.name].by}`: {valid[gate.name].reason}",
        )
        if gate.state != "holds" and gate.name in valid and gate.name not in _NEVER_WAIVED
        else gate
        for gate in found
    )


def held_up_by(found: Iterable[Gate], risk: str) -> tuple[Gate, ...]:
    """Return the gates that refuse a release.

    What nothing measures yet refuses where the service declares it, and for a high risk always.
    """
    return tuple(gate for gate in found if _refuses(gate, risk))


def check_ready(release: Release, found: Sequence[Gate], risk: str) -> None:
    """Check that no gate holds a release up.

    Raises:
        NotReady: Some do; there is a problem for each.
    """
    problems = [
        Problem(
            f"gates.{gate.name}",
            "it to hold",
            gate.state.replace("_", " "),
            release.id,
            "; ".join(filter(None, (gate.why, gate.command and f"`{gate.command}`"))),
        )
        for gate in held_up_by(found, risk)
    ]
    if problems:
        names = ", ".join(problem.path.partition(".")[2] for problem in problems)
        raise NotReady(
            f"expected every gate of `{release.id}` to hold, got {len(problems)} that do not: "
            f"{names}; `roadworthy release gates {release.id}` says why",
            problems,
        )


def is_gated(engine: Engine, artifacts: Artifacts, release: Release) -> bool:
    """Whether a release must pass gates before it serves.

    What has served is a way back, and the first release of a service makes nothing worse: unless
    its risk is high, nothing holds it up.
    """
    if has_served(engine, release.id):
        return False
    is_first = not champion_id_of(engine, release.service)
    return not is_first or risk_of(engine, artifacts, release) == "high"


def risk_of(engine: Engine, artifacts: Artifacts, release: Release) -> str:
    """Return the risk by which a release is judged: no release lowers its own bar.

    It is the higher of what it declares and of what the release that serves does.

    Raises:
        NotFound: What it declares is gone.
    """
    found = [_declared(release, artifacts).risk]
    with suppress(NotFound, StoreError):  # a champion that cannot be read is to be replaced
        champion = champion_of(engine, release.service)
        serves = None if champion is None else read_declared(champion.manifest, artifacts)
        found += [serves.risk] if serves is not None else []
    return max(found, key=_RISKS.index)


def approve(
    engine: Engine,
    artifacts: Artifacts,
    clock: Clock,
    release: Release,
    *,
    owner: str,
    by: str,
    note: str = "",
) -> Approval:
    """Write down that an owner lets a release ship, and return it.

    Raises:
        RequestError: There is no such owner.
        Conflict: Its risk is high, and the same person spoke for another owner.
    """
    approval = Approval(
        release=release.id,
        owner=owner,
        service=release.service,
        by=by,
        note=note,
        at_us=clock.now_us(),
    )
    is_high = risk_of(engine, artifacts, release) == "high"
    add_approval(engine, clock, approval, must_differ=is_high)
    return approval


def waive(
    engine: Engine,
    clock: Clock,
    release: Release,
    gate: str,
    *,
    by: str,
    reason: str,
    expires_us: int,
) -> Waiver:
    """Let a release ship although a gate does not hold, until a time.

    Raises:
        RequestError: There is no such gate, it can not be waived, there is no reason, or the time
            is over.
    """
    if gate not in GATES:
        known = ", ".join(f"`{name}`" for name in GATES)
        raise RequestError(f"gate: expected one of {known}, got `{gate:.40}`", param="gate")
    if gate in _NEVER_WAIVED:
        raise RequestError(
            f"gate: expected one that can be waived, got `{gate}`; {_NEVER_WAIVED[gate]}",
            param="gate",
        )
    return add_waiver(
        engine,
        clock,
        service=release.service,
        release=release.id,
        gate=gate,
        by=by,
        reason=reason,
        expires_us=expires_us,
    )


def _refuses(gate: Gate, risk: str) -> bool:
    if gate.state == "not_measured":
        return gate.is_declared or risk == "high"
    return gate.state in ("fails", "inconclusive")


def _declared(release: Release, artifacts: Artifacts) -> ServiceDeclaration:
    declared = read_declared(release.manifest, artifacts)
    if declared is None:
        raise NotFound(
            f"expected what `{release.id}` declares, got none; put its artifacts back from a "
            "backup, or build it again from unchanged files"
        )
    return declared


def _skew_of(engine: Engine, release: Release) -> tuple[dict[str, object] | None, int]:
    """Return the newest comparison with what a release was trained on, and when it was made.

    One that was made against another training set says nothing of this release.
    """
    learned = release.manifest.training
    for named in (release.id, release.service):
        for saved in read_skew(engine, named):
            trained = str(saved.detail.get("trained", ""))
            if named == release.id or learned is None or trained == learned.id:
                return saved.detail, saved.at_us
    return None, 0


def _skew_serving(engine: Engine, release: Release) -> dict[str, object] | None:
    """Return the same comparison of what serves, where that is another release."""
    champion = champion_id_of(engine, release.service)
    found = read_skew(engine, champion, limit=1) if champion not in ("", release.id) else []
    return found[0].detail if found else None


def _leakage_of(
    engine: Engine, release: Release, declared: ServiceDeclaration
) -> tuple[SavedLeakage, ...]:
    """Return of each way of looking the newest audit that says something of a release.

    It looked at the same views under the same contracts; what it measured is what the release was
    trained on, where the release says what that is. A later audit that looked in fewer ways takes
    back nothing of what an earlier one saw.
    """
    manifest = release.manifest
    views = sorted(declared.features.views)
    contracts = {source: pin.digest for source, pin in manifest.contracts.items()}
    asked = declared.contract.input
    brought = "" if asked is None else manifest.files.get(split_table(asked)[0], "")
    found: dict[Way, SavedLeakage] = {}
    for saved in read_leakage(engine, release.service) if views else ():
        one = saved.found
        if (list(one.views), one.contracts, one.input) != (views, contracts, brought):
            continue
        learned = manifest.training
        is_trained = learned is None or one.measured == learned.id
        for way, leaks in one.leaks.items():
            if way not in found and (way == "declared" or is_trained):
                found[way] = _alone(saved, way, leaks)
    return tuple(found.values())


def _alone(saved: SavedLeakage, way: Way, leaks: int) -> SavedLeakage:
    """Return what an audit found in one of its ways of looking."""
    is_declared = way == "declared"
    found = msgspec.structs.replace(
        saved.found,
        leaks={way: leaks},
        measured="" if is_declared else saved.found.measured,
        untraced=saved.found.untraced if is_declared else 0,
    )
    return msgspec.structs.replace(saved, found=found)


def requests_per_day(engine: Engine, service: str, now_us: int) -> float:
    """Return the requests of the busiest day of the last week: a ceiling must hold on that, too."""
    until_us = now_us - now_us % HOUR_US + HOUR_US
    days = (until_us - day * DAY_US for day in range(_WEEK))
    return float(
        max(
            summarise(engine, service, since_us=end_us - DAY_US, until_us=end_us).requests
            for end_us in days
        )
    )


def _keep(engine: Engine, release: Release, found: Sequence[Gate], now_us: int) -> None:
    rows = [
        {
            "release": release.id,
            "gate": gate.name,
            "service": release.service,
            "state": gate.state,
            "at_us": gate.at_us or now_us,
            "digest": gate.digest,
            "detail": msgspec.json.encode(gate).decode(),
        }
        for gate in found
    ]
    with engine.begin() as connection:
        connection.execute(delete(table).where(table.c.release == release.id))
        connection.execute(insert(table), rows)
