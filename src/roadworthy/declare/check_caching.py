"""What `[cache]` must keep together, so that nobody is given what is not for them."""

from __future__ import annotations

from .check_rules import schema_of
from .files import Findings
from .project import ProjectDeclaration
from .service import ServiceDeclaration
from .source import Finding


def semantic_has_a_question(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """What means the same is told of one question, in a text."""
    if service.cache.semantic is None:
        return
    if service.kind == "predict":
        yield Finding(
            "cache.semantic",
            "no such table, because `kind` is `predict`",
            "one",
            "only the same input has the same prediction: `exact_ttl_s` is for that",
        )
    elif service.chat is None:
        yield Finding(
            "cache.semantic",
            "`[chat]`, because the last message of a user is the question",
            "none",
            "add `[chat]`, with the `variable` that the question is",
        )


def shared_questions_are_not_personal(
    service: ServiceDeclaration, project: ProjectDeclaration
) -> Findings:
    """What a user asks of personal data is answered to nobody else who asks alike."""
    cache = service.cache
    if cache.semantic is None or cache.scope == "user" or not service.contract.input:
        return
    schema = schema_of(service, project, service.contract.input)
    if schema and schema.personal:
        names = ", ".join(f"`{name}`" for name in sorted(schema.personal))
        yield Finding(
            "cache.scope",
            f"`user`, because `cache.semantic` is declared and {names} of the input is personal",
            f"`{cache.scope}`",
            "share among one user's questions only, or leave `semantic` out",
        )


def stale_rungs_have_a_cache(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """An old answer can be given where answers are kept."""
    for index, rung in enumerate(service.fallback):
        if rung.use == "stale_cache" and service.cache.exact_ttl_s is None:
            yield Finding(
                f"fallback[{index}].use",
                "`cache.exact_ttl_s`, because an answer must be kept before it can be old",
                "none",
                "add `exact_ttl_s` to `[cache]`",
            )


def cache_keys_count(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """Where nothing is kept, nothing says how."""
    cache = service.cache
    if cache.is_on:
        return
    own = type(cache)()
    for name in sorted(cache.model_fields_set):
        if getattr(cache, name) != getattr(own, name):
            yield Finding(
                f"cache.{name}",
                "`exact_ttl_s` or `semantic` beside it, because nothing is kept without",
                "neither",
                "add one, or remove the key",
            )


CACHING_CHECKS = (
    (semantic_has_a_question, ("cache", "kind", "chat")),
    (shared_questions_are_not_personal, ("cache", "contract.input")),
    (stale_rungs_have_a_cache, ("cache", "fallback")),
    (cache_keys_count, ("cache",)),
)
"""Every check, with the parts that must be sound for it to say anything."""
