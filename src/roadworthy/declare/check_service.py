"""What the parts of a service file promise together: each check yields what does not fit."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from ..errors import DeclarationError
from .check_budgets import BUDGET_CHECKS
from .check_caching import CACHING_CHECKS
from .check_context import BUILTINS, CONTEXT_CHECKS, page_names
from .check_cost import COST_CHECKS
from .check_data import DATA_CHECKS
from .check_evaluation import EVALUATION_CHECKS
from .check_failover import FAILOVER_CHECKS
from .check_prompts import PROMPT_CHECKS, prompt_files
from .check_release import RELEASE_CHECKS
from .check_review import REVIEW_CHECKS
from .check_routing import ROUTING_CHECKS
from .check_rules import check_expression, check_rule, rules_read_what_can_be_there, schema_of
from .check_tokens import TOKEN_CHECKS
from .files import Findings, check_file
from .planned import is_reserved_value
from .project import ProjectDeclaration, Provider
from .schemas import SchemaError, compile_schema, read_schema, split_table
from .service import GuardEntry, ModelEntry, Rung, ServiceDeclaration
from .source import Finding
from .validate import Draft, shown

Check = Callable[[ServiceDeclaration, ProjectDeclaration], Findings]


def check_service(draft: Draft[ServiceDeclaration], project: ProjectDeclaration) -> list[Finding]:
    """Return everything that does not fit, as far as the parts it rests on are sound."""
    return [
        finding
        for check, parts in CHECKS
        if draft.is_sound(*parts)
        for finding in check(draft.value, project)
        if draft.is_judged(finding.path)
    ]


def name_is_its_folder(service: ServiceDeclaration, project: ProjectDeclaration) -> Findings:
    """A service is found by its folder, so both have one name; a copy elsewhere is not found so."""
    is_found = service.folder.parent == project.folder / "services"
    if is_found and service.name != service.folder.name:
        yield Finding("name", f"`{service.folder.name}`, the folder's name", shown(service.name))


def high_risk_has_three_owners(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """Nobody watches over themselves where a wrong answer does harm."""
    owners = service.owners
    people = {name.strip().casefold() for name in (owners.product, owners.model, owners.platform)}
    if service.risk == "high" and len(people) < 3:
        yield Finding(
            "owners",
            "three different people, because `risk` is `high`",
            f"{len(people)}",
            "name `product`, `model` and `platform`",
        )


def chat_is_for_generate(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """Only a generate service speaks in messages."""
    if service.chat and service.kind != "generate":
        yield Finding("chat", "no chat in a `predict`", "a table", "remove `[chat]`")


def chat_variable_is_an_input(service: ServiceDeclaration, project: ProjectDeclaration) -> Findings:
    """What the last message becomes must be a field of the contract."""
    if not (service.chat and service.chat.variable and service.contract.input):
        return
    schema = schema_of(service, project, service.contract.input)
    fields = schema.schema.get("properties", {}) if schema else None
    if fields is not None and service.chat.variable not in fields:
        known = ", ".join(f"`{name}`" for name in fields) or "none"
        yield Finding(
            "chat.variable",
            f"a property of {service.contract.input} ({known})",
            shown(service.chat.variable),
        )


def times_fit_the_deadline(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """Nothing can be promised, or take, longer than the deadline."""
    deadline = service.objectives.deadline_ms
    limits = [("objectives.latency_p95_ms", service.objectives.latency_p95_ms)]
    limits += [(f"models[{i}].timeout_ms", m.timeout_ms) for i, m in enumerate(service.models)]
    for path, limit in limits:
        if limit is not None and limit > deadline:
            yield Finding(path, f"<= objectives.deadline_ms ({deadline})", str(limit))


def what_charges_has_a_ceiling(
    service: ServiceDeclaration, project: ProjectDeclaration
) -> Findings:
    """Money is never spent without a limit."""
    priced = _priced(service, project)
    if priced and service.cost.per_day_usd is None:
        yield Finding(
            "cost.per_day_usd",
            f"a ceiling, because provider `{priced[0].provider}` charges",
            "none",
            "add `per_day_usd` to `[cost]`",
        )


def exhausted_has_where_to_fall(
    service: ServiceDeclaration, project: ProjectDeclaration
) -> Findings:
    """Falling back for lack of money needs a rung that costs nothing."""
    dear = {entry.name for entry in _priced(service, project)}
    has_free = any(
        rung.use != "last_good" and (rung.use != "model" or rung.model not in dear)
        for rung in service.fallback
    )
    if service.cost.on_exhausted == "fallback" and not has_free:
        yield Finding(
            "cost.on_exhausted",
            "a rung of the ladder that costs nothing",
            "none",
            "add a `[[fallback]]` that uses `static` or `rule`, or choose `refuse`",
        )


def _priced(service: ServiceDeclaration, project: ProjectDeclaration) -> list[ModelEntry]:
    """Return the models whose answers may cost money; another check tells of unknown providers."""
    return [
        entry
        for entry in service.models
        if (provider := project.providers.get(entry.provider)) and provider.is_priced
    ]


def names_differ(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """Records and messages tell models and guards apart by name."""
    parts: tuple[tuple[str, Sequence[ModelEntry | GuardEntry]], ...] = (
        ("models", service.models),
        ("guards", service.guards),
    )
    for part, entries in parts:
        names = [entry.name for entry in entries]
        for index, name in enumerate(names):
            if name in names[:index]:
                expected = f"a name that no other of the {part} has"
                advice = "give each its own `name`"
                yield Finding(f"{part}[{index}].name", expected, shown(name), advice)


def models_exist(service: ServiceDeclaration, project: ProjectDeclaration) -> Findings:
    """Every model has a provider, and is named the way its provider names models."""
    for index, entry in enumerate(service.models):
        path = f"models[{index}]"
        provider = project.providers.get(entry.provider)
        if provider is None or is_reserved_value("providers.kind", provider.kind):
            yield _not_a_provider(f"{path}.provider", entry.provider, project)
        else:
            yield from _model_fits(service, project, f"{path}.model", entry.model, provider)


def _not_a_provider(path: str, name: str, project: ProjectDeclaration) -> Finding:
    ready = [
        f"`{known}`"
        for known, provider in project.providers.items()
        if not is_reserved_value("providers.kind", provider.kind)
    ]
    expected = f"a provider of this project ({', '.join(ready) or 'it has none'})"
    if name not in project.providers:
        advice = f"declare `[providers.{name}]` in roadworthy.toml"
        return Finding(path, expected, shown(name), advice)
    kind = project.providers[name].kind
    got = f"{shown(name)} of kind `{kind}`, which is not enforced yet"
    return Finding(path, expected, got, "choose one that is, or declare another in roadworthy.toml")


def _model_fits(
    service: ServiceDeclaration,
    project: ProjectDeclaration,
    path: str,
    model: str,
    provider: Provider,
) -> Findings:
    if provider.kind == "rule":
        yield from check_expression(path, model, "model_rule")
    elif provider.kind == "builtin":
        if model not in BUILTINS:
            yield Finding(path, " or ".join(f"`{name}`" for name in BUILTINS), shown(model))
    elif provider.kind == "llama_cpp" and not (is_packaged(model) or model.endswith(".gguf")):
        yield Finding(path, "a GGUF file, or `package:<name>` of one that brings it", shown(model))
    elif provider.kind == "python" and not re.fullmatch(r"[\w.]+:\w+", model):
        yield Finding(path, "`module:callable`", shown(model))
    elif _is_file(model, provider):
        yield from check_file(service, project, path, model)


def is_packaged(model: str) -> bool:
    """Return whether a model's file is brought by an installed package: `package:<name>`."""
    return re.fullmatch(r"package:\w+", model) is not None


