"""Writes the generated parts of the pages about declarations; tests compare them with the code.

A generated part stands between `<!-- generated: NAME -->` and `<!-- end -->`; the rest of a page is
written by hand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from roadworthy.declare.expressions import FUNCTIONS, MACROS, PLACES
from roadworthy.declare.json_schema import project_schema, service_schema
from roadworthy.declare.planned import PROJECT_KEYS, SERVICE_KEYS, VALUES

REFERENCE = Path(__file__).parent / "reference"
PAGES = (REFERENCE / "declaration.md", REFERENCE / "expressions.md")
Schema = dict[str, Any]


def keys_of(schema: Schema) -> str:
    """Return a table of every key of a file."""
    rows = ["| key | value | default | meaning |", "|---|---|---|---|"]
    for path, node, is_required in _rows(schema, schema, ""):
        default = "**required**" if is_required else _default(node)
        rows.append(f"| `{path}` | {_value(node)} | {default} | {_text(node)} |")
    return "\n".join(rows)


def _rows(schema: Schema, table: Schema, path: str) -> Iterator[tuple[str, Schema, bool]]:
    for name, node in table["properties"].items():
        here = f"{path}{name}"
        target, ending = _table_in(node)
        inner = schema["$defs"].get(target)
        if inner is None:
            yield here, node, name in table.get("required", ())
        else:
            yield from _rows(schema, inner, f"{here}{ending}.")


def _table_in(node: Schema) -> tuple[str, str]:
    """Return which table a key holds, and how its members are written."""
    named = [*node.get("patternProperties", {}).values(), node.get("additionalProperties")]
    for inner, ending in ((node, ""), (node.get("items"), "[]"), (named[0], ".<name>")):
        if isinstance(inner, dict) and "$ref" in inner:
            return inner["$ref"].rpartition("/")[2], ending
    return "", ""


def _value(node: Schema) -> str:
    if "enum" in node:
        return " or ".join(f"`{word}`" for word in node["enum"])
    if "anyOf" in node:
        return " or ".join(map(_value, node["anyOf"]))
    if "const" in node:
        return f"`{node['const']}`"
    if node["type"] == "array":
        return f"list of {_value(node['items'])}s"
    kind = str(node["type"])
    words = {"string": "text", "object": "table", "boolean": "`true` or `false`"}
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {node[name]}" for name, sign in signs.items() if name in node]
    return " ".join([words.get(kind, kind), ", ".join(bounds)]).strip()


def _default(node: Schema) -> str:
    if node.get("default") in (None, [], {}, ""):
        return ""
    value = node["default"]
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _text(node: Schema) -> str:
    return str(node["description"]).partition("\n")[0].replace("|", "\\|")


def reserved() -> str:
    """Return the keys and values that are refused because nothing keeps them yet."""
    tables: dict[str, list[str]] = {}
    for key in sorted(SERVICE_KEYS):
        table, _, name = key.rpartition(".")
        tables.setdefault(table, []).append(f"`{name}`")
    lines = [f"- `[{table}]`: {', '.join(names)}" for table, names in tables.items()]
    tables_of_project = ", ".join(f"`[{name}]`" for name in sorted(PROJECT_KEYS))
    lines.append(f"- in roadworthy.toml: {tables_of_project}")
    for key, values in VALUES.items():
        words = ", ".join(f"`{value}{'…' if value.endswith('://') else ''}`" for value in values)
        lines.append(f"- values of `{key}`: {words}")
    return "\n".join(lines)


def places() -> str:
    """Return which names an expression may use where."""
    names = {name: text for place in PLACES.values() for name, text in place.items()}
    head = "| name | what it holds | " + " | ".join(f"`{place}`" for place in PLACES) + " |"
    rows = [head, "|---|---|" + "---|" * len(PLACES)]
    for name, text in names.items():
        marks = " | ".join("yes" if name in PLACES[place] else "" for place in PLACES)
        rows.append(f"| `{name}` | {text} | {marks} |")
    return "\n".join(rows)


def functions() -> str:
    """Return what an expression may call."""
    return "\n".join(f"- {text}" for text in (*FUNCTIONS.values(), *MACROS.values()))


PARTS: Mapping[str, Callable[[], str]] = {
    "service keys": lambda: keys_of(service_schema()),
    "project keys": lambda: keys_of(project_schema()),
    "reserved": reserved,
    "places": places,
    "functions": functions,
}
"""Name of a generated part → what writes it."""


def renewed(text: str) -> str:
    """Return a page with every generated part as it is now."""

    def part(match: re.Match[str]) -> str:
        return f"{match[1]}\n{PARTS[match[2]]()}\n{match[3]}"

    return re.sub(r"(<!-- generated: ([^>]+) -->).*?(<!-- end -->)", part, text, flags=re.DOTALL)


def main() -> None:
    """Write every page about declarations anew."""
    for path in PAGES:
        path.write_text(renewed(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
