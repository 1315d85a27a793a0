"""The sentences of the routing page."""

from __future__ import annotations

from ..bounds.in_force import Within
from ..declare.routing import BETS, Routing
from . import numbers
from .routing_figures import Standing

HOW = {
    "first": "Models are asked in the order of the file.",
    "rules": "Rules choose the model that is asked first.",
    "intent": "What people want chooses the model that is asked first.",
}
WORDS = {"certified": "Certified", "collecting": "Collecting", "off": "Off", "none": ""}
LEAST = 20
"""Of fewer requests no share is said."""


def headline(routing: Routing, standing: Standing, strongest: str, cheaper: float | None) -> str:
    """Return what the page says first.

    >>> headline(Routing(), "none", "", None)
    'Models are asked in the order of the file.'
    """
    if routing.strategy not in BETS:
        return HOW[routing.strategy]
    if standing == "off":
        return f"Cheaper models are off: `{strongest}` answers everything."
    if standing == "collecting":
        return f"`{strongest}` answers everything until cheaper models are certified."
    if cheaper is None:
        return "Cheaper models answer where they are certified."
    return f"Cheaper models answer {numbers.share(cheaper)} of the requests, within their bound."


def promise(routing: Routing) -> tuple[str, ...]:
    """Return what is promised of cheaper models."""
    if routing.max_error is None or routing.strategy not in BETS:
        return ()
    most, sure = numbers.promised(routing.max_error), numbers.promised(routing.sure)
    against = (
        "outcomes say what is wrong"
        if routing.reference == "outcomes"
        else f"the answers of `{routing.reference}` count as right"
    )
    if routing.of == "routed":
        kept = f"Of the answers that a cheaper model gives, at most {most} are lost"
    else:
        kept = f"At most {most} of the strongest model's quality is lost over all requests"
    return (f"{kept}, {sure} sure; {against}.",)


def evidence(within: Within, standing: Standing, pairs: int, known: int) -> tuple[str, ...]:
    """Return how the evidence stands."""
    seen = f"{numbers.count(pairs)} questions were answered by both sides"
    if pairs and known < pairs:
        seen += f", and of {numbers.count(known)} it is known what was lost"
    if standing == "off":
        return (f"A person stopped it. {seen}.",)
    if standing == "certified":
        asked = f"{numbers.promised(within.audit_share)} of the cheaper answers are audited"
        return (f"Certified from score {within.threshold:.3f} on; {asked}. {seen}.",)
    if not pairs:
        return (f"No question was answered by both sides yet; {shares(within)}.",)
    return (f"{seen}; {shares(within)}.",)


def shares(within: Within) -> str:
    """Return how evidence comes about."""
    return f"{numbers.promised(within.pairs_share)} of the requests are asked of both, unseen"
