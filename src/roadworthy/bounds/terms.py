"""What an epoch of pairs stands on: whatever of it changes opens a new one."""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

from ..declare.review import Outcomes
from ..declare.service import ServiceDeclaration
from ..risk.evidence import Floats
from ..risk.schedule import Schedule
from ..risk.walk import sure_of_epoch
from ..store import issuing
from ..types import PairDecision

OUTCOMES = "outcomes"
"""The reference that is no model: outcomes say what is right."""
SETTLES_US = 120_000_000
"""How old a request must be for its pair to be complete, where nobody has to say what is right."""

DOUBT_OF_BOUND = 0.05
"""The part of the doubt that the bound that is shown spends; the promise has the rest."""

_NOT_DECLARED = ("grid", "start", "from_us", "number")

Unit = Literal["user", "entity", "conversation", "request", "entry"]
Of = Literal["all", "routed", "hits"]


class Subject(NamedTuple):
    """What is to be certified: an automatic decision of one release.

    Attributes:
        scorer: Which score decides.
        max_error: What may be lost.
        audit_share, pairs_share: Of what is decided so, and of the rest, what is compared.
        reference: A model's name, or `outcomes`.
        outcomes: Its `[outcomes]`.
    """

    service: str
    release: str
    decision: PairDecision
    scorer: str
    max_error: float
    sure: float
    of: Of
    lifetime: bool
    audit_share: float
    pairs_share: float
    reference: str
    outcomes: Outcomes

    @property
    def unit(self) -> Unit:
        """What counts once."""
        return "entry" if self.decision == "reuse" else self.outcomes.unit

    @property
    def schedule(self) -> Schedule:
        """Which windows there are, and when what is known of them is complete."""
        declared = self.outcomes.schedule
        is_told = self.decision == "route" and self.reference == OUTCOMES
        return declared if is_told else declared._replace(matures_us=SETTLES_US)


def route_of(service: ServiceDeclaration, release: str, scorer: str) -> Subject | None:
    """Return what is to be certified of a service's cheaper models; None where nothing is."""
    routing = service.routing
    if routing.strategy not in ("learned", "cascade") or routing.max_error is None:
        return None
    return Subject(
        service=service.name,
        release=release,
        decision="route",
        scorer=scorer,
        max_error=routing.max_error,
        sure=routing.sure,
        of=routing.of,
        lifetime=routing.lifetime,
        audit_share=routing.audit_share,
        pairs_share=routing.pairs_share,
        reference=routing.reference,
        outcomes=service.outcomes,
    )


def reuse_of(service: ServiceDeclaration, release: str, scorer: str) -> Subject | None:
    """Return what is to be certified of a service's semantic cache; None where nothing is."""
    semantic = service.cache.semantic
    if semantic is None:
        return None
    return Subject(
        service=service.name,
        release=release,
        decision="reuse",
        scorer=scorer,
        max_error=semantic.max_error,
        sure=semantic.sure,
        of=semantic.of,
        lifetime=semantic.lifetime,
        audit_share=semantic.audit_share,
        pairs_share=semantic.pairs_share,
        reference="",
        outcomes=service.outcomes,
    )


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What an epoch stands on.

    Attributes:
        window_us, matures_us: When a pair counts.
        right: The label policy: when an answer is right, or None for equality.
        grid: Thresholds, strict to loose; chosen without knowing what was lost.
        start: The strictest threshold that is covered.
        from_us: No request from before is evidence.
        number: Of the decision's epochs, from 1.
    """

    service: str
    decision: PairDecision
    release: str
    scorer: str
    max_error: float
    sure: float
    of: Of
    lifetime: bool
    audit_share: float
    pairs_share: float
    unit: Unit
    window_us: int
    matures_us: int
    reference: str
    right: str | None
    grid: tuple[float, ...]
    start: int
    from_us: int
    number: int

    @property
    def schedule(self) -> Schedule:
        """When its evidence is complete."""
        return Schedule(self.window_us, self.matures_us)

    @property
    def level(self) -> float:
        """How sure this epoch must be for `sure` to hold."""
        return sure_of_epoch(self.sure, self.number) if self.lifetime else self.sure

    @property
    def doubt_of_bound(self) -> float:
        """How often the bound that is shown may be wrong, of all thresholds together."""
        return (1 - self.level) * DOUBT_OF_BOUND

    @property
    def is_floor(self) -> bool:
        """Whether a share of the reference's quality is kept, instead of few answers lost."""
        return self.decision == "route" and self.of == "all"

    @property
    def keep(self) -> float:
        """The share of the reference's quality that is kept."""
        return 1 - self.max_error


def terms_of(subject: Subject, grid: Floats, start: int, from_us: int, number: int) -> Terms:
    """Return the terms of a new epoch."""
    return Terms(
        service=subject.service,
        decision=subject.decision,
        release=subject.release,
        scorer=subject.scorer,
        max_error=subject.max_error,
        sure=subject.sure,
        of=subject.of,
        lifetime=subject.lifetime,
        audit_share=subject.audit_share,
        pairs_share=subject.pairs_share,
        unit=subject.unit,
        window_us=subject.schedule.window_us,
        matures_us=subject.schedule.matures_us,
        reference=subject.reference,
        right=subject.outcomes.right,
        grid=tuple(grid.tolist()),
        start=start,
        from_us=from_us,
        number=number,
    )


def what_changed(terms: Terms, subject: Subject, grid: Floats) -> str:
    """Return what is not as in `terms` any more, in words; empty where all is."""
    declared = terms_of(subject, grid, terms.start, terms.from_us, terms.number)
    return issuing.what_changed(terms, declared, _NOT_DECLARED)


def read_terms(text: str) -> Terms:
    """Return the terms that a text holds."""
    return msgspec.json.decode(text, type=Terms)
