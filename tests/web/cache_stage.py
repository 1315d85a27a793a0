"""Services whose answers are given again: the stage of the page about the cache."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from conftest import write_project
from control_plane import SCRIPT, Plane
from roadworthy.app import open_project
from roadworthy.bounds.in_force import Within
from roadworthy.serve.caches import ReleaseCache
from roadworthy.serve.request import Reply, Request
from roadworthy.store.pairs import add_pairs
from roadworthy.store.switchboard import Stop, move_pointer
from roadworthy.types import Key, Pair

PRICES = """
[providers.paid]
kind = "scripted"
[providers.paid.prices."script.jsonl"]
input_usd_per_million = 1.0
output_usd_per_million = 10.0
"""
SERVICE = """
name = "{name}"
kind = "generate"
owners = {{ product = "ada" }}
objectives = {{ deadline_ms = 20000 }}
cost = {{ per_request_usd = 0.01, per_day_usd = 5 }}
[chat]
client_system = "untrusted"
{cache}
[[models]]
name = "script"
provider = "paid"
model = "script.jsonl"
max_output_tokens = 100
"""
EXACT = "[cache]\nexact_ttl_s = 3600"
ALIKE = f"{EXACT}\nsemantic = {{ max_error = 0.05 }}"
KEY = Key("k_1", "test", frozenset({"answer", "act_as"}), team="ops")


def cache_of(plane: Plane, name: str) -> ReleaseCache:
    cache = plane.serving.engine.releases[name].cache
    assert isinstance(cache, ReleaseCache)
    return cache


def ask(plane: Plane, name: str, text: str, user: str = "") -> Reply:
    body = {"messages": msgspec.Raw(msgspec.json.encode([{"role": "user", "content": text}]))}
    request = Request(service=name, key=KEY, protocol="openai", body=body, user=user)
    reply: Reply = plane.project.run(plane.serving.engine.answer(request)).result()
    return reply


def pair(plane: Plane, name: str, number: int, loss: float, *, is_given: bool = False) -> Pair:
    cache, now_us = cache_of(plane, name), plane.project.clock.now_us()
    return Pair(
        id=f"pr_{name}{number:05}",
        at_us=now_us,
        decision="reuse",
        service=name,
        release=cache.release_id,
        request_id=f"rq_{number:05}",
        scorer=cache.scorer,
        score=1 - number / 1_000,
        is_given=is_given,
        unit=f"rq_e{number}",
        entry=f"rq_e{number}",
        loss=loss,
        known_at_us=now_us,
    )


def certify(plane: Plane, name: str, threshold: float, *, is_stopped: bool = False) -> None:
    """Let a threshold be in force, as the job that certifies does."""
    cache = cache_of(plane, name)
    within = Within(
        certificate="ct_1",
        threshold=threshold,
        release=cache.release_id,
        scorer=cache.scorer,
        audit_share=0.05,
    )
    with plane.project.state.begin() as connection:
        move_pointer(connection, f"reuse:{name}", msgspec.json.encode(within).decode())
        stopped = msgspec.json.encode(Stop("test", 0)).decode() if is_stopped else ""
        move_pointer(connection, f"stop:{name}/ct_1", stopped)
    plane.follow()


@contextmanager
def served_caches(folder: Path) -> Iterator[Plane]:
    """A cache with evidence for its bound, one whose bound is beyond reach, and one without any."""
    services = {
        "alike": SERVICE.format(name="alike", cache=ALIKE),
        "wrong": SERVICE.format(name="wrong", cache=ALIKE),
        "exact": SERVICE.format(name="exact", cache=EXACT),
        "plain": SERVICE.format(name="plain", cache=""),
    }
    files = {f"services/{name}/script.jsonl": SCRIPT for name in services}
    project = open_project(write_project(folder / "project", services, files, PRICES))
    plane = Plane(project)
    plane.serving.jobs.run_now("pairs")  # it is not due again while a test runs
    try:
        for number in range(40):
            ask(plane, "exact", f"question {number % 25}")
        ask(plane, "alike", "How do I track my new card?")
        certify(plane, "alike", 0.0)
        ask(plane, "alike", "how can I track the new card please")
        certify(plane, "alike", 0.9)
        found = [pair(plane, "alike", number, float(number % 20 == 19)) for number in range(200)]
        found += [pair(plane, "alike", 900 + k, float(k == 3), is_given=True) for k in range(40)]
        found += [pair(plane, "wrong", number, float(number % 5 == 1)) for number in range(200)]
        with project.state.begin() as connection:
            add_pairs(connection, found)
        plane.serving.writer.drain()
        yield plane
    finally:
        project.close()
