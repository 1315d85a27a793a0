"""The sentences that pages say: short, in the present, true when read alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from . import numbers
from .figures import DispositionMeaning, ErrorBudget, Promise, StateMeaning, Words
from .promises import BUDGET_DAYS
from .states import LEAST, WORDS, State

_TROUBLE = {
    "records": "Serving goes on, records wait: the database does not take them.",
    "jobs": "A periodic job fails.",
    "switchboard": "Changes by other processes are not seen: the store cannot be read.",
    "traces": "Traces are not delivered.",
    "database": "The database file is not where it was opened.",
    "spool": "The spool is not where it was opened: new records may be lost.",
}
_STATES: dict[State, str] = {
    "healthy": "The whole interval keeps the promise. “So far”: nothing speaks against it, "
    "but so few requests cannot prove it.",
    "at_risk": "The interval contains the promise, the last 24 hours alone break it, or the day's "
    "money ends before the day.",
    "breached": "The whole interval breaks the promise, or the error budget is spent.",
    "collecting": f"Too few requests to say: fewer than {LEAST}. The missing number is shown.",
    "off": "Not declared, or stopped by a person.",
}
_CERTIFICATES: dict[State, str] = {
    "healthy": "Certified from the service's own outcomes.",
    "at_risk": "Certified, and its audit stands above a twentieth of its alarm level.",
    "breached": "Never: it is switched off instead.",
    "collecting": "Evidence is gathered; how many outcomes are missing is shown.",
    "off": "Switched off by its audit, or by a person.",
}
_GATES: dict[State, str] = {
    "healthy": "Holds; of a rollout: not worse than allowed, so it is promoted.",
    "at_risk": "Waived, for less than 7 days more; of a rollout: evidence of harm grows.",
    "breached": "Fails; of a rollout: it does harm, so it goes back.",
    "collecting": "Inconclusive: how many cases or users are missing is shown.",
    "off": "Waived, or not measured; of a rollout: frozen or stopped by a person.",
}
_DISPOSITIONS = (
    DispositionMeaning(disposition="answered", means="A model answered."),
    DispositionMeaning(disposition="cached", means="An earlier answer was given again."),
    DispositionMeaning(
        disposition="fallback", means="No model did, so a rung of the ladder answered."
    ),
    DispositionMeaning(disposition="review", means="A person decides."),
    DispositionMeaning(
        disposition="refused", means="The contract, a guard, a ceiling or a stop refused it."
    ),
    DispositionMeaning(disposition="failed", means="Nothing answered in time."),
)
WORDS_PAGE = Words(
    states=tuple(
        StateMeaning(
            state=state,
            word=WORDS[state],
            objective=meaning,
            certificate=_CERTIFICATES[state],
            gate=_GATES[state],
        )
        for state, meaning in _STATES.items()
    ),
    dispositions=_DISPOSITIONS,
)
MEANS = {meaning.disposition: meaning.means for meaning in _DISPOSITIONS}
_FAILURES = {
    400: "This cannot be read.",
    401: "Log in to go on.",
    403: "You may not do this.",
    405: "This page does not do that.",
    409: "Nothing was done.",
    413: "This is too large.",
    429: "Too many wait already.",
    503: "The store does not answer. Serving goes on.",
}
_SMALL = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


class Stands(Protocol):
    """How a promise stands, and whether its whole interval keeps it."""

    @property
    def state(self) -> State:
        """By its numbers."""

    @property
    def is_proven(self) -> bool:
        """Whether its whole interval keeps it."""


class Known(NamedTuple):
    """A promise of which no more is known than that."""

    state: State
    is_proven: bool = True


def some(n: int, what: str) -> str:
    """Write a number of things as a sentence wants it.

    >>> some(1, "promise"), some(3, "service"), some(1200, "request")
    ('one promise', 'three services', '1,200 requests')
    """
    return f"{few(n)} {what}{'' if n == 1 else 's'}"


def exactly(n: int, what: str) -> str:
    """Write a number of things in figures.

    >>> exactly(1, "request"), exactly(1200, "request")
    ('1 request', '1,200 requests')
    """
    return f"{numbers.count(n)} {what}{'' if n == 1 else 's'}"


def home(
    services: int, promises: Sequence[Stands], todos: int, first: datetime | None, now: datetime
) -> str:
    """Return Home in one line: what of the promises, and what of people.

    >>> now = datetime(2026, 11, 23, 14, 32)
    >>> bad, unsure, good = Known("breached"), Known("at_risk"), Known("healthy")
    >>> home(2, [bad, unsure, good], 1, None, now)
    'One promise is broken and one is at risk. One thing needs a person.'
    >>> home(2, [good, Known("collecting")], 0, None, now)
    'No promise is broken; one waits for more requests. Nothing needs a person.'
    >>> home(2, [good, Known("healthy", False)], 0, None, now)
    'Every promise is kept so far. Nothing needs a person.'
    """
    if not services:
        return "There is no service yet."
    return f"{_promises(promises)} {_needs(todos, first, now)}"


def _promises(promises: Sequence[Stands]) -> str:
    states = [promise.state for promise in promises]
    broken, at_risk = states.count("breached"), states.count("at_risk")
    waiting = states.count("collecting")
    if broken:
        said = f"{some(broken, 'promise')} {_are(broken)} broken"
        said += f" and {few(at_risk)} {_are(at_risk)} at risk" if at_risk else ""
    elif at_risk:
        said = f"{some(at_risk, 'promise')} {_are(at_risk)} at risk"
    elif waiting:
        wait = "waits" if waiting == 1 else "wait"
        said = f"no promise is broken; {few(waiting)} {wait} for more requests"
    elif "healthy" in states:
        said = f"every promise is kept{_so_far(promises)}"
    else:
        said = "no service that answers promises anything"
    return _sentence(said)


def _needs(todos: int, first: datetime | None, now: datetime) -> str:
    if not todos:
        return "Nothing needs a person."
    due = f", the first by {numbers.at(first, now)}" if first else ""
    return _sentence(f"{some(todos, 'thing')} {'needs' if todos == 1 else 'need'} a person{due}")


def _so_far(promises: Sequence[Stands]) -> str:
    return "" if all(promise.is_proven for promise in promises) else " so far"


def service(name: str, promises: Sequence[Stands], *, is_stopped: bool) -> str:
    """Return a service's page in one line.

    >>> service("reply", [Known("healthy"), Known("breached")], is_stopped=False)
    'reply breaks one of its two promises.'
    >>> service("reply", [Known("healthy")], is_stopped=False)
    'reply keeps every promise.'
    """
    states = [promise.state for promise in promises]
    broken, at_risk = states.count("breached"), states.count("at_risk")
    if is_stopped:
        return f"{name} is stopped."
    if not states:
        return f"{name} promises nothing that is measured."
    if broken == len(states):
        return f"{name} breaks {'its promise' if broken == 1 else 'every promise'}."
    if broken or at_risk:
        verb = "breaks" if broken else "may break"
        return f"{name} {verb} {_of(broken or at_risk, len(states))}."
    if "collecting" in states:
        return f"{name} has too few requests to say whether it keeps its promises."
    return f"{name} keeps every promise{_so_far(promises)}."


def _of(n: int, whole: int) -> str:
    return "its promise" if whole == 1 else f"{few(n)} of its {some(whole, 'promise')}"


def health(
    promises: Sequence[Promise], budget: ErrorBudget | None, requests: int, now: datetime
) -> list[str]:
    """Return why a service is as it is; without promises, that it has none.

    Args:
        promises: What it promises.
        budget: Of its failures; None where no availability is promised.
        requests: n of the last 24 hours.
        now: The project's time.
    """
    if not promises:
        return ["No promise is declared."]
    said = [_trouble_of(promise, now) for promise in promises if promise.state in _UNQUIET]
    if budget and budget.spent_share is not None and budget.spent_share > 1:
        said.append(f"The error budget of {budget.days} days is spent.")
    if said:
        return said
    if not requests:
        return ["No request in the last 24 hours."]
    missing = max(promise.missing for promise in promises)
    if missing:
        are = "is" if missing == 1 else "are"
        return [f"Nothing is wrong so far; {exactly(missing, 'more request')} {are} needed to say."]
    said = [_known_of(promise, now) for promise in promises if not promise.is_proven]
    return said or ["Every promise is kept."]


_UNQUIET = ("breached", "at_risk")


def _trouble_of(promise: Promise, now: datetime) -> str:
    """Return what is wrong with a promise: since when, and how much."""
    since = f" since {numbers.at(promise.broken_since, now)}" if promise.broken_since else ""
    n, hits, window = promise.n, promise.hits, promise.window
    if promise.key == "objectives.latency_p95_ms":
        word = "Too slow" if promise.state == "breached" else "Perhaps too slow"
        slow = numbers.count(hits)
        whole = numbers.count(n)
        return f"{word}{since}: {slow} of {whole} requests in {window} were {promise.of}."
    is_sure = promise.state == "breached"
    if promise.is_proven:
        # The window keeps it still, and the last day alone does not.
        is_sure, n, hits, window = True, promise.n_24h, promise.hits_24h, "24 h"
    word = "Failing too often" if is_sure else "Perhaps failing too often"
    failed = numbers.count(n - hits)
    return f"{word}{since}: {failed} of {numbers.count(n)} requests in {window} failed."


def _known_of(promise: Promise, now: datetime) -> str:
    """Return what is known of a promise that is kept so far, and when it will be proven."""
    n, span = numbers.count(promise.n), _span_of(promise, now)
    is_latency = promise.key == "objectives.latency_p95_ms"
    bad = promise.hits if is_latency else promise.n - promise.hits
    none = f"was {promise.of}" if is_latency else "failed"
    some = f"{'was' if bad == 1 else 'were'} {promise.of}" if is_latency else "failed"
    if bad:
        kept = "the promise allows that, and it is not proven yet"
        return f"{numbers.count(bad)} of {n} requests in {span} {some}; {kept}."
    goal = "the promise" if is_latency else numbers.promised(promise.promise)
    from_n = numbers.count(promise.proven_from)
    return f"None of {n} requests in {span} {none}; {goal} is proven from {from_n} on."


def _span_of(promise: Promise, now: datetime) -> str:
    """Return the part of a promise's window that had requests."""
    days = -(-(now - promise.since).total_seconds() // 86_400) if promise.since else 0
    if promise.window == "24 h" or days <= 1:
        return "24 h"
    return f"{min(days, BUDGET_DAYS):.0f} days"


def trouble(part: str) -> str:
    """Return what it means that a part is degraded."""
    if part.startswith("release of "):
        return f"The {part} that should serve does not."
    return _TROUBLE.get(part, f"A part does not work: {part}.")


def failure(status: int, thing: str = "page", code: str = "") -> str:
    """Return what an error page says first.

    >>> failure(404, "request"), failure(409, code="not_ready")
    ('There is no such request.', 'It may not serve yet. Nothing was done.')
    """
    if code == "not_ready":
        return "It may not serve yet. Nothing was done."
    if code == "service_stopped":
        return "This service is stopped. The others go on."
    if status == 404:
        return f"There is no such {thing}."
    return _FAILURES.get(status, "Something failed inside. The server's log says what.")


def listed(items: Sequence[str], most: int = 2) -> str:
    """Write the first of some things, and how many more there are.

    >>> listed(["a", "b", "c", "d"]), listed(["a", "b"])
    ('a, b and 2 more', 'a and b')
    """
    if len(items) > most:
        return f"{', '.join(items[:most])} and {len(items) - most} more"
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))


def few(n: int) -> str:
    """Write a small number as a word.

    >>> few(0), few(3), few(1200)
    ('no', 'three', '1,200')
    """
    return _SMALL[n] if n < len(_SMALL) else numbers.count(n)


def _are(n: int) -> str:
    return "is" if n == 1 else "are"


def _sentence(said: str) -> str:
    return f"{said[0].upper()}{said[1:]}."
