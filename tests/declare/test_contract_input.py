"""A data contract where a JSON Schema may stand: compiled, checked, and told about by its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from declare_files import ENFORCES, write_project, write_service

from roadworthy.declare.load import load_service
from roadworthy.declare.schemas import open_schema, split_table
from roadworthy.declare.service import ServiceDeclaration
from roadworthy.errors import DeclarationError

SERVICE = """\
name = "case"
kind = "predict"
owners = { product = "Ana" }
objectives.deadline_ms = 2000
cost.per_day_usd = 20
contract.input = "flight.odcs.yaml"
[[models]]
name = "rule"
provider = "rule"
model = "{'late': 0.5}"
"""
FLIGHT = """\
apiVersion: v3.1.0
kind: DataContract
id: flight
version: 1.0.0
status: active
schema:
  - name: flight
    properties:
      - name: distance
        logicalType: integer
        required: true
        logicalTypeOptions:
          minimum: 1
      - name: day
        logicalType: date
        logicalTypeOptions:
          minimum: "2013-01-01"
"""


def load(folder: Path, contract: str = FLIGHT, service: str = SERVICE) -> ServiceDeclaration:
    project = write_project(folder)
    place = write_service(folder, service)
    (place / "flight.odcs.yaml").write_text(contract, encoding="utf-8")
    return load_service(place, project, ENFORCES)


def test_a_data_contract_holds_live_requests(tmp_path: Path) -> None:
    service = load(tmp_path)
    assert service.files == ("flight.odcs.yaml",)
    check = open_schema(service.folder, service.contract.input)
    assert check is not None
    assert check.first_problem({"distance": 3, "day": "2013-01-01"}) == ""
    assert check.first_problem({"distance": 0}) == "input.distance: expected >= 1, got 0"
    assert check.first_problem({}) == "input: expected field `distance`, got none"
    assert check.first_problem({"distance": 1, "day": "2012-12-31"}) != ""


def test_of_several_tables_one_is_named_behind_the_file(tmp_path: Path) -> None:
    two = FLIGHT + FLIGHT.partition("schema:\n")[2].replace("name: flight", "name: plane")
    named = SERVICE.replace("flight.odcs.yaml", "flight.odcs.yaml#plane")
    assert load(tmp_path, two, named).files == ("flight.odcs.yaml",)
    with pytest.raises(DeclarationError, match=r"one of its tables \(`flight`, `plane`\)"):
        load(tmp_path, two)
    with pytest.raises(DeclarationError, match="got `#seat`"):
        load(tmp_path, two, named.replace("#plane", "#seat"))


def test_problems_of_the_contract_are_told_with_their_place_in_it(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError) as caught:
        load(tmp_path, FLIGHT.replace("integer", "numeral"))
    (problem,) = caught.value.problems
    assert problem.file == "services/case/service.toml:6"
    assert problem.got == ("`numeral` at `schema[0].properties[0].logicalType` in flight.odcs.yaml")


def test_a_table_is_named_behind_data_contracts_alone() -> None:
    assert split_table("a.odcs.yaml#b") == ("a.odcs.yaml", "b")
    assert split_table("a.json#b") == ("a.json#b", "")
