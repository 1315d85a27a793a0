"""The control plane's routes: every figure a page shows, and every act the command line can take.

A handler runs in a thread and is a few lines: it asks the rooms below and shows what they say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from ..declare.service import ServiceDeclaration
from ..errors import Conflict, DeclarationError, NotFound, NotReady, RequestError, StoreBusy
from ..release import registry
from ..serve.opened import OpenRelease
from ..serve.shadows import scope_of
from ..serve.splits import OpenSplit
from ..serve.splits import forget_user as forget_in_caches
from ..store.actions import Chain, list_actions, verify_chain
from ..store.artifacts import Artifacts
from ..store.clock import micros_of, time_of
from ..store.clock import set_clock as set_project_clock
from ..store.evaluations import EvaluationHead
from ..store.forget import forget_user as forget
from ..store.jobs import list_jobs
from ..store.keys import KeyEntry, create_key, list_keys, revoke_key
from ..store.records import read_record
from ..store.rollups import Summary, summarise, summarise_by
from ..store.switchboard import Stop
from ..types import DAY_US, HOUR_US, MICRO, Clock, Record
from . import (
    cache_twins,
    cost_routes,
    figures,
    lists,
    providers_page,
    release_twins,
    review_twins,
    routing_twins,
    shapes,
)
from .contract_page import ContractQuery, contract_page
from .control import Ask
from .data_figures import ContractPage, ServiceData
from .data_page import data_page
from .evaluating import evaluating_routes
from .example_routes import example_routes
from .explained import Explained, explained_page
from .home import home_page
from .pages import (
    champion_id,
    lineage_page,
    release_facts,
    release_page,
    release_promoted,
    request_page,
)
from .promised import declaration_behind
from .release_figures import ReleaseWhole
from .release_page import release_whole
from .release_rows import newest_evaluations
from .request_list import requests_page, seen_services
from .review_api import review_routes
from .rollup_shapes import RollupRow, Rollups
from .route import Route
from .scopes import SCOPES_ASKED
from .service import enforced_keys, plain, service_page
from .timeline_page import roles_of
from .units import show, usd_of
from .webhooks import read_webhooks, retry_webhook, try_webhook
from .words import WORDS_PAGE


def route_table() -> tuple[Route, ...]:
    """Return every route but the one that describes them."""
    return (
        Route("GET", "/api/home", "read", read_home),
        Route("GET", "/api/words", "read", read_words),
        Route("GET", "/api/services", "read", list_services),
        Route("GET", "/api/services/{name}", "read", read_service),
        Route("GET", "/api/services/{name}/page", "read", read_service_figures),
        Route("GET", "/api/services/{name}/data", "read", read_service_data),
        Route("GET", "/api/sources/{name}", "read", read_source),
        Route("POST", "/api/services/{name}/stop", "admin", stop_service),
        Route("POST", "/api/services/{name}/resume", "admin", resume_service),
        Route(
            "POST",
            "/api/services/{name}/releases",
            "release",
            build_release,
            status=201,
            errors=(DeclarationError,),
        ),
        *review_twins.routes(),
        *cache_twins.routes(),
        *routing_twins.routes(),
        *review_routes(),
        *release_twins.routes(),
        *providers_page.routes(),
        *cost_routes.routes(),
        *evaluating_routes(),
        Route("GET", "/api/requests", "read", list_requests),
        Route("GET", "/api/requests/{id}", "read", read_request),
        Route("GET", "/api/requests/{id}/lineage", "read", read_lineage),
        Route("GET", "/api/requests/{id}/explanation", "read", read_explanation),
        Route("GET", "/api/rollups", "read", read_rollups),
        Route("GET", "/api/releases", "read", list_releases),
        Route("GET", "/api/releases/{id}", "read", read_release),
        Route(
            "POST",
            "/api/releases/{id}/promote",
            "release",
            promote_release,
            errors=(Conflict, DeclarationError, NotReady),
        ),
        *_project_routes(),
        *example_routes(),
    )


def _project_routes() -> tuple[Route, ...]:
    """Return the routes of what concerns a project whole: keys, jobs, its acts, its clock."""
    return (
        Route("GET", "/api/keys", "admin", read_keys, whole=True),
        Route("POST", "/api/keys", "admin", make_key, status=201, whole=True),
        Route("DELETE", "/api/keys/{id}", "admin", delete_key, whole=True),
        Route("GET", "/api/jobs", "read", read_jobs),
        Route("POST", "/api/jobs/{name}/run", "admin", run_job, whole=True, errors=(StoreBusy,)),
        Route("GET", "/api/webhooks", "read", read_webhooks, whole=True),
        Route(
            "POST",
            "/api/webhooks/{name}/test",
            "admin",
            try_webhook,
            whole=True,
            errors=(DeclarationError,),
        ),
        Route("POST", "/api/webhooks/{name}/retry", "admin", retry_webhook, whole=True),
        Route("GET", "/api/actions", "read", read_actions, whole=True),
        Route("GET", "/api/actions/verify", "read", verify_actions, whole=True),
        Route("GET", "/api/clock", "read", read_clock),
        Route("PUT", "/api/clock", "admin", set_clock, whole=True),
        Route("GET", "/api/health", "read", read_health),
        Route("DELETE", "/api/users/{user:path}/records", "admin", forget_user, whole=True),
    )


def read_home(ask: Ask) -> figures.Home:
    """Show every service: is it healthy, what does it cost, may it ship, what must a person do."""
    return home_page(ask)


def read_words(ask: Ask) -> figures.Words:
    """Say what the words of states and dispositions mean."""
    return WORDS_PAGE


def read_service_figures(ask: Ask, name: str) -> figures.ServiceFigures:
    """Show one service as its page does: promises, budgets, hours, models, what enforces it."""
    return service_page(ask, ask.service(name))


def read_service_data(ask: Ask, name: str) -> ServiceData:
    """Show a service's data: contracts kept over time, freshness, and skew against training."""
    return data_page(ask, ask.service(name))


