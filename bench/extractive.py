"""Answers from 500 passages on this machine: time a question, memory, and what is computed once.

    python bench/extractive.py [--passages 500] [--questions 300]

Each question goes through what a request does between its guards and its reply: it is embedded,
compared with every sentence, answered with quotations, and the answer is judged by `grounded`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from roadworthy.declare.service import GuardEntry
from roadworthy.guard.grounded import GroundedGuard
from roadworthy.models.builtin import open_model
from roadworthy.models.spec import ModelSpec
from roadworthy.serve.context import Context, Sources
from roadworthy.signals.embed import BATCH, MiniLM, open_minilm
from roadworthy.signals.grounded import Grounding
from roadworthy.signals.local import LocalPages
from roadworthy.signals.search import Index, Retriever, build_index
from roadworthy.types import Call, Caller, Key

BAR_MS = 30.0
BAR_MB = 250.0
CALLER = Caller(Key("bench", "bench", frozenset({"answer"})), "bench")
WHO = [
    "adult",
    "child",
    "infant",
    "student",
    "soldier",
    "group",
    "member",
    "guest",
    "pensioner",
    "crew",
]
WHAT = [
    "suitcase",
    "guitar",
    "stroller",
    "dog",
    "ski",
    "bicycle",
    "voucher",
    "refund",
    "seat",
    "meal",
    "upgrade",
    "receipt",
]
WHERE = [
    "at the gate",
    "on board",
    "online",
    "by phone",
    "in the lounge",
    "at check-in",
    "in the app",
]
HOW = [
    "may bring",
    "must pay for",
    "can cancel",
    "gets back",
    "has to show",
    "may change",
    "can reserve",
]


def write_pages(folder: Path, passages: int, draw: random.Random) -> None:
    """Write pages of six passages of four sentences each."""
    for page in range(-(-passages // 6)):
        lines = [f"# Rules {page} for the {draw.choice(WHAT)}"]
        for part in range(min(6, passages - page * 6)):
            lines.append(f"## {draw.choice(WHO)} {draw.choice(WHERE)} {part}")
            lines += [
                f"Every {draw.choice(WHO)} {draw.choice(HOW)} a {draw.choice(WHAT)} "
                f"{draw.choice(WHERE)} within {draw.randint(1, 90)} days "
                f"for ${draw.randint(5, 500)}."
                for _ in range(4)
            ]
        (folder / f"page{page}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def questions(count: int, draw: random.Random) -> list[str]:
    """Return questions of 6 to 40 words."""
    asked = []
    for _ in range(count):
        words = f"As a {draw.choice(WHO)} what happens with my {draw.choice(WHAT)}"
        more = " ".join(draw.choice(WHAT + WHO) for _ in range(draw.randint(0, 30)))
        asked.append(f"{words} {draw.choice(WHERE)} {more}?")
    return asked


async def answer_all(index: Index, asked: list[str]) -> list[float]:
    """Return the milliseconds of each question, from the call to the verdict."""
    embedder = open_minilm()
    retriever = Retriever(index, embedder, top_k=3, max_tokens=600, min_score=0.0)
    pages = LocalPages(retriever, Grounding(index, embedder))
    context = Context("question", Sources(pages), None, None)
    model = open_model(ModelSpec(name="extractive", upstream="builtin:extractive"))
    guard = GroundedGuard(GuardEntry(use="grounded"), Path())
    spent = []
    for question in asked:
        started = time.perf_counter()
        call = Call(input={"question": question}, caller=CALLER, deadline=time.monotonic() + 10)
        await context.fill(call)
        answer = await model.answer(call)
        verdict, reason = guard.check(call, answer.output)
        spent.append((time.perf_counter() - started) * 1000)
        assert verdict == "allow", reason
    context.close()
    return spent


def batches(embedder: MiniLM, texts: list[str]) -> tuple[float, float, float]:
    """Return texts a second: one by one, in the order they come, sorted by length as we do."""
    started = time.perf_counter()
    for text in texts:
        embedder.embed([text])
    alone = len(texts) / (time.perf_counter() - started)
    ids = [encoding.ids for encoding in embedder._encode(texts)]
    started = time.perf_counter()
    for start in range(0, len(ids), BATCH):
        embedder._run(ids[start : start + BATCH])
    in_order = len(texts) / (time.perf_counter() - started)
    started = time.perf_counter()
    embedder.embed(texts)
    return alone, in_order, len(texts) / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--passages", type=int, default=500)
    parser.add_argument("--questions", type=int, default=300)
    options = parser.parse_args()
    draw = random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pages").mkdir()
        write_pages(folder / "pages", options.passages, draw)
        started = time.perf_counter()
        index = build_index(folder / "pages", open_minilm(), folder / "cache")
        first_s = time.perf_counter() - started
        started = time.perf_counter()
        index = build_index(folder / "pages", open_minilm(), folder / "cache")
        again_s = time.perf_counter() - started
    asked = questions(options.questions, draw)
    spent = asyncio.run(answer_all(index, asked))
    p50, p95, p99 = np.percentile(spent, (50, 95, 99))
    pages_of_memory = int(Path("/proc/self/statm").read_text().split()[1])
    rss_mb = pages_of_memory * os.sysconf("SC_PAGESIZE") / 1e6
    print(f"{len(index.pieces)} passages, {len(index.vectors)} sentences")
    print(f"  first start {first_s:.1f} s, later starts {again_s * 1000:.0f} ms")
    print(f"  question    p50 {p50:.1f} ms, p95 {p95:.1f} ms, p99 {p99:.1f} ms (bar {BAR_MS:.0f})")
    print(f"  memory      {rss_mb:.0f} MB (bar {BAR_MB:.0f})")
    alone, in_order, sorted_ = batches(open_minilm(), asked)
    print(
        f"  embedding   {sorted_:.0f} texts/s by length, {in_order:.0f} in order, {alone:.0f} alone"
        f" (x{sorted_ / in_order:.1f}, x{sorted_ / alone:.1f})"
    )
    sys.exit(int(p95 > BAR_MS or rss_mb > BAR_MB))


if __name__ == "__main__":
    main()
