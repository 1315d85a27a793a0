"""Routes of the pages about releases on their way: the same values as JSON."""

from __future__ import annotations

from ..evaluate.report import Report
from .control import Ask
from .evaluation_figures import EvaluationPage, EvaluationQuery, Evaluations, EvaluationsQuery
from .evaluation_page import evaluation_page, evaluations_page, report_of
from .route import Route


def routes() -> tuple[Route, ...]:
    """Return the route of each page."""
    return (
        Route("GET", "/api/services/{name}/evaluations", "read", read_evaluations),
        Route("GET", "/api/evaluations/{id}", "read", read_evaluation),
        Route("GET", "/api/evaluations/{id}/report", "read", read_evaluation_report),
    )


def read_evaluations(ask: Ask, name: str, query: EvaluationsQuery) -> Evaluations:
    """List the evaluations of a service, newest first."""
    ask.check_sees(name)
    return evaluations_page(ask, ask.service(name).name, query)


def read_evaluation(ask: Ask, id: str, query: EvaluationQuery) -> EvaluationPage:
    """Show one evaluation: its verdict, what was measured, and its worst cases."""
    return evaluation_page(ask, id, query)


def read_evaluation_report(ask: Ask, id: str) -> Report:
    """Give the whole report of an evaluation, with every case."""
    return report_of(ask, id)[1]
