"""What was certified for a release comes back with it, and never what broke its promise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sqlalchemy import insert
from team import Team

from release_cases import a_release
from roadworthy.release.promotion import promote, roll_back
from roadworthy.release.registry import Release
from roadworthy.review import progress
from roadworthy.review.certify import certify
from roadworthy.store.actions import list_actions, verify_chain
from roadworthy.store.certificates import (
    end_certificate,
    list_certificates,
    list_epochs,
    open_epoch_of,
)
from roadworthy.store.switchboard import move_pointer, read_pointer
from roadworthy.store.tables import switchboard

DAYS = 4


class Shipped(Team):
    """A team of two releases: the first was certified."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        self.first, self.second = (self.release(content) for content in "ab")
        self.serve(self.first)
        promote(self.state, self.clock, self.first.id, by="ada")
        for day in range(DAYS):
            self.day(day, *a_day(day))
            self.certify(day + 1)
        self.certify(DAYS + 1)

    def release(self, content: str) -> Release:
        return a_release(self.state, self.clock, content, "late")

    def serve(self, release: Release) -> None:
        """Let jobs see what serves, as a server does a moment after it was moved."""
        self.change(release=release.id)

    def ship(self, release: Release) -> None:
        promote(self.state, self.clock, release.id, by="ada")
        self.serve(release)

    def go_back(self) -> None:
        self.serve(roll_back(self.state, self.clock, "late", by="bob", why="worse"))

    def pointer(self, name: str) -> str:
        with self.state.connect() as connection:
            return read_pointer(connection, f"{name}:late")


def a_day(seed: int, size: int = 300, most_wrong: float = 0.08) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    scores = random.random(size)
    return scores, random.random(size) < most_wrong * (1 - scores) ** 2


def test_another_release_is_not_trusted_from_its_first_request_on() -> None:
    team = Shipped()
    held = team.certificate
    assert held is not None
    team.ship(team.second)
    assert (team.in_force.certificate, team.in_force.threshold) == ("", None)
    (ended,) = list_certificates(team.state, "late")
    assert (ended.state, ended.why_ended) == ("ended", f"`{team.second.id}` serves instead")
    assert open_epoch_of(team.state, "late") is None


@pytest.mark.parametrize("looks", [0, 1, 5], ids=["no job ran", "one ran", "some ran"])
def test_what_was_certified_comes_back_in_the_same_moment(looks: int) -> None:
    team = Shipped()
    held, was, before = team.certificate, team.in_force, open_epoch_of(team.state, "late")
    team.ship(team.second)
    for k in range(looks):
        team.day(DAYS + 1 + k, *a_day(90 + k, most_wrong=0.5))
        team.certify(DAYS + 2 + k)
    team.go_back()
    assert team.certificate == held
    assert team.in_force == was
    assert open_epoch_of(team.state, "late") == before
    assert list_actions(team.state, action="certificate.restore", limit=1)
    assert verify_chain(team.state).problem == ""


def test_the_earlier_epoch_goes_on_and_counts_what_ripened_meanwhile() -> None:
    team = Shipped()
    team.day(DAYS, *a_day(70))  # its outcomes ripen while the other serves
    before = open_epoch_of(team.state, "late")
    assert before is not None
    picked = progress.read_progress(before.state).tally.picked
    team.ship(team.second)
    team.day(DAYS + 1, *a_day(71))
    team.certify(DAYS + 3)
    team.go_back()
    team.day(DAYS + 3, *a_day(72))
    team.certify(DAYS + 6)
    after = open_epoch_of(team.state, "late")
    assert after is not None
    assert after.id == before.id
    assert progress.read_progress(after.state).tally.picked == picked + 600
    assert len({epoch.id for epoch in list_epochs(team.state, "late")}) <= 2


