"""What the pages about releases show: the values behind the pages and their twins under `/api`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from .evaluation_figures import EvaluationRow, PairedShown, SliceShown
from .shapes import Given, Name, Page, ReleasePage, Stopped
from .states import State
from .units import Time


class TimelineQuery(Given, frozen=True):
    """Which part of a service's releases to show."""

    before: Annotated[Name, Meta(description="The `before` of the page above this one.")] = ""
    limit: Page = 40


class CompareQuery(Given, frozen=True):
    """Which two releases to compare; by default what serves with its candidate."""

    a: Annotated[Name, Meta(description="The one that is compared with.")] = ""
    b: Annotated[Name, Meta(description="The one that is to ship.")] = ""


class MoveShown(Struct, frozen=True, kw_only=True):
    """One change of what serves.

    Attributes:
        kind: `promote` or `rollback`.
        did: The same in words.
        rollout: The rollout that brought it about; empty where a person did.
    """

    id: str
    at: Time
    kind: str
    did: str
    from_release: str
    to_release: str
    by: str
    why: str
    rollout: str


class Band(Struct, frozen=True, kw_only=True):
    """From when until when a release served; `until` is None while it does."""

    release: str
    since: Time
    until: Time | None


class ReleaseStands(Struct, frozen=True, kw_only=True):
    """One release of a service, and how far it has come.

    Attributes:
        roles: `champion`, `candidate`, `last_good`, as far as they are its.
        evaluation: The newest by suites; None while there is none.
        failing, open: How many of its gates fail, and are not decided.
        held, waived: How many hold, and are waived; nobody asks for the rest.
        gated: How many gates there are; 0 where they were not measured yet.
    """

    release: str
    built_at: Time
    by: str
    commit: str
    roles: tuple[str, ...]
    evaluation: EvaluationRow | None
    failing: int
    open: int
    held: int
    waived: int
    gated: int


class Timeline(Struct, frozen=True, kw_only=True):
    """Which release of a service served when, who decided it and why.

    Attributes:
        frozen: Who lets nothing else serve for now; None while anything may.
        says_frozen: The same in one sentence.
        rollout: The candidate on its way; None while there is none.
        last_good: What going back leads to; empty where nothing served before.
        before: Where the next page of moves begins; empty on the last.
    """

    says: str
    as_of: Time
    service: str
    champion: str
    candidate: str
    last_good: str
    frozen: Stopped | None
    says_frozen: str
    rollout: RolloutShown | None
    bands: tuple[Band, ...]
    moves: tuple[MoveShown, ...]
    releases: tuple[ReleaseStands, ...]
    before: str


class FigureShown(Struct, frozen=True, kw_only=True):
    """One metric of a rollout: candidate's less champion's, above 0 is worse.

    Attributes:
        units: Closed users of the candidate that it stands on.
        harm: Evidence that the candidate is worse, as a share of what rolls back; None while
            nothing is needed.
        gain: Evidence that it is not worse than allowed, as a share of what promotes.
        harm_level, gain_level: The same on a log scale: 0 is none, 1 is enough.
        needed: How many more units would decide it; None where that is not known.
        word: What it says by now; `state` is its colour and shape.
    """

    name: str
    label: str
    unit: Literal["share", "score"]
    units: int
    champion: float | None
    candidate: float | None
    difference: float | None
    low: float | None
    high: float | None
    harm: float | None
    gain: float | None
    harm_level: float
    gain_level: float
    needed: int | None
    word: str
    state: State


class LookShown(Struct, frozen=True, kw_only=True):
    """What one look saw of the metric that is drawn, and of the evidence of all."""

    at: Time
    units: int
    difference: float | None
    low: float | None
    high: float | None
    harm_level: float
    gain_level: float


class StepShown(Struct, frozen=True, kw_only=True):
    """One step of a rollout: the share (0-1) of users that meet the candidate."""

    number: int
    share: float
    standing: Literal["past", "now", "to come"]


class RolloutShown(Struct, frozen=True, kw_only=True):
    """One candidate on its way.

    Attributes:
        judge: `canary`, which is shown to some users, or `shadow`, which is not shown.
        word: How it stands; `state` is its colour and shape.
        says: What the evidence says by now, in sentences.
        next: What happens next, and when.
        verdict: `wait`, `advance`, `promote` or `roll_back`.
        allowed: How much worse it may be and still be promoted; None where that is not known.
        false_alarm, sure: What is promised of the verdict.
        figures: The worst first; the first is drawn.
        expected: When it is expected to be decided; None where that is not known.
    """

    id: str
    service: str
    champion: str
    candidate: str
    judge: str
    progress: str
    word: str
    state: State
    step: int
    share: float
    steps: tuple[StepShown, ...]
    started_at: Time
    step_at: Time
    ended_at: Time | None
    by: str
    why: str
    says: tuple[str, ...]
    next: str
    verdict: str
    allowed: float | None
    false_alarm: float | None
    sure: float | None
    figures: tuple[FigureShown, ...]
    expected: Time | None
    looks: tuple[LookShown, ...]


class RolloutRow(Struct, frozen=True, kw_only=True):
    """An earlier rollout in one line."""

    id: str
    candidate: str
    judge: str
    word: str
    state: State
    started_at: Time
    ended_at: Time | None
    by: str
    why: str


