"""What a prompt and the pages of a service must keep."""

from __future__ import annotations

from pathlib import Path

from .files import Findings, check_file, near
from .project import ProjectDeclaration
from .prompts import PASSAGES, Prompt, PromptError
from .service import ServiceDeclaration
from .source import Finding
from .validate import shown

BUILTINS = ("builtin:extractive",)
"""The models that this package brings itself; all of them answer from passages."""
PAGES = "*.md"
"""Which files of the folder are pages."""


def context_is_for_chats(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """Prompts and passages need a chat whose last message is the question."""
    given = [
        (key, name)
        for key, name, value in (
            ("prompt", "prompt", service.prompt),
            ("context", "context.retrieval", service.context.retrieval),
            ("context", "context.max_input_tokens", service.context.max_input_tokens),
        )
        if value is not None
    ]
    for key, name in given:
        if service.kind != "generate":
            yield Finding(name, "no such key in a `predict`", "one", f"remove `[{key}]`")
        elif service.chat is None and name != "context.max_input_tokens":
            yield Finding(
                name,
                "a `[chat]` beside it, that says which input the question is",
                "none",
                'add `[chat]` with `variable = "question"`',
            )


def names_for_prompt(service: ServiceDeclaration) -> tuple[str, ...]:
    """Return the names that the prompt of a service may use."""
    variable = (service.chat and service.chat.variable) or "text"
    return (variable, PASSAGES) if service.context.retrieval else (variable,)


def prompt_can_be_written(service: ServiceDeclaration, project: ProjectDeclaration) -> Findings:
    """A prompt is there, is a template, and asks only for what there is."""
    if service.prompt is None or service.chat is None:
        return
    name = service.prompt.file
    if problems := list(check_file(service, project, "prompt.file", name)):
        yield from problems
        return
    try:
        text = (service.folder / name).read_text(encoding="utf-8")
        Prompt(text, names_for_prompt(service))
    except UnicodeDecodeError:
        yield Finding("prompt.file", "UTF-8 text", f"other bytes in {name}")
    except PromptError as error:
        yield Finding("prompt.file", error.expected, f"{error.got} in {name}")


def pages_are_there(service: ServiceDeclaration, project: ProjectDeclaration) -> Findings:
    """The folder of pages lies below the service's, and holds some; none leads out of it."""
    retrieval = service.context.retrieval
    if retrieval is None:
        return
    path, folder = "context.retrieval.folder", service.folder / retrieval.folder
    is_plain = retrieval.folder.rstrip("/") == Path(retrieval.folder).as_posix()
    if not is_plain or Path(retrieval.folder).is_absolute() or ".." in Path(retrieval.folder).parts:
        expected = "a relative path below the service's folder"
        yield Finding(path, expected, shown(retrieval.folder))
        return
    names = page_names(service)
    if not names:
        got = f"{shown(retrieval.folder)}, which holds none"
        is_there = folder.is_dir()
        advice = "" if is_there else near(service.folder)
        yield Finding(path, "a folder of Markdown pages (`*.md`)", got, advice)
    for name in names:
        yield from check_file(service, project, path, name)


def page_names(service: ServiceDeclaration) -> list[str]:
    """Return the pages that a service searches, relative to its own folder, sorted."""
    retrieval = service.context.retrieval
    if retrieval is None:
        return []
    pages = (service.folder / retrieval.folder).rglob(PAGES)
    return sorted(p.relative_to(service.folder).as_posix() for p in pages if not p.is_dir())


def passages_leave_room(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """Passages may not fill all that a model is given: the question has to fit too."""
    most, retrieval = service.context.max_input_tokens, service.context.retrieval
    if most is not None and retrieval is not None and retrieval.max_tokens >= most:
        yield Finding(
            "context.retrieval.max_tokens",
            f"< context.max_input_tokens ({most})",
            str(retrieval.max_tokens),
        )


def passages_are_looked_up(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """What answers from passages, or compares answers with them, has some."""
    if service.context.retrieval is not None:
        return
    needy = [(f"models[{i}].model", m.model) for i, m in enumerate(service.models)]
    needy = [(path, name) for path, name in needy if name in BUILTINS]
    needy += [(f"guards[{i}].use", g.use) for i, g in enumerate(service.guards)]
    for path, name in needy:
        if name in (*BUILTINS, "grounded"):
            expected = f"pages to look things up in, because `{name}` needs passages"
            yield Finding(path, expected, "none", "add `context.retrieval`")


CONTEXT_CHECKS = (
    (passages_are_looked_up, ("context.retrieval",)),
    (context_is_for_chats, ("kind", "chat", "prompt", "context")),
    (prompt_can_be_written, ("chat", "prompt", "context.retrieval")),
    (pages_are_there, ("context.retrieval",)),
    (passages_leave_room, ("context",)),
)
"""Every check, with the parts that must be sound for it to say anything."""
