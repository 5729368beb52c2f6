"""Beam search: against greedy writing, enumeration and itself in batches, for states of any form."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter09.encoder_decoder import Decoder, Encoder, Seq2Seq, greedy_decode
from kerasnotes.chapter13.beam_search import (
    beam_candidates,
    beam_decode,
    beam_search,
    best_sequence,
    penalty,
    word_log_probabilities,
)


def chain(start, transition):
    rows = np.log(np.maximum([start, *transition], 1e-300))
    return lambda tokens: rows[tokens[-1] + 1]


@pytest.mark.parametrize("seed", range(20))
def test_a_wide_beam_and_viterbi_find_what_enumeration_finds(seed):
    rng = np.random.default_rng(seed)
    symbols, steps = int(rng.integers(1, 5)), int(rng.integers(1, 5))
    start, *transition = rng.dirichlet(np.ones(symbols), size=symbols + 1)
    sequences = {
        tokens: np.log(start[tokens[0]]) + sum(np.log(transition[a][b]) for a, b in itertools.pairwise(tokens))
        for tokens in itertools.product(range(symbols), repeat=steps)
    }
    ordered = sorted(sequences.values(), reverse=True)
    found = beam_search(chain(start, transition), -1, None, symbols**steps, steps)
    np.testing.assert_allclose([value for _, value in found], ordered, atol=1e-9)
    np.testing.assert_allclose([sequences[tokens] for tokens, _ in found], ordered, atol=1e-9)
    tokens, value = best_sequence(start, transition, steps)
    assert value == pytest.approx(ordered[0], abs=1e-9)
    assert sequences[tokens] == pytest.approx(value, abs=1e-9)


def answers(rows, longest):
    """All answers of a model that looks at how many words there are: row k for the word after k words; 0 ends."""
    for length in range(1, longest + 1):
        for words in itertools.product(range(1, len(rows[0])), repeat=length - 1):
            for last in range(len(rows[0])) if length == longest else (0,):
                tokens = (*words, last)
                yield tokens, sum(rows[k][token] for k, token in enumerate(tokens))


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0, 2.0])
@pytest.mark.parametrize("seed", range(5))
def test_answers_of_different_lengths_in_order_of_their_scores(seed, alpha):
    rows = np.log(np.random.default_rng(seed).dirichlet(np.ones(3), size=4))
    want = sorted(answers(rows, 4), key=lambda each: -each[1] / ((5 + len(each[0])) / 6) ** alpha)
    found = beam_search(lambda tokens: rows[len(tokens) - 1], "start", 0, 100, 4, alpha)
    assert [tokens for tokens, _ in found] == [tokens for tokens, _ in want]
    np.testing.assert_allclose([value for _, value in found], [value for _, value in want])


def test_the_start_token_comes_first_and_does_not_come_back():
    seen = []

    def following(tokens):
        seen.append(tokens)
        return np.log([0.9, 0.1])

    assert beam_search(following, "start", None, 1, 3)[0][0] == (0, 0, 0)
    assert seen == [("start",), ("start", 0), ("start", 0, 0)]


def test_what_cannot_be_is_no_answer():
    with np.errstate(divide="ignore"):
        rows = np.log([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    assert beam_search(lambda tokens: rows[len(tokens) - 1], None, 0, 5, 2) == [((1, 0), 0.0)]


def test_the_penalty_is_the_published_one():
    np.testing.assert_allclose(penalty(np.arange(1, 9), 0.6), (5 + np.arange(1, 9)) ** 0.6 / 6**0.6)
    assert penalty(7, 0.0) == 1.0
    assert penalty(1, 3.0) == 1.0


def test_padding_is_no_word():
    logits = np.random.default_rng(0).normal(size=(2, 3, 5)).astype(np.float32)
    log_p = word_log_probabilities(logits).numpy()
    assert np.all(log_p[..., 0] == -np.inf)
    words = logits[..., 1:].astype(np.float64)
    np.testing.assert_allclose(log_p[..., 1:], words - np.log(np.exp(words).sum(axis=-1, keepdims=True)), atol=1e-6)


@pytest.fixture(scope="module", params=["initial_state", "every_step"])
def model(request):
    model = Seq2Seq(Encoder(12, 8, seed=1), Decoder(9, 8, request.param, seed=2))
    model.set_weights([3 * weight for weight in model.get_weights()])
    return model


SOURCE = np.array([[4, 5, 6, 7], [8, 2, 0, 0], [3, 0, 0, 0], [11, 11, 3, 0], [9, 4, 0, 0]])


def test_width_one_is_greedy(model):
    for length in (1, 7):
        np.testing.assert_array_equal(
            beam_decode(model, SOURCE, 2, 3, length, width=1), greedy_decode(model, SOURCE, 2, 3, length)
        )


@pytest.mark.parametrize(("width", "alpha"), [(2, 0.0), (3, 1.5)])
def test_a_batch_is_searched_as_its_sentences_are(model, width, alpha):
    ids, log_p = beam_candidates(model, SOURCE[:3], 2, 3, 4, width, alpha)
    assert ids.dtype == np.int32
    for row, sentence in enumerate(SOURCE[:3, None]):

        def following(tokens, sentence=sentence):
            return word_log_probabilities(model((sentence, np.array([tokens]))))[0, -1]

        found = beam_search(following, 2, 3, width, 4, alpha)
        padded = [[*tokens, *[0] * (4 - len(tokens))] for tokens, _ in found]
        np.testing.assert_array_equal(ids[row], padded)
        np.testing.assert_allclose(log_p[row], [value for _, value in found], atol=1e-4)


class Counted:
    """A translator with a nested state: rows of log-probabilities by the number of words, and by the last word."""

    def __init__(self, rows):
        self.rows, self.decoder, self.calls = tf.constant(rows, tf.float32), self, 0
        self.head = type("Head", (), {"units": rows.shape[-1]})

    def encoder(self, source):
        return {"source": tf.cast(source, tf.int32), "nothing": None}

    def __call__(self, tokens, context, state=None):
        self.calls += 1
        assert context["nothing"] is None
        if state is None:
            state = {"count": tf.zeros_like(tokens[:, 0]), "more": (None, [tf.zeros((len(tokens), 2, 3))])}
        assert len(state["count"]) == len(context["source"]) == len(tokens)
        logits = tf.gather_nd(self.rows, tf.stack([context["source"][:, 0], state["count"], tokens[:, 0]], axis=1))
        return logits[:, None], {"count": state["count"] + 1, "more": state["more"]}


@pytest.mark.parametrize("alpha", [0.0, 0.6, 3.0])
def test_any_nested_state_and_fewer_answers_than_beginnings(alpha):
    # (source, words so far, last word, next word): padding 0 is never written, 1 starts, 2 ends
    rows = np.random.default_rng(3).normal(size=(3, 4, 4, 4), scale=2.0)
    ids, log_p = beam_candidates(Counted(rows), np.array([[0], [1], [2]]), 1, 2, 4, 200, alpha)
    for source in range(3):
        wanted = {}
        for length in range(1, 5):
            for tokens in itertools.product((1, 2, 3), repeat=length):
                if 2 not in tokens[:-1] and (tokens[-1] == 2 or length == 4):
                    path = [1, *tokens]
                    wanted[tokens] = sum(
                        float(word_log_probabilities(rows[source, k, path[k]])[path[k + 1]]) for k in range(length)
                    )
        order = sorted(wanted, key=lambda tokens: -wanted[tokens] / ((5 + len(tokens)) / 6) ** alpha)
        np.testing.assert_allclose(log_p[source, : len(order)], [wanted[tokens] for tokens in order], atol=1e-5)
        assert [tuple(row[row > 0].tolist()) for row in ids[source, : len(order)]] == order
        assert np.all(log_p[source, len(order) :] == -np.inf)
        assert not ids[source, len(order) :].any()


def test_searching_stops_when_nothing_better_can_come():
    rows = np.zeros((1, 50, 4, 4))
    rows[..., 2] = 10.0  # the end is nearly certain
    model = Counted(rows)
    assert beam_decode(model, np.array([[0]]), 1, 2, 50, width=1).tolist() == [[2] + [0] * 49]
    assert model.calls == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: penalty(3, -0.1), "alpha: expected a number of at least 0, got -0.1"),
        (lambda: penalty(3, np.nan), "alpha: expected"),
        (lambda: beam_search(lambda tokens: [0.0], 0, None, 0, 3), "width: expected a whole"),
        (lambda: beam_search(lambda tokens: [0.0], 0, None, 1, 0), "max_length: expected a whole"),
        (lambda: beam_search(lambda tokens: [0.0], 0, None, 1, 3, -1.0), "alpha: expected"),
        (lambda: beam_search(lambda tokens: [0.5, 0.5], 0, None, 1, 3), "next_log_probabilities: expected numbers of"),
        (lambda: beam_search(lambda tokens: [-1, np.nan], 0, None, 1, 3), "next_log_probabilities: expected numbers"),
        (lambda: beam_search(lambda tokens: [[0.0]], 0, None, 1, 3), "next_log_probabilities: expected the shape"),
        (lambda: best_sequence([[1.0]], [[1.0]], 2), "start: expected the shape"),
        (lambda: best_sequence([0.5, 0.5], [[1.0]], 2), "transition: expected the shape"),
        (lambda: best_sequence([0.5, 0.4], np.eye(2), 2), "start: expected probabilities"),
        (lambda: best_sequence([0.5, 0.5], [[1.5, -0.5], [0, 1]], 2), "transition: expected probabilities"),
        (lambda: best_sequence([0.5, 0.5], np.eye(2), 0), "steps: expected a whole"),
        (lambda: beam_decode(Counted(np.zeros((1, 1, 4, 4))), [[0]], 0, 2, 3), "start, end: expected ids from 1 to 3"),
        (lambda: beam_decode(Counted(np.zeros((1, 1, 4, 4))), [[0]], 1, 4, 3), "start, end: expected ids from 1 to 3"),
        (lambda: beam_decode(Counted(np.zeros((1, 1, 4, 4))), [[0]], 1, 2, 3, width=0), "width: expected a whole"),
        (lambda: beam_decode(Counted(np.zeros((1, 1, 4, 4))), [[0]], 1, 2, 0), "max_length: expected a whole"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