class RolloutPage(Struct, frozen=True, kw_only=True):
    """The newest rollout of a service, and those before it.

    Attributes:
        command: What begins one.
    """

    says: str
    as_of: Time
    service: str
    frozen: Stopped | None
    says_frozen: str
    last_good: str
    rollout: RolloutShown | None
    earlier: tuple[RolloutRow, ...]
    command: str


class WaiverShown(Struct, frozen=True, kw_only=True):
    """Who let a release ship although a gate does not hold, why, and until when."""

    by: str
    reason: str
    at: Time
    expires: Time
    is_near: bool


class GateShown(Struct, frozen=True, kw_only=True):
    """How a release stands to one gate.

    Attributes:
        gate: Its name; `label` the same as words.
        value, bar: What was measured and what is promised, written with their units.
        why: What decides it.
        refuses: Whether it keeps the release from serving.
        command: What measures it, where it is not.
        word: How it stands; `state` is its colour and shape.
        evidence: What it was measured from, in words; `link` leads there, else it is empty.
        digest: SHA-256 of the evidence.
        waiver: None where nobody waived it.
    """

    gate: str
    label: str
    value: str
    bar: str
    why: str
    word: str
    state: State
    refuses: bool
    at: Time | None
    digest: str
    evidence: str
    link: str
    command: str
    waiver: WaiverShown | None


class ApprovalShown(Struct, frozen=True, kw_only=True):
    """Which owner let a release ship."""

    owner: str
    by: str
    note: str
    at: Time


class Gates(Struct, frozen=True, kw_only=True):
    """How a release stands to all of its gates.

    Attributes:
        says: How many hold, are waived, fail and are open.
        owners: Role → person, of those who may approve.
        open: How many keep it from serving because nothing decides them yet.
        command: What measures them all.
    """

    says: str
    release: str
    gates: tuple[GateShown, ...]
    approvals: tuple[ApprovalShown, ...]
    owners: dict[str, str]
    failing: int
    open: int
    held: int
    waived: int
    command: str


class LoggedShown(Struct, frozen=True, kw_only=True):
    """What training code or another registry said of a model's file."""

    model: str
    digest: str
    name: str
    at: Time
    by: str
    facts: dict[str, str]


class ReleaseWhole(ReleasePage, frozen=True, kw_only=True):
    """One release: what it is made of, how far it came, and what happened to it."""

    says: str
    as_of: Time
    roles: tuple[str, ...]
    gates: Gates
    evaluations: tuple[EvaluationRow, ...]
    logged: tuple[LoggedShown, ...]
    moves: tuple[MoveShown, ...]
    frozen: Stopped | None


class Decides(Struct, frozen=True, kw_only=True):
    """Whether a release may ship: what is known, what is not, what decides it, who must act.

    Attributes:
        may: `yes`, `on_its_way`, `not_yet` or `no`.
        says: The headline.
        word: What stands beside the shape of `state`.
    """

    may: str
    says: str
    word: str
    state: State
    known: tuple[str, ...]
    unknown: tuple[str, ...]
    decided_by: str
    who: str


class Line(Struct, frozen=True, kw_only=True):
    """One line of a difference: `kind` is `plus`, `minus`, `hunk` or `same`."""

    kind: str
    text: str


class Changed(Struct, frozen=True, kw_only=True):
    """One file or one value that differs between two releases.

    Attributes:
        part: What it is: a path, a key, a model.
        before, after: As texts, of values; both empty for files.
        lines: The difference of a file, by line.
        is_cut: Whether it goes on.
    """

    part: str
    before: str
    after: str
    lines: tuple[Line, ...]
    is_cut: bool


class SideBySide(Struct, frozen=True, kw_only=True):
    """One number of both releases, written with its unit."""

    name: str
    a: str
    b: str
    difference: str
    interval: str
    n: str


class ComparePage(Struct, frozen=True, kw_only=True):
    """Two releases side by side: may the second ship?

    Attributes:
        evaluation: The one that compared them; None while there is none.
        paired, slices: From it, the worst first; without it, from what both were asked alike.
        outcomes: How often each was right, as far as outcomes of its answers are known.
        sides: Latency, cost and tokens.
        notes: What a reader must know of the comparison.
        changes: What differs: files, prompts, schemas, contracts, guards, the rest.
        environment: What differs in Python, packages and processor.
        problem: Why they cannot be compared in full; empty when they can.
        judge: How the service lets candidates meet traffic: `none`, `shadow` or `canary`.
    """

    says: str
    as_of: Time
    service: str
    a: str
    b: str
    a_built: Time
    b_built: Time
    a_roles: tuple[str, ...]
    b_roles: tuple[str, ...]
    verdict: Decides
    frozen: Stopped | None
    says_frozen: str
    rollout: RolloutShown | None
    gates: Gates
    evaluation: EvaluationRow | None
    paired: tuple[PairedShown, ...]
    outcomes: tuple[PairedShown, ...]
    slices: tuple[SliceShown, ...]
    sides: tuple[SideBySide, ...]
    notes: tuple[str, ...]
    changes: tuple[Changed, ...]
    environment: tuple[Changed, ...]
    problem: str
    others: tuple[str, ...]
    judge: str
    command: str
