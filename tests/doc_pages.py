"""Reads the pages of the documentation, and runs the blocks of those that promise to run.

A page runs as a person would work through it: from top to bottom, in one shell, in an empty folder.

* A block `sh` is typed into the shell. It must end with 0, or with N where it says `sh exit=N`.
* A block with `file=PATH` is saved there. A block `python` without it is run.
* A block `text` behind one of these is its output: each line of it must appear, in that order. In
  such a line `...` stands for anything, and one space for any number of them.
* A block `text page=PATH` is what that page of the console says, to a browser without JavaScript
  that logs in with the key that was shown last. It is compared in the same way.

`rw_...`, `rq_...` and `name@...` stand for the key, the request id and the release that were shown
last; 8700 and 8799 stand for free ports. Blocks in any other language are only read.
"""

from __future__ import annotations

import html
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, build_opener

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PORTS = ("8700", "8799")
TIMEOUT_S = 120

_FENCE = re.compile(r"^```(\S+)?([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_STARTED = {"8700": r"^roadworthy up.*&", "8799": r"^python \S+ &"}
"""Port → how the page starts what listens there; the next block waits until it does."""

_KEY = "rw_[A-Za-z0-9_-]{43}"
_PLACEHOLDERS = {
    r"\brw_\.\.\.": _KEY,
    r"\brq_\.\.\.": "rq_[0-9a-f]{26}",
    r"\b([a-z][a-z0-9-]*)@\.\.\.": r"\1@[0-9a-f]{12}",
}
"""What stands in a page for something that was shown → what that looks like."""

_PROLOGUE = """\
shown() { grep -oE "$1" "$SHOWN" | tail -n 1; }
answers() {
  for _ in $(seq 100); do
    curl -s -o /dev/null "http://127.0.0.1:$1" && return
    sleep 0.1
  done
}
"""


class Block(NamedTuple):
    """One fenced block of a page.

    Attributes:
        line: Where it begins.
        language: The first word behind the fence.
        options: The words behind it, such as `file=` and `exit=`.
    """

    page: str
    line: int
    language: str
    options: dict[str, str]
    text: str

    @property
    def file(self) -> str:
        """Where it is saved; empty if it is not."""
        return self.options.get("file", "")

    @property
    def page_shown(self) -> str:
        """The path of the console's page that it quotes; empty if it quotes none."""
        return self.options.get("page", "")

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


class Ran(NamedTuple):
    """How a block ended, and what it printed."""

    block: Block
    code: int
    output: str


def pages() -> list[Path]:
    """Return every page that is written for people."""
    found = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    return [*found, *sorted(DOCS.rglob("*.md"))]


def blocks_of(path: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    text = path.read_text(encoding="utf-8")
    page = path.relative_to(ROOT).as_posix()
    return [
        Block(
            page,
            text.count("\n", 0, found.start()) + 1,
            found[1] or "",
            dict(word.split("=", 1) for word in found[2].split() if "=" in word),
            found[3],
        )
        for found in _FENCE.finditer(text)
    ]


def run_page(path: Path, folder: Path) -> None:
    """Work through a page in `folder`.

    Raises:
        AssertionError: A block ended otherwise than the page says, or printed something else.
    """
    blocks = blocks_of(path)
    shown = folder / "shown.txt"
    shown.touch()
    work = folder / "work"
    work.mkdir()
    script = folder / "page.sh"
    steps = [block for block in blocks if _runs(block)]
    ports = dict(zip(PORTS, _free_ports(len(PORTS)), strict=True))
    script.write_text(_PROLOGUE + "".join(_lines(steps, ports)), encoding="utf-8")
    _run_script(script, work, shown)
    ran = _parse(steps, _ANSI.sub("", shown.read_text(encoding="utf-8", errors="replace")))
    for done in ran:
        expected = int(done.block.options.get("exit", 0))
        assert done.code == expected, f"{done.block} ended with {done.code}:\n{done.output}"
        behind = blocks.index(done.block) + 1
        if done.block.page_shown:
            check_output(done.block, done.output)
        elif behind < len(blocks) and _is_output(blocks[behind]):
            check_output(blocks[behind], done.output)
    assert len(ran) == len(steps), f"{path.name} ended early:\n{shown.read_text()[-2000:]}"


def _runs(block: Block) -> bool:
    return bool(block.file or block.page_shown) or block.language in ("sh", "python")


def _is_output(block: Block) -> bool:
    return block.language == "text" and not (block.page_shown or block.file)


def _lines(steps: Sequence[Block], ports: dict[str, str]) -> Iterator[str]:
    for number, block in enumerate(steps):
        text = block.text
        for port, free in ports.items():
            text = text.replace(port, free)
        text = text.replace("roadworthy up", f"roadworthy up --port {ports['8700']}")
        if block.file:
            folder = Path(block.file).parent.as_posix()
            end = f"END_OF_BLOCK_{number}"
            yield f"mkdir -p {shlex.quote(folder)}\n"
            yield f"cat > {shlex.quote(block.file)} <<'{end}'\n{text}{end}\n"
        elif block.language == "python":
            end = f"END_OF_BLOCK_{number}"
            yield f"python - <<'{end}'\n{text}{end}\n"
        elif block.page_shown:
            target = _filled(block.page_shown)
            yield f'python "$PAGES" {ports["8700"]} "$(shown "{_KEY}")" "{target}"\n'
        else:
            yield _filled(text)
        yield f'status=$?; echo; echo "=== {number} $status"\n'
        for port, started in _STARTED.items():
            if re.search(started, block.text, re.MULTILINE):
                yield f"answers {ports[port]}\n"


def _filled(text: str) -> str:
    """Return what a page tells people to type with what was shown last in its places."""
    for placeholder, look in _PLACEHOLDERS.items():
        text = re.sub(placeholder, f"$(shown '{look}')", text)
    return text


def _run_script(script: Path, work: Path, shown: Path) -> None:
    """Run a script with all that it starts in a group of its own, and end that group."""
    binaries = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if not _steers(name)}
    with shown.open("ab") as output:
        process = subprocess.Popen(
            ["sh", str(script)],
            cwd=work,
            env={
                **kept,
                "PATH": binaries,
                "SHOWN": str(shown),
                "PAGES": __file__,
                "PYTHONUNBUFFERED": "1",
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            process.wait(TIMEOUT_S)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _steers(name: str) -> bool:
    """Whether an environment variable would make a page run otherwise than for a newcomer."""
    return name.startswith(("ROADWORTHY_", "OTEL_")) or name == "OPENAI_API_KEY"


def _parse(steps: Sequence[Block], shown: str) -> list[Ran]:
    parts = re.split(r"^=== (\d+) (\d+)\n", shown, flags=re.MULTILINE)
    found = zip(parts[::3], parts[1::3], parts[2::3], strict=False)
    return [Ran(steps[int(number)], int(code), output) for output, number, code in found]


def check_output(expected: Block, output: str) -> None:
    """Check that each line of `expected` appears in `output`, in order.

    Raises:
        AssertionError: One does not.
    """
    place = 0
    for line in filter(None, map(str.strip, expected.text.splitlines())):
        words = ("[ \t]+".join(map(re.escape, part.split())) for part in line.split("..."))
        found = re.compile(".*?".join(words)).search(output, place)
        assert found, f"{expected}: expected `{line}` in:\n{output}"
        place = found.end()


def _free_ports(count: int) -> list[str]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [str(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def read_page(port: str, secret: str, target: str) -> str:
    """Log into the console as a browser without JavaScript does, and return what a page says."""
    browser = build_opener(HTTPCookieProcessor())
    url = f"http://127.0.0.1:{port}"
    with browser.open(f"{url}/login") as page:
        token = re.search(r'name="csrf" value="([^"]+)"', page.read().decode())
    assert token is not None
    fields = {"key": secret, "csrf": token[1], "next": target}
    with browser.open(f"{url}/login", urlencode(fields).encode()) as page:
        shown = re.sub(r"<(head|script|style)\b.*?</\1>", " ", page.read().decode(), flags=re.S)
    inline = re.sub(r"</?(a|b|code|span|time)\b[^>]*>", "", shown)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", inline)).split())


if __name__ == "__main__":
    sys.stdout.write(f"{read_page(*sys.argv[1:])}\n")
