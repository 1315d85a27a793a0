"""Examples as the control plane shows them: what was learned from decisions, and what is held."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from ..store.clock import time_of
from ..store.examples import Example, ExampleState, Kind
from .numbers import count
from .shapes import Given, Name, OfService, Page
from .units import Time


class ExampleQuery(Given, frozen=True):
    """Which examples to list; what is not given does not filter."""

    service: OfService = ""
    state: ExampleState | UnsetType = UNSET
    before: Annotated[Name, Meta(description="The `before` of the page above this one.")] = ""
    limit: Page = 50


class ExampleRuling(Given, frozen=True):
    """Why a person overrules the checks; the reason is kept in the audit chain."""

    reason: Annotated[str, Meta(max_length=1000)] = ""


class ExampleShown(Struct, frozen=True, kw_only=True):
    """One input with the answer that people or systems say is right.

    Attributes:
        why: What holds it, or who accepted or rejected it; empty where all checks are passed.
        kind: Whether the answer is a whole `output` or the right `label`.
        weight: How many requests it stands for.
        held: Check → why it holds it, whatever a person decided.
    """

    id: str
    service: str
    state: ExampleState
    why: str
    at: Time
    by: str
    source: str
    kind: Kind
    is_correction: bool
    severity: str
    weight: float
    release: str
    request_id: str
    review_id: str
    held: dict[str, str]
    input: Any
    output: Any


class ExampleCounts(Struct, frozen=True, kw_only=True):
    """How many examples of a service are in each state, and how many each check holds."""

    service: str
    states: dict[str, int]
    checks: dict[str, int]


class Examples(Struct, frozen=True, kw_only=True):
    """A page of examples, with the counts of all.

    Attributes:
        sentence: How many there are, and how many of them are held.
        service, state: What the list was limited to.
        services: Those that the key may see.
        before: What to ask for the next page; None on the last.
    """

    sentence: str
    counts: tuple[ExampleCounts, ...]
    examples: tuple[ExampleShown, ...]
    service: str
    state: str
    services: tuple[str, ...]
    before: str | None


_SAID: tuple[tuple[ExampleState, str], ...] = (
    ("quarantined", "held back"),
    ("accepted", "accepted"),
    ("rejected", "rejected"),
)


def sentence_of(counts: Iterable[ExampleCounts]) -> str:
    """Return how many examples there are, what waits for a person first.

    >>> states = {"accepted": 9, "quarantined": 1}
    >>> sentence_of([ExampleCounts(service="risk", states=states, checks={})])
    '10 examples: 1 held back, 9 accepted.'
    >>> sentence_of([])
    'Nothing has been learned from decisions yet.'
    """
    found = Counter[str]()
    for one in counts:
        found.update(one.states)
    total = found.total()
    if not total:
        return "Nothing has been learned from decisions yet."
    parts = [f"{count(found[state])} {said}" for state, said in _SAID if found[state]]
    return f"{count(total)} example{'' if total == 1 else 's'}: {', '.join(parts)}."


def shown_example(example: Example) -> ExampleShown:
    """Return an example as it is shown."""
    detail = example.detail
    return ExampleShown(
        id=example.id,
        service=example.service,
        state=example.state,
        why=example.why,
        at=time_of(example.at_us),
        by=example.by,
        source=example.source,
        kind=detail.kind,
        is_correction=detail.is_correction,
        severity=detail.severity,
        weight=example.weight,
        release=detail.release,
        request_id=example.request_id,
        review_id=detail.review_id,
        held=detail.held,
        input=msgspec.json.decode(example.input),
        output=msgspec.json.decode(example.output),
    )
