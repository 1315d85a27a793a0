from __future__ import annotations

import pytest

from conftest import InstallPlugin
from roadworthy.errors import DeclarationError
from roadworthy.guard.rule import RuleGuard
from roadworthy.plugins import load_plugin


def test_a_plugin_is_found_by_its_name() -> None:
    assert load_plugin("guards", "rule") is RuleGuard


def test_an_unknown_plugin_is_refused_with_those_there_are() -> None:
    with pytest.raises(DeclarationError, match="named `polite`; installed: grounded, rule, schema"):
        load_plugin("guards", "polite")


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("import a_package_that_is_not_there", "ModuleNotFoundError"),
        ("open_it = 1 / 0  # hush", "ZeroDivisionError"),
        ("open_it = (", "SyntaxError"),
        ("another_name = 1", "AttributeError"),
    ],
)
def test_a_plugin_that_cannot_be_imported_names_its_package_and_the_error(
    install_plugin: InstallPlugin, code: str, error: str
) -> None:
    install_plugin("guards", "polite", code)
    with pytest.raises(DeclarationError) as caught:
        load_plugin("guards", "polite")
    assert str(caught.value).startswith(
        "guards plugin `polite`: expected to import `polite_plugin:open_it` of package "
        f"`polite_plugin`, got {error}; `python -c 'import polite_plugin'` shows where"
    )
    assert caught.value.__cause__ is not None


def test_a_name_that_two_packages_bring_is_refused(install_plugin: InstallPlugin) -> None:
    install_plugin("guards", "rule", "open_it = None")
    with pytest.raises(DeclarationError) as caught:
        load_plugin("guards", "rule")
    message = str(caught.value)
    assert message.startswith("guards plugin `rule`: expected one, got 2 of this name: ")
    assert "`roadworthy.guard.rule:RuleGuard` of package `roadworthy`" in message
    assert "`rule_plugin:open_it` of package `rule_plugin`" in message
