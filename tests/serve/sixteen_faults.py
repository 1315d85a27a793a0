"""The 16 faults that public scorecards of gateways hold failover to, and what is right at each.

Each is played by `FaultyUpstream` to a gateway that serves a chain of two models, over HTTP. What
came back is judged, and what was recorded: tries, how they ended, tokens, money.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from conftest import write_project
from live import Live, Response, serve
from roadworthy.models.faulty import Fault, FaultyUpstream, Received
from roadworthy.store.attempt_hours import tried_by
from roadworthy.types import HOUR_US, Attempt, CallSize, Record

TEXT = "a b c d e f g h i j"
MAIN_MICRO, SPARE_MICRO = 1 + 10 * 2, 10 + 10 * 20
"""What one token in and ten out cost at each."""
BLOCKED_MICRO = 4
"""What a question costs that Gemini counts and does not answer."""

KEY_ENV = "FAULTS_KEY"
PROVIDERS = """
[providers.first]
kind = "{kind}"
base_url = "{url}"
api_key_env = "FAULTS_KEY"
[providers.first.prices."main"]
input_usd_per_million = 1
output_usd_per_million = 2
[providers.second]
kind = "{kind}"
base_url = "{url}"
api_key_env = "FAULTS_KEY"
[providers.second.prices."spare"]
input_usd_per_million = 10
output_usd_per_million = 20
"""
SERVICE = """
name = "{name}"
kind = "generate"
owners = {{ product = "test" }}
objectives = {{ deadline_ms = 3000 }}
cost = {{ per_day_usd = 5 }}
[failover]
restart_streams = {restarts}
[[models]]
name = "main"
provider = "first"
model = "main"
timeout_ms = 1000
max_output_tokens = 20
[[models]]
name = "spare"
provider = "second"
model = "spare"
max_output_tokens = 20
"""


class Stage(NamedTuple):
    """A gateway and the upstream behind it."""

    live: Live
    upstream: FaultyUpstream

    def ask(self, service: str = "plain", *, stream: bool = False) -> tuple[Response, Record]:
        """Ask once, and return what came with the one record it left."""
        before = {record.id for record in self.live.records()}
        got = self.live.chat(service, stream=stream)
        (record,) = [record for record in self.live.records() if record.id not in before]
        settled, held = self.live.serving.ledger.spent(f"service:{service}")
        costs = [r.cost_micro for r in self.live.records() if r.service == service]
        assert (settled, held) == (sum(costs), 0), "the ledger has what the records say"
        assert record.cost_micro == sum(attempt.cost_micro for attempt in record.attempts)
        return got, record

    def received(self, model: str) -> int:
        """Return how many requests came for a model."""
        return sum(_model_of(one) == model for one in self.upstream.requests)

    def worst_micro(self, record: Record, place: int = 0) -> int:
        """Return the most that one try of a record could cost."""
        attempt = record.attempts[place]
        links = self.live.serving.engine.releases[record.service].chain.links
        link = next(link for link in links if link.name == attempt.model)
        assert attempt.input_bytes > 0
        return link.worst_case_micro(CallSize(attempt.input_bytes))


def _model_of(request: Received) -> str:
    """Return the model that a request is for: Gemini's stands in the path."""
    named: str = request.json().get("model") or request.path.rpartition("/")[2].partition(":")[0]
    return named


def tries(record: Record) -> list[tuple[str, str]]:
    """Return who was asked and how that ended."""
    return [(attempt.model, attempt.status) for attempt in record.attempts]


def check_whole(got: Response, record: Record, model: str) -> None:
    """Check that a whole answer of a model came, and was counted as what it is."""
    assert got.status == 200, got.body
    events = chunks(got) if record.is_stream else []
    assert text_of(got, events) == TEXT
    last = record.attempts[-1]
    assert (record.disposition, record.model, last.model) == ("answered", model, model)
    assert (last.status, last.provider) == ("ok", "first" if model == "main" else "second")
    assert last.usage is not None
    assert (last.usage.input_tokens, last.usage.output_tokens) == (1, 10)
    assert last.cost_micro == (MAIN_MICRO if model == "main" else SPARE_MICRO)
    assert last.price_source == "override"


def chunks(got: Response) -> list[Any]:
    """Return the events of a stream but for the last, which is `[DONE]` where it went well."""
    return [
        json.loads(event[6:])
        for event in got.body.decode().split("\n\n")
        if event.startswith("data: {")
    ]


def text_of(got: Response, events: list[Any]) -> str:
    """Return the text that counts: what came behind the last mark that it begins anew."""
    if not events:
        return str(got.json["choices"][0]["message"]["content"])
    assert got.body.endswith(b"data: [DONE]\n\n")
    text = ""
    for event in events:
        if "roadworthy" in event:
            assert event["roadworthy"]["restart"] is True
            text = ""
        text += event["choices"][0]["delta"].get("content", "")
    return text


def free(attempt: Attempt) -> bool:
    """Whether a try cost nothing and counted nothing."""
    return attempt.cost_micro == 0 and attempt.usage is None


