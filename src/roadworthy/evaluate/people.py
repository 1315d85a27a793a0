"""What people said of answers: files of JSON lines that judges are held against, and that count."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from ..declare.evaluation import ScorerEntry
from ..errors import DeclarationError
from ..types import Problem
from .asked import Asked
from .cases import Case

_encode = msgspec.json.Encoder(order="deterministic").encode


class Labelled(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An answer that people judged, to hold a judge against.

    Attributes:
        output: The answer: a text, or JSON.
        right: Whether people call it right.
        input: What was asked.
        expect: What the answer is compared with, as in a case.
        by: Who said so.
    """

    output: Any
    right: bool
    input: dict[str, Any] = {}
    expect: Any = None
    by: str = ""


class Said(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a person says of the answer to a case; it waits for one while `right` is null.

    Attributes:
        id: The case's.
        answer: `answer_digest` of the answer: another answer needs another look.
        score: How good it is (0-1); by default as `right` says.
        by: Who said so.
        why: Why, in their words.
        input, expect, output: For whoever looks at it; nothing reads them.
    """

    id: str
    answer: str
    right: bool | None = None
    score: float | None = None
    by: str = ""
    why: str = ""
    input: dict[str, Any] = {}
    expect: Any = None
    output: Any = None


Line = TypeVar("Line", Labelled, Said)


def answer_digest(asked: Asked) -> str:
    """Return which answer it is: SHA-256 (hex) of what was said, whatever it took."""
    try:
        content = _encode((asked.output, asked.message))
    except (TypeError, ValueError, OverflowError, RecursionError):
        content = b"no JSON"
    return hashlib.sha256(content).hexdigest()


def waiting_line(case: Case, asked: Asked) -> bytes:
    """Return the line that a person fills in, by writing true or false for `right`."""
    shown = asked.text or asked.output
    said = Said(case.id, answer_digest(asked), None, input=case.input, expect=case.expect)
    table = {**msgspec.to_builtins(said), "output": shown, "right": None}
    return _encode(table) + b"\n"


def labels_file(folder: Path, entry: ScorerEntry) -> tuple[Path, bytes]:
    """Return where a scorer's labels lie, and what the file holds.

    Raises:
        DeclarationError: The entry names none, or it cannot be read.
    """
    path = folder / (entry.labels or "")
    try:
        if not entry.labels:
            raise FileNotFoundError(2, "no `labels`")
        return path, path.read_bytes()
    except OSError as error:
        where = entry.labels or "service.toml"
        raise DeclarationError(
            f"scorer `{entry.name}`: expected `labels`, a file of JSON lines, got "
            f"{error.strerror or type(error).__name__} - {where}; create it"
        ) from error


def read_lines(name: str, content: bytes, kind: type[Line]) -> tuple[Line, ...]:
    """Return what the lines of a file say.

    Raises:
        DeclarationError: With every line that is none.
    """
    decoder = msgspec.json.Decoder(kind)
    problems: list[Problem] = []
    lines: list[Line] = []
    for number, line in enumerate(content.splitlines(), 1):
        try:
            if line.strip():
                lines.append(decoder.decode(line))
        except (msgspec.DecodeError, RecursionError) as error:
            expected = ", ".join(f"`{field}`" for field in kind.__struct_fields__)
            got = str(error)[:200]
            problems.append(
                Problem(f"line {number}", f"JSON with {expected}", got, name, "mend the line")
            )
    if problems:
        raise DeclarationError("\n".join(map(str, problems)), problems)
    return tuple(lines)


def by_answer(lines: Iterable[Said]) -> dict[tuple[str, str], Said]:
    """Return what was said last of each answer, by case and digest."""
    return {(said.id, said.answer): said for said in lines if said.right is not None}
