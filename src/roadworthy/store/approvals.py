"""What people said of a release before it ships: who approved it, and which gates they waived."""

from __future__ import annotations

from typing import Literal, get_args

import msgspec
from sqlalchemy import Engine, delete, insert, select, update

from ..errors import Conflict, NotFound, RequestError
from ..types import Clock, Ids
from .actions import append_action
from .release_tables import approvals, waivers
from .switchboard import hold_pointers

Owner = Literal["product", "model", "platform"]
OWNERS: tuple[str, ...] = get_args(Owner)


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """That an owner lets a release ship.

    Attributes:
        owner: For which of the owners somebody spoke.
        by: Who did.
    """

    release: str
    owner: str
    service: str
    by: str
    note: str
    at_us: int


class Waiver(msgspec.Struct, frozen=True, kw_only=True):
    """That a release may ship although a gate does not hold, until a time."""

    id: str
    service: str
    release: str
    gate: str
    by: str
    reason: str
    at_us: int
    expires_us: int
    revoked_at_us: int | None = None

    def holds_at(self, now_us: int) -> bool:
        """Whether it counts at a time: one that is over, or was taken back, does not."""
        return self.revoked_at_us is None and now_us < self.expires_us


def add_approval(engine: Engine, clock: Clock, approval: Approval, *, must_differ: bool) -> None:
    """Write down that an owner approves a release, in the place of what was said for it before.

    Args:
        engine: The state database.
        clock: The project's time.
        approval: What is said, by whom.
        must_differ: Whether one person may not speak for two owners.

    Raises:
        RequestError: There is no such owner.
        Conflict: The same person spoke for another owner.
    """
    if approval.owner not in OWNERS:
        known = ", ".join(f"`{owner}`" for owner in OWNERS)
        raise RequestError(
            f"owner: expected one of {known}, got `{approval.owner:.40}`", param="owner"
        )
    is_it = (approvals.c.release == approval.release, approvals.c.owner == approval.owner)
    others = (
        approvals.c.release == approval.release,
        approvals.c.owner != approval.owner,
        approvals.c.by == approval.by,
    )
    with engine.begin() as connection:
        hold_pointers(connection)
        spoke_for = connection.execute(select(approvals.c.owner).where(*others)).scalar()
        if must_differ and spoke_for:
            raise Conflict(
                f"expected somebody else than `{approval.by}`, who approved `{approval.release}` "
                f"as `{spoke_for}`: a high-risk release needs three different people"
            )
        connection.execute(delete(approvals).where(*is_it))
        connection.execute(insert(approvals).values(**msgspec.structs.asdict(approval)))
        detail = {"service": approval.service, "owner": approval.owner, "reason": approval.note}
        append_action(connection, clock, approval.by, "release.approve", approval.release, detail)


def list_approvals(engine: Engine, release: str) -> tuple[Approval, ...]:
    """Return who approved a release, by owner."""
    query = select(approvals).where(approvals.c.release == release).order_by(approvals.c.owner)
    with engine.connect() as connection:
        return tuple(Approval(**row._mapping) for row in connection.execute(query))


def add_waiver(
    engine: Engine,
    clock: Clock,
    *,
    service: str,
    release: str,
    gate: str,
    by: str,
    reason: str,
    expires_us: int,
) -> Waiver:
    """Waive a gate for one release until a time, and return what was written down.

    Raises:
        RequestError: There is no reason, or the time is over.
    """
    now_us = clock.now_us()
    if not reason.strip():
        raise RequestError("reason: expected why the gate is waived, got none", param="reason")
    if expires_us <= now_us:
        raise RequestError(
            "expires: expected a time to come, got one that is over", param="expires"
        )
    waiver = Waiver(
        id=Ids(clock).new("wv"),
        service=service,
        release=release,
        gate=gate,
        by=by,
        reason=reason,
        at_us=now_us,
        expires_us=expires_us,
    )
    with engine.begin() as connection:
        connection.execute(insert(waivers).values(**msgspec.structs.asdict(waiver)))
        detail = {
            "service": service,
            "gate": gate,
            "reason": reason,
            "waiver": waiver.id,
            "expires_us": expires_us,
        }
        append_action(connection, clock, by, "release.waive", release, detail)
    return waiver


def revoke_waiver(engine: Engine, clock: Clock, id: str, *, by: str, reason: str = "") -> Waiver:
    """Let a waiver count no more, from now on.

    Raises:
        NotFound: There is none of this id, or it was taken back before.
    """
    now_us = clock.now_us()
    is_it = (waivers.c.id == id, waivers.c.revoked_at_us.is_(None))
    with engine.begin() as connection:
        done = update(waivers).where(*is_it).values(revoked_at_us=now_us)
        if connection.execute(done).rowcount != 1:
            raise NotFound(f"expected a waiver that counts, got `{id:.60}`")
        row = connection.execute(select(waivers).where(waivers.c.id == id)).one()
        found = Waiver(**row._mapping)
        detail = {"service": found.service, "gate": found.gate, "waiver": id, "reason": reason}
        append_action(connection, clock, by, "release.unwaive", found.release, detail)
    return found


def list_waivers(engine: Engine, release: str) -> tuple[Waiver, ...]:
    """Return every waiver of a release, newest first; those that count no more, too."""
    query = select(waivers).where(waivers.c.release == release)
    query = query.order_by(waivers.c.at_us.desc(), waivers.c.id.desc())
    with engine.connect() as connection:
        return tuple(Waiver(**row._mapping) for row in connection.execute(query))
