"""The documentation says what the code does: all of it, and nothing else."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import json
import pkgutil
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import click
import pytest

import roadworthy
import roadworthy.declare
from doc_pages import DOCS, ROOT, Block, blocks_of, pages
from roadworthy import errors, types
from roadworthy.app import ENFORCES
from roadworthy.cli import cli
from roadworthy.cost.prices import IMAGE_TOKENS
from roadworthy.declare.events import EVENTS, TEST_EVENT
from roadworthy.declare.json_schema import project_schema, service_schema
from roadworthy.declare.load import load_project, load_service
from roadworthy.declare.project import KINDS
from roadworthy.declare.schemas import compile_schema
from roadworthy.declare.service import GUARDS
from roadworthy.models.counts import MOST_TOKENS
from roadworthy.observe.metrics import MOST_SERIES
from roadworthy.serve.connection import BODY_TIMEOUT_S, HEADER_TIMEOUT_S, MAX_HEADER_BYTES
from roadworthy.serve.gateway import Limits
from roadworthy.serve.oip import MAX_ROWS
from roadworthy.serve.paying import LEASE_US
from roadworthy.serve.server import DRAIN_S
from roadworthy.serve.size import HIDDEN_TOKENS
from roadworthy.serve.tries import BUSY, COOLING, DEFAULT_OUTPUT_TOKENS
from roadworthy.store.spool import BACKLOG_BYTES
from roadworthy.web.states import WORDS

SOURCE = Path(roadworthy.__file__).parent
REFERENCE = DOCS / "reference"
EXAMPLE = ROOT / "examples" / "airline" / "services" / "flight-delay"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ALL = pages()


def reference(name: str) -> str:
    return (REFERENCE / name).read_text(encoding="utf-8")


def source(name: str) -> str:
    return (SOURCE / name).read_text(encoding="utf-8")


@cache
def generator(name: str) -> ModuleType:
    """Return one of the scripts that `make docs` runs."""
    sys.path.insert(0, str(DOCS))
    try:
        spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(DOCS))
    return module


# What is listed.


@pytest.mark.parametrize("page", ["errors.md", "http-api.md", "metrics.md", "records.md"])
def test_generated_parts_are_as_the_code_is(page: str) -> None:
    text = reference(page)
    assert "<!-- generated: " in text
    assert generator("make_reference_pages").renewed(text) == text, "run `make docs`"


def test_every_script_runs_with_make_docs_or_make_screenshots() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipes = re.findall(r"^(?:docs|screenshots):.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert len(recipes) == 2
    run = "".join(recipes) + (DOCS / "make_reference.py").read_text(encoding="utf-8")
    scripts = [path for path in DOCS.glob("*.py") if "__main__" in path.read_text("utf-8")]
    assert [path.name for path in scripts if path.name not in run] == []


def test_every_error_code_is_documented() -> None:
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, Exception)]
    codes = [kind.code for kind in kinds if issubclass(kind, errors.RoadworthyError)]
    codes += re.findall(r'error_code\s*=\s*"(\w+)"', source("serve/engine.py"))
    codes += re.findall(r'error_code="(\w+)"', source("store/spending.py"))
    assert len(codes) > 20
    assert [code for code in codes if f"`{code}`" not in reference("errors.md")] == []


def test_every_status_of_an_attempt_is_documented() -> None:
    text = source("serve/tries.py") + source("models/openai.py")
    named = r'(?:_skip\(link|_note\(link|Attempt\(self\.name), "(\w+)"'
    statuses = {*re.findall(named, text), COOLING, BUSY}
    assert {"stopped", "too_dear", "no_key"} <= statuses
    assert [status for status in statuses if f"`{status}`" not in reference("errors.md")] == []


def commands(
    command: click.Command, context: click.Context, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command that does something, with the words that name it."""
    if not isinstance(command, click.Group):
        yield words, command
        return
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        assert inner is not None
        yield from commands(inner, click.Context(inner, context, name), (*words, name))


