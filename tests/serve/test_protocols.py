"""The protocols over a real port: native, OpenAI's by its own client, and Triton's client."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI, PermissionDeniedError, UnprocessableEntityError

from conftest import write_project
from live import Live, chat_service, provider_up, serve
from roadworthy.testing import FaultyUpstream

pytestmark = pytest.mark.slow

RULE = """
name = "late"
kind = "predict"
owners = { product = "test" }
objectives = { deadline_ms = 1000, latency_p95_ms = 500 }
cost = {}
[contract]
input = "input.json"
[[models]]
name = "rule"
provider = "rule"
model = "{'label': input.hour > 17, 'probability': input.hour > 17 ? 0.4 : 0.1}"
[[guards]]
use = "rule"
on = "input"
name = "sane"
expression = "input.hour != 13"
"""
SCHEMA = """
{"type": "object", "properties": {"hour": {"type": "integer", "minimum": 0, "maximum": 23},
 "carrier": {"type": "string"}}, "required": ["hour"], "additionalProperties": false}
"""
CHAT = chat_service(
    deadline_ms=3000,
    cost="per_request_usd = 0.01, per_day_usd = 1.0",
    more="""
[failover]
retries = 0
[[fallback]]
use = "static"
output = { text = "A colleague will answer." }
""",
)
BRIEF = chat_service(
    "brief",
    cost="per_day_usd = 1.0",
    more="""
