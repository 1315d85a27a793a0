"""Failover beside the public scorecard: 16 faults of an upstream, and what is right at each.

    python bench/faults.py

A gateway serves a chain of two models over `FaultyUpstream`, which misbehaves on order. A fault is
passed where the answer or the error is right, and so is its record: tries, how they ended, tokens
and money. The best public gateway passes 11 of these, most 9. Ends with 1 unless all are passed.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "serve"))
from sixteen_faults import FAULTS, staged


def main() -> None:
    """Play each fault, print a line for each, and one of JSON in the end."""
    failed = {}
    for fault in FAULTS:
        begun = time.perf_counter()
        why = ""
        with TemporaryDirectory() as folder:
            try:
                with staged(Path(folder)) as stage:
                    fault(stage)
            except Exception as error:  # noqa: BLE001 - whatever went wrong, it is not passed
                why = f"{type(error).__name__}: {error}".splitlines()[0][:200]
                failed[fault.__name__] = why
        said = "failed" if why else "passed"
        print(
            f"{fault.__name__:28} {said}  {time.perf_counter() - begun:5.2f} s  {why}",
            file=sys.stderr,
        )
    passed = len(FAULTS) - len(failed)
    print(json.dumps({"bench": "faults", "passed": passed, "of": len(FAULTS), "failed": failed}))
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
