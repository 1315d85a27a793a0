"""What changed between two versions of a contract, and whom each change breaks.

What a field accepts is a set of values, and one comparison of sets decides everything:

* A *producer* still sends what the old version accepted. A change breaks it if the new version
  refuses some of that: the set was tightened.
* A *consumer* still expects what the old version promised. A change breaks it if the new version
  lets values through that the old one refused: the set was loosened.
* Where each set has something that the other lacks, as after most changes of a type, both break.

So the words of schema registries follow. `BACKWARD`: the new version reads what was written under
the old one, so no producer breaks. `FORWARD`: the old version reads what is written under the new
one, so no consumer breaks. `FULL`: both. `NONE`: neither. Their `TRANSITIVE` forms hold the newest
version against every earlier one, not only against the last.

Two versions exchanged exchange producer and consumer, with one exception: a consumer names the
fields it reads, so a field or table that is gone breaks it even where null was accepted; a producer
that does not send an optional field breaks nothing.

A pattern is implied by itself alone: other patterns count as incomparable. A rule of severity
`warning` counts as a promise like any other. Meanings that no value shows are compared as sets too:
a field without a unit may be in any; a field without `availableAt` is known with its row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, Literal

import msgspec

from .accepted import are_limits_within, is_nullable, is_within, place_of
from .contract import Check, Contract, Field, Table

Party = Literal["producer", "consumer"]
Compatibility = Literal["BACKWARD", "FORWARD", "FULL", "NONE"]
Readers = Mapping[str, Iterable[str]]
"""`<table>.<field>` → the services that read it."""

NOBODY: frozenset[Party] = frozenset()
TIGHTER: frozenset[Party] = frozenset(("producer",))
LOOSER: frozenset[Party] = frozenset(("consumer",))
OTHER: frozenset[Party] = TIGHTER | LOOSER


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not as it was.

    Attributes:
        table: The table; empty for the contract itself.
        field: The field; empty for the table itself.
        change: What became of it, such as `maximum lowered` or `type integer -> number`.
        old: What stood there; None where there was nothing.
        new: What stands there now; None where there is nothing.
        breaks: Whom it breaks.
        read_by: The services that read it, as far as is known.
    """

    table: str
    field: str
    change: str
    old: Any = None
    new: Any = None
    breaks: tuple[Party, ...] = ()
    read_by: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Say it in one line, without whom it breaks."""
        where = ".".join(filter(None, (self.table, self.field)))
        is_told = self.change.startswith("type ") or (self.old is None and self.new is None)
        if is_told:
            told = ""
        elif self.old is None or self.new is None:
            told = f" ({_said(self.new if self.old is None else self.old)})"
        else:
            told = f" ({_said(self.old)} -> {_said(self.new)})"
        return f"`{where}` {self.change}{told}" if where else f"{self.change}{told}"


class Diff(msgspec.Struct, frozen=True, kw_only=True):
    """All that changed from one version of a contract to another.

    Attributes:
        id: Id of the new one.
        old_version, new_version: What their authors call them.
        changes: In the order of the contract's tables and fields.
    """

    id: str
    old_version: str
    new_version: str
    changes: tuple[Change, ...]

    @property
    def breaks(self) -> frozenset[Party]:
        """Whom any of it breaks."""
        return frozenset(party for change in self.changes for party in change.breaks)

    @property
    def breaking(self) -> tuple[Change, ...]:
        """The changes that break somebody."""
        return tuple(change for change in self.changes if change.breaks)

    @property
    def compatibility(self) -> Compatibility:
        """Which version reads what was written under the other."""
        return compatibility_of(self.breaks)


def compatibility_of(breaks: Iterable[Party]) -> Compatibility:
    """Return the word for changes that break these.

    >>> compatibility_of(["consumer"])
    'BACKWARD'
    """
    broken = frozenset(breaks)
    if not broken:
        return "FULL"
    if broken == OTHER:
        return "NONE"
    return "BACKWARD" if broken == LOOSER else "FORWARD"


def transitive_compatibility(versions: Sequence[Contract]) -> str:
    """Return the word for the last of `versions` against every earlier one.

    It is `BACKWARD_TRANSITIVE`, `FORWARD_TRANSITIVE`, `FULL_TRANSITIVE` or `NONE`.
    """
    *earlier, newest = versions
    word = compatibility_of(party for old in earlier for party in diff(old, newest).breaks)
    return word if word == "NONE" else f"{word}_TRANSITIVE"


def diff(old: Contract, new: Contract, readers: Readers | None = None) -> Diff:
    """Return every change from `old` to `new`, whom it breaks, and which services read it."""
    changes = [*_words(old, new, "", "", ("id", "name", "owner", "status"))]
    for before in old.tables:
        after = _table(new, before.name)
        if after is None:
            changes.append(_change(before.name, "", "table removed", LOOSER))
        else:
            changes += _of_table(before, after)
    for after in new.tables:
        if _table(old, after.name) is None:
            changes.append(_change(after.name, "", "table added", NOBODY))
    if readers:
        changes = [_with_readers(change, readers) for change in changes]
    return Diff(id=new.id, old_version=old.version, new_version=new.version, changes=tuple(changes))


def _table(contract: Contract, name: str) -> Table | None:
    return next((table for table in contract.tables if table.name == name), None)


def _with_readers(change: Change, readers: Readers) -> Change:
    """Note who reads what changed: for a change of a whole table, who reads any field of it."""
    if not change.table:
        found = {service for services in readers.values() for service in services}
    elif change.field:
        found = set(readers.get(f"{change.table}.{change.field}", ()))
    else:
        start = f"{change.table}."
        found = {s for key, names in readers.items() if key.startswith(start) for s in names}
    return msgspec.structs.replace(change, read_by=tuple(sorted(found)))


def _change(
    table: str, field: str, change: str, breaks: frozenset[Party], old: Any = None, new: Any = None
) -> Change:
    parties = tuple(party for party in ("producer", "consumer") if party in breaks)
    return Change(table=table, field=field, change=change, old=old, new=new, breaks=parties)


def _of_table(old: Table, new: Table) -> Iterator[Change]:
    name = new.name
    if old.physical_name != new.physical_name:
        yield _change(
            name, "", "physical name changed", OTHER, old.physical_name, new.physical_name
        )
    if old.is_closed != new.is_closed:
        word, breaks = ("refused", TIGHTER) if new.is_closed else ("allowed", LOOSER)
        yield _change(name, "", f"undeclared fields {word}", breaks)
    if set(old.null_texts) != set(new.null_texts):
        # What was a text is null now, or the reverse: neither side reads what the other means.
        yield _change(name, "", "null texts changed", OTHER, old.null_texts, new.null_texts)
    if old.key != new.key:
        yield _change(name, "", "key changed", _key_breaks(old, new), old.key, new.key)
    for before in old.fields:
        after = new.field(before.name)
        if after is None:
            breaks = OTHER if new.is_closed else LOOSER
            yield _change(name, before.name, "field removed", breaks, _shape(before), None)
        else:
            yield from _of_field(old, new, before, after)
    for after in new.fields:
        if old.field(after.name) is None:
            breaks = NOBODY if is_nullable(after) else TIGHTER
            breaks |= LOOSER if old.is_closed else NOBODY
            yield _change(name, after.name, "field added", breaks, None, _shape(after))
    yield from _of_checks(old, new)


def _shape(field: Field) -> str:
    """Return what a field is, in a word or two."""
    return field.type if is_nullable(field) else f"required {field.type}"


def _of_field(old_table: Table, new_table: Table, old: Field, new: Field) -> Iterator[Change]:
    """Yield what changed of a field.

    What two rules say together may be what one said before, so a rule breaks nobody whom the whole
    field does not.
    """
    broken = _broken(is_within(old, new), is_within(new, old))
    for word, breaks, before, after in _of_rules(old, new):
        yield _change(new_table.name, new.name, word, breaks & broken, before, after)
    if old.unique != new.unique:
        word = "unique added" if new.unique else "unique removed"
        breaks = _unique_breaks(old_table, new_table, frozenset((new.name,)))
        yield _change(new_table.name, new.name, word, breaks)
    for word, breaks, before, after in _of_meaning(old, new):
        yield _change(new_table.name, new.name, word, breaks, before, after)
    names = ("business_name", "definition", "is_personal")
    yield from _words(old, new, new_table.name, new.name, names)


Found = tuple[str, frozenset[Party], Any, Any]
"""A change's name, whom it would break alone, what was there, what is."""


