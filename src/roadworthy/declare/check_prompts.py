"""What a prompt says of itself, held against the contract; and schemas that nothing can keep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import DeclarationError
from .check_context import names_for_prompt
from .check_rules import schema_of
from .files import Findings, check_file
from .project import ProjectDeclaration
from .prompt_matter import Input, Matter, same_schema
from .prompts import Prompt, PromptError, split_matter
from .schemas import SchemaCheck, SchemaError, compile_schema, open_schema, read_schema
from .service import ServiceDeclaration
from .source import Finding

_RANGES = (
    ("minimum", "maximum"),
    ("minLength", "maxLength"),
    ("minItems", "maxItems"),
    ("minProperties", "maxProperties"),
)
_DEPTH = 12


def open_prompt(service: ServiceDeclaration, folder: Path) -> Prompt | None:
    """Return the prompt of a service whose files lie in `folder`; None where none is declared.

    Raises:
        DeclarationError: The file is missing or is no prompt.
    """
    if service.prompt is None:
        return None
    try:
        text = (folder / service.prompt.file).read_bytes().decode()
        return Prompt(text, names_for_prompt(service))
    except (OSError, UnicodeDecodeError, PromptError) as error:
        raise DeclarationError(f"prompt.file: {error}") from error


def matter_of(service: ServiceDeclaration, folder: Path) -> Matter | None:
    """Return what the prompt says of itself; None where it says nothing that can be read."""
    if service.prompt is None:
        return None
    try:
        return split_matter((folder / service.prompt.file).read_text(encoding="utf-8"))[0]
    except (OSError, UnicodeDecodeError, PromptError):
        return None


def open_output(service: ServiceDeclaration, folder: Path) -> SchemaCheck | None:
    """Return the check of the answers: of `contract.output`, else of what the prompt says.

    Raises:
        DeclarationError: The file is missing or holds no usable schema.
    """
    matter = matter_of(service, folder)
    said = None if matter is None else matter.output
    if service.contract.output is not None or said is None:
        return open_schema(folder, service.contract.output, "output")
    if isinstance(said, str):
        return open_schema(folder, said, "output")
    try:
        return compile_schema(said, "output")
    except SchemaError as error:
        raise DeclarationError(f"prompt.file: `output`: {error}") from error


def prompt_files(service: ServiceDeclaration) -> tuple[str, ...]:
    """Return the files that a prompt names, relative to the service's folder."""
    matter = matter_of(service, service.folder)
    return (matter.output,) if matter is not None and isinstance(matter.output, str) else ()


def inputs_fit_the_contract(service: ServiceDeclaration, project: ProjectDeclaration) -> Findings:
    """A prompt asks for nothing that the contract does not give it, in a type that it takes."""
    matter = matter_of(service, service.folder)
    if matter is None or service.prompt is None or not service.contract.input:
        return
    schema = schema_of(service, project, service.contract.input)
    fields = None if schema is None else schema.schema.get("properties")
    if schema is None or not isinstance(fields, Mapping):
        return
    needed = schema.schema.get("required", ())
    for one in matter.inputs.values():
        where = f"input `{one.name}` of {service.prompt.file}"
        if one.name not in fields:
            known = ", ".join(f"`{name}`" for name in fields) or "none"
            expected = f"inputs that {service.contract.input} has ({known})"
            yield Finding("prompt.file", expected, f"`{one.name}` in {service.prompt.file}")
        elif problem := _misfit(one, fields[one.name]):
            yield Finding("prompt.file", f"{where} as {problem[0]}", problem[1])
        elif not one.is_optional and one.name not in needed:
            advice = f"require it in {service.contract.input}, or write `?` behind its type"
            yield Finding("prompt.file", f"{where} always there", "one that may be absent", advice)


def _misfit(one: Input, given: Any) -> tuple[str, str] | None:
    """Return what the contract gives and what the prompt takes, where these differ."""
    if not isinstance(given, Mapping):
        return None
    takes, choices = _taken(one.schema), one.schema.get("enum")
    gives = given.get("type", ())
    gives = {gives} if isinstance(gives, str) else set(gives)
    if choices is not None:
        other = [value for value in given.get("enum", ()) if value not in choices]
        if other or "enum" not in given:
            shown = "other choices" if other else " or ".join(sorted(gives)) or "any value"
            return f"one of its {len(choices)} choices", f"{shown} in the contract"
        return None
    if gives and not gives <= takes:
        return f"{' or '.join(sorted(gives))}, as the contract has it", " or ".join(sorted(takes))
    return None


