from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from roadworthy.models.faulty import Fault, FaultyUpstream, Order

QUESTION = "Where is my bag?"


@pytest.fixture
def upstream() -> Iterator[FaultyUpstream]:
    with FaultyUpstream() as upstream:
        yield upstream


class Client:
    """Asks over one connection, as any HTTP client would."""

    def __init__(self, upstream: FaultyUpstream, timeout_s: float = 5.0) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", upstream.port, timeout=timeout_s)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def send(self, body: Any = None, **more: Any) -> http.client.HTTPResponse:
        chat = {"model": "big", "messages": [{"role": "user", "content": QUESTION}], **more}
        self.connection.request(
            "POST", "/v1/chat/completions", json.dumps(chat) if body is None else body
        )
        return self.connection.getresponse()

    def read(self, **more: Any) -> tuple[int, Any]:
        response = self.send(**more)
        return response.status, json.loads(response.read())

    def read_stream(self, **more: Any) -> list[str]:
        response = self.send(stream=True, **more)
        assert response.headers["content-type"] == "text/event-stream"
        return response.read().decode().removesuffix("\n\n").split("\n\n")


def ask(upstream: FaultyUpstream, **more: Any) -> tuple[int, Any]:
    with Client(upstream) as client:
        return client.read(**more)


def stream(upstream: FaultyUpstream, **more: Any) -> list[str]:
    with Client(upstream) as client:
        return client.read_stream(**more)


def chunks_of(events: list[str]) -> list[Any]:
    return [json.loads(event.removeprefix("data: ")) for event in events if event[6] == "{"]


