"""A suite that is like production: a stratified sample of what was asked.

Strata keep their share of the traffic, so that a mean over the cases is one over requests and no
case needs a weight. Which request of a stratum is taken is decided by a hash of what it asks, so
that the same requests and the same seed give the same suite, and nothing is in it twice.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Engine

from ..errors import RequestError
from ..evaluate.cases import Case
from ..store.state import reading
from .contracts import Contracts
from .requests import CaseMaker, Kept, LeftOut, kept_requests
from .said import read_asked

MOST_STRATA = 1_000
"""Beyond so many, requests of new strata are drawn together, as `others`."""
OTHERS = ("others",)
TAGS = "tags"
BY = (TAGS, "disposition", "role")
"""What strata may be told apart by, beside fields of the input."""
_INPUT = "input."

_encode = msgspec.json.Encoder(order="deterministic").encode

Stratum = tuple[str, ...]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a sample is to be.

    Attributes:
        n: How many cases.
        by: What strata are told apart by: `tags`, `disposition`, `role`, or `input.<field>`.
        seed: Another one gives another sample.
    """

    service: str
    since_us: int
    until_us: int
    n: int = 200
    by: tuple[str, ...] = (TAGS,)
    seed: int = 0


class Part(msgspec.Struct, frozen=True):
    """One stratum: its share of the requests, how many of them differ, and how many are taken."""

    stratum: tuple[str, ...]
    requests: int
    share: float
    different: int
    taken: int


class Sampled(msgspec.Struct, frozen=True, kw_only=True):
    """A suite that was sampled.

    Attributes:
        requests: How many it was drawn from.
        expected: How many of its cases say what is right.
        parts: Its strata, the largest first.
        personal: Fields that were left out.
        masked: Kind of pattern → how often it was masked.
    """

    cases: tuple[Case, ...]
    requests: int
    expected: int
    parts: tuple[Part, ...]
    left_out: LeftOut
    personal: tuple[str, ...]
    masked: Mapping[str, int]


class Drawn(NamedTuple):
    """A request that may become a case; the smallest `chance` of a stratum are taken."""

    chance: int
    request_id: str
    release: str


class Pool:
    """The requests of one stratum, of which the least chances stay.

    Args:
        most: How many stay at most.

    Attributes:
        requests: How many there were.
    """

    def __init__(self, most: int) -> None:
        self.requests = 0
        self._most = most
        self._heap: list[tuple[int, str, str]] = []
        self._chances: dict[int, str] = {}

    def add(self, drawn: Drawn) -> None:
        """Take a request up; one that asks what another did, the older stands for."""
        self.requests += 1
        if drawn.chance in self._chances:
            return
        entry = (-drawn.chance, drawn.request_id, drawn.release)
        if len(self._heap) < self._most:
            heapq.heappush(self._heap, entry)
        elif entry[0] <= self._heap[0][0]:
            return
        else:
            gone = heapq.heapreplace(self._heap, entry)
            del self._chances[-gone[0]]
        self._chances[drawn.chance] = drawn.request_id

    def __len__(self) -> int:
        """Return how many are there that could be taken."""
        return len(self._heap)

    def first(self, n: int) -> list[Drawn]:
        """Return the n with the least chances."""
        found = sorted(Drawn(-chance, id, release) for chance, id, release in self._heap)
        return found[:n]