def rate_limited(stage: Stage) -> None:
    """429 with Retry-After: passed on at once, left alone until then, and asked again."""
    stage.upstream.next(Fault.RATE_LIMITED, retry_after_s=1, model="main")
    got, record = stage.ask()
    check_whole(got, record, "spare")
    assert tries(record) == [("main", "model_rate_limited"), ("spare", "ok")]
    assert free(record.attempts[0])
    got, record = stage.ask()
    check_whole(got, record, "spare")
    assert (tries(record)[0], record.attempts[0].us) == (("main", "cooling"), 0)
    time.sleep(1.05)
    check_whole(*stage.ask(), "main")


def rate_limited_for_ever(stage: Stage) -> None:
    """429 without end: the other model answers, and the first is hardly asked any more."""
    stage.upstream.always(Fault.RATE_LIMITED_WITHOUT_ADVICE, model="main")
    for _ in range(5):
        got, record = stage.ask()
        check_whole(got, record, "spare")
        assert free(record.attempts[0])
    assert stage.received("main") == 1


def one_server_error(stage: Stage) -> None:
    """One 500: the same model is asked again and answers."""
    stage.upstream.next(Fault.SERVER_ERROR, model="main")
    got, record = stage.ask()
    check_whole(got, record, "main")
    assert tries(record) == [("main", "model_unavailable"), ("main", "ok")]
    assert [attempt.retry for attempt in record.attempts] == [0, 1]
    assert free(record.attempts[0])
    assert record.attempts[0].cause == "server"


def unavailable_for_ever(stage: Stage) -> None:
    """503 without end: each request is answered by the other, and the first is left alone."""
    stage.upstream.always(Fault.UNAVAILABLE, model="main")
    got, record = stage.ask()
    check_whole(got, record, "spare")
    gone = ("main", "model_unavailable")
    assert tries(record) == [gone, gone, ("spare", "ok")]
    for _ in range(9):
        check_whole(*stage.ask(), "spare")
    assert stage.received("main") == 5
    assert stage.live.serving.engine.releases["anew"].chain.links[0].health is not None
    got, record = stage.ask("anew")
    check_whole(got, record, "spare")
    assert tries(record)[0] == ("main", "cooling"), "what one service learned the other knows"


def connection_reset(stage: Stage) -> None:
    """The connection is reset before any answer: the same model is asked again and answers."""
    stage.upstream.next(Fault.RESET, model="main")
    got, record = stage.ask()
    check_whole(got, record, "main")
    assert tries(record) == [("main", "model_unavailable"), ("main", "ok")]
    assert record.attempts[0].cause == "connection"
    assert free(record.attempts[0])


def no_answer(stage: Stage) -> None:
    """No answer: the next model has time left, and what was cut off counts as its worst case."""
    stage.upstream.next(Fault.HANG, model="main")
    got, record = stage.ask()
    check_whole(got, record, "spare")
    assert tries(record) == [("main", "model_timeout"), ("spare", "ok")]
    assert 900_000 < record.attempts[0].us < 2_500_000
    assert record.attempts[0].cost_micro == stage.worst_micro(record)


def slow_first_token(stage: Stage) -> None:
    """A first token that is late: nothing was shown, so the next model takes over."""
    stage.upstream.next(Fault.SLOW_FIRST_TOKEN, delay_s=3, model="main")
    got, record = stage.ask(stream=True)
    check_whole(got, record, "spare")
    assert tries(record) == [("main", "model_timeout"), ("spare", "ok")]
    assert record.latency_us < 2_900_000
    assert b'"roadworthy"' not in got.body, "nothing had been shown"


def broken_stream(stage: Stage, fault: Fault, status: str) -> None:
    """Check what becomes of a stream that breaks off, without and with beginning anew."""
    stage.upstream.chunk_delay_s = 0.005
    stage.upstream.next(fault, model="main")
    got, record = stage.ask(stream=True)
    events = chunks(got)
    assert events[-1]["error"]["code"] == status
    assert events[-1]["error"]["request_id"] == record.id
    assert b"[DONE]" not in got.body, "what is not whole does not end as if it were"
    assert (record.disposition, record.error_code, tries(record)) == (
        "failed",
        status,
        [("main", status)],
    )
    assert record.cost_micro == stage.worst_micro(record), "nobody knows how far it came"
    assert record.latency_us < 3_300_000

    stage.upstream.next(fault, model="main")
    got, record = stage.ask("anew", stream=True)
    check_whole(got, record, "spare")
    assert tries(record) == [("main", status), ("spare", "ok")]
    marks = [event["roadworthy"] for event in chunks(got) if "roadworthy" in event]
    assert marks == [{"restart": True, "model": "spare", "why": status}]
    assert record.cost_micro == stage.worst_micro(record) + SPARE_MICRO


def stream_cut(stage: Stage) -> None:
    """The connection is closed in the middle of a stream."""
    broken_stream(stage, Fault.STREAM_CUT, "model_unavailable")


def stream_stalled(stage: Stage) -> None:
    """A stream begins and never goes on."""
    broken_stream(stage, Fault.STREAM_STALLED, "model_timeout")


