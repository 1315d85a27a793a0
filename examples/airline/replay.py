"""Replay real flights against a running Roadworthy, in order of time: `replay.py --key rw_…`.

Two hours before each scheduled departure it asks `flight-delay`; when the flight really left it
reports the truth as an outcome; now and then a passenger asks `support-reply`. The project's clock
is set to the simulated time, never earlier than what is asked or told, and what the feature views
know is pushed when it became known: nothing is known too soon.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from itertools import chain, groupby, islice, takewhile
from pathlib import Path
from typing import Any

import msgspec
from api import Api, ReplayError, Reply, check, opened_client
from flights import FOLDER, count_flights, read_flights
from questions import read_questions
from rich.console import Console
from rich.live import Live
from scoreboard import MICRO, Scoreboard, Tally
from stream import Stream
from timeline import Ask, Event, Question, Tell, end_of_step, timeline

from roadworthy.errors import ModelError, RoadworthyError

PREDICT = "flight-delay"
CHAT = "support-reply"
LONGEST_STEP = timedelta(hours=1)
SHORTEST_STEP = timedelta(minutes=1)
WAITS = 202
"""Status of a request that waits for a person."""
GIVE_UP_AFTER = 100
"""Requests in a row that reach nobody, after which the server counts as gone."""


class _Prediction(msgspec.Struct):
    label: bool
    probability: float


class _Answer(msgspec.Struct):
    request_id: str
    output: _Prediction | None
    disposition: str
    cost_usd: float


class Replay:
    """Plays events against the API and notes what comes of them.

    Args:
        api: Where Roadworthy answers.
        board: Where what comes of it is noted.
        project: The folder of the project that is served.
        concurrency: Requests at the same time.
        speed: Simulated seconds in a real one; None for as fast as it goes.
    """

    def __init__(
        self, api: Api, board: Scoreboard, project: Path, concurrency: int, speed: float | None
    ) -> None:
        self._project = project
        self.stopping = asyncio.Event()
        self._api = api
        self._board = board
        self._concurrency = concurrency
        self._speed = speed
        self._step = LONGEST_STEP
        if speed is not None:
            self._step = max(SHORTEST_STEP, min(timedelta(seconds=speed), LONGEST_STEP))
        self._answers: dict[int, _Answer] = {}
        self._trouble: ReplayError | None = None

    async def play(self, events: Iterator[Event]) -> None:
        """Play all events; those of one step of simulated time run side by side.

        Raises:
            ReplayError: The server is gone, or does not take the key.
        """
        first = next(events)
        stream = await self._begin(end_of_step(first.at, self._step) - self._step)
        async with asyncio.TaskGroup() as self._passengers:
            await self._play_steps(chain([first], events), stream)
        if self._trouble is not None:
            raise self._trouble

    async def _begin(self, start: datetime) -> Stream:
        """Set the clock to the beginning, and let be known online what was known then."""
        try:
            await self._api.set_clock(start)
        except (ModelError, TimeoutError) as error:
            raise ReplayError("the server is gone") from error
        return await asyncio.to_thread(Stream, self._project, PREDICT, start)

    async def _play_steps(self, events: Iterator[Event], stream: Stream) -> None:
        started, begun = time.monotonic(), None
        for now, batch in groupby(events, lambda event: end_of_step(event.at, self._step)):
            begun = begun or now
            if self._speed is not None:
                due = started + (now - begun).total_seconds() / self._speed
                await self._wait(due - time.monotonic())
            if self.stopping.is_set():
                return
            await self._advance(now, stream)
            shared = iter(batch)
            async with asyncio.TaskGroup() as workers:
                for _ in range(self._concurrency):
                    workers.create_task(self._work(shared))

    async def _wait(self, seconds: float) -> None:
        """Wait so long, or until the replay is to stop."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), max(0.0, seconds))

    async def _advance(self, now: datetime, stream: Stream) -> None:
        """Set the clock, and let be known what became known by then."""
        try:
            await self._api.set_clock(now)
            self._board.pushed += await stream.push(self._api, now)
        except* (ModelError, TimeoutError):
            self._give_up(ReplayError("the server is gone"))
        except* ReplayError as errors:
            self._give_up(ReplayError(str(errors.exceptions[0])))
        else:
            self._board.tick(now)

    def _give_up(self, trouble: ReplayError) -> None:
        self._trouble = self._trouble or trouble
        self.stopping.set()

    async def _work(self, batch: Iterator[Event]) -> None:
        """Play events of a step, beside other workers that take from the same iterator."""
        for event in batch:
            if self.stopping.is_set():
                return
            if isinstance(event, Question):  # a language model takes its time; flights go on
                self._passengers.create_task(self._play_one(event))
            else:
                await self._play_one(event)

    async def _play_one(self, event: Event) -> None:
        try:
            match event:
                case Ask():
                    await self._ask(event)
                case Tell():
                    await self._tell(event)
                case Question():
                    await self._chat(event)
        except (ModelError, TimeoutError) as error:
            self._note_unreachable(event, error)
        except ReplayError as error:
            self._give_up(error)

    async def _ask(self, ask: Ask) -> None:
        self._board.advance()
        self._board.cancelled += ask.flight.departed_at is None
        body = {"input": ask.flight.input, "tags": ["replay"]}
        reply = await self._api.send("POST", f"/v1/services/{PREDICT}/answer", body)
        if reply.status not in (200, WAITS):
            self._note_error(PREDICT, reply)
            return
        answer = msgspec.json.decode(reply.body, type=_Answer)
        self._note(PREDICT, answer.disposition, reply.ms, round(answer.cost_usd * MICRO))
        if ask.flight.departed_at is not None:
            self._answers[ask.number] = answer

    async def _tell(self, tell: Tell) -> None:
        answer = self._answers.pop(tell.number, None)
        if answer is None:
            return  # its question was not answered, so there is nothing to tell the truth about
        body = {"label": tell.is_late, "source": "replay", "at": tell.at}
        reply = await self._api.send("POST", f"/v1/requests/{answer.request_id}/outcome", body)
        self._board.outcomes += reply.status < 400
        self._board.outcomes_refused += reply.status >= 400
        if answer.output is not None and answer.disposition == "answered":
            said = answer.output
            self._board.matured.add(said.probability, said.label, tell.is_late)

    async def _chat(self, question: Question) -> None:
        body = {"model": CHAT, "messages": [{"role": "user", "content": question.text}]}
        reply = await self._api.send("POST", "/v1/chat/completions", body)
        if reply.status != 200:
            self._note_error(CHAT, reply)
            return
        headers = reply.headers
        cost_usd = float(headers.get("x-roadworthy-cost-usd", "0"))
        disposition = headers.get("x-roadworthy-disposition", "answered")
        self._note(CHAT, disposition, reply.ms, round(cost_usd * MICRO))

    def _note(
        self, service: str, disposition: str, ms: float | None, micro: int = 0, error: str = ""
    ) -> None:
        tally = self._board.tallies[service]
        tally.note(disposition, ms, micro, self._board.day, error)

    def _note_error(self, service: str, reply: Reply) -> None:
        code = reply.error.code
        if code in ("unauthenticated", "forbidden", "not_found"):
            check(reply, f"ask `{service}`")
        self._note(service, "refused" if reply.status < 500 else "failed", reply.ms, error=code)

    def _note_unreachable(self, event: Event, error: Exception) -> None:
        if self._api.misses >= GIVE_UP_AFTER:
            trouble = f"the server is gone: {GIVE_UP_AFTER} requests in a row reached nobody"
            self._give_up(ReplayError(trouble))
        if isinstance(event, Tell):
            self._board.outcomes_refused += 1
        else:
            service = PREDICT if isinstance(event, Ask) else CHAT
            self._note(service, "failed", None, error=type(error).__name__)