def sample(state: Engine, contracts: Contracts, wanted: Wanted, champion: str = "") -> Sampled:
    """Draw a suite from what was asked in a span.

    Args:
        state: Has the requests.
        contracts: Gives what is personal in each release.
        wanted: What it is to be.
        champion: The release that serves: what it calls personal counts for older requests too.

    Raises:
        RequestError: Strata cannot be told apart by what is wanted.
    """
    _check_by(wanted.by)
    left_out = LeftOut()
    with reading(state) as connection:
        span = (wanted.service, wanted.since_us, wanted.until_us)
        requests = kept_requests(connection, contracts, *span, left_out)
        pools = _draw(requests, wanted)
        shares = allocate(
            {name: (pool.requests, len(pool)) for name, pool in pools.items()}, wanted.n
        )
        taken = [one for name, n in shares.items() for one in pools[name].first(n)]
        maker = CaseMaker(contracts, {one.release for one in taken} | {champion})
        asked = read_asked(connection, [one.request_id for one in taken])
    made = [
        maker.make(asked[one.request_id], "sampled") for one in taken if one.request_id in asked
    ]
    cases = {case.id: case for case in made if case is not None}  # masked, two may have become one
    left_out.personal = maker.left_out.personal
    total = sum(pool.requests for pool in pools.values())
    parts = [
        Part(name, pool.requests, pool.requests / total, len(pool), shares[name])
        for name, pool in pools.items()
    ]
    return Sampled(
        cases=tuple(cases[id] for id in sorted(cases)),
        requests=total,
        expected=sum(case.expect is not None for case in cases.values()),
        parts=tuple(sorted(parts, key=lambda part: (-part.requests, part.stratum))),
        left_out=left_out,
        personal=tuple(sorted(maker.personal)),
        masked=dict(sorted(maker.masked.items())),
    )


def _check_by(by: Sequence[str]) -> None:
    unknown = [name for name in by if name not in BY and not name.startswith(_INPUT)]
    if unknown:
        known = ", ".join(f"`{name}`" for name in BY)
        raise RequestError(
            f"by: expected {known} or `input.<field>`, got `{unknown[0]:.40}`", param="by"
        )


def _draw(requests: Iterable[Kept], wanted: Wanted) -> dict[Stratum, Pool]:
    pools: dict[Stratum, Pool] = {}
    for kept in requests:
        name = _stratum_of(kept, wanted.by)
        if name not in pools and len(pools) >= MOST_STRATA:
            name = OTHERS
        pool = pools.setdefault(name, Pool(wanted.n))
        features = (kept.record.features or {}).get("values")
        asks = [wanted.seed, kept.input, features, kept.record.role]
        chance = int.from_bytes(hashlib.sha256(_encode(asks)).digest()[:16], "big")
        pool.add(Drawn(chance, kept.record.id, kept.record.release))
    return pools


def _stratum_of(kept: Kept, by: Sequence[str]) -> Stratum:
    return tuple(_part_of(kept, name) for name in by)


def _part_of(kept: Kept, name: str) -> str:
    record = kept.record
    if name == TAGS:
        return "tags=" + ",".join(sorted(record.tags))
    value: Any
    if name.startswith(_INPUT):
        value = kept.input.get(name.removeprefix(_INPUT))
    else:
        value = getattr(record, name, "")
    text = value if isinstance(value, str) else _encode(value).decode()
    return f"{name}={text[:80]}"


def allocate(strata: Mapping[Stratum, tuple[int, int]], n: int) -> dict[Stratum, int]:
    """Return how many to take of each stratum, in proportion to its requests (largest remainder).

    What a stratum has not enough of, the others get.

    Args:
        strata: Stratum → its requests, and how many of them are different.
        n: Of all together.

    >>> allocate({("a",): (900, 500), ("b",): (100, 5)}, 100)
    {('a',): 95, ('b',): 5}
    """
    taken = dict.fromkeys(strata, 0)
    left = min(n, sum(different for _, different in strata.values()))
    while left:
        room = {name: most - taken[name] for name, (_, most) in strata.items()}
        counts = {name: strata[name][0] for name in strata if room[name]}
        total = sum(counts.values())
        exact = {name: left * count / total for name, count in counts.items()}
        given = {name: min(int(share), room[name]) for name, share in exact.items()}
        if all(given[name] == int(share) for name, share in exact.items()):
            rest = left - sum(given.values())
            by_rest = sorted(exact, key=lambda name: (-(exact[name] % 1), -counts[name], name))
            for name in [name for name in by_rest if given[name] < room[name]][:rest]:
                given[name] += 1
        for name, more in given.items():
            taken[name] += more
            left -= more
    return taken
