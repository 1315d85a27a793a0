"""Writes the generated parts of errors, http-api, metrics and records; tests compare them.

A generated part stands between `<!-- generated: NAME -->` and `<!-- end -->`; the rest of a page is
written by hand.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from make_record_words import ATTEMPT, HOLD, OUTCOME, PASSAGE, RECORD, VERDICT

import roadworthy
from roadworthy import errors
from roadworthy.observe.metrics import Metrics
from roadworthy.types import Attempt, Hold, Outcome, PassageFound, Record, Verdict
from roadworthy.web.api import route_table

REFERENCE = Path(__file__).parent / "reference"
SOURCE = Path(roadworthy.__file__).parent


def error_classes(cls: type[errors.RoadworthyError]) -> Iterator[type[errors.RoadworthyError]]:
    """Yield an error and all below it, in the order of the file."""
    yield cls
    for child in cls.__subclasses__():
        yield from error_classes(child)


def errors_table() -> str:
    """Return what every error of the tree means to a caller."""
    rows = ["| code | status | retryable | class | meaning |", "|---|---|---|---|---|"]
    for cls in error_classes(errors.RoadworthyError):
        is_retryable = "yes" if cls.retryable else "no"
        rows.append(
            f"| `{cls.code}` | {cls.status} | {is_retryable} | `{cls.__name__}` | {_meaning(cls)} |"
        )
    return "\n".join(rows)


def _meaning(cls: type[errors.RoadworthyError]) -> str:
    if cls is errors.RoadworthyError:
        return "Something failed inside. As a class: the base of all."
    return _first_line(cls)


def _first_line(thing: object) -> str:
    return (inspect.getdoc(thing) or "").partition("\n")[0].replace("|", "\\|")


def control_routes() -> str:
    """Return every route of the control plane."""
    rows = ["| route | scope | |", "|---|---|---|"]
    rows += [
        f"| `{route.method} {route.path}` | `{route.scope}` | {_first_line(route.handler)} |"
        for route in route_table()
    ]
    return "\n".join(rows)


def metrics_table() -> str:
    """Return every metric: counters and the histogram of `observe`, gauges of `app`."""
    labels = {c.name: c.labels for c in vars(Metrics()).values() if hasattr(c, "labels")}
    rows = ["| metric | type | labels | what it counts |", "|---|---|---|---|"]
    page = Metrics().render().decode()
    for name, text in re.findall(r"^# HELP (\S+) (.+)$", page, re.MULTILINE):
        kind = re.search(rf"^# TYPE {name} (\w+)$", page, re.MULTILINE)
        assert kind is not None, name
        rows.append(_metric(name, kind[1], labels.get(name, ("service",)), text))
    rows += [_metric(name, "gauge", label, text) for name, text, label in _gauges()]
    return "\n".join(rows)


def _metric(name: str, kind: str, labels: tuple[str, ...], text: str) -> str:
    return f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {text} |"


def _gauges() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield the gauges that the assembly adds, as its source names them."""
    tree = ast.parse((SOURCE / "app" / "gauges.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or len(node.args) < 3:
            continue
        texts = [arg.value for arg in node.args[:2] if isinstance(arg, ast.Constant)]
        if len(texts) == 2 and str(texts[0]).startswith("roadworthy_"):
            label = [k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)]
            yield str(texts[0]), str(texts[1]), tuple(map(str, label))


def fields_of(struct: type[msgspec.Struct], words: Mapping[str, str]) -> str:
    """Return the fields of a struct, each with what it holds and its unit."""
    rows = ["| field | type | what it holds |", "|---|---|---|"]
    fields = msgspec.structs.fields(struct)
    names = [field.name for field in fields]
    assert names == list(words), f"{struct.__name__}: {set(names) ^ set(words) or 'the order'}"
    rows += [f"| `{f.name}` | {_type(f.type)} | {words[f.name]} |" for f in fields]
    return "\n".join(rows)


def _type(kind: Any) -> str:
    """Return a type in words: `text`, `whole number`, `list of texts`."""
    plain = {
        str: "text",
        int: "whole number",
        float: "number",
        bool: "true or false",
        bytes: "JSON",
        Any: "any JSON",
    }
    if kind in plain:
        return plain[kind]
    arguments = getattr(kind, "__args__", ())
    if type(None) in arguments:
        inner = next(a for a in arguments if a is not type(None))
        return f"{_type(inner)}, or null"
    origin = getattr(kind, "__origin__", None)
    if origin is tuple:
        inner = arguments[0]
        return f"list of {_type(inner)}s" if inner is str else f"list of `{inner.__name__}`s"
    if origin is dict:
        return f"{_type(arguments[1])} by name" if arguments[1] is not Any else "table"
    if all(isinstance(argument, str) for argument in arguments) and arguments:
        return " or ".join(f"`{word}`" for word in arguments)
    return f"`{kind.__name__}`"


PARTS: Mapping[str, Callable[[], str]] = {
    "errors": errors_table,
    "control routes": control_routes,
    "metrics": metrics_table,
    "record": lambda: fields_of(Record, RECORD),
    "attempt": lambda: fields_of(Attempt, ATTEMPT),
    "verdict": lambda: fields_of(Verdict, VERDICT),
    "passage": lambda: fields_of(PassageFound, PASSAGE),
    "outcome": lambda: fields_of(Outcome, OUTCOME),
    "hold": lambda: fields_of(Hold, HOLD),
}
"""Name of a generated part → what writes it."""

PAGES = tuple(REFERENCE / name for name in ("errors.md", "http-api.md", "metrics.md", "records.md"))


def renewed(text: str) -> str:
    """Return a page with every generated part as it is now."""

    def part(match: re.Match[str]) -> str:
        return f"{match[1]}\n{PARTS[match[2]]()}\n{match[3]}"

    return re.sub(r"(<!-- generated: ([^>]+) -->).*?(<!-- end -->)", part, text, flags=re.DOTALL)


def main() -> None:
    """Write every page anew."""
    for path in PAGES:
        path.write_text(renewed(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
