"""The page of one case: what is asked, what the model says, why a person decides, what is alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from ..errors import NotFound
from ..guard.grounded import LEAST_SUPPORT
from ..review.desk import InForce
from ..review.queue import is_blind
from ..store.clock import time_of
from ..store.explanations import read_explanation
from ..store.review_lists import similar_reviews
from ..store.reviews import Waiting, read_review, reviews_of
from ..types import Review
from . import review_words as words
from .control import Ask
from .numbers import at
from .review_figures import (
    AnswerPart,
    Attributed,
    CaseShown,
    Contribution,
    PassageGiven,
    PastCase,
    RulingShown,
    Support,
    VerdictGiven,
)
from .review_page import hold_of, kind_shown, policies_of, read_json

MOST_SIMILAR = 3
MOST_READ = 20_000
"""Bytes of a past input that are read for its title."""
MOST_EDITED = 20_000
"""Characters of an answer that can be read and edited on a page."""
WEAK = 0.4
"""From which support (0-1) on a sentence that is not supported is called weak."""
_MOST_SENTENCES = 60
_ENDED = "ended"


def case_page(ask: Ask, id: str) -> CaseShown:
    """Return one case, as far as whoever looks may see it.

    Raises:
        Forbidden: The key is limited to other services.
        NotFound: There is none with this id.
    """
    waits = read_review(ask.control.state, id)
    review = waits.review
    ask.check_sees(review.service)
    now_us, why_not = ask.control.clock.now_us(), _why_not(ask, waits)
    return CaseShown(
        **_stands(ask, waits, now_us),
        **_answer(review),
        **(_BLIND if is_blind(waits) else _doubt(ask, waits)),
        as_of=time_of(now_us),
        id=review.id,
        # On its request's page stands what was decided of a planted case the first time.
        request_id=review.request_id if waits.decision else "",
        service=review.service,
        release=review.release,
        queue=review.queue,
        owner=waits.owner,
        model=str(review.content.get("model", "")),
        input=read_json(review.input),
        digest=review.digest,
        passages=tuple(_passages(review.content.get("passages"))),
        features=_features(review.content.get("features")),
        ruling=_ruling(waits),
        hand_to=_hand_to(ask, waits),
        can_decide=not why_not,
        why_not="" if why_not == _ENDED else why_not,
    )


def _stands(ask: Ask, waits: Waiting, now_us: int) -> dict[str, Any]:
    """Return how a case stands, and in whose hands it is."""
    review, holds = waits.review, hold_of(waits, ask.by, now_us)
    due, opened = time_of(review.due_us), ask.control.engine.releases.get(review.service)
    says = words.case(waits.state, due, time_of(now_us), kind=review.kind, decision=waits.decision)
    return {
        "says": says,
        "ends": _ends(ask, waits),
        "kind": kind_shown(review.kind),
        "service_kind": None if opened is None else opened.kind,
        "state": waits.state,
        "is_blind": is_blind(waits),
        "at": time_of(review.at_us),
        "due": due,
        "is_late": waits.state == "open" and review.due_us < now_us,
        "hold": holds,
        "held_by": waits.taken_by if holds != "nobody" else "",
        "held_until": time_of(waits.taken_until_us) if holds != "nobody" else None,
    }


def _answer(review: Review) -> dict[str, Any]:
    """Return the model's answer, as it is and as a person edits it."""
    output = read_json(review.draft)
    text, is_text = text_of(output)
    label = output.get("label") if isinstance(output, dict) else None
    return {
        "output": output,
        "has_output": bool(review.draft),
        "text": text if len(text) <= MOST_EDITED else "",
        "is_text": is_text,
        "is_editable": len(text) <= MOST_EDITED,
        "labels": ("true", "false") if isinstance(label, bool) else (),
    }


_BLIND: dict[str, Any] = {
    "reasons": (),
    "score": None,
    "confidence": None,
    "threshold": None,
    "parts": (),
    "attributed": None,
    "verdicts": (),
    "similar": (),
}
"""What is shown of the model's doubt and of earlier decisions where a case is judged by itself."""


def _doubt(ask: Ask, waits: Waiting) -> dict[str, Any]:
    """Return why a person is asked, and what is known beside the answer."""
    review, content = waits.review, waits.review.content
    text, _ = text_of(read_json(review.draft))
    return {
        "reasons": review.reasons,
        "score": review.score,
        "confidence": review.confidence,
        "threshold": _threshold(ask, review),
        "parts": tuple(parts_of(text, content.get("sentences"))),
        "attributed": _attributed(ask, review),
        "verdicts": tuple(_verdicts(content.get("verdicts"))),
        "similar": tuple(_similar(ask, waits)),
    }


def text_of(output: Any) -> tuple[str, bool]:
    """Return an answer as a person edits it, and whether it is prose; else it is JSON.

    >>> text_of({"text": "You may."}), text_of({"role": "assistant", "content": "You may."})
    (('You may.', True), ('You may.', True))
    >>> text_of(7.5), text_of(None)
    (('7.5', False), ('', False))
    """
    name = prose_of(output)
    if name:
        return str(output[name]), True
    if output is None:
        return "", False
    return msgspec.json.format(msgspec.json.encode(output), indent=2).decode(), False


def prose_of(output: Any) -> str:
    """Return the field of an answer that holds its prose; empty where none does."""
    if not isinstance(output, dict):
        return ""
    if isinstance(output.get("content"), str) and "role" in output:
        return "content"
    return "text" if isinstance(output.get("text"), str) and len(output) == 1 else ""


