"""What comes in, what is known on the way, and what goes out: the values the engine works on."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Any, Literal
from typing import Protocol as Shape

import msgspec

from ..bounds.in_force import Within
from ..cost.limits import Limit, Rate
from ..errors import RoadworthyError
from ..types import (
    Answer,
    Arm,
    Attempt,
    Call,
    Caller,
    Disposition,
    Hold,
    Key,
    Pair,
    SpoolEntry,
    Usage,
    Verdict,
)
from .trees import Place, Tree

if TYPE_CHECKING:
    from ..review.desk import Decision
    from .learned import Learned
    from .opened import OpenRelease

Protocol = Literal["native", "openai", "oip", "python"]


class Journal(Shape):
    """Where the engine writes down what happens, before an answer is sent: the spool."""

    @property
    def is_full(self) -> bool:
        """Whether there is no room for another entry."""

    @property
    def trouble(self) -> str:
        """Why not."""

    def append(self, entry: SpoolEntry) -> None:
        """Keep an entry.

        Raises:
            OverflowError: It holds a number that cannot be written.
        """


class Meeting(Shape):
    """Where requests meet a candidate: the split of its service."""

    def meet(self, plan: Plan) -> None:
        """Decide whether the candidate answers a request that has just begun."""

    def settled(self, plan: Plan) -> None:
        """Take note of how a request ended that it met."""


Told = Callable[[Answer | None, str], None]
"""Called with an answer that nobody was shown, None where none came, and the id of its record."""


class Audits(Shape):
    """What asks again, unseen, and keeps what a comparison says. Of rehearsals there are none."""

    def ask(self, plan: Plan, told: Told, *, first: tuple[str, ...] = ()) -> bool:
        """Let a settled request be answered once more in the background, not from the cache.

        Args:
            plan: As it ended.
            told: Called with what came.
            first: The models to be tried first; empty leaves it to the order of the file.

        Returns:
            Whether it will be: too many may wait.
        """

    def keep(self, pair: Pair) -> None:
        """Write a pair of answers to the spool."""


class AnswerCache(Shape):
    """What gives answers again: the cache of a release.

    Attributes:
        within: What is certified of its reuse for another question; replaced when that changes.
        audits: Asks again, unseen; None in a rehearsal.
        scorer: Which score its pairs bear: the id of a frozen one, empty where it gives none.
    """

    within: Within
    audits: Audits | None

    @property
    def scorer(self) -> str:
        """Which score its pairs bear."""

    async def find(self, plan: Plan, call: Call) -> Answer | None:
        """Return an answer to give again, and note on the plan where it is from."""

    def settled(self, plan: Plan) -> None:
        """Take note of how a request ended: keep its answer, or compare what was given again."""

    def find_stale(self, call: Call) -> Answer | None:
        """Return an answer to the same question whose time is over, for the ladder."""

    def forget(self, request_id: str) -> None:
        """Never give the answer of a request again: it was corrected."""

    def forget_user(self, user: str) -> int:
        """Forget all that a user was answered, and return how much that was."""

    async def close(self) -> None:
        """End what is at work for it."""


class Router(Shape):
    """What chooses the model of a request.

    Attributes:
        within: What is certified of cheaper models; replaced when that changes.
        audits: Asks again, unseen; None in a rehearsal.
        learned: What predicts how good models are, frozen; None until there is one. Replaced when
            a better one was fitted.
    """

    within: Within
    audits: Audits | None
    learned: Learned | None

    @property
    def scorer(self) -> str:
        """Which score its pairs bear: the id of a frozen one, empty while there is none."""

    async def choose(self, plan: Plan, call: Call) -> None:
        """Leave on the call which models are tried first, and on the plan why."""

    def settled(self, plan: Plan) -> None:
        """Take note of how a request ended: compare its answer with the reference's."""

    async def close(self) -> None:
        """End what is at work for it."""


class Request(msgspec.Struct, kw_only=True):
    """One question to one service, whatever protocol it came by.

    Attributes:
        key: Who asks, where that is known without a header: calls from the same process.
        input: Fields of a predict or variables of a generate; empty where a chat client sent a
            `body`, which the engine reads.
        body: OpenAI chat parameters and messages, values still JSON bytes.
        user, role, tags, parent, conversation: From headers or the native body; `user` and `role`
            need `act_as`.
        deadline_ms: A client may ask for less time than declared, never for more.
        cache: What the client wants of the cache: `no-cache`, a fresh answer, which may be kept;
            `no-store`, that nothing of it is looked for or kept.
        started_ns: `time.perf_counter_ns()` when the request began to arrive.
    """

    service: str
    authorization: bytes = b""
    key: Key | None = None
    protocol: Protocol = "native"
    input: dict[str, Any] = msgspec.field(default_factory=dict)
    body: dict[str, msgspec.Raw] = msgspec.field(default_factory=dict)
    is_stream: bool = False
    user: str = ""
    role: str = ""
    parent: str = ""
    conversation: str = ""
    tags: tuple[str, ...] = ()
    deadline_ms: float | None = None
    cache: Literal["", "no-cache", "no-store"] = ""
    started_ns: int = msgspec.field(default_factory=time.perf_counter_ns)


