"""Splits, batches and scaling: against scikit-learn, and by what every row does."""

import numpy as np
import pytest
import sklearn.model_selection
import sklearn.preprocessing
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter01.pipelines import batches, standardize, train_test_split


@settings(max_examples=60)
@given(st.integers(2, 60), st.floats(0.01, 0.99) | st.integers(1, 59), st.integers(0, 2**32 - 1))
def test_parts_make_the_whole_and_have_scikit_learns_sizes(rows, test_size, seed):
    try:
        sizes = [len(part) for part in sklearn.model_selection.train_test_split(np.arange(rows), test_size=test_size)]
    except ValueError:
        with pytest.raises(ValueError, match="test_size"):
            train_test_split(np.arange(rows), test_size=test_size, seed=seed)
        return
    train, test = train_test_split(np.arange(rows), test_size=test_size, seed=seed)
    assert [len(train), len(test)] == sizes
    assert sorted([*train, *test]) == list(range(rows))


@settings(max_examples=60)
@given(st.lists(st.integers(2, 25), min_size=1, max_size=4), st.floats(0.05, 0.95), st.integers(0, 2**32 - 1))
def test_stratified_shares_agree_to_one_row(counts, test_size, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    tests = int(np.ceil(test_size * len(labels)))
    if min(tests, len(labels) - tests) < len(counts):
        with pytest.raises(ValueError, match=r"stratify|test_size"):
            train_test_split(labels, test_size=test_size, seed=seed, stratify=labels)
        return
    number = np.arange(len(labels))
    train, test, train_labels, test_labels = train_test_split(
        number, labels, test_size=test_size, seed=seed, stratify=labels
    )
    assert len(test) == tests
    assert sorted([*train, *test]) == number.tolist()
    np.testing.assert_array_equal(labels[test], test_labels)
    for part in (train_labels, test_labels):
        exact = np.array(counts) * len(part) / len(labels)
        assert np.all(np.abs(np.bincount(part, minlength=len(counts)) - exact) < 1)


def test_equal_remainders_are_settled_by_chance():
    labels = np.repeat(["a", "b"], 5)
    firsts = {sum(train_test_split(labels, test_size=3, seed=seed, stratify=labels)[1] == "a") for seed in range(20)}
    assert firsts == {1, 2}


def test_every_row_is_drawn_equally_often():
    draws = 2000
    counts = np.zeros(10)
    for seed in range(draws):
        counts[train_test_split(np.arange(10), test_size=3, seed=seed)[1]] += 1
    assert np.all(np.abs(counts - 0.3 * draws) < 4.5 * np.sqrt(draws * 0.3 * 0.7))


def test_one_seed_gives_one_split_and_rows_stay_together():
    x, y = np.random.default_rng(0).normal(size=(30, 2)), np.arange(30)
    first, again = (train_test_split(x, y, test_size=0.3, seed=4) for _ in range(2))
    other = train_test_split(x, y, test_size=0.3, seed=5)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first[2], other[2])
    np.testing.assert_array_equal(first[0], x[first[2]])
    np.testing.assert_array_equal(first[1], x[first[3]])
    stratified = train_test_split(np.repeat([0, 1], 20), test_size=0.5, seed=1, stratify=np.repeat([0, 1], 20))[1]
    assert np.any(np.diff(stratified) < 0)  # classes mixed, not one after the other


