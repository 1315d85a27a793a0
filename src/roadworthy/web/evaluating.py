"""The act of evaluating a release over HTTP: the same as on the command line."""

from __future__ import annotations

import msgspec

from ..errors import DeclarationError
from ..evaluate.report import Verdict
from ..types import MICRO
from .control import Ask
from .route import Route


class EvaluationWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be evaluated.

    Attributes:
        release: Which release; empty for that which the working tree describes.
        against: What it is compared with: `champion`, `last_good`, a release, or nothing.
        suites: Other suites than those declared.
        repeats: How often each case is asked, in the place of what is declared.
        fresh: Whether everything is asked again, whatever is known.
    """

    release: str = ""
    against: str = ""
    suites: tuple[str, ...] = ()
    repeats: int | None = None
    fresh: bool = False


class EvaluationMade(msgspec.Struct, frozen=True):
    """How an evaluation ended; its report is stored.

    Attributes:
        needed: How many more cases would settle it, or repeats where `needs_repeats`; null where
            it is settled, or where no number would.
        asked, reused: Answers that were asked for, and that were known from before.
    """

    id: str
    service: str
    release: str
    baseline: str
    verdict: Verdict
    sentence: str
    needed: int | None
    needs_repeats: bool
    asked: int
    reused: int
    cost_usd: float
    notes: tuple[str, ...]


def evaluating_routes() -> tuple[Route, ...]:
    """Return the route of the act."""
    return (
        Route(
            "POST",
            "/api/services/{name}/evaluations",
            "release",
            evaluate_release,
            status=201,
            errors=(DeclarationError,),
        ),
    )


def evaluate_release(ask: Ask, name: str, body: EvaluationWanted) -> EvaluationMade:
    """Ask a release the cases of its suites, and say whether it keeps what the service promises."""
    ask.check_sees(name)
    report = ask.control.evaluate(
        name,
        release_id=body.release,
        against=body.against,
        by=ask.by,
        suites=body.suites,
        repeats=body.repeats,
        fresh=body.fresh,
    )
    return EvaluationMade(
        id=report.id,
        service=report.service,
        release=report.release,
        baseline=report.baseline,
        verdict=report.verdict,
        sentence=report.sentence,
        needed=report.needed,
        needs_repeats=report.needs_repeats,
        asked=report.asked,
        reused=report.reused,
        cost_usd=(report.cost_micro + report.scoring_cost_micro) / MICRO,
        notes=report.notes,
    )
