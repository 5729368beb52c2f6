"""Spans hidden and restored, in the paper's sentence and at random; the four tasks by Python's own; what is refused."""

from itertools import pairwise

import numpy as np
import pytest

from kerasnotes.chapter14.t5 import (
    answers,
    asked,
    behind_start,
    corrupt_spans,
    gaps_in_digits,
    random_spans,
    restore_spans,
    string_tasks,
)


@pytest.mark.parametrize("seed", range(30))
def test_spans_are_apart_within_and_as_many_as_asked(seed):
    rng = np.random.default_rng(seed)
    length, rate, mean = int(rng.integers(2, 300)), rng.uniform(0, 1), rng.uniform(0.3, 6)
    spans = random_spans(length, rate, mean, seed)
    assert spans[0][0] >= 0
    assert spans[-1][1] <= length
    assert all(start < stop for start, stop in spans)
    assert all(after[0] > before[1] for before, after in pairwise(spans))
    hidden = sum(stop - start for start, stop in spans)
    assert hidden == min(max(1, round(rate * length)), length - 1)
    assert len(spans) == min(max(1, round(hidden / mean)), hidden, length - hidden + 1)


def test_every_way_to_place_spans_is_equally_likely():
    # two spans in five tokens, three of them hidden: 1 + 2 or 2 + 1 tokens, and two tokens around them
    found = {}
    for seed in range(6000):
        spans = tuple(random_spans(5, 0.6, 1.5, seed))
        found[spans] = found.get(spans, 0) + 1
    wanted = {((s, s + a), (t, t + 3 - a)) for a in (1, 2) for s in range(3) for t in range(s + a + 1, 3 + a)}
    assert set(found) == wanted
    assert len(wanted) == 6
    np.testing.assert_allclose(list(found.values()), 1000, atol=4 * np.sqrt(1000 * 5 / 6))


def test_the_same_seed_gives_the_same_spans():
    assert random_spans(200, seed=(3, 1)) == random_spans(200, seed=(3, 1))
    assert random_spans(200, seed=(3, 1)) != random_spans(200, seed=(3, 2))


@pytest.mark.parametrize(
    ("spans", "inputs", "targets"),
    [
        ([(2, 4), (8, 9)], "Thank you <X> me to your party <Y> week .", "<X> for inviting <Y> last <Z>"),
        ([(0, 2)], "<X> for inviting me to your party last week .", "<X> Thank you <Y>"),
        ([(9, 11)], "Thank you for inviting me to your party last <X>", "<X> week . <Y>"),
        ([(0, 11)], "<X>", "<X> Thank you for inviting me to your party last week . <Y>"),
        ([], "Thank you for inviting me to your party last week .", "<X>"),
    ],
)
def test_sentences(spans, inputs, targets):
    text = ["Thank", "you", "for", "inviting", "me", "to", "your", "party", "last", "week", "."]
    sentinels = ["<X>", "<Y>", "<Z>"]
    assert corrupt_spans(text, spans, sentinels) == (inputs.split(), targets.split())
    assert restore_spans(inputs.split(), targets.split(), sentinels) == text


@pytest.mark.parametrize("seed", range(20))
def test_restoring_undoes_corrupting_and_every_token_stands_in_one_of_the_two(seed):
    rng = np.random.default_rng(seed)
    ids = rng.integers(50, size=rng.integers(2, 120))
    spans = random_spans(len(ids), rng.uniform(0, 1), rng.uniform(1, 4), seed)
    sentinels = np.arange(99, 99 - len(spans) - 2, -1)  # as in the paper's vocabulary, from the last id downwards
    inputs, targets = corrupt_spans(ids, spans, sentinels)
    assert restore_spans(inputs, targets, sentinels) == ids.tolist()
    assert [token for token in inputs if token > 50] == sentinels[: len(spans)].tolist()
    assert [token for token in targets if token > 50] == sentinels[: len(spans) + 1].tolist()
    assert sorted(token for token in inputs + targets if token < 50) == sorted(ids.tolist())
    assert restore_spans(np.array(inputs), np.array(targets), sentinels) == ids.tolist()


