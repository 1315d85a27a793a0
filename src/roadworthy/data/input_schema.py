"""A data contract in the place of a JSON Schema: live requests keep the rules that batches keep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import DeclarationError
from ..types import Problem
from .contract import Contract, Table
from .live import json_schema_of
from .odcs import load_contract


def read_contract_schema(path: Path, table: str = "") -> dict[str, Any]:
    """Return the JSON Schema of one table of a contract; of its only one where none is named.

    Raises:
        DeclarationError: The contract has problems, or no such table.
        MissingExtra: The extra `data` is not installed.
    """
    contract = load_contract(path, path.parent)
    return json_schema_of(table_of(contract, table, path.name))


def table_of(contract: Contract, name: str, file: str) -> Table:
    """Return the table of this name, or the only one where no name is given.

    Raises:
        DeclarationError: There is none, or several to choose from.
    """
    if not name and len(contract.tables) == 1:
        return contract.tables[0]
    table = contract.table(name) if name else None
    if table is None:
        known = ", ".join(f"`{table.name}`" for table in contract.tables)
        got = f"`#{name}`" if name else "none named"
        problem = Problem("schema", f"one of its tables ({known})", got, file, "like `file#table`")
        raise DeclarationError(str(problem), (problem,))
    return table
