"""`roadworthy cost`: what will be spent, what was, and what that is worth."""

from __future__ import annotations

import click

from .cost_estimate import estimate_command
from .cost_raise import raise_command
from .cost_report import report_command
from .cost_tokens import tokens


@click.group()
def cost() -> None:
    """Say what a service will cost, and what was spent; raise a ceiling for now."""


for one in (estimate_command, report_command, tokens, raise_command):
    cost.add_command(one)

COMMANDS = {"cost": cost}
