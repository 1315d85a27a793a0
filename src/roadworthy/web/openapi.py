"""The OpenAPI 3.1 document of the control plane, made from the routes themselves."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import Any

import msgspec

from ..errors import (
    Forbidden,
    NotFound,
    Overloaded,
    PayloadTooLarge,
    RequestError,
    RoadworthyError,
    StoreError,
    Unauthenticated,
)
from .route import Route

_REF = "#/components/schemas/{name}"


class Fault(msgspec.Struct, frozen=True):
    """What went wrong.

    Attributes:
        code: Stable name of what happened.
        message: What was expected, what came, where, and what to do.
        param: The field of the request that is at fault, if one is.
        retryable: Whether the same request may succeed later.
    """

    code: str
    message: str
    type: str
    param: str | None
    request_id: str | None
    retryable: bool


class Error(msgspec.Struct, frozen=True):
    """The shape of every error."""

    error: Fault


_ALWAYS = (RequestError, Unauthenticated, Forbidden, Overloaded, RoadworthyError, StoreError)
_ATTRIBUTE = re.compile(r"^    (\w+): (.+(?:\n     +.+)*)", re.MULTILINE)


def describe(routes: Iterable[Route]) -> dict[str, Any]:
    """Return the document, as JSON values."""
    routes = tuple(routes)
    types: list[Any] = [Error, *_types_of(routes)]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    schema_of = dict(zip(types, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        path = route.path.replace(":path}", "}")
        paths.setdefault(path, {})[route.method.lower()] = _operation(route, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Roadworthy control plane",
            "version": version("roadworthy"),
            "description": "Every figure a page shows, and every act the command line can take. "
            "Times are ISO 8601 in UTC, money is US dollars. A parameter that a route does not "
            "name is refused.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "schemas": {name: _explained(schema) for name, schema in components.items()},
            "responses": {
                error.__name__: _json_response(_meaning(error), schema_of[Error])
                for error in sorted(set().union(*map(_errors_of, routes)), key=_name)
            },
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key, `rw_…`, with the scope that the route names.",
                }
            },
        },
    }


def _types_of(routes: Iterable[Route]) -> Iterator[Any]:
    for route in routes:
        yield route.answer
        if route.body is not None:
            yield route.body
        for field in msgspec.structs.fields(route.query):
            yield field.type


def _operation(route: Route, schema_of: dict[Any, Any]) -> dict[str, Any]:
    whole = " Not for keys that are limited to some services." if route.whole else ""
    errors = sorted(_errors_of(route), key=lambda error: error.status)
    operation: dict[str, Any] = {
        "operationId": route.handler.__name__,
        "summary": inspect.getdoc(route.handler),
        "description": f"Needs a key with the scope `{route.scope}`.{whole}",
        "tags": [route.path.split("/")[2]],
        "parameters": [*_path_parameters(route), *_query_parameters(route, schema_of)],
        "responses": {
            str(route.status): _json_response("What was asked for.", schema_of[route.answer]),
            **{str(e.status): {"$ref": f"#/components/responses/{e.__name__}"} for e in errors},
        },
    }
    if route.body is not None:
        is_required = any(field.required for field in msgspec.structs.fields(route.body))
        content = {"application/json": {"schema": schema_of[route.body]}}
        operation["requestBody"] = {"required": is_required, "content": content}
    return operation


def _errors_of(route: Route) -> set[type[RoadworthyError]]:
    errors: set[type[RoadworthyError]] = {*_ALWAYS, *route.errors}
    if route.parameters:
        errors.add(NotFound)
    if route.body is not None:
        errors.add(PayloadTooLarge)
    return errors


def _name(error: type[RoadworthyError]) -> str:
    return error.__name__


def _meaning(error: type[RoadworthyError]) -> str:
    if error is RoadworthyError:
        return "The server failed inside; its log says why."
    return (inspect.getdoc(error) or "").partition("\n")[0]


def _path_parameters(route: Route) -> Iterator[dict[str, Any]]:
    for name in route.parameters:
        schema = {"type": "string", "minLength": 1}
        yield {"name": name, "in": "path", "required": True, "schema": schema}


def _query_parameters(route: Route, schema_of: dict[Any, Any]) -> Iterator[dict[str, Any]]:
    for field in msgspec.structs.fields(route.query):
        schema = dict(schema_of[field.type])
        parameter = {"name": field.encode_name, "in": "query", "required": field.required}
        if "description" in schema:
            parameter["description"] = schema.pop("description")
        if not field.required and field.default not in ("", msgspec.UNSET):
            schema["default"] = field.default
        yield parameter | {"schema": schema}


def _json_response(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _explained(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a struct's schema with what its docstring says of each attribute beside that one."""
    text, _, attributes = inspect.cleandoc(schema.get("description", "")).partition(
        "\n\nAttributes:\n"
    )
    properties = dict(schema["properties"])
    for name, meaning in _ATTRIBUTE.findall(attributes):
        properties[name] = {"description": " ".join(meaning.split()), **properties[name]}
    return {**schema, "description": text, "properties": properties}
