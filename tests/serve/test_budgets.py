"""Budgets over services, users, teams, tags and providers, as a served project keeps them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from conftest import write_project
from live import Live, Response, serve, until
from roadworthy import open_project
from roadworthy.store.actions import list_actions
from roadworthy.store.ceilings import raise_ceiling
from roadworthy.store.spending import read_holds
from roadworthy.types import DAY_US, MICRO, SettableClock

USD = "input_usd_per_million = 1.0\noutput_usd_per_million = 1.0\n"
PROVIDERS = "".join(
    f'[providers.{name}]\nkind = "scripted"\n[providers.{name}.prices."{name}.jsonl"]\n{USD}'
    for name in ("acme", "other")
)
NOON_US = 19_997 * DAY_US + 20 * DAY_US + DAY_US // 2  # 2024-10-21
COST_MICRO = 30
SCRIPT = json.dumps({"text": "Hello.", "usage": {"input_tokens": 20, "output_tokens": 10}})
SCRIPTS = {
    f"services/{service}/{provider}.jsonl": SCRIPT
    for service in ("reply", "chat")
    for provider in ("acme", "other")
}
Serve = Callable[..., AbstractContextManager[Live]]


def service(
    name: str = "reply",
    cost: str = "per_day_usd = 1",
    more: str = "",
    models: tuple[str, ...] = ("acme",),
    most_tokens: int = 10,
) -> str:
    entries = "".join(
        f'[[models]]\nname = "{model}"\nprovider = "{model}"\nmodel = "{model}.jsonl"\n'
        f"max_output_tokens = {most_tokens}\n"
        for model in models
    )
    return f"""
