"""The typed events of a response, from whatever chunks of a chat came."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from roadworthy.serve.request import Reply
from roadworthy.serve.response_events import Writer
from roadworthy.serve.sse import restart_event

REPLY = Reply(request_id="rq_1", service="reply", disposition="answered", at_us=1_000_000)


def writer(**asked: Any) -> Writer:
    raw = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in asked.items()}
    return Writer(REPLY, raw)


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice], **more}).encode() + b"\n\n"


def events_in(raw: bytes) -> list[dict[str, Any]]:
    events = raw.decode().removesuffix("\n\n").split("\n\n")
    return [json.loads(event.partition("\ndata: ")[2]) for event in events]


def read(*parts: bytes, **asked: Any) -> list[dict[str, Any]]:
    one = writer(**asked)
    return events_in(one.begin() + b"".join(map(one.feed, parts)) + one.end())


def test_events_are_found_wherever_the_stream_is_cut() -> None:
    whole = chunk({"content": "Two"}) + chunk({"content": " words."}) + chunk(finish="stop")
    cut = [whole[place : place + 7] for place in range(0, len(whole), 7)]
    assert read(*cut) == read(whole)
    assert read(whole)[-1]["response"]["output"][0]["content"][0]["text"] == "Two words."


def test_an_answer_that_begins_anew_is_told_without_what_came_before() -> None:
    events = read(
        chunk({"content": "Half an"}),
        restart_event("rq_1", "spare", "it broke off"),
        chunk({"content": "A whole answer."}),
        chunk(finish="stop"),
    )
    done = [e["item"] for e in events if e["type"] == "response.output_item.done"]
    assert [item["status"] for item in done] == ["incomplete", "completed"]
    assert len({item["id"] for item in done}) == 2
    assert events[-1]["type"] == "response.completed"
    assert events[-1]["response"]["output"] == done[1:]
    assert done[1]["content"][0]["text"] == "A whole answer."


def test_calls_that_come_whole_and_without_a_place_are_told_apart() -> None:
    calls = [
        {"id": f"c{n}", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        for n in range(2)
    ]
    events = read(chunk({"role": "assistant", "tool_calls": calls}), chunk(finish="tool_calls"))
    output = events[-1]["response"]["output"]
    assert [item["call_id"] for item in output] == ["c0", "c1"]


def test_an_answer_of_nothing_is_one_empty_text() -> None:
    events = read(chunk(finish="stop"))
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == ""
    assert events[-1]["type"] == "response.completed"


def test_what_the_call_said_is_repeated() -> None:
    response = read(chunk({"content": "Yes."}, "stop"), temperature=0.5, user=None)[-1]["response"]
    assert (response["temperature"], response["user"], response["store"]) == (0.5, None, False)


@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_an_end_that_was_no_end_is_incomplete(finish: str) -> None:
    last = read(chunk({"content": "Half"}), chunk(finish=finish))[-1]
    assert last["type"] == "response.incomplete"
    assert last["response"]["incomplete_details"]["reason"] in ("max_output_tokens", finish)
