from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import write_project
from live import Live, serve
from receiver import SECRET, Receiver, Reply, receiving

SERVICE = """
name = "price"
kind = "predict"
owners = { product = "test" }
objectives = { deadline_ms = 1000 }
cost = { per_day_usd = 1 }
[[models]]
name = "rule"
provider = "rule"
model = "{'usd': 3}"
"""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def live(tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Iterator[Live]:
    monkeypatch.setenv("OPS_WEBHOOK_SECRET", SECRET)
    hook = f'[webhooks.ops]\nurl = "{receiver.url}"\nsecret_env = "OPS_WEBHOOK_SECRET"\n'
    with serve(write_project(tmp_path / "project", {"price": SERVICE}, {}, hook)) as live:
        yield live


def test_a_test_over_http_says_what_came_back_and_is_listed(live: Live, receiver: Receiver) -> None:
    receiver.replies = [Reply(403, body=b"who?")]
    tested = live.ask("POST", "/api/webhooks/ops/test").json
    assert (tested["status"], tested["answer"]) == (403, "who?")
    assert receiver.got[0].notice.data["by"].startswith("key:k_")
    (ops,) = live.ask("GET", "/api/webhooks").json["webhooks"]
    assert (ops["webhook"], ops["given_up"], ops["last_status"]) == ("ops", 1, 403)
    assert live.ask("POST", "/api/webhooks/ops/retry").json == {"webhook": "ops", "queued": 1}


def test_a_test_without_the_secret_says_what_is_missing(
    live: Live, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPS_WEBHOOK_SECRET")
    refused = live.ask("POST", "/api/webhooks/ops/test")
    assert (refused.status, refused.code) == (422, "declaration_error")
    assert "`OPS_WEBHOOK_SECRET` is unset" in refused.json["error"]["message"]
    assert receiver.got == []


@pytest.mark.parametrize("verb", ["test", "retry"])
def test_acts_need_a_webhook_that_is_declared_and_an_admin(live: Live, verb: str) -> None:
    assert live.ask("POST", f"/api/webhooks/opps/{verb}").status == 404
    reader = live.new_key("read")
    assert live.ask("POST", f"/api/webhooks/ops/{verb}", key=reader).status == 403