name = "{name}"
kind = "generate"
owners = {{ product = "test" }}
objectives = {{ deadline_ms = 5000 }}
cost = {{ {cost} }}
{entries}
{more}
"""


def project(
    tmp_path: Path,
    *services: str,
    budgets: str = "",
    scripts: dict[str, str] | None = None,
) -> Path:
    named = {text.split('name = "')[1].split('"')[0]: text for text in services or (service(),)}
    files = {**SCRIPTS, **(scripts or {})}
    files = {path: text for path, text in files.items() if path.split("/")[1] in named}
    return write_project(tmp_path / "project", named, files, PROVIDERS + budgets)


def set_clock(live: Live, now_us: int) -> None:
    assert isinstance(live.project.clock, SettableClock)
    live.project.clock.set(now_us)


def ask(live: Live, service: str = "reply", key: str | None = None, **headers: str) -> Response:
    sent = {f"x-roadworthy-{name}": value for name, value in headers.items()}
    return live.answer(service, {"text": "Hi"}, headers=sent, key=key)


def until_refused(ask: Callable[[], Response]) -> tuple[int, Response]:
    """Ask until it is refused; returns how many were answered, and the refusal."""
    for n in range(200):
        got = ask()
        if got.status != 200:
            return n, got
    raise AssertionError("it was never refused")


def message(got: Response) -> str:
    said: str = got.json["error"]["message"]
    return said


@pytest.mark.parametrize(
    ("budgets", "scope"),
    [
        ("[budgets.teams.care]\nper_day_usd = 0.001\n", "team:care"),
        ("[budgets.tags.refund]\nper_month_usd = 0.001\n", "tag:refund"),
        ("[budgets.project]\nper_month_usd = 0.001\n", "project"),
        ("[budgets.providers.acme]\nper_day_usd = 0.001\n", "provider:acme"),
    ],
)
def test_a_budget_holds_over_all_services_and_is_named_where_it_is_spent(
    tmp_path: Path, budgets: str, scope: str
) -> None:
    with serve(project(tmp_path, service(), service("chat"), budgets=budgets)) as live:
        key = live.new_key("answer", team="care")
        names = iter(["reply", "chat"] * 100)
        answered, refused = until_refused(lambda: ask(live, next(names), key, tags="refund, x"))
        assert refused.code == "budget_exhausted"
        assert f"budget of `{scope}` is spent" in message(refused)
        assert "raise `budgets." in message(refused)
        assert int(refused.headers["retry-after"]) > 0
        period: Any = "month" if "month" in budgets else "day"
        settled, held = live.serving.ledger.spent(scope, period)
        assert (settled, held) == (answered * COST_MICRO, 0)
        assert 1000 - settled < 200


def test_what_does_not_bear_the_tag_or_is_of_another_team_goes_on(tmp_path: Path) -> None:
    budgets = (
        "[budgets.teams.care]\nper_day_usd = 0.0002\n[budgets.tags.vip]\nper_day_usd = 0.0002\n"
    )
    with serve(project(tmp_path, budgets=budgets)) as live:
        care, sales = (live.new_key("answer", team=team) for team in ("care", "sales"))
        until_refused(lambda: ask(live, key=care))
        until_refused(lambda: ask(live, key=sales, tags="vip"))
        assert ask(live, key=sales, tags="other").status == 200


def test_a_month_outlives_its_days_and_a_restart_and_ends_with_the_month(tmp_path: Path) -> None:
    folder = project(tmp_path, service(cost="per_day_usd = 0.01, per_month_usd = 0.01"))
    with serve(folder) as live:
        set_clock(live, NOON_US)
        assert ask(live).status == 200
    with serve(folder) as live:
        set_clock(live, NOON_US + 2 * DAY_US)
        assert ask(live).status == 200
        assert live.serving.ledger.spent("service:reply") == (COST_MICRO, 0)
        assert live.serving.ledger.spent("service:reply", "month") == (2 * COST_MICRO, 0)
        set_clock(live, NOON_US + 11 * DAY_US)
        assert live.serving.ledger.spent("service:reply", "month") == (0, 0)
        set_clock(live, NOON_US)
        assert live.serving.ledger.spent("service:reply", "month") == (2 * COST_MICRO, 0)


def test_a_user_has_a_month_of_their_own_that_a_restart_remembers(tmp_path: Path) -> None:
    folder = project(tmp_path, service(cost="per_day_usd = 1, per_user_per_month_usd = 0.0003"))
    with serve(folder) as live:
        set_clock(live, NOON_US)
        key = live.new_key("answer", "act_as")
        answered, refused = until_refused(lambda: ask(live, key=key, user="ann"))
        assert "`cost.per_user_per_month_usd`" in message(refused)
    with serve(folder) as live:
        set_clock(live, NOON_US + DAY_US)
        key = live.new_key("answer", "act_as")
        assert ask(live, key=key, user="ann").code == "budget_exhausted"
        assert ask(live, key=key, user="bob").status == 200
        spent = live.serving.ledger.spent("user:reply/ann", "month")
        assert spent == (answered * COST_MICRO, 0)


def test_a_provider_that_is_spent_is_passed_over_while_another_is_left(tmp_path: Path) -> None:
    budgets = "[budgets.providers.acme]\nper_day_usd = 0.0002\n"
    with serve(project(tmp_path, service(models=("acme", "other")), budgets=budgets)) as live:
        replies = [ask(live) for _ in range(12)]
        models = [got.headers["x-roadworthy-model"] for got in replies]
        turn = models.index("other")
        assert models == ["acme"] * turn + ["other"] * (12 - turn)
        assert 0 < turn < 12
        assert live.serving.ledger.spent("provider:acme") == (turn * COST_MICRO, 0)
        last = live.records()[0]
        assert [(a.model, a.status) for a in last.attempts] == [
            ("acme", "budget_exhausted"),
            ("other", "ok"),
        ]


def test_a_provider_is_charged_for_its_own_tries_alone(tmp_path: Path) -> None:
    budgets = "".join(
        f"[budgets.providers.{name}]\nper_day_usd = 1\n" for name in ("acme", "other")
    )
    scripts = {"services/reply/acme.jsonl": json.dumps({"error": "model_unavailable"})}
    folder = project(tmp_path, service(models=("acme", "other")), budgets=budgets, scripts=scripts)
    with serve(folder) as live:
        assert ask(live).headers["x-roadworthy-model"] == "other"
        assert live.serving.ledger.spent("provider:acme") == (0, 0)
        assert live.serving.ledger.spent("provider:other") == (COST_MICRO, 0)
    with serve(folder) as live:
        assert live.serving.ledger.spent("provider:acme") == (0, 0)
        assert live.serving.ledger.spent("provider:other") == (COST_MICRO, 0)


DEAR = PROVIDERS.replace(USD, "input_usd_per_million = 9.0\noutput_usd_per_million = 9.0\n", 1)


def test_from_the_soft_share_on_the_cheapest_model_is_asked_first(tmp_path: Path) -> None:
    text = service(
        cost='per_day_usd = 0.01, soft_share = 0.05, on_soft = "cheapest"', models=("acme", "other")
    )
    folder = write_project(tmp_path / "project", {"reply": text}, SCRIPTS, DEAR)
    with serve(folder) as live:
        models = [ask(live).headers["x-roadworthy-model"] for _ in range(4)]
        assert models == ["acme", "acme", "other", "other"]
        route = live.records()[0].route
        assert route is not None
        assert (route["strategy"], route["choice"]) == ("soft", "other")


def test_a_thousand_at_once_against_every_kind_of_ceiling_leave_nothing_over_or_held(
    tmp_path: Path,
) -> None:
    line = {**json.loads(SCRIPT), "delay_ms": 20}
    text = service(cost="per_day_usd = 0.5, per_month_usd = 0.5, per_user_per_day_usd = 0.5")
    budgets = """