@cache
def command_line() -> dict[tuple[str, ...], click.Command]:
    return dict(commands(cli, click.Context(cli, info_name="roadworthy")))


def options_of(command: click.Command) -> set[str]:
    return {
        option
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for option in parameter.opts
    }


def test_every_command_and_option_is_documented() -> None:
    page = reference("cli.md")
    assert generator("make_reference").cli_page() == page, "run `make docs`"
    for words, command in command_line().items():
        title = f"## roadworthy {' '.join(words)}\n"
        assert title in page
        section = page.partition(title)[2].partition("\n## ")[0]
        missing = {o for o in options_of(command) if o.startswith("--")} - {"--help"}
        assert {option for option in missing if option not in section} == set(), words


def keys_in(schema: dict[str, Any], table: dict[str, Any], path: str = "") -> Iterator[str]:
    """Yield every key of a declaration as the reference writes it."""
    for name, node in table["properties"].items():
        inner = [node, node.get("items"), node.get("additionalProperties")]
        inner += node.get("patternProperties", {}).values()
        tables = [
            n["$ref"].rpartition("/")[2] for n in inner if isinstance(n, dict) and "$ref" in n
        ]
        if tables:
            ending = "[]" if node.get("type") == "array" else "" if "$ref" in node else ".<name>"
            yield from keys_in(schema, schema["$defs"][tables[0]], f"{path}{name}{ending}.")
        else:
            yield f"{path}{name}"


@pytest.mark.parametrize("schema", [service_schema(), project_schema()], ids=["service", "project"])
def test_every_key_of_the_declaration_is_documented(schema: dict[str, Any]) -> None:
    keys = list(keys_in(schema, schema))
    assert len(keys) > 10
    assert [key for key in keys if f"`{key}`" not in reference("declaration.md")] == []


def test_every_metric_is_documented() -> None:
    found = {
        name
        for path in [*(SOURCE / "observe").rglob("*.py"), SOURCE / "app" / "gauges.py"]
        for name in re.findall(r'"(roadworthy_[a-z_]+)"', path.read_text(encoding="utf-8"))
    }
    assert len(found) > 8
    assert [name for name in sorted(found) if f"`{name}`" not in reference("metrics.md")] == []


def data_plane() -> set[str]:
    """Return the routes of the gateway, as its source has them."""
    table = re.findall(r'"(/[^"]*)": \{(.+?)\}', source("serve/gateway.py"))
    return {f"{method} {path}" for path, row in table for method in re.findall('"([A-Z]+)":', row)}


def in_words(route: str) -> str:
    """Return a route as the reference writes it: what a star stands for has a name there."""
    names = {"/services/": "{service}", "/requests/": "{id}", "/models/": "{service}"}
    names |= {"/features/": "{view}", "/reviews/": "{id}"}
    for before, name in names.items():
        route = route.replace(f"{before}*", f"{before}{name}")
    return route


def test_every_route_of_the_data_plane_is_documented() -> None:
    routes = data_plane()
    assert len(routes) >= 10
    told = reference("http-api.md")
    routes.remove("HEAD /healthz")
    assert [route for route in sorted(routes) if f"`{in_words(route)}`" not in told] == []


def test_every_header_is_documented() -> None:
    found = {
        name
        for path in (SOURCE / "serve").glob("*.py")
        for name in re.findall(r'b"(x-roadworthy-[a-z-]+)"', path.read_text(encoding="utf-8"))
    }
    assert len(found) >= 10
    assert [name for name in sorted(found) if f"`{name}`" not in reference("http-api.md")] == []


def test_every_scope_is_documented() -> None:
    table = reference("http-api.md").partition("## Scopes")[2]
    assert [scope for scope in get_args(types.Scope) if f"| `{scope}` |" not in table] == []


def test_every_event_of_webhooks_is_documented() -> None:
    page = (DOCS / "how-to" / "send-webhooks.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `([a-z_.]+)` \| (.+) \|$", page, re.MULTILINE))
    assert told.keys() == {*EVENTS, TEST_EVENT}
    assert [name for name, text in EVENTS.items() if told[name] != text] == []