def text_of(chunks: list[Any]) -> str:
    return "".join(c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"])


def test_the_good_mood_answers_like_the_real_thing(upstream: FaultyUpstream) -> None:
    status, body = ask(upstream)
    assert status == 200
    assert body["object"] == "chat.completion"
    assert body["model"] == "big"
    assert body["id"].startswith("chatcmpl-")
    assert abs(body["created"] - time.time()) < 60
    message = body["choices"][0]["message"]
    assert message["role"] == "assistant"
    assert QUESTION in message["content"]
    assert body["choices"][0]["finish_reason"] == "stop"
    words = len(message["content"].split())
    assert body["usage"] == {
        "prompt_tokens": 4,
        "completion_tokens": words,
        "total_tokens": 4 + words,
    }


def test_the_same_question_gets_the_same_answer(upstream: FaultyUpstream) -> None:
    first, second = ask(upstream)[1], ask(upstream)[1]
    assert first["choices"] == second["choices"]
    assert first["id"] != second["id"]


def test_the_answer_can_be_a_text_or_made_from_the_messages() -> None:
    with FaultyUpstream(answer="Row 12.") as upstream:
        assert ask(upstream)[1]["choices"][0]["message"]["content"] == "Row 12."
    with FaultyUpstream(answer=lambda messages: f"{len(messages)} said") as upstream:
        assert ask(upstream)[1]["choices"][0]["message"]["content"] == "1 said"


def test_a_bug_in_the_answer_function_does_not_leave_the_client_waiting(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with (
        FaultyUpstream(answer=lambda messages: str(messages[9])) as upstream,
        Client(upstream) as client,
        pytest.raises((ConnectionError, http.client.RemoteDisconnected)),
    ):
        client.send()
    assert "IndexError" in caplog.text


def test_messages_in_parts_are_understood(upstream: FaultyUpstream) -> None:
    parts = [{"type": "text", "text": "Row 12?"}, {"type": "image_url", "image_url": {"url": "x"}}]
    status, body = ask(upstream, messages=[{"role": "user", "content": parts}])
    assert status == 200
    assert "Row 12?" in body["choices"][0]["message"]["content"]


def test_a_stream_says_the_same_as_the_whole_answer(upstream: FaultyUpstream) -> None:
    whole = ask(upstream)[1]
    events = stream(upstream, stream_options={"include_usage": True})
    assert events[-1] == "data: [DONE]"
    chunks = chunks_of(events)
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert text_of(chunks) == whole["choices"][0]["message"]["content"]
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == whole["usage"]


def test_a_stream_counts_tokens_only_when_asked(upstream: FaultyUpstream) -> None:
    assert all("usage" not in chunk for chunk in chunks_of(stream(upstream)))


def test_a_stream_is_cut_into_as_many_chunks_as_wanted_and_takes_its_time() -> None:
    with FaultyUpstream(answer="one two three four five", chunks=3, chunk_delay_s=0.01) as upstream:
        started = time.monotonic()
        chunks = chunks_of(stream(upstream))
        assert time.monotonic() - started >= 0.04
    assert [c["choices"][0]["delta"].get("content") for c in chunks[1:-1]] == [
        "one",
        " two three",
        " four five",
    ]


def test_the_clients_limit_is_kept(upstream: FaultyUpstream) -> None:
    for limit in ({"max_tokens": 2}, {"max_completion_tokens": 2}):
        _, body = ask(upstream, **limit)
        assert body["choices"][0]["finish_reason"] == "length"
        assert body["usage"]["completion_tokens"] == 2


def test_models_are_listed() -> None:
    with FaultyUpstream(models=["small", "big"]) as upstream, Client(upstream) as client:
        client.connection.request("GET", "/v1/models")
        body = json.loads(client.connection.getresponse().read())
    assert [model["id"] for model in body["data"]] == ["small", "big"]


def test_one_connection_serves_many_requests(upstream: FaultyUpstream) -> None:
    with Client(upstream) as client:
        assert [client.read()[0] for _ in range(3)] == [200, 200, 200]
        assert (upstream.accepted, upstream.connections) == (1, 1)
    upstream.wait_until(lambda it: it.connections == 0)


def test_requests_sent_ahead_are_answered_in_turn(upstream: FaultyUpstream) -> None:
    upstream.next(Fault.SERVER_ERROR, None)
    body = json.dumps({"model": "big", "messages": []})
    request = f"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: {len(body)}\r\n"
    with socket.create_connection(("127.0.0.1", upstream.port), 5) as connection:
        last = f"{request}connection: close\r\n\r\n{body}"
        connection.sendall(f"{request}\r\n{body}{last}".encode())
        reply = b"".join(iter(lambda: connection.recv(4096), b""))
    assert reply.index(b" 500 ") < reply.index(b" 200 ")


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Fault.RATE_LIMITED, 429, "rate_limit_exceeded"),
        (Fault.RATE_LIMITED_WITHOUT_ADVICE, 429, "rate_limit_exceeded"),
        (Fault.SERVER_ERROR, 500, None),
        (Fault.UNAVAILABLE, 503, None),
        (Fault.AUTH_FAILED, 401, "invalid_api_key"),
        (Fault.REJECTED, 400, "unsupported_value"),
        (Fault.CONTEXT_TOO_LONG, 400, "context_length_exceeded"),
        (Fault.CONTENT_REFUSED, 400, "content_filter"),
    ],
)
def test_a_refusal_comes_in_openais_words(
    upstream: FaultyUpstream, fault: Fault, status: int, code: str | None
) -> None:
    upstream.next(fault, fault)
    assert ask(upstream) == (status, ask(upstream, stream=True)[1])
    upstream.next(fault)
    assert ask(upstream)[1]["error"]["code"] == code


def test_only_one_of_the_rate_limits_gives_advice(upstream: FaultyUpstream) -> None:
    upstream.next(Fault.RATE_LIMITED, retry_after_s=2.5)
    upstream.next(Fault.RATE_LIMITED_WITHOUT_ADVICE)
    with Client(upstream) as client:
        advised = client.send()
        advised.read()
        assert advised.headers["retry-after"] == "2.5"
        assert "retry-after" not in client.send().headers


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_reset_comes_before_any_answer(upstream: FaultyUpstream, is_stream: bool) -> None:
    upstream.next(Fault.RESET)
    with Client(upstream) as client, pytest.raises(ConnectionResetError):
        client.send(stream=is_stream)


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_reset_in_the_body_comes_after_its_beginning(
    upstream: FaultyUpstream, is_stream: bool
) -> None:
    upstream.next(Fault.RESET_IN_BODY)
    with Client(upstream) as client:
        response = client.send(stream=is_stream)
        assert response.read(10)
        with pytest.raises(ConnectionResetError):
            response.read()


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_cut_answer_ends_too_early(upstream: FaultyUpstream, is_stream: bool) -> None:
    upstream.next(Fault.STREAM_CUT)
    with Client(upstream) as client:
        response = client.send(stream=is_stream)
        with pytest.raises(http.client.IncompleteRead) as caught:
            response.read()
    assert b"chatcmpl" in caught.value.partial
    assert QUESTION.encode() not in caught.value.partial


