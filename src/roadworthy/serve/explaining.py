"""Explains what was predicted: what each feature of a request moved, against rows like it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast

import msgspec
import numpy as np
from sqlalchemy import Engine

from ..errors import ModelError, NotFound
from ..signals.attribution import Attribution, Floats, explain, pick_background
from ..signals.why import why_sentences
from ..store.explanations import read_explanation, save_explanation, unexplained_reviews
from ..store.records import find_records, read_record
from ..types import HOUR_US, Clock, Record
from .asked import Row, row_of
from .opened import OpenRelease

SAMPLE = 500
"""Records that the rows to compare with are chosen from."""
BACKGROUND = 30
FRESH_US = 24 * HOUR_US
"""How long the rows to compare with stay the same."""
AT_ONCE = 20

Releases = Callable[[], Mapping[str, OpenRelease]]
"""Gives what serves now, by service."""


class _Tabular(Protocol):
    def predict_rows(self, rows: Sequence[Mapping[str, Any]]) -> list[Any]: ...


class Explanation(msgspec.Struct, frozen=True):
    """What moved one prediction.

    Attributes:
        of: Which number of the output is explained.
        attribution: It as a sum: the mean of the rows it is compared with, and each feature's part.
        sentences: The largest parts in words.
    """

    of: str
    attribution: Attribution
    sentences: tuple[str, ...]


class Explainer:
    """Explains predictions with the releases that serve. Call it from any thread but the loop's.

    Args:
        releases: Gives what serves now.
        state: Has the records.
        clock: Says when rows to compare with are stale.
    """

    def __init__(self, releases: Releases, state: Engine, clock: Clock) -> None:
        self._releases = releases
        self._state = state
        self._clock = clock
        self._lock = threading.Lock()
        self._backgrounds: dict[str, tuple[int, list[Row]]] = {}

    def explain(self, request_id: str) -> Explanation:
        """Return what moved the prediction of an earlier request, and keep it.

        Raises:
            NotFound: There is no such request, it is no prediction of a model that takes rows, its
                release does not serve any more, or its input was not kept.
        """
        known = read_explanation(self._state, request_id)
        if known is not None and "missing" in known:
            raise NotFound(known["missing"])
        if known is not None:
            return msgspec.convert(known, Explanation)
        record = read_record(self._state, request_id)
        release = self._releases().get(record.service)
        if release is None or release.id != record.release:
            raise NotFound(f"release `{record.release}` does not serve any more")
        model = _model_of(release, record)
        row = row_of(self._state, record)
        if row is None:
            raise NotFound("its input was not kept: `records.bodies` is `none`, or it is old")
        try:
            found = self._explained(release, model, row)
        except (ModelError, ValueError) as error:
            raise NotFound(f"the model cannot be asked for it: {error}") from error
        save_explanation(self._state, request_id, self._clock.now_us(), msgspec.to_builtins(found))
        return found

    def explain_decided(self) -> str:
        """Explain what people decided and nobody explained while they looked, as a job does."""
        done = left = 0
        for name, release in self._releases().items():
            if release.kind != "predict" or release.desk is None:
                continue
            for request_id in unexplained_reviews(self._state, name, AT_ONCE):
                try:
                    self.explain(request_id)
                    done += 1
                except NotFound as error:
                    left += 1
                    now_us, why = self._clock.now_us(), {"missing": str(error)}
                    save_explanation(self._state, request_id, now_us, why)
        return f"{done} reviews explained, {left} cannot be"

    def _explained(self, release: OpenRelease, model: _Tabular, row: Row) -> Explanation:
        of = _name_of(model.predict_rows([row])[0])

        def predict(rows: Sequence[Row]) -> Floats:
            return np.array([_number(output, of) for output in model.predict_rows(rows)])

        background = self._background(release, predict, row)
        attribution = explain(predict, row, background)
        return Explanation(of, attribution, tuple(why_sentences(attribution, row, {})))

    def _background(self, release: OpenRelease, predict: Any, row: Row) -> list[Row]:
        """Return rows to compare with: of what this release was asked lately."""
        now_us = self._clock.now_us()
        with self._lock:
            chosen = self._backgrounds.get(release.id)
            if chosen is not None and abs(now_us - chosen[0]) < FRESH_US:
                return chosen[1]
            found = find_records(
                self._state, service=release.name, release=release.id, limit=SAMPLE
            )
            rows = [known for record in found if (known := row_of(self._state, record)) is not None]
            same = [known for known in rows if known.keys() == row.keys()]
            picked = [dict(one) for one in pick_background(predict, same, BACKGROUND)]
            self._backgrounds = {release.id: (now_us, picked), **_newest(self._backgrounds)}
            return picked


def _newest(known: dict[str, tuple[int, list[Row]]]) -> dict[str, tuple[int, list[Row]]]:
    """Keep a few: a release that serves no more needs none."""
    return dict(list(known.items())[:15])


def _model_of(release: OpenRelease, record: Record) -> _Tabular:
    models: dict[str, Any] = {link.name: link.model for link in release.chain.links}
    model = models.get(record.model)
    if not hasattr(model, "predict_rows"):
        raise NotFound(f"model `{record.model}` does not take rows")
    return cast("_Tabular", model)


def _name_of(output: Any) -> str:
    """Return which number of an output is explained; empty where it is a number itself."""
    if isinstance(output, int | float) and not isinstance(output, bool):
        return ""
    numbers = [
        name
        for name, value in (output.items() if isinstance(output, dict) else ())
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    if not numbers:
        raise NotFound("expected a number in the output, like `probability`, got none")
    return "probability" if "probability" in numbers else numbers[0]


def _number(output: Any, of: str) -> float:
    return float(output[of] if of else output)
