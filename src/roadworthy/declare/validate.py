"""Turns what a file holds into values; what pydantic refuses becomes findings in our words."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from .planned import VALUES, is_reserved_value
from .source import Finding, is_within, join
from .values import PATTERNS_IN_WORDS, File

F = TypeVar("F", bound=File)

_PHRASES = {
    "greater than or equal to": ">=",
    "less than or equal to": "<=",
    "greater than": ">",
    "less than": "<",
    "valid integer": "an integer",
    "valid string": "a string",
    "valid boolean": "`true` or `false`",
    "valid number": "a number",
}
_SECRET = re.compile(
    r"(?:(?:[srp]k|rw|hf|gh[a-z]|glpat|xox[a-z])[-_]|AIza|AKIA|ASIA|eyJ)[\w.-]{12,}"
    r"|whs(?:ec|k)_[A-Za-z0-9+/=]{12,}"
    r"|(?=.*\d)[A-Za-z0-9+/=]{20,}"
)
_USER_OF_URL = re.compile(r"//[^/\s]*@")


class StandIns(NamedTuple):
    """Sound values that stand where a file has broken ones, so that the rest can still be checked.

    Attributes:
        parts: What stands for a required part of the file.
        items: What stands for an item of a list; a broken one keeps its place, so that the paths of
            the others hold.
    """

    parts: Mapping[str, Any]
    items: Mapping[str, Any]


class Draft(NamedTuple, Generic[F]):
    """A file as far as it is sound.

    Attributes:
        value: The file; broken parts are stand-ins.
        broken: Paths of the broken parts, which no later check may judge.
    """

    value: F
    broken: frozenset[str]

    def is_sound(self, *parts: str) -> bool:
        """Return whether nothing within or around `parts` is broken."""
        pairs = [(path, part) for path in self.broken for part in parts]
        return not any(is_within(a, b) or is_within(b, a) for a, b in pairs)

    def is_judged(self, path: str) -> bool:
        """Return whether `path` lies outside everything broken."""
        return not any(is_within(path, part) for part in self.broken)


def validate(
    model: type[F], data: dict[str, Any], stand_ins: StandIns, findings: list[Finding]
) -> Draft[F]:
    """Return `data` as a `model`; every broken value becomes one of `findings`."""
    try:
        return Draft(model.model_validate(data), frozenset())
    except ValidationError as error:
        errors = [_as_written(data, e) for e in error.errors() if not _is_echo(e)]
    told = {finding.path for finding in findings}
    findings.extend(f for f in map(_finding, errors) if f.path not in told)
    sound = copy.deepcopy(data)
    broken = frozenset(_stand_in(sound, e["loc"], stand_ins) for e in errors)
    return Draft(model.model_validate(sound), broken)


def _is_echo(error: ErrorDetails) -> bool:
    """Return whether an error only follows from another.

    A default that derives from a broken value is missing; a list of broken items seems empty.
    """
    is_short = error["type"] == "too_short" and bool(error["input"])
    return is_short or error["type"] == "default_factory_not_called"


def _as_written(data: dict[str, Any], error: ErrorDetails) -> ErrorDetails:
    """Return an error at its place in the file, where one table may stand for a list of one."""
    kept: list[int | str] = []
    here: Any = data
    for step in error["loc"]:
        if isinstance(step, int) and isinstance(here, dict):
            continue
        kept.append(step)
        try:
            here = here[step]
        except (KeyError, IndexError, TypeError):
            here = None
    return {**error, "loc": tuple(kept)}


def _stand_in(data: dict[str, Any], loc: tuple[int | str, ...], stand_ins: StandIns) -> str:
    """Make the part of `data` that an error lies in sound, and return the path of what was broken.

    A broken key that may be missing is left out; one that may not, breaks its whole table.
    """
    part, *rest = loc
    holder: Any = data
    path, whole = str(part), stand_ins.parts.get(str(part))
    if rest and isinstance(data[path], list):
        holder, whole = data[path], stand_ins.items[path]
        part, *rest = rest
        path = join(path, part)
    if rest and rest[0] not in (whole or {}):
        holder[part].pop(rest[0], None)
        return join(path, rest[0])
    if whole is None:
        del holder[part]
    else:
        holder[part] = whole
    return path


def _finding(error: ErrorDetails) -> Finding:
    path = ""
    for step in error["loc"]:
        # Pydantic marks an error of a member's name by a step `[key]` of its own.
        path = path if step == "[key]" else join(path, step)
    key = re.sub(r"\[\d+\]", "", path)
    expected = _expected(error)
    if error["type"] == "missing":
        return Finding(path, "a value", "none", f"add `{key.rpartition('.')[2]}`")
    value = error["input"]
    # A provider's name stands between: `providers.openai.kind` is the key `providers.kind`.
    for word in (key, re.sub(r"^providers\..*\.", "providers.", key)):
        if word in VALUES and is_reserved_value(word, value):
            got = f"{shown(value)}, which is not enforced yet"
            return Finding(path, expected, got, "choose one that is")
    if error["type"] == "too_short" and isinstance(value, list | tuple):
        return Finding(path, "at least one", "none", f"add a `[[{path}]]`")
    got = error.get("ctx", {}).get("got") or shown(value)
    return Finding(path, expected, got, error.get("ctx", {}).get("advice", ""))


def _expected(error: ErrorDetails) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "refused":
        return str(context["expected"])
    if kind == "literal_error":
        return str(context["expected"]).replace("'", "`")
    if kind == "string_pattern_mismatch":
        pattern = str(context["pattern"])
        return PATTERNS_IN_WORDS.get(pattern, f"text that matches `{pattern}`")
    if kind in ("model_type", "dict_type"):
        return "a table"
    if kind == "tuple_type":
        return "a list"
    if kind == "string_too_short":
        return "some text"
    words = re.sub(r"^(Input|String|Value) should (be |have )?(a )?", "", error["msg"])
    for phrase, short in _PHRASES.items():
        words = words.replace(phrase, short)
    return words


def looks_like_secret(text: str) -> bool:
    """Return whether `text` looks like a key or token rather than a name."""
    return _SECRET.fullmatch(text) is not None


def shown(value: Any) -> str:
    """Return a declared value as a message may show it: short, on one line, never a secret."""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int | float):
        return str(value)[:40]
    if isinstance(value, str):
        if looks_like_secret(value):
            return "text that looks like a secret"
        value = _USER_OF_URL.sub("//…@", value)
        short = value if len(value) <= 60 else value[:60] + "…"
        return f"`{short.encode('unicode_escape').decode() if not short.isprintable() else short}`"
    if isinstance(value, list | tuple):
        return "a list"
    return "a table" if isinstance(value, dict) else f"a {type(value).__name__}"
