"""Which model is asked first: by rules, by what is wanted, or by what was learned."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ..declare.routing import Routing
from ..declare.service import ModelEntry, ServiceDeclaration
from ..errors import DeclarationError, MissingExtra
from ..plugins import load_plugin
from ..types import Clock, Judge, OpenSignals
from .asking import Asking
from .cascade import Cascade, SureEnough, held
from .cheaper import Learned
from .failover import Link
from .ranking import rank, safest_first
from .request import Router
from .rules import Rules
from .vectors import Questions, open_questions, variable_of


class Routed(NamedTuple):
    """What chooses between the models of a release.

    Attributes:
        router: None where the order of the file does.
        links: The models as they are tried where nothing else is said.
        judge: What an answer of theirs must pass.
        trouble: Why it does not choose as declared; empty where it does.
    """

    router: Router | None
    links: list[Link]
    judge: Judge
    trouble: str = ""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is not as declared, for each record and for `/healthz`."""
        return (self.trouble,) if self.trouble else ()


class Asked(NamedTuple):
    """What makes vectors of questions.

    Attributes:
        questions: None where nothing needs any, or nothing can make them.
        trouble: Why nothing can; empty where something can, or need not.
    """

    questions: Questions | None
    trouble: str = ""


def open_questions_of(service: ServiceDeclaration, open_signals: OpenSignals) -> Asked:
    """Return what makes vectors of questions, or None and why there is none although it is needed.

    Raises:
        MissingExtra: The embedder is not installed, and nothing is declared for that.
    """
    try:
        return Asked(open_questions(service, open_signals))
    except MissingExtra as missing:
        routing = service.routing
        what = f"`routing.strategy = {routing.strategy}` of `{service.name}`"
        said = MissingExtra(missing.extra, what)
        if service.cache.semantic is not None or not has_default(routing):
            raise said from missing
        return Asked(None, f"{said}; until then `{routing.default}` is asked first")


def has_default(routing: Routing) -> bool:
    """Whether a strategy says which model is asked where it cannot choose."""
    return routing.strategy == "intent" and routing.default is not None


def open_router(
    service: ServiceDeclaration,
    release_id: str,
    links: Sequence[Link],
    open_link: Callable[[ModelEntry], Link],
    judge: Judge,
    folder: Path,
    clock: Clock,
    asked: Asked,
) -> Routed:
    """Open what chooses between the models.

    Args:
        service: The declaration.
        release_id: Which release it is of.
        links: The models, in the order of the file.
        open_link: Opens a model that only names intents.
        judge: Says whether an answer may be shown.
        folder: Where the files lie that hold examples.
        clock: Where times come from.
        asked: What makes vectors of questions.

    Raises:
        DeclarationError: Intents cannot be told apart, or nothing is installed that compares them.
    """
    routing = service.routing
    if routing.strategy == "first":
        return Routed(None, list(links), judge)
    default = default_of(service)
    if routing.strategy == "rules":
        return Routed(Rules(routing, default, links, clock), list(links), judge)
    if routing.strategy == "intent":
        return _by_intent(service, links, open_link, judge, folder, clock, asked)
    ranking, ordered = rank(links, routing), safest_first(links, routing)
    if not ranking.cheaper:
        raise DeclarationError(
            f"routing.reference: expected a model that another one is cheaper than, got "
            f"`{ranking.strongest}`; list cheaper models before it"
        )
    if routing.strategy == "cascade":
        _check_prices(links)
        cascade = Cascade(service, release_id, ranking, clock)
        if service.kind == "generate":
            ordered = held(ordered, ranking)
        return Routed(cascade, ordered, SureEnough(judge))
    if asked.questions is None:  # `open_questions_of` raised before
        raise MissingExtra("embed", f"`routing.strategy = learned` of `{service.name}`")
    return Routed(Learned(service, release_id, ranking, clock, asked.questions), ordered, judge)


def _by_intent(
    service: ServiceDeclaration,
    links: Sequence[Link],
    open_link: Callable[[ModelEntry], Link],
    judge: Judge,
    folder: Path,
    clock: Clock,
    asked: Asked,
) -> Routed:
    routing, default = service.routing, default_of(service)
    if asked.trouble:
        router = Rules(routing, default, links, clock, why=asked.trouble)
        return Routed(router, list(links), judge, trouble=asked.trouble)
    examples = examples_of(routing, folder)
    if routing.use is None:
        open_intents = load_plugin("routing", "intents")
        router = open_intents(routing, examples, default, asked.questions)
        return Routed(router, list(links), judge)
    own = next((link for link in links if link.name == routing.use), None)
    asks = Asking(
        routing,
        examples,
        default,
        own or open_link(service.model_named(routing.use)),
        len(links),
        variable_of(service),
        clock,
        is_shared=own is not None,
    )
    return Routed(asks, list(links), judge)


def _check_prices(links: Sequence[Link]) -> None:
    """Refuse a cascade that could not afford its second step.

    What a try with an unknown price costs counts as all that a request may cost.

    Raises:
        DeclarationError: A price is unknown.
    """
    unknown = [link.name for link in links if link.meter.price is None and not link.is_free]
    if unknown:
        raise DeclarationError(
            f"routing.strategy: expected known prices for a cascade, got none for `{unknown[0]}`: "
            "after one answer of it nothing would be left of `cost.per_request_usd` for the next "
            "model; declare it as `prices` of its provider"
        )


def default_of(service: ServiceDeclaration) -> str:
    """Return the model that is asked first where nothing says which."""
    return service.routing.default or service.chain[0].name


def examples_of(routing: Routing, folder: Path) -> Mapping[str, tuple[str, ...]]:
    """Return how people say what they want, by intent: from the declaration and its files."""
    return {one.name: (*one.examples, *one.lines_of(folder)) for one in routing.intents}


def without_audits(router: Router | None) -> Router | None:
    """Return what chooses alike and compares nothing: for a rehearsal."""
    if router is None:
        return None
    other = copy.copy(router)
    other.audits = None
    return other
