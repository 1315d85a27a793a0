"""The page of a source's contract: what changed, whom it breaks, and who has agreed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, get_args

import msgspec
from msgspec import Meta

from ..data.agreed import SourceContract, disagreements
from ..data.contract import Contract
from ..data.diff import Change, Diff, Party, diff
from ..errors import NotFound, RoadworthyError
from ..store.clock import time_of
from ..store.data_versions import ContractVersion, read_contracts
from . import data_words as words
from .control import Ask
from .data_figures import ChangeShown, ContractPage, ReaderShown, VersionShown
from .registered_views import ViewFacts, views_of
from .shapes import Given

DIGITS = 12
"""Of a digest, as links name a version."""


class ContractQuery(Given, frozen=True):
    """Which registered version the contract's file is held against."""

    old: Annotated[
        str,
        Meta(
            max_length=64,
            description="The first digits of its digest; by default the newest that differs.",
        ),
    ] = ""


class _Reader(msgspec.Struct, frozen=True):
    """A service that reads a source, with the columns that its views name."""

    name: str
    accepts: tuple[str, ...]
    columns: frozenset[str]


class _Compared(msgspec.Struct, frozen=True, kw_only=True):
    """A contract as its file stands now, held against a registered version.

    Attributes:
        source: The source that comes under it.
        problem: Why the file cannot be read.
        new: What it says; None where it cannot be read.
        known: The registered versions, newest first.
        old: The one it is held against; `then` is what that one says.
        found: What changed.
    """

    source: str
    problem: str
    new: SourceContract | None
    known: tuple[ContractVersion, ...]
    old: ContractVersion | None
    then: SourceContract | None
    found: Diff | None


def contract_page(ask: Ask, source: str, query: ContractQuery) -> ContractPage:
    """Return what the page of a source's contract shows.

    Raises:
        NotFound: There is no such source that the key may see, or no such registered version.
    """
    declared = ask.control.declaration.sources.get(source)
    views, readers = _readers(ask, source)
    if declared is None or (ask.key.services and not readers):
        raise NotFound(f"no source `{source:.80}` that key `{ask.key.id}` may see")
    compared = _compare(ask, source, views, query.old)
    new, found = compared.new, compared.found
    fields = {reader.name: _fields(reader, compared) for reader in readers}
    return ContractPage(
        says=_says(compared),
        as_of=time_of(ask.control.clock.now_us()),
        source=source,
        contract=compared.known[0].contract if new is None and compared.known else _id(new),
        file=declared.contract,
        problem=compared.problem,
        new=None if new is None else _version_of_file(new.contract, compared.known),
        old=None if compared.old is None else _version(compared.old),
        compatibility=found.compatibility if found else "",
        means=words.MEANS[found.compatibility] if found else "",
        changes=tuple(_change(change, _id(new), fields) for change in found.changes)
        if found
        else (),
        readers=tuple(_reader(reader, fields[reader.name], compared) for reader in readers),
        versions=tuple(map(_version, compared.known)),
    )


def _readers(ask: Ask, source: str) -> tuple[list[ViewFacts], list[_Reader]]:
    """Return the services that the key may see and whose views read a source, and those views."""
    found, readers = list[ViewFacts](), list[_Reader]()
    for name, release in sorted(ask.control.engine.releases.items()):
        declared = release.declaration
        if not ask.sees(name) or not declared.features.views:
            continue
        views = views_of(ask.control.state, declared.features.views).values()
        reading = [view for view in views if source in view.sources]
        if reading:
            found += reading
            accepts = tuple(a for a in declared.contract.accepts if a.startswith(f"{source}@"))
            readers.append(_Reader(name, accepts, _columns(reading, source)))
    return found, readers


def _columns(views: Iterable[ViewFacts], source: str) -> frozenset[str]:
    paths = frozenset[str]().union(*(view.fields for view in views))
    start = f"{source}."
    return frozenset(path.removeprefix(start) for path in paths if path.startswith(start))


