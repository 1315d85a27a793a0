"""`roadworthy ci`: what a change is held to before it is merged, and the workflows that run it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import click
import msgspec

from ..app import open_project
from ..app.pipeline import Gone, Pipeline, State, Step
from ..declare.load import load_project
from ..errors import DeclarationError, RequestError
from ..evaluate import told
from ..evaluate.markdown import markdown_of
from .ci_told import junit_of
from .common import (
    COULD_NOT,
    INCONCLUSIVE,
    KEPT,
    NOT_KEPT,
    acting,
    check_writable,
    command,
    json_option,
    print_json,
    print_line,
    print_table,
    project_option,
    write_text,
)
from .examine import examine
from .extras import needs_of
from .progress import showing_progress

WORKFLOWS = Path(__file__).parent / "workflows"
PLACES: Mapping[str, str] = {
    "github": ".github/workflows/roadworthy.yml",
    "gitlab": ".gitlab-ci.yml",
}

_EXIT: Mapping[State, int] = {
    "kept": KEPT,
    "not_kept": NOT_KEPT,
    "could_not": COULD_NOT,
    "inconclusive": INCONCLUSIVE,
}
_STYLES = {"kept": "green", "not_kept": "red", "could_not": "red", "inconclusive": "yellow"}
_MARKS: Mapping[State, str] = {
    "kept": "✅",
    "not_kept": "❌",
    "could_not": "❌",
    "inconclusive": "⚠️",
    "not_measured": "-",
    "skipped": "-",
}


@click.command()
@click.option(
    "--base", default="origin/main", show_default=True, help="What the change is against."
)
@click.option("--all", "is_all", is_flag=True, help="Every service, whatever changed.")
@click.option(
    "--against",
    type=click.Choice(["champion", "base"]),
    help="What evaluations compare with; by default the champion where one serves, else the base.",
)
@click.option("--junit", type=click.Path(path_type=Path), help="Write JUnit XML there.")
@click.option("--markdown", type=click.Path(path_type=Path), help="Write Markdown there.")
@click.option(
    "--write",
    type=click.Choice(sorted(PLACES)),
    help="Write the workflow that runs this, instead of running it.",
)
@click.option("--force", is_flag=True, help="With --write: replace a file that is there.")
@project_option
@json_option
@click.pass_context
@command
def ci(
    ctx: click.Context,
    base: str,
    is_all: bool,
    against: Literal["champion", "base"] | None,
    junit: Path | None,
    markdown: Path | None,
    write: str | None,
    force: bool,
    folder: Path,
    as_json: bool,
) -> None:
    """Hold what changed since `--base` to what its services promise: in one command, for CI.

    Of each service that a change touches, its files are checked, the contracts of its sources are
    compared with what was agreed, and its suites are evaluated beside what serves, or beside what
    the files of the base are. Ends with 1 if anything is not kept, else with 4 if anything could
    not be done, else with 3 if anything is open, else with 0.
    """
    if write is not None:
        path = write_workflow(folder, write, force=force)
        if as_json:
            print_json({"file": str(path)})
        else:
            print_line(f"{path} is written: commit it, and look at what it installs")
        return
    check_writable(junit, markdown)
    with open_project(folder) as project, showing_progress(is_quiet=as_json) as progress:
        pipeline = Pipeline(project, lambda name: _check(folder, name), acting())
        gone = pipeline.run(base, is_all=is_all, against=against or "", progress=progress)
    if junit is not None:
        write_text(junit, junit_of(gone))
    if markdown is not None:
        write_text(markdown, markdown_text(gone))
    if as_json:
        print_json(_facts(gone))
    else:
        _print(gone)
    ctx.exit(_EXIT[gone.state])


def _check(folder: Path, service: str) -> tuple[list[str], list[str]]:
    report = examine(folder, service)
    warnings = [warning.message for warning in report.warnings]
    return [problem.message for problem in report.problems], warnings


def _facts(gone: Gone) -> dict[str, Any]:
    """Return what `--json` prints: of an evaluation its id, verdict and metrics."""
    facts: dict[str, Any] = msgspec.to_builtins(gone)
    for shown, step in zip(facts["steps"], gone.steps, strict=True):
        report = step.report
        del shown["report"]
        if report is not None:
            shown["evaluation"] = {
                "id": report.id,
                "release": report.release,
                "baseline": report.baseline,
                "verdict": report.verdict,
                "needed": report.needed,
                "metrics": told.as_json(report)["metrics"],
            }
    return facts


def _print(gone: Gone) -> None:
    touched = gone.touched
    if touched.note:
        print_line(touched.note, style="yellow")
    if not touched.services:
        print_line(f"the change touches no service since {touched.base[:12]}", style="bold")
        return
    rows = [[s.service, s.step, s.state, f"{s.seconds:.1f} s", _first(s)] for s in gone.steps]
    print_table("steps", ("service", "step", "state", "took", "why"), rows)
    for note in gone.notes:
        print_line(note, style="yellow")
    names = ", ".join(touched.services)
    word = gone.state.replace("_", " ")
    print_line(f"{word}: {names}, in {gone.seconds:.1f} s", style=_STYLES.get(gone.state, ""))


def _first(step: Step) -> str:
    return step.sentence.partition("\n")[0]


def markdown_text(gone: Gone) -> str:
    """Return a summary for a pull request: a row a service, then what was not kept."""
    lines = [f"## {_MARKS[gone.state]} Roadworthy: {gone.state.replace('_', ' ')}", ""]
    if gone.touched.note:
        lines += [gone.touched.note, ""]
    names = list(dict.fromkeys(step.step for step in gone.steps))
    if names:
        lines += [f"| service | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    for service in gone.touched.services:
        states = {step.step: _MARKS[step.state] for step in gone.steps if step.service == service}
        lines.append(f"| {service} | {' | '.join(states.get(name, '') for name in names)} |")
    if not gone.touched.services:
        lines.append("The change touches no service.")
    lines.append("")
    for step in gone.steps:
        if step.state in ("not_kept", "could_not", "inconclusive"):
            lines += [f"**{step.service}, {step.step}**", ""]
            lines += [f"    {line}" for line in step.sentence.splitlines()] + [""]
    lines += [f"- {note}" for note in gone.notes]
    lines += [markdown_of(step.report) for step in gone.steps if step.report is not None]
    return "\n".join(lines).rstrip() + "\n"


def write_workflow(folder: Path, kind: str, *, force: bool = False) -> Path:
    """Write the workflow of a CI server into the repository of a project, and return its path.

    Raises:
        RequestError: There is such a file, and `force` is not set.
        StoreError: It cannot be written.
    """
    root = _root_of(folder)
    path = root / PLACES[kind]
    if path.exists() and not force:
        raise RequestError(
            f"expected the name of a new file, got one that exists - {path}; say `--force`, or take"
            f" over what you need of {WORKFLOWS / f'{kind}.yml'}"
        )
    place = folder.resolve().relative_to(root).as_posix()
    text = (WORKFLOWS / f"{kind}.yml").read_text(encoding="utf-8")
    text = text.replace("{{package}}", _package(folder)).replace("{{project}}", place)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
    return path


def _root_of(folder: Path) -> Path:
    """Return the folder of the repository that a project is in; outside of any, the project's."""
    git = shutil.which("git")
    if git is None:
        return folder.resolve()
    asked = [git, "-C", str(folder), "rev-parse", "--show-toplevel"]
    done = subprocess.run(asked, capture_output=True, check=False)  # noqa: S603 - our own words
    found = done.stdout.decode(errors="replace").strip()
    return Path(found).resolve() if done.returncode == 0 and found else folder.resolve()


def _package(folder: Path) -> str:
    """Return what pip is to install for what a project declares."""
    try:
        extras = sorted({need.extra for need in needs_of(load_project(folder))})
    except DeclarationError:
        extras = []
    return f"roadworthy[{','.join(extras)}]" if extras else "roadworthy"


COMMANDS = {"ci": ci}
