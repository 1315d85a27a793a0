"""The shapes of the control plane's JSON: what comes in as query and body, and what goes out."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from ..release.forecast import Forecast
from ..release.lineage import AsReleased
from ..release.registry import Manifest, PinnedModel
from ..store.logged_models import LoggedModel
from ..types import Arm, Disposition, Kind, Scope, VerdictName
from .data_figures import ViewServed
from .review_figures import ReviewOfRequest
from .scopes import ScopeMeant
from .story import Story
from .tried import AttemptShown as AttemptShown
from .units import MOST_MS, Time

Dimension = Literal["hour", "service", "release", "arm", "model", "user", "team", "tag", "key"]


class Given(Struct, frozen=True, forbid_unknown_fields=True):
    """What every query and body is: other names than its own are refused."""


Name = Annotated[str, Meta(max_length=200)]
Page = Annotated[int, Meta(ge=1, le=200, description="How many at most.")]
Since = Annotated[Time, Meta(description="From this time on.")]
Until = Annotated[Time, Meta(description="Before this time.")]
OfService = Annotated[
    Name,
    Meta(description="Only this service; by default all that the key may see."),
]


class Window(Given, frozen=True):
    """A span of whole hours; by default the last 24."""

    since: Since | UnsetType = UNSET
    until: Until | UnsetType = UNSET


class RollupQuery(Window, frozen=True):
    """Which hours to sum up, and by what."""

    service: OfService = ""
    by: Annotated[Dimension, Meta(description="One row for each of these.")] = "hour"


class RequestQuery(Given, frozen=True):
    """Which requests to list; what is not given does not filter."""

    service: OfService = ""
    disposition: Disposition | UnsetType = UNSET
    release: Annotated[Name, Meta(description="Its id, or the beginning of its digest.")] = ""
    model: Name = ""
    user: Name = ""
    key: Name = ""
    team: Name = ""
    error_code: Name = ""
    tag: Name = ""
    error: Annotated[Name, Meta(description="In the code or the text of what went wrong.")] = ""
    slower_than_ms: (
        Annotated[float, Meta(ge=0, le=MOST_MS, description="Only those that took longer.")]
        | UnsetType
    ) = UNSET
    q: Annotated[
        Name, Meta(description="A request's id, the part of it that lists show, or a user.")
    ] = ""
    since: Since | UnsetType = UNSET
    until: Until | UnsetType = UNSET
    before: Annotated[Name, Meta(description="The `before` of the page above this one.")] = ""
    after: Annotated[Name, Meta(description="The `after` of the page below this one.")] = ""
    limit: Page = 40


class ReleaseQuery(Given, frozen=True):
    """Which releases to list."""

    service: OfService = ""
    limit: Page = 50


class ActionQuery(Given, frozen=True):
    """Which part of the audit chain to list."""

    action: Annotated[Name, Meta(description="Only acts of this kind: `release.promote`.")] = ""
    subject: Annotated[Name, Meta(description="Only acts on this: a key, a release, …")] = ""
    before: (
        Annotated[
            int,
            Meta(ge=1, le=2**53, description="The `before` of the page above this one."),
        ]
        | UnsetType
    ) = UNSET
    limit: Page = 50


class Switch(Given, frozen=True):
    """What to stop or resume, and why; the reason is kept in the audit chain."""

    model: Annotated[Name, Meta(description="Only this model; by default the service.")] = ""
    reason: Annotated[str, Meta(max_length=1000)] = ""


class KeyWanted(Given, frozen=True):
    """What a new key may do.

    Attributes:
        services: The services it may call and see; empty means all.
        team: The team its requests are counted for.
        per_day_usd: Most that it may spend in a UTC day.
        expires: When it ends.
    """

    name: Annotated[str, Meta(min_length=1, max_length=200, pattern=r"\S")]
    scopes: Annotated[list[Scope], Meta(min_length=1)]
    services: list[Name] = []
    team: Name = ""
    per_day_usd: Annotated[float, Meta(ge=0, le=1_000_000_000)] | None = None
    expires: Time | None = None


class ClockWanted(Given, frozen=True):
    """The time that it is to be."""

    now: Time


class Measured(Struct, frozen=True, kw_only=True):
    """A promise beside what was measured; each None where there is none.

    Attributes:
        n: How many requests were measured.
    """

    promise: float | None
    measured: float | None
    n: int


class Objectives(Struct, frozen=True, kw_only=True):
    """A service's promises beside what was measured from `since` to `until`.

    Attributes:
        latency_p95_ms: Milliseconds within which 95 of 100 requests are answered; measured in
            buckets whose ends are a factor of 1.5 apart.
        late_share: Share of requests (0-1) that took longer than `objectives.latency_p95_ms`.
        availability: Share of requests (0-1) that ended without a failure.
    """

    since: Time
    until: Time
    latency_p95_ms: Measured
    late_share: Measured
    availability: Measured


class Budget(Struct, frozen=True, kw_only=True):
    """What counts against one ceiling on the UTC day of the project's clock.

    Attributes:
        scope: Whose spending counts: `service:…`, `key:…`.
        settled_usd: What requests that have ended cost.
        held_usd: What is set aside for requests under way.
        ceiling_usd: The most that may be spent; None where no ceiling is declared.
    """

    scope: str
    settled_usd: float
    held_usd: float
    ceiling_usd: float | None


class Stopped(Struct, frozen=True, kw_only=True):
    """Who stopped a service or a model, since when, and why."""

    by: str
    since: Time
    reason: str


class ServiceRow(Struct, frozen=True, kw_only=True):
    """One service as it is served.

    Attributes:
        release: The id of the release that answers.
        stopped: Who stopped it; None while it answers.
        cost_today: What counts against its ceilings; what shadows spend is a line of its own.
    """

    name: str
    kind: Kind
    purpose: str
    risk: str
    release: str
    stopped: Stopped | None
    objectives: Objectives
    cost_today: tuple[Budget, ...]


class EnforcedKey(Struct, frozen=True, kw_only=True):
    """One key that stands in the service file, and what enforces it (or `descriptive`)."""

    path: str
    value: Any
    enforced_by: str


class ServicePage(ServiceRow, frozen=True, kw_only=True):
    """One service with its whole declaration.

    Attributes:
        stopped_models: Model → who stopped it.
        declaration: The released service file with every default filled in.
        keys: What enforces each key that stands in the file.
    """

    stopped_models: dict[str, Stopped]
    declaration_hash: str
    declaration: dict[str, Any]
    keys: tuple[EnforcedKey, ...]


class Services(Struct, frozen=True, kw_only=True):
    """Every service the key may see, by name."""

    services: tuple[ServiceRow, ...]


class Switched(Struct, frozen=True, kw_only=True):
    """A service, or one model of it, after it was stopped or resumed; others follow in 100 ms."""

    service: str
    model: str | None
    is_stopped: bool


class RequestRow(Struct, frozen=True, kw_only=True):
    """One request as a list shows it."""

    id: str
    at: Time
    service: str
    kind: Kind
    disposition: Disposition
    release: str
    arm: Arm
    model: str
    key: str
    team: str
    user: str
    role: str
    parent: str
    tags: tuple[str, ...]
    reasons: tuple[str, ...]
    error_code: str
    input_tokens: int
    output_tokens: int
    cost_usd: float
    latency_ms: float
    is_late: bool
    is_stream: bool
    protocol: str
    confidence: float | None


class Requests(Struct, frozen=True, kw_only=True):
    """One page of requests, newest first.

    Attributes:
        sentence: What the list shows, in words.
        service: The one it is of; empty for all.
        services: Those that the key may ask for.
        releases: Those of these services that one can filter by, the newest first.
        models: What answers for these services, rungs too.
        before: What to ask the next, older page with; None when this is the last.
        after: What to ask the page of the next newer ones with; None when this is the first.
    """

    sentence: str
    requests: tuple[RequestRow, ...]
    before: str | None
    after: str | None
    service: str
    services: tuple[str, ...]
    releases: tuple[str, ...]
    models: tuple[str, ...]


class VerdictShown(Struct, frozen=True, kw_only=True):
    """What one guard said, about what, and how long it took.

    Attributes:
        of: The model whose answer it is about; empty for the input, and where that is not known.
    """

    guard: str
    on: Literal["input", "output"]
    of: str
    verdict: VerdictName
    reason: str
    ms: float


class PassageShown(Struct, frozen=True, kw_only=True):
    """One passage that was found for the question, and how near it is (0-1)."""

    file: str
    heading: str
    score: float


class OutcomeShown(Struct, frozen=True, kw_only=True):
    """The truth that came later about an answer."""

    id: str
    kind: str
    value: Any
    source: str
    reason: str
    weight: float
    propensity: float
    at: Time
    known_at: Time
    by: str


class RequestPage(RequestRow, frozen=True, kw_only=True):
    """One request, whole.

    Attributes:
        reserved_usd: What was set aside for it.
        scopes: The ceilings that its cost counts against.
        timings_ms: Milliseconds per step of the engine, in the order they ran.
        passages: What was found for the question, nearest first; None where nothing was looked up.
        first_token_ms: Milliseconds to the first event of a stream; None for whole answers.
        input: The request's body; None where bodies are not kept. `output` likewise.
        children: Requests made on its behalf, oldest first.
        served: What each of its feature views gave.
        story: What became of it, in words and step by step.
        score: How sure the score model was; None where unknown.
        decided: What decided whether it was given alone, in a sentence.
        reviews: What people were asked of it, oldest first.
        prompt: Version of the prompt that was written; empty where none is declared.
    """

    canary: str
    propensity: float
    entity: str
    conversation: str
    attempts: tuple[AttemptShown, ...]
    cached_tokens: int
    reasoning_tokens: int
    reserved_usd: float
    price_source: str
    scopes: tuple[str, ...]
    certificates: tuple[str, ...]
    verdicts: tuple[VerdictShown, ...]
    features: dict[str, Any] | None
    contracts: dict[str, str] | None
    cache: dict[str, Any] | None
    passages: tuple[PassageShown, ...] | None
    timings_ms: dict[str, float]
    first_token_ms: float | None
    declaration_hash: str
    environment_hash: str
    input: Any
    output: Any
    outcomes: tuple[OutcomeShown, ...]
    children: tuple[RequestRow, ...]
    served: tuple[ViewServed, ...]
    story: Story
    score: float | None
    decided: str
    reviews: tuple[ReviewOfRequest, ...]
    warnings: tuple[str, ...]
    prompt: str


class ReleaseRow(Struct, frozen=True, kw_only=True):
    """One release as a list shows it; `release` is its id, `champion` that of what serves.

    Attributes:
        roles: `champion`, `candidate`, `last_good`, as far as they are its.
        evaluation, verdict: Id and verdict of its newest evaluation; empty while it has none.
    """

    release: str
    service: str
    built_at: Time
    by: str
    commit: str
    declaration_hash: str
    models: tuple[str, ...]
    champion: str
    is_champion: bool
    roles: tuple[str, ...] = ()
    evaluation: str = ""
    verdict: str = ""


class Releases(Struct, frozen=True, kw_only=True):
    """The latest releases, newest first.

    Attributes:
        sentence: What serves, in words.
        service: The one they are of; empty for all.
        services: Those that the key may ask for.
    """

    sentence: str
    releases: tuple[ReleaseRow, ...]
    service: str
    services: tuple[str, ...]


class ReleasePage(ReleaseRow, frozen=True, kw_only=True):
    """One release with everything it is made of."""

    manifest: Manifest


class ReleasePromoted(ReleasePage, frozen=True, kw_only=True):
    """What became of a release that somebody promoted.

    Attributes:
        rollout: Id of what judges it first; empty where it serves at once.
        judge: How: `canary`, which is shown to some users, or `shadow`, which is not shown.
        share: Share (0-1) of users that meet it, or of requests that it shadows, to begin with.
        forecast: How long that takes at the present traffic.
    """

    rollout: str = ""
    judge: str = ""
    share: float | None = None
    forecast: Forecast | None = None


class ActionShown(Struct, frozen=True, kw_only=True):
    """One act of a person or of Roadworthy; `hash` covers it and `previous`, the hash before."""

    seq: int
    at: Time
    by: str
    action: str
    subject: str
    detail: dict[str, Any]
    previous: str
    hash: str


class Lineage(Struct, frozen=True, kw_only=True):
    """Everything that led to one answer.

    Attributes:
        release: What answered; None where no release was reached or it cannot be read.
        problem: Why the release cannot be read; empty when it can.
        model: The pin of the model that answered; None where none of the release's did.
        promotions: The acts that let the release serve, or serve again, newest first.
        logged: What training code or another registry said of the model's file, if anything.
    """

    record: RequestPage
    release: ReleasePage | None
    problem: str
    model: PinnedModel | None
    promotions: tuple[ActionShown, ...]
    as_released: AsReleased | None
    logged: LoggedModel | None


class KeyShown(Struct, frozen=True, kw_only=True):
    """One key; its secret is stored nowhere.

    Attributes:
        services: The services it may call and see; empty means all.
    """

    id: str
    name: str
    scopes: tuple[str, ...]
    services: tuple[str, ...]
    team: str
    per_day_usd: float | None
    created_at: Time
    expires: Time | None
    revoked_at: Time | None
    state: Literal["valid", "expired", "revoked"]


class Keys(Struct, frozen=True, kw_only=True):
    """Every key ever created, oldest first.

    Attributes:
        sentence: How many are valid.
        services: What a new key can be limited to.
        scopes: What some route asks for; a scope that none asks for yet is not there.
    """

    sentence: str
    keys: tuple[KeyShown, ...]
    services: tuple[str, ...]
    scopes: tuple[ScopeMeant, ...]


class KeyMade(Struct, frozen=True, kw_only=True):
    """A new key with its secret, which is shown this once."""

    key: str
    id: str
    name: str
    scopes: tuple[str, ...]
    services: tuple[str, ...]
    team: str
    per_day_usd: float | None
    expires: Time | None


class KeyRevoked(Struct, frozen=True, kw_only=True):
    """A key that is refused from now on."""

    id: str
    state: Literal["revoked"]


class JobShown(Struct, frozen=True, kw_only=True):
    """How a job stands.

    Attributes:
        every_s: Seconds of the project's time from one start to the next.
        last_run: When it started last; None if it never did.
        last_error: Why the last run failed; empty when it did not.
        failures: Runs that failed since one succeeded.
        lease_owner: The process that runs it now; empty when none does.
    """

    name: str
    every_s: int
    last_run: Time | None
    last_ms: int | None
    last_result: str
    last_error: str
    failures: int
    lease_owner: str
    lease_until: Time | None


class Jobs(Struct, frozen=True, kw_only=True):
    """Every periodic job, by name."""

    jobs: tuple[JobShown, ...]


class Actions(Struct, frozen=True, kw_only=True):
    """One page of the audit chain, newest first; `before` asks for the next, None ends."""

    actions: tuple[ActionShown, ...]
    before: int | None


class ClockShown(Struct, frozen=True, kw_only=True):
    """The project's time, and whether an admin key may set it."""

    now: Time
    clock: Literal["system", "settable"]


class Health(Struct, frozen=True, kw_only=True):
    """Whether everything works; `trouble` says what does not, by part.

    Attributes:
        warnings: Service → what is not as it was where its release was built.
    """

    status: Literal["ok", "degraded"]
    trouble: dict[str, str]
    in_flight: int
    warnings: dict[str, tuple[str, ...]] = {}


class Forgotten(Struct, frozen=True, kw_only=True):
    """What was removed of a user, and the pseudonym that now stands in their place."""

    pseudonym: str
    records: int
    bodies: int
    outcomes: int
