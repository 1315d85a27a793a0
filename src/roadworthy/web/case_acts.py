"""What people do with cases on their pages: take, decide, hand over; the rules are in `review`."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import quote

import msgspec
from msgspec import UNSET, Meta, Struct

from ..errors import Conflict, ContractViolation, RequestError
from ..review.queue import HandOver
from ..review.rulings import Ruling, Severity
from ..store.review_lists import take_next
from ..store.reviews import Waiting, read_review
from . import review_api, svg
from .case_page import prose_of, text_of
from .control import Ask
from .review_api import decide_case, give_case
from .review_page import read_json
from .shapes import Given, Name, OfService

Did = Literal["taken", "approve", "correct", "reject", "hand_over", "refused", "none"]


class CaseWanted(Given, frozen=True):
    """Of which queue and service the first free case is wanted; by default of all."""

    queue: Name = ""
    service: OfService = ""


class CaseForm(Given, frozen=True):
    """What a person sends of a case.

    Attributes:
        do: What they want.
        digest: Of the answer that they saw.
        output: The answer as it stands in its field.
        label: The right label as JSON, where only that is said.
        to: Whom it is handed over to: a person, or `queue:` and its name.
    """

    do: Literal["approve", "correct", "reject", "hand_over"]
    digest: Annotated[str, Meta(max_length=64)] = ""
    output: str = ""
    label: Annotated[str, Meta(max_length=1000)] = ""
    reason_code: Annotated[str, Meta(max_length=40)] = ""
    severity: Severity = "none"
    text: Annotated[str, Meta(max_length=2000)] = ""
    to: Name = ""


class CaseActed(Struct, frozen=True, kw_only=True):
    """What became of an act on a case.

    Attributes:
        id: The case; empty where there was none.
        did: What was done.
        why: Why it was not; empty when it was.
        next: The case to go on with; empty where none waits.
    """

    id: str
    did: Did
    why: str = ""
    next: str = ""


def take_first(ask: Ask, body: CaseWanted) -> CaseActed:
    """Take the case that is due first and that nobody is at work on."""
    found = _next(ask, body.queue, body.service)
    return CaseActed(id=found, did="taken" if found else "none", next=found)


def take_case(ask: Ask, id: str) -> CaseActed:
    """Take one case for ten minutes, so that nobody else works on it."""
    try:
        review_api.take_case(ask, id)
    except Conflict as error:
        return CaseActed(id=id, did="refused", why=str(error), next=id)
    return CaseActed(id=id, did="taken", next=id)


def act_on_case(ask: Ask, id: str, body: CaseForm) -> CaseActed:
    """Decide a case or hand it over, and take the next one of its queue.

    Raises:
        RequestError: What was sent makes no sense; it is said beside its field.
    """
    waits = _seen(ask, id)
    try:
        if body.do == "hand_over":
            _hand_over(ask, id, body)
        else:
            decide_case(ask, id, ruling_of(waits, body))
    except Conflict as error:
        return CaseActed(id=id, did="refused", why=str(error), next=id)
    except ContractViolation as error:
        raise RequestError(str(error), param="output") from error
    # What was handed over is free at once, and must not come back to whoever gave it away.
    is_over = body.do != "hand_over"
    return CaseActed(id=id, did=body.do, next=_next(ask, waits.review.queue, "") if is_over else "")


def page_of(done: CaseActed) -> str:
    """Return where a browser goes after an act."""
    return f"/review/{quote(done.next, safe='')}" if done.next else "/review"


def ruling_of(waits: Waiting, body: CaseForm) -> Ruling:
    """Return what a form says; what was edited is no approval.

    Raises:
        RequestError: It contradicts itself.
    """
    draft = read_json(waits.review.draft)
    shown, _ = text_of(draft)
    is_edited = _plain(body.output) != _plain(svg.visible_lines(shown))
    if body.do == "approve" and (is_edited or body.label):
        param = "output" if is_edited else "label"
        message = "the answer as it was, to approve it (an edit is sent as a correction)"
        raise RequestError(f"{param}: expected {message}, got an edited one", param=param)
    given: dict[str, Any] = {}
    if body.do == "correct":
        if not is_edited and not body.label:
            message = "output: expected an edited answer, or the right label, got neither"
            raise RequestError(message, param="output")
        given["output"] = _output_of(draft, body.output) if is_edited else UNSET
        given["label"] = _json(body.label, "label") if body.label else UNSET
    return Ruling(
        decision="reject" if body.do == "reject" else body.do,  # type: ignore[arg-type]
        digest=body.digest,
        reason_code=body.reason_code,
        severity=body.severity,
        text=body.text,
        **given,
    )


def _hand_over(ask: Ask, id: str, body: CaseForm) -> None:
    queue = body.to.removeprefix("queue:")
    is_queue = queue != body.to
    give_case(
        ask,
        id,
        HandOver(
            queue=queue if is_queue else "", to="" if is_queue else body.to, reason=body.text[:1000]
        ),
    )


def _seen(ask: Ask, id: str) -> Waiting:
    waits = read_review(ask.control.state, id)
    ask.check_sees(waits.review.service)
    return waits


def _next(ask: Ask, queue: str, service: str) -> str:
    control, services = ask.control, ask.services_of(service)
    found = take_next(control.state, control.clock, by=ask.by, queue=queue, services=services)
    return "" if found is None else found.review.id


def _output_of(draft: Any, text: str) -> Any:
    """Return the whole output that an edited text stands for."""
    text = text.replace("\r\n", "\n")
    if prose_of(draft) or draft is None:
        return {"text": text}
    return _json(text, "output")


def _json(text: str, param: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        where = str(error).partition("(")[2].rstrip(")")
        message = f"{param}: expected JSON, which this is not ({where}), got another text"
        raise RequestError(message, param=param) from error


def _plain(text: str) -> str:
    """Return a text as a browser's field sends it back, whatever ends its lines."""
    return text.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\n")