[budgets.project]
per_month_usd = 0.003
[budgets.teams.care]
per_day_usd = 0.003
[budgets.tags.refund]
per_month_usd = 0.003
[budgets.providers.acme]
per_day_usd = 0.003
"""
    scripts = {"services/reply/acme.jsonl": json.dumps(line)}
    with serve(project(tmp_path, text, budgets=budgets, scripts=scripts)) as live:
        key = live.new_key("answer", team="care", per_day_micro=500_000)
        with ThreadPoolExecutor(64) as pool:
            statuses = Counter(
                got.status
                for got in pool.map(lambda _: ask(live, key=key, tags="refund"), range(1000))
            )
        assert set(statuses) == {200, 429}
        spent = statuses[200] * COST_MICRO
        assert 2_800 < spent <= 3_000
        ledger = live.serving.ledger
        for scope in ("project", "team:care", "tag:refund", "provider:acme", "service:reply"):
            assert ledger.spent(scope) == ledger.spent(scope, "month") == (spent, 0)


@pytest.mark.parametrize(
    "user", ["a/b", "é\u0301", "tag:vip", "a\u0000b", "x" * 200, "🙂", "a\\b'\""]
)
def test_names_of_any_letters_have_a_budget_of_their_own(tmp_path: Path, user: str) -> None:
    text = service(cost="per_day_usd = 1, per_user_per_day_usd = 0.5")
    budgets = "[budgets.tags.vip]\nper_day_usd = 0.5\n"
    with serve(project(tmp_path, text, budgets=budgets)) as live:
        key = live.new_key("answer", "act_as")
        body = {"input": {"text": "Hi"}, "user": user, "tags": [user, "vip"]}
        got = live.ask("POST", "/v1/services/reply/answer", body, key=key)
        assert got.status == 200
        live.serving.ledger.renew()
        assert live.serving.ledger.spent(f"user:reply/{user}") == (COST_MICRO, 0)
        assert live.serving.ledger.spent("tag:vip") == (COST_MICRO, 0)


def test_a_price_that_changes_meanwhile_does_not_touch_what_is_at_work(tmp_path: Path) -> None:
    line = {**json.loads(SCRIPT), "delay_ms": 400}
    folder = project(tmp_path, scripts={"services/reply/acme.jsonl": json.dumps(line)})
    with serve(folder) as live, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, live)
        until(lambda: live.serving.ledger.spent("service:reply")[1] > 0)
        file = folder / "roadworthy.toml"
        file.write_text(file.read_text().replace("1.0", "1000.0"))
        assert asked.result().status == 200
        assert live.serving.ledger.spent("service:reply") == (COST_MICRO, 0)


def reached(live: Live, action: str) -> list[tuple[str, str]]:
    live.serving.jobs.run_now("budgets")
    found = list_actions(live.project.state, action=action)
    return [(act.subject, act.detail["period"]) for act in found]


def test_a_ceiling_that_is_reached_is_told_once_over_restarts(tmp_path: Path) -> None:
    folder = project(tmp_path, service(cost="per_day_usd = 0.0003, soft_share = 0.2"))
    with serve(folder) as live:
        set_clock(live, NOON_US)
        assert ask(live).status == 200
        assert reached(live, "budget.soft") == []
        assert ask(live).status == 200
        assert reached(live, "budget.soft") == [("service:reply", "day")]
    with serve(folder) as live:
        set_clock(live, NOON_US)
        until_refused(lambda: ask(live))
        assert reached(live, "budget.soft") == [("service:reply", "day")]
        assert reached(live, "budget.spent") == [("service:reply", "day")]
        set_clock(live, NOON_US + DAY_US)
        for _ in range(3):
            ask(live)
        assert reached(live, "budget.soft") == [("service:reply", "day")] * 2


def test_a_ceiling_that_a_person_raises_lets_more_pass_at_once_and_after_a_restart(
    tmp_path: Path,
) -> None:
    folder = project(tmp_path, service(cost="per_day_usd = 0.0002"))
    with serve(folder) as live:
        set_clock(live, NOON_US)
        until_refused(lambda: ask(live))
        state, clock = live.project.state, live.project.clock
        raise_ceiling(state, clock, "service:reply", "day", 1000, by="cli:ana", reason="launch")
        until(lambda: ask(live).status == 200)
        (act,) = list_actions(state, action="budget.raise")
        assert (act.by, act.subject, act.detail["reason"]) == ("cli:ana", "service:reply", "launch")
    with serve(folder) as live:
        assert ask(live).status == 200
        set_clock(live, NOON_US + DAY_US)
        answered, _ = until_refused(lambda: ask(live))
        assert answered * COST_MICRO <= 200


HOLDER = """
import sys, threading, time
from pathlib import Path
from roadworthy import open_project
project = open_project(Path(sys.argv[1]))
service = project.service("reply")
threading.Thread(target=lambda: service.answer({"text": "Hi"}, tags=("vip",)), daemon=True).start()
while not project.serving.ledger.spent("tag:vip", "month")[1]:
    time.sleep(0.005)
