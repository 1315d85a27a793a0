"""The command line: one file per group of commands, each imported only when it is used."""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

import click


class Entry(NamedTuple):
    """Where a command lives, and what the list of commands says of it."""

    module: str
    help: str


COMMANDS = {
    "init": Entry("init", "Start a new project that runs."),
    "up": Entry("up", "Serve the project over HTTP."),
    "check": Entry("check", "Check every declaration and show what enforces each key."),
    "doctor": Entry("doctor", "Say what is missing or degraded on this machine."),
    "keys": Entry("keys", "Create, list and revoke keys."),
    "data": Entry("data", "Hold data against contracts, draft them, test at volume."),
    "features": Entry("features", "Register feature views, put them online, join them."),
    "evaluate": Entry("evaluate", "Say whether a release keeps what its service promises."),
    "ci": Entry("ci", "Hold what a change touches to what its services promise."),
    "release": Entry("release", "Build, list, show, compare and promote releases."),
    "certificates": Entry(
        "certificates", "List what services may answer alone, and what that needs."
    ),
    "review": Entry("review", "Work the queues of people, and bring in labels."),
    "trace": Entry("trace", "Show the whole lineage of one answer."),
    "replay": Entry("replay", "Ask again what was asked, or a day of it, and compare."),
    "records": Entry("records", "List records, or delete those of one user."),
    "examples": Entry("examples", "Learn from decisions: list, release, export examples."),
    "suites": Entry("suites", "Make suites of production, and see what they lack."),
    "export": Entry("export", "Write records to a Parquet file."),
    "stop": Entry("stop", "Stop a service, a model, or what it answers alone."),
    "resume": Entry("stop", "Let what was stopped go on."),
    "clock": Entry("clock", "Show the project's time, or set it for a replay."),
    "jobs": Entry("jobs", "List periodic jobs, or run one now."),
    "webhooks": Entry("webhooks", "Show how webhooks stand, test one, send again what failed."),
    "cost": Entry("cost", "Estimate what a service will cost, report what was spent."),
    "prices": Entry("prices", "Compile a new file of public prices."),
    "store": Entry("store", "Migrate or back up the state database."),
    "schema": Entry("schema", "Print the JSON Schema of the declaration files."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported by name: `--help` imports none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all names, in the order a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module = importlib.import_module(f"roadworthy.cli.{entry.module}")
        command: click.Command = module.COMMANDS[cmd_name]
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table above, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="roadworthy")
def cli() -> None:
    """Declare one AI job in one file; Roadworthy serves it and enforces every line.

    Exit codes: 0 kept, 1 not kept, 2 usage, 3 inconclusive, 4 could not be done.
    """


def main(*args: Any) -> None:
    """Run the command line."""
    cli(*args)
