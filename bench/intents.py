"""Routing by intent: how often it finds what people want, and what is none of it, and how fast.

    python bench/intents.py --json

clinc150, from the folder that `ROADWORTHY_DATA` names: 150 intents by their 15,000 training texts.
3,000 other texts of these intents are sorted, and 200 of none. `min_similarity` is set to keep
95 % of the training texts, each sorted without itself, so that nothing is chosen by what is scored;
beside it stands what the default of 0.35 does. `nearest_example` is the usual alternative: one
nearest neighbour among all examples, with its own threshold set likewise. With few examples a team
writes by hand, 8 an intent are used.

Decisions are timed one after another, vector and all, on questions that were never embedded before.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from risk import embedded
from roadworthy.declare.routing import Intent, Routing
from roadworthy.serve.intents import centroids_of, open_intents
from roadworthy.serve.vectors import Questions
from roadworthy.signals.embed import open_minilm
from roadworthy.types import Call, Caller, Key

KEPT, FEW, TIMED = 0.95, 8, 500
DEFAULT_LEAST = Routing().min_similarity
Vectors = npt.NDArray[np.float32]
CALLER = Caller(Key("k_1", "bench", frozenset({"answer"})), "ada")


def read(folder: Path) -> dict[str, tuple[list[str], list[str]]]:
    table = pq.read_table(folder / "clinc150.parquet")
    columns = [table[name].to_pylist() for name in ("text", "intent", "part")]
    parts: dict[str, tuple[list[str], list[str]]] = {}
    for text, intent, part in zip(*columns, strict=True):
        texts, intents = parts.setdefault(part, ([], []))
        texts.append(text)
        intents.append(intent)
    return parts


def scored(near: Vectors, truth: Vectors, outside: Vectors, least: float) -> dict[str, float]:
    """Return the shares that are right: of what has an intent, and of what has none."""
    is_kept = near.max(axis=1) >= least
    right = (near.argmax(axis=1) == truth) & is_kept
    return {
        "accuracy": round(float(right.mean()), 4),
        "accuracy_of_kept": round(float(right[is_kept].mean()), 4),
        "out_of_scope_found": round(float((outside.max(axis=1) < least).mean()), 4),
        "min_similarity": round(least, 3),
    }


def least_that_keeps(near: Vectors) -> float:
    return float(np.quantile(near.max(axis=1), 1 - KEPT))


def of_examples(near: Vectors, places: Vectors, count: int) -> Vectors:
    """Return (n, intents): how near the nearest example of each is."""
    return np.stack([near[:, places == place].max(axis=1) for place in range(count)], axis=1)


def figures(
    inside: Vectors, truth: Vectors, outside: Vectors, train: Vectors, places: Vectors
) -> dict[str, Any]:
    count = int(places.max()) + 1
    groups = [train[places == place] for place in range(count)]
    centroids = centroids_of(groups)
    own = train @ centroids.T
    for place, group in enumerate(groups):  # each without itself
        rest = group.sum(axis=0) - group
        lengths = np.maximum(np.linalg.norm(rest, axis=1), 1e-12)
        own[places == place, place] = (rest * group).sum(axis=1) / lengths
    near, far = inside @ centroids.T, outside @ centroids.T
    found: dict[str, Any] = {
        "default": scored(near, truth, far, DEFAULT_LEAST),
        "centroids": scored(near, truth, far, least_that_keeps(own)),
    }
    gram = train @ train.T
    np.fill_diagonal(gram, -1)
    least = least_that_keeps(of_examples(gram, places, count))
    sides = (of_examples(side @ train.T, places, count) for side in (inside, outside))
    found["nearest_example"] = scored(next(sides), truth, next(sides), least)
    return found


async def timed(examples: dict[str, list[str]], texts: list[str]) -> dict[str, float]:
    intents = tuple(Intent(name=name, use="m") for name in examples)
    routing = Routing(strategy="intent", intents=intents)
    questions = Questions(open_minilm(), "text")
    started = time.perf_counter()
    router = open_intents(routing, examples, "m", questions)
    opened_s = time.perf_counter() - started
    ms = []

    class _Plan:
        route: Any = None

    cpu_s = time.process_time()
    for text in texts:
        call = Call(input={"text": text}, caller=CALLER, deadline=time.monotonic() + 60)
        started = time.perf_counter()
        await router.choose(_Plan(), call)  # type: ignore[arg-type]
        ms.append((time.perf_counter() - started) * 1000)
    cpu_ms = (time.process_time() - cpu_s) / len(texts) * 1000
    await router.close()
    found = dict(zip(("p50", "p95"), np.quantile(ms, (0.5, 0.95)).round(2).tolist(), strict=True))
    return {
        **found,
        "cpu": round(cpu_ms, 2),
        "opened_s": round(opened_s, 1),
        "examples": sum(map(len, examples.values())),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one line of JSON (always)")
    parser.parse_args()
    folder = os.environ.get("ROADWORTHY_DATA")
    if not folder:
        sys.exit("expected ROADWORTHY_DATA, the folder that holds clinc150.parquet")
    parts = read(Path(folder))
    names = sorted(set(parts["train"][1]))
    place = {name: at for at, name in enumerate(names)}
    vectors = {
        part: np.asarray(embedded(f"clinc150-{part}", texts), np.float32)
        for part, (texts, _) in parts.items()
    }
    places = np.array([place[name] for name in parts["train"][1]])
    truth = np.array([place[name] for name in parts["val"][1]])
    outside = np.concatenate([vectors["oos_train"], vectors["oos_val"]])
    few = np.concatenate([np.flatnonzero(places == at)[:FEW] for at in range(len(names))])
    train = vectors["train"]
    report: dict[str, Any] = {
        "bench": "intents",
        "intents": len(names),
        "all_examples": figures(vectors["val"], truth, outside, train, places),
        "eight_examples": figures(vectors["val"], truth, outside, train[few], places[few]),
    }
    examples: dict[str, list[str]] = {name: [] for name in names}
    for at in few:
        examples[parts["train"][1][at]].append(parts["train"][0][at])
    report["decision_ms"] = asyncio.run(timed(examples, parts["val"][0][:TIMED]))
    print(json.dumps(report))


if __name__ == "__main__":
    main()
