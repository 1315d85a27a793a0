"""The ledger of a served project, beside what it stands on: the store, pointers, and the job."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from ..cost.ledger import Ledger, Reached
from ..errors import StoreError
from ..serve.opened import OpenRelease
from ..store.ceilings import note_reached, raised_by
from ..store.jobs import Job
from ..store.periods import month_of
from ..store.spending import read_spending, read_spending_between
from ..store.spool import Spool
from ..store.switchboard import Switchboard
from ..types import Clock, Hold

EVERY_S = 10
"""Seconds of the project's time between two looks at ceilings that were reached."""


class Books:
    """Keeps the ledger of a project that is served.

    Args:
        state: The database.
        clock: The project's time.
        spool: Where holds are written.
        drain: Brings into the database what waits in the spool.
        switchboard: Says which ceilings are raised for now.
        left: Holds that an earlier process did not settle.

    Attributes:
        ledger: The budgets.
    """

    def __init__(
        self,
        state: Engine,
        clock: Clock,
        spool: Spool,
        drain: Callable[[], object],
        switchboard: Switchboard,
        left: Sequence[Hold],
    ) -> None:
        self._state = state
        self._clock = clock
        self._drain = drain
        self._switchboard = switchboard
        self._knows_users = False
        append = spool.append
        self.ledger = Ledger(clock, append, self._spent_on, left, self._spent_in_month)
        self.raise_ceilings()

    def _spent_on(self, day_us: int) -> Mapping[str, int]:
        self._drain()
        return read_spending(self._state, day_us)

    def _spent_in_month(self, month_us: int) -> Mapping[str, int]:
        """Return what was spent in a month; of single users only where a service limits that."""
        self._drain()
        until_us, has_users = month_of(month_us)[1], self._knows_users
        return read_spending_between(self._state, month_us, until_us, has_users=has_users)

    def know_users(self, releases: Iterable[OpenRelease]) -> None:
        """Let the ledger know what users spent this month, once a release limits that."""
        ceilings = [release.user_ceiling for release in releases]
        if not self._knows_users and any(c and c.month_micro is not None for c in ceilings):
            self._knows_users = True
            self.ledger.renew()

    def raise_ceilings(self) -> None:
        """Take over which ceilings are raised."""
        self.ledger.raised = raised_by(self._switchboard, self._clock.now_us())

    def job(self) -> Job:
        """Return the job that writes reached ceilings into the audit chain for webhooks.

        Requests only note them, so that none waits for the store.
        """
        return Job("budgets", EVERY_S, self._tell_all)

    def _tell_all(self) -> str:
        reached = self.ledger.take_reached()
        try:
            told = sum([self._tell(each) for each in reached])
        except (SQLAlchemyError, StoreError):
            self.ledger.keep_reached(reached)  # what was written by now is not written twice
            raise
        return f"{told} ceilings told" if told else "no ceiling was reached"

    def _tell(self, reached: Reached) -> bool:
        kind, _, name = reached.scope.partition(":")
        detail = {
            "service": name if kind == "service" else "",
            "spent_micro": reached.spent_micro,
            "ceiling_micro": reached.top_micro,
            "key": reached.what,
        }
        return note_reached(
            self._state,
            self._clock,
            reached.scope,
            reached.period,
            reached.starts_us,
            is_spent=reached.is_spent,
            detail=detail,
        )
