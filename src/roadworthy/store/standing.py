"""How an automatic decision stands, whichever it is: certified, collecting or off."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Stands = Literal["certified", "collecting", "off"]


class Spot(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate threshold.

    Attributes:
        automated: About the share of answers that it lets pass.
        n, wrong: The units that it let pass, and how many of them were wrong.
        error: The measured error, weighted where chances differ; None without outcomes.
        has_crossed: Whether its evidence was ever enough.
        bound: What is ruled out: at most so many are wrong; None where that is not told.
    """

    threshold: float
    automated: float
    n: int
    wrong: int
    error: float | None
    has_crossed: bool
    bound: float | None = None


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How an automatic decision of a service stands.

    Attributes:
        threshold: Least score from which on the decision is taken; None while nothing is certified.
        n, wrong: The units that the certificate stands on, and the wrong ones among them; while
            there is none, those that the strictest threshold has let pass.
        bound: At most so many of what is given alone are wrong; None while nothing is certified.
        needed: How many more labelled units a certificate needs; 0 with one, None where no number
            would do.
        needed_least, needed_most: The same, one standard error apart.
        why: In a sentence, what is needed, or why it is off.
        of: Whether the bound is of the answers given alone (`accepted`), by a cheaper model
            (`routed`) or again (`hits`), or of `all` requests.
        reference: What cheaper models are held against; empty for other decisions.
        epoch, opened_us: What evidence is gathered on, and since when.
        issued: Certificates of the service so far; each may be wrong, 1 - `sure` of the time.
        missing, disputed: Shares of the units whose outcome did not come, or was contradicted:
            both count as wrong.
        uncovered: Share of requests of which no outcome could be drawn.
        most_missed: Reviewers miss at most this share of errors; None where nothing was planted.
        feasible: The largest share that could ever be given alone, by any method; None before there
            are outcomes.
        groups: Each group that must keep the bound: [n, wrong] at the threshold.
        curve: The candidate thresholds, strict to loose.
        capacity: Whether a day's capacity carries what the bound sends to people; empty where none
            is declared.
        audit: The running audit: `n`, `wrong`, `level` (1 is the alarm), `share`, `delay_answers`.
    """

    service: str
    decision: str
    max_error: float
    sure: float
    threshold: float | None
    n: int
    bound: float | None
    state: Stands
    needed: int | None
    needed_least: int | None
    needed_most: int | None
    why: str
    of: str
    unit: str
    wrong: int
    error: float | None
    release: str
    certificate: str
    from_us: int | None
    to_us: int | None
    issued_us: int | None
    automated: float | None
    epoch: str
    opened_us: int | None
    issued: int
    missing: float | None
    disputed: float | None
    uncovered: float | None
    most_missed: float | None
    feasible: float | None
    groups: dict[str, list[int]]
    curve: tuple[Spot, ...]
    capacity: dict[str, Any]
    audit: dict[str, Any]
    reference: str = ""


NOTHING: dict[str, Any] = {
    "threshold": None,
    "n": 0,
    "wrong": 0,
    "bound": None,
    "error": None,
    "certificate": "",
    "from_us": None,
    "to_us": None,
    "issued_us": None,
    "automated": None,
    "epoch": "",
    "opened_us": None,
    "missing": None,
    "disputed": None,
    "uncovered": None,
    "most_missed": None,
    "feasible": None,
    "groups": {},
    "curve": (),
    "capacity": {},
    "audit": {},
}
"""What a decision of which nothing is known yet stands on."""
