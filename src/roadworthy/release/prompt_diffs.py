"""How the prompts of two releases differ: in what a model is told, beyond the text. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from ..declare.prompts import PASSAGES, Prompt, PromptError
from .differing import Differing, differing, unified


class PromptDiff(msgspec.Struct, frozen=True, kw_only=True):
    """How a prompt differs.

    Attributes:
        file: Its path; of b where it was renamed.
        a, b: Its versions; empty where there is none, or none that can be read.
        static: Unified diff of what is the same in each call, written out; empty where that is the
            same in both.
        static_characters_a, static_characters_b: How long that is.
        values: Inputs, settings, trusted names and the output schema that differ.
    """

    file: str
    a: str
    b: str
    static: str
    static_characters_a: int
    static_characters_b: int
    values: tuple[Differing, ...] = ()


def read_prompt(declared: Mapping[str, Any], texts: Mapping[str, str]) -> Prompt | None:
    """Return the prompt of a release; None where it has none, or none that can be read today.

    Args:
        declared: Every key of its declaration, flat.
        texts: Path → text, of its files.
    """
    text = texts.get(str(declared.get("prompt.file")))
    if text is None:
        return None
    known = [str(declared.get("chat.variable") or "text")]
    if declared.get("context.retrieval.folder"):
        known.append(PASSAGES)
    try:
        return Prompt(text, known)
    except PromptError:
        return None


def prompt_diffs(
    a: tuple[Mapping[str, Any], Mapping[str, str]], b: tuple[Mapping[str, Any], Mapping[str, str]]
) -> Iterator[PromptDiff]:
    """Yield how the prompts of two releases differ; each is its declaration and its texts."""
    ours, theirs = read_prompt(*a), read_prompt(*b)
    if ours is None and theirs is None:
        return
    versions = ["" if one is None else one.version for one in (ours, theirs)]
    if versions[0] == versions[1]:
        return
    statics = ["" if one is None else one.static.text for one in (ours, theirs)]
    if ours is not None and theirs is not None:
        # The mark of a fence is made of the version; that it changes says nothing.
        statics = [
            text.replace(one.mark, "untrusted")
            for one, text in zip((ours, theirs), statics, strict=True)
        ]
    file = str(b[0].get("prompt.file") or a[0].get("prompt.file"))
    yield PromptDiff(
        file=file,
        a=versions[0],
        b=versions[1],
        static="\n".join(unified(file, *statics)),
        static_characters_a=len(statics[0]),
        static_characters_b=len(statics[1]),
        values=tuple(_values(ours, theirs)),
    )


def _values(a: Prompt | None, b: Prompt | None) -> Iterator[Differing]:
    ours, theirs = (_said(one) for one in (a, b))
    for kind in ours:
        yield from differing(kind, ours[kind], theirs[kind])


def _said(prompt: Prompt | None) -> dict[str, dict[str, Any]]:
    if prompt is None:
        return {"input": {}, "trusted": {}, "setting": {}, "output": {}}
    matter = prompt.matter
    return {
        "input": {name: one.schema for name, one in matter.inputs.items()},
        "trusted": dict.fromkeys(matter.trusted, True),
        "setting": dict(matter.settings),
        "output": {} if matter.output is None else {"output": matter.output},
    }
