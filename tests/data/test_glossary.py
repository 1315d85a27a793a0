from __future__ import annotations

from typing import get_args

import pytest

from roadworthy.data.contract import Contract, Field, LogicalType, Table
from roadworthy.data.glossary import contradictions, entries_of
from roadworthy.declare import project
from roadworthy.declare.project import Term


def contract(**values: str) -> Contract:
    given = {"business_name": "air temperature", "type": "number"} | values
    field = Field(name="temp", column="temp", **given)  # type: ignore[arg-type]
    table = Table(name="hourly", physical_name="hourly", fields=(field,))
    return Contract(id="weather", version="1", tables=(table,), digest="")


def told(contracts: dict[str, Contract], glossary: dict[str, Term] | None = None) -> list[str]:
    return list(map(str, contradictions(entries_of(contracts, glossary or {}))))


@pytest.mark.parametrize(
    ("aspect", "one", "other"),
    [
        ("definition", "two metres above ground", "above the runway"),
        ("unit", "degF", "degC"),
        ("type", "number", "string"),
    ],
)
def test_a_term_that_means_two_things_is_told_with_both_places(
    aspect: str, one: str, other: str
) -> None:
    found = told(
        {"a.odcs.yaml": contract(**{aspect: one}), "b.odcs.yaml": contract(**{aspect: other})}
    )
    assert found == [
        f"hourly.temp: expected the {aspect} of `air temperature` that a.odcs.yaml gives at "
        f"`hourly.temp`, `{one}`, got `{other}` - b.odcs.yaml; make both say the same, or call one "
        "of them something other than `air temperature`"
    ]


def test_the_glossary_of_the_project_comes_first() -> None:
    glossary = {"Air Temperature": Term(definition="of the air", unit="degF", type="number")}
    (found,) = told({"b.odcs.yaml": contract(unit="degC")}, glossary)
    assert 'roadworthy.toml gives at `glossary."Air Temperature"`, `degF`, got `degC`' in found


def test_what_an_entry_leaves_out_it_does_not_contradict() -> None:
    said = contract(definition="Of  the air.", unit="degF")
    assert told({"a.odcs.yaml": said, "b.odcs.yaml": contract()}) == []
    assert told({"a.odcs.yaml": said, "b.odcs.yaml": contract(definition="of the air")}) == []


def test_other_terms_may_say_what_they_like() -> None:
    other = contract(business_name="road temperature", unit="degC")
    assert told({"a.odcs.yaml": contract(unit="degF"), "b.odcs.yaml": other}) == []
    unnamed = contract(business_name="", unit="degC")
    assert told({"a.odcs.yaml": contract(unit="degF"), "b.odcs.yaml": unnamed}) == []


def test_units_are_told_apart_by_their_case() -> None:
    """A milliwatt is no megawatt."""
    assert len(told({"a.odcs.yaml": contract(unit="mW"), "b.odcs.yaml": contract(unit="MW")})) == 1


def test_the_glossary_and_contracts_know_the_same_types() -> None:
    assert get_args(project.LogicalType) == get_args(LogicalType)
