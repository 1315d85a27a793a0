"""What a load test measures of each step, and how that stands to what was declared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec

StepKind = Literal["fill", "refill", "validate", "check", "history", "read", "skew", "push"]
Verdict = Literal["kept", "not_kept", "undeclared", "not_run"]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What one step did at the declared volume.

    Attributes:
        step: What was run.
        of: The source, the view or the service that it was run for.
        rows: How many rows, or requests, it worked on.
        seconds: How long it took.
        per_second: Rows of a second.
        peak_mb: Most memory of the process meanwhile, with all that was there before.
        needs_s: Seconds that it may take; None where nothing bounds it.
        needs_per_second: Rows of a second that were declared; None where none were.
        verdict: `undeclared` where nothing was declared that it could miss.
        says: The same in a sentence, with what to do.
    """

    step: StepKind
    of: str
    rows: int = 0
    seconds: float = 0.0
    per_second: float | None = None
    peak_mb: float | None = None
    needs_s: float | None = None
    needs_per_second: float | None = None
    verdict: Verdict
    says: str


class LoadReport(msgspec.Struct, frozen=True, kw_only=True):
    """Whether pipelines and monitors hold at the declared volume, on this machine.

    Attributes:
        says: The answer in a sentence.
        kept: Whether no step missed what it needs.
        complete: Whether every step was run.
        made: Source → rows that were made for it.
        memory_mb: Memory that the process may take.
        seconds: How long the test took.
        steps: In the order in which they were run.
    """

    says: str
    kept: bool
    complete: bool
    made: Mapping[str, int]
    memory_mb: int
    seconds: float
    steps: tuple[Step, ...]


class Bounds(NamedTuple):
    """What steps are held to.

    Attributes:
        fill_every_s: Between two fills of the online store: all views have to be filled in it.
        skew_every_s: Between two measurements of skew.
        memory_mb: Memory that the process may take.
    """

    fill_every_s: float
    skew_every_s: float
    memory_mb: int


class Measured(NamedTuple):
    """What one step took.

    Attributes:
        note: What else is to be told of it.
    """

    rows: int
    seconds: float
    peak_mb: float
    note: str = ""


_DID: Mapping[str, str] = {
    "fill": "filled anew",
    "refill": "filled again with the rows of one interval",
    "validate": "held to their contract",
    "check": "checked one by one",
    "history": "joined for training",
    "read": "given features",
    "skew": "held against their views",
    "push": "pushed one by one",
}
_ADVICE: Mapping[str, str] = {
    "fill": "narrow what its SQL looks back on, keep older rows in another source, or take a "
    "faster machine",
    "validate": "drop rules in SQL that read all rows, or take a faster machine",
    "check": "loosen long patterns, let several processes check, or send batches",
    "read": "name fewer views, or let several processes serve",
    "skew": "name fewer views, or take a faster machine",
    "push": "push several rows at once, or let several processes push",
}
_ADVICE = {**_ADVICE, "refill": _ADVICE["fill"]}
_MEMORY_ADVICE = "take a machine with more memory, or keep older rows in another source"


def judged(step: StepKind, of: str, found: Measured, bounds: Bounds, needed: float | None) -> Step:
    """Return a step with its verdict.

    Args:
        step: What was run.
        of: What for.
        found: What it took.
        bounds: What all steps are held to.
        needed: Rows of a second that were declared for it.
    """
    rate = found.rows / found.seconds if found.seconds else None
    needs_s = _needs_s(step, bounds)
    is_late = needs_s is not None and found.seconds > needs_s
    is_slow = needed is not None and rate is not None and rate < needed
    is_large = found.peak_mb > bounds.memory_mb
    verdict: Verdict = "not_kept" if is_late or is_slow or is_large else "kept"
    if verdict == "kept" and needed is None and step in ("check", "read", "push"):
        verdict = "undeclared"
    says = f"{_did(step, of, found)}{_bound(step, found, rate, needs_s, needed)}"
    if is_large:
        says += f"; the process took {found.peak_mb:,.0f} MB, and may take {bounds.memory_mb:,}"
    if is_late or is_slow:
        says += f": {_ADVICE[step]}"
    elif is_large:
        says += f": {_MEMORY_ADVICE}"
    return Step(
        step=step,
        of=of,
        rows=found.rows,
        seconds=round(found.seconds, 3),
        per_second=None if rate is None else round(rate, 1),
        peak_mb=round(found.peak_mb, 1),
        needs_s=needs_s,
        needs_per_second=needed,
        verdict=verdict,
        says=f"{says}; {found.note}" if found.note else says,
    )


def not_run(step: StepKind, of: str, why: str) -> Step:
    """Return a step that could not be run."""
    return Step(step=step, of=of, verdict="not_run", says=why)


def together(refills: Sequence[Step], bounds: Bounds) -> Iterator[Step]:
    """Yield the refills, each not kept where all of them take longer than there is between two."""
    whole = sum(step.seconds for step in refills)
    for step in refills:
        if step.verdict == "kept" and whole > bounds.fill_every_s:
            says = f"{step.says}; all {len(refills)} views take {span(whole)}"
            yield msgspec.structs.replace(step, verdict="not_kept", says=says)
        else:
            yield step


def _needs_s(step: StepKind, bounds: Bounds) -> float | None:
    if step in ("fill", "refill", "validate"):
        return bounds.fill_every_s
    return bounds.skew_every_s if step == "skew" else None


def _did(step: StepKind, of: str, found: Measured) -> str:
    what = "requests" if step in ("read", "skew") else "rows"
    return f"{found.rows:,} {what} of `{of}` {_DID[step]} in {span(found.seconds)}"


def _bound(
    step: StepKind,
    found: Measured,
    rate: float | None,
    needs_s: float | None,
    needed: float | None,
) -> str:
    if needs_s is not None:
        what = "measurements" if step == "skew" else "fills"
        return f", of {span(needs_s)} between two {what}"
    if needed is not None and rate is not None:
        return f": {rate:,.0f} a second, of {needed:,.10g} that are declared"
    if step == "history" or rate is None:
        return ""
    return f": {rate:,.0f} a second, and none are declared"


def span(seconds: float) -> str:
    """Return seconds as people say them.

    >>> [span(0.0042), span(1.5), span(300)]
    ['4.2 ms', '1.5 s', '300 s']
    """
    if seconds < 0.1:
        return f"{seconds * 1000:.1f} ms"
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds:,.0f} s"
