"""Which lines of a service ask for what chooses between models."""

from __future__ import annotations

from collections.abc import Iterator

from .service import ServiceDeclaration


def route_rules(service: ServiceDeclaration) -> Iterator[str]:
    """Give each rule with the model it leads to."""
    if service.routing.strategy == "rules":
        for index, rule in enumerate(service.routing.rules):
            yield f"routing.rules[{index}].use = {rule.use}"


def intents(service: ServiceDeclaration) -> Iterator[str]:
    """Give each intent that is told by its examples."""
    if service.routing.strategy == "intent" and service.routing.use is None:
        for index, intent in enumerate(service.routing.intents):
            yield f"routing.intents[{index}].name = {intent.name}"


def cascade(service: ServiceDeclaration) -> Iterator[str]:
    """Give the bound of a cascade."""
    if service.routing.strategy == "cascade":
        yield f"routing.strategy = cascade, routing.max_error = {service.routing.max_error}"


def asks_a_model(service: ServiceDeclaration) -> Iterator[str]:
    """Give the model that names intents."""
    if service.routing.strategy == "intent" and service.routing.use is not None:
        yield f"routing.use = {service.routing.use}"
