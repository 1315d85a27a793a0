"""The guard against poisoning holds the corrections of one hand, and those that are alike."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from roadworthy.improve.bursts import (
    ALIKE,
    ALIKE_LEAST,
    BURST_LEAST,
    BURST_SHARE,
    LONE_MOST,
    MOST_COMPARED,
    Correction,
    groups_of,
    held_by_day,
)


def corrections(*names: str, user: str = "") -> list[Correction]:
    """Return one correction a name, each of another input."""
    return [Correction(f"ex_{n}", by, user, {f"f{n}": n}) for n, by in enumerate(names)]


@given(st.lists(st.sampled_from("abc"), max_size=80))
def test_who_made_more_than_their_share_is_held_whole_and_nobody_else(names: list[str]) -> None:
    found = corrections(*names)
    held = {id for id, checks in held_by_day(found).items() if "burst" in checks}
    for name in set(names):
        mine = {one.id for one in found if one.by == name}
        is_burst = len(mine) >= BURST_LEAST and BURST_SHARE * len(names) < len(mine) < len(names)
        assert (mine <= held) if is_burst else not (mine & held)


@given(st.permutations(corrections(*"a" * 25, *"b" * 10)))
def test_the_order_makes_no_difference(found: list[Correction]) -> None:
    assert held_by_day(found) == held_by_day(corrections(*"a" * 25, *"b" * 10))


def test_who_works_alone_may_do_more() -> None:
    assert held_by_day(corrections(*["a"] * LONE_MOST)) == {}
    held = held_by_day(corrections(*["a"] * (LONE_MOST + 1)))
    assert len(held) == LONE_MOST + 1


def test_what_a_system_reports_is_no_burst_and_hides_none() -> None:
    reported = [Correction(f"ex_s{n}", "", "", {f"s{n}": n}) for n in range(LONE_MOST + 1)]
    assert held_by_day(reported) == {}
    held = held_by_day([*reported, *corrections(*"a" * 25, *"b" * 10)])
    assert len(held) == 25


def test_rounded_numbers_are_alike_and_others_are_not() -> None:
    same = [Correction(f"ex_{n}", f"k{n}", "", {"usd": 100 + n / 9}) for n in range(ALIKE_LEAST)]
    other = [Correction(f"ex_{n}", f"k{n}", "", {"usd": 2.0**n}) for n in range(ALIKE_LEAST)]
    assert len(held_by_day(same)) == ALIKE_LEAST
    assert held_by_day(other) == {}


def test_odd_inputs_are_compared_too() -> None:
    odd: list[Any] = [[], None, {"a": [1, {"b": None}]}, "", -(2**63), 1e308, True]
    assert held_by_day([Correction(f"ex_{n}", f"k{n}", "", v) for n, v in enumerate(odd)]) == {}


@given(st.lists(st.frozensets(st.sampled_from("abcdefg")), max_size=30))
def test_no_set_is_missed_that_is_alike(sets: list[frozenset[str]]) -> None:
    slow: list[list[int]] = []
    for n, found in enumerate(sets):
        group = next((g for g in slow if is_alike(sets[g[0]], found)), None)
        if group is None:
            slow.append([n])
        else:
            group.append(n)
    assert groups_of(sets) == slow


def is_alike(one: frozenset[str], other: frozenset[str]) -> bool:
    return len(one & other) >= ALIKE * len(one | other)


def test_what_is_too_much_to_compare_is_held() -> None:
    found = corrections(*map(str, range(MOST_COMPARED + 3)))
    held = held_by_day(found)
    assert len(held) == 3
    assert {why for checks in held.values() for why in checks.values()} == {
        "its day has 5003 corrections, of which 5000 are compared"
    }
