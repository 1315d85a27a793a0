"""The desk of a service: decides of each answer whether it is given alone, and writes down why."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from ..declare.review import Outcomes
from ..declare.service import ServiceDeclaration
from ..errors import ModelError
from ..risk.coin import is_drawn
from ..types import Answer, Call, Caller, Draft, DraftPath, Review, ReviewKind
from .capacity import Capacity
from .scoring import Calibrate, Scored, Scorer
from .triggers import Triggers

_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.decode


class InForce(msgspec.Struct, frozen=True):
    """What is in force for the automatic decision of one service, in every process.

    Attributes:
        certificate: The certificate that holds; empty while none does.
        threshold: Least score that is let pass; None while nothing is certified.
        release, scorer: What it was certified for: another release or score model has none.
        audit_share: Share of what is given alone that people look at all the same.
        ask_share: Share of the rest that people are asked; the others go down the ladder.
        is_stopped: Whether a person stopped it, or wants to be asked of everything.
        groups: The groups that it was certified for, like `size=big`; None where none is declared.
    """

    certificate: str = ""
    threshold: float | None = None
    release: str = ""
    scorer: str = ""
    audit_share: float = 1.0
    ask_share: float = 1.0
    is_stopped: bool = False
    groups: tuple[str, ...] | None = None


class Decision(NamedTuple):
    """What was decided of one answer.

    Attributes:
        why: What decided it, in one sentence.
        share: The chance with which an outcome was asked for.
        is_drawn: Whether one is.
        scorer: The score model that it was decided by.
    """

    path: DraftPath
    why: str
    share: float = 1.0
    is_drawn: bool = True
    certificate: str = ""
    scorer: str = ""


class Correction(NamedTuple):
    """What a person said instead of an answer, to whoever asks the same."""

    review_id: str
    output: Any


Corrections = Mapping[tuple[str, str], Correction]
"""Digest of an input and role → what a person said of it."""


class Desk:
    """Decides of each answer of one release.

    Args:
        service: The declaration, with a `[review]`.
        release_id: Which release it is of.
        owner: Who sees to its queue; empty where it has none.
        capacity: How many requests of a day people are asked.
        scorer: Says how sure an answer is.

    Attributes:
        release_id: Which release it is of.
        in_force: What is certified now; replaced when the switchboard changes.
        calibrate: Makes a confidence of a score; None until one is fitted.
        corrections: What people said instead; replaced likewise.
        scope: Says how far an input lies from what was asked before; None until that is learned.
    """

    def __init__(
        self,
        service: ServiceDeclaration,
        release_id: str,
        owner: str,
        capacity: Capacity,
        scorer: Scorer,
    ) -> None:
        if service.review is None:
            raise ValueError("expected a service with `[review]`")
        self.in_force = InForce()
        self.calibrate: Calibrate | None = None
        self.corrections: Corrections = {}
        self.scope: Callable[[Call], float] | None = None
        self.scorer = scorer
        self.policy = service.review
        self._service = service
        self._outcomes = service.outcomes
        self.release_id = release_id
        self._owner = owner
        self._capacity = capacity
        self._triggers = Triggers(self.policy.when)

    @property
    def variable(self) -> str:
        """The field of the input that a chat's question is; empty where it has none."""
        chat = self._service.chat
        return (chat.variable if chat is not None else None) or ""

    def confidence_of(self, score: float | None) -> float | None:
        """Return the calibrated probability that an answer is right; None until one was fitted.

        Of an answer without a score it is 0: what is unknown counts as nothing.
        """
        if self.calibrate is None:
            return None
        return self.calibrate(math.nan if score is None else score)

    def known(self, digest: str, caller: Caller) -> Correction | None:
        """Return what a person said of the same input before, if anybody did."""
        return self.corrections.get((digest, caller.role))

    def decide(
        self, request_id: str, at_us: int, call: Call, answer: Answer, scored: Scored
    ) -> Decision:
        """Decide whether `answer` is given alone: on what is known before its outcome."""
        rule = self._rule_on(call, answer) or self._beyond_scope(call)
        if rule:
            return self._ask("rule", rule, at_us)
        now = self.in_force
        if now.is_stopped:
            return self._ask("person", "a person wants to be asked of every answer", at_us)
        if self.policy.max_error is None:
            return Decision("alone", "no bound is declared", is_drawn=False)
        if self._is_of_new_group(now, call):
            now = msgspec.structs.replace(now, threshold=None)
        return self._within_bound(now, request_id, at_us, scored)

    def _rule_on(self, call: Call, answer: Answer) -> str:
        """Return the first rule that always asks a person of this; empty where none does."""
        caller = call.caller
        return self._triggers.first(
            {
                "input": call.input,
                "output": answer.output,
                "user": caller.user,
                "role": caller.role,
                "team": caller.key.team,
                "tags": list(caller.tags),
            }
        )

    def lets_again(self, certificate: str, call: Call, answer: Answer) -> bool:
        """Whether an answer that was given alone may be given alone again, to this call.

        Not once a person wants to be asked, a rule asks for one, or what let it pass at first
        holds no more.

        Args:
            certificate: What let it pass; empty where no bound was declared.
            call: What is asked now.
            answer: What would be given.
        """
        now = self.in_force
        if now.is_stopped or self._rule_on(call, answer) or self._beyond_scope(call):
            return False
        return self.policy.max_error is None or now.certificate == certificate != ""

    def _is_of_new_group(self, now: InForce, call: Call) -> bool:
        """Whether an input is of a group of which nothing was known when it was certified."""
        if now.groups is None:
            return False
        names = self._outcomes.groups
        return any(f"{name}={_word(call.input.get(name))}" not in now.groups for name in names)

    def _beyond_scope(self, call: Call) -> str:
        """Return why an input is out of scope, or an empty string."""
        most = self.policy.out_of_scope
        if most is None or self.scope is None:
            return ""
        try:
            far = self.scope(call)
        except ModelError:
            return "how far the input lies from what was asked before, is unknown"
        if far <= most:
            return ""
        return f"out of scope: {far:.1f} times as far as usual, and at most {most:g} is let pass"

    def _within_bound(self, now: InForce, request_id: str, at_us: int, scored: Scored) -> Decision:
        """Decide by the certified threshold; without one nothing is given alone."""
        score = scored.score
        holds = now.release == self.release_id and now.scorer == scored.scorer
        threshold = now.threshold if holds else None
        if threshold is not None and score is not None and score >= threshold:
            share = 1.0 if self._outcomes.reported == "all" else now.audit_share
            why = f"score {score:.3f}, certified from {threshold:.3f} on"
            drawn = is_drawn(request_id, share)
            return Decision("alone", why, share, drawn, now.certificate)
        why = _why_not(threshold, score)
        if is_drawn(request_id, now.ask_share, "ask"):
            return self._ask("person", why, at_us, now.ask_share)
        share = now.ask_share if self._capacity.has_room(at_us) else 0.0
        return self._leave("person", why, share)

    def _ask(self, path: DraftPath, why: str, at_us: int, share: float = 1.0) -> Decision:
        """Ask a person, if there is a queue and its day has room."""
        if self.policy.queue is None:
            return self._leave(path, why, 0.0)
        if not self._capacity.take(at_us):
            return self._leave(path, f"{why}; the queue's day is full", 0.0)
        # Where all outcomes are reported, a coin that asks a person leaves none of them out.
        is_reported = self._outcomes.reported == "all" and path != "rule"
        return Decision(path, why, 1.0 if is_reported else share)

    def _leave(self, path: DraftPath, why: str, share: float) -> Decision:
        """Leave it to the ladder. What was never to be drawn is no evidence, unless all is.

        What a rule asks of is none in any case: no bound is ever of it.
        """
        if self._outcomes.reported == "all" and path != "rule":
            return Decision("ladder", why)
        return Decision("ladder", why, share, is_drawn=False)

    def takes_one(self, at_us: int) -> bool:
        """Take a place of the day for a request that no model answers; say whether there was."""
        return self._capacity.take(at_us)

    def audits(self, decision: Decision) -> bool:
        """Whether a person is to look at an answer that was given alone."""
        is_one = decision.path == "alone" and decision.is_drawn and bool(decision.certificate)
        return is_one and self._outcomes.reported == "drawn" and self.policy.queue is not None

    def draft_of(
        self,
        request_id: str,
        at_us: int,
        call: Call,
        output: Any,
        decision: Decision,
        score: float | None,
        digest: str,
        signals: tuple[float | None, ...] = (),
    ) -> Draft:
        """Return what is kept of an answer that was up for a decision."""
        outcomes = self._outcomes
        return Draft(
            request_id=request_id,
            at_us=at_us,
            service=self._service.name,
            release=self.release_id,
            scorer=decision.scorer or self.scorer.id,
            path=decision.path,
            score=score,
            confidence=self.confidence_of(score),
            share=decision.share,
            is_drawn=decision.is_drawn,
            certificate=decision.certificate,
            unit=unit_of(self._outcomes, request_id, call),
            groups=tuple([_word(call.input.get(name)) for name in outcomes.groups]),
            predicted=self._compared(output),
            digest=digest,
            signals=signals,
        )

    def review_of(
        self,
        review_id: str,
        request_id: str,
        at_us: int,
        call: Call,
        kind: ReviewKind,
        reasons: tuple[str, ...],
        *,
        input: bytes,
        output: bytes,
        score: float | None,
        digest: str,
        content: dict[str, Any],
    ) -> Review:
        """Return what a person is asked."""
        return Review(
            id=review_id,
            request_id=request_id,
            at_us=at_us,
            due_us=at_us + self.policy.respond_within_us,
            service=self._service.name,
            release=self.release_id,
            queue=self.policy.queue or "",
            kind=kind,
            reasons=reasons,
            input=input,
            draft=output,
            digest=hashlib.sha256(output).hexdigest(),
            input_digest=digest,
            score=score,
            confidence=self.confidence_of(score),
            content=content,
            owner=self._owner,
            key=call.caller.key.id,
            user=call.caller.user,
            role=call.caller.role,
        )

    def _compared(self, output: Any) -> bytes:
        """Return what a label is compared with; nothing where people say what is right."""
        if self._outcomes.right is None and self._service.kind == "generate":
            return b""
        return compared(self._outcomes, output)


