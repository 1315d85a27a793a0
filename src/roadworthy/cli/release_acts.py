"""`roadworthy release`: let a release serve, go back, freeze, approve, waive."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from ..app import open_project
from ..app.shipping import Shipped, ship
from ..declare.values import seconds_of
from ..errors import NotReady, RequestError
from ..release import gates as all_gates
from ..store.approvals import OWNERS, revoke_waiver
from ..store.clock import micros_of, time_of
from ..store.rollouts import stop_rollout
from ..types import MICRO
from .common import (
    NOT_KEPT,
    acting,
    command,
    json_option,
    print_json,
    print_line,
    project_option,
    time_text,
)
from .release_looks import gate_facts, print_gates
from .release_named import champion_id, release_of

_LENGTH = re.compile(r"[1-9]\d{0,4}[mhd]")
_why_option = click.option("--why", default="", help="What for; kept with who and when.")
_reason_option = click.option("--reason", default="", help="Why; kept with who and when.")


@click.command()
@click.argument("service")
@click.argument("release_id", metavar="RELEASE")
@click.option("--now", is_flag=True, help="Spare it the rollout. Its gates it is never spared.")
@_why_option
@project_option
@json_option
@click.pass_context
@command
def promote(
    ctx: click.Context,
    service: str,
    release_id: str,
    now: bool,
    why: str,
    folder: Path,
    as_json: bool,
) -> None:
    """Let RELEASE serve SERVICE once its gates hold, or let a rollout judge it first.

    Ends with 1, and says why, where a gate holds it up. It is refused while one of its files is
    gone or damaged: nothing would be there to serve.
    """
    with open_project(folder) as project:
        chosen = release_of(project, service, release_id)
        try:
            shipped = ship(project, chosen.id, by=acting(), now=now, why=why)
        except NotReady as error:
            now_us = project.clock.now_us()
            found = all_gates.standing_of(project.state, chosen.id, now_us)
            if as_json:
                facts = {"code": error.code, "message": str(error), "problems": error.problems}
                print_json({"error": facts, "gates": [gate_facts(gate) for gate in found]})
            else:
                print_gates(chosen.id, found)
                print_line(str(error), style="red")
            ctx.exit(NOT_KEPT)
    if as_json:
        print_json(_facts(service, shipped))
    else:
        _say(shipped)


@click.command()
@click.argument("service")
@click.argument("release_id", metavar="[RELEASE]", default="")
@_why_option
@project_option
@json_option
@command
def rollback(service: str, release_id: str, why: str, folder: Path, as_json: bool) -> None:
    """Let the last good release of SERVICE serve again, or an earlier champion that is named.

    Model, prompt, schema, features, guards, thresholds and certificates come back together, from
    the next request on. No gate holds it up, and it works while the service is frozen.
    """
    with open_project(folder) as project:
        left = champion_id(project, service)
        to = release_of(project, service, release_id).id if release_id else ""
        back = project.roll_back(service, to=to, by=acting(), why=why)
    if as_json:
        print_json({"service": service, "release": back.id, "before": left})
    elif left == back.id:
        print_line(f"`{back.id}` serves already")
    else:
        print_line(f"`{back.id}` serves again instead of `{left}`, with all that was in force")


@click.command()
@click.argument("service")
@_reason_option
@project_option
@json_option
@command
def freeze(service: str, reason: str, folder: Path, as_json: bool) -> None:
    """Let nothing else serve SERVICE until it is unfrozen; a rollout stands still meanwhile."""
    with open_project(folder) as project:
        project.check_declared(service)
        project.freeze(service, by=acting(), reason=reason)
        serves = champion_id(project, service)
    if as_json:
        print_json({"service": service, "is_frozen": True, "release": serves})
    else:
        print_line(f"`{service}` is frozen: `{serves or 'nothing'}` serves, and nothing else will")


@click.command()
@click.argument("service")
@_reason_option
@project_option
@json_option
@command
def unfreeze(service: str, reason: str, folder: Path, as_json: bool) -> None:
    """Let releases of SERVICE be promoted again; a rollout that stood still goes on."""
    with open_project(folder) as project:
        project.check_declared(service)
        project.unfreeze(service, by=acting(), reason=reason)
        serves = champion_id(project, service)
    if as_json:
        print_json({"service": service, "is_frozen": False, "release": serves})
    else:
        print_line(f"releases of `{service}` may be promoted again")


@click.command()
@click.argument("service")
@_why_option
@project_option
@json_option
@command
def stop(service: str, why: str, folder: Path, as_json: bool) -> None:
    """End the rollout of SERVICE without a verdict: what serves goes on serving everybody."""
    with open_project(folder) as project:
        project.check_declared(service)
        ended = stop_rollout(project.state, project.clock, service, by=acting(), why=why)
    if as_json:
        facts = {"service": service, "rollout": ended.id, "candidate": ended.candidate}
        print_json(facts | {"state": ended.state})
    else:
        print_line(f"`{ended.candidate}` meets nobody any more; `{ended.champion}` serves")


@click.command()
@click.argument("release_id", metavar="RELEASE")
@click.option("--as", "owner", type=click.Choice(OWNERS), required=True, help="For which owner.")
@click.option("--note", default="", help="What was looked at.")
@project_option
@json_option
@command
def approve(release_id: str, owner: str, note: str, folder: Path, as_json: bool) -> None:
    """Say for an owner that RELEASE may ship; a high risk needs all three, by different people."""
    with open_project(folder) as project:
        said = project.approve(release_id, owner=owner, by=acting(), note=note)
    if as_json:
        print_json(said)
    else:
        print_line(f"`{said.release}` is approved as `{said.owner}` by {said.by}")


@click.command()
@click.argument("release_id", metavar="RELEASE")
@click.argument("gate", metavar="GATE")
@click.option("--reason", default="", help="Why it may ship all the same; required.")
@click.option("--expires", default="", help="Until when: `7d`, `12h`, or a date like 2027-01-31.")
@click.option("--revoke", is_flag=True, help="Take back what was waived of this gate.")
@project_option
@json_option
@command
def waive(
    release_id: str,
    gate: str,
    reason: str,
    expires: str,
    revoke: bool,
    folder: Path,
    as_json: bool,
) -> None:
    """Let RELEASE ship although GATE does not hold, until a time; or take that back."""
    with open_project(folder) as project:
        if revoke:
            found = [
                revoke_waiver(project.state, project.clock, one.id, by=acting(), reason=reason)
                for one in project.waivers_of(release_id, gate)
            ]
        else:
            until_us = _until(expires, project.clock.now_us())
            by = acting()
            found = [project.waive(release_id, gate, by=by, reason=reason, expires_us=until_us)]
    if as_json:
        print_json({"release": release_id, "gate": gate, "waivers": found})
    elif revoke:
        print_line(f"{len(found)} waivers of `{gate}` count no more")
    else:
        print_line(f"`{gate}` of `{release_id}` is waived until {time_text(found[0].expires_us)}")


def _until(expires: str, now_us: int) -> int:
    """Return when a waiver ends.

    Raises:
        RequestError: It is neither a length of time nor a date.
    """
    if _LENGTH.fullmatch(expires):
        return now_us + seconds_of(expires) * MICRO
    try:
        found = datetime.fromisoformat(expires)
    except ValueError:
        raise RequestError(
            "expires: expected a length of time like `7d`, or a date like `2027-01-31`, got "
            f"`{expires:.40}`"
        ) from None
    return micros_of(found if found.tzinfo else found.replace(tzinfo=UTC), "expires")


def _facts(service: str, shipped: Shipped) -> dict[str, Any]:
    started = shipped.started
    serves = shipped.before if started is not None else shipped.release.id
    return {
        "service": service,
        "release": shipped.release.id,
        "before": shipped.before,
        "serves": serves,
        "not_measured": shipped.not_measured,
        "rollout": None
        if started is None
        else {
            "id": started.rollout.id,
            "judge": started.rollout.judge,
            "share": started.rollout.share,
            "started_at": time_of(started.rollout.started_at_us),
            "forecast": msgspec.to_builtins(started.forecast),
        },
    }


def _say(shipped: Shipped) -> None:
    id, before = shipped.release.id, shipped.before
    if shipped.not_measured:
        print_line(f"not measured, and nothing declared: {', '.join(shipped.not_measured)}")
    if shipped.started is not None:
        rollout = shipped.started.rollout
        print_line(f"a {rollout.judge} judges `{id}` from now on; `{before}` serves meanwhile")
        print_line(shipped.started.forecast.why)
        print_line(f"`roadworthy release status {rollout.service}` says how it stands")
    elif before == id:
        print_line(f"`{id}` serves already")
    else:
        instead = f" instead of `{before}`" if before else ""
        print_line(f"`{id}` serves{instead}; a running server follows within 100 ms")


ACTS = (promote, rollback, freeze, unfreeze, stop, approve, waive)
