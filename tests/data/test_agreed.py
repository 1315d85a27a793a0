from __future__ import annotations

from typing import Any

import msgspec

from roadworthy.data.agreed import SourceContract, disagreements
from roadworthy.data.contract import Contract, Field, Table
from roadworthy.types import Problem

FILE = "services/delay/service.toml"


def weather(
    version: str = "1.0.0", fields: set[str] | None = None, **temp: Any
) -> dict[str, SourceContract]:
    given = {"type": "number", "unit": "degF"} | temp
    columns = (
        Field(name="origin", column="origin", required=True),
        Field(name="temp", column="temp", **given),
    )
    hourly = Table(name="hourly", physical_name="hourly", fields=columns)
    daily = Table(name="daily", physical_name="daily", fields=columns[:1])
    whole = Contract(id="weather", version=version, tables=(hourly, daily), digest="")
    return {
        "weather": SourceContract(whole, "hourly", None if fields is None else frozenset(fields))
    }


def told(now: dict[str, SourceContract], *accepts: str) -> list[Problem]:
    return list(disagreements(weather(), now, accepts, FILE))


def test_a_breaking_change_is_refused_in_a_sentence_with_field_and_change() -> None:
    (problem,) = told(weather("2.0.0", unit="degC"))
    assert str(problem) == (
        "contract.accepts: expected `weather@2.0.0`, because it breaks what was agreed in 1.0.0, "
        "got `hourly.temp` unit changed (degF -> degC) - services/delay/service.toml; make the "
        'service fit the new version, then add `accepts = ["weather@2.0.0"]` to `[contract]`'
    )


def test_a_version_that_the_service_names_is_agreed_to() -> None:
    now = weather("2.0.0", unit="degC")
    assert told(now, "weather@2.0.0") == []
    assert len(told(now, "weather@1.9.0", "flights@2.0.0")) == 1


def test_nothing_can_be_agreed_to_within_one_version() -> None:
    (problem,) = told(weather("1.0.0", unit="degC"), "weather@1.0.0")
    assert "raise the version of the contract" in problem.advice


def test_what_breaks_the_producer_alone_holds_no_consumer_up() -> None:
    assert told(weather("2.0.0", maximum=130)) == []
    assert len(told(weather("2.0.0", type="string"))) == 1


def test_a_field_that_the_service_does_not_read_holds_nothing_up() -> None:
    assert told(weather("2.0.0", {"origin"}, unit="degC")) == []
    assert len(told(weather("2.0.0", {"temp"}, unit="degC"))) == 1


def test_other_tables_of_the_contract_hold_nothing_up() -> None:
    (found,) = weather("2.0.0").values()
    gone = msgspec.structs.replace(found.contract, tables=found.contract.tables[:1])
    assert told({"weather": msgspec.structs.replace(found, contract=gone)}) == []


def test_a_source_that_was_not_read_before_needs_no_agreement() -> None:
    assert disagreements({}, weather("2.0.0", unit="degC"), (), FILE) == ()
    assert disagreements(weather(), {}, (), FILE) == ()


def test_a_source_that_was_renamed_is_known_by_its_contract() -> None:
    (celsius,) = weather("2.0.0", unit="degC").values()
    (problem,) = disagreements(weather(), {"meteo": celsius}, (), FILE)
    assert "`meteo@2.0.0`, because it breaks what was agreed in 1.0.0" in problem.expected
    assert disagreements(weather(), {"meteo": celsius}, ("meteo@2.0.0",), FILE) == ()
    (fahrenheit,) = weather("1.1.0").values()
    assert disagreements(weather(), {"meteo": fahrenheit}, (), FILE) == ()


def test_a_source_that_moved_to_another_table_of_its_contract_has_lost_the_first() -> None:
    (daily,) = weather("2.0.0").values()
    daily = msgspec.structs.replace(daily, table="daily")
    (problem,) = disagreements(weather(), {"meteo": daily}, (), FILE)
    assert "removed" in problem.got
    both = weather("2.0.0") | {"meteo": daily}
    assert disagreements(weather(), both, (), FILE) == (), "a second table is another source"


def test_many_changes_are_counted_not_listed() -> None:
    names = [f"f{n}" for n in range(9)]
    old, new = (
        Contract(
            id="wide",
            version=version,
            digest="",
            tables=(
                Table(
                    name="t",
                    physical_name="t",
                    fields=tuple(Field(name=n, column=n, unit=unit) for n in names),
                ),
            ),
        )
        for version, unit in (("1", "m"), ("2", "ft"))
    )
    (problem,) = disagreements(
        {"wide": SourceContract(old, "t")}, {"wide": SourceContract(new, "t")}, (), FILE
    )
    assert problem.got.count("unit changed") == 5
    assert problem.got.endswith("; and 4 more")
