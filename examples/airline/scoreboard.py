"""What a replay has seen so far, and how it is shown: promises beside what was measured."""

from __future__ import annotations

import math
import time
from array import array
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from rich.console import Group, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

BINS = 1000
MICRO = 1_000_000
LIVE_WINDOW = 2000
"""While it runs, latencies are those of the last so many requests; in the end, of all."""


class Promise(NamedTuple):
    """What a service declares, as far as a client can watch it."""

    latency_p95_ms: float | None = None
    per_day_usd: float | None = None


class Latencies:
    """Milliseconds, as the client measured them."""

    def __init__(self) -> None:
        self._ms = array("d")

    def add(self, ms: float) -> None:
        """Note one request."""
        self._ms.append(ms)

    def quantile(self, share: float, last: int = 0) -> float:
        """Return the smallest latency that `share` of the (last) requests keep; NaN of none."""
        ordered = sorted(self._ms[-last:])
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


class Matured:
    """Answers given alone whose truth is known: how many were right, and how well they rank.

    The area under the ROC curve is counted over 1,000 bins of probability, so that it can be asked
    for at any time; it differs from the exact one by less than .001.
    """

    def __init__(self) -> None:
        self.right = 0
        self._late = [0] * BINS
        self._punctual = [0] * BINS

    def add(self, probability: float, label: bool, is_late: bool) -> None:
        """Note one answer and its truth."""
        counts = self._late if is_late else self._punctual
        counts[min(int(probability * BINS), BINS - 1)] += 1
        self.right += label == is_late

    @property
    def late(self) -> int:
        """How many were late."""
        return sum(self._late)

    @property
    def count(self) -> int:
        """How many there are."""
        return self.late + sum(self._punctual)

    @property
    def accuracy(self) -> float:
        """Share of answers that were right; NaN of none."""
        return self.right / self.count if self.count else math.nan

    @property
    def auc(self) -> float:
        """Chance that a late flight had the higher probability than a punctual one; NaN of none."""
        won, below = 0.0, 0
        for late, punctual in zip(self._late, self._punctual, strict=True):
            won += late * (below + punctual / 2)
            below += punctual
        pairs = self.late * below
        return won / pairs if pairs else math.nan


class Tally:
    """What one service did."""

    def __init__(self, name: str, promise: Promise) -> None:
        self.name = name
        self.promise = promise
        self.dispositions: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.latencies = Latencies()
        self.day_costs_micro: Counter[str] = Counter()

    def note(
        self, disposition: str, ms: float | None, cost_micro: int, day: str, error: str = ""
    ) -> None:
        """Note how one request ended.

        Args:
            disposition: How.
            ms: How long it took; None if nobody answered.
            cost_micro: What it cost, in micro-dollars.
            day: The simulated day that its cost counts for.
            error: The code of its error, if it had one.
        """
        self.dispositions[disposition] += 1
        if ms is not None:
            self.latencies.add(ms)
        self.day_costs_micro[day] += cost_micro
        if error:
            self.errors[error] += 1

    @property
    def cost_usd(self) -> float:
        """What all of it cost."""
        return self.day_costs_micro.total() / MICRO

    @property
    def dearest_day_usd(self) -> float:
        """What the dearest simulated day cost."""
        return max(self.day_costs_micro.values(), default=0) / MICRO

    def count(self, *dispositions: str) -> int:
        """Return how many requests ended in one of these ways."""
        return sum(self.dispositions[name] for name in dispositions)