def parse_speed(text: str) -> float | None:
    """Parse `max`, or how many simulated seconds pass in a real one."""
    if text == "max":
        return None
    with suppress(ValueError):
        if (speed := float(text)) > 0:
            return speed
    raise argparse.ArgumentTypeError(f"expected `max` or a number above 0, got `{text}`")


def parse_day(text: str) -> date:
    """Parse a day of 2013."""
    with suppress(ValueError):
        if (day := date.fromisoformat(text)).year == 2013:
            return day
    raise argparse.ArgumentTypeError(f"expected a day of 2013 like 2013-04-01, got `{text}`")


def parse_hour(text: str) -> clock_time:
    """Parse an hour like `17:00`."""
    with suppress(ValueError):
        return clock_time.fromisoformat(text)
    raise argparse.ArgumentTypeError(f"expected an hour like 17:00, got `{text}`")


def at_least_one(text: str) -> int:
    """Parse a whole number from 1."""
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a whole number from 1, got `{text}`")


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    add: Callable[..., Any] = parser.add_argument
    add("--url", default="http://127.0.0.1:8700", help="where Roadworthy answers")
    add("--key", default=os.environ.get("ROADWORTHY_KEY"), help="rw_… (or ROADWORTHY_KEY)")
    add("--project", type=Path, default=FOLDER, help="folder of the project that is served")
    add("--from", dest="first", type=parse_day, default="2013-04-01", help="first day, in 2013")
    add("--days", type=at_least_one, default=7, help="how many days")
    add("--until", type=parse_hour, help="stop the last day at this hour, UTC, like 17:00")
    add("--speed", type=parse_speed, default="max", help="`max`, or 3600 for an hour a second")
    add("--limit", type=at_least_one, help="stop after so many flights")
    add("--concurrency", type=at_least_one, default=32, help="requests at the same time")
    add("--json", action="store_true", help="print the summary as JSON and nothing else")
    options = parser.parse_args()
    if not options.key:
        parser.error("--key: expected a key with the scopes answer, read, admin and push, got none")
    return options


