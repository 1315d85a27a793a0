"""The OpenAPI document is complete, and the running server keeps it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from jsonschema_rs import Draft202012Validator
from schemathesis.checks import (
    content_type_conformance,
    ignored_auth,
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig

from control_plane import Plane, listening, served
from roadworthy.web.api import route_table
from roadworthy.web.openapi import describe


class Live(NamedTuple):
    """A server that listens, a key that opens all of it, and what is there by path."""

    url: str
    secret: str
    known: dict[str, str]


EVERY_METHOD = {"get", "put", "post", "delete"}


@pytest.fixture(scope="session")
def document(shared: Plane) -> Any:
    return shared.get("/api/openapi.json")


def operations(document: Any) -> Iterator[tuple[str, Any]]:
    for path, item in document["paths"].items():
        assert item.keys() <= EVERY_METHOD
        for method, operation in item.items():
            yield f"{method.upper()} {path}", operation


def test_every_route_is_described_and_nothing_else(document: Any) -> None:
    routes = {f"{r.method} {r.path.replace(':path', '')}" for r in route_table()}
    assert {name for name, _ in operations(document)} == routes | {"GET /api/openapi.json"}


def test_every_operation_says_what_it_takes_gives_refuses_and_needs(document: Any) -> None:
    assert document["openapi"] == "3.1.0"
    assert document["security"] == [{"key": []}]
    seen = set()
    for name, operation in operations(document):
        seen.add(operation["operationId"])
        assert operation["summary"].endswith("."), name
        assert "the scope `" in operation["description"], name
        path = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
        assert path == set(re.findall(r"\{(\w+)\}", name)), name
        responses = operation["responses"]
        assert {"400", "401", "403", "429", "500", "503"} <= responses.keys(), name
        assert len(responses.keys() & {"200", "201"}) == 1, name
        assert ("404" in responses) == bool(path), name
        assert ("413" in responses) == ("requestBody" in operation), name
    assert len(seen) == len(list(operations(document)))


def test_a_key_a_time_and_a_decision_cannot_be_left_out(document: Any) -> None:
    required = {
        name
        for name, operation in operations(document)
        if operation.get("requestBody", {}).get("required")
    }
    assert required == {
        "POST /api/keys",
        "POST /api/budgets/raise",
        "PUT /api/clock",
        "POST /api/review/{id}/decide",
        "POST /api/releases/{id}/approve",
        "POST /api/releases/{id}/waive",
    }


def test_every_reference_leads_somewhere(document: Any) -> None:
    def references(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            if "$ref" in value:
                yield value["$ref"]
            for item in value.values():
                yield from references(item)
        elif isinstance(value, list):
            for item in value:
                yield from references(item)

    found = set(references(document))
    assert len(found) > 10
    for reference in found:
        value = document
        for part in reference.removeprefix("#/").split("/"):
            value = value[part]
        assert {"type", "anyOf", "content"} & value.keys(), reference


def test_every_schema_is_one_and_every_field_has_its_meaning_in_place(document: Any) -> None:
    for name, schema in document["components"]["schemas"].items():
        Draft202012Validator({**schema, "components": document["components"]})
        assert schema["description"], name
        assert "Attributes:" not in schema["description"], name
    clock = document["components"]["schemas"]["ClockWanted"]
    assert clock["properties"]["now"] == {"type": "string", "format": "date-time"}
    assert clock["additionalProperties"] is False


def test_the_document_is_the_same_every_time(shared: Plane) -> None:
    one, two = (shared.ask("GET", "/api/openapi.json").body for _ in range(2))
    assert one == two


GENERATION = GenerationConfig(deterministic=True, with_security_parameters=False)
CONTRACT = schemathesis.openapi.from_dict(
    describe(route_table()),
    config=SchemathesisConfig(
        projects=ProjectsConfig(default=ProjectConfig(generation=GENERATION))
    ),
)
CONFORMANCE = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
TIMES = {"since", "until", "now", "expires"}


def within_reason(values: Any) -> Any:
    """Mend what no schema says: times are of our age, budgets have 6 decimals, services exist.

    Nor can it say that a list is read either before a place or after one, is of a request or of a
    user, and that a span ends after it begins.
    """
    if not isinstance(values, dict):
        return values
    mended = dict(values)
    for name in TIMES & values.keys():
        if isinstance(values[name], str) and re.match(r"\d{4}-", values[name]):
            mended[name] = "2100" + values[name][4:].replace("-02-29", "-02-28")
    if isinstance(values.get("per_day_usd"), float):
        mended["per_day_usd"] = round(values["per_day_usd"], 6)
    if isinstance(values.get("services"), list):
        mended["services"] = [name for name in values["services"] if not isinstance(name, str)]
    for one, other in (("before", "after"), ("q", "user"), ("since", "until")):
        if {one, other} <= values.keys():
            del mended[other]
    return mended


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A running server that has something to show."""
    with served(tmp_path_factory.mktemp("contract")) as plane, listening(plane) as port:
        plane.answer("risk", {"wind": 10.0})
        known = {
            "/api/requests": plane.answer("reply", {"text": "hello"}, "ada").request_id,
            "/api/releases": plane.serving.engine.releases["risk"].id,
            "/api/services": "reply",
            "/api/jobs": "rollup",
            "/api/users": "ada",
        }
        yield Live(f"http://127.0.0.1:{port}", plane.secret, known)


@pytest.mark.slow
@CONTRACT.parametrize()
@settings(
    max_examples=30,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_the_running_server_keeps_its_document(case: schemathesis.Case[Any], live: Live) -> None:
    case.query, case.body = within_reason(case.query), within_reason(case.body)
    at: dict[str, Any] = {
        "base_url": live.url,
        "headers": {"authorization": f"Bearer {live.secret}"},
    }
    # That no route answers without a key is tested for each of them by itself.
    case.call_and_validate(**at, excluded_checks=[ignored_auth])
    for path, name in live.known.items():
        if case.path_parameters and case.path.startswith(path):
            case.path_parameters = dict.fromkeys(case.path_parameters, name)
            case.call_and_validate(**at, checks=CONFORMANCE)