def _is_file(model: str, provider: Provider) -> bool:
    return provider.kind in ("onnx", "llama_cpp", "scripted") and not model.startswith("package:")


def a_model_is_left_to_try(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """Rungs take their models out of the chain; one must stay."""
    if not service.chain:
        yield Finding("models", "at least one that no rung names", "none", "add a `[[models]]`")


def files_are_there(service: ServiceDeclaration, project: ProjectDeclaration) -> Findings:
    """Every schema named exists inside the project and is one."""
    for path, name in _schema_files(service):
        problems = list(check_file(service, project, path, split_table(name)[0]))
        if not problems:
            try:
                compile_schema(read_schema(service.folder / name))
            except SchemaError as error:
                problems = [Finding(path, error.expected, f"{error.got} in {name}")]
            except DeclarationError as error:
                problems = _inside(path, name, error)
        yield from problems


def _inside(path: str, name: str, error: DeclarationError) -> list[Finding]:
    """Return what is wrong within a data contract, each with its place there."""
    if not error.problems:
        return [Finding(path, "a data contract", f"{error} in {name}")]
    return [
        Finding(
            path, problem.expected, f"{problem.got} at `{problem.path}` in {name}", problem.advice
        )
        for problem in error.problems
    ]


def guards_are_whole(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """A guard holds what its kind needs, and nothing that its kind ignores."""
    for index, guard in enumerate(service.guards):
        path = f"guards[{index}]"
        if guard.use == "grounded":
            yield from _grounded(path, guard)
            continue
        needs = {"rule": "expression", "schema": "schema"}.get(guard.use)
        if needs is None:
            # A plugin reads what it likes; its factory says what it lacks.
            continue
        yield from _shape(path, guard, needs, ("expression", "schema", "at_least"))
        if guard.use == "rule" and guard.expression:
            yield from check_rule(f"{path}.expression", guard)


def _grounded(path: str, guard: GuardEntry) -> Findings:
    for key in ("expression", "schema_file"):
        if key in guard.model_fields_set:
            name = "schema" if key == "schema_file" else key
            yield Finding(f"{path}.{name}", "no such key, because `use` is `grounded`", "one")
    if guard.on != "output":
        yield Finding(f"{path}.on", "`output`, because `use` is `grounded`", shown(guard.on))


def rungs_are_whole(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """A rung holds what its kind needs, and nothing that its kind ignores."""
    for index, rung in enumerate(service.fallback):
        path = f"fallback[{index}]"
        needs = {"rule": "expression", "static": "output", "model": "model"}.get(rung.use, "")
        yield from _shape(path, rung, needs, ("model", "expression", "output"))
        if rung.use == "rule" and rung.expression:
            yield from check_expression(f"{path}.expression", rung.expression, "fallback_rule")


def static_outputs_keep_the_contract(
    service: ServiceDeclaration, project: ProjectDeclaration
) -> Findings:
    """What answers in need is no less an answer."""
    schema = service.contract.output and schema_of(service, project, service.contract.output)
    for index, rung in enumerate(service.fallback):
        if not schema or rung.use != "static" or rung.output is None:
            continue
        if problem := schema.first_mismatch(rung.output):
            path = f"fallback[{index}].{problem.path}"
            advice = f"keep {service.contract.output}"
            yield Finding(path, problem.expected, problem.got, advice)


def rungs_name_models(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """A model rung leads to an entry of `[[models]]`."""
    names = [entry.name for entry in service.models]
    for index, rung in enumerate(service.fallback):
        if rung.use == "model" and rung.model and rung.model not in names:
            yield Finding(
                f"fallback[{index}].model",
                f"the name of a declared model ({', '.join(f'`{name}`' for name in names)})",
                shown(rung.model),
                "declare it as one of `[[models]]`; the ladder then keeps it",
            )


CHECKS: tuple[tuple[Check, tuple[str, ...]], ...] = (
    (name_is_its_folder, ("name",)),
    (high_risk_has_three_owners, ("risk", "owners")),
    (chat_is_for_generate, ("kind", "chat")),
    (chat_variable_is_an_input, ("chat.variable", "contract.input")),
    (times_fit_the_deadline, ("objectives.deadline_ms",)),
    (what_charges_has_a_ceiling, ("cost.per_day_usd",)),
    (exhausted_has_where_to_fall, ("cost.on_exhausted", "models", "fallback")),
    (names_differ, ()),
    (models_exist, ()),
    (a_model_is_left_to_try, ("models", "fallback")),
    (files_are_there, ()),
    (guards_are_whole, ()),
    (rules_read_what_can_be_there, ("contract", "guards", "features")),
    (rungs_are_whole, ()),
    (static_outputs_keep_the_contract, ("contract.output",)),
    (rungs_name_models, ("models",)),
    *CACHING_CHECKS,
    *BUDGET_CHECKS,
    *CONTEXT_CHECKS,
    *TOKEN_CHECKS,
    *PROMPT_CHECKS,
    *DATA_CHECKS,
    *REVIEW_CHECKS,
    *EVALUATION_CHECKS,
    *RELEASE_CHECKS,
    *ROUTING_CHECKS,
    *FAILOVER_CHECKS,
    *COST_CHECKS,
)
"""Every check, with the parts that must be sound for it to say anything."""


def files_named(service: ServiceDeclaration, project: ProjectDeclaration) -> tuple[str, ...]:
    """Return every file the service names, relative to its folder, sorted."""
    files = {split_table(name)[0] for _, name in _schema_files(service)}
    for entry in service.models:
        provider = project.providers[entry.provider]
        if _is_file(entry.model, provider):
            files.add(entry.model)
    if service.prompt is not None:
        files.add(service.prompt.file)
        files.update(split_table(name)[0] for name in prompt_files(service))
    if service.features.training is not None:
        files.add(service.features.training)
    files.update(page_names(service))
    files.update(service.routing.files)
    return tuple(sorted(files))


def _schema_files(service: ServiceDeclaration) -> Iterator[tuple[str, str]]:
    for side in ("input", "output"):
        if name := getattr(service.contract, side):
            yield f"contract.{side}", name
    for index, guard in enumerate(service.guards):
        if guard.use == "schema" and guard.schema_file:
            yield f"guards[{index}].schema", guard.schema_file


def _shape(path: str, entry: GuardEntry | Rung, needs: str, keys: tuple[str, ...]) -> Findings:
    """Yield the key that `entry` needs and lacks, and those it holds in vain."""
    given = {type(entry).model_fields[name].alias or name for name in entry.model_fields_set}
    if needs and needs not in given:
        yield Finding(f"{path}.{needs}", f"a value, because `use` is `{entry.use}`", "none")
    for key in keys:
        if key in given and key != needs:
            expected = f"no such key, because `use` is `{entry.use}`"
            yield Finding(f"{path}.{key}", expected, "one", "remove it")
