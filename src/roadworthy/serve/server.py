"""The HTTP server: uvicorn on uvloop, with a drain that lets every request finish."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn

from ..errors import Forbidden, RequestError
from .connection import Connection
from .gateway import Gateway

DRAIN_S = 20


class Server(uvicorn.Server):
    """Serves a gateway until it is told to stop; then it finishes what has begun.

    Args:
        gateway: What to serve.
        sock: Where to listen, bound already.
        on_ready: Called once requests are accepted.
    """

    def __init__(self, gateway: Gateway, sock: socket.socket, on_ready: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                gateway,
                loop="none",
                http=Connection,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                timeout_keep_alive=60,
                timeout_graceful_shutdown=DRAIN_S,
                backlog=4096,
            )
        )
        self._gateway = gateway
        self._socket = sock
        self._on_ready = on_ready

    async def run_until_stopped(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        await self.serve(sockets=[self._socket])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, then say so."""
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take SIGTERM and SIGINT as a wish to end; having done so is a success, not a death."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        for sig in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(sig, self.handle_exit, sig, None)
        try:
            yield
        finally:
            for sig in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(sig)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Turn unready, so that a balancer sends nothing more; a second signal ends at once."""
        self._gateway.is_draining = True
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True


def resolve(host: str) -> str:
    """Return the address that a host means, of IPv4 if it has one; an address stays what it is.

    Raises:
        RequestError: It is the name of nothing that is known here.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or "no such name"
        raise RequestError(
            f"--host: expected an address of this machine or a name of one, got `{host:.80}` "
            f"({reason}); 127.0.0.1 is this machine alone, 0.0.0.0 all its addresses",
            param="host",
        ) from error
    addresses = [str(address[0]) for _, _, _, _, address in found]
    return next((address for address in addresses if ":" not in address), addresses[0])


def url_of(host: str, port: int) -> str:
    """Return the URL of a server; an address of IPv6 stands in brackets there."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def bind(host: str, port: int) -> socket.socket:
    """Bind the address before anything else is started.

    Raises:
        Forbidden: The port is not this user's.
        RequestError: The port is taken, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except PermissionError as error:
        sock.close()
        raise Forbidden(_refusal(host, port, error)) from error
    except OSError as error:
        sock.close()
        raise RequestError(_refusal(host, port, error)) from error
    return sock


def _refusal(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"--port: expected a free port, got {port}, which is in use on {host}; end what "
            "listens there, or choose another with `--port`"
        )
    where = url_of(host, port).removeprefix("http://")
    return (
        f"cannot listen on {where}: {error.strerror or type(error).__name__}; choose another "
        "address with `--host` and `--port`"
    )
