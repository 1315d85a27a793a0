"""The whole example in one command: prepare, train, release, serve, replay, and go on serving."""

from __future__ import annotations

import argparse
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import FrameType
from urllib.error import URLError
from urllib.request import urlopen

from flights import DATA, DEPARTURES, FOLDER, SERVICE, WEATHER, month_file
from looks import look_at_features
from practice import PORT as PRACTICE_PORT
from practice import open_practice
from rich.console import Console
from ship import ship, train_candidates

from roadworthy import open_project
from roadworthy.data.snapshots import open_set
from roadworthy.errors import NotFound, RoadworthyError
from roadworthy.release.registry import champion_id_of
from roadworthy.store.clock import set_clock
from roadworthy.store.keys import create_key, list_keys, revoke_key
from roadworthy.store.records import find_records

FIRST_DAY = date(2013, 4, 1)
SHIP_DAY = date(2013, 6, 3)
"""On this day the candidates come: all that they learned from is over."""
LAST_DAY = date(2013, 12, 31)
LAST_HOUR = "17:00"
KEY_NAME = "demo"
START_LIMIT_S = 120.0
"""The first start reads 42 pages: 5 s alone on a core, more beside other work."""

console = Console(highlight=False)


def step(text: str) -> None:
    """Say what happens next."""
    console.print(f"\n[bold]{text}[/bold]")


def run(script: str, *arguments: str) -> None:
    """Run one of the example's scripts, and end with it if it fails."""
    done = subprocess.run([sys.executable, str(FOLDER / script), *arguments], check=False)
    if done.returncode:
        sys.exit(done.returncode)


def need_port(port: int, what: str) -> None:
    """End before anything is prepared, if what listens on a port is not ours."""
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            sys.exit(f"expected port {port} to be free for {what}; end what listens there")


def prepare() -> None:
    """Make flights and model, where they are not there yet."""
    files = [*map(month_file, range(1, 13)), DATA / DEPARTURES, DATA / WEATHER]
    if not all(path.exists() for path in files):
        step("1. Preparing 336,776 real flights of 2013, the weather, and when each was known")
        run("prepare.py")
    if not is_trained():
        step("2. Training on January to March with features as they were known then")
        run("train.py")


def is_trained() -> bool:
    """Whether there is a model that learned from a training set of this project."""
    if not (SERVICE / "model.onnx").exists():
        return False
    learned = json.loads((SERVICE / "training.json").read_bytes())["snapshot"]["id"]
    with open_project(FOLDER) as project:
        try:
            return bool(open_set(project.state, learned).id)
        except NotFound:
            return False


def first_day() -> date:
    """Return the day after the one that an earlier demo came to; time does not go back."""
    with open_project(FOLDER) as project:
        newest = find_records(project.state, limit=1)
    if not newest:
        return FIRST_DAY
    ended = datetime.fromtimestamp(newest[0].at_us / 1e6, UTC).date()
    if ended >= LAST_DAY:
        sys.exit("the year 2013 is replayed to its end; `make clean` forgets it, to begin anew")
    return max(FIRST_DAY, ended + timedelta(days=1))


def release(day: date, days: int) -> str:
    """Release both services as their files are, and return a key for the replay from `day` on."""
    step("3. Building and promoting releases")
    with open_project(FOLDER) as project:
        # Before the server starts: what it fills online by itself must not be of another time.
        begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
        set_clock(project.state, project.clock, int(begin.timestamp() * 1e6), by="demo")
        for old in list_keys(project.state):
            if old.key.name == KEY_NAME and old.revoked_at_us is None:
                revoke_key(project.state, project.clock, old.key.id, by="demo")
        for name in project.service_names:
            serves = champion_id_of(project.state, name)
            if not serves:
                serves = project.promote(project.build_release(name, by="demo").id, by="demo").id
            console.print(f"  {serves} serves `{name}`")
        expires = datetime.now(UTC) + timedelta(days=days)
        _, secret = create_key(
            project.state,
            project.clock,
            name=KEY_NAME,
            scopes=("answer", "read", "admin", "push", "review"),
            expires_us=int(expires.timestamp() * 1e6),
            by="demo",
        )
    console.print(f"  key, shown once: {secret}")
    return secret


