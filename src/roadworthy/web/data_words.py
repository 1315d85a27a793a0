"""The sentences of the pages about data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from . import numbers
from .data_figures import AskedStatus, LookShown
from .states import State
from .todo import Todo
from .words import exactly, listed, some

if TYPE_CHECKING:
    from .data_standing import Standing

NEVER_MEASURED = (
    "It is measured every hour, once requests were given features; "
    "`roadworthy jobs run skew` measures it now."
)
MEANS = {
    "FULL": "Producers and consumers may go on as they are.",
    "BACKWARD": "Producers may go on. Consumers meet values that they were not promised.",
    "FORWARD": "Consumers may go on. Producers send what is refused now.",
    "NONE": "Producers and consumers have to change with it.",
}
SOURCES: dict[State, str] = {
    "healthy": "Kept",
    "at_risk": "Kept, with warnings",
    "breached": "Broken",
    "collecting": "Not validated",
    "off": "Off",
}
"""What the state of a source's contract is called."""
VOLUMES: dict[State, str] = {
    "healthy": "As declared",
    "at_risk": "Not as declared",
    "breached": "Not as declared",
    "collecting": "Not counted",
    "off": "Off",
}
"""What the state of a source's volume is called."""
RATES: dict[State, str] = {
    "healthy": "As declared",
    "at_risk": "Above",
    "breached": "Above",
    "collecting": "Not measured",
    "off": "Off",
}
"""What the state of a rate is called."""
VIEWS: dict[State, str] = {
    "healthy": "Fresh",
    "at_risk": "Nearly stale",
    "breached": "Stale",
    "collecting": "Empty",
    "off": "Off",
}
"""What the state of a view is called."""
_FEATURES: dict[State, str] = {
    "healthy": "As trained",
    "at_risk": "Moved",
    "breached": "Skewed",
    "collecting": "Too few values",
    "off": "Off",
}


def page_of(service: str) -> str:
    """Return the path of the page of a service's data."""
    return f"/services/{quote(service, safe='')}/data"


def feature_word(feature: Standing) -> str:
    """Return what the state of a feature is called."""
    return "Far" if feature.far else _FEATURES[feature.state]


def data(
    service: str,
    sources: Sequence[Standing],
    views: Sequence[Standing],
    features: Sequence[Standing],
    rates: Sequence[Standing],
    asked: AskedStatus | None,
) -> str:
    """Return the page of a service's data in one line."""
    states = [row.state for rows in (sources, views, features, rates) for row in rows]
    if not states:
        if asked is None:
            return f"{service} has no feature views, and its input no contract."
        return f"{service} has no feature views. {asked.says}"
    far = _far(features, f" of {service}")
    why = listed(list(_findings(sources, views, features, rates)), 3)
    if "breached" in states:
        return f"The data of {service} is not as promised: {why}."
    if far:
        return f"{far[0].upper()}{far[1:]}."
    if "at_risk" in states:
        return f"The data of {service} may not be as promised: {why}."
    if "collecting" in states:
        return f"Nothing is wrong with the data of {service} so far; not all of it is measured."
    return f"The data of {service} is as promised."


def brief(
    sources: Sequence[Standing],
    views: Sequence[Standing],
    features: Sequence[Standing],
    rates: Sequence[Standing],
) -> str:
    """Return how a service's data stand, where its name is said already."""
    found = listed(list(_findings(sources, views, features, rates)), 3)
    if found:
        return f"{found[0].upper()}{found[1:]}."
    if any(row.state == "collecting" for rows in (sources, views, features, rates) for row in rows):
        return "Nothing is wrong so far; not all of it is measured."
    return "All of it is as promised."


def _findings(
    sources: Sequence[Standing],
    views: Sequence[Standing],
    features: Sequence[Standing],
    rates: Sequence[Standing],
) -> Iterator[str]:
    """Yield what is not as it should be, the worst first."""
    moved = [row for row in features if not row.far]
    told = (
        (sources, "breached", "contract", ("is broken", "are broken")),
        (views, "breached", "view", ("is stale", "are stale")),
        (features, "breached", "feature", ("is skewed", "are skewed")),
        (sources, "at_risk", "contract", ("has warnings", "have warnings")),
        (views, "at_risk", "view", ("is nearly stale", "are nearly stale")),
        (moved, "at_risk", "feature", ("has moved", "have moved")),
        (rates, "at_risk", "rate", ("is above what was declared", "are above what was declared")),
    )
    for place, (rows, state, what, verbs) in enumerate(told):
        if place == 3 and (far := _far(features)):  # worse than a warning
            yield far
        n = sum(row.state == state for row in rows)
        if n and rows is moved and _far(features):
            yield f"{numbers.count(n)} {verbs[n > 1]}"
        elif n:
            yield f"{some(n, what)} {verbs[n > 1]}"


