"""GPT on a novel: parts, windows, what is divided by characters, counted losses, copies, cited figures; every error."""

import json
import math

import numpy as np
import pytest

from kerasnotes.chapter08.counting_models import interpolated_perplexities
from kerasnotes.chapter14.gpt import Gpt, token_losses
from kerasnotes.chapter14.gpt_on_a_novel import (
    COUNTED,
    RECURRENT,
    NovelInPieces,
    _teach,
    copied_share,
    counted_losses,
    perplexity_per_character,
    random_windows,
)
from kerasnotes.course import catalog

TEXT = "the cat sat on the mat. a dog sat on a log. " * 30
RESULTS = catalog.PACKAGE.parent / "chapters" / "results" / "chapter08"


@pytest.mark.parametrize("merges", [0, 12])
def test_three_parts(merges):
    novel = NovelInPieces(TEXT, merges)
    parts = [novel.decode(part) for part in (novel.train, novel.middle, novel.test)]
    assert "".join(parts) == TEXT
    assert [len(part) for part in parts] == [1188, 66, 66]
    for part, characters in zip((novel.middle, novel.test), novel.characters, strict=True):
        assert characters == 66 - len(novel.encoding.tokens[part[0]])
    assert novel.size == len(novel.encoding.tokens) == len(set(TEXT)) + merges


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("context", [2, 7, 30])
def test_windows_are_pieces_of_the_text_without_gaps(seed, context):
    ids = np.arange(100)
    windows = random_windows(ids, context, seed)
    assert windows.shape[1] == context + 1
    np.testing.assert_array_equal(windows, windows[:, :1] + np.arange(context + 1))
    starts = np.sort(windows[:, 0])
    assert set(np.diff(starts)) <= {context}
    assert starts[0] < context
    assert 99 - (starts[-1] + context) < context
    assert len({random_windows(ids, context, other)[0, 0] for other in range(9)}) > 1


def test_perplexities():
    model = Gpt(5, 8, 2, 16, layers=1, context=6)
    ids = np.random.default_rng(0).integers(5, size=30)
    want = math.exp(token_losses(model, ids).sum() / 77)
    assert perplexity_per_character(model, ids, 77) == pytest.approx(want)
    model.head.kernel.assign(np.zeros((8, 5)))
    assert perplexity_per_character(model, ids, 29) == pytest.approx(5, rel=1e-5)


def test_teaching_lowers_the_perplexity_and_repeats():
    novel = NovelInPieces(TEXT, 12)
    runs = []
    for _ in range(2):
        model = Gpt(novel.size, 8, 2, 16, layers=1, context=8, seed=1)
        learning = _teach(model, novel.train, 3, 0.02, 2, lambda passes, text: passes, batch_size=4)
        runs.append([perplexity_per_character(model, novel.test, novel.characters[1]) for _ in learning])
    assert len(runs[0]) == 3
    assert runs[0][2] < runs[0][1] < runs[0][0] < 6
    np.testing.assert_allclose(*runs, rtol=1e-4)


def test_counted_losses_by_hand():
    novel = NovelInPieces("ab" * 200, 0)
    losses = counted_losses(novel, order=2)
    assert losses.shape == (len(novel.test) - 1,)
    assert losses.max() < 0.01  # after a always b


@pytest.mark.parametrize("order", [1, 3])
def test_counted_losses_are_chapter_08s(order):
    novel = NovelInPieces("".join(np.random.default_rng(0).choice(list("aaabc d"), 2000)), 5)
    want = interpolated_perplexities(novel.train, novel.middle, novel.test, (order,), novel.size)[order]
    assert math.exp(counted_losses(novel, order).mean()) == pytest.approx(want)


def test_copies():
    source = np.arange(20)
    assert copied_share(np.array([[3, 4, 5, 9], [7, 7, 8, 9]]), source, 2) == pytest.approx(4 / 6)
    assert copied_share(np.array([[3, 4, 5, 9]]), source, 3) == 0.5
    assert copied_share(np.array([[3, 4, 5, 9]]), source, 4) == 0
    assert copied_share(np.array([[18, 19, 0, 1]]), source, 2) == pytest.approx(2 / 3)


def test_what_is_cited_is_what_chapter_08_recorded():
    report = json.loads((RESULTS / "language_model" / "report.json").read_text())
    rows = next(record["rows"] for record in report["records"] if record.get("title", "").startswith("Held-out"))
    found = dict(rows)
    assert found["network of 128 units"] == pytest.approx(RECURRENT, abs=0.005)
    assert found["counted groups of up to 5"] == pytest.approx(COUNTED, abs=0.005)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda: random_windows(np.arange(10), 1, 0), "context: expected a whole number of at least 2"),
        (lambda: random_windows(np.arange(10), 6, 0), "ids: expected at least 12 integers"),
        (lambda: perplexity_per_character(Gpt(5, 8, 2, context=4), [1, 2], 0), "characters: expected a whole number"),
        (lambda: NovelInPieces("abc", -1), "merges: expected a whole number"),
    ],
)
def test_errors(function, message):
    with pytest.raises(ValueError, match=message):
        function()
