"""Tokens: what a count takes, what looking at a window takes, and which passages earn theirs.

    python bench/tokens.py [--rounds 50] [--no-retrieval]

Counts texts of 1 kB and 100 kB by a published vocabulary and by bytes, looks at a window and at
budgets of tokens that are far and near, and chooses passages of the example's pages in both ways
for its own questions. Prints microseconds, shares, and one JSON line.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from harness import report

from roadworthy.declare.service import Context as Policy
from roadworthy.serve.trimming import Trimmer
from roadworthy.serve.window import Window
from roadworthy.signals.tokens import Counter, open_counter
from roadworthy.types import Call, Caller, Key

SERVICE = Path(__file__).resolve().parent.parent / "examples/airline/services/support-reply"
VOCABULARIES = {"gpt-4": "cl100k_base", "gpt-5": "o200k_base", "llama-3.1-8b": "llama3"}
CALLER = Caller(Key("k_1", "bench", frozenset({"answer"})), "user")


def micros(work: Callable[[], Any], rounds: int) -> float:
    """Return the median microseconds of one call, each of `rounds` timing several."""
    work()
    times = []
    for _ in range(rounds):
        started = time.perf_counter_ns()
        for _ in range(5):
            work()
        times.append((time.perf_counter_ns() - started) / 5_000)
    return statistics.median(times)


def text_of(size: int) -> str:
    """Return as many characters of the example's pages."""
    pages = "\n".join(p.read_text("utf-8") for p in sorted(SERVICE.glob("policies/*.md")))
    return (pages * (size // len(pages) + 1))[:size]


def counts(rounds: int) -> dict[str, float]:
    """Return microseconds of a count, by vocabulary and size."""
    found = {}
    for size in (1_000, 100_000):
        text = text_of(size)
        counters = {name: open_counter(model) for model, name in VOCABULARIES.items()}
        counters = {k: c for k, c in counters.items() if c.is_exact} | {"bytes": Counter()}
        for name, counter in counters.items():
            count = partial(counter.count, text)
            found[f"{name}_{size // 1000}kB_us"] = micros(count, rounds)
    return {name: round(value, 2) for name, value in found.items()}


def call_of(size: int, turns: int = 3) -> Call:
    """Return a chat of so many bytes."""
    part = text_of(size // (2 * turns + 1))
    roles = ["user", "assistant"] * turns + ["user"]
    messages = [{"role": role, "content": part} for role in roles]
    body = {"messages": msgspec.Raw(msgspec.json.encode(messages))}
    return Call(input={}, caller=CALLER, deadline=0.0, body=body)


def checks(rounds: int) -> dict[str, float]:
    """Return microseconds of what a request with budgets takes, far from its limits and near."""
    counter = open_counter("gpt-5")
    small, large = call_of(2_600), call_of(100_000)
    far = Trimmer(Policy(max_input_tokens=100_000), [counter])
    near = Trimmer(Policy(max_input_tokens=1_000), [counter])
    wide, narrow = Window(128_000, counter), Window(26_000, counter)
    if counter.vocabulary is not None:
        counter.vocabulary.read()
    return {
        "window_far_us": round(micros(lambda: wide.refuses(small, 500), rounds), 2),
        "window_near_100kB_us": round(micros(lambda: narrow.refuses(large, 500), rounds), 1),
        "budget_far_us": round(
            micros(lambda: far.fit(msgspec.structs.replace(small), 0), rounds), 2
        ),
        "budget_near_us": round(
            micros(lambda: near.fit(msgspec.structs.replace(small), 0), rounds), 1
        ),
    }


def retrieval() -> dict[str, Any]:
    """Return, of both ways to choose, how many questions find their answer, and its tokens."""
    from roadworthy.signals.embed import open_minilm
    from roadworthy.signals.search import Retriever, build_index

    embedder = open_minilm()
    lines = (SERVICE / "suites/questions.jsonl").read_text("utf-8").splitlines()
    cases = [case for case in map(json.loads, lines) if "language:en" in case["tags"]]
    cases = [case for case in cases if not any("colleague" in e for e in case["expect"])]
    found: dict[str, Any] = {"questions": len(cases)}
    with tempfile.TemporaryDirectory() as cache:
        index = build_index(SERVICE / "policies", embedder, Path(cache))
        limits: dict[str, Any] = {"top_k": 3, "max_tokens": 300, "min_score": 0.45, "dedupe": 0.95}
        for choose in ("nearest", "value"):
            retriever = Retriever(index, embedder, choose=choose, **limits)
            right = tokens = 0
            for case in cases:
                passages = retriever.find(case["input"]["question"])
                text = " ".join(passage.text for passage in passages).lower()
                right += all(word.lower() in text for word in case["expect"])
                tokens += sum(embedder.count(f"{p.heading} {p.text}") for p in passages)
            found[choose] = {"found": right, "tokens": round(tokens / len(cases), 1)}
    return found


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--no-retrieval", action="store_true")
    options = parser.parse_args()
    found: dict[str, Any] = {**counts(options.rounds), **checks(options.rounds)}
    if not options.no_retrieval:
        found["retrieval"] = retrieval()
    report("tokens", **found)


if __name__ == "__main__":
    main()