@contextmanager
def serving(port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run `roadworthy up` until the block ends."""
    step(f"4. Starting Roadworthy on http://127.0.0.1:{port}")
    command = [str(Path(sys.executable).with_name("roadworthy")), "up"]
    server = subprocess.Popen(
        [*command, "--project", str(FOLDER), "--port", str(port)], start_new_session=True
    )
    try:
        wait_until_healthy(server, port)
        yield server
    finally:
        server.terminate()
        server.wait()


def wait_until_healthy(server: subprocess.Popen[bytes], port: int) -> None:
    """Wait until the server answers; end if it does not start."""
    end = time.monotonic() + START_LIMIT_S
    while time.monotonic() < end:
        if server.poll() is not None:
            sys.exit(server.returncode or 4)
        with suppress(URLError, OSError), urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1):
            return
        time.sleep(0.05)
    sys.exit(f"Roadworthy did not answer on port {port} within {START_LIMIT_S:.0f} s")


class Days:
    """Replays more days, each as fast as it goes.

    Args:
        url: Where Roadworthy answers.
        key: With which it is asked.
    """

    def __init__(self, url: str, key: str) -> None:
        self._words = ("--url", url, "--key", key, "--json")

    def play(self, days: int, until: str = "") -> None:
        """Replay the next days, none before `SHIP_DAY`; of the last only what is before `until`."""
        day = max(first_day(), SHIP_DAY)
        console.print(f"  flights of {day}")
        words = ("--from", f"{day}", "--days", str(days), *(("--until", until) if until else ()))
        script = [sys.executable, str(FOLDER / "replay.py"), *self._words, *words]
        done = subprocess.run(script, stdout=subprocess.DEVNULL, check=False)
        if done.returncode:
            sys.exit(done.returncode)


def main() -> None:
    """Run the demo until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--port", type=int, default=8700)
    parser.add_argument("--days", type=int, default=14, help="how many days of 2013 to replay")
    parser.add_argument(
        "--speed", default="max", help="`max`, or how many seconds of 2013 pass in a real one"
    )
    parser.add_argument("--no-ship", action="store_true", help="leave out the candidates of June")
    parser.add_argument("--exit", action="store_true", help="end after the replay")
    options = parser.parse_args()
    stopped = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.set()

    need_port(options.port, "Roadworthy (`make demo PORT=…` takes another)")
    need_port(PRACTICE_PORT, "the rehearsal of a provider")
    prepare()
    try:
        day = first_day()
        key = release(day, days=30)
        with open_practice(PRACTICE_PORT), serving(options.port) as server:
            step(f"5. Replaying {options.days} days of real flights, from {day}")
            url = f"http://127.0.0.1:{options.port}"
            # Of the last day the afternoon is left out: what people are asked then waits for you.
            until = ("--until", LAST_HOUR) if options.days > 1 else ()
            pace = (
                *until,
                "--from",
                f"{day}",
                "--days",
                str(options.days),
                "--speed",
                options.speed,
            )
            run("replay.py", "--url", url, "--key", key, *pace)
            step("6. What is known of its features")
            look_at_features(console)
            if not options.no_ship:
                step(f"7. Three candidates meet what serves, from {SHIP_DAY} on")
                train_candidates(console)
                days = Days(url, key)
                ship(console, days.play)
                days.play(1, LAST_HOUR)  # so that something waits for people
            if not options.exit:
                for number in (signal.SIGINT, signal.SIGTERM):
                    signal.signal(number, stop)
                console.print(
                    "\nOn the command line: .venv/bin/roadworthy records list, and trace ID, with"
                    f" --project {FOLDER}"
                )
                console.print(f"What waits for a person: {url}/review")
                step(f"Open {url} and log in with {key}; Ctrl-C ends it")
                while not stopped.wait(0.5) and server.poll() is None:
                    pass
    except RoadworthyError as error:
        console.print(f"[red]error[/red] {error.code}: {error}", markup=True)
        sys.exit(4)
    except OSError as error:
        console.print(f"[red]error[/red] {error}")
        sys.exit(4)


if __name__ == "__main__":
    main()
