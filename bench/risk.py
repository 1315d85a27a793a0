"""The promise of the error bound, kept before 2,000 teams: certificates beside guesses.

    python bench/risk.py [--teams 2000] [--only NAME]

A violation is a threshold in force under which more answers are wrong than was promised (10 % of
teams may have one, as all are `sure = 0.9`). `naive` takes the loosest threshold at which the
measured error is low enough; the oracle knows the true errors. Real data are resampled, so that
nothing drifts in them, but for Elec2, which is read in the order of time. They are read from the
folder that `ROADWORTHY_DATA` names; without it only invented teams are measured.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "risk"))
import teams
from teams import Broken, teams_with_reviewers_that_miss, teams_with_unequal_audits

from roadworthy.risk import audit
from roadworthy.risk.bets import log_wealth_planned
from roadworthy.risk.evidence import Floats
from roadworthy.risk.reviewers import corrected_for_misses
from roadworthy.risk.walk import (
    Flags,
    Walk,
    advance,
    begin,
    grid_of,
    look_once,
    start_at_share,
    start_for_one_look,
)
from roadworthy.signals.embed import open_minilm

SURE = 0.9
ENOUGH = float(np.log(10))
BUILT = Path(__file__).resolve().parents[1] / "build" / "bench"
Figures = dict[str, Any]


def invented_at_one_look(count: int) -> Iterator[tuple[str, Figures]]:
    """Yield teams that look once."""
    unlabelled = np.random.default_rng(1).random(20_000)
    for risk, max_error, n in (
        (teams.plain, 0.02, 1000),
        (teams.plain, 0.02, 3000),
        (teams.plain, 0.05, 1000),
        (teams.overconfident, 0.05, 1000),
        (teams.flat, 0.05, 1000),
    ):
        start = start_for_one_look(unlabelled, teams.GRID, n, max_error, SURE)
        ours, naive = teams.teams_at_one_look(
            risk, n, max_error, SURE, teams=count, seed=2, start=start
        )
        yield (
            f"{risk.__name__}, {max_error:.0%}, n {n}, one look",
            {
                "violations": ours.broken,
                "naive_violations": naive.broken,
                "automated_share": ours.automated,
                "naive_share": naive.automated,
                "oracle_share": teams.share_below(risk, max_error),
            },
        )


def invented_refitted(count: int) -> Iterator[tuple[str, Figures]]:
    """Yield teams whose threshold is set anew every hundred outcomes, to 10,000."""
    for risk, max_error in ((teams.plain, 0.02), (teams.plain, 0.05), (teams.flat, 0.05)):
        found = teams.teams_refitted(risk, 10_000, max_error, SURE, teams=count, seed=3)
        yield (
            f"{risk.__name__}, {max_error:.0%}, set anew every 100",
            {
                "violations": found.ever_broken,
                "naive_violations": found.naive_ever_broken,
                "automated_share": found.automated[10_000],
                "automated_share_at_1000": found.automated[1000],
                "automated_share_at_3000": found.automated[3000],
                "oracle_share": teams.share_below(risk, max_error),
            },
        )


def ways_to_count(count: int) -> Iterator[tuple[str, Figures]]:
    """Yield what the wrong way to count does: of clustered, lost, late, missed and unequal ones."""
    few = min(count, 100)
    for most in (0.02, 0.05):
        best = teams.share_below(teams.plain, most)
        worst = teams.share_below(teams.worse, most)
        for what, run, oracle in (
            (
                "errors that cluster by user",
                partial(teams.teams_of_clustered_users, teams=count),
                0,
            ),
            ("outcomes that are lost", partial(teams.teams_that_lose_outcomes, teams=count), 0),
            ("outcomes that come late", partial(teams.teams_with_late_outcomes, teams=count), best),
            ("reviewers that miss 10 %", partial(_missing, 0.1, teams=count), best),
            ("reviewers that miss 30 %", partial(_missing, 0.3, teams=count), best),
            ("audits of the sure (20 and 2 %)", partial(_unequal, (0.2, 0.02), teams=few), best),
            ("audits of the unsure (5 and 100 %)", partial(_unequal, (0.05, 1), teams=few), best),
            ("two groups", partial(teams.teams_of_groups, teams=count), worst),
        ):
            found = run(most, seed=8)
            figures: Figures = {"violations": found.ours, "naive_violations": found.naive}
            if not np.isnan(found.automated):
                figures["automated_share"] = found.automated
                figures["naive_share"] = found.naive_automated
                figures["oracle_share"] = oracle
            yield f"{what}, {most:.0%}", figures
        found = teams.teams_of_clustered_users(most, teams=count, seed=8, times=0.4)
        yield (
            f"errors that cluster by user, .4 x {most:.0%}",
            {"certified": found.ours, "naive_certified": found.naive},
        )


def _missing(missed: float, most: float, *, teams: int, seed: int) -> Broken:
    return teams_with_reviewers_that_miss(most, missed, teams=teams, seed=seed)


def _unequal(chances: tuple[float, float], most: float, *, teams: int, seed: int) -> Broken:
    return teams_with_unequal_audits(most, chances, teams=teams, seed=seed)


def embedded(name: str, texts: list[str]) -> Floats:
    """Return MiniLM's vectors of texts, kept for the next run."""
    digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
    kept = BUILT / f"{name}-{digest}.npy"
    if not kept.exists():
        BUILT.mkdir(parents=True, exist_ok=True)
        minilm, parts = open_minilm(), []
        for k in range(0, len(texts), 500):
            parts.append(minilm.embed(texts[k : k + 500]))
            print(f"\rembedding {name}: {k} of {len(texts)}", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        np.save(kept, np.concatenate(parts))
    vectors: Floats = np.load(kept)
    return vectors


class Pool:
    """Outcomes to draw from, whose true errors are known.

    Attributes:
        scores, is_wrong: Of all.
        errors: How many of those that reach each score are wrong, from the surest on.
    """

    def __init__(self, scores: Floats, is_wrong: Flags) -> None:
        order = np.argsort(-scores, kind="stable")
        self.scores, self.is_wrong, self._falling = scores, is_wrong, -scores[order]
        self.errors = np.cumsum(is_wrong[order]) / np.arange(1, len(scores) + 1)

    def under(self, threshold: float) -> tuple[float, float]:
        """Return the true error under a threshold, and the share that it lets pass."""
        passed = int(np.searchsorted(self._falling, -threshold, side="right"))
        return (self.errors[passed - 1] if passed else 0.0), passed / len(self.scores)

    def certified(self, walk: Walk, grid: Floats) -> tuple[float, float]:
        """Return the same of what a walk certified."""
        return (0.0, 0.0) if walk.certified is None else self.under(grid[walk.certified])

    def naive(self, drawn: npt.NDArray[np.int64], max_error: float) -> tuple[float, float]:
        """Return the same of the loosest threshold at which the measured error is low enough."""
        by = drawn[np.argsort(-self.scores[drawn], kind="stable")]
        measured = np.cumsum(self.is_wrong[by]) / np.arange(1, len(by) + 1)
        kept = np.flatnonzero(measured <= max_error)
        return self.under(self.scores[by[kept[-1]]]) if kept.size else (0.0, 0.0)

    def oracle(self, max_error: float) -> float:
        """Return the largest share that keeps the bound."""
        within = np.flatnonzero(self.errors <= max_error)
        return float((within[-1] + 1) / len(self.scores)) if within.size else 0.0


def resampled(pool: Pool, n: int, max_error: float, count: int, unlabelled: Floats) -> Figures:
    """Return what becomes of teams that each draw n outcomes from a pool, and look once."""
    rng = np.random.default_rng(4)
    grid = grid_of(unlabelled)
    start = start_for_one_look(unlabelled, grid, n, max_error, SURE)
    ours, naives = [], []
    for _ in range(count):
        drawn = rng.integers(0, len(pool.scores), n)
        walk = look_once(pool.scores[drawn], pool.is_wrong[drawn], grid, start, max_error, SURE)
        ours.append(pool.certified(walk, grid))
        naives.append(pool.naive(drawn, max_error))
    return _figures(ours, naives, pool, max_error)


Under = list[tuple[float, float]]


def _figures(ours: Under, naives: Under, pool: Pool, max_error: float) -> Figures:
    found, naive = np.array(ours), np.array(naives)
    return {
        "violations": float((found[:, 0] > max_error).mean()),
        "naive_violations": float((naive[:, 0] > max_error).mean()),
        "automated_share": float(found[:, 1].mean()),
        "naive_share": float(naive[:, 1].mean()),
        "oracle_share": pool.oracle(max_error),
    }


def refitted(pool: Pool, n: int, max_error: float, count: int, unlabelled: Floats) -> Figures:
    """Return what becomes of teams that set their threshold anew every 100 of n drawn outcomes."""
    rng, grid = np.random.default_rng(9), grid_of(unlabelled)
    start = start_at_share(unlabelled, grid)
    broken = naive_broken = 0
    shares = []
    for _ in range(count):
        drawn = rng.integers(0, len(pool.scores), n)
        walk, errors, naive_errors = begin(len(grid), start), [], []
        for end in range(100, n + 1, 100):
            part = drawn[end - 100 : end]
            walk = advance(walk, pool.scores[part], pool.is_wrong[part], grid, max_error, SURE)
            errors.append(pool.certified(walk, grid)[0])
            naive_errors.append(pool.naive(drawn[:end], max_error)[0])
        broken += max(errors) > max_error
        naive_broken += max(naive_errors) > max_error
        shares.append(pool.certified(walk, grid)[1])
    return {
        "violations": broken / count,
        "naive_violations": naive_broken / count,
        "automated_share": float(np.mean(shares)),
        "oracle_share": pool.oracle(max_error),
    }


def miscounted(
    pool: Pool, max_error: float, count: int, unlabelled: Floats
) -> Iterator[tuple[str, Figures]]:
    """Yield what late outcomes of 4,000 drawn requests, and reviewers that miss errors, do."""
    rng, grid, n = np.random.default_rng(10), grid_of(unlabelled), 4000
    starts = [start_for_one_look(unlabelled, grid, k, max_error, SURE) for k in (n // 3, n)]

    def look(
        which: Flags, wrong: Flags, start: int, most: float, sure: float
    ) -> tuple[float, float]:
        walk = look_once(scores[which], wrong[which], grid, start, most, sure)
        return pool.certified(walk, grid)

    late: tuple[Under, Under] = ([], [])
    missed: tuple[Under, Under] = ([], [])
    everything = np.ones(n, bool)
    for _ in range(count):
        drawn = rng.integers(0, len(pool.scores), n)
        scores, is_wrong = pool.scores[drawn], pool.is_wrong[drawn]
        age = rng.uniform(0, 30, n)
        came = rng.exponential(np.where(is_wrong, 10.0, 1.0)) < age
        late[0].append(look(age >= 20, is_wrong | ~came, starts[0], max_error, SURE))
        late[1].append(look(came, is_wrong, starts[1], max_error, SURE))
        seen = is_wrong & (rng.random(n) >= 0.3)
        found = corrected_for_misses(
            max_error, SURE, int(rng.binomial(200, 0.3)), 200, is_planned=True
        )
        missed[0].append(look(everything, seen, starts[1], found.max_error, found.sure))
        missed[1].append(look(everything, seen, starts[1], max_error, SURE))
    yield "outcomes that come late", _figures(*late, pool, max_error)
    yield "reviewers that miss 30 %", _figures(*missed, pool, max_error)


def banking77(folder: Path, count: int) -> Iterator[tuple[str, Figures]]:
    """Yield what a classifier of 77 intents may answer alone."""
    table = pq.read_table(folder / "banking77.parquet")
    vectors = embedded("banking77", table["text"].to_pylist())
    intents = np.array(table["intent"].to_pylist())
    order = np.random.default_rng(5).permutation(len(intents))
    train, other, pool = order[:5000], order[5000:6000], order[6000:]
    model = LogisticRegression(C=20, max_iter=2000).fit(vectors[train], intents[train])
    shares = model.predict_proba(vectors[pool])
    is_wrong = model.classes_[shares.argmax(axis=1)] != intents[pool]
    unlabelled = model.predict_proba(vectors[other]).max(axis=1)
    answers = Pool(shares.max(axis=1), is_wrong)
    for max_error in (0.02, 0.05):
        for n in (1000, 3000):
            figures = resampled(answers, n, max_error, count, unlabelled)
            yield f"banking77, {max_error:.0%}, n {n}, one look", figures
        figures = refitted(answers, 3000, max_error, count, unlabelled)
        yield f"banking77, {max_error:.0%}, set anew every 100 to 3000", figures
        for what, figures in miscounted(answers, max_error, count, unlabelled):
            yield f"banking77, {max_error:.0%}, {what}", figures


def routellm(folder: Path, count: int) -> Iterator[tuple[str, Figures]]:
    """Yield which share of MMLU a cheap model gets that keeps 95 % of the strong one's quality."""
    table = pq.read_table(folder / "routellm_pair_outcomes.parquet")
    rows = [row for row in table.to_pylist() if row["benchmark"] == "mmlu"]
    weak = np.array([row["weak_ok"] for row in rows], float)
    strong = np.array([row["strong_ok"] for row in rows], float)
    vectors = embedded("routellm", [row["prompt"] for row in rows])
    domains = sorted({row["domain"] for row in rows})
    tags = np.eye(len(domains))[[domains.index(row["domain"]) for row in rows]]
    x = np.hstack([vectors, tags])
    order = np.random.default_rng(6).permutation(len(rows))
    train, pool = order[: len(rows) // 2], order[len(rows) // 2 :]
    scores = -Ridge(alpha=10).fit(x[train], (strong - weak)[train]).predict(x[pool])
    grid, floor = grid_of(scores, 23), 0.95

    def lost_at(threshold: float, which: np.ndarray[Any, np.dtype[np.int64]]) -> Floats:
        given = np.where(scores[which] >= threshold, weak[pool[which]], strong[pool[which]])
        lost: Floats = floor * strong[pool[which]] - given
        return lost

    everyone = np.arange(len(pool))
    true_loss = np.array([lost_at(threshold, everyone).mean() for threshold in grid])
    shares = np.array([(scores >= threshold).mean() for threshold in grid])
    for n in (500, 1500):
        rng, ours, naives = np.random.default_rng(7), [], []
        for _ in range(count):
            drawn = rng.integers(0, len(pool), n)
            last = naive = -1
            for j, threshold in enumerate(grid):
                lost = lost_at(threshold, drawn)
                wealth = log_wealth_planned(lost, 0.0, SURE, n, -1.0, floor)
                if last == j - 1 and wealth.max() >= ENOUGH:
                    last = j
                if lost.mean() <= 0:
                    naive = j
            ours.append(last)
            naives.append(naive)
        yield f"RouteLLM MMLU, floor 95 %, n {n}", _floor_figures(ours, naives, true_loss, shares)
    routed = Pool(scores, (strong > weak)[pool])
    for n in (1000, 3000):
        figures = resampled(routed, n, 0.15, count, scores)
        yield f"RouteLLM MMLU, lost among routed 15 %, n {n}, one look", figures
    figures = refitted(routed, 3000, 0.15, count, scores)
    yield "RouteLLM MMLU, lost among routed 15 %, set anew every 100 to 3000", figures


def _floor_figures(
    ours: list[int], naives: list[int], true_loss: Floats, shares: Floats
) -> Figures:
    loss, share = np.append(true_loss, 0.0), np.append(shares, 0.0)
    kept = np.flatnonzero(true_loss <= 0)
    return {
        "violations": float((loss[ours] > 0).mean()),
        "naive_violations": float((loss[naives] > 0).mean()),
        "automated_share": float(share[ours].mean()),
        "naive_share": float(share[naives].mean()),
        "oracle_share": float(shares[kept[-1]]) if kept.size else 0.0,
    }


def elec2(folder: Path, count: int) -> Iterator[tuple[str, Figures]]:
    """Yield what drift does to a certificate, audited and not, in the order of time."""
    table = pq.read_table(folder / "elec2.parquet")
    names = ("period", "nswprice", "nswdemand", "vicprice", "vicdemand", "transfer")
    lagged = np.column_stack([table[name].to_numpy() for name in names])
    x = np.hstack([lagged[1:, :1], lagged[:-1, 1:]])
    label = table["class"].to_numpy()[1:]
    fifth, third = len(label) // 5, 3 * len(label) // 10
    scaler = StandardScaler().fit(x[:fifth])
    model = LogisticRegression(max_iter=1000).fit(scaler.transform(x[:fifth]), label[:fifth])
    shares = model.predict_proba(scaler.transform(x))
    scores, is_wrong = shares.max(axis=1), model.classes_[shares.argmax(axis=1)] != label
    grid = grid_of(scores[:fifth])
    for max_error in (0.1, 0.2):
        runs = {
            f"Elec2 in time, {max_error:.0%}, {name}": [
                _life(scores[fifth:], is_wrong[fifth:], third - fifth, grid, max_error, q, seed)
                for seed in range(1 if q == 0 else min(40, count))
            ]
            for name, q in (("never audited", 0.0), ("audited 5 %", 0.05), ("audited 20 %", 0.2))
        }
        for name, found in runs.items():
            automated, error, windows = np.mean(found, axis=0)
            yield (
                name,
                {
                    "automated_share": automated,
                    "error_of_accepted": error,
                    "windows_above_1.5": windows,
                },
            )


def _life(
    scores: Floats, is_wrong: Flags, certify: int, grid: Floats, most: float, q: float, seed: int
) -> tuple[float, float, float]:
    """Return the automated share, its error, and the share of 300-windows above 1.5 x the bound.

    Where the audit switches off, everything is labelled until as many outcomes certify anew.
    """
    rng = np.random.default_rng(seed)
    start = start_at_share(scores[:certify], grid)
    threshold = np.inf
    begun, detector, accepted = 0, audit.begin(), []
    for k in range(len(scores)):
        if np.isinf(threshold):
            if k >= certify and (k - begun) % 100 == 0:
                seen = slice(begun, k)
                walk = look_once(scores[seen], is_wrong[seen], grid, start, most, SURE)
                if k - begun >= certify and walk.certified is not None:
                    threshold = grid[walk.certified]
                    detector = audit.begin()
            continue
        if scores[k] >= threshold:
            accepted.append(bool(is_wrong[k]))
            if rng.random() < q:
                detector = audit.see(detector, bool(is_wrong[k]), most)
                if audit.is_alarm(detector, 10_000 * q):
                    threshold, begun = np.inf, k + 1
    errors = np.array(accepted or [False], float)
    windows = [errors[k : k + 300].mean() for k in range(0, max(len(errors) - 299, 1), 300)]
    broken = float(np.mean(np.array(windows) > 1.5 * most))
    return len(accepted) / (len(scores) - certify), float(errors.mean()), broken


def main() -> None:
    """Measure, print a line for each set, and one of JSON in the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--teams", type=int, default=2000)
    parser.add_argument("--only", default="", help="sets whose name holds this")
    args = parser.parse_args()
    folder = Path(os.environ.get("ROADWORTHY_DATA", "../shared/data"))
    sources: list[tuple[str, Callable[[], Iterator[tuple[str, Figures]]]]] = [
        ("invented, one look", lambda: invented_at_one_look(args.teams)),
        ("invented, set anew", lambda: invented_refitted(args.teams)),
        ("ways to count", lambda: ways_to_count(args.teams)),
    ]
    if folder.is_dir():
        sources += [
            ("banking77", lambda: banking77(folder, args.teams)),
            ("routellm", lambda: routellm(folder, args.teams)),
            ("elec2", lambda: elec2(folder, args.teams)),
        ]
    else:
        print(f"no real data in {folder}: name their folder in ROADWORTHY_DATA", file=sys.stderr)
    sets: dict[str, Figures] = {}
    for source, run in sources:
        if args.only in source:
            for name, figures in run():
                sets[name] = {key: round(float(value), 4) for key, value in figures.items()}
                print(name, sets[name], file=sys.stderr, flush=True)
    print(json.dumps({"bench": "risk", "teams": args.teams, "allowed": 1 - SURE, "sets": sets}))


if __name__ == "__main__":
    main()