def _why_not(ask: Ask, waits: Waiting) -> str:
    """Return why somebody may not decide a case now; empty where they may."""
    if waits.decision or waits.state not in ("open", "expired"):
        return _ENDED
    now_us = ask.control.clock.now_us()
    if hold_of(waits, ask.by, now_us) == "other":
        until = at(time_of(waits.taken_until_us), time_of(now_us))
        return f"{waits.taken_by} is at work on it until {until}."
    if waits.review.kind == "second" and _is_own(ask, waits):
        return "You decided it first, so the second look is somebody else's."
    return ""


def _is_own(ask: Ask, waits: Waiting) -> bool:
    """Whether whoever looks decided the same request before."""
    with ask.control.state.connect() as connection:
        others = reviews_of(connection, waits.review.request_id)
    return any(other.decided_by == ask.by for other in others)


def _ends(ask: Ask, waits: Waiting) -> tuple[str, ...]:
    if waits.state != "open" or waits.review.kind in ("audit", "second"):
        return ()
    return words.ends(policies_of(ask, waits.review.service))[:1]


def _threshold(ask: Ask, review: Review) -> float | None:
    """Return what is certified now for the release that answered; None where nothing is."""
    said = ask.control.switchboard.get(f"automation:{review.service}")
    now = msgspec.json.decode(said, type=InForce) if said else InForce()
    return now.threshold if now.release == review.release else None


def parts_of(text: str, said: Any) -> Iterator[AnswerPart]:
    """Yield an answer as its sentences of known support, with what lies between; nothing is lost.

    >>> [part.text for part in parts_of("- Yes. No way.", [["Yes.", 0.9], ["No way.", 0.1]])]
    ['- ', 'Yes.', ' ', 'No way.']
    >>> list(parts_of("Yes.", None))
    []
    """
    place, number = 0, 0
    for one in said[:_MOST_SENTENCES] if isinstance(said, list) else ():
        if not (isinstance(one, list) and len(one) == 2 and isinstance(one[1], int | float)):
            continue
        sentence, score = str(one[0]), float(one[1])
        start = text.find(sentence, place) if sentence else -1
        if start < 0:
            continue
        if start > place:
            yield AnswerPart(text=text[place:start])
        number += 1
        yield AnswerPart(text=sentence, number=number, score=score, support=_support(score))
        place = start + len(sentence)
    if number and place < len(text):
        yield AnswerPart(text=text[place:])


def _support(score: float) -> Support:
    return "supported" if score >= LEAST_SUPPORT else "weak" if score >= WEAK else "unsupported"


def _passages(found: Any) -> Iterator[PassageGiven]:
    for one in found if isinstance(found, list) else ():
        if isinstance(one, Mapping):
            names = ("file", "heading", "text")
            yield PassageGiven(**{name: str(one.get(name, "")) for name in names})


def _verdicts(found: Any) -> Iterator[VerdictGiven]:
    for one in found if isinstance(found, list) else ():
        if isinstance(one, list) and len(one) == 3:
            guard, verdict, reason = map(str, one)
            yield VerdictGiven(guard=guard, verdict=verdict, reason=reason)


def _features(found: Any) -> dict[str, Any]:
    """Return the values of all views together, each under its own name."""
    values: dict[str, Any] = {}
    for name, value in found.items() if isinstance(found, dict) else ():
        inner = value.get("values") if isinstance(value, dict) else None
        values |= inner if isinstance(inner, dict) else {name: value}
    return values


def _explained(ask: Ask, request_id: str) -> Any:
    known = read_explanation(ask.control.state, request_id)
    if known is not None:
        return known
    try:
        return ask.control.explain(request_id)
    except NotFound:
        return None


def _attributed(ask: Ask, review: Review) -> Attributed | None:
    """Return what each feature added: as it was computed once, or computed for this look."""
    said = _explained(ask, review.request_id) if review.request_id else None
    found = said.get("attribution") if isinstance(said, dict) else None
    if not isinstance(found, dict):
        return None
    features = _features(review.content.get("features"))
    asked = read_json(review.input)
    values = {**asked, **features} if isinstance(asked, dict) else features
    return Attributed(
        reference=found["reference"],
        value=found["value"],
        parts=tuple(
            Contribution(feature=name, value=values.get(name), amount=amount)
            for name, amount in found["parts"]
        ),
        rows=found["background_rows"],
        is_exact=found["is_exact"],
    )


def _hand_to(ask: Ask, waits: Waiting) -> tuple[str, ...]:
    """Return whom a case may be given: who else sees to its queue, and the other queues."""
    queues = ask.control.declaration.queues
    here = queues.get(waits.review.queue)
    people = [] if here is None else [here.escalate_to, here.owner]
    named = dict.fromkeys(who for who in people if who and who != waits.owner)
    others = [f"queue:{name}" for name in queues if name != waits.review.queue]
    return (*named, *others)


def _ruling(waits: Waiting) -> RulingShown | None:
    if not waits.decision or waits.decided_at_us is None:
        return None
    said = waits.ruling
    return RulingShown(
        decision=waits.decision,
        by=waits.decided_by,
        at=time_of(waits.decided_at_us),
        output=said.get("output"),
        label=said.get("label"),
        reason_code=str(said.get("reason_code", "")),
        severity=str(said.get("severity", "")),
        text=str(said.get("text", "")),
    )


def _similar(ask: Ask, waits: Waiting) -> Iterator[PastCase]:
    for one in similar_reviews(ask.control.state, waits, MOST_SIMILAR):
        yield PastCase(
            id=one.id,
            says=words.title(read_json(one.input[:MOST_READ])),
            answer=words.title(read_json(one.draft[:MOST_READ])),
            score=one.score,
            decision=one.decision,
            reason_code=str(one.ruling.get("reason_code", "")),
            decided_by=one.decided_by,
            decided_at=time_of(one.decided_at_us),
            is_same=one.is_same,
        )
