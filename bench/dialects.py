"""What it takes to say a chat in another provider's words, and to read what comes back.

    python bench/dialects.py [--rounds 7]

A chat of 8 messages with two tools and a schema (2.5 kB) is said in each dialect, and a stream of
200 events is read and written in OpenAI's words, all in this process without a network. Prints CPU
microseconds of each, and one JSON line. OpenAI's own words are passed through (bench/gateway.py).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import msgspec
from harness import report

from roadworthy.models.anthropic import Messages
from roadworthy.models.faulty_dialects import ANTHROPIC, GEMINI
from roadworthy.models.faulty_replies import ChatRequest, Completion, usage_of
from roadworthy.models.gemini import GenerateContent
from roadworthy.models.remote import Dialect, _Chunks, _deltas, _Events
from roadworthy.types import Call, Caller, Key

TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city on a day.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "day": {"type": "string"}},
            "required": ["city"],
        },
    },
}
EVENTS = 200


def call() -> Call:
    """Return a chat of 8 messages with tools and a schema."""
    text = "Passengers may change a flight up to two hours before its departure. " * 3
    roles = ["user", "assistant"] * 3 + ["user"]
    messages = [{"role": "system", "content": text}]
    messages += [{"role": role, "content": text} for role in roles]
    schema = {"type": "object", "properties": {"usd": {"type": "number"}}, "required": ["usd"]}
    form = {"type": "json_schema", "json_schema": {"name": "refund", "schema": schema}}
    values = {
        "messages": messages,
        "tools": [TOOL, TOOL],
        "response_format": form,
        "temperature": 0.2,
        "max_tokens": 300,
    }
    body = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in values.items()}
    caller = Caller(Key("k", "bench", frozenset({"answer"})), "ann")
    return Call(input={}, caller=caller, deadline=time.monotonic() + 1e6, body=body)


def took_us(work: Callable[[], Any], rounds: int, repeats: int) -> float:
    """Return the median of the rounds, in CPU microseconds of one piece of work."""
    found = []
    for _ in range(rounds):
        started = time.process_time_ns()
        for _ in range(repeats):
            work()
        found.append((time.process_time_ns() - started) / repeats / 1000)
    return statistics.median(found)


def read_stream(dialect: Dialect, events: list[bytes]) -> int:
    """Read a stream as it comes, and write it in OpenAI's words."""
    reader, cut, chunks = dialect.reader(), _Events(), _Chunks(lambda told: b'{"id":"x"')
    return sum(
        len(chunks.delta(delta, reader))
        for event in events
        for delta in _deltas(cut, reader, event)
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="only the JSON line")
    options = parser.parse_args()
    asked = call()
    size = sum(len(memoryview(value)) for value in asked.body.values())
    words = [" word"] * EVENTS
    completion = Completion(
        id="x", model="m", created=0, words=words, finish_reason="stop", usage=usage_of(9, EVENTS)
    )
    chat = ChatRequest(model="m", messages=[])
    found: dict[str, Any] = {"bytes": size, "events": EVENTS}
    for name, dialect, theirs in (
        ("anthropic", Messages("claude-x"), ANTHROPIC),
        ("gemini", GenerateContent("gemini-2.5-x"), GEMINI),
    ):
        events, whole = theirs.events(completion, chat, None), theirs.whole(completion)
        found[name] = {
            "say_us": round(
                took_us(lambda d=dialect: d.body(asked, stream=False), options.rounds, 300), 1
            ),
            "read_us": round(took_us(lambda d=dialect, w=whole: d.read(w), options.rounds, 300), 1),
            "event_us": round(
                took_us(lambda d=dialect, e=events: read_stream(d, e), options.rounds, 20) / EVENTS,
                2,
            ),
        }
        if not options.json:
            print(f"{name:10} {found[name]}")
    report("dialects", **found)


if __name__ == "__main__":
    main()
