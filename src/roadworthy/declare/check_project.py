"""What roadworthy.toml must keep beyond the types of its values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import urlsplit

from ..net import is_private_host
from .check_budgets import check_budgets
from .files import check_below
from .planned import is_reserved_value
from .project import (
    FREE_KINDS,
    INSTANT_KINDS,
    SQLITE,
    DataSource,
    PriceOverride,
    ProjectDeclaration,
    Provider,
    Store,
    Term,
    Volume,
    Webhook,
)
from .schemas import CONTRACT_ENDINGS, split_table
from .source import Finding, join
from .validate import Draft, looks_like_secret, shown

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_REMOTE_KEYS = ("base_url", "api_key_env", "max_connections", "cooldown")
_PACED_KEYS = ("max_concurrent", "requests_per_minute", "tokens_per_minute")
_PASSWORD = re.compile(r"^[a-z][a-z0-9+.-]*://[^/@\s]*:[^/@\s]+@", re.IGNORECASE)
_NEIGHBOUR = re.compile(r"[a-z][a-z0-9_-]*")
"""A host name without a dot: a container or a machine beside this one."""


class _Address(NamedTuple):
    """What a URL may be like, and where the secret stands that it must not hold.

    Attributes:
        url: One like it.
        key: The key that names the variable with the secret.
        variable: A name like that variable's.
        holds: What the secret is.
    """

    url: str
    key: str
    variable: str
    holds: str = "signing secret"


_NEED_KEYS = {"anthropic": "ANTHROPIC_API_KEY", "gemini": "GEMINI_API_KEY"}
"""Kinds that answer nobody without a key, each with the usual name of its variable."""
_API = _Address("https://api.openai.com/v1", "api_key_env", "OPENAI_API_KEY", "key")
_RECEIVER = _Address("https://ops.example.com/hooks/roadworthy", "secret_env", "OPS_WEBHOOK_SECRET")
_SLACK = _Address("https://hooks.slack.com", "secret_env", "SLACK_WEBHOOK_URL", "URL")
_CONSOLE = _Address("https://roadworthy.example.com", "secret_env", "OPS_WEBHOOK_SECRET")


def check_project(draft: Draft[ProjectDeclaration], folder: Path) -> list[Finding]:
    """Return everything that does not fit, as far as the parts it rests on are sound.

    Args:
        draft: What roadworthy.toml says.
        folder: Where it lies.
    """
    project = draft.value
    findings = list(_store(project.store))
    for name, provider in project.providers.items():
        path = join("providers", name)
        if name == "local":
            findings.append(Finding(path, "another name: `local` is built in", "`local`"))
        findings += _provider(path, provider)
    for name, data_source in project.sources.items():
        findings += _data_source(join("sources", name), data_source, folder)
    for name, webhook in project.webhooks.items():
        findings += _webhook(join("webhooks", name), webhook)
    for name, queue in project.queues.items():
        if queue.webhook is not None and queue.webhook not in project.webhooks:
            known = ", ".join(f"`{known}`" for known in project.webhooks) or "it has none"
            path, expected = join("queues", name), f"a webhook of this project ({known})"
            findings.append(Finding(f"{path}.webhook", expected, shown(queue.webhook)))
    findings += check_budgets(project)
    findings += _glossary(project.glossary)
    return [finding for finding in findings if draft.is_judged(finding.path)]


def _data_source(path: str, source: DataSource, folder: Path) -> Iterator[Finding]:
    file, _ = split_table(source.contract)
    if not file.endswith(CONTRACT_ENDINGS):
        expected = "a data contract (`*.odcs.yaml`)"
        yield Finding(f"{path}.contract", expected, shown(source.contract))
    else:
        yield from check_below("the project", folder, (folder,), f"{path}.contract", file)
    if source.volume is not None:
        yield from _volume(f"{path}.volume", source.volume)
    if _PASSWORD.search(source.url):
        # What stands there is a secret, so the URL is not shown.
        advice = "name the user alone; the password is the variable of its driver, like PGPASSWORD"
        yield Finding(f"{path}.url", "a URL without a password", "one with a password", advice)
    elif not source.url.isprintable():
        yield Finding(f"{path}.url", "a file or a URL", shown(source.url))


def _volume(path: str, volume: Volume) -> Iterator[Finding]:
    """Rows of a day need a field that says the day, and a range that a number can lie in."""
    if volume.rows_per_day is not None:
        low, *high = volume.rows_per_day or (0,)
        if len(high) != 1 or not 0 <= low <= high[0] or high[0] < 1:
            expected = "the fewest and the most rows of a day, like `[500, 1_500]`"
            yield Finding(f"{path}.rows_per_day", expected, str(list(volume.rows_per_day))[:60])
        if volume.time is None:
            expected = "the field that says of which day a row is, since `rows_per_day` is there"
            yield Finding(f"{path}.time", expected, "none")
    elif volume.late_by is not None:
        yield Finding(f"{path}.late_by", "no such key without `rows_per_day`", "one", "remove it")
    for name, count in volume.distinct.items():
        if count < 1:
            yield Finding(join(f"{path}.distinct", name), "a number >= 1", shown(count))
    if not volume.model_fields_set:
        yield Finding(path, "at least one key, like `rows = 400_000`", "none", "remove it")


def _glossary(glossary: Mapping[str, Term]) -> Iterator[Finding]:
    """One word has one entry, however it is spelt."""
    spelt: dict[str, str] = {}
    for name in glossary:
        first = spelt.setdefault(" ".join(name.split()).casefold(), name)
        if first != name:
            path = join("glossary", name)
            yield Finding(path, "each term once", f"{shown(name)} beside {shown(first)}")


def _store(store: Store) -> Iterator[Finding]:
    expected = f"`{SQLITE}<path below the project>`"
    path = store.url.removeprefix(SQLITE)
    if is_reserved_value("store.url", store.url):
        got = "a Postgres URL, which is not enforced yet"
        yield Finding("store.url", expected, got, "leave it out for a file beside the project")
    elif path == store.url or not _is_below(path) or path.startswith(":"):
        # A URL may hold a password, so it is not shown.
        yield Finding("store.url", expected, "another URL")
    if not _is_below(store.artifacts):
        yield Finding("store.artifacts", "a path below the project", shown(store.artifacts))


def _is_below(path: str) -> bool:
    pure = PurePosixPath(path)
    return bool(pure.parts) and not pure.is_absolute() and ".." not in pure.parts


def _provider(path: str, provider: Provider) -> Iterator[Finding]:
    for model, prices in provider.prices.items():
        yield from _prices(join(f"{path}.prices", model), prices)
    if provider.kind in FREE_KINDS:
        is_instant = provider.kind in INSTANT_KINDS  # it waits for nothing, so not for a turn
        for key in (*_REMOTE_KEYS, *(_PACED_KEYS if is_instant else ())):
            if key in provider.model_fields_set:
                expected = f"no such key, because `kind` is `{provider.kind}`"
                yield Finding(f"{path}.{key}", expected, "one", "remove it")
        return
    if provider.kind == "openai" and provider.base_url is None:
        advice = "like `https://api.openai.com/v1`"
        yield Finding(f"{path}.base_url", "where its API starts", "none", advice)
    if provider.base_url is not None:
        yield from _url(f"{path}.base_url", provider.base_url, _API)
    if provider.api_key_env is not None:
        yield from _variable(f"{path}.api_key_env", provider.api_key_env, _API)
    elif provider.kind in _NEED_KEYS:
        expected = "the name of the environment variable that holds its key"
        advice = f'like `api_key_env = "{_NEED_KEYS[provider.kind]}"`'
        yield Finding(f"{path}.api_key_env", expected, "none", advice)


def _prices(path: str, prices: Sequence[PriceOverride]) -> Iterator[Finding]:
    """At any time one price holds."""
    seen = set()
    for price in prices:
        day = price.effective_from
        if day in seen:
            if day is None:
                yield Finding(path, "one price without `effective_from`", "two")
            else:
                yield Finding(f"{path}.effective_from", "each day once", f"{day} twice")
        seen.add(day)


def _webhook(path: str, webhook: Webhook) -> Iterator[Finding]:
    kind = _SLACK if webhook.format == "slack" else _RECEIVER
    findings = list(_url(f"{path}.url", webhook.url, kind))
    yield from findings
    if kind is _SLACK and not findings and urlsplit(webhook.url).path not in ("", "/"):
        # The path lets whoever knows it write there, so the URL is not shown.
        advice = "put the whole URL into the variable that `secret_env` names"
        yield Finding(f"{path}.url", f"no path, like `{kind.url}`", "a path", advice)
    yield from _variable(f"{path}.secret_env", webhook.secret_env, kind)
    if webhook.console_url is not None:
        yield from _url(f"{path}.console_url", webhook.console_url, _CONSOLE)
    if webhook.events is not None and not webhook.events:
        yield Finding(f"{path}.events", "at least one", "none", "without the key all are sent")


def _url(path: str, url: str, kind: _Address) -> Iterator[Finding]:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https") or not url.isprintable() or " " in url:
        yield Finding(path, "an http(s) URL", "something else", f"like `{kind.url}`")
    elif parts.username is not None or parts.query or parts.fragment:
        # What stands there may be a password or a key, so the URL is not shown.
        advice = f"name the variable that holds the {kind.holds} in `{kind.key}`"
        yield Finding(path, "a URL of scheme, host, port and path", "one with more", advice)
    elif parts.scheme == "http" and not (is_private_host(url) or _NEIGHBOUR.fullmatch(host)):
        advice = f"use https: the {kind.holds} and every message would travel in the open"
        yield Finding(path, "https, or http to a private host", f"http to `{host}`", advice)


def _variable(path: str, name: str, kind: _Address) -> Iterator[Finding]:
    expected = f"the name of an environment variable, like `{kind.variable}`"
    if looks_like_secret(name):
        advice = (
            f"put the {kind.holds} into an environment variable and its name here, and revoke the "
            f"{kind.holds} if this file was shared"
        )
        yield Finding(path, expected, "what looks like the secret itself", advice)
    elif not _VARIABLE.fullmatch(name):
        yield Finding(path, expected, "something else")
