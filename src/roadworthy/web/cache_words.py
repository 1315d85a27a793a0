"""The sentences of the cache page."""

from __future__ import annotations

from ..bounds.in_force import Within
from ..declare.caching import Cache, SemanticCache
from . import numbers
from .cache_figures import Standing

WORDS: dict[Standing, str] = {
    "certified": "Certified",
    "collecting": "Collecting",
    "not reachable": "Not reachable",
    "off": "Off",
    "none": "",
}
KINDS = {
    "exact": "The same question",
    "semantic": "Another one that means the same",
    "stale": "An old answer, as models failed",
    "correction": "A person's correction",
}
WHY = {
    "expired": "its time was over",
    "room": "others needed its room",
    "renewed": "a newer answer came",
    "corrected": "a person said otherwise",
    "forgotten": "its user was forgotten",
    "wrong": "a fresh answer said something else",
}
LEAST = 20
"""Of fewer requests no share is said."""
SHARERS = {
    "user": "Nobody but the same user is given an answer again.",
    "team": "Answers are shared within a team.",
    "role": "Answers are shared by whoever has the same role.",
    "all": "Answers are shared by all who have the same role.",
}


def headline(cache: Cache, hits: int, requests: int) -> str:
    """Return what the page says first.

    >>> headline(Cache(exact_ttl_s=60), 30, 100)
    '30.0% of the requests were given an answer again.'
    >>> headline(Cache(), 0, 100)
    'Nothing is given again: no cache is declared.'
    """
    if not cache.is_on and not hits:
        return "Nothing is given again: no cache is declared."
    if requests < LEAST:
        return f"{numbers.count(hits)} of {numbers.count(requests)} were given an answer again."
    return f"{numbers.share(hits / requests)} of the requests were given an answer again."


def promise(cache: Cache) -> tuple[str, ...]:
    """Return what is promised of answers given again."""
    if not cache.is_on:
        return ()
    said = [SHARERS[cache.scope]]
    semantic = cache.semantic
    if semantic is not None:
        most, sure = numbers.promised(semantic.max_error), numbers.promised(semantic.sure)
        of = "the answers given to other questions" if semantic.of == "hits" else "all requests"
        said.append(f"Of {of}, at most {most} are wrong, {sure} sure.")
    return tuple(said)


def evidence(
    within: Within, standing: Standing, pairs: int, reachable: float | None, declared: SemanticCache
) -> str:
    """Return how the evidence stands.

    >>> evidence(Within(), "collecting", 0, None, SemanticCache(max_error=0.05))
    'Nothing is certified yet: 0 cached answers were held against fresh ones.'
    """
    seen = f"{numbers.count(pairs)} cached answers were held against fresh ones"
    if standing == "off":
        return f"A person stopped it. {seen}."
    if standing == "certified":
        audited = numbers.promised(within.audit_share)
        return f"Certified from score {within.threshold:.3f} on; {audited} of the hits are audited."
    if standing == "not reachable" and reachable is not None:
        return (
            f"{numbers.promised(declared.max_error)} is not reachable with what was seen: of the "
            f"surest, {numbers.share(reachable)} are wrong. {seen}; reachable is a `max_error` "
            "above that."
        )
    return f"Nothing is certified yet: {seen}."
