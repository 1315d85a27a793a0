"""Loads a project and its services; everything that is wrong with a file is told at once."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path

from .check_project import check_project
from .check_service import check_service, files_named
from .keys import DESCRIPTIVE, Words, keep_known
from .planned import PROJECT_KEYS, SERVICE_KEYS
from .project import PROJECT_FILE, SERVICE_FILE, ProjectDeclaration, Provider
from .service import ServiceDeclaration
from .source import Finding, read_toml, refuse
from .validate import StandIns, validate
from .values import DAY_MS

_PROJECT_STAND_INS = StandIns(
    parts={"project": {"name": "stand-in"}},
    items={},
)
_MODEL = {"provider": "local", "model": "builtin:stand-in", "name": "stand-in"}
_SERVICE_STAND_INS = StandIns(
    parts={
        "name": "stand-in",
        "kind": "generate",
        "owners": {"product": "stand-in"},
        "objectives": {"deadline_ms": DAY_MS},
        "cost": {},
        "prompt": {"file": "stand-in"},
        "models": [_MODEL],
    },
    items={
        "models": _MODEL,
        "guards": {"use": "rule", "name": "stand-in"},
        "fallback": {"use": "static"},
    },
)


def load_project(folder: Path) -> ProjectDeclaration:
    """Return the project in `folder`, read from its roadworthy.toml.

    Raises:
        DeclarationError: With every problem of the file.
    """
    folder = Path(folder).absolute()
    advice = "run `roadworthy init`, or name a project with `--project`"
    source = read_toml(folder / PROJECT_FILE, folder, advice)
    findings: list[Finding] = []
    words = Words(ProjectDeclaration, lambda _: True, PROJECT_KEYS)
    data = keep_known(words, source.data, findings)
    draft = validate(ProjectDeclaration, data, _PROJECT_STAND_INS, findings)
    findings += check_project(draft, folder)
    refuse(source.problems(findings))
    local = {"local": Provider(kind="builtin")}
    project = draft.value.model_copy(update={"providers": local | draft.value.providers})
    project._folder = folder
    return project


def load_service(
    folder: Path,
    project: ProjectDeclaration,
    enforces: Mapping[str, str],
    parts: Collection[str] = (),
) -> ServiceDeclaration:
    """Return the service in `folder`, read from its service.toml.

    Args:
        folder: `services/<name>` of the project.
        project: The project it belongs to.
        enforces: Dotted key → what enforces it; any other key of the file is refused.
        parts: The only sections that are asked for, if not all: what is wrong with others, such as
            a model's file that is not there yet, is not told then, and they may hold stand-ins.

    Raises:
        DeclarationError: With every problem of the file.
    """
    folder = Path(folder).absolute()
    source = read_toml(folder / SERVICE_FILE, project.folder, "create it, or remove the folder")
    findings: list[Finding] = []
    words = Words(ServiceDeclaration, partial(_is_kept, enforces), SERVICE_KEYS)
    data = keep_known(words, source.data, findings)
    draft = validate(ServiceDeclaration, data, _SERVICE_STAND_INS, findings)
    service = draft.value
    service._folder = folder
    findings += check_service(draft, project)
    if parts:
        findings = [one for one in findings if re.split(r"\W", one.path)[0] in parts]
    refuse(source.problems(findings))
    service._files = () if parts else files_named(service, project)
    return service


def _is_kept(enforces: Mapping[str, str], key: str) -> bool:
    return key in enforces or key in DESCRIPTIVE
