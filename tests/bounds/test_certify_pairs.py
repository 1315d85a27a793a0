"""Certifying pairs: what counts, what comes into force, and what ends it."""

from __future__ import annotations

import numpy as np
import pytest
from wagers import START_US, Wagers, replaced

from roadworthy.bounds.certify import LEAST_SCORES
from roadworthy.bounds.progress import begin, see
from roadworthy.bounds.terms import read_terms
from roadworthy.store.actions import list_actions
from roadworthy.store.certificates import list_certificates, list_epochs, open_epoch_of
from roadworthy.store.switchboard import Switchboard
from roadworthy.types import DAY_US, Pair

RANKS = np.linspace(1, 0, 400)


def good_days(wagers: Wagers, days: int, *, first: int = 0, size: int = 400) -> None:
    """Let cheaper answers be right where the score is high."""
    ranks = np.linspace(1, 0, size)
    for day in range(first, first + days):
        wagers.day(day, ranks, (ranks > 0.3).astype(float))


def certified() -> Wagers:
    wagers = Wagers()
    good_days(wagers, 3)
    wagers.certify(4.1)
    assert wagers.certificate is not None
    return wagers


def test_it_collects_scores_before_it_knows_losses() -> None:
    wagers = Wagers()
    wagers.day(0, RANKS[: LEAST_SCORES - 1], np.ones(LEAST_SCORES - 1))
    assert "collects scores" in wagers.certify(2)
    assert open_epoch_of(wagers.state, "reply", "route") is None


def test_what_is_certified_is_in_force_at_once() -> None:
    wagers = certified()
    held = wagers.certificate
    assert held is not None
    within = wagers.within
    assert (within.certificate, within.threshold) == (held.id, held.threshold)
    assert (within.release, within.scorer, within.pairs_share) == ("rl_1", "gain_1", 1.0)
    assert within.audit_share == 0.5  # on probation
    assert 0.2 < held.threshold < 0.4
    assert (held.decision, held.max_error, held.state) == ("route", 0.05, "certified")


def test_each_pair_counts_once_however_often_the_job_runs() -> None:
    wagers = Wagers()
    good_days(wagers, 1)
    for hour in range(8):
        wagers.certify(1.1 + hour / 24)
    epoch = open_epoch_of(wagers.state, "reply", "route")
    assert epoch is not None
    assert '"picked":400' in epoch.state


def test_a_unit_counts_once_a_window() -> None:
    wagers = Wagers()
    wagers.day(0, RANKS, np.ones(400), units=["ada"] * 400)
    wagers.certify(1.1)
    epoch = open_epoch_of(wagers.state, "reply", "route")
    assert epoch is not None
    assert '"picked":1,' in epoch.state


def test_a_cached_answer_counts_once_ever() -> None:
    wagers = Wagers("reuse")
    for day in range(3):
        wagers.day(day, RANKS, np.ones(400), entries=[f"e{k % 7}" for k in range(400)])
    wagers.certify(3.1)
    epoch = open_epoch_of(wagers.state, "reply", "reuse")
    assert epoch is not None
    assert '"picked":7,' in epoch.state


def test_what_is_missing_counts_as_lost() -> None:
    wagers = Wagers()
    for day in range(3):
        wagers.day(day, RANKS, np.ones(400), is_known=lambda place: place % 5 != 0)
    wagers.certify(4)
    assert wagers.certificate is None
    epoch = open_epoch_of(wagers.state, "reply", "route")
    assert epoch is not None
    assert '"missing":240' in epoch.state


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("release", "rl_2"),
        ("scorer", "gain_2"),
        ("max_error", 0.04),
        ("sure", 0.95),
        ("of", "all"),
        ("audit_share", 0.1),
        ("reference", "larger"),
        ("lifetime", True),
    ],
)
def test_whatever_its_terms_name_ends_it_when_it_changes(field: str, value: object) -> None:
    wagers = certified()
    held = wagers.certificate
    assert held is not None
    wagers.change(**{field: value})
    wagers.certify(4.2)
    assert wagers.certificate is None
    assert wagers.within.threshold is None
    ended = list_certificates(wagers.state, "reply")[0]
    assert ended.state == "ended"
    assert field in ended.why_ended


def test_no_pair_from_before_is_evidence_in_the_next_epoch() -> None:
    wagers = certified()
    wagers.change(max_error=0.06)
    wagers.certify(4.2)
    epoch = open_epoch_of(wagers.state, "reply", "route")
    assert epoch is not None
    assert read_terms(epoch.terms).from_us >= START_US + 4.2 * DAY_US


def test_a_broken_bound_is_switched_off_within_the_turn_of_the_job() -> None:
    wagers = certified()
    for day in (5, 6, 7):
        wagers.day(day, RANKS, np.zeros(400))  # every cheaper answer is worse now
        said = wagers.certify(day + 0.99)
        if "switched off" in said:
            break
    assert wagers.within.threshold is None
    assert wagers.certificate is None
    (alarm,) = wagers.alarms
    assert alarm["decision"] == "route"
    assert alarm["wrong"] > 0
    last = list_certificates(wagers.state, "reply")[0]
    assert last.state == "off"
    assert "promised were at most 5.0%" in last.why_ended


def test_an_alarm_does_not_wait_for_a_window_to_end() -> None:
    wagers = certified()
    wagers.day(5, RANKS, np.zeros(400))
    assert "switched off" in wagers.certify(5.9)


