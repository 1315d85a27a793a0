"""What is shown of a request, a release and a lineage: the same value by HTTP and command line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
from sqlalchemy import Engine

from ..declare.service import ServiceDeclaration
from ..release import registry
from ..release.forecast import Forecast
from ..release.lineage import lineage
from ..release.registry import Release
from ..store.clock import time_of
from ..store.records import children_of, outcomes_of, read_bodies
from ..store.reviews import reviews_of
from ..store.rollouts import Rollout
from ..types import Record
from . import shapes
from .judged import answer_of_each
from .review_figures import ReviewOfRequest
from .served import served_of
from .story import Story, story_of
from .units import show

MOST_CHILDREN = 200


def request_rows(records: Iterable[Record]) -> tuple[shapes.RequestRow, ...]:
    """Return requests as a list shows them."""
    return tuple(show(shapes.RequestRow, record) for record in records)


def request_page(
    state: Engine,
    record: Record,
    sees: Callable[[str], bool] = lambda service: True,
    declared: ServiceDeclaration | None = None,
) -> shapes.RequestPage:
    """Return one request, whole.

    Args:
        state: The database.
        record: The request.
        sees: Children are shown only as far as one sees their services.
        declared: What its service promised it; None where that is not known any more.
    """
    body_in, body_out = read_bodies(state, record.id)
    children = children_of(state, record.id, MOST_CHILDREN)
    outcomes = outcomes_of(state, record.id)
    return show(
        shapes.RequestPage,
        record,
        attempts=tuple(show(shapes.AttemptShown, attempt) for attempt in record.attempts),
        verdicts=tuple(
            show(shapes.VerdictShown, verdict, of=model)
            for verdict, model in zip(record.verdicts, answer_of_each(record), strict=True)
        ),
        passages=None
        if record.passages is None
        else tuple(show(shapes.PassageShown, passage) for passage in record.passages),
        timings_ms={step: us / 1000 for step, us in record.timings.items()},
        first_token_ms=record.first_token_us / 1000 if record.first_token_us else None,
        input=_json(body_in),
        output=_json(body_out),
        outcomes=tuple(show(shapes.OutcomeShown, outcome) for outcome in outcomes),
        children=request_rows(child for child in children if sees(child.service)),
        served=served_of(state, record.features),
        story=_story(record, declared),
        reviews=tuple(_reviews(state, record.id)),
    )


def _reviews(state: Engine, request_id: str) -> Iterator[ReviewOfRequest]:
    """Yield what people were asked of a request; of a planted case nothing, until it is decided."""
    with state.connect() as connection:
        found = reviews_of(connection, request_id)
    for waits in found:
        review = waits.review
        if review.kind != "planted":
            yield ReviewOfRequest(
                id=review.id,
                kind=review.kind,
                state=waits.state,
                due=time_of(review.due_us),
                decision=waits.decision,
                decided_by=waits.decided_by,
                decided_at=None if waits.decided_at_us is None else time_of(waits.decided_at_us),
                reason_code=str(waits.ruling.get("reason_code", "")),
                correction=waits.ruling.get("output"),
                given=waits.given.get("output"),
            )


def _story(record: Record, declared: ServiceDeclaration | None) -> Story:
    if declared is None:
        return story_of(record)
    promised = declared.objectives
    return story_of(
        record,
        objective_ms=promised.latency_p95_ms,
        deadline_ms=promised.deadline_ms,
        rungs=frozenset(rung.model for rung in declared.fallback if rung.model),
    )


def lineage_page(
    state: Engine,
    record: Record,
    sees: Callable[[str], bool] = lambda service: True,
    declared: ServiceDeclaration | None = None,
) -> shapes.Lineage:
    """Return everything that led to one answer; arguments are as for `request_page`."""
    found = lineage(state, record)
    return shapes.Lineage(
        record=request_page(state, record, sees, declared),
        release=release_page(state, found.release) if found.release else None,
        problem=found.problem,
        model=found.model,
        promotions=tuple(show(shapes.ActionShown, act) for act in found.promotions),
        as_released=found.as_released,
        logged=found.logged,
    )


def release_page(state: Engine, release: Release) -> shapes.ReleasePage:
    """Return one release with everything it is made of."""
    facts = release_facts(release, champion_id(state, release.service))
    return shapes.ReleasePage(**facts, manifest=release.manifest)


def release_promoted(
    state: Engine, release: Release, rollout: Rollout | None, forecast: Forecast | None
) -> shapes.ReleasePromoted:
    """Return what became of a release that somebody promoted."""
    facts = release_facts(release, champion_id(state, release.service))
    if rollout is not None:
        facts |= {"rollout": rollout.id, "judge": rollout.judge, "share": rollout.share}
    return shapes.ReleasePromoted(**facts, manifest=release.manifest, forecast=forecast)


def release_facts(release: Release, champion: str) -> dict[str, Any]:
    """Return the fields of a release's row; `champion` is the id of the one that serves."""
    return {
        "release": release.id,
        "service": release.service,
        "built_at": time_of(release.created_at_us),
        "by": release.by,
        "commit": registry.commit_of(release.manifest),
        "declaration_hash": release.manifest.declaration_hash,
        "models": tuple(model.name for model in release.manifest.models),
        "champion": champion,
        "is_champion": release.id == champion,
    }


def champion_id(state: Engine, service: str) -> str:
    """Return the id of the release that serves, or an empty text."""
    return registry.champion_id_of(state, service)


def _json(body: bytes | None) -> Any:
    """Return a stored body as JSON; what an upstream sent that is none, as text."""
    if body is None:
        return None
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError:
        return body.decode(errors="replace")
