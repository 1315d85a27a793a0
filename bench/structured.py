"""JSON from models: what the judge adds to clean JSON, and what it takes to mend what is not.

    python bench/structured.py [--rounds 5] [--json]

Beside each other, in the same run: msgspec's decoder and jsonschema-rs alone, which is what a judge
needs at least; the judge of this package; and the judge on texts as language models write them.
Ends with 1 where clean JSON of 20 fields costs more than `BAR_US` beyond the least.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec
from harness import report

from roadworthy.declare.prompts import Prompt
from roadworthy.declare.schemas import compile_schema
from roadworthy.serve.judge import OutputJudge
from roadworthy.types import Answer, Call, Caller, Key

BAR_US = 10.0
CALL = Call(input={}, caller=Caller(Key("bench", "bench", frozenset()), "bench"), deadline=0.0)
FIELDS = 20
VALUE = {
    f"field_{n}": ("a text: with a colon", n * 1.5, True, ["a", "b"])[n % 4] for n in range(FIELDS)
}
CLEAN = json.dumps(VALUE)
TEXTS = {
    "fenced": f"```json\n{CLEAN}\n```",
    "thought": f"<think>{'Two bags, so. ' * 20}</think>\n{CLEAN}",
    "comma": f"{CLEAN[:-1]},}}",
    "quotes": CLEAN.replace('"', "'"),
    "comments": CLEAN.replace(", ", ", // said so\n", 4),
}
SCHEMA = {
    "type": "object",
    "properties": {
        name: {"type": ("string", "number", "boolean", "array")[n % 4]}
        for n, name in enumerate(VALUE)
    },
    "required": list(VALUE),
    "additionalProperties": False,
}
PROMPT = """+++
[inputs]
amount = "number"
+++
# system
Answer in one sentence.
<case>{{ amount }} USD</case>
# user
{{ question }}
"""


def least_us(rounds: int, times: int, run: Callable[[], Any]) -> float:
    """Return the least over rounds of the microseconds of one run."""
    run()
    found = []
    for _ in range(rounds):
        started = time.thread_time_ns()
        for _ in range(times):
            run()
        found.append((time.thread_time_ns() - started) / times / 1000)
    return min(found)


def main() -> int:
    """Measure, print one line of JSON, and return 1 where the bar is not kept."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="one line of JSON, as always")
    rounds = parser.parse_args().rounds
    check = compile_schema(SCHEMA, "output")
    judge = OutputJudge(check, (), reads_json=True)
    decode = msgspec.json.Decoder().decode

    def judged(text: str) -> Callable[[], Any]:
        def run() -> None:
            answer = Answer(model="m", output={"text": text})
            assert judge(CALL, answer).is_acceptable

        return run

    def bare() -> None:
        answer = Answer(model="m", output={"text": CLEAN})
        answer.output = decode(CLEAN)
        assert check.is_valid(answer.output)

    least = least_us(rounds, 5_000, bare)
    clean = least_us(rounds, 5_000, judged(CLEAN))
    mended = {f"{name}_us": least_us(rounds, 100, judged(text)) for name, text in TEXTS.items()}
    prompt = Prompt(PROMPT, ("question",))
    values = {"question": "Where is my money?", "amount": 12}
    written = least_us(rounds, 1_000, lambda: prompt.write(values))
    is_kept = clean - least <= BAR_US
    report(
        "structured",
        bytes=len(CLEAN),
        least_us=least,
        clean_us=clean,
        adds_us=clean - least,
        bar_us=BAR_US,
        **mended,
        prompt_written_us=written,
        kept=is_kept,
    )
    return 0 if is_kept else 1


if __name__ == "__main__":
    sys.exit(main())
