"""The sentences of the pages about certificates and calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from . import numbers
from .words import exactly, few, some

if TYPE_CHECKING:
    from ..store.standing import Standing
    from ..store.switchboard import Stop
    from .certificate_figures import CertificateRow

DECISIONS = {
    "answer_alone": "answer without a person",
    "route": "take a cheaper model",
    "reuse": "give an answer again",
}
"""What an automatic decision is called."""
OTHERWISE = {
    "answer_alone": "Nothing is given alone: a person decides, or the ladder answers.",
    "route": "The strongest model answers everything.",
    "reuse": "No answer is given to another question: a model is asked each time.",
}
"""What happens while a decision is not certified."""
DECIDED = {
    "answer_alone": "what is given alone",
    "route": "what cheaper models answer",
    "reuse": "what is given again",
}
"""What a decision is made of, as something that is audited."""
PASSES = {
    "answer_alone": "It lets about {} of the answers pass.",
    "route": "It sends about {} of the requests to a cheaper model.",
    "reuse": "It lets about {} of the possible hits be given again.",
}
STOPS = {
    "answer_alone": "Nothing is given alone by it, until somebody resumes it.",
    "route": "The strongest model answers everything, until somebody resumes it.",
    "reuse": "A model answers each question, until somebody resumes it.",
}
STANDINGS: dict[str, str] = {
    "certified": "Certified",
    "collecting": "Collecting",
    "off": "Off",
}


def certificates(rows: Sequence[CertificateRow]) -> str:
    """Return how many decisions are certified, in one line."""
    if not rows:
        return "No service declares a bound yet."
    counts = {name: sum(row.standing == name for row in rows) for name in STANDINGS}
    n = counts["certified"]
    said = [f"{some(n, 'automatic decision')} {'is' if n == 1 else 'are'} certified"]
    if n := counts["off"]:
        said.append(f"{few(n)} {'is' if n == 1 else 'are'} off")
    if n := counts["collecting"]:
        said.append(f"{few(n)} still {'collects' if n == 1 else 'collect'} evidence")
    line = said[0] if len(said) == 1 else f"{', '.join(said[:-1])} and {said[-1]}"
    return f"{line[0].upper()}{line[1:]}."


def lede(certified: Sequence[CertificateRow]) -> str:
    """Return what certificates mean, and how many of so many may be wrong."""
    said = "A certificate says how often a decision may be wrong, and how sure that is."
    if len(certified) < 2:
        return f"{said} What is not certified goes to a person or down the ladder."
    wrong = sum(1 - row.sure for row in certified)
    n, few = numbers.count(len(certified)), f"{wrong:.1f}".removesuffix(".0")
    return f"{said} Of {n} certificates about {few} may be wrong: each is as sure as it says."


def promise(decision: str, of: str, max_error: float, reference: str) -> str:
    """Return what is promised, as a part of a sentence.

    >>> promise("route", "all", 0.05, "large")
    'at least 95% of the quality of `large` is kept, over all requests'
    >>> promise("reuse", "hits", 0.05, "")
    'of the answers given again at most 5% are wrong'
    """
    most = numbers.promised(max_error)
    against = "the strongest model" if reference == "outcomes" else f"`{reference}`"
    if decision == "route" and of == "all":
        kept = numbers.promised(round(1 - max_error, 4))
        return f"at least {kept} of the quality of {against} is kept, over all requests"
    if decision == "route":
        return f"of what cheaper models answer at most {most} is lost against {against}"
    if decision == "reuse":
        what = "the answers given again" if of == "hits" else "all requests, by answers given again"
        return f"of {what} at most {most} are wrong"
    what = "the answers given alone" if of == "accepted" else "all requests"
    return f"of {what} at most {most} wrong"


def certified(stands: Standing) -> tuple[str, ...]:
    """Return what a certificate promises, and on what."""
    if stands.decision != "answer_alone":
        return _certified_pairs(stands)
    most, sure = numbers.promised(stands.max_error), numbers.promised(stands.sure)
    bound = numbers.share(stands.bound or 0.0, stands.max_error)
    what = "answers given alone" if stands.of == "accepted" else "all requests, those given alone"
    return (
        f"Of the {what}, at most {most} are wrong.",
        f"We are {sure} sure of this: n {exactly(stands.n, stands.unit)}, "
        f"{numbers.count(stands.wrong)} wrong, shown is at most {bound}.",
    )


def _certified_pairs(stands: Standing) -> tuple[str, ...]:
    """Return the same of cheaper models and of answers given again."""
    said = promise(stands.decision, stands.of, stands.max_error, stands.reference)
    n, wrong = exactly(stands.n, "pair"), numbers.count(stands.wrong)
    lost = f"{wrong} answers lost" if stands.decision == "route" else f"{wrong} wrong"
    counted = f"We are {numbers.promised(stands.sure)} sure of this: n {n} of answers, {lost}"
    if stands.error is not None:
        counted += f", measured {numbers.share(max(stands.error, 0.0), stands.max_error)}"
    return f"{said[0].upper()}{said[1:]}.", f"{counted}."


def watched(audit: Mapping[str, Any]) -> str:
    """Return how a certificate is watched, and how late a doubling would be noticed.

    >>> watched({"n": 412, "wrong": 5, "share": 0.05, "delay_answers": 8400})
    '5% are audited: 5 of 412 were wrong. A doubled error shows after about 8,400 answers.'
    """
    n, late = int(audit.get("n", 0)), int(audit.get("delay_answers", 0))
    wrong = numbers.count(int(audit.get("wrong", 0)))
    seen = f"{wrong} of {numbers.count(n)} were wrong" if n else "none yet"
    said = f"{numbers.promised(round(audit.get('share', 0.0), 4))} are audited: {seen}."
    if not late:
        return said
    return f"{said} A doubled error shows after about {numbers.count(late)} answers."


def collecting(stands: Standing) -> tuple[str, ...]:
    """Return what is missing until a bound may be certified, or why none can be."""
    why = f"{stands.why[:1].upper()}{stands.why[1:]}."
    if stands.needed is None:
        return ("This bound is not reachable.", why)
    least, most = stands.needed_least, stands.needed_most
    span = ""
    if least is not None and least != stands.needed:
        top = "no number" if most is None else numbers.count(most)
        span = f" Between {numbers.count(least)} and {top} of them, as errors go."
    what = "more labelled outcome" if stands.decision == "answer_alone" else "more pair"
    missing = exactly(stands.needed, what)
    are = "is" if stands.needed == 1 else "are"
    return (f"{missing} {are} needed, one of each {stands.unit}.", why + span)


def off_by_audit(why: str, at: datetime | None, now: datetime) -> tuple[str, ...]:
    """Return why Roadworthy switched a decision off.

    >>> off_by_audit("switched off: 19 of the last 310 audits were wrong; 90 more", None, None)
    ('Switched off: 19 of the last 310 audits were wrong.', 'Evidence starts anew: 90 more.')
    """
    said, _, more = why.removeprefix("switched off: ").partition("; ")
    since = "" if at is None else f" at {numbers.at(at, now)}"
    return f"Switched off{since}: {said}.", f"Evidence starts anew: {more}."


def off_by_person(what: str, stop: Stop, since: datetime, now: datetime) -> tuple[str, ...]:
    """Return who switched a decision off, and why."""
    because = f": {stop.reason.rstrip('. ')}" if stop.reason.rstrip(". ") else ""
    who = stop.by or "somebody"
    return (
        f"Off since {numbers.at(since, now)}: {what}.",
        f"Switched off by {who}{because}.",
    )


def calibration(n: int, error: float | None) -> str:
    """Return how well confidences agree with outcomes, in one line.

    >>> calibration(0, None)
    'No confidence is calibrated yet: it is unknown, and counts as zero.'
    >>> calibration(1200, 0.012)
    'Confidences are off by 1.2% in the mean, on 1,200 outcomes.'
    """
    if error is None:
        return "No confidence is calibrated yet: it is unknown, and counts as zero."
    return f"Confidences are off by {numbers.share(error)} in the mean, on {exactly(n, 'outcome')}."
