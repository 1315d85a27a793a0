"""Two releases side by side: may the second ship, and what is different in it?"""

from __future__ import annotations

from typing import Literal, NamedTuple

from ..errors import NotFound, StoreError
from ..evaluate.report import Paired, Report
from ..release import registry
from ..release.compare import Comparison
from ..release.registry import Release
from ..store.built import read_latest
from ..store.clock import time_of
from . import measures
from .control import Ask
from .differences_shown import changes_of, environment_of, sides_of
from .evaluation_figures import EvaluationRow, PairedShown, SliceShown
from .evaluation_page import paired_of, row_of, slice_of
from .gates_shown import gates_page
from .release_figures import ComparePage, CompareQuery
from .release_page import owners_of
from .release_rows import evaluations_of, read_report
from .rollout_page import (
    frozen_of,
    open_rollout,
    policy_of,
    rollout_shown,
    says_frozen,
    why_taken_back,
)
from .ship import Known, decides
from .states import rank
from .timeline_page import candidate_of, roles_of

MOST_OTHERS = 20
MOST_SLICES = 12
MOST_LOOKED_AT = 20
"""Evaluations of the candidate among which the one against the other release is looked for."""
LEAST_TYPED = 4
"""Characters of a digest by which a release is found."""


class Evidence(NamedTuple):
    """The newest evaluations of both, the second's against the first if there is one."""

    row: EvaluationRow | None
    report: Report | None
    other: Report | None


def compare_page(ask: Ask, service: str, query: CompareQuery) -> ComparePage:
    """Return what the comparison of two releases of a service shows.

    Raises:
        NotFound: There is no such release of this service.
    """
    state = ask.control.state
    wanted = query.b or newest_candidate(ask, service)
    a = find_release(ask, service, query.a or champion_of(ask, service) or wanted)
    b = find_release(ask, service, wanted) if wanted else a
    now = time_of(ask.control.clock.now_us())
    frozen, running = frozen_of(ask, service), open_rollout(ask, service)
    is_its = running is not None and {running.champion, running.candidate} == {a.id, b.id}
    rollout = rollout_shown(ask, running) if running is not None and is_its else None
    gates = gates_page(ask, b.id, owners_of(ask, b))
    found = evidence_of(ask, a, b)
    known = Known(
        candidate=b.id if wanted else "",
        champion=champion_of(ask, service),
        gates=gates,
        evaluation=found.row,
        needed=found.report.needed if found.report else None,
        rollout=rollout,
        taken_back=why_taken_back(ask, service, b.id) if wanted else "",
        says_frozen=says_frozen(frozen, now),
    )
    verdict = decides(known, now)
    compared, problem = _compared(ask, a, b)
    return ComparePage(
        says=verdict.says,
        as_of=now,
        service=service,
        a=a.id,
        b=b.id,
        a_built=time_of(a.created_at_us),
        b_built=time_of(b.created_at_us),
        a_roles=roles_of(ask, service, a.id),
        b_roles=roles_of(ask, service, b.id),
        verdict=verdict,
        frozen=frozen,
        says_frozen=known.says_frozen,
        rollout=rollout,
        gates=gates,
        evaluation=found.row,
        paired=_paired(found.report, a.id) or quality_of(compared, "cases"),
        outcomes=quality_of(compared, "outcomes"),
        slices=_slices(found.report, a.id),
        sides=tuple(sides_of(compared, found.other, found.report)),
        notes=compared.notes if compared is not None else (),
        changes=tuple(changes_of(compared, a.manifest, b.manifest)),
        environment=tuple(environment_of(a.manifest.environment, b.manifest.environment)),
        problem=problem,
        others=registry.list_release_ids(state, [service], MOST_OTHERS),
        judge=policy_of(ask, service, champion_of(ask, service)).judge,
        command=f"roadworthy release compare {a.id} {b.id}",
    )


def champion_of(ask: Ask, service: str) -> str:
    """Return the release that serves."""
    return ask.control.switchboard.get(f"champion:{service}")


def newest_candidate(ask: Ask, service: str) -> str:
    """Return what is being judged, else the latest release if it was built after what serves."""
    if judged := candidate_of(ask, service):
        return judged
    champion = champion_of(ask, service)
    latest = read_latest(ask.control.state, [service]).get(service)
    if latest is None or latest.release == champion:
        return ""
    served = registry.read_release(ask.control.state, champion) if champion else None
    is_later = served is None or latest.at_us > served.created_at_us
    return latest.release if is_later else ""


def find_release(ask: Ask, service: str, wanted: str) -> Release:
    """Return the release of a service that a text names: its id, or the beginning of its digest.

    Raises:
        NotFound: There is none.
    """
    name = wanted if "@" in wanted else f"{service}@{wanted}"
    if not name.startswith(f"{service}@"):
        raise NotFound(f"expected a release of `{service}`, got `{wanted:.80}`")
    if len(name) - len(service) - 1 >= LEAST_TYPED:
        known = registry.list_release_ids(ask.control.state, [service], 500)
        name = next((id for id in known if id.startswith(name)), name)
    return registry.read_release(ask.control.state, name)


def evidence_of(ask: Ask, a: Release, b: Release) -> Evidence:
    """Return the newest evaluations by suites of both."""
    state = ask.control.state
    found = evaluations_of(state, b.service, MOST_LOOKED_AT, release=b.id)
    mine = [one for one in found if one.kind == "suite"]
    paired = [one for one in mine if one.baseline == a.id]
    others = evaluations_of(state, a.service, MOST_LOOKED_AT, release=a.id)
    other = next((one for one in others if one.kind == "suite"), None)
    head = next(iter([*paired, *mine]), None)
    return Evidence(
        row=None if head is None else row_of(head),
        report=None if head is None else read_report(state, head.id)[1],
        other=None if other is None else read_report(state, other.id)[1],
    )


def _paired(report: Report | None, a: str) -> tuple[PairedShown, ...]:
    if report is None or report.baseline != a:
        return ()
    return tuple(sorted(paired_of(report.paired), key=lambda one: rank(one.state)))


def quality_of(
    compared: Comparison | None, source: Literal["cases", "outcomes"]
) -> tuple[PairedShown, ...]:
    """Return how good both are over all, on common cases or by the outcomes of their answers."""
    found = compared.quality if compared is not None else ()
    return paired_of(
        [
            Paired(
                name=one.name,
                n=one.n,
                baseline=one.a,
                candidate=one.b,
                difference=one.difference,
                low=one.low,
                high=one.high,
            )
            for one in found
            if one.slice == "all" and one.source == source
        ]
    )


def _slices(report: Report | None, a: str) -> tuple[SliceShown, ...]:
    """Return the parts of the cases in which both were measured, the worst first."""
    if report is None or report.baseline != a:
        return ()
    shown = [slice_of(part) for part in report.slices if part.paired]
    return tuple(sorted(shown, key=_worst_first)[:MOST_SLICES])


def _worst_first(part: SliceShown) -> tuple[int, float]:
    one = part.paired[0]
    difference = one.difference or 0.0
    return rank(part.state), difference if one.unit not in measures.LESS_IS_BETTER else -difference


def _compared(ask: Ask, a: Release, b: Release) -> tuple[Comparison | None, str]:
    """Return everything that is compared, and why it is not if it cannot be."""
    compare = ask.control.shipping.compare
    if compare is None or a.id == b.id:
        return None, ""
    try:
        return compare(a.id, b.id), ""
    except (NotFound, StoreError) as error:
        return None, str(error)