@settings(max_examples=10)
@given(st.integers(1, 40), st.integers(1, 45), st.booleans(), st.integers(0, 2**32 - 1))
def test_an_epoch_has_every_row_once_and_the_rest_in_a_short_batch(rows, batch_size, shuffle, seed):
    x = np.arange(rows)
    dataset = batches(x, 2 * x, batch_size, shuffle, seed)
    for _ in range(2):
        pairs = [(a.numpy(), b.numpy()) for a, b in dataset]
        np.testing.assert_array_equal(np.sort(np.concatenate([a for a, _ in pairs])), x)
        assert all(np.array_equal(2 * a, b) for a, b in pairs)
        sizes = [len(a) for a, _ in pairs]
        assert sizes == [batch_size] * (rows // batch_size) + [rows % batch_size] * (rows % batch_size > 0)
        assert len(dataset) == len(sizes)
        if not shuffle:
            assert np.concatenate([a for a, _ in pairs]).tolist() == x.tolist()


def order_of(dataset):
    return np.concatenate([inputs for inputs, _ in dataset]).tolist()


def test_epochs_differ_and_seeds_repeat_whatever_the_global_seed():
    x = np.arange(100)
    runs = []
    for global_seed in (1, 2):
        tf.random.set_seed(global_seed)
        dataset = batches(x, x, 10, True, 3)
        runs.append([order_of(dataset) for _ in range(3)])
    assert runs[0] == runs[1]
    first, second, third = runs[0]
    assert first != second != third != first
    assert order_of(batches(x, x, 10, True, 4)) != first
    assert order_of(batches(x, x, 32, True, 3)) == first  # the size of the batches is no part of the order


def test_a_repeated_data_set_reshuffles_and_fits_a_model():
    x = np.arange(6)
    twice = order_of(batches(x, x, 2, True, 0).repeat(2))
    assert sorted(twice[:6]) == sorted(twice[6:]) == x.tolist()
    assert twice[:6] != twice[6:]
    images, _ = next(iter(batches(np.zeros((5, 4, 3), "float32"), np.arange(5), 2)))
    assert images.shape == (2, 4, 3)
    assert images.dtype == tf.float32


def test_standardize_equals_scikit_learn():
    rng = np.random.default_rng(3)
    train, test = rng.normal(5, 3, size=(40, 4)), rng.normal(size=(7, 4))
    train[:, 2] = 0.1  # a constant column, whose mean is not exactly representable
    scaler = sklearn.preprocessing.StandardScaler().fit(train)
    got = standardize(train, test, train[:1])
    for ours, given_ in zip(got, (train, test, train[:1]), strict=True):
        np.testing.assert_allclose(ours, scaler.transform(given_), rtol=1e-9, atol=1e-9)
    assert np.abs(got[0][:, 2]).max() < 1e-12


def test_standardize_by_hand_and_types():
    train, test = standardize(np.array([[1], [3]]), np.array([[5]]))
    assert train.tolist() == [[-1.0], [1.0]]
    assert test.tolist() == [[3.0]]
    assert train.dtype == test.dtype == np.float32
    assert standardize(np.float64([1, 3]))[0].dtype == np.float64
    (images,) = standardize(np.random.default_rng(0).normal(size=(9, 4, 4)).astype("float32"))
    np.testing.assert_allclose(images.std(axis=0), np.ones((4, 4)), rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: train_test_split(test_size=0.5, seed=0), "arrays: expected at least one, got none"),
        (lambda: train_test_split([1, 2], [1, 2, 3], test_size=0.5, seed=0), "arrays: expected equally many rows"),
        (lambda: train_test_split([1], test_size=0.5, seed=0), "arrays: expected equally many rows, at least two"),
        (lambda: train_test_split([1, 2, 3], test_size=0.0, seed=0), "test_size: expected a number above 0"),
        (lambda: train_test_split([1, 2, 3], test_size=1.0, seed=0), "test_size: expected a row left"),
        (lambda: train_test_split([1, 2, 3], test_size=3, seed=0), "test_size: expected a row left"),
        (lambda: train_test_split([1, 2, 3], test_size=True, seed=0), "test_size: expected a whole number"),
        (lambda: train_test_split([1, 2, 3], test_size=np.nan, seed=0), "test_size: expected a number above 0"),
        (lambda: train_test_split([1, 2, 3], test_size=0.9, seed=0), "test_size: expected a row left"),
        (lambda: train_test_split([1, 2, 3, 4], test_size=2, seed=0, stratify=[0, 1, 1, 1]), "stratify: .*two rows"),
        (
            lambda: train_test_split([1, 2, 3, 4], test_size=1, seed=0, stratify=[0, 0, 1, 1]),
            "stratify: .*each in both",
        ),
        (lambda: train_test_split([1, 2, 3], test_size=1, seed=0, stratify=[0, 0]), "stratify: expected one class"),
        (lambda: train_test_split([1, 2], test_size=1, seed=0, stratify=[0, np.nan]), "stratify: .*no NaN"),
        (lambda: batches([1, 2], [1], 1), "x, y: expected equally many rows, at least one, got 2 and 1"),
        (lambda: batches(np.zeros((0, 2)), np.zeros(0), 1), "x, y: expected equally many rows, at least one"),
        (lambda: batches([1], [1], 0), "batch_size: expected a whole number of at least 1, got 0"),
        (lambda: batches([1], [1], 1.5), "batch_size: expected a whole number"),
        (lambda: batches([1], [1], 1, True, -1), "seed: expected a whole number of at least 0, got -1"),
        (lambda: standardize(np.zeros((0, 2))), "train: expected rows of the features of train"),
        (lambda: standardize([[1.0, np.nan]]), "train: expected finite real numbers"),
        (lambda: standardize([["a"], ["b"]]), "train: expected finite real numbers"),
        (lambda: standardize([[1.0, 2.0]], [[1.0]]), r"others\[0\]: expected rows of the features"),
        (lambda: standardize([[1.0]], [[1.0]], [[np.inf]]), r"others\[1\]: expected finite"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_deviation_beyond_all_numbers_is_refused():
    with np.errstate(over="ignore"), pytest.raises(ValueError, match="train: expected numbers whose squares"):
        standardize([[1e308], [-1e308]])


def test_a_row_of_a_pandas_table_is_what_the_lesson_says():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"cylinders": [8], "weight": [3504.0], "name": ["chevrolet"]})
    row = frame.iloc[0].to_numpy()
    assert row.dtype == object
    assert row.tolist() == [8, 3504.0, "chevrolet"]
    assert frame[["cylinders", "weight"]].iloc[0].to_numpy().dtype == np.float64