def read_source(ask: Ask, name: str, query: ContractQuery) -> ContractPage:
    """Show what changed in a source's contract, whom it breaks, and which services agreed."""
    return contract_page(ask, name, query)


def list_services(ask: Ask, query: shapes.Window) -> shapes.Services:
    """List every service: its promises beside what was measured, and what it costs today."""
    opened = sorted(ask.control.engine.releases.items())
    rows = (_service_facts(ask, release, query) for name, release in opened if ask.sees(name))
    return shapes.Services(services=tuple(shapes.ServiceRow(**facts) for facts in rows))


def read_service(ask: Ask, name: str, query: shapes.Window) -> shapes.ServicePage:
    """Show one service with its declaration as it was released, and what enforces each key."""
    release = ask.service(name)
    declared, board = release.declaration, ask.control.switchboard
    stops = {entry.name: board.stopped(name, entry.name) for entry in declared.models}
    return shapes.ServicePage(
        **_service_facts(ask, release, query),
        stopped_models={model: _stopped(stop) for model, stop in stops.items() if stop},
        declaration_hash=declared.hash,
        declaration=plain(declared.model_dump(by_alias=True)),
        keys=tuple(enforced_keys(release, ask.control.enforces)),
    )


def stop_service(ask: Ask, name: str, body: shapes.Switch) -> shapes.Switched:
    """Stop a service, or one of its models, in every process, until it is resumed."""
    model = _model_of(ask, name, body.model)
    ask.control.switchboard.stop(name, model, by=ask.by, reason=body.reason)
    return shapes.Switched(service=name, model=model or None, is_stopped=True)


def resume_service(ask: Ask, name: str, body: shapes.Switch) -> shapes.Switched:
    """Let a service, or one of its models, answer again."""
    model = _model_of(ask, name, body.model)
    ask.control.switchboard.resume(name, model, by=ask.by, reason=body.reason)
    return shapes.Switched(service=name, model=model or None, is_stopped=False)


def list_requests(ask: Ask, query: shapes.RequestQuery) -> shapes.Requests:
    """List requests, newest first; `before` gives the next older ones, `after` the next newer."""
    return requests_page(ask, query)


