"""How many tokens a text is for a model: by its own vocabulary, or at what its provider counted.

Nothing is downloaded. Of models whose vocabulary is published and comes with the extra `tokens` a
count is exact; of all others it is bytes divided by how many bytes a token of theirs was seen to
be, and until anything was seen, by three: tokenizers make of European text one token in three to
five bytes, so that this counts too many rather than too few.
"""

from __future__ import annotations

import importlib.util
import math
import threading
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from ..errors import MissingExtra

BYTES_PER_TOKEN = 3.0
"""What a token is while nothing is known of its model."""
IMAGE_TOKENS = 3_000
"""What an image is allowed, which covers what most models count for one but bounds none."""
DATED = "2026-11-29"
"""When the table below was last held against its sources."""

VOCABULARIES: tuple[tuple[str, str, str], ...] = (
    ("gpt-oss", "o200k_harmony", "tiktoken 0.14.0, model.py"),
    ("chatgpt-4o", "o200k_base", "tiktoken 0.14.0, model.py"),
    ("gpt-4o", "o200k_base", "tiktoken 0.14.0, model.py"),
    ("gpt-4.1", "o200k_base", "tiktoken 0.14.0, model.py"),
    ("gpt-4.5", "o200k_base", "tiktoken 0.14.0, model.py"),
    ("gpt-5", "o200k_base", "tiktoken 0.14.0, model.py"),
    ("o1", "o200k_base", "tiktoken 0.14.0, model.py"),
    ("o3", "o200k_base", "tiktoken 0.14.0, model.py"),
    ("o4-mini", "o200k_base", "tiktoken 0.14.0, model.py"),
    ("gpt-4", "cl100k_base", "tiktoken 0.14.0, model.py"),
    ("gpt-3.5", "cl100k_base", "tiktoken 0.14.0, model.py"),
    ("gpt-35-turbo", "cl100k_base", "tiktoken 0.14.0, model.py: a deployment's name on Azure"),
    ("text-embedding-3", "cl100k_base", "tiktoken 0.14.0, model.py"),
    ("text-embedding-ada-002", "cl100k_base", "tiktoken 0.14.0, model.py"),
    ("llama-3", "llama3", "meta-llama/Meta-Llama-3-8B, tokenizer.json; 3.1, 3.2 and 3.3 share it"),
    ("meta-llama-3", "llama3", "as above: the name on Hugging Face"),
    ("llama3", "llama3", "as above: the name at Groq and in Ollama"),
    ("llama-v3p1", "llama3", "as above: the name at Fireworks"),
    ("llama-v3p2", "llama3", "as above"),
    ("llama-v3p3", "llama3", "as above"),
    ("qwen2", "qwen3", "Qwen/Qwen2-7B, tokenizer.json; 2.5 shares it"),
    ("qwen3", "qwen3", "Qwen/Qwen3-8B, tokenizer.json: the same merges as Qwen2.5"),
)
"""How a model's name begins, its vocabulary, and where that is from. The first that fits counts: a
name ends there or goes on with what is neither letter nor digit."""
_OTHERS = ("qwen3.",)
"""How names begin that fit one above, of models with a larger vocabulary."""


class Format(NamedTuple):
    """What the format of a chat adds to the tokens of its texts.

    Attributes:
        message: For each message, beside the tokens of its role and content.
        name: For a message that bears a name.
        answer: Once, for what stands before the answer.
    """

    message: int
    name: int
    answer: int


OPENAI_FORMAT = Format(3, 1, 3)
"""As OpenAI documents it: cookbook.openai.com, "How to count tokens with tiktoken"."""
FORMATS: Mapping[str, Format] = {
    "o200k_harmony": Format(3, 1, 90),  # its own system message stands before every chat
    "llama3": Format(4, 1, 5),  # header of a message; the text's begin and the answer's header
    "qwen3": Format(4, 1, 30),  # ChatML; without a system message Qwen2.5 puts one of 21 in
}
"""Vocabulary → the format of its models' chats, where it is not OpenAI's."""

_encode = msgspec.json.Encoder().encode
_loading = threading.Lock()


def is_installed() -> bool:
    """Whether the extra `tokens` is there."""
    return importlib.util.find_spec("quicktok") is not None


def vocabulary_of(model: str) -> str:
    """Return the name of a model's vocabulary; empty where it is not known.

    >>> vocabulary_of("gpt-5-2025-08-07"), vocabulary_of("meta-llama/Llama-3.3-70B-Instruct")
    ('o200k_base', 'llama3')
    >>> vocabulary_of("o100"), vocabulary_of("claude-opus-4-1")
    ('', '')
    """
    name = model.lower().rpartition("/")[2].removeprefix("ft:")
    if name.startswith(_OTHERS):
        return ""
    for start, vocabulary, _ in VOCABULARIES:
        if name.startswith(start) and not name[len(start) : len(start) + 1].isalnum():
            return vocabulary
    return ""


