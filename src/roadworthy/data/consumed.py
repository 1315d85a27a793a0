"""Which contracts the services of a project consume, and which of their fields."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from sqlalchemy import Engine

from ..declare.project import ProjectDeclaration
from ..declare.schemas import is_contract, split_table
from ..declare.service import ServiceDeclaration
from ..errors import DeclarationError
from ..store.data_versions import read_views
from .agreed import SourceContract
from .contract import Contract, Table
from .diff import Readers
from .odcs import load_contract
from .registered import load_sources, registered_view
from .relations import Sources, SourceTable
from .views import FOLDER, View, load_view


class Consumed(NamedTuple):
    """One field that a service reads.

    Attributes:
        contract: The id of the contract that promises it.
        table, field: Where it is in that contract.
        source: The source of roadworthy.toml that it comes from; empty for a field of the input.
    """

    service: str
    contract: str
    table: str
    field: str
    source: str = ""


def consumed_by(
    service: ServiceDeclaration, project: ProjectDeclaration, engine: Engine | None = None
) -> Iterator[Consumed]:
    """Yield every field that a service reads: of its input's contract, and through its views.

    A field decides what a service gets where it stands in a condition too, not only as a feature.

    Args:
        service: Who reads.
        project: Its project.
        engine: The state database: a view that is registered is read as it is served. A file may
            have moved on; it counts for a view that is not registered, or without a database.

    Raises:
        DeclarationError: A contract or a view that it names has problems.
        MissingExtra: What reads contracts is not installed.
    """
    for contract, table in _asked(service, project):
        for field in table.fields:
            yield Consumed(service.name, contract.id, table.name, field.name)
    sources = load_sources(project) if service.features.views else {}
    views = [_view(name, project, sources, engine) for name in service.features.views]
    for path in sorted({path for view in views for path in view.reads.everything}):
        source, _, column = path.partition(".")
        read = _source(source, sources, views)
        for field in read.table.fields:
            if column in (field.name, field.column):
                yield Consumed(service.name, read.contract.id, read.table.name, field.name, source)


def _view(name: str, project: ProjectDeclaration, sources: Sources, engine: Engine | None) -> View:
    if engine is not None and _is_registered(name, engine):
        return registered_view(engine, name)
    return load_view(project.folder / FOLDER / f"{name.partition('@')[0]}.sql", sources)


def _is_registered(name: str, engine: Engine) -> bool:
    view, _, version = name.partition("@")
    return any(str(known.version) == version for known in read_views(engine, view))


def _source(name: str, sources: Sources, views: Iterable[View]) -> SourceTable:
    if name not in sources:
        reading = ", ".join(f"`{view.id}`" for view in views if name in view.sources)
        raise DeclarationError(
            f"sources.{name}: expected the source that {reading} reads, got none - "
            "roadworthy.toml; declare it again, or let a new version of the view read another"
        )
    return sources[name]


def asked_tables(service: ServiceDeclaration, project: ProjectDeclaration) -> list[Table]:
    """Return the tables that a service's input is held to; none where it has no contract.

    Raises:
        DeclarationError: The contract has problems.
        MissingExtra: What reads contracts is not installed.
    """
    return [table for _, table in _asked(service, project)]


def _asked(
    service: ServiceDeclaration, project: ProjectDeclaration
) -> Iterator[tuple[Contract, Table]]:
    if service.contract.input and is_contract(service.contract.input):
        file, name = split_table(service.contract.input)
        contract = load_contract(service.folder / file, project.folder)
        for table in contract.tables if not name else filter(None, [contract.table(name)]):
            yield contract, table


def source_contracts(
    service: ServiceDeclaration, project: ProjectDeclaration, engine: Engine
) -> dict[str, SourceContract]:
    """Return the contracts of the sources that a service's views read, by source.

    Which fields are read is known of registered views. A view that is not registered yet may become
    another one: with it, every field of its sources counts.

    Raises:
        DeclarationError: A contract or a view that it names has problems.
        MissingExtra: What reads contracts is not installed.
    """
    views = service.features.views
    if not views:
        return {}
    fields: dict[str, set[str]] = {}
    for one in consumed_by(service, project, engine):
        if one.source:
            fields.setdefault(one.source, set()).add(one.field)
    is_known = all(_is_registered(name, engine) for name in views)
    return {
        name: SourceContract(
            found.contract, found.table, frozenset(fields[name]) if is_known else None
        )
        for name, found in contracts_of(project, fields).items()
    }


def contracts_of(
    project: ProjectDeclaration, sources: Collection[str]
) -> dict[str, SourceContract]:
    """Return the contracts of sources as they stand now; of a source that is gone, none.

    Raises:
        DeclarationError: A contract has problems.
        MissingExtra: What reads contracts is not installed.
    """
    return {
        name: SourceContract(source.contract, source.table.name)
        for name, source in load_sources(project).items()
        if name in sources
    }


def readers_of(contract: str, consumed: Iterable[Consumed]) -> Readers:
    """Return which services read each field of a contract, by `<table>.<field>`."""
    found: dict[str, set[str]] = {}
    for one in consumed:
        if one.contract == contract:
            found.setdefault(f"{one.table}.{one.field}", set()).add(one.service)
    return {path: tuple(sorted(services)) for path, services in found.items()}


def contracts_named(
    project: ProjectDeclaration, services: Iterable[ServiceDeclaration]
) -> Mapping[str, Contract]:
    """Return every contract that a project names, by its file relative to the project's folder.

    Raises:
        DeclarationError: One of them has problems.
        MissingExtra: What reads contracts is not installed.
    """
    paths = {project.folder / split_table(s.contract)[0] for s in project.sources.values()}
    for service in services:
        named = filter(None, (service.contract.input, service.contract.output))
        paths |= {service.folder / split_table(n)[0] for n in named if is_contract(n)}
    return {
        path.relative_to(project.folder).as_posix(): load_contract(path, project.folder)
        for path in sorted(paths)
    }