def _taken(schema: Mapping[str, Any]) -> set[str]:
    found: set[str] = set()
    for part in schema.get("anyOf", (schema,)):
        found.add(part.get("type", ""))
    return found | ({"integer"} if "number" in found else set())


def output_is_one(service: ServiceDeclaration, project: ProjectDeclaration) -> Findings:
    """Contract and prompt promise the same answers, and some answer keeps the schema."""
    matter = matter_of(service, service.folder)
    said = None if matter is None else matter.output
    problems = check_file(service, project, "prompt.file", said) if isinstance(said, str) else ()
    if found := list(problems):
        yield from found
        return
    own = contract = None
    try:
        own = read_schema(service.folder / said) if isinstance(said, str) else said
        if own is not None:
            compile_schema(own, "output")
    except (SchemaError, DeclarationError) as error:
        yield Finding("prompt.file", "a JSON Schema as `output`", str(error))
        return
    if service.contract.output and (check := schema_of(service, project, service.contract.output)):
        contract = check.schema
    if own is not None and contract is not None and not same_schema(own, contract):
        yield Finding(
            "prompt.file",
            f"the schema of {service.contract.output} as `output`",
            "another one",
            "leave it out in the prompt: the contract counts",
        )
    for path, schema in (("prompt.file", own), ("contract.output", contract)):
        if schema is not None and (why := why_nothing_keeps(schema)):
            yield Finding(path, "a schema that some answer keeps", why)


def why_nothing_keeps(schema: Any) -> str:
    """Return why no value can keep a schema, where that is plain to see; else an empty string.

    >>> why_nothing_keeps({"type": "object", "properties": {"a": {"minimum": 3, "maximum": 2}},
    ...                    "required": ["a"]})
    '`a`: `minimum` 3 above `maximum` 2'
    """
    return next(_contradictions(schema, schema, 0), "")


def _contradictions(schema: Any, root: Any, depth: int) -> Iterator[str]:
    if schema is False:
        yield "`false`, which nothing keeps"
    if not isinstance(schema, Mapping) or depth > _DEPTH:
        return
    if schema.get("enum") == []:
        yield "an `enum` without values"
    yield from _ranges(schema)
    if (schema.get("type") or "object") == "object" and "properties" in schema:
        yield from _fields(schema, root, depth)
    for part in schema.get("allOf", ()):
        yield from _contradictions(part, root, depth + 1)
    for key in ("anyOf", "oneOf"):
        shapes = schema.get(key, ())
        if shapes and all(any(_contradictions(one, root, depth + 1)) for one in shapes):
            yield f"`{key}` whose shapes nothing keeps"
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/$defs/"):
        target = root.get("$defs", {}).get(reference.removeprefix("#/$defs/"))
        yield from _contradictions(target, root, depth + 1)


def _ranges(schema: Mapping[str, Any]) -> Iterator[str]:
    kinds = {"minimum": "number", "minLength": "string", "minItems": "array"}
    types = schema.get("type")
    for low, high in _RANGES:
        least, most = schema.get(low), schema.get(high)
        fits = types in (kinds.get(low, "object"), "integer" if low == "minimum" else None)
        is_alone = types is None and low == "minimum"
        if least is not None and most is not None and least > most and (fits or is_alone):
            yield f"`{low}` {least} above `{high}` {most}"


def _fields(schema: Mapping[str, Any], root: Any, depth: int) -> Iterator[str]:
    """Yield why a field that must be there cannot be."""
    fields = schema.get("properties", {})
    is_closed = schema.get("additionalProperties") is False and "patternProperties" not in schema
    for name in schema.get("required", ()):
        if name not in fields:
            if is_closed:
                yield f"`{name}`: required, and not among the only fields that may be there"
            continue
        for why in _contradictions(fields[name], root, depth + 1):
            yield f"`{name}`: {why}"


PROMPT_CHECKS = (
    (inputs_fit_the_contract, ("prompt", "contract.input")),
    (output_is_one, ("prompt", "contract.output")),
)
"""Every check, with the parts that must be sound for it to say anything."""
