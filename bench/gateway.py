"""The chat gateway beside nginx and other gateways: CPU a request with all enforced, and streaming.

Upstream and load generator run on one core, what is measured on the other. nginx as a plain reverse
proxy is measured in the same run: it is the limit, and its ratio to us is what counts on a noisy
machine. So are the peers that are installed (`peers.py`), each in turns with us. Needs nginx and
wrk (installed where missing).
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
from contextlib import ExitStack
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import peers
from harness import (
    BIN,
    LOAD_CORE,
    SERVER_CORE,
    cpu_s,
    folder,
    need,
    need_ports,
    process,
    report,
    rss_mb,
    tree,
    wait_for,
)

CONNECTIONS, SECONDS, ROUNDS = 64, 5, 3
UPSTREAM, PROXY, SSE_UPSTREAM, OURS, SSE_PROXY = 9901, 9902, 9903, 9904, 9905
STREAMS, EVENTS, PAUSE_S = 16, 150, 0.01
PACED = b'"seed": 1'
"""What a body holds that asks the upstream to write its events one by one, 100 a second."""

ANSWERED = "You may ask for a refund. " * 3
COMPLETION = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": ANSWERED},
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
ANSWER = (
    "location / {{ default_type application/json; return 200 '{body}'; }}"
    " location = /seen {{ stub_status; }}"
)
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


def check_answer(port: int, headers: dict[str, str]) -> None:
    """End the run unless a server passes on the upstream's words."""
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    asked = Request(url, BODY.encode(), {**headers, "content-type": "application/json"})
    try:
        with urlopen(asked, timeout=30) as answer:
            got = json.loads(answer.read())
    except HTTPError as error:
        raise SystemExit(f"{url} answered {error.code}: {error.read()[:500]!r}") from None
    if got["choices"][0]["message"]["content"] != ANSWERED:
        raise SystemExit(f"{url} did not pass on the upstream's words: {got}")


