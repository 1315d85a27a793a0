"""`roadworthy suites`: cases from production, and what of production the cases lack."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from ..app import Project, read_project
from ..app.suites import (
    cases_for_gaps,
    correction_suite,
    incident_suite,
    read_coverage,
    sample_suite,
    write_cases,
)
from ..evaluate.coverage import Coverage
from ..improve.incidents import Incidents
from ..improve.requests import LeftOut
from ..improve.sampled import Sampled, Wanted
from ..types import DAY_US
from .common import command, json_option, print_json, print_line, print_table, project_option
from .parameters import names, since_option, until_option

F = TypeVar("F", bound=Callable[..., Any])

_SPAN_US = 30 * DAY_US
_SHOWN = 20

_service = click.argument("service")
_force_option = click.option("--force", is_flag=True, help="Replace a file that is there.")


def _out_option(default: str) -> Callable[[F], F]:
    return click.option(
        "--out",
        type=click.Path(path_type=Path),
        help=f"File of JSON lines; by default `{default}` in the service's folder.",
    )


@click.group()
def suites() -> None:
    """Make suites of what production asks, and see what they lack."""


@suites.command("sample")
@_service
@click.option("--n", type=click.IntRange(1, 100_000), default=200, show_default=True, help="Cases.")
@click.option(
    "--by",
    type=names,
    default="tags",
    show_default=True,
    help="What keeps its share: `tags`, `disposition`, `role`, `input.<field>`, between commas.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Another gives another sample."
)
@since_option
@until_option
@_out_option("suites/sampled.jsonl")
@_force_option
@project_option
@json_option
@command
def sample_command(
    service: str,
    n: int,
    by: tuple[str, ...],
    seed: int,
    since_us: int | None,
    until_us: int | None,
    out: Path | None,
    force: bool,
    folder: Path,
    as_json: bool,
) -> None:
    """Write a suite that is like what SERVICE was asked, by default in the last 30 days.

    Each part of the traffic keeps its share. Personal fields are left out or get a pseudonym;
    e-mail addresses, phone, card and account numbers in texts are masked.
    """
    with read_project(folder) as project:
        since, until = _span(project, since_us, until_us)
        wanted = Wanted(service=service, since_us=since, until_us=until, n=n, by=by, seed=seed)
        found = sample_suite(project, wanted)
        path = _path(project, service, out, "sampled")
        write_cases(found.cases, path, force=force)
    if as_json:
        print_json(_facts(found, path) | {"requests": found.requests, "parts": found.parts})
        return
    rows = [
        [", ".join(part.stratum), f"{part.share:.1%}", str(part.requests), str(part.taken)]
        for part in found.parts[:_SHOWN]
    ]
    print_table("parts", ("part", "share", "requests", "cases"), rows)
    _tell(found, path)


@suites.command("incidents")
@_service
@click.option("--n", type=click.IntRange(1, 100_000), default=200, show_default=True, help="Most.")
@since_option
@until_option
@_out_option("suites/incidents.jsonl")
@_force_option
@project_option
@json_option
@command
def incidents_command(
    service: str,
    n: int,
    since_us: int | None,
    until_us: int | None,
    out: Path | None,
    force: bool,
    folder: Path,
    as_json: bool,
) -> None:
    """Write as cases what went wrong with SERVICE, by default in the last 30 days.

    What failed, was denied by a guard, came late, was wrong by what became known, or complained of.
    The tags say which of these, and the worst come first if there are more than `--n`.
    """
    with read_project(folder) as project:
        found = incident_suite(project, service, *_span(project, since_us, until_us), n)
        path = _path(project, service, out, "incidents")
        write_cases(found.cases, path, force=force)
    if as_json:
        print_json(_facts(found, path) | {"found": found.found, "kinds": found.kinds})
        return
    print_table("what went wrong", ("what", "cases"), [[k, str(n)] for k, n in found.kinds.items()])
    _tell(found, path)


@suites.command("corrections")
@_service
@click.option("--all", "is_all", is_flag=True, help="Also where the model was right.")
@_out_option("suites/corrections.jsonl")
@_force_option
@project_option
@json_option
@command
def corrections_command(
    service: str, is_all: bool, out: Path | None, force: bool, folder: Path, as_json: bool
) -> None:
    """Write as cases what people corrected of SERVICE, once that has passed its checks."""
    with read_project(folder) as project:
        path = _path(project, service, out, "corrections")
        path.parent.mkdir(parents=True, exist_ok=True)
        found = correction_suite(project, service, path, only_corrections=not is_all, force=force)
    if as_json:
        print_json(found)
        return
    print_line(f"{found.cases:,} cases are in {found.file}")
    if found.left_out:
        print_line(f"{found.left_out:,} left out: they cannot be asked without a personal field")


@suites.command("coverage")
@_service
@click.option(
    "--ways",
    type=click.IntRange(1, 4),
    default=2,
    show_default=True,
    help="How many properties are combined.",
)
@click.option("--fields", type=names, default="", help="Only these properties, between commas.")
@click.option(
    "--propose",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="With --out: most cases.",
)
@since_option
@until_option
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write cases for the largest gaps to this file."
)
@_force_option
@project_option
@json_option
@command
def coverage_command(
    service: str,
    ways: int,
    fields: tuple[str, ...],
    propose: int,
    since_us: int | None,
    until_us: int | None,
    out: Path | None,
    force: bool,
    folder: Path,
    as_json: bool,
) -> None:
    """Show what SERVICE is asked that its suites lack, by default of the last 30 days.

    Tags, fields and features are combined; numbers count by ranges, texts by their length. What
    most requests come with stands first.
    """
    cases = 0
    with read_project(folder) as project:
        span = _span(project, since_us, until_us)
        found = read_coverage(project, service, *span, ways=ways, fields=fields)
        if out is not None:
            cases = write_cases(cases_for_gaps(project, service, found, propose), out, force=force)
    if as_json:
        print_json(found)
        return
    _print_coverage(found)
    if out is not None:
        print_line(f"{cases:,} cases for the largest gaps are in {out}")


def _print_coverage(found: Coverage) -> None:
    if found.share is None or found.requests_share is None:
        print_line(f"nothing to compare: {found.requests} requests, {found.cases} cases")
        return
    rows = [
        [
            one.name,
            one.kind,
            ", ".join(f"{part} {share:.0%}" for part, share in list(one.parts.items())[:6]),
            ", ".join(one.missing[:6]) or "-",
        ]
        for one in found.properties
    ]
    print_table("properties", ("property", "by", "traffic", "missing"), rows)
    gaps = [
        [f"{gap.share:.1%}", str(gap.requests), _parts(gap.parts), ", ".join(gap.like[:1])]
        for gap in found.gaps[:_SHOWN]
    ]
    print_table("gaps", ("share", "requests", "combination", "like"), gaps)
    print_line(
        f"{found.share:.1%} of what requests combine is covered by {found.cases} cases "
        f"({found.covered} of {found.combinations} combinations of {found.ways}); "
        f"{found.requests_share:.1%} of {found.requests:,} requests are covered whole",
        style="bold",
    )


def _parts(parts: Mapping[str, str]) -> str:
    return ", ".join(f"{name} = {part}" for name, part in parts.items())


def _span(project: Project, since_us: int | None, until_us: int | None) -> tuple[int, int]:
    now_us = project.clock.now_us() + 1
    until = now_us if until_us is None else until_us
    return (until - _SPAN_US if since_us is None else since_us), until


def _path(project: Project, service: str, out: Path | None, name: str) -> Path:
    if out is not None:
        return out
    return project.folder / "services" / service / "suites" / f"{name}.jsonl"


def _facts(found: Sampled | Incidents, path: Path) -> dict[str, Any]:
    return {
        "file": str(path),
        "cases": len(found.cases),
        "expected": found.expected,
        "left_out": found.left_out,
        "personal": found.personal,
        "masked": found.masked,
    }


def _tell(found: Sampled | Incidents, path: Path) -> None:
    print_line(f"{len(found.cases):,} cases are in {path}", style="bold")
    unknown = len(found.cases) - found.expected
    if unknown:
        print_line(f"of {unknown:,} nobody has said what is right: they have no `expect`")
    for why, count in _reasons(found.left_out):
        if count:
            print_line(f"{count:,} requests left out: {why}")
    if found.personal:
        print_line(f"personal fields are left out: {', '.join(found.personal)}")
    if found.masked:
        kinds = ", ".join(f"{count} {kind}" for kind, count in found.masked.items())
        print_line(f"masked in texts: {kinds}")


def _reasons(left_out: LeftOut) -> Sequence[tuple[str, int]]:
    return (
        ("their bodies were not kept", left_out.bodies),
        ("they broke the contract", left_out.invalid),
        ("they cannot be asked without a personal field", left_out.personal),
        ("their users asked to be forgotten", left_out.forgotten),
    )


COMMANDS = {"suites": suites}