class Plan(msgspec.Struct, kw_only=True):
    """One request on its way through the engine; each step fills its part.

    Attributes:
        digest: By which the same input is known again; only of services with a desk.
        draft: The model's answer that was up for a decision, given or not.
        decision: What was decided of it.
        review_id: The review that waits for a person in place of an answer.
        split: What it met, while its service has a candidate.
        arm, canary, propensity: Who answers, in which rollout, with which chance.
        entity: What it is about, while that decides who answers.
        is_shadowed: Whether the candidate answers it too, once it has ended.
        route: How its model was chosen, for the record; None where the order of the file decides.
        below: The request that asked for this one, where it was met here a moment ago.
        tree: What it and all it asks for may spend together; None where no ceiling says that.
        limited: The rate limits that it counts against, and as how many tokens.
        rates: What was left of them.
    """

    request: Request
    id: str
    at_us: int
    caller: Caller
    release: OpenRelease
    marked_ns: int
    call: Call | None = None
    hold: Hold | None = None
    answer: Answer | None = None
    error: RoadworthyError | None = None
    error_code: str = ""
    disposition: Disposition = "failed"
    attempts: list[Attempt] = msgspec.field(default_factory=list)
    verdicts: tuple[Verdict, ...] = ()
    features: dict[str, Any] | None = None
    digest: str = ""
    cache: dict[str, Any] | None = None
    draft: Answer | None = None
    decision: Decision | None = None
    score: float | None = None
    signals: tuple[float | None, ...] = ()
    confidence: float | None = None
    review_id: str = ""
    reasons: list[str] = msgspec.field(default_factory=list)
    timings: dict[str, int] = msgspec.field(default_factory=dict)
    cost_micro: int = 0
    latency_us: int = 0
    first_token_us: int = 0
    split: Meeting | None = None
    arm: Arm = "champion"
    canary: str = ""
    propensity: float = 1.0
    entity: str = ""
    is_shadowed: bool = False
    route: dict[str, Any] | None = None
    below: Place | None = None
    tree: Tree | None = None
    limited: tuple[tuple[Limit, ...], int] | None = None
    rates: tuple[Rate, ...] = ()

    @property
    def model(self) -> str:
        """The model that answered, or the one that is being asked."""
        if self.answer is not None:
            return self.answer.model
        return self.call.asked if self.call is not None else ""

    def mark(self, step: str) -> None:
        """Note how many microseconds have passed since the last mark as the time of `step`."""
        now = time.perf_counter_ns()
        self.timings[step] = (now - self.marked_ns) // 1000
        self.marked_ns = now


class Reply(msgspec.Struct, kw_only=True):
    """What goes back to whoever asked.

    Attributes:
        completion: The upstream's own chat completion, to be passed on untouched.
        content: The JSON as text, where the output had to be JSON.
        review_id: What waits for a person, for `review`.
        cache: Why an answer was given again: `exact`, `semantic`, `stale`, `correction`.
        is_cut_off: Whether the answer ended at its limit of tokens; it is not whole.
        error: Why there is no answer, for `refused` and `failed`.
        first: For a stream, its first events.
        events: For a stream, the rest of its events; when they end, everything is settled.
        rates: What is left of the rate limits that it counted against.
    """

    request_id: str
    service: str
    disposition: Disposition
    release: str = ""
    model: str = ""
    output: Any = None
    completion: bytes | None = None
    content: str = ""
    finish_reason: str = "stop"
    usage: Usage | None = None
    confidence: float | None = None
    cost_micro: int = 0
    latency_us: int = 0
    reasons: tuple[str, ...] = ()
    review_id: str = ""
    cache: str = ""
    is_cut_off: bool = False
    error: RoadworthyError | None = None
    first: bytes = b""
    events: AsyncGenerator[bytes, None] | None = None
    at_us: int = 0
    rates: tuple[Rate, ...] = ()
