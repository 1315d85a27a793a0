"""Every act of the command line while `roadworthy up` serves the project beside it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from command_line import edit, run

pytestmark = pytest.mark.slow

ASKED = {"subject": "hello", "plan": "free", "amount_usd": 0}
FOLLOWED_S = 2.0
"""Far more than the 100 ms that are promised: these machines are busy."""


class Up:
    """A running server, and what it answers."""

    def __init__(self, folder: Path, port: int, key: str) -> None:
        self.folder = folder
        self.port = port
        self.key = key

    def ask(self, path: str, body: Any, key: str = "") -> tuple[int, Any]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = {"authorization": f"Bearer {key or self.key}"}
        connection.request("POST", path, json.dumps(body), headers)
        response = connection.getresponse()
        answer = json.loads(response.read())
        connection.close()
        return response.status, answer

    def triage(self, key: str = "", **more: Any) -> tuple[int, Any]:
        return self.ask("/v1/services/triage/answer", {"input": ASKED, **more}, key)

    def soon(self, status: int, key: str = "") -> Any:
        """Ask until the status is the one; the server follows without being told."""
        last = time.monotonic() + FOLLOWED_S
        while True:
            got, answer = self.triage(key)
            if got == status or time.monotonic() > last:
                assert got == status, answer
                return answer
            time.sleep(0.02)

    def run(self, *words: str | Path) -> Any:
        ran = run(*words, "--project", self.folder, "--json")
        assert ran.code == 0, ran.out
        return ran.json


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    folder = tmp_path_factory.mktemp("served") / "shop"
    run("init", folder, "--json")
    made = run("keys", "create", "--scopes", "answer,act_as", "--project", folder, "--json").json
    words = [
        sys.executable,
        "-u",
        "-m",
        "roadworthy",
        "up",
        "--port",
        "0",
        "--project",
        str(folder),
    ]
    with (
        (folder / "up.log").open("w") as log,
        subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        assert process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:(\d+)", process.stdout.readline())
        assert found is not None, (folder / "up.log").read_text()
        served = Up(folder, int(found[1]), made["key"])
        try:
            yield served
        finally:
            process.terminate()
            process.communicate(timeout=30)
    assert process.returncode == 0, (folder / "up.log").read_text()


def test_a_new_key_is_taken_and_a_revoked_one_refused(up: Up) -> None:
    made = up.run("keys", "create")
    assert up.soon(200, made["key"])["disposition"] == "answered"
    up.run("keys", "revoke", made["id"])
    assert up.soon(401, made["key"])["error"]["code"] == "unauthenticated"


def test_a_stop_and_a_resume_are_followed(up: Up) -> None:
    up.soon(200)
    up.run("stop", "triage")
    assert up.soon(503)["error"]["code"] == "service_stopped"
    up.run("resume", "triage")
    up.soon(200)


def test_an_answer_is_traced_at_once(up: Up) -> None:
    _, answer = up.triage()
    facts = up.run("trace", answer["request_id"])
    assert facts["record"]["id"] == answer["request_id"]


def test_a_promotion_is_followed(up: Up) -> None:
    edit(up.folder / "services/triage/service.toml", "deadline_ms = 500 ", "deadline_ms = 450 ")
    built = up.run("release", "build", "triage")["release"]
    up.run("release", "promote", "triage", built)
    last = time.monotonic() + FOLLOWED_S
    while (found := up.triage()[1]["release"]) != built and time.monotonic() < last:
        time.sleep(0.02)
    assert found == built


def test_a_job_runs_in_the_server(up: Up) -> None:
    assert up.run("jobs", "run", "retention")["last_error"] == ""
    ran = run("jobs", "run", "nothing", "--project", up.folder, "--json")
    assert ran.code == 4
    assert ran.json["error"]["code"] == "not_found"


def test_a_user_is_forgotten_in_the_servers_spool_too(up: Up) -> None:
    mark = "a-name-that-nobody-else-has"
    status, _ = up.triage(user=mark)
    assert status == 200
    gone = up.run("records", "delete", "--user", mark, "--yes")
    assert (gone["records"], gone["bodies"]) == (1, 1)
    assert up.run("records", "list", "--user", mark)["requests"] == []
    spool = (up.folder / ".roadworthy" / "spool").glob("*.spool")
    assert not any(mark.encode() in path.read_bytes() for path in spool)


def test_the_key_for_one_request_is_revoked_after_it(up: Up) -> None:
    up.run("jobs", "run", "retention")
    keys = up.run("keys", "list", "--all")["keys"]
    passing = [key for key in keys if key["name"].endswith("for one request")]
    assert passing
    assert {key["state"] for key in passing} == {"revoked"}


def test_a_backup_and_an_export_are_taken_while_it_serves(up: Up, tmp_path: Path) -> None:
    up.soon(200)
    assert up.run("store", "backup", tmp_path / "copy.db")["bytes"] > 0
    assert up.run("export", "--out", tmp_path / "records.parquet")["records"] > 0


def test_a_second_server_is_refused(up: Up) -> None:
    words = [sys.executable, "-m", "roadworthy", "up", "--port", "0", "--project", str(up.folder)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 4
    assert f"http://127.0.0.1:{up.port}" in done.stderr