async def run(options: argparse.Namespace, console: Console) -> tuple[Scoreboard, str]:
    """Play what the options say, and return the scoreboard and what stopped it, if something did.

    Raises:
        ReplayError: It cannot begin.
        FileNotFoundError: The flights were not prepared yet.
    """
    last = min(options.first + timedelta(days=options.days - 1), date(2013, 12, 31))
    data = options.project / "data"
    total = count_flights(options.first, last, data)
    flights = islice(read_flights(options.first, last, data), options.limit)
    url = options.url.rstrip("/")
    async with opened_client(url, options.key, options.concurrency) as client:
        api = Api(client, url)
        promises = await api.services()
        if PREDICT not in promises:
            raise ReplayError(f"expected a service `{PREDICT}` at {options.url}, got {[*promises]}")
        tallies = [Tally(name, promises[name]) for name in (PREDICT, CHAT) if name in promises]
        board = Scoreboard(tallies, min(total, options.limit or total), max_error(options.project))
        questions = [each.question for each in read_questions()] if CHAT in promises else []
        replay = Replay(api, board, options.project, options.concurrency, options.speed)
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop, replay)
        try:
            with shown(board, console, is_quiet=options.json):
                await replay.play(before(timeline(flights, questions), last, options.until))
        except (ReplayError, RoadworthyError) as error:
            if not board.requests:
                raise
            return board, str(error)
    return board, ""


def max_error(project: Path) -> float | None:
    """Return how many of the answers given alone may be wrong, as `flight-delay` declares."""
    file = project / "services" / PREDICT / "service.toml"
    declared = tomllib.loads(file.read_text(encoding="utf-8"))
    bound: float | None = declared.get("review", {}).get("max_error")
    return bound


def before(events: Iterator[Event], last: date, hour: clock_time | None) -> Iterator[Event]:
    """Yield the events until an hour of the last day; without one, all of them."""
    if hour is None:
        return events
    end = datetime.combine(last, hour, UTC)
    return takewhile(lambda event: event.at < end, events)


def shown(board: Scoreboard, console: Console, *, is_quiet: bool) -> AbstractContextManager[Any]:
    """Return what shows the scoreboard: live on a terminal, else with a line a day."""
    if is_quiet:
        return nullcontext()
    if console.is_terminal:
        return Live(get_renderable=board.live, console=console, transient=True)
    board.on_new_day = console.print
    return nullcontext()


def stop(replay: Replay) -> None:
    """End the replay with what is on its way; a second Ctrl-C ends it at once."""
    replay.stopping.set()
    asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)


def main() -> None:
    """Replay, then print the summary. Exit 0, or 4 when it could not be done to the end."""
    options = parse_options()
    console = Console(highlight=False)
    try:
        board, trouble = asyncio.run(run(options, console))
    except FileNotFoundError as error:
        sys.stderr.write(f"expected prepared flights, got no {error.filename}: run prepare.py\n")
        sys.exit(4)
    except (ReplayError, RoadworthyError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(4)
    if options.json:
        print(json.dumps(board.as_json(), indent=2))
    else:
        console.print(board.summary())
    if trouble:
        sys.stderr.write(f"stopped: {trouble}\n")
        sys.exit(4)


if __name__ == "__main__":
    main()
