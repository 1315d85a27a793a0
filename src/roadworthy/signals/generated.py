"""What one generated answer shows of how right it may be, without asking a second model.

None of it is a probability: what is fitted on outcomes makes a confidence of it. What is not known
of an answer is None, and never a number that stands for it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from math import exp, log

import msgspec

from ..types import Passage, Sentence
from .text import is_negative, names_of, numbers_of, sentences_of, without_citations, words_of

LEAST_LOGPROB = -100.0
"""What upstreams give for a token that cannot be is lower, and says no more."""

_ALIKE = 0.5
"""Share of all their words that two sentences have in common which are about the same."""
_REFUSAL = re.compile(
    r"\bI(?:'m| am|\u2019m)? (?:can(?:no|'|\u2019)t|cannot|can not|unable to|not able to|"
    r"not sure|don(?:'|\u2019)t know|do not know|don(?:'|\u2019)t have)\b"
    r"|\bI(?:'m| am|\u2019m) (?:very )?sorry\b|\bas an AI\b|\bno (?:such )?information\b"
    r"|\b(?:ich (?:kann|weiß|weiss)|(?:kann|weiß|weiss) ich)\b[^.!?]{0,80}\bnicht\b"
    r"|\bje ne (?:peux|sais) pas\b|\bno (?:puedo|s\u00e9)\b",
    re.IGNORECASE,
)


class Generated(msgspec.Struct, frozen=True):
    """One answer, and what is known of how it came about.

    Attributes:
        text: What it says.
        question: What was asked; names and numbers in it are not made up.
        finish_reason: Why the text ended.
        completion: The OpenAI chat completion as its upstream sent it, if there is one.
        passages: What was found for the question, nearest first; None where nothing was looked up.
        sentences: Its sentences, each with its support; None where none was measured.
        limits: What guards measured of it, and the least they allow: (value, at least).
        samples: Other answers to the same question.
    """

    text: str
    question: str = ""
    finish_reason: str = "stop"
    completion: bytes | None = None
    passages: Sequence[Passage] | None = None
    sentences: Sequence[Sentence] | None = None
    limits: Sequence[tuple[float, float]] = ()
    samples: Sequence[str] = ()


class AnswerSignals(msgspec.Struct, frozen=True, gc=False):
    """Numbers of one answer, by names that stay; None is unknown.

    Attributes:
        mean_logprob: Mean logarithm of the probability that the model gave its tokens.
        least_logprob: That of its least likely token.
        mean_entropy: How undecided it was between tokens (nats), by those it tells of.
        least_support: Support (0-1) of the sentence that the passages support least.
        mean_support: Mean support of all sentences.
        foreign_numbers: Numbers that neither the passages nor the question hold.
        foreign_names: Names that neither of them holds.
        turned: Sentences that deny what a passage says, or say what it denies, in like words.
        top_score: How near the nearest passage is (0-1).
        score_margin: How much nearer it is than the next.
        margin: How far above what guards allow it is where it is nearest to that.
        words: How long it is.
        is_cut: 1 where it ended before its end, by a limit or a filter.
        refuses: 1 where it says that it cannot answer.
        agreement: How far other answers to the same question say the same (0-1).
    """

    mean_logprob: float | None = None
    least_logprob: float | None = None
    mean_entropy: float | None = None
    least_support: float | None = None
    mean_support: float | None = None
    foreign_numbers: float | None = None
    foreign_names: float | None = None
    turned: float | None = None
    top_score: float | None = None
    score_margin: float | None = None
    margin: float | None = None
    words: float | None = None
    is_cut: float | None = None
    refuses: float | None = None
    agreement: float | None = None


def signals_of(generated: Generated) -> AnswerSignals:
    """Return what an answer shows of how right it may be.

    >>> found = signals_of(Generated("Bags are free.", limits=[(0.9, 0.7), (0.75, 0.7)]))
    >>> found.words, found.refuses, round(found.margin, 2), found.top_score
    (3.0, 0.0, 0.05, None)
    """
    text, _ = without_citations(generated.text)
    choice = _read(generated.completion)
    logprobs, entropies = _of_tokens(choice)
    supports = [sentence.score for sentence in generated.sentences or ()]
    scores = [passage.score for passage in generated.passages or ()]
    numbers, names, turned = _against(text, generated)
    refuses = bool(choice and choice.message and choice.message.refusal) or _refuses(text)
    return AnswerSignals(
        mean_logprob=_mean(logprobs),
        least_logprob=min(logprobs, default=None),
        mean_entropy=_mean(entropies),
        least_support=min(supports, default=None),
        mean_support=_mean(supports),
        foreign_numbers=numbers,
        foreign_names=names,
        turned=turned,
        top_score=scores[0] if scores else None,
        score_margin=scores[0] - scores[1] if len(scores) > 1 else None,
        margin=min((value - least for value, least in generated.limits), default=None),
        words=float(len(words_of(text))),
        is_cut=float(generated.finish_reason not in ("stop", "tool_calls")),
        refuses=float(refuses),
        agreement=_agreement_with(generated.text, generated.samples),
    )


def agreement(texts: Sequence[str]) -> float | None:
    """Return how far answers to one question say the same (0-1), or None for fewer than two.

    It is the mean over all pairs of the words that both have (F1). Two that hold other numbers, or
    of which only one denies something, say different things and have 0.

    >>> agreement(["Within 7 days.", "within 7 days", "Within 14 days."])
    0.3333333333333333
    """
    return _mean([_alike(one, other) for one, other in combinations(texts, 2)])


def _agreement_with(text: str, samples: Sequence[str]) -> float | None:
    return _mean([_alike(text, sample) for sample in samples])


def _alike(one: str, other: str) -> float:
    first, second = words_of(one), words_of(other)
    if first == second:
        return 1.0
    if is_negative(one) is not is_negative(other) or numbers_of(one) != numbers_of(other):
        return 0.0
    shared = (Counter(first) & Counter(second)).total()
    return 2 * shared / (len(first) + len(second))


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _refuses(text: str) -> bool:
    return _REFUSAL.search(text) is not None


def _against(text: str, generated: Generated) -> tuple[float | None, float | None, float | None]:
    """Return how many numbers, names and sentences of a text its passages do not bear out."""
    if generated.passages is None:
        return None, None, None
    sources = [generated.question, *(f"{p.heading}. {p.text}" for p in generated.passages)]
    known_numbers = set().union(*map(numbers_of, sources))
    known_words = set().union(*map(words_of, sources))
    names = [name for name in names_of(text) if not known_words.issuperset(words_of(name))]
    passages = [
        (is_negative(sentence), set(words_of(sentence)))
        for source in sources[1:]
        for sentence in sentences_of(source)
    ]
    turned = sum(_is_turned(sentence, passages) for sentence in sentences_of(text))
    return float(len(numbers_of(text) - known_numbers)), float(len(names)), float(turned)


def _is_turned(sentence: str, passages: Sequence[tuple[bool, set[str]]]) -> bool:
    """Return whether the sentence of the passages that is most like this one says the opposite."""
    words = set(words_of(sentence))
    alike, denies = max(
        ((len(words & other) / len(words | other), denies) for denies, other in passages),
        key=lambda pair: pair[0],
        default=(0.0, False),
    )
    return alike >= _ALIKE and denies is not is_negative(sentence)


class _Likely(msgspec.Struct):
    logprob: float


class _Token(msgspec.Struct):
    logprob: float
    top_logprobs: list[_Likely] | None = None


class _Logprobs(msgspec.Struct):
    content: list[_Token] | None = None


class _Message(msgspec.Struct):
    refusal: str | None = None


class _Choice(msgspec.Struct):
    logprobs: _Logprobs | None = None
    message: _Message | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice] = []


_completion = msgspec.json.Decoder(_Completion)


def _read(completion: bytes | None) -> _Choice | None:
    """Return the first choice of a completion, or None where there is none that can be read."""
    if completion is None:
        return None
    try:
        choices = _completion.decode(completion).choices
    except msgspec.DecodeError:
        return None
    return choices[0] if choices else None


def _of_tokens(choice: _Choice | None) -> tuple[list[float], list[float]]:
    """Return the logarithms of the probability of each token, and entropies where they are told."""
    if choice is None or choice.logprobs is None or not choice.logprobs.content:
        return [], []
    tokens = choice.logprobs.content
    logprobs = [min(max(token.logprob, LEAST_LOGPROB), 0.0) for token in tokens]
    return logprobs, [_entropy(t.top_logprobs) for t in tokens if t.top_logprobs]


def _entropy(likely: Sequence[_Likely]) -> float:
    """Return the entropy of the tokens that are told of, and of all others as if they were one."""
    shares = [exp(min(max(token.logprob, LEAST_LOGPROB), 0.0)) for token in likely]
    shares.append(max(1 - sum(shares), 0.0))
    return -sum(share * log(share) for share in shares if share > 0)
