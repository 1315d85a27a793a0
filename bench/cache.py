"""What a cache costs and earns: hits in microseconds, lookups in milliseconds, certified shares.

    python bench/cache.py --json
    python bench/cache.py --fit

Certified shares are measured on banking77, from the folder that `ROADWORTHY_DATA` names: 3,000
entries are kept, the other 7,003 questions ask. The same intent counts as the same answer. Each
resample draws 1,000 or 3,000 questions with replacement, certifies a threshold from their pairs by
one planned look (90 % sure), and is broken if more than the promised share of all hits above it is
wrong. The score's weights were fitted on clinc150 by `--fit` and on nothing of banking77.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from risk import embedded
from roadworthy.app import Project, open_project
from roadworthy.risk.logistic import fit_logistic
from roadworthy.risk.walk import grid_of, look_once, start_for_one_look
from roadworthy.serve.request import Request
from roadworthy.serve.shelves import Shelves
from roadworthy.signals.embed import open_minilm
from roadworthy.signals.marks import Marks, marks_of, why_not
from roadworthy.signals.reuse import FEATURES, NEIGHBOURS, features_of, score_of
from roadworthy.types import Key

Floats = npt.NDArray[np.float64]
Figures = dict[str, Any]
LEAST_SIMILARITY = 0.5
ENTRIES = 3_000
SURE = 0.9
FIT_SIZES = (5, 20, 100, 500, 3_000)
PENALTY = 1.0


class Texts(NamedTuple):
    """Questions with what they want, and their vectors."""

    texts: list[str]
    intents: list[str]
    vectors: Floats


def read(folder: Path, name: str) -> Texts:
    """Read one set of questions; what is out of scope wants nothing that another one wants."""
    table = pq.read_table(folder / f"{name}.parquet").to_pydict()
    wants = [
        f"{intent}{place}" if intent == "oos" else intent
        for place, intent in enumerate(table["intent"])
    ]
    return Texts(table["text"], wants, embedded(name, table["text"]))


class Hits(NamedTuple):
    """Would-be hits: features of each, whether it would be wrong, and of how many requests."""

    features: Floats
    is_wrong: npt.NDArray[np.bool_]
    requests: int


def would_be_hits(found: Texts, entries: Sequence[int], asked: Sequence[int]) -> Hits:
    """Let questions ask a cache that keeps `entries`, as serve/semantic.py does."""
    marks = {place: marks_of(found.texts[place]) for place in (*entries, *asked)}
    kept = found.vectors[list(entries)]
    rows, wrong = [], []
    count = min(NEIGHBOURS, len(entries))
    for place in asked:
        cosines = kept @ found.vectors[place]
        order = np.argsort(-cosines, kind="stable")[:count]
        near = [(entries[k], float(cosines[k])) for k in order if cosines[k] >= LEAST_SIMILARITY]
        for rank, (other, _) in enumerate(near):
            if why_not(marks[place], marks[other]):
                continue
            agrees = [found.intents[one] == found.intents[other] for one, _ in near]
            similar = [one for _, one in near]
            rows.append(features_of(similar, agrees, rank))
            wrong.append(found.intents[other] != found.intents[place])
            break
    return Hits(np.array(rows), np.array(wrong), len(asked))


def fit(folder: Path) -> Figures:
    """Fit the weights on clinc150, over caches of several sizes."""
    found = read(folder, "clinc150")
    rng = np.random.default_rng(0)
    parts = []
    for size in FIT_SIZES:
        order = rng.permutation(len(found.texts)).tolist()
        parts.append(would_be_hits(found, order[:size], order[size : size + 4_000]))
    x = np.concatenate([part.features for part in parts])
    right = ~np.concatenate([part.is_wrong for part in parts])
    means, scales = x.mean(axis=0), x.std(axis=0)
    scales[scales == 0] = 1
    design = np.c_[np.ones(len(x)), (x - means) / scales]
    penalties = np.r_[0.0, np.full(x.shape[1], PENALTY)]
    weights = fit_logistic(design, right.astype(float), penalties)
    own = weights[1:] / scales
    return {
        "pairs": len(x),
        "wrong": round(float(1 - right.mean()), 4),
        "weights": dict(zip(FEATURES, own.round(4).tolist(), strict=True)),
        "intercept": round(float(weights[0] - own @ means), 4),
    }


def certified(folder: Path, resamples: int) -> Figures:
    """Return what can be answered from the cache within a bound, and how often that is broken."""
    found = read(folder, "banking77")
    order = np.random.default_rng(5).permutation(len(found.texts)).tolist()
    hits = would_be_hits(found, order[:ENTRIES], order[ENTRIES:])
    scores = np.array([score_of(row) for row in hits.features.tolist()])
    figures: Figures = {
        "requests": hits.requests,
        "would_be_hits": len(scores),
        "wrong_of_would_be_hits": round(float(hits.is_wrong.mean()), 4),
    }
    for max_error in (0.05, 0.02, 0.01):
        for n in (1_000, 3_000):
            figures[f"{max_error:.0%}, n {n}"] = _resampled(hits, scores, max_error, n, resamples)
        figures[f"{max_error:.0%}, oracle"] = _oracle(hits, scores, max_error)
    return figures


def _resampled(hits: Hits, scores: Floats, max_error: float, n: int, resamples: int) -> Figures:
    """Certify from `n` requests again and again; of those without a would-be hit none is a pair."""
    rng = np.random.default_rng(0)
    grid = grid_of(scores)
    outcomes = round(n * len(scores) / hits.requests)
    start = start_for_one_look(scores, grid, outcomes, max_error, SURE)
    passed, wrong = _at(grid, hits, scores)
    shares, of_hits, broken, none = [], [], 0, 0
    for _ in range(resamples):
        drawn = rng.integers(0, len(scores), outcomes)
        walk = look_once(scores[drawn], hits.is_wrong[drawn], grid, start, max_error, SURE)
        place = walk.certified
        if place is None:
            none += 1
            shares.append(0.0)
            continue
        shares.append(passed[place] / hits.requests)
        of_hits.append(wrong[place] / passed[place])
        broken += bool(of_hits[-1] > max_error)
    share, per_hit = float(np.mean(shares)), float(np.mean(of_hits)) if of_hits else 0.0
    return {
        "share_from_cache": round(share, 4),
        "wrong_of_hits": round(per_hit, 4),
        "wrong_of_all": round(share * per_hit, 4),
        "broken": round(broken / resamples, 4),
        "nothing_certified": round(none / resamples, 4),
    }


def _at(grid: Floats, hits: Hits, scores: Floats) -> tuple[Floats, Floats]:
    passes = scores[:, None] >= grid
    return passes.sum(axis=0).astype(float), (passes & hits.is_wrong[:, None]).sum(axis=0) * 1.0


def _oracle(hits: Hits, scores: Floats, max_error: float) -> float:
    """Return the largest share that a threshold could give within the bound, were it known."""
    passed, wrong = _at(grid_of(scores), hits, scores)
    fine = np.flatnonzero(wrong <= max_error * passed)
    return round(float(passed[fine].max() / hits.requests), 4) if fine.size else 0.0


def online(folder: Path, runs: int = 3, begin: int = 3_000) -> Figures:
    """Return what a cache gives that fills as questions come, and keeps no question that it hit.

    The first `begin` questions are all answered anew, kept and compared; a threshold is certified
    from them by one look, of each entry one pair; the rest meet it. So the evidence is of a smaller
    cache than the one that uses it: what a service does, and no resample.
    """
    found = read(folder, "banking77")
    marks = [marks_of(text) for text in found.texts]
    figures: Figures = {}
    for max_error in (0.05, 0.02):
        told = [_one_run(found, marks, max_error, begin, seed) for seed in range(runs)]
        names = ("share_from_cache", "wrong_of_hits", "wrong_of_all")
        figures[f"{max_error:.0%}"] = {
            name: [round(run[place], 4) for run in told] for place, name in enumerate(names)
        }
    return figures


def _one_run(
    found: Texts, marks: list[Marks], max_error: float, begin: int, seed: int
) -> tuple[float, float, float]:
    order = np.random.default_rng(seed).permutation(len(found.texts)).tolist()
    kept = np.empty(found.vectors.shape, np.float32)
    places: list[int] = []
    pairs: dict[int, tuple[float, bool]] = {}
    threshold, hits, wrong = np.inf, 0, 0
    for number, place in enumerate(order):
        if number == begin:
            threshold = _certify(list(pairs.values()), max_error)
        near = _best(found, marks, kept[: len(places)], places, place)
        if near is not None:
            other, score = near
            is_wrong = found.intents[other] != found.intents[place]
            if number < begin:
                pairs.setdefault(other, (score, is_wrong))
            elif score >= threshold:
                hits, wrong = hits + 1, wrong + is_wrong
                continue
        kept[len(places)] = found.vectors[place]
        places.append(place)
    asked = len(order) - begin
    return hits / asked, wrong / max(hits, 1), wrong / asked


def _certify(pairs: list[tuple[float, bool]], max_error: float) -> float:
    scores, is_wrong = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    grid = grid_of(scores)
    start = start_for_one_look(scores, grid, len(scores), max_error, SURE)
    place = look_once(scores, is_wrong, grid, start, max_error, SURE).certified
    return np.inf if place is None else float(grid[place])


def _best(
    found: Texts, marks: list[Marks], kept: Any, places: list[int], place: int
) -> tuple[int, float] | None:
    """Return the entry whose answer would be given, and its score."""
    if not places:
        return None
    cosines = kept @ found.vectors[place]
    order = np.argsort(-cosines, kind="stable")[:NEIGHBOURS]
    near = [(places[k], float(cosines[k])) for k in order if cosines[k] >= LEAST_SIMILARITY]
    for rank, (other, _) in enumerate(near):
        if not why_not(marks[place], marks[other]):
            agrees = [found.intents[one] == found.intents[other] for one, _ in near]
            return other, score_of(features_of([c for _, c in near], agrees, rank))
    return None


def lookups(folder: Path, rows: int = 100_000, asked: int = 200) -> Figures:
    """Return how long a lookup among many questions takes, and what they take of memory."""
    found, bank = read(folder, "clinc150"), read(folder, "banking77")
    known = np.concatenate([found.vectors, bank.vectors])
    rng = np.random.default_rng(0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    shelves = Shelves(known.shape[1])
    for place in range(rows):
        vector = known[rng.integers(len(known))] + rng.normal(0, 0.03, known.shape[1])
        unit = (vector / np.linalg.norm(vector)).astype(np.float32)
        shelves.add(b"all", b"%032d" % place, unit)
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    model = open_minilm()
    texts = [bank.texts[k] for k in rng.integers(0, len(bank.texts), asked)]
    took: list[tuple[float, ...]] = []

    async def ask() -> None:
        for text in texts:
            moments = [_now()]
            vector = model.embed((text,))[0]
            moments.append(_now())
            await shelves.near(b"all", vector, NEIGHBOURS)
            moments.append(_now())
            (a, b, c) = moments
            took.append((b[0] - a[0], c[0] - b[0], c[0] - a[0], b[1] - a[1], c[1] - b[1]))

    asyncio.run(ask())
    ms = 1e3 * np.array(took)
    names = ("embed_ms", "near_ms", "both_ms", "embed_cpu_ms", "near_cpu_ms")
    medians = dict(zip(names, np.median(ms, axis=0).round(2).tolist(), strict=True))
    return {
        "rows": rows,
        **medians,
        "both_ms_p95": round(float(np.quantile(ms[:, 2], 0.95)), 2),
        "index_bytes_per_row": shelves.row_bytes,
        "grown_mb": round(grown_mb, 1),
    }


def _now() -> tuple[float, float]:
    """Return the time and the CPU seconds: on a busy machine only these tell."""
    return time.perf_counter(), time.process_time()


SERVICE = """
name = "reply"
kind = "generate"
owners = {{ product = "bench" }}
objectives = {{ deadline_ms = 2000 }}
cost = {{ per_day_usd = 1000 }}
{cache}
[[models]]
name = "script"
provider = "scripted"
model = "script.jsonl"
max_output_tokens = 100
"""
PROJECT = """
[project]
name = "bench"
[providers.scripted]
kind = "scripted"
"""
HIT_ROUNDS = 20_000


def hits_us() -> Figures:
    """Return the CPU of a request of 2.6 kB: answered from the cache, missed, and without one."""
    figures: Figures = {}
    for name, cache in (("without", ""), ("with", "[cache]\nexact_ttl_s = 3600")):
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), cache)
            project = open_project(folder)
            try:
                figures |= _of_project(project, name)
            finally:
                project.close()
    return figures


def write(folder: Path, cache: str) -> None:
    """Write the project that is asked."""
    service = folder / "services" / "reply"
    service.mkdir(parents=True)
    (folder / "roadworthy.toml").write_text(PROJECT)
    (service / "service.toml").write_text(SERVICE.format(cache=cache))
    (service / "script.jsonl").write_text(json.dumps({"text": "yes " * 100}) + "\n")


def _of_project(project: Project, name: str) -> Figures:
    project.promote(project.build_release("reply", by="bench").id, by="bench")
    key = Key("k", "bench", frozenset({"answer"}))
    engine = project.serving.engine
    text = "How many bags may I take? " * 100

    async def asked(count: int, *, same: bool) -> float:
        started = time.thread_time()
        for number in range(count):
            content = f"{text}{0 if same else number}"
            body = {
                "messages": msgspec.Raw(msgspec.json.encode([{"role": "user", "content": content}]))
            }
            await engine.answer(Request(service="reply", key=key, protocol="openai", body=body))
        return 1e6 * (time.thread_time() - started) / count

    figures = {}
    for same in (True, False):
        project.run(asked(500, same=same)).result()
        runs = [project.run(asked(HIT_ROUNDS // 10, same=same)).result() for _ in range(5)]
        what = "same" if same else "other"
        figures[f"{name}_cache_{what}_question_us"] = round(min(runs), 1)
    return figures


def main() -> None:
    """Measure and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON line (it always does)")
    parser.add_argument("--fit", action="store_true", help="fit the weights of the score anew")
    parser.add_argument("--resamples", type=int, default=2_000)
    args = parser.parse_args()
    folder = Path(os.environ.get("ROADWORTHY_DATA", "../shared/data"))
    if not (folder / "banking77.parquet").exists():
        sys.exit(f"no real texts in {folder}: name their folder in ROADWORTHY_DATA")
    if args.fit:
        print(json.dumps({"bench": "cache", "fit": fit(folder)}))
        return
    figures = {"exact": hits_us(), "semantic": lookups(folder)}
    figures["certified"] = certified(folder, args.resamples)
    figures["online"] = online(folder)
    print(json.dumps({"bench": "cache", **figures}))


if __name__ == "__main__":
    main()