def test_a_stream_is_never_cut_after_its_finish(upstream: FaultyUpstream) -> None:
    upstream.chunks = 1
    upstream.next(Fault.STREAM_CUT, after_chunks=100)
    with Client(upstream) as client, pytest.raises(http.client.IncompleteRead) as caught:
        client.send(stream=True, stream_options={"include_usage": True}).read()
    assert QUESTION.encode() in caught.value.partial
    assert b'"stop"' not in caught.value.partial


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_stalled_answer_begins_and_never_goes_on(
    upstream: FaultyUpstream, is_stream: bool
) -> None:
    upstream.next(Fault.STREAM_STALLED)
    with Client(upstream, timeout_s=0.1) as client:
        response = client.send(stream=is_stream)
        assert response.read(10)
        with pytest.raises(TimeoutError):
            response.read()
    upstream.wait_until(lambda it: it.cancelled == 1)


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_hang_lasts_until_the_client_leaves(upstream: FaultyUpstream, is_stream: bool) -> None:
    upstream.next(Fault.HANG)
    with Client(upstream, timeout_s=0.1) as client, pytest.raises(TimeoutError):
        client.send(stream=is_stream)
    upstream.wait_until(lambda it: it.cancelled == 1 and it.connections == 0)


def test_an_answer_in_time_is_not_counted_as_cancelled(upstream: FaultyUpstream) -> None:
    ask(upstream)
    upstream.wait_until(lambda it: it.connections == 0)
    assert upstream.cancelled == 0


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_slow_first_token_is_late_and_then_good(
    upstream: FaultyUpstream, is_stream: bool
) -> None:
    upstream.next(Fault.SLOW_FIRST_TOKEN, delay_s=0.1)
    with Client(upstream) as client:
        started = time.monotonic()
        response = client.send(stream=is_stream)
        response.read(1)
        assert time.monotonic() - started >= 0.1
        assert b"rehearsal" in response.read()


def test_a_malformed_chunk_stands_among_good_ones(upstream: FaultyUpstream) -> None:
    upstream.next(Fault.MALFORMED)
    events = stream(upstream)
    broken = []
    for event in events[:-1]:
        try:
            json.loads(event.removeprefix("data: "))
        except json.JSONDecodeError:
            broken.append(event)
    assert len(broken) == 1
    assert events[-1] == "data: [DONE]"


def test_a_malformed_body_has_the_right_length_and_is_no_json(upstream: FaultyUpstream) -> None:
    upstream.next(Fault.MALFORMED)
    with Client(upstream) as client:
        response = client.send()
        body = response.read()
    assert response.headers["content-length"] == str(len(body))
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)


def test_a_stream_can_end_without_done(upstream: FaultyUpstream) -> None:
    upstream.next(Fault.NO_DONE)
    events = stream(upstream)
    assert "[DONE]" not in events[-1]
    assert chunks_of(events)[-1]["choices"][0]["finish_reason"] == "stop"


def test_a_stream_can_end_without_a_finish_reason(upstream: FaultyUpstream) -> None:
    upstream.next(Fault.NO_FINISH, after_chunks=3)
    events = stream(upstream)
    assert len(events) == 3
    assert chunks_of(events)[-1]["choices"][0]["finish_reason"] is None