def _far(features: Sequence[Standing], of: str = "") -> str:
    far = sum(feature.far for feature in features)
    if not far:
        return ""
    are = "is" if far == 1 else "are"
    return (
        f"{numbers.count(far)} of {exactly(len(features), 'feature')}{of} {are} far from training"
    )


def todos(
    service: str,
    sources: Sequence[Standing],
    views: Sequence[Standing],
    features: Sequence[Standing],
    rates: Sequence[Standing],
) -> Iterator[Todo]:
    """Yield what a person can do about what is not as it should be."""
    page = page_of(service)
    for row in sources:
        if row.state == "breached":
            yield _todo(
                f"Correct {row.name} where it is made.",
                f"`roadworthy data validate {row.name} --quarantine bad` puts its bad rows aside.",
                f"{page}#contracts",
            )
    for row in views:
        if row.state == "breached":
            yield _todo(
                f"Bring newer rows for {row.name}, or push them.",
                "What is older than its ttl is served as null.",
                f"{page}#freshness",
            )
    unequal = [f"`{row.name}`" for row in features if row.unequal]
    if unequal:
        yield _todo(
            f"Find out why {listed(unequal, 3)} had another value when served.",
            "Their views say something else of the same moment.",
            f"{page}#skew",
        )
    far = [f"`{row.name}`" for row in features if row.far]
    if far:
        yield _todo(
            f"Look at the skew of {listed(far, 1)}.",
            "Did a unit change, or the world? If it was the world, train again.",
            f"{page}#skew",
        )
    above = [row.name for row in rates if row.state == "at_risk"]
    if above:
        yield _todo(
            f"Declare a higher rate for {listed(above, 1)}, and test at it.",
            "`roadworthy data loadtest` says whether this machine holds it.",
            f"{page}#rates",
        )


def _todo(says: str, why: str, link: str) -> Todo:
    return Todo(says=says, why=why, link=link, by=None)


def source(
    name: str, looks: Sequence[LookShown], broken: int, warned: int, version: str, now: datetime
) -> list[str]:
    """Return how a source kept its contract when it was last looked at."""
    if not looks:
        return [f"Not validated yet: `roadworthy data validate {name}` does it."]
    last = looks[-1]
    when = numbers.ago(last.at, now)
    if broken:
        are = "is" if broken == 1 else "are"
        rows = f"by {numbers.count(last.failed_rows)} of {exactly(last.rows, 'row')}"
        if not last.failed_rows:
            rows = f"by {exactly(last.rows, 'row')} as a whole"
        said = [
            f"Last validated {when}: the contract was not kept.",
            f"{some(broken, 'rule').capitalize()} {are} broken, {rows}.",
        ]
    else:
        said = [f"Last validated {when}: the contract was kept by {exactly(last.rows, 'row')}."]
    if warned:
        said.append(f"{some(warned, 'rule').capitalize()} of severity warning did not hold.")
    if version and last.version != version:
        said.append(
            f"It was held to version {last.version}; the views were registered with {version}."
        )
    return said


def volume(
    rows: int | None,
    most: int | None,
    of_day: int | None,
    range_of_day: Sequence[int],
    distinct: Mapping[str, int],
    most_distinct: Mapping[str, int],
) -> Iterator[str]:
    """Yield what was declared of a source's volume, and what the newest look found.

    Args:
        rows: All of them; None before the first look.
        most: What was declared.
        of_day: Those of the last whole day; None where none were counted.
        range_of_day: The fewest and the most that were declared.
        distinct: Field → its different values.
        most_distinct: Field → what was declared.
    """
    if most is not None:
        found = "" if rows is None else f"; it has {numbers.count(rows)}"
        yield f"At most {exactly(most, 'row')} declared{found}."
    if range_of_day:
        low, high = range_of_day
        found = "" if of_day is None else f"; in the last whole day {_came(of_day)}"
        yield f"{numbers.count(low)} to {exactly(high, 'row')} a day declared{found}."
    for name, count in most_distinct.items():
        found = f"; it has {numbers.count(distinct[name])}" if name in distinct else ""
        yield f"`{name}`: at most {exactly(count, 'value')} declared{found}."


def _came(rows: int) -> str:
    return f"{numbers.count(rows)} came" if rows else "none came"


def asked_rate(found: float, declared: float) -> str:
    """Return how often a service is asked.

    >>> asked_rate(0.5, 20)
    '0.5 requests a second in the busiest hour of 24; at most 20 declared.'
    """
    asked = f"{found:,.0f}" if found >= 10 else f"{found:.2g}"
    most = f"at most {declared:,.10g} declared"
    return f"{asked} requests a second in the busiest hour of 24; {most}."


