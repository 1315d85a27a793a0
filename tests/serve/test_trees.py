"""Requests that ask for others: together they stay within the budget and the time of the first."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conftest import write_project
from live import Live, Response, serve, until
from roadworthy.errors import RequestError
from roadworthy.serve import trees
from roadworthy.serve.trees import KEEP_S, MOST_DEPTH, Trees
from roadworthy.types import Caller, Key

PROJECT = """
[providers.metered]
kind = "scripted"
[providers.metered.prices."script.jsonl"]
input_usd_per_million = 1.0
output_usd_per_million = 1.0
"""
USAGE = {"input_tokens": 20, "output_tokens": 10}
COST_MICRO = 30


def service(name: str, per_request_usd: str, deadline_ms: int = 5000) -> str:
    return f"""
name = "{name}"
kind = "generate"
owners = {{ product = "test" }}
objectives = {{ deadline_ms = {deadline_ms} }}
cost = {{ per_day_usd = 1, {per_request_usd} }}
[[models]]
name = "script"
provider = "metered"
model = "script.jsonl"
max_output_tokens = 10
"""


def write(
    folder: Path,
    ceiling: str = "0.0005",
    delay_ms: int = 0,
    deadline_ms: int = 5000,
    usage: dict[str, int] = USAGE,
) -> Path:
    line = json.dumps({"text": "Hello.", "usage": usage, "delay_ms": delay_ms})
    root = service("agent", f"per_request_usd = {ceiling}", deadline_ms)
    services = {"agent": root, "helper": service("helper", "per_request_usd = 0.01")}
    files = {
        "services/agent/script.jsonl": json.dumps({"text": "Hello.", "usage": USAGE}),
        "services/helper/script.jsonl": line,
    }
    return write_project(folder / "project", services, files, PROJECT)


def ask(live: Live, service: str, parent: str = "", **more: str) -> Response:
    headers = {"x-roadworthy-parent": parent} if parent else {}
    headers |= {f"x-roadworthy-{name}": value for name, value in more.items() if name != "key"}
    return live.answer(service, {"text": "Hi"}, headers=headers, key=more.get("key"))


def id_of(got: Response) -> str:
    assert got.status == 200
    return got.headers["x-roadworthy-request-id"]


def test_children_spend_what_the_root_left_and_no_more(tmp_path: Path) -> None:
    with serve(write(tmp_path)) as live:
        root = id_of(ask(live, "agent"))
        answers = [ask(live, "helper", root) for _ in range(30)]
        turn = [got.status for got in answers].index(429)
        assert {got.status for got in answers[:turn]} == {200}
        assert {got.status for got in answers[turn:]} == {429}
        refused = answers[turn]
        assert refused.code == "budget_exhausted"
        assert f"budget of request `{root}`" in refused.json["error"]["message"]
        assert "cost.per_request_usd" in refused.json["error"]["message"]
        spent = sum(r.cost_micro for r in live.records())
        assert 400 < spent <= 500
        assert all(r.parent == root for r in live.records() if r.service == "helper")
        assert ask(live, "helper").status == 200


def test_fifty_children_at_once_never_exceed_the_ceiling_of_the_root(tmp_path: Path) -> None:
    dear = {"input_tokens": 30, "output_tokens": 10}  # about what is set aside for it
    with serve(write(tmp_path, delay_ms=30, usage=dear)) as live:
        root = id_of(ask(live, "agent"))
        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(lambda _: ask(live, "helper", root), range(50)))
        records = live.records()
        assert len(records) == 51
        assert all(r.cost_micro <= r.reserved_micro for r in records if r.cost_micro)
        assert {got.status for got in answers} == {200, 429}
        assert 400 < sum(r.cost_micro for r in records) <= 500
        assert live.serving.ledger.spent("service:helper")[1] == 0


def test_what_children_held_and_did_not_spend_is_there_again(tmp_path: Path) -> None:
    with serve(write(tmp_path, delay_ms=300)) as live:
        root = id_of(ask(live, "agent"))
        with ThreadPoolExecutor(12) as pool:
            first = [got.status for got in pool.map(lambda _: ask(live, "helper", root), range(12))]
        refused = first.count(429)
        assert refused > 0
        assert ask(live, "helper", root).status == 200


def test_grandchildren_pay_from_the_same_root(tmp_path: Path) -> None:
    with serve(write(tmp_path, ceiling="0.0003")) as live:
        parent = id_of(ask(live, "agent"))
        generations = 0
        while (got := ask(live, "helper", parent)).status == 200:
            parent = id_of(got)
            generations += 1
        assert 0 < generations < 10
        assert sum(r.cost_micro for r in live.records()) <= 300


def test_a_child_has_no_more_time_than_its_root(tmp_path: Path) -> None:
    with serve(write(tmp_path, delay_ms=2000, deadline_ms=400)) as live:
        root = id_of(ask(live, "agent"))
        got = ask(live, "helper", root)
        assert got.status == 504
        assert live.records()[0].latency_us < 1_500_000


@pytest.mark.parametrize("parent", ["run 7", "rq_000000000000000000000000000", "é\u0301"])
def test_a_parent_that_is_not_known_is_a_label(tmp_path: Path, parent: str) -> None:
    with serve(write(tmp_path)) as live:
        header = parent.encode().decode("latin-1")
        for _ in range(20):
            assert ask(live, "helper", header).status == 200
        assert live.records()[0].parent == header


def test_somebody_elses_request_is_but_a_label(tmp_path: Path) -> None:
    with serve(write(tmp_path)) as live:
        root = id_of(ask(live, "agent"))
        other = live.new_key("answer", "act_as")
        for _ in range(20):
            assert ask(live, "helper", root, key=other).status == 200
        theirs = id_of(ask(live, "agent", key=other, user="ann"))
        for _ in range(20):
            assert ask(live, "helper", theirs, key=other, user="bob").status == 200


def test_a_root_that_is_still_at_work_shares_what_it_does_not_hold(tmp_path: Path) -> None:
    folder = write(tmp_path, ceiling="0.0003")
    line = json.dumps({"text": "Hello.", "usage": USAGE, "delay_ms": 600})
    (folder / "services/agent/script.jsonl").write_text(line)
    with serve(folder) as live, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, live, "agent")
        until(lambda: live.serving.ledger.spent("service:agent")[1] > 0)
        till = live.serving.engine._till
        (root,) = list(till._trees._places)
        held = live.serving.ledger.spent("service:agent")[1]
        answers = [ask(live, "helper", root) for _ in range(10)]
        spent = sum(COST_MICRO for got in answers if got.status == 200)
        assert 0 < spent <= 300 - held
        assert asked.result().status == 200


# The registry by itself.


class Ticks:
    now = 100.0

    def now_us(self) -> int:
        return 0

    def monotonic(self) -> float:
        return self.now


def caller(parent: str = "", user: str = "ann") -> Caller:
    return Caller(Key("k1", "test", frozenset()), user, parent=parent)


def test_requests_one_below_the_other_end_somewhere() -> None:
    known = Trees(Ticks())
    known.begin("rq_1", caller(), 100, 105.0)
    for depth in range(1, MOST_DEPTH):
        parent = known.find(caller(f"rq_{depth}"))
        assert parent is not None
        known.join(f"rq_{depth + 1}", parent)
    with pytest.raises(RequestError, match="at most 16"):
        known.find(caller(f"rq_{MOST_DEPTH}"))


def test_a_tree_is_forgotten_some_time_after_its_deadline() -> None:
    clock = Ticks()
    known = Trees(clock)
    known.begin("rq_1", caller(), 100, 105.0)
    clock.now = 105.0 + KEEP_S
    assert known.find(caller("rq_1")) is not None
    clock.now += 0.1
    assert known.find(caller("rq_1")) is None
    known.begin("rq_2", caller(), 100, clock.now + 5)
    assert len(known) == 1


def test_only_so_many_requests_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "MOST_KNOWN", 10)
    known = Trees(Ticks())
    for n in range(100):
        known.begin(f"rq_{n}", caller(), 100, 1000.0)
    assert len(known) == 10
    assert known.find(caller("rq_99")) is not None
    assert known.find(caller("rq_1")) is None


def test_what_is_held_is_worth_another_try_and_what_is_spent_is_not() -> None:
    tree = Trees(Ticks()).begin("rq_1", caller(), 100, 105.0)
    tree.hold(100)
    assert "wait for those at work" in str(tree.refusal())
    assert tree.refusal().retry_after_s == 1.0
    tree.settle(100, 100)
    assert "$0.0001 spent and $0.00 held of $0.0001" in str(tree.refusal())
    assert tree.refusal().retry_after_s is None
