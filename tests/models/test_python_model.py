from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop
from model_calls import ask

from roadworthy.errors import (
    BadAnswer,
    DeclarationError,
    ModelRejected,
    ModelTimeout,
    ModelUnavailable,
)
from roadworthy.models.python import PythonModel, open_model
from roadworthy.models.spec import ModelSpec
from roadworthy.testing import check_model

pytestmark = pytest.mark.slow

CODE = """
import os, socket, time

print("printed while it loads")

class Scalar:
    def tolist(self):
        return 0.25

def echo(row):
    print("printed", flush=True)
    os.write(1, b"written to descriptor 1")
    return {"pid": os.getpid(), "cwd": os.getcwd(), **row}

def act(row):
    if "sleep_s" in row:
        time.sleep(row["sleep_s"])
    if "exit" in row:
        os._exit(row["exit"])
    if "raise" in row:
        raise ValueError(row["raise"])
    return {"pid": os.getpid(), "n": row.get("n")}

kept = []

def idle(row):
    # The test sees the end of this connection when the process is gone.
    kept.append(socket.create_connection(("127.0.0.1", row["watch"])))
    kept[0].sendall(b"here")
    return {}

def busy(row):
    idle(row)
    time.sleep(3600)

def odd(row):
    gifts = {"list": [1], "none": None, "object": {"a": object()}, "scalar": {"a": Scalar()}}
    return gifts[row["give"]]

not_callable = 1
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "own.py").write_text(CODE)
    # A name of the standard library: it must not stand in for it while the worker starts.
    (tmp_path / "socket.py").write_text("raise RuntimeError('shadowed')")
    (tmp_path / "broken.py").write_text("import json\n\nx = 1 / 0\n")
    return tmp_path


@pytest.fixture
def opened(folder: Path) -> Callable[[str], PythonModel]:
    return lambda target: open_model(ModelSpec(name="own", upstream=target, folder=folder))


def run(model: PythonModel, talk: Callable[[PythonModel], Awaitable[Any]]) -> Any:
    """Run `talk` with a model, and close it."""

    async def main() -> Any:
        try:
            return await talk(model)
        finally:
            await model.close()

    return asyncio.run(main())


async def output_of(model: PythonModel, values: dict[str, Any], within_s: float = 10.0) -> Any:
    return (await model.answer(ask(values, within_s))).output


@pytest.fixture
def watch() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        yield listener


def port_of(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run])
def test_a_callable_answers_in_another_process_whatever_it_prints(
    opened: Callable[[str], PythonModel], folder: Path, runner: Callable[[Any], Any]
) -> None:
    async def main() -> Any:
        model = opened("own:echo")
        try:
            return [await output_of(model, {"n": n, "text": "é" * 100_000}) for n in range(3)]
        finally:
            await model.close()

    outputs = runner(main())
    assert [output["n"] for output in outputs] == [0, 1, 2]
    assert outputs[0]["text"] == "é" * 100_000
    assert outputs[0]["pid"] == outputs[2]["pid"] != os.getpid()
    assert outputs[0]["cwd"] == str(folder)


def test_what_it_prints_goes_to_the_servers_error_output(
    opened: Callable[[str], PythonModel], capfd: pytest.CaptureFixture[str]
) -> None:
    run(opened("own:echo"), lambda model: output_of(model, {}))
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "printed while it loads" in captured.err
    assert "written to descriptor 1" in captured.err


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("broken:x", r"ZeroDivisionError: division by zero \(at broken\.py:3\)"),
        ("own:nowhere", "has no attribute 'nowhere'"),
        ("nowhere:x", "No module named 'nowhere'"),
        ("own:not_callable", "to be callable, got int"),
        ("own.py", "expected `module:callable`, got `own.py`"),
        ("own:act; import os", "expected `module:callable`"),
    ],
)
def test_what_cannot_be_loaded_is_no_declaration(
    opened: Callable[[str], PythonModel], target: str, reason: str
) -> None:
    with pytest.raises(DeclarationError, match=reason):
        opened(target)


def test_a_process_that_ends_while_it_loads_is_no_declaration(
    opened: Callable[[str], PythonModel], folder: Path
) -> None:
    (folder / "leaves.py").write_text("import os\nos._exit(3)\n")
    with pytest.raises(DeclarationError, match="its process ended"):
        opened("leaves:x")


def test_an_error_in_the_callable_names_type_and_place_but_not_its_text(
    opened: Callable[[str], PythonModel],
) -> None:
    async def talk(model: PythonModel) -> None:
        before = await output_of(model, {})
        with pytest.raises(ModelUnavailable, match=r"ValueError at own\.py:\d+") as caught:
            await output_of(model, {"raise": "not for logs"})
        assert "not for logs" not in str(caught.value)
        assert [a.status for a in caught.value.attempts] == ["model_unavailable"]
        assert await output_of(model, {}) == before

    run(opened("own:act"), talk)


@pytest.mark.parametrize("give", ["list", "none", "object"])
def test_what_is_no_mapping_of_plain_values_is_a_bad_answer(
    opened: Callable[[str], PythonModel], give: str
) -> None:
    with pytest.raises(BadAnswer, match="expected `own:odd` to return a mapping"):
        run(opened("own:odd"), lambda model: output_of(model, {"give": give}))


def test_scalars_of_array_libraries_become_numbers(opened: Callable[[str], PythonModel]) -> None:
    output = run(opened("own:odd"), lambda model: output_of(model, {"give": "scalar"}))
    assert output == {"a": 0.25}


def test_an_input_that_cannot_leave_the_process_is_rejected(
    opened: Callable[[str], PythonModel],
) -> None:
    async def talk(model: PythonModel) -> None:
        for value in (2**70, "\ud800", object()):
            with pytest.raises(ModelRejected):
                await output_of(model, {"n": value})
        assert (await output_of(model, {"n": 1}))["n"] == 1

    run(opened("own:act"), talk)


def test_calls_at_once_wait_in_line_and_each_gets_its_own_answer(
    opened: Callable[[str], PythonModel],
) -> None:
    async def talk(model: PythonModel) -> list[Any]:
        return await asyncio.gather(*(output_of(model, {"n": n}) for n in range(50)))

    assert [output["n"] for output in run(opened("own:act"), talk)] == list(range(50))


def test_a_call_that_overruns_is_a_timeout_and_the_next_one_has_a_new_worker(
    opened: Callable[[str], PythonModel],
) -> None:
    async def talk(model: PythonModel) -> None:
        before = await output_of(model, {})
        with pytest.raises(ModelTimeout) as caught:
            await output_of(model, {"sleep_s": 3600}, within_s=0.1)
        assert caught.value.attempts[0].status == "model_timeout"
        after = await output_of(model, {"n": 1})
        assert after["n"] == 1
        assert after["pid"] != before["pid"]

    run(opened("own:act"), talk)


def test_a_call_whose_deadline_passes_in_line_does_not_disturb_the_one_that_runs(
    opened: Callable[[str], PythonModel],
) -> None:
    async def talk(model: PythonModel) -> None:
        running = asyncio.ensure_future(output_of(model, {"sleep_s": 0.4, "n": 1}))
        await asyncio.sleep(0)
        with pytest.raises(ModelTimeout):
            await output_of(model, {"n": 2}, within_s=0.1)
        third = asyncio.ensure_future(output_of(model, {"n": 3}))
        outputs = await asyncio.gather(running, third)
        assert [output["n"] for output in outputs] == [1, 3]
        assert outputs[0]["pid"] == outputs[1]["pid"]

    run(opened("own:act"), talk)


def test_when_a_caller_leaves_the_next_one_gets_its_own_answer_from_the_same_worker(
    opened: Callable[[str], PythonModel],
) -> None:
    async def talk(model: PythonModel) -> None:
        before = await output_of(model, {})
        call = ask({"sleep_s": 0.2, "n": 1})
        leaving = asyncio.ensure_future(model.answer(call))
        await asyncio.sleep(0)
        leaving.cancel()
        after = await output_of(model, {"n": 2})
        assert (after["n"], after["pid"]) == (2, before["pid"])
        assert leaving.cancelled()
        assert call.unfinished is not None
        assert call.unfinished.status == "cancelled"

    run(opened("own:act"), talk)


def test_a_call_that_its_caller_left_is_stopped_at_its_deadline(
    opened: Callable[[str], PythonModel],
) -> None:
    async def talk(model: PythonModel) -> None:
        await output_of(model, {})
        leaving = asyncio.ensure_future(output_of(model, {"sleep_s": 3600}, within_s=0.2))
        await asyncio.sleep(0)
        leaving.cancel()
        assert (await output_of(model, {"n": 2}))["n"] == 2

    run(opened("own:act"), talk)


def test_a_worker_that_dies_fails_its_call_and_starts_again(
    opened: Callable[[str], PythonModel],
) -> None:
    async def talk(model: PythonModel) -> None:
        dying = asyncio.ensure_future(output_of(model, {"exit": 3}))
        waiting = asyncio.ensure_future(output_of(model, {"n": 1}))
        with pytest.raises(ModelUnavailable, match="died during the call"):
            await dying
        assert (await waiting)["n"] == 1

    run(opened("own:act"), talk)


def test_a_worker_that_dies_again_and_again_rests_before_it_starts(
    opened: Callable[[str], PythonModel],
) -> None:
    async def talk(model: PythonModel) -> None:
        for _ in range(2):
            with pytest.raises(ModelUnavailable, match="died"):
                await output_of(model, {"exit": 3})
        with pytest.raises(ModelUnavailable, match="failed 2 times in a row") as caught:
            await output_of(model, {})
        assert caught.value.retry_after_s == 0.1
        assert caught.value.attempts[0].model == "own"
        await asyncio.sleep(caught.value.retry_after_s + 0.05)
        assert (await output_of(model, {"n": 1}))["n"] == 1

    run(opened("own:act"), talk)


def test_closing_ends_the_process_and_refuses_what_waits(
    opened: Callable[[str], PythonModel],
) -> None:
    async def main() -> None:
        model = opened("own:act")
        pid = (await output_of(model, {}))["pid"]
        busy = asyncio.ensure_future(output_of(model, {"sleep_s": 3600}))
        waiting = asyncio.ensure_future(output_of(model, {}))
        await asyncio.sleep(0)
        await model.close()
        for call in (busy, waiting, model.answer(ask())):
            with pytest.raises(ModelUnavailable, match="closed"):
                await call
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    asyncio.run(main())


def test_a_model_that_was_never_asked_closes_too(opened: Callable[[str], PythonModel]) -> None:
    async def main() -> None:
        model = opened("own:act")
        await model.close()
        with pytest.raises(ModelUnavailable, match="closed"):
            await model.answer(ask())

    asyncio.run(main())


@pytest.mark.parametrize("state", ["idle", "busy"])
def test_no_worker_survives_its_server(folder: Path, watch: socket.socket, state: str) -> None:
    server = f"""
import asyncio, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from model_calls import ask
from roadworthy.models.python import open_model
from roadworthy.models.spec import ModelSpec

async def main():
    model = open_model(ModelSpec(name="own", upstream="own:{state}", folder=Path({str(folder)!r})))
    await model.answer(ask({{"watch": {port_of(watch)}}}, 3600))
    await asyncio.sleep(3600)

asyncio.run(main())
"""
    process = subprocess.Popen([sys.executable, "-c", server])
    held, _ = watch.accept()
    with held, process:
        held.settimeout(10)
        assert held.recv(100) == b"here"
        assert not select.select([held], [], [], 0)[0]
        process.send_signal(signal.SIGKILL)
        assert held.recv(100) == b""


def test_python_models_keep_what_every_model_must(opened: Callable[[str], PythonModel]) -> None:
    check_model(lambda: opened("own:act"), ask({"n": 1}))
    check_model(lambda: opened("own:act"), ask({"raise": "x"}))
    check_model(lambda: opened("own:act"), ask({"sleep_s": 3600}), within_s=0.2)
