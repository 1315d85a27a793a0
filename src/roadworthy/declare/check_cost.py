"""What `[cost]` promises together with itself: each check yields what does not fit."""

from __future__ import annotations

from .files import Findings
from .project import ProjectDeclaration
from .service import ServiceDeclaration
from .source import Finding


def loss_needs_a_value(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """Nothing is a loss where nobody says what an answer is worth."""
    cost = service.cost
    if cost.on_loss == "refuse" and cost.value_per_answer_usd is None:
        yield Finding(
            "cost.on_loss",
            "`alert`, as what an answer is worth is not declared",
            "`refuse`",
            "add `cost.value_per_answer_usd`",
        )


def trainings_have_a_price(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """How often it is trained says nothing of money where no training costs any."""
    cost = service.cost
    if cost.retrains_per_month and cost.retrain_usd is None:
        yield Finding(
            "cost.retrain_usd",
            "what one training costs, as `retrains_per_month` says how many there are",
            "none",
            "add `retrain_usd` to `[cost]`, or remove `retrains_per_month`",
        )


COST_CHECKS = (
    (loss_needs_a_value, ("cost",)),
    (trainings_have_a_price, ("cost",)),
)
