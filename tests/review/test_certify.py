"""A bound that is certified from outcomes, kept while it holds, and switched off when not."""

from __future__ import annotations

import math
import random
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select
from team import START_US, Team, replaced

from roadworthy.review import certify as job
from roadworthy.review import progress
from roadworthy.review.in_force import Work
from roadworthy.review.terms import id_of
from roadworthy.risk.coin import is_drawn
from roadworthy.store import certificates as store
from roadworthy.store.actions import list_actions, verify_chain
from roadworthy.store.certificates import list_certificates, list_epochs, open_epoch_of
from roadworthy.store.state import open_state
from roadworthy.store.switchboard import certificate_stop, move_pointer
from roadworthy.store.tables import epochs, releases, switchboard
from roadworthy.types import DAY_US

RANKS = np.random.default_rng


def a_day(seed: int, size: int = 300, most_wrong: float = 0.08) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and errors: the surer, the rarer is an error."""
    random = RANKS(seed)
    scores = random.random(size)
    return scores, random.random(size) < most_wrong * (1 - scores) ** 2


def certified_team(days: int = 4, **fields: Any) -> Team:
    team = Team(**fields)
    for day in range(days):
        team.day(day, *a_day(day))
        team.certify(day + 1)
    team.certify(days + 1)
    return team


def test_a_threshold_is_certified_and_in_force_at_once() -> None:
    team = certified_team()
    found, now = team.certificate, team.in_force
    assert found is not None
    assert (now.certificate, now.threshold) == (found.id, found.threshold)
    assert (now.release, now.scorer, now.audit_share) == ("rl_1", "own", 0.5)
    assert found.wrong / found.n <= found.bound <= found.max_error == 0.05
    assert found.detail["automated"] > 0.5
    assert list_actions(team.state, limit=1)[0].action == "certificate.issue"


def test_nothing_is_certified_before_there_are_scores_enough() -> None:
    team = Team()
    team.day(0, *a_day(0, size=199))
    assert team.certify(5) == "late: collects scores"
    assert open_epoch_of(team.state, "late") is None


def test_only_windows_whose_outcomes_had_their_time_count() -> None:
    team = Team()
    team.day(0, *a_day(0))
    assert team.certify(1.99).endswith("0 units so far")
    assert team.certify(2).endswith("300 units so far")


def test_a_looser_threshold_supersedes_a_stricter_one() -> None:
    team = Team()
    for day in range(8):
        team.day(day, *a_day(day, size=100, most_wrong=0.2))
        team.certify(day + 1)
    team.certify(20)
    found = list_certificates(team.state, "late")
    assert len(found) > 1
    assert [one.state for one in found] == ["certified"] + ["superseded"] * (len(found) - 1)
    thresholds = [one.threshold for one in found]
    assert thresholds == sorted(thresholds)
    assert len({one.detail["since_us"] for one in found}) == 1


@settings(max_examples=8, deadline=None)
@given(st.lists(st.floats(0.95, 9), max_size=12))
def test_it_comes_to_the_same_whenever_it_runs(times: list[float]) -> None:
    rare, often = Team(), Team()
    for day in range(6):
        for team in rare, often:
            team.day(day, *a_day(day, size=220, most_wrong=0.3))
    rare.certify(0.95)
    for at in (0.95, *times, 9):  # also back and forth
        often.certify(at)
    rare.certify(9)
    (one,), (other,) = (list_epochs(team.state, "late") for team in (rare, often))
    assert (one.state, one.seen_us) == (other.state, other.seen_us)
    assert rare.in_force.threshold == often.in_force.threshold
    assert progress.read_progress(one.state).tally.picked == 1320


def test_a_clock_that_goes_back_counts_nothing_twice() -> None:
    team = certified_team()
    before = open_epoch_of(team.state, "late")
    team.certify(0.5)
    team.certify(3)
    team.certify(5)
    assert open_epoch_of(team.state, "late") == before


def test_a_run_that_is_killed_has_written_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    team = Team()
    for day in range(4):
        team.day(day, *a_day(day))
    team.certify(1)
    before = open_epoch_of(team.state, "late")

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("roadworthy.store.certificates.add_certificate", killed)
        with pytest.raises(KeyboardInterrupt):
            team.certify(6)
    assert open_epoch_of(team.state, "late") == before
    assert team.certificate is None
    assert team.in_force.certificate == ""
    team.certify(6)
    assert team.certificate is not None
    assert verify_chain(team.state).problem == ""


def test_of_two_runs_at_once_one_counts(tmp_path: Any) -> None:
    team = Team()
    team.state = open_state(f"sqlite:///{tmp_path}/state.db")
    team.work = Work(team.state, team.clock)
    for day in range(4):
        team.day(day, *a_day(day))
    team.clock.us = START_US + 6 * DAY_US
    said: list[str] = []
    threads = [
        threading.Thread(target=lambda: said.append(job.certify(team.work, team.subject)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(said) == 4
    assert len(list_epochs(team.state, "late")) == 1
    assert len(list_certificates(team.state, "late")) == 1
    (epoch,) = list_epochs(team.state, "late")
    assert progress.read_progress(epoch.state).tally.picked == 1200
    team.state.dispose()


def audited(team: Team, day: int, size: int, error: float, seed: int) -> None:
    """Add a day on which all is given alone, and half of it is audited."""
    now, random = team.in_force, RANKS(seed)
    begun = START_US + day * DAY_US
    drafts = []
    for k in range(size):
        draft = team.ask(
            begun + k, 0.99, f"a{day}-{k}", path="alone", share=0.5, certificate=now.certificate
        )
        drafts.append(replaced(draft, is_drawn=is_drawn(draft.request_id, 0.5)))
    team.add(drafts)
    wrong = random.random(size) < error
    said = zip(drafts, wrong, strict=True)
    team.say_all([(d, not bad, d.at_us + 1) for d, bad in said if d.is_drawn], source="audit")


def test_what_no_longer_holds_is_switched_off_by_itself() -> None:
    team = certified_team()
    before = team.certificate
    assert before is not None
    for day in range(5, 9):
        audited(team, day, 300, 0.3, day)
    said = team.certify(11)
    assert "switched off" in said
    now = team.in_force
    assert (now.certificate, now.threshold) == ("", None)
    (off,) = list_certificates(team.state, "late")
    assert (off.id, off.state) == (before.id, "off")
    assert "audits were wrong" in off.why_ended
    (alarm,) = team.alarms
    assert (alarm["certificate"], alarm["service"]) == (before.id, "late")
    assert alarm["wrong"] / alarm["audits"] > 0.1
    new, old = list_epochs(team.state, "late")
    assert old.why_closed.startswith("switched off")
    assert new.seen_us == new.opened_at_us == team.clock.us, "evidence from after the alarm only"
    assert list_actions(team.state, limit=1)[0].action == "certificate.off"


def test_an_alarm_tells_of_the_time_since_the_error_rose() -> None:
    team = certified_team()
    for day in range(5, 25):
        audited(team, day, 200, 0.01, day)
        team.certify(day + 1)
    for day in range(25, 29):
        audited(team, day, 200, 0.3, day)
    assert "switched off" in team.certify(31)
    (alarm,) = team.alarms
    assert alarm["audits"] < 300, "and not of the two thousand good ones before"
    assert alarm["wrong"] / alarm["audits"] > 0.15


def test_audits_that_are_as_good_as_promised_switch_nothing_off() -> None:
    team = certified_team()
    for day in range(5, 25):
        audited(team, day, 100, 0.02, day)
        team.certify(day + 1)
    assert team.certificate is not None
    assert team.certificate.audit["n"] > 500
    assert team.certificate.audit["delay_answers"] > 0


def test_missing_audits_raise_no_alarm_and_missing_labels_certify_nothing() -> None:
    team = certified_team()
    for day in range(5, 9):
        audited_day(team, day, silent=40, heard=60)
    team.certify(11)
    assert team.certificate is not None, "missing = right for the alarm"
    assert team.certificate.state == "certified"
    other = Team()
    for day in range(4):
        scores, _ = a_day(day)
        other.day(day, scores, np.zeros(300, bool), is_drawn=False)
        begun = START_US + day * DAY_US
        other.add([other.ask(begun + k, 0.9, f"x{day}-{k}") for k in range(100)])
    other.certify(6)
    assert other.certificate is None, "missing = wrong for certifying"


def audited_day(team: Team, day: int, *, silent: int, heard: int) -> None:
    """Add a day of answers given alone, of some of which nothing ever becomes known."""
    fields = {"path": "alone", "share": 1.0, "certificate": team.in_force.certificate}
    begun = START_US + day * DAY_US
    asked = [team.ask(begun + k, 0.99, f"m{day}-{k}", **fields) for k in range(silent + heard)]
    random.Random(day).shuffle(asked)
    team.add(asked)
    for draft in asked[:heard]:
        team.say(draft, True)


def test_where_most_audits_stay_silent_it_is_switched_off() -> None:
    team = certified_team()
    for day in range(5, 9):
        audited_day(team, day, silent=100, heard=40)
    team.certify(11)
    assert team.in_force.certificate == ""
    ended = list_certificates(team.state, "late")[0]
    assert ended.state == "off"
    assert "more had no outcome than had one: nobody audits" in ended.why_ended


def test_another_release_ends_what_was_certified() -> None:
    team = certified_team()
    team.change(release="rl_2")
    team.certify(6)
    assert team.in_force.certificate == ""
    (ended,) = list_certificates(team.state, "late")
    assert (ended.state, ended.why_ended) == ("ended", 'release was "rl_1", is "rl_2"')
    assert list_epochs(team.state, "late")[0].why_closed == ended.why_ended


def test_evidence_of_one_release_lets_no_other_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    team = Team()
    for day in range(4):
        team.day(day, *a_day(day))
    team.certify(1)
    team.change(release="rl_2")
    # Another run advanced the epoch since this one looked, so that it was not closed.
    monkeypatch.setattr("roadworthy.store.certificates.close_epoch", lambda *_: False)
    team.certify(6)
    assert team.certificate is not None
    assert team.certificate.release == team.in_force.release == "rl_1"


def test_any_change_of_terms_opens_a_new_epoch_whose_evidence_begins_then() -> None:
    team = certified_team()
    policy = team.subject.policy.model_copy(update={"sure": 0.95})
    team.change(policy=policy)
    assert "0 units so far" in team.certify(6)
    new, old = list_epochs(team.state, "late")
    assert (old.why_closed, new.number) == ("sure was 0.9, is 0.95", 2)


def test_what_a_person_stopped_is_not_superseded() -> None:
    team = certified_team(days=3)
    held = team.certificate
    assert held is not None
    row = {"name": f"stop:late/{held.id}", "value": "{}", "epoch": 99}
    with team.state.begin() as connection:
        connection.execute(insert(switchboard).values(row))
    for day in range(5, 12):
        team.day(day, *a_day(day, most_wrong=0.01))
    team.certify(14)
    assert team.certificate == list_certificates(team.state, "late")[0]
    assert team.certificate is not None
    assert team.certificate.id == held.id


def test_what_a_person_stopped_stays_stopped_in_the_next_epoch() -> None:
    team = certified_team()
    held = team.certificate
    assert held is not None
    with team.state.begin() as connection:
        move_pointer(connection, certificate_stop("late", held.id), "{}")
    team.change(release="rl_2")
    for day in range(6, 10):
        team.day(day, *a_day(day))
        team.certify(day + 1)
    team.certify(11)
    assert team.certificate is not None
    assert team.certificate.release == "rl_2"
    assert store.is_stopped_by_a_person(team.state, "late", team.certificate.id)


def test_a_lever_that_is_pulled_while_the_job_runs_is_obeyed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    team = Team()
    for day in range(3):
        team.day(day, *a_day(day, size=150, most_wrong=0.2))
        team.certify(day + 1)
    while team.certificate is None:
        day += 1
        team.day(day, *a_day(day, size=150, most_wrong=0.2))
        team.certify(day + 2)
    before, advance = team.certificate, store.advance_epoch

    def stopped_meanwhile(connection: Any, *args: Any) -> bool:
        move_pointer(connection, certificate_stop("late", before.id), "{}")
        return advance(connection, *args)

    monkeypatch.setattr("roadworthy.store.certificates.advance_epoch", stopped_meanwhile)
    for later in range(day + 1, day + 9):
        team.day(later, *a_day(later, size=300, most_wrong=0.02))
    team.certify(day + 11)
    assert team.certificate is not None
    assert team.certificate.id == before.id


def test_every_declared_group_must_pass() -> None:
    team = Team(declared={"groups": ("size",)})
    other = Team()
    for day in range(6):
        scores, wrong = a_day(day)
        is_small = np.arange(len(scores)) % 5 == 0
        wrong = wrong | (is_small & (RANKS(day).random(len(scores)) < 0.25))
        begun = START_US + day * DAY_US
        for each in team, other:
            drafts = [
                each.ask(begun + k, float(score), f"{day}-{k}", groups=("s" if small else "b",))
                for k, (score, small) in enumerate(zip(scores, is_small, strict=True))
            ]
            each.add(drafts)
            said = zip(drafts, wrong, strict=True)
            each.say_all([(d, not bool(bad), d.at_us + 1) for d, bad in said])
    team.certify(8)
    other.certify(8)
    assert other.certificate is not None
    assert team.certificate is None, "the small ones are wrong too often"


def test_a_group_that_comes_later_takes_nothing_away_and_loosens_nothing() -> None:
    team = Team(declared={"groups": ("size",)})
    for day in range(4):
        team.day(day, *a_day(day, most_wrong=0.3), groups=("big",))
    team.certify(6)
    before = team.certificate
    assert before is not None
    assert before.threshold > 0.1
    for day in range(6, 12):
        team.day(day, *a_day(day, most_wrong=0.0), groups=("big",))
        team.day(day, np.full(3, 0.9), np.zeros(3, bool), ["x", "y", "z"], groups=("new",))
    team.certify(14)
    assert team.certificate is not None
    assert team.certificate.id == before.id


def test_a_group_that_comes_later_is_covered_once_it_has_passed() -> None:
    team = Team(declared={"groups": ("size",)})
    for day in range(4):
        team.day(day, *a_day(day, most_wrong=0.0), groups=("big",))
    team.certify(6)
    before = team.certificate
    assert before is not None
    assert list(team.in_force.groups or ()) == ["size=big"]
    for day in range(6, 12):
        team.day(day, *a_day(day, most_wrong=0.0), groups=("new",))
    team.certify(14)
    assert team.certificate is not None
    assert team.certificate.threshold == before.threshold
    assert list(team.in_force.groups or ()) == ["size=big", "size=new"]


@pytest.mark.parametrize("of", ["accepted", "all"])
def test_of_all_requests_more_may_pass(of: str) -> None:
    team = certified_team(policy={"of": of, "max_error": 0.02})
    assert team.certificate is not None
    assert team.certificate.detail["of"] == of
    if of == "all":
        assert team.certificate.n % 300 == 0, "all that were labelled"


@pytest.mark.parametrize(("error", "is_off"), [(0.09, False), (0.4, True)])
def test_a_bound_of_all_requests_is_audited_as_such(error: float, is_off: bool) -> None:
    """Of half that is given alone 9 % may be wrong where 5 % of all may."""
    team = certified_team(policy={"of": "all"})
    assert team.certificate is not None
    for day in range(5, 25):
        audited(team, day, 200, error, day)
        team.day(day, np.full(200, 0.01), np.zeros(200, bool))
        said = team.certify(day + 1)
        if "switched off" in said:
            break
    assert ("switched off" in said) == is_off


def test_lifetime_asks_more_of_each_epoch() -> None:
    once, lifetime = certified_team(), certified_team(policy={"lifetime": True})
    assert once.certificate is not None
    assert lifetime.certificate is not None
    assert lifetime.certificate.threshold >= once.certificate.threshold


def test_what_reviewers_miss_enters_the_bound() -> None:
    sharp, blunt = certified_team(), Team()
    blunt.plant(0, missed=30, found=10)
    for day in range(4):
        blunt.day(day, *a_day(day))
    blunt.certify(6)
    assert sharp.certificate is not None
    assert blunt.certificate is None or blunt.certificate.threshold > sharp.certificate.threshold
    keen = Team()
    keen.plant(0, missed=0, found=200)
    for day in range(4):
        keen.day(day, *a_day(day))
    keen.certify(6)
    assert keen.certificate is not None
    assert 0 < keen.certificate.detail["most_missed"] < 0.05


@pytest.mark.parametrize("wrong", [False, True])
def test_outcomes_of_one_class_only(wrong: bool) -> None:
    team = Team()
    for day in range(4):
        team.day(day, a_day(day)[0], np.full(300, wrong))
    team.certify(6)
    assert (team.certificate is None) == wrong


def test_constant_scores_are_one_threshold() -> None:
    team = Team()
    for day in range(4):
        team.day(day, np.full(300, 0.7), np.arange(300) % 50 == 0)
    team.certify(6)
    assert team.certificate is not None
    assert (team.certificate.threshold, team.certificate.n) == (0.7, 1200)


def test_unknown_scores_pass_nowhere() -> None:
    team = Team()
    for day in range(4):
        team.day(day, np.full(300, math.nan), np.zeros(300, bool))
    assert team.certify(6) == "late: collects scores"
    for day in range(6, 10):
        team.day(day, *a_day(day))
    team.certify(12)
    assert team.certificate is not None
    assert team.certificate.n <= 1200


def test_an_empty_service_collects() -> None:
    team = Team()
    assert team.certify(0) == "late: collects scores"
    assert team.in_force.threshold is None


def test_all_of_one_user_count_once_a_day() -> None:
    team = Team()
    for day in range(4):
        scores, _ = a_day(day)
        team.day(day, scores, np.zeros(300, bool), users=["ada"] * 300)
    assert team.certify(6).endswith("4 units so far")


def test_a_full_queue_is_asked_less_and_it_knows_nothing_of_outcomes() -> None:
    team = Team(policy={"capacity_per_day": 100})
    team.day(0, *a_day(0))
    team.certify(1.5)
    assert team.in_force.ask_share == pytest.approx(0.284, abs=0.01)
    team.certify(2.5)
    assert team.in_force.ask_share == 1.0, "no estimate of an empty day"


def test_audits_are_fewer_as_more_was_given_alone() -> None:
    team = certified_team()
    audited(team, 5, 1000, 0.0, 5)
    team.certify(6.1)
    assert team.in_force.audit_share == pytest.approx(0.1)
    audited(team, 6, 2000, 0.0, 6)
    team.certify(7.1)
    assert team.in_force.audit_share == 0.05


def test_unequal_chances_go_on_from_equal_ones() -> None:
    team = certified_team()
    before = team.certificate
    assert before is not None
    for day in range(5, 12):
        scores, wrong = a_day(day, size=600, most_wrong=0.01)
        begun = START_US + day * DAY_US
        drafts = []
        for k, score in enumerate(scores):
            is_alone = score >= before.threshold
            share = 0.2 if is_alone else 1.0
            draft = team.ask(
                begun + k,
                float(score),
                f"w{day}-{k}",
                path="alone" if is_alone else "person",
                share=share,
            )
            drafts.append(replaced(draft, is_drawn=is_drawn(draft.request_id, share)))
        team.add(drafts)
        said = zip(drafts, wrong, strict=True)
        team.say_all([(d, not bad, d.at_us + 1) for d, bad in said if d.is_drawn])
    team.certify(14)
    epoch = open_epoch_of(team.state, "late")
    assert epoch is not None
    found = progress.read_progress(epoch.state)
    assert found.strands[""].weights is not None
    assert found.strands[""].crossed[found.strands[""].counts.start :].all()
    assert progress.text_of(found) == epoch.state


def test_a_release_is_looked_for_from_when_it_was_built_on() -> None:
    team = Team()
    row = {"id": "rl_1", "service": "late", "manifest": "{}", "by": "up"}
    with team.state.begin() as connection:
        connection.execute(insert(releases).values(**row, created_at_us=START_US + DAY_US))
    team.day(0, *a_day(0))
    assert team.certify(0.5).endswith("0 units so far"), "the clock was set back since"
    other = Team()
    with other.state.begin() as connection:
        connection.execute(insert(releases).values(**row, created_at_us=START_US + DAY_US))
    other.day(0, *a_day(0))
    assert other.certify(3) == "late: collects scores"


def test_terms_are_what_the_id_is_of() -> None:
    team = certified_team()
    with team.state.connect() as connection:
        row = connection.execute(select(epochs)).one()
    assert row.id == id_of(row.terms)