def read_request(ask: Ask, id: str) -> shapes.RequestPage:
    """Show one request: its record, its bodies, what became known of it, and its children."""
    record = _record(ask, id)
    return request_page(ask.control.state, record, ask.sees, _declared(ask, record))


def read_lineage(ask: Ask, id: str) -> shapes.Lineage:
    """Show everything that led to one answer, down to the files and the act that let them serve."""
    record = _record(ask, id)
    return lineage_page(ask.control.state, record, ask.sees, _declared(ask, record))


def read_explanation(ask: Ask, id: str) -> Explained:
    """Say what each feature moved in one prediction, computed now if it was not before."""
    return explained_page(ask, _record(ask, id).id)


def read_rollups(ask: Ask, query: shapes.RollupQuery) -> Rollups:
    """Sum up whole hours: an hourly series for charts, or one row for each of something else."""
    since_us, until_us = _span(ask.control.clock, query)
    services = ask.services_of(query.service)
    dimension = "hour_us" if query.by == "hour" else query.by
    found = summarise_by(
        ask.control.state, dimension, since_us=since_us, until_us=until_us, services=services
    )
    return Rollups(
        by=query.by,
        since=time_of(since_us),
        until=time_of(until_us),
        rollups=tuple(
            show(RollupRow, summary, value=_text(value)) for value, summary in found.items()
        ),
    )


def build_release(ask: Ask, name: str) -> shapes.ReleasePage:
    """Build the release that the working tree describes; the same content gives the same id."""
    ask.check_sees(name)
    return release_page(ask.control.state, ask.control.build_release(name, by=ask.by))


def list_releases(ask: Ask, query: shapes.ReleaseQuery) -> shapes.Releases:
    """List releases, newest first."""
    state = ask.control.state
    services = ask.services_of(query.service)
    found = registry.list_releases(state, limit=query.limit, services=services)
    champions = {name: champion_id(state, name) for name in {release.service for release in found}}
    evaluated = newest_evaluations(state, [release.id for release in found])
    shown = tuple(_release_row(ask, one, champions[one.service], evaluated) for one in found)
    services_seen = seen_services(ask)
    return shapes.Releases(
        sentence=lists.releases(shown, query.service, services_seen),
        releases=shown,
        service=query.service,
        services=services_seen,
    )


def _release_row(
    ask: Ask, release: registry.Release, champion: str, evaluated: Mapping[str, EvaluationHead]
) -> shapes.ReleaseRow:
    """Return one release as the list shows it."""
    facts = release_facts(release, champion)
    roles = roles_of(ask, release.service, release.id)
    found = evaluated.get(release.id)
    known = {} if found is None else {"evaluation": found.id, "verdict": found.verdict}
    return shapes.ReleaseRow(**{**facts, "roles": roles, **known})


def read_release(ask: Ask, id: str) -> ReleaseWhole:
    """Show everything that a release is made of, how far it came, and what happened to it."""
    return release_whole(ask, _release(ask, id))


def promote_release(ask: Ask, id: str) -> shapes.ReleasePromoted:
    """Let a release serve its service once its gates hold, or let its rollout judge it first."""
    promoted = ask.control.promote_release(_release(ask, id).id, by=ask.by)
    return release_promoted(ask.control.state, *promoted)


def read_keys(ask: Ask) -> shapes.Keys:
    """List every key, revoked and expired ones too."""
    now_us = ask.control.clock.now_us()
    entries = list_keys(ask.control.state)
    shown = tuple(_key_shown(entry, now_us) for entry in entries)
    sentence = lists.keys(shown, time_of(now_us))
    return shapes.Keys(
        sentence=sentence, keys=shown, services=seen_services(ask), scopes=SCOPES_ASKED
    )


def make_key(ask: Ask, body: shapes.KeyWanted) -> shapes.KeyMade:
    """Make a key and show its secret, this once: only its hash is kept."""
    for name in body.services:
        if name not in ask.control.engine.releases:
            known = ", ".join(f"`{known}`" for known in ask.control.engine.releases) or "none"
            message = f"services: expected some of {known}, got `{name}`"
            raise RequestError(message, param="services")
    key, secret = create_key(
        ask.control.state,
        ask.control.clock,
        name=body.name,
        scopes=body.scopes,
        services=body.services,
        team=body.team,
        per_day_micro=None if body.per_day_usd is None else _micro(body.per_day_usd),
        expires_us=None if body.expires is None else micros_of(body.expires, "expires"),
        by=ask.by,
    )
    names = {"scopes": tuple(sorted(key.scopes)), "services": tuple(sorted(key.services))}
    return show(shapes.KeyMade, key, key=secret, **names)


