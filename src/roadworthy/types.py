"""The values that rooms hand to each other, and the protocols they meet through."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from .drafts import Draft as Draft
from .drafts import DraftPath as DraftPath
from .drafts import Outcome as Outcome
from .drafts import Pair as Pair
from .drafts import PairDecision as PairDecision
from .drafts import Review as Review
from .drafts import ReviewKind as ReviewKind

Kind = Literal["predict", "generate"]
Disposition = Literal["answered", "cached", "fallback", "review", "refused", "failed"]
Arm = Literal["champion", "candidate", "shadow", "audit"]
SHOWN: tuple[Arm, ...] = ("champion", "candidate")
"""The arms whose answers were given to somebody; what users got is counted over these alone."""
VerdictName = Literal["allow", "ask", "deny", "redact", "not_run"]
Scope = Literal["answer", "read", "review", "release", "budget", "push", "admin", "act_as"]
Named = Mapping[str, Collection[str]]
MICRO = 1_000_000
DAY_US = 86_400 * MICRO
HOUR_US = 3_600 * MICRO


class Clock(Protocol):
    """Where every time comes from, so that a replay can live in another year."""

    def now_us(self) -> int:
        """Return the project's time in Unix microseconds, UTC."""

    def monotonic(self) -> float:
        """Return seconds for durations and deadlines, the event loop's own time base."""


class SystemClock:
    """The machine's own clock."""

    def now_us(self) -> int:
        """Return the wall clock in Unix microseconds, UTC."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """Return `time.monotonic()`, which asyncio's `loop.time()` reads too."""
        return time.monotonic()


class SettableClock(SystemClock):
    """A clock that can be set and then runs on at the machine's pace.

    Args:
        offset_us: By how much it differs from the machine's.
        remember: Called with the offset whenever it is set.
    """

    def __init__(
        self, offset_us: int = 0, remember: Callable[[int], None] = lambda offset_us: None
    ) -> None:
        self._offset_us = offset_us
        self._remember = remember

    def set(self, now_us: int) -> None:
        """Make it `now_us`."""
        self._offset_us = now_us - time.time_ns() // 1000
        self._remember(self._offset_us)

    def now_us(self) -> int:
        """Return the time that was set plus what has passed since."""
        return time.time_ns() // 1000 + self._offset_us


class Ids:
    """Time-ordered ids: `rq_` + 12 hex of milliseconds + 5 of a counter + 9 of this process.

    Random ids cost the store seven times as much, because every insert meets a cold page.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._process = os.urandom(5).hex()[:9]
        self._count = 0

    def new(self, prefix: str, at_us: int | None = None) -> str:
        """Return a new id that sorts by `at_us`, by default now."""
        self._count = (self._count + 1) & 0xFFFFF
        ms = (self._clock.now_us() if at_us is None else at_us) // 1000
        return f"{prefix}_{ms:012x}{self._count:05x}{self._process}"


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong in a declaration."""

    path: str
    expected: str
    got: str
    file: str
    advice: str = ""

    def __str__(self) -> str:
        advice = f"; {self.advice}" if self.advice else ""
        return f"{self.path}: expected {self.expected}, got {self.got} - {self.file}{advice}"


class Key(msgspec.Struct, frozen=True):
    """What a caller's key may do. The key itself is stored only as a hash.

    Attributes:
        services: Names of the services it may call; empty means all.
        per_day_micro: Its own ceiling in micro-dollars a day, if it has one.
        expires_us: Unix microseconds after which it is refused.
    """

    id: str
    name: str
    scopes: frozenset[str]
    services: frozenset[str] = frozenset()
    team: str = ""
    per_day_micro: int | None = None
    expires_us: int | None = None


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Tokens a model counted; cached ones are part of the input, reasoning ones of the output.

    Attributes:
        cache_write_tokens: Of the input, those that the provider wrote to its cache.
        audio_input_tokens, audio_output_tokens: Of input and output, those that were sound.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cache_write_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0


