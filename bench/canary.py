"""The promise of a rollout, kept before a thousand of them: our rule beside two naive ones.

    python bench/canary.py [--runs 1000]

A candidate that is as good as the champion should be rolled back in at most 5 % of rollouts,
however often one looks; one that fails twice as often should be found soon. `z` is a z-test of
requests at every hundred of them, `msprt` the mixture test of requests (Johari et al., 2022) that
may be looked at whenever one likes. Users are invented: of one request each, or with lognormal
traffic and failures that go together (correlation .2), as those of real users do.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "risk"))
from canaries import (
    FALSE_ALARM,
    MARGIN,
    SURE,
    Draw,
    Found,
    both_verdicts,
    by_requests,
    by_users,
    clustered,
    independent,
    msprt,
    peeked_z,
    shadowed,
)

from roadworthy.release.canary import ClosedUnit, Progress, Terms, decide, expected_duration, take

Figures = dict[str, Any]
CHAMPION, TWICE = 0.05, 0.10


def rolled_back(runs: int) -> dict[str, Figures]:
    """Return how often, and after how much, each rule rolls back equal and worse candidates."""
    found: dict[str, Figures] = {}
    cases: tuple[tuple[str, Draw, int], ...] = (
        ("independent users", independent, 10_000),
        ("users whose requests fail together", clustered, 1900),
    )
    for name, draw, users in cases:
        for what, candidate in (("equal", CHAMPION), ("5 to 7.5 %", 0.075), ("5 to 10 %", TWICE)):
            terms = {"users": users, "runs": runs, "seed": 1}
            figures = _figures("ours", by_users(draw, candidate, CHAMPION, **terms))
            for rule, decides in (("z", peeked_z), ("msprt", msprt)):
                one = by_requests(draw, decides, candidate, CHAMPION, **terms)
                figures.update(_figures(rule, one))
            found[f"{name}, {what}"] = figures
    for what, candidate in (("equal", CHAMPION), ("5 to 7.5 %", 0.075), ("5 to 10 %", TWICE)):
        one = by_users(shadowed, candidate, CHAMPION, users=10_000, runs=runs, seed=2)
        found[f"shadow, {what}"] = _figures("ours", one)
    return found


def _figures(rule: str, found: Found) -> Figures:
    figures: Figures = {f"{rule}_rolled_back": found.share, f"{rule}_requests": found.requests}
    if not math.isnan(found.pairs):
        figures[f"{rule}_pairs"] = found.pairs
    return figures


def ended(runs: int) -> dict[str, Figures]:
    """Return how canaries of 5 % end that may be promoted as well, and what was forecast."""
    forecast = expected_duration(Terms(metrics=("errors",), steps=(0.05, 1.0)), 1000, CHAMPION)
    found = {}
    for worse in (0.0, MARGIN, 0.05):
        one = both_verdicts(CHAMPION + worse, CHAMPION, users=6000, runs=runs, seed=3)
        found[f"worse by {worse:.0%}"] = {
            "promoted": one.promoted,
            "rolled_back": one.rolled_back,
            "users": one.pairs,
        }
    found["worse by 0%"]["forecast_users"] = forecast.promote_units or math.nan
    return found


def speed(units: int = 20_000) -> Figures:
    """Return what counting one closed user costs, and one look, of five metrics."""
    rng = np.random.default_rng(4)
    terms = Terms(metrics=("errors", "late", "cost", "denials", "doubt"), steps=(0.05, 0.25, 1.0))
    closed = [
        ClosedUnit(
            arm="candidate" if rng.random() < 0.05 else "champion",
            closed_us=k + 1,
            losses={name: float(rng.random() < CHAMPION) for name in terms.metrics},
        )
        for k in range(units)
    ]
    begun = time.perf_counter()
    progress = take(Progress(), closed, terms)
    taken = time.perf_counter()
    decide(progress, terms)
    return {
        "microseconds_per_unit": (taken - begun) / units * 1e6,
        "milliseconds_per_look": (time.perf_counter() - taken) * 1e3,
    }


def main() -> None:
    """Measure, print a line for each set, and one of JSON in the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    args = parser.parse_args()
    sets = {**rolled_back(args.runs), **ended(args.runs), "speed": speed()}
    rounded = {
        name: {key: round(float(value), 4) for key, value in figures.items()}
        for name, figures in sets.items()
    }
    for name, figures in rounded.items():
        said = "  ".join(f"{key} {value:g}" for key, value in figures.items())
        print(f"{name:45} {said}", file=sys.stderr)
    allowed = {"false_alarm": FALSE_ALARM, "wrongly_promoted": 1 - SURE}
    print(json.dumps({"bench": "canary", "runs": args.runs, "allowed": allowed, "sets": rounded}))


if __name__ == "__main__":
    main()
