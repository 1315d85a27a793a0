"""The console's pages and acts: what is shown and done at which path.

To add a page:

1. Write what it shows as a frozen struct and a function `read_x(ask, …) -> X`, and give it a line
   in `api.route_table`: `Route("GET", "/api/x", "read", read_x)`. Its docstring describes it. Query
   parameters are a struct named `query`, path parameters keep their names, as in any route.
2. Write `templates/x.html`: it extends `base.html`, fills `title`, `h1` and `main`, and reads the
   value as `page`. Macros are in `parts.html`, numbers are written by the filters of `numbers`.
3. Add `Page("/x", api.read_x, "x.html", nav="X")` to `PAGES`. The page then has its log-in, scope,
   limits, headers, errors, navigation and the link to its twin `/api/x`.

An act is a form that posts: its `body` struct is read from the form's fields, its token is checked,
and the browser is sent `then`, where the page says what was `done`, or shown `template` with what
the handler returned (`page`). What may be done `once` has a token for that, too. Every
form holds `{{ parts.token(csrf) }}`. Fields that were left empty count as not given. What is wrong
with a field is said beside it, on the page that holds the form (`form`), with all that was typed.

In each template: `page` is the value, `viewer` the key (None before log-in), `may(scope)` says what
it may do, `now` is the project's time, `here` the path, `query` what was asked for, `typed` what a
form was sent with (name → texts), `wrong` what is wrong with it (name → words), `done` what an act
just did.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from ...types import Scope
from .. import (
    api,
    cache_twins,
    cost_routes,
    example_routes,
    providers_page,
    release_acts,
    release_twins,
    review_twins,
    routing_twins,
)
from ..bounds import has_bounds
from ..case_acts import act_on_case, page_of, take_case, take_first
from ..certificate_acts import (
    ask_of_everything,
    resume_certificate,
    stop_certificate,
    trust_again,
)
from ..control import Ask
from ..review_page import asks_people, waiting_for
from ..route import Route
from .done import Done, acted, let_ship, moved, promoted, pulled, revoked, switched


def the_one_asked_for(query: Mapping[str, str], value: Any) -> str:
    """Return the page of the request whose id was asked for, or what lists show of it."""
    asked, found = query.get("q", ""), value.requests
    if len(found) == 1 and asked and asked in (found[0].id, found[0].id[11:20]):
        return f"/requests/{quote(found[0].id, safe='')}"
    return ""


def always(ask: Ask) -> bool:
    """Whether a page's word stands in the navigation: it does."""
    return True


class Page:
    """One page.

    Args:
        path: With its parameters in braces.
        handler: Gives what it shows; the same function as its twin's.
        template: Shows it.
        scope: What the key must be allowed to do.
        whole: Whether it concerns the whole project, so that a key of some services may not.
        nav: Its word in the navigation, if it has one.
        twin: The path of the same value as JSON.
        thing: What is not there when this page is not found.
        fields: Query parameters that its form has fields for.
        leads: Where the browser goes instead, from what was asked and what was found; an empty text
            where it stays.
        is_there: Whether its word stands in the navigation.
        counts: How much waits there, for its word.
    """

    def __init__(
        self,
        path: str,
        handler: Callable[..., Any],
        template: str,
        *,
        scope: Scope = "read",
        whole: bool = False,
        nav: str = "",
        twin: str = "",
        thing: str = "page",
        fields: tuple[str, ...] = (),
        leads: Callable[[Mapping[str, str], Any], str] | None = None,
        is_there: Callable[[Ask], bool] = always,
        counts: Callable[[Ask], int] | None = None,
    ) -> None:
        self.route = Route("GET", path, scope, handler, whole=whole)
        self.path = path
        self.thing = thing
        self.fields = fields
        self.leads = leads
        self.is_there = is_there
        self.counts = counts
        self.template = template
        self.nav = nav
        self.twin = twin or f"/api{path}"


class Act:
    """One form that posts.

    Args:
        path: With its parameters in braces.
        scope: What the key must be allowed to do.
        handler: Does it; the same function as the route's of `/api`.
        then: Where the browser goes, with the parameters of `path`.
        template: What is shown instead.
        form: The path of the page that holds the form.
        whole: Whether it concerns the whole project.
        done: Says what it did, from what the handler returned, who did it, and when.
        once: Whether the same form is obeyed once only, however often it is sent.
        goes: Where the browser goes instead of `then`, from what the handler returned.
    """

    def __init__(
        self,
        path: str,
        scope: Scope,
        handler: Callable[..., Any],
        *,
        then: str = "",
        template: str = "",
        form: str = "",
        whole: bool = False,
        done: Callable[[Any, str, datetime], Done | None] | None = None,
        once: bool = False,
        goes: Callable[[Any], str] | None = None,
    ) -> None:
        self.route = Route("POST", path, scope, handler, whole=whole)
        self.path = path
        self.form = form
        self.then = then
        self.template = template
        self.done = done
        self.once = once
        self.goes = goes


