"""What is in force of an automatic decision, in every process."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection

from ..store.issuing import Pointer
from ..store.switchboard import read_pointer
from ..types import PairDecision


class Within(msgspec.Struct, frozen=True):
    """The bound of one automatic decision of one service, as it holds now.

    Attributes:
        certificate: The certificate that holds; empty while none does.
        threshold: Least score from which on the decision is taken; None while none is certified.
        release, scorer: What it was certified for: another release or score has no bound.
        audit_share: Share of what is decided so that is compared all the same.
        pairs_share: Share of the rest that is compared, so that there is evidence.
        is_stopped: Whether a person stopped it: then nothing is decided so.
    """

    certificate: str = ""
    threshold: float | None = None
    release: str = ""
    scorer: str = ""
    audit_share: float = 1.0
    pairs_share: float = 1.0
    is_stopped: bool = False

    def threshold_for(self, release: str, scorer: str) -> float | None:
        """Return from which score on may be decided so for a release and score; None from none."""
        is_its = self.release == release and self.scorer == scorer and not self.is_stopped
        return self.threshold if is_its else None


_within = msgspec.json.Decoder(Within).decode


def pointer_of(service: str, decision: PairDecision, now: Within) -> Pointer:
    """Return what is to be pointed at, so that every process takes it over."""
    return Pointer(f"{decision}:{service}", now)


def read_within(connection: Connection, service: str, decision: PairDecision) -> Within:
    """Return what is in force of a decision, as a transaction sees it."""
    said = read_pointer(connection, f"{decision}:{service}")
    return within_of(said) or Within()


def within_of(said: str) -> Within | None:
    """Return what a pointer says; None where it says nothing."""
    return _within(said) if said else None
