"""Releases keep to what was agreed with the producers of their data.

A source's contract is pinned when a release is built. While that release serves, a version of the
contract that breaks its consumers stops every other release of the service, until the service names
the version in `contract.accepts`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import msgspec
from sqlalchemy import Engine

from ..data.agreed import SourceContract, disagreements
from ..data.contract import Contract
from ..errors import DeclarationError, StoreError
from ..store.actions import list_actions
from ..store.data_versions import read_contracts, register_contract
from ..types import Clock
from .registry import SERVICE_FILE, PinnedContract, Release, champion_of

Contracts = Mapping[str, SourceContract]
"""Source -> the contract that it comes under."""


def pin_contracts(
    contracts: Contracts, engine: Engine, clock: Clock, by: str
) -> dict[str, PinnedContract]:
    """Keep contracts so that they can be read back, and return what pins them."""
    for contract in (source.contract for source in contracts.values()):
        register_contract(
            engine,
            clock,
            contract=contract.id,
            version=contract.version,
            digest=contract.digest,
            detail={"contract": msgspec.to_builtins(contract)},
            by=by,
        )
    return {
        source: PinnedContract(
            id=known.contract.id,
            version=known.contract.version,
            digest=known.contract.digest,
            table=known.table,
            fields=tuple(sorted(known.fields or ())),
        )
        for source, known in sorted(contracts.items())
    }


def check_agreed(
    service: str, contracts: Contracts, accepts: Collection[str], engine: Engine
) -> None:
    """Check that a service has agreed to its sources' contracts as they stand now.

    Raises:
        DeclarationError: A contract has changed in a way that breaks it since the release that
            serves was built, and it does not name the new version; a problem for each source.
        StoreError: What the serving release was built with cannot be read.
    """
    champion = champion_of(engine, service) if contracts else None
    if champion is None:
        return
    ids = {known.contract.id for known in contracts.values()}
    served = {
        source: SourceContract(read_pinned(engine, pin), pin.table)
        for source, pin in champion.manifest.contracts.items()
        if source in contracts or pin.id in ids
    }
    problems = disagreements(served, contracts, accepts, f"services/{service}/{SERVICE_FILE}")
    if problems:
        raise DeclarationError("\n".join(map(str, problems)), problems)


def check_promotion(
    release: Release, contracts_now: Callable[[], Contracts], engine: Engine
) -> None:
    """Check a release against the contracts of its sources as they stand now, before it serves.

    A release that has served before is a way back, and nothing holds it up.

    Args:
        release: What is to serve.
        contracts_now: Gives the contracts of all sources as they stand; it is slow, and asked only
            where the release has some.
        engine: The state database.

    Raises:
        DeclarationError: It has not agreed to one of them.
    """
    pins = release.manifest.contracts
    if not pins or list_actions(engine, action="release.promote", subject=release.id):
        return
    now = {}
    for name, found in contracts_now().items():
        pin = _pin_of(name, found, pins)
        if pin is not None:
            now[name] = msgspec.structs.replace(found, fields=frozenset(pin.fields) or None)
    check_agreed(release.service, now, release.manifest.accepts, engine)


def _pin_of(
    source: str, found: SourceContract, pins: Mapping[str, PinnedContract]
) -> PinnedContract | None:
    """Return what a release was built with of a source, which may have been renamed since."""
    same = (pin for pin in pins.values() if (pin.id, pin.table) == (found.contract.id, found.table))
    return pins.get(source) or next(same, None)


def read_pinned(engine: Engine, pin: PinnedContract) -> Contract:
    """Return a contract as it was pinned.

    Raises:
        StoreError: It is no longer there.
    """
    for version in read_contracts(engine, pin.id):
        if version.digest == pin.digest:
            return msgspec.convert(version.detail["contract"], Contract)
    raise StoreError(
        f"the contract `{pin.id}@{pin.version}` that the serving release was built with is gone "
        "from the store; restore it from a backup"
    )
