"""Cheaper models that are good enough: what is predicted of them, and what may be certified.

    python bench/routing.py [--teams 1000] [--only NAME] [--json]

What predicts the gain of the stronger model is fitted on four fifths of real questions with both
models' answers, over five splits. APGR is the area under the curve of quality over the share of
calls that go to the stronger model, and CPT50 the share of them that closes half the gap (RouteLLM,
2024). The floor is certified from 1,500 pairs by what `roadworthy.risk` offers for a planned look,
on questions that trained nothing, by so many teams; `--only` names one set. It ends with 1 where a
figure is worse than promised. Data are read from the folder that `ROADWORTHY_DATA` names.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from roadworthy.risk import floor
from roadworthy.risk.bets import log_wealth_planned
from roadworthy.risk.evidence import Floats
from roadworthy.risk.gain import Answered, Gain, fit_gain
from roadworthy.risk.walk import grid_of, last_before_gap, start_at_share
from roadworthy.signals.embed import open_minilm

KEPT = Path(tempfile.gettempdir()) / "roadworthy-bench"
SPLITS = 5
SURE, KEEP = 0.9, 0.95
PAIRS = 1_500
POINTS = 23
WANTED = {"apgr": 0.65, "cpt50": 0.31, "cheap_share": 0.38, "violations": 0.10}
Figures = dict[str, float]
Whole = npt.NDArray[np.int64]


class Questions(NamedTuple):
    """Questions, and how good each model's answer was.

    Attributes:
        prices: Of the models, relative to each other; the last is the reference.
        quality: (n, models) float64 in [0, 1].
    """

    vectors: npt.NDArray[np.float32]
    tags: list[tuple[str, ...]]
    models: tuple[str, ...]
    prices: Floats
    quality: Floats


def embedded(name: str, texts: Sequence[str]) -> npt.NDArray[np.float32]:
    """Return MiniLM's vectors of texts, kept for the next run."""
    digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]
    kept = KEPT / f"{name}-{digest}.npy"
    if not kept.exists():
        KEPT.mkdir(parents=True, exist_ok=True)
        minilm, parts = open_minilm(), []
        for k in range(0, len(texts), 64):
            parts.append(minilm.embed(tuple(text[:4000] for text in texts[k : k + 64])))
            print(f"\rembedding {name}: {k} of {len(texts)}", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        np.save(kept, np.vstack(parts).astype(np.float32))
    found: npt.NDArray[np.float32] = np.load(kept)
    return found


def mmlu(folder: Path) -> Questions:
    """Return RouteLLM's MMLU rows: Mixtral-8x7B beside GPT-4, at 1 : 100."""
    table = pq.read_table(folder / "routellm_pair_outcomes.parquet").to_pylist()
    rows = [row for row in table if row["benchmark"] == "mmlu"]
    quality = np.array([[row["weak_ok"], row["strong_ok"]] for row in rows], float)
    vectors = embedded("mmlu", [row["prompt"] for row in rows])
    tags: list[tuple[str, ...]] = [(row["domain"],) for row in rows]
    return Questions(vectors, tags, ("weak", "strong"), np.array([1.0, 100.0]), quality)


def nine(folder: Path) -> Questions:
    """Return LLMRouter's nine models; what one costs grows with its size, the dearest last."""
    table = pq.read_table(folder / "llmrouter_9model_scores.parquet")
    columns = [name for name in table.column_names if name.startswith("score__")]
    sizes = {name: _billions(name) for name in columns}
    order = sorted(columns, key=lambda name: (sizes[name], name))
    quality = np.column_stack([table[name].to_numpy() for name in order])
    best = int(np.argmax(quality.mean(axis=0)))
    order = [*(name for name in order if sizes[name] < sizes[order[best]]), order[best]]
    quality = np.column_stack([table[name].to_numpy() for name in order])
    vectors = embedded("nine", table["prompt"].to_pylist())
    names = tuple(name.removeprefix("score__") for name in order)
    prices = np.array([sizes[name] for name in order])
    return Questions(vectors, [()] * len(vectors), names, prices, quality)


def _billions(name: str) -> float:
    parts = name.lower().replace("_", "-").split("-")
    sizes = [part[:-1] for part in parts if part.endswith("b")]
    return float(next(size for size in sizes if size.replace(".", "").isdigit()))


def arena(folder: Path) -> Questions:
    """Return RouterArena's two models, the better one last, and what they cost."""
    rows = pq.read_table(folder / "routerarena_two_models.parquet").to_pylist()
    asked: dict[str, dict[str, Any]] = {}
    for row in rows:
        asked.setdefault(row["global_index"], {})[row["model"]] = row
    both = [found for found in asked.values() if len(found) == 2]
    names = sorted(both[0], key=lambda name: sum(found[name]["score"] for found in both))
    vectors = embedded("arena", [found[names[0]]["prompt"] for found in both])
    tags: list[tuple[str, ...]] = [(str(found[names[0]]["metric"]),) for found in both]
    quality = np.array([[found[name]["score"] for name in names] for found in both])
    prices = np.array([np.mean([found[name]["cost"] for found in both]) for name in names])
    return Questions(vectors, tags, tuple(names), prices, np.clip(quality, 0, 1))


def fitted(questions: Questions, which: Whole) -> Gain:
    """Return what predicts, fitted on some of the questions."""
    lost = questions.quality[which, -1:] - questions.quality[which, :-1]
    answered = Answered(questions.vectors[which], [questions.tags[k] for k in which], lost)
    return fit_gain(answered, questions.models[:-1], questions.models[-1], 1 - KEEP)


def routed(questions: Questions, gain: Gain, which: Whole) -> tuple[Floats, Whole]:
    """Return of some questions the score, and which model it is of."""
    chosen = gain.choose(questions.vectors[which], [questions.tags[k] for k in which])
    places = {name: place for place, name in enumerate(questions.models)}
    return np.array([score for _, score in chosen]), np.array([places[name] for name, _ in chosen])


def curve(scores: Floats, cheap: Floats, strong: Floats) -> tuple[float, float]:
    """Return APGR and CPT50 of sending the surest to the cheaper model first."""
    order, n = np.argsort(-scores, kind="stable"), len(scores)
    quality = strong.sum() + np.concatenate([[0.0], np.cumsum((cheap - strong)[order])])
    recovered = (quality / n - cheap.mean()) / (strong.mean() - cheap.mean())
    calls = 1 - np.arange(n + 1) / n
    area = float(((recovered[1:] + recovered[:-1]) / 2 * (calls[:-1] - calls[1:])).sum())
    return area, float(calls[recovered >= 0.5].min())


def predicted(questions: Questions) -> Figures:
    """Return how well the gain is predicted, and what the floor saves, over five splits."""
    found = []
    for split in range(SPLITS):
        order = np.random.default_rng(split).permutation(len(questions.vectors))
        test, train = order[: len(order) // 5], order[len(order) // 5 :]
        scores, which = routed(questions, fitted(questions, train), test)
        strong = questions.quality[test, -1]
        cheap = questions.quality[test, which]
        found.append((*curve(scores, cheap, strong), *_at_floor(questions, scores, which, test)))
    apgr, cpt50, share, cost = np.mean(found, axis=0)
    worst = min(one[0] for one in found)
    return {
        "apgr": apgr,
        "apgr_worst": worst,
        "cpt50": cpt50,
        "share_at_floor": share,
        "cost_at_floor": cost,
    }


def _at_floor(
    questions: Questions, scores: Floats, which: Whole, test: Whole
) -> tuple[float, float]:
    """Return which share may go to cheaper models if errors were known, and what that costs."""
    strong, cheap = questions.quality[test, -1], questions.quality[test, which]
    order, n = np.argsort(-scores, kind="stable"), len(scores)
    kept = (strong.sum() + np.cumsum((cheap - strong)[order])) / strong.sum()
    most = int(np.flatnonzero(kept >= KEEP)[-1]) + 1 if (kept >= KEEP).any() else 0
    cost = questions.prices[which[order[:most]]].sum() + questions.prices[-1] * (n - most)
    return most / n, float(cost / (questions.prices[-1] * n))


def certified(questions: Questions, teams: int) -> Figures:
    """Return what teams certify of the floor from so many pairs, at one planned look and at will.

    Pairs are resampled from questions that trained nothing, so the true loss is known.
    """
    order = np.random.default_rng(6).permutation(len(questions.vectors))
    train, pool = order[: len(order) // 2], order[len(order) // 2 :]
    scores, which = routed(questions, fitted(questions, train), pool)
    pairs = floor.Pairs(
        scores, questions.quality[pool, which], questions.quality[pool, -1], np.ones(len(pool))
    )
    grid = grid_of(scores, POINTS)
    losses = floor.losses_of(pairs, grid, KEEP)
    truth = np.append(losses.mean(axis=0), 0.0)
    shares = np.append((scores[:, None] >= grid).mean(axis=0), 0.0)
    rng = np.random.default_rng(7)
    start = start_at_share(scores, grid)
    found: dict[str, list[int]] = {"planned": [], "at will": [], "naive": []}
    for _ in range(teams):
        drawn = rng.integers(0, len(pool), PAIRS)
        found["planned"].append(_planned(losses[drawn]))
        some = floor.Pairs(*(column[drawn] for column in pairs))
        walk = floor.advance(floor.begin(len(grid), start), some, grid, KEEP, SURE)
        found["at will"].append(-1 if walk.certified is None else walk.certified)
        keeps = np.flatnonzero(losses[drawn].mean(axis=0) <= 0)
        found["naive"].append(int(keeps[-1]) if keeps.size else -1)
    best = np.flatnonzero(truth[:-1] <= 0)
    figures = {"oracle_share": float(shares[best[-1]]) if best.size else 0.0}
    for name, places in found.items():
        key = name.replace(" ", "_")
        figures[f"{key}_cheap_share"] = float(shares[places].mean())
        figures[f"{key}_violations"] = float((truth[places] > 0).mean())
    return figures


def _planned(losses: Floats) -> int:
    """Return the loosest threshold that one planned look certifies, from the strictest on."""
    enough = -np.log1p(-SURE)
    crossed = np.zeros(losses.shape[1], bool)
    for place in range(losses.shape[1]):
        wealth = log_wealth_planned(losses[:, place], 0.0, SURE, PAIRS, -1.0, KEEP)
        crossed[place] = wealth.max() >= enough
        if not crossed[place]:
            break
    found = last_before_gap(crossed, 0)
    return -1 if found is None else found


SETS: dict[str, Callable[[Path], Questions]] = {"mmlu": mmlu, "nine": nine, "arena": arena}


def measured(folder: Path, teams: int, only: str) -> Iterator[tuple[str, Figures]]:
    """Yield the figures of each set of questions."""
    for name, read in SETS.items():
        if only in ("", name):
            questions = read(folder)
            found = predicted(questions)
            if len(questions.vectors) >= 2 * PAIRS:
                found |= certified(questions, teams)
            yield name, {key: round(float(value), 4) for key, value in found.items()}


def missed(figures: Figures) -> list[str]:
    """Return what of MMLU's figures is worse than promised, in words."""
    found = []
    if figures["apgr"] < WANTED["apgr"]:
        found.append(f"apgr {figures['apgr']}, wanted at least {WANTED['apgr']}")
    if figures["cpt50"] > WANTED["cpt50"]:
        found.append(f"cpt50 {figures['cpt50']}, wanted at most {WANTED['cpt50']}")
    if figures["planned_cheap_share"] < WANTED["cheap_share"]:
        share = figures["planned_cheap_share"]
        found.append(f"cheap_share {share}, wanted at least {WANTED['cheap_share']}")
    if max(figures["planned_violations"], figures["at_will_violations"]) > WANTED["violations"]:
        found.append(f"violations above {WANTED['violations']}")
    return found


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--teams", type=int, default=1000)
    parser.add_argument("--only", default="", choices=["", *SETS])
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    folder = os.environ.get("ROADWORTHY_DATA")
    if not folder:
        parser.error("ROADWORTHY_DATA: expected the folder with the data, got nothing")
    sets = dict(measured(Path(folder), args.teams, args.only))
    failed = missed(sets["mmlu"]) if "mmlu" in sets else []
    if args.json:
        print(json.dumps({"bench": "routing", "teams": args.teams, "sets": sets, "missed": failed}))
    else:
        for name, figures in sets.items():
            print(name, *(f"  {key} {value}" for key, value in figures.items()), sep="\n")
        print(*failed or ["kept"], sep="\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