def test_what_comes_after_an_alarm_is_new_evidence() -> None:
    wagers = certified()
    wagers.day(5, RANKS, np.zeros(400))
    wagers.certify(5.9)
    first, second = reversed(list_epochs(wagers.state, "reply", "route"))
    assert first.closed_at_us is not None
    assert second.number == 2
    assert read_terms(second.terms).from_us >= first.closed_at_us


def test_what_a_person_stopped_stays_stopped() -> None:
    wagers = Wagers(pairs_share=1.0)
    good_days(wagers, 1)
    wagers.certify(1.1)
    held = wagers.certificate
    assert held is not None
    board = Switchboard(wagers.state, wagers.clock)
    board.stop("reply", held.id, by="ada", reason="odd answers")
    board.close()
    good_days(wagers, 4, first=2)
    wagers.certify(7)
    assert wagers.certificate == replaced_audit(wagers, held.id)


def replaced_audit(wagers: Wagers, id: str) -> object:
    (found,) = [one for one in list_certificates(wagers.state, "reply") if one.id == id]
    return found


def test_a_looser_threshold_supersedes_a_stricter_one() -> None:
    wagers = Wagers(max_error=0.1)
    good_days(wagers, 1, size=260)
    wagers.certify(1.1)
    first = wagers.certificate
    assert first is not None
    good_days(wagers, 6, first=2)
    wagers.certify(9)
    second = wagers.certificate
    assert second is not None
    assert second.threshold < first.threshold
    issued = list(list_actions(wagers.state, action="certificate.issue"))
    assert issued[0].detail["supersedes"] == first.id


def test_more_is_audited_while_a_certificate_is_young() -> None:
    wagers = certified()
    assert wagers.within.audit_share == 0.5
    for day in range(5, 15):
        good_days(wagers, 1, first=day)
        wagers.certify(day + 1.1)
    assert wagers.within.audit_share < 0.1


def test_a_score_that_is_missing_passes_nowhere() -> None:
    wagers = Wagers()
    good_days(wagers, 1)
    wagers.within_now = wagers.within
    unknown = wagers.ask(START_US + DAY_US + 5, None, "ada", loss=1.0, known_at_us=1)
    assert unknown is not None
    wagers.add([replaced(unknown, id=f"pr_x{k}", unit=f"u{k}") for k in range(200)])
    wagers.certify(2.1)
    assert wagers.certificate is not None


def test_epochs_of_two_decisions_do_not_meddle() -> None:
    wagers = certified()
    wagers.change(decision="reuse", of="hits", reference="")
    assert "collects scores" in wagers.certify(4.2)
    wagers.change(decision="route", of="routed", reference="large")
    assert wagers.certificate is not None
    assert wagers.within.threshold is not None


def test_of_several_certificates_each_spends_less_where_sure_is_of_all() -> None:
    wagers = Wagers(lifetime=True)
    good_days(wagers, 1)
    wagers.certify(1.1)
    epoch = open_epoch_of(wagers.state, "reply", "route")
    assert epoch is not None
    assert read_terms(epoch.terms).level == pytest.approx(0.95)


def test_a_floor_pays_what_is_lost_from_what_is_gained() -> None:
    random = np.random.default_rng(3)
    floor, strict = Wagers(of="all"), Wagers(of="routed")
    for day in range(4):
        # The cheaper model is another, not a worse one: each is right where the other is not.
        quality, reference = (random.random((2, 400)) < 0.7).astype(float)
        for wagers in (floor, strict):
            wagers.day(day, RANKS, quality, reference)
    for wagers in (floor, strict):
        wagers.certify(5)
    assert floor.certificate is not None
    assert floor.certificate.detail["automated"] > 0.9
    assert strict.certificate is None


def test_a_floor_that_is_broken_is_noticed() -> None:
    wagers = Wagers(of="all")
    for day in range(4):
        wagers.day(day, RANKS, (RANKS > 0.3).astype(float))
        wagers.certify(day + 1.1)
    assert wagers.certificate is not None
    for day in range(5, 12):
        wagers.day(day, RANKS, np.zeros(400))
        if "switched off" in wagers.certify(day + 0.99):
            break
    assert wagers.within.threshold is None
    assert "95% of the reference's is kept" in wagers.alarms[0]["why"]


def test_what_is_seldom_compared_weighs_more() -> None:
    terms = read_terms(_terms_of(Wagers()))
    now = begin(terms)._replace(certified_us=START_US)
    given = [_pair(k, 0.9, 0.05, lost=1.0) for k in range(20)]
    rest = [_pair(k, 0.1, 1.0, lost=0.0) for k in range(20, 420)]
    now = see(now, [*given, *rest], 420, START_US + 2 * DAY_US, terms)
    assert now.error(terms)[-1] == pytest.approx(0.5)
    assert now.wrong[-1] == 20


def _terms_of(wagers: Wagers) -> str:
    good_days(wagers, 1)
    wagers.certify(1.1)
    epoch = open_epoch_of(wagers.state, "reply", "route")
    assert epoch is not None
    return epoch.terms


def _pair(number: int, score: float, share: float, lost: float) -> Pair:
    known = {"loss": lost, "known_at_us": START_US, "quality": 1 - lost, "reference_quality": 1.0}
    pair = Pair(
        id=f"pr_{number}",
        at_us=START_US,
        decision="route",
        service="reply",
        release="rl_1",
        request_id=f"rq_{number}",
        score=score,
        share=share,
    )
    return replaced(pair, **known)
