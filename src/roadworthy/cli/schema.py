"""`roadworthy schema`: what editors complete and check declarations with."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ..declare.json_schema import project_schema, service_schema
from .common import command, print_line, write_text

_SCHEMAS = {"service": service_schema, "project": project_schema}


@click.command()
@click.argument("file", type=click.Choice(list(_SCHEMAS)))
@click.option("--out", type=click.Path(path_type=Path), help="Write it here instead.")
@command
def schema(file: str, out: Path | None) -> None:
    """Print the JSON Schema of service.toml (`service`) or of roadworthy.toml (`project`)."""
    text = json.dumps(_SCHEMAS[file](), indent=2)
    if out is None:
        click.echo(text)
    else:
        write_text(out, f"{text}\n")
        print_line(f"wrote {out}; `#:schema {out.name}` on top of a TOML file names it to editors")


COMMANDS = {"schema": schema}
