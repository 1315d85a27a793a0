"""What a model is given beside the question: passages of the service's pages, and its prompt."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from ..declare.check_prompts import open_prompt
from ..declare.prompts import PASSAGES, Prompt, PromptError
from ..declare.schemas import SchemaCheck, compile_schema
from ..declare.service import ServiceDeclaration
from ..errors import (
    MissingExtra,
    ModelRejected,
    ModelTimeout,
    ModelUnavailable,
    NoPassages,
)
from ..guard.slot import Guard
from ..types import Call, OpenSignals, Pages, Passage, Sentence
from .trimming import Trimmer

_encode = msgspec.json.Encoder().encode
_messages = msgspec.json.Decoder(list[dict[str, Any]])


class Sources:
    """The pages of one service, opened; searched in a thread of its own, 4 ms a question.

    Args:
        pages: Finds passages, and says how well they support an answer.
    """

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._last: tuple[str, Sequence[Passage], tuple[Sentence, ...]] | None = None
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="retrieval")

    def support(self, text: str, passages: Sequence[Passage]) -> tuple[Sentence, ...]:
        """Return each sentence of `text` with its support; asked twice in a row, it computes once.

        The guard asks, and then what says how sure the answer is: 6 ms each time.

        Raises:
            ModelUnavailable: The embedder failed inside.
        """
        last = self._last
        if last is None or last[0] != text or last[1] is not passages:
            last = self._last = (text, passages, self._pages.support(text, passages))
        return last[2]

    async def find(self, question: str, deadline: float) -> tuple[Passage, ...]:
        """Return the passages for a question.

        Raises:
            ModelTimeout: The deadline passed while others were searched for.
            ModelUnavailable: The embedder failed inside, or the release is closed.
        """
        loop = asyncio.get_running_loop()
        try:
            running = loop.run_in_executor(self._executor, self._pages.find, question)
        except RuntimeError as error:
            raise ModelUnavailable("retrieval is closed") from error
        try:
            async with asyncio.timeout_at(deadline):
                return await running
        except TimeoutError as error:
            raise ModelTimeout("retrieval did not end in time") from error

    def close(self) -> None:
        """Stop its thread."""
        self._executor.shutdown(wait=False, cancel_futures=True)


class AbsentSources(Sources):
    """Stands where the extra `embed` is missing: nothing is found, and the ladder answers."""

    def __init__(self, missing: MissingExtra) -> None:
        self.missing = str(missing)

    async def find(self, question: str, deadline: float) -> tuple[Passage, ...]:
        """Raise.

        Raises:
            ModelUnavailable: Always; the message is the line that installs what is missing.
        """
        raise ModelUnavailable(self.missing)

    def close(self) -> None:
        """Nothing is held."""


class Context:
    """Fills a call with passages and writes its prompt.

    Args:
        variable: The input that is the question.
        sources: Where passages are from; None where none are declared.
        prompt: What a model is told; None passes the messages on as they came.
        trimmer: Keeps the messages within what is declared, and notes what they are made of.
        needs_passages: Name of the guard that denies every answer where no passage was found;
            empty where there is none.

    Attributes:
        version: Of the prompt; empty where there is none.
        inputs: What its inputs keep; None where it declares none.
        variables: Names of those that come beside the question.
    """

    def __init__(
        self,
        variable: str,
        sources: Sources | None,
        prompt: Prompt | None,
        trimmer: Trimmer,
        needs_passages: str = "",
    ) -> None:
        self._variable = variable
        self._sources = sources
        self._prompt = prompt
        self.version = "" if prompt is None else prompt.version
        inputs = {} if prompt is None else prompt.matter.inputs
        self.variables = frozenset(inputs) - {variable}
        self.inputs = _check_of(prompt) if prompt is not None and inputs else None
        self._settings = {} if prompt is None else _settings_of(prompt)
        self._trimmer = trimmer
        self._needs_passages = needs_passages

    @property
    def missing(self) -> str:
        """What looking up lacks here, and the line that installs that; empty where it works."""
        return self._sources.missing if isinstance(self._sources, AbsentSources) else ""

    async def fill(self, call: Call) -> None:
        """Look up passages, then write the messages.

        Raises:
            ModelError: Nothing can be looked up now, or the prompt cannot be written.
            NoPassages: None was found, and without any no answer could be shown.
            ContractViolation: The messages are longer than the declaration allows.
        """
        if self._sources is not None:
            question = str(call.input.get(self._variable, ""))
            call.passages = await self._sources.find(question, call.deadline)
            call.support = self._sources.support
            if self._needs_passages and not call.passages:
                raise NoPassages(
                    "no passage is near enough to the question: no model was asked, because guard "
                    f"`{self._needs_passages}` would deny its answer"
                )
        lead = 0 if self._prompt is None else self._write(call, self._prompt)
        self._trimmer.fit(call, lead)

    def _write(self, call: Call, prompt: Prompt) -> int:
        """Write the messages, and return how many of the first are the prompt's own."""
        passages = [
            {"file": p.file, "heading": p.heading, "text": p.text, "score": p.score}
            for p in call.passages
        ]
        try:
            written = prompt.write({**call.input, PASSAGES: passages})
        except PromptError as error:
            raise ModelRejected(f"the prompt cannot be written: {error}") from error
        theirs = [_as_user(message) for message in _messages.decode(call.body["messages"])]
        if prompt.writes_user:
            messages = [*written[:-1], *theirs[:-1], written[-1]]
        else:
            messages = [*written, *theirs]
        body = {**self._settings, **call.body, "messages": msgspec.Raw(_encode(messages))}
        if "max_completion_tokens" in call.body:
            body.pop("max_tokens", None)  # the client's own limit, by its newer name
        call.body = body
        static = prompt.static
        call.static_messages, call.static_characters = static.messages, static.characters
        call.static_key = static.key
        return len(messages) - len(theirs)

    def close(self) -> None:
        """Let go of the pages."""
        if self._sources is not None:
            self._sources.close()


