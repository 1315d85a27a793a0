"""What moved a prediction, as `/api` shows it."""

from __future__ import annotations

import msgspec

from .control import Ask


class Part(msgspec.Struct, frozen=True):
    """What one feature adds to the reference."""

    feature: str
    contribution: float


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """A prediction as a sum: `reference` and all contributions add up to `value`.

    Attributes:
        request_id: Which request.
        of: Which number of the output is explained; empty where the output is one.
        reference: Its mean over the rows it is compared with: of what was asked lately.
        parts: Every feature, the largest contribution first.
        background_rows: How many rows it was compared with.
        is_exact: Whether all orders of features were taken, and not a sample of them.
        sentences: The largest parts in words.
    """

    request_id: str
    of: str
    reference: float
    value: float
    parts: tuple[Part, ...]
    background_rows: int
    is_exact: bool
    sentences: tuple[str, ...]


def explained_page(ask: Ask, id: str) -> Explained:
    """Return what explains a request that the key may see.

    Raises:
        CannotExplain: It is no prediction that rows explain.
    """
    found = ask.control.explain(id)
    attribution = found["attribution"]
    return Explained(
        request_id=id,
        of=found["of"],
        reference=attribution["reference"],
        value=attribution["value"],
        parts=tuple(Part(name, moved) for name, moved in attribution["parts"]),
        background_rows=attribution["background_rows"],
        is_exact=attribution["is_exact"],
        sentences=tuple(found["sentences"]),
    )
