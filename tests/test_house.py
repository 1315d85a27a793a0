"""The house keeps its own rules: what a reviewer would otherwise have to check by eye."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import roadworthy
from roadworthy import errors
from roadworthy.app import ENFORCES
from roadworthy.declare.keys import DESCRIPTIVE, known_keys
from roadworthy.declare.planned import SERVICE_KEYS
from roadworthy.declare.project import ProjectDeclaration
from roadworthy.declare.service import ServiceDeclaration

SOURCE = Path(roadworthy.__file__).parent
TESTS = Path(__file__).parent
ROOMS = sorted(path.parent.name for path in SOURCE.glob("*/__init__.py"))

MOST_LINES_OF_A_FUNCTION = 60
MOST_LINES_OF_A_FILE = 600
MOST_BROAD_EXCEPTS = 0.5
"""Per 1000 lines. The aim is 0.5: of those there are, five are plugin calls on either side of a
process, which no room can spare."""

LOADED_BY_NAME = {"__init__.py", "cli/__init__.py"}
"""Where the package imports itself by name, so that a command or an import costs little."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def modules() -> dict[str, ast.Module]:
    """Return every module of the package by its path."""
    return {
        path.relative_to(SOURCE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(SOURCE.rglob("*.py"))
    }


def text_of(name: str) -> list[str]:
    return (SOURCE / name).read_text(encoding="utf-8").splitlines()


def functions() -> Iterator[tuple[str, Function]]:
    """Yield every function with where it stands."""
    for name, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, Function):
                yield f"{name}:{node.lineno} {node.name}", node


def lines_of(node: Function) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def error_tree(cls: type[Exception], depth: int = 0) -> Iterator[tuple[int, str]]:
    yield depth, cls.__name__
    for child in cls.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from error_tree(child, depth + 1)


def test_the_error_tree_in_the_docstring_is_the_real_one() -> None:
    bullets = "*x+-"
    drawn = [
        (bullets.index(found[1]), found[2])
        for line in (errors.__doc__ or "").splitlines()
        if (found := re.fullmatch(r" *([*x+-]) (\w+)", line))
    ]
    assert drawn == list(error_tree(errors.RoadworthyError))


def test_error_codes_are_unique() -> None:
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.RoadworthyError)
    ]
    assert len({kind.code for kind in kinds}) == len(kinds)
    assert len(kinds) <= 26


def test_no_function_is_longer_than_a_screen() -> None:
    found = [where for where, node in functions() if lines_of(node) > MOST_LINES_OF_A_FUNCTION]
    assert found == []


def test_no_file_is_longer_than_600_lines() -> None:
    found = [name for name in modules() if len(text_of(name)) > MOST_LINES_OF_A_FILE]
    assert found == []


def test_no_function_imports_the_package_itself() -> None:
    found = [
        where
        for where, node in functions()
        for inner in ast.walk(node)
        if (isinstance(inner, ast.ImportFrom) and inner.level)
        or (isinstance(inner, ast.Import | ast.ImportFrom) and "roadworthy" in ast.unparse(inner))
    ]
    assert found == []


def test_the_package_is_imported_by_name_in_two_places_only() -> None:
    found = {
        name
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).endswith("import_module")
        and "roadworthy" in ast.unparse(node)
    }
    assert found == LOADED_BY_NAME


def broad_excepts() -> Iterator[tuple[str, int, ast.ExceptHandler]]:
    """Yield every handler of whatever there is that does not raise again."""
    for name, tree in modules().items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.ExceptHandler) or any(
                isinstance(inner, ast.Raise) for inner in ast.walk(node)
            ):
                continue
            caught = ast.unparse(node.type) if node.type else "BaseException"
            if re.search(r"\b(Base)?Exception\b", caught):
                yield name, node.lineno, node


def test_whoever_catches_everything_says_why() -> None:
    found = [
        f"{name}:{line}"
        for name, line, node in broad_excepts()
        if "#" not in text_of(name)[line - 1] and ".exception(" not in ast.unparse(node)
    ]
    assert found == []


def test_no_error_is_passed_over() -> None:
    found = [
        f"{name}:{node.lineno}"
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler) and isinstance(node.body[0], ast.Pass)
    ]
    assert found == []


