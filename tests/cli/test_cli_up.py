from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import run

from roadworthy.serve.server import resolve, url_of


@pytest.fixture
def taken() -> Iterator[int]:
    """Return a port that is in use for as long as the test runs."""
    with socket.create_server(("127.0.0.1", 0)) as there:
        yield there.getsockname()[1]


def test_a_port_that_is_in_use_is_refused_with_what_to_do(shop: Path, taken: int) -> None:
    ran = run("up", "--port", str(taken), "--project", shop)
    assert ran.code == 2
    assert "invalid_request" in ran.err
    assert f"--port: expected a free port, got {taken}, which is in use on 127.0.0.1" in ran.err
    assert "choose another with `--port`" in ran.err


def test_an_address_of_another_machine_is_refused(shop: Path) -> None:
    run("keys", "create", "--scopes", "admin", "--project", shop)
    ran = run("up", "--host", "192.0.2.1", "--port", "0", "--project", shop)
    assert ran.code == 2
    assert "cannot listen on 192.0.2.1:0" in ran.err
    assert "internal_error" not in ran.err


@pytest.mark.parametrize("host", ["nonsense.invalid", "", "..", "a" * 300])
def test_a_host_that_is_none_is_refused_with_what_to_do(shop: Path, host: str) -> None:
    ran = run("up", "--host", host, "--port", "0", "--project", shop)
    assert ran.code == 2
    assert f"--host: expected an address of this machine or a name of one, got `{host:.80}`" in (
        ran.err
    )
    assert "127.0.0.1 is this machine alone" in ran.err


def test_a_name_of_an_address_beyond_this_machine_wants_an_admin_key_too(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("roadworthy.cli.up.resolve", lambda _: "192.0.2.1")
    ran = run("up", "--host", "shop.example", "--port", "0", "--project", shop)
    assert ran.code == 4
    assert "will not listen on shop.example without an admin key" in ran.err


def test_a_name_is_resolved_to_its_address_of_ipv4() -> None:
    assert resolve("localhost") == "127.0.0.1"
    assert resolve("::1") == "::1"


def test_an_address_of_ipv6_stands_in_brackets_in_a_url() -> None:
    assert url_of("::1", 8700) == "http://[::1]:8700"
    assert url_of("127.0.0.1", 8700) == "http://127.0.0.1:8700"
