"""One try of a model, as a request's page shows it."""

from __future__ import annotations

from msgspec import Struct

from ..types import Usage


class AttemptShown(Struct, frozen=True, kw_only=True):
    """One try of one model; `status` is `ok` or the code of the error that ended it.

    Attributes:
        mended: `repair` where its JSON had to be mended, `reask` where it was asked for it again.
    """

    model: str
    status: str
    ms: float
    usage: Usage | None
    cost_usd: float
    price_source: str
    detail: str
    mended: str
