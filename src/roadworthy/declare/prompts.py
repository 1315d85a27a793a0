"""Prompts: files of Jinja templates that become the messages to a model."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from . import prompt_places as places
from .prompt_matter import PASSAGES, Matter, PromptError, split_matter

__all__ = ["PASSAGES", "ROLES", "Matter", "Prompt", "PromptError", "Static", "split_matter"]

ROLES = ("system", "user", "assistant")
LATE_CHARACTERS = 1_000
"""Text that never changes and stands behind what does, from which on it is refused: a provider's
cache would have kept it, at a tenth of the price."""

_BLOCK = re.compile(rf"^# ({'|'.join(ROLES)})[ \t]*$", re.MULTILINE)
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n.*?^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_SAMPLE = {"file": "page.md", "heading": "Page > Part", "text": "A sentence.", "score": 0.5}
_FAILURES = (TypeError, ValueError, ArithmeticError, LookupError, AttributeError)
"""What an expression of a template may raise beside Jinja's own errors."""


class Block(NamedTuple):
    """One message of a prompt; `template` is compiled.

    Attributes:
        head: Its beginning that is the same in each call.
        is_static: Whether all of it is.
    """

    role: str
    template: Any
    head: str
    is_static: bool


class Static(NamedTuple):
    """How much of what is written is the same in each call.

    Attributes:
        messages: How many of the first messages are.
        characters: Of the message after those, how many first characters are.
        text: All of it.
        key: By which it is known to be the same; empty where nothing is.
    """

    messages: int
    characters: int
    text: str
    key: str


class Prompt:
    """The messages of a prompt, to be filled in.

    The file is cut into blocks before anything is filled in, so that no text of a user can begin
    one; and what is filled in is not read as a template again. Front matter between `+++` lines is
    TOML and is kept; between `---` lines it is for people and left out. With `+++` each value is
    also kept in its place; see `prompt_places`.

    Args:
        text: The file: blocks that begin with `# system`, `# user` or `# assistant` on a line of
            its own; without any, all of it is the system's.
        known: The names that it may use, beside the inputs that it declares.

    Attributes:
        names: Those that it does use.
        matter: What it says of itself.
        version: SHA-256 (12 hex) of the file.
        static: How much of its messages is the same in each call.
        mark: What the fences of its values are made of.

    Raises:
        PromptError: It is no template, uses a name that it does not know, or its blocks are not in
            an order that a model takes.
    """

    def __init__(self, text: str, known: Sequence[str]) -> None:
        self.version = hashlib.sha256(text.encode()).hexdigest()[:12]
        self.names: set[str] = set()
        matter, rest = split_matter(text.replace("\r\n", "\n"))
        self.matter = matter or Matter()
        self._is_guarded = matter is not None
        self.mark = f"untrusted-{self.version[:8]}"
        self._has_fence = False
        rest = rest if self._is_guarded else _FRONT_MATTER.sub("", rest, count=1)
        known = (*known, *(name for name in self.matter.inputs if name not in known))
        if unknown := sorted(self.matter.trusted.difference(known)):
            raise PromptError(f"`trusted` names of {_list(known)}", f"`{unknown[0]}`")
        blocks = [self._block(role, source) for role, source in _cut(rest)]
        if unknown := sorted(self.names.difference(known)):
            raise PromptError(f"names that a prompt has here ({_list(known)})", f"`{unknown[0]}`")
        self._blocks = self._noticed(blocks)
        self.static = _static(self._blocks)
        self._empty = dict.fromkeys(n for n, one in self.matter.inputs.items() if one.is_optional)
        self._try(known)

    def _block(self, role: str, source: str) -> Block:
        jinja2, meta, environment = _jinja()
        try:
            tree = environment.parse(source)
            if any(True for _ in meta.find_referenced_templates(tree)):
                raise PromptError("one file", "a template that includes another")
            names = meta.find_undeclared_variables(tree)
            self.names |= names
            if self._is_guarded:
                if role == "system" and self.matter.static_first:
                    _check_order(tree)
                trusted = self.matter.trusted
                guarded = places.guard_values(tree, jinja2.nodes, source, role, trusted, self.mark)
                self._has_fence |= guarded.has_fence
            head, is_static = _head(tree)
            return Block(role, environment.from_string(tree), head, is_static)
        except jinja2.TemplateError as error:
            where = f" in line {error.lineno} of its block" if hasattr(error, "lineno") else ""
            raise PromptError("a Jinja template", f"{error.message}{where}") from error

    def _noticed(self, blocks: list[Block]) -> tuple[Block, ...]:
        """Return the blocks, of which the first says what the marks mean where there are some."""
        if not self._has_fence:
            return tuple(blocks)
        notice, plain = places.NOTICE.format(self.mark), _jinja()[2].from_string
        first = blocks[0]
        if first.role != "system":
            return (Block("system", plain(notice), notice, True), *blocks)
        told = _Told(f"{notice}\n\n", first.template)
        return (Block("system", told, f"{notice}\n\n{first.head}", first.is_static), *blocks[1:])

    def _try(self, known: Sequence[str]) -> None:
        """Fill it in once with and once without passages: that finds what a name does not have."""
        values: dict[str, Any] = dict.fromkeys(known, "a text")
        values |= {name: one.sample for name, one in self.matter.inputs.items()}
        for passages in ([], [_SAMPLE]):
            self.write(values | {PASSAGES: passages})
        for name in self._empty:
            self.write(values | {PASSAGES: [], name: None})

    @property
    def writes_user(self) -> bool:
        """Whether the last message is a block of its own, and not what the user wrote."""
        return self._blocks[-1].role == "user"

    def write(self, values: Mapping[str, Any]) -> list[dict[str, str]]:
        """Return the messages for these values.

        Raises:
            PromptError: A value is missing, or does not have what the template asks of it.
        """
        values = {**self._empty, **values}
        messages = []
        for block in self._blocks:
            content = _rendered(block.template, values).strip()
            messages.append({"role": block.role, "content": content})
        return messages


