"""What routing, caches, budgets and limits add to a request, beside the plain path.

    python bench/policies.py [--requests 4000] [--rounds 7]

Three services ask the same scripted model in this process: one that declares nothing beyond a
ceiling, and one with everything on (exact cache, rules, budgets of team, tag and project, limits,
weighted failover, budgets of tokens), once with new questions and once with one that was asked
before. Prints CPU microseconds of a request of each, the writer's share included, and one JSON
line; it ends with 1 where what is added is more than is allowed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from itertools import count
from pathlib import Path

import msgspec
from harness import folder, report

from roadworthy.app import Project, open_project
from roadworthy.serve.request import Request
from roadworthy.store.keys import create_key, load_keys

MISS_US, HIT_US = 100.0, 60.0
PROJECT = """
[project]
name = "bench"
[providers.metered]
kind = "scripted"
[providers.metered.prices."script.jsonl"]
input_usd_per_million = 1
output_usd_per_million = 2
[budgets.project]
per_day_usd = 100_000
per_month_usd = 1_000_000
[budgets.teams.care]
per_day_usd = 100_000
requests_per_minute = 50_000_000
[budgets.tags.web]
per_day_usd = 100_000
"""
PLAIN = """
name = "plain"
kind = "generate"
owners = { product = "bench" }
objectives = { deadline_ms = 5000 }
cost = { per_request_usd = 0.01, per_day_usd = 100_000 }
[[models]]
name = "script"
provider = "metered"
model = "script.jsonl"
max_output_tokens = 100
"""
ALL_ON = """
name = "all-on"
kind = "generate"
owners = { product = "bench" }
objectives = { deadline_ms = 5000 }
[cost]
per_request_usd = 0.01
per_day_usd = 50_000
per_month_usd = 500_000
per_user_per_day_usd = 10_000
[chat]
variable = "question"
allow = ["max_tokens"]
[context]
max_input_tokens = 6000
max_history_tokens = 2000
[[models]]
name = "script"
provider = "metered"
model = "script.jsonl"
max_output_tokens = 100
[[models]]
name = "second"
provider = "metered"
model = "script.jsonl"
max_output_tokens = 100
[routing]
strategy = "rules"
rules = [
  { when = "size(input.question) > 2000", use = "second" },
  { when = "'vip' in tags", use = "second" },
]
[failover]
order = "declared"
retries = 1
[cache]
exact_ttl_s = 3600
scope = "user"
[limits]
requests_per_minute = 50_000_000
tokens_per_minute = 50_000_000_000
per_user_requests_per_minute = 10_000_000
"""
SCRIPT = {"text": "On Friday, by noon.", "usage": {"input_tokens": 40, "output_tokens": 8}}


def write_project(root: Path) -> None:
    """Write the services and the script that both ask."""
    (root / "roadworthy.toml").write_text(PROJECT)
    for name, text in (("plain", PLAIN), ("all-on", ALL_ON)):
        service = root / "services" / name
        service.mkdir(parents=True)
        (service / "service.toml").write_text(text)
        (service / "script.jsonl").write_text(json.dumps(SCRIPT) + "\n")


def asked(project: Project, authorization: bytes, service: str, questions: list[str]) -> float:
    """Return the CPU microseconds of each of some requests, one after the other."""
    engine = project.serving.engine

    async def ask() -> float:
        began = time.process_time()
        for question in questions:
            messages = [{"role": "user", "content": question}]
            reply = await engine.answer(
                Request(
                    service=service,
                    authorization=authorization,
                    protocol="openai",
                    body={"messages": msgspec.Raw(msgspec.json.encode(messages))},
                    user="ada",
                    tags=("web",),
                )
            )
            assert reply.error is None, reply.error
        while project.serving.writer.lag.bytes:
            await asyncio.sleep(0.02)
        return (time.process_time() - began) / len(questions) * 1e6

    return project.run(ask()).result(600)


def measure(root: Path, requests: int, rounds: int) -> dict[str, float]:
    """Return the median CPU microseconds of a request of each kind, taken in turns."""
    found: dict[str, list[float]] = {"plain": [], "miss": [], "hit": []}
    number = count()
    with open_project(root) as project:
        _, secret = create_key(
            project.state,
            project.clock,
            name="bench",
            scopes=("answer", "act_as"),
            team="care",
            by="bench",
        )
        project.serving.keyring.replace(load_keys(project.state))
        authorization = f"Bearer {secret}".encode()

        def new() -> list[str]:
            return [f"Where is parcel {next(number)}?" for _ in range(requests)]

        same = ["Where is my parcel?"] * requests
        asked(project, authorization, "all-on", same[:1])
        for _ in range(rounds):
            found["plain"].append(asked(project, authorization, "plain", new()))
            found["miss"].append(asked(project, authorization, "all-on", new()))
            found["hit"].append(asked(project, authorization, "all-on", same))
    return {name: statistics.median(values) for name, values in found.items()}


def main() -> None:
    """Measure, print, and say whether it is within what is allowed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=4_000)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    with folder() as root:
        write_project(root)
        us = measure(root, given.requests, given.rounds)
    added = us["miss"] - us["plain"]
    print(f"plain                    {us['plain']:7.1f} us")
    print(f"all on, a new question   {us['miss']:7.1f} us, {added:.1f} more (at most {MISS_US:g})")
    print(f"all on, asked before     {us['hit']:7.1f} us (at most {HIT_US:g})")
    missed = [
        name
        for name, value, most in (("miss", added, MISS_US), ("hit", us["hit"], HIT_US))
        if value > most
    ]
    report("policies", **us, added=added, missed=missed)
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
