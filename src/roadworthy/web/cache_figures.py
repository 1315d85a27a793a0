"""What the cache page shows: values that the page and its JSON twin share."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from .states import State
from .units import Time

Standing = Literal["certified", "collecting", "not reachable", "off", "none"]
Kind = Literal["exact", "semantic", "stale", "correction"]
KINDS: tuple[Kind, ...] = ("exact", "semantic", "stale", "correction")


class HitsOfKind(Struct, frozen=True, kw_only=True):
    """Answers that were given again for one reason.

    Attributes:
        share: Of the requests that were looked at (0-1); None of fewer than 20.
        mean_ms: What one took in the mean; None of none.
    """

    kind: Kind
    hits: int
    share: float | None
    mean_ms: float | None


class DayOfHits(Struct, frozen=True, kw_only=True):
    """How many requests of one day were given an answer again, in the order of `hits`."""

    day: Time
    requests: int
    hits: tuple[int, ...]


class ReuseAt(Struct, frozen=True, kw_only=True):
    """What one threshold would give, by the pairs that are there.

    Attributes:
        threshold: Least score from which on an answer is given again.
        reused: Share (0-1) of the would-be hits that it lets pass.
        n: Cached answers of which that was compared.
        wrong_of_hits: Share of them that a fresh answer did not agree with.
        low, high: In between it lies, 95 % sure.
    """

    threshold: float
    reused: float
    n: int
    wrong_of_hits: float
    low: float
    high: float


class GoneShown(Struct, frozen=True, kw_only=True):
    """An answer that is given to nobody any more, and why."""

    at: Time
    request: str
    why: str


class Kept(Struct, frozen=True, kw_only=True):
    """What this process keeps.

    Attributes:
        megabytes: About.
        gone: How many went, by why, since the release was opened.
        last: The last that went for a reason that somebody may want to look into.
    """

    entries: int
    max_entries: int
    megabytes: float
    max_megabytes: int
    gone: dict[str, int]
    last: tuple[GoneShown, ...]


class CachePage(Struct, frozen=True, kw_only=True):
    """What a service's cache gives again, what that saves, and how often it is wrong.

    Attributes:
        says: The answer in one sentence.
        why: What else is to be known, in sentences.
        scope: Who shares answers.
        looked_at: How many of the newest requests of 30 days were looked at.
        saved_usd: What answers of models cost in the mean, times the hits; None while unknown.
        saved_ms: What a hit took less than an answer of a model, in the mean.
        audited: Hits on another question that were answered anew, each cached answer once.
        wrong_of_hits: Share of these that were wrong, with its interval of 95 %; None of none.
        wrong_of_all: The same as a share of all requests.
        reachable: Least error that the surest of the would-be hits keep; None while that is
            not known.
        thresholds: What thresholds would give, from the strictest on.
        kept: None where no cache is declared.
    """

    says: str
    why: tuple[str, ...]
    as_of: Time
    service: str
    release: str
    scope: str
    exact_ttl_s: int | None
    standing: Standing
    state: State
    looked_at: int
    since: Time | None
    kinds: tuple[HitsOfKind, ...]
    days: tuple[DayOfHits, ...]
    saved_usd: float | None
    saved_ms: float | None
    max_error: float | None
    sure: float | None
    of: str
    threshold: float | None
    certificate: str
    pairs: int
    audited: int
    wrong_of_hits: float | None
    wrong_low: float | None
    wrong_high: float | None
    wrong_of_all: float | None
    reachable: float | None
    thresholds: tuple[ReuseAt, ...]
    kept: Kept | None
