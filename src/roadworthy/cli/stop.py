"""`roadworthy stop` and `resume`: the kill switches."""

from __future__ import annotations

from pathlib import Path

import click

from ..app import Project, open_project
from ..errors import NotFound
from ..release.registry import champion_of
from ..store.switchboard import Switchboard
from .common import acting, command, json_option, print_json, print_line, project_option

_model_option = click.option("--model", default="", help="Only this model of it.")
_reason_option = click.option("--reason", default="", help="Why; kept with who and when.")


@click.command()
@click.argument("service")
@_model_option
@_reason_option
@project_option
@json_option
@command
def stop(service: str, model: str, reason: str, folder: Path, as_json: bool) -> None:
    """Stop SERVICE, or one of its models, in every process, until `resume`.

    A stopped service answers nobody (503 `service_stopped`).
    """
    _switch(folder, service, model, reason, as_json=as_json, is_stop=True)


@click.command()
@click.argument("service")
@_model_option
@_reason_option
@project_option
@json_option
@command
def resume(service: str, model: str, reason: str, folder: Path, as_json: bool) -> None:
    """Let SERVICE, or one of its models, answer again."""
    _switch(folder, service, model, reason, as_json=as_json, is_stop=False)


def _switch(
    folder: Path, service: str, model: str, reason: str, *, as_json: bool, is_stop: bool
) -> None:
    with open_project(folder) as project:
        _check_exists(project, service, model)
        board = Switchboard(project.state, project.clock)
        try:
            was_stopped = board.stopped(service, model) is not None
            if is_stop:
                board.stop(service, model, by=acting(), reason=reason)
            elif was_stopped:
                board.resume(service, model, by=acting(), reason=reason)
        finally:
            board.close()
    what = f"model `{model}` of `{service}`" if model else f"`{service}`"
    if as_json:
        print_json({"service": service, "model": model or None, "is_stopped": is_stop})
    elif is_stop:
        undo = f"roadworthy resume {service}{f' --model {model}' if model else ''}"
        print_line(f"{what} is stopped; `{undo}` lets it go on")
    else:
        print_line(f"{what} answers again" if was_stopped else f"{what} was not stopped")


def _check_exists(project: Project, service: str, model: str) -> None:
    """Refuse what the release that serves does not hold, nor the files where none does.

    Raises:
        NotFound: There is no such service, or it has no such model.
    """
    champion = champion_of(project.state, service)
    entries = champion.manifest.models if champion else project.load(service).models
    models = [entry.name for entry in entries]
    if model and model not in models:
        known = ", ".join(f"`{name}`" for name in models)
        raise NotFound(f"no model `{model}` in `{service}`; models: {known}")


COMMANDS = {"stop": stop, "resume": resume}