@pytest.mark.parametrize(("fault", "tokens"), [(Fault.USAGE_ZERO, 0), (Fault.USAGE_ABSURD, 10**15)])
def test_usage_can_be_wrong(upstream: FaultyUpstream, fault: Fault, tokens: int) -> None:
    upstream.always(fault)
    assert ask(upstream)[1]["usage"]["prompt_tokens"] == tokens
    chunks = chunks_of(stream(upstream, stream_options={"include_usage": True}))
    assert chunks[-1]["usage"]["completion_tokens"] == tokens


def test_usage_can_be_missing(upstream: FaultyUpstream) -> None:
    upstream.always(Fault.USAGE_MISSING)
    assert "usage" not in ask(upstream)[1]
    chunks = chunks_of(stream(upstream, stream_options={"include_usage": True}))
    assert all("usage" not in chunk for chunk in chunks)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(Fault.TRUNCATED, "length"), (Fault.CONTENT_FILTERED, "content_filter")],
)
def test_half_an_answer_says_why_it_ended(
    upstream: FaultyUpstream, fault: Fault, reason: str
) -> None:
    whole = ask(upstream)[1]["choices"][0]["message"]["content"]
    upstream.always(fault)
    choice = ask(upstream)[1]["choices"][0]
    chunks = chunks_of(stream(upstream))
    assert choice["finish_reason"] == chunks[-1]["choices"][0]["finish_reason"] == reason
    assert choice["message"]["content"] == text_of(chunks)
    assert whole.startswith(text_of(chunks))
    assert len(text_of(chunks)) < len(whole)


def test_a_flapping_upstream_fails_every_other_time(upstream: FaultyUpstream) -> None:
    upstream.always(Fault.FLAPPING)
    assert [ask(upstream)[0] for _ in range(4)] == [503, 200, 503, 200]


def test_a_redirect_leads_elsewhere(upstream: FaultyUpstream) -> None:
    upstream.next(Fault.REDIRECT)
    upstream.next(Fault.REDIRECT, location="http://198.51.100.1/")
    with Client(upstream) as client:
        response = client.send()
        response.read()
        assert (response.status, response.headers["location"]) == (307, "/elsewhere")
        assert client.send().headers["location"] == "http://198.51.100.1/"


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_giant_body_is_as_long_as_ordered(upstream: FaultyUpstream, is_stream: bool) -> None:
    upstream.next(Fault.GIANT_BODY, size_bytes=3_000_000)
    with Client(upstream) as client:
        body = client.send(stream=is_stream).read()
    assert 3_000_000 < len(body) < 3_001_000


def test_a_giant_body_waits_for_a_slow_reader_and_notices_when_it_leaves(
    upstream: FaultyUpstream,
) -> None:
    upstream.next(Fault.GIANT_BODY)
    with Client(upstream) as client:
        assert client.send().read(1000)
    upstream.wait_until(lambda it: it.cancelled == 1)


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_slow_drip_arrives_whole_in_the_end(upstream: FaultyUpstream, is_stream: bool) -> None:
    upstream.next(Fault.SLOW_DRIP, delay_s=0)
    with Client(upstream) as client:
        assert b"rehearsal" in client.send(stream=is_stream).read()


def test_orders_for_the_next_requests_come_first_and_are_used_up(upstream: FaultyUpstream) -> None:
    upstream.always(Fault.SERVER_ERROR)
    upstream.next(Fault.UNAVAILABLE, None)
    assert [ask(upstream)[0] for _ in range(3)] == [503, 200, 500]
    upstream.always(None)
    assert ask(upstream)[0] == 200


def test_orders_for_one_model_leave_the_others_alone(upstream: FaultyUpstream) -> None:
    upstream.always(Fault.SERVER_ERROR, model="big")
    upstream.next(Fault.UNAVAILABLE, model="small")
    assert [ask(upstream, model=name)[0] for name in ("big", "small", "small")] == [500, 503, 200]


def test_a_share_of_faults_is_drawn_alike_from_the_same_seed() -> None:
    def draw(seed: int) -> list[int]:
        with FaultyUpstream(seed=seed) as upstream, Client(upstream) as client:
            upstream.sometimes(Fault.SERVER_ERROR, 0.3)
            return [client.read()[0] for _ in range(200)]

    first = draw(7)
    assert 30 <= first.count(500) <= 90
    assert draw(7) == first
    assert draw(8) != first