def test_tasks_are_pythons():
    source, target, task = string_tasks(800, seed=1)
    assert source.shape == target.shape == (800, 9)
    lengths = (source[:, 1:] != 0).sum(axis=1)
    assert set(lengths) == {5, 6, 7, 8}
    assert set(task) == {0, 1, 2, 3}
    assert set(source[:, 1:].ravel()) == {0, *range(7, 17)}
    functions = (list, lambda x: x[::-1], sorted, lambda x: [max(x)])
    for read, written, number, length in zip(source, target, task, lengths, strict=True):
        assert read[0] == 3 + number
        want = functions[number](read[1 : length + 1].tolist())
        assert written.tolist() == [*want, 2, *[0] * (8 - len(want))]
    np.testing.assert_array_equal(string_tasks(800, seed=1)[0], source)
    assert (string_tasks(800, seed=2)[0] != source).any()


def test_another_token_asks_for_another_answer():
    digits = np.array([[9, 8, 16, 8, 7, 0, 0, 0]] * 4)
    np.testing.assert_array_equal(asked(digits, range(4))[:, 0], [3, 4, 5, 6])
    np.testing.assert_array_equal(asked(digits, range(4))[:, 1:], digits)
    want = [[9, 8, 16, 8, 7, 2], [7, 8, 16, 8, 9, 2], [7, 8, 8, 9, 16, 2], [16, 2, 0, 0, 0, 0]]
    np.testing.assert_array_equal(answers(digits, range(4))[:, :6], want)


def test_gaps_in_digits_hide_two_and_tell_them():
    source, target = gaps_in_digits(300, seed=(5, 1))
    digits = string_tasks(300, seed=(5, 1))[0][:, 1:]
    for read, written, string in zip(source, target, digits, strict=True):
        written = written[written != 0].tolist()
        assert len(written) == 5
        assert written.pop() == 2
        assert restore_spans(read[read != 0].tolist(), written, range(17, 21)) == string[string != 0].tolist()
    assert len({tuple(np.flatnonzero(row == 17)) for row in source}) == 7  # all places from 0 to 6


def test_a_decoder_reads_one_word_late():
    np.testing.assert_array_equal(behind_start(np.array([[7, 8, 2, 0], [9, 2, 0, 0]])), [[1, 7, 8, 0], [1, 9, 0, 0]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: random_spans(1), "length: expected a whole number of at least 2"),
        (lambda: random_spans(9, rate=1.1), "rate: expected a number from 0 to 1"),
        (lambda: random_spans(9, mean_length=0), "mean_length: expected a positive number"),
        (lambda: corrupt_spans([1, 2, 3], [(0, 1), (1, 2)], [7, 8, 9]), "spans: expected them apart"),
        (lambda: corrupt_spans([1, 2, 3], [(2, 3), (0, 1)], [7, 8, 9]), "spans: expected them apart"),
        (lambda: corrupt_spans([1, 2, 3], [(1, 1)], [7, 8]), "spans: expected them apart"),
        (lambda: corrupt_spans([1, 2, 3], [(-1, 1)], [7, 8]), "spans: expected them apart"),
        (lambda: corrupt_spans([1, 2, 3], [(1, 4)], [7, 8]), "spans: expected them apart, in order, within 3"),
        (lambda: corrupt_spans([1, 2, 3], [(1, 2)], [7]), "sentinels: expected 2 or more different ones"),
        (lambda: corrupt_spans([1, 2, 3], [(1, 2)], [7, 7]), "sentinels: expected 2"),
        (lambda: corrupt_spans([1, 2, 3], [(1, 2)], [3, 7]), "sentinels: expected 2"),
        (lambda: restore_spans([1, 7], [], [7, 8]), "targets: expected sentinels in order"),
        (lambda: restore_spans([1, 7], [2, 7, 8], [7, 8]), "targets: expected sentinels in order"),
        (lambda: restore_spans([1, 7], [7, 8, 2], [7, 8]), "targets: expected sentinels in order"),
        (lambda: restore_spans([1, 8], [8, 2, 7], [7, 8]), "targets: expected sentinels in order"),
        (lambda: restore_spans([1, 7], [7, 1, 7], [7, 8]), "targets: expected sentinels in order"),
        (lambda: restore_spans([1, 8], [7, 2, 8], [7, 8]), "inputs: expected the targets' sentinels"),
        (lambda: restore_spans([1], [7, 2, 8], [7, 8]), "inputs: expected the targets' sentinels"),
        (lambda: string_tasks(0), "samples: expected a whole number"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
