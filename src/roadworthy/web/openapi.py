"""The OpenAPI 3.1 document of the control plane, made from the routes themselves."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import Any

import msgspec

from ..errors import (
    DeclarationError,
    Forbidden,
    NotFound,
    Overloaded,
    PayloadTooLarge,
    RequestError,
    RoadworthyError,
    StoreBusy,
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


def describe(routes: Iterable[Route]) -> dict[str, Any]:
    """Return the document, as JSON values."""
    routes = tuple(routes)
    paths: dict[str, dict[str, Any]] = {}
    types: list[Any] = [Error, *_types_of(routes)]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    schema_of = dict(zip(types, schemas, strict=True))
    for route in routes:
        path = route.path.replace(":path}", "}")
        paths.setdefault(path, {})[route.method.lower()] = _operation(route, schema_of)
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "Roadworthy control plane",
            "version": version("roadworthy"),
            "description": "Every figure a page shows, and every act the command line can take. "
            "Times are ISO 8601 in UTC, money is US dollars. No route takes parameters that it "
            "does not name.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key, `rw_…`, with the scope that the route names.",
                }
            },
        },
    }
    cleaned: dict[str, Any] = _clean(document)
    return cleaned


def _types_of(routes: Iterable[Route]) -> Iterator[Any]:
    for route in routes:
        yield route.answer
        if route.body is not None:
            yield route.body
        for field in msgspec.structs.fields(route.query):
            yield field.type


def _operation(route: Route, schema_of: dict[Any, Any]) -> dict[str, Any]:
    name = route.handler.__name__
    whole = " Not for keys that are limited to some services." if route.whole else ""
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": (inspect.getdoc(route.handler) or name).partition("\n")[0],
        "description": f"Needs a key with the scope `{route.scope}`.{whole}",
        "tags": [route.path.split("/")[2]],
        "parameters": [*_path_parameters(route), *_query_parameters(route, schema_of)],
        "responses": {str(route.status): _response("What was asked for.", schema_of[route.answer])},
    }
    if route.body is not None:
        is_required = any(field.required for field in msgspec.structs.fields(route.body))
        content = {"application/json": {"schema": schema_of[route.body]}}
        operation["requestBody"] = {"required": is_required, "content": content}
    for error in sorted(_errors_of(route), key=lambda error: error.status):
        meaning = (error.__doc__ or "").partition("\n")[0]
        if error is RoadworthyError:
            meaning = "A fault of the server's own."
        operation["responses"][str(error.status)] = _response(meaning, schema_of[Error])
    return operation


def _errors_of(route: Route) -> set[type[RoadworthyError]]:
    errors = {*_ALWAYS, *route.errors}
    if route.parameters:
        errors.add(NotFound)
    if route.body is not None:
        errors.add(PayloadTooLarge)
    return errors


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


def _response(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _clean(value: Any) -> Any:
    """Return a part of the document with the indentation of docstrings taken out."""
    if isinstance(value, dict):
        return {name: _clean(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return inspect.cleandoc(value) if isinstance(value, str) else value