def _broken(holds_old: bool, holds_new: bool) -> frozenset[Party]:
    """Return whom a change breaks, by whether the new set holds the old one, and the reverse."""
    return (NOBODY if holds_old else TIGHTER) | (NOBODY if holds_new else LOOSER)


def _of_rules(old: Field, new: Field) -> Iterator[Found]:
    if old.type != new.type:
        pair = (old.type, new.type)
        breaks = {("integer", "number"): LOOSER, ("number", "integer"): TIGHTER}.get(pair, OTHER)
        yield f"type {old.type} -> {new.type}", breaks, old.type, new.type
    if is_nullable(old) != is_nullable(new):
        is_added = is_nullable(old)
        word, breaks = ("added", TIGHTER) if is_added else ("removed", LOOSER)
        yield f"required {word}", breaks, None, None
    elif old.required != new.required:
        yield f"required {'added' if new.required else 'removed'}", NOBODY, None, None
    for name, order in _ORDERS.items():
        before, after = _of(old, name), _of(new, name)
        if before != after:
            yield _of_value(name.replace("_", " "), before, after, order, (old, new))
    yield from _of_enum(old.enum, new.enum)
    if old.has_timezone != new.has_timezone:
        word, breaks = ("added", TIGHTER) if new.has_timezone else ("removed", LOOSER)
        yield f"time zone {word}", breaks, None, None


