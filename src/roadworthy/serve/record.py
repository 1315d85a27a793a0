"""What a finished plan leaves: its record for the store and its reply for the caller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import astuple

from ..types import Answer, PassageFound, Record, Usage
from .request import Plan, Reply

_encode = msgspec.json.Encoder().encode
_NOTHING = Usage()
_NONE: dict[str, Any] = {}


def record_of(plan: Plan, environment_hash: str) -> Record:
    """Return the one row that `plan` leaves."""
    release, caller, request, answer = plan.release, plan.caller, plan.request, plan.answer
    usage, hold = total_usage(plan), plan.hold
    last = plan.attempts[-1] if plan.attempts else None
    return Record(
        id=plan.id,
        at_us=plan.at_us,
        service=release.name,
        kind=release.kind,
        disposition=plan.disposition,
        release=release.id,
        arm=plan.arm,
        canary=plan.canary,
        propensity=plan.propensity,
        entity=plan.entity,
        key=caller.key.id,
        team=caller.key.team,
        user=caller.user,
        role=caller.role,
        parent=caller.parent,
        tags=caller.tags,
        reasons=tuple(plan.reasons),
        error_code=plan.error_code,
        model=answer.model if answer is not None else (last.model if last else ""),
        attempts=tuple(plan.attempts),
        **_counts_of(usage),
        cost_micro=plan.cost_micro,
        reserved_micro=hold.micro if hold else 0,
        price_source=last.price_source if last else "",
        scopes=hold.scopes if hold else (),
        verdicts=plan.verdicts,
        conversation=caller.conversation,
        confidence=plan.confidence,
        certificates=certificates_of(plan),
        cache=reused_by(plan),
        score=plan.score,
        review=plan.review_id,
        decided=plan.decision.why if plan.decision is not None else "",
        features=plan.features,
        contracts=None if release.features is None else release.features.contracts,
        timings=plan.timings,
        latency_us=plan.latency_us,
        first_token_us=plan.first_token_us,
        is_late=release.late_us is not None and plan.latency_us > release.late_us,
        is_stream=request.is_stream,
        protocol=request.protocol,
        declaration_hash=release.declaration_hash,
        environment_hash=environment_hash,
        input=_input_of(plan) if release.keeps_bodies else None,
        output=_output_of(answer) if release.keeps_bodies and answer is not None else None,
        passages=_found(plan),
        warnings=release.warnings,
        route=plan.route,
        is_cut_off=answer is not None and answer.is_cut_off,
        context=_context_of(plan, usage),
        prompt="" if release.context is None else release.context.version,
    )


def _counts_of(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cached_tokens": usage.cached_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    }


def certificates_of(plan: Plan) -> tuple[str, ...]:
    """Return the certificates that decided something of a request."""
    decision, route, cache = plan.decision, plan.route, plan.cache
    by_cache = "" if cache is None else cache.get("certificate", "")
    by_desk = "" if decision is None else decision.certificate
    found = (by_desk, certificate_of_route(route), by_cache)
    return tuple([certificate for certificate in found if certificate])


def reused_by(plan: Plan) -> dict[str, Any] | None:
    """Return where an answer that was given again is from; None where it was not."""
    if plan.cache is not None or plan.call is None or plan.disposition != "fallback":
        return plan.cache
    return plan.call.reused


def certificate_of_route(route: Mapping[str, Any] | None) -> str:
    """Return the certificate that let a cheaper model answer; empty where none did."""
    return "" if route is None else str(route.get("certificate", ""))


def _context_of(plan: Plan, usage: Usage) -> dict[str, Any] | None:
    context = None if plan.call is None else plan.call.context
    return None if context is None else {**context, "output_tokens": usage.output_tokens}


def _found(plan: Plan) -> tuple[PassageFound, ...] | None:
    call = plan.call
    if call is None or call.support is None:
        return None
    return tuple([PassageFound(p.file, p.heading, round(p.score, 4)) for p in call.passages])


def _input_of(plan: Plan) -> bytes:
    request = plan.request
    return _encode(request.body or request.input)


def _output_of(answer: Answer) -> bytes:
    return answer.completion if answer.completion is not None else _encode(answer.output)


def total_usage(plan: Plan) -> Usage:
    """Return the tokens of all tries together: a failed one may have been billed too."""
    used = [attempt.usage for attempt in plan.attempts if attempt.usage is not None]
    if len(used) == 1:
        return used[0]
    if not used:
        return _NOTHING
    return Usage(*(sum(counts) for counts in zip(*map(astuple, used), strict=True)))


def reply_of(plan: Plan) -> Reply:
    """Return what the caller gets; of a stream that has just begun, what is known by then."""
    answer = plan.answer
    return Reply(
        request_id=plan.id,
        service=plan.release.name,
        disposition=plan.disposition,
        release=plan.release.id,
        model=plan.model,
        output=answer.output if answer is not None else _meanwhile(plan),
        completion=answer.completion if answer is not None else None,
        content=answer.content if answer is not None else "",
        finish_reason=answer.finish_reason if answer is not None else "stop",
        usage=answer.usage if answer is not None else None,
        confidence=plan.confidence,
        cost_micro=plan.cost_micro,
        latency_us=plan.latency_us,
        reasons=tuple(plan.reasons),
        review_id=plan.review_id,
        cache=(reused_by(plan) or _NONE).get("kind", ""),
        is_cut_off=answer is not None and answer.is_cut_off,
        error=plan.error,
        at_us=plan.at_us,
        rates=plan.rates,
    )


def _meanwhile(plan: Plan) -> Any:
    """Return what a chat client is told while a person decides; others are told nothing."""
    desk = plan.release.desk
    if desk is None or not plan.review_id or plan.request.protocol != "openai":
        return None
    return {"text": desk.policy.holding}
