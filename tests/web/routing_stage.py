"""Services that route, with evidence and without: the stage of the pages about routing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conftest import write_project
from control_plane import Plane
from roadworthy.app import open_project
from roadworthy.store.pairs import add_pairs
from roadworthy.types import Pair
from routed import ask, certify, opened, service

SMALL, LARGE = 100, 2_000
PRICES = """
[providers.paid]
kind = "scripted"
[providers.paid.prices."small.jsonl"]
request_usd = 0.0001
input_usd_per_million = 0
output_usd_per_million = 0
[providers.paid.prices."large.jsonl"]
request_usd = 0.002
input_usd_per_million = 0
output_usd_per_million = 0
"""
CASCADE = """
[routing]
strategy = "cascade"
max_error = 0.1
reference = "large"
pairs_share = 0.01
"""
RULES = """
[routing]
strategy = "rules"
rules = [{ when = "'vip' in tags", use = "large" }]
"""
PAID = """
[[models]]
name = "small"
provider = "paid"
model = "small.jsonl"
[[models]]
name = "large"
provider = "paid"
model = "large.jsonl"
"""
USAGE = '"usage": {"input_tokens": 1, "output_tokens": 1}'
FILES = {
    "small.jsonl": f'{{"output": {{"label": "a", "confidence": 0.9}}, {USAGE}}}\n'
    f'{{"output": {{"label": "a", "confidence": 0.4}}, {USAGE}}}\n',
    "large.jsonl": f'{{"output": {{"label": "a", "confidence": 1.0}}, {USAGE}}}\n',
}
BY_RULE = {"small": "{'by': 'small'}", "large": "{'by': 'large'}"}


def pair(plane: Plane, number: int, score: float, loss: float) -> Pair:
    return Pair(
        id=f"pr_{number:05}",
        at_us=plane.project.clock.now_us(),
        decision="route",
        service="cascade",
        release=opened(plane.project, "cascade").id,
        request_id=f"rq_{number:05}",
        scorer="own",
        score=score,
        share=0.2,
        model="small",
        reference="large",
        quality=1 - loss,
        reference_quality=1.0,
        loss=loss,
        known_at_us=plane.project.clock.now_us(),
    )


@contextmanager
def served_routes(folder: Path) -> Iterator[Plane]:
    """A service that bets, with evidence; one that has none yet; one with rules; a plain one."""
    services = {
        "cascade": service(CASCADE, {}, name="cascade") + PAID,
        "new": service(CASCADE, {}, name="new") + PAID,
        "rules": service(RULES, BY_RULE, name="rules"),
        "plain": service("", BY_RULE, name="plain"),
    }
    files = {
        f"services/{name}/{file}": text
        for name in ("cascade", "new")
        for file, text in FILES.items()
    }
    project = open_project(write_project(folder / "project", services, files, PRICES))
    plane = Plane(project)
    try:
        for number in range(30):
            ask(project, name="cascade", user=f"u{number}", x=number)
        certify(project, 0.8, "cascade", audit_share=0.01)
        for number in range(20):
            ask(project, name="cascade", user=f"v{number}", x=number)
        found = [pair(plane, n, n / 200, float(n < 100 and n % 4 == 0)) for n in range(200)]
        with project.state.begin() as connection:
            add_pairs(connection, found)
        for tags in ((), ("vip",), ("vip",)):
            ask(project, name="rules", tags=tags, x=1)
        yield plane
    finally:
        project.close()
