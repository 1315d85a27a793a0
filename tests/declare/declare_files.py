"""A project on disk that the tests of `declare` load services in."""

from __future__ import annotations

import shutil
from pathlib import Path

from roadworthy.declare.keys import known_keys
from roadworthy.declare.load import load_project, load_service
from roadworthy.declare.project import ProjectDeclaration
from roadworthy.declare.service import ServiceDeclaration

CASES = Path(__file__).parent.parent / "cases" / "declare"
FILES = CASES / "files"
SHARED = CASES / "shared"
"""What lies in the folder of each project: a data contract and a feature view."""

ENFORCES = dict.fromkeys(known_keys(ServiceDeclaration), "somewhere.py")

PROJECT = """
[project]
name = "test"
[providers.upstream]
kind = "openai"
base_url = "https://api.example.com/v1"
[providers.onnx]
kind = "onnx"
[providers.python]
kind = "python"
[providers.rule]
kind = "rule"
[providers.scripted]
kind = "scripted"
[queues.leads]
owner = "Ana"
[sources.weather]
contract = "contracts/weather.odcs.yaml"
url = "data/weather.parquet"
"""

EIGHT_LINES = """\
name = "case"
kind = "generate"
owners = { product = "Ana" }
objectives.deadline_ms = 30000
cost.per_day_usd = 20
[[models]]
provider = "upstream"
model = "gpt-5-2025-08-07"
"""


def write_project(folder: Path, text: str = PROJECT) -> ProjectDeclaration:
    shutil.copytree(SHARED, folder, dirs_exist_ok=True)
    (folder / "roadworthy.toml").write_text(text, encoding="utf-8")
    return load_project(folder)


def write_service(folder: Path, text: str, name: str = "case") -> Path:
    """Write a service, with every file of the cases beside it, and return its folder."""
    service = folder / "services" / name
    if not service.is_dir():
        shutil.copytree(FILES, service)
    (service / "service.toml").write_text(text, encoding="utf-8")
    return service


def load_text(folder: Path, text: str) -> ServiceDeclaration:
    project = write_project(folder)
    return load_service(write_service(folder, text), project, ENFORCES)