class Vocabulary:
    """One published vocabulary, read when it is needed first: 0.2-0.4 s and 40-60 MB.

    Args:
        name: What it is called.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.format = FORMATS.get(name, OPENAI_FORMAT)
        self._tokenizer: Any = None
        self._reading: threading.Thread | None = None

    @property
    def is_ready(self) -> bool:
        """Whether it is read."""
        return self._tokenizer is not None

    def read_soon(self) -> None:
        """Begin to read it in a thread, unless that has begun: nobody waits for it."""
        if self._reading is None:
            self._reading = threading.Thread(target=self.read, daemon=True)
            self._reading.start()

    def read(self) -> None:
        """Read it, once.

        Raises:
            MissingExtra: The extra `tokens` is not installed.
        """
        with _loading:
            if self._tokenizer is None:
                try:
                    from quicktok import get_encoding
                except ImportError as error:
                    raise MissingExtra("tokens", "an exact count of tokens") from error
                self._tokenizer = get_encoding(self.name)

    def count(self, text: str) -> int:
        """Return how many tokens a text is; 10 us a kB (bench/tokens.py).

        What looks like a special token in it is text, as providers read what users write.
        """
        if self._tokenizer is None:
            self.read()
        try:
            tokens: int = self._tokenizer.count(text)
        except (TypeError, UnicodeError):  # half of a surrogate pair, which no provider takes
            tokens = self._tokenizer.count(text.encode(errors="replace").decode())
        return tokens


@lru_cache
def open_vocabulary(name: str) -> Vocabulary:
    """Return a vocabulary that all who count by it share: none is in memory twice."""
    return Vocabulary(name)


class Counter:
    """Counts tokens as one model does.

    Attributes:
        vocabulary: Its own; None where that is not known or the extra `tokens` is not there.
        bytes_per_token: What a token of it is, for where there is no vocabulary.
        is_learned: Whether that is from what its provider counted.
    """

    def __init__(self, vocabulary: Vocabulary | None = None) -> None:
        self.vocabulary = vocabulary
        self.bytes_per_token = BYTES_PER_TOKEN
        self.is_learned = False

    @property
    def name(self) -> str:
        """What it counts by, for records."""
        if self.vocabulary is not None:
            return self.vocabulary.name
        return f"bytes/{self.bytes_per_token:.2f}"

    @property
    def is_exact(self) -> bool:
        """Whether it counts by the model's own vocabulary."""
        return self.vocabulary is not None

    def learn(self, bytes_per_token: float) -> None:
        """Take what a token was seen to be."""
        self.bytes_per_token, self.is_learned = bytes_per_token, True

    def estimate(self, size: int) -> int:
        """Return about how many tokens so many bytes are, without looking at them."""
        return math.ceil(size / self.bytes_per_token)

    def count(self, text: str) -> int:
        """Return how many tokens a text is."""
        if self.vocabulary is not None:
            return self.vocabulary.count(text)
        return self.estimate(len(text.encode(errors="replace")))

    def message(self, message: Mapping[str, Any]) -> int:
        """Return how many tokens a message of a chat is, with what the format adds."""
        form = OPENAI_FORMAT if self.vocabulary is None else self.vocabulary.format
        tokens = form.message
        for key, value in message.items():
            if isinstance(value, str):
                tokens += self.count(value)
            elif key == "content" and isinstance(value, Sequence):
                tokens += sum(map(self._part, value))
            elif value is not None:
                tokens += self.count(_encode(value).decode())
            if key == "name":
                tokens += form.name
        return tokens

    def _part(self, part: Any) -> int:
        if isinstance(part, Mapping) and part.get("type") == "text":
            return self.count(str(part.get("text", "")))
        return IMAGE_TOKENS

    def answer_format(self) -> int:
        """Return how many tokens stand before an answer."""
        form = OPENAI_FORMAT if self.vocabulary is None else self.vocabulary.format
        return form.answer

    def chat(self, messages: Sequence[Mapping[str, Any]], tools: Any = None) -> int:
        """Return how many tokens a chat is, with its tools, up to where its answer begins."""
        tokens = sum(map(self.message, messages)) + self.answer_format()
        return tokens + (self.count(_encode(tools).decode()) if tools else 0)


def open_counter(model: str) -> Counter:
    """Return what counts as `model` does; without the extra `tokens`, by bytes.

    Args:
        model: What its provider calls it.
    """
    name = vocabulary_of(model)
    return Counter(open_vocabulary(name) if name and is_installed() else None)


class Rate(NamedTuple):
    """How many bytes a token of one model was seen to be.

    Attributes:
        safe: What to count with: less than was seen, so that a count is rather too high.
        tokens: Of how many tokens that is.
    """

    seen: float
    safe: float
    tokens: int


LEAST_TOKENS = 2_000
"""Tokens that a provider must have counted before that says what a token is."""
_MARGIN = 0.9


def rate_of(hours: Sequence[tuple[int, int]]) -> Rate | None:
    """Return what a token is, from hourly sums of (bytes, tokens); None while that says too little.

    A safe rate is a tenth below what was seen in all, and no higher than in nine of ten hours.

    >>> rate_of([(40_000, 10_000), (36_000, 10_000)])
    Rate(seen=3.8, safe=3.42, tokens=20000)
    """
    known = [(size, tokens) for size, tokens in hours if size > 0 and tokens > 0]
    total = sum(tokens for _, tokens in known)
    if total < LEAST_TOKENS:
        return None
    seen = sum(size for size, _ in known) / total
    rates = sorted(size / tokens for size, tokens in known if tokens * len(known) * 10 >= total)
    low = rates[len(rates) // 10] if rates else seen
    return Rate(seen, max(min(seen * _MARGIN, low), 1.0), total)
