"""The bounds of services, for pages: what computes with evidence is imported where one is declared.

It takes 100 ms and 25 MB, which a project without bounds does not pay.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import NotFound
from ..plugins import load_plugin
from ..serve.opened import OpenRelease
from ..store.certificates import (
    ANSWER_ALONE,
    Decision,
    certificate_in_force,
    read_certificate,
)
from ..store.clock import time_of
from . import certificate_words as words
from .certificate_figures import CertificatePage, CertificateRow, Certificates
from .certificate_parts import worst_first
from .control import Ask
from .pair_certificates import bets_of, pair_decisions, pair_page, pair_row


def is_bounded(release: OpenRelease) -> bool:
    """Whether a service promises how many of its answers may be wrong."""
    return release.desk is not None and release.desk.policy.max_error is not None


def bounded(ask: Ask) -> list[OpenRelease]:
    """Return what serves with a bound of any kind, of what the key sees."""
    opened = sorted(ask.control.engine.releases.items())
    return [
        release
        for name, release in opened
        if ask.sees(name) and (is_bounded(release) or bets_of(release))
    ]


def has_bounds(ask: Ask) -> bool:
    """Whether some service that the key sees declares a bound."""
    return bool(bounded(ask))


def certificate_rows(ask: Ask, opened: Sequence[OpenRelease]) -> dict[str, CertificateRow]:
    """Return how it stands that each service with a bound answers alone, by service."""
    having = [release for release in opened if is_bounded(release)]
    rows: dict[str, CertificateRow] = {}
    if having:
        rows = load_plugin("review", "certificate_rows")(ask, having)
    return rows


def certificates_page(ask: Ask) -> Certificates:
    """Return every automatic decision that the key may see, the worst first."""
    having = bounded(ask)
    found = [*certificate_rows(ask, having).values()]
    found += [pair_row(ask, one) for release in having for one in pair_decisions(ask, release)]
    rows = tuple(sorted(found, key=worst_first))
    opened = sorted(ask.control.engine.releases.items())
    seen = [release for name, release in opened if ask.sees(name)]
    return Certificates(
        says=words.certificates(rows),
        lede=words.lede([row for row in rows if row.standing == "certified"]),
        as_of=time_of(ask.control.clock.now_us()),
        rows=rows,
        undeclared=tuple(release.name for release in seen if not is_bounded(release)),
    )


def certificate_page(ask: Ask, id: str) -> CertificatePage:
    """Return one decision, named by its certificate, its service, or both service and decision.

    Raises:
        Forbidden: The key is limited to other services.
        NotFound: There is none, or its service has no bound.
    """
    release, decision = decision_of(ask, id)
    if decision == ANSWER_ALONE:
        page: CertificatePage = load_plugin("review", "certificate_page")(ask, release)
        return page
    found = pair_decisions(ask, release)
    return pair_page(ask, next(one for one in found if one.stands.decision == decision))


def decision_of(ask: Ask, id: str) -> tuple[OpenRelease, Decision]:
    """Return the service and the decision of a certificate, or of a name like `reply:route`.

    A service's name alone is its first decision: to answer alone, where that has a bound.

    Raises:
        Forbidden: The key is limited to other services.
        NotFound: There is none, or it has no bound.
    """
    found = read_certificate(ask.control.state, id)
    name, _, decision = id.partition(":")
    if found is not None:
        name, decision = found.service, found.decision
    ask.check_sees(name)
    release = ask.control.engine.releases.get(name)
    declared = () if release is None else _decisions(release)
    if release is None or not declared or decision not in ("", *declared):
        raise NotFound(f"no certificate `{id:.60}`, and no service of that name declares a bound")
    chosen: Any = decision or declared[0]
    return release, chosen


def _decisions(release: OpenRelease) -> tuple[str, ...]:
    return ((ANSWER_ALONE,) if is_bounded(release) else ()) + bets_of(release)


def service_of(ask: Ask, id: str) -> OpenRelease:
    """Return the service of a certificate, or that of this name.

    Raises:
        Forbidden: The key is limited to other services.
        NotFound: There is none, or it has no bound of what it answers alone.
    """
    release, decision = decision_of(ask, id)
    if decision != ANSWER_ALONE:
        raise NotFound(f"`{release.name}` declares no bound of what it answers alone")
    return release


def in_force(ask: Ask, service: str, decision: Decision = ANSWER_ALONE) -> str:
    """Return the certificate that holds for a decision; an empty text where none does."""
    found = certificate_in_force(ask.control.state, service, decision)
    return "" if found is None else found.id
