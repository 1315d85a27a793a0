"""Cases as data: what is asked, what is right, and the suites that hold them."""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from ..errors import DeclarationError
from ..types import Problem

SEVERITIES = ("none", "low", "normal", "high", "critical")
"""From what hardly matters to what must never go wrong: a `critical` case that fails fails all."""

_encode = msgspec.json.Encoder(order="deterministic").encode


class Case(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One line of a suite.

    Attributes:
        id: Unique among all suites of a service.
        input: Fields of a predict, variables of a generate.
        expect: The right answer, as the scorer reads it; None where none is known.
        tags: By which results are told apart.
        severity: One of `SEVERITIES`.
        scorer: Names of the scorers for this case alone; empty for those of the service.
        features: What the views said at the time of the case; None reads them as they are now.
        user, role: On whose behalf it is asked.
        history: Earlier messages of the conversation, oldest first, each `{"role", "content"}`.
    """

    id: str
    input: dict[str, Any]
    expect: Any = None
    tags: tuple[str, ...] = ()
    severity: str = "normal"
    scorer: tuple[str, ...] | str = ()
    features: dict[str, Any] | None = None
    user: str = ""
    role: str = ""
    history: tuple[dict[str, Any], ...] = ()

    @property
    def scorers(self) -> tuple[str, ...]:
        """Names of the scorers for this case alone."""
        return (self.scorer,) if isinstance(self.scorer, str) else self.scorer

    @property
    def asked(self) -> str:
        """SHA-256 (hex) of what is asked: the same question is the same, whatever is expected."""
        parts = (self.input, self.features, self.user, self.role, self.history)
        return hashlib.sha256(_encode(parts)).hexdigest()

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the whole case; it changes when anything of it does."""
        return hashlib.sha256(_encode(self)).hexdigest()


class Suite(msgspec.Struct, frozen=True):
    """A set of cases.

    Attributes:
        name: The file, relative to the service's folder.
        digest: SHA-256 (hex) of its cases, in their order.
    """

    name: str
    cases: tuple[Case, ...]
    digest: str


_decoder = msgspec.json.Decoder(Case)
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What a line raises that is no JSON, no UTF-8, or nested thousands deep."""


def suite_of(name: str, cases: Sequence[Case]) -> Suite:
    """Return a suite of these cases."""
    whole = "\n".join(case.digest for case in cases)
    return Suite(name, tuple(cases), hashlib.sha256(whole.encode()).hexdigest())


def lines_of(path: Path) -> list[bytes]:
    """Return the lines of a file, without the mark that some editors put before the first.

    Raises:
        OSError: It cannot be read.
    """
    return path.read_bytes().removeprefix(codecs.BOM_UTF8).splitlines()


def load_suites(folder: Path, names: Sequence[str]) -> tuple[Suite, ...]:
    """Return the suites that lie in a service's folder.

    Raises:
        DeclarationError: With every line that is no case, and every id that stands twice.
    """
    problems: list[Problem] = []
    seen: dict[str, str] = {}
    suites = tuple(suite_of(name, _read(folder, name, seen, problems)) for name in names)
    if problems:
        raise DeclarationError("\n".join(map(str, problems)), problems)
    return suites


def _read(folder: Path, name: str, seen: dict[str, str], problems: list[Problem]) -> list[Case]:
    cases = []
    try:
        lines = lines_of(folder / name)
    except OSError as error:
        got = error.strerror or type(error).__name__
        problems.append(Problem(name, "a file of cases", got, name, "create it"))
        return []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"line {number}"
        try:
            case = _decoder.decode(line)
        except UNREADABLE as error:
            expected = '`{"id", "input", "expect", "tags", "severity"}` as JSON'
            problems.append(Problem(where, expected, str(error), name, "mend the line"))
            continue
        if case.severity not in SEVERITIES:
            expected = ", ".join(f"`{word}`" for word in SEVERITIES)
            got = f"`{case.severity:.40}`"
            problems.append(Problem(f"{where}: severity", expected, got, name, "use one of these"))
        if not case.id:
            problems.append(Problem(f"{where}: id", "a text", "an empty one", name, "name it"))
        if case.id in seen:
            got = f"`{case.id:.80}`, which is in {seen[case.id]} already"
            problems.append(Problem(f"{where}: id", "an id of its own", got, name, "rename one"))
            continue
        seen[case.id] = f"{name}, {where}"
        cases.append(case)
    return cases
