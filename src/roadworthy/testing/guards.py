"""What every guard must do, whoever wrote it."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from ..guard.slot import Guard, run_guards
from ..types import Call, Verdict

_SHORTEST_QUOTE = 8


def check_guard(guard: Guard, call: Call, output: Any = None) -> Verdict:
    """Return the guard's verdict on this call after making sure that it behaves.

    It has a name, a side and a policy, gives a verdict with a reason where it does not allow,
    changes nothing that it looks at, says the same when it is asked again, and does not repeat the
    user's or the model's text in its reason.

    Args:
        guard: The guard.
        call: A call it has a verdict on, with text that would be noticed in its reason.
        output: An answer, for a guard on the output.

    Raises:
        AssertionError: It does not behave; the message says how.
    """
    assert guard.name, "expected a name, got none"
    assert isinstance(guard.name, str), f"expected a text as name, got {type(guard.name).__name__}"
    assert guard.on in ("input", "output"), f"on: expected input or output, got {guard.on!r}"
    assert guard.fail in ("closed", "open"), f"fail: expected closed or open, got {guard.fail!r}"
    seen = output if guard.on == "output" else None
    before = deepcopy((call.input, call.body, call.caller, seen))
    verdict, again = (run_guards([guard], call, seen, guard.on)[0] for _ in range(2))
    assert (call.input, call.body, call.caller, seen) == before, "it changed what it looked at"
    assert verdict.verdict != "not_run", f"expected a verdict, got none: {verdict.reason}"
    assert (again.verdict, again.reason) == (verdict.verdict, verdict.reason), (
        f"expected the same verdict twice, got {verdict.verdict}, then {again.verdict}"
    )
    assert verdict.reason or verdict.verdict == "allow", f"{verdict.verdict}: expected a reason"
    quoted = [text for text in _texts((call.input, seen)) if text in verdict.reason]
    assert not quoted, "the reason repeats a text of the user or the model"
    return verdict


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str) and len(value) >= _SHORTEST_QUOTE:
        yield value
    elif isinstance(value, dict):
        yield from _texts(tuple(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
