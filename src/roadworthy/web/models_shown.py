"""The models of a release: what became of the tries of each, how long they took, what they cost."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal
from urllib.parse import urlsplit

from ..declare.project import Provider
from ..release import registry
from ..serve.opened import OpenRelease
from ..store.records import find_ends
from ..types import Attempt
from .control import Ask
from .figures import ModelShown
from .shapes import Stopped
from .states import LEAST
from .units import show, usd_of

Role = Literal["model", "rung"]

MOST_LOOKED_AT = 1000
"""Requests whose tries are counted, the newest; they are found and read in 20 ms."""

NOT_ASKED = frozenset({"stopped", "no_time_left", "too_dear", "no_key"})
"""How a try ended that never was one."""


def models_of(ask: Ask, release: OpenRelease, since_us: int) -> tuple[int, list[ModelShown]]:
    """Return the models as they are declared and then the rungs, by the newest requests' tries.

    The hourly sums cannot say this: they count the time and the money of a whole request for the
    model that ended it, also what those before it took.

    Returns:
        How many requests were looked at, and the models.
    """
    ends = find_ends(
        ask.control.state, service=release.name, since_us=since_us, limit=MOST_LOOKED_AT
    )
    tries: dict[str, list[Attempt]] = {}
    for end in ends:
        for attempt in end.attempts:
            tries.setdefault(attempt.model, []).append(attempt)
    return len(ends), list(_models(ask, release, tries))


def _models(
    ask: Ask, release: OpenRelease, tries: dict[str, list[Attempt]]
) -> Iterator[ModelShown]:
    control = ask.control
    manifest = registry.read_release(control.state, release.id).manifest
    chain = {entry.name for entry in release.declaration.chain}
    for pin in manifest.models:
        stop = control.switchboard.stopped(release.name, pin.name)
        pinned = manifest.providers.get(pin.provider)
        yield _model(
            pin.name,
            "model" if pin.name in chain else "rung",
            tries.pop(pin.name, ()),
            provider=pin.provider,
            model=pin.model,
            place=place_of(pinned.base_url if pinned else ""),
            prices=_prices(control.declaration.providers, pin.provider, pin.model),
            pinned=pin.digest or pin.pin,
            stopped=show(Stopped, stop) if stop else None,
        )
    for name, found in tries.items():
        yield _model(name, "rung", found)


def _model(name: str, role: Role, tries: Sequence[Attempt], **facts: object) -> ModelShown:
    asked = [attempt for attempt in tries if attempt.status not in NOT_ASKED]
    statuses = [attempt.status for attempt in asked]
    known = {"provider": "", "model": "", "place": "", "prices": "", "pinned": "", "stopped": None}
    cost = sum(attempt.cost_micro for attempt in asked)
    return ModelShown(
        name=name,
        role=role,
        asked=len(asked),
        shown=statuses.count("ok"),
        kept_back=statuses.count("rejected"),
        p95_ms=_p95_ms(asked),
        mean_usd=usd_of(cost) / len(asked) if asked else None,
        **(known | facts),  # type: ignore[arg-type]
    )


def _p95_ms(tries: Sequence[Attempt]) -> float | None:
    """Return the time that 95 of 100 tries kept to; of few, nothing can be said."""
    if len(tries) < LEAST:
        return None
    took = sorted(attempt.us for attempt in tries)
    return took[math.ceil(0.95 * len(took)) - 1] / 1000


def place_of(base_url: str) -> str:
    """Return where a provider's models run.

    >>> place_of(""), place_of("http://127.0.0.1:8799/v1"), place_of("https://api.openai.com/v1")
    ('in this process', 'on this machine', 'at api.openai.com')
    """
    if not base_url:
        return "in this process"
    host = urlsplit(base_url).hostname or ""
    return "on this machine" if _is_here(host) else f"at {host}"


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _prices(providers: Mapping[str, Provider], name: str, model: str) -> str:
    """Return where the prices of a model are from."""
    provider = providers.get(name)
    if provider is None or not provider.is_priced:
        return "free"
    return "declared" if model in provider.prices else "public"
