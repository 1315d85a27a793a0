from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import run

from receiver import SECRET, Receiver, Reply, receiving
from roadworthy.app import open_project
from roadworthy.store.deliveries import list_deliveries, queue_delivery


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def hooked(shop: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPS_WEBHOOK_SECRET", SECRET)
    hook = f'\n[webhooks.ops]\nurl = "{receiver.url}"\nsecret_env = "OPS_WEBHOOK_SECRET"\n'
    with (shop / "roadworthy.toml").open("a") as file:
        file.write(hook)
    return shop


def test_a_test_prints_what_came_back(hooked: Path, receiver: Receiver) -> None:
    receiver.replies = [Reply(200, body=b"\x1b[31mthanks"), Reply(500, body=b"no")]
    ran = run("webhooks", "test", "ops", "--project", hooked)
    assert ran.code == 0
    assert "ops: delivered" in ran.out
    assert "status 200" in ran.out
    assert "\x1b" not in ran.out
    notice = receiver.got[0].notice
    assert (notice.type, notice.subject, notice.project) == ("webhook.test", "ops", "shop")
    failed = run("webhooks", "test", "ops", "--project", hooked, "--json")
    assert failed.code == 1
    assert failed.json["error"] == "answered with status 500"
    assert failed.json["answer"] == "no"


def test_a_list_shows_what_waits_and_what_failed(hooked: Path, receiver: Receiver) -> None:
    receiver.replies = [Reply(404)]
    run("webhooks", "test", "ops", "--project", hooked)
    with open_project(hooked) as project, project.state.begin() as connection:
        queue_delivery(connection, project.clock, "ops", "service.stop", "triage", {})
        queue_delivery(connection, project.clock, "gone", "service.stop", "triage", {})
    listed = run("webhooks", "list", "--project", hooked, "--json").json["webhooks"]
    ops, gone = listed
    assert (ops["webhook"], ops["waiting"], ops["given_up"], ops["delivered"]) == ("ops", 1, 1, 0)
    assert (ops["last_status"], ops["last_error"]) == (404, "answered with status 404")
    assert ops["url"] == receiver.url
    assert gone["last_error"] == "not declared in roadworthy.toml"
    assert "answered with status 404" in run("webhooks", "list", "--project", hooked).out


def test_what_was_given_up_is_queued_again(hooked: Path, receiver: Receiver) -> None:
    receiver.replies = [Reply(404)]
    run("webhooks", "test", "ops", "--project", hooked)
    assert run("webhooks", "retry", "ops", "--project", hooked).out == "ops: 1 queued again\n"
    again = run("webhooks", "retry", "ops", "--project", hooked, "--json")
    assert again.json == {"webhook": "ops", "queued": 0}
    with open_project(hooked) as project:
        (row,) = list_deliveries(project.state, "ops")
        assert row.given_up_at_us is None


@pytest.mark.parametrize("verb", ["test", "retry"])
def test_an_unknown_webhook_could_not_be_found(hooked: Path, verb: str) -> None:
    ran = run("webhooks", verb, "opps", "--project", hooked)
    assert ran.code == 4
    assert "webhooks: `ops`" in ran.err


def test_a_secret_that_is_unset_is_told_everywhere(
    hooked: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPS_WEBHOOK_SECRET")
    tested = run("webhooks", "test", "ops", "--project", hooked)
    assert tested.code == 1
    assert "`OPS_WEBHOOK_SECRET` is unset" in tested.err
    warned = run("check", "--project", hooked, "--json").json["warnings"]
    assert [w["message"] for w in warned if w["code"] == "no_secret"] == [
        "webhook `ops` can be sent nothing: `OPS_WEBHOOK_SECRET` is unset; set it where "
        "`roadworthy up` runs"
    ]
    signs = run("doctor", "--offline", "--project", hooked, "--json").json["checks"]
    (sign,) = (s for s in signs if s["part"] == "webhook `ops`")
    assert (sign["status"], sign["remedy"]) == ("warn", "export OPS_WEBHOOK_SECRET=...")
    assert receiver.got == []


def test_a_secret_that_is_set_is_fine_and_not_shown(hooked: Path) -> None:
    signs = run("doctor", "--offline", "--project", hooked, "--json")
    assert SECRET not in signs.out
    (sign,) = (s for s in signs.json["checks"] if s["part"] == "webhook `ops`")
    assert (sign["status"], sign["found"]) == ("ok", "`OPS_WEBHOOK_SECRET` is set")
    warned = run("check", "--project", hooked, "--json").json["warnings"]
    assert "no_secret" not in {w["code"] for w in warned}
