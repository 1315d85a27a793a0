"""What a key may be allowed to do: the scopes that some route asks for."""

from __future__ import annotations

from msgspec import Struct

from ..types import Scope


class ScopeMeant(Struct, frozen=True):
    """What a key may do that has a scope."""

    scope: Scope
    means: str


SCOPES_ASKED = (
    ScopeMeant("answer", "ask services, and report outcomes"),
    ScopeMeant("read", "see these pages and every record"),
    ScopeMeant("act_as", "ask on behalf of users"),
    ScopeMeant("push", "put features online"),
    ScopeMeant("review", "work queues, and report outcomes of all requests"),
    ScopeMeant("release", "build and promote releases"),
    ScopeMeant("budget", "raise ceilings until their day or month ends"),
    ScopeMeant("admin", "stop services and make keys"),
)
"""The likely ones first."""
