"""`roadworthy.toml` as frozen values, with every default filled in."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, model_validator

from ..errors import DeclarationError
from .budgets import Budgets
from .events import TEST_EVENT, Event
from .planned import VALUES
from .values import (
    File,
    Label,
    LengthOfTime,
    Rate,
    Section,
    Text,
    Word,
    known_or_other,
    plugin_of,
)

PROJECT_FILE = "roadworthy.toml"
SERVICE_FILE = "service.toml"
STORE_URL_VARIABLE = "ROADWORTHY_STORE_URL"
SQLITE = "sqlite:///"
MOST_ROWS = 1_000_000_000

KINDS = (
    "openai",
    "anthropic",
    "gemini",
    "onnx",
    "llama_cpp",
    "python",
    "rule",
    "scripted",
    "builtin",
)
FREE_KINDS = frozenset({"onnx", "llama_cpp", "python", "rule", "scripted", "builtin"})
"""Kinds of provider that run on this machine: nobody sends a bill for a call."""
OFFICIAL = {
    "anthropic": "https://api.anthropic.com/v1",
    "gemini": "https://generativelanguage.googleapis.com/v1beta",
}
"""Where the APIs start that have one home; `base_url` names another."""

INSTANT_KINDS = frozenset({"rule", "builtin"})
"""Kinds that answer without waiting for anything, so that no timer has to watch them."""

LogicalType = Literal[
    "string", "integer", "number", "boolean", "date", "timestamp", "time", "object", "array"
]
"""What values of data mean, in the words of ODCS."""

ProviderKind = Annotated[
    str, plugin_of("models", KINDS, VALUES["providers.kind"]), known_or_other(KINDS)
]


class Identity(Section):
    """What the project is."""

    name: Word = Field(description="Name of the project.")
    clock: Literal["system", "settable"] = Field(
        "system",
        description="Where times come from: the machine, or (`settable`) what an admin key sets, "
        "for replaying the past.",
    )


class Store(Section):
    """Where the project remembers."""

    url: Text = Field(
        f"{SQLITE}.roadworthy/state.db",
        description="State database; a SQLite path is relative to the project's folder. The "
        f"variable {STORE_URL_VARIABLE} overrides it.",
    )
    counters: Literal["local"] = Field(
        "local", description="Where budgets are counted: `local` means one serving process."
    )
    artifacts: Text = Field(
        ".roadworthy/artifacts",
        description="Folder of releases and model files, relative to the project's folder.",
    )

    def resolved_url(self, folder: Path) -> str:
        """Return the store's URL with an absolute path, for the project in `folder`.

        Raises:
            DeclarationError: The variable that overrides it names no SQLite file.
        """
        url = os.environ.get(STORE_URL_VARIABLE) or self.url
        path = url.removeprefix(SQLITE)
        if path == url or not path:
            raise DeclarationError(
                f"{STORE_URL_VARIABLE}: expected `{SQLITE}<path>`, got another kind of store; "
                "other stores are not enforced yet, unset it or name a SQLite file"
            )
        return f"{SQLITE}{(folder.absolute() / path).as_posix()}"


class PriceOverride(Section):
    """What a provider charges for one model, where its public price does not hold."""

    input_usd_per_million: Rate = Field(description="USD per million input tokens.")
    output_usd_per_million: Rate = Field(description="USD per million output tokens.")
    cached_input_usd_per_million: Rate | None = Field(
        None, description="USD per million input tokens read from the provider's cache."
    )
    cache_write_usd_per_million: Rate | None = Field(
        None, description="USD per million input tokens that the provider writes to its cache."
    )
    audio_input_usd_per_million: Rate | None = Field(
        None, description="USD per million input tokens that are sound."
    )
    audio_output_usd_per_million: Rate | None = Field(
        None, description="USD per million output tokens that are sound."
    )
    request_usd: Rate | None = Field(None, description="USD per request, beside its tokens.")
    effective_from: date | None = Field(
        None,
        description="UTC date from which it holds, like 2027-01-01; before the first one the price "
        "without a date holds, or else the public one. Several are written as "
        '`[[providers.x.prices."model"]]`.',
    )


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


Prices = Annotated[tuple[PriceOverride, ...], Field(strict=False, min_length=1)]
"""What a model costs, one price after the other; most have one."""


class Provider(Section):
    """Where models live."""

    kind: ProviderKind = Field(
        description="How it is spoken to: `openai` (any OpenAI-compatible server), `anthropic` "
        "(Messages), `gemini` (generateContent), in this "
        "process `onnx`, `llama_cpp`, `python`, `rule`, `scripted` or `builtin`, or as a plugin of "
        "this name does."
    )
    base_url: Text | None = Field(
        None,
        description="Where its API starts, like https://api.openai.com/v1; without it `anthropic` "
        "and `gemini` are met at their own. Plain http only to this machine or a private network.",
    )
    api_key_env: str | None = Field(
        None,
        description="Name of the environment variable that holds the key, never the key itself; "
        "`anthropic` and `gemini` need one.",
    )
    prices: dict[
        Text,
        Annotated[Prices, BeforeValidator(_as_list, json_schema_input_type=PriceOverride | Prices)],
    ] = Field({}, description="Own prices per model, where the public ones do not hold.")
    max_connections: int = Field(
        100, ge=1, le=10_000, description="Most connections held open to it at once."
    )
    max_concurrent: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="Most calls at work there at once; what comes then waits for its turn within "
        "the time it has, or goes to the next model.",
    )
    requests_per_minute: int | None = Field(
        None,
        ge=1,
        le=100_000_000,
        description="Most calls a minute; they are paced before it refuses them.",
    )
    tokens_per_minute: int | None = Field(
        None, ge=1, le=100_000_000_000, description="Most tokens a minute, in and out together."
    )
    cooldown: LengthOfTime = Field(
        "30s",
        description="How long it is left alone after it failed again and again; each time that it "
        "fails at once thereafter, twice as long, up to ten minutes.",
    )

    @model_validator(mode="before")
    @classmethod
    def _at_home(cls, values: Any) -> Any:
        """Fill in where a kind is met that has one home, so that releases pin it like any other."""
        home = OFFICIAL.get(str(values.get("kind"))) if isinstance(values, dict) else None
        if home is not None and values.get("base_url") is None:
            return {**values, "base_url": home}
        return values

    @property
    def is_priced(self) -> bool:
        """Whether its answers may cost money, as far as anybody here knows."""
        return self.kind not in FREE_KINDS or bool(self.prices)


class Volume(Section):
    """How much data of a source there will be, how fast it comes, and how varied it is."""

    rows: int | None = Field(
        None, ge=1, le=MOST_ROWS, description="Most rows that it holds: what has to be handled."
    )
    rows_per_day: Annotated[tuple[int, ...], Field(strict=False)] | None = Field(
        None,
        description="Fewest and most rows of a day, like `[500, 1_500]`, counted by `time`.",
    )
    time: Text | None = Field(
        None, description="Its field, a date or timestamp, that says of which day a row is."
    )
    late_by: LengthOfTime | None = Field(
        None,
        description="How late rows may come, like `6h`: the day that is counted ended so long ago.",
    )
    rows_per_second: float | None = Field(
        None,
        gt=0,
        le=1_000_000,
        description="Most rows a second that are sent one by one: each is checked, and pushed.",
    )
    distinct: dict[Text, int] = Field(
        {}, description="Most different values of a field, like `{ tailnum = 5_000 }`."
    )


class DataSource(Section):
    """Data that a contract describes and that feature views may read."""

    contract: Text = Field(
        description="File of its data contract (`*.odcs.yaml`), relative to the project's folder; "
        "of a contract with several tables one is named behind it: `weather.odcs.yaml#hourly`."
    )
    url: Text = Field(
        description="Where the data is: a Parquet or CSV file, `*` for several, relative to the "
        "project's folder; or a table of a database, without its password. Views read files, and "
        "tables in files of SQLite and DuckDB (`data.sqlite#table`)."
    )
    volume: Volume | None = Field(
        None,
        description="How much of it there will be: batches are held to it, pipelines tested at it.",
    )


class Queue(Section):
    """Where requests wait for a person."""

    owner: Text = Field(description="Who sees to it that what waits is decided in time.")
    escalate_to: Text | None = Field(
        None, description="Who is asked when three quarters of the time have passed."
    )
    webhook: Label | None = Field(
        None, description="Webhook that is told what waits, is late, or was decided."
    )
    second_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share (0-1) of what was decided that another person decides again, blind.",
    )
    planted_share: float = Field(
        0.0,
        ge=0,
        le=0.5,
        description="Share (0-0.5) of what is asked that are planted answers, known to be wrong.",
    )


class Webhook(Section):
    """Where events of the project are sent."""

    url: Text = Field(
        description="Where it is received: scheme, host, port and path. Plain http only to this "
        "machine or a private network. For `slack` without the path, which is a secret."
    )
    secret_env: str = Field(
        description="Name of the environment variable that holds the signing secret (`whsec_` and "
        "base64), never the secret itself; for `slack` the one that holds the URL Slack gave you."
    )
    format: Literal["json", "slack"] = Field(
        "json",
        description="What is sent: `json`, signed as Standard Webhooks says, or a message for "
        "`slack` and what takes the same.",
    )
    events: Annotated[tuple[Event, ...] | None, Field(strict=False)] = Field(
        None, description="The only events that are sent; without it all are."
    )
    console_url: Text | None = Field(
        None,
        description="Where people reach the console, for the links of messages; without it the "
        "address that `roadworthy up` listens on.",
    )

    def takes(self, event: str) -> bool:
        """Whether `event` is sent here."""
        return self.events is None or event in self.events or event == TEST_EVENT


def _spelt_out(value: Any) -> Any:
    return {"definition": value} if isinstance(value, str) else value


class Term(Section):
    """One word of the business."""

    definition: Text = Field(description="What it means.")
    unit: Label | None = Field(None, description="What its numbers count, like `degF`.")
    type: LogicalType | None = Field(None, description="What its values are.")


class ProjectDeclaration(File):
    """What all services of a project share."""

    project: Identity = Field(description="What the project is.")
    store: Store = Field(Store(), description="Where the project remembers.")
    providers: dict[Label, Provider] = Field(
        {}, description="Where models live, by name; `local` is always there, of kind `builtin`."
    )

    sources: dict[Label, DataSource] = Field(
        {}, description="Data that feature views may read, by name, each with its contract."
    )
    budgets: Budgets = Field(Budgets(), description="Ceilings over all services.")
    queues: dict[Label, Queue] = Field({}, description="Where requests wait for a person, by name.")
    webhooks: dict[Label, Webhook] = Field(
        {}, description="Where events of the project are sent, by name."
    )
    glossary: dict[
        Text, Annotated[Term, BeforeValidator(_spelt_out, json_schema_input_type=Term | str)]
    ] = Field(
        {},
        description="Words of the business, each with its definition, as text or as a table with "
        "`unit` and `type`; contracts that use a word (`businessName`) mean the same by it.",
    )

    _folder: Path = PrivateAttr(default=Path())

    @property
    def name(self) -> str:
        """Name of the project."""
        return self.project.name

    @property
    def clock(self) -> Literal["system", "settable"]:
        """Where times come from."""
        return self.project.clock

    @property
    def folder(self) -> Path:
        """The folder that holds roadworthy.toml."""
        return self._folder

    def webhooks_for(self, event: str) -> tuple[str, ...]:
        """Return the names of the webhooks that `event` is sent to."""
        return tuple(name for name, webhook in self.webhooks.items() if webhook.takes(event))

    def service_folders(self) -> tuple[Path, ...]:
        """Return the folders of all services, in the order of their names."""
        return tuple(sorted(p.parent for p in self.folder.glob(f"services/*/{SERVICE_FILE}")))
