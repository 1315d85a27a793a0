"""Any Python callable as a model, in a process of its own."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable
from itertools import count
from typing import Any, cast

import msgspec

from ..errors import (
    BadAnswer,
    DeclarationError,
    ModelError,
    ModelRejected,
    ModelTimeout,
    ModelUnavailable,
)
from ..types import Answer, Call
from .python_worker import HEADER_BYTES, Ask, Reply, frame, read_frame
from .spec import ModelSpec, Try, stream_whole

LOAD_WITHIN_S = 60.0
STOP_WITHIN_S = 1.0
FIRST_BACKOFF_S = 0.1
LONGEST_BACKOFF_S = 5.0

_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_reply_decoder = msgspec.msgpack.Decoder(Reply)


def open_model(spec: ModelSpec) -> PythonModel:
    """Start a worker for the `module:callable` of `spec.upstream`, and wait until it has loaded.

    Raises:
        DeclarationError: It is not of that form, or did not load; the message says why.
    """
    if not _TARGET.fullmatch(spec.upstream):
        raise DeclarationError(
            f"model `{spec.name}`: expected `module:callable`, got `{spec.upstream}`"
        )
    worker = _Worker(spec)
    try:
        worker.wait_until_loaded()
    except DeclarationError:
        worker.abandon()
        raise
    return PythonModel(spec, worker)


class _Worker(asyncio.Protocol):
    """One worker process, and the parent's end of the socket to it.

    Attributes:
        on_reply: Called with each reply.
        on_end: Called when the process has closed its end, however it came to that.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self.on_reply: Callable[[Reply], None]
        self.on_end: Callable[[_Worker], None]
        self.is_loaded = False
        self._spec = spec
        self._received = bytearray()
        self._transport: asyncio.WriteTransport | None = None
        self._connecting: asyncio.Task[Any] | None = None
        self._channel, theirs = socket.socketpair()
        with theirs:
            self.process = self._start(theirs.fileno())

    def _start(self, channel_fd: int) -> subprocess.Popen[bytes]:
        # -P: files in the folder must not stand in for the standard library before user code loads.
        # Its own session: Ctrl-C in the server's terminal is the server's to handle.
        module = "roadworthy.models.python_worker"
        command = [sys.executable, "-P", "-m", module, str(channel_fd), self._spec.upstream]
        return subprocess.Popen(  # noqa: S603 - the command is ours
            command,
            cwd=self._spec.folder,
            stdin=subprocess.DEVNULL,
            stdout=2,
            pass_fds=[channel_fd],
            start_new_session=True,
        )

    def wait_until_loaded(self) -> None:
        """Block until the callable is imported.

        Raises:
            DeclarationError: It could not be.
        """
        self._channel.settimeout(LOAD_WITHIN_S)
        try:
            body = read_frame(self._channel)
        except TimeoutError:
            reason = f"it took longer than {LOAD_WITHIN_S:.0f} s"
        except ConnectionError:
            reason = "its process ended"
        else:
            reply = (
                _reply_decoder.decode(body) if body else Reply(0, "not_loaded", "its process ended")
            )
            self.is_loaded = reply.status == "ready"
            reason = str(reply.output)
        self._channel.setblocking(False)
        if not self.is_loaded:
            raise DeclarationError(
                f"model `{self._spec.name}`: expected `{self._spec.upstream}` to load in "
                f"{self._spec.folder}, got: {reason}"
            )

    def connect(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hand the socket to the loop, once."""
        if self._connecting is None:
            self._channel.setblocking(False)
            connecting = loop.create_unix_connection(lambda: self, sock=self._channel)
            self._connecting = loop.create_task(connecting)

    @property
    def is_ready(self) -> bool:
        """Whether it takes asks."""
        return self.is_loaded and self._transport is not None

    def send(self, data: bytes) -> None:
        """Write one frame."""
        assert self._transport is not None
        self._transport.write(data)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's is one by shape only
        if self.is_loaded:
            self.on_reply(Reply(0, "ready"))

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._received += data
        while len(self._received) >= HEADER_BYTES:
            end = HEADER_BYTES + int.from_bytes(self._received[:HEADER_BYTES], "big")
            if len(self._received) < end:
                return
            reply = _reply_decoder.decode(self._received[HEADER_BYTES:end])
            del self._received[:end]
            self.is_loaded = self.is_loaded or reply.status == "ready"
            self.on_reply(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self.on_end(self)

    def kill(self) -> None:
        """End the process and whatever it started, at once."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)

    def kill_unless_loaded(self) -> None:
        """End a process that still imports."""
        if not self.is_loaded:
            self.kill()

    async def close(self) -> None:
        """Close this end; the process leaves by itself when it notices."""
        if self._connecting is not None:
            await self._connecting
        (self._transport or self._channel).close()

    def abandon(self) -> None:
        """Kill a process that no loop has met yet, and wait for its end."""
        self.kill()
        self._channel.close()
        self.process.wait()


class _Job:
    """One ask that waits in line or runs; its timer fires at its deadline."""

    __slots__ = ("data", "id", "reply", "timer")

    def __init__(self, job_id: int, data: bytes, reply: asyncio.Future[dict[str, Any]]) -> None:
        self.id = job_id
        self.data = data
        self.reply = reply
        self.timer: asyncio.TimerHandle

    def fail(self, error: ModelError) -> None:
        """Tell who waits, if someone still does."""
        self.timer.cancel()
        if not self.reply.done():
            self.reply.set_exception(error)


class PythonModel:
    """Answers by calling a Python function with the input; it returns the output, a mapping.

    One worker process takes one call at a time, the others wait in line. A call that overruns its
    deadline is a `ModelTimeout`, and its worker is killed and started again, because nothing else
    stops user code. When a caller leaves early, its call runs on in the worker until its deadline.
    A worker that dies is a `ModelUnavailable` for the call it had; it starts again at once, and
    after every further failure in a row twice as late, 0.1 s to 5 s. Until then calls are refused.
    The model belongs to the event loop of its first call.
    """

    def __init__(self, spec: ModelSpec, worker: _Worker) -> None:
        self.name = spec.name
        self._spec = spec
        self._queue: deque[_Job] = deque()
        self._running: _Job | None = None
        self._ids = count(1)
        self._failures = 0
        self._is_closed = False
        self._restart: asyncio.TimerHandle | None = None
        self._leaving: list[_Worker] = []
        self._worker: _Worker | None = None
        self._adopt(worker)

    def _adopt(self, worker: _Worker) -> None:
        worker.on_reply = self._on_reply
        worker.on_end = self._on_end
        self._worker = worker

    async def answer(self, call: Call) -> Answer:
        """Call the function in the worker.

        Raises:
            ModelTimeout: The deadline passed, in line or in the function.
            ModelUnavailable: The function raised, its worker died, or is about to start again.
            BadAnswer: It returned no mapping, or values that are not JSON.
            ModelRejected: The input cannot be handed to another process.
        """
        this_try = Try(self.name, self._spec.clock)
        this_try.check_time(call)
        try:
            output = await self._ask(call)
        except ModelError as error:
            raise this_try.failed(error) from error.__cause__
        except asyncio.CancelledError:
            call.unfinished = this_try.ended("cancelled")
            raise
        return Answer(model=self.name, output=output, attempts=(this_try.ended(),))

    def _ask(self, call: Call) -> asyncio.Future[dict[str, Any]]:
        if self._worker is None:
            raise self._unavailable()
        job_id = next(self._ids)
        try:
            data = frame(Ask(job_id, call.input))
        except (TypeError, ValueError) as error:
            raise ModelRejected(f"model `{self.name}` cannot be sent this input") from error
        loop = asyncio.get_running_loop()
        job = _Job(job_id, data, loop.create_future())
        job.timer = loop.call_at(call.deadline, self._expire, job)
        self._queue.append(job)
        self._worker.connect(loop)
        self._send_next()
        return job.reply

    def _unavailable(self) -> ModelUnavailable:
        if self._is_closed:
            return ModelUnavailable(f"model `{self.name}` is closed")
        return ModelUnavailable(
            f"the worker of model `{self.name}` failed {self._failures} times in a row and waits "
            f"to start again; why is on the server's error output",
            retry_after_s=self._backoff_s(),
        )

    def _backoff_s(self) -> float:
        if self._failures < 2:
            return 0.0
        return float(min(FIRST_BACKOFF_S * 2 ** (self._failures - 2), LONGEST_BACKOFF_S))

    def _send_next(self) -> None:
        while self._queue and self._running is None and self._worker and self._worker.is_ready:
            job = self._queue.popleft()
            if job.reply.done():
                job.timer.cancel()
            else:
                self._running = job
                self._worker.send(job.data)

    def _on_reply(self, reply: Reply) -> None:
        job = self._running
        if job is not None and reply.id == job.id:
            self._running = None
            self._failures = 0
            self._settle(job, reply)
        self._send_next()

    def _settle(self, job: _Job, reply: Reply) -> None:
        target = self._spec.upstream
        if reply.status == "raised":
            message = f"`{target}` raised {reply.output}; see the server's error output"
            job.fail(ModelUnavailable(message))
        elif reply.status == "bad":
            job.fail(BadAnswer(f"expected `{target}` to return a mapping, got {reply.output}"))
        else:
            job.timer.cancel()
            if not job.reply.done():
                job.reply.set_result(reply.output)

    def _expire(self, job: _Job) -> None:
        job.fail(ModelTimeout(f"model `{self.name}` did not answer in time"))
        if job is self._running and self._worker is not None:
            self._worker.kill()

    def _on_end(self, worker: _Worker) -> None:
        if self._is_closed:
            return
        self._leaving.append(worker)
        if self._running is not None:
            message = f"the worker of model `{self.name}` died during the call"
            self._running.fail(ModelUnavailable(message))
            self._running = None
        self._start_again()

    def _start_again(self) -> None:
        self._worker = None
        self._failures += 1
        delay_s = self._backoff_s()
        if not delay_s:
            self._start()
            return
        while self._queue:
            self._queue.popleft().fail(self._unavailable())
        self._restart = asyncio.get_running_loop().call_later(delay_s, self._start)

    def _start(self) -> None:
        self._leaving = [worker for worker in self._leaving if worker.process.poll() is None]
        try:
            worker = _Worker(self._spec)
        except OSError:
            self._start_again()
            return
        self._adopt(worker)
        loop = asyncio.get_running_loop()
        worker.connect(loop)
        loop.call_later(LOAD_WITHIN_S, worker.kill_unless_loaded)

    def stream(self, call: Call) -> AsyncGenerator[bytes | Answer, None]:
        """Yield the answer, whole."""
        return stream_whole(self, call)

    async def close(self) -> None:
        """Stop the worker: it may take a second to leave by itself, then it is killed."""
        self._is_closed = True
        if self._restart is not None:
            self._restart.cancel()
        for job in (*self._queue, *([self._running] if self._running else [])):
            job.fail(self._unavailable())
        self._queue.clear()
        self._running = None
        if self._worker is not None:
            self._leaving.append(self._worker)
            self._worker = None
            await self._leaving[-1].close()
        await self._wait_for_leaving()

    async def _wait_for_leaving(self) -> None:
        clock = self._spec.clock
        kill_at = clock.monotonic() + STOP_WITHIN_S
        while self._leaving:
            if clock.monotonic() >= kill_at:
                for worker in self._leaving:
                    worker.kill()
            self._leaving = [worker for worker in self._leaving if worker.process.poll() is None]
            await asyncio.sleep(0.01)
