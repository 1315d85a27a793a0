"""What is not the same in two releases: values by name, texts by line. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import unified_diff
from typing import Any, Literal

import msgspec

Change = Literal["added", "changed", "removed"]
_CONTEXT_LINES = 3


class Differing(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not the same in both.

    Attributes:
        kind: `key`, `model`, `provider`, `environment`, `package`, `contract`, `accepts`,
            `training`, `view`, `file` or `certificate`; of a prompt `input`, `trusted`, `setting`
            or `output`.
        a, b: What it is on each side; None where it is not there.
    """

    kind: str
    name: str
    a: Any
    b: Any

    @property
    def change(self) -> Change:
        """What became of it from a to b."""
        if self.a is None:
            return "added"
        return "removed" if self.b is None else "changed"


def differing(kind: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Differing]:
    """Yield what is not the same in two mappings, by name."""
    for name in sorted(a.keys() | b.keys()):
        ours, theirs = a.get(name), b.get(name)
        if ours != theirs:
            yield Differing(kind=kind, name=name, a=ours, b=theirs)


def unified(name: str, a: str, b: str) -> list[str]:
    """Return the unified diff of two texts by line; empty where they are the same."""
    lines = (a.splitlines(), b.splitlines())
    return list(unified_diff(*lines, f"a/{name}", f"b/{name}", n=_CONTEXT_LINES, lineterm=""))
