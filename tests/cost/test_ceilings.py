"""Which ceilings a request counts against, and that no name reaches into another's."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.cost.ceilings import Shared, service_ceilings, soft_of, user_ceiling
from roadworthy.declare.budgets import Budget, Budgets, ProviderBudget
from roadworthy.declare.service import Cost
from roadworthy.types import Key

NAMES = st.text(min_size=1, max_size=8) | st.sampled_from(
    ["a/b", "s/a", "a:b", "\x00", "é", "e\u0301"]
)
SERVICES = st.from_regex(r"[a-z][a-z0-9-]{0,4}[a-z0-9]", fullmatch=True)
WHOSE = (
    st.tuples(st.just("user"), SERVICES, NAMES)
    | st.tuples(st.sampled_from(["tag", "team", "key", "provider"]), st.just(""), NAMES)
    | st.tuples(st.just("service"), SERVICES, st.just(""))
    | st.just(("project", "", ""))
)


def usd(text: str) -> Decimal:
    return Decimal(text)


def scope_of(whose: tuple[str, str, str]) -> str:
    kind, service, name = whose
    if kind == "project":
        return (
            Shared(Budgets(project=Budget(per_day_usd=usd("1"))))
            .of(Key("k", "k", frozenset()), ())[0]
            .scope
        )
    if kind == "service":
        return service_ceilings(service, Cost(per_day_usd=usd("1")))[0].scope
    if kind == "user":
        ceiling = user_ceiling(service, Cost(per_user_per_day_usd=usd("1")))
        assert ceiling is not None
        return ceiling.scope + name
    if kind == "key":
        return Shared(Budgets()).of_key(Key(name, "k", frozenset()), 5).scope
    return f"{kind}:{name}"


@given(one=WHOSE, other=WHOSE)
def test_two_scopes_are_one_only_if_they_are_the_same_ones(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    assert (scope_of(one) == scope_of(other)) == (one == other)


def test_a_request_counts_in_its_key_team_tags_and_the_project() -> None:
    shared = Shared(
        Budgets(
            project=Budget(per_month_usd=usd("900")),
            teams={"care": Budget(per_day_usd=usd("5"), per_month_usd=usd("50"))},
            tags={"refund": Budget(per_day_usd=usd("2")), "vip": Budget(per_day_usd=usd("1"))},
            providers={"acme": ProviderBudget(per_day_usd=usd("9"))},
        )
    )
    key = Key("k1", "test", frozenset(), team="care", per_day_micro=7)
    found = shared.of(key, ("vip", "other", "refund", "vip"))
    assert [ceiling.scope for ceiling in found] == [
        "key:k1",
        "tag:refund",
        "tag:vip",
        "team:care",
        "project",
    ]
    team = found[3]
    assert (team.micro, team.month_micro) == (5_000_000, 50_000_000)
    assert (team.soft_micro, team.soft_month_micro) == (4_000_000, 40_000_000)
    assert team.month_what == "budgets.teams.care.per_month_usd"
    assert list(shared.providers) == ["provider:acme"]
    assert len(shared.declared) == 5


def test_a_limit_of_requests_alone_is_no_ceiling_of_money() -> None:
    shared = Shared(Budgets(teams={"care": Budget(requests_per_minute=5)}))
    assert shared.of(Key("k1", "test", frozenset(), team="care"), ()) == ()


@pytest.mark.parametrize(("share", "soft"), [(0.8, 800_000), (0.1, 100_000), (0.29, 290_000)])
def test_a_soft_share_is_what_was_written_not_what_a_float_makes_of_it(
    share: float, soft: int
) -> None:
    assert soft_of(1_000_000, share) == soft