def load(port: int, home: Path, headers: dict[str, str]) -> float:
    """Drive one server with wrk; return its requests per second."""
    script = home / "post.lua"
    lines = [f"wrk.method='POST'; wrk.body=[==[{BODY}]==]"]
    for name, value in {"content-type": "application/json", **headers}.items():
        lines.append(f"wrk.headers['{name}']='{value}'")
    script.write_text("\n".join(lines))
    words = ["taskset", "-c", str(LOAD_CORE), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s"]
    words += ["-s", str(script), f"http://127.0.0.1:{port}/v1/chat/completions"]
    out = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in out:
        raise SystemExit(f"requests failed:\n{out}")
    found = re.search(r"Requests/sec:\s+([\d.]+)", out)
    assert found, out
    return float(found[1])


def seen() -> int:
    """Return how many requests have reached the upstream."""
    with urlopen(f"http://127.0.0.1:{UPSTREAM}/seen", timeout=5) as page:
        return int(page.read().split()[9])


def settle(pid: int) -> None:
    """Wait until a process tree has done what the load left behind."""
    for _ in range(40):
        before = cpu_s(pid)
        time.sleep(0.25)
        if cpu_s(pid) - before <= 0.02:
            return


def measure(port: int, pid: int, home: Path, headers: dict[str, str]) -> tuple[float, float]:
    """Return CPU microseconds per request of a process tree, and requests per second.

    The load leaves as many requests half done as it has connections, a tenth of what a slow server
    answered. So what counts is all CPU until they are done, over all requests seen upstream.
    """
    cpu, count = cpu_s(pid), seen()
    rate = load(port, home, headers)
    settle(pid)
    return (cpu_s(pid) - cpu) / (seen() - count - 1) * 1e6, rate


def measure_peer(
    peer: peers.Peer, ours: int, home: Path, headers: dict[str, str]
) -> dict[str, object]:
    """Return what a peer costs, warm, measured in turns with us."""
    with peers.running(peer, home, f"http://127.0.0.1:{UPSTREAM}/v1") as (pid, theirs):
        check_answer(peer.port, theirs)
        load(peer.port, home, theirs)
        settle(pid)
        runs = []
        for _ in range(ROUNDS):
            us, _ = measure(OURS, ours, home, headers)
            peer_us, rate = measure(peer.port, pid, home, theirs)
            runs.append((peer_us, rate, peer_us / us))
        peer_us, rate, ratio = (statistics.median(column) for column in zip(*runs, strict=True))
        return {
            f"{peer.name}_version": peer.version,
            f"{peer.name}_cpu_us": peer_us,
            f"{peer.name}_requests_per_s": rate,
            f"{peer.name}_rss_mb": rss_mb(pid),
            f"{peer.name}_over_ours": ratio,
            f"bar_{peer.name}_over_ours": peer.bar,
        }


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
        figures[f"us_per_{name}"] = us_per_event(OURS, ours, key, is_paced=is_paced)
        figures[f"nginx_us_per_{name}"] = theirs
    # A pause of the load generator would hide the difference of two: measure them in turns.
    through = asyncio.run(first_tokens(OURS, key))
    figures["first_token_added_ms"] = through - asyncio.run(first_tokens(SSE_UPSTREAM, key))
    return figures


def start_nginx(home: Path, run: ExitStack) -> tuple[int, int]:
    """Start the upstream and two plain proxies; return the proxies' process ids."""
    answer = ANSWER.format(body=COMPLETION)
    pids = []
    for name, upstream, port, what, core in (
        ("upstream", UPSTREAM, UPSTREAM, answer, LOAD_CORE),
        ("proxy", UPSTREAM, PROXY, FORWARD, SERVER_CORE),
        ("sse", SSE_UPSTREAM, SSE_PROXY, FORWARD, SERVER_CORE),
    ):
        conf = home / f"{name}.conf"
        conf.write_text(NGINX.format(upstream=upstream, home=home, name=name, port=port, what=what))
        pids.append(run.enter_context(process(["nginx", "-p", home, "-c", conf], core)).pid)
    return pids[1], pids[2]


def main() -> None:
    """Measure and print one JSON line."""
    if sys.argv[1:] == ["--events"]:
        asyncio.run(serve_events())
        return
    need("nginx", "wrk")
    beside = peers.installed()
    need_ports(UPSTREAM, PROXY, SSE_UPSTREAM, OURS, SSE_PROXY, *(peer.port for peer in beside))
    os.sched_setaffinity(0, {LOAD_CORE})
    with folder() as home, ExitStack() as run:
        key = write_project(home)
        headers = {"authorization": f"Bearer {key}"}
        nginx, sse_nginx = start_nginx(home, run)
        run.enter_context(process([sys.executable, __file__, "--events"], LOAD_CORE))
        up: peers.Words = [BIN / "roadworthy", "up", "--project", home, "--port", str(OURS)]
        ours = run.enter_context(process(up, SERVER_CORE)).pid
        wait_for(f"http://127.0.0.1:{OURS}/healthz")
        idle_mb = rss_mb(ours)
        for port in (PROXY, OURS):
            check_answer(port, headers)
        runs = [
            (*measure(PROXY, nginx, home, headers), *measure(OURS, ours, home, headers))
            for _ in range(ROUNDS)
        ]
        nginx_us, nginx_rate, us, rate = (statistics.median(c) for c in zip(*runs, strict=True))
        figures: dict[str, object] = {
            **measure_streams(ours, sse_nginx, key),
            "bar_us_per_event": 8,
            "bar_first_token_added_ms": 1.5,
            "idle_rss_mb": idle_mb,
            "busy_rss_mb": rss_mb(ours),
            "processes": len(tree(ours)),
        }
        for peer in beside:
            figures.update(measure_peer(peer, ours, home, headers))
        report(
            "gateway",
            cpu_us=us,
            bar_cpu_us=75,
            requests_per_s=rate,
            nginx_cpu_us=nginx_us,
            nginx_requests_per_s=nginx_rate,
            share_of_nginx=nginx_us / us,
            bar_share_of_nginx=0.17,
            **figures,
        )


if __name__ == "__main__":
    main()
