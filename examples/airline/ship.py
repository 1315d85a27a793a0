"""Three candidates meet what serves: one is better, two must not ship; part of `make demo`.

* `spring` learned January to May instead of January to March. It answers beside the champion, and
  serves once it is proven no worse.
* `no-history` does without the delays so far. No single answer shows that it is worse: its gates
  hold, and the shadow stops it.
* The third is given the weather in Celsius. No outcome would show that for weeks: the contract of
  the weather refuses the data, and a version of the contract that says so stops each release.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from flights import FOLDER, SERVICE
from rich.console import Console

CANDIDATES = FOLDER / "data" / "candidates"
WEATHER_CONTRACT = FOLDER / "contracts" / "weather.odcs.yaml"
CELSIUS = (
    ("version: 1.0.0", "version: 2.0.0"),
    ("value: degF", "value: degC"),
    ("maximum: 125", "maximum: 52"),
)
"""What changes in the contract when temperatures come in Celsius."""
MODEL_FILES = ("model.onnx", "model_card.json", "training.json")
_VIEWS = re.compile(r"^views = \[.*\]", re.MULTILINE)

Play = Callable[[int], None]
"""Plays so many more days of flights."""


class Candidate(NamedTuple):
    """A model to be tried.

    Attributes:
        months: What it learns from.
        views: The views that it is given; empty for those that serve.
        days: How many days of flights its shadow may take, at most.
    """

    name: str
    says: str
    months: str
    views: tuple[str, ...] = ()
    days: int = 4


NO_HISTORY = Candidate(
    "no-history", "knows the weather, but no delays so far", "1-3", ("weather_now@1",)
)
SPRING = Candidate("spring", "learned January to May instead of January to March", "1-5")


def train_candidates(console: Console) -> None:
    """Train both candidates, where they are not there yet."""
    for one in (NO_HISTORY, SPRING):
        folder = CANDIDATES / one.name
        if all((folder / name).exists() for name in MODEL_FILES):
            continue
        console.print(f"  training `{one.name}`, which {one.says}")
        words = ["train.py", "--months", one.months, "--out", str(folder)]
        words += ["--views", *one.views] if one.views else []
        done = subprocess.run(
            [sys.executable, str(FOLDER / words[0]), *words[1:]],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(f"training `{one.name}` failed: {done.stdout}{done.stderr}")


def ship(console: Console, play: Play) -> None:
    """Let the candidates meet the champion, one after the other, and say what became of each."""
    champion = status()["champion"]
    for one in (NO_HISTORY, SPRING):
        release = build(one)
        console.print(f"\n  [bold]{one.name}[/bold] {one.says}: {release}")
        if release == champion:
            console.print("  it serves already")
            continue
        evaluated = roadworthy("evaluate", SERVICE.name, "--release", release, *AGAINST)
        console.print(f"  [bold]Suite:[/bold] {said_of_evaluation(evaluated)}")
        begun = roadworthy("release", "promote", SERVICE.name, release)
        if "error" in begun:
            console.print(f"  [bold]Gates:[/bold] refused: {begun['error']['message']}")
            continue
        console.print("  [bold]Shadow:[/bold] it answers beside the champion, and nobody sees it")
        for _ in range(one.days):
            play(1)
            now = status()
            if now["rollout"]["state"] != "running":
                break
        console.print(f"  {said_of_rollout(now)}")
        if now["rollout"]["state"] == "running":
            roadworthy("release", "stop", SERVICE.name)
    console.print(f"\n  [bold]Celsius:[/bold] {said_of_celsius_contract()}")


AGAINST = ("--against", "champion")


def said_of_evaluation(report: Mapping[str, Any]) -> str:
    """Return in a sentence what `roadworthy evaluate` found."""
    return f"{report['verdict']}: {report['sentence']}"


def said_of_rollout(now: Mapping[str, Any]) -> str:
    """Return in a sentence what became of a rollout."""
    rollout = now["rollout"]
    verdict = rollout["verdict"]
    return f"[bold]{rollout['state'].replace('_', ' ')}[/bold]: {rollout['why'] or verdict['why']}"


def said_of_celsius_contract() -> str:
    """Return in a sentence what stops a release once the weather's contract is in Celsius."""
    text = WEATHER_CONTRACT.read_text(encoding="utf-8")
    changed = in_celsius(text)
    with laid_over(FOLDER, {WEATHER_CONTRACT.relative_to(FOLDER).as_posix(): changed.encode()}):
        line = command("release", "build", SERVICE.name)
        done = subprocess.run(line, capture_output=True, text=True, check=False)
    if not done.returncode:
        sys.exit("expected the release to be refused: the weather's contract is in Celsius now")
    first = json.loads(done.stdout)["error"]["message"].splitlines()[0]
    return f"a contract that delivers it so stops the next release: {first}"


def in_celsius(contract: str) -> str:
    """Return the contract's next version, whose temperatures are in Celsius."""
    for old, new in CELSIUS:
        if old not in contract:
            sys.exit(f"expected `{old}` in {WEATHER_CONTRACT}, got none")
        contract = contract.replace(old, new)
    return contract


def build(one: Candidate) -> str:
    """Build the release that a candidate is; the files of the service stay as they are."""
    files = {name: (CANDIDATES / one.name / name).read_bytes() for name in MODEL_FILES}
    if one.views:
        views = ", ".join(f'"{view}"' for view in one.views)
        text = (SERVICE / "service.toml").read_text(encoding="utf-8")
        files["service.toml"] = _VIEWS.sub(f"views = [{views}]", text).encode()
    with laid_over(SERVICE, files):
        return str(roadworthy("release", "build", SERVICE.name)["release"])


@contextmanager
def laid_over(folder: Path, files: Mapping[str, bytes]) -> Iterator[None]:
    """Let a folder hold other files until the block ends."""
    before = {name: (folder / name).read_bytes() for name in files}
    try:
        for name, content in files.items():
            (folder / name).write_bytes(content)
        yield
    finally:
        for name, content in before.items():
            (folder / name).write_bytes(content)


def status() -> dict[str, Any]:
    """Return how the releases of the service stand."""
    return roadworthy("release", "status", SERVICE.name)


def command(*words: str) -> list[str]:
    """Return the command line of these words, in this project, for programs."""
    return [sys.executable, "-P", "-m", "roadworthy", *words, "--json", "--project", str(FOLDER)]


def roadworthy(*words: str) -> dict[str, Any]:
    """Run the command line and return what it prints; 1 and 3 are answers too.

    Raises:
        SystemExit: It failed.
    """
    done = subprocess.run(command(*words), capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1, 3):
        sys.exit(f"roadworthy {' '.join(words[:2])} failed: {done.stdout}{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found
