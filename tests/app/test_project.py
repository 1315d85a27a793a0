"""An open project from plain Python: the same engine, records and rules as over HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conftest import MakeProject, write_project
from roadworthy import open_project
from roadworthy.errors import DeclarationError, NotFound, StoreBusy
from roadworthy.store.records import find_records
from roadworthy.types import DAY_US, SettableClock

RULE = """
name = "triage"
kind = "predict"
owners = { product = "test" }
objectives = { deadline_ms = 1000 }
cost = {}
[[models]]
name = "rule"
provider = "rule"
model = "{'urgent': input.amount > 10}"
"""


def test_an_answer_in_this_process_is_recorded_like_any_other(make_project: MakeProject) -> None:
    project = make_project({"triage": RULE})

    reply = project.service("triage").answer({"amount": 11}, user="bob", tags=("trial",))

    assert (reply.output, reply.disposition) == ({"urgent": True}, "answered")
    project.serving.writer.drain()
    record = find_records(project.state, service="triage")[0]
    assert (record.id, record.user, record.tags) == (reply.request_id, "bob", ("trial",))
    assert record.protocol == "python"


def test_a_refusal_is_a_reply_with_its_error(make_project: MakeProject) -> None:
    reply = make_project({"triage": RULE}).service("triage").answer({})
    assert reply.disposition == "failed"
    assert reply.error is not None
    assert "`rule`" in str(reply.error)


def test_many_threads_and_loops_share_one_engine(make_project: MakeProject) -> None:
    service = make_project({"triage": RULE}).service("triage")

    async def ask() -> int:
        replies = [service.answer_async({"amount": n}) for n in range(20)]
        return sum(reply.output["urgent"] for reply in await asyncio.gather(*replies))

    with ThreadPoolExecutor(4) as pool:
        totals = list(pool.map(lambda _: asyncio.run(ask()), range(4)))
    assert totals == [9] * 4


def test_a_project_that_is_closed_may_be_opened_again(tmp_path: Path) -> None:
    folder = write_project(tmp_path, {"triage": RULE})
    ids = []
    for _ in range(2):
        with open_project(folder) as project:
            ids.append(project.service("triage").answer({"amount": 1}).request_id)
            project.close()
    with open_project(folder) as project:
        found = {record.id for record in find_records(project.state)}
    assert found == set(ids)


def test_a_clock_that_was_set_goes_on_from_there_in_the_next_process(tmp_path: Path) -> None:
    folder = write_project(tmp_path, {"triage": RULE})
    wanted = 15_800 * DAY_US
    with open_project(folder) as project:
        assert isinstance(project.clock, SettableClock)
        project.clock.set(wanted)
    with open_project(folder) as project:
        assert wanted <= project.clock.now_us() < wanted + DAY_US


def test_an_unknown_service_is_told_with_those_there_are(make_project: MakeProject) -> None:
    with pytest.raises(NotFound, match="services: `triage`"):
        make_project({"triage": RULE}).service("other")


def test_a_paid_model_without_a_known_price_needs_a_ceiling(make_project: MakeProject) -> None:
    text = RULE.replace('provider = "rule"', 'provider = "up"').replace(
        "\"{'urgent': input.amount > 10}\"", '"strange-model-2025-01-01"'
    )
    up = '[providers.up]\nkind = "openai"\nbase_url = "https://models.example.org/v1"\n'
    text = text.replace("cost = {}", "cost = { per_day_usd = 1.0 }")
    project = make_project({"triage": text.replace("predict", "generate")}, project=up)
    with pytest.raises(DeclarationError, match="per_request_usd"):
        project.service("triage").answer({"text": "hello"})


@pytest.mark.parametrize(("part", "name"), [("database", "state.db"), ("spool", "spool")])
def test_what_is_deleted_under_a_server_degrades_it_until_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, name: str
) -> None:
    monkeypatch.setattr("roadworthy.app.serving.LOOK_S", 0.01)
    folder = write_project(tmp_path, {"triage": RULE})
    with open_project(folder) as project:
        assert project.serving.health()["trouble"] == {}
        path = folder / ".roadworthy" / name
        path.rename(tmp_path / "aside")
        until(lambda: part in project.serving.trouble)
        assert project.serving.health()["status"] == "degraded"
        assert str(path) in project.serving.trouble[part]
        assert project.service("triage").answer({"amount": 1}).disposition == "answered"
        (tmp_path / "aside").rename(path)
        until(lambda: project.serving.trouble == {})


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 8  # the writer waits up to 5 s after it failed
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_records_are_for_the_owner_of_the_project_alone(tmp_path: Path) -> None:
    folder = write_project(tmp_path, {"triage": RULE})
    open_project(folder).close()
    assert (folder / ".roadworthy").stat().st_mode & 0o077 == 0


def test_a_copy_of_a_project_on_the_same_store_is_refused_while_that_is_served(
    make_project: MakeProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project({"triage": RULE})
    project.service("triage").answer({"amount": 1})
    copy = write_project(tmp_path / "copy", {"triage": RULE})
    monkeypatch.setenv("ROADWORTHY_STORE_URL", project.store_url)
    with open_project(copy) as other, pytest.raises(StoreBusy, match="the store"):
        other.service("triage").answer({"amount": 1})
