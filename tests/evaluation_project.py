"""A project whose service is evaluated: it says in capitals what it is asked, or fails to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"amount": {"type": "number"}, "place": {"type": "string"}},
        "required": ["amount"],
    }
)
RULE = "{'label': input.amount > LIMIT ? 'high' : 'low'}"


def judged(
    *,
    limit: float = 100.0,
    evaluation: str = 'suites = ["golden.jsonl"]',
    at_least: float = 0.5,
    fairness: str = "",
) -> str:
    """Return the service file of a predict that is a rule, with what is promised of it."""
    return f"""
name = "judged"
kind = "predict"
owners = {{ product = "test" }}
objectives.deadline_ms = 2000
objectives.quality = {{ scorer = "exact", at_least = {at_least} }}
objectives.fairness = [{fairness}]
cost = {{}}
contract = {{ input = "request.schema.json" }}
[[models]]
name = "rule"
provider = "rule"
model = "{RULE.replace("LIMIT", str(limit))}"
[evaluation]
{evaluation}
"""


def lines(cases: Iterable[Mapping[str, Any]]) -> str:
    """Return cases as the lines of a suite."""
    return "".join(json.dumps(case) + "\n" for case in cases)


def golden(count: int = 40, *, wrong: int = 0) -> str:
    """Return a suite of which the rule has all right but the last so many."""
    amounts = [10.0 * number for number in range(count)]
    right = ["high" if amount > 100.0 else "low" for amount in amounts]
    for place in range(count - wrong, count):
        right[place] = "other"
    return lines(
        {"id": f"g{n}", "input": {"amount": amount}, "expect": {"label": label}, "tags": ["golden"]}
        for n, (amount, label) in enumerate(zip(amounts, right, strict=True))
    )


def files(suite: str | None = None) -> dict[str, str]:
    """Return the files beside the service file."""
    folder = "services/judged"
    return {
        f"{folder}/request.schema.json": SCHEMA,
        f"{folder}/golden.jsonl": golden() if suite is None else suite,
    }


def write_suite(folder: Path, text: str, name: str = "golden.jsonl") -> None:
    """Write a suite of the service in a project's folder."""
    (folder / "services" / "judged" / name).write_text(text, encoding="utf-8")
