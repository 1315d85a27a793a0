"""Start-up: the command line, an open project, a healthy server, idle memory, size on disk."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import time
from importlib.metadata import distributions
from pathlib import Path
from shutil import copytree

from harness import BIN, folder, process, report, rss_mb, wait_for

ROOT = Path(__file__).resolve().parent.parent
AIRLINE = ROOT / "examples" / "airline"
ROUNDS = 5
PAGES = """
name = "support-reply"
kind = "generate"
owners = { product = "bench" }
objectives = { deadline_ms = 5000 }
cost = {}
[chat]
variable = "question"
[context]
retrieval = { folder = "policies/" }
[[models]]
provider = "local"
model = "builtin:extractive"
[[guards]]
use = "grounded"
"""


def seconds(*words: str | Path) -> float:
    """Return the median wall time of a command."""
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        subprocess.run([str(w) for w in words], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def core_mb() -> float:
    """Return the MB on disk, bytecode included, of everything in the core lock."""
    lock = (ROOT / "requirements" / "core.txt").read_text()
    names = set(re.findall(r"^([a-z0-9._-]+)==", lock, re.MULTILINE)) | {"roadworthy"}
    names -= {"hatchling", "editables", "pathspec", "pluggy", "trove-classifiers", "packaging"}
    total = sum(p.stat().st_size for p in (ROOT / "src").rglob("*") if p.is_file())
    for found in distributions():
        if found.metadata["Name"].lower().replace("_", "-") in names:
            for file in found.files or []:
                path = Path(str(found.locate_file(file)))
                if path.is_file():
                    total += path.stat().st_size
    return total / 1e6


def served(project: Path) -> tuple[float, float]:
    """Return the median seconds until a project's server is healthy, and its MB when idle."""
    healthy, idle = [], 0.0
    for _ in range(ROUNDS):
        with process([BIN / "roadworthy", "up", "--project", project, "--port", "9906"]) as up:
            healthy.append(wait_for("http://127.0.0.1:9906/healthz"))
            time.sleep(0.5)
            idle = rss_mb(up.pid)
    return statistics.median(healthy), idle


def with_pages(home: Path) -> Path:
    """Return a project that answers from the airline's 42 pages."""
    project = home / "pages"
    service = project / "services" / "support-reply"
    copytree(AIRLINE / "services" / "support-reply" / "policies", service / "policies")
    (project / "roadworthy.toml").write_text('[project]\nname = "pages"\n')
    (service / "service.toml").write_text(PAGES)
    return project


def main() -> None:
    """Measure and print one JSON line."""
    code = "from roadworthy import open_project; import sys; open_project(sys.argv[1]).close()"
    with folder() as home:
        project = home / "trial"
        words = [BIN / "roadworthy", "init", project]
        subprocess.run([str(w) for w in words], check=True, stdout=subprocess.DEVNULL)
        opened = seconds(sys.executable, "-c", code, project)
        healthy_s, idle = served(project)
        pages_s, pages_idle = served(with_pages(home))
    report(
        "start",
        help_s=seconds(BIN / "roadworthy", "--help"),
        bar_help_s=0.3,
        open_project_s=opened,
        bar_open_project_s=1.0,
        python_alone_s=seconds(sys.executable, "-c", "pass"),
        up_to_healthy_s=healthy_s,
        bar_up_to_healthy_s=3.0,
        idle_rss_mb=idle,
        bar_idle_rss_mb=150,
        pages_up_to_healthy_s=pages_s,
        pages_idle_rss_mb=pages_idle,
        bar_pages_idle_rss_mb=250,
        core_install_mb=core_mb(),
        bar_core_install_mb=350,
    )


if __name__ == "__main__":
    main()
