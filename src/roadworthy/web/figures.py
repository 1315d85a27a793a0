"""What the console's pages show: the values that a page and its JSON twin share."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from ..types import Disposition, Kind
from .shapes import EnforcedKey, Stopped
from .states import Better, State
from .todo import Todo
from .units import Time


class Promise(Struct, frozen=True, kw_only=True):
    """One objective beside what was measured of it.

    Attributes:
        key: The declared key.
        name: The same in words.
        label: What Home calls it, in a narrow column: `Over 100 ms`.
        of: What the share is of: `slower than 100 ms`.
        promise: The share (0-1) that is promised, at most or at least.
        better: The side of `promise` on which it is kept.
        window: How far back requests count: `24 h` or `30 days`.
        since: The first hour in it that had requests; None without any.
        measured: The share (0-1) in that window; None below 20 requests.
        low: Lower end of its 95 % interval (Wilson); None below 20 requests. `high` likewise.
        n: How many requests were measured.
        hits: How many of them were late, or did not fail.
        n_24h: How many of these were of the last 24 hours; `hits_24h` likewise.
        missing: How many requests are missing until it can be said how it stands.
        proven_from: The n from which on a record without fault proves it.
        is_proven: Whether the whole interval keeps it.
        broken_since: The first of the hours up to the last one in which it was broken.
        scale: The ends of its picture, from the promise alone, so that pictures can be compared.
    """

    key: str
    name: str
    label: str
    of: str
    promise: float
    better: Better
    state: State
    window: str
    since: Time | None
    measured: float | None
    low: float | None
    high: float | None
    n: int
    hits: int
    n_24h: int
    hits_24h: int
    missing: int
    proven_from: int
    is_proven: bool
    broken_since: Time | None
    scale: tuple[float, float]


class ErrorBudget(Struct, frozen=True, kw_only=True):
    """The failures that `objectives.availability` leaves room for.

    Attributes:
        days: The window, up to now.
        allowed: How many of the window's requests may fail; may be less than one.
        spent_share: `failed` as a share of `allowed`, 1 when all is spent; None while `allowed` is
            below one, because then the first failure would be more than all.
    """

    days: int
    requests: int
    failed: int
    allowed: float
    spent_share: float | None


class CostToday(Struct, frozen=True, kw_only=True):
    """What a service costs on the UTC day of the project's clock, against its ceiling.

    Attributes:
        says: The same in sentences.
        settled_usd: What requests that have ended cost.
        held_usd: What is set aside for requests under way.
        ceiling_usd: `cost.per_day_usd`; None where none is declared.
        by_midnight_usd: What it will be at today's pace; None in the first hour, where nothing
            was spent, and below 20 requests today.
        reached_at: When the ceiling is reached at today's pace; None if it is not, today.
        per_request_usd: Mean cost of the last 24 hours' requests; None without any.
        per_request_ceiling_usd: `cost.per_request_usd`; None where none is declared.
    """

    state: State
    says: tuple[str, ...]
    settled_usd: float
    held_usd: float
    ceiling_usd: float | None
    by_midnight_usd: float | None
    reached_at: Time | None
    per_request_usd: float | None
    per_request_ceiling_usd: float | None


class ReleaseBrief(Struct, frozen=True, kw_only=True):
    """Which release, who built it and when."""

    release: str
    built_at: Time
    by: str


class Ship(Struct, frozen=True, kw_only=True):
    """Whether the candidate may serve.

    Attributes:
        may: `yes`, `on_its_way`, `not_yet`, `no`, or `none` while there is no candidate.
        word: What stands beside the shape of `state`; empty without a candidate.
        candidate: What is being judged, else the latest release, if it was built after the one
            that serves.
        is_folder: Whether the candidate is what the service's folder holds now.
        link: Where the two are compared; empty without a candidate.
    """

    may: str
    word: str
    state: State
    says: str
    champion: ReleaseBrief | None
    candidate: ReleaseBrief | None
    is_folder: bool
    link: str


class Cause(Struct, frozen=True, kw_only=True):
    """Why requests ended as they did.

    Attributes:
        requests: How many did so for this cause, of those that were looked at.
        says: What happened to them: `found no page`.
    """

    requests: int
    says: str


class FallenBack(Struct, frozen=True, kw_only=True):
    """The requests of the last 24 hours that a rung of the ladder answered.

    Attributes:
        says: How many they are, and why, in a sentence.
        causes: Of the newest of them, the most frequent first.
        link: The list of them.
    """

    requests: int
    says: str
    causes: tuple[Cause, ...]
    link: str


class Example(Struct, frozen=True, kw_only=True):
    """The newest request of its kind.

    Attributes:
        kind: `answered`, `fallback`, or `kept_back`: an answer that may not be shown was replaced.
        says: What became of it, in a sentence.
        link: Its page.
    """

    kind: Literal["answered", "fallback", "kept_back"]
    says: str
    at: Time
    link: str


class DataBrief(Struct, frozen=True, kw_only=True):
    """How the data of a service stand: contracts of its sources, freshness, and skew.

    Attributes:
        state: The worst of them. What moved away from training is at risk, and breaks no promise.
        says: The same in a sentence.
        todos: What a person can do about it, the worst first.
        link: The page that shows all of it.
    """

    state: State
    says: str
    todos: tuple[Todo, ...]
    link: str


class Automation(Struct, frozen=True, kw_only=True):
    """What a service gives alone, and what people decide.

    Attributes:
        state: Of its certificate; off where no bound is declared.
        word: The same as a word: `Certified`, `Collecting`, `Off`; empty without a bound.
        says: The promise, or why nothing is given alone, in a sentence.
        split: How the newest answers were decided, in a sentence.
        alone, people, ladder: How many of them.
        waiting: How many cases wait for people; `late` of them past their time.
        link: Where the evidence is seen; `queue` where its cases wait, if it asks people.
        todos: What a person must do about it.
    """

    state: State
    word: str
    says: str
    split: str
    alone: int
    people: int
    ladder: int
    waiting: int
    late: int
    link: str
    queue: str
    todos: tuple[Todo, ...]


class HomeRow(Struct, frozen=True, kw_only=True):
    """One service: the four questions and their answers.

    Attributes:
        state: The worst of its promises, `off` while it is stopped.
        is_proven: Whether every promise is kept by its whole interval.
        says: Is it healthy, in sentences.
        requests: n of the last 24 hours, by the project's clock.
        fallen_back: None where no request did.
        data: None where it reads no feature views.
        automation: None where it gives every answer alone, and promises nothing of that.
        todos: At most three.
    """

    name: str
    kind: Kind
    purpose: str
    risk: str
    release: str
    state: State
    is_proven: bool
    says: tuple[str, ...]
    stopped: Stopped | None
    requests: int
    promises: tuple[Promise, ...]
    budget: ErrorBudget | None
    fallen_back: FallenBack | None
    data: DataBrief | None
    automation: Automation | None
    cost: CostToday
    ship: Ship
    todos: tuple[Todo, ...]


class Deed(Struct, frozen=True, kw_only=True):
    """Something that Roadworthy did by itself.

    Attributes:
        by: What did it, as the audit chain names it: `up`, `job:…`.
        says: What, in one sentence.
        link: Where it is seen.
    """

    at: Time
    by: str
    service: str
    says: str
    link: str


class Trouble(Struct, frozen=True, kw_only=True):
    """A part that is degraded, and what that means."""

    part: str
    says: str


class Home(Struct, frozen=True, kw_only=True):
    """Every service the key may see, the worst first.

    Attributes:
        says: The page in one line.
        since: From when on requests count: the hour 24 hours ago.
        broken: How many promises are broken. `at_risk`, `collecting` and `kept` likewise.
        todos: How many things need a person.
        first: When the first of them is due; None where none is due.
        deeds: What Roadworthy did by itself in the last 24 hours, newest first.
        examples: Requests of the last 24 hours to look at, one of each kind.
    """

    says: str
    as_of: Time
    since: Time
    broken: int
    at_risk: int
    collecting: int
    kept: int
    todos: int
    first: Time | None
    trouble: tuple[Trouble, ...]
    services: tuple[HomeRow, ...]
    deeds: tuple[Deed, ...]
    examples: tuple[Example, ...]


class HourShown(Struct, frozen=True, kw_only=True):
    """One hour; `p95_ms` is estimated from buckets whose ends are a factor of 1.5 apart."""

    hour: Time
    requests: int
    failed: int
    late: int
    p95_ms: float | None
    cost_usd: float


class Ending(Struct, frozen=True, kw_only=True):
    """How requests ended.

    Attributes:
        share: Of all requests (0-1); None below 20 in all.
        why: Why, in words; of those that ended badly, counted from the newest of them.
    """

    disposition: Disposition
    requests: int
    share: float | None
    why: str


class ModelShown(Struct, frozen=True, kw_only=True):
    """A model of the release, by its tries in the newest requests of the last 24 hours.

    Attributes:
        role: `model` in the chain, or `rung` of the ladder.
        model: What its provider calls it.
        place: Where it runs: `in this process`, `on this machine`, `at …`.
        prices: Where its prices are from: `free`, `declared` in roadworthy.toml, or `public`.
        pinned: What it is pinned by: a digest, or a word.
        asked: How often it was asked.
        shown: How often its answer could be shown.
        kept_back: How often a guard or the schema was against its answer.
        p95_ms: Of its own tries; None below 20 of them.
        mean_usd: Mean cost of one of its own tries; None without any.
        stopped: Who stopped it; None while it answers.
    """

    name: str
    role: Literal["model", "rung"]
    provider: str
    model: str
    place: str
    prices: Literal["", "free", "declared", "public"]
    pinned: str
    asked: int
    shown: int
    kept_back: int
    p95_ms: float | None
    mean_usd: float | None
    stopped: Stopped | None


class ServiceFigures(Struct, frozen=True, kw_only=True):
    """One service: what it promises, keeps, costs and is made of.

    Attributes:
        says: The page in one line.
        since: From when on requests count: the hour 24 hours ago.
        service: As Home shows it.
        p95_ms: Of all requests since then, estimated from buckets whose ends are a factor of 1.5
            apart; None without any.
        latency_p95_ms: `objectives.latency_p95_ms`; None where nothing is promised.
        hours: Those with requests, oldest first.
        endings: How they ended.
        looked_at: The newest requests, whose tries are counted for each model.
        differences: What is not in its folder as it was released.
        deeds: What Roadworthy did by itself in the last 24 hours, newest first.
        keys: What enforces each key that stands in its file.
    """

    says: str
    as_of: Time
    since: Time
    service: HomeRow
    owners: dict[str, str]
    declaration_hash: str
    deadline_ms: float
    latency_p95_ms: float | None
    p95_ms: float | None
    hours: tuple[HourShown, ...]
    endings: tuple[Ending, ...]
    looked_at: int
    models: tuple[ModelShown, ...]
    differences: tuple[str, ...]
    deeds: tuple[Deed, ...]
    keys: tuple[EnforcedKey, ...]


class StateMeaning(Struct, frozen=True, kw_only=True):
    """What a state means of an objective, of a certificate, and of a gate or a rollout."""

    state: State
    word: str
    objective: str
    certificate: str
    gate: str


class DispositionMeaning(Struct, frozen=True, kw_only=True):
    """What it means that a request ended so."""

    disposition: Disposition
    means: str


class Words(Struct, frozen=True, kw_only=True):
    """What the words of the pages mean."""

    states: tuple[StateMeaning, ...]
    dispositions: tuple[DispositionMeaning, ...]
