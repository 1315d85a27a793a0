"""Which model is the cheapest, and which the strongest."""

from __future__ import annotations

from decimal import Decimal

from roadworthy.cost.prices import Meter, usd_per_million
from roadworthy.declare.routing import Routing
from roadworthy.serve.failover import Link
from roadworthy.serve.ranking import rank, safest_first
from roadworthy.testing import ScriptedModel

FREE = Meter(None, None, "free")
UNKNOWN = Meter(None, 10_000, "unknown")
BET = Routing(strategy="cascade", max_error=0.05)


def priced(usd: str) -> Meter:
    return Meter(usd_per_million(Decimal(usd), Decimal(usd)), None, "override")


def links(**meters: Meter) -> list[Link]:
    return [Link(model=ScriptedModel(n, ["x"]), meter=meter) for n, meter in meters.items()]


def test_the_order_of_the_file_counts_where_prices_say_nothing() -> None:
    for meters in ({"a": FREE, "b": FREE, "c": FREE}, {"a": priced("9"), "b": UNKNOWN}):
        found = rank(links(**meters), BET)
        *cheaper, strongest = meters
        assert (found.cheaper, found.strongest) == (tuple(cheaper), strongest)


def test_known_prices_say_otherwise() -> None:
    found = rank(links(dear=priced("10"), cheap=priced("0.1"), own=FREE), BET)
    assert (found.cheaper, found.strongest) == (("own", "cheap"), "dear")
    assert found.order == ("dear", "cheap", "own")


def test_a_named_reference_is_the_strongest_whatever_it_costs() -> None:
    routing = Routing(strategy="cascade", max_error=0.05, reference="middle")
    found = rank(links(cheap=FREE, middle=priced("1"), dearest=priced("10")), routing)
    assert (found.cheaper, found.strongest) == (("cheap",), "middle")
    assert found.order == ("middle", "cheap", "dearest")


def test_a_chain_that_bets_begins_with_the_strongest_also_without_its_router() -> None:
    chain = links(cheap=FREE, dear=FREE)
    assert [link.name for link in safest_first(chain, BET)] == ["dear", "cheap"]
    assert [link.name for link in safest_first(chain, Routing())] == ["cheap", "dear"]
