"""Real flights for benchmarks, each with the features that were known when it was asked about."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from harness import folder

ROOT = Path(__file__).resolve().parent.parent
AIRLINE = ROOT / "examples" / "airline"
SERVICE = AIRLINE / "services" / "flight-delay"
MODEL = SERVICE / "model.onnx"

Row = dict[str, Any]


def is_prepared() -> bool:
    """Return whether `make demo` has left what these flights are read from."""
    return MODEL.exists() and (AIRLINE / "data").exists()


def flights(months: Sequence[int], count: int, seed: int = 0) -> list[Row]:
    """Return random flights of these months as the model of the example is given them."""
    if str(AIRLINE) not in sys.path:
        sys.path.insert(0, str(AIRLINE))
    from train import CATEGORIES, load

    with folder() as home:
        shutil.copytree(SERVICE, home / "services" / SERVICE.name)
        for name in ("contracts", "features", "data"):
            shutil.copytree(AIRLINE / name, home / name)
        shutil.copy(AIRLINE / "roadworthy.toml", home)
        found = load(months, home)
    chosen = np.random.default_rng(seed).permutation(len(found.rows))[:count]
    columns = [*CATEGORIES, *found.numbers]
    rows = found.rows[columns].iloc[chosen].to_dict("records")
    # A missing number is NaN in a frame, and null in a request.
    return [{name: None if v != v else v for name, v in row.items()} for row in rows]