def unit_of(outcomes: Outcomes, request_id: str, call: Call) -> str:
    """Return of what a request is, of which one counts as evidence in a window."""
    unit = outcomes.unit
    if unit == "user":
        return call.caller.user
    if unit == "entity":
        return "|".join(_word(call.input.get(name)) for name in outcomes.entity)
    if unit == "conversation":
        return call.caller.conversation or call.caller.user
    return request_id


def compared(outcomes: Outcomes, output: Any) -> bytes:
    """Return what a label is compared with; all of the output where an expression reads it."""
    return _predicted(output) if outcomes.right is None else _encode(output)


def _why_not(threshold: float | None, score: float | None) -> str:
    if threshold is None:
        return "nothing is certified yet"
    if score is None:
        return "how sure the answer is, is unknown"
    return f"score {score:.3f}, certified from {threshold:.3f} on only"


def _predicted(output: Any) -> bytes:
    """Return what a label is compared with: the output's `label`, else all of it."""
    has_label = isinstance(output, dict) and "label" in output
    return _encode(output["label"] if has_label else output)


def _word(value: Any) -> str:
    return value if isinstance(value, str) else _encode(value).decode()


def digest_of_input(call: Call) -> str:
    """Return the SHA-256 (hex) by which the same input is known again.

    Of a chat, all its messages count; parameters like `stream` do not change what was asked.
    """
    messages = call.body.get("messages")
    asked = [call.input, None if messages is None else _decode(messages)]
    return hashlib.sha256(_encode(asked)).hexdigest()
