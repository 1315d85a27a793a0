"""The gate of worth: an accepted answer of a release must cost less than it is worth."""

from __future__ import annotations

from ..cost.report import Yield
from ..cost.worth import DAYS, LEAST_ACCEPTED
from ..declare.service import ServiceDeclaration
from ..evaluate.report import Metric
from ..types import MICRO


def judge_worth(
    declared: ServiceDeclaration, metric: Metric | None, live: Yield | None
) -> tuple[str, str, float | None, float | None]:
    """Return how a release stands to it: state, why, what an accepted answer costs, and its worth.

    Its evaluation says what a request costs; what lately came of requests says how many of their
    answers are accepted, and what people, egress and training add to each. Without an evaluation,
    what serves speaks for it.

    Args:
        declared: What it declares.
        metric: What its evaluation says a request costs, in US dollars; None without.
        live: What the answers of what serves cost lately; None without any.
    """
    worth = declared.value_per_answer_usd
    if worth is None:
        return "holds", "what an answer is worth is not declared", None, None
    bar = float(worth)
    is_known = live is not None and live.accepted >= LEAST_ACCEPTED
    if metric is None or metric.value is None:
        return _of_what_serves(live if is_known else None, bar)
    share, beside = _of_each(live) if live is not None and is_known else (1.0, 0.0)
    low, value, high = (
        (metric.value if one is None else one) / share + beside
        for one in (metric.low, metric.value, metric.high)
    )
    state = "holds" if high <= bar else "fails" if low > bar else "inconclusive"
    why = f"an accepted answer costs ${value:,.4f} and is worth ${bar:,.4f}"
    if is_known:
        why += f": {share:.0%} of requests were accepted in the last {DAYS} days"
    return state, why, value, bar


def _of_each(live: Yield) -> tuple[float, float]:
    """Return the share of requests that were accepted, and what each costs beside its models."""
    share = live.accepted / live.requests if live.requests else 1.0
    return share, (live.total_micro - live.models_micro) / live.accepted / MICRO


def _of_what_serves(live: Yield | None, bar: float) -> tuple[str, str, float | None, float | None]:
    if live is None or live.per_accepted_micro is None:
        return "holds", f"too few answers in the last {DAYS} days to say", None, bar
    value = live.per_accepted_micro / MICRO
    why = f"an accepted answer cost ${value:,.4f} in the last {DAYS} days and is worth ${bar:,.4f}"
    return "fails" if live.is_lost else "holds", why, value, bar