def _check_of(prompt: Prompt) -> SchemaCheck:
    """Return the check of a prompt's inputs, which was found sound when it was loaded."""
    return compile_schema(prompt.matter.schema, "input")


def _settings_of(prompt: Prompt) -> dict[str, msgspec.Raw]:
    """Return the settings of a prompt as parameters of a chat."""
    return {name: msgspec.Raw(_encode(value)) for name, value in prompt.matter.settings.items()}


def _as_user(message: dict[str, Any]) -> dict[str, Any]:
    """Return a client's message; what it calls the system's is a user's beside our own prompt."""
    if message.get("role") in ("system", "developer"):
        return {**message, "role": "user"}
    return message


def open_context(
    service: ServiceDeclaration,
    output_guards: Sequence[Guard],
    folder: Path,
    cache: Path,
    open_signals: OpenSignals,
    trimmer: Trimmer,
) -> Context | None:
    """Open what a service declares of prompt and context; None where it declares neither.

    Args:
        service: The declaration.
        output_guards: Its guards on the output.
        folder: Where the release's files are.
        cache: Where vectors of pages are kept from one start to the next.
        open_signals: Gives what reads pages.
        trimmer: Keeps the messages within what is declared.

    Raises:
        DeclarationError: A file is missing or is no prompt, or there are no pages.
    """
    context = service.context
    limits = (context.max_input_tokens, context.max_history_tokens)
    if service.prompt is None and context.retrieval is None and limits == (None, None):
        return None
    variable = (service.chat and service.chat.variable) or "text"
    return Context(
        variable,
        _open_sources(service, folder, cache, open_signals),
        open_prompt(service, folder),
        trimmer,
        next((g.name for g in output_guards if getattr(g, "needs_passages", False)), ""),
    )


def _open_sources(
    service: ServiceDeclaration, folder: Path, cache: Path, open_signals: OpenSignals
) -> Sources | None:
    retrieval = service.context.retrieval
    if retrieval is None:
        return None
    try:
        pages = open_signals().open_pages(
            folder / retrieval.folder,
            cache,
            top_k=retrieval.top_k,
            max_tokens=retrieval.max_tokens,
            min_score=retrieval.min_score,
            dedupe=retrieval.dedupe,
            choose=retrieval.choose,
        )
    except MissingExtra as missing:
        return AbsentSources(missing)
    return Sources(pages)
