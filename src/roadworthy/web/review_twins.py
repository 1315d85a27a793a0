"""Routes of the pages about reviews and certificates: the same values as JSON."""

from __future__ import annotations

from .bounds import certificate_page, certificates_page
from .calibration_page import calibration_page
from .case_page import case_page
from .certificate_figures import CalibrationPage, CertificatePage, Certificates
from .control import Ask
from .review_figures import CaseShown, QueuePage, ReviewerPage
from .review_page import QueueQuery, review_page
from .reviewers_page import reviewers_page
from .route import Route


def routes() -> tuple[Route, ...]:
    """Return the route of each page."""
    return (
        Route("GET", "/api/review/page", "review", read_queue_page),
        Route("GET", "/api/review/{id}/page", "review", read_case_page),
        Route("GET", "/api/reviewers/page", "review", read_reviewers_page),
        Route("GET", "/api/certificates", "read", read_certificates),
        Route("GET", "/api/certificates/{id}", "read", read_certificate),
        Route("GET", "/api/services/{name}/calibration", "read", read_calibration),
    )


def read_queue_page(ask: Ask, query: QueueQuery) -> QueuePage:
    """List the cases that wait for people, what is due first on top, and how each queue stands."""
    return review_page(ask, query)


def read_case_page(ask: Ask, id: str) -> CaseShown:
    """Show one case as whoever decides it sees it: question, answer, why, and what is alike."""
    return case_page(ask, id)


def read_reviewers_page(ask: Ask) -> ReviewerPage:
    """Show who decides, how much, and how alike; without the scope `admin`, only the asker."""
    return reviewers_page(ask)


def read_certificates(ask: Ask) -> Certificates:
    """List the automatic decisions: certified, still collecting evidence, or off."""
    return certificates_page(ask)


def read_certificate(ask: Ask, id: str) -> CertificatePage:
    """Show one decision, named by its certificate or its service, with the evidence of it."""
    return certificate_page(ask, id)


def read_calibration(ask: Ask, name: str) -> CalibrationPage:
    """Show how well a service's confidences agree with what came true."""
    return calibration_page(ask, ask.service(name))
