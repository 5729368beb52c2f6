"""The data sets are what their publishers say, and a damaged file is noticed and left alone."""

import gzip
import hashlib
import re
import shutil

import numpy as np
import pytest

from kerasnotes import data


def test_mnist_is_the_published_one():
    (x_train, y_train), (x_test, y_test) = data.mnist()
    assert (x_train.shape, y_train.shape) == ((60000, 28, 28), (60000,))
    assert (x_test.shape, y_test.shape) == ((10000, 28, 28), (10000,))
    assert {x_train.dtype, y_train.dtype, x_test.dtype, y_test.dtype} == {np.dtype(np.uint8)}
    assert y_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert y_test[:5].tolist() == [7, 2, 1, 0, 4]
    # Pixel mean and deviation as they are usually quoted for normalization.
    assert x_train.mean() / 255 == pytest.approx(0.1307, abs=5e-5)
    assert x_train.std() / 255 == pytest.approx(0.3081, abs=5e-5)
    assert np.bincount(y_train).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    x_train[0] = 0  # Keras's arrays can be written to, so can these


def test_fashion_mnist_is_balanced():
    (x_train, y_train), (x_test, y_test) = data.fashion_mnist()
    assert x_train.shape == (60000, 28, 28)
    assert x_test.shape == (10000, 28, 28)
    assert np.bincount(y_train).tolist() == [6000] * 10
    assert np.bincount(y_test).tolist() == [1000] * 10
    assert x_train.mean() / 255 == pytest.approx(0.2860, abs=5e-5)
    assert len(data.FASHION_LABELS) == 10


def test_the_novel_begins_as_everybody_knows():
    text = data.novel()
    assert "It is a truth universally acknowledged" in text[:400]
    assert 600_000 < len(text) < 800_000
    assert "\r" not in text


def test_iris():
    x, y = data.iris()
    assert x.shape == (150, 4)
    assert np.bincount(y).tolist() == [50, 50, 50]
    assert x.mean(axis=0) == pytest.approx([5.843, 3.057, 3.758, 1.199], abs=5e-4)  # Fisher 1936
    assert len(data.IRIS_FEATURES) == 4
    assert len(data.IRIS_SPECIES) == 3


def test_auto_mpg():
    x, y = data.auto_mpg()
    assert x.shape == (392, len(data.AUTO_MPG_FEATURES))
    assert y.shape == (392,)
    assert (y.min(), y.max()) == (9.0, 46.6)
    assert sorted(set(x[:, 0])) == [3, 4, 5, 6, 8]


def test_breast_cancer():
    x, y = data.breast_cancer()
    assert x.shape == (569, 30)
    assert np.bincount(y).tolist() == [212, 357]  # malignant, benign


def test_karate_club():
    edges, clubs = data.karate_club()
    assert edges.shape == (78, 2)
    assert {edges.dtype, clubs.dtype} == {np.dtype(np.int64)}
    assert np.all(edges[:, 0] < edges[:, 1])
    assert len({tuple(edge) for edge in edges.tolist()}) == 78
    degrees = np.bincount(edges.ravel())
    assert (degrees[0], degrees[33], degrees.sum(), len(degrees)) == (16, 17, 156, 34)
    assert np.bincount(clubs).tolist() == [17, 17]
    assert (clubs[0], clubs[8], clubs[33]) == (0, 0, 1)  # member 9 of Zachary's, index 8, stayed with the instructor


def test_movie_reviews():
    texts, ratings = data.movie_reviews()
    assert len(texts) == len(ratings) == 10605
    assert np.sum(np.abs(ratings) >= 0.5) == 10072  # as the data's description counts them
    assert -4 <= ratings.min() < 0 < ratings.max() <= 4
    assert texts[2] == "Effective but too tepid biopic"


@pytest.mark.parametrize(("characters", "poems"), [(5, 3896), (7, 10421)])
def test_quatrains_have_four_lines(characters, poems):
    quatrains = data.tang_quatrains(characters)
    assert len(quatrains) == poems
    assert {tuple(map(len, poem.lines)) for poem in quatrains} == {(characters,) * 4}


