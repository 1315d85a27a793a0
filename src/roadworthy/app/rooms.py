"""What the rooms enforce, all together, and what one of them lends to another."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Engine

from .. import (
    bounds,
    cost,
    data,
    declare,
    evaluate,
    guard,
    models,
    observe,
    release,
    review,
    serve,
    signals,
    store,
)
from ..data.agreed import SourceContract
from ..data.contract import Contract
from ..declare.project import ProjectDeclaration
from ..declare.schemas import is_contract
from ..declare.service import ServiceDeclaration
from ..plugins import load_plugin
from ..types import Clock, Features, FeatureSource, Signals

ENFORCES: Mapping[str, str] = {
    key: where
    for room in (
        declare,
        store,
        data,
        models,
        guard,
        cost,
        observe,
        review,
        bounds,
        signals,
        evaluate,
        release,
        serve,
    )
    for key, where in room.ENFORCES.items()
}
"""Declared key → the file that enforces it; a key that no room names is refused at loading."""


def open_signals() -> Signals:
    """Return what reads texts on this machine; its packages are imported with the first use.

    Raises:
        DeclarationError: This package is not installed as it is now.
    """
    local: Signals = load_plugin("signals", "local")()
    return local


def source_contracts(
    service: ServiceDeclaration, project: ProjectDeclaration, state: Engine
) -> dict[str, SourceContract]:
    """Return the contracts of the sources that a service's views read, by source.

    Raises:
        DeclarationError: A contract or a view has problems.
        MissingExtra: What reads them is not installed.
    """
    if not service.features.views:
        return {}
    found: dict[str, SourceContract] = load_plugin("data", "source_contracts")(
        service, project, state
    )
    return found


def contracts_of(
    project: ProjectDeclaration, sources: Collection[str]
) -> dict[str, SourceContract]:
    """Return the contracts of these sources as they stand now.

    Raises:
        DeclarationError: A contract has problems.
        MissingExtra: What reads them is not installed.
    """
    found: dict[str, SourceContract] = load_plugin("data", "contracts_of")(project, sources)
    return found


def contracts_named(
    project: ProjectDeclaration, services: Collection[ServiceDeclaration]
) -> Mapping[str, Contract]:
    """Return every contract that a project names, by its file.

    Raises:
        DeclarationError: A contract has problems.
        MissingExtra: What reads them is not installed.
    """
    named = [service.contract.input or "" for service in services]
    named += [service.contract.output or "" for service in services]
    if not project.sources and not any(map(is_contract, named)):
        return {}
    found: Mapping[str, Contract] = load_plugin("data", "contracts_named")(project, services)
    return found


def open_features(project: ProjectDeclaration, state: Engine, clock: Clock) -> Features:
    """Return the feature views of a project; their packages are imported with the first use.

    Raises:
        MissingExtra: What reads them is not installed.
        StoreError: The online store cannot be opened.
    """
    opened: Features = load_plugin("features", "local")(project, state, clock)
    return opened


def open_declared_features(
    project: ProjectDeclaration, views: Sequence[str], input_fields: Sequence[str] | None
) -> FeatureSource:
    """Return what would give a service its features, to see whether the files fit each other.

    Raises:
        DeclarationError: They do not.
        MissingExtra: What reads them is not installed.
    """
    local = load_plugin("features", "local")
    source: FeatureSource = local.open_declared(project, views, input_fields)
    return source
