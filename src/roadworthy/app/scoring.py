"""What scorers of a project's services may use: files, an embedder, the models of its providers."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from ..cost.ledger import Ceiling, Ledger
from ..cost.prices import Meter, Rates
from ..declare.project import INSTANT_KINDS, ProjectDeclaration, Provider
from ..errors import (
    BudgetExhausted,
    DeclarationError,
    ModelError,
    ModelRejected,
    ModelTimeout,
    ModelUnavailable,
)
from ..evaluate.scorer import ScoringGround
from ..models.spec import ModelSpec
from ..plugins import load_plugin
from ..serve.failover import Failover, Link
from ..serve.judge import ACCEPTED
from ..serve.opened import meter_at
from ..types import MICRO, Answer, Attempt, Call, CallSize, Clock, Embedder, Model, Support
from .ground import Ground
from .rooms import open_signals

KEPT = "judged"
"""Folder below the artifacts that keeps what judges said; it may be deleted, and is paid again."""
LEASE_US = 600 * MICRO
GRACE_S = 5.0
"""How much longer than its own deadline a call is waited for."""

Result = TypeVar("Result")


class _Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="roadworthy-asked-models", daemon=True
        )
        self._thread.start()

    def start(self, work: Coroutine[Any, Any, Result]) -> Future[Result]:
        """Start it there, from any other thread.

        Raises:
            ModelUnavailable: The loop was closed.
        """
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError as error:
            work.close()
            raise ModelUnavailable("no model is asked after all was closed") from error

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class _Opened(msgspec.Struct):
    """A model of a provider, and what bounds it."""

    model: Model
    meter: Meter
    is_instant: bool
    places: asyncio.Semaphore
    loop: _Loop


class AskedModels:
    """Asks models of the project for scorers, which run in threads and wait.

    The models live on a loop of their own, in a thread, because their connections do; of each
    provider's model no more are asked at once than the provider takes. Every call is metered like
    those of a service: what it cost is in the answer's attempts.

    Args:
        project: Declares the providers.
        folder: The service's folder: where a model on this machine is looked up.
        rates: Published prices.
        clock: Where times come from.
        ceiling_micro: What an answer of unknown price counts as, in micro-dollars.
        ledger: Where they are paid from, as a rehearsal's answers are.
        ceilings: What they count against there.
    """

    def __init__(
        self,
        project: ProjectDeclaration,
        folder: Path,
        rates: Rates,
        clock: Clock,
        *,
        ceiling_micro: int | None = None,
        ledger: Ledger | None = None,
        ceilings: tuple[Ceiling, ...] = (),
    ) -> None:
        self._project = project
        self._folder = folder
        self._rates = rates
        self._clock = clock
        self._ceiling_micro = ceiling_micro
        self._ledger = ledger or Ledger(clock, lambda hold: None, lambda day_us: {})
        self._ceilings = ceilings
        self._opened: dict[str, _Opened] = {}
        self._opening = threading.Lock()
        self._numbers = count(1)
        self._loop: _Loop | None = None
        self._is_closed = False

    def ask(self, name: str, call: Call) -> Answer:
        """Return what `provider/model` answers, with what it cost.

        Raises:
            ModelError: It could not answer, it is not declared, or the money is spent.
        """
        opened = self._open(name)
        call = _sized(call)
        link = Link(
            model=opened.model,
            meter=opened.meter,
            is_instant=opened.is_instant,
            max_output_tokens=call.max_output_tokens,
        )
        worst = 0 if link.is_free or call.size is None else link.worst_case_micro(call.size)
        with self._paid(name, worst) as costs:
            running = opened.loop.start(_answer(opened, link, call))
            try:
                answer = self._wait(running, name, call)
            except ModelError as error:
                if not error.attempts:  # it never ended: nobody knows how far it came
                    error.attempts = (Attempt(name, error.code, 0, cost_micro=worst),)
                costs.extend(attempt.cost_micro for attempt in error.attempts)
                raise
            costs.extend(attempt.cost_micro for attempt in answer.attempts)
        return answer

    def close(self) -> None:
        """Close the models and their loop; it may be called twice."""
        with self._opening:
            self._is_closed = True
            opened, self._opened = list(self._opened.values()), {}
            loop, self._loop = self._loop, None
            if loop is not None:
                loop.start(_close_all(opened)).result()
                loop.close()

    @contextmanager
    def _paid(self, name: str, worst: int) -> Iterator[list[int]]:
        """Set aside what a call can cost, and settle what it did.

        Raises:
            ModelRejected: There is not so much left.
        """
        lease_us = self._clock.now_us() + LEASE_US
        try:
            hold = self._ledger.reserve(
                f"judge-{next(self._numbers)}", self._ceilings, worst, lease_us
            )
        except BudgetExhausted as error:
            raise ModelRejected(f"`{name}` was not asked: {error}") from error
        costs: list[int] = []
        try:
            yield costs
        finally:
            self._ledger.settle(hold, sum(costs))

    def _wait(self, running: Future[Answer], name: str, call: Call) -> Answer:
        left_s = max(call.deadline - self._clock.monotonic(), 0.0) + GRACE_S
        try:
            return running.result(left_s)
        except TimeoutError as error:
            running.cancel()
            raise ModelTimeout(f"`{name}` did not answer in time") from error
        except CancelledError as error:
            raise ModelUnavailable(f"`{name}` was closed while it was asked") from error

    def _open(self, name: str) -> _Opened:
        """Return a model, opened by whoever asks it first.

        Raises:
            ModelUnavailable: It is not declared, or cannot be opened here.
        """
        with self._opening:
            if self._is_closed:
                raise ModelUnavailable(f"`{name}` was asked after all was closed")
            self._loop = loop = self._loop or _Loop()
            if name not in self._opened:
                try:
                    self._opened[name] = loop.start(self._open_model(name, loop)).result()
                except DeclarationError as error:
                    raise ModelUnavailable(f"`{name}` cannot be asked: {error}") from error
            return self._opened[name]

    async def _open_model(self, name: str, loop: _Loop) -> _Opened:
        provider, upstream = provider_of(self._project, name)
        now_us = self._clock.now_us()
        meter = meter_at(provider, upstream, self._rates, self._ceiling_micro, now_us)
        variable = provider.api_key_env
        spec = ModelSpec(
            name=name,
            upstream=upstream,
            folder=self._folder,
            base_url=provider.base_url or "",
            api_key=os.environ.get(variable, "") if variable else None,
            max_connections=provider.max_connections,
            clock=self._clock,
        )
        model: Model = load_plugin("models", provider.kind)(spec)
        places = asyncio.Semaphore(provider.max_connections)
        return _Opened(model, meter, provider.kind in INSTANT_KINDS, places, loop)


def provider_of(project: ProjectDeclaration, name: str) -> tuple[Provider, str]:
    """Return the provider that `provider/model` names, and the model's name there.

    Raises:
        DeclarationError: There is no such provider; the message lists those there are.
    """
    first, _, upstream = name.partition("/")
    provider = project.providers.get(first)
    if provider is None or not upstream:
        known = ", ".join(f"`{each}`" for each in sorted(project.providers)) or "none"
        raise DeclarationError(
            f"model: expected `provider/model` of roadworthy.toml, got `{name:.80}`; providers: "
            f"{known}"
        )
    return provider, upstream


class Scoring:
    """A ground for scorers, and what is to be closed after them.

    Attributes:
        ground: What scorers are opened with.
    """

    def __init__(self, ground: ScoringGround, models: AskedModels) -> None:
        self.ground = ground
        self._models = models

    def close(self) -> None:
        """Close the models that were asked."""
        self._models.close()


def open_scoring(
    ground: Ground,
    service: str,
    *,
    folder: Path | None = None,
    ledger: Ledger | None = None,
    ceilings: tuple[Ceiling, ...] = (),
) -> Scoring:
    """Open what the scorers of a service may use; nothing is imported or reached before one does.

    Args:
        ground: The project.
        service: Its name.
        folder: Where its files are, by default in the working tree.
        ledger: Where judges are paid from.
        ceilings: What they count against there.

    Raises:
        NotFound: There is no such service.
        DeclarationError: Its file is wrong.
    """
    declared = ground.load(service, ("cost",))
    project = ground.declaration
    below = folder or ground.folder / "services" / service
    models = AskedModels(
        project,
        below,
        ground.rates,
        ground.clock,
        ceiling_micro=declared.cost.per_request_micro,
        ledger=ledger,
        ceilings=ceilings,
    )

    @cache
    def embedder() -> Embedder:
        return open_signals().embedder()

    @cache
    def support() -> Support:
        lone: Support = load_plugin("signals", "support")(embedder())
        return lone

    kept = ground.folder / project.store.artifacts / KEPT
    scoring = ScoringGround(
        folder=below, embedder=embedder, support=support, ask_model=models.ask, kept=kept
    )
    return Scoring(scoring, models)


async def _answer(opened: _Opened, link: Link, call: Call) -> Answer:
    async with opened.places:
        return await Failover("judge", (link,), lambda call, answer: ACCEPTED).answer(call)


async def _close_all(opened: list[_Opened]) -> None:
    """End what is still being asked, whose threads would wait for it, then close the models."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    for each in opened:
        await each.model.close()


def _sized(call: Call) -> Call:
    """Return a call with its size, by which its price is bounded."""
    content = sum(len(memoryview(value)) for value in call.body.values())
    size = CallSize(content + 200, output_tokens=call.max_output_tokens)
    return msgspec.structs.replace(call, size=size)
