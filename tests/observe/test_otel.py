from __future__ import annotations

import gzip
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from roadworthy.errors import MissingExtra
from roadworthy.observe import otel
from roadworthy.observe.otel import OtlpSink, open_otlp_sink, spans_of
from roadworthy.types import Attempt, Hold, Record, Usage, Verdict

AT_US = 1_388_534_400_000_000


class Collector(ThreadingHTTPServer):
    """A real OTLP/HTTP receiver that keeps what it decodes; it refuses or waits when told to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), CollectorHandler)
        self.requests: Queue[ExportTraceServiceRequest] = Queue()
        self.status = 200
        self.may_answer = threading.Event()
        self.may_answer.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def next_spans(self) -> list[Span]:
        request = self.requests.get(timeout=10)
        scopes = [scope for resource in request.resource_spans for scope in resource.scope_spans]
        return [span for scope in scopes for span in scope.spans]


class CollectorHandler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        collector = self.server
        assert isinstance(collector, Collector)
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        assert self.path == "/v1/traces"
        assert self.headers["content-type"] == "application/x-protobuf"
        collector.requests.put(ExportTraceServiceRequest.FromString(body))
        collector.may_answer.wait(10)
        self.send_response(collector.status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        return


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    server = Collector()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.url)
    yield server
    server.may_answer.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def sink(collector: Collector) -> Iterator[OtlpSink]:
    sink = open_otlp_sink()
    assert sink is not None
    yield sink
    collector.may_answer.set()
    sink.stop()


def record(**fields: Any) -> Record:
    usual: dict[str, Any] = {
        "id": "rq_1",
        "at_us": AT_US,
        "service": "support-reply",
        "kind": "generate",
        "disposition": "answered",
        "release": "rel_1",
        "key": "k_1",
        "user": "alice@example.com",
        "tags": ("vip",),
        "model": "frontier",
        "attempts": (
            Attempt("cheap", "model_timeout", 2_000),
            Attempt("frontier", "ok", 5_000, Usage(100, 20, 40, 5), 130, "rates:2026-11-23"),
        ),
        "cost_micro": 130,
        "price_source": "rates:2026-11-23",
        "verdicts": (Verdict("limit", "output", "allow"),),
        "timings": {"identify": 10, "contract": 30, "call": 7_000, "guard_output": 60},
        "latency_us": 7_200,
        "input": b'{"question": "where is my bag"}',
    }
    return Record(**{**usual, **fields})


def plain(span: Span) -> dict[str, Any]:
    return {pair.key: _plain_value(pair.value) for pair in span.attributes}


def _plain_value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    assert kind is not None
    if kind == "array_value":
        return [_plain_value(item) for item in value.array_value.values]
    return getattr(value, kind)


def test_a_request_becomes_one_tree_of_spans(sink: OtlpSink, collector: Collector) -> None:
    sink.see([Hold("rq_1", 1, (), 0, 2), record()])
    root, *rest = collector.next_spans()
    assert root.name == "roadworthy.answer"
    assert not root.parent_span_id
    assert root.kind == Span.SPAN_KIND_SERVER
    steps, tries = rest[:4], rest[4:]
    assert [span.name for span in steps] == [
        "roadworthy.identify",
        "roadworthy.contract",
        "roadworthy.call",
        "roadworthy.guard_output",
    ]
    assert {span.parent_span_id for span in steps} == {root.span_id}
    assert [span.name for span in tries] == ["chat cheap", "chat frontier"]
    assert {span.parent_span_id for span in tries} == {steps[2].span_id}
    assert {span.kind for span in tries} == {Span.SPAN_KIND_CLIENT}
    assert len({span.trace_id for span in [root, *rest]}) == 1
    assert len({span.span_id for span in [root, *rest]}) == len([root, *rest])


def test_spans_lie_where_they_ran(sink: OtlpSink, collector: Collector) -> None:
    sink.see([record()])
    spans = {span.name: span for span in collector.next_spans()}

    def lies(name: str) -> tuple[int, int]:
        span = spans[name]
        start, end = span.start_time_unix_nano // 1000, span.end_time_unix_nano // 1000
        return start - AT_US, end - AT_US

    assert lies("roadworthy.answer") == (0, 7_200)
    assert lies("roadworthy.contract") == (10, 40)
    assert lies("roadworthy.call") == (40, 7_040)
    assert lies("chat cheap") == (40, 2_040)
    assert lies("chat frontier") == (2_040, 7_040)


def test_tries_follow_the_genai_conventions(sink: OtlpSink, collector: Collector) -> None:
    sink.see([record()])
    *_, failed, answered = collector.next_spans()
    assert plain(answered) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "frontier",
        "gen_ai.request.stream": False,
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": 40,
        "gen_ai.usage.reasoning.output_tokens": 5,
        "roadworthy.attempt.status": "ok",
        "roadworthy.cost_usd": 0.00013,
        "roadworthy.price_source": "rates:2026-11-23",
    }
    assert plain(failed)["error.type"] == "model_timeout"
    assert failed.status.code == Status.STATUS_CODE_ERROR
    assert answered.status.code == Status.STATUS_CODE_UNSET


def test_the_root_says_how_the_request_ended(sink: OtlpSink, collector: Collector) -> None:
    failed = {"id": "rq_2", "disposition": "failed", "error_code": "all_models_failed"}
    sink.see([record(first_token_us=2_500, confidence=0.75), record(**failed)])
    first, second = (s for s in collector.next_spans() if s.name == "roadworthy.answer")
    facts = plain(first)
    assert facts["roadworthy.request.id"] == "rq_1"
    assert facts["roadworthy.disposition"] == "answered"
    assert facts["roadworthy.verdicts"] == ["limit:allow"]
    assert facts["roadworthy.cost_usd"] == 0.00013
    assert facts["roadworthy.confidence"] == 0.75
    assert facts["gen_ai.response.time_to_first_chunk"] == 0.0025
    assert plain(second)["error.type"] == "all_models_failed"
    assert second.status.code == Status.STATUS_CODE_ERROR
    assert second.trace_id != first.trace_id


def test_neither_users_nor_tags_nor_bodies_leave(sink: OtlpSink, collector: Collector) -> None:
    sink.see([record()])
    sent = collector.requests.get(timeout=10).SerializeToString()
    for text in (b"alice", b"vip", b"bag"):
        assert text not in sent


def test_the_resource_names_the_process(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "airline")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    sink = OtlpSink()
    sink.see([record()])
    (resource,) = collector.requests.get(timeout=10).resource_spans
    facts = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
    assert facts["service.name"] == "airline"
    assert facts["deployment.environment.name"] == "test"
    sink.stop()


def test_a_replayed_record_makes_the_same_spans_again(sink: OtlpSink, collector: Collector) -> None:
    sink.see([record()])
    once = collector.next_spans()
    sink.see([record()])
    assert collector.next_spans() == once


def test_what_waits_is_exported_in_batches(
    sink: OtlpSink, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otel, "BATCH", 10)
    sink.see([record(id=f"rq_{n}") for n in range(25)])
    sizes = [
        len([s for s in collector.next_spans() if s.name == "roadworthy.answer"]) for _ in range(3)
    ]
    assert sizes == [10, 10, 5]


def test_stopping_exports_what_still_waits(sink: OtlpSink, collector: Collector) -> None:
    sink.see([record()])
    sink.stop()
    assert len(collector.next_spans()) == 7
    assert (sink.dropped, sink.trouble) == (0, "")


def test_a_slow_collector_costs_the_oldest_spans_and_never_stops_the_writer(
    sink: OtlpSink, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otel, "MOST_WAITING", 3)
    collector.may_answer.clear()
    sink.see([record(id="rq_first")])
    collector.next_spans()
    sink.see([record(id=f"rq_{n}") for n in range(5)])
    assert sink.dropped == 2
    collector.may_answer.set()
    roots = [s for s in collector.next_spans() if s.name == "roadworthy.answer"]
    assert [plain(root)["roadworthy.request.id"] for root in roots] == ["rq_2", "rq_3", "rq_4"]


def test_a_collector_that_refuses_is_visible(sink: OtlpSink, collector: Collector) -> None:
    collector.status = 400
    sink.see([record()])
    sink.stop()
    assert sink.dropped == 1
    assert sink.trouble == "the collector did not take the spans"


def test_without_an_endpoint_there_is_no_sink(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    assert open_otlp_sink() is None


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(MissingExtra, match=r"pip install 'roadworthy\[otel\]'"):
        open_otlp_sink()


def test_a_prediction_is_an_operation_of_its_own_and_steps_may_be_missing() -> None:
    tries = (Attempt("hgb", "ok", 20),)
    spans = spans_of(record(kind="predict", timings={}, attempts=tries, verdicts=()))
    assert [span.name for span in spans] == ["roadworthy.answer", "predict hgb"]
    assert spans[1].parent == 0
    assert "roadworthy.verdicts" not in spans[0].attributes
