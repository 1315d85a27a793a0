"""Answers that wait for people, written where somebody can fill them in."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from msgspec.structs import replace

from ..evaluate.people import WaitsForPeople, waiting_lines
from ..evaluate.scorer import Scorer
from ..evaluate.settings import Run
from .ground import Ground

WAITING = "waiting"
"""Folder below `.roadworthy` for the lines that people fill in."""


def write_waiting(ground: Ground, release: str, run: Run, scorers: Iterable[Scorer]) -> Run:
    """Write a line for each answer that nobody has judged yet, and return the run that tells so.

    Args:
        ground: The project.
        release: Whose answers they are.
        run: What came of asking.
        scorers: What scored it.
    """
    waiting = {}
    for scorer in scorers:
        if not isinstance(scorer, WaitsForPeople):
            continue
        lines = waiting_lines(run.cases, scorer)
        if lines:
            name = Path(".roadworthy") / WAITING / _file_name(f"{release}-{scorer.name}.jsonl")
            path = ground.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"".join(lines))
            waiting[scorer.name] = (len(lines), name.as_posix())
    return replace(run, waiting=waiting) if waiting else run


def _file_name(name: str) -> str:
    return "".join(mark if mark.isalnum() or mark in "-_.@" else "_" for mark in name)
