"""The load test of the airline at its declared volumes: what it takes, and what each step does.

Rows are invented, so that neither the flights nor a trained model are needed. Prints one JSON line;
ends with 1 where the test does not hold or takes longer than its bar.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from harness import BIN, report

AIRLINE = Path(__file__).parents[1] / "examples" / "airline"
BARS = {"seconds": 120.0, "peak_mb": 1000.0}


def loadtest() -> dict[str, Any]:
    """Return what the command says, and how long all of it took."""
    words = [BIN / "roadworthy", "data", "loadtest", "--project", AIRLINE, "--json"]
    started = time.perf_counter()
    done = subprocess.run(list(map(str, words)), check=False, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found | {"whole_s": time.perf_counter() - started, "code": done.returncode}


def main() -> None:
    """Measure, print one line, and fail where a bar is missed."""
    found = loadtest()
    if "steps" not in found:
        raise SystemExit(str(found))
    steps = found["steps"]
    refills = [step for step in steps if step["step"] == "refill"]
    pushes = [step["per_second"] for step in steps if step["step"] == "push"]
    of = {step["step"]: step for step in steps}
    figures = {
        "seconds": found["whole_s"],
        "kept": found["kept"] and found["complete"],
        "rows": sum(found["made"].values()),
        "refill_all_views_s": sum(step["seconds"] for step in refills),
        "slowest_refill_rows_per_second": min(step["per_second"] for step in refills),
        "reads_per_second": of["read"]["per_second"],
        "slowest_pushes_per_second": min(pushes),
        "skew_s": of["skew"]["seconds"],
        "peak_mb": max(step["peak_mb"] for step in steps),
    }
    missed = [bar for bar, most in BARS.items() if figures[bar] > most]
    report("loadtest", **figures, bars=BARS, missed=missed)
    sys.exit(1 if missed or not figures["kept"] else 0)


if __name__ == "__main__":
    main()
