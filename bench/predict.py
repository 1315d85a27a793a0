"""Tabular predictions over HTTP: 64 connections, one server core, the airline's model and rows.

Beside it, in the same run, the same model asked directly, one row at a time: what the machine could
do if nothing but the model ran. Needs wrk, and the prepared example (`make demo`).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from harness import BIN, LOAD_CORE, SERVER_CORE, cpu_s, folder, need, process, report, wait_for

ROOT = Path(__file__).resolve().parent.parent
AIRLINE = ROOT / "examples" / "airline"
CONNECTIONS, SECONDS, ROUNDS, ROWS = 64, 5, 3, 500

LUA = """
local bodies = {{}}
for line in io.lines("{rows}") do bodies[#bodies + 1] = line end
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.headers["authorization"] = "Bearer {key}"
local n = 0
request = function()
  n = n % #bodies + 1
  return wrk.format(nil, nil, nil, bodies[n])
end
"""


def real_rows() -> list[dict[str, object]]:
    """Return rows that the replay would ask."""
    sys.path.insert(0, str(AIRLINE))
    from datetime import date
    from itertools import islice

    from flights import read_flights

    flights = islice(read_flights(date(2013, 4, 1), date(2013, 4, 2)), ROWS)
    return [flight.input for flight in flights]


def write_project(home: Path) -> str:
    """Copy the example's predict service alone, and return a key for it."""
    shutil.copytree(AIRLINE / "services" / "flight-delay", home / "services" / "flight-delay")
    shutil.copytree(AIRLINE / "contracts", home / "contracts")
    text = (AIRLINE / "roadworthy.toml").read_text()
    (home / "roadworthy.toml").write_text(text)
    words = [
        BIN / "roadworthy",
        "keys",
        "create",
        "--project",
        home,
        "--scopes",
        "answer",
        "--json",
    ]
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, check=True)
    key: str = json.loads(done.stdout)["key"]
    return key


def direct(rows: list[dict[str, object]]) -> float:
    """Return rows per second of the model alone, one row at a time."""
    import asyncio

    from roadworthy.models.onnx import open_model
    from roadworthy.models.spec import ModelSpec

    service = AIRLINE / "services" / "flight-delay"
    model = open_model(ModelSpec(name="trees", upstream="model.onnx", folder=service))
    started = time.perf_counter()
    for _ in range(8):
        for row in rows:
            model._run_row(row)
    rate = 8 * len(rows) / (time.perf_counter() - started)
    asyncio.run(model.close())
    return rate


def load(home: Path) -> tuple[float, float]:
    """Drive the server; return requests per second and the 99th percentile of latency in ms."""
    words = ["taskset", "-c", str(LOAD_CORE), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s"]
    words += ["--latency", "-s", str(home / "post.lua")]
    words.append("http://127.0.0.1:9905/v1/services/flight-delay/answer")
    out = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in out:
        raise SystemExit(f"requests failed:\n{out}")
    rate, p99 = re.search(r"Requests/sec:\s+([\d.]+)", out), re.search(r"99%\s+([\d.]+)(\w+)", out)
    assert rate, out
    assert p99, out
    return float(rate[1]), float(p99[1]) * {"us": 0.001, "ms": 1, "s": 1000}[p99[2]]


def main() -> None:
    """Measure and print one JSON line."""
    need("wrk")
    if not (AIRLINE / "services" / "flight-delay" / "model.onnx").exists():
        raise SystemExit("expected the prepared example, got none: run `make demo` once")
    rows = real_rows()
    with folder() as home:
        key = write_project(home)
        lines = "\n".join(json.dumps({"input": row}) for row in rows)
        (home / "rows.jsonl").write_text(lines)
        (home / "post.lua").write_text(LUA.format(rows=home / "rows.jsonl", key=key))
        command = [BIN / "roadworthy", "up", "--project", home, "--port", "9905"]
        with process(command, SERVER_CORE) as server:
            wait_for("http://127.0.0.1:9905/healthz")
            os.sched_setaffinity(0, {SERVER_CORE})
            alone = direct(rows)
            os.sched_setaffinity(0, {LOAD_CORE})
            runs = []
            for _ in range(ROUNDS):
                before = cpu_s(server.pid)
                rate, p99 = load(home)
                runs.append((rate, p99, (cpu_s(server.pid) - before) / (rate * SECONDS) * 1e6))
    rate, p99, cpu_us = (statistics.median(column) for column in zip(*runs, strict=True))
    report(
        "predict",
        requests_per_s=rate,
        bar_requests_per_s=8000,
        p99_ms=p99,
        cpu_us=cpu_us,
        model_alone_rows_per_s=alone,
        share_of_model_alone=rate / alone,
    )


if __name__ == "__main__":
    main()
