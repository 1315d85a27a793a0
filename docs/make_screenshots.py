"""Takes the pictures of docs/images from the airline example: `make screenshots`.

It runs a copy of the example in a temporary folder on a free port, replays nine days of 2013,
logs into the console with Chromium, and ends what it started.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import IO, Any, NamedTuple

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "airline"
IMAGES = Path(__file__).parent / "images"
PRACTICE_PORT = "8799"
WIDE, PHONE = 1440, 390
MOST_BYTES = 250_000
DAYS = 9
"""Enough for outcomes to certify from which score on the example answers alone."""

FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]


class Picture(NamedTuple):
    """One file of docs/images.

    Attributes:
        path: The page of the console; `{answered}` and `{fallback}` are requests, `{case}` the
            first that waits for a person, `{bounded}` a service with a bound. A picture of what
            the example does not have is not taken.
        until: What it ends above, as a CSS selector; empty where it shows the page to its end.
        height: How much of the page from its top is shown at most, in CSS pixels.
        scheme: `light` or `dark`.
    """

    name: str
    path: str
    until: str = ""
    height: int = 1500
    width: int = WIDE
    scheme: str = "light"


PICTURES = (
    Picture("home", "/"),
    Picture("home-dark", "/", scheme="dark"),
    Picture("home-phone", "/", height=1000, width=PHONE),
    Picture("service-predict", "/services/flight-delay", until="#levers"),
    Picture("service-generate", "/services/support-reply", until="#levers"),
    Picture("requests", "/requests?service=support-reply", height=800),
    Picture("walk", "/requests/{answered}", until="#attempts"),
    Picture("walk-dark", "/requests/{answered}", until="#attempts", scheme="dark"),
    Picture("request-answered", "/requests/{answered}", until="#lineage"),
    Picture("request-fallback", "/requests/{fallback}", until="#lineage"),
    Picture("review", "/review?service={asking}", height=900),
    Picture("review-case", "/review/{case}", height=1200),
    Picture("certificates", "/certificates", height=700),
    Picture("certificate", "/certificates/{bounded}", until="#levers"),
    Picture("calibration", "/services/{bounded}/calibration", height=700),
    Picture("releases", "/releases"),
    Picture("keys", "/keys", height=700),
)


def say(text: str) -> None:
    """Write a line of progress."""
    sys.stderr.write(f"{text}\n")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
    return port


def copy_example(folder: Path) -> Path:
    """Return a copy of the example whose practice model listens on a port of its own."""
    kept = shutil.ignore_patterns(".roadworthy", "__pycache__")
    copy = Path(shutil.copytree(EXAMPLE, folder / "airline", ignore=kept))
    port = str(free_port())
    for path in (*copy.glob("*.py"), *copy.glob("*.toml")):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(PRACTICE_PORT, port), encoding="utf-8")
    return copy


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of `make demo`: without provider's keys and without `[llm]`."""
    hidden = folder / "hidden"
    hidden.mkdir()
    (hidden / "xllamacpp.py").write_text('raise ImportError("as if it were not installed")\n')
    kept = {name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"}
    return {**kept, "PYTHONPATH": str(hidden)}


class Demo:
    """The example while it runs.

    Attributes:
        url: Where it is served.
        key: The secret that the demo shows once.
    """

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.key = ""
        self._ready = threading.Event()
        self._process = process
        threading.Thread(target=self._follow, args=(process.stdout,), daemon=True).start()

    def _follow(self, lines: IO[str]) -> None:
        """Show what the demo says, but for its key, until it says that it only serves."""
        for line in lines:
            found = re.search(r"rw_[A-Za-z0-9_-]{20,}", line)
            if found:
                self.key = found[0]
            elif line.strip():
                say(f"  {line.rstrip()}")
            if line.startswith("Open http"):
                self._ready.set()

    def wait(self) -> None:
        """Wait until the day was replayed; end if that fails."""
        while not self._ready.wait(0.5):
            if self._process.poll() is not None:
                sys.exit(f"the demo ended with {self._process.returncode}")

    def get(self, path: str) -> Any:
        """Ask the control plane."""
        connection = HTTPConnection(self.url.removeprefix("http://"), timeout=10)
        connection.request("GET", path, headers={"authorization": f"Bearer {self.key}"})
        return json.load(connection.getresponse())


@contextmanager
def running(folder: Path) -> Iterator[Demo]:
    """Run the example until the block ends."""
    port = free_port()
    command = [sys.executable, "-u", "demo.py", "--days", str(DAYS), "--port", str(port)]
    process = subprocess.Popen(  # noqa: S603 - our own words and a number
        command,
        cwd=copy_example(folder),
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        demo = Demo(process, port)
        demo.wait()
        yield demo
    finally:
        process.terminate()
        process.wait(60)


def requests_of(demo: Demo) -> dict[str, str]:
    """Return the requests whose pages are shown: the same passengers' each time."""
    found = {}
    for name, which in (("answered", ""), ("fallback", "&error=grounded")):
        query = f"service=support-reply&disposition={name}&limit=200{which}"
        rows = demo.get(f"/api/requests?{query}")["requests"]
        found[name] = min(row["id"] for row in rows)
    return found


def reviews_of(demo: Demo) -> dict[str, str]:
    """Return the case, the service that asks people and the one with a bound, if there are any."""
    waiting = demo.get("/api/review/page").get("rows", [])
    bounds = demo.get("/api/certificates").get("rows", [])
    found = {"case": waiting[0]["id"], "asking": waiting[0]["service"]} if waiting else {}
    return found | ({"bounded": bounds[0]["service"]} if bounds else {})


def is_there(picture: Picture, facts: dict[str, str]) -> bool:
    """Whether the example has what a picture shows."""
    return all(name in facts for name in re.findall(r"\{(\w+)\}", picture.path))


def log_in(page: Page, demo: Demo) -> None:
    """Log into the console with the demo's key."""
    page.goto(f"{demo.url}/login")
    page.fill("#key", demo.key)
    page.click("button.main")


def take(browser: Browser, demo: Demo, picture: Picture, facts: dict[str, str]) -> int:
    """Take a picture and return how many bytes it has."""
    context = browser.new_context(
        viewport={"width": picture.width, "height": 400},
        color_scheme="dark" if picture.scheme == "dark" else "light",
        reduced_motion="reduce",
    )
    page = context.new_page()
    log_in(page, demo)
    page.goto(demo.url + picture.path.format_map(facts))
    assert demo.key not in page.content(), f"{picture.path} shows the key"
    clip = {"x": 0, "y": 0, "width": picture.width, "height": _end(page, picture)}
    path = IMAGES / f"{picture.name}.png"
    page.screenshot(path=path, full_page=True, clip=clip)
    context.close()
    return path.stat().st_size


def _end(page: Page, picture: Picture) -> float:
    """Return where a picture ends, in CSS pixels from the top of the page."""
    full = float(page.evaluate("document.documentElement.scrollHeight"))
    box = page.locator(picture.until).bounding_box() if picture.until else None
    return min(picture.height, full, box["y"] - 8 if box else full)


def main() -> None:
    """Write every picture anew."""
    IMAGES.mkdir(exist_ok=True)
    say(f"running a copy of the airline example: {DAYS} days of 2013")
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as demo:
        facts = requests_of(demo) | reviews_of(demo)
        with sync_playwright() as started:
            browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
            for old in IMAGES.glob("*.png"):
                old.unlink()
            for picture in PICTURES:
                if not is_there(picture, facts):
                    say(f"docs/images/{picture.name}.png: not taken, the example has none")
                    continue
                size = take(browser, demo, picture, facts)
                say(f"docs/images/{picture.name}.png: {size / 1000:.0f} kB")
                assert size < MOST_BYTES, f"{picture.name} has {size} bytes, show less of it"
            browser.close()


if __name__ == "__main__":
    main()
