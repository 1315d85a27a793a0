"""Which optional packages what is declared needs, and what for."""

from __future__ import annotations

import os
from collections.abc import Iterator

import msgspec

from ..app import ENFORCES
from ..declare.load import load_service
from ..declare.project import PROJECT_FILE, ProjectDeclaration
from ..declare.schemas import is_contract
from ..declare.service import ServiceDeclaration
from ..errors import DeclarationError

_EXTRA_OF_KIND = {"onnx": "predict", "llama_cpp": "llm"}
_MODEL_IS_DOWN = "that model counts as down"
_NOTHING_IS_FOUND = "no passages are found and no model is asked"


class Need(msgspec.Struct, frozen=True):
    """What is declared and needs an extra.

    Attributes:
        by: What needs it, as people read it.
        until_then: What happens without it, where the service goes on; empty where it does not.
    """

    extra: str
    by: str
    until_then: str = ""


def needs_of(project: ProjectDeclaration | None) -> Iterator[Need]:
    """Yield every need of an extra; a service file that cannot be read yields none."""
    if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        yield Need("otel", "`OTEL_EXPORTER_OTLP_ENDPOINT`")
    if project is None:
        return
    if project.sources:
        yield Need("data", f"`[sources]` of {PROJECT_FILE}")
    used = set()
    for folder in project.service_folders():
        try:
            service = load_service(folder, project, ENFORCES, parts=("name",))
        except DeclarationError:
            continue  # `check` tells what is wrong
        used |= {entry.provider for entry in service.models}
        yield from _needs_of_service(service, project)
    for name, provider in project.providers.items():
        if name not in used and provider.kind in _EXTRA_OF_KIND:
            yield Need(_EXTRA_OF_KIND[provider.kind], f"`{name}`")


def _needs_of_service(service: ServiceDeclaration, project: ProjectDeclaration) -> Iterator[Need]:
    of = f"of `{service.name}`"
    for side in ("input", "output"):
        if is_contract(getattr(service.contract, side) or ""):
            yield Need("data", f"`contract.{side}` {of}")
    if service.features.views:
        yield Need("data", f"`features.views` {of}")
    if service.context.retrieval is not None:
        yield Need("embed", f"`context.retrieval` {of}", _NOTHING_IS_FOUND)
    yield from _needs_of_routing(service, of)
    for guard in service.guards:
        if is_contract(guard.schema_file or ""):
            yield Need("data", f"guard `{guard.name}` {of}")
        if guard.use == "grounded":
            yield Need("embed", f"guard `{guard.name}` {of}", _NOTHING_IS_FOUND)
    for entry in service.models:
        provider = project.providers.get(entry.provider)
        if provider is not None and provider.kind in _EXTRA_OF_KIND:
            until_then = "" if service.chain == (entry,) else _MODEL_IS_DOWN
            yield Need(_EXTRA_OF_KIND[provider.kind], f"model `{entry.name}` {of}", until_then)


def _needs_of_routing(service: ServiceDeclaration, of: str) -> Iterator[Need]:
    routing = service.routing
    if routing.strategy == "learned" or (routing.strategy == "intent" and not routing.use):
        asked = f"`{routing.default}` is asked first" if routing.default else ""
        yield Need("embed", f"`routing.strategy` {of}", asked)