def delete_key(ask: Ask, id: str) -> shapes.KeyRevoked:
    """Refuse a key from now on, in every process, within 100 ms."""
    revoke_key(ask.control.state, ask.control.clock, id, by=ask.by)
    return shapes.KeyRevoked(id=id, state="revoked")


def read_jobs(ask: Ask) -> shapes.Jobs:
    """List every periodic job: when it ran, what it did, why it failed."""
    jobs = list_jobs(ask.control.state)
    return shapes.Jobs(jobs=tuple(show(shapes.JobShown, job) for job in jobs))


def run_job(ask: Ask, name: str) -> shapes.JobShown:
    """Run a job now, whether or not it is due, and say how it stands then."""
    return show(shapes.JobShown, ask.control.jobs.run_now(name))


def read_actions(ask: Ask, query: shapes.ActionQuery) -> shapes.Actions:
    """List the acts of people and of Roadworthy, newest first."""
    found = list_actions(
        ask.control.state,
        before=query.before or None,
        limit=query.limit,
        action=query.action,
        subject=query.subject,
    )
    before = found[-1].seq if len(found) == query.limit else None
    return shapes.Actions(
        actions=tuple(show(shapes.ActionShown, action) for action in found), before=before
    )


def verify_actions(ask: Ask) -> Chain:
    """Walk the audit chain from its first act and say where it breaks, if it does."""
    return verify_chain(ask.control.state)


def read_clock(ask: Ask) -> shapes.ClockShown:
    """Show the project's time."""
    control = ask.control
    return shapes.ClockShown(now=time_of(control.clock.now_us()), clock=control.declaration.clock)


def set_clock(ask: Ask, body: shapes.ClockWanted) -> shapes.ClockShown:
    """Set the project's time, which then runs on; only where `project.clock` is `settable`."""
    control = ask.control
    set_project_clock(control.state, control.clock, micros_of(body.now, "now"), by=ask.by)
    return read_clock(ask)


def read_health(ask: Ask) -> shapes.Health:
    """Say whether everything works, and what does not."""
    return msgspec.convert(ask.on_loop(ask.control.health), shapes.Health)


def forget_user(ask: Ask, user: str) -> shapes.Forgotten:
    """Delete what is personal in a user's records; what was counted and spent stays."""
    control = ask.control
    ask.on_loop(forget_in_caches, control.engine, user)
    gone = forget(control.state, control.clock, control.spool, control.drain, user, by=ask.by)
    return show(shapes.Forgotten, gone)


def _service_facts(ask: Ask, release: OpenRelease, window: shapes.Window) -> dict[str, Any]:
    declared = release.declaration
    stop = ask.control.switchboard.stopped(release.name)
    since_us, until_us = _span(ask.control.clock, window)
    measured = summarise(ask.control.state, release.name, since_us, until_us)
    return {
        "name": release.name,
        "kind": release.kind,
        "purpose": declared.purpose,
        "risk": declared.risk,
        "release": release.id,
        "stopped": _stopped(stop) if stop else None,
        "objectives": _objectives(declared, measured, since_us, until_us),
        "cost_today": tuple(_costs_today(ask, release)),
    }


def _costs_today(ask: Ask, release: OpenRelease) -> Iterator[shapes.Budget]:
    """Yield what a service spends today, and its shadows, which count in a budget of their own."""
    declared = release.declaration
    yield _budget(ask, f"service:{release.name}", declared.cost.per_day_micro)
    split = ask.control.engine.splits.get(release.name)
    judged = split.candidate.declaration if isinstance(split, OpenSplit) else declared
    shadows = _budget(ask, scope_of(release.name), judged.release.shadow.per_day_micro)
    if shadows.settled_usd or shadows.held_usd:
        yield shadows


