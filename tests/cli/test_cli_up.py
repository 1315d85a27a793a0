from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import run


@pytest.fixture
def taken() -> Iterator[int]:
    """Return a port that is in use for as long as the test runs."""
    with socket.create_server(("127.0.0.1", 0)) as there:
        yield there.getsockname()[1]


def test_a_port_that_is_in_use_is_refused_with_what_to_do(shop: Path, taken: int) -> None:
    ran = run("up", "--port", str(taken), "--project", shop)
    assert ran.code == 4
    assert "forbidden" in ran.err
    assert f"--port: expected a free port, got {taken}, which is in use on 127.0.0.1" in ran.err
    assert "choose another with `--port`" in ran.err


def test_an_address_of_another_machine_is_refused(shop: Path) -> None:
    run("keys", "create", "--scopes", "admin", "--project", shop)
    ran = run("up", "--host", "192.0.2.1", "--port", "0", "--project", shop)
    assert ran.code == 4
    assert "cannot listen on 192.0.2.1:0" in ran.err
    assert "internal_error" not in ran.err