class Scoreboard:
    """All that is counted, with the progress bar above it.

    Attributes:
        now: The simulated time, once there is one.
        pushed: Rows of features that were pushed.
        max_error: How many of the answers given alone may be wrong; None where nothing is said.
        on_new_day: Is given a line about each simulated day that begins.
    """

    def __init__(self, tallies: list[Tally], total: int, max_error: float | None = None) -> None:
        self.max_error = max_error
        self.tallies = {tally.name: tally for tally in tallies}
        self.matured = Matured()
        self.cancelled = 0
        self.outcomes = 0
        self.outcomes_refused = 0
        self.now: datetime | None = None
        self.pushed = 0
        self.on_new_day: Callable[[str], None] | None = None
        self._begun: datetime | None = None
        self._started = time.monotonic()
        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("flights"), TimeRemainingColumn())
        self._progress = Progress(TextColumn("{task.description}"), *columns)
        self._task = self._progress.add_task("", total=total)

    def advance(self) -> None:
        """One more flight was asked about."""
        self._progress.advance(self._task)

    def tick(self, now: datetime) -> None:
        """It is `now` in the replay."""
        if self.on_new_day and (self.now is None or now.date() != self.now.date()):
            self.on_new_day(f"{now:%a %d %b %Y}  {self.requests:,} requests so far")
        self.now = now
        self._begun = self._begun or now
        self._progress.update(self._task, description=f"{now:%a %d %b %Y %H:%M} UTC")

    @property
    def day(self) -> str:
        """The simulated day."""
        return f"{self.now:%Y-%m-%d}" if self.now else ""

    @property
    def requests(self) -> int:
        """Requests so far, of all services."""
        return sum(tally.dispositions.total() for tally in self.tallies.values())

    @property
    def per_second(self) -> float:
        """Requests and outcomes per second of real time."""
        return (self.requests + self.outcomes) / max(time.monotonic() - self._started, 1e-9)

    def live(self) -> RenderableType:
        """Return what is shown while it runs."""
        return Group(self._progress, self._services(LIVE_WINDOW), self._truth())

    def summary(self) -> RenderableType:
        """Return what is shown in the end."""
        return Group(self._services(0), self._truth())

    def _services(self, window: int) -> Table:
        table = Table(title="promised, and measured from outside", title_justify="left")
        table.add_column("")
        for tally in self.tallies.values():
            table.add_column(tally.name, justify="right")
        columns = [_column(tally, window) for tally in self.tallies.values()]
        for name in columns[0]:
            table.add_row(name, *(column[name] for column in columns))
        return table

    def _truth(self) -> str:
        matured = self.matured
        bound = "" if self.max_error is None else f", promised at most {self.max_error:.0%}"
        lines = [
            f"{self.outcomes:,} outcomes told; {self.cancelled:,} cancelled flights have none",
            f"given alone and known: {matured.count:,}, of which"
            f" {_share(matured.count - matured.right, matured.count)} wrong{bound}"
            f"; AUC {_figure(matured.auc)}",
            f"{self.per_second:,.0f} requests a second, {self.pushed:,} rows of features pushed",
        ]
        errors = sum((tally.errors for tally in self.tallies.values()), Counter[str]())
        if self.outcomes_refused:
            errors["outcome not taken"] = self.outcomes_refused
        if errors:
            lines.append(", ".join(f"{count:,} x {code}" for code, count in errors.most_common(5)))
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """Return the summary as one JSON object; what is not known is null."""
        matured = self.matured
        return {
            "simulated_from": self._begun and self._begun.isoformat(),
            "simulated_until": self.now and self.now.isoformat(),
            "seconds": round(time.monotonic() - self._started, 3),
            "requests": self.requests,
            "outcomes": self.outcomes,
            "outcomes_refused": self.outcomes_refused,
            "cancelled": self.cancelled,
            "pushed": self.pushed,
            "per_second": round(self.per_second, 1),
            "alone": matured.count,
            "accuracy": _or_null(matured.accuracy),
            "auc": _or_null(matured.auc),
            "services": {name: _service_json(tally) for name, tally in self.tallies.items()},
        }


def _column(tally: Tally, window: int) -> dict[str, str]:
    ceiling = tally.promise.per_day_usd
    return {
        "given alone": f"{tally.count('answered', 'cached'):,}",
        "a person asked": f"{tally.count('review'):,}",
        "fallback": f"{tally.count('fallback'):,}",
        "refused": f"{tally.count('refused'):,}",
        "failed": f"{tally.count('failed'):,}",
        "p50": f"{_figure(tally.latencies.quantile(0.50, window), 1)} ms",
        "p95": f"{_figure(tally.latencies.quantile(0.95, window), 1)} ms",
        "p95 promised": _or_dash(tally.promise.latency_p95_ms, "{:g} ms"),
        "cost": f"${tally.cost_usd:.4f}",
        "dearest day": f"${tally.dearest_day_usd:.4f}",
        "ceiling of a day": _or_dash(ceiling, "${:.2f}"),
    }


def _service_json(tally: Tally) -> dict[str, Any]:
    return {
        "dispositions": dict(tally.dispositions),
        "errors": dict(tally.errors),
        "latency_p50_ms": _or_null(tally.latencies.quantile(0.50)),
        "latency_p95_ms": _or_null(tally.latencies.quantile(0.95)),
        "promised_p95_ms": tally.promise.latency_p95_ms,
        "cost_usd": round(tally.cost_usd, 6),
        "dearest_day_usd": round(tally.dearest_day_usd, 6),
        "per_day_usd": tally.promise.per_day_usd,
    }


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"


def _figure(value: float, digits: int = 3) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def _or_null(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)