class Attempt(msgspec.Struct, frozen=True, gc=False):
    """One try of one model. `status` is `ok` or the code of the error that ended it.

    Attributes:
        provider: Whose it is, as roadworthy.toml names it; left here by the chain.
        mended: What had to be done before its output kept its schema: `` (nothing), `repair` (its
            text was no clean JSON) or `reask` (it was asked again).
        is_cut_off: Whether the answer ended at its limit of tokens.
        retry: Which try of this model it was, from 0.
        cause: What was wrong upstream, as `errors.Cause`; empty where nothing was.
        input_bytes: Bytes of JSON that went up, where that was counted.
    """

    model: str
    status: str
    us: int
    usage: Usage | None = None
    cost_micro: int = 0
    price_source: str = ""
    detail: str = ""
    provider: str = ""
    mended: str = ""
    is_cut_off: bool = False
    retry: int = 0
    cause: str = ""
    input_bytes: int = 0


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What one guard said, about what (`input` or `output`), and how long it took.

    Attributes:
        is_open: Whether the guard is declared `fail = "open"`: where it did not run, it lets pass.
    """

    guard: str
    on: Literal["input", "output"]
    verdict: VerdictName
    reason: str = ""
    us: int = 0
    is_open: bool = False

    @property
    def is_acceptable(self) -> bool:
        """Whether it lets pass; a guard that did not run does so only where it is declared open."""
        return self.verdict in ("allow", "redact") or (self.verdict == "not_run" and self.is_open)


class Judgement(msgspec.Struct, frozen=True):
    """What the checks say of one answer.

    Attributes:
        schema: Why the output breaks its schema; empty when it keeps it.
        schema_us: Microseconds the schema took.
        unsure: Why it is not given although it might be shown: a dearer model is asked first.
        mendable: What the model may be told, so that it writes its JSON again; empty where that
            helps nothing.
        confidence: Calibrated probability that the answer is right; None until calibrated.
    """

    schema: str = ""
    verdicts: tuple[Verdict, ...] = ()
    confidence: float | None = None
    schema_us: int = 0
    unsure: str = ""
    mendable: str = ""

    @property
    def is_acceptable(self) -> bool:
        """Whether the answer may be shown."""
        if self.schema or self.unsure:
            return False
        return all(verdict.is_acceptable for verdict in self.verdicts)

    @property
    def reason(self) -> str:
        """The first thing that speaks against the answer, or an empty string."""
        if self.schema:
            return f"schema: {self.schema}"
        bad = (verdict for verdict in self.verdicts if not verdict.is_acceptable)
        return next((f"guard `{v.guard}`: {v.reason or v.verdict}" for v in bad), self.unsure)


class Caller(msgspec.Struct, frozen=True):
    """Who asks: the key, and on whose behalf."""

    key: Key
    user: str
    role: str = ""
    parent: str = ""
    tags: tuple[str, ...] = ()
    conversation: str = ""


class Sentence(msgspec.Struct, frozen=True, gc=False):
    """A sentence and how well it fits (0-1): a question it may answer, or what supports it."""

    text: str
    score: float


class Passage(msgspec.Struct, frozen=True):
    """A part of a page that was found for a question.

    Attributes:
        file: The page, relative to the folder of all pages.
        heading: The headings above it, outermost first, joined by ` > `.
        score: How near the question it is (0-1).
        sentences: Its sentences in their order, each with how near the question it is.
    """

    file: str
    heading: str
    text: str
    score: float = 0.0
    sentences: tuple[Sentence, ...] = ()


class PassageFound(msgspec.Struct, frozen=True, gc=False):
    """Which passage was found for a question, without its text.

    Attributes:
        score: How near the question it is (0-1).
    """

    file: str
    heading: str
    score: float


Support = Callable[[str, Sequence[Passage]], tuple[Sentence, ...]]
"""Gives each sentence of an answer with how well (0-1) the passages support it."""


class Embedder(Protocol):
    """What makes vectors of texts, near each other where the texts mean alike.

    Attributes:
        name: Which model it is, so that vectors of another are not mixed with its own.
        dimensions: How many numbers a vector has.
    """

    name: str
    dimensions: int

    def embed(self, texts: Sequence[str]) -> Any:
        """Return (n, dimensions) float32, rows of length 1, one per text.

        Raises:
            ModelUnavailable: It failed inside.
        """

    def count(self, text: str) -> int:
        """Return how many tokens a text is."""


class Pages(Protocol):
    """A folder of pages, read: finds passages in it, and says what they support."""

    def find(self, question: str) -> tuple[Passage, ...]:
        """Return the passages for a question, nearest first; none where none is near enough.

        Raises:
            ModelUnavailable: It failed inside.
        """

    def support(self, text: str, passages: Sequence[Passage]) -> tuple[Sentence, ...]:
        """Return each sentence of `text` with how well (0-1) the passages support it.

        Raises:
            ModelUnavailable: It failed inside.
        """


class Signals(Protocol):
    """What reads texts on this machine: an embedder, and pages that are searched with it."""

    def embedder(self) -> Embedder:
        """Return the embedder that all share.

        Raises:
            MissingExtra: It is not installed.
        """

    def open_pages(
        self,
        folder: Path,
        cache: Path,
        *,
        top_k: int,
        max_tokens: int,
        min_score: float,
        dedupe: float = 1.0,
        choose: Literal["nearest", "value"] = "nearest",
    ) -> Pages:
        """Read a folder of pages.

        Args:
            folder: Where they lie.
            cache: Where what is computed of them is kept for the next start.
            top_k: Most passages of one answer.
            max_tokens: Most tokens of all passages of one answer together.
            min_score: Passages less near (0-1) than this are left out.
            dedupe: A passage as near as this (0-1) to one that is given is left out.
            choose: Whether the nearest are given, or those that say most for their tokens.

        Raises:
            MissingExtra: What reads them is not installed.
            DeclarationError: There are no pages, or they are no UTF-8 text.
            ModelUnavailable: It failed inside.
        """


OpenSignals = Callable[[], Signals]
"""Gives what reads texts; only then are its packages imported."""


class FeatureVector(Protocol):
    """The features of one request."""

    @property
    def values(self) -> dict[str, Any]:
        """Feature → value, null where nothing fresh is known."""

    def as_record(self) -> dict[str, Any]:
        """Return what a record keeps of it, as JSON values."""


class FeatureSource(Protocol):
    """Gives the features of a service's views, opened once for a release.

    Attributes:
        contracts: Source → the contract version that its views were registered with.
        views: View and version → the features it gives.
    """

    contracts: dict[str, str]
    views: Mapping[str, tuple[str, ...]]

    def vector(self, input: Mapping[str, Any]) -> FeatureVector:
        """Return the features of the entities that `input` names, as they are known now.

        Raises:
            StoreError: The online store cannot be read.
        """


class Pushed(msgspec.Struct, frozen=True):
    """What a push of features did; rows that are not `taken` were no newer than what is online."""

    view: str
    rows: int
    taken: int


class Features(Protocol):
    """The feature views of a project at work."""

    def open_source(
        self, views: Sequence[str], input_fields: Sequence[str] | None = None
    ) -> FeatureSource:
        """Return what gives a service its features: open it once for a release.

        Raises:
            NotFound, DeclarationError: A view is not registered, or does not fit the service.
        """

    def push(self, name: str, rows: Sequence[Mapping[str, Any]]) -> Pushed:
        """Put single rows of a view online where they are newer.

        Raises:
            NotFound, ContractViolation: It is not registered, or a row breaks its contracts.
        """

    def fill_all(self, served: Sequence[str] = ()) -> str:
        """Fill every newest view, and those that are served, and say how it went, as a job does."""

    def states(self, names: Sequence[str] | None = None) -> Sequence[Any]:
        """Return how new these views are, by default all: `ViewState`s of data/features.py."""

    def measure_skew(self, views: Named, sets: Mapping[str, str], personal: Named) -> str:
        """Hold what services were served against their views and training sets, as a job does."""

    def close(self) -> None:
        """Close the online store."""


OpenSource = Callable[[Sequence[str], Sequence[str] | None], FeatureSource]
"""Gives the features of these views, for an input of these fields."""
OpenFeatures = Callable[[], Features]
"""Gives the feature views at work; only then are their packages imported."""


class CallSize(msgspec.Struct, frozen=True, gc=False):
    """How large a call is, as far as its price depends on it.

    Attributes:
        input_bytes: Bytes of JSON that go up; no tokenizer makes more tokens than bytes of them.
        images: Image parts, which are priced by themselves.
        output_tokens: The client's own limit, or None.
        choices: How many completions it asks for.
    """

    input_bytes: int
    images: int = 0
    output_tokens: int | None = None
    choices: int = 1


class Call(msgspec.Struct):
    """What a model is asked.

    Attributes:
        input: Fields of a predict, variables of a generate.
        body: For a generate, the OpenAI chat body without `model`; values still JSON bytes, so that
            what nobody needs to read is passed through untouched.
        deadline: Monotonic seconds by which the answer must be there.
        size: How large it is; None where nothing is metered.
        max_cost_micro: What it may cost in all, in micro-dollars; None where nothing is metered.
        is_covered: Whether that pays for all tries together, so that the first needs no look.
        max_output_tokens: The most a model may write; None leaves it to the client's own limit.
        caller: Who asks, for guards and expressions.
        passages: What was found for the question; empty where nothing is looked up.
        support: Says how well passages support an answer; None where nothing is looked up.
        given, kept_micro: What came, and the money, kept for the rung that served before.
        asked: Name of the model that is being asked, left here by the chain.
        unfinished: What a try that was cancelled had used by then, left here by the model.
        verdicts: What guards said of every answer that was judged, left here by the chain.
        before: Tries of the model that is being asked that are over and priced, left here by a
            model that asks it several times, where the last was cancelled.
        abandoned: All tries of a chain that was cancelled, left here by the chain.
        barred: Providers that are passed over: their own ceilings leave no room.
        first: Names of the models that a router wants to be tried before the others, in order.
        accepts: Says why a cheaper model's answer is not sure enough to be given, or nothing; left
            here by a cascade. None takes every answer that may be shown.
        left_micro: Money for all tries of the model that is being asked, left here by the chain;
            None where nothing is metered.
        context: What it is made of in tokens, and what went out of it, for the record.
        forgotten, forgotten_at: Messages that went out and are to be summarised, and where.
        summary_micro: The most that this may cost.
        output_schema: JSON Schema that the output has to keep, for providers that can be told so;
            empty where none is declared.
        vector: (d,) float32 of the question, once somebody needed it; see `serve/vectors.py`.
        looked: What the cache found of it, left here until it is settled.
        reused: Of an answer whose time was over, where it is from; left here by `stale_cache`.
        static_messages: How many of the first messages are the same in each call of a prompt, so
            that a provider can keep what it read of them.
        static_characters: Of the message after those, how many characters of its text are so too.
        static_key: By which they are known to be the same; empty where none are.
        id: The request's, by which coins fall.
        spent_micro: What its tries have cost by now, left here by each chain for the next.
    """

    input: dict[str, Any]
    caller: Caller
    deadline: float
    body: dict[str, msgspec.Raw] = msgspec.field(default_factory=dict)
    size: CallSize | None = None
    max_cost_micro: int | None = None
    is_covered: bool = False
    max_output_tokens: int | None = None
    asked: str = ""
    unfinished: Attempt | None = None
    verdicts: tuple[Verdict, ...] = ()
    abandoned: tuple[Attempt, ...] = ()
    before: tuple[Attempt, ...] = ()
    passages: tuple[Passage, ...] = ()
    support: Support | None = None
    given: tuple[dict[str, Any], dict[str, msgspec.Raw]] | None = None
    kept_micro: int = 0
    barred: frozenset[str] = frozenset()
    first: tuple[str, ...] = ()
    output_schema: bytes = b""
    vector: Any = None
    looked: Any = None
    reused: dict[str, Any] | None = None
    accepts: Callable[[Answer], str] | None = None
    left_micro: int | None = None
    context: dict[str, Any] | None = None
    forgotten: tuple[dict[str, Any], ...] = ()
    forgotten_at: int = 0
    summary_micro: int = 0
    static_messages: int = 0
    static_characters: int = 0
    static_key: str = ""
    id: str = ""
    spent_micro: int = 0


class Answer(msgspec.Struct, kw_only=True):
    """What came back.

    Attributes:
        model: The declared name of the model that gave it.
        output: The prediction or `{"text": …}`/JSON output; None while only `completion` is read.
        completion: The OpenAI chat completion as its upstream sent it, if there is one.
        mended: As in `Attempt`.
        content: The JSON as text, where the output had to be JSON; a chat shows it.
        finish_reason: Why the text ended: `stop`, `length`, `tool_calls`, `content_filter`.
        judgement: What the judge said, where a chain had to judge to accept it.
    """

    model: str
    output: Any = None
    completion: bytes | None = None
    usage: Usage | None = None
    finish_reason: str = "stop"
    attempts: tuple[Attempt, ...] = ()
    judgement: Judgement | None = None
    mended: str = ""
    content: str = ""

    @property
    def is_cut_off(self) -> bool:
        """Whether it ended at its limit of tokens."""
        return self.finish_reason == "length"


class Model(Protocol):
    """Anything that answers. Failover, cascade and batch are models that hold models.

    Attributes:
        name: The name the declaration gives it.
    """

    name: str

    async def answer(self, call: Call) -> Answer:
        """Answer `call` before its deadline.

        Raises:
            ModelError: It could not; `attempts` says what was tried and what it cost.
        """

    def stream(self, call: Call) -> AsyncGenerator[bytes | Answer, None]:
        """Yield server-sent events as they come, each whole with its blank line, then the `Answer`.

        Raises:
            ModelError: It could not, or stopped in the middle.
        """

    async def close(self) -> None:
        """Free what it holds."""


Judge = Callable[[Call, Answer], Judgement]


class Hold(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="h"):
    """A reservation: what was set aside before a call, in which scopes, until when.

    Attributes:
        id: The request's id; its record settles the hold.
        scopes: Names of the ceilings it counts against.
        lease_us: Unix microseconds after which a hold that its process left unsettled no longer
            counts.
        parts: Scopes that hold another amount than `micro`, each with that: those of providers;
            None where there are none.
    """

    id: str
    at_us: int
    scopes: tuple[str, ...]
    micro: int
    lease_us: int
    service: str = ""
    key: str = ""
    kind: Kind = "generate"
    parts: dict[str, int] | None = None


class Record(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="r", kw_only=True):
    """The one row that every request leaves. New fields go to the end, with a default.

    Attributes:
        scopes: The ceilings that `cost_micro` counts against, as in the hold it settles.
        timings: Microseconds per step of the engine, in the order they ran.
        is_late: Whether it took longer than `objectives.latency_p95_ms`.
        input: The request's body as JSON bytes, as `[records] bodies` allows; `output` likewise.
        passages: What was found for the question, nearest first; None where nothing was looked up.
        score: How sure the score model is; None where unknown or not asked.
        review: The review that waits for a person, or that looks at what was given.
        decided: Whether the answer was given `alone`, and what decided that, in one sentence.
        warnings: What is not as it was where the release was built, and may decide answers.
        route: How its model was chosen: strategy, choice, why, score and certificate; None where
            the order of the file decides.
        is_cut_off: Whether the answer that was given ended at its limit of tokens.
        prompt: Version of the prompt that was written; empty where none is declared.
        context: Tokens of prompt, passages, history and output, and what was left out of them; None
            where no `[context]` is declared.
    """

    id: str
    at_us: int
    service: str
    kind: Kind
    disposition: Disposition
    release: str = ""
    arm: Arm = "champion"
    canary: str = ""
    propensity: float = 1.0
    key: str = ""
    team: str = ""
    user: str = ""
    entity: str = ""
    conversation: str = ""
    role: str = ""
    parent: str = ""
    tags: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    error_code: str = ""
    model: str = ""
    attempts: tuple[Attempt, ...] = ()
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost_micro: int = 0
    reserved_micro: int = 0
    price_source: str = ""
    scopes: tuple[str, ...] = ()
    confidence: float | None = None
    certificates: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    features: dict[str, Any] | None = None
    contracts: dict[str, str] | None = None
    cache: dict[str, Any] | None = None
    timings: dict[str, int] = msgspec.field(default_factory=dict)
    latency_us: int = 0
    first_token_us: int = 0
    is_late: bool = False
    is_stream: bool = False
    protocol: str = ""
    declaration_hash: str = ""
    environment_hash: str = ""
    input: bytes | None = None
    output: bytes | None = None
    passages: tuple[PassageFound, ...] | None = None
    score: float | None = None
    review: str = ""
    decided: str = ""
    warnings: tuple[str, ...] = ()
    route: dict[str, Any] | None = None
    is_cut_off: bool = False
    prompt: str = ""
    context: dict[str, Any] | None = None


SpoolEntry = Hold | Record | Outcome | Draft | Review | Pair
