"""Which of a service's models is the cheapest, and which the strongest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..declare.routing import BETS, Routing
from ..types import CallSize
from .failover import Link

TYPICAL = CallSize(4_000, output_tokens=500)
"""By what a call of this size costs at most, prices are compared."""


class Ranking(NamedTuple):
    """The models of a chain.

    Attributes:
        cheaper: Names of those that are cheaper than the strongest, the cheapest first.
        strongest: What answers until something is certified, and what the others are held against.
        order: All names, from the safest to ask first to the last: the strongest leads.
    """

    cheaper: tuple[str, ...]
    strongest: str
    order: tuple[str, ...]


def rank(links: Sequence[Link], routing: Routing) -> Ranking:
    """Rank models: as the file lists them, cheapest first, unless their prices say otherwise.

    Where the declaration names a reference model, that is the strongest, whatever it costs: the
    dearest can be the worse one. What is dearer than it comes behind all others.
    """
    named = [link.name for link in by_price(links)]
    strongest = routing.reference if routing.reference in named else named[-1]
    place = named.index(strongest)
    cheaper, dearer = named[:place], named[place + 1 :]
    return Ranking(tuple(cheaper), strongest, (strongest, *reversed(cheaper), *dearer))


def by_price(links: Sequence[Link]) -> list[Link]:
    """Return models from the cheapest to the dearest; in their order where a price is unknown."""
    if any(link.meter.price is None and not link.is_free for link in links):
        return list(links)
    return sorted(links, key=lambda link: 0 if link.is_free else _typical_micro(link))


def _typical_micro(link: Link) -> int:
    return link.meter.worst_case_micro(TYPICAL.input_bytes, TYPICAL.output_tokens or 0)


def safest_first(links: Sequence[Link], routing: Routing) -> list[Link]:
    """Return the links as they are tried where no router says otherwise.

    Of a strategy that bets on cheaper models the strongest leads, so that whatever asks the chain
    without its router (`last_good` of the next release) keeps the promise too.
    """
    if routing.strategy not in BETS:
        return list(links)
    place = {name: at for at, name in enumerate(rank(links, routing).order)}
    return sorted(links, key=lambda link: place[link.name])