def test_every_entry_point_group_is_documented() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in ALL)
    groups = PROJECT["project"]["entry-points"]
    assert [group for group in groups if f"`{group}`" not in text] == []
    declared = ("roadworthy.models", "roadworthy.guards")  # what a declaration calls by name
    kinds = [f"`{name}`" for group in declared for name in groups[group]]
    assert [kind for kind in kinds if kind not in reference("declaration.md")] == []


def test_every_extra_is_named_where_it_is_needed() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in ALL)
    used = re.findall(r'MissingExtra\("(\w+)"', "".join(map(source, ("observe/otel.py",))))
    assert used
    assert [extra for extra in used if f"[{extra}]" not in text] == []


def test_every_type_of_the_declaration_is_in_the_glossary() -> None:
    glossary = reference("glossary.md")
    found = set()
    for entry in pkgutil.iter_modules(roadworthy.declare.__path__):
        module = importlib.import_module(f"roadworthy.declare.{entry.name}")
        for name, value in vars(module).items():
            is_ours = inspect.isclass(value) and value.__module__ == module.__name__
            if is_ours and not name.startswith("_"):
                found.add(name)
    assert len(found) > 15
    assert sorted(name for name in found if f"`{name}`" not in glossary) == []


def test_every_word_that_a_record_or_key_uses_is_in_the_glossary() -> None:
    glossary = reference("glossary.md")
    words = [
        *get_args(types.Kind),
        *get_args(types.Disposition),
        *get_args(types.Scope),
        *get_args(types.VerdictName),
    ]
    assert [word for word in words if f"`{word}`" not in glossary] == []


# What is said.


def test_the_layers_of_the_architecture_are_those_that_are_enforced() -> None:
    page = (DOCS / "explanation" / "architecture.md").read_text(encoding="utf-8")
    contract = next(
        contract
        for contract in PROJECT["tool"]["importlinter"]["contracts"]
        if contract["type"] == "layers"
    )
    drawn = re.search(r"who may import whom.*?```\n(.*?)```", page, re.DOTALL | re.IGNORECASE)
    assert drawn is not None
    assert drawn[1].splitlines() == contract["layers"]


def test_the_architecture_names_every_room_and_step() -> None:
    page = (DOCS / "explanation" / "architecture.md").read_text(encoding="utf-8")
    rooms = [path.parent.name for path in SOURCE.glob("*/__init__.py")]
    assert [room for room in rooms if f"\n{room}/ " not in page] == []
    steps = re.findall(r'mark\("(\w+)"\)|timings\["(\w+)"\]', source("serve/engine.py"))
    named = re.findall(r"^\| ([a-z_, ]+) \|", page, re.MULTILINE)
    drawn = {step for row in named for step in row.split(", ")}
    assert {step for pair in steps for step in pair if step} <= drawn
    files = re.findall(r"`((?:\w+/)?\w+\.py)`", page)
    assert [name for name in files if not (SOURCE / name).is_file()] == []


def test_numbers_that_pages_quote_are_those_of_the_code() -> None:
    money = (DOCS / "explanation" / "money.md").read_text(encoding="utf-8")
    operate = (DOCS / "how-to" / "operate.md").read_text(encoding="utf-8")
    assert f"{IMAGE_TOKENS:,} tokens for each image" in money
    assert f"{HIDDEN_TOKENS:,} tokens more where tools or a response format go up" in money
    assert f"says anything, {DEFAULT_OUTPUT_TOKENS:,}" in money
    assert f"more than {MOST_TOKENS:,} tokens" in money
    assert LEASE_US == 60_000_000
    assert "a minute after the deadline" in money
    assert f"at most {MAX_ROWS:,}" in reference("http-api.md")
    assert f"{MOST_SERIES:,} label sets" in reference("metrics.md")
    assert f"`--max-body-mb` ({Limits().body_bytes >> 20} MB)" in operate
    assert f"`--max-in-flight` ({Limits().in_flight:,} requests" in operate
    assert f"more than {MAX_HEADER_BYTES >> 10} KiB" in operate
    assert f"longer than {HEADER_TIMEOUT_S:.0f} s" in operate
    assert f"longer than {BODY_TIMEOUT_S:.0f} s" in operate
    assert f"to {DRAIN_S} s to end" in operate
    assert f"up to {BACKLOG_BYTES >> 20} MiB" in operate