class _Told(NamedTuple):
    """A template with a text before it."""

    before: str
    template: Any

    def render(self, values: Mapping[str, Any]) -> str:
        return f"{self.before}{self.template.render(values).strip()}"


def _rendered(template: Any, values: Mapping[str, Any]) -> str:
    jinja2 = _jinja()[0]
    try:
        return str(template.render(values))
    except PromptError:
        raise
    except jinja2.UndefinedError as error:
        # Jinja names what is missing by the template's own words.
        raise PromptError("values for all names", str(error.message)) from error
    except (jinja2.TemplateError, *_FAILURES) as error:
        raise PromptError("a template that can be filled in", type(error).__name__) from error


def _list(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


@cache
def _jinja() -> tuple[Any, Any, Any]:
    """Return Jinja, its look at syntax trees and one sandbox; imported late, for it takes 40 ms."""
    import jinja2
    import jinja2.meta
    import jinja2.sandbox

    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
    )
    environment.filters |= places.FILTERS
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


# What never changes.


def _names_in(node: Any) -> list[str]:
    """Return the variables that a part of a template needs, sorted."""
    jinja2, meta, environment = _jinja()
    alone = jinja2.nodes.Template([node], lineno=1)
    alone.set_environment(environment)
    return sorted(meta.find_undeclared_variables(alone))


def _pieces(tree: Any) -> list[tuple[Any, list[str]]]:
    """Return the parts of a block in their order, each with the variables that it needs."""
    nodes = _jinja()[0].nodes
    found = []
    for node in tree.body:
        if isinstance(node, nodes.Output):
            found += [(child, _names_in(nodes.Output([child]))) for child in node.nodes]
        else:
            found.append((node, _names_in(node)))
    return found


def _head(tree: Any) -> tuple[str, bool]:
    """Return the text at the beginning of a block that never changes, and whether that is all."""
    jinja2, _, environment = _jinja()
    nodes, kept = jinja2.nodes, []
    pieces = _pieces(tree)
    for piece, names in pieces:
        if names:
            break
        is_part = isinstance(piece, nodes.TemplateData | nodes.Expr)
        kept.append(nodes.Output([piece]) if is_part else piece)
    is_all = len(kept) == len(pieces)
    if is_all:
        return "", True
    alone = nodes.Template(kept, lineno=1)
    alone.set_environment(environment)
    return _rendered(environment.from_string(alone), {}).strip(), False


def _check_order(tree: Any) -> None:
    """Refuse text that never changes behind what does, if there is much of it."""
    nodes = _jinja()[0].nodes
    before = late = 0
    first: list[str] = []
    for piece, names in _pieces(tree):
        length = len(piece.data) if isinstance(piece, nodes.TemplateData) else 0
        if names and not first:
            first = names
        before, late = (before, late + length) if first else (before + length, 0)
    if late >= LATE_CHARACTERS and late > before:
        raise PromptError(
            "text that never changes before all that does, so that providers can cache it "
            "(or `static_first = false`)",
            f"`{first[0]}` before {late:,} characters that never change",
        )


def _static(blocks: Sequence[Block]) -> Static:
    """Return how much of a prompt is the same in each call."""
    count = 0
    while count < len(blocks) and blocks[count].is_static:
        count += 1
    texts = [f"# {block.role}\n{_rendered(block.template, {}).strip()}" for block in blocks[:count]]
    head = blocks[count].head if count < len(blocks) else ""
    if head:
        texts.append(f"# {blocks[count].role}\n{head}")
    text = "\n".join(texts)
    key = hashlib.sha256(text.encode()).hexdigest()[:16] if text else ""
    return Static(count, len(head), text, key)
