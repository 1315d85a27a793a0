"""Spans of every request for OpenTelemetry, exported over OTLP/HTTP (extra `otel`).

They are made from records, after the answer was sent: a request never waits for them. Names follow
OpenTelemetry's GenAI conventions; what those do not name starts with `roadworthy.`. Neither users
nor tags nor bodies are exported: records can be deleted by user, spans elsewhere cannot.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from importlib.metadata import version
from typing import Any, NamedTuple

from ..errors import MissingExtra
from ..types import MICRO, Attempt, Record, SpoolEntry

BATCH = 100
MOST_WAITING = 10_000
"""Records that may wait for a slow collector; the oldest make room for newer ones."""

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_OPERATIONS = {"generate": "chat", "predict": "predict"}

Attributes = dict[str, str | int | float | bool | tuple[str, ...]]


class SpanFacts(NamedTuple):
    """What one span says.

    Attributes:
        parent: Index of its parent among the spans of its request; None for the root.
        kind: `SERVER`, `CLIENT` or `INTERNAL`.
        error: Why it failed; empty when it did not.
    """

    name: str
    parent: int | None
    kind: str
    start_us: int
    end_us: int
    attributes: Attributes
    error: str = ""


def spans_of(record: Record) -> list[SpanFacts]:
    """The root of a request, one span per step of the engine below it, and one per try of a model.

    Steps follow each other in the order they ran, and tries within the step `call`; what ran in
    between is not measured by itself.
    """
    end_us = record.at_us + record.latency_us
    error = record.error_code if record.disposition == "failed" else ""
    root = _about_request(record)
    spans = [SpanFacts("roadworthy.answer", None, "SERVER", record.at_us, end_us, root, error)]
    called_us, caller = record.at_us, 0
    start_us = record.at_us
    for step, us in record.timings.items():
        if step == "call":
            called_us, caller = start_us, len(spans)
        spans.append(SpanFacts(f"roadworthy.{step}", 0, "INTERNAL", start_us, start_us + us, {}))
        start_us += us
    for attempt in record.attempts:
        spans.append(_attempt(record, attempt, caller, called_us))
        called_us += attempt.us
    return spans


def _about_request(record: Record) -> Attributes:
    said = tuple(f"{verdict.guard}:{verdict.verdict}" for verdict in record.verdicts)
    facts: Attributes = {
        "roadworthy.request.id": record.id,
        "roadworthy.service": record.service,
        "roadworthy.kind": record.kind,
        "roadworthy.disposition": record.disposition,
        "roadworthy.release": record.release,
        "roadworthy.arm": record.arm,
        "roadworthy.protocol": record.protocol,
        "roadworthy.model": record.model,
        "roadworthy.key": record.key,
        "roadworthy.parent": record.parent,
        "roadworthy.verdicts": said,
        "roadworthy.price_source": record.price_source,
        "roadworthy.cost_usd": record.cost_micro / MICRO,
        "error.type": record.error_code,
    }
    if record.confidence is not None:
        facts["roadworthy.confidence"] = record.confidence
    if record.first_token_us:
        facts["gen_ai.response.time_to_first_chunk"] = record.first_token_us / MICRO
    return {name: value for name, value in facts.items() if value not in ("", ())}


def _attempt(record: Record, attempt: Attempt, caller: int, start_us: int) -> SpanFacts:
    operation = _OPERATIONS[record.kind]
    is_ok = attempt.status == "ok"
    facts: Attributes = {
        "gen_ai.operation.name": operation,
        "gen_ai.request.model": attempt.model,
        "gen_ai.request.stream": record.is_stream,
        "roadworthy.attempt.status": attempt.status,
        "roadworthy.cost_usd": attempt.cost_micro / MICRO,
    }
    if attempt.price_source:
        facts["roadworthy.price_source"] = attempt.price_source
    if attempt.usage is not None:
        facts["gen_ai.usage.input_tokens"] = attempt.usage.input_tokens
        facts["gen_ai.usage.output_tokens"] = attempt.usage.output_tokens
        facts["gen_ai.usage.cache_read.input_tokens"] = attempt.usage.cached_tokens
        facts["gen_ai.usage.reasoning.output_tokens"] = attempt.usage.reasoning_tokens
        if attempt.usage.cache_write_tokens:
            written = attempt.usage.cache_write_tokens
            facts["gen_ai.usage.cache_creation.input_tokens"] = written
    if not is_ok:
        facts["error.type"] = attempt.status
    return SpanFacts(
        f"{operation} {attempt.model}",
        caller,
        "CLIENT",
        start_us,
        start_us + attempt.us,
        facts,
        "" if is_ok else attempt.status,
    )


def open_otlp_sink() -> OtlpSink | None:
    """The sink for the collector that `OTEL_EXPORTER_OTLP_ENDPOINT` names; None if none is named.

    OpenTelemetry's other variables (headers, certificate, timeout, resource attributes) count too.

    Raises:
        MissingExtra: An endpoint is named and the extra `otel` is not installed.
    """
    return OtlpSink() if any(os.environ.get(name) for name in _ENDPOINTS) else None


class OtlpSink:
    """Exports the spans of records from a thread of its own, so that no collector stops the writer.

    Attributes:
        dropped: Records whose spans were not exported: too many waited, or an export failed.
        trouble: Why the last export failed; empty when it did not.

    Raises:
        MissingExtra: The extra `otel` is not installed.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self.trouble = ""
        self._exporter = _Exporter()
        self._waiting: deque[Record] = deque()
        self._changed = threading.Condition()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="roadworthy-otlp", daemon=True)
        self._thread.start()

    def see(self, entries: Sequence[SpoolEntry]) -> None:
        """Take over a batch of what the writer has stored; returns at once."""
        records = [entry for entry in entries if isinstance(entry, Record)]
        with self._changed:
            self._waiting.extend(records)
            while len(self._waiting) > MOST_WAITING:
                self._waiting.popleft()
                self.dropped += 1
            self._changed.notify()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Export what waits, for at most `timeout_s` seconds, and stop."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify()
        self._thread.join(timeout_s)
        self._exporter.close()

    def _run(self) -> None:
        while batch := self._next_batch():
            try:
                is_exported = self._exporter.export(batch)
                self.trouble = "" if is_exported else "the collector did not take the spans"
            except Exception as error:  # noqa: BLE001 - whatever a span or a collector does, go on
                is_exported = False
                self.trouble = f"spans could not be exported: {type(error).__name__}"
            if not is_exported:
                with self._changed:
                    self.dropped += len(batch)

    def _next_batch(self) -> list[Record]:
        """Wait for records; an empty list says that it is time to stop."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_stopping)
            return [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]


class _Exporter:
    """Turns facts into OpenTelemetry's own spans and sends them."""

    def __init__(self) -> None:
        try:
            from opentelemetry import trace
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import ReadableSpan
            from opentelemetry.sdk.trace.export import SpanExportResult
            from opentelemetry.sdk.util.instrumentation import InstrumentationScope
        except ImportError as error:
            raise MissingExtra("otel", "export to OpenTelemetry") from error
        self._trace = trace
        self._span = ReadableSpan
        self._success = SpanExportResult.SUCCESS
        release = version("roadworthy")
        named = {"service.name": os.environ.get("OTEL_SERVICE_NAME") or "roadworthy"}
        self._resource = Resource.create({**named, "service.version": release})
        self._scope = InstrumentationScope("roadworthy", release)
        self._exporter: Any = OTLPSpanExporter()

    def export(self, records: Sequence[Record]) -> bool:
        """Send the spans of `records`; False if the collector did not take them."""
        spans = [span for record in records for span in self._spans(record)]
        return bool(self._exporter.export(spans) is self._success)

    def close(self) -> None:
        """Give up what is being sent and close the connection."""
        self._exporter.shutdown()

    def _spans(self, record: Record) -> Iterator[Any]:
        trace = self._trace
        facts = spans_of(record)
        contexts = [self._context(record.id, index) for index in range(len(facts))]
        for fact, context in zip(facts, contexts, strict=True):
            error = trace.Status(trace.StatusCode.ERROR, fact.error) if fact.error else None
            yield self._span(
                fact.name,
                context,
                parent=None if fact.parent is None else contexts[fact.parent],
                resource=self._resource,
                attributes=fact.attributes,
                kind=trace.SpanKind[fact.kind],
                status=error or trace.Status(trace.StatusCode.UNSET),
                start_time=fact.start_us * 1000,
                end_time=fact.end_us * 1000,
                instrumentation_scope=self._scope,
            )

    def _context(self, request_id: str, index: int) -> Any:
        """Ids made from the request's: a record that is replayed after a crash makes no twin."""
        digest = blake2b(request_id.encode(), digest_size=24).digest()
        trace_id = int.from_bytes(digest[:16]) or 1
        span_id = (int.from_bytes(digest[16:]) + index) % (1 << 64) or 1 << 63
        sampled = self._trace.TraceFlags(self._trace.TraceFlags.SAMPLED)
        return self._trace.SpanContext(trace_id, span_id, is_remote=False, trace_flags=sampled)
