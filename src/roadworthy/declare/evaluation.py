"""`[evaluation]` and what it measures by: suites, scorers, behaviours; quality and fairness."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field

from .planned import VALUES
from .values import Json, Label, Section, Text, Usd, known_or_other, micro, plugin_of

Labels = Annotated[tuple[Label, ...], Field(strict=False)]
Texts = Annotated[tuple[Text, ...], Field(strict=False)]

SCORERS = (
    "exact",
    "regex",
    "contains",
    "number",
    "json_path",
    "schema",
    "cites",
    "grounded",
    "similar",
    "tool_calls",
    "sql",
    "cost",
    "latency",
    "label",
    "probability",
    "regression",
    "judge",
    "human",
    "attack",
)
ScorerKind = Annotated[
    str, plugin_of("scorers", SCORERS, VALUES.get("scorers.use", ())), known_or_other(SCORERS)
]

BehaviourKind = Literal[
    "typos",
    "case",
    "whitespace",
    "paraphrase",
    "names",
    "gender",
    "locale",
    "format",
    "order",
    "monotonic",
    "noise",
    "bounded",
    "directional",
    "attacks",
    "swap",
]

FairnessMetric = Literal[
    "demographic_parity_difference",
    "demographic_parity_ratio",
    "equal_opportunity_difference",
    "equalized_odds_difference",
    "accuracy_difference",
    "false_positive_rate_difference",
    "false_negative_rate_difference",
]
FAIRNESS_METRICS: tuple[FairnessMetric, ...] = get_args(FairnessMetric)


class Quality(Section):
    """How good answers have to be, by one scorer."""

    scorer: Label = Field(description="Name of the scorer that says how good an answer is.")
    at_least: float = Field(
        ge=0, le=1, description="Least share of right answers, or least mean score (0-1)."
    )


class Fairness(Section):
    """How far groups may be treated differently."""

    attribute: Labels | Label = Field(
        description="Field of the input, or tag, that names the group; several are one group of "
        "their combinations.",
    )
    metric: FairnessMetric = Field(description="How the difference between groups is measured.")
    at_most: float | None = Field(None, ge=0, le=1, description="Largest difference (0-1).")
    at_least: float | None = Field(
        None, ge=0, le=1, description="Least ratio (0-1), for a metric that is a ratio."
    )

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that name the group."""
        return (self.attribute,) if isinstance(self.attribute, str) else self.attribute


class ScorerEntry(Section):
    """What says how good one answer is."""

    use: ScorerKind = Field(
        description="Which scorer: `exact`, `regex`, `contains`, `number`, `json_path`, `schema`, "
        "`cites`, `grounded`, `similar`, `tool_calls`, `sql`, `cost`, `latency`, `label`, "
        "`probability`, `regression`, `judge`, `human`, `attack`, or the name of "
        "a plugin."
    )
    name: Label = Field(
        default_factory=lambda entry: str(entry["use"]),
        validate_default=True,
        description="Name in reports, objectives and cases; by default the same as `use`.",
    )
    at_least: float | None = Field(
        None, ge=0, le=1, description="Least score (0-1) of an answer that counts as right."
    )
    at_most: float | None = Field(
        None,
        gt=0,
        description="For `cost` (USD) and `latency` (ms): the most that counts as right.",
    )
    path: Text | None = Field(
        None, description="Which part of the output is compared, like `$.items[0].price`."
    )
    tolerance: float | None = Field(
        None, ge=0, description="For `number` and `regression`: how far off counts as right."
    )
    is_relative: bool = Field(
        False, description="Whether `tolerance` is a share of the expected number."
    )
    ignore_case: bool = Field(False, description="Whether upper and lower case are the same.")
    ignore_space: bool = Field(
        False,
        description="Whether it makes no difference where a text has spaces, and how many.",
    )
    schema_file: Text | None = Field(
        None, alias="schema", description="For `schema`: the file of the JSON Schema to keep."
    )
    database: Text | None = Field(
        None, description="For `sql`: the SQLite file on which both queries are run, read only."
    )
    model: Label | None = Field(
        None,
        description="For `judge`: the provider's model, as `provider/model` of roadworthy.toml.",
    )
    rubric: Text | None = Field(
        None, description="For `judge`: what makes an answer good, in words, or a file of them."
    )
    labels: Text | None = Field(
        None,
        description="For `judge` and `human`: file of JSON lines in which people say of answers "
        "whether they are right.",
    )
    options: Json = Field({}, description="What a plugin reads, and a few of the scorers here.")


class BehaviourEntry(Section):
    """How answers must behave when an input is changed in a way whose effect is known."""

    use: BehaviourKind = Field(description="How inputs are changed, and what must follow.")
    name: Label = Field(
        default_factory=lambda entry: str(entry["use"]),
        validate_default=True,
        description="Name in reports; by default the same as `use`.",
    )
    fields: Labels = Field((), description="Fields of the input that are changed.")
    by: float | None = Field(
        None, description="For `monotonic`, `directional`, `noise`, `bounded`: by how much."
    )
    is_relative: bool = Field(False, description="Whether `by` is a share of the field's value.")
    direction: Literal["up", "down", "same"] | None = Field(
        None, description="For `monotonic` and `directional`: where the output must go."
    )
    output: Text | None = Field(
        None, description="Which number of the output is watched, like `$.probability`."
    )
    at_most: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Largest share (0-1) of changed cases that may break it; a case that is "
        "changed in several ways counts once.",
    )
    tolerance: float = Field(
        0.0, ge=0, description="How far a watched number may move and still be the same."
    )
    replace: Json = Field(
        {},
        description="For `paraphrase`, `directional`, `swap`, `names`, `gender`: what is put in "
        "place of what.",
    )
    cases: int = Field(
        100, ge=1, le=100_000, description="Most cases of the suites that are changed."
    )
    must_not: Text | None = Field(
        None, description="For `attacks`: a regular expression no answer may match."
    )


class Evaluation(Section):
    """By what a release is judged before it ships."""

    suites: Texts = Field(
        (),
        description="Files of cases (JSON lines) beside the service file; `*.templates.jsonl` of "
        "templates; `builtin:attacks` comes with the package.",
    )
    repeats: int = Field(
        1, ge=1, le=100, description="How often each case is asked, to see whether answers vary."
    )
    scorers: Annotated[tuple[ScorerEntry, ...], Field(strict=False)] = Field(
        (), description="What says how good an answer is; by default `exact`."
    )
    slices: Labels = Field(
        (), description="Fields of the input by which results are told apart, beside tags."
    )
    behaviours: Annotated[tuple[BehaviourEntry, ...], Field(strict=False)] = Field(
        (), description="How answers must behave when inputs change."
    )
    max_regression: float = Field(
        0.02,
        ge=0,
        lt=1,
        description="How much worse than what serves a release may be and still ship (0-1).",
    )
    sure: float = Field(
        0.95, ge=0.5, lt=1, description="How sure (0.5-1) each verdict of an evaluation is."
    )
    max_flaky: float = Field(
        0.1, ge=0, le=1, description="Largest share (0-1) of cases whose repeats may disagree."
    )
    max_cost_usd: Usd | None = Field(
        None, description="Most that one evaluation may cost, in USD; required where models charge."
    )
    concurrency: int = Field(
        8, ge=1, le=256, description="How many cases are asked at the same time."
    )

    @property
    def max_cost_micro(self) -> int | None:
        """`max_cost_usd` in micro-dollars."""
        return micro(self.max_cost_usd)
