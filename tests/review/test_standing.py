"""What is said of an automatic decision: the bound it keeps, or what it still needs."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from sqlalchemy import insert
from team import START_US, Team

from roadworthy.review.progress import MOST_GROUPS
from roadworthy.review.standing import standing_of
from roadworthy.store.standing import Standing
from roadworthy.store.tables import switchboard
from roadworthy.types import DAY_US


def standing(team: Team) -> Standing:
    found = standing_of(team.state, team.subject, team.clock.us)
    msgspec.json.encode(found)
    return found


def days(team: Team, count: int, error: float, size: int = 300, since: int = 0) -> None:
    for day in range(since, since + count):
        random = np.random.default_rng(day)
        scores = random.permutation(np.linspace(0, 1, size))
        team.day(day, scores, random.permutation(size) < error * size)
    team.certify(since + count + 1)


def test_before_there_are_scores_it_says_how_many_outcomes_it_takes_at_least() -> None:
    found = standing(Team())
    assert (found.state, found.n, found.bound, found.threshold) == ("collecting", 0, None, None)
    assert found.needed == 390, "78 without an error among the surest fifth"
    assert found.why.startswith("0 of 200 scores are there")


def test_what_is_needed_gets_less_as_outcomes_come() -> None:
    team = Team(policy={"max_error": 0.01})
    days(team, 3, 0.0)
    first = standing(team)
    days(team, 2, 0.0, since=3)
    second = standing(team)
    assert first.state == second.state == "collecting"
    assert first.needed is not None
    assert second.needed is not None
    assert first.needed > second.needed > 0
    assert first.needed_least is not None
    assert first.needed_least <= first.needed
    assert "more labelled units are needed, at" in second.why


def test_what_is_needed_is_about_what_it_takes() -> None:
    team = Team()
    days(team, 1, 0.0, size=220)
    needed = standing(team).needed
    assert needed is not None
    assert 100 < needed < 300
    days(team, 1, 0.0, size=needed + 10, since=1)
    assert standing(team).state == "certified"


def test_what_is_out_of_reach_is_said_with_what_is_in_reach() -> None:
    team = Team()
    days(team, 3, 0.12)
    found = standing(team)
    assert (found.state, found.needed) == ("collecting", None)
    assert "not reachable" in found.why
    assert "reachable: max_error >= 1" in found.why
    assert found.feasible == pytest.approx((1 - 0.12) / 0.95, abs=0.01)


def test_a_certificate_says_what_it_stands_on() -> None:
    team = Team()
    days(team, 3, 0.01)
    found = standing(team)
    assert (found.state, found.needed) == ("certified", 0)
    assert found.bound is not None
    assert found.error is not None
    assert found.error <= found.bound <= found.max_error
    assert (found.from_us, found.release) == (START_US, "rl_1")
    assert found.audit["delay_answers"] > found.audit["delay_audits"]
    assert [spot.n for spot in found.curve] == sorted(spot.n for spot in found.curve)


def test_what_a_person_stopped_is_off() -> None:
    team = Team()
    days(team, 3, 0.01)
    id = standing(team).certificate
    with team.state.begin() as connection:
        row = {"name": f"stop:late/{id}", "value": "{}", "epoch": 9}
        connection.execute(insert(switchboard).values(row))
    found = standing(team)
    assert (found.state, found.why) == ("off", f"a person stopped `{id}`")


def test_where_a_person_wants_to_be_asked_of_all_it_is_off() -> None:
    team = Team()
    days(team, 3, 0.01)
    with team.state.begin() as connection:
        connection.execute(insert(switchboard).values(name="ask:late", value="{}", epoch=9))
    assert standing(team).state == "off"


def test_missing_and_disputed_outcomes_are_shown() -> None:
    team = Team()
    days(team, 1, 0.0, size=200)
    begun = START_US + DAY_US
    silent = [team.ask(begun + k, 0.5, f"s{k}") for k in range(100)]
    argued = [team.ask(begun + 1000 + k, 0.5, f"d{k}") for k in range(100)]
    full = [team.ask(begun + 2000 + k, 0.5, f"f{k}", share=0.0) for k in range(100)]
    team.add(silent + argued + full)
    for draft in argued:
        team.say(draft, True, source="booking")
        team.say(draft, False, source="customer")
    team.certify(3)
    found = standing(team)
    assert (found.missing, found.disputed, found.uncovered) == (0.25, 0.25, 0.2)
    assert found.state == "collecting"


def test_a_group_that_holds_back_is_named() -> None:
    team = Team(declared={"groups": ("size",)})
    for day in range(2):
        begun = START_US + day * DAY_US
        drafts = [
            team.ask(begun + k, k / 400, f"{day}-{k}", groups=("small" if k % 20 == 0 else "big",))
            for k in range(400)
        ]
        team.add(drafts)
        team.say_all([(draft, True, draft.at_us + 1) for draft in drafts])
    team.certify(3)
    found = standing(team)
    assert found.why.startswith("size=small: ")
    assert found.needed is not None
    assert found.needed > 300
    assert set(found.groups) == {"size=small", "size=big"}


def test_a_field_of_too_many_values_is_no_group() -> None:
    team = Team(declared={"groups": ("size",)})
    begun = START_US
    count = MOST_GROUPS + 50
    drafts = [team.ask(begun + k, 0.5, f"{k}", groups=(str(k),)) for k in range(count)]
    team.add(drafts)
    team.say_all([(draft, True, draft.at_us + 1) for draft in drafts])
    team.certify(3)
    found = standing(team)
    assert (found.state, found.needed) == ("collecting", None)
    assert "groups are more than" in found.why


def test_reviewers_that_miss_everything_put_all_out_of_reach() -> None:
    team = Team()
    team.plant(0, missed=40, found=0)
    days(team, 3, 0.0)
    found = standing(team)
    assert found.needed is None
    assert "planted" in found.why
    assert found.most_missed == 1.0


def test_after_another_release_it_collects_anew() -> None:
    team = Team()
    days(team, 3, 0.01)
    team.change(release="rl_2")
    found = standing(team)
    assert (found.state, found.threshold, found.issued) == ("collecting", None, 1)


def test_where_the_queue_cannot_carry_the_bound_it_says_what_would_give() -> None:
    team = Team(policy={"capacity_per_day": 40})
    days(team, 3, 0.01)
    found = standing(team)
    assert found.state == "certified"
    assert found.capacity == {} or found.capacity["fits"]
    tight = Team(policy={"capacity_per_day": 10, "max_error": 0.002})
    days(tight, 3, 0.01)
    found = standing(tight)
    assert not found.capacity["fits"]
    assert found.capacity["more_reviews"] > 290
    assert 0.9 < found.capacity["overflow_share"] <= 1
    assert "more a day" in found.capacity["says"]
