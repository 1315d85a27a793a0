"""Reads a YAML file, knows on which line each of its keys stands, and refuses what YAML hides.

A key that is given twice, a date that is not text, and aliases that grow without end are problems
here, where a plain reader would take the last key, make a date object, or run out of memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..declare.source import Finding, Source, join, refuse
from ..errors import DeclarationError, MissingExtra
from ..types import Problem

try:
    import yaml
except ImportError:  # the extra `data` is absent; `read_yaml` says which line installs it
    yaml = None
else:

    class _Loader(yaml.SafeLoader):  # type: ignore[misc]
        """Leaves dates and times as text: JSON has none, and a bound is compared as ISO 8601."""

    _Loader.yaml_implicit_resolvers = {
        first: [(tag, regexp) for tag, regexp in found if not tag.endswith(":timestamp")]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
        """Escapes what YAML takes for the end of a line and others do not, and would lose."""

    def _write_text(dumper: Any, text: str) -> Any:
        style = '"' if _BREAKS.intersection(text) else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    _Dumper.add_representer(str, _write_text)

_BREAKS = frozenset("\x85\u2028\u2029")
MOST_BYTES = 5_000_000
MOST_VALUES = 200_000


class YamlFile(NamedTuple):
    """A YAML file that could be read.

    Attributes:
        source: Its values, and the line of each path.
        findings: Keys that are given twice.
        digest: SHA-256 of its bytes.
    """

    source: Source
    findings: tuple[Finding, ...]
    digest: str


def read_yaml(path: Path, folder: Path | None = None) -> YamlFile:
    """Return the file at `path`; problems name it relative to `folder`.

    Raises:
        MissingExtra: PyYAML is not installed.
        DeclarationError: It cannot be read, or is not a YAML mapping.
    """
    if yaml is None:
        raise MissingExtra("data", "a data contract")
    is_inside = folder is not None and path.is_relative_to(folder)
    file = (path.relative_to(folder) if folder and is_inside else path).as_posix()
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise _stop(path, file, f"one of {size} bytes", f"keep it below {MOST_BYTES}")
        return parse_yaml(path.read_bytes(), path.name, file)
    except FileNotFoundError:
        raise _stop(path, file, "none") from None
    except OSError as error:
        raise _stop(path, file, f"one that cannot be read ({error.strerror})") from error


def parse_yaml(content: bytes, name: str, file: str) -> YamlFile:
    """Return the values of a YAML text.

    Raises:
        DeclarationError: It is not a YAML mapping.
    """
    try:
        loader = _Loader(content.decode("utf-8-sig").replace("\r\n", "\n"))
        node = loader.get_single_node()
        reading = _Reading(loader)
        data = reading.value(node, "") if node else None
    except UnicodeDecodeError:
        raise _stop(name, file, "bytes that are not UTF-8", "save it as UTF-8") from None
    except (RecursionError, _TooMuch):
        raise _stop(name, file, "one whose aliases grow or nest without end") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{file}:{mark.line + 1}" if mark else file
        raise _stop(name, where, f"a syntax error ({error.problem})") from None
    except (yaml.YAMLError, ValueError) as error:
        raise _stop(name, file, f"a syntax error ({str(error)[:120]})") from None
    if not isinstance(data, dict):
        raise _stop(name, file, "another" if node else "an empty file")
    digest = hashlib.sha256(content).hexdigest()
    return YamlFile(Source(file, data, reading.lines), tuple(reading.findings), digest)


def refuse_findings(source: Source, findings: Sequence[Finding]) -> None:
    """Raise one error that holds all findings, in the order of their lines; nothing if none.

    Raises:
        DeclarationError: There are some.
    """
    refuse(source.problems(findings))


def _stop(path: Path | str, file: str, got: str, advice: str = "") -> DeclarationError:
    problem = Problem(Path(path).name, "a YAML file with keys", got, file, advice)
    return DeclarationError(str(problem), (problem,))


class _TooMuch(Exception):
    """More values than any contract has."""


class _Reading:
    """Turns nodes into values, and notes their lines and what is given twice."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self._left = MOST_VALUES
        self.lines: dict[str, int] = {}
        self.findings: list[Finding] = []

    def value(self, node: Any, path: str) -> Any:
        """Return what a node holds; an alias counts as often as it is used."""
        self._left -= 1
        if self._left < 0:
            raise _TooMuch
        if path:
            self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return dict(self._members(node, path))
        if isinstance(node, yaml.SequenceNode):
            return [self.value(one, join(path, at)) for at, one in enumerate(node.value)]
        return self._loader.construct_object(node)

    def _members(self, node: Any, path: str) -> Iterator[tuple[str, Any]]:
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else "?"
            line = key_node.start_mark.line + 1
            inner = join(path, key)
            if key in seen:
                got = f"it again, first in line {seen[key]}"
                self.findings.append(Finding(inner, "a key once", got, "keep one of them"))
            seen.setdefault(key, line)
            self.lines.setdefault(inner, line)
            yield key, self.value(value_node, inner)


def write_yaml(value: Any) -> str:
    """Return `value` as YAML that `read_yaml` gives back as it was."""
    written: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return written
