"""The worker process of one Python model: `python -m … FD MODULE:CALLABLE`.

It answers over a socket it inherits, one frame at a time: four bytes of length (big-endian), then
msgpack. Its stdout is the server's error output, so nothing that user code prints meets a frame. It
leaves when the other end closes, also in the middle of a call.
"""

from __future__ import annotations

import importlib
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, Literal, NamedTuple, TypeVar

import msgspec

HEADER_BYTES = 4
MAX_FRAME_BYTES = 64 * 1024 * 1024
LEAVE_WITHIN_S = 1.0

A = TypeVar("A")
T = TypeVar("T")
Status = Literal["ready", "not_loaded", "ok", "raised", "bad"]


class Ask(msgspec.Struct, frozen=True, array_like=True):
    """One input for the callable."""

    id: int
    input: dict[str, Any]


class Reply(msgspec.Struct, frozen=True, array_like=True):
    """What became of an ask; id 0 is the handshake. `output` is a text unless all is `ok`."""

    id: int
    status: Status
    output: Any = None


def frame(message: Ask | Reply) -> bytes:
    """Return `message` as it goes over the socket.

    Raises:
        TypeError: It holds a value that msgpack cannot say.
        ValueError: It is longer than 64 MiB, or holds a number beyond 64 bits.
    """
    try:
        body = msgspec.msgpack.encode(message, enc_hook=_plain)
    except OverflowError as error:
        raise ValueError(str(error)) from error
    if len(body) > MAX_FRAME_BYTES:
        raise ValueError(f"expected at most {MAX_FRAME_BYTES} bytes, got {len(body)}")
    return len(body).to_bytes(HEADER_BYTES, "big") + body


def read_frame(channel: socket.socket) -> bytes:
    """Wait for one frame and return its body; empty when the other end has closed."""
    header = _read_exactly(channel, HEADER_BYTES)
    return _read_exactly(channel, int.from_bytes(header, "big")) if header else b""


def _read_exactly(channel: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        if not (chunk := channel.recv(min(count - len(data), 1 << 20))):
            return b""
        data += chunk
    return bytes(data)


def _plain(value: Any) -> Any:
    """Turn what numpy, pandas or torch return into Python's own values."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a value of type {type(value).__name__}")


def load_callable(target: str) -> Callable[[dict[str, Any]], Any]:
    """Import the callable that `module:name` names.

    Raises:
        TypeError: It is there but cannot be called.
    """
    module, _, name = target.partition(":")
    function = attrgetter(name)(importlib.import_module(module))
    if not callable(function):
        raise TypeError(f"expected `{target}` to be callable, got {type(function).__name__}")
    return function  # type: ignore[no-any-return] # what user code returns is checked per call


class Raised(NamedTuple):
    """What the user's code raised instead of giving anything."""

    error: Exception


def attempt(code: Callable[[A], T], argument: A) -> T | Raised:
    """Return what the user's code gives, or what it raised."""
    try:
        return code(argument)
    except Exception as error:  # noqa: BLE001 - a plugin call: it may raise whatever it likes
        traceback.print_exc()
        return Raised(error)


def reply_to(function: Callable[[dict[str, Any]], Any], ask: Ask) -> bytes:
    """Call `function` and return the frame of its reply, whatever it does."""
    output = attempt(function, ask.input)
    if isinstance(output, Raised):
        error = output.error
        return frame(Reply(ask.id, "raised", f"{type(error).__name__} at {_place(error)}"))
    if not isinstance(output, Mapping):
        return frame(Reply(ask.id, "bad", f"a {type(output).__name__}"))
    try:
        return frame(Reply(ask.id, "ok", output))
    except (TypeError, ValueError) as error:
        return frame(Reply(ask.id, "bad", str(error)))


def _place(error: BaseException) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{os.path.basename(last.filename)}:{last.lineno}"


def _leave_with_parent(channel: socket.socket) -> None:
    """Wait until the other end closes, then end this process and its children, busy or not."""
    hangup = select.poll()
    hangup.register(channel, getattr(select, "POLLRDHUP", 0))
    hangup.poll()
    time.sleep(LEAVE_WITHIN_S)
    os.killpg(0, signal.SIGKILL)


def main(channel_fd: int, target: str) -> int:
    """Load `target`, then answer until the other end closes; return the exit code."""
    channel = socket.socket(fileno=channel_fd)
    channel.set_inheritable(False)
    threading.Thread(target=_leave_with_parent, args=(channel,), daemon=True).start()
    sys.path.insert(0, os.getcwd())
    function = attempt(load_callable, target)
    if isinstance(function, Raised):
        error = function.error
        last_line = traceback.format_exception_only(error)[-1].strip()
        channel.sendall(frame(Reply(0, "not_loaded", f"{last_line} (at {_place(error)})")))
        return 1
    channel.sendall(frame(Reply(0, "ready")))
    while body := read_frame(channel):
        channel.sendall(reply_to(function, msgspec.msgpack.decode(body, type=Ask)))
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2]))