def test_all_orders_can_be_forgotten(upstream: FaultyUpstream) -> None:
    upstream.always(Fault.SERVER_ERROR)
    upstream.next(Fault.UNAVAILABLE)
    upstream.sometimes(Fault.REJECTED, 1.0)
    upstream.behave()
    assert ask(upstream)[0] == 200


def test_an_order_with_a_detail_that_does_not_exist_is_refused(upstream: FaultyUpstream) -> None:
    with pytest.raises(TypeError):
        upstream.next(Fault.RATE_LIMITED, retry_after=1)
    assert Order(fault=Fault.RATE_LIMITED).retry_after_s == 1.0


def test_what_it_was_asked_is_kept(upstream: FaultyUpstream) -> None:
    with Client(upstream) as client:
        headers = {"Authorization": "Bearer k", "X-Trace": "7"}
        client.connection.request("POST", "/v1/chat/completions?a=1", "{}", headers)
        client.connection.getresponse().read()
    (request,) = upstream.requests
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    assert (request.headers["authorization"], request.headers["x-trace"]) == ("Bearer k", "7")
    assert request.json() == {}
    assert upstream.received == 1


def test_the_wrong_key_is_refused() -> None:
    with FaultyUpstream(api_key="right") as upstream, Client(upstream) as client:
        assert client.read()[0] == 401
        client.connection.request("GET", "/v1/models", headers={"Authorization": "Bearer right"})
        assert client.connection.getresponse().status == 200


@pytest.mark.parametrize("body", ["{", '{"model": 1}', "[]"])
def test_a_malformed_request_is_refused(upstream: FaultyUpstream, body: str) -> None:
    with Client(upstream) as client:
        response = client.send(body)
        assert response.status == 400
        assert json.loads(response.read())["error"]["type"] == "invalid_request_error"


def test_an_unknown_route_is_not_found(upstream: FaultyUpstream) -> None:
    with Client(upstream) as client:
        client.connection.request("GET", "/elsewhere")
        assert client.connection.getresponse().status == 404


def test_what_is_no_http_ends_the_connection(upstream: FaultyUpstream) -> None:
    with socket.create_connection(("127.0.0.1", upstream.port), 5) as connection:
        connection.sendall(b"\x16\x03\x01 no http\r\n\r\n")
        assert connection.recv(100) == b""


def test_it_stops_in_the_middle_of_an_answer_and_starts_again_where_it_was() -> None:
    upstream = FaultyUpstream().start()
    port = upstream.port
    upstream.next(Fault.STREAM_STALLED)
    with Client(upstream) as client:
        response = client.send(stream=True)
        upstream.stop()
        upstream.stop()
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            response.read()
    with pytest.raises(ConnectionRefusedError):
        ask(upstream)
    with upstream:
        assert upstream.port == port
        assert ask(upstream)[0] == 200
    assert upstream.connections == 0


def test_waiting_for_what_does_not_happen_says_what_did(upstream: FaultyUpstream) -> None:
    ask(upstream)
    with pytest.raises(TimeoutError, match="received 1"):
        upstream.wait_until(lambda it: it.received == 2, within_s=0.01)


@pytest.mark.slow
def test_the_official_client_understands_it(upstream: FaultyUpstream) -> None:
    from openai import OpenAI, RateLimitError

    with OpenAI(base_url=upstream.base_url, api_key="any", max_retries=0) as client:
        messages: Any = [{"role": "user", "content": QUESTION}]
        whole = client.chat.completions.create(model="big", messages=messages)
        assert whole.usage is not None
        assert whole.usage.prompt_tokens == 4
        parts = client.chat.completions.create(model="big", messages=messages, stream=True)
        text = "".join(part.choices[0].delta.content or "" for part in parts)
        assert text == whole.choices[0].message.content
        upstream.next(Fault.RATE_LIMITED)
        with pytest.raises(RateLimitError):
            client.chat.completions.create(model="big", messages=messages)
