"""What Prometheus scrapes, in its text format 0.0.4.

Written by hand, because it is a page of code: the client library would cost a dependency, counts
under one lock per series instead of one per batch, and holds a registry of the process while a test
or an embedding program may open several projects.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from ..errors import RoadworthyError
from ..store.tables import LATENCY_BUCKETS
from ..types import MICRO, SHOWN, Record, SpoolEntry, Usage

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MOST_SERIES = 2_000
"""Label sets of one metric; what comes after them is counted as `other`."""

EDGES_US = tuple(250 * 1.5**k for k in range(LATENCY_BUCKETS - 1))
"""Upper ends of all latency buckets but the last, in microseconds, as in the store's rollups."""

_LE = (*(f"{edge / MICRO:.9g}" for edge in EDGES_US), "+Inf")
_IN_HELP = str.maketrans({"\\": r"\\", "\n": r"\n"})
_IN_LABEL = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})

_SKIPPED = ("cooling", "busy")

Labels = tuple[str, ...]
Reading = float | Mapping[str, float]


class _Counter:
    """One counter metric: label values -> number."""

    def __init__(self, name: str, help_text: str, *labels: str) -> None:
        self.name = name
        self.help = help_text
        self.labels = labels
        self.values: dict[Labels, int] = {}

    def add(self, labels: Labels, number: int) -> None:
        try:
            self.values[labels] += number
        except KeyError:
            if len(self.values) >= MOST_SERIES:
                labels = ("other",) * len(labels)
            self.values[labels] = self.values.get(labels, 0) + number