def _of(field: Field, name: str) -> Any:
    value = getattr(field, name)
    return None if value == "" else value


Order = Callable[[Any, Any, tuple[Field, Field]], tuple[str, frozenset[Party]]]
"""How one value of a rule stands to another: the verb, and whom the change would break alone."""


def _of_value(name: str, old: Any, new: Any, order: Order, fields: tuple[Field, Field]) -> Found:
    if old is None:
        return f"{name} added", TIGHTER, None, new
    if new is None:
        return f"{name} removed", LOOSER, old, None
    verb, breaks = order(old, new, fields)
    return f"{name} {verb}", breaks, old, new


def _as_lower_bound(
    old: Any, new: Any, fields: tuple[Field, Field]
) -> tuple[str, frozenset[Party]]:
    is_raised = _is_raised(old, new, fields)
    if is_raised is None:
        return "changed", OTHER
    return ("raised", TIGHTER) if is_raised else ("lowered", LOOSER)


def _as_upper_bound(
    old: Any, new: Any, fields: tuple[Field, Field]
) -> tuple[str, frozenset[Party]]:
    is_raised = _is_raised(old, new, fields)
    if is_raised is None:
        return "changed", OTHER
    return ("raised", LOOSER) if is_raised else ("lowered", TIGHTER)


def _is_raised(old: Any, new: Any, fields: tuple[Field, Field]) -> bool | None:
    """Whether a bound lies higher than before; None where the two cannot be compared."""
    before, after = place_of(old, fields[0].type), place_of(new, fields[1].type)
    is_one_line = fields[0].type == fields[1].type or all(
        field.type in ("integer", "number") for field in fields
    )
    return after > before if before is not None and after is not None and is_one_line else None


