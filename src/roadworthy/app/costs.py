"""What a project spent, what a service will cost, and whether that is worth it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from ..cost.estimate import (
    LEAST_SAMPLE,
    Asked,
    Estimate,
    Guess,
    estimate_from_history,
    estimate_from_sizes,
)
from ..cost.extras import BYTES_PER_TOKEN, Extras
from ..cost.prices import Meter, format_usd
from ..cost.reading import Report, read_report
from ..declare.service import ModelEntry, ServiceDeclaration
from ..errors import RequestError, RoadworthyError
from ..evaluate.loading import load_cases
from ..evaluate.suites import BUILTIN
from ..release.registry import trainings
from ..serve.opened import meter_of
from ..serve.tries import DEFAULT_OUTPUT_TOKENS
from ..store import costs as store
from ..store.costs import Dimension
from ..types import DAY_US, MICRO, SHOWN, Record
from .ground import Ground

SAMPLE = 5_000
HISTORY_DAYS = 14
_BYTES_PER_TOKEN = (5.0, 4.0, 3.0)
"""In the low, the expected and the high case, where nothing was counted yet."""
_OUTPUT_SHARE = (0.1, 0.3, 1.0)
"""Of its limit that an answer uses, likewise: most end by themselves."""


def report_costs(
    ground: Ground,
    by: Sequence[Sequence[Dimension]],
    since_us: int,
    until_us: int,
    services: Collection[str] = (),
) -> Report:
    """Return what was spent in a span, by each of the breakdowns that are asked for.

    Raises:
        NotFound: There is no such service.
    """
    for name in services:
        ground.check_declared(name)
    declared = {}
    for name in services or ground.service_names:
        with suppress(RoadworthyError):  # one whose file is wrong has spent all the same
            declared[name] = ground.load(name)
    trained = {name: trainings(ground.state, name, since_us, until_us) for name in declared}
    now_us = ground.clock.now_us()
    return read_report(ground.state, declared, trained, by, since_us, until_us, now_us, services)


def estimate_cost(
    ground: Ground,
    name: str,
    per_day: float,
    *,
    days: int = HISTORY_DAYS,
    input_tokens: int | None = None,
    output_tokens: int | None = None,
) -> Estimate:
    """Return what a month of a service will cost at a volume.

    What it was asked lately tells, at the prices of the models as they are declared now. Where it
    was asked less than thirty times, or sizes are given, sizes of prompts and limits tell.

    Args:
        ground: The project.
        name: The service.
        per_day: Requests a day.
        days: How far back its history counts.
        input_tokens: Of one request, if you know better.
        output_tokens: Of one answer, likewise.

    Raises:
        NotFound: There is no such service.
        DeclarationError: Its file is wrong.
        RequestError: A size is no positive number.
    """
    for what, number in (("input_tokens", input_tokens), ("output_tokens", output_tokens)):
        if number is not None and number < 0:
            raise RequestError(f"{what}: expected a number >= 0, got {number}", param=what)
    service = ground.load(name)
    meters = {
        entry.name: meter_of(
            service, ground.declaration, entry, ground.rates, ground.clock.now_us()
        )
        for entry in service.models
    }
    if input_tokens is None and output_tokens is None:
        known = _from_history(ground, service, meters, per_day, days)
        if known is not None:
            return known
    return _from_sizes(ground, service, meters, per_day, input_tokens, output_tokens)


def _from_history(
    ground: Ground,
    service: ServiceDeclaration,
    meters: Mapping[str, Meter],
    per_day: float,
    days: int,
) -> Estimate | None:
    until_us = ground.clock.now_us() + 1
    since_us = until_us - days * DAY_US
    found = list(store.sample_records(ground.state, service.name, since_us, until_us, SAMPLE))
    shown = [record for record in found if record.arm in SHOWN and record.disposition != "refused"]
    if len(shown) < LEAST_SAMPLE:
        return None
    per_token = store.read_bytes_per_token(ground.state, service.name, since_us)
    asked = [_asked(record, meters, per_token or BYTES_PER_TOKEN) for record in shown]
    unseen = sum(record.cost_micro for record in found if record.arm not in SHOWN)
    notes = [
        f"the last {days} days: {len(shown):,} requests at the prices of today",
        *_notes_on_ceilings(service, per_day, _mean(asked)),
    ]
    return estimate_from_history(
        asked,
        per_day,
        Extras.of(service.cost),
        unseen_micro=unseen / len(shown),
        notes=notes,
    )


def _asked(record: Record, meters: Mapping[str, Meter], per_token: float) -> Asked:
    by_model: dict[str, int] = {}
    for attempt in record.attempts:
        meter, cost = meters.get(attempt.model), attempt.cost_micro
        if meter is not None and attempt.usage is not None:
            cost, _ = meter.cost(attempt.usage)
        if cost:
            by_model[attempt.model] = by_model.get(attempt.model, 0) + cost
    size = record.input_tokens * per_token + record.output_tokens * BYTES_PER_TOKEN
    return Asked(record.user, by_model, size, bool(record.review))


def _mean(asked: Sequence[Asked]) -> float:
    return sum(sum(one.by_model.values()) for one in asked) / len(asked)


def _notes_on_ceilings(
    service: ServiceDeclaration, per_day: float, per_request_micro: float
) -> list[str]:
    """Return what the declared ceilings would stop at this volume."""
    notes, a_day = [], per_day * per_request_micro
    cost = service.cost
    for key, ceiling, times in (
        ("cost.per_day_usd", cost.per_day_micro, 1.0),
        ("cost.per_month_usd", cost.per_month_micro, 365.25 / 12),
    ):
        if ceiling is not None and a_day * times > ceiling:
            share = ceiling / (a_day * times)
            notes.append(
                f"`{key}` ({format_usd(ceiling)}) would be spent after {share:.0%} of its time"
            )
    value = service.value_per_answer_usd
    if value is not None and per_request_micro > value * MICRO:
        notes.append(f"an answer costs more than it is worth (${value:f})")
    return notes


def _from_sizes(
    ground: Ground,
    service: ServiceDeclaration,
    meters: Mapping[str, Meter],
    per_day: float,
    input_tokens: int | None,
    output_tokens: int | None,
) -> Estimate:
    size, notes = _input_bytes(service)
    found = []
    for entry, share in _shares(service, meters):
        low, expected, high = (round(size / per) for per in _BYTES_PER_TOKEN)
        inputs = low, expected, high
        most = service.context.max_input_tokens
        if most is not None:
            inputs = min(most, low), min(most, expected), min(most, high)
        if input_tokens is not None:
            inputs = input_tokens, input_tokens, input_tokens
        outputs = _outputs(service, entry, output_tokens)
        found.append(Guess(entry.name, meters[entry.name], share, inputs, outputs))
    if input_tokens is None:
        notes.append(f"about {size:,} bytes go up with a request")
    if output_tokens is None:
        notes.append("answers use a tenth, a third or all of their limit of tokens")
    return estimate_from_sizes(found, per_day, Extras.of(service.cost), notes=notes)


def _outputs(
    service: ServiceDeclaration, entry: ModelEntry, given: int | None
) -> tuple[int, int, int]:
    if given is not None:
        return given, given, given
    limits = (entry.max_output_tokens, service.context.max_output_tokens)
    limit = min((one for one in limits if one is not None), default=DEFAULT_OUTPUT_TOKENS)
    low, expected, high = (round(limit * share) for share in _OUTPUT_SHARE)
    return low, expected, high


def _input_bytes(service: ServiceDeclaration) -> tuple[int, list[str]]:
    """Return about how many bytes go up with a request, and from what that is known."""
    size, notes = 0, []
    if service.prompt is not None:
        with suppress(OSError):
            size += (service.folder / service.prompt.file).stat().st_size
    if service.context.retrieval is not None:
        size += int(service.context.retrieval.max_tokens * BYTES_PER_TOKEN)
    names = [name for name in service.evaluation.suites if not name.startswith(BUILTIN)]
    cases: list[Any] = []
    with suppress(RoadworthyError):
        cases = [case for suite in load_cases(service.folder, names) for case in suite.cases]
    if cases:
        sizes = [len(msgspec.json.encode(case.input)) for case in cases]
        size += sum(sizes) // len(sizes)
        notes.append(f"inputs as large as those of {len(cases)} cases")
    else:
        size += 1_000
        notes.append("inputs of 1,000 bytes, as no suite tells; give `--input-tokens`")
    return size, notes


def _shares(
    service: ServiceDeclaration, meters: Mapping[str, Meter]
) -> list[tuple[ModelEntry, tuple[float, float, float]]]:
    """Return the models that are asked, each with its share in the three cases."""
    chain = list(service.chain)
    by_price = sorted(chain, key=lambda entry: meters[entry.name].worst_case_micro(4_000, 1_000))
    cheapest, dearest = by_price[0], by_price[-1]
    routing = service.routing
    default = next((e for e in chain if e.name == routing.default), chain[0])
    if routing.strategy == "first" or len(chain) == 1:
        return [(default if routing.default else chain[0], (1.0, 1.0, 1.0))]
    if routing.strategy in ("rules", "intent"):
        low, expected, high = cheapest.name, default.name, dearest.name
        return [
            (e, (float(e.name == low), float(e.name == expected), float(e.name == high)))
            for e in chain
        ]
    # Until something is certified the strongest answers, and pairs are collected beside it.
    pairs = routing.pairs_share
    return [(e, (float(e is cheapest), 1.0 if e is dearest else pairs, 1.0)) for e in by_price]
