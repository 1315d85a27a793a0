"""One try of a model, as a request's page shows it."""

from __future__ import annotations

from msgspec import Struct

from ..types import Usage


class AttemptShown(Struct, frozen=True, kw_only=True):
    """One try of one model; `status` is `ok` or the code of the error that ended it.

    Attributes:
        cause: What was wrong upstream; empty where nothing was.
        retry: Which try of this model it was, from 0.
        mended: `repair` where its JSON had to be mended, `reask` where it was asked for it again.
    """

    model: str
    provider: str
    status: str
    cause: str
    retry: int
    ms: float
    usage: Usage | None
    cost_usd: float
    price_source: str
    detail: str
    mended: str