def _compare(ask: Ask, source: str, views: Sequence[ViewFacts], wanted: str) -> _Compared:
    """Hold a contract's file against a registered version of it."""
    problem, new = "", None
    try:
        new = ask.control.contracts()[source]
    except RoadworthyError as error:
        problem = str(error)
    id = new.contract.id if new else _registered_id(source, views)
    known = tuple(read_contracts(ask.control.state, id)[::-1]) if id else ()
    old = _chosen(known, new, wanted)
    if new is None or old is None:
        then = found = None
    else:
        contract = msgspec.convert(old.detail["contract"], Contract)
        then = SourceContract(contract, new.table)
        found = diff(then.alone, new.alone)
    return _Compared(
        source=source, problem=problem, new=new, known=known, old=old, then=then, found=found
    )


def _registered_id(source: str, views: Iterable[ViewFacts]) -> str:
    """Return the id of the contract that views were registered with."""
    named = (view.contracts.get(source, "") for view in views)
    return next((name.rpartition("@")[0] for name in named if name), "")


def _chosen(
    known: Sequence[ContractVersion], new: SourceContract | None, wanted: str
) -> ContractVersion | None:
    """Return the version that is asked for; else the newest that the file is not.

    Raises:
        NotFound: None of the registered ones has this digest.
    """
    if wanted:
        for version in known:
            if version.digest.startswith(wanted):
                return version
        raise NotFound(f"no registered contract with the digest `{wanted:.64}`")
    digest = new.contract.digest if new else ""
    others = [version for version in known if version.digest != digest]
    return next(iter([*others, *known]), None)


def _says(compared: _Compared) -> str:
    new, old, found = compared.new, compared.old, compared.found
    if new is None:
        return f"The contract of {compared.source} cannot be read."
    version = new.contract.version
    if found is None or old is None:
        return words.contract(new.contract.id, version, 0, (), "")
    broken = [party for party in get_args(Party) if party in found.breaks]
    changes, is_same = len(found.changes), new.contract.digest == old.digest
    return words.contract(new.contract.id, version, changes, broken, old.version, is_same=is_same)


def _id(new: SourceContract | None) -> str:
    return new.contract.id if new else ""


def _version(version: ContractVersion) -> VersionShown:
    at = time_of(version.at_us)
    return VersionShown(
        version=version.version, digest=version.digest, registered_at=at, by=version.by
    )


def _version_of_file(contract: Contract, known: Iterable[ContractVersion]) -> VersionShown:
    for version in known:
        if version.digest == contract.digest:
            return _version(version)
    return VersionShown(version=contract.version, digest=contract.digest, registered_at=None, by="")


def _fields(reader: _Reader, compared: _Compared) -> tuple[str, ...]:
    """Return the fields of the contract, old or new, that a service reads."""
    names = {
        field.name
        for side in (compared.new, compared.then)
        if side is not None
        for table in side.alone.tables
        for field in table.fields
        if field.name in reader.columns or field.column in reader.columns
    }
    return tuple(sorted(names or reader.columns))


def _change(change: Change, id: str, fields: Mapping[str, Sequence[str]]) -> ChangeShown:
    # What is of the table or the whole contract concerns whoever reads any of it.
    readers = [name for name, read in fields.items() if not change.field or change.field in read]
    return ChangeShown(
        where=".".join(filter(None, (change.table, change.field))) or id,
        change=str(change).rpartition("` ")[2],
        breaks=change.breaks,
        read_by=tuple(readers),
    )


def _reader(reader: _Reader, fields: tuple[str, ...], compared: _Compared) -> ReaderShown:
    new, then, found = compared.new, compared.then, compared.found
    agrees, breaks = True, False
    if new is not None and then is not None and found is not None:
        now = SourceContract(new.contract, new.table, frozenset(fields))
        sides = {compared.source: then}, {compared.source: now}
        agrees = not disagreements(*sides, reader.accepts, "")
        breaks = bool(disagreements(*sides, (), ""))
    version = "" if new is None else new.contract.version
    return ReaderShown(
        service=reader.name,
        fields=fields,
        accepts=reader.accepts,
        agrees=agrees,
        says=words.reader(version, breaks=breaks, agrees=agrees) if new else "",
    )
