"""`instructor`, unchanged, gets typed objects through a service, whoever its upstream is."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import write_project
from live import Live, chat_service, serve
from roadworthy.testing import FaultyUpstream, ToolUse
from servers import SERVERS

pytestmark = pytest.mark.slow

KINDS = ("openai", "anthropic", "gemini")
TICKET = {"carrier": "UA", "minutes_late": 95}

PROGRAM = '''
import json, sys
import instructor
from openai import OpenAI
from pydantic import BaseModel

class Ticket(BaseModel):
    """What a passenger claims."""
    carrier: str
    minutes_late: int

url, key, service = sys.argv[1:]
question = [{"role": "user", "content": "UA was an hour and a half late."}]
got = {}
for name in ("TOOLS", "JSON", "JSON_SCHEMA"):
    openai = OpenAI(base_url=url, api_key=key, max_retries=0)
    client = instructor.from_openai(openai, mode=instructor.Mode[name])
    ticket = client.chat.completions.create(
        model=service, response_model=Ticket, messages=question, max_retries=0
    )
    got[name] = ticket.model_dump()
client = instructor.from_openai(openai, mode=instructor.Mode.RESPONSES_TOOLS)
ticket = client.responses.create(model=service, response_model=Ticket, input=question[0]["content"])
got["RESPONSES_TOOLS"] = ticket.model_dump()
print(json.dumps(got))
'''


class Extracting(FaultyUpstream):
    """An upstream that calls the tool it is given, and else writes JSON."""

    def __init__(self) -> None:
        super().__init__(answer=self._say)

    def _say(self, messages: list[dict[str, Any]]) -> Any:
        asked = self.requests[-1].json()
        return ToolUse("Ticket", TICKET) if asked.get("tools") else json.dumps(TICKET)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with Extracting() as upstream, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RW_TEST_KEY", "k-1")
        services, providers = {}, ""
        for kind in KINDS:
            cost = "per_day_usd = 1.0, per_request_usd = 0.1"
            text = chat_service(kind, deadline_ms=4000, cost=cost)
            services[kind] = text.replace('provider = "up"', f'provider = "{kind}"')
            providers += f"""
[providers.{kind}]
kind = "{kind}"
base_url = "{upstream.base_url}"
api_key_env = "RW_TEST_KEY"
[providers.{kind}.prices."m"]
input_usd_per_million = 1.0
output_usd_per_million = 2.0
"""
        folder: Path = tmp_path_factory.mktemp("project")
        write_project(folder, services, {}, providers)
        with serve(folder) as running:
            yield running


@pytest.mark.parametrize("kind", KINDS)
def test_instructor_extracts_objects_in_all_its_modes(live: Live, kind: str) -> None:
    python = SERVERS / "python"
    if not python.exists():
        if os.environ.get("CI"):
            pytest.fail(f"expected {python}; `make test-slow` installs it")
        pytest.skip(f"needs {python}; `make test-slow` installs it")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [python, "-c", PROGRAM, f"{live.url}/v1", live.key, kind],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    got = json.loads(done.stdout.splitlines()[-1])
    assert got == dict.fromkeys(("TOOLS", "JSON", "JSON_SCHEMA", "RESPONSES_TOOLS"), TICKET)
    assert {record.disposition for record in live.records()} == {"answered"}
