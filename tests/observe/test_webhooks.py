"""What is sent to webhooks, against a real receiver that has bad days."""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine

from live import until
from receiver import SECRET, Got, Receiver, Reply, json_of, receiving
from roadworthy.declare.load import load_project
from roadworthy.errors import DeclarationError
from roadworthy.observe.messages import slack_message
from roadworthy.observe.webhooks import Sender, send_test
from roadworthy.store.deliveries import (
    Delivery,
    list_deliveries,
    next_due,
    queue_delivery,
    standings,
)
from roadworthy.store.state import open_state
from roadworthy.types import HOUR_US, MICRO, SettableClock

START_US = 1_365_000_000 * MICRO
"""In 2013: receivers must not be told that time, or they would take each notice for a replay."""

VARIABLE = "OPS_WEBHOOK_SECRET"


class Stage:
    """A project with one webhook, at a time of its own."""

    def __init__(self, folder: Path, url: str, more: str = "") -> None:
        self.folder = folder
        (folder / "roadworthy.toml").write_text(
            f'[project]\nname = "demo"\n[webhooks.ops]\nurl = "{url}"\n'
            f'secret_env = "{VARIABLE}"\n{more}\n'
        )
        self.project = load_project(folder)
        self.state: Engine = open_state(f"sqlite:///{folder / 'state.db'}")
        self.clock = SettableClock()
        self.clock.set(START_US)
        self.sender = self.new_sender()

    def new_sender(self, timeout_s: float = 5.0) -> Sender:
        return Sender("ops", self.project, self.state, self.clock, lambda: "", timeout_s)

    def queue(self, n: int, subject: str = "reply", **facts: Any) -> str:
        with self.state.begin() as connection:
            payload = {"n": n, **facts}
            return queue_delivery(connection, self.clock, "ops", "service.stop", subject, payload)

    def later(self, seconds: float) -> str:
        """Let time go on, and the job run."""
        self.clock.set(self.clock.now_us() + int(seconds * MICRO))
        return self.sender.run()

    @property
    def rows(self) -> list[Delivery]:
        return list_deliveries(self.state, "ops")


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, SECRET)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


MakeStage = Callable[..., Stage]


@pytest.fixture
def make_stage(tmp_path: Path) -> Iterator[MakeStage]:
    stages: list[Stage] = []

    def make(url: str, more: str = "") -> Stage:
        stages.append(Stage(tmp_path, url, more))
        return stages[-1]

    yield make
    for stage in stages:
        stage.state.dispose()


@pytest.fixture
def stage(receiver: Receiver, make_stage: MakeStage) -> Stage:
    return make_stage(f"{receiver.url}/hooks/roadworthy/")


def test_a_notice_is_signed_for_now_and_says_when_it_happened(
    stage: Stage, receiver: Receiver
) -> None:
    id = stage.queue(1, link="/services/reply")
    assert stage.sender.run() == "1 sent, 0 given up"
    (got,) = receiver.got
    assert got.path == "/hooks/roadworthy/"
    assert got.headers["content-type"] == "application/json"
    notice = got.notice  # which is to be believed, so its signature is of now
    assert (notice.id, notice.type, notice.project) == (id, "service.stop", "demo")
    assert (notice.subject, notice.data) == ("reply", {"n": 1, "link": "/services/reply"})
    assert notice.timestamp.startswith("2013-04-03T")
    (row,) = stage.rows
    assert (row.tries, row.last_status, row.last_error) == (1, 204, "")
    assert row.delivered_at_us is not None


def test_nothing_is_sent_twice(stage: Stage, receiver: Receiver) -> None:
    stage.queue(1)
    stage.sender.run()
    assert stage.later(3600) == "nothing was due"
    assert receiver.facts == [1]


def test_a_receiver_that_is_down_for_an_hour_gets_each_notice_once_and_in_order(
    make_stage: MakeStage,
) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    stage = make_stage(f"http://127.0.0.1:{port}/")
    for minute in range(60):
        if minute % 6 == 0:
            stage.queue(minute, f"s{minute % 12}")
        stage.later(60)
    assert all(row.delivered_at_us is None and row.given_up_at_us is None for row in stage.rows)
    assert "no connection" in stage.sender.trouble
    with receiving(port) as receiver:
        for _ in range(60):
            stage.later(60)
    assert sorted(receiver.facts) == list(range(0, 60, 6))
    for rest in (0, 6):
        of_one = [n for n in receiver.facts if n % 12 == rest]
        assert of_one == sorted(of_one)
    assert stage.sender.trouble == ""


