"""What was spent in a span, by any dimension, and what an accepted answer cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from ..store.costs import OWNERS, Dimension, Spent
from .extras import BYTES_PER_TOKEN, Extras

DIMENSIONS: tuple[Dimension, ...] = (
    "service",
    "release",
    "arm",
    "model",
    "provider",
    "user",
    "team",
    "tag",
    "key",
    "day",
)
NOBODY = "(none)"
"""What bears no team or tag, and users that are only their keys."""


class Bill(msgspec.Struct, frozen=True, kw_only=True):
    """What something cost, in micro-dollars, by what it was spent on.

    Attributes:
        models_micro: Answers that somebody was given, and the tries that failed on the way.
        unseen_micro: Answers of shadows and audits, which nobody was shown.
        egress_micro: What left the network, up to providers and back to callers.
        review_micro: The time of people who decided.
        retraining_micro: Trainings of models that were released.
    """

    models_micro: int = 0
    unseen_micro: int = 0
    egress_micro: int = 0
    review_micro: int = 0
    retraining_micro: int = 0

    @property
    def total_micro(self) -> int:
        """All of it."""
        return sum(msgspec.structs.astuple(self))

    def plus(self, other: Bill) -> Bill:
        """Return both together."""
        mine, theirs = msgspec.structs.astuple(self), msgspec.structs.astuple(other)
        names = self.__struct_fields__
        return Bill(**{n: a + b for n, a, b in zip(names, mine, theirs, strict=True)})


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a breakdown.

    Attributes:
        values: What it is of, by dimension.
        requests: Requests whose answers were given to somebody; of models and providers, tries.
        accepted: Those that were answered.
    """

    values: dict[str, Any]
    requests: int
    accepted: int
    input_tokens: int
    output_tokens: int
    bill: Bill


class Breakdown(msgspec.Struct, frozen=True, kw_only=True):
    """What was spent by some dimensions, the dearest line first.

    Attributes:
        counts: What `requests` counts: `requests`, or `tries` of models.
        is_partial: Whether the lines add up to something else than all: requests bear several tags
            or none, and users, teams and tags are not known of every request.
    """

    by: tuple[str, ...]
    counts: str
    rows: tuple[Row, ...]
    is_partial: bool = False


class Yield(msgspec.Struct, frozen=True, kw_only=True):
    """What a service's answers cost and are worth.

    Attributes:
        accepted: Answers that were given and are not known to be wrong.
        wrong: Those that are.
        models_micro: What models cost of the total, shown and failed tries.
        per_accepted_micro: All that was spent, by accepted answer; None without any.
        value_micro: What one is worth as declared; None where nothing is.
        returned: Worth of all accepted answers over all that was spent; None where unknown.
    """

    service: str
    requests: int
    accepted: int
    wrong: int
    models_micro: int
    total_micro: int
    per_accepted_micro: int | None = None
    value_micro: int | None = None
    returned: float | None = None

    @property
    def is_lost(self) -> bool:
        """Whether an accepted answer costs more than it is worth."""
        per, value = self.per_accepted_micro, self.value_micro
        return per is not None and value is not None and per > value


class Known(NamedTuple):
    """What is known of one service beside its records.

    Attributes:
        decided: Cases that people decided in the span.
        trained: Trainings that were released in it.
        wrong: Answers of it that are known to be wrong.
        bytes_per_token: As measured lately; None where unknown.
        value_micro: What an accepted answer is worth; None where nothing is declared.
    """

    extras: Extras = Extras()
    decided: int = 0
    trained: int = 0
    wrong: int = 0
    bytes_per_token: float | None = None
    value_micro: int | None = None


