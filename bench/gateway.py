"""The chat gateway beside nginx: CPU a request with all enforced, and what streaming costs.

Upstream and load generator run on one core, what is measured on the other. nginx as a plain reverse
proxy is measured in the same run: it is the limit, and its ratio to us is what counts on a noisy
machine. Needs nginx and wrk (installed where missing).
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

from harness import (
    BIN,
    LOAD_CORE,
    SERVER_CORE,
    cpu_s,
    folder,
    need,
    process,
    report,
    rss_mb,
    tree,
    wait_for,
)

CONNECTIONS, SECONDS, ROUNDS = 64, 5, 3
UPSTREAM, PROXY, SSE_UPSTREAM, SSE_PROXY = 9901, 9902, 9903, 9905
STREAMS, EVENTS, PAUSE_S = 16, 150, 0.01
PACED = b'"seed": 1'
"""What a body holds that asks the upstream to write its events one by one, 100 a second."""

COMPLETION = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "You may ask for a refund. " * 3},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 60, "completion_tokens": 20, "total_tokens": 80},
    }
)
BODY = json.dumps(
    {
        "model": "chat",
        "messages": [
            {"role": "system", "content": "You answer questions of passengers, briefly."},
            {"role": "user", "content": "When do I get a refund for a flight that left late?" * 3},
        ],
        "max_tokens": 64,
        "temperature": 0.1,
    }
)

NGINX = """
worker_processes 1; daemon off; error_log {home}/{name}.err; pid {home}/{name}.pid;
events {{ worker_connections 2048; }}
http {{
  access_log off; keepalive_requests 100000000; client_body_temp_path {home}/body;
  proxy_temp_path {home}/proxy; fastcgi_temp_path {home}/f; uwsgi_temp_path {home}/u;
  scgi_temp_path {home}/s;
  upstream up {{ server 127.0.0.1:{upstream}; keepalive 256; }}
  server {{ listen 127.0.0.1:{port}; {what} }}
}}
"""
ANSWER = "location / {{ default_type application/json; return 200 '{body}'; }}"
FORWARD = (
    'location / { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection "";'
    " proxy_buffering off; }"
)

PROJECT = """
[project]
name = "bench"
[providers.up]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
max_connections = 512
[providers.up.prices.m]
input_usd_per_million = 1.0
output_usd_per_million = 2.0
"""
SERVICE = """
name = "{name}"
kind = "generate"
owners = {{ product = "bench" }}
objectives = {{ deadline_ms = 60000, latency_p95_ms = 1000 }}
cost = {{ per_request_usd = 0.01, per_day_usd = 1000000, per_user_per_day_usd = 1000000 }}
[[models]]
name = "m"
provider = "{provider}"
model = "m"
{guard}
"""
GUARD = """
[[guards]]
use = "rule"
on = "input"
expression = "team != 'banned'"
"""


def write_project(home: Path) -> str:
    """Write the project that is served and return a key for it."""
    project = PROJECT.format(port=UPSTREAM) + PROJECT.split("[providers.up]")[1].join(
        ["[providers.sse]", ""]
    ).replace("providers.up", "providers.sse").format(port=SSE_UPSTREAM)
    (home / "services" / "chat").mkdir(parents=True)
    (home / "services" / "stream").mkdir()
    (home / "roadworthy.toml").write_text(project)
    chat = SERVICE.format(name="chat", provider="up", guard=GUARD)
    (home / "services" / "chat" / "service.toml").write_text(chat)
    stream = SERVICE.format(name="stream", provider="sse", guard="")
    (home / "services" / "stream" / "service.toml").write_text(stream)
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


def load(port: int, home: Path, key: str) -> float:
    """Drive one server with wrk; return its requests per second."""
    script = home / "post.lua"
    script.write_text(
        f"wrk.method='POST'; wrk.body=[==[{BODY}]==]\n"
        "wrk.headers['content-type']='application/json'\n"
        f"wrk.headers['authorization']='Bearer {key}'\n"
    )
    words = ["taskset", "-c", str(LOAD_CORE), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s"]
    words += ["-s", str(script), f"http://127.0.0.1:{port}/v1/chat/completions"]
    out = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in out:
        raise SystemExit(f"requests failed:\n{out}")
    found = re.search(r"Requests/sec:\s+([\d.]+)", out)
    assert found, out
    return float(found[1])


def measure(port: int, pid: int, home: Path, key: str) -> tuple[float, float]:
    """Return CPU microseconds per request of a process tree, and requests per second."""
    before, began = cpu_s(pid), time.monotonic()
    rate = load(port, home, key)
    return (cpu_s(pid) - before) / (rate * (time.monotonic() - began)) * 1e6, rate


async def serve_events() -> None:
    """Answer every request with a stream, its events at once or one by one."""
    event = {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "delta": {"content": " word"}, "finish_reason": None}],
    }
    chunk = f"data: {json.dumps(event)}\n\n".encode()
    event["choices"] = [{"index": 0, "delta": {}, "finish_reason": "stop"}]
    last = f"data: {json.dumps(event)}\n\n".encode()
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":150}}\n\n'
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    )

    def framed(data: bytes) -> bytes:
        return b"%x\r\n%s\r\n" % (len(data), data)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (head_in := await reader.readuntil(b"\r\n\r\n")) if not reader.at_eof() else b"":
            length = re.search(rb"content-length: (\d+)", head_in.lower())
            is_paced = PACED in await reader.readexactly(int(length[1]) if length else 0)
            writer.write(head)
            for _ in range(EVENTS):
                writer.write(framed(chunk))
                if is_paced:
                    await asyncio.sleep(PAUSE_S)
            writer.write(framed(last) + framed(usage) + framed(b"data: [DONE]\n\n") + b"0\r\n\r\n")
            await writer.drain()

    async def quiet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(quiet, "127.0.0.1", SSE_UPSTREAM)
    async with server:
        await server.serve_forever()


async def read_stream(port: int, key: str, *, is_paced: bool) -> tuple[float, int]:
    """Ask for one stream; return milliseconds to its first event, and how many came."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    asked = {**json.loads(BODY), "model": "stream", "stream": True}
    body = json.dumps({**asked, "seed": 1} if is_paced else asked).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    started = time.perf_counter()
    writer.write(head.encode() + body)
    first, count = 0.0, 0
    while True:
        line = await reader.readline()
        if line.startswith(b"data: "):
            count += 1
            first = first or (time.perf_counter() - started) * 1000
            if line.startswith(b"data: [DONE]"):
                break
        elif not line:
            raise SystemExit("the stream ended without [DONE]")
    writer.close()
    return first, count