@pytest.mark.parametrize("status", [500, 503, 408, 301, 307])
def test_a_failure_is_tried_again_with_the_same_id_and_body(
    stage: Stage, receiver: Receiver, status: int
) -> None:
    receiver.replies = [Reply(status, {"location": f"{receiver.url}/elsewhere"})] * 2
    id = stage.queue(1)
    assert f"status {status}" in stage.sender.run()
    assert stage.later(1) == "nothing was due"
    stage.later(10)
    stage.later(20)
    assert [got.id for got in receiver.got] == [id] * 3
    assert len({got.body for got in receiver.got}) == 1
    assert {got.path for got in receiver.got} == {"/hooks/roadworthy/"}, "a redirect was followed"
    assert stage.rows[0].delivered_at_us is not None


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422])
def test_a_refusal_is_given_up_at_once_and_seen(
    stage: Stage, receiver: Receiver, status: int
) -> None:
    receiver.replies = [Reply(status)]
    stage.queue(1)
    assert stage.sender.run() == "0 sent, 1 given up"
    assert f"the last notice was given up: answered with status {status}" in stage.sender.trouble
    assert stage.later(7200) == "nothing was due"
    stage.queue(2)
    stage.sender.run()
    assert stage.sender.trouble == ""
    (found,) = standings(stage.state, ["ops"])
    assert (found.given_up, found.delivered, found.last_status) == (1, 1, status)


def test_a_receiver_that_asks_for_time_gets_it(stage: Stage, receiver: Receiver) -> None:
    receiver.replies = [Reply(429, {"retry-after": "120"})]
    stage.queue(1)
    stage.queue(2, "triage")
    stage.sender.run()
    assert stage.later(60) == "nothing was due", "the other subject waits too"
    assert stage.rows[1].next_try_us >= START_US + 120 * MICRO
    stage.sender = stage.new_sender()
    stage.later(61)
    assert sorted(receiver.facts) == [1, 1, 2]


def test_a_date_says_when_to_come_again_too(stage: Stage, receiver: Receiver) -> None:
    at = format_datetime(datetime.now(UTC) + timedelta(minutes=10), usegmt=True)
    receiver.replies = [Reply(503, {"retry-after": at})]
    stage.queue(1)
    before_us = stage.clock.now_us()
    stage.sender.run()
    waits_s = (stage.rows[0].next_try_us - before_us) / MICRO
    assert 500 < waits_s <= 610


@pytest.mark.parametrize("asked", ["soon", "-1", "1e9", "Thu, 99 Foo 2026", "9" * 400, ""])
def test_a_senseless_wait_is_not_kept(stage: Stage, receiver: Receiver, asked: str) -> None:
    receiver.replies = [Reply(503, {"retry-after": asked})]
    stage.queue(1)
    before_us = stage.clock.now_us()
    stage.sender.run()
    assert stage.rows[0].next_try_us <= before_us + 86_401 * MICRO


def test_a_receiver_that_hangs_is_left_and_tried_again(stage: Stage, receiver: Receiver) -> None:
    hold = threading.Event()
    receiver.replies = [Reply(hold=hold)]
    stage.queue(1)
    stage.sender = stage.new_sender(timeout_s=0.2)
    assert "no answer within 200 ms" in stage.sender.run()
    hold.set()
    stage.later(10)
    assert receiver.facts == [1, 1]
    assert stage.rows[0].delivered_at_us is not None


