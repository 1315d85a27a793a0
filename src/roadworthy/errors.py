"""Every error this package raises, drawn as the tree it is.

* RoadworthyError
  x DeclarationError
  x MissingExtra
  x StoreError
    + StoreBusy
  x NotFound
  x RequestError
    + Unauthenticated
    + Forbidden
    + PayloadTooLarge
    + Overloaded
    + ContractViolation
    + GuardDenied
    + NoPassages
    + NotSure
    + Conflict
    + NotReady
    + BudgetExhausted
    + ServiceStopped
  x ModelError
    + ModelTimeout
    + ModelUnavailable
    + ModelRateLimited
    + ModelRejected
    + BadAnswer
    + AllModelsFailed

A class exists where someone would catch it separately. The gateway reads `code`, `status` and
`retryable`; the failover reads `retryable`. A message says what was expected, what came, where, and
what to do; it never holds a secret or a user's text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .types import Attempt, Judgement, Problem

Cause = Literal[
    "",
    "connection",
    "timeout",
    "server",
    "rate_limit",
    "no_credit",
    "auth",
    "content_filter",
    "context_length",
    "rejected",
    "malformed",
    "missing",
]
"""What was wrong upstream: no connection or it broke; no answer in time; it failed inside; it asks
for patience; its bill is not paid; it refuses the key; it does not want to say that; the input is
too long for it; it does not take the request; what came is no whole answer; it is not set up here.
Empty where that is not known. Only the first six, and what is malformed, say how the model is."""


class RoadworthyError(Exception):
    """Base of all errors. Catch this to catch everything the package raises.

    Attributes:
        code: Stable machine name, part of the public API.
        status: HTTP status the gateway answers with.
        retryable: Whether the same request may succeed on another attempt or model.
        param: The field of the request that is at fault, if one is.
        retry_after_s: Seconds after which a retry makes sense, if known.
        headers: What a response says beside it, names in lower case.
    """

    code: str = "internal_error"
    status: int = 500
    retryable: bool = False
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def __init__(
        self, message: str, *, param: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.param = param
        self.retry_after_s = retry_after_s


class DeclarationError(RoadworthyError):
    """A declaration is wrong; raised before anything is served, with all its problems at once."""

    code = "declaration_error"
    status = 422

    def __init__(self, message: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class MissingExtra(RoadworthyError):
    """An optional dependency is not installed; the message is the line that installs it."""

    code = "missing_extra"

    def __init__(self, extra: str, needed_for: str, line: str = "") -> None:
        line = line or f"pip install 'roadworthy[{extra}]'"
        super().__init__(f"{needed_for} needs an extra: run `{line}`")
        self.extra = extra


class StoreError(RoadworthyError):
    """The store cannot be reached or written."""

    code = "store_unavailable"
    status = 503
    retryable = True


class StoreBusy(StoreError):
    """Another process serves this project; the message names it and what to do."""

    code = "project_in_use"
    status = 409


class NotFound(RoadworthyError):
    """The service, request, release, key or route does not exist."""

    code = "not_found"
    status = 404


class RequestError(RoadworthyError):
    """The request may not be answered as it stands."""

    code = "invalid_request"
    status = 400


class Unauthenticated(RequestError):
    """No valid key came with the request."""

    code = "unauthenticated"
    status = 401


class Forbidden(RequestError):
    """The key is valid but may not do this."""

    code = "forbidden"
    status = 403


class PayloadTooLarge(RequestError):
    """The body or the headers exceed the limit."""

    code = "payload_too_large"
    status = 413


class Overloaded(RequestError):
    """More requests are in flight than this process accepts, or come than a limit lets pass.

    Attributes:
        code: `rate_limited` where a declared limit is reached.
    """

    code = "overloaded"
    status = 429
    retryable = True


class ContractViolation(RequestError):
    """The input does not keep the declared contract."""

    code = "contract_violation"
    status = 422


class GuardDenied(RequestError):
    """A guard denied the request or every answer to it."""

    code = "guard_denied"
    status = 403


class NoPassages(RequestError):
    """No page answers the question, so that no model was asked whose answer must be supported."""

    code = "no_passages"
    status = 422


class NotSure(RequestError):
    """An answer may not be given alone, and nobody is there to be asked."""

    code = "not_sure"
    status = 403


class Conflict(RequestError):
    """Somebody else was there first, or what is to be decided has changed; the message says who."""

    code = "conflict"
    status = 409


class NotReady(RequestError):
    """A release may not serve yet; there is a problem for each gate that holds it up."""

    code = "not_ready"
    status = 409

    def __init__(self, message: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class BudgetExhausted(RequestError):
    """Answering could cross a declared ceiling.

    Attributes:
        scope: Whose ceiling it is, as the ledger names it.
    """

    code = "budget_exhausted"
    status = 429

    def __init__(
        self, message: str, *, scope: str = "", retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.scope = scope


class ServiceStopped(RequestError):
    """This service is stopped: by a person, or because its release cannot be opened."""

    code = "service_stopped"
    status = 503
    retryable = True


class ModelError(RoadworthyError):
    """A model could not answer.

    Attributes:
        attempts: What was tried, in order, with what each try cost.
        may_cost: Whether a provider may charge for it: a good answer had begun to come.
        cause: What was wrong upstream, which decides what is done next; see `Cause`.
    """

    code = "model_error"
    status = 502
    retryable = True
    may_cost: bool = False
    cause: Cause = ""

    def __init__(
        self,
        message: str,
        *,
        attempts: Sequence[Attempt] = (),
        param: str | None = None,
        retry_after_s: float | None = None,
        cause: Cause = "",
    ) -> None:
        super().__init__(message, param=param, retry_after_s=retry_after_s)
        self.attempts = tuple(attempts)
        if cause:
            self.cause = cause


class ModelTimeout(ModelError):
    """A model did not answer within the time that was left."""

    code = "model_timeout"
    status = 504
    cause: Cause = "timeout"


class ModelUnavailable(ModelError):
    """A model could not be reached, failed inside, or has no key (`no_key`)."""

    code = "model_unavailable"
    status = 503
    cause: Cause = "connection"


class ModelRateLimited(ModelError):
    """A provider refused for now; `retry_after_s` is its own advice."""

    code = "model_rate_limited"
    status = 503
    cause: Cause = "rate_limit"


class ModelRejected(ModelError):
    """A provider refuses this request as it stands: too long, filtered, malformed."""

    code = "model_rejected"
    status = 502
    cause: Cause = "rejected"


class BadAnswer(ModelError):
    """What came back is not a whole answer: malformed, truncated, or against the schema."""

    code = "bad_answer"
    status = 502
    cause: Cause = "malformed"


class AllModelsFailed(ModelError):
    """Every model of the chain failed; the message and `attempts` keep each one in order.

    Its status is 504 where all were late and 503 where none could be reached; it is not retryable
    where each refused the request as it stands.

    Attributes:
        judgement: What the judge said of the last answer, if any model gave one.
    """

    code = "all_models_failed"
    judgement: Judgement | None = None