def test_it_comes_to_the_same_as_if_it_had_never_been_away() -> None:
    away, stayed = Shipped(), Shipped()
    away.ship(away.second)
    away.go_back()
    for team in away, stayed:
        team.day(DAYS + 1, *a_day(71))
        team.certify(DAYS + 4)
    one, other = (open_epoch_of(team.state, "late") for team in (away, stayed))
    assert one is not None
    assert other is not None
    assert (one.id, one.state, one.seen_us) == (other.id, other.state, other.seen_us)


def test_both_releases_keep_their_own() -> None:
    team = Shipped()
    held = team.certificate
    team.ship(team.second)
    for day in range(DAYS + 1, 2 * DAYS + 1):
        team.day(day, *a_day(day))
        team.certify(day + 1)
    team.certify(2 * DAYS + 2)
    its_own = team.certificate
    assert held is not None
    assert its_own is not None
    assert its_own.release == team.second.id
    team.go_back()
    assert team.certificate == held
    team.ship(team.second)
    assert team.certificate == its_own
    assert team.in_force.certificate == its_own.id


def alarm(team: Shipped, day: int) -> None:
    """Let audits of what is given alone show that the bound is broken."""
    now = team.in_force
    fields: dict[str, Any] = {"path": "alone", "share": 1.0, "certificate": now.certificate}
    for k in range(4):
        team.day(day + k, np.full(300, 0.99), np.arange(300) % 3 == 0, **fields)
    team.certify(day + 6)


def test_what_its_audit_switched_off_stays_off() -> None:
    team = Shipped()
    alarm(team, DAYS + 1)
    off = list_certificates(team.state, "late")[0]
    assert off.state == "off"
    broken = next(e for e in list_epochs(team.state, "late") if e.id == off.epoch)
    team.ship(team.second)
    team.go_back()
    assert team.in_force.certificate == ""
    found = {epoch.id: epoch.closed_at_us for epoch in list_epochs(team.state, "late")}
    assert found[broken.id] == broken.closed_at_us
    assert list_certificates(team.state, "late")[0].state == "off"


def test_an_alarm_that_comes_with_the_change_is_not_undone_by_going_back() -> None:
    team = Shipped()
    held = team.certificate
    assert held is not None
    team.ship(team.second)
    with team.state.begin() as connection:
        end_certificate(connection, held.id, "off", 1, "too many were wrong")
    team.go_back()
    assert team.in_force.certificate == ""
    assert open_epoch_of(team.state, "late") is None
    team.certify(DAYS + 2)
    again = open_epoch_of(team.state, "late")
    assert again is not None
    assert again.id != held.epoch, "what comes now is new evidence"


def test_what_a_person_stopped_stays_stopped() -> None:
    team = Shipped()
    held = team.certificate
    assert held is not None
    row = {"name": f"stop:late/{held.id}", "value": "{}", "epoch": 99}
    with team.state.begin() as connection:
        connection.execute(insert(switchboard).values(row))
    team.ship(team.second)
    team.go_back()
    with team.state.connect() as connection:
        assert read_pointer(connection, f"stop:late/{held.id}") == "{}"


def test_what_was_learned_of_its_scores_comes_back() -> None:
    team = Shipped()
    with team.state.begin() as connection:
        for name in ("calibration", "scorer", "scope"):
            move_pointer(connection, f"{name}:late", f"{name} of the first")
    team.ship(team.second)
    with team.state.begin() as connection:
        for name in ("calibration", "scorer", "scope"):
            move_pointer(connection, f"{name}:late", f"{name} of the second")
    team.go_back()
    assert team.pointer("calibration") == "calibration of the first"
    assert team.pointer("scorer") == "scorer of the first"
    assert team.pointer("scope") == "scope of the first"


def test_a_run_that_began_before_the_change_closes_nothing() -> None:
    team = Shipped()
    held, was = team.certificate, team.in_force
    team.ship(team.second)
    stale = team.subject
    team.go_back()
    assert certify(team.work, stale) == "late: another release serves by now"
    assert team.certificate == held
    assert team.in_force == was
