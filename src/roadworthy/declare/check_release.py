"""What `[release]` must keep together, so that a candidate can be judged by it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from .files import Findings
from .project import ProjectDeclaration
from .release import ReleasePolicy
from .service import ServiceDeclaration
from .source import Finding
from .values import seconds_of

_LONGEST_WINDOW_S = 7 * 86_400


def steps_rise_to_all(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """Each step of a canary shows it to more users than the one before, the last to all."""
    steps = service.release.canary.steps
    path = "release.canary.steps"
    shown = f"[{', '.join(f'{share:g}' for share in steps)}]"
    if not steps or steps[-1] != 1:
        yield Finding(path, "shares whose last is 1", shown, "end with 1.0: then it serves")
    if any(not 0 < share <= 1 for share in steps):
        yield Finding(path, "shares above 0 and at most 1", shown)
    elif service.release.judge == "canary" and steps == (1,):
        advice = "begin with a share of users, or leave the judge out: it serves at once then"
        yield Finding(path, "a share below 1 first, since nothing is judged at 1", shown, advice)
    elif any(share >= next_ for share, next_ in itertools.pairwise(steps)):
        yield Finding(path, "shares that rise", shown)


def windows_are_sane(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """A user is watched for longer than one request takes, and not for ever."""
    policy = service.release
    if policy.judge == "none":
        return
    shown, path = policy.canary.window, "release.canary.window"
    window_s = seconds_of(shown)
    deadline_s = service.objectives.deadline_ms / 1000
    if window_s < deadline_s:
        expected = f">= objectives.deadline_ms ({deadline_s:g}s): a request may take as long"
        yield Finding(path, expected, shown)
    elif window_s > _LONGEST_WINDOW_S:
        advice = "what takes longer to show is for `labels_within`"
        yield Finding(path, "at most 7d: nobody counts before it is over", shown, advice)


def release_keys_count(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """Where nothing judges a candidate, nothing says how.

    Of the two judges both may be declared, so that a team can change its mind.
    """
    policy = service.release
    if policy.judge != "none":
        return
    for table in ("canary", "shadow"):
        for key in sorted(_keys(policy, table)):
            expected = "no such key, because `judge` is `none`"
            yield Finding(f"release.{table}.{key}", expected, "one", "remove it, or choose a judge")


def _keys(policy: ReleasePolicy, table: str) -> set[str]:
    """Return the keys of a judge that say something else than nothing would."""
    given = getattr(policy, table)
    own = type(given)()
    return {key for key in given.model_fields_set if getattr(given, key) != getattr(own, key)}


def shadow_has_what_to_compare(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """A shadow is judged by how its answers compare, so something must say how they do."""
    if service.release.judge != "shadow":
        return
    if not any(_compared_by(service)):
        yield Finding(
            "release.judge",
            "something that compares answers, because it is `shadow`",
            "no labels, no guards, no output contract and no `[review]`",
            "declare how outcomes are compared (`outcomes.right`), or judge by `canary`",
        )
    if service.outcomes.reported == "all" and service.records.bodies != "full":
        yield Finding(
            "records.bodies",
            "`full`, because outcomes are held against what a shadow answered",
            f"`{service.records.bodies}`",
        )


def _compared_by(service: ServiceDeclaration) -> Iterator[bool]:
    yield service.kind == "predict" and bool(service.outcomes.model_fields_set)
    yield service.outcomes.right is not None
    yield bool(service.guards)
    yield service.contract.output is not None
    yield service.review is not None


def shadow_has_a_ceiling(service: ServiceDeclaration, project: ProjectDeclaration) -> Findings:
    """What answers unseen counts in no other ceiling, so it needs one of its own."""
    policy = service.release
    providers = [project.providers.get(entry.provider) for entry in service.models]
    charges = any(provider is not None and provider.is_priced for provider in providers)
    if policy.judge == "shadow" and charges and policy.shadow.per_day_usd is None:
        yield Finding(
            "release.shadow.per_day_usd",
            "a ceiling, because a provider charges",
            "none",
            "add `per_day_usd` to `[release.shadow]`",
        )


RELEASE_CHECKS = (
    (steps_rise_to_all, ("release.canary",)),
    (windows_are_sane, ("release", "objectives")),
    (release_keys_count, ("release",)),
    (shadow_has_what_to_compare, ("release", "outcomes", "contract", "guards", "review")),
    (shadow_has_a_ceiling, ("release", "models")),
)
"""Every check, with the parts that must be sound for it to say anything."""
