"""The sentences of the pages about certificates and calibration."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from . import numbers
from .words import exactly, few, some

if TYPE_CHECKING:
    from ..store.certificates import Certificate
    from .certificate_figures import CertificateRow, Standing

DECISIONS = {"answer_alone": "answer without a person"}
"""What an automatic decision is called."""
STANDINGS: dict[Standing, str] = {
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


def certified(held: Certificate, unit: str) -> tuple[str, ...]:
    """Return what a certificate promises, and on what."""
    most, sure = numbers.promised(held.max_error), numbers.promised(held.sure)
    bound = numbers.share(held.bound, held.max_error)
    return (
        f"Of the answers given alone, at most {most} are wrong.",
        f"We are {sure} sure of this: n {exactly(held.n, unit)}, "
        f"{numbers.count(held.wrong)} wrong, shown is at most {bound}.",
    )


def watched(audits: int, wrong: int, share: float, answers: int) -> str:
    """Return how a certificate is watched, and how late a doubling would be noticed.

    >>> watched(412, 5, 0.05, 8400)
    '5% are audited: 5 of 412 were wrong. A doubled error shows after about 8,400 answers.'
    """
    seen = f"{numbers.count(wrong)} of {numbers.count(audits)} were wrong" if audits else "none yet"
    said = f"{numbers.promised(round(share, 4))} are audited: {seen}."
    if not answers:
        return said
    return f"{said} A doubled error shows after about {numbers.count(answers)} answers."


def collecting(
    n: int, wrong: int, needed: int | None, max_error: float, unit: str, passing: float
) -> tuple[str, ...]:
    """Return what is missing until a bound may be certified, or why none can be.

    Args:
        n: Units of the surest answers that were counted.
        wrong: Those of them that were wrong.
        needed: How many more are needed; None where no number would do.
        max_error: The bound.
        unit: What counts once.
        passing: Share of the traffic (0-1) that the strictest threshold lets pass.

    >>> collecting(600, 5, 167, 0.02, "user", 0.2)[0]
    'Collecting: 167 more labelled outcomes (users) are needed at the present error rate of 0.8%.'
    >>> collecting(0, 0, 194, 0.02, "user", 0.2)[0]
    'Collecting: 194 labelled outcomes (users) without an error are needed.'
    >>> collecting(300, 12, None, 0.02, "user", 0.2)[1]
    'Declare a `max_error` above 4.0%, or find a better score.'
    """
    most, many = numbers.promised(max_error), f"({unit}s)"
    if needed is None:
        part = numbers.promised(round(passing, 2))
        seen = numbers.share(wrong / max(n, 1))
        return (
            f"Not reachable: {seen} of the surest {part} are wrong, and {most} is the bound.",
            f"Declare a `max_error` above {seen}, or find a better score.",
        )
    if not n:
        wanted = f"{numbers.count(needed)} labelled outcomes {many}"
        return (f"Collecting: {wanted} without an error are needed.",)
    rate = numbers.share(wrong / n)
    more = f"{numbers.count(needed)} more labelled outcomes {many} are needed"
    return (f"Collecting: {more} at the present error rate of {rate}.",)


def no_scores() -> tuple[str, ...]:
    """Return what is waited for before thresholds can be chosen."""
    return ("Collecting: the first 200 answers choose the thresholds, without their outcomes.",)


def off_by_audit(why: str, at: datetime, now: datetime) -> tuple[str, ...]:
    """Return why Roadworthy switched a decision off."""
    return (f"Switched off at {numbers.at(at, now)}: {why}.", "Evidence starts anew.")


def off_by_person(by: str, since: datetime, reason: str, now: datetime) -> tuple[str, ...]:
    """Return who switched a decision off, and why."""
    because = f": {reason.rstrip('. ')}" if reason.rstrip(". ") else ""
    return (f"Off since {numbers.at(since, now)} by {by or 'somebody'}{because}.",)


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