def test_a_quatrain_that_everybody_knows():
    lines = ("床前看月光", "疑是地上霜", "举头望山月", "低头思故乡")  # Li Bai, as the Quan Tang shi has it
    (poem,) = [poem for poem in data.tang_quatrains(5) if poem.lines == lines]
    assert (poem.author, poem.title) == ("李白", "静夜思")


@pytest.mark.parametrize(("language", "pairs"), [("fr", 12360), ("zh", 12233)])
def test_interface_texts(language, pairs):
    texts = data.interface_texts(language)
    assert len(texts) == pairs
    assert all(english and other for english, other in texts)
    translated = {"fr": "Barre de défilement horizontale", "zh": "水平滚动条"}
    assert ("Horizontal scroll bar", translated[language]) in texts


def test_sunspots():
    years, numbers = data.sunspots()
    assert years.shape == numbers.shape == (3126,)
    assert np.diff(years) == pytest.approx(1 / 12)
    assert (years[0], years[-1]) == pytest.approx((1749 + 0.5 / 12, 2009 + 5.5 / 12))
    peak = np.argmax(numbers)
    assert (int(years[peak]), numbers[peak]) == (1957, 253.8)  # October 1957, the highest month of the old series


@pytest.mark.parametrize("read", [data.tang_quatrains, data.interface_texts])
def test_unknown_data_are_refused(read):
    with pytest.raises(ValueError, match="got 'la'"):
        read("la")


def test_every_file_is_registered_and_described():
    folder = data.data_directory()
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} - {
        "README.md",
        "registry.json",
    }
    assert files == set(data.registry())
    described = (folder / "README.md").read_text(encoding="utf-8")
    for name, expected in data.registry().items():
        assert name in described
        assert re.fullmatch(r"[0-9a-f]{64}", expected["sha256"])
        assert expected["sha256"] in described


@pytest.fixture
def copy(tmp_path, monkeypatch):
    for name in ("registry.json", "iris.csv", "pride_and_prejudice.txt.gz"):
        shutil.copy(data.data_directory() / name, tmp_path)
    monkeypatch.setattr(data, "data_directory", lambda: tmp_path)
    return tmp_path


def test_one_changed_byte_is_noticed(copy):
    path = copy / "iris.csv"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        data.DataFileError, match=r"altered; expected SHA-256 f13ffa8f.*git checkout -- data/iris\.csv"
    ) as caught:
        data.iris()
    assert str(path) in str(caught.value)
    assert hashlib.sha256(content).hexdigest() in str(caught.value)
    assert path.read_bytes() == content


def test_a_truncated_file_is_noticed(copy):
    path = copy / "pride_and_prejudice.txt.gz"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(data.DataFileError, match="truncated or altered; expected 248,844 bytes, found 248,834"):
        data.novel()
    assert path.exists()


def test_a_missing_file_is_named(copy):
    (copy / "iris.csv").unlink()
    with pytest.raises(data.DataFileError, match=r"iris\.csv: missing; expected 2,734 bytes"):
        data.iris()


def test_a_damaged_registry_is_named(copy):
    (copy / "registry.json").write_text("{")
    with pytest.raises(data.DataFileError, match=r"registry\.json"):
        data.iris()


def test_an_installed_package_names_another_remedy(copy, monkeypatch):
    installed = copy / "_data"
    installed.mkdir()
    shutil.copy(copy / "registry.json", installed)
    monkeypatch.setattr(data, "data_directory", lambda: installed)
    with pytest.raises(data.DataFileError, match="pip install --force-reinstall"):
        data.iris()


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="expected one of"):
        data.read_verified("../setup.cfg")


def test_compressed_files_are_plain_gzip():
    for name in data.registry():
        if name.endswith(".gz"):
            assert gzip.decompress((data.data_directory() / name).read_bytes()) == data.read_verified(name)