def _as_length(is_most: bool) -> Order:
    def order(old: int, new: int, _: tuple[Field, Field]) -> tuple[str, frozenset[Party]]:
        return "raised" if new > old else "lowered", LOOSER if (new > old) == is_most else TIGHTER

    return order


def _as_step(old: Any, new: Any, _: tuple[Field, Field]) -> tuple[str, frozenset[Party]]:
    before, after = Fraction(str(old)), Fraction(str(new))
    return "changed", _broken(before % after == 0, after % before == 0)


def _as_text(*_: Any) -> tuple[str, frozenset[Party]]:
    return "changed", OTHER


_ORDERS: Mapping[str, Order] = {
    "minimum": _as_lower_bound,
    "exclusive_minimum": _as_lower_bound,
    "maximum": _as_upper_bound,
    "exclusive_maximum": _as_upper_bound,
    "multiple_of": _as_step,
    "min_length": _as_length(is_most=False),
    "max_length": _as_length(is_most=True),
    "pattern": _as_text,
}
"""Rule of a field → how two values of it compare."""


def _of_enum(old: tuple[Any, ...], new: tuple[Any, ...]) -> Iterator[Found]:
    if not old or not new:
        if new:
            yield "enum added", TIGHTER, None, new
        if old:
            yield "enum removed", LOOSER, old, None
        return
    before, after = {_key(value): value for value in old}, {_key(value): value for value in new}
    for key, value in before.items():
        if key not in after:
            yield "enum value removed", TIGHTER, value, None
    for key, value in after.items():
        if key not in before:
            yield "enum value added", LOOSER, None, value


def _key(value: Any) -> tuple[bool, Any]:
    """Return what tells values of an enum apart: true is not 1."""
    is_plain = isinstance(value, str | int | float | bool) or value is None
    return isinstance(value, bool), value if is_plain else repr(value)


def _of_meaning(old: Field, new: Field) -> Iterator[Found]:
    """Yield changes that no value shows."""
    if old.column != new.column:
        yield "physical name changed", OTHER, old.column, new.column
    if old.unit != new.unit:
        yield _of_value("unit", old.unit or None, new.unit or None, _as_text, (old, new))
    if old.available_at != new.available_at:
        times = (old.available_at, new.available_at)
        # From known with the row, over a time in the row, to known only with the outcome.
        before, after = (1 + (t == "label") if t else 0 for t in times)
        breaks = OTHER if before == after else LOOSER if after > before else TIGHTER
        yield "available at changed", breaks, times[0] or None, times[1] or None
    if old.severity != new.severity:
        word, breaks = ("raised", TIGHTER) if new.severity == "error" else ("lowered", LOOSER)
        yield f"severity {word}", breaks, old.severity, new.severity


def _words(old: Any, new: Any, table: str, field: str, names: Sequence[str]) -> Iterator[Change]:
    """Yield changes of what people and reports read; they break nobody."""
    for name in names:
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            word = f"{name.removeprefix('is_').replace('_', ' ')} changed"
            yield _change(table, field, word, NOBODY, before, after)


def _unique_sets(table: Table) -> frozenset[frozenset[str]]:
    """Return every set of fields of which no two rows may have the same values."""
    single = {frozenset((field.name,)) for field in table.fields if field.unique}
    return frozenset(single | ({frozenset(table.key)} if table.key else set()))


def _implies(table: Table, fields: frozenset[str]) -> bool:
    """Whether no two rows can share `fields`: a part of them is already one row's own."""
    return any(own <= fields for own in _unique_sets(table))


def _unique_breaks(old: Table, new: Table, fields: frozenset[str]) -> frozenset[Party]:
    return _broken(_implies(old, fields), _implies(new, fields))


def _key_breaks(old: Table, new: Table) -> frozenset[Party]:
    """Return whom another key breaks; that its fields are required is told at the fields."""
    tightens = bool(new.key) and not _implies(old, frozenset(new.key))
    loosens = bool(old.key) and not _implies(new, frozenset(old.key))
    return _broken(not tightens, not loosens)


