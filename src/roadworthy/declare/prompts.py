"""Prompts: files of Jinja templates that become the messages to a model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

PASSAGES = "passages"
"""Name of the variable that holds what retrieval found."""
ROLES = ("system", "user", "assistant")

_BLOCK = re.compile(rf"^# ({'|'.join(ROLES)})[ \t]*$", re.MULTILINE)
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n.*?^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_SAMPLE = {"file": "page.md", "heading": "Page > Part", "text": "A sentence.", "score": 0.5}
_FAILURES = (TypeError, ValueError, ArithmeticError, LookupError, AttributeError)
"""What an expression of a template may raise beside Jinja's own errors."""


class PromptError(ValueError):
    """A file is no prompt, or a prompt cannot be written for these values.

    Attributes:
        expected: What was expected.
        got: What came, without a word of the user's.
    """

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(f"expected {expected}, got {got}")
        self.expected = expected
        self.got = got


class Block(NamedTuple):
    """One message of a prompt; `template` is compiled."""

    role: str
    template: Any


class Prompt:
    """The messages of a prompt, to be filled in.

    The file is cut into blocks before anything is filled in, so that no text of a user can begin
    one; and what is filled in is not read as a template again.

    Args:
        text: The file: blocks that begin with `# system`, `# user` or `# assistant` on a line of
            its own; without any, all of it is the system's. Front matter is left out.
        known: The names that it may use.

    Attributes:
        names: Those that it does use.

    Raises:
        PromptError: It is no template, uses a name that it does not know, or its blocks are not in
            an order that a model takes.
    """

    def __init__(self, text: str, known: Sequence[str]) -> None:
        self.names: set[str] = set()
        parts = _cut(_FRONT_MATTER.sub("", text.replace("\r\n", "\n"), count=1))
        self._blocks = tuple(Block(role, self._compile(source)) for role, source in parts)
        if unknown := sorted(self.names.difference(known)):
            names = ", ".join(f"`{name}`" for name in known)
            raise PromptError(f"names that a prompt has here ({names})", f"`{unknown[0]}`")
        self._try(known)

    def _compile(self, source: str) -> Any:
        jinja2, meta, environment = _jinja()
        try:
            tree = environment.parse(source)
            if any(True for _ in meta.find_referenced_templates(tree)):
                raise PromptError("one file", "a template that includes another")
            self.names |= meta.find_undeclared_variables(tree)
            return environment.from_string(source)
        except jinja2.TemplateError as error:
            where = f" in line {error.lineno} of its block" if hasattr(error, "lineno") else ""
            raise PromptError("a Jinja template", f"{error.message}{where}") from error

    def _try(self, known: Sequence[str]) -> None:
        """Fill it in once with and once without passages: that finds what a name does not have."""
        values: dict[str, Any] = dict.fromkeys(known, "a text")
        for passages in ([], [_SAMPLE]):
            self.write(values | {PASSAGES: passages})

    @property
    def writes_user(self) -> bool:
        """Whether the last message is a block of its own, and not what the user wrote."""
        return self._blocks[-1].role == "user"

    def write(self, values: Mapping[str, Any]) -> list[dict[str, str]]:
        """Return the messages for these values.

        Raises:
            PromptError: A value is missing, or does not have what the template asks of it.
        """
        jinja2 = _jinja()[0]
        messages = []
        for role, template in self._blocks:
            try:
                content = template.render(values).strip()
            except jinja2.UndefinedError as error:
                # Jinja names what is missing by the template's own words.
                raise PromptError("values for all names", str(error.message)) from error
            except (jinja2.TemplateError, *_FAILURES) as error:
                raise PromptError(
                    "a template that can be filled in", type(error).__name__
                ) from error
            messages.append({"role": role, "content": content})
        return messages


@cache
def _jinja() -> tuple[Any, Any, Any]:
    """Return Jinja, its look at syntax trees and one sandbox; imported late, for it takes 40 ms."""
    import jinja2
    import jinja2.meta
    import jinja2.sandbox

    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
    )
    return jinja2, jinja2.meta, environment


def _cut(text: str) -> list[tuple[str, str]]:
    """Return the blocks of a prompt, each with its role."""
    before, *rest = _BLOCK.split(text)
    if not rest:
        if not before.strip():
            raise PromptError("a template", "an empty file")
        return [("system", before)]
    if before.strip():
        raise PromptError("nothing before the first block", "text; begin it with `# system`")
    blocks = list(zip(rest[::2], rest[1::2], strict=True))
    roles = [role for role, _ in blocks]
    if "system" in roles[1:]:
        raise PromptError("one `# system`, before all other blocks", "another one")
    if len(roles) > 1 and roles[-1] != "user":
        raise PromptError("`# user` as the last block", f"`# {roles[-1]}`")
    if roles == ["assistant"]:
        raise PromptError("`# system` or `# user`", "`# assistant` alone")
    return blocks
