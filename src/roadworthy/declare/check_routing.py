"""What `[routing]` must keep together: models to choose, a reason to, and a bound on every bet."""

from __future__ import annotations

from collections.abc import Generator

from ..errors import DeclarationError
from .check_rules import check_expression
from .files import Findings, check_file
from .project import ProjectDeclaration
from .routing import BETS, Intent, Routing, Strategy
from .service import ServiceDeclaration
from .source import Finding
from .validate import shown

_OF: dict[Strategy, tuple[str, ...]] = {
    "first": (),
    "rules": ("rules", "default"),
    "intent": ("intents", "use", "min_similarity", "default"),
    "learned": (),
    "cascade": (),
}
_OF_BETS = ("max_error", "sure", "of", "lifetime", "reference", "pairs_share", "audit_share")
_RESERVED = "none"
"""What a model that names intents says of everything else."""


def keys_count_for_the_strategy(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """A key of another strategy would be read by nobody, unless it says what nothing would.

    With `first` all may stand, so that a team can switch routing off and on again.
    """
    routing, nothing = service.routing, Routing()
    if routing.strategy == "first":
        return
    own = (*_OF[routing.strategy], *(_OF_BETS if routing.strategy in BETS else ()))
    for name in sorted(routing.model_fields_set - {"strategy"}):
        if name not in own and getattr(routing, name) != getattr(nothing, name):
            expected = f"no such key, because `strategy` is `{routing.strategy}`"
            others = [s for s, keys in _OF.items() if name in keys] or sorted(BETS)
            advice = f"remove it, or choose {' or '.join(f'`{other}`' for other in others)}"
            yield Finding(f"routing.{name}", expected, "one", advice)


def routes_lead_to_models(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """What is asked first is one of the models that are tried, and no rung of the ladder."""
    routing = service.routing
    names = [entry.name for entry in service.chain]
    named = [(f"routing.rules[{i}].use", rule.use) for i, rule in enumerate(routing.rules)]
    named += [(f"routing.intents[{i}].use", one.use) for i, one in enumerate(routing.intents)]
    named += [("routing.default", routing.default)] if routing.default else []
    known = ", ".join(f"`{name}`" for name in names) or "none"
    for path, name in named:
        if name not in names:
            expected = f"the name of a model that no rung keeps ({known})"
            yield Finding(path, expected, shown(name))
    every = [entry.name for entry in service.models]
    if routing.use is not None and routing.use not in every:
        known = ", ".join(f"`{name}`" for name in every)
        yield Finding("routing.use", f"the name of a declared model ({known})", shown(routing.use))


def rules_are_there(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """A rule is an expression of what is known before a model is asked."""
    routing = service.routing
    if routing.strategy == "rules" and not routing.rules:
        advice = 'like `rules = [{ when = "input_tokens > 2_000", use = "large" }]`'
        yield Finding(
            "routing.rules", "at least one, because `strategy` is `rules`", "none", advice
        )
    for index, rule in enumerate(routing.rules):
        yield from check_expression(f"routing.rules[{index}].when", rule.when, "route")


def intents_are_told_apart(service: ServiceDeclaration, project: ProjectDeclaration) -> Findings:
    """Each intent has a name and examples of its own; one said of two intents names neither."""
    routing = service.routing
    if routing.strategy != "intent":
        return
    if not routing.intents:
        yield Finding("routing.intents", "at least one, because `strategy` is `intent`", "none")
    names: set[str] = set()
    said: dict[str, str] = {}
    for index, intent in enumerate(routing.intents):
        path = f"routing.intents[{index}]"
        if intent.name in names or intent.name.casefold() == _RESERVED:
            yield Finding(
                f"{path}.name",
                f"another name than before, and than `{_RESERVED}`",
                shown(intent.name),
            )
        names.add(intent.name)
        examples = yield from _examples(service, project, path, intent)
        if not examples and routing.use is None and examples is not None:
            yield Finding(path, "`examples` or a `file` of them", "neither")
        for example in examples or ():
            other = said.setdefault(" ".join(example.casefold().split()), intent.name)
            if other != intent.name:
                expected = f"examples of `{intent.name}` that are none of `{other}`"
                advice = "leave it to one of them, or join the two intents"
                yield Finding(path, expected, shown(example), advice)
    if routing.use is not None and "min_similarity" in routing.model_fields_set:
        expected = "no such key, because the model that `use` names compares nothing"
        yield Finding("routing.min_similarity", expected, "one", "remove it")


def _examples(
    service: ServiceDeclaration, project: ProjectDeclaration, path: str, intent: Intent
) -> Generator[Finding, None, tuple[str, ...] | None]:
    """Yield what is wrong with a file of examples, and return all examples; None where it is."""
    if intent.file is None:
        return intent.examples
    findings = list(check_file(service, project, f"{path}.file", intent.file))
    yield from findings
    if findings:
        return None
    try:
        return (*intent.examples, *intent.lines_of(service.folder))
    except DeclarationError as error:
        yield Finding(f"{path}.file", "UTF-8 text, an example a line", str(error))
        return None


def questions_are_texts(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """What reads a question needs one."""
    if service.routing.strategy in ("intent", "learned") and service.kind != "generate":
        yield Finding(
            "routing.strategy",
            "`first`, `rules` or `cascade`, because a `predict` is asked no question",
            shown(service.routing.strategy),
        )


def bets_are_bounded(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """A bet on a cheaper model needs one, a bound, and something that says what is wrong."""
    routing = service.routing
    if routing.strategy not in BETS:
        return
    because = f"because `strategy` is `{routing.strategy}`"
    if len(service.chain) < 2:
        got = f"{len(service.chain)} that no rung keeps"
        yield Finding("models", f"at least two, {because}", got, "list the cheapest first")
    if routing.max_error is None:
        advice = "what may be lost against the strongest model, like `max_error = 0.05`"
        yield Finding("routing.max_error", f"a bound, {because}", "none", advice)
    names = [entry.name for entry in service.chain]
    if routing.reference == "outcomes":
        if not service.outcomes.model_fields_set:
            known = ", ".join(f"`{name}`" for name in names)
            yield Finding(
                "routing.reference",
                "`[outcomes]`, since a wrong answer is judged by them",
                "none",
                f"declare `[outcomes]`, or name the model whose answers count as right ({known})",
            )
    elif routing.reference not in names:
        known = ", ".join(f"`{name}`" for name in ("outcomes", *names))
        yield Finding("routing.reference", f"one of {known}", shown(routing.reference))


ROUTING_CHECKS = (
    (keys_count_for_the_strategy, ("routing",)),
    (routes_lead_to_models, ("routing", "models", "fallback")),
    (rules_are_there, ("routing",)),
    (intents_are_told_apart, ("routing",)),
    (questions_are_texts, ("routing", "kind")),
    (bets_are_bounded, ("routing", "models", "fallback", "outcomes")),
)
"""Every check, with the parts that must be sound for it to say anything."""