def pushed_rate(found: int, declared: float) -> str:
    """Return how fast a view is pushed to."""
    pushed = f"{exactly(found, 'row')} in the busiest second of an hour"
    said = pushed if found else "Nothing was pushed in this hour"
    return f"{said}; at most {declared:,.10g} a second declared."


def asked(requests: int, refused: int, most: int) -> str:
    """Return what live requests did to the contract of the input."""
    if not requests:
        return "No request in the last 24 hours."
    whole = exactly(requests, "request")
    if not refused:
        all = "The request" if requests == 1 else f"All {whole}"
        return f"{all} of the last 24 hours kept the contract of the input."
    least = "At least " if refused > most else ""
    n = numbers.count(min(refused, most))
    return f"{least}{n} of {whole} in 24 hours broke the contract of the input (422)."


def view(
    filled_until: datetime | None,
    newest: datetime | None,
    stale_at: datetime | None,
    now: datetime,
    counts: tuple[int, int],
    ttl_s: int | None,
    served: Mapping[str, int],
) -> list[str]:
    """Return how new what is online of a view is, and what requests found of it.

    Args:
        filled_until: What was known by then is online; None where it was never filled.
        newest: The newest event of any entity; None where there is no row.
        stale_at: When that one goes stale; None where it never does.
        now: The project's time.
        counts: Rows that are online, and how many of them were pushed.
        ttl_s: Seconds after its event for which a row counts.
        served: What the newest requests found → how many did.
    """
    said = _online(filled_until, newest, stale_at, now, counts, ttl_s)
    if served:
        found = [f"{numbers.count(n)} {state}" for state, n in served.items()]
        found[0] = found[0].replace(" ", " found it ")
        whole = exactly(sum(served.values()), "request")
        said.append(f"Of the newest {whole}, {listed(found, 3)}.")
    return said


def _online(
    filled_until: datetime | None,
    newest: datetime | None,
    stale_at: datetime | None,
    now: datetime,
    counts: tuple[int, int],
    ttl_s: int | None,
) -> list[str]:
    if filled_until is None:
        return ["Not filled yet: the job `features` fills it within five minutes."]
    rows, pushed = counts
    behind = max(0.0, (now - filled_until).total_seconds())
    said = [
        f"Filled until {numbers.at(filled_until, now)}, {numbers.span(behind)} behind.",
        f"{some(rows, 'row').capitalize()} online"
        + (f", {numbers.count(pushed)} of them pushed." if pushed else "."),
    ]
    if newest is None:
        return said
    told = f"The newest event is of {numbers.at(newest, now)}"
    if stale_at is None or ttl_s is None:
        return [*said, f"{told} and never goes stale."]
    verb = "went" if stale_at <= now else "goes"
    rule = f"with a ttl of {numbers.span(ttl_s)}"
    return [*said, f"{told}; {rule} it {verb} stale at {numbers.at(stale_at, now)}."]


def contract(
    name: str, version: str, changes: int, broken: Sequence[str], old: str, *, is_same: bool = False
) -> str:
    """Return what became of a contract in one line.

    Args:
        name: Its id.
        version: As its file stands now.
        changes: Since `old`.
        broken: The parties that they break.
        old: The registered version that it is held against; empty where there is none.
        is_same: Whether the file is that version, to the last byte.

    >>> contract("weather", "2.0.0", 2, ["consumer"], "1.0.0")
    'weather 2.0.0 breaks its consumers: 2 changes since 1.0.0.'
    >>> contract("weather", "1.0.0", 0, [], "1.0.0", is_same=True)
    'weather 1.0.0 is as it was registered.'
    """
    if not old:
        return f"No version of {name} is registered yet."
    if is_same:
        return f"{name} {version} is as it was registered."
    if not changes and version == old:
        return f"{name} {version} promises what was registered, in other words."
    if not changes:
        return f"{name} {version} promises what {old} did."
    whom = " and ".join(f"its {party}s" for party in broken) or "nobody"
    return f"{name} {version} breaks {whom}: {exactly(changes, 'change')} since {old}."


def reader(version: str, *, breaks: bool, agrees: bool) -> str:
    """Return whether a service may be released with a contract as it is."""
    if not breaks:
        return "Nothing that it reads breaks."
    if agrees:
        return f"It accepts {version}, which breaks what it reads."
    return f"It reads what breaks, and does not name {version} in `[contract] accepts`."


def job(name: str, error: str) -> str:
    """Return that a job of data fails."""
    return f"The job `{name}` fails: {error}"
