"""The bounds of services, for pages: what computes with evidence is imported where one is declared.

It takes 100 ms and 25 MB, which a project without bounds does not pay.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import NotFound
from ..plugins import load_plugin
from ..serve.opened import OpenRelease
from ..store.certificates import certificate_in_force, read_certificate
from ..store.clock import time_of
from . import certificate_words as words
from .certificate_figures import CertificatePage, CertificateRow, Certificates
from .control import Ask


def is_bounded(release: OpenRelease) -> bool:
    """Whether a service promises how many of its answers may be wrong."""
    return release.desk is not None and release.desk.policy.max_error is not None


def bounded(ask: Ask) -> list[OpenRelease]:
    """Return what serves with a bound, of what the key sees."""
    opened = sorted(ask.control.engine.releases.items())
    return [release for name, release in opened if ask.sees(name) and is_bounded(release)]


def has_bounds(ask: Ask) -> bool:
    """Whether some service that the key sees declares a bound."""
    return bool(bounded(ask))


def certificate_rows(ask: Ask, opened: Sequence[OpenRelease]) -> dict[str, CertificateRow]:
    """Return how the automatic decision of each service with a bound stands, by service."""
    having = [release for release in opened if is_bounded(release)]
    rows: dict[str, CertificateRow] = {}
    if having:
        rows = load_plugin("review", "certificate_rows")(ask, having)
    return rows


def certificates_page(ask: Ask) -> Certificates:
    """Return every automatic decision that the key may see, the worst first."""
    rows = tuple(certificate_rows(ask, bounded(ask)).values())
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
    """Return one decision, named by its certificate or by its service.

    Raises:
        Forbidden: The key is limited to other services.
        NotFound: There is none, or its service has no bound.
    """
    page: CertificatePage = load_plugin("review", "certificate_page")(ask, service_of(ask, id))
    return page


def service_of(ask: Ask, id: str) -> OpenRelease:
    """Return the service of a certificate, or that of this name.

    Raises:
        Forbidden: The key is limited to other services.
        NotFound: There is none, or it has no bound.
    """
    found = read_certificate(ask.control.state, id)
    name = id if found is None else found.service
    ask.check_sees(name)
    release = ask.control.engine.releases.get(name)
    if release is None or not is_bounded(release):
        raise NotFound(f"no certificate `{id:.60}`, and no service of that name declares a bound")
    return release


def in_force(ask: Ask, service: str) -> str:
    """Return the certificate that holds for a service; an empty text where none does."""
    found = certificate_in_force(ask.control.state, service)
    return "" if found is None else found.id