async def streams(port: int, key: str, *, is_paced: bool) -> int:
    """Read many streams at once, flat out ten times as many; return how many events came."""
    events = 0
    for _ in range(1 if is_paced else 10):
        asked = (read_stream(port, key, is_paced=is_paced) for _ in range(STREAMS))
        events += sum(count for _, count in await asyncio.gather(*asked))
    return events


async def first_tokens(port: int, key: str) -> float:
    """Return the median time to the first event of streams read one after the other."""
    times = []
    for _ in range(12):
        first, _ = await read_stream(port, key, is_paced=True)
        times.append(first)
    return statistics.median(times)


def us_per_event(port: int, pid: int, key: str, *, is_paced: bool) -> float:
    """Return CPU microseconds of a process tree for each event that it passes on."""
    asyncio.run(streams(port, key, is_paced=is_paced))
    before = cpu_s(pid)
    events = asyncio.run(streams(port, key, is_paced=is_paced))
    return (cpu_s(pid) - before) / events * 1e6


def measure_streams(ours: int, proxy: int, key: str) -> dict[str, float]:
    """Return what streaming costs through the gateway, beside nginx and beside the upstream.

    Flat out the events come as fast as they are taken, several at once; paced each wakes the
    process, which costs most of it. Arguments are process ids.
    """
    figures = {}
    for name, is_paced in (("event", False), ("paced_event", True)):
        theirs = us_per_event(SSE_PROXY, proxy, key, is_paced=is_paced)
        figures[f"us_per_{name}"] = us_per_event(9904, ours, key, is_paced=is_paced)
        figures[f"nginx_us_per_{name}"] = theirs
    # A pause of the load generator would hide the difference of two: measure them in turns.
    through = asyncio.run(first_tokens(9904, key))
    figures["first_token_added_ms"] = through - asyncio.run(first_tokens(SSE_UPSTREAM, key))
    return figures


def main() -> None:
    """Measure and print one JSON line."""
    if sys.argv[1:] == ["--events"]:
        asyncio.run(serve_events())
        return
    need("nginx", "wrk")
    os.sched_setaffinity(0, {LOAD_CORE})
    with folder() as home:
        upstream, proxy, sse = (home / f"{name}.conf" for name in ("upstream", "proxy", "sse"))
        answer = ANSWER.format(body=COMPLETION)
        upstream.write_text(
            NGINX.format(upstream=UPSTREAM, home=home, name="up", port=UPSTREAM, what=answer)
        )
        proxy.write_text(
            NGINX.format(upstream=UPSTREAM, home=home, name="proxy", port=PROXY, what=FORWARD)
        )
        sse.write_text(
            NGINX.format(upstream=SSE_UPSTREAM, home=home, name="sse", port=SSE_PROXY, what=FORWARD)
        )
        key = write_project(home)
        with (
            process(["nginx", "-p", home, "-c", upstream], LOAD_CORE),
            process(["nginx", "-p", home, "-c", proxy], SERVER_CORE) as nginx,
            process(["nginx", "-p", home, "-c", sse], SERVER_CORE) as sse_nginx,
            process([sys.executable, __file__, "--events"], LOAD_CORE),
            process(
                [BIN / "roadworthy", "up", "--project", home, "--port", "9904"], SERVER_CORE
            ) as ours,
        ):
            wait_for("http://127.0.0.1:9904/healthz")
            idle_mb = rss_mb(ours.pid)
            runs = [
                (*measure(PROXY, nginx.pid, home, key), *measure(9904, ours.pid, home, key))
                for _ in range(ROUNDS)
            ]
            nginx_us, nginx_rate, us, rate = (statistics.median(c) for c in zip(*runs, strict=True))
            streaming = measure_streams(ours.pid, sse_nginx.pid, key)
            report(
                "gateway",
                cpu_us=us,
                bar_cpu_us=75,
                requests_per_s=rate,
                nginx_cpu_us=nginx_us,
                nginx_requests_per_s=nginx_rate,
                share_of_nginx=nginx_us / us,
                bar_share_of_nginx=0.17,
                **streaming,
                bar_us_per_event=8,
                bar_first_token_added_ms=1.5,
                idle_rss_mb=idle_mb,
                busy_rss_mb=rss_mb(ours.pid),
                processes=len(tree(ours.pid)),
            )


if __name__ == "__main__":
    main()
