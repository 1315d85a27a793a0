"""`roadworthy release gates`, `history` and `status`: how releases stand, and how that came."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from ..app import open_project, read_project
from ..app.shipping import Status, history_of, status_of
from ..release import gates as all_gates
from ..release import registry
from ..release.measures import Gate
from ..store.clock import time_of
from ..store.moves import Move
from ..store.rollouts import OPEN, Figure
from .common import (
    NOT_KEPT,
    command,
    json_option,
    print_json,
    print_line,
    print_table,
    project_option,
    time_text,
)

_GATES = ("gate", "state", "value", "promised", "measured", "why")


@click.command()
@click.argument("release_id", metavar="RELEASE")
@project_option
@json_option
@click.pass_context
@command
def gates(ctx: click.Context, release_id: str, folder: Path, as_json: bool) -> None:
    """Measure how RELEASE stands to every gate; ends with 1 where one holds it up."""
    with open_project(folder) as project:
        found = project.gates_of(release_id)
        release = registry.read_release(project.state, release_id)
        risk = all_gates.risk_of(project.state, project.artifacts, release)
        is_gated = all_gates.is_gated(project.state, project.artifacts, release)
    held = [gate.name for gate in all_gates.held_up_by(found, risk)]
    if as_json:
        facts = {"release": release_id, "risk": risk, "is_gated": is_gated, "held_up_by": held}
        print_json(facts | {"gates": [gate_facts(gate) for gate in found]})
    else:
        print_gates(release_id, found)
        print_line(f"held up by: {', '.join(held)}" if held else "no gate holds it up")
        if held and not is_gated:
            print_line("it may serve all the same: it served before, or nothing serves yet")
    ctx.exit(NOT_KEPT if held else 0)


@click.command()
@click.argument("service")
@project_option
@json_option
@command
def history(service: str, folder: Path, as_json: bool) -> None:
    """List how what serves SERVICE changed, newest first: when, by whom, and why."""
    with read_project(folder) as project:
        found = history_of(project, service)
        if not found:
            project.check_declared(service)
    if as_json:
        print_json({"service": service, "moves": [_move_facts(move) for move in found]})
        return
    rows = [
        [
            move.to_release,
            "went back" if move.kind == "rollback" else "promoted",
            time_text(move.at_us),
            move.by,
            move.from_release or "-",
            move.why or "-",
        ]
        for move in found
    ]
    print_table("history", ("release", "", "at", "by", "in place of", "why"), rows)


@click.command()
@click.argument("service")
@project_option
@json_option
@command
def status(service: str, folder: Path, as_json: bool) -> None:
    """Show what serves SERVICE, what is being judged, and where one goes back to."""
    with read_project(folder) as project:
        project.check_declared(service)
        found = status_of(project, service)
    if as_json:
        print_json(_status_facts(found))
        return
    for name in ("champion", "candidate", "last_good"):
        print_line(f"{name.replace('_', ' ')}: {getattr(found, name) or 'none'}")
    if found.frozen is not None:
        since = time_text(found.frozen.since_us)
        print_line(f"frozen since {since} by {found.frozen.by}: {found.frozen.reason or '-'}")
    _print_rollout(found)
    if found.gates:
        print_gates(found.candidate, found.gates)


def print_gates(release_id: str, found: Iterable[Gate]) -> None:
    """Print how a release stands to its gates."""
    print_table(f"gates of {release_id}", _GATES, map(_row, found))


def gate_facts(gate: Gate) -> dict[str, Any]:
    """Return a gate as JSON values."""
    facts = {name: getattr(gate, name) for name in gate.__struct_fields__ if name != "at_us"}
    return facts | {"at": None if gate.at_us is None else time_of(gate.at_us)}


def _row(gate: Gate) -> list[str]:
    return [
        gate.name,
        gate.state.replace("_", " "),
        _number(gate.value),
        _number(gate.bar),
        time_text(gate.at_us),
        _why(gate),
    ]


def _why(gate: Gate) -> str:
    """Return why a gate is as it is, with what measures it where that would change something."""
    if gate.waived:
        return f"{gate.waived} ({gate.why})"
    return gate.why + (f" (`{gate.command}`)" if gate.command and gate.state != "holds" else "")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _print_rollout(found: Status) -> None:
    rollout = found.rollout
    if rollout is None:
        return
    verdict = rollout.verdict
    print_line(
        f"{rollout.judge} of {rollout.candidate}: {rollout.state.replace('_', ' ')}, "
        f"step {rollout.step + 1}, share {rollout.share:.0%}, since "
        f"{time_text(rollout.started_at_us)}"
    )
    said = rollout.why or verdict.why
    word = verdict.word.replace("_", " ") if rollout.state in OPEN else ""
    if word or said:
        print_line(f"  {': '.join(filter(None, (word, said)))}")
    rows = [_figure_row(figure) for figure in verdict.figures]
    if rows:
        print_table(
            "measured", ("metric", "units", "champion", "candidate", "worse by", "from", "to"), rows
        )


def _figure_row(figure: Figure) -> list[str]:
    shown = (figure.champion, figure.candidate, figure.difference, figure.low, figure.high)
    return [figure.name, str(figure.units), *map(_number, shown)]


def _move_facts(move: Move) -> dict[str, Any]:
    return {
        "id": move.id,
        "at": time_of(move.at_us),
        "kind": move.kind,
        "from": move.from_release,
        "to": move.to_release,
        "by": move.by,
        "why": move.why,
        "rollout": move.rollout,
        "certificates": bool(move.carried.automation),
    }


def _status_facts(found: Status) -> dict[str, Any]:
    rollout, frozen = found.rollout, found.frozen
    return {
        "service": found.service,
        "champion": found.champion,
        "candidate": found.candidate,
        "last_good": found.last_good,
        "frozen": None
        if frozen is None
        else {"by": frozen.by, "since": time_of(frozen.since_us), "reason": frozen.reason},
        "rollout": None
        if rollout is None
        else {
            "id": rollout.id,
            "champion": rollout.champion,
            "candidate": rollout.candidate,
            "judge": rollout.judge,
            "state": rollout.state,
            "step": rollout.step,
            "share": rollout.share,
            "started_at": time_of(rollout.started_at_us),
            "ended_at": None if rollout.ended_at_us is None else time_of(rollout.ended_at_us),
            "by": rollout.by,
            "why": rollout.why,
            "verdict": rollout.verdict,
        },
        "gates": [gate_facts(gate) for gate in found.gates],
    }


LOOKS = (gates, history, status)