def test_an_answer_without_an_end_does_not_undo_its_status(make_stage: MakeStage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        stage = make_stage(f"http://127.0.0.1:{listening.getsockname()[1]}/")
        stage.queue(1)
        stage.sender = stage.new_sender(timeout_s=0.3)

        def answer() -> None:
            connection, _ = listening.accept()
            connection.recv(65_536)
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhi")
            connection.recv(1)
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        assert stage.sender.run() == "1 sent, 0 given up"
        thread.join()


@pytest.mark.parametrize("reply", [b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 200 OK\r\nx: ", b""])
def test_what_is_no_http_is_a_failure_like_others(make_stage: MakeStage, reply: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        stage = make_stage(f"http://127.0.0.1:{listening.getsockname()[1]}/")
        stage.queue(1)

        def answer() -> None:
            connection, _ = listening.accept()
            connection.recv(65_536)
            connection.sendall(reply)
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        assert "then one failed" in stage.sender.run()
        thread.join()
    (row,) = stage.rows
    assert (row.last_status, row.tries, row.given_up_at_us) == (None, 1, None)


def test_degraded_is_said_after_a_quarter_of_an_hour_and_not_before(
    stage: Stage, receiver: Receiver
) -> None:
    receiver.always = Reply(500)
    stage.queue(1)
    stage.later(14 * 60)
    assert stage.sender.trouble == ""
    stage.later(2 * 60)
    assert "not been delivered for 16 minutes: answered with status 500" in stage.sender.trouble


KILLED = """
import os, sys
from roadworthy.observe import webhooks
from roadworthy.declare.load import load_project
from roadworthy.store.state import open_state
from roadworthy.types import SystemClock
from pathlib import Path

def die(*_):
    os.kill(os.getpid(), 9)

webhooks.note_result = die
folder = Path(sys.argv[1])
state = open_state(f"sqlite:///{folder / 'state.db'}")
webhooks.Sender("ops", load_project(folder), state, SystemClock(), str).run()
"""


def test_a_process_killed_before_it_noted_the_result_sends_it_again_with_the_same_id(
    stage: Stage, receiver: Receiver
) -> None:
    id = stage.queue(1)
    ran = subprocess.run([sys.executable, "-c", KILLED, str(stage.folder)], check=False)
    assert ran.returncode == -signal.SIGKILL
    assert [got.id for got in receiver.got] == [id]
    assert stage.rows[0].tries == 0
    stage.sender.run()
    assert [got.id for got in receiver.got] == [id, id]
    assert stage.later(60) == "nothing was due"


def test_a_sender_that_is_stopped_lets_go_of_a_receiver_that_hangs(
    stage: Stage, receiver: Receiver
) -> None:
    hold = threading.Event()
    receiver.replies = [Reply(hold=hold)]
    id = stage.queue(1)
    stage.sender = stage.new_sender(timeout_s=60)
    said: list[str] = []
    thread = threading.Thread(target=lambda: said.append(stage.sender.run()))
    thread.start()
    until(lambda: bool(receiver.got), 10)
    stage.sender.stop()
    thread.join(10)
    hold.set()
    assert said == ["stopped; what was under way is sent again"]
    stage.sender.stop()
    stage.sender = stage.new_sender()
    stage.sender.run()
    assert [got.id for got in receiver.got] == [id, id]


def test_a_secret_that_is_unset_holds_everything_back_and_says_so(
    stage: Stage, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE)
    stage.queue(1)
    for _ in range(5):
        assert f"`{VARIABLE}` is unset" in stage.later(86_400)
    assert f"`{VARIABLE}` is unset" in stage.sender.trouble
    assert receiver.got == []
    monkeypatch.setenv(VARIABLE, SECRET)
    assert stage.sender.run() == "1 sent, 0 given up"
    assert stage.sender.trouble == ""


def test_the_secret_is_nowhere_but_in_the_environment(
    stage: Stage, receiver: Receiver, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    held = SECRET.removeprefix("whsec_")
    receiver.replies = [Reply(500), Reply(404)]
    with caplog.at_level(logging.DEBUG):
        stage.queue(1)
        said = stage.sender.run() + stage.later(10)
        stage.queue(2)
        said += stage.later(1) + stage.sender.trouble
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    sent = b"".join(got.body + repr(got.headers).encode() for got in receiver.got)
    for place in (said, caplog.text, kept.decode("latin-1"), sent.decode("latin-1")):
        assert held not in place


@pytest.mark.parametrize("url", ["http://ops.example.com/", "http://8.8.8.8/", "ftp://10.0.0.1/"])
def test_plain_http_leaves_no_private_network(make_stage: MakeStage, url: str) -> None:
    with pytest.raises(DeclarationError, match=r"webhooks\.ops\.url"):
        make_stage(url)


def test_a_webhook_without_the_event_is_told_nothing_of_it(
    receiver: Receiver, make_stage: MakeStage
) -> None:
    stage = make_stage(receiver.url, 'events = ["release.promote"]')
    assert stage.project.webhooks_for("service.stop") == ()
    assert stage.project.webhooks_for("release.promote") == ("ops",)


# Slack.

PATH = "/services/T00/B00/wh1sp3red"


@pytest.fixture
def slack(receiver: Receiver, make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setenv(VARIABLE, receiver.url + PATH)
    more = 'format = "slack"\nconsole_url = "https://roadworthy.example.com/"'
    return make_stage(receiver.url, more)


def test_slack_gets_a_message_with_a_link_and_no_signature(
    slack: Stage, receiver: Receiver
) -> None:
    slack.queue(1, reason="wrong <!channel> & prices", link="/services/reply?<|x>")
    assert slack.sender.run() == "1 sent, 0 given up"
    (got,) = receiver.got
    assert got.path == PATH
    assert "webhook-signature" not in got.headers
    body = json_of(got)
    assert body["text"] == "demo: service.stop reply"
    first, second = texts_of(got)
    assert "reason: wrong &lt;!channel&gt; &amp; prices" in first
    link = "https://roadworthy.example.com/services/reply?%3C%7Cx%3E"
    assert second == f"<{link}|Open in the console>"


def texts_of(got: Got) -> list[str]:
    body = msgspec.json.decode(got.body)
    assert {block["type"] for block in body["blocks"]} == {"section"}
    return [block["text"]["text"] for block in body["blocks"]]


def test_a_message_keeps_slacks_bounds_whatever_is_told() -> None:
    facts = {f"fact-{n}": "<&>" * 500 for n in range(40)}
    delivery = Delivery(
        seq=1,
        id="wh_1",
        webhook="ops",
        event="service.stop",
        subject="s" * 5000,
        body=msgspec.json.encode(facts).decode(),
        created_at_us=START_US,
        next_try_us=START_US,
    )
    body = msgspec.json.decode(slack_message(delivery, "demo", ""))
    (block,) = body["blocks"]
    assert len(block["text"]["text"]) < 3000
    assert not {"<", ">"} & set(block["text"]["text"])
    for escape in block["text"]["text"].split("&")[1:]:
        assert escape.startswith(("lt;", "gt;", "amp;"))


@pytest.mark.parametrize(
    "value", ["https://evil.example.com/services/T", "T00/B00/x", "/", "/a b\nx", "{url}.evil/x"]
)
def test_a_url_that_starts_elsewhere_is_refused_and_not_shown(
    slack: Stage, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv(VARIABLE, value.format(url=receiver.url))
    slack.queue(1)
    said = slack.sender.run()
    assert f"expected a URL that starts with `{receiver.url}/`" in said
    assert "evil" not in said
    assert receiver.got == []


def test_slacks_url_is_nowhere_but_in_the_environment(
    slack: Stage, receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.replies = [Reply(500), Reply(410, body=b"channel_is_archived")]
    slack.queue(1)
    with caplog.at_level(logging.DEBUG):
        said = slack.sender.run() + slack.later(10) + slack.sender.trouble
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    for place in (said, caplog.text, kept.decode("latin-1")):
        assert "wh1sp3red" not in place


# The test of a webhook.


def test_a_test_is_sent_now_and_says_what_came_back(stage: Stage, receiver: Receiver) -> None:
    receiver.replies = [Reply(401, body=b"who are you?"), Reply(200, body=b"ok")]
    refused = send_test("ops", stage.project, stage.state, stage.clock, by="cli:ana")
    assert (refused.status, refused.answer) == (401, "who are you?")
    stage.sender.run()
    assert "given up" in stage.sender.trouble
    good = send_test("ops", stage.project, stage.state, stage.clock, by="cli:ana")
    assert (good.status, good.error, good.answer) == (200, "", "ok")
    assert receiver.got[1].notice.type == "webhook.test"
    stage.sender.run()
    assert stage.sender.trouble == ""
    assert next_due(stage.state, "ops", START_US + HOUR_US) is None
