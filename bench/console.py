"""The console over HTTP: 20 services, 1,000,000 records of 30 days, a person who is logged in.

The records are written by the writer, as a server does, so that rollups, tags, errors and spendings
are what they would be. Each page is asked for in turns on one kept connection, the server on one
core and the asker on the other; a figure is the median of its rounds, and the slowest stands beside
it. `at_work` is Home while a thread asks for answers, one after the other.
"""

from __future__ import annotations

import json
import os
import random
import re
import statistics
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode

import msgspec
from harness import BIN, LOAD_CORE, SERVER_CORE, folder, need_ports, process, report, wait_for

from roadworthy.app import Project, open_project
from roadworthy.store.keys import create_key
from roadworthy.store.spool import Spool
from roadworthy.store.writer import Writer
from roadworthy.types import (
    HOUR_US,
    Attempt,
    Disposition,
    Ids,
    Record,
    SystemClock,
    Usage,
    Verdict,
)

PORT = 9907
STORED, DAYS, PARTS = 1_000_000, 30, 48
PART_HOURS = DAYS * 24 // PARTS
HOME_ROUNDS, ROUNDS = 60, 20
SERVICES = tuple(f"service-{number:02}" for number in range(20))
PAID = frozenset(SERVICES[1::2])
SOME = SERVICES[3:6]
"""What a key of several services may see."""

BARS = {"home_ms": 50, "home_kb": 80, "requests_ms": 100}
CLOCK = SystemClock()

PROJECT = """
[project]
name = "bench"
[providers.rule]
kind = "rule"
[providers.paid]
kind = "scripted"
[providers.paid.prices."script.jsonl"]
input_usd_per_million = 1.0
output_usd_per_million = 10.0
"""
SERVICE = """
name = "{name}"
kind = "{kind}"
purpose = "{purpose}"
risk = "low"
owners = {{ product = "bench" }}
objectives = {{ deadline_ms = 2000, latency_p95_ms = 800, availability = 0.99 }}
cost = {{ {cost} }}
[[models]]
name = "large"
{model}
"""
PREDICT = ("predict", "", "provider = 'rule'\nmodel = '{\"late\": input.wind > 20.0}'")
GENERATE = (
    "generate",
    "per_request_usd = 0.01, per_day_usd = 5",
    "provider = 'paid'\nmodel = 'script.jsonl'\nmax_output_tokens = 100",
)
SCRIPT = '{"text": "soon", "usage": {"input_tokens": 100, "output_tokens": 10}}\n'
STEPS = (
    *("identify", "release", "contract", "guard_input", "reserve", "route"),
    *("call", "schema", "guard_output", "decide", "settle"),
)
ENDINGS: tuple[Disposition, ...] = ("answered", "cached", "fallback", "review", "refused", "failed")
WEIGHTS = (90, 3, 3, 1, 1.5, 1.5)
WHY = {
    "fallback": ("model_timeout", "large: model_timeout: no answer within 1,200 ms"),
    "refused": ("guard_denied", "guard `scope`: deny: not about a flight"),
    "failed": ("model_unavailable", "large: model_unavailable: connection refused by the upstream"),
}


def write_service(home: Path, name: str, purpose: str) -> None:
    """Write a service's folder: every other one costs money."""
    kind, cost, model = GENERATE if name in PAID else PREDICT
    place = home / "services" / name
    place.mkdir(parents=True, exist_ok=True)
    (place / "script.jsonl").write_text(SCRIPT)
    text = SERVICE.format(name=name, kind=kind, purpose=purpose, cost=cost, model=model)
    (place / "service.toml").write_text(text)


def build_releases(home: Path) -> dict[str, tuple[str, ...]]:
    """Build three releases of each service; a third of the last ones stay candidates."""
    (home / "roadworthy.toml").write_text(PROJECT)
    built: dict[str, tuple[str, ...]] = {}
    for name in SERVICES:
        write_service(home, name, "")
    with open_project(home) as project:
        for place, name in enumerate(SERVICES):
            for number in range(3):
                write_service(
                    home, name, f"Say whether a flight is late, as edition {number} does."
                )
                release = project.build_release(name, by="bench")
                built[name] = (*built.get(name, ()), release.id)
                if number < 2 or place % 3:
                    project.promote(release.id, by="bench")
    return built


