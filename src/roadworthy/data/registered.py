"""Which views and contracts a project has: read from its files, registered, and read back."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from sqlalchemy import Engine

from ..declare.project import ProjectDeclaration
from ..declare.schemas import split_table
from ..errors import DeclarationError, NotFound
from ..store.data_versions import (
    ViewVersion,
    read_contracts,
    read_views,
    register_contract,
    register_view,
)
from ..types import Clock
from .computed import check_computed
from .contract import Contract, Table
from .odcs import load_contract
from .relations import Sources, SourceTable
from .views import View, load_views, read_view
from .volume import check_volume


class Applied(msgspec.Struct, frozen=True):
    """A view as it is registered.

    Attributes:
        is_new: Whether this version was not registered before.
    """

    view: str
    hash: str
    is_new: bool
    entity: tuple[str, ...]
    features: tuple[str, ...]
    contracts: Mapping[str, str]


def load_sources(project: ProjectDeclaration) -> dict[str, SourceTable]:
    """Return the sources of roadworthy.toml with their contracts, by name.

    Raises:
        DeclarationError: A contract cannot be read or lacks the table; with every problem.
        MissingExtra: What reads contracts is not installed.
    """
    sources, contracts = {}, dict[str, Contract]()
    for name, declared in project.sources.items():
        file, table = split_table(declared.contract)
        if file not in contracts:
            contracts[file] = load_contract(project.folder / file, project.folder)
        contract = contracts[file]
        chosen = _table(name, contract, table, declared.contract)
        check_volume(name, declared.volume, chosen)
        sources[name] = SourceTable(
            name=name,
            contract=contract,
            table=chosen,
            url=_absolute(project.folder, declared.url),
            volume=declared.volume,
        )
    return sources


def _table(source: str, contract: Contract, name: str, declared: str) -> Table:
    found = contract.table(name) if name else None
    if found is None and not name and len(contract.tables) == 1:
        found = contract.tables[0]
    if found is None:
        there = ", ".join(f"`{table.name}`" for table in contract.tables) or "none"
        raise DeclarationError(
            f"sources.{source}.contract: expected one table of the contract, got `{declared}` - "
            f"roadworthy.toml; name one of {there} behind `#`"
        )
    return found


def _absolute(folder: Path, url: str) -> str:
    """Return where a source is; what the folder itself is called is never a pattern."""
    if url.startswith("sqlite:///"):
        return f"sqlite:///{folder / url.removeprefix('sqlite:///')}"
    if "://" in url:
        return url
    is_pattern = glob.has_magic(url) and not (folder / url).is_file() and "#" not in url
    return str(Path(glob.escape(str(folder))) / url if is_pattern else folder / url)


def apply_views(
    project: ProjectDeclaration, sources: Sources, engine: Engine, clock: Clock, *, by: str
) -> list[Applied]:
    """Check every view of the project and register its version, with the contracts behind it.

    Raises:
        DeclarationError: A file is wrong, a registered version has changed, or a computed feature
            differs between a request and training; nothing is registered then.
    """
    views = load_views(project.folder, sources)
    for view in views.values():
        check_computed(view)
    settled = [_settled(view, read_views(engine, view.name), sources) for view in views.values()]
    for source in sources.values():
        contract = source.contract
        register_contract(
            engine,
            clock,
            contract=contract.id,
            version=contract.version,
            digest=contract.digest,
            detail={"contract": msgspec.to_builtins(contract)},
            by=by,
        )
    return [_apply(view, engine, clock, by) for view in settled]


def _apply(view: View, engine: Engine, clock: Clock, by: str) -> Applied:
    is_new = register_view(
        engine,
        clock,
        view=view.name,
        version=view.version,
        hash=view.hash,
        detail={"view": msgspec.to_builtins(view)},
        by=by,
    )
    entity = tuple(column.name for column in view.entity)
    return Applied(view.id, view.hash, is_new, entity, view.names, view.contracts)


def _settled(view: View, known: Sequence[ViewVersion], sources: Sources) -> View:
    """Return a view under the hash that its version is registered with, if it means the same.

    Another version of the parser may spell a query in another way: then the text that was
    registered is read anew, and counts.

    Raises:
        DeclarationError: The version is registered, and meant something else.
    """
    for version in known:
        if version.version != view.version or version.hash == view.hash:
            continue
        then = version.detail["view"]
        is_same = then["fields_hash"] == view.fields_hash
        if not is_same or _hash_of(view.name, then["text"], sources) != view.hash:
            raise _changed(view, version)
        return msgspec.structs.replace(view, hash=version.hash)
    return view


def _hash_of(name: str, text: str, sources: Sources) -> str:
    try:
        return read_view(name, text, sources).hash
    except DeclarationError:
        return ""


def _changed(view: View, version: ViewVersion) -> DeclarationError:
    return DeclarationError(
        f"{view.name}: expected version {view.version} as it was registered ({version.hash[:12]}), "
        f"got changed content ({view.hash[:12]}) - features/{view.name}.sql; raise `version` to "
        f"{version.version + 1} or higher, or put back what was there"
    )


def registered_view(engine: Engine, name: str) -> View:
    """Return a view as it was registered: `weather_now@2`, or `weather_now` for the newest.

    It needs none of the packages that check a view.

    Raises:
        NotFound: There is no such version; the message lists those there are.
    """
    view, _, version = name.partition("@")
    known = read_views(engine, view)
    chosen = [v for v in known if not version or str(v.version) == version]
    if not chosen:
        there = ", ".join(f"`{v.view}@{v.version}`" for v in known or read_views(engine)) or "none"
        raise NotFound(
            f"no registered feature view `{name:.80}`; registered: {there}; `roadworthy features "
            "apply` registers those of `features/`"
        )
    return msgspec.convert(chosen[-1].detail["view"], View)


def newest_views(engine: Engine) -> list[View]:
    """Return the newest registered version of every view."""
    newest = {version.view: version for version in read_views(engine)}
    return [msgspec.convert(version.detail["view"], View) for version in newest.values()]


def registered_contract(engine: Engine, contract: str, version: str) -> Contract:
    """Return a contract as it was registered, its last wording if one version had several.

    Raises:
        NotFound: There is none of this version.
    """
    found = [v for v in read_contracts(engine, contract) if v.version == version]
    if not found:
        raise NotFound(f"no registered contract `{contract:.80}@{version:.80}`")
    return msgspec.convert(found[-1].detail["contract"], Contract)
