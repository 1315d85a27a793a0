"""What the tests of models share: a call, and one loop to ask it in."""

from __future__ import annotations

import time
from typing import Any

from roadworthy.types import Call, Caller, Key

KEY = Key(id="k1", name="test", scopes=frozenset({"answer"}), team="desk")
CALLER = Caller(key=KEY, user="ada", role="agent", tags=("vip",))


def ask(values: dict[str, Any] | None = None, within_s: float = 10.0) -> Call:
    """Return a call for an input, with so many seconds to answer it."""
    return Call(input=values or {}, caller=CALLER, deadline=time.monotonic() + within_s)
