"""`services/<name>/service.toml` as frozen values, with every default filled in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PrivateAttr

from ..types import Kind
from .budgets import Limits
from .caching import Cache
from .evaluation import Evaluation, Fairness, Quality
from .planned import VALUES
from .release import ReleasePolicy
from .review import Outcomes, ReviewPolicy
from .routing import FailoverPolicy, Routing
from .values import (
    ContractVersion,
    File,
    Json,
    Label,
    Milliseconds,
    Rate,
    Section,
    Text,
    Usd,
    ViewVersion,
    Word,
    known_or_other,
    micro,
    plugin_of,
)

Risk = Literal["low", "limited", "high"]

GUARDS = ("schema", "rule", "grounded")
GuardKind = Annotated[
    str, plugin_of("guards", GUARDS, VALUES.get("guards.use", ())), known_or_other(GUARDS)
]


class Owners(Section):
    """Who answers for the service. A high-risk service needs three different people."""

    product: Text = Field(description="Who decides what the service should do.")
    model: Text = Field(
        default_factory=lambda owners: str(owners["product"]),
        description="Who answers for the quality of the answers; by default the product's owner.",
    )
    platform: Text = Field(
        default_factory=lambda owners: str(owners["product"]),
        description="Who answers for running it; by default the product's owner.",
    )


class Contract(Section):
    """What goes in and comes out: JSON Schemas (draft 2020-12) or data contracts (ODCS 3.2).

    They are files beside the service file. Of a data contract with several tables one is named
    behind it: `flights.odcs.yaml#schedule`.
    """

    input: Text | None = Field(
        None,
        description="File of the JSON Schema, or of the data contract (`*.odcs.yaml`), that every "
        "input must keep.",
    )
    output: Text | None = Field(
        None,
        description="File of the JSON Schema, or of the data contract, that every answer must "
        "keep.",
    )
    reasks: int = Field(
        1,
        ge=0,
        le=1,
        description="How often a model is asked again, with what is wrong, when its JSON breaks "
        "the schema of `output` and cannot be repaired.",
    )
    accepts: Annotated[tuple[ContractVersion, ...], Field(strict=False)] = Field(
        (),
        description="Versions of source contracts that this service has agreed to, like "
        "`weather@2.0.0`; a version that breaks its consumers stops its releases until it stands "
        "here.",
    )


class Features(Section):
    """What the model is given beside the input."""

    views: Annotated[tuple[ViewVersion, ...], Field(strict=False)] = Field(
        (),
        description="Feature views, each with its version, like `weather_now@2`; their entities "
        "are fields of the input.",
    )
    training: Text | None = Field(
        None,
        description="File that says which training set the model learned from, as `features "
        "history --save --json` prints it; it must have the views that are served.",
    )


class Chat(Section):
    """How clients of the OpenAI chat protocol meet a generate service.

    Without this table messages and all client parameters pass straight through; with it only what
    it allows does.
    """

    variable: Label | None = Field(
        None, description="Input variable that the last user message becomes."
    )
    history: bool = Field(True, description="Whether earlier messages are passed on.")
    client_system: Literal["refuse", "untrusted"] = Field(
        "refuse",
        description="What happens to a client's system message: it is refused (422), "
        "or passed on as untrusted user text.",
    )
    allow: Annotated[tuple[Label, ...], Field(strict=False)] = Field(
        (), description="Client parameters that count; any other is refused (422)."
    )


class Prompt(Section):
    """What a model is told, written as a template beside the service file."""

    file: Text = Field(
        description="File of the prompt: a Jinja template of the fields of the input and of "
        "`passages`, in blocks `# system`, `# user` and `# assistant`.",
    )


class Retrieval(Section):
    """Where an answer has to be from."""

    folder: Text = Field(description="Folder of Markdown pages, searched for each question.")
    top_k: int = Field(3, ge=1, le=50, description="Most passages that a question is given.")
    max_tokens: int = Field(
        600, ge=16, le=1_000_000, description="Most tokens of all these passages together."
    )
    min_score: float = Field(
        0.4,
        ge=0,
        le=1,
        description="Passages less near to the question than this (0-1) are left out.",
    )
    dedupe: float = Field(
        0.95,
        gt=0,
        le=1,
        description="A passage as near as this (0-1) to a better one says nothing new and is left "
        "out.",
    )
    choose: Literal["nearest", "value"] = Field(
        "nearest",
        description="Which passages fill `max_tokens`: the `nearest`, or behind the nearest "
        "those of most `value`: nearness above `min_score` for each token. On the pages of the "
        "example, value gives 6 % fewer tokens and finds one answer of 90 less.",
    )


class Context(Section):
    """What a model is given beside the question, and how much of it."""

    max_input_tokens: int | None = Field(
        None,
        ge=1,
        le=10_000_000,
        description="Most tokens of all messages to a model, counted by its own vocabulary where "
        "that is known, else at what its provider was seen to count.",
    )
    overflow: Literal["refuse", "drop_oldest", "summarise"] = Field(
        "refuse",
        description="What happens to messages that are too long: they are refused (422), the "
        "oldest are dropped, or those are summarised by `summarise_with`.",
    )
    summarise_with: Label | None = Field(
        None, description="For `summarise`: name of the entry of `[[models]]` that writes it."
    )
    max_history_tokens: int | None = Field(
        None,
        ge=1,
        le=10_000_000,
        description="Most tokens of earlier messages; the oldest go first.",
    )
    max_output_tokens: int | None = Field(
        None, ge=1, le=10_000_000, description="Most tokens that any model may put out."
    )
    truncated: Literal["mark", "next", "continue"] = Field(
        "mark",
        description="What happens to an answer that ended at its limit of tokens: it is given and "
        "marked as cut off, the next model is asked, or the same one goes on where it stopped.",
    )
    retrieval: Retrieval | None = Field(
        None, description="Pages that are searched for passages that answer the question."
    )


class Objectives(Section):
    """Promises with numbers."""

    deadline_ms: Milliseconds = Field(
        description="Hard limit in milliseconds: by then there is an answer, a fallback or an "
        "error."
    )
    latency_p95_ms: Milliseconds | None = Field(
        None, description="Milliseconds within which 95 of 100 requests are answered."
    )
    availability: float | None = Field(
        None, gt=0, lt=1, description="Share of requests (0-1) that end without a failure."
    )
    quality: Quality | None = Field(
        None, description="How good answers have to be, measured before a release and after."
    )
    fairness: Annotated[tuple[Fairness, ...], Field(strict=False)] = Field(
        (), description="How far groups may be treated differently."
    )


class Load(Section):
    """How much the service is asked."""

    requests_per_second: float | None = Field(
        None,
        gt=0,
        le=1_000_000,
        description="Most requests a second that it is asked; its features are read so fast.",
    )


class Cost(Section):
    """Ceilings in USD. What a request may cost is reserved before its call."""

    per_request_usd: Usd | None = Field(None, description="Most that one request may cost, in USD.")
    per_day_usd: Usd | None = Field(
        None,
        description="Most that all requests of a UTC day may cost, in USD; "
        "required where a provider charges.",
    )
    per_user_per_day_usd: Usd | None = Field(
        None, description="Most that the requests of one user may cost in a UTC day, in USD."
    )
    per_month_usd: Usd | None = Field(
        None, description="Most that all requests of a calendar month (UTC) may cost, in USD."
    )
    per_user_per_month_usd: Usd | None = Field(
        None, description="Most that the requests of one user may cost in a month, in USD."
    )
    soft_share: float = Field(
        0.8,
        gt=0,
        lt=1,
        description="Share (0-1) of a ceiling at which webhooks are told and `on_soft` begins.",
    )
    on_soft: Literal["alert", "cheapest"] = Field(
        "alert",
        description="From `soft_share` on: webhooks are told (`alert`), or the cheapest model is "
        "asked first, too.",
    )
    on_exhausted: Literal["refuse", "fallback"] = Field(
        "refuse",
        description="What happens at a ceiling: refuse with 429, or try the rungs of the ladder "
        "that cost nothing (`rule`, `static`, a model in this process).",
    )
    value_per_answer_usd: Usd | None = Field(
        None, description="What one good answer is worth, in USD; shown beside its cost."
    )
    on_loss: Literal["alert", "refuse"] = Field(
        "alert",
        description="When an accepted answer costs more than `value_per_answer_usd`: webhooks are "
        "told, or no release is promoted either until that changed.",
    )
    egress_usd_per_gb: Rate | None = Field(
        None, description="What a gigabyte that leaves costs, in USD; part of estimates, reports."
    )
    review_usd_per_minute: Rate | None = Field(
        None, description="What a minute of a reviewer costs, in USD; likewise."
    )
    review_minutes: float = Field(
        3.0, gt=0, le=1440, description="Minutes that a person needs to decide one case."
    )
    retrain_usd: Rate | None = Field(
        None, description="What one retraining costs, in USD; likewise."
    )
    retrains_per_month: float = Field(
        0.0, ge=0, le=10_000, description="How often a month it is trained again."
    )

    @property
    def per_month_micro(self) -> int | None:
        """`per_month_usd` in micro-dollars."""
        return micro(self.per_month_usd)

    @property
    def per_user_per_month_micro(self) -> int | None:
        """`per_user_per_month_usd` in micro-dollars."""
        return micro(self.per_user_per_month_usd)

    @property
    def per_request_micro(self) -> int | None:
        """`per_request_usd` in micro-dollars."""
        return micro(self.per_request_usd)

    @property
    def per_day_micro(self) -> int | None:
        """`per_day_usd` in micro-dollars."""
        return micro(self.per_day_usd)

    @property
    def per_user_per_day_micro(self) -> int | None:
        """`per_user_per_day_usd` in micro-dollars."""
        return micro(self.per_user_per_day_usd)


class ModelEntry(Section):
    """One model. All are tried in order, but one that a rung of the ladder names waits for it."""

    provider: Label = Field(description="Name of the provider in roadworthy.toml that serves it.")
    model: Text = Field(
        description="What the provider calls it: an upstream name, an ONNX or GGUF file, "
        "`package:<name>` for a GGUF file that a package brings, `module:callable`, an expression, "
        "a script file, `builtin:extractive`, or whatever a plugin takes."
    )
    name: Label = Field(
        default_factory=lambda entry: str(entry["model"]),
        validate_default=True,
        description="Name that records, headers and the ladder use; by default as `model`.",
    )
    timeout_ms: Milliseconds | None = Field(
        None,
        description="Most milliseconds that one attempt may take; by default an equal share of the "
        "time left among the models left.",
    )
    max_output_tokens: int | None = Field(
        None, gt=0, le=10_000_000, description="Most tokens that it may put out for one request."
    )
    context_tokens: int | None = Field(
        None,
        ge=1,
        le=100_000_000,
        description="Its context window in tokens, in and out; by default what is published of it. "
        "What does not fit goes to the next model, without a call.",
    )
    weight: float = Field(
        1.0,
        gt=0,
        le=1_000_000,
        description="For `failover.order = weighted`: its share of first tries.",
    )


class GuardEntry(Section):
    """A check of every input or every answer."""

    use: GuardKind = Field(
        description="Which guard: `rule` holds while its expression is true, `schema` while the "
        "value keeps a JSON Schema, `grounded` while every sentence of an answer is supported by "
        "the passages found for it; or the name of a plugin."
    )
    on: Literal["input", "output"] = Field("output", description="What it looks at.")
    name: Label = Field(
        default_factory=lambda guard: str(guard["use"]),
        validate_default=True,
        description="Name in records and messages; by default the same as `use`.",
    )
    expression: Text | None = Field(
        None,
        description="For `rule`: the expression (CEL) that must be true. A plugin may read it.",
    )
    schema_file: Text | None = Field(
        None,
        alias="schema",
        description="For `schema`: the file of the JSON Schema that must be kept. A plugin may "
        "read it.",
    )
    at_least: float | None = Field(
        None,
        ge=0,
        le=1,
        description="For `grounded`: the least support (0-1) that every sentence needs; 0.7 where "
        "it is left out. A plugin may read it.",
    )
    verdict: Literal["deny"] = Field("deny", description="What it says when its check fails.")
    fail: Literal["closed", "open"] = Field(
        "closed", description="When the guard itself fails: `closed` denies, `open` lets pass."
    )


class Rung(Section):
    """One rung of the ladder, tried when the models fail, are late or too dear."""

    use: Literal["model", "last_good", "stale_cache", "rule", "static", "human"] = Field(
        description="What answers: a declared model, the release that served before this one, an "
        "answer whose time in the cache is over, an expression, a fixed output, or a person of the "
        "queue that `[review]` names."
    )
    model: Label | None = Field(
        None,
        description="For `model`: the name of an entry of `[[models]]`, which is then kept for the "
        "ladder.",
    )
    expression: Text | None = Field(
        None, description="For `rule`: the expression (CEL) whose value is the output."
    )
    output: Json | None = Field(
        None, description="For `static`: the output, a table that keeps the contract."
    )


class Records(Section):
    """What is remembered of each request."""

    bodies: Literal["full", "none"] = Field(
        "full",
        description="Whether inputs and outputs are kept (`full`) or not (`none`); what waits for "
        "a person is kept for a day, and what that person corrected until its record goes.",
    )
    keep_days: int = Field(90, ge=1, le=36_500, description="Days after which records are deleted.")


class ServiceDeclaration(File):
    """One job that AI does in a product, as its team declares it."""

    name: Word = Field(description="Name of the service, the same as its folder's.")
    kind: Kind = Field(
        description="`predict` (features in, prediction out) or `generate` (messages in, text, "
        "JSON or tool calls out)."
    )
    purpose: str = Field("", max_length=4000, description="What it is for, in one sentence.")
    risk: Risk = Field(
        "limited", description="How much harm a wrong answer can do: sets what is obligatory."
    )
    owners: Owners = Field(description="Who answers for the service.")
    contract: Contract = Field(Contract(), description="What goes in and comes out.")
    features: Features = Field(Features(), description="What the model is given beside the input.")
    chat: Chat | None = Field(
        None,
        description="How OpenAI chat clients meet a generate service; without it all passes.",
    )
    prompt: Prompt | None = Field(
        None, description="What a model is told; without it, what the client sent and nothing else."
    )
    context: Context = Field(Context(), description="What a model is given beside the question.")
    objectives: Objectives = Field(description="Promises with numbers.")
    volume: Load = Field(Load(), description="How much the service is asked.")
    cost: Cost = Field(description="Ceilings in USD.")
    models: Annotated[tuple[ModelEntry, ...], Field(strict=False)] = Field(
        min_length=1, description="What answers, in the order it is tried."
    )
    routing: Routing = Field(Routing(), description="How a model is chosen.")
    failover: FailoverPolicy = Field(
        FailoverPolicy(), description="What happens when a model does not answer."
    )
    cache: Cache = Field(Cache(), description="When an answer is given again.")
    limits: Limits = Field(Limits(), description="How much the service may be asked.")
    guards: Annotated[tuple[GuardEntry, ...], Field(strict=False)] = Field(
        (), description="Checks of every input and every answer, in order."
    )
    fallback: Annotated[tuple[Rung, ...], Field(strict=False)] = Field(
        (), description="The ladder: what answers when the models do not, in order."
    )
    outcomes: Outcomes = Field(Outcomes(), description="What counts as evidence of right answers.")
    review: ReviewPolicy | None = Field(
        None, description="When a person decides; without it every answer is given alone."
    )
    evaluation: Evaluation = Field(
        Evaluation(), description="By what a release is judged before it ships."
    )
    release: ReleasePolicy = Field(
        ReleasePolicy(), description="How a candidate becomes what serves."
    )
    records: Records = Field(Records(), description="What is remembered of each request.")

    _folder: Path = PrivateAttr(default=Path())
    _files: tuple[str, ...] = PrivateAttr(default=())

    @property
    def folder(self) -> Path:
        """The folder that holds the service file and everything it names."""
        return self._folder

    @property
    def files(self) -> tuple[str, ...]:
        """Every file the service file names, relative to `folder`, sorted."""
        return self._files

    @property
    def value_per_answer_usd(self) -> Usd | None:
        """`cost.value_per_answer_usd`."""
        return self.cost.value_per_answer_usd

    @property
    def chain(self) -> tuple[ModelEntry, ...]:
        """The models that routing tries: all but those a rung of the ladder names.

        A model that only says which of the others is asked answers nothing either.
        """
        kept = {rung.model for rung in self.fallback if rung.use == "model"}
        kept |= self.routing.only_asked
        return tuple(entry for entry in self.models if entry.name not in kept)

    def model_named(self, name: str) -> ModelEntry:
        """Return the entry of `[[models]]` of this name.

        Raises:
            KeyError: There is none; loading has checked that the ladder's names exist.
        """
        for entry in self.models:
            if entry.name == name:
                return entry
        raise KeyError(name)
