"""Which contracts the services of a project consume, and which of their fields."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from ..declare.project import ProjectDeclaration
from ..declare.schemas import is_contract, split_table
from ..declare.service import ServiceDeclaration
from .agreed import SourceContract
from .contract import Contract, Table
from .diff import Readers
from .odcs import load_contract
from .registered import load_sources
from .relations import Sources
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


def consumed_by(service: ServiceDeclaration, project: ProjectDeclaration) -> Iterator[Consumed]:
    """Yield every field that a service reads: of its input's contract, and through its views.

    A field decides what a service gets where it stands in a condition too, not only as a feature.

    Raises:
        DeclarationError: A contract or a view that it names has problems.
        MissingExtra: What reads contracts is not installed.
    """
    for contract, table in _asked(service, project):
        for field in table.fields:
            yield Consumed(service.name, contract.id, table.name, field.name)
    sources = load_sources(project) if service.features.views else {}
    fields = {path for view in _views(service, project, sources) for path in view.reads.everything}
    for path in sorted(fields):
        source, _, column = path.partition(".")
        read = sources[source]
        for field in read.table.fields:
            if column in (field.name, field.column):
                yield Consumed(service.name, read.contract.id, read.table.name, field.name, source)


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
    service: ServiceDeclaration, project: ProjectDeclaration
) -> dict[str, SourceContract]:
    """Return the contracts of the sources that a service's views read, by source.

    Raises:
        DeclarationError: A contract or a view that it names has problems.
        MissingExtra: What reads contracts is not installed.
    """
    if not service.features.views:
        return {}
    fields: dict[str, set[str]] = {}
    for one in consumed_by(service, project):
        if one.source:
            fields.setdefault(one.source, set()).add(one.field)
    return {
        name: SourceContract(found.contract, found.table, frozenset(fields[name]))
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


def _views(
    service: ServiceDeclaration, project: ProjectDeclaration, sources: Sources
) -> Iterator[View]:
    for view in service.features.views:
        file = f"{view.partition('@')[0]}.sql"
        yield load_view(project.folder / FOLDER / file, sources)


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
