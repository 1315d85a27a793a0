"""Joins what outcomes say to the pairs that wait for it."""

from __future__ import annotations

from ..declare.review import Outcomes
from ..store.pairs import read_said, read_waiting_pairs, write_known
from ..store.truth import Truth
from ..types import DAY_US
from .certify import Work
from .judging import judge

AT_A_TIME = 500
LOOKED_FOR_DAYS = 30
"""How long after its outcomes had their time a pair is still looked at, if no job ran meanwhile."""


def join(work: Work, service: str, outcomes: Outcomes) -> str:
    """Write how good both answers were of the pairs whose outcomes have had their time.

    What comes later does not count: nobody can choose, by when they say it, what counts.
    """
    schedule, now_us = outcomes.schedule, work.clock.now_us()
    truth, joined = Truth(outcomes.right), 0
    since_us = schedule.ripe_until(now_us) - LOOKED_FOR_DAYS * DAY_US
    ripe_us = schedule.ripe_until(now_us)
    after: tuple[int, str] = (since_us, "")
    while True:
        waiting = read_waiting_pairs(work.state, service, after, ripe_us, AT_A_TIME)
        ids = [id for pair in waiting for id in (pair.request_id, pair.audit_id) if id]
        said = read_said(work.state, ids)
        known = [judge(pair, said, truth, schedule) for pair in waiting]
        found = [one for one in known if one is not None]
        if found:
            with work.state.begin() as connection:
                write_known(connection, found)
        joined += len(found)
        if len(waiting) < AT_A_TIME:
            return f"{joined} pairs joined"
        after = (waiting[-1].at_us, waiting[-1].id)
