from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from declare_files import PROJECT, write_project, write_service

from roadworthy.declare.project import STORE_URL_VARIABLE
from roadworthy.errors import DeclarationError

SMALLEST = '[project]\nname = "demo"\n'


def test_the_smallest_project_has_a_local_provider_and_a_file_to_remember_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(STORE_URL_VARIABLE, raising=False)
    project = write_project(tmp_path, SMALLEST)
    assert (project.name, project.clock, project.folder) == ("demo", "system", tmp_path)
    assert project.providers["local"].kind == "builtin"
    assert project.store.resolved_url(tmp_path) == f"sqlite:///{tmp_path}/.roadworthy/state.db"
    assert project.store.artifacts == ".roadworthy/artifacts"


def test_the_environment_overrides_where_the_store_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = write_project(tmp_path, SMALLEST)
    monkeypatch.setenv(STORE_URL_VARIABLE, "sqlite:////var/lib/x.db")
    assert project.store.resolved_url(tmp_path) == "sqlite:////var/lib/x.db"
    monkeypatch.setenv(STORE_URL_VARIABLE, "postgresql://user:password@host/db")
    with pytest.raises(DeclarationError) as caught:
        project.store.resolved_url(tmp_path)
    assert "password" not in str(caught.value)


def test_services_are_the_folders_that_hold_a_service_file(tmp_path: Path) -> None:
    project = write_project(tmp_path)
    for name in ("second", "first"):
        write_service(tmp_path, "", name)
    (tmp_path / "services" / "notes").mkdir()
    assert [folder.name for folder in project.service_folders()] == ["first", "second"]


def test_prices_are_exact(tmp_path: Path) -> None:
    prices = (
        '[providers.upstream.prices."gpt-5-2025-08-07"]\n'
        "input_usd_per_million = 1.25\noutput_usd_per_million = 10\nrequest_usd = 0.0000001\n"
    )
    project = write_project(tmp_path, PROJECT + prices)
    (price,) = project.providers["upstream"].prices["gpt-5-2025-08-07"]
    assert price.input_usd_per_million == Decimal("1.25")
    assert price.request_usd == Decimal("0.0000001")
    assert price.cached_input_usd_per_million is None


def test_a_price_may_change_on_a_day(tmp_path: Path) -> None:
    prices = """
[[providers.upstream.prices."m"]]
input_usd_per_million = 1
output_usd_per_million = 2
[[providers.upstream.prices."m"]]
effective_from = 2027-01-01
input_usd_per_million = 2
output_usd_per_million = 4
"""
    first, later = write_project(tmp_path, PROJECT + prices).providers["upstream"].prices["m"]
    assert (first.effective_from, later.effective_from) == (None, date(2027, 1, 1))


@pytest.mark.parametrize(
    ("days", "says"),
    [
        (("", ""), "one price without `effective_from`"),
        (("2027-01-01", "2027-01-01"), "each day once"),
    ],
)
def test_two_prices_of_a_day_are_refused(tmp_path: Path, days: tuple[str, str], says: str) -> None:
    text = PROJECT
    for day in days:
        text += '[[providers.upstream.prices."m"]]\n'
        text += f"effective_from = {day}\n" if day else ""
        text += "input_usd_per_million = 1\noutput_usd_per_million = 2\n"
    with pytest.raises(DeclarationError, match=says):
        write_project(tmp_path, text)


def test_an_api_with_one_home_is_met_there(tmp_path: Path) -> None:
    providers = """
[providers.claude]
kind = "anthropic"
api_key_env = "ANTHROPIC_API_KEY"
[providers.google]
kind = "gemini"
api_key_env = "GEMINI_API_KEY"
[providers.near]
kind = "gemini"
api_key_env = "GEMINI_API_KEY"
base_url = "https://gemini.example.com/v1beta"
"""
    project = write_project(tmp_path, PROJECT + providers)
    homes = {name: project.providers[name].base_url for name in ("claude", "google", "near")}
    assert homes == {
        "claude": "https://api.anthropic.com/v1",
        "google": "https://generativelanguage.googleapis.com/v1beta",
        "near": "https://gemini.example.com/v1beta",
    }
    assert all(project.providers[name].is_priced for name in homes)


def test_only_what_may_send_a_bill_is_priced(tmp_path: Path) -> None:
    providers = write_project(tmp_path).providers
    assert {name for name, provider in providers.items() if provider.is_priced} == {"upstream"}


def test_the_hash_changes_with_a_provider(tmp_path: Path) -> None:
    first = write_project(tmp_path)
    assert write_project(tmp_path, "# a comment\n" + PROJECT).hash == first.hash
    moved = PROJECT.replace("api.example.com", "eu.example.com")
    assert write_project(tmp_path, moved).hash != first.hash