[chat]
variable = "text"
[contract]
input = "input.json"
""",
)
BRIEF_SCHEMA = '{"properties": {"text": {"type": "string", "maxLength": 10}}}'


@pytest.fixture(scope="module")
def upstream() -> Iterator[FaultyUpstream]:
    with FaultyUpstream(answer="one two three four") as server:
        yield server


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, upstream: FaultyUpstream) -> Iterator[Live]:
    folder: Path = tmp_path_factory.mktemp("project")
    files = {
        "services/late/input.json": SCHEMA,
        "services/brief/input.json": BRIEF_SCHEMA,
    }
    services = {"late": RULE, "reply": CHAT, "brief": BRIEF}
    provider = provider_up(upstream, input_usd=1.0, output_usd=2.0)
    write_project(folder, services, files, provider)
    with serve(folder) as running:
        yield running


def test_native_answers_with_everything_a_caller_may_want(live: Live) -> None:
    got = live.answer("late", {"hour": 20})

    assert got.status == 200
    assert got.json["output"] == {"label": True, "probability": 0.4}
    assert got.json["disposition"] == got.headers["x-roadworthy-disposition"] == "answered"
    assert got.json["release"].startswith("late@")
    assert got.headers["x-roadworthy-request-id"] == got.json["request_id"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "invalid_request"),
        (b"[]", 400, "invalid_request"),
        (b'{"input": 3}', 400, "invalid_request"),
        (b'{"input": {}, "extra": 1}', 400, "invalid_request"),
        (b'{"input": {}}', 422, "contract_violation"),
        (b'{"input": {"hour": 24}}', 422, "contract_violation"),
        (b'{"input": {"hour": "secret text"}}', 422, "contract_violation"),
        (b'{"input": {"hour": 13}}', 403, "guard_denied"),
        (b'{"input": {"hour": 1}, "user": "bob"}', 200, ""),
    ],
)
def test_bad_input_gets_a_clear_error(live: Live, body: bytes, status: int, code: str) -> None:
    key = live.new_key("answer", "act_as")
    got = live.ask("POST", "/v1/services/late/answer", body, key=key)

    assert got.status == status
    if code:
        assert got.code == code
        assert b"secret text" not in got.body


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "body: expected a JSON object, got an empty body"),
        (b'{"model"', "body: expected a whole JSON object, got one that ends too early, after 8"),
        (b"hello", "body: expected a JSON object, got what is no JSON"),
        (b"[]", "body: expected `object`, got `array`"),
    ],
)
def test_a_body_that_cannot_be_read_is_told_with_what_came(
    live: Live, body: bytes, message: str
) -> None:
    got = live.ask("POST", "/v1/chat/completions", body)
    assert got.status == 400
    assert got.json["error"]["message"].startswith(message)


def test_a_number_that_is_too_large_is_told_with_where_it_stands(live: Live) -> None:
    body = b'{"inputs": [{"name": "a", "shape": [1], "datatype": "FP64", "data": [1e999]}]}'
    got = live.ask("POST", "/v2/models/late/infer", body)
    assert got.status == 400
    message = got.json["error"]
    assert message.startswith("body: expected numbers within the range of a double, got another at")
    assert "data" in message


@pytest.mark.parametrize(
    ("given", "got"),
    [("soon", "a text of 4 characters"), ("-3", "-3"), ("0", "0"), ("1e12", "1e+12")],
)
def test_a_deadline_that_is_none_is_told_with_what_came(live: Live, given: str, got: str) -> None:
    headers = {"x-roadworthy-deadline-ms": given}
    answer = live.ask(
        "POST", "/v1/services/late/answer", b'{"input": {"hour": 1}}', headers=headers
    )
    assert answer.status == 400
    assert answer.json["error"]["message"].endswith(f"above 0 and below 1000000000, got {got}")


def test_unknown_service_route_and_key_are_told_apart(live: Live) -> None:
    assert live.answer("nobody", {}).status == 404
    assert live.ask("POST", "/v1/elsewhere").status == 404
    assert live.ask("GET", "/v2/models/nobody").status == 404
    assert live.answer("late", {"hour": 1}, key="rw_wrong").status == 401
    assert live.ask("GET", "/v1/models", headers={"authorization": ""}).status == 401
    assert live.ask("GET", "/v1/models", headers={"authorization": "Basic abc"}).status == 401


def test_a_key_may_not_name_a_user_without_act_as(live: Live) -> None:
    for header in ("x-roadworthy-user", "x-roadworthy-role"):
        got = live.answer("late", {"hour": 1}, headers={header: "admin"})
        assert (got.status, got.code) == (403, "forbidden")


def test_the_openai_client_gets_its_completion(live: Live) -> None:
    client = OpenAI(base_url=f"{live.url}/v1", api_key=live.key, max_retries=0)

    got = client.chat.completions.create(
        model="reply", messages=[{"role": "user", "content": "hello"}], max_tokens=50
    )

    assert got.choices[0].message.content == "one two three four"
    assert got.usage is not None
    assert got.usage.completion_tokens == 4
    assert {"brief", "reply"} == {model.id for model in client.models.list()}


def test_the_openai_client_gets_its_stream(live: Live) -> None:
    client = OpenAI(base_url=f"{live.url}/v1", api_key=live.key, max_retries=0)

    chunks = list(
        client.chat.completions.create(
            model="reply",
            messages=[{"role": "user", "content": "hello"}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )

    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "one two three four"
    assert chunks[-1].usage is not None
    record = live.records()[0]
    assert (record.is_stream, record.disposition, record.output_tokens) == (True, "answered", 4)
    assert record.first_token_us > 0
    assert record.cost_micro == record.input_tokens + 2 * 4


def test_the_openai_client_understands_refusals(live: Live) -> None:
    client = OpenAI(base_url=f"{live.url}/v1", api_key=live.key, max_retries=0)
    messages: Any = [{"role": "user", "content": "hello"}]

    with pytest.raises(UnprocessableEntityError, match="/v2/models/late/infer"):
        client.chat.completions.create(model="late", messages=messages)
    with pytest.raises(PermissionDeniedError, match="act_as"):
        client.chat.completions.create(
            model="reply", messages=messages, extra_headers={"x-roadworthy-user": "bob"}
        )


@pytest.mark.parametrize("messages", [[], None, "hello", {}, [3]])
def test_a_chat_without_messages_costs_no_upstream_call(
    live: Live, upstream: FaultyUpstream, messages: Any
) -> None:
    received = upstream.received
    body = {"model": "reply", "messages": messages}
    for sent in (body, {**body, "stream": True}, {"model": "reply"}):
        got = live.ask("POST", "/v1/chat/completions", sent)
        assert (got.status, got.code) == (422, "contract_violation")
        assert got.json["error"]["param"] == "messages"
        record = live.records()[0]
        assert (record.disposition, record.reserved_micro) == ("refused", 0)
    assert upstream.received == received


@pytest.mark.parametrize("stream", ["true", 1, {}, []])
def test_what_is_no_yes_or_no_starts_no_stream(
    live: Live, upstream: FaultyUpstream, stream: Any
) -> None:
    received = upstream.received
    got = live.chat("reply", stream=stream)
    assert (got.status, got.code) == (400, "invalid_request")
    assert got.json["error"]["param"] == "stream"
    assert upstream.received == received


@pytest.mark.parametrize("stream", [None, False])
def test_a_stream_of_null_is_none(live: Live, stream: bool | None) -> None:
    got = live.chat("reply", stream=stream)
    assert got.status == 200
    assert got.json["choices"][0]["message"]["content"] == "one two three four"


def test_a_chat_against_the_contract_is_told_of_its_messages(live: Live) -> None:
    got = live.chat("brief", "more than ten characters")
    assert (got.status, got.code) == (422, "contract_violation")
    told = "messages[-1].content: expected <= 10 characters, got string of 24 characters"
    assert (got.json["error"]["message"], got.json["error"]["param"]) == (
        told,
        "messages[-1].content",
    )
    assert "input.text: expected <= 10" in live.records()[0].reasons[-1]


def test_a_fallback_reaches_chat_clients_as_a_completion(
    live: Live, upstream: FaultyUpstream
) -> None:
    from roadworthy.models.faulty import Fault

    upstream.next(Fault.SERVER_ERROR)
    got = live.chat("reply")
    assert got.headers["x-roadworthy-disposition"] == "fallback"
    assert got.json["choices"][0]["message"]["content"] == "A colleague will answer."

    upstream.next(Fault.SERVER_ERROR)
    streamed = live.chat("reply", stream=True)
    assert streamed.headers["x-roadworthy-disposition"] == "fallback"
    assert b"A colleague will answer." in streamed.body
    assert streamed.body.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("is_wanted", [True, False])
def test_an_answer_that_is_no_upstreams_stream_counts_for_whoever_asks(
    live: Live, upstream: FaultyUpstream, is_wanted: bool
) -> None:
    from roadworthy.models.faulty import Fault

    upstream.next(Fault.SERVER_ERROR)
    got = live.chat("reply", stream=True, stream_options={"include_usage": is_wanted})
    assert b"A colleague will answer." in got.body
    lines = [line[6:] for line in got.body.split(b"\n\n") if line.startswith(b"data: {")]
    *_, last = map(json.loads, lines)
    assert ("usage" in last) is is_wanted
    if is_wanted:
        assert last["choices"] == []
        assert set(last["usage"]) == {"prompt_tokens", "completion_tokens", "total_tokens"}


def test_a_stream_that_breaks_off_says_so_and_is_a_failure(
    live: Live, upstream: FaultyUpstream
) -> None:
    from roadworthy.models.faulty import Fault

    upstream.chunk_delay_s = 0.02
    upstream.next(Fault.STREAM_CUT)
    got = live.chat("reply", stream=True)
    upstream.chunk_delay_s = 0.0

    last = got.body.strip().rpartition(b"data: ")[2]
    assert json.loads(last)["error"]["retryable"] is True
    record = live.records()[0]
    assert record.disposition == "failed"
    assert record.first_token_us > 0


def test_the_open_inference_protocol_answers_rows(live: Live) -> None:
    columns = [
        {"name": "hour", "shape": [3], "datatype": "INT64", "data": [20, 5, 99]},
        {"name": "carrier", "shape": [3, 1], "datatype": "BYTES", "data": ["AA", "B6", "UA"]},
    ]
    got = live.ask("POST", "/v2/models/late/infer", {"id": "7", "inputs": columns})

    assert got.status == 200
    assert got.json["id"] == "7"
    outputs = {tensor["name"]: tensor for tensor in got.json["outputs"]}
    assert outputs["probability"] == {
        "name": "probability",
        "shape": [3],
        "datatype": "FP64",
        "data": [0.4, 0.1, None],
    }
    assert outputs["roadworthy.disposition"]["data"] == ["answered", "answered", "refused"]
    records = {r.id: r for r in live.records()}
    parents = {records[i].parent for i in outputs["roadworthy.request_id"]["data"]}
    assert len(parents) == 1
    assert parents != {""}


def test_tritons_client_is_understood_with_binary_tensors(live: Live) -> None:
    import numpy as np
    import tritonclient.http as triton

    client = triton.InferenceServerClient(f"127.0.0.1:{live.port}")
    headers = {"authorization": f"Bearer {live.key}"}
    hour = triton.InferInput("hour", [2], "INT64")
    hour.set_data_from_numpy(np.array([20, 5], dtype=np.int64))
    carrier = triton.InferInput("carrier", [2], "BYTES")
    carrier.set_data_from_numpy(np.array([b"AA", b"B6"], dtype=object))

    result = client.infer("late", [hour, carrier], headers=headers)

    assert client.is_server_live()
    assert client.is_server_ready()
    assert result.as_numpy("probability").tolist() == [0.4, 0.1]
    metadata = client.get_model_metadata("late", headers=headers)
    assert metadata["inputs"][0] == {"name": "hour", "datatype": "INT64", "shape": [-1]}
    client.close()


def tensors(**changes: Any) -> dict[str, Any]:
    """Return a request of one row with something else than it should have."""
    tensor = {"name": "hour", "shape": [1], "datatype": "INT64", "data": [20], **changes}
    return {"inputs": [{name: value for name, value in tensor.items() if value is not None}]}


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": []},
        {"inputs": [{"name": "hour", "shape": [2], "datatype": "INT64", "data": [1]}]},
        {"inputs": [{"name": "hour", "shape": [1, 2], "datatype": "INT64", "data": [1, 2]}]},
        {"inputs": [{"name": "hour", "shape": [1], "datatype": "INT64"}]},
        {"inputs": 3},
        {
            "parameters": {"timeout": -1},
            "inputs": [{"name": "a", "shape": [1], "datatype": "INT64", "data": [1]}],
        },
        tensors(datatype="FP128"),
        tensors(datatype="int64"),
        tensors(datatype=""),
        tensors(shape=[-1]),
        tensors(shape=[-1, -1]),
        tensors(shape=[0], data=[]),
        tensors(shape=[1, 0], data=[]),
        tensors(shape=[1, 1, 2]),
        tensors(shape=[1.0]),
        tensors(shape=[True]),
        tensors(shape=["1"]),
        tensors(shape=[10**30]),
        tensors(shape=None),
        tensors(data=None),
        tensors(data=[]),
        tensors(data=[[1, 2], [3]]),
        tensors(data={"0": 1}),
        tensors(parameters={"binary_data_size": 8}),
        tensors(parameters={"binary_data_size": -8}),
        {"inputs": tensors()["inputs"] * 2},
    ],
)
def test_broken_tensors_get_a_clear_error(live: Live, body: dict[str, Any]) -> None:
    got = live.ask("POST", "/v2/models/late/infer", body)
    assert got.status in (400, 422)
    assert re.search("expected|missing required field", got.json["error"].lower())
    assert got.json["code"] in ("invalid_request", "contract_violation")


@pytest.mark.parametrize("shape", [[], [1], [1, 1]])
def test_one_row_has_one_value(live: Live, shape: list[int]) -> None:
    got = live.ask("POST", "/v2/models/late/infer", tensors(shape=shape))
    assert got.status == 200


def test_bytes_that_belong_to_no_tensor_are_refused(live: Live) -> None:
    head = json.dumps(tensors(data=None, parameters={"binary_data_size": 8})).encode()
    length = {"inference-header-content-length": str(len(head))}
    hour = (20).to_bytes(8, "little")
    assert live.ask("POST", "/v2/models/late/infer", head + hour, length).status == 200
    got = live.ask("POST", "/v2/models/late/infer", head + hour + b"more", length)
    assert (got.status, got.json["error"]) == (400, "body: expected 8 bytes of tensors, got 12")


def test_an_outcome_finds_its_request(live: Live) -> None:
    request_id = live.answer("late", {"hour": 20}).json["request_id"]
    path = f"/v1/requests/{request_id}/outcome"

    got = live.ask("POST", path, {"label": True, "rating": 4, "source": "test"})

    assert got.status == 201
    assert len(got.json["outcomes"]) == 2
    from roadworthy.store.records import outcomes_of

    live.serving.writer.drain()
    kinds = {o.kind: o.value for o in outcomes_of(live.project.state, request_id)}
    assert kinds == {"label": True, "rating": 4.0}
    assert live.ask("POST", path, {"source": "test"}).status == 400
    assert live.ask("POST", path, {"label": 1}).status == 400
    missing = "/v1/requests/rq_0000/outcome"
    assert live.ask("POST", missing, {"label": 1, "source": "test"}).status == 404


@pytest.mark.parametrize(
    "at",
    [
        "1969-12-31T23:59:59Z",
        "0001-01-01T00:00:00+14:00",
        "9999-01-01T00:00:00Z",
        "9999-12-31T23:59:59-14:00",
        "2026-05-01T10:00:00",
        "soon",
        7,
    ],
)
def test_an_outcome_of_no_sensible_time_is_refused(live: Live, at: Any) -> None:
    request_id = live.answer("late", {"hour": 20}).json["request_id"]
    body = {"label": True, "source": "test", "at": at}
    got = live.ask("POST", f"/v1/requests/{request_id}/outcome", body)
    assert (got.status, got.code) == (400, "invalid_request")
    assert "at: " in got.json["error"]["message"] or "$.at" in got.json["error"]["message"]


@pytest.mark.parametrize("at", ["1970-01-01T00:00:00Z", "9998-12-31T23:59:59.999999Z"])
def test_an_outcome_may_be_as_old_as_time(live: Live, at: str) -> None:
    request_id = live.answer("late", {"hour": 20}).json["request_id"]
    body = {"label": True, "source": "test", "at": at}
    assert live.ask("POST", f"/v1/requests/{request_id}/outcome", body).status == 201


def test_metrics_and_health_speak_for_the_process(live: Live) -> None:
    live.answer("late", {"hour": 20})
    live.serving.writer.drain()
    page = live.ask("GET", "/metrics")
    assert b'roadworthy_requests_total{service="late",disposition="answered"' in page.body
    assert live.ask("GET", "/metrics", headers={"authorization": ""}).status == 401
    health = live.ask("GET", "/healthz", headers={"authorization": ""})
    assert health.json["status"] == "ok"


def test_tritons_client_can_say_what_went_wrong(live: Live) -> None:
    import numpy as np
    import tritonclient.http as triton

    client = triton.InferenceServerClient(f"127.0.0.1:{live.port}")
    hour = triton.InferInput("hour", [1], "INT64")
    hour.set_data_from_numpy(np.array([99], dtype=np.int64))
    with pytest.raises(triton.InferenceServerException, match="hour") as caught:
        client.infer("late", [hour], headers={"authorization": f"Bearer {live.key}"})
    assert "expected" in str(caught.value)
    with pytest.raises(triton.InferenceServerException, match="no service"):
        client.infer("nobody", [hour], headers={"authorization": f"Bearer {live.key}"})
    client.close()


def test_a_missing_number_is_null_in_a_binary_tensor() -> None:
    import struct

    from roadworthy.serve.oip import _from_bytes, _Tensor

    tensor = _Tensor("x", [2], "FP32")
    assert _from_bytes(tensor, struct.pack("<ff", 1.5, float("nan"))) == [1.5, None]
