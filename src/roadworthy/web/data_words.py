"""The sentences of the pages about data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from . import numbers
from .data_figures import AskedStatus, FeatureStatus, LookShown, SourceStatus, ViewStatus
from .words import exactly, listed, some

NEVER_MEASURED = (
    "It is measured every hour, once requests were given features; "
    "`roadworthy jobs run skew` measures it now."
)
MEANS = {
    "FULL": "Nobody has to do anything.",
    "BACKWARD": "Producers may go on. Consumers meet values that they were not promised.",
    "FORWARD": "Consumers may go on. Producers send what is refused now.",
    "NONE": "Producers and consumers have to change with it.",
}


def data(
    service: str,
    sources: Sequence[SourceStatus],
    views: Sequence[ViewStatus],
    features: Sequence[FeatureStatus],
    asked: AskedStatus | None,
) -> str:
    """Return the page of a service's data in one line."""
    states = [row.state for rows in (sources, views, features) for row in rows]
    if not states:
        if asked is None:
            return f"{service} has no feature views, and its input no contract."
        return f"{service} has no feature views. {asked.says}"
    for state, verdict in (("breached", "is not"), ("at_risk", "may not be")):
        if state in states:
            parts = [
                _told(sources, state, "contract", ("is broken", "are broken", "has warnings")),
                _told(views, state, "view", ("is stale", "are stale", "is nearly stale")),
                _told(features, state, "feature", ("is skewed", "are skewed", "has moved")),
            ]
            why = listed([part for part in parts if part], 3)
            return f"The data of {service} {verdict} as promised: {why}."
    if "collecting" in states:
        return f"Nothing is wrong with the data of {service} so far; not all of it is measured."
    return f"The data of {service} is as promised."


def todos(
    sources: Sequence[SourceStatus],
    views: Sequence[ViewStatus],
    features: Sequence[FeatureStatus],
) -> list[str]:
    """Return what a person can do about what is broken."""
    said = [
        f"Correct {row.source} where it is made; `roadworthy data validate {row.source} "
        "--quarantine bad` puts its bad rows aside."
        for row in sources
        if row.state == "breached"
    ]
    said += [
        f"Bring newer rows for {row.view}, or push them: what is older than its ttl is served as "
        "null."
        for row in views
        if row.state == "breached"
    ]
    unequal = [f"`{row.feature}`" for row in features if row.unequal]
    if unequal:
        said.append(
            f"Find out why {listed(unequal, 3)} had another value when served than the "
            "source gives now; the requests are below."
        )
    far = [f"`{row.feature}`" for row in features if row.state == "breached" and not row.unequal]
    if far:
        said.append(
            f"Look whether {listed(far, 3)} changed in its unit or in the world; then train again."
        )
    return said


def _told(
    rows: Sequence[SourceStatus] | Sequence[ViewStatus] | Sequence[FeatureStatus],
    state: str,
    what: str,
    verbs: tuple[str, str, str],
) -> str:
    n = sum(row.state == state for row in rows)
    if not n:
        return ""
    one, many, mild = verbs
    if state == "at_risk":
        verb = mild if n == 1 else mild.replace("has ", "have ").replace("is ", "are ")
    else:
        verb = one if n == 1 else many
    return f"{some(n, what)} {verb}"


def source(
    name: str, looks: Sequence[LookShown], broken: int, warned: int, version: str, now: datetime
) -> list[str]:
    """Return how a source kept its contract when it was last looked at."""
    if not looks:
        return [f"Never validated: `roadworthy data validate {name}` does."]
    last = looks[-1]
    when = numbers.ago(last.at, now)
    if broken:
        are = "is" if broken == 1 else "are"
        rows = f"by {numbers.count(last.failed_rows)} of {exactly(last.rows, 'row')}"
        if not last.failed_rows:
            rows = f"by {exactly(last.rows, 'row')} as a whole"
        said = [
            f"Last validated {when}, and not kept.",
            f"{some(broken, 'rule').capitalize()} {are} broken, {rows}.",
        ]
    else:
        said = [f"Last validated {when}, and kept by {exactly(last.rows, 'row')}."]
    if warned:
        said.append(f"{some(warned, 'rule').capitalize()} of severity warning did not hold.")
    if version and last.version != version:
        said.append(f"That was held to version {last.version}; the views read {version}.")
    return said


def asked(requests: int, refused: int, most: int) -> str:
    """Return what live requests did to the contract of the input."""
    if not requests:
        return "No request in the last 24 hours."
    whole = exactly(requests, "request")
    if not refused:
        kept = "the request of the last 24 hours keeps" if requests == 1 else f"all {whole} kept"
        return f"{kept[0].upper()}{kept[1:]} the contract of the input."
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
        return ["Never filled: the job `features` does within five minutes."]
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


def contract(name: str, version: str, changes: int, broken: Sequence[str], old: str) -> str:
    """Return what became of a contract in one line; `broken` are parties.

    >>> contract("weather", "2.0.0", 2, ["consumer"], "1.0.0")
    'weather 2.0.0 breaks its consumers: 2 changes since 1.0.0.'
    """
    if not old:
        return f"No version of {name} is registered yet."
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