class Metrics:
    """Counts what the writer sees, and reads gauges when it is scraped.

    Labels are names that a declaration bounds: services, models, guards, and this package's own
    words. A user, a tag or a request's text never becomes one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests = _Counter(
            "roadworthy_requests_total",
            "Requests by how they ended.",
            *("service", "disposition", "model", "arm"),
        )
        self._late = _Counter(
            "roadworthy_late_requests_total",
            "Requests that took longer than objectives.latency_p95_ms.",
            "service",
        )
        self._tokens = _Counter(
            "roadworthy_tokens_total",
            "Tokens; cached ones are part of the input, reasoning ones of the output.",
            *("service", "model", "type"),
        )
        self._cost_micro = _Counter(
            "roadworthy_cost_usd_total",
            "What requests cost, in US dollars, by where the price is from.",
            *("service", "model", "price_source"),
        )
        self._attempts = _Counter(
            "roadworthy_attempts_total", "Tries of models by how they ended.", "model", "status"
        )
        self._retries = _Counter(
            "roadworthy_retries_total",
            "Tries that asked the same model again.",
            *("provider", "model"),
        )
        self._upstream = _Counter(
            "roadworthy_upstream_failures_total",
            "Tries that an upstream did not answer, by cause; those not made are `skipped`.",
            *("provider", "model", "cause"),
        )
        self._mended = _Counter(
            "roadworthy_mended_answers_total",
            "Tries whose JSON was mended (repair), or that were asked for it again (reask).",
            *("service", "model", "how"),
        )
        self._verdicts = _Counter(
            "roadworthy_verdicts_total", "What guards said.", "service", "guard", "verdict"
        )
        self._reused = _Counter(
            "roadworthy_cache_hits_total",
            "Answers given again, by why: exact, semantic, stale, correction.",
            *("service", "kind"),
        )
        self._rejected = _Counter(
            "roadworthy_rejected_total",
            "Requests that ended before their key and service were known; they leave no record.",
            "code",
        )
        self._buckets: dict[str, list[int]] = {}
        self._latency_us: dict[str, int] = {}
        self._gauges: list[tuple[str, str, str, Callable[[], Reading]]] = []

    def see(self, entries: Sequence[SpoolEntry]) -> None:
        """Count a batch of what the writer has stored; may be called from any thread."""
        with self._lock:
            for entry in entries:
                if isinstance(entry, Record):
                    self._count(entry)

    def reject(self, code: str) -> None:
        """Count a request that left no record, by the `code` of the error that it got."""
        with self._lock:
            self._rejected.add((code,), 1)

    def add_gauge(
        self, name: str, help_text: str, read: Callable[[], Reading], label: str = ""
    ) -> None:
        """Show what `read` returns at each scrape.

        Args:
            name: Its whole name, such as `roadworthy_in_flight`.
            help_text: What it measures, with its unit.
            read: Returns the number, or with `label` a number for each of its values. If it
                raises a `RoadworthyError`, the gauge is absent, which is how Prometheus says
                unknown.
            label: The name of the label, for a gauge with several values.
        """
        self._gauges.append((name, help_text, label, read))

    def render(self) -> bytes:
        """The whole page, as UTF-8; serve it as `CONTENT_TYPE`."""
        # Outside the lock: a gauge may wait for the writer, which waits for the lock to count.
        gauges = [line for gauge in self._gauges for line in _gauge(*gauge)]
        with self._lock:
            counters = (
                self._requests,
                self._late,
                self._tokens,
                self._attempts,
                self._retries,
                self._upstream,
                self._mended,
                self._verdicts,
                self._reused,
                self._rejected,
            )
            lines = [line for counter in counters for line in _counter(counter, str)]
            lines += _counter(self._cost_micro, lambda micro: f"{micro / MICRO:.6f}")
            lines += self._durations()
        return "\n".join([*lines, *gauges, ""]).encode()

    def _count(self, record: Record) -> None:
        service = record.service
        self._requests.add((service, record.disposition, record.model, record.arm), 1)
        self._count_spent(record)
        if record.arm in SHOWN:
            self._count_shown(record)

    def _count_spent(self, record: Record) -> None:
        """Count what models did and cost, also for what nobody was shown."""
        service = record.service
        for attempt in record.attempts:
            self._attempts.add((attempt.model, attempt.status), 1)
            if attempt.retry:
                self._retries.add((attempt.provider, attempt.model), 1)
            if attempt.cause or attempt.status in _SKIPPED:
                is_skipped = attempt.status in _SKIPPED
                cause = "skipped" if is_skipped else attempt.cause
                self._upstream.add((attempt.provider, attempt.model, cause), 1)
            if attempt.mended:
                self._mended.add((service, attempt.model, attempt.mended), 1)
            if attempt.usage is not None:
                self._count_tokens(service, attempt.model, attempt.usage)
            if attempt.price_source:
                labels = (service, attempt.model, attempt.price_source)
                self._cost_micro.add(labels, attempt.cost_micro)

    def _count_shown(self, record: Record) -> None:
        """Count what users got."""
        service = record.service
        if record.is_late:
            self._late.add((service,), 1)
        if record.cache is not None:
            self._reused.add((service, str(record.cache.get("kind", ""))), 1)
        for verdict in record.verdicts:
            self._verdicts.add((service, verdict.guard, verdict.verdict), 1)
        buckets = self._buckets.get(service)
        if buckets is None:
            buckets = self._buckets[service] = [0] * LATENCY_BUCKETS
        buckets[bisect_left(EDGES_US, record.latency_us)] += 1
        self._latency_us[service] = self._latency_us.get(service, 0) + record.latency_us

    def _count_tokens(self, service: str, model: str, usage: Usage) -> None:
        self._tokens.add((service, model, "input"), usage.input_tokens)
        self._tokens.add((service, model, "output"), usage.output_tokens)
        for kind, tokens in (
            ("cached", usage.cached_tokens),
            ("reasoning", usage.reasoning_tokens),
            ("cache_write", usage.cache_write_tokens),
            ("audio_input", usage.audio_input_tokens),
            ("audio_output", usage.audio_output_tokens),
        ):
            if tokens:
                self._tokens.add((service, model, kind), tokens)

    def _durations(self) -> Iterator[str]:
        name = "roadworthy_request_duration_seconds"
        yield from _head(name, "Time from a request's arrival to its answer.", "histogram")
        for service, buckets in self._buckets.items():
            count = 0
            for le, number in zip(_LE, buckets, strict=True):
                count += number
                yield _sample(f"{name}_bucket", ("service", "le"), (service, le), count)
            seconds = self._latency_us[service] / MICRO
            yield _sample(f"{name}_sum", ("service",), (service,), f"{seconds:.6f}")
            yield _sample(f"{name}_count", ("service",), (service,), count)


def _counter(counter: _Counter, show: Callable[[int], str]) -> Iterator[str]:
    yield from _head(counter.name, counter.help, "counter")
    for labels, number in counter.values.items():
        yield _sample(counter.name, counter.labels, labels, show(number))


def _gauge(name: str, help_text: str, label: str, read: Callable[[], Reading]) -> Iterator[str]:
    try:
        reading = read()
    except RoadworthyError:
        return
    yield from _head(name, help_text, "gauge")
    if isinstance(reading, Mapping):
        for value, number in reading.items():
            yield _sample(name, (label,), (value,), _number(number))
    else:
        yield _sample(name, (), (), _number(reading))


def _number(number: float) -> str:
    text = repr(+number)
    return {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}.get(text, text)


def _head(name: str, help_text: str, kind: str) -> Iterator[str]:
    yield f"# HELP {name} {help_text.translate(_IN_HELP)}"
    yield f"# TYPE {name} {kind}"


def _sample(name: str, labels: Labels, values: Iterable[str], number: int | str) -> str:
    pairs = zip(labels, values, strict=True)
    inside = ",".join([f'{label}="{value.translate(_IN_LABEL)}"' for label, value in pairs])
    return f"{name}{{{inside}}} {number}" if inside else f"{name} {number}"
