"""`roadworthy review`: the queues that people work, known cases, and labels that come late."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import click
import msgspec

from ..app import Project, open_project, read_project
from ..app.review_room import teller
from ..declare.schemas import open_schema
from ..errors import RequestError
from ..review.queue import Planted, plant, plant_corrections
from ..review.rulings import REASON_CODES, ReviewDecision, Ruling, Severity, rule_on
from ..store.reviews import read_review
from ..web.review_cases import case_of, decided_of, reviews_of
from ..web.review_shapes import Case, ReviewQuery, ReviewRow, State
from .common import (
    acting,
    command,
    json_option,
    print_json,
    print_line,
    print_table,
    project_option,
    short_text,
)
from .review_labels import labels

_COLUMNS = ("id", "queue", "service", "kind", "due", "state", "owner", "taken by", "why")
_LEAST_DIGEST = 8


@click.group()
def review() -> None:
    """Work the queues of people, and bring in labels."""


review.add_command(labels)


@review.command("list")
@click.option("--queue", default="", help="Only this queue's.")
@click.option(
    "--state", type=click.Choice(get_args(State)), default="open", show_default=True, help="These."
)
@click.option("--service", default="", help="Only this service's.")
@click.option("--owner", default="", help="Only this person's.")
@click.option("--before", default="", help="The next page: what this one ends with.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True, help="Most.")
@project_option
@json_option
@command
def list_all(folder: Path, as_json: bool, **filters: Any) -> None:
    """List cases, those that are due first in front."""
    query = ReviewQuery(**filters)
    with read_project(folder) as project:
        services = (query.service,) if query.service else ()
        page = reviews_of(project.state, project.clock.now_us(), query, services)
    if as_json:
        print_json(page)
        return
    print_table("cases", _COLUMNS, map(_row, page.reviews))
    if page.before:
        print_line(f"`--before {page.before}` shows the next page", style="dim")


def _row(case: ReviewRow) -> list[str]:
    return [
        case.id,
        case.queue,
        case.service,
        case.kind,
        f"{case.due:%Y-%m-%d %H:%M:%SZ}{' (late)' if case.is_late else ''}",
        case.decision or case.state,
        case.owner or "-",
        case.taken_by or "-",
        case.why or "-",
    ]


@review.command()
@click.argument("review_id", metavar="ID")
@project_option
@json_option
@command
def show(review_id: str, folder: Path, as_json: bool) -> None:
    """Show one case: question, answer, why a person is asked, and similar past cases."""
    with read_project(folder) as project:
        waiting = read_review(project.state, review_id)
        case = case_of(project.state, project.clock.now_us(), waiting)
    if as_json:
        print_json(case)
    else:
        _print_case(case)


def _print_case(case: Case) -> None:
    facts = {
        "case": f"{case.id} of `{case.service}` in `{case.queue}`, {case.decision or case.state}",
        "due": f"{case.due:%Y-%m-%d %H:%M:%SZ}",
        "input": short_text(case.input, 500),
        "answer": short_text(case.draft, 500),
        "digest": case.digest,
        "score": "-" if case.score is None else f"{case.score:.3f}",
        "confidence": "-" if case.confidence is None else f"{case.confidence:.3f}",
        "why": "; ".join(case.reasons) or "-",
        "decided": short_text(case.ruling) if case.ruling else "-",
    }
    for name, text in facts.items():
        print_line(f"{name:<11} {text}")
    columns = ("similar case", "same input", "decided", "by", "answer")
    similar = [
        [c.id, "yes" if c.is_same else "no", c.decision, c.decided_by, short_text(c.draft)]
        for c in case.similar
    ]
    print_table("", columns, similar) if similar else print_line("similar cases: none")


def _json_value(text: str | None, name: str) -> Any:
    """Return what an option says as JSON.

    Raises:
        RequestError: It is none.
    """
    if text is None:
        return msgspec.UNSET
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise RequestError(f"--{name}: expected JSON, got something else", param=name) from error


@review.command()
@click.argument("review_id", metavar="ID")
@click.argument("decision", type=click.Choice(get_args(ReviewDecision)))
@click.option("--digest", default="", help="Of the answer you saw, or its beginning: see `show`.")
@click.option("--output", help="The corrected output, as JSON.")
@click.option("--label", help="The right label, as JSON.")
@click.option("--reason-code", default="", help=f"Why: {', '.join(REASON_CODES)}.")
@click.option("--severity", type=click.Choice(get_args(Severity)), default="none", help="How bad.")
@click.option("--text", default="", help="More, in your own words.")
@project_option
@json_option
@command
def decide(
    review_id: str,
    decision: ReviewDecision,
    folder: Path,
    as_json: bool,
    output: str | None,
    label: str | None,
    **said: Any,
) -> None:
    """Approve, correct or reject a case. An approval names the digest of the answer you saw."""
    values = {"output": _json_value(output, "output"), "label": _json_value(label, "label")}
    try:
        ruling = msgspec.convert({"decision": decision, **said}, Ruling)
    except msgspec.ValidationError as error:
        raise RequestError(f"expected a decision within its bounds; {error}") from error
    with open_project(folder) as project:
        digest = _whole_digest(project, review_id, ruling.digest)
        ruled = rule_on(
            project.state,
            project.clock,
            review_id,
            msgspec.structs.replace(ruling, digest=digest, **values),
            by=acting(),
            queues=project.declaration.queues,
            check=lambda service, answer: _problem(project, service, answer),
            tell=teller(project.declaration, project.clock),
        )
    shown = decided_of(ruled)
    if as_json:
        print_json(shown)
    else:
        print_line(f"{shown.decision} by {shown.decided_by}: {shown.says}")


def _whole_digest(project: Project, review_id: str, beginning: str) -> str:
    """Return the digest that begins so; what is another stays as it is, and is refused."""
    stands = read_review(project.state, review_id).review.digest
    is_it = len(beginning) >= _LEAST_DIGEST and stands.startswith(beginning)
    return stands if is_it else beginning


def _problem(project: Project, service: str, output: Any) -> str:
    """Return why a service may not give an output, as its files say; empty where it may."""
    declared = project.load(service)
    folder = project.folder / "services" / service
    check = open_schema(folder, declared.contract.output, "output")
    return "" if check is None else check.first_problem(output)


@review.command("plant")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--from-corrections", is_flag=True, help="Take answers that people found wrong.")
@click.option("--service", default="", help="Of corrections, only this service's.")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="Of corrections."
)
@project_option
@json_option
@command
def plant_cases(
    file: Path | None,
    from_corrections: bool,
    service: str,
    limit: int,
    folder: Path,
    as_json: bool,
) -> None:
    """Plant answers that are known to be wrong, to see what reviewers miss.

    FILE holds a JSON object a line: `service`, `input`, the wrong answer as `draft`, and perhaps
    the right `label`. They come among the others as often as `planted_share` of their queue says.
    """
    if (file is None) != from_corrections:
        raise RequestError("expected either FILE or `--from-corrections`")
    with open_project(folder) as project:
        _check_planting(project)
        if file is None:
            count = plant_corrections(
                project.state, project.clock, by=acting(), service=service, limit=limit
            )
        else:
            found = _read_planted(file)
            count = plant(project.state, project.clock, found, _queues_of(project), by=acting())
    if as_json:
        print_json({"planted": count})
    else:
        print_line(f"{count} cases wait to be put among the others")


def _check_planting(project: Project) -> None:
    if not any(queue.planted_share for queue in project.declaration.queues.values()):
        raise RequestError(
            "expected a queue with a `planted_share`, got none - roadworthy.toml; declare one in"
            " [queues], or the cases would wait for ever"
        )


def _read_planted(file: Path) -> list[Planted]:
    decoder = msgspec.json.Decoder(Planted)
    try:
        lines = [line for line in file.read_bytes().splitlines() if line.strip()]
    except OSError as error:
        raise RequestError(f"expected a file, got `{error.strerror}` - {file}") from error
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(decoder.decode(line))
        except msgspec.DecodeError as error:
            raise RequestError(f"expected a known case: {error} - {file}:{number}") from error
    return found


def _queues_of(project: Project) -> dict[str, str]:
    """Return the queue of each service that has one."""
    policies = {name: project.load(name).review for name in project.service_names}
    return {name: p.queue for name, p in policies.items() if p is not None and p.queue}


COMMANDS = {"review": review}
