"""Budgets under fire: nothing over a cap, nothing left held, and what a reservation takes.

    python bench/budgets.py [--requests 1000] [--json]

A thousand requests at once meet a cap that pays for a hundred: through the ledger of this process
by several threads, and through the live gateway over HTTP. Then a reservation and its settlement
are timed with one, three and seven ceilings. It ends with 1 where a cap was passed, money stayed
held, or seven ceilings take longer than is allowed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from harness import folder, report

from roadworthy.app import Project, Serving, gateway_of, open_project
from roadworthy.cost.ledger import Ceiling, Ledger
from roadworthy.errors import BudgetExhausted
from roadworthy.serve.gateway import Limits
from roadworthy.serve.server import Server, bind
from roadworthy.store.keys import create_key, load_keys
from roadworthy.types import SystemClock

SEVEN_US = 8.0
"""On a quiet machine it takes half as long; a busy one is no reason to fail."""
EACH_MICRO, THREADS = 1_000, 32
PROJECT = """
[project]
name = "bench"
[providers.metered]
kind = "scripted"
[providers.metered.prices."script.jsonl"]
input_usd_per_million = 0
output_usd_per_million = 100
[budgets.project]
per_day_usd = 0.1
per_month_usd = 0.1
[budgets.providers.metered]
per_day_usd = 0.1
[budgets.teams.bench]
per_month_usd = 0.1
[budgets.tags.bench]
per_day_usd = 0.1
"""
SERVICE = """
name = "reply"
kind = "generate"
owners = { product = "bench" }
objectives = { deadline_ms = 30000 }
cost = { per_request_usd = 0.01, per_day_usd = 0.1, per_user_per_month_usd = 0.1 }
[[models]]
name = "metered"
provider = "metered"
model = "script.jsonl"
max_output_tokens = 10
"""
LINE = {"text": "Yes.", "usage": {"input_tokens": 9, "output_tokens": 10}, "delay_ms": 20}


def in_process(requests: int) -> dict[str, int]:
    """Let threads spend from one cap, and return how much was over it and how much stayed held."""
    cap = requests // 10 * EACH_MICRO
    ledger = Ledger(SystemClock(), lambda hold: None, lambda day_us: {})
    ceilings = (Ceiling("service:reply", cap, "cost.per_day_usd", cap, "cost.per_month_usd"),)

    def ask(number: int) -> int:
        try:
            hold = ledger.reserve(f"rq_{number}", ceilings, EACH_MICRO, 2**62)
        except BudgetExhausted:
            return 0
        time.sleep(0)
        ledger.settle(hold, EACH_MICRO)
        return EACH_MICRO

    with ThreadPoolExecutor(THREADS) as pool:
        spent = sum(pool.map(ask, range(requests)))
    _, held = ledger.spent("service:reply")
    return {"over": max(0, spent - cap), "leaked": held, "spent": spent}


def write_project(home: Path) -> None:
    """Write the project that is served."""
    (home / "services" / "reply").mkdir(parents=True)
    (home / "roadworthy.toml").write_text(PROJECT)
    (home / "services" / "reply" / "service.toml").write_text(SERVICE)
    (home / "services" / "reply" / "script.jsonl").write_text(json.dumps(LINE))


def live(home: Path, requests: int) -> dict[str, int]:
    """Ask a served project over HTTP, all at once, and return the same of every ceiling."""
    write_project(home)
    with open_project(home) as project:
        serving = Serving(project)
        _, secret = create_key(
            project.state, project.clock, name="b", scopes=("answer",), team="bench", by="bench"
        )
        serving.keyring.replace(load_keys(project.state))
        sock = bind("127.0.0.1", 0)
        port, servers, ready = sock.getsockname()[1], [], threading.Event()
        thread = threading.Thread(target=_serve, args=(project, serving, sock, servers, ready))
        thread.start()
        ready.wait(20)
        try:
            return _ask_all(serving, port, secret, requests)
        finally:
            servers[0].should_exit = True
            thread.join()


def _serve(
    project: Project, serving: Serving, sock: Any, servers: list[Server], ready: threading.Event
) -> None:
    async def run() -> None:
        server = Server(gateway_of(project, serving, Limits()), sock, ready.set)
        servers.append(server)
        await serving.start()
        try:
            await server.run_until_stopped()
        finally:
            await serving.stop()

    asyncio.run(run())


def _ask_all(serving: Serving, port: int, secret: str, requests: int) -> dict[str, int]:
    headers = {"authorization": f"Bearer {secret}", "x-roadworthy-tags": "bench"}
    body = json.dumps({"input": {"text": "May I?"}})
    own = threading.local()

    def ask(_: int) -> int:
        if not hasattr(own, "connection"):
            own.connection = HTTPConnection("127.0.0.1", port, timeout=60)
        own.connection.request("POST", "/v1/services/reply/answer", body, headers)
        got = own.connection.getresponse()
        got.read()
        return got.status

    with ThreadPoolExecutor(THREADS * 2) as pool:
        statuses = Counter(pool.map(ask, range(requests)))
    cap, ledger = 100_000, serving.ledger
    scopes = ("service:reply", "project", "provider:metered", "team:bench", "tag:bench")
    found = [ledger.spent(scope, period) for scope in scopes for period in ("day", "month")]
    return {
        "over": max(max(0, settled - cap) for settled, _ in found),
        "leaked": max(held for _, held in found),
        "spent": max(settled for settled, _ in found),
        "answered": statuses[200],
        "refused": statuses[429],
    }


def took_us(scopes: int, rounds: int = 9, each: int = 20_000) -> float:
    """Return the microseconds of one reservation and its settlement with so many ceilings."""
    top = 2**60
    ceilings = tuple(Ceiling(f"scope:{n}", top, "a", top, "b", top, top) for n in range(scopes))
    ledger = Ledger(SystemClock(), lambda hold: None, lambda day_us: {})
    names = [f"rq_{n}" for n in range(each)]
    found = []
    for _ in range(rounds):
        started = time.process_time_ns()
        for name in names:
            ledger.settle(ledger.reserve(name, ceilings, 100, 2**62), 60)
        found.append((time.process_time_ns() - started) / each / 1000)
    return statistics.median(found)


def main() -> None:
    """Measure, print, and say whether everything held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000)
    parser.add_argument("--json", action="store_true", help="print the JSON line alone")
    given = parser.parse_args()
    inside = in_process(given.requests)
    with folder() as home:
        outside = live(home, given.requests)
    us = {scopes: took_us(scopes) for scopes in (1, 3, 7)}
    if not given.json:
        print(f"in process: {inside}")
        print(f"over HTTP:  {outside}")
        for scopes, value in us.items():
            print(f"{scopes} ceilings: {value:.2f} us to reserve and settle")
    missed = [
        f"{name}.{what}"
        for name, part in (("in_process", inside), ("live", outside))
        for what in ("over", "leaked")
        if part[what]
    ]
    missed += ["us_7"] if us[7] > SEVEN_US else []
    report(
        "budgets",
        over=max(inside["over"], outside["over"]),
        leaked=max(inside["leaked"], outside["leaked"]),
        live=outside,
        us={str(scopes): round(value, 2) for scopes, value in us.items()},
        missed=missed,
    )
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
