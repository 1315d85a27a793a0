"""JSON Schema of the declaration, with which editors complete and check it while it is written."""

from __future__ import annotations

from typing import Any

from .project import PROJECT_FILE, SERVICE_FILE, ProjectDeclaration
from .schemas import DRAFT
from .service import ServiceDeclaration
from .values import File


def project_schema() -> dict[str, Any]:
    """Return the JSON Schema of roadworthy.toml."""
    return _schema(ProjectDeclaration, PROJECT_FILE)


def service_schema() -> dict[str, Any]:
    """Return the JSON Schema of a service.toml."""
    return _schema(ServiceDeclaration, SERVICE_FILE)


def _schema(model: type[File], title: str) -> dict[str, Any]:
    schema: dict[str, Any] = _for_toml(model.model_json_schema(by_alias=True))
    return {"$schema": DRAFT, **schema, "title": title}


def _for_toml(node: Any) -> Any:
    """Drop what TOML cannot say (null), and what only repeats: titles, defaults of whole tables."""
    if isinstance(node, list):
        return [_for_toml(item) for item in node if item != {"type": "null"}]
    if not isinstance(node, dict):
        return node
    named = node.get("properties", {})  # a field may be called what a word of JSON Schema is
    kept = {key: _for_toml(value) for key, value in node.items() if not _is_noise(key, value)}
    if named:
        kept["properties"] = {name: _for_toml(value) for name, value in named.items()}
    choices = kept.get("anyOf")
    if isinstance(choices, list) and len(choices) == 1:
        del kept["anyOf"]
        kept = {**choices[0], **kept}
    return kept


def _is_noise(key: str, value: Any) -> bool:
    is_empty_default = key == "default" and (value is None or isinstance(value, dict))
    return is_empty_default or (key == "title" and isinstance(value, str))
