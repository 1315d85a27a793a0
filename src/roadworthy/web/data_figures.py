"""What the pages about data show: the values that a page and its JSON twin share."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from .states import State
from .todo import Todo
from .units import Time


class LookShown(Struct, frozen=True, kw_only=True):
    """One time that a source was held against its contract.

    Attributes:
        version: Of the contract, as it was then.
        failed_rows: Rows that broke a rule of severity `error`.
        kept: Whether every rule of severity `error` held.
    """

    at: Time
    version: str
    rows: int
    failed_rows: int
    kept: bool


class RuleOverTime(Struct, frozen=True, kw_only=True):
    """One rule that did not always hold.

    Attributes:
        expected: What it asks for, in words.
        failed: How many rows broke it in each look, oldest first; None where it was not asked.
    """

    rule: str
    field: str
    severity: Literal["error", "warning"]
    expected: str
    failed: tuple[int | None, ...]


class VolumeStatus(Struct, frozen=True, kw_only=True):
    """How much data of a source was declared, and how much there was at the newest look.

    Attributes:
        state: `at_risk` where the newest look found more, fewer or more varied rows than declared.
        word: What the state is called here: `Not as declared`.
        says: How declared and found stand to each other, in sentences.
        rows: Rows at the newest look; None before the first. `most_rows` is what was declared.
        rows_of_day: Rows of the last whole day then; None where none were counted.
        rows_per_day: Fewest and most that were declared; empty where they were not.
        distinct: Field → its different values at the newest look; `most_distinct` likewise.
    """

    state: State
    word: str
    says: tuple[str, ...]
    rows: int | None
    most_rows: int | None
    rows_of_day: int | None
    rows_per_day: tuple[int, ...]
    distinct: dict[str, int]
    most_distinct: dict[str, int]


class SourceStatus(Struct, frozen=True, kw_only=True):
    """One source behind a service's features, and how it kept its contract.

    Attributes:
        contract: The id of its contract; empty where it was never validated nor registered.
        word: What the state is called here: `Broken`.
        version: The version that the service's views were registered with.
        says: How it stands, in sentences.
        views: The views of the service that read it.
        looks: The last validations, oldest first.
        rules: How many rules the newest look asked.
        broken: The rules that did not hold in each of them, most rows first.
        volume: How much of it was declared; None where nothing was.
    """

    source: str
    contract: str
    version: str
    state: State
    word: str
    says: tuple[str, ...]
    views: tuple[str, ...]
    looks: tuple[LookShown, ...]
    rules: int
    broken: tuple[RuleOverTime, ...]
    volume: VolumeStatus | None


class PathBroken(Struct, frozen=True, kw_only=True):
    """A part of the input that live requests got wrong, and how many did."""

    path: str
    expected: str
    requests: int


class AskedStatus(Struct, frozen=True, kw_only=True):
    """The contract of a service's input, and what live requests broke of it.

    Attributes:
        file: As the declaration names it.
        says: What live requests did, in a sentence.
        requests: n of the hours from `since` on.
        refused: Requests since then that broke it, at most those that are looked at.
        paths: What they broke, most often first.
    """

    file: str
    says: str
    since: Time
    requests: int
    refused: int
    paths: tuple[PathBroken, ...]


class ViewStatus(Struct, frozen=True, kw_only=True):
    """One feature view that a service reads, and how new what is online of it is.

    Attributes:
        word: What the state is called here: `Stale`.
        says: How new it is and when it goes stale, in sentences.
        features: What it gives.
        filled_until: What was known by then is online; None where it was never filled.
        behind_s: Seconds since then.
        ttl_s: Seconds after its event for which a row counts; None for ever.
        newest_event: Of any entity; None where there is no row.
        stale_at: When the newest row goes stale; None where it never does, or there is none.
        rows: Entities that are online.
        pushed: Rows that were pushed and that no later event of the sources has replaced.
        served: What the newest requests found → how many did: `fresh`, `stale` or `absent`.
    """

    view: str
    owner: str
    state: State
    word: str
    says: tuple[str, ...]
    features: tuple[str, ...]
    filled_until: Time | None
    behind_s: float | None
    ttl_s: int | None
    newest_event: Time | None
    stale_at: Time | None
    rows: int
    pushed: int
    served: dict[str, int]


class Apart(Struct, frozen=True):
    """A distance between training and live values, and between what it lies (95 %)."""

    value: float
    low: float
    high: float


class DifferenceShown(Struct, frozen=True):
    """A request that was served another value than its view gives."""

    request: str
    served: Any
    offline: Any


class FeatureStatus(Struct, frozen=True, kw_only=True):
    """One feature as it is served, against its view and against training.

    Attributes:
        state: `breached` where it was served another value than its view says; `at_risk` where the
            world has moved away from training.
        word: What the state is called here: `Far`.
        says: The verdict in a sentence.
        far: Whether it is far from training: all of the interval of its PSI above 0.25.
        compared: Served values that were held against the view's of the same moment.
        unequal: How many of them differ.
        trained: Values of the training set. `live` likewise, of requests.
        missing_trained: Share of them (0-1) that is missing; None without any. `missing_live`
            likewise.
        stability: Population stability index (PSI).
        divergence: Jensen-Shannon distance.
        gap: Kolmogorov-Smirnov distance; None for words.
        bins: What each bin holds, missing values last.
        trained_counts: Values in each bin. `live_counts` likewise.
    """

    feature: str
    state: State
    word: str
    says: str
    far: bool
    compared: int
    unequal: int
    examples: tuple[DifferenceShown, ...]
    trained: int
    live: int
    missing_trained: float | None
    missing_live: float | None
    stability: Apart | None
    divergence: Apart | None
    gap: Apart | None
    bins: tuple[str, ...]
    trained_counts: tuple[int, ...]
    live_counts: tuple[int, ...]


class RateStatus(Struct, frozen=True, kw_only=True):
    """How fast a service is asked or a view is pushed to, and what was declared.

    Attributes:
        of: `requests of <service>` or `pushes to <view>`.
        state: `at_risk` where it is faster than declared; `collecting` before anything came.
        word: What the state is called here: `Above`.
        says: The same in a sentence.
        per_second: The mean of the busiest hour of the last 24 for requests, the busiest second of
            the last hour for pushes; None before anything came. `most_per_second`: as declared.
    """

    of: str
    state: State
    word: str
    says: str
    per_second: float | None
    most_per_second: float


class SkewStatus(Struct, frozen=True, kw_only=True):
    """What the job `skew` last measured.

    Attributes:
        says: The answer in a sentence.
        requests: Requests that were looked at, the newest of that time.
        replayed: Of them, those whose input was kept, so that the views could be asked again.
        trained: The training set; empty where there was none.
        features: The worst first.
    """

    at: Time
    says: str
    requests: int
    replayed: int
    trained: str
    features: tuple[FeatureStatus, ...]


class ServiceData(Struct, frozen=True, kw_only=True):
    """One service's data: contracts, freshness, and whether it sees what it was trained on.

    Attributes:
        says: The page in one line.
        state: The worst of what is below; `off` where there is nothing.
        todos: What a person can do about it, the worst first.
        trouble: Jobs of data that fail, each in a sentence.
        asked: None where the input has no contract.
        skew: None before the first measurement.
        sources: The contracts behind its views.
        rates: How fast it is asked and pushed to, where that was declared.
    """

    says: str
    as_of: Time
    service: str
    state: State
    todos: tuple[Todo, ...]
    trouble: tuple[str, ...]
    asked: AskedStatus | None
    sources: tuple[SourceStatus, ...]
    views: tuple[ViewStatus, ...]
    rates: tuple[RateStatus, ...]
    skew: SkewStatus | None


class VersionShown(Struct, frozen=True, kw_only=True):
    """One wording of a contract.

    Attributes:
        digest: SHA-256 of its file.
        registered_at: None for a file that is not registered.
        by: Who registered it.
    """

    version: str
    digest: str
    registered_at: Time | None
    by: str


class ChangeShown(Struct, frozen=True, kw_only=True):
    """One change of a contract.

    Attributes:
        where: Table and field; the contract's id where it is of neither.
        change: What became of it.
        breaks: Whom it breaks.
        read_by: The services that read it.
    """

    where: str
    change: str
    breaks: tuple[Literal["producer", "consumer"], ...]
    read_by: tuple[str, ...]


class ReaderShown(Struct, frozen=True, kw_only=True):
    """A service that reads a source, and whether it may be released with the contract as it is.

    Attributes:
        fields: The fields that it reads, by its views.
        accepts: What it names of this source in `contract.accepts`.
        agrees: Whether nothing that it reads breaks, or it names the new version.
        says: The same in a sentence.
    """

    service: str
    fields: tuple[str, ...]
    accepts: tuple[str, ...]
    agrees: bool
    says: str


class ContractPage(Struct, frozen=True, kw_only=True):
    """The contract of a source: what changed, whom it breaks, and who has agreed.

    Attributes:
        says: The page in one line.
        file: Where the contract is.
        problem: Why its file cannot be compared; empty when it can.
        new: The file as it stands now; None where it cannot be read.
        old: The registered version that it is held against; None where none is registered.
        compatibility: `FULL`, `BACKWARD`, `FORWARD` or `NONE`; empty where nothing was compared.
        means: What that word means.
        changes: In the order of the contract.
        readers: The services that read the source.
        versions: What is registered, newest first.
    """

    says: str
    as_of: Time
    source: str
    contract: str
    file: str
    problem: str
    new: VersionShown | None
    old: VersionShown | None
    compatibility: str
    means: str
    changes: tuple[ChangeShown, ...]
    readers: tuple[ReaderShown, ...]
    versions: tuple[VersionShown, ...]


class ViewServed(Struct, frozen=True, kw_only=True):
    """What one view gave a request.

    Attributes:
        state: `fresh`; `stale`: older than its ttl; `absent`: nothing was known of this entity;
            empty where the record does not say.
        age_s: Seconds since the event; None where nothing was known.
        values: Feature → the value that was served.
    """

    view: str
    state: str
    age_s: float | None
    values: dict[str, Any]
