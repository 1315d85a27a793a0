"""Tabular predictions over HTTP: 64 connections, one server core, the airline's rows.

Twice: a model of the request's fields alone, which is trained here, and the airline's own with its
five feature views, which are read from the online store. Beside each, in the same run, the same
model asked directly, one row at a time: what the machine could do if nothing but the model ran.
Needs wrk, and the prepared example (`make demo`).
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from datetime import date, timedelta
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from harness import BIN, LOAD_CORE, SERVER_CORE, cpu_s, folder, need, process, report, wait_for

ROOT = Path(__file__).resolve().parent.parent
AIRLINE = ROOT / "examples" / "airline"
CONNECTIONS, SECONDS, ROUNDS, ROWS = 64, 5, 3, 500
FIRST_DAY = date(2013, 4, 1)

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
    from flights import read_flights

    flights = islice(read_flights(FIRST_DAY, FIRST_DAY + timedelta(days=1)), ROWS)
    return [flight.input for flight in flights]


def write_project(home: Path) -> Path:
    """Copy the example's predict service alone, with its views and their sources."""
    shutil.copytree(AIRLINE / "services" / "flight-delay", home / "services" / "flight-delay")
    for name in ("contracts", "features", "data"):
        shutil.copytree(AIRLINE / name, home / name)
    shutil.copy(AIRLINE / "roadworthy.toml", home)
    return home / "services" / "flight-delay"


def leave_out_features(service: Path) -> None:
    """Give the service a model of the request's fields alone, and no views."""
    import train
    from flights import CATEGORIES, NUMBERS

    text = (service / "service.toml").read_text()
    before, _, behind = text.partition("[features]")
    (service / "service.toml").write_text(
        before + "[objectives]" + behind.partition("[objectives]")[2]
    )
    flights = train.spine((1,), AIRLINE / "data")
    columns = {"columns": [*CATEGORIES, *NUMBERS], "classes": [False, True]}
    model = train.convert(train.fit(flights, NUMBERS), columns, NUMBERS)
    (service / "model.onnx").write_bytes(model)


def put_online(home: Path) -> None:
    """Register the views and fill them until the rows are asked about."""
    at = f"{FIRST_DAY}T12:00:00Z"
    roadworthy(home, "clock", "set", at)
    roadworthy(home, "features", "apply")
    roadworthy(home, "features", "materialize", "--until", at)


def roadworthy(home: Path, *words: str) -> str:
    """Run the command line in a project and return what it prints."""
    line = [str(BIN / "roadworthy"), *words, "--project", str(home), "--json"]
    return subprocess.run(line, capture_output=True, text=True, check=True).stdout


def direct(service: Path, rows: list[dict[str, object]], inputs: list[str]) -> float:
    """Return rows per second of the model alone, one row at a time; what no row has is null."""
    from roadworthy.models.onnx import open_model
    from roadworthy.models.spec import ModelSpec

    model = open_model(ModelSpec(name="trees", upstream="model.onnx", folder=service))
    whole = [dict.fromkeys(inputs) | row for row in rows]
    started = time.perf_counter()
    for _ in range(8):
        for row in whole:
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


def wait_for_jobs(home: Path, limit_s: float = 60) -> None:
    """Wait until each job of the server has run once: the next time is in minutes or an hour."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        jobs = json.loads(roadworthy(home, "jobs", "list"))["jobs"]
        if all(job["last_run"] and not job["lease_owner"] for job in jobs):
            return
        time.sleep(0.5)
    raise SystemExit(f"the server's jobs had not run after {limit_s:.0f} s")


class Measured(NamedTuple):
    """What one service did, and what its model does alone, in rows a second."""

    rate: float
    p99_ms: float
    cpu_us: float
    alone: float


def measure(rows: list[dict[str, object]], *, has_features: bool) -> Measured:
    """Serve the airline's flights with or without feature views, and drive it."""
    with folder() as home:
        service = write_project(home)
        inputs: list[str] = []
        if has_features:
            put_online(home)
            inputs = json.loads((service / "model_card.json").read_text())["columns"]
        else:
            leave_out_features(service)
        key = json.loads(roadworthy(home, "keys", "create", "--scopes", "answer"))["key"]
        lines = "\n".join(json.dumps({"input": row}) for row in rows)
        (home / "rows.jsonl").write_text(lines)
        (home / "post.lua").write_text(LUA.format(rows=home / "rows.jsonl", key=key))
        command = [BIN / "roadworthy", "up", "--project", home, "--port", "9905"]
        with process(command, SERVER_CORE) as server:
            wait_for("http://127.0.0.1:9905/healthz")
            os.sched_setaffinity(0, {SERVER_CORE})
            alone = direct(service, rows, inputs)
            os.sched_setaffinity(0, {LOAD_CORE})
            load(home)
            wait_for_jobs(home)
            runs = []
            for _ in range(ROUNDS):
                before = cpu_s(server.pid)
                rate, p99 = load(home)
                runs.append((rate, p99, (cpu_s(server.pid) - before) / (rate * SECONDS) * 1e6))
    return Measured(*(statistics.median(column) for column in zip(*runs, strict=True)), alone)


def main() -> None:
    """Measure and print one JSON line."""
    need("wrk")
    if not (AIRLINE / "services" / "flight-delay" / "model.onnx").exists():
        raise SystemExit("expected the prepared example, got none: run `make demo` once")
    sys.path.insert(0, str(AIRLINE))
    rows, cores = real_rows(), os.sched_getaffinity(0)
    plain = measure(rows, has_features=False)
    os.sched_setaffinity(0, cores)
    fed = measure(rows, has_features=True)
    report(
        "predict",
        requests_per_s=plain.rate,
        bar_requests_per_s=8000,
        p99_ms=plain.p99_ms,
        cpu_us=plain.cpu_us,
        model_alone_rows_per_s=plain.alone,
        share_of_model_alone=plain.rate / plain.alone,
        with_views_requests_per_s=fed.rate,
        with_views_p99_ms=fed.p99_ms,
        with_views_cpu_us=fed.cpu_us,
        with_views_model_alone_rows_per_s=fed.alone,
    )


if __name__ == "__main__":
    main()
