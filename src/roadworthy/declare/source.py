"""Reads a TOML file, and knows on which line each of its keys stands."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import DeclarationError
from ..types import Problem

_PART = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_DOTTED = rf"{_PART}(?:\s*\.\s*{_PART})*"
_HEADER = re.compile(rf"\s*(\[\[?)\s*({_DOTTED})\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(rf"\s*({_DOTTED})\s*=(.*)$")
_LAST = re.compile(rf"(?:\[\d+\]|(?:^|\.){_PART})$")
_AFTER_KEY = re.compile(r"[ \t]*[=.\]]")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_STRING_OR_COMMENT = re.compile(
    r'"""(?:\\.|[^\\])*?"""'
    r"|'''.*?'''"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|#[^\n]*",
    re.DOTALL,
)


class Finding(NamedTuple):
    """What a check found wrong at `path`; its file and line are added by the `Source`."""

    path: str
    expected: str
    got: str
    advice: str = ""


class Source(NamedTuple):
    """A TOML file that could be read.

    Attributes:
        file: Its path relative to the project.
        lines: Path of a key (`models[0].name`) → its line, counted from 1.
    """

    file: str
    data: dict[str, Any]
    lines: dict[str, int]

    def problems(self, findings: Iterable[Finding]) -> tuple[Problem, ...]:
        """Return the findings in the order of their lines, each with this file and its line."""
        ordered = sorted((self._line(finding.path), finding) for finding in findings)
        return tuple(
            Problem(path, expected, got, f"{self.file}:{line}" if line else self.file, advice)
            for line, (path, expected, got, advice) in ordered
        )

    def _line(self, path: str) -> int:
        """Return the line of the nearest thing around `path` that has one, or 0."""
        while path and path not in self.lines:
            path = parent(path)
        return self.lines.get(path, 0)


def refuse(problems: Iterable[Problem]) -> None:
    """Raise one error that holds all `problems`, each on a line of its message; nothing if none."""
    problems = tuple(problems)
    if problems:
        raise DeclarationError("\n".join(map(str, problems)), problems)


def join(path: str, key: str | int) -> str:
    """Return the path of `key` below `path`, written as TOML would."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    if not _BARE.fullmatch(key):
        key = '"' + key.encode("unicode_escape").decode()[:60].replace('"', "'") + '"'
    return f"{path}.{key}" if path else key


def parent(path: str) -> str:
    """Return the path that `path` is a member of; empty at the top."""
    return path[: match.start()] if (match := _LAST.search(path)) else ""


def is_within(path: str, whole: str) -> bool:
    """Return whether `path` is `whole` or a member of it."""
    return path == whole or path.startswith((f"{whole}.", f"{whole}["))


def read_toml(path: Path, project_folder: Path, advice: str) -> Source:
    """Return the file at `path`.

    Args:
        path: The file.
        project_folder: What its name in problems is relative to.
        advice: What to do if it does not exist.

    Raises:
        DeclarationError: It cannot be read, or is not TOML.
    """
    is_inside = path.is_relative_to(project_folder)
    file = (path.relative_to(project_folder) if is_inside else path).as_posix()

    def stop(got: str, advice: str = "", line: str = "") -> DeclarationError:
        problem = Problem(path.name, "a TOML file", got, file + (line and f":{line}"), advice)
        return DeclarationError(str(problem), (problem,))

    try:
        text = path.read_text(encoding="utf-8-sig").replace("\r\n", "\n")
        return Source(file, tomllib.loads(text), _lines_of_keys(text))
    except FileNotFoundError:
        raise stop("none", advice) from None
    except OSError as error:
        raise stop(f"one that cannot be read ({error.strerror})") from error
    except UnicodeDecodeError:
        raise stop("bytes that are not UTF-8", "save it as UTF-8") from None
    except RecursionError:
        raise stop("one that nests too deeply") from None
    except tomllib.TOMLDecodeError as error:
        what, _, where = str(error).partition(" (at ")
        line = re.match(r"line (\d+)", where)
        last = str(text.count("\n") + 1)
        got = f"a syntax error ({what[:1].lower()}{what[1:]})"
        raise stop(got, line=line[1] if line else last) from None


def _lines_of_keys(text: str) -> dict[str, int]:
    """Find the lines of headers and keys by a scan; a key within a value is found by its owner."""
    lines: dict[str, int] = {}
    tables: dict[str, int] = {}
    # Strings and comments hide brackets and equal signs: blank them, but keep quoted keys.
    plain = _STRING_OR_COMMENT.sub(_blank, text)
    table, depth = "", 0
    for number, line in enumerate(plain.split("\n"), 1):
        if depth == 0 and (header := _HEADER.match(line)):
            table = _path("", header[2], tables)
            if header[1] == "[[":
                tables[table] = tables.get(table, -1) + 1
                table = join(table, tables[table])
            _mark(lines, table, number)
        elif depth > 0:
            depth += _opened(line)
        elif key := _KEY.match(line):
            _mark(lines, _path(table, key[1], {}), number)
            depth = _opened(key[2])
    return lines


def _mark(lines: dict[str, int], path: str, number: int) -> None:
    """Note that `path`, and what is around it, is first met on this line."""
    while path and path not in lines:
        lines[path] = number
        path = parent(path)


def _path(table: str, dotted: str, tables: dict[str, int]) -> str:
    """Return the path of a dotted key; a member of an array of tables belongs to the last one."""
    parts = [part[0].strip("\"'") for part in re.finditer(_PART, dotted)]
    for position, part in enumerate(parts):
        table = join(table, part)
        if position < len(parts) - 1 and table in tables:
            table = join(table, tables[table])
    return table


def _opened(value: str) -> int:
    return sum(map(value.count, "[{")) - sum(map(value.count, "]}"))


def _blank(match: re.Match[str]) -> str:
    token = match[0]
    if token[0] == "#":
        return ""
    # `]` ends an array too, but a string that holds no bracket does no harm there.
    is_key = _AFTER_KEY.match(match.string, match.end()) and not set(token) & set("[]{}\n")
    if is_key:
        return token
    return '""' + "\n" * token.count("\n")
