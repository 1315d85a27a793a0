"""A page and its JSON twin say the same: each sentence and number of the one is in the other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from html import unescape
from typing import Any

import pytest
from visitor import Shown, Visitor

from control_plane import Plane, served
from roadworthy.types import HOUR_US, MICRO, Attempt, Ids, Record, SettableClock
from roadworthy.web import numbers

NOON_2013_US = 1_364_817_600 * MICRO


def remember(plane: Plane, count: int, hours_ago: int, **more: Any) -> None:
    """Let a service have answered so often, some hours ago."""
    at_us = plane.project.clock.now_us() - hours_ago * HOUR_US - MICRO
    service = more.pop("service", "risk")
    known: dict[str, Any] = {
        "service": service,
        "kind": "predict",
        "disposition": "answered",
        "release": plane.serving.engine.releases[service].id,
        "key": "k_1",
        "model": "by-rule",
        "latency_us": 800,
        "attempts": (Attempt(more.get("model", "by-rule"), "ok", 700, None, 5_000, "rates"),),
    }
    ids = Ids(plane.project.clock)
    for n in range(count):
        fields = known | {"id": ids.new("rq", at_us + n), "at_us": at_us + n} | more
        plane.serving.spool.append(Record(**fields))
    plane.serving.writer.drain()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """A day of 2013 with late, failed, refused and dear requests, and a stop."""
    with served(tmp_path_factory.mktemp("twins")) as plane:
        clock = plane.project.clock
        assert isinstance(clock, SettableClock)
        clock.set(NOON_2013_US)
        remember(plane, 300, 5)
        remember(plane, 41, 3, latency_us=720_000, is_late=True)
        remember(plane, 7, 1, disposition="failed", model="", error_code="all_models_failed")
        remember(plane, 3, 0, disposition="refused", model="", error_code="guard_denied")
        dear = {"service": "reply", "kind": "generate", "model": "script", "cost_micro": 5_833}
        remember(plane, 26, 2, scopes=("service:reply",), **dear)
        plane.serving.ledger._turn_to(NOON_2013_US)
        yield plane


def words_of(source: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", source))).replace(" .", ".")


def time_of(text: str) -> datetime:
    return datetime.fromisoformat(text)


def of_promise(promise: dict[str, Any]) -> list[str]:
    if promise["measured"] is None:
        return [numbers.promised(promise["promise"]), f"{promise['n']} of 20 requests"]
    return [
        numbers.promised(promise["promise"]),
        numbers.share(promise["measured"], promise["promise"]),
        numbers.bounds(promise["low"], promise["high"], promise["promise"]),
        f"n {numbers.count(promise['n'])}",
    ]


def of_cost(cost: dict[str, Any]) -> list[str]:
    said = list(cost["says"])
    if cost["per_request_usd"]:
        said.append(f"{numbers.usd_each(cost['per_request_usd'])} per request")
    if cost["per_request_usd"] and cost["per_request_ceiling_usd"] is not None:
        said.append(f"ceiling {numbers.usd_declared(cost['per_request_ceiling_usd'])}")
    return said


def home_and_twin(stage: Plane) -> tuple[Shown, dict[str, Any]]:
    """Return the page and its twin as of one second: the clock ticks while they are asked for."""
    visitor = Visitor(stage, stage.secret)
    while True:
        before, shown, after = stage.get("/api/home"), visitor.see("/"), stage.get("/api/home")
        if before["as_of"][:19] == after["as_of"][:19]:
            return shown, after


def test_home_says_each_sentence_and_number_of_its_twin(stage: Plane) -> None:
    shown, home = home_and_twin(stage)
    assert unescape(shown.headline) == home["says"]
    assert f"As of {numbers.stamp(time_of(home['as_of']))}" in shown.words
    rows = dict(
        re.findall(
            r'<tr role="row">\s*<th[^>]*><a class="first" href="/services/(\w+)">(.*?)</tr>',
            shown.source,
            re.DOTALL,
        )
    )
    assert list(rows) == [service["name"] for service in home["services"]]
    checked = 0
    for service in home["services"]:
        row = words_of(rows[service["name"]])
        said = [*service["says"], *of_cost(service["cost"]), service["ship"]["says"]]
        said += [f"{numbers.count(service['requests'])} requests in 24 h", service["purpose"]]
        said += [f"{service['kind']} · risk: {service['risk']}"]
        for promise in service["promises"]:
            said += [promise["label"], *of_promise(promise)]
        for todo in service["todos"]:
            said += [todo["says"], todo["why"]]
        champion = service["ship"]["champion"]
        said += [numbers.short(champion["release"])]
        assert [words for words in said if words not in row] == []
        checked += len(said)
    assert checked > 30
    for deed in home["deeds"]:
        assert deed["says"] in words_of(shown.source)
    states = [p["state"] for service in home["services"] for p in service["promises"]]
    counted = {key: states.count(key) for key in ("at_risk", "breached", "collecting")}
    assert counted == {
        "at_risk": home["at_risk"],
        "breached": home["broken"],
        "collecting": home["collecting"],
    }
    assert sum(len(service["todos"]) for service in home["services"]) == home["todos"]


@pytest.mark.parametrize("name", ["risk", "reply"])
def test_a_service_says_each_number_of_its_twin(stage: Plane, name: str) -> None:
    shown = Visitor(stage, stage.secret).see(f"/services/{name}")
    page = stage.get(f"/api/services/{name}/page")
    row, text = page["service"], words_of(shown.source)
    assert unescape(shown.headline) == page["says"]
    said = [*row["says"], *row["cost"]["says"], row["ship"]["says"]]
    for promise in row["promises"]:
        said += [promise["name"], promise["of"], *of_promise(promise)]
    if page["latency_p95_ms"] is not None:
        said += [numbers.ms(page["latency_p95_ms"]), f"about {numbers.ms(page['p95_ms'])}"]
    said += [f"What became of {numbers.count(row['requests'])} requests"]
    for end in page["endings"]:
        share = numbers.share(end["share"])
        said += [f"{end['disposition']} {numbers.count(end['requests'])} {share}"]
        said += [end["why"]]
    said += [f"in the newest {numbers.count(page['looked_at'])} requests"]
    for model in page["models"]:
        said += [model["name"]]
        if model["asked"] >= 20:
            tried = (numbers.count(model[what]) for what in ("asked", "shown", "kept_back"))
            said += [" ".join(tried), numbers.ms(model["p95_ms"])]
            said += [numbers.usd_exact(model["mean_usd"])]
    for hour in page["hours"]:
        said += [numbers.ms(hour["p95_ms"])]
    said += [deed["says"] for deed in page["deeds"]] + [key["path"] for key in page["keys"]]
    said += [f"{who} ({part})" for part, who in page["owners"].items()]
    said += [numbers.short(page["declaration_hash"]), f"{len(page['keys'])} keys"]
    assert [words for words in said if words not in text] == []
    assert len(said) > 20


def test_the_list_says_each_row_of_its_twin(stage: Plane) -> None:
    shown = Visitor(stage, stage.secret).see("/requests?service=reply")
    twin = stage.get("/api/requests?service=reply")
    assert unescape(shown.headline) == twin["sentence"]
    rows = re.findall(r'<tr role="row">\s*<td.*?</tr>', shown.source, re.DOTALL)
    assert len(rows) == len(twin["requests"]) == 26
    now = time_of(stage.get("/api/clock")["now"])
    for source, row in zip(rows, twin["requests"], strict=True):
        text = words_of(source)
        cost = numbers.usd_exact(row["cost_usd"])
        said = [numbers.moment(time_of(row["at"]), now), row["service"], row["disposition"]]
        said += [row["model"], numbers.ms(row["latency_ms"]), cost, numbers.short(row["release"])]
        assert [words for words in said if words not in text] == []
        assert f'href="/requests/{row["id"]}"' in source
