"""What a stronger model gains on a question, learned from answers of both to earlier questions.

Of each cheaper model it is predicted how much quality it lacks against the reference: by a ridge
regression on the question's vector and its tags, or by the nearest of the earlier questions (kNN).
Which of them, and how smooth, is chosen by cross-validation. Nothing is kept of a single question:
neighbours are means of several that are alike.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .evidence import Floats

Vectors = npt.NDArray[np.float32]
Way = tuple[str, float]
"""Which model, and how smooth it is."""

ALPHAS = (10.0, 30.0, 100.0, 300.0)
NEIGHBOURS = (4, 8, 16)
FOLDS = 5
LEAST_PAIRS = 50
"""Of fewer pairs of a model nothing is learned of it."""
MOST_PAIRS = 20_000
TOGETHER = 8
"""So many questions, about, make one neighbour: what one person asked cannot be read from it."""
MOST_NEIGHBOURS = 1_024
LEAST_OF_A_TAG = 20
MOST_TAGS = 200
_ROUNDS = 8
"""Of k-means; more move the means by little."""


class Answered(NamedTuple):
    """Earlier questions, and what each cheaper model lost on them.

    Attributes:
        vectors: (n, d) float32, of length 1.
        tags: (n,) what the requests bore.
        lost: (n, m) float64 in [-1, 1]; the reference's quality less the model's, NaN where the
            model was not asked.
    """

    vectors: Vectors
    tags: Sequence[Sequence[str]]
    lost: Floats


class Ridge(NamedTuple):
    """A linear prediction of each model.

    Attributes:
        weights: (d + t + 1, m) float64, the constant last.
    """

    weights: Floats

    def predict(self, x: Floats) -> Floats:
        """Return (n, m) predicted losses of (n, d + t) inputs."""
        found: Floats = x @ self.weights[:-1] + self.weights[-1]
        return found


class Nearest(NamedTuple):
    """The mean of the nearest earlier questions, several of which stand together.

    Attributes:
        places: (p, d + t) float64, means of questions that are alike.
        lost: (p, m) float64, the mean loss of each model at each place.
        weights: (p, m) float64, of how many questions that is the mean.
        k: How many places count.
    """

    places: Floats
    lost: Floats
    weights: Floats
    k: int

    def predict(self, x: Floats) -> Floats:
        """Return (n, m) predicted losses of (n, d + t) inputs."""
        far = -2 * x @ self.places.T + (self.places**2).sum(axis=1)
        k = min(self.k, len(self.places))
        near = np.argpartition(far, k - 1, axis=1)[:, :k]
        weights = self.weights[near] + 1e-9
        found: Floats = (weights * self.lost[near]).sum(axis=1) / weights.sum(axis=1)
        return found


class Gain(NamedTuple):
    """What was fitted: it predicts, and never changes.

    Attributes:
        models: The cheaper models, cheapest first.
        reference: What they are held against.
        tags: Those that it knows.
        hows: What predicts: one, or the mean of several.
        most_lost: Which predicted loss is small enough for a model to be taken as it is cheapest.
    """

    models: tuple[str, ...]
    reference: str
    tags: tuple[str, ...]
    hows: tuple[Ridge | Nearest, ...]
    most_lost: float

    def choose(self, vectors: Vectors, tags: Sequence[Sequence[str]]) -> list[tuple[str, float]]:
        """Return for each question the cheaper model, and how surely it does (higher is surer).

        It is the cheapest whose predicted loss is at most `most_lost`, or else the one that is
        predicted to lose least. The score is its predicted loss, negated.
        """
        x = _inputs(vectors, tags, self.tags)
        lost: Floats = np.mean([how.predict(x) for how in self.hows], axis=0)
        chosen = np.where(
            (lost <= self.most_lost).any(axis=1),
            (lost <= self.most_lost).argmax(axis=1),
            lost.argmin(axis=1),
        )
        scores = -np.take_along_axis(lost, chosen[:, None], axis=1)[:, 0]
        return [
            (self.models[which], float(score)) for which, score in zip(chosen, scores, strict=True)
        ]


def fit_gain(
    answered: Answered, models: Sequence[str], reference: str, max_error: float, *, seed: int = 0
) -> Gain:
    """Return what predicts best, by cross-validation, fitted on all.

    Args:
        answered: Earlier questions; what they say is no evidence for what is returned.
        models: The cheaper models, cheapest first, as the columns of `answered.lost`.
        reference: What they are held against.
        max_error: What may be lost in the mean, which sets when a cheaper model is good enough.
        seed: Of the folds.

    Raises:
        ValueError: There are too few pairs of some model.
    """
    known = ~np.isnan(answered.lost)
    if known.shape[1] != len(models) or (known.sum(axis=0) < LEAST_PAIRS).any():
        raise ValueError(f"expected at least {LEAST_PAIRS} pairs of each of {len(models)} models")
    tags = _known_tags(answered.tags)
    x = _inputs(answered.vectors, answered.tags, tags)
    folds = np.random.default_rng(seed).permutation(len(x)) % FOLDS
    ways: list[Way] = [("ridge", alpha) for alpha in ALPHAS]
    ways += [("nearest", float(k)) for k in NEIGHBOURS]
    predicted = {way: np.empty_like(answered.lost) for way in ways}
    for fold in range(FOLDS):
        rest, here = folds != fold, folds == fold
        for way, how in _fit_all(x[rest], answered.lost[rest], ways, seed).items():
            predicted[way][here] = how.predict(x[here])
    best = _best_of(predicted, answered.lost)
    hows = tuple(_fit_all(x, answered.lost, best, seed).values())
    return Gain(tuple(models), reference, tags, hows, max_error)


def _best_of(predicted: dict[Way, Floats], lost: Floats) -> list[Way]:
    """Return the best ridge, the best number of neighbours, or both where their mean is best."""

    def best(kind: str) -> Way:
        ways = [way for way in predicted if way[0] == kind]
        return min(ways, key=lambda way: _mean_loss(predicted[way], lost))

    one, other = best("ridge"), best("nearest")
    tried = [[one], [other], [one, other]]
    return min(
        tried,
        key=lambda ways: _mean_loss(np.mean([predicted[way] for way in ways], axis=0), lost),
    )


def _fit_all(x: Floats, lost: Floats, ways: Iterable[Way], seed: int) -> dict[Way, Ridge | Nearest]:
    wanted = list(ways)
    alphas = [smooth for kind, smooth in wanted if kind == "ridge"]
    ridges = _fit_ridges(x, lost, alphas)
    found: dict[Way, Ridge | Nearest] = {("ridge", alpha): ridges[alpha] for alpha in alphas}
    ks = [int(smooth) for kind, smooth in wanted if kind == "nearest"]
    if ks:
        places = _fit_places(x, lost, seed)
        found |= {("nearest", float(k)): places._replace(k=k) for k in ks}
    return found


def _fit_ridges(x: Floats, lost: Floats, alphas: Sequence[float]) -> dict[float, Ridge]:
    """Fit a ridge for each smoothness; models that were asked the same are solved together."""
    weights = {alpha: np.empty((x.shape[1] + 1, lost.shape[1])) for alpha in alphas}
    known = ~np.isnan(lost)
    patterns, which = np.unique(known, axis=1, return_inverse=True)
    for place, pattern in enumerate(patterns.T):
        columns = np.flatnonzero(which.ravel() == place)
        at, y = x[pattern], lost[pattern][:, columns]
        mean_x, mean_y = at.mean(axis=0), y.mean(axis=0)
        centred = at - mean_x
        gram, target = centred.T @ centred, centred.T @ (y - mean_y)
        for alpha in alphas:
            slopes = np.linalg.solve(gram + alpha * np.eye(len(gram)), target)
            weights[alpha][:-1, columns] = slopes
            weights[alpha][-1, columns] = mean_y - mean_x @ slopes
    return {alpha: Ridge(found) for alpha, found in weights.items()}


def _fit_places(x: Floats, lost: Floats, seed: int) -> Nearest:
    """Put questions that are alike together (k-means; Lloyd, 1982)."""
    count = max(1, min(MOST_NEIGHBOURS, len(x) // TOGETHER))
    places = x[np.random.default_rng(seed).permutation(len(x))[:count]].copy()
    nearest = np.zeros(len(x), int)
    for _ in range(_ROUNDS):
        nearest = (-2 * x @ places.T + (places**2).sum(axis=1)).argmin(axis=1)
        sizes = np.bincount(nearest, minlength=count)
        sums = np.zeros_like(places)
        np.add.at(sums, nearest, x)
        places = np.where(sizes[:, None] > 0, sums / np.maximum(sizes, 1)[:, None], places)
    sizes = np.bincount(nearest, minlength=count)
    is_kept = sizes >= TOGETHER // 2  # a mean of one or two would be their questions
    known = ~np.isnan(lost)
    weights, sums = np.zeros((count, lost.shape[1])), np.zeros((count, lost.shape[1]))
    np.add.at(weights, nearest, known.astype(float))
    np.add.at(sums, nearest, np.where(known, lost, 0.0))
    mean = np.nansum(lost, axis=0) / np.maximum(known.sum(axis=0), 1)
    # One question more of the mean loss, so that no place says what a single answer did.
    means = (sums + mean) / (weights + 1)
    if not is_kept.any():
        return Nearest(x.mean(axis=0)[None], mean[None], known.sum(axis=0)[None].astype(float), 1)
    return Nearest(places[is_kept], means[is_kept], weights[is_kept] + 1, 1)


def _mean_loss(predicted: Floats, lost: Floats) -> float:
    """Return what is lost in the mean over all shares that could go to the cheaper models.

    The questions of the smallest predicted loss go first: 1 less the area under the curve of
    quality over cost, but for constants (APGR of RouteLLM, 2024).
    """
    total = 0.0
    for guess, seen in zip(predicted.T, lost.T, strict=True):
        known = ~np.isnan(seen)
        order = np.argsort(guess[known], kind="stable")
        total += float(np.cumsum(seen[known][order]).mean() / max(known.sum(), 1))
    return total


def _known_tags(tags: Sequence[Sequence[str]]) -> tuple[str, ...]:
    counts = Counter(tag for each in tags for tag in set(each))
    common = [tag for tag, n in counts.most_common(MOST_TAGS) if n >= LEAST_OF_A_TAG]
    return tuple(sorted(common))


def _inputs(vectors: Vectors, tags: Sequence[Sequence[str]], known: Sequence[str]) -> Floats:
    """Return (n, d + t) float64: the vectors, and a 1 for each known tag that a request bears."""
    flags = np.zeros((len(vectors), len(known)))
    places = {tag: place for place, tag in enumerate(known)}
    for row, each in enumerate(tags):
        for tag in each:
            if tag in places:
                flags[row, places[tag]] = 1.0
    return np.hstack([np.asarray(vectors, np.float64), flags])


def plain_of(gain: Gain) -> dict[str, Any]:
    """Return what was fitted as JSON values; of its arrays float32 is kept."""
    return {
        "models": list(gain.models),
        "reference": gain.reference,
        "tags": list(gain.tags),
        "most_lost": gain.most_lost,
        "hows": [_plain(how) for how in gain.hows],
    }


def gain_from(plain: dict[str, Any]) -> Gain:
    """Return what `plain_of` was given.

    >>> rng = np.random.default_rng(0)
    >>> vectors = rng.normal(size=(200, 4)).astype(np.float32)
    >>> lost = (vectors[:, :1] > 0).astype(float)
    >>> fitted = fit_gain(Answered(vectors, [()] * 200, lost), ["small"], "large", 0.05)
    >>> again = gain_from(plain_of(fitted))
    >>> [score > -0.5 for _, score in again.choose(vectors[:3], [()] * 3)]
    [False, True, True]
    """
    return Gain(
        tuple(plain["models"]),
        plain["reference"],
        tuple(plain["tags"]),
        tuple(_how(one) for one in plain["hows"]),
        plain["most_lost"],
    )


def _plain(how: Ridge | Nearest) -> dict[str, Any]:
    if isinstance(how, Ridge):
        return {"weights": _text(how.weights)}
    arrays = {name: _text(value) for name, value in how._asdict().items() if name != "k"}
    return {**arrays, "k": how.k}


def _how(plain: dict[str, Any]) -> Ridge | Nearest:
    if "k" not in plain:
        return Ridge(_array(plain["weights"]))
    arrays = {name: _array(value) for name, value in plain.items() if name != "k"}
    return Nearest(**arrays, k=plain["k"])


def _text(values: Floats) -> list[Any]:
    raw = np.ascontiguousarray(values, np.float32).tobytes()
    return [list(values.shape), base64.b64encode(raw).decode()]


def _array(text: list[Any]) -> Floats:
    shape, raw = text
    return np.frombuffer(base64.b64decode(raw), np.float32).reshape(shape).astype(np.float64)