def _objectives(
    declared: ServiceDeclaration, found: Summary, since_us: int, until_us: int
) -> shapes.Objectives:
    promised, n = declared.objectives, found.requests
    late = None if promised.latency_p95_ms is None else 0.05
    return shapes.Objectives(
        since=time_of(since_us),
        until=time_of(until_us),
        latency_p95_ms=_measured(promised.latency_p95_ms, found.p95_ms, n),
        late_share=_measured(late, found.late_share if late else None, n),
        availability=_measured(promised.availability, found.availability, n),
    )


def _measured(promise: float | None, measured: float | None, n: int) -> shapes.Measured:
    return shapes.Measured(promise=promise, measured=measured, n=n)


def _budget(ask: Ask, scope: str, ceiling_micro: int | None) -> shapes.Budget:
    settled, held = ask.on_loop(ask.control.ledger.spent, scope)
    return shapes.Budget(
        scope=scope,
        settled_usd=usd_of(settled),
        held_usd=usd_of(held),
        ceiling_usd=None if ceiling_micro is None else usd_of(ceiling_micro),
    )


def _stopped(stop: Stop) -> shapes.Stopped:
    return show(shapes.Stopped, stop)


def _model_of(ask: Ask, name: str, model: str) -> str:
    """Return the model after checking that the service serves it; empty means the service.

    Raises:
        NotFound: It has no such model.
    """
    models = [entry.name for entry in ask.service(name).declaration.models]
    if model and model not in models:
        known = ", ".join(f"`{known}`" for known in models)
        raise NotFound(f"no model `{model}` in `{name}`; models: {known}")
    return model


def _span(clock: Clock, window: shapes.Window) -> tuple[int, int]:
    """Return the first and last microsecond of a window; it begins with a whole hour."""
    until_us = micros_of(window.until, "until") if window.until else clock.now_us()
    since_us = micros_of(window.since, "since") if window.since else max(0, until_us - DAY_US)
    return since_us - since_us % HOUR_US, until_us


def _declared(ask: Ask, record: Record) -> ServiceDeclaration | None:
    """Return what a request was promised; None where the files of its release are gone."""
    control = ask.control
    folder = control.declaration.folder / control.declaration.store.artifacts
    serving = control.engine.releases.values()
    return declaration_behind(record, serving, control.state, Artifacts(folder))


def _record(ask: Ask, id: str) -> Record:
    """Return a record that the key may see; what was answered a moment ago may be in the spool.

    Raises:
        NotFound: There is none, or it belongs to another service.
    """
    try:
        record = read_record(ask.control.state, id)
    except NotFound:
        ask.control.drain()
        record = read_record(ask.control.state, id)
    if not ask.sees(record.service):
        raise NotFound(f"no record `{id:.60}` that key `{ask.key.id}` may see")
    return record


def _release(ask: Ask, id: str) -> registry.Release:
    release = registry.read_release(ask.control.state, id)
    if not ask.sees(release.service):
        raise NotFound(f"no release `{id:.100}` that key `{ask.key.id}` may see")
    return release


def _key_shown(entry: KeyEntry, now_us: int) -> shapes.KeyShown:
    key = entry.key
    is_over = key.expires_us is not None and key.expires_us <= now_us
    return show(
        shapes.KeyShown,
        key,
        scopes=tuple(sorted(key.scopes)),
        services=tuple(sorted(key.services)),
        created_at=time_of(entry.created_at_us),
        revoked_at=None if entry.revoked_at_us is None else time_of(entry.revoked_at_us),
        state="revoked" if entry.revoked_at_us is not None else "expired" if is_over else "valid",
    )


def _micro(usd: float) -> int:
    """Return dollars in micro-dollars.

    Raises:
        RequestError: It is finer than that.
    """
    micro = Decimal(repr(usd)) * MICRO
    if micro % 1:
        raise RequestError(
            "per_day_usd: expected at most 6 decimals, got more", param="per_day_usd"
        )
    return int(micro)


def _text(value: int | str) -> str:
    """Return a name as it is, and microseconds as a time."""
    if isinstance(value, str):
        return value
    text: str = msgspec.to_builtins(time_of(value))
    return text
