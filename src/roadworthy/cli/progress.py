"""A line on the screen that says how far a long command is; programs are told nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .common import errors

Tell = Callable[[str, int, int], None]


@contextmanager
def showing_progress(*, is_quiet: bool) -> Iterator[Tell]:
    """Give what is told of something how much of it is done, of how much.

    Args:
        is_quiet: Whether nothing is shown; nothing is where nobody looks, either.
    """
    if is_quiet or not errors.is_terminal:
        yield lambda what, done, of: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=errors, transient=True) as shown:
        tasks = {}

        def tell(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = shown.add_task(what, total=of)
            shown.update(tasks[what], completed=done, total=of)

        yield tell