print(project.serving.ledger.spent("provider:acme")[1], flush=True)
time.sleep(60)
"""


@pytest.mark.slow
def test_what_a_killed_process_held_counts_in_every_scope_until_its_lease_ends(
    tmp_path: Path,
) -> None:
    line = {**json.loads(SCRIPT), "delay_ms": 4000}
    budgets = """
[budgets.tags.vip]
per_month_usd = 1
[budgets.providers.acme]
per_day_usd = 1
"""
    scripts = {"services/reply/acme.jsonl": json.dumps(line)}
    folder = project(tmp_path, budgets=budgets, scripts=scripts)
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, env=os.environ
    )
    assert process.stdout is not None
    held = int(process.stdout.readline())
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert held > 0
    with open_project(folder) as opened:
        ledger = opened.serving.ledger
        assert ledger.spent("provider:acme") == (0, held)
        assert ledger.spent("tag:vip", "month") == ledger.spent("service:reply") == (0, held)
        (hold,) = read_holds(opened.state)
        assert isinstance(opened.clock, SettableClock)
        opened.clock.set(hold.lease_us + MICRO)
        opened.serving.writer.drain()
        opened.serving.jobs.run_now("leases")
        opened.serving.writer.drain()
        assert ledger.spent("tag:vip", "month") == ledger.spent("provider:acme") == (0, 0)
        assert read_holds(opened.state) == []


# Limits of rates.


def test_a_limit_of_a_minute_answers_429_with_what_openais_clients_read(tmp_path: Path) -> None:
    limits = "[limits]\nrequests_per_minute = 3\ntokens_per_minute = 100000\n"
    with serve(project(tmp_path, service(more=limits))) as live:
        first = live.chat("reply")
        assert first.headers["x-ratelimit-limit-requests"] == "3"
        assert first.headers["x-ratelimit-remaining-requests"] == "2"
        assert int(first.headers["x-ratelimit-remaining-tokens"]) < 100_000
        assert [live.chat("reply").status for _ in range(2)] == [200, 200]
        refused = live.chat("reply")
        assert (refused.status, refused.code) == (429, "rate_limited")
        assert refused.json["error"]["type"] == "rate_limit_error"
        assert refused.json["error"]["retryable"] is True
        assert 0 < int(refused.headers["retry-after-ms"]) <= 20_000
        assert 1 <= int(refused.headers["retry-after"]) <= 20
        assert refused.headers["x-ratelimit-remaining-requests"] == "0"
        record = live.records()[0]
        assert (record.disposition, record.error_code) == ("refused", "rate_limited")
        assert (record.cost_micro, record.reserved_micro) == (0, 0)


def test_each_user_has_a_limit_of_their_own(tmp_path: Path) -> None:
    limits = "[limits]\nper_user_requests_per_minute = 2\n"
    with serve(project(tmp_path, service(more=limits))) as live:
        key = live.new_key("answer", "act_as")
        assert [ask(live, key=key, user="ann").status for _ in range(3)] == [200, 200, 429]
        assert ask(live, key=key, user="bob").status == 200


def test_a_limit_of_a_tag_holds_over_services(tmp_path: Path) -> None:
    budgets = "[budgets.tags.vip]\nrequests_per_minute = 2\n"
    with serve(project(tmp_path, service(), service("chat"), budgets=budgets)) as live:
        assert [ask(live, name, tags="vip").status for name in ("reply", "chat", "reply")] == [
            200,
            200,
            429,
        ]
        assert ask(live).status == 200


def test_tokens_are_charged_by_estimate_and_corrected_by_what_was_counted(tmp_path: Path) -> None:
    limits = "[limits]\ntokens_per_minute = 1500\n"
    with serve(project(tmp_path, service(more=limits, most_tokens=1000))) as live:
        remaining = [int(ask(live).headers["x-ratelimit-remaining-tokens"]) for _ in range(3)]
        # Each is first charged with the 1,000 tokens that it may write, then with the 30 it took.
        assert 450 < remaining[0] < 500
        assert remaining[0] - 60 <= remaining[2] < remaining[0]


def test_a_thousand_at_once_pass_a_limit_exactly_as_often_as_it_lets_them(tmp_path: Path) -> None:
    limits = "[limits]\nrequests_per_minute = 200\n"
    with serve(project(tmp_path, service(more=limits))) as live:
        started = time.monotonic()
        with ThreadPoolExecutor(64) as pool:
            statuses = Counter(got.status for got in pool.map(lambda _: ask(live), range(1000)))
        took_s = time.monotonic() - started
        assert set(statuses) == {200, 429}
        assert 200 <= statuses[200] <= 200 + 200 * took_s / 60 + 1
