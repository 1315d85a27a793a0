"""What an entry of `[[evaluation.scorers]]` must hold, and may not because its kind ignores it."""

from __future__ import annotations

from collections.abc import Mapping

from .evaluation import SCORERS, ScorerEntry
from .files import Findings
from .project import ProjectDeclaration
from .service import ServiceDeclaration
from .source import Finding
from .validate import shown

_NO_PART = frozenset({"tool_calls", "cost", "latency", "human", "attack"})
_TEXTS = ("exact", "regex", "contains", "json_path", "tool_calls", "label")

_READ_BY: Mapping[str, tuple[str, ...]] = {
    "path": tuple(name for name in SCORERS if name not in _NO_PART),
    "at_least": (
        *("contains", "json_path", "cites", "grounded", "similar", "tool_calls"),
        *("probability", "judge", "human"),
    ),
    "at_most": ("cost", "latency"),
    "tolerance": ("number", "regression"),
    "is_relative": ("number", "regression"),
    "ignore_case": _TEXTS,
    "ignore_space": tuple(name for name in _TEXTS if name != "regex"),
    "schema": ("schema",),
    "database": ("sql",),
    "model": ("judge",),
    "rubric": ("judge",),
    "labels": ("judge", "human"),
}
"""Key → the built-in scorers that read it; a plugin may read any."""

_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "number": ("number",),
    "tool_calls": ("any_order",),
    "probability": ("loss",),
    "judge": ("parameters", "max_output_tokens"),
}
"""Built-in scorer → what it reads of `options`."""

_NEEDS: Mapping[str, tuple[str, ...]] = {
    "sql": ("database",),
    "judge": ("rubric",),
    "human": ("labels",),
}


def scorers_are_whole(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """A scorer holds what its kind needs, and nothing that its kind ignores."""
    for index, entry in enumerate(service.evaluation.scorers):
        if entry.use in SCORERS:
            yield from _problems_of(f"evaluation.scorers[{index}]", entry)


def _problems_of(path: str, entry: ScorerEntry) -> Findings:
    given = {_written(name) for name in entry.model_fields_set}
    because = f"because `use` is `{entry.use}`"
    for key in _NEEDS.get(entry.use, ()):
        if key not in given:
            yield Finding(f"{path}.{key}", f"a value, {because}", "none")
    for key, readers in _READ_BY.items():
        if key in given and entry.use not in readers:
            yield Finding(f"{path}.{key}", f"no such key, {because}", "one", "remove it")
    known = _OPTIONS.get(entry.use, ())
    for key in entry.options:
        if key not in known:
            expected = " or ".join(f"`{each}`" for each in known) or "no options"
            yield Finding(f"{path}.options", f"{expected}, {because}", shown(key), "remove it")


def _written(field: str) -> str:
    """Return what a field is called in the file."""
    return "schema" if field == "schema_file" else field
