"""What is certified of cheaper models and of answers given again, for the pages of certificates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ..plugins import load_plugin
from ..serve.opened import OpenRelease
from ..store.clock import time_of
from ..store.standing import Spot, Standing
from ..store.switchboard import Stop
from . import certificate_words as words
from .certificate_figures import CertificatePage, CertificateRow, RiskPoint
from .certificate_parts import history_of, since, state_of, stopped_by
from .control import Ask

MOST_SHOWN = 3.0
"""A bound above so many times the promise is not drawn: it says nothing yet."""


class PairDecided(NamedTuple):
    """One such decision of a service, and who stopped its certificate."""

    stands: Standing
    scorer: str
    audit_share: float
    stop: Stop | None

    @property
    def is_off(self) -> bool:
        """Whether a person or its audit switched it off."""
        return self.stop is not None or self.stands.state == "off"

    @property
    def key(self) -> str:
        """By what its page is found, whichever certificate holds."""
        return f"{self.stands.service}:{self.stands.decision}"


def bets_of(release: OpenRelease) -> tuple[str, ...]:
    """Return which such decisions a release takes within a bound."""
    routing, cache = release.declaration.routing, release.declaration.cache
    has_route = routing.strategy in ("learned", "cascade") and routing.max_error is not None
    has_cache = cache.semantic is not None and release.cache is not None
    taken = {"route": has_route and release.router is not None, "reuse": has_cache}
    return tuple(decision for decision, is_taken in taken.items() if is_taken)


def pair_decisions(ask: Ask, release: OpenRelease) -> Iterator[PairDecided]:
    """Yield how the decisions of a release about cheaper models and its cache stand."""
    if not bets_of(release):
        return
    board = ask.control.switchboard
    bounds = load_plugin("routing", "bounds")
    for subject, stands in bounds.standings(ask.control.state, release):
        held = stands.certificate
        stop = board.stopped(release.name, held) if held else None
        yield PairDecided(stands, subject.scorer, subject.audit_share, stop)


def pair_row(ask: Ask, one: PairDecided) -> CertificateRow:
    """Return how a decision stands, as the list shows it."""
    stands, audit = one.stands, one.stands.audit
    standing = "off" if one.is_off else stands.state
    return CertificateRow(
        id=stands.certificate or one.key,
        service=stands.service,
        decision=stands.decision,
        standing=standing,
        state=state_of(standing, audit),
        says=_says(ask, one),
        max_error=stands.max_error,
        sure=stands.sure,
        threshold=stands.threshold,
        bound=stands.bound,
        n=stands.n,
        needed=stands.needed if standing == "collecting" else None,
        audits=int(audit.get("n", 0)),
        wrong=int(audit.get("wrong", 0)),
        level=float(audit.get("level", 0.0)),
        since=since(ask, stands, one.stop),
        release=stands.release,
    )


def pair_page(ask: Ask, one: PairDecided) -> CertificatePage:
    """Return a decision with the evidence for it and against it."""
    row, stands, audit = pair_row(ask, one), one.stands, one.stands.audit
    most = min(1.0, MOST_SHOWN * stands.max_error)
    curve = tuple(_point(spot, most) for spot in stands.curve)
    covered = [spot.threshold for spot in stands.curve if spot.has_crossed]
    return CertificatePage(
        says=row.says[0],
        key=one.key,
        row=row,
        as_of=time_of(ask.control.clock.now_us()),
        stopped=stopped_by(one.stop),
        asked=None,
        certificate=stands.certificate,
        epoch=stands.epoch,
        scorer=one.scorer,
        of=stands.of,
        reference=stands.reference,
        unit=stands.unit,
        from_time=None if stands.from_us is None else time_of(stands.from_us),
        until=None if stands.to_us is None else time_of(stands.to_us),
        automated=stands.automated,
        curve=curve,
        start=max(covered, default=None),
        naive=None,
        power=(),
        audit=(),
        run_length=int(audit.get("run_length", 0)),
        audit_share=float(audit.get("share", one.audit_share)),
        delay_audits=int(audit.get("delay_audits", 0)),
        delay_answers=int(audit.get("delay_answers", 0)),
        groups=(),
        counted=max((spot.n for spot in stands.curve), default=0),
        missing=stands.missing,
        disputed=None,
        uncovered=None,
        most_missed=None,
        feasible=None,
        history=tuple(history_of(ask, stands.service, stands.decision)),
    )


def _says(ask: Ask, one: PairDecided) -> tuple[str, ...]:
    """Return whether a decision may be taken, and why, in sentences."""
    now, stands, stop = time_of(ask.control.clock.now_us()), one.stands, one.stop
    if stop is not None:
        return words.off_by_person("its certificate is stopped", stop, time_of(stop.since_us), now)
    if stands.state == "certified":
        return (*words.certified(stands), words.watched(stands.audit))
    if stands.state == "off":
        return words.off_by_audit(stands.why, since(ask, stands, None), now)
    return words.collecting(stands)


def _point(spot: Spot, most: float) -> RiskPoint:
    return RiskPoint(
        threshold=spot.threshold,
        passing=spot.automated,
        n=spot.n,
        wrong=spot.wrong,
        seen=spot.error if spot.error is not None and spot.error <= most else None,
        bound=spot.bound if spot.bound is not None and spot.bound <= most else None,
    )
