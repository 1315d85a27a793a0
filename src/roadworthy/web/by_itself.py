"""What Roadworthy did by itself in the last day: acts of the audit chain that no person took."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from urllib.parse import quote

from sqlalchemy import Engine

from ..store.actions import Action, list_actions
from ..store.clock import time_of
from ..types import DAY_US
from . import numbers
from .certificate_words import DECIDED
from .figures import Deed

AT_START = "up"
"""How the chain names `roadworthy up`, which lets a new service serve."""

OF_JOBS = "job:"
MOST_SEEN = 200
"""Acts that are looked through, the latest first: a page must not wait for a long chain."""

MOST_SHOWN = 20
_CERTIFIED = {"route": "cheaper models", "reuse": "answers given again"}


def deeds_of(state: Engine, services: Collection[str], now_us: int) -> tuple[Deed, ...]:
    """Return what was done by itself to these services in the last 24 hours, newest first."""
    found = [act for act in _own(state, now_us) if _service_of(act) in services]
    built = {act.subject for act in found if act.action == "release.build"}
    promoted = {act.subject for act in found if act.action == "release.promote"}
    shown = (_deed(act, built) for act in found if not _is_said(act, promoted))
    return tuple(deed for deed in shown if deed)[:MOST_SHOWN]


def _own(state: Engine, now_us: int) -> Iterator[Action]:
    """Yield the acts of the day that no person took, the latest first."""
    for act in list_actions(state, limit=MOST_SEEN):
        is_own = act.by == AT_START or act.by.startswith(OF_JOBS)
        # After a clock was set back there are acts of days to come.
        if is_own and now_us - DAY_US <= act.at_us <= now_us:
            yield act


def _service_of(act: Action) -> str:
    named = act.detail.get("service")
    if isinstance(named, str):
        return named
    if act.action in ("release.freeze", "release.unfreeze"):
        return act.subject
    if "@" in act.subject:
        return act.subject.partition("@")[0]
    return act.subject.partition(":")[2].partition("/")[0]


def _is_said(act: Action, promoted: Collection[str]) -> bool:
    """Whether a line about the same release says it already."""
    return act.action == "release.build" and act.subject in promoted


_ON_ITS_WAY = {
    "release.begin": "Began the rollout of {release}{why}.",
    "release.advance": "Moved the rollout of {release}{share}{why}.",
    "release.reject": "Rolled back the candidate {release}{why}.",
    "release.stop": "Stopped the rollout of {release}{why}.",
    "release.rollback": "Rolled back to {release}{instead}{why}.",
    "release.freeze": "Froze the service{why}.",
    "release.unfreeze": "Let the service go on{why}.",
    "release.approve": "Approved {release}{why}.",
    "release.waive": "Waived a gate of {release}{why}.",
    "release.unwaive": "Took a waiver of {release} back{why}.",
    "evaluation.run": "Evaluated {release}{why}.",
    "evaluation.replay": "Replayed traffic through {release}{why}.",
}
"""What was done to releases on their way, by the name of the act."""

_OF_ROLLOUTS = ("release.begin", "release.advance", "release.reject", "release.stop")


def _of_release(act: Action, service: str) -> tuple[str, str]:
    """Return what was done to a release on its way, and where it is seen."""
    detail = act.detail
    left, share = str(detail.get("from") or ""), detail.get("share")
    because = str(detail.get("why") or detail.get("reason") or detail.get("verdict") or "")
    because = because.rstrip(". ")
    says = _ON_ITS_WAY[act.action].format(
        release=numbers.short(act.subject),
        instead=f" in place of {numbers.short(left)}" if "@" in left else "",
        share=f" to {numbers.promised(share)}" if isinstance(share, int | float) else "",
        why=f": {because}" if because else "",
    )
    evaluation = str(detail.get("evaluation") or act.subject)
    if act.action.startswith("evaluation.") and evaluation.startswith("ev_"):
        return says, f"/evaluations/{quote(evaluation, safe='')}"
    page = "rollout" if act.action in _OF_ROLLOUTS else "releases"
    return says, f"/services/{quote(service, safe='')}/{page}"


def _score(act: Action) -> str:
    """Return the threshold of a certificate, as far as the chain tells it."""
    threshold = act.detail.get("threshold")
    return f"{threshold:.3f}" if isinstance(threshold, int | float) else "some threshold"


def _deed(act: Action, built: Collection[str]) -> Deed | None:
    says, link = "", ""
    service, release = _service_of(act), numbers.short(act.subject)
    model = act.subject.partition("/")[2]
    because = str(act.detail.get("reason", "")).rstrip(". ")
    why = f": {because}" if because else ""
    match act.action:
        case "release.promote":
            left = str(act.detail.get("from", ""))
            before = f"in place of {numbers.short(left)}" if left else "nothing served before"
            did = "Built and promoted" if act.subject in built else "Promoted"
            says = f"{did} release {release}: {before}."
            link = f"/releases/{quote(act.subject, safe='')}"
        case name if name in _ON_ITS_WAY:
            says, link = _of_release(act, service)
        case "release.build":
            says = f"Built release {release}; it does not serve."
            link = f"/releases/{quote(act.subject, safe='')}"
        case "service.stop" | "service.resume":
            did = "Stopped" if act.action == "service.stop" else "Resumed"
            says = f"{did} {f'model {model}' if model else 'the service'}{why}."
            link = f"/services/{quote(service, safe='')}#levers"
        case "certificate.issue":
            counted = f"n {act.detail.get('n', 0):,}, {act.detail.get('wrong', 0):,} wrong"
            what = _CERTIFIED.get(str(act.detail.get("decision", "")), "answers")
            says = f"Certified {what} from a score of {_score(act)} on: {counted}."
            link = f"/certificates/{quote(act.subject, safe='')}"
        case "certificate.restore":
            says = f"Certified answers from a score of {_score(act)} on again, with their release."
            link = f"/certificates/{quote(service, safe='')}"
        case "certificate.off" | "certificate.end":
            did = "Switched off" if act.action == "certificate.off" else "Ended"
            ended = str(act.detail.get("why", "")).rstrip(". ")
            decision = str(act.detail.get("decision", ""))
            what = DECIDED.get(decision, DECIDED["answer_alone"])
            says = f"{did} {what}{f': {ended}' if ended else ''}."
            key = service if decision not in _CERTIFIED else f"{service}:{decision}"
            link = f"/certificates/{quote(key, safe='')}"
    if not says:
        return None
    return Deed(at=time_of(act.at_us), by=act.by, service=service, says=says, link=link)