def test_everything_public_has_a_docstring() -> None:
    found = [
        f"{name}:{getattr(node, 'lineno', 1)}"
        for name, tree in modules().items()
        if not name.startswith("store/migrations/versions/v")
        for node in public(tree)
        if ast.get_docstring(node) is None
    ]
    assert found == []


def public(tree: ast.Module) -> Iterator[ast.Module | ast.ClassDef | Function]:
    """Yield a module and its public classes, functions and methods."""
    yield tree
    for node in tree.body:
        if isinstance(node, ast.ClassDef | Function) and not node.name.startswith("_"):
            yield node
            inner = node.body if isinstance(node, ast.ClassDef) else []
            yield from (n for n in inner if isinstance(n, Function) and n.name[0] != "_")


def test_every_function_says_its_types() -> None:
    found = [
        where
        for where, node in functions()
        if node.returns is None
        or any(
            argument.annotation is None
            for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
            if argument.arg not in ("self", "cls")
        )
    ]
    assert found == []


def test_no_prints_outside_the_command_line() -> None:
    found = [
        f"{name}:{node.lineno}"
        for name, tree in modules().items()
        if not name.startswith("cli/")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
    ]
    assert found == []


def test_nothing_is_left_to_do() -> None:
    found = [
        f"{name}:{number}"
        for name in modules()
        for number, line in enumerate(text_of(name), start=1)
        if re.search(r"\b(TODO|FIXME|HACK)\b", line)
    ]
    assert found == []


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_a_doorplate_of_one_sentence(room: str) -> None:
    plate = ast.get_docstring(modules()[f"{room}/__init__.py"]) or ""
    assert plate.count("\n\n") == 0
    assert plate.endswith(".")


def test_what_a_room_claims_to_enforce_it_enforces_in_a_file_of_its_own() -> None:
    claims = {
        room: importlib.import_module(f"roadworthy.{room}").ENFORCES
        for room in ROOMS
        if "ENFORCES" in inspect.getsource(importlib.import_module(f"roadworthy.{room}"))
        and room != "app"
    }
    wrong = [
        f"{room}: {key} -> {where}"
        for room, enforces in claims.items()
        for key, where in enforces.items()
        if not where.startswith(f"{room}/") or where not in modules()
    ]
    assert wrong == []
    assert {key for enforces in claims.values() for key in enforces} == set(ENFORCES)


def test_no_two_rooms_claim_the_same_key() -> None:
    rooms = [importlib.import_module(f"roadworthy.{room}") for room in ROOMS if room != "app"]
    keys = [key for room in rooms for key in getattr(room, "ENFORCES", ())]
    assert len(keys) == len(set(keys))


def test_every_known_key_is_enforced_or_descriptive() -> None:
    known = set(known_keys(ServiceDeclaration))
    assert known - set(ENFORCES) - SERVICE_KEYS == set(DESCRIPTIVE)
    assert SERVICE_KEYS.isdisjoint(ENFORCES)


def test_every_key_of_a_volume_is_enforced() -> None:
    volumes = {key for key in known_keys(ProjectDeclaration) if key.startswith("sources.volume.")}
    assert len(volumes) == 6
    assert volumes <= ENFORCES.keys()


def test_nothing_is_enforced_that_no_file_can_say() -> None:
    known = {*known_keys(ServiceDeclaration), *known_keys(ProjectDeclaration)}
    tables = {key.rpartition(".")[0] for key in known}
    assert set(ENFORCES) - known - tables == set()


def test_the_yardstick(capsys: pytest.CaptureFixture[str]) -> None:
    lengths = sorted(lines_of(node) for _, node in functions())
    source = sum(len(text_of(name)) for name in modules())
    tests = sum(len(path.read_text("utf-8").splitlines()) for path in TESTS.rglob("*.py"))
    broad = 1000 * len(list(broad_excepts())) / source
    percentile = lengths[len(lengths) * 99 // 100]
    facts = {
        "lines": source,
        "functions": len(lengths),
        "p99 of their lines": percentile,
        "longest": lengths[-1],
        "longest file": max(len(text_of(name)) for name in modules()),
        "broad excepts per 1000 lines": round(broad, 2),
        "lines of tests per line": round(tests / source, 2),
    }
    with capsys.disabled():
        sys.stdout.write(f"\nyardstick: {facts}\n")
    assert percentile <= MOST_LINES_OF_A_FUNCTION
    assert broad <= MOST_BROAD_EXCEPTS
