"""What an evaluation adds to the answers: 1,000 cases of a scripted model, asked and scored.

    python bench/evaluate.py [--cases 1000] [--rounds 5]

Prints a table and one JSON line: seconds of a whole evaluation (cases read, release built and
opened, asked, scored, judged, stored), of one that knows every answer already, and of one against
a baseline, each beside a bare asyncio loop that asks the same model the same cases and keeps the
answers in a list.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import uvloop
from harness import folder, report

from roadworthy.app import Project, open_project
from roadworthy.app.evaluations import Evaluator
from roadworthy.models.scripted import ScriptedModel
from roadworthy.serve.identify import LOCAL_KEY
from roadworthy.types import Answer, Call, Caller

ALLOWED_S = 0.5
CONCURRENCY = 8
PROJECT = """
[project]
name = "bench"
[providers.scripted]
kind = "scripted"
"""
SERVICE = """
name = "said"
kind = "generate"
owners = { product = "bench" }
objectives = { deadline_ms = 5000, quality = { scorer = "exact", at_least = 0.9 } }
cost = {}
[[models]]
name = "script"
provider = "scripted"
model = "script.jsonl"
timeout_ms = VARIANT
[evaluation]
suites = ["golden.jsonl"]
"""


def write_project(root: Path, cases: int) -> None:
    """Write a service whose script answers every case alike."""
    service = root / "services" / "said"
    service.mkdir(parents=True)
    (root / "roadworthy.toml").write_text(PROJECT)
    (service / "service.toml").write_text(SERVICE.replace("VARIANT", "4000"))
    (service / "script.jsonl").write_text(json.dumps({"text": "the answer"}) + "\n")
    lines = [
        {"id": f"c{n}", "input": {"text": f"question {n}"}, "expect": "the answer", "tags": [tag]}
        for n in range(cases)
        for tag in (f"topic-{n % 7}",)
    ]
    (service / "golden.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")


async def bare(cases: int) -> list[Answer]:
    """Ask the same model the same cases, with the same concurrency and nothing else."""
    model = ScriptedModel("script", ["the answer"])
    caller = Caller(LOCAL_KEY, "bench")
    questions = iter([{"text": f"question {n}"} for n in range(cases)])
    answers: list[Answer] = []

    async def work() -> None:
        for values in questions:
            call = Call(input=values, caller=caller, deadline=time.monotonic() + 5)
            answers.append(await model.answer(call))

    await asyncio.gather(*(work() for _ in range(CONCURRENCY)))
    return answers


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def median(work: Callable[[], object], rounds: int) -> float:
    return statistics.median(seconds(work) for _ in range(rounds))


def measure(project: Project, cases: int, rounds: int) -> dict[str, float]:
    """Return the median seconds of each kind of evaluation."""
    evaluator = Evaluator(project)
    first = evaluator.evaluate("said", fresh=True)
    project.promote(first.release, by="bench")
    found = {
        "bare": median(lambda: uvloop.run(bare(cases)), rounds),
        "fresh": median(lambda: evaluator.evaluate("said", fresh=True), rounds),
        "known": median(lambda: evaluator.evaluate("said"), rounds),
    }
    file = project.folder / "services" / "said" / "service.toml"
    file.write_text(file.read_text().replace("4000", "3000"))
    found["against"] = median(
        lambda: evaluator.evaluate("said", against="champion", fresh=True), rounds
    )
    return found


def main() -> int:
    """Measure, print, and say whether it is fast enough."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with folder() as root:
        write_project(root, options.cases)
        with open_project(root) as project:
            found = measure(project, options.cases, options.rounds)
    print(f"{options.cases} cases of a scripted model, median of {options.rounds}", file=sys.stderr)
    for name, value in found.items():
        ratio = value / found["bare"]
        line = f"  {name:8} {value * 1_000:8.1f} ms  {value / options.cases * 1e6:7.1f} us a case"
        print(f"{line}  x{ratio:.1f}", file=sys.stderr)
    is_kept = found["fresh"] <= ALLOWED_S * options.cases / 1_000
    ratios = {f"{name}_ratio": value / found["bare"] for name, value in found.items()}
    times = {f"{name}_s": value for name, value in found.items()}
    report("evaluate", cases=options.cases, **times, **ratios, allowed_s=ALLOWED_S, kept=is_kept)
    return 0 if is_kept else 1


if __name__ == "__main__":
    sys.exit(main())