def malformed_chunk(stage: Stage) -> None:
    """A chunk in the middle is not JSON."""
    broken_stream(stage, Fault.MALFORMED, "bad_answer")


def no_done(stage: Stage) -> None:
    """A good stream that ends without `[DONE]` is good, and ends with it here."""
    stage.upstream.next(Fault.NO_DONE, model="main")
    got, record = stage.ask(stream=True)
    check_whole(got, record, "main")
    assert tries(record) == [("main", "ok")]


def context_too_long(stage: Stage) -> None:
    """The input is too long for one model: it is not asked again, and is not called down."""
    stage.upstream.always(Fault.CONTEXT_TOO_LONG, model="main")
    for _ in range(7):
        got, record = stage.ask()
        check_whole(got, record, "spare")
        assert tries(record) == [("main", "model_rejected"), ("spare", "ok")]
        assert record.attempts[0].cause == "context_length"
        assert free(record.attempts[0])
    stage.upstream.behave()
    check_whole(*stage.ask(), "main")


def content_filter(stage: Stage) -> None:
    """A filter stops the question, or half an answer, which is paid: the other model is asked."""
    stage.upstream.next(Fault.CONTENT_REFUSED, Fault.CONTENT_FILTERED, model="main")
    for micro in (0, 1 + 5 * 2):
        got, record = stage.ask()
        check_whole(got, record, "spare")
        assert tries(record) == [("main", "model_rejected"), ("spare", "ok")]
        first = record.attempts[0]
        assert (first.cause, first.retry) == ("content_filter", 0)
        assert first.cost_micro in (micro, BLOCKED_MICRO)
    check_whole(*stage.ask(), "main")


def fallback_that_rejects(stage: Stage) -> None:
    """The fallback refuses the request: the error names both, in order, and nothing is charged."""
    stage.upstream.always(Fault.UNAVAILABLE, model="main")
    stage.upstream.always(Fault.REJECTED, model="spare")
    got, record = stage.ask()
    assert (got.status, got.code) == (502, "all_models_failed")
    assert got.json["error"]["retryable"] is True, "the first may be there again"
    message = got.json["error"]["message"]
    assert message.index("`main`: the upstream failed: 5") < message.index("`spare`: ")
    gone = ("main", "model_unavailable")
    assert tries(record) == [gone, gone, ("spare", "model_rejected")]
    assert (record.disposition, record.cost_micro) == ("failed", 0)


def flapping(stage: Stage) -> None:
    """An upstream that fails every other time: every request is answered, whole."""
    stage.upstream.always(Fault.FLAPPING, model="main")
    for _ in range(20):
        got, record = stage.ask()
        check_whole(got, record, record.model)


def accounting_of_the_fallback(stage: Stage) -> None:
    """What the fallback answered is counted as its own: model, tokens, price, provider."""
    stage.upstream.always(Fault.UNAVAILABLE, model="main")
    got, record = stage.ask()
    check_whole(got, record, "spare")
    assert got.headers["x-roadworthy-model"] == "spare"
    assert got.json["model"] == "spare"
    assert float(got.headers["x-roadworthy-cost-usd"]) == SPARE_MICRO / 1e6
    assert (record.input_tokens, record.output_tokens) == (1, 10)
    assert record.cost_micro == SPARE_MICRO
    since_us = record.at_us - HOUR_US
    state = stage.live.project.state
    found = tried_by(state, ("provider", "model"), since_us, record.at_us + HOUR_US)
    assert found["first", "main"].attempts == {"server": 2}
    assert (found["first", "main"].cost_micro, found["first", "main"].retries) == (0, 1)
    spare = found["second", "spare"]
    assert (spare.attempts, spare.cost_micro, spare.output_tokens) == ({"ok": 1}, SPARE_MICRO, 10)


FAULTS: tuple[Callable[[Stage], None], ...] = (
    rate_limited,
    rate_limited_for_ever,
    one_server_error,
    unavailable_for_ever,
    connection_reset,
    no_answer,
    slow_first_token,
    stream_cut,
    stream_stalled,
    malformed_chunk,
    no_done,
    context_too_long,
    content_filter,
    fallback_that_rejects,
    flapping,
    accounting_of_the_fallback,
)


@contextmanager
def _key_set() -> Iterator[None]:
    os.environ[KEY_ENV] = "k"
    try:
        yield
    finally:
        del os.environ[KEY_ENV]


@contextmanager
def staged(folder: Path, kind: str = "openai") -> Iterator[Stage]:
    """Serve two services over one upstream: one begins broken streams anew, one does not.

    Args:
        folder: Where the project is written.
        kind: In whose words the upstream is spoken to.
    """
    with FaultyUpstream(answer=TEXT, api_key="k") as upstream, _key_set():
        services = {
            name: SERVICE.format(name=name, restarts=restarts)
            for name, restarts in (("plain", "false"), ("anew", "true"))
        }
        write_project(folder, services, None, PROVIDERS.format(url=upstream.base_url, kind=kind))
        with serve(folder) as live:
            yield Stage(live, upstream)