def some_records(releases: Mapping[str, tuple[str, ...]], count: int) -> Iterator[Record]:
    """Yield what all services leave in `PART_HOURS`, of the first day that there is."""
    rng, ids = random.Random(5), Ids(CLOCK)
    for k in range(count):
        at_us = k * PART_HOURS * HOUR_US // count
        service = rng.choice(SERVICES)
        is_paid, key = service in PAID, f"k{rng.randrange(8)}"
        disposition = rng.choices(ENDINGS, WEIGHTS)[0]
        code, why = WHY.get(disposition, ("", ""))
        latency_us = int(rng.lognormvariate(12, 0.9))
        usage = Usage(rng.randrange(50, 400), rng.randrange(5, 60))
        cost = usage.input_tokens + 10 * usage.output_tokens if is_paid else 0
        yield Record(
            id=ids.new("rq", at_us),
            at_us=at_us,
            service=service,
            kind="generate" if is_paid else "predict",
            disposition=disposition,
            release=releases[service][0],
            key=key,
            team="operations",
            user=f"user-{rng.randrange(5000)}",
            tags=(rng.choice(("web", "app")),) if k % 997 else ("web", "rare"),
            reasons=(why,) if why else (),
            error_code=code,
            model="" if disposition == "refused" else rng.choices(("large", "small"), (9, 1))[0],
            attempts=(Attempt("large", "ok", latency_us, usage, cost, "rates"),),
            verdicts=(Verdict("limits", "output", "allow", "", 12),),
            timings={step: rng.randrange(60) for step in STEPS},
            input_tokens=usage.input_tokens if is_paid else 0,
            output_tokens=usage.output_tokens if is_paid else 0,
            cost_micro=cost,
            scopes=(f"service:{service}",),
            latency_us=latency_us,
            is_late=latency_us > 800_000,
            protocol="native",
            declaration_hash="d" * 64,
            environment_hash="e" * 64,
            input=b'{"wind": 12.0, "text": "When do I get a refund?"}' if k % 50 == 0 else None,
        )


