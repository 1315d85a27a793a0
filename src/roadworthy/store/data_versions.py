"""What is remembered of data: views and contracts, validations, skew, saved training sets."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, Engine, Row, Table, delete, insert, select, update

from ..errors import DeclarationError, NotFound
from ..types import Clock
from .actions import append_action
from .tables import contract_versions, records, skew_reports, snapshots, validations, view_versions

V = TypeVar("V", "ViewVersion", "ContractVersion", "Validation", "SavedSkew", "SavedSnapshot")

D = TypeVar("D")

KEPT_SKEW_REPORTS = 200
"""Of each service the newest: more than a week of one an hour, each about 1 kB a feature."""

_encode = msgspec.json.Encoder(order="deterministic").encode


class ViewVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a feature view, as it was registered.

    Attributes:
        hash: Of its normalised SQL, its head and the contracts it reads; the same for ever.
        detail: Its file's text and what was known of it, as JSON values.
    """

    view: str
    version: int
    hash: str
    at_us: int
    by: str
    detail: dict[str, Any]


class ContractVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a contract, as it was registered.

    Attributes:
        contract: Its id.
        version: Its version, as its author counts.
        digest: SHA-256 of its file.
        detail: Its file's text and what was known of it, as JSON values.
    """

    contract: str
    version: str
    digest: str
    at_us: int
    by: str
    detail: dict[str, Any]


class Validation(msgspec.Struct, frozen=True, kw_only=True):
    """How one look at a source went.

    Attributes:
        source: The source's name in roadworthy.toml, or the file that was looked at.
        contract, version: What it was held to.
        is_kept: Whether every rule of severity `error` held.
        detail: The report: each rule with its count, as JSON values.
    """

    source: str
    at_us: int
    contract: str
    version: str
    rows: int
    failed_rows: int
    is_kept: bool
    detail: dict[str, Any]


class SavedSkew(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a service was served the features that its model was trained on, at one time.

    Attributes:
        detail: The report, as JSON values.
    """

    service: str
    at_us: int
    detail: dict[str, Any]


class SavedSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One saved training set.

    Attributes:
        detail: What it was made of, and where its rows are, as JSON values.
    """

    id: str
    at_us: int
    by: str
    rows: int
    detail: dict[str, Any]


def register_view(
    engine: Engine,
    clock: Clock,
    *,
    view: str,
    version: int,
    hash: str,
    detail: Mapping[str, Any],
    by: str,
) -> bool:
    """Register a version of a view, and return whether it is new.

    Raises:
        DeclarationError: This version is registered with other content.
    """
    here = select(view_versions.c.hash).where(
        view_versions.c.view == view, view_versions.c.version == version
    )
    with engine.begin() as connection:
        found = connection.execute(here).scalar()
        if found == hash:
            return False
        if found is not None:
            raise DeclarationError(
                f"{view}: expected version {version} as it was registered ({found[:12]}), got "
                f"changed content ({hash[:12]}) - features/{view}.sql; raise `version` to "
                f"{version + 1} or higher, or put back what was there"
            )
        row = {"view": view, "version": version, "hash": hash, "at_us": clock.now_us(), "by": by}
        connection.execute(insert(view_versions).values(row | {"detail": _text(detail)}))
        subject = f"{view}@{version}"
        append_action(connection, clock, by, "features.apply", subject, {"hash": hash})
    return True


def read_views(engine: Engine, view: str = "") -> list[ViewVersion]:
    """Return the registered versions of a view, or of all, by name and version."""
    query = select(view_versions).order_by(view_versions.c.view, view_versions.c.version)
    if view:
        query = query.where(view_versions.c.view == view)
    with engine.connect() as connection:
        return [_read(row, ViewVersion) for row in connection.execute(query)]


def register_contract(
    engine: Engine,
    clock: Clock,
    *,
    contract: str,
    version: str,
    digest: str,
    detail: Mapping[str, Any],
    by: str,
) -> bool:
    """Register what a contract is in this version, and return whether that is new."""
    table = contract_versions
    same = (table.c.contract == contract, table.c.version == version, table.c.digest == digest)
    with engine.begin() as connection:
        if connection.execute(select(table.c.at_us).where(*same)).first() is not None:
            return False
        row = {"contract": contract, "version": version, "digest": digest, "at_us": clock.now_us()}
        connection.execute(insert(table).values(row | {"by": by, "detail": _text(detail)}))
        subject = f"{contract}@{version}"
        append_action(connection, clock, by, "contract.apply", subject, {"digest": digest})
    return True


def read_contracts(engine: Engine, contract: str = "") -> list[ContractVersion]:
    """Return the registered versions of a contract, or of all, by name and then oldest first."""
    table = contract_versions
    query = select(table).order_by(table.c.contract, table.c.at_us, table.c.version)
    if contract:
        query = query.where(table.c.contract == contract)
    with engine.connect() as connection:
        return [_read(row, ContractVersion) for row in connection.execute(query)]


def record_validation(engine: Engine, validation: Validation) -> None:
    """Remember how a look at a source went."""
    row = msgspec.structs.asdict(validation) | {"detail": _text(validation.detail)}
    with engine.begin() as connection:
        connection.execute(insert(validations).values(row))


def read_validations(
    engine: Engine, source: str = "", *, since_us: int = 0, limit: int = 100
) -> list[Validation]:
    """Return the newest validations of a source, or of all, newest first."""
    query = select(validations).where(validations.c.at_us >= since_us)
    if source:
        query = query.where(validations.c.source == source)
    newest = query.order_by(validations.c.at_us.desc(), validations.c.id.desc()).limit(limit)
    with engine.connect() as connection:
        return [_read(row, Validation) for row in connection.execute(newest)]


def record_skew(engine: Engine, saved: SavedSkew) -> None:
    """Remember how a service's features were, and forget what is older than the newest reports.

    An example whose request was forgotten while it was measured is left out.
    """
    row = msgspec.structs.asdict(saved) | {"detail": _text(saved.detail)}
    of_service = skew_reports.c.service == saved.service
    newest = (
        select(skew_reports.c.id)
        .where(of_service)
        .order_by(skew_reports.c.at_us.desc(), skew_reports.c.id.desc())
        .limit(KEPT_SKEW_REPORTS)
    )
    with engine.begin() as connection:
        connection.execute(insert(skew_reports).values(row))
        # From here on nobody else writes, so that `forget_examples` of a deletion met this report
        # or is seen by what it left.
        forget_examples(connection, _forgotten(connection, saved.detail))
        kept = connection.execute(newest).scalars().all()
        connection.execute(delete(skew_reports).where(of_service, skew_reports.c.id.not_in(kept)))


def forget_examples(connection: Connection, requests: Collection[str]) -> None:
    """Take the examples of these requests out of every report, with the values they were served."""
    if not requests:
        return
    table = skew_reports
    query = select(table.c.id, table.c.detail).where(table.c.detail.like('%"request":%'))
    for report, text in connection.execute(query).all():
        detail = msgspec.json.decode(text)
        for feature in detail.get("features", ()):
            examples = feature.get("examples", ())
            feature["examples"] = [e for e in examples if e["request"] not in requests]
        if (kept := _text(detail)) != text:
            connection.execute(update(table).where(table.c.id == report).values(detail=kept))


def _forgotten(connection: Connection, detail: Mapping[str, Any]) -> set[str]:
    """Return the requests of a report's examples whose records keep no features any more."""
    named = {e["request"] for row in detail.get("features", ()) for e in row.get("examples", ())}
    query = select(records.c.id, records.c.detail).where(records.c.id.in_(named))
    kept = connection.execute(query).all() if named else ()
    return {id for id, text in kept if msgspec.json.decode(text).get("features") is None}