def test_the_readme_shows_lines_of_the_file_that_the_demo_serves() -> None:
    (shown,) = [block for block in blocks_of(ROOT / "README.md") if block.language == "toml"]
    lines = iter((EXAMPLE / "service.toml").read_text(encoding="utf-8").splitlines())
    assert [line for line in shown.text.splitlines() if line not in lines] == []


def test_the_request_of_the_readme_keeps_the_contract() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    body = re.search(r"-d '(\{.*?\})'\n", text, re.DOTALL)
    assert body is not None
    schema = json.loads((EXAMPLE / "request.schema.json").read_text(encoding="utf-8"))
    assert compile_schema(schema).first_problem(json.loads(body[1])["input"]) == ""


def test_every_word_of_the_makefile_is_in_contributing() -> None:
    words = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    told = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    bench = [word for word in words if word.startswith("bench-")]
    assert len(words) > 12
    missing = [word for word in words if f"`make {word}`" not in told]
    assert [word for word in missing if word not in bench or f"`{word}`" not in told] == []


def test_every_state_of_the_console_is_in_the_glossary() -> None:
    glossary = reference("glossary.md")
    assert len(WORDS) == 5
    assert [word for word in WORDS.values() if f"| {word.lower()} |" not in glossary] == []


def test_what_editors_complete_is_what_comes_with_the_package() -> None:
    doors = PROJECT["project"]["entry-points"]
    assert set(KINDS) == doors["roadworthy.models"].keys()
    assert set(GUARDS) == doors["roadworthy.guards"].keys()


# Whether it holds together.


def anchors(text: str) -> set[str]:
    """Return what the headings of a page are reached by."""
    titles = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), re.M)
    plain = (re.sub(r"[^\w\- ]", "", title.replace("`", "")) for title in titles)
    return {title.lower().replace(" ", "-") for title in plain}


@pytest.mark.parametrize("page", ALL, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    broken = []
    for target in re.findall(
        r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    ):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        if not path.exists() or (anchor and anchor not in anchors(path.read_text("utf-8"))):
            broken.append(target)
    assert broken == []


PICTURES = sorted((DOCS / "images").glob("*.png"))


@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.name)
def test_a_picture_is_small_and_shown_on_a_page(picture: Path) -> None:
    assert picture.stat().st_size < 250_000
    text = "".join(page.read_text(encoding="utf-8") for page in ALL)
    assert f"images/{picture.name}" in text


def test_pictures_of_the_readme_are_there_in_light_and_dark() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r'(?:srcset|src)="([^"]+)"', text)
    assert len(shown) == 2 * text.count("<picture>") > 0
    assert [path for path in shown if not (ROOT / path).is_file()] == []


def test_every_page_is_reached_from_the_index() -> None:
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    linked = {(DOCS / target).resolve() for target in re.findall(r"\]\(([^)#]+)", index)}
    assert sorted(set(DOCS.rglob("*.md")) - linked - {DOCS / "index.md"}) == []


BLOCKS = [block for page in ALL for block in blocks_of(page)]


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.file], ids=str)
def test_a_file_is_named_in_words_before_it(block: Block) -> None:
    lines = (ROOT / block.page).read_text(encoding="utf-8").splitlines()[: block.line - 1]
    before = "\n".join(lines).rstrip().rpartition("\n\n")[2]
    assert f"`{block.file}`" in before


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "python"], ids=str)
def test_python_parses(block: Block) -> None:
    assert ast.parse(block.text, str(block)).body


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "toml"], ids=str)
def test_toml_parses(block: Block) -> None:
    assert tomllib.loads(block.text)


