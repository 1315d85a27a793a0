"""`roadworthy data diff`: what changed between versions of a contract, and whom it breaks."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from ..app import ENFORCES
from ..data.consumed import Consumed, consumed_by, readers_of
from ..data.contract import Contract
from ..data.diff import Change, Diff, Party, diff, transitive_compatibility
from ..data.odcs import load_contract
from ..declare.load import load_project, load_service
from ..declare.project import PROJECT_FILE
from ..errors import DeclarationError, NotFound
from .common import (
    NOT_KEPT,
    command,
    errors,
    json_option,
    plain,
    print_json,
    print_line,
    print_table,
    project_option,
)

GIT_TIMEOUT_S = 30

_MEANS = {
    "BACKWARD": "producers may go on, and consumers meet values that they were not promised",
    "FORWARD": "consumers may go on, and producers send what is refused now",
    "FULL": "nobody has to do anything",
    "NONE": "producers and consumers have to change with it",
}


@click.command("diff")
@click.argument("files", nargs=-1, required=True, metavar="[OLD...] NEW", type=Path)
@click.option(
    "--against",
    "revisions",
    multiple=True,
    metavar="REV",
    help="Compare with the file as it was in this git revision, in place of OLD.",
)
@project_option
@json_option
@click.pass_context
@command
def diff_command(
    ctx: click.Context,
    files: tuple[Path, ...],
    revisions: tuple[str, ...],
    folder: Path,
    as_json: bool,
) -> None:
    """Say what changed between contracts, whom each change breaks, and which services read it.

    A change breaks the producer if something that was accepted is refused now, and the consumer if
    something is accepted now that was refused before. With several OLD ones NEW is held against
    each of them. Ends with 1 if anything breaks anybody.
    """
    *earlier, newest = files
    if not earlier and not revisions:
        raise click.UsageError("name the old contract too, or a revision with `--against`")
    if earlier and revisions:
        raise click.UsageError("name either old contracts or revisions with `--against`")
    if revisions:
        old = [_from_git(newest, revision) for revision in revisions]
    else:
        old = [load_contract(path) for path in earlier]
    new = load_contract(newest)
    readers = readers_of(new.id, _consumed(folder))
    found = [diff(one, new, readers) for one in old]
    if len(found) == 1:
        word: str = found[0].compatibility
    else:
        word = transitive_compatibility([*old, new])
    if as_json:
        print_json(_facts(found, new, word))
    else:
        _print(found, new, word)
    ctx.exit(NOT_KEPT if any(one.breaks for one in found) else 0)


def _from_git(path: Path, revision: str) -> Contract:
    """Load a contract as it was in a revision.

    Raises:
        NotFound: Git has no such revision, or it no such file.
    """
    ask = ["git", "-C", str(path.absolute().parent), "show", f"{revision}:./{path.name}"]
    if revision.startswith("-"):
        raise click.UsageError("a revision does not start with `-`")
    try:
        shown = subprocess.run(  # noqa: S603 - a list of words: no shell reads them
            ask, capture_output=True, timeout=GIT_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotFound(f"cannot ask git for {revision}: {type(error).__name__}") from error
    if shown.returncode:
        reason = shown.stderr.decode(errors="replace").strip().partition("\n")[0]
        raise NotFound(f"git has no {path.name} in {revision}: {reason}")
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / path.name
        copy.write_bytes(shown.stdout)
        return load_contract(copy, copy.parent)


def _consumed(folder: Path) -> list[Consumed]:
    """Return what the services of a project read; what cannot be loaded is said, and left out."""
    if not (folder / PROJECT_FILE).is_file():
        return []
    project = load_project(folder)
    found: list[Consumed] = []
    for place in project.service_folders():
        try:
            found += consumed_by(load_service(place, project, ENFORCES), project)
        except DeclarationError as error:
            said = str(error).partition("\n")[0]
            errors.print(plain(f"what `{place.name}` reads is not known: {said}"))
    return found


def _facts(found: Sequence[Diff], new: Contract, word: str) -> dict[str, Any]:
    return {
        "contract": new.id,
        "old": [one.old_version for one in found],
        "new": new.version,
        "changes": [
            _change(change, one.old_version, len(found) > 1)
            for one in found
            for change in one.changes
        ],
        "compatibility": word,
    }


def _change(change: Change, version: str, is_one_of_many: bool) -> dict[str, Any]:
    facts = {name: getattr(change, name) for name in change.__struct_fields__}
    return facts | ({"since": version} if is_one_of_many else {})


def _print(found: Sequence[Diff], new: Contract, word: str) -> None:
    for one in found:
        print_line(_sentence(one, new), style="bold")
        rows = [
            [
                ".".join(filter(None, (change.table, change.field))) or new.id,
                str(change).rpartition("` ")[2],
                " and ".join(change.breaks) or "nobody",
                ", ".join(change.read_by) or "-",
            ]
            for change in one.changes
        ]
        if rows:
            print_table("", ("where", "change", "breaks", "read by"), rows)
    meaning = word.removesuffix("_TRANSITIVE")
    print_line(f"{word}: {_MEANS[meaning]}", style="bold")
    if any(one.breaks and one.old_version == new.version for one in found):
        print_line(f"raise `version`: it is {new.version} in both")


def _sentence(one: Diff, new: Contract) -> str:
    name = f"`{new.id}` {one.new_version}"
    if not one.changes:
        return f"{name} promises what {one.old_version} did"
    told = list(_broken(one, "producer")) + list(_broken(one, "consumer"))
    said = " and ".join(told) or "nobody"
    count = len(one.changes)
    return f"{name} breaks {said}: {count} change{'s' if count > 1 else ''} since {one.old_version}"


def _broken(one: Diff, party: Party) -> Iterator[str]:
    changes = [change for change in one.changes if party in change.breaks]
    if not changes:
        return
    readers = sorted({name for change in changes for name in change.read_by})
    names = f" ({', '.join(readers)})" if readers and party == "consumer" else ""
    yield f"its {party}s{names}"
