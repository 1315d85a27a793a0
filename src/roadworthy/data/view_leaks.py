"""What is declared of leakage: features of views that are made of what was not known yet.

A contract says when each field is known, a view says from when its rows count, and SQL lineage says
which fields a feature is made of, and of which rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .known_when import WITH_LABEL, KnownWhen, Late
from .leakage import Leak, when_known
from .relations import Sources
from .view_sql import SqlProblem
from .views import View, known_when, stored_in


class Declared(NamedTuple):
    """What views declare.

    Attributes:
        leaks: The features that are made of fields which are known later than their rows count.
        untraced: Of what nothing can be said, and why, in sentences.
    """

    leaks: list[Leak]
    untraced: list[str]


def declared_leaks(views: Sequence[View], sources: Sources) -> Declared:
    """Return the features that are made of fields which are known later than their rows count.

    A field is honest if it is known with its row, or if its row provably counts only from when the
    field is known.
    """
    leaks: list[Leak] = []
    untraced: list[str] = []
    for view in views:
        try:
            known = known_when(view, sources)
        except SqlProblem as problem:
            got = f"expected {problem.expected}, got {problem.got}"
            untraced.append(f"`{view.id}` cannot be traced: {got}")
            continue
        if not known.claims:
            untraced.append(
                f"`{view.id}` cannot be traced: nothing shows that `{view.created_time}`, its "
                "created time, is never before a time of its sources; make it such a field, or "
                "`greatest(…)` of one"
            )
        leaks += _leaks_of(view, known, sources)
    return Declared(leaks, untraced)


def _leaks_of(view: View, known: KnownWhen, sources: Sources) -> list[Leak]:
    available = {
        f"{name}.{field.name}": field.available_at
        for name in view.sources
        if name in sources
        for field in sources[name].table.fields
        if field.available_at
    }
    stored = {c.name: known.late(c.name, available) for c in view.features}
    leaks = {name: _leak(name, "is made of", late, view) for name, late in stored.items() if late}
    for name in view.computed:
        late = next((one for word in stored_in(view, name) if (one := stored[word])), None)
        if late is not None:
            leaks[name] = _leak(name, "is made of", late, view)
    late = known.late("", available)
    if late is not None:
        for name in view.names:
            leaks.setdefault(name, _leak(name, "has its rows chosen by", late, view))
    return [leaks[name] for name in view.names if name in leaks]


def _leak(feature: str, how: str, late: Late, view: View) -> Leak:
    if late.known_at == WITH_LABEL and late.is_declared:
        return Leak(
            feature, "label", f"`{feature}` {how} `{late.field}`, which {when_known(WITH_LABEL)}"
        )
    if late.is_declared:
        why = (
            f"`{feature}` {how} `{late.field}`, which {when_known(late.known_at)}; let "
            f"`created_time` of `{view.id}` be `{late.known_at}`, or `greatest(…)` of it"
        )
    else:
        why = (
            f"`{feature}` {how} `{late.field}` of other rows, and nothing shows that their "
            f"`{late.known_at}` is not after `{view.created_time}`, the created time of "
            f"`{view.id}`; order the window by that, or join on `<=` of it"
        )
    return Leak(feature, "known_later", why)
