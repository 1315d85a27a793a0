"""`roadworthy stop` and `resume`: the kill switches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click

from ..app import Project, open_project
from ..errors import NotFound, RequestError
from ..release.registry import champion_of
from ..store.certificates import list_certificates
from ..store.switchboard import Switchboard
from .common import acting, command, json_option, print_json, print_line, project_option

_PARTS = (
    click.option("--model", default="", help="Only this model of it."),
    click.option("--certificate", default="", help="Only what this certificate lets pass."),
    click.option("--review-all", is_flag=True, help="Only that it answers alone: people decide."),
    click.option("--reason", default="", help="Why; kept with who and when."),
)


class _Part(NamedTuple):
    """What of a service is stopped; all of it where nothing is named."""

    service: str
    model: str
    certificate: str
    review_all: bool

    @property
    def facts(self) -> dict[str, Any]:
        """What it is, as JSON values."""
        found: dict[str, Any] = {"service": self.service, "model": self.model or None}
        found |= {"certificate": self.certificate} if self.certificate else {}
        return {**found, "review_all": True} if self.review_all else found

    @property
    def words(self) -> str:
        """What it is called in the options of these commands."""
        found = [f"--model {self.model}"] if self.model else []
        found += [f"--certificate {self.certificate}"] if self.certificate else []
        return " ".join([self.service, *found, *(["--review-all"] if self.review_all else [])])

    @property
    def shown(self) -> str:
        """What it is called in a sentence."""
        if self.model:
            return f"model `{self.model}` of `{self.service}`"
        if self.certificate:
            return f"certificate `{self.certificate}` of `{self.service}`"
        return f"`{self.service}`"


def _part_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_PARTS):
        function = option(function)
    return function


@click.command()
@click.argument("service")
@_part_options
@project_option
@json_option
@command
def stop(
    service: str,
    model: str,
    certificate: str,
    review_all: bool,
    reason: str,
    folder: Path,
    as_json: bool,
) -> None:
    """Stop SERVICE, or a part of it, in every process, until `resume`.

    A stopped service answers nobody (503 `service_stopped`). With --review-all, or without its
    certificate, it goes on, and gives nothing alone.
    """
    part = _Part(service, model, certificate, review_all)
    _switch(folder, part, reason, as_json=as_json, is_stop=True)


@click.command()
@click.argument("service")
@_part_options
@project_option
@json_option
@command
def resume(
    service: str,
    model: str,
    certificate: str,
    review_all: bool,
    reason: str,
    folder: Path,
    as_json: bool,
) -> None:
    """Let SERVICE, or a part of it, go on as before."""
    part = _Part(service, model, certificate, review_all)
    _switch(folder, part, reason, as_json=as_json, is_stop=False)


def _switch(folder: Path, part: _Part, reason: str, *, as_json: bool, is_stop: bool) -> None:
    with open_project(folder) as project:
        _check_exists(project, part)
        board = Switchboard(project.state, project.clock)
        try:
            was_stopped = _pull(board, part, reason, is_stop=is_stop)
        finally:
            board.close()
    if as_json:
        print_json({**part.facts, "is_stopped": is_stop})
    elif is_stop:
        done = "gives nothing alone any more" if part.review_all else "is stopped"
        print_line(f"{part.shown} {done}; `roadworthy resume {part.words}` lets it go on")
    else:
        print_line(f"{part.shown} {_again(part) if was_stopped else 'was not stopped'}")


def _again(part: _Part) -> str:
    if part.certificate:
        return "lets answers pass again"
    return "answers alone again, as far as it is certified" if part.review_all else "answers again"


def _pull(board: Switchboard, part: _Part, reason: str, *, is_stop: bool) -> bool:
    """Pull a lever, or let it go; say whether it was pulled before."""
    by, name = acting(), part.model or part.certificate
    if part.review_all:
        was_stopped = board.asked(part.service) is not None
        if is_stop:
            board.ask_people(part.service, by=by, reason=reason)
        elif was_stopped:
            board.trust_again(part.service, by=by, reason=reason)
        return was_stopped
    was_stopped = board.stopped(part.service, name) is not None
    if is_stop:
        board.stop(part.service, name, by=by, reason=reason)
    elif was_stopped:
        board.resume(part.service, name, by=by, reason=reason)
    return was_stopped


def _check_exists(project: Project, part: _Part) -> None:
    """Refuse what the release that serves does not hold, nor the files where none does.

    Raises:
        RequestError: More than one part is named.
        NotFound: There is no such service, or it has no such part.
    """
    if bool(part.model) + bool(part.certificate) + part.review_all > 1:
        raise RequestError("expected one of --model, --certificate and --review-all, got several")
    champion = champion_of(project.state, part.service)
    entries = champion.manifest.models if champion else project.load(part.service).models
    models = [entry.name for entry in entries]
    if part.model and part.model not in models:
        known = ", ".join(f"`{name}`" for name in models)
        raise NotFound(f"no model `{part.model}` in `{part.service}`; models: {known}")
    issued = [c for c in list_certificates(project.state, part.service) if c.state == "certified"]
    if part.certificate and part.certificate not in [c.id for c in issued]:
        known = ", ".join(f"`{c.id}`" for c in issued) or "none"
        raise NotFound(
            f"no certificate `{part.certificate:.60}` of `{part.service}` in force; in force:"
            f" {known}"
        )


COMMANDS = {"stop": stop, "resume": resume}
