from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from declare_files import EIGHT_LINES, ENFORCES, PROJECT, write_project, write_service

from roadworthy.declare.json_schema import project_schema, service_schema
from roadworthy.declare.load import load_service
from roadworthy.declare.project import KINDS, ProjectDeclaration
from roadworthy.declare.schemas import compile_schema
from roadworthy.declare.service import GUARDS, ServiceDeclaration
from roadworthy.errors import DeclarationError
from roadworthy.types import Problem

NEVER_RUN = "raise RuntimeError('a declaration only names a plugin')"
SHOUT = '[providers.shout]\nkind = "shout"\n'
SMALL = '[project]\nname = "test"\n'
POLITE = """
[[guards]]
use = "polite"
on = "input"
verdict = "deny"
fail = "open"
expression = "more than three words"
schema = "manners.txt"
"""

Install = Callable[[str, str, str], None]


@pytest.fixture
def shout(install_plugin: Install) -> None:
    install_plugin("models", "shout", NEVER_RUN)


def project_problem(folder: Path, text: str) -> Problem:
    with pytest.raises(DeclarationError) as caught:
        write_project(folder, text)
    (problem,) = caught.value.problems
    return problem


def load(project: ProjectDeclaration, text: str) -> ServiceDeclaration:
    return load_service(write_service(project.folder, text), project, ENFORCES)


@pytest.mark.usefixtures("shout")
def test_a_provider_may_be_of_an_installed_kind(tmp_path: Path) -> None:
    project = write_project(tmp_path, PROJECT + SHOUT)
    assert project.providers["shout"].kind == "shout"
    service = load(project, EIGHT_LINES.replace('"upstream"', '"shout"').replace("gpt-5", "loud"))
    assert service.models[0].model.startswith("loud")


@pytest.mark.usefixtures("shout")
def test_a_kind_that_nobody_installed_is_refused_with_those_there_are(tmp_path: Path) -> None:
    problem = project_problem(tmp_path, SMALL + SHOUT.replace('"shout"', '"shuot"'))
    assert problem.path == "providers.shout.kind"
    assert problem.expected == (
        "`openai`, `anthropic`, `gemini`, `onnx`, `llama_cpp`, `python`, `rule`, `scripted`, "
        "`builtin` or `shout`"
    )
    assert (problem.got, problem.advice) == ("`shuot`", "did you mean `shout`?")


def test_a_plugin_that_is_missing_is_to_be_installed(tmp_path: Path) -> None:
    problem = project_problem(tmp_path, SMALL + SHOUT)
    assert "`shout`" not in problem.expected
    assert problem.advice == "install the package that brings it"


@pytest.mark.usefixtures("shout")
def test_what_a_plugin_costs_is_unknown_so_it_needs_a_ceiling(tmp_path: Path) -> None:
    project = write_project(tmp_path, PROJECT + SHOUT)
    assert project.providers["shout"].is_priced
    text = EIGHT_LINES.replace('"upstream"', '"shout"').replace(
        "cost.per_day_usd = 20", "cost = {}"
    )
    with pytest.raises(DeclarationError, match="provider `shout` charges"):
        load(project, text)


@pytest.mark.usefixtures("shout")
def test_a_plugin_may_be_reached_somewhere_but_not_in_the_open(tmp_path: Path) -> None:
    keys = 'base_url = "https://api.example.com"\napi_key_env = "SHOUT_KEY"\nmax_connections = 3\n'
    shout = write_project(tmp_path, SMALL + SHOUT + keys).providers["shout"]
    assert (shout.base_url, shout.max_connections) == ("https://api.example.com", 3)
    problem = project_problem(tmp_path, SMALL + SHOUT + keys.replace("https", "http"))
    assert problem.path == "providers.shout.base_url"


def test_a_guard_of_a_plugin_reads_its_keys_as_it_likes(
    tmp_path: Path, install_plugin: Install
) -> None:
    install_plugin("guards", "polite", NEVER_RUN)
    service = load(write_project(tmp_path), EIGHT_LINES + POLITE)
    (guard,) = service.guards
    assert (guard.use, guard.name, guard.schema_file) == ("polite", "polite", "manners.txt")
    assert service.files == ()


def test_a_guard_that_nobody_installed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError) as caught:
        load(write_project(tmp_path), EIGHT_LINES + POLITE)
    (problem,) = caught.value.problems
    assert (problem.path, problem.expected) == (
        "guards[0].use",
        "`schema`, `rule` or `grounded`",
    )


def test_an_editor_completes_what_is_built_in_and_accepts_what_is_not() -> None:
    project, service = project_schema(), service_schema()
    known, other = project["$defs"]["Provider"]["properties"]["kind"]["anyOf"]
    assert (tuple(known["enum"]), other["type"]) == (KINDS, "string")
    known, other = service["$defs"]["GuardEntry"]["properties"]["use"]["anyOf"]
    assert (tuple(known["enum"]), other["type"]) == (GUARDS, "string")
    check = compile_schema(project)
    assert check.is_valid({"project": {"name": "x"}, "providers": {"s": {"kind": "shout"}}})
    assert not check.is_valid({"project": {"name": "x"}, "providers": {"s": {"kind": 3}}})