def moved(record: Record, by_us: int, releases: Mapping[str, tuple[str, ...]], part: int) -> Record:
    """Return a record as it would be later; what answers changes after half of the time.

    One user, one key and one error are of the first part alone: to find them is a long way.
    """
    at_us = record.at_us + by_us
    is_rare = part == 0 and record.disposition == "failed"
    return msgspec.structs.replace(
        record,
        id=f"rq_{at_us // 1000:012x}{record.id[15:]}",
        at_us=at_us,
        release=releases[record.service][part * 2 // PARTS],
        key="k-early" if is_rare else record.key,
        user="user-early" if is_rare else record.user,
        reasons=("large: model_overloaded: too early",) if is_rare else record.reasons,
    )


def fill(project: Project, releases: Mapping[str, tuple[str, ...]]) -> str:
    """Store the records as a server does, the last of them an hour ago; return an id in between."""
    now_us = CLOCK.now_us()
    start_us = now_us - now_us % HOUR_US - DAYS * 24 * HOUR_US
    spool = Spool(project.folder / ".roadworthy" / "spool", CLOCK)
    writer = Writer(spool, project.state, (), CLOCK)
    kept = list(some_records(releases, -(-STORED // PARTS)))
    middle = ""
    for part in range(PARTS):
        later_us = start_us + part * PART_HOURS * HOUR_US
        for record in kept:
            spool.append(moved(record, later_us, releases, part))
        writer.drain()
        if part == PARTS // 2:
            middle = moved(kept[0], later_us, releases, part).id
    spool.close()
    return middle


class Visitor:
    """A browser without a screen: one kept connection, a session, and how long pages took."""

    def __init__(self, secret: str) -> None:
        self._connection = HTTPConnection("127.0.0.1", PORT, timeout=60)
        self._cookie = ""
        page, _ = self.get("/login")
        token = re.search(rb'name="csrf" value="([^"]+)"', page)
        assert token, page
        fields = {"key": secret, "csrf": token[1].decode()}
        self._ask("POST", "/login", 303, urlencode(fields))

    def get(self, target: str) -> tuple[bytes, float]:
        """Return a page and the milliseconds until its last byte."""
        begun = time.perf_counter()
        body = self._ask("GET", target, 200)
        return body, (time.perf_counter() - begun) * 1000

    def _ask(self, method: str, target: str, status: int, body: str = "") -> bytes:
        headers = {"accept": "text/html", "cookie": self._cookie}
        if body:
            headers["content-type"] = "application/x-www-form-urlencoded"
        self._connection.request(method, target, body or None, headers)
        answer = self._connection.getresponse()
        whole = answer.read()
        if answer.status != status:
            raise SystemExit(f"{target}: expected {status}, got {answer.status}: {whole[:300]!r}")
        given = [value.partition(";")[0] for value in answer.headers.get_all("set-cookie") or []]
        self._cookie = "; ".join([*filter(None, [self._cookie]), *given])
        return whole


def lists(middle: str, releases: Mapping[str, tuple[str, ...]]) -> dict[str, dict[str, str]]:
    """Return what lists of requests are asked for, by its name in the report."""
    at_us = int(middle[3:15], 16) * 1000
    since, until = (_iso(at_us + days * 24 * HOUR_US) for days in (0, 3))
    name, early = SERVICES[7], {"release": releases[SERVICES[7]][0]}
    return {
        "all": {},
        "older": {"before": middle},
        "newer": {"after": middle},
        "service": {"service": name},
        "disposition": {"disposition": "failed"},
        "answered": {"disposition": "answered"},
        "release": {"release": releases[name][1]},
        "early_release": early,
        "model": {"model": "small"},
        "user": {"user": "user-77"},
        "early_user": {"user": "user-early"},
        "tag": {"tag": "web"},
        "rare_tag": {"tag": "rare"},
        "window": {"since": since, "until": until},
        "error": {"error": "CONNECTION refused"},
        "early_error": {"error": "too early"},
        "error_of_none": {"error": "no such words"},
        "error_code": {"error_code": "guard_denied"},
        "early_key": {"key": "k-early"},
        "key_of_none": {"key": "k9"},
        "slow": {"slower_than_ms": "2000"},
        "slow_of_none": {"slower_than_ms": "80000000"},
        "part_of_an_id": {"q": "fffffffff"},
        "service_disposition_window": {
            "service": name,
            "disposition": "failed",
            "since": since,
            "until": until,
        },
        "user_model": {"user": "user-77", "model": "small"},
        "tag_user": {"tag": "web", "user": "user-77"},
        "tag_service_window": {"tag": "web", "service": name, "since": since, "until": until},
        "error_service": {"error": "refused", "service": name},
        "service_and_model_of_none": {"service": name, "model": "none"},
        "tag_and_key_of_none": {"tag": "web", "key": "k9"},
    }


def _iso(at_us: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_us // 1_000_000))


def rounds(visitor: Visitor, target: str, times: int) -> tuple[float, float, bytes]:
    """Return the median and the slowest of the times a page took, and the page."""
    found = [visitor.get(target) for _ in range(times)]
    took = [ms for _, ms in found]
    return statistics.median(took), max(took), found[-1][0]


def home(visitor: Visitor, secret: str) -> dict[str, object]:
    """Return what Home takes: the first time, many times, and while the server is at work."""
    _, first = visitor.get("/")
    median, worst, page = rounds(visitor, "/", HOME_ROUNDS)
    sheet = re.search(rb'href="(/static/console[^"]+css)"', page)
    assert sheet, page
    style, _ = visitor.get(sheet[1].decode())
    with answering(secret) as done:
        begun = time.perf_counter()
        busy, busiest, _ = rounds(visitor, "/", HOME_ROUNDS)
        rate = len(done) / (time.perf_counter() - begun)
    return {
        "home_ms": median,
        "bar_home_ms": BARS["home_ms"],
        "home_slowest_ms": worst,
        "home_first_ms": first,
        "home_kb": len(page) / 1000,
        "bar_home_kb": BARS["home_kb"],
        "style_kb": len(style) / 1000,
        "home_at_work_ms": busy,
        "home_at_work_slowest_ms": busiest,
        "at_work_answers_per_s": rate,
    }


@contextmanager
def answering(secret: str) -> Iterator[list[int]]:
    """Let a thread ask for answers, one after the other, and give the list of their statuses."""
    done: list[int] = []
    is_over = threading.Event()

    def ask() -> None:
        connection = HTTPConnection("127.0.0.1", PORT, timeout=60)
        headers = {"authorization": f"Bearer {secret}", "content-type": "application/json"}
        while not is_over.is_set():
            body = json.dumps({"input": {"wind": len(done) % 40}})
            connection.request("POST", f"/v1/services/{SERVICES[0]}/answer", body, headers)
            answer = connection.getresponse()
            answer.read()
            done.append(answer.status)

    thread = threading.Thread(target=ask)
    thread.start()
    yield done
    is_over.set()
    thread.join()
    if set(done) != {200}:
        raise SystemExit(f"expected answers, got the statuses {sorted(set(done))}")


def pages(visitor: Visitor, middle: str) -> dict[str, object]:
    """Return what the other pages take."""
    targets = {
        "service": f"/services/{SERVICES[7]}",
        "request": f"/requests/{middle}",
        "releases": "/releases",
    }
    figures: dict[str, object] = {}
    for name, target in targets.items():
        figures[f"{name}_ms"], figures[f"{name}_slowest_ms"], _ = rounds(visitor, target, ROUNDS)
    return figures


def requests(visitor: Visitor, asked: Mapping[str, Mapping[str, str]]) -> dict[str, object]:
    """Return what each list of requests takes, and which of them take longer than they may."""
    found = {
        name: rounds(visitor, f"/requests?{urlencode(query)}", ROUNDS)[:2]
        for name, query in asked.items()
    }
    return {
        "requests_ms": {name: round(median, 1) for name, (median, _) in found.items()},
        "requests_slowest_ms": {name: round(worst, 1) for name, (_, worst) in found.items()},
        "bar_requests_ms": BARS["requests_ms"],
        "requests_over_bar": [
            name for name, (median, _) in found.items() if median >= BARS["requests_ms"]
        ],
    }


def measure(place: Path, middle: str, releases: Mapping[str, tuple[str, ...]]) -> None:
    """Serve the project, ask for every page, print one JSON line."""
    with open_project(place) as project:
        secrets = [
            create_key(project.state, CLOCK, name="bench", scopes=scopes, services=some, by="bench")
            for scopes, some in ((("answer", "read", "admin"), ()), (("read",), SOME))
        ]
    (_, everything), (_, several) = secrets
    command: list[str | Path] = [BIN / "roadworthy", "up", "--project", place, "--port", str(PORT)]
    with process(command, SERVER_CORE, log=place / "up.log"):
        wait_for(f"http://127.0.0.1:{PORT}/healthz", 60)
        visitor = Visitor(everything)
        figures = home(visitor, everything)
        figures |= pages(visitor, middle)
        figures |= requests(visitor, lists(middle, releases))
        median, worst, _ = rounds(Visitor(several), "/requests", ROUNDS)
        figures |= {"requests_of_some_ms": median, "requests_of_some_slowest_ms": worst}
    report("console", services=len(SERVICES), records=STORED, **figures)


def main() -> None:
    """Fill a project, serve it, measure."""
    need_ports(PORT)
    os.sched_setaffinity(0, {LOAD_CORE})
    with folder() as place:
        releases = build_releases(place)
        with open_project(place) as project:
            middle = fill(project, releases)
        measure(place, middle, releases)


if __name__ == "__main__":
    main()
