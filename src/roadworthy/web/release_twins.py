"""Routes of the pages about releases on their way: the same values as JSON."""

from __future__ import annotations

from ..errors import Conflict
from ..evaluate.report import Report
from .compare_page import compare_page
from .control import Ask
from .evaluation_figures import EvaluationPage, EvaluationQuery, Evaluations, EvaluationsQuery
from .evaluation_page import evaluation_page, evaluations_page, report_of
from .release_acts import (
    approve,
    freeze,
    measure_gates,
    replay_request,
    roll_back,
    stop_rollout,
    unfreeze,
    waive,
)
from .release_figures import ComparePage, CompareQuery, RolloutPage, Timeline, TimelineQuery
from .rollout_page import rollout_page
from .route import Route
from .timeline_page import timeline_page


def routes() -> tuple[Route, ...]:
    """Return the route of each page."""
    return (
        Route("GET", "/api/services/{name}/releases", "read", read_timeline),
        Route("GET", "/api/services/{name}/releases/compare", "read", read_comparison),
        Route("GET", "/api/services/{name}/rollout", "read", read_rollout),
        Route("GET", "/api/services/{name}/evaluations", "read", read_evaluations),
        Route("GET", "/api/evaluations/{id}", "read", read_evaluation),
        Route("GET", "/api/evaluations/{id}/report", "read", read_evaluation_report),
        Route("POST", "/api/services/{name}/rollback", "release", roll_back, errors=(Conflict,)),
        Route("POST", "/api/services/{name}/freeze", "release", freeze, errors=(Conflict,)),
        Route("POST", "/api/services/{name}/unfreeze", "release", unfreeze, errors=(Conflict,)),
        Route(
            "POST", "/api/services/{name}/rollout/stop", "release", stop_rollout, errors=(Conflict,)
        ),
        Route("POST", "/api/releases/{id}/gates", "release", measure_gates, errors=(Conflict,)),
        Route("POST", "/api/releases/{id}/approve", "release", approve, errors=(Conflict,)),
        Route("POST", "/api/releases/{id}/waive", "release", waive, errors=(Conflict,)),
        Route("POST", "/api/requests/{id}/replay", "release", replay_request, errors=(Conflict,)),
    )


def read_timeline(ask: Ask, name: str, query: TimelineQuery) -> Timeline:
    """Show which release of a service served when, who decided it, and what is on its way."""
    return timeline_page(ask, ask.known(name), query)


def read_comparison(ask: Ask, name: str, query: CompareQuery) -> ComparePage:
    """Show two releases side by side: may the second ship, and what differs in it."""
    return compare_page(ask, ask.known(name), query)


def read_rollout(ask: Ask, name: str) -> RolloutPage:
    """Show the newest rollout of a service: steps, evidence, what happens next."""
    return rollout_page(ask, ask.known(name))


def read_evaluations(ask: Ask, name: str, query: EvaluationsQuery) -> Evaluations:
    """List the evaluations of a service, newest first."""
    return evaluations_page(ask, ask.known(name), query)


def read_evaluation(ask: Ask, id: str, query: EvaluationQuery) -> EvaluationPage:
    """Show one evaluation: its verdict, what was measured, and its worst cases."""
    return evaluation_page(ask, id, query)


def read_evaluation_report(ask: Ask, id: str) -> Report:
    """Give the whole report of an evaluation, with every case."""
    return report_of(ask, id)[1]
