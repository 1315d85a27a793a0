"""An open project: its declarations, its store, and answers in this process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self, TypeVar

from ..declare.load import load_project
from ..declare.project import ProjectDeclaration
from ..evaluate.report import Report
from ..plugins import load_plugin
from ..serve.identify import LOCAL_KEY
from ..serve.replay import Replay
from ..serve.request import Reply, Request
from .ground import Ground
from .replays import replay_request
from .serving import Serving

T = TypeVar("T")


def open_project(folder: str | Path = ".") -> Project:
    """Open the project in `folder`: its declarations and its store, for reading and for answering.

    Raises:
        DeclarationError: roadworthy.toml is wrong; the message lists all problems.
        StoreError: The store cannot be opened.
    """
    return Project(load_project(Path(folder)))


def read_project(folder: str | Path = ".") -> Project:
    """Open the project in `folder` for reading alone: nothing is made, and no answers are given.

    Raises:
        DeclarationError: roadworthy.toml is wrong; the message lists all problems.
        NotFound: It has no state yet.
        StoreError: The store cannot be opened.
    """
    return Project(load_project(Path(folder)), is_reading=True)


class Project(Ground):
    """An open project.

    Nothing is served until the first answer is asked for; then this process holds the project's
    lock, like `roadworthy up` does.
    """

    def __init__(self, declaration: ProjectDeclaration, *, is_reading: bool = False) -> None:
        super().__init__(declaration, is_reading=is_reading)
        self._background: _Background | None = None
        self._closing = threading.Lock()

    def service(self, name: str) -> ServiceHandle:
        """Return a handle that answers in this process.

        Raises:
            NotFound: There is no such service.
        """
        self.load(name)
        return ServiceHandle(self, name)

    def replay(
        self,
        request_id: str,
        *,
        release_id: str = "",
        is_paid: bool = False,
        budget_micro: int | None = None,
    ) -> Replay:
        """Ask again what was asked in a request, and compare; see `replay_request`.

        Raises:
            NotFound: There is no such request, its input was not kept, or its release is gone.
            Forbidden: It can cost something, and nobody has allowed that.
        """
        return replay_request(
            self, request_id, release_id=release_id, is_paid=is_paid, budget_micro=budget_micro
        )

    def run(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine on the loop that serves this project; it starts with the first use."""
        return self._serve_in_background().run(coroutine)

    @property
    def serving(self) -> Serving:
        """What answers in this process; starts with the first use."""
        return self._serve_in_background().serving

    def _serve_in_background(self) -> _Background:
        with self._closing:
            if self._background is None:
                self._background = _Background(self)
            return self._background

    def close(self) -> None:
        """Stop answering, drain the records, let go of the lock; more than once is harmless."""
        with self._closing:
            if self._background is not None:
                self._background.stop()
                self._background = None
        self.state.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ServiceHandle:
    """One service, answering in this process through the same engine that serves HTTP."""

    def __init__(self, project: Project, name: str) -> None:
        self._project = project
        self.name = name

    def answer(
        self,
        values: Mapping[str, Any],
        *,
        user: str = "",
        role: str = "",
        tags: tuple[str, ...] = (),
        deadline_ms: float | None = None,
    ) -> Reply:
        """Answer one input and wait for it. A refusal or a failure is a reply with `error` set.

        Raises:
            StoreBusy: Another process serves this project.
        """
        return self._ask(values, user, role, tags, deadline_ms).result()

    async def answer_async(
        self,
        values: Mapping[str, Any],
        *,
        user: str = "",
        role: str = "",
        tags: tuple[str, ...] = (),
        deadline_ms: float | None = None,
    ) -> Reply:
        """Answer one input without blocking the caller's loop.

        Raises:
            StoreBusy: Another process serves this project.
        """
        return await asyncio.wrap_future(self._ask(values, user, role, tags, deadline_ms))

    def evaluate(
        self,
        *,
        release_id: str = "",
        against: str = "",
        suites: Sequence[str] = (),
        repeats: int | None = None,
        fresh: bool = False,
    ) -> Report:
        """Ask the cases of its suites, and return whether the answers keep what it promises.

        It may be called while another process serves the project; see `Evaluator.evaluate`.

        Raises:
            NotFound: There is no such release.
            DeclarationError: Its file or a suite is wrong, or the release does not open.
            RequestError: There are no cases, or no limit on what they may cost.
        """
        report: Report = load_plugin("evaluate", "evaluator")(self._project).evaluate(
            self.name,
            release_id=release_id,
            against=against,
            suites=suites,
            repeats=repeats,
            fresh=fresh,
        )
        return report

    def _ask(
        self,
        values: Mapping[str, Any],
        user: str,
        role: str,
        tags: tuple[str, ...],
        deadline_ms: float | None,
    ) -> Future[Reply]:
        engine = self._project.serving.engine  # starting it must not eat the request's time
        request = Request(
            service=self.name,
            key=LOCAL_KEY,
            protocol="python",
            input=dict(values),
            user=user,
            role=role,
            tags=tags,
            deadline_ms=deadline_ms,
        )
        return self._project.run(engine.answer(request))


class _Background:
    """A loop in a thread of its own, for answers that are asked for from plain Python."""

    def __init__(self, project: Project) -> None:
        self.serving = Serving(project)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="roadworthy", daemon=True
        )
        self._thread.start()
        self.run(self.serving.start()).result()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def stop(self) -> None:
        self.run(self.serving.stop()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
