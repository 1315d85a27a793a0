"""One vocabulary: a term of the business means the same in every contract and in the project.

A term is what contracts call `businessName` and `[glossary]` of roadworthy.toml defines. What an
entry leaves out, it does not contradict.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from ..declare.project import PROJECT_FILE, Term
from ..declare.source import join
from ..types import Problem
from .contract import Contract

_ASPECTS = ("definition", "unit", "type")


class Entry(NamedTuple):
    """What one place says of a term.

    Attributes:
        term: As it is spelt there.
        file: The file that says so.
        path: Where in it.
        definition, unit, type: What it says; empty where it says nothing.
    """

    term: str
    file: str
    path: str
    definition: str = ""
    unit: str = ""
    type: str = ""


def entries_of(contracts: Mapping[str, Contract], glossary: Mapping[str, Term]) -> list[Entry]:
    """Return all that a project says of terms: first its glossary, then its contracts by file."""
    entries = [
        Entry(
            name,
            PROJECT_FILE,
            join("glossary", name),
            entry.definition,
            entry.unit or "",
            entry.type or "",
        )
        for name, entry in glossary.items()
    ]
    for file in sorted(contracts):
        entries += _of_contract(file, contracts[file])
    return entries


def _of_contract(file: str, contract: Contract) -> Iterator[Entry]:
    for table in contract.tables:
        for field in table.fields:
            if field.business_name:
                path = f"{table.name}.{field.name}"
                said = (field.definition, field.unit, field.type)
                yield Entry(field.business_name, file, path, *said)


def contradictions(entries: Iterable[Entry]) -> tuple[Problem, ...]:
    """Return each place that says something else of a term than an earlier one, naming both."""
    first: dict[tuple[str, str], Entry] = {}
    problems = []
    for entry in entries:
        for aspect in _ASPECTS:
            said = getattr(entry, aspect)
            if not said:
                continue
            earlier = first.setdefault((_plain(entry.term), aspect), entry)
            meant = getattr(earlier, aspect)
            if _plain(meant) != _plain(said) or (aspect == "unit" and meant != said):
                problems.append(_problem(entry, earlier, aspect))
    return tuple(problems)


def _problem(entry: Entry, earlier: Entry, aspect: str) -> Problem:
    meant, said = getattr(earlier, aspect), getattr(entry, aspect)
    return Problem(
        entry.path,
        f"the {aspect} of `{earlier.term}` that {earlier.file} gives at `{earlier.path}`, "
        f"`{_short(meant)}`",
        f"`{_short(said)}`",
        entry.file,
        f"make both say the same, or call one of them something other than `{entry.term}`",
    )


def _plain(text: str) -> str:
    """Return a text without what does not change its meaning: case, spaces, a last full stop."""
    return " ".join(text.split()).casefold().rstrip(".")


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 120 else f"{text[:117]}..."
