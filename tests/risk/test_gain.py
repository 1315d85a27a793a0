"""What is learned of models: it ranks questions by what a cheaper answer loses, and keeps none."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from roadworthy.risk.gain import Answered, Nearest, fit_gain, gain_from, plain_of

SIZE, WIDE = 1200, 16


def vectors_of(random: np.random.Generator, size: int = SIZE) -> np.ndarray:
    found = random.normal(size=(size, WIDE))
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)


def hard(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors[:, 0] > 0.1)


def test_questions_that_a_cheaper_model_fails_score_lower() -> None:
    random = np.random.default_rng(0)
    vectors = vectors_of(random)
    lost = (hard(vectors) & (random.random(SIZE) < 0.7)).astype(float)[:, None]
    gain = fit_gain(Answered(vectors, [()] * SIZE, lost), ["small"], "large", 0.05)
    unseen = vectors_of(np.random.default_rng(1))
    scores = np.array([score for _, score in gain.choose(unseen, [()] * SIZE)])
    assert scores[~hard(unseen)].mean() > scores[hard(unseen)].mean() + 0.3


def test_neighbours_are_chosen_where_no_line_divides_the_hard_from_the_easy() -> None:
    random = np.random.default_rng(2)
    vectors = vectors_of(random, 4000)[:, :3]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    lost = ((vectors[:, 0] * vectors[:, 1]) > 0).astype(float)[:, None]
    gain = fit_gain(Answered(vectors, [()] * 4000, lost), ["small"], "large", 0.05)
    assert any(isinstance(how, Nearest) for how in gain.hows)


def test_a_tag_tells_what_vectors_do_not() -> None:
    random = np.random.default_rng(3)
    vectors = vectors_of(random)
    tags = [("law",) if k % 2 else ("chat",) for k in range(SIZE)]
    lost = np.array([float(k % 2) for k in range(SIZE)])[:, None]
    gain = fit_gain(Answered(vectors, tags, lost), ["small"], "large", 0.05)
    chosen = gain.choose(vectors[:2], [("law",), ("chat",)])
    assert chosen[0][1] < chosen[1][1] - 0.3
    assert gain.tags == ("chat", "law")


def test_of_several_models_the_cheapest_that_is_good_enough_is_chosen() -> None:
    random = np.random.default_rng(4)
    vectors = vectors_of(random)
    # The small one fails what is hard, the middle one nothing.
    lost = np.column_stack([hard(vectors), np.zeros(SIZE)]).astype(float)
    gain = fit_gain(Answered(vectors, [()] * SIZE, lost), ["small", "middle"], "large", 0.2)
    chosen = [model for model, _ in gain.choose(vectors, [()] * SIZE)]
    share = np.mean([model == "small" for model in np.array(chosen)[vectors[:, 0] < -0.3]])
    assert share > 0.9
    assert {chosen[k] for k in np.flatnonzero(vectors[:, 0] > 0.4)} == {"middle"}


def test_a_model_that_was_asked_seldom_is_learned_from_what_it_was_asked() -> None:
    random = np.random.default_rng(5)
    vectors = vectors_of(random)
    lost = np.column_stack([hard(vectors), hard(vectors)]).astype(float)
    lost[random.random(SIZE) < 0.5, 0] = np.nan
    gain = fit_gain(Answered(vectors, [()] * SIZE, lost), ["small", "middle"], "large", 0.05)
    assert np.isfinite([score for _, score in gain.choose(vectors, [()] * SIZE)]).all()


def test_too_few_pairs_teach_nothing() -> None:
    vectors = vectors_of(np.random.default_rng(6), 60)
    lost = np.full((60, 2), np.nan)
    lost[:, 0] = 0.0
    with pytest.raises(ValueError, match="at least 50 pairs"):
        fit_gain(Answered(vectors, [()] * 60, lost), ["small", "middle"], "large", 0.05)


def test_what_is_stored_chooses_as_what_was_fitted() -> None:
    random = np.random.default_rng(7)
    vectors = vectors_of(random)
    lost = hard(vectors).astype(float)[:, None]
    gain = fit_gain(Answered(vectors, [("a",)] * SIZE, lost), ["small"], "large", 0.05)
    text = msgspec.json.encode(plain_of(gain))
    again = gain_from(msgspec.json.decode(text))
    first = [score for _, score in gain.choose(vectors, [("a",)] * SIZE)]
    second = [score for _, score in again.choose(vectors, [("a",)] * SIZE)]
    assert np.allclose(first, second, atol=1e-4)


def test_no_question_can_be_read_from_its_neighbours() -> None:
    random = np.random.default_rng(8)
    vectors = vectors_of(random)
    lost = (vectors[:, :1] * vectors[:, 1:2] > 0).astype(float)
    gain = fit_gain(Answered(vectors, [()] * SIZE, lost), ["small"], "large", 0.05)
    for how in gain.hows:
        if isinstance(how, Nearest):
            assert len(how.places) <= SIZE // 8
            nearest = (vectors.astype(float) @ how.places.T).max()
            assert nearest < 0.999, "a place is the mean of several questions"


def test_the_same_pairs_teach_the_same() -> None:
    vectors = vectors_of(np.random.default_rng(9))
    lost = hard(vectors).astype(float)[:, None]
    fitted = [
        plain_of(fit_gain(Answered(vectors, [()] * SIZE, lost), ["small"], "large", 0.05))
        for _ in range(2)
    ]
    assert fitted[0] == fitted[1]