def parse_dimensions(text: str) -> tuple[tuple[Dimension, ...], ...]:
    """Return the breakdowns that a text asks for: `service,team,service/model`.

    Raises:
        ValueError: A dimension is unknown, or two of them are of whom a request was for.

    >>> parse_dimensions("service,user/day")
    (('service',), ('user', 'day'))
    """
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        names = tuple(name.strip() for name in part.split("/"))
        known: dict[str, Dimension] = {name: name for name in DIMENSIONS}
        unknown = [name for name in names if name not in known]
        if unknown:
            listed = ", ".join(f"`{name}`" for name in DIMENSIONS)
            raise ValueError(f"expected dimensions ({listed}), got `{unknown[0]:.40}`")
        if len(set(names)) < len(names):
            raise ValueError(f"expected each dimension once, got `{part:.80}`")
        if sum(name in OWNERS for name in names) > 1:
            owners = ", ".join(f"`{name}`" for name in OWNERS)
            raise ValueError(f"expected at most one of {owners} together, got `{part:.80}`")
        if "provider" in names and set(names) - {"service", "provider", "model", "day"}:
            raise ValueError(
                "expected `provider` alone or with `service`, `model` and `day`, got "
                f"`{part:.80}`: only tries of models know their provider"
            )
        found.append(tuple(known[name] for name in names))
    if not found:
        raise ValueError("expected at least one dimension, got none")
    return tuple(found)


def breakdown(
    by: Sequence[Dimension], cells: Sequence[Spent], known: Mapping[str, Known]
) -> Breakdown:
    """Return the lines of a breakdown.

    What is spent beside models is part of a line only where it is of a service and of nothing
    narrower than a day's sum could tell: people and trainings are a service's as a whole.
    """
    is_tries = bool({"provider", "model"} & set(by)) and set(by) <= _OF_TRIES
    is_whole = tuple(by) == ("service",)
    rows = []
    for cell in cells:
        values = dict(zip(by, cell.values, strict=True))
        service = known.get(str(values.get("service", "")), Known())
        rows.append(
            Row(
                values={name: _named(name, value) for name, value in values.items()},
                requests=cell.requests,
                accepted=cell.accepted,
                input_tokens=cell.input_tokens,
                output_tokens=cell.output_tokens,
                bill=_bill(cell, service, is_whole=is_whole, has_egress="service" in by),
            )
        )
    rows.sort(key=lambda row: -row.bill.total_micro)
    return Breakdown(
        by=tuple(by),
        counts="tries" if is_tries else "requests",
        rows=tuple(rows),
        is_partial=any(name in OWNERS for name in by),
    )


_OF_TRIES = {"service", "provider", "model", "day"}


def _named(name: str, value: Any) -> Any:
    return NOBODY if value == "" and name != "day" else value


def _bill(cell: Spent, known: Known, *, is_whole: bool, has_egress: bool) -> Bill:
    egress = known.extras.egress_micro(size_of(cell, known)) if has_egress else 0
    return Bill(
        models_micro=cell.cost_micro - cell.unseen_micro,
        unseen_micro=cell.unseen_micro,
        egress_micro=egress,
        review_micro=known.extras.review_micro(known.decided) if is_whole else 0,
        retraining_micro=known.extras.retrain_micro(known.trained) if is_whole else 0,
    )


def size_of(cell: Spent, known: Known) -> float:
    """Return about how many bytes left for a cell: inputs up to providers, answers to callers."""
    per_token = known.bytes_per_token or BYTES_PER_TOKEN
    return cell.input_tokens * per_token + cell.output_tokens * BYTES_PER_TOKEN


def yield_of(service: str, row: Row, known: Known) -> Yield:
    """Return what the answers of a service cost and are worth; `row` is all of the service."""
    accepted = max(row.accepted - known.wrong, 0)
    total = row.bill.total_micro
    per = -(-total // accepted) if accepted else None
    worth = None if known.value_micro is None else accepted * known.value_micro
    return Yield(
        service=service,
        requests=row.requests,
        accepted=accepted,
        wrong=known.wrong,
        models_micro=row.bill.models_micro,
        total_micro=total,
        per_accepted_micro=per,
        value_micro=known.value_micro,
        returned=None if worth is None or not total else worth / total,
    )
