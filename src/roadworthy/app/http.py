"""A served project on a port: the gateway with the control plane beside it."""

from __future__ import annotations

import gc
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from ..evaluate.report import Report
from ..plugins import load_plugin
from ..serve.gateway import Gateway, Limits
from ..serve.outcomes import OutcomeDesk
from ..serve.reviews import WaitingRoom
from ..serve.server import Server
from ..web.app import control_app
from ..web.control import Control
from ..web.session import Sessions, open_secret
from .cached import asked_by
from .contract_files import ContractFiles
from .project import Project
from .release_desk import shipping_of
from .review_room import teller
from .rooms import ENFORCES, open_signals
from .serving import Serving
from .shipping import promote_by_hand
from .working_tree import WorkingTree


def serve_http(
    project: Project,
    sock: socket.socket,
    address: str,
    limits: Limits,
    on_ready: Callable[[list[str]], None],
) -> None:
    """Serve `project` on a bound socket until the process is told to stop.

    Args:
        project: An open project; it is closed at the end.
        sock: Where to listen.
        address: The URL that others reach it by.
        limits: What is accepted.
        on_ready: Called with what to tell the person who started it, once requests are accepted.

    Raises:
        StoreBusy: Another process serves this project.
        DeclarationError: A release cannot be opened.
    """
    with project:
        serving = Serving(project)
        serving.announce(address)
        uvloop.run(_serve(project, serving, sock, limits, on_ready))


async def _serve(
    project: Project,
    serving: Serving,
    sock: socket.socket,
    limits: Limits,
    on_ready: Callable[[list[str]], None],
) -> None:
    gateway = gateway_of(project, serving, limits)
    server = Server(gateway, sock, lambda: on_ready(serving.describe()))
    gc.collect()
    gc.freeze()  # what was built to serve stays: walking it again and again is a third of the CPU
    gc.set_threshold(50_000, 20, 100)
    await serving.start()
    try:
        await server.run_until_stopped()
    finally:
        await serving.stop()
        gc.unfreeze()  # else native modules report what Python never gets to free as leaks


def gateway_of(project: Project, serving: Serving, limits: Limits) -> Gateway:
    """Return the data plane of a served project, with its control plane behind it."""
    control = Control(
        declaration=project.declaration,
        enforces=ENFORCES,
        state=project.state,
        clock=project.clock,
        keyring=serving.keyring,
        switchboard=serving.switchboard,
        follow=serving.follow,
        engine=serving.engine,
        ledger=serving.ledger,
        upstreams=serving.upstreams,
        jobs=serving.jobs,
        spool=serving.spool,
        build_release=project.build_release,
        promote_release=partial(promote_by_hand, project),
        evaluate=partial(_evaluate, project),
        drain=serving.writer.drain,
        health=serving.health,
        differences=WorkingTree(project).differences,
        contracts=ContractFiles(project).read,
        open_features=serving.open_features,
        explain=serving.explain,
        sessions=_open_sessions(project.folder / ".roadworthy"),
        tell=teller(project.declaration, project.clock),
        shipping=shipping_of(project),
    )
    return Gateway(
        engine=serving.engine,
        control=control_app(control),
        desk=OutcomeDesk(
            serving.keyring,
            serving.spool,
            project.clock,
            partial(asked_by, serving, project.state),
            serving.caches.forget,
        ),
        waiting=WaitingRoom(serving.keyring, project.state, serving.writer.drain),
        limits=limits,
        clock=project.clock,
        metrics=serving.metrics,
        health=serving.health,
        open_signals=open_signals,
        open_features=serving.open_features,
    )


def _open_sessions(folder: Path) -> Sessions:
    return Sessions(open_secret(folder / "session.secret"), ended=folder / "session.ended")


def _evaluate(project: Project, service: str, **terms: Any) -> Report:
    """Evaluate a release; what that takes is imported with the first one."""
    report: Report = load_plugin("evaluate", "evaluator")(project).evaluate(service, **terms)
    return report
