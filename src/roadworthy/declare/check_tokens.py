"""What the budgets of tokens of a service must keep together."""

from __future__ import annotations

from .files import Findings
from .project import ProjectDeclaration
from .service import ServiceDeclaration
from .source import Finding


def budgets_are_for_chats(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """Only what is written by a model in a chat has a history, an output and a window."""
    if service.kind == "generate":
        return
    context, default = service.context, type(service.context)()
    keys = ("overflow", "summarise_with", "max_history_tokens", "max_output_tokens", "truncated")
    for key in keys:
        if getattr(context, key) != getattr(default, key):
            yield Finding(f"context.{key}", "no such key in a `predict`", "one", "remove it")
    for index, entry in enumerate(service.models):
        if entry.context_tokens is not None:
            path = f"models[{index}].context_tokens"
            yield Finding(path, "no such key in a `predict`", "one", "remove it")


def overflow_has_a_limit(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """What happens to chats that are too long needs to know what too long is."""
    context = service.context
    if context.overflow == "refuse":
        return
    if context.max_input_tokens is None and context.max_history_tokens is None:
        yield Finding(
            "context.overflow",
            f"a limit, because `overflow` is `{context.overflow}`",
            "none",
            "add `max_input_tokens` or `max_history_tokens`",
        )


def summaries_have_a_writer(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """A summary is written by a model of the file, and by none without need."""
    context, path = service.context, "context.summarise_with"
    names = [entry.name for entry in service.models]
    known = ", ".join(f"`{name}`" for name in names)
    if context.overflow != "summarise":
        if context.summarise_with is not None:
            expected = "no such key, because `overflow` is not `summarise`"
            yield Finding(path, expected, f"`{context.summarise_with}`", "remove it")
    elif context.summarise_with is None:
        expected = "the model that writes summaries, because `overflow` is `summarise`"
        yield Finding(path, expected, "none", f"name one of {known}")
    elif context.summarise_with not in names:
        expected = f"the name of a model ({known})"
        yield Finding(path, expected, f"`{context.summarise_with}`")


def history_fits_the_input(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """A limit of a part above that of the whole would never be reached."""
    history, most = service.context.max_history_tokens, service.context.max_input_tokens
    if history is not None and most is not None and history >= most:
        expected = f"< context.max_input_tokens ({most})"
        yield Finding("context.max_history_tokens", expected, str(history))


def output_fits_the_window(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """A model whose window its own output fills could never be asked anything."""
    for index, entry in enumerate(service.models):
        limits = (entry.max_output_tokens, service.context.max_output_tokens)
        output = min((limit for limit in limits if limit is not None), default=None)
        window = entry.context_tokens
        if window is not None and output is not None and output >= window:
            path = f"models[{index}].context_tokens"
            yield Finding(path, f"> the {output} tokens that it may put out", str(window))


TOKEN_CHECKS = (
    (budgets_are_for_chats, ("kind", "context", "models")),
    (overflow_has_a_limit, ("context",)),
    (summaries_have_a_writer, ("context", "models")),
    (history_fits_the_input, ("context",)),
    (output_fits_the_window, ("context", "models")),
)
"""Every check, with the parts that must be sound for it to say anything."""