def _of_checks(old: Table, new: Table) -> Iterator[Change]:
    before, after = _named(old), _named(new)
    for name in [name for name in before if name not in after]:
        # A check of another name that asks the same was only renamed.
        twin = next((n for n in after if n not in before and _asks(after[n], before[name])), None)
        if twin is not None:
            yield _change(new.name, after[twin].field, "check renamed", NOBODY, name, twin)
            before[twin] = after[twin]
        else:
            check = before[name]
            yield _change(new.name, check.field, "check removed", LOOSER, _told(name, check))
        del before[name]
    for name, check in after.items():
        if name not in before:
            told = _told(name, check)
            yield _change(new.name, check.field, "check added", TIGHTER, None, told)
        else:
            yield from _of_check(new.name, name, before[name], check)


def _named(table: Table) -> dict[str, Check]:
    """Return the checks of a table by the name that reports give them."""
    found: dict[str, Check] = {}
    for check in table.checks:
        name = stem = check.name or f"{check.field or table.name}.{check.kind}"
        count = 1
        while name in found:
            count += 1
            name = f"{stem}_{count}"
        found[name] = check
    return found


def _asks(a: Check, b: Check) -> bool:
    """Whether two checks ask the same, whatever they are called."""
    return msgspec.structs.replace(a, name=b.name, description=b.description) == b


def _of_check(table: str, name: str, old: Check, new: Check) -> Iterator[Change]:
    breaks = _check_breaks(old, new)
    if breaks is not None:
        word = {NOBODY: "changed", TIGHTER: "tightened", LOOSER: "loosened"}.get(breaks, "changed")
        told = (_told(name, old), _told(name, new))
        yield _change(table, new.field, f"check {word}", breaks, *told)
    if old.description != new.description:
        words = (old.description, new.description)
        yield _change(table, new.field, "check reworded", NOBODY, *words)
    if old.severity != new.severity:
        word, parties = ("raised", TIGHTER) if new.severity == "error" else ("lowered", LOOSER)
        yield _change(
            table, new.field, f"check severity {word}", parties, old.severity, new.severity
        )


def _check_breaks(old: Check, new: Check) -> frozenset[Party] | None:
    """Return whom a changed check breaks; None where it asks what it asked before."""
    calm = {"name": "", "description": "", "severity": "error"}
    before, after = (msgspec.structs.replace(check, **calm) for check in (old, new))
    if before == after:
        return None
    same = {"limits": after.limits, "max_age_s": after.max_age_s}
    if msgspec.structs.replace(before, **same) != after:
        return OTHER
    return _broken(
        are_limits_within(old.limits, new.limits) and old.max_age_s <= new.max_age_s,
        are_limits_within(new.limits, old.limits) and new.max_age_s <= old.max_age_s,
    )


_SIGNS = {
    "at_least": ">=",
    "more_than": ">",
    "at_most": "<=",
    "less_than": "<",
    "equal": "=",
    "unequal": "!=",
}


def _told(name: str, check: Check) -> str:
    """Return a check in a few words, such as `flights.row_count >= 10 rows`."""
    bounds = [
        f"{sign} {_said(value)}"
        for key, sign in _SIGNS.items()
        if (value := getattr(check.limits, key)) is not None
    ]
    if check.limits.outside:
        bounds.append("outside {:g} to {:g}".format(*check.limits.outside))
    if check.max_age_s:
        bounds.append(f"at most {check.max_age_s:g} s old")
    elif bounds and check.kind != "sql":
        bounds[-1] += f" {check.unit}"
    if check.references:
        bounds.append(f"in {check.references}")
    return " ".join([name, " and ".join(bounds)]).strip()


def _said(value: Any) -> str:
    """Return a value as a line of text shows it: whole texts and numbers, long ones cut."""
    if isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, tuple | list):
        text = ", ".join(map(_said, value)) or "none"
    elif isinstance(value, str):
        text = value or "none"
    else:
        text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
