"""Prompts at work: typed inputs, settings, what a provider may cache, and which version it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import write_project
from live import Live, provider_up, serve
from roadworthy import open_project
from roadworthy.app.comparisons import compare_releases
from roadworthy.errors import DeclarationError
from roadworthy.models.faulty import FaultyUpstream
from roadworthy.types import Call

PROMPT = """+++
[inputs]
question = "string"
amount = "number"
tone = ["kind", "firm"]
note = "string?"
[settings]
temperature = 0.2
max_output_tokens = 30
+++
# system
Answer passengers in one sentence.
<case>{{ amount }} USD, {{ tone }}</case>
# user
{{ question }}
"""
CONTRACT = {
    "type": "object",
    "properties": {
        "question": {"type": "string", "maxLength": 60},
        "amount": {"type": "number"},
        "tone": {"enum": ["kind", "firm"]},
        "note": {"type": ["string", "null"]},
    },
    "required": ["question", "amount", "tone"],
}
SERVICE = """
name = "reply"
kind = "generate"
owners = { product = "test" }
objectives = { deadline_ms = 5000 }
cost = { per_day_usd = 1 }
[chat]
variable = "question"
allow = ["temperature", "max_completion_tokens"]
[prompt]
file = "reply.md"
[[models]]
name = "up"
provider = "up"
model = "m"
"""
GIVEN = {"amount": 120, "tone": "kind"}


@pytest.fixture
def upstream() -> Iterator[FaultyUpstream]:
    with FaultyUpstream(models=("m",)) as upstream:
        yield upstream


@pytest.fixture
def write(tmp_path: Path, upstream: FaultyUpstream) -> Callable[..., Path]:
    def write(
        service: str = SERVICE, prompt: str = PROMPT, contract: Any = None, **files: str
    ) -> Path:
        said = {"services/reply/reply.md": prompt}
        said |= {f"services/reply/{name}.json": text for name, text in files.items()}
        if contract is not None:
            said["services/reply/input.json"] = json.dumps(contract)
            service += '[contract]\ninput = "input.json"\n'
        prices = provider_up(upstream, input_usd=1, output_usd=1)
        return write_project(tmp_path / "project", {"reply": service}, said, prices)

    return write


def ask(live: Live, variables: Any = GIVEN, **more: Any) -> Any:
    body = {"model": "reply", "messages": [{"role": "user", "content": "Where is my money?"}]}
    return live.ask("POST", "/v1/chat/completions", {**body, "variables": variables, **more})


def sent(upstream: FaultyUpstream) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(upstream.requests[-1].body)
    return body


@pytest.mark.parametrize("contract", [None, CONTRACT])
def test_the_inputs_of_a_prompt_come_beside_the_message(
    contract: Any, write: Any, upstream: FaultyUpstream
) -> None:
    with serve(write(contract=contract)) as live:
        assert ask(live).status == 200
        by_chat = sent(upstream)["messages"]
        body = {"input": {"question": "Where is my money?", **GIVEN}}
        assert live.ask("POST", "/v1/services/reply/answer", body).status == 200
    assert by_chat == sent(upstream)["messages"]
    assert by_chat[0]["content"].endswith("<case>120 USD, kind</case>")
    assert "variables" not in sent(upstream)


@pytest.mark.parametrize(
    ("variables", "param", "says"),
    [
        ({"tone": "kind"}, "variables", "expected field `amount`, got none"),
        ({**GIVEN, "amount": "12"}, "variables.amount", "expected number, got string of 2"),
        ({**GIVEN, "tone": "rude"}, "variables.tone", 'expected one of ["kind", "firm"]'),
        ({**GIVEN, "note": 3}, "variables.note", "expected one of 2 shapes"),
        ({**GIVEN, "usd": 3}, "variables.usd", "expected inputs of the prompt (`amount`, `note`"),
        ("12", "variables", "expected an object of the prompt's inputs"),
    ],
)
def test_an_input_of_another_type_is_refused_before_anybody_is_asked(
    variables: Any, param: str, says: str, write: Any, upstream: FaultyUpstream
) -> None:
    with serve(write()) as live:
        reply = ask(live, variables)
        (record,) = live.records()
    assert (reply.status, reply.code, upstream.received) == (422, "contract_violation", 0)
    assert reply.json["error"]["param"] == param
    assert says in reply.json["error"]["message"]
    assert record.disposition == "refused"


def test_settings_of_the_prompt_are_parameters_unless_a_client_says_otherwise(
    write: Any, upstream: FaultyUpstream
) -> None:
    with serve(write()) as live:
        ask(live)
        plain = sent(upstream)
        ask(live, temperature=0.9, max_completion_tokens=7)
        theirs = sent(upstream)
    assert (plain["temperature"], plain["max_tokens"]) == (0.2, 30)
    assert (theirs["temperature"], theirs["max_tokens"]) == (0.9, 7)


def test_records_and_releases_say_which_prompt_it_was(write: Any) -> None:
    folder = write()
    with serve(folder) as live:
        ask(live)
        (record,) = live.records()
    with open_project(folder) as project:
        manifest = project.build_release("reply", by="test").manifest
    assert record.prompt == manifest.prompt_version == manifest.files["reply.md"][:12]


def test_a_call_says_how_much_of_it_never_changes(write: Any) -> None:
    seen: list[Call] = []
    with serve(write()) as live:
        context = live.serving.engine.releases["reply"].context
        assert context is not None
        fill = context.fill

        async def look(call: Call) -> None:
            await fill(call)
            seen.append(call)

        context.fill = look  # type: ignore[method-assign]
        ask(live)
        ask(live, {**GIVEN, "amount": 7})
    one, other = seen
    first, second = (json.loads(bytes(call.body["messages"])) for call in seen)
    assert (one.static_messages, one.static_key) == (0, other.static_key)
    part = slice(0, one.static_characters)
    assert first[0]["content"][part] == second[0]["content"][part]
    assert first[0]["content"][part].endswith("sentence.\n<case>")


def test_a_prompt_that_cannot_be_written_is_no_prompt_without_its_values(
    write: Any, upstream: FaultyUpstream
) -> None:
    prompt = PROMPT.replace("{{ amount }} USD", "{{ 100 // amount }} each")
    with serve(write(prompt=prompt)) as live:
        reply = ask(live, {**GIVEN, "amount": 0})
        (record,) = live.records()
    assert (reply.status, upstream.received) == (502, 0)
    assert "the prompt cannot be written: expected a template" in record.reasons[0]
    assert "ZeroDivisionError" in record.reasons[0]


def problems_of(folder: Path) -> list[str]:
    with open_project(folder) as project, pytest.raises(DeclarationError) as caught:
        project.load("reply")
    return [f"{p.path}: expected {p.expected}, got {p.got}" for p in caught.value.problems]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"amount": None}, "inputs that input.json has (`question`, `tone`, `note`), got `amount`"),
        ({"amount": {"type": "string"}}, "`amount` of reply.md as string, as the contract has it"),
        ({"tone": {"type": "string"}}, "`tone` of reply.md as one of its 2 choices, got string"),
        ({"tone": {"enum": ["kind", "rude"]}}, "one of its 2 choices, got other choices"),
        ({"required": ["question", "tone"]}, "`amount` of reply.md always there, got one that may"),
    ],
)
def test_inputs_that_the_contract_does_not_give_are_found_at_loading(
    change: dict[str, Any], says: str, write: Any
) -> None:
    contract = json.loads(json.dumps(CONTRACT))
    contract["required"] = change.pop("required", ["question", "tone", "amount"])
    contract["properties"] |= change
    contract["properties"] = {k: v for k, v in contract["properties"].items() if v is not None}
    (problem,) = problems_of(write(contract=contract))
    assert problem.startswith("prompt.file: expected ")
    assert says in problem


SCHEMA = '{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}'
IMPOSSIBLE = SCHEMA.replace('"integer"', '"integer", "minimum": 3, "maximum": 2')


def test_the_prompt_may_say_what_its_answers_are(write: Any, upstream: FaultyUpstream) -> None:
    folder = write(prompt=PROMPT.replace("[inputs]", 'output = "out.json"\n[inputs]'), out=SCHEMA)
    with serve(folder) as live:
        reply = ask(live)
    assert reply.status == 403, "what the upstream says is no such JSON"
    assert sent(upstream)["response_format"]["json_schema"]["schema"] == json.loads(SCHEMA)


def test_a_schema_within_the_prompt_counts_too(write: Any, upstream: FaultyUpstream) -> None:
    inline = PROMPT.replace("+++\n# system", '[output]\ntype = "object"\n+++\n# system')
    with serve(write(prompt=inline)) as live:
        assert ask(live).status == 403
    assert sent(upstream)["response_format"]["json_schema"]["schema"] == {"type": "object"}


@pytest.mark.parametrize(
    ("said", "contract", "says"),
    [
        ("other.json", "out.json", "expected the schema of out.json as `output`, got another one"),
        ("gone.json", None, "expected a file, got `gone.json`, which does not exist"),
        ("broken.json", None, "a JSON Schema as `output`, got expected JSON"),
        ("never.json", None, "a schema that some answer keeps, got `a`: `minimum` 3 above"),
        ("out.json", "out.json", ""),
    ],
)
def test_two_different_promises_or_an_impossible_one_are_found_at_loading(
    said: str, contract: str | None, says: str, write: Any
) -> None:
    prompt = PROMPT.replace("[inputs]", f'output = "{said}"\n[inputs]')
    service = SERVICE + (f'[contract]\noutput = "{contract}"\n' if contract else "")
    files = {"out": SCHEMA, "other": '{"type": "object"}', "broken": "{", "never": IMPOSSIBLE}
    folder = write(service, prompt, **files)
    if not says:
        with open_project(folder) as project:
            assert set(project.load("reply").files) >= {"out.json", "reply.md"}
        return
    assert any(says in problem for problem in problems_of(folder))


@pytest.mark.parametrize(
    "schema",
    [
        IMPOSSIBLE,
        '{"type": "object", "required": ["b"], "properties": {}, "additionalProperties": false}',
        '{"anyOf": [{"enum": []}, false]}',
        '{"allOf": [{"type": "string", "minLength": 3, "maxLength": 1}]}',
        '{"$ref": "#/$defs/a", "$defs": {"a": {"enum": []}}}',
    ],
)
def test_a_schema_that_nothing_keeps_is_found_at_loading(schema: str, write: Any) -> None:
    (problem,) = problems_of(write(SERVICE + '[contract]\noutput = "out.json"\n', out=schema))
    assert problem.startswith("contract.output: expected a schema that some answer keeps, got ")


def test_a_comparison_shows_what_changed_in_a_prompt(write: Any) -> None:
    folder = write()
    with open_project(folder) as project:
        a = project.build_release("reply", by="test").id
        changed = PROMPT.replace("one sentence", "two sentences").replace("= 0.2", "= 0.7")
        (folder / "services/reply/reply.md").write_text(changed)
        b = project.build_release("reply", by="test").id
        (found,) = compare_releases(project.state, project.artifacts, a, b).prompts
        assert compare_releases(project.state, project.artifacts, a, a).prompts == ()
    assert found.file == "reply.md"
    assert len({found.a, found.b, ""}) == 3
    assert "-Answer passengers in one sentence." in found.static
    assert "+Answer passengers in two sentences." in found.static
    ((kind, name, old, new),) = [(v.kind, v.name, v.a, v.b) for v in found.values]
    assert (kind, name, old, new) == ("setting", "temperature", 0.2, 0.7)
