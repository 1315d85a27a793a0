"""`roadworthy cost`: what answers cost, and what they would.

Each command lives in a file of its own and is added to the group here.
"""

from __future__ import annotations

import click

from .cost_tokens import tokens


@click.group()
def cost() -> None:
    """Say what answers cost, and what they would cost."""


cost.add_command(tokens)

COMMANDS = {"cost": cost}
