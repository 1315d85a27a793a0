"""Tells webhooks of acts: what the audit chain holds since they were told last.

The chain is written in the transaction of each act, so nothing that happened is missing there. How
far a webhook was told is a row of the switchboard, advanced in the transaction that queues.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any
from urllib.parse import quote

import msgspec
from sqlalchemy import Connection, Engine, Row, insert, select, update

from ..errors import StoreBusy
from ..types import Clock
from .actions import Action
from .deliveries import GIVE_UP_AFTER_US, queue_delivery
from .sequence import last_number
from .tables import actions, switchboard

_PAGE = 500


def tell_acts(engine: Engine, clock: Clock, webhook: str, events: Collection[str]) -> int:
    """Queue a notice of each new act that is one of `events`, and return how many there were.

    A webhook that is new is told of what happens from now on, not of the past.
    """
    last = last_number(engine, "actions")
    seen = _seen(engine, webhook, last)
    told = 0
    while seen < last:
        until = min(last, seen + _PAGE)
        new = (actions.c.seq > seen, actions.c.seq <= until, actions.c.action.in_(events))
        with engine.begin() as connection:
            _advance(connection, webhook, seen, until)
            query = select(actions).where(*new).order_by(actions.c.seq)
            for row in connection.execute(query).all():
                told += _tell(connection, clock, webhook, row)
        seen = until
    return told


def _tell(connection: Connection, clock: Clock, webhook: str, row: Row[Any]) -> int:
    act = Action(**{**row._mapping, "detail": msgspec.json.decode(row.detail)})
    facts = NOTICES.get(act.action)
    # A webhook that was away from the file for long is not told what nobody acts on any more.
    if facts is None or clock.now_us() - act.at_us >= GIVE_UP_AFTER_US:
        return 0
    payload = {**facts(act), "by": act.by}
    subject = str(payload.get("service") or act.subject)
    queue_delivery(connection, clock, webhook, act.action, subject, payload)
    return 1


def _seen(engine: Engine, webhook: str, last: int) -> int:
    """Return the number of the last act that a webhook was told; for a new one, of the last."""
    name = _cursor(webhook)
    with engine.begin() as connection:
        query = select(switchboard.c.value).where(switchboard.c.name == name)
        value: str | None = connection.execute(query).scalar()
        if value is not None:
            return int(value)
        connection.execute(insert(switchboard).values(name=name, value=str(last), epoch=0))
    return last


def _advance(connection: Connection, webhook: str, seen: int, until: int) -> None:
    """Take the acts up to `until`, unless another process has taken some of them."""
    here = (switchboard.c.name == _cursor(webhook), switchboard.c.value == str(seen))
    taken = connection.execute(update(switchboard).where(*here).values(value=str(until)))
    if not taken.rowcount:
        raise StoreBusy(f"another process tells webhook `{webhook}` of acts")


def _cursor(webhook: str) -> str:
    return f"webhook:{webhook}"


def _promoted(act: Action) -> dict[str, Any]:
    return {
        "service": str(act.detail.get("service", "")),
        "release": act.subject,
        "from": str(act.detail.get("from", "")),
        "link": f"/releases/{quote(act.subject, safe='')}",
    }


def _rejected(act: Action) -> dict[str, Any]:
    return {
        "service": str(act.detail.get("service", "")),
        "release": act.subject,
        "champion": str(act.detail.get("champion", "")),
        "why": str(act.detail.get("why", "")),
        "link": f"/releases/{quote(act.subject, safe='')}",
    }


def _certified(act: Action) -> dict[str, Any]:
    facts = {name: act.detail[name] for name in _OF_CERTIFICATE if name in act.detail}
    service = str(act.detail.get("service", ""))
    link = f"/services/{quote(service, safe='')}"
    return {**facts, "service": service, "certificate": act.subject, "link": link}


def _switched(act: Action) -> dict[str, Any]:
    service, _, part = act.subject.partition(":")[2].partition("/")
    is_certificate = part.startswith("ct_")
    return {
        "service": service,
        "model": "" if is_certificate else part,
        **({"certificate": part} if is_certificate else {}),
        "reason": str(act.detail.get("reason", "")),
        "link": f"/services/{quote(service, safe='')}",
    }


def _of_provider(act: Action) -> dict[str, Any]:
    provider, _, model = act.subject.partition("/")
    return {**act.detail, "provider": provider, "model": model, "link": "/providers"}


def _reached(act: Action) -> dict[str, Any]:
    facts = {name: act.detail[name] for name in _OF_CEILING if name in act.detail}
    return {**facts, "scope": act.subject, "link": "/budgets"}


def _lost(act: Action) -> dict[str, Any]:
    names = ("accepted", "per_accepted_micro", "value_micro", "total_micro", "days")
    facts = {name: act.detail[name] for name in names if name in act.detail}
    return {"service": act.subject, **facts, "link": "/costs"}


_OF_CEILING = ("service", "period", "spent_micro", "ceiling_micro", "key")
_OF_CERTIFICATE = ("max_error", "sure", "threshold", "n", "wrong", "audits", "why", "group")

NOTICES: Mapping[str, Callable[[Action], dict[str, Any]]] = {
    "budget.soft": _reached,
    "budget.spent": _reached,
    "certificate.issue": _certified,
    "certificate.off": _certified,
    "provider.down": _of_provider,
    "provider.up": _of_provider,
    "release.promote": _promoted,
    "release.rollback": _promoted,
    "release.reject": _rejected,
    "value.lost": _lost,
    "service.stop": _switched,
    "service.resume": _switched,
}
"""Act → what webhooks are told of it."""