@pytest.mark.parametrize(
    "block", [b for b in BLOCKS if b.language == "json" and not b.file.endswith(".jsonl")], ids=str
)
def test_json_parses(block: Block) -> None:
    assert json.loads(block.text)


SERVICES = [
    block
    for block in BLOCKS
    if block.language == "toml"
    and {"name", "kind", "models"} <= tomllib.loads(block.text).keys()
    and block.page != "docs/reference/declaration.md"  # tests/declare loads those
]


@pytest.mark.parametrize("block", SERVICES, ids=str)
def test_services_that_pages_show_load(block: Block, tmp_path: Path) -> None:
    declared = tomllib.loads(block.text)
    folder = tmp_path / "services" / declared["name"]
    folder.mkdir(parents=True)
    (folder / "service.toml").write_text(block.text, encoding="utf-8")
    for other in blocks_of(ROOT / block.page):
        if other.file.startswith(f"services/{declared['name']}/"):
            (tmp_path / other.file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / other.file).write_text(other.text, encoding="utf-8")
    for path in EXAMPLE.glob("*.json") if block.page == "README.md" else ():
        (folder / path.name).write_bytes(path.read_bytes())
    if block.page == "README.md":
        shutil.copytree(EXAMPLE.parents[1] / "features", tmp_path / "features")
    (folder / "model.onnx").touch()
    written = folder / declared.get("contract", {}).get("input", "")
    if not written.exists():  # a script of the page writes it
        written.write_text('{"type": "object"}', encoding="utf-8")
    (tmp_path / "roadworthy.toml").write_text(_project_for(declared), encoding="utf-8")
    service = load_service(folder, load_project(tmp_path), ENFORCES)
    assert service.name == declared["name"]


def _project_for(declared: dict[str, Any]) -> str:
    """Return a roadworthy.toml with the providers that a service names."""
    lines = ["[project]", 'name = "trial"']
    models = {m["provider"]: m["model"] for m in declared["models"] if m["provider"] != "local"}
    for provider, model in models.items():
        endings = {".onnx": "onnx", ".jsonl": "scripted"}
        kind = endings.get(Path(model).suffix, "python" if ":" in model else "openai")
        kind = "rule" if provider == "rules" else kind
        lines += [f"[providers.{provider}]", f'kind = "{kind}"']
        lines += ['base_url = "http://127.0.0.1:9/v1"'] if kind == "openai" else []
    if queue := declared.get("review", {}).get("queue"):
        lines += [f"[queues.{queue}]", 'owner = "Ada"']
    return "\n".join(lines)


def typed() -> Iterator[tuple[str, list[str]]]:
    """Yield the words of every call of the command line that a page shows, with its place."""
    for page in [*ALL, ROOT / "examples/airline/README.md", SOURCE / "cli/templates/README.md"]:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        lines = re.findall(r"(?:^|\$\()roadworthy (.+)", "".join(blocks), re.MULTILINE)
        lines += re.findall(
            r"`roadworthy ([^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
        )
        for line in lines:
            yield page.name, re.split(r" [|&>#]|\)", line.replace("…", "..."))[0].split()


def test_commands_that_pages_show_exist_with_their_options() -> None:
    wrong = []
    calls = list(typed())
    for place, words in calls:
        known: click.Command | None = cli
        context = click.Context(cli)
        rest = iter(words)
        while isinstance(known, click.Group):
            known = known.get_command(context, next(rest, ""))
        options = {word.partition("=")[0] for word in rest if word.startswith("--")}
        if known is None and words not in (["release"], ["jobs"], ["keys"]):
            wrong.append((place, words))
        elif known is not None:
            unknown = options - options_of(known) - {"--help"}
            wrong += [(place, [*words[:2], option]) for option in sorted(unknown)]
    assert len(calls) > 60
    assert wrong == []
