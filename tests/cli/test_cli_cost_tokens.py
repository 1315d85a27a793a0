"""`roadworthy cost tokens`, and what `release compare` says of tokens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import edit, run
from sqlalchemy import insert

from conftest import write_project
from live import chat_service, provider_up, serve
from roadworthy.app import open_project
from roadworthy.models.faulty import FaultyUpstream
from roadworthy.signals.tokens import open_counter
from roadworthy.store.gateway_tables import ATTEMPT_COUNTS, attempt_hours
from roadworthy.types import HOUR_US

QUESTIONS = (
    "Can my dog fly with me in the cabin?",
    "航班延误了怎么办。退款需要多久。",
    "¿Cuánto cuesta cambiar la fecha de un billete Standard?",
)
OLD, NEW = "gpt-4-0613", "gpt-4o-2024-08-06"
PRICES = f"""
[providers.up.prices."{NEW}"]
input_usd_per_million = 2
output_usd_per_million = 2
"""


def project(folder: Path, upstream: FaultyUpstream, more: str = "") -> Path:
    text = chat_service(model=OLD, cost="per_day_usd = 1", deadline_ms=4000, more=more)
    prices = provider_up(upstream, OLD, input_usd=10, output_usd=10)
    suite = '{"id": "a", "input": {"question": "May my dog fly?"}, "expect": "yes"}\n'
    return write_project(
        folder, {"reply": text}, {"services/reply/s.jsonl": suite}, prices + PRICES
    )


@pytest.fixture(scope="module")
def upstream() -> Iterator[FaultyUpstream]:
    with FaultyUpstream(models=(OLD,)) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory, upstream: FaultyUpstream) -> Path:
    folder = project(tmp_path_factory.mktemp("asked") / "project", upstream)
    with serve(folder) as live:
        for question in QUESTIONS:
            assert live.chat("reply", question).status == 200
    return folder


def test_the_same_texts_are_counted_for_both_models(asked: Path) -> None:
    ran = run("cost", "tokens", OLD, NEW, "--project", asked, "--json")
    assert ran.code == 0
    change, money = ran.json["change"], ran.json["per_month"]
    counts = [
        sum(open_counter(model).chat([{"role": "user", "content": q}]) for q in QUESTIONS)
        for model in (OLD, NEW)
    ]
    assert [change["input"]["old_tokens"], change["input"]["new_tokens"]] == counts
    assert counts[1] < counts[0], "the newer vocabulary knows more of Chinese"
    ratio = change["input"]["value"]
    assert change["input"]["low"] < ratio < change["input"]["high"]
    assert (change["source"], change["input"]["n"], change["output"]["n"]) == ("records", 3, 3)
    assert (change["old_counted"], change["new_counted"]) == ("exact", "exact")
    traffic = ran.json["traffic"]
    sent = traffic["input_tokens"] * ratio
    written = traffic["output_tokens"] * change["output"]["value"]
    assert money["new_usd"] == pytest.approx((sent + written) * 2 / 1e6)
    assert money["same_price_usd"] == pytest.approx((sent + written) * 10 / 1e6)
    whole = traffic["input_tokens"] + traffic["output_tokens"]
    assert money["old_usd"] == pytest.approx(whole * 10 / 1e6)
    assert money["low_usd"] < money["new_usd"] < money["high_usd"]


def test_a_person_reads_the_change_and_the_money(asked: Path) -> None:
    ran = run("cost", "tokens", "up", NEW, "--service", "reply", "--project", asked)
    assert ran.code == 0
    assert f"tokens: for `{NEW}` instead of `{OLD}` input -" in ran.out
    assert "a month at present traffic" in ran.out


def test_what_nothing_is_known_of_is_inconclusive(asked: Path) -> None:
    ran = run("cost", "tokens", OLD, "claude-opus-4-5", "--project", asked)
    assert ran.code == 3
    assert "nothing is known of how `claude-opus-4-5` counts" in ran.out


def test_a_model_without_a_vocabulary_goes_by_what_its_provider_counted(
    tmp_path: Path, upstream: FaultyUpstream
) -> None:
    other = '[[models]]\nname = "other"\nprovider = "up"\nmodel = "own-model"\n'
    folder = project(tmp_path / "project", upstream, f"{other}timeout_ms = 1000")
    edit(
        folder / "services/reply/service.toml",
        "per_day_usd = 1",
        "per_request_usd = 0.1, per_day_usd = 1",
    )
    with serve(folder) as live:
        for question in QUESTIONS:
            assert live.chat("reply", question).status == 200
        hour = live.serving.engine._clock.now_us() // HOUR_US * HOUR_US
    counts = dict.fromkeys(ATTEMPT_COUNTS, 0) | {"input_bytes": 40_000, "input_tokens": 10_000}
    row = {"hour_us": hour, "service": "reply", "provider": "up", "model": "other"}
    with open_project(folder) as opened, opened.state.begin() as connection:
        connection.execute(insert(attempt_hours).values(**row, status="ok", **counts))
    found = run("cost", "tokens", OLD, "other", "--project", folder, "--json").json
    assert found["change"]["new_counted"] == "learned"
    assert found["change"]["input"]["value"] != 1
    assert any("the price of `own-model` is not known" in note for note in found["notes"])


def test_without_bodies_the_suites_are_counted(tmp_path: Path, upstream: FaultyUpstream) -> None:
    more = '[evaluation]\nsuites = ["s.jsonl"]\nmax_cost_usd = 1\n[records]\nbodies = "none"'
    folder = project(tmp_path / "project", upstream, more)
    with serve(folder) as live:
        assert live.chat("reply", QUESTIONS[0]).status == 200
    found = run("cost", "tokens", OLD, NEW, "--project", folder, "--json").json
    assert found["change"]["source"] == "suites"
    tokens = open_counter(OLD).count("May my dog fly?")
    assert found["change"]["input"]["old_tokens"] == tokens
    assert found["change"].get("output") is None
    assert any("no bodies are kept" in note for note in found["notes"])


def test_comparing_releases_tells_the_tokens_of_a_model_that_changed(
    tmp_path: Path, upstream: FaultyUpstream
) -> None:
    folder = project(tmp_path / "project", upstream)
    first = run("release", "build", "reply", "--project", folder, "--json").json["release"]
    with serve(folder) as live:
        for question in QUESTIONS:
            assert live.chat("reply", question).status == 200
    edit(folder / "services/reply/service.toml", OLD, NEW)
    second = run("release", "build", "reply", "--project", folder, "--json").json["release"]
    found = run("release", "compare", first, second, "--project", folder, "--json").json
    (change,) = found["tokens"]
    assert (change["old"], change["new"]) == (OLD, NEW)
    assert change["input"]["value"] < 1
    assert found["notes"][0].startswith(f"tokens: for `{NEW}` instead of `{OLD}` input -")
    shown = run("release", "compare", first, second, "--project", folder)
    assert "tokens: for" in shown.out
    releases = run("cost", "tokens", first, second, "--project", folder, "--json").json
    assert releases["change"]["input"] == change["input"]
    same = run("release", "compare", first, first, "--project", folder, "--json").json
    assert "tokens" not in same or not same["tokens"]


def test_only_chats_have_tokens(shop: Path) -> None:
    ran = run("cost", "tokens", OLD, NEW, "--service", "nothing", "--project", shop)
    assert ran.code == 4
