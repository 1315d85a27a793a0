"""What a bound costs: certifying 10,000 outcomes in the job, and deciding in the request.

    python bench/review.py [--outcomes 10000]

Prints one JSON line: seconds to certify all of them at once (of single requests, of users who ask
several times and whose chances of a label differ, and with groups), and microseconds of
`Desk.decide` and of a confidence.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "review"))
from harness import report
from team import START_US, Team, replaced

from roadworthy.declare.service import ServiceDeclaration
from roadworthy.review.calibrate import calibrate
from roadworthy.review.capacity import Capacity
from roadworthy.review.desk import Desk, InForce
from roadworthy.review.scoring import OwnScore, Scored
from roadworthy.risk.calibration import fit_isotonic
from roadworthy.risk.coin import is_drawn
from roadworthy.types import DAY_US, Answer, Call, Caller, Key

DAYS = 20
ALLOWED_S, ALLOWED_US = 2.0, 20.0
SERVICE = """
name = "late"
kind = "predict"
owners = { product = "bench" }
objectives = { deadline_ms = 2000 }
cost = { per_day_usd = 1 }
[[models]]
name = "own"
provider = "rule"
model = "{'label': true, 'probability': 0.9}"
[review]
max_error = 0.05
queue = "desk"
when = ["input.amount > 1000.0"]
"""


def team_of(outcomes: int, *, per_user: int = 1, groups: int = 0) -> Team:
    """Return a team with so many outcomes that the job has not seen."""
    team = Team(declared={"groups": ("size",) if groups else ()})
    random, size = np.random.default_rng(1), outcomes // DAYS
    for day in range(DAYS):
        begun, scores = START_US + day * DAY_US, random.random(size)
        wrong = random.random(size) < 0.1 * (1 - scores)
        drafts = []
        for k in range(size):
            share = 1.0 if per_user == 1 else 0.5 + 0.5 * float(scores[k] < 0.5)
            fields: dict[str, Any] = {"groups": (str(k % groups),)} if groups else {}
            draft = team.ask(begun + k, scores[k], f"u{day}-{k // per_user}", share=share, **fields)
            drafts.append(replaced(draft, is_drawn=is_drawn(draft.request_id, share)))
        team.add(drafts)
        said = zip(drafts, wrong, strict=True)
        team.say_all([(d, not bool(bad), d.at_us + 1) for d, bad in said if d.is_drawn])
    return team


def seconds_to_certify(team: Team) -> float:
    started = time.perf_counter()
    said = team.certify(DAYS + 2)
    print(said, file=sys.stderr)
    return time.perf_counter() - started


def seconds_to_calibrate(team: Team) -> float:
    started = time.perf_counter()
    print(calibrate(team.work, team.subject), file=sys.stderr)
    return time.perf_counter() - started


def micros_to_decide(rounds: int = 20_000) -> list[float]:
    """Return the median and the 99th percentile of deciding one answer."""
    service = ServiceDeclaration.model_validate(tomllib.loads(SERVICE))
    desk = Desk(service, "rl_1", "", Capacity(None, lambda _: 0), OwnScore())
    desk.in_force = InForce("ct_1", 0.8, "rl_1", "own", 0.05, 0.5)
    key = Key("k", "bench", frozenset())
    call = Call(input={"amount": 3.0}, caller=Caller(key, "ada"), deadline=0.0)
    answer = Answer(model="own", output={"label": True, "probability": 0.9})
    took = []
    for k in range(rounds):
        id, scored = f"rq_{k:012d}", Scored(0.7 + 0.2 * (k % 2), scorer="own")
        started = time.perf_counter_ns()
        desk.decide(id, START_US, call, answer, scored)
        took.append((time.perf_counter_ns() - started) / 1000)
    return [statistics.median(took), statistics.quantiles(took, n=100)[98]]


def micros_of_confidence(rounds: int = 20_000) -> float:
    random = np.random.default_rng(2)
    scores = random.random(10_000)
    chance = fit_isotonic(scores, random.random(10_000) < scores).chance
    asked = random.random(rounds).tolist()
    started = time.perf_counter_ns()
    for score in asked:
        chance(score)
    return (time.perf_counter_ns() - started) / 1000 / rounds


def main() -> None:
    """Measure, and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--outcomes", type=int, default=10_000)
    count = parser.parse_args().outcomes
    single = team_of(count)
    certify_s = seconds_to_certify(single)
    decide_us, decide_p99_us = micros_to_decide()
    report(
        "review",
        outcomes=count,
        certify_s=certify_s,
        certify_users_s=seconds_to_certify(team_of(count, per_user=4)),
        certify_groups_s=seconds_to_certify(team_of(count, groups=5)),
        calibrate_s=seconds_to_calibrate(single),
        decide_us=decide_us,
        decide_p99_us=decide_p99_us,
        confidence_us=micros_of_confidence(),
        allowed_s=ALLOWED_S,
        allowed_us=ALLOWED_US,
    )


if __name__ == "__main__":
    main()