_FILTERS = (
    "q",
    "service",
    "disposition",
    "slower_than_ms",
    "since",
    "release",
    "model",
    "tag",
    "error",
    "until",
    "user",
    "error_code",
)
PAGES: tuple[Page, ...] = (
    Page("/", api.read_home, "home.html", nav="Home", twin="/api/home"),
    Page(
        "/services/{name}",
        api.read_service_figures,
        "service.html",
        twin="/api/services/{name}/page",
        thing="service",
    ),
    Page("/services/{name}/data", api.read_service_data, "data.html", thing="service"),
    Page("/sources/{name}", api.read_source, "contract.html", thing="source"),
    Page(
        "/requests",
        api.list_requests,
        "requests.html",
        nav="Requests",
        fields=_FILTERS,
        leads=the_one_asked_for,
    ),
    Page(
        "/requests/{id}",
        api.read_lineage,
        "request.html",
        twin="/api/requests/{id}/lineage",
        thing="request",
    ),
    Page(
        "/review",
        review_twins.read_queue_page,
        "review.html",
        scope="review",
        twin="/api/review/page",
        nav="Review",
        fields=("queue", "service", "state"),
        is_there=asks_people,
        counts=waiting_for,
    ),
    Page(
        "/review/{id}",
        review_twins.read_case_page,
        "case.html",
        scope="review",
        twin="/api/review/{id}/page",
        thing="case",
    ),
    Page("/releases", api.list_releases, "releases.html", nav="Releases", fields=("service",)),
    Page(
        "/services/{name}/releases", release_twins.read_timeline, "timeline.html", thing="service"
    ),
    Page(
        "/services/{name}/releases/compare",
        release_twins.read_comparison,
        "compare.html",
        thing="release",
        fields=("a", "b"),
    ),
    Page("/services/{name}/rollout", release_twins.read_rollout, "rollout.html", thing="service"),
    Page(
        "/services/{name}/evaluations",
        release_twins.read_evaluations,
        "evaluations.html",
        thing="service",
    ),
    Page(
        "/evaluations/{id}",
        release_twins.read_evaluation,
        "evaluation.html",
        thing="evaluation",
        fields=("stability",),
    ),
    Page("/releases/{id}", api.read_release, "release.html", thing="release"),
    Page("/budgets", cost_routes.read_budgets, "budgets.html"),
    Page("/costs", cost_routes.read_costs, "costs.html", nav="Costs", fields=("by", "month")),
    Page(
        "/certificates",
        review_twins.read_certificates,
        "certificates.html",
        nav="Certificates",
        is_there=has_bounds,
    ),
    Page(
        "/certificates/{id}", review_twins.read_certificate, "certificate.html", thing="certificate"
    ),
    Page(
        "/services/{name}/calibration",
        review_twins.read_calibration,
        "calibration.html",
        thing="service",
    ),
    Page(
        "/services/{name}/cache",
        cache_twins.read_cache,
        "cache.html",
        thing="service",
    ),
    Page(
        "/services/{name}/routing",
        routing_twins.read_routing,
        "routing.html",
        thing="service",
    ),
    Page(
        "/reviewers",
        review_twins.read_reviewers_page,
        "reviewers.html",
        scope="review",
        twin="/api/reviewers/page",
    ),
    Page(
        "/examples",
        example_routes.read_page,
        "examples.html",
        fields=("service", "state"),
        thing="example",
    ),
    Page(
        "/providers",
        providers_page.read_providers,
        "providers.html",
    ),
    Page("/keys", api.read_keys, "keys.html", scope="admin", whole=True, nav="Keys"),
    Page("/words", api.read_words, "words.html"),
)
ACTS: tuple[Act, ...] = (
    Act(
        "/services/{name}/stop",
        "admin",
        api.stop_service,
        then="/services/{name}",
        form="/services/{name}",
        done=switched,
    ),
    Act(
        "/services/{name}/resume",
        "admin",
        api.resume_service,
        then="/services/{name}",
        form="/services/{name}",
        done=switched,
    ),
    Act("/review", "review", take_first, form="/review", goes=page_of, done=acted),
    Act("/review/{id}/take", "review", take_case, goes=page_of, done=acted),
    Act(
        "/review/{id}",
        "review",
        act_on_case,
        form="/review/{id}",
        goes=page_of,
        done=acted,
        once=True,
    ),
    *(
        Act(
            f"/certificates/{{id}}/{word}",
            "admin",
            lever,
            then="/certificates/{id}",
            form="/certificates/{id}",
            done=pulled,
        )
        for word, lever in (
            ("stop", stop_certificate),
            ("resume", resume_certificate),
            ("ask", ask_of_everything),
            ("trust", trust_again),
        )
    ),
    *(
        Act(
            f"/services/{{name}}/{path}",
            "release",
            lever,
            then="/services/{name}/rollout",
            form="/services/{name}/rollout",
            done=moved,
        )
        for path, lever in (
            ("rollback", release_acts.roll_back),
            ("freeze", release_acts.freeze),
            ("unfreeze", release_acts.unfreeze),
            ("rollout/stop", release_acts.stop_rollout),
        )
    ),
    *(
        Act(
            f"/releases/{{id}}/{path}",
            "release",
            act,
            then="/releases/{id}",
            form="/releases/{id}",
            done=let_ship,
        )
        for path, act in (
            ("approve", release_acts.approve),
            ("waive", release_acts.waive),
            ("gates", release_acts.measure_gates),
        )
    ),
    Act(
        "/requests/{id}/replay",
        "release",
        release_acts.replay_request,
        template="replay.html",
        form="/requests/{id}",
    ),
    Act("/releases/{id}/promote", "release", api.promote_release, then="/releases", done=promoted),
    Act(
        "/keys",
        "admin",
        api.make_key,
        template="key_made.html",
        form="/keys",
        whole=True,
        once=True,
    ),
    Act("/keys/{id}/revoke", "admin", api.delete_key, then="/keys", whole=True, done=revoked),
)
