"""The slot that guards fill, and the one way in which they are asked."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from ..declare.expressions import ExpressionError
from ..declare.service import GuardEntry
from ..plugins import load_plugin
from ..types import Call, Verdict, VerdictName

Side = Literal["input", "output"]

_VERDICTS = ("allow", "ask", "deny")


class Guard(Protocol):
    """A check of every input or of every answer.

    A guard is a plugin of the group `roadworthy.guards`: a factory `(entry, folder) -> Guard`,
    where `entry` is its table in the declaration and `folder` holds the files that it names.

    Attributes:
        name: The name the declaration gives it.
        on: What it looks at.
        fail: What happens when it fails itself: `closed` blocks, `open` lets pass, visibly.
        reads: Optional: the names among `input`, `output`, `user`, … that it looks at. Without it,
            it is taken to look at everything.
        is_for_models: Optional: whether it judges only what a model wrote, and not a rung of the
            ladder whose words the declaration holds itself.
        needs_passages: Optional: whether it denies every answer where no passage was found, so that
            no model need be asked then.
    """

    name: str
    on: Side
    fail: Literal["closed", "open"]

    def check(self, call: Call, output: Any) -> tuple[VerdictName, str]:
        """Say `allow`, `ask` or `deny`, and why, without a word of the user's.

        It may raise anything: then it did not run, and `fail` decides. It changes neither argument.

        Args:
            call: What is asked, and by whom.
            output: What the model answered; None for a guard on the input.
        """


def open_guard(entry: GuardEntry, folder: Path) -> Guard:
    """Open the guard that `entry` declares; `folder` holds the files that it names.

    Raises:
        DeclarationError: No such guard is installed, or it cannot be opened as declared.
    """
    guard: Guard = load_plugin("guards", entry.use)(entry, folder)
    return guard


def run_guards(guards: Sequence[Guard], call: Call, output: Any, on: Side) -> tuple[Verdict, ...]:
    """Ask every guard on this side, in the order of the file; none is skipped, whatever one says.

    A guard that fails leaves the verdict `not_run`, which passes only where it is declared open.
    """
    return tuple([_run(guard, call, output) for guard in guards if guard.on == on])


def _run(guard: Guard, call: Call, output: Any) -> Verdict:
    verdict: VerdictName = "not_run"
    started = time.perf_counter_ns()
    try:
        said, reason = guard.check(call, output)
        if said in _VERDICTS and isinstance(reason, str):
            verdict = said
        else:
            # `redact` too: nothing here can carry the redacted text, so none would be redacted.
            reason = "it gave no verdict of allow, ask or deny with a reason"
    except ExpressionError as error:
        reason = str(error)  # it quotes the declaration, never what was checked
    except Exception as error:  # noqa: BLE001 - a plugin may fail in any way; `fail` decides then
        # The message of an error may quote what was checked; its type does not.
        reason = f"it raised {type(error).__name__}"
    us = (time.perf_counter_ns() - started) // 1000
    return Verdict(guard.name, guard.on, verdict, reason, us, is_open=guard.fail == "open")