def read_skew(engine: Engine, service: str, *, limit: int = 1) -> list[SavedSkew]:
    """Return how a service's features were when they were last measured, newest first."""
    newest = (
        select(skew_reports)
        .where(skew_reports.c.service == service)
        .order_by(skew_reports.c.at_us.desc(), skew_reports.c.id.desc())
        .limit(limit)
    )
    with engine.connect() as connection:
        return [_read(row, SavedSkew) for row in connection.execute(newest)]


def read_latest_skew(engine: Engine, services: Collection[str], kind: type[D]) -> dict[str, D]:
    """Return of each service's newest report what `kind` names, where there is one.

    A report holds about 1 kB a feature, of which a list of services needs 50 bytes.
    """
    return _latest(engine, skew_reports, "service", services, kind)


def read_latest_validations(
    engine: Engine, sources: Collection[str], kind: type[D]
) -> dict[str, D]:
    """Return of the newest look at each source what `kind` names of its report."""
    return _latest(engine, validations, "source", sources, kind)


def _latest(
    engine: Engine, table: Table, of: str, names: Collection[str], kind: type[D]
) -> dict[str, D]:
    newest = select(table.c.detail).order_by(table.c.at_us.desc(), table.c.id.desc()).limit(1)
    found, decode = dict[str, D](), msgspec.json.Decoder(kind).decode
    with engine.connect() as connection:
        for name in names:
            detail = connection.execute(newest.where(table.c[of] == name)).scalar()
            if detail is not None:
                found[name] = decode(detail)
    return found


def save_snapshot(engine: Engine, saved: SavedSnapshot) -> bool:
    """Remember a training set, and return whether it is new; the same one has the same id."""
    row = msgspec.structs.asdict(saved) | {"detail": _text(saved.detail)}
    with engine.begin() as connection:
        here = select(snapshots.c.id).where(snapshots.c.id == saved.id)
        if connection.execute(here).first() is not None:
            return False
        connection.execute(insert(snapshots).values(row))
    return True


def read_snapshot(engine: Engine, snapshot: str) -> SavedSnapshot:
    """Return one saved training set.

    Raises:
        NotFound: There is none of this id.
    """
    with engine.connect() as connection:
        here = select(snapshots).where(snapshots.c.id == snapshot)
        row = connection.execute(here).first()
    if row is None:
        raise NotFound(f"no snapshot `{snapshot:.80}`; `roadworthy features history --save` saves")
    return _read(row, SavedSnapshot)


def read_snapshots(engine: Engine, limit: int = 100) -> list[SavedSnapshot]:
    """Return the newest saved training sets, newest first."""
    query = select(snapshots).order_by(snapshots.c.at_us.desc(), snapshots.c.id).limit(limit)
    with engine.connect() as connection:
        return [_read(row, SavedSnapshot) for row in connection.execute(query)]


def _text(detail: Mapping[str, Any]) -> str:
    return _encode(dict(detail)).decode()


def _read(row: Row[Any], kind: type[V]) -> V:
    """Return a row as the value it was made from."""
    fields: dict[str, Any] = {name: row._mapping[name] for name in kind.__struct_fields__}
    fields["detail"] = msgspec.json.decode(fields["detail"])
    if "is_kept" in fields:
        fields["is_kept"] = bool(fields["is_kept"])
    return kind(**fields)
