"""Requests that were asked for by others: together they spend no more than the first one may.

Whoever answers a request with the help of others (an agent and its sub-agents) names it to them as
`x-roadworthy-parent`. They then pay from what is left of its `cost.per_request_usd`, and must be
done by its deadline. Only the id of a request that was met here a moment ago, by the same key for
the same user, says so; any other text is a label.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from ..cost.prices import format_usd
from ..errors import BudgetExhausted, RequestError
from ..types import Caller, Clock

MOST_DEPTH = 16
"""Requests one below the other: an agent that asks itself for ever ends here."""
MOST_KNOWN = 100_000
"""Requests that are remembered; beyond it the oldest are forgotten, and are labels then."""
KEEP_S = 60.0
"""How long past its deadline a tree is known, so that what comes late is late, and not new."""


class Tree:
    """What one request and all that it asked for have spent and hold together.

    Args:
        root: The first request's id.
        ceiling_micro: The most that all may cost.
        deadline: Monotonic seconds by which all must be done.
    """

    __slots__ = ("ceiling_micro", "deadline", "held_micro", "root", "spent_micro")

    def __init__(self, root: str, ceiling_micro: int, deadline: float) -> None:
        self.root = root
        self.ceiling_micro = ceiling_micro
        self.deadline = deadline
        self.held_micro = 0
        self.spent_micro = 0

    @property
    def left_micro(self) -> int:
        """What another request of it may cost, at most."""
        return self.ceiling_micro - self.spent_micro - self.held_micro

    def refusal(self) -> BudgetExhausted:
        """Return the error of a request that what is left does not pay for."""
        advice = "raise `cost.per_request_usd` of its service"
        if self.held_micro:
            advice += " or wait for those at work to settle"
        return BudgetExhausted(
            f"budget of request `{self.root}` and what it asks for is spent:"
            f" {format_usd(self.spent_micro)} spent and {format_usd(self.held_micro)} held of"
            f" {format_usd(self.ceiling_micro)}; {advice}",
            scope=f"request:{self.root}",
            retry_after_s=1.0 if self.held_micro else None,
        )

    def hold(self, micro: int) -> None:
        """Set money of it aside."""
        self.held_micro += micro

    def settle(self, held_micro: int, cost_micro: int) -> None:
        """Count what was spent in the place of what was set aside."""
        self.held_micro -= held_micro
        self.spent_micro += cost_micro


class Place(NamedTuple):
    """Where a request stands in its tree, and whose it is."""

    tree: Tree
    depth: int
    key: str
    user: str


class Trees:
    """The requests of the last moments that others may name as their parent.

    No circle can be made of them: a request is given its id after its parent was named.

    Args:
        clock: Its monotonic time says when a tree is over.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._places: OrderedDict[str, Place] = OrderedDict()

    def find(self, caller: Caller) -> Place | None:
        """Return the place of the request that a caller names as its parent.

        None where the name is but a label: unknown, over for long, or somebody else's request.

        Raises:
            RequestError: There are too many requests one below the other.
        """
        parent = self._places.get(caller.parent)
        if parent is None or (parent.key, parent.user) != (caller.key.id, caller.user):
            return None
        if self._is_over(parent):
            return None
        if parent.depth >= MOST_DEPTH:
            raise RequestError(
                f"`parent`: expected at most {MOST_DEPTH} requests one below the other, got more",
                param="parent",
            )
        return parent

    def begin(self, id: str, caller: Caller, ceiling_micro: int, deadline: float) -> Tree:
        """Begin a tree with a request that others may ask more for."""
        tree = Tree(id, ceiling_micro, deadline)
        self._add(id, Place(tree, 1, caller.key.id, caller.user))
        return tree

    def join(self, id: str, parent: Place) -> None:
        """Put a request below the one that it names."""
        self._add(id, parent._replace(depth=parent.depth + 1))

    def __len__(self) -> int:
        """How many requests are remembered."""
        return len(self._places)

    def _add(self, id: str, place: Place) -> None:
        places = self._places
        places[id] = place
        while len(places) > 1:
            first = next(iter(places))
            if len(places) <= MOST_KNOWN and not self._is_over(places[first]):
                return
            del places[first]

    def _is_over(self, place: Place) -> bool:
        return self._clock.monotonic() > place.tree.deadline + KEEP_S
