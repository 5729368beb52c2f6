"""The course's data sets as arrays, read from files that are checked against their SHA-256.

Nothing here reaches the network. What each file holds, where it comes from and under which licence: `data/README.md`.
"""

import gzip
import hashlib
import json
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

AUTO_MPG_FEATURES = (
    "cylinders",
    "displacement, cubic inches",
    "horsepower",
    "weight, pounds",
    "acceleration, s to 60 mph",
    "model year",
    "origin",
)
IRIS_FEATURES = ("sepal length, cm", "sepal width, cm", "petal length, cm", "petal width, cm")
IRIS_SPECIES = ("setosa", "versicolor", "virginica")
FASHION_LABELS = (
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)

_IDX_PARTS = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
FILES = {  # what each loader reads; loaders do not look here, so that a new data set touches no other's results
    "mnist": tuple(f"mnist/{part}" for part in _IDX_PARTS),
    "fashion_mnist": tuple(f"fashion-mnist/{part}" for part in _IDX_PARTS),
    "novel": ("pride_and_prejudice.txt.gz",),
    "movie_reviews": ("movie_reviews.tsv.gz",),
    "tang_quatrains": ("tang_quatrains_5.tsv.gz", "tang_quatrains_7.tsv.gz"),
    "interface_texts": ("interface_en_fr.tsv.gz", "interface_en_zh.tsv.gz"),
    "sunspots": ("sunspots_monthly.dat.gz",),
    "iris": ("iris.csv",),
    "auto_mpg": ("auto_mpg.csv.gz",),
    "breast_cancer": ("breast_cancer.csv.gz",),
    "karate_club": ("karate_club.csv",),
}


class Poem(NamedTuple):
    """A quatrain: who wrote it, its title, and its four lines without punctuation."""

    author: str
    title: str
    lines: tuple[str, str, str, str]


class DataFileError(OSError):
    """A data file is missing, truncated or altered. The message names the file, the expectation and the remedy."""


def data_directory():
    """The folder of the data files: inside the installed package, or `data/` of the source tree."""
    package = Path(__file__).resolve().parent
    installed = package / "_data"
    return installed if installed.is_dir() else package.parent / "data"


def results_directory():
    """The folder of the recorded runs: inside the installed package, or `chapters/results` of the source tree."""
    package = Path(__file__).resolve().parent
    installed = package / "_results"
    return installed if installed.is_dir() else package.parent / "chapters" / "results"


def registry():
    """What is expected of every data file: `{name: {"bytes": int, "sha256": str}}`."""
    path = data_directory() / "registry.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataFileError(
            f"{path}: the list of data files cannot be read ({error}). {_remedy('registry.json')}"
        ) from None


def read_verified(name):
    """Read one data file whole and verify it.

    Args:
        name: A name in the registry, such as `"iris.csv"`.

    Returns:
        The file's bytes, decompressed if its name ends in `.gz`.

    Raises:
        ValueError: If the registry has no such name.
        DataFileError: If the file is missing, truncated or altered. Nothing is deleted.
    """
    expected = registry().get(name)
    if expected is None:
        raise ValueError(f"name: expected one of {', '.join(sorted(registry()))}, got {name!r}")
    path = data_directory() / name
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataFileError(f"{path}: missing; expected {expected['bytes']:,} bytes. {_remedy(name)}") from None
    if len(content) != expected["bytes"]:
        raise DataFileError(
            f"{path}: truncated or altered; expected {expected['bytes']:,} bytes, found {len(content):,}. "
            + _remedy(name)
        )
    found = hashlib.sha256(content).hexdigest()
    if found != expected["sha256"]:
        raise DataFileError(f"{path}: altered; expected SHA-256 {expected['sha256']}, found {found}. {_remedy(name)}")
    return gzip.decompress(content) if name.endswith(".gz") else content


def mnist():
    """Handwritten digits, in the form of `keras.datasets.mnist.load_data()`.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: images uint8 (60000, 28, 28) and (10000, 28, 28) with values 0 to 255,
        labels uint8 0 to 9.

    Source: LeCun, Cortes, Burges, the MNIST database of handwritten digits.
    """
    return _idx_data_set("mnist")


def fashion_mnist():
    """Pictures of clothing, in the form of `keras.datasets.fashion_mnist.load_data()`.

    Returns:
        As `mnist()`; the labels' names are `FASHION_LABELS`.

    Source: Xiao, Rasul, Vollgraf 2017, arXiv:1708.07747.
    """
    return _idx_data_set("fashion-mnist")


def novel():
    """The text of a novel in English, "Pride and Prejudice" by Jane Austen (1813), about 680,000 characters."""
    return read_verified("pride_and_prejudice.txt.gz").decode("utf-8")


def movie_reviews():
    """Sentences from film reviews with human ratings.

    Returns:
        `(texts, ratings)`: a list of 10,605 sentences; float64 (10605,), the mean rating from −4 (bad) to 4 (good).

    Source: Hutto and Gilbert 2014, VADER; sentences from Pang and Lee 2005.
    """
    rows = _tsv("movie_reviews.tsv.gz")
    return [text for _, text in rows], np.array([rating for rating, _ in rows], np.float64)


def tang_quatrains(characters=7):
    """Quatrains of the Tang dynasty, in simplified characters.

    Args:
        characters: Characters of a line, 5 (3,896 poems) or 7 (10,421 poems).

    Returns:
        A list of `Poem(author, title, lines)` with four lines each. Some poems stand there twice under two titles.

    Source: the collection chinese-poetry, after Quan Tang shi (全唐诗, 1705).
    """
    if characters not in (5, 7):
        raise ValueError(f"characters: expected 5 or 7, got {characters!r}")
    rows = _tsv(f"tang_quatrains_{characters}.tsv.gz")
    return [Poem(author, title, tuple(filter(None, re.split("[，。？！；]", text)))) for author, title, text in rows]


def interface_texts(language="fr"):
    """Short English texts of a program's interface with their translations.

    Args:
        language: `"fr"`, French (12,360 pairs), or `"zh"`, Chinese (12,233 pairs).

    Returns:
        A list of pairs `(english, translation)`.

    Source: The Document Foundation, LibreOffice 7.4.7.
    """
    if language not in ("fr", "zh"):
        raise ValueError(f"language: expected 'fr' or 'zh', got {language!r}")
    return [(english, other) for english, other in _tsv(f"interface_en_{language}.tsv.gz")]


def sunspots():
    """Monthly mean sunspot numbers from January 1749 to June 2009, the series before its revision of 2015.

    Returns:
        `(years, numbers)`: float64 (3126,) each; a month's middle in years, such as 1749.042, and its mean number.

    Source: SIDC, Royal Observatory of Belgium.
    """
    lines = read_verified("sunspots_monthly.dat.gz").decode("utf-8").splitlines()
    table = [line.split() for line in lines if re.match(r"\d{4} ", line)]
    months = [(int(year) + (month + 0.5) / 12, float(n)) for year, *row in table for month, n in enumerate(row)]
    return tuple(np.array(months).T)


def iris():
    """Measurements of 150 iris flowers of three species.

    Returns:
        `(x, y)`: float64 (150, 4) in centimetres, columns as in `IRIS_FEATURES`; int64 (150,), as in `IRIS_SPECIES`.

    Source: Fisher 1936, The use of multiple measurements in taxonomic problems.
    """
    table = _csv("iris.csv", skip=1)
    return table[:, :4].astype(np.float64), table[:, 4].astype(np.int64)


def auto_mpg():
    """Fuel consumption of 392 cars of the years 1970 to 1982.

    Returns:
        `(x, y)`: float64 (392, 7), columns as in `AUTO_MPG_FEATURES`; float64 (392,), miles per gallon.

    Source: Quinlan 1993, Combining instance-based and model-based learning.
    """
    table = _csv("auto_mpg.csv.gz", skip=0)
    return table[:, :7].astype(np.float64), table[:, 8].astype(np.float64)


def breast_cancer():
    """Thirty features of 569 breast tumours.

    Returns:
        `(x, y)`: float64 (569, 30); int64 (569,), 0 malignant and 1 benign.

    Source: Street, Wolberg, Mangasarian 1993, Nuclear feature extraction for breast tumor diagnosis.
    """
    table = _csv("breast_cancer.csv.gz", skip=1)
    return table[:, :30].astype(np.float64), table[:, 30].astype(np.int64)


def karate_club():
    """Friendships in a karate club of 34 members, shortly before it split into two.

    Member 0 is the instructor, member 33 an officer of the club, around whom the two new clubs formed.

    Returns:
        `(edges, clubs)`: int64 (78, 2), pairs of friends, the smaller number first; int64 (34,), the club that each
        member joined after the split, 0 member 0's and 1 member 33's. Zachary's members are counted from 1.

    Source: Zachary 1977, An information flow model for conflict and fission in small groups, tables 1 and 3.
    """
    table = _csv("karate_club.csv", skip=1).astype(np.int64)
    edges, clubs = table[:, :2], np.empty(34, np.int64)
    clubs[edges] = table[:, 2:]
    return edges.copy(), clubs


def _idx_data_set(folder):
    parts = [(_idx(f"{folder}/{part}-images-idx3-ubyte.gz"), _idx(f"{folder}/{part}-labels-idx1-ubyte.gz"))
             for part in ("train", "t10k")]  # fmt: skip
    return parts[0], parts[1]


def _idx(name):
    """An IDX file: two zero bytes, the element type (8: uint8), the rank, then each size as a big-endian int32."""
    content = bytearray(read_verified(name))  # a bytearray makes the array writable
    rank = content[3]
    shape = np.frombuffer(content, ">i4", rank, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)


def _csv(name, skip):
    lines = read_verified(name).decode("utf-8").splitlines()[skip:]
    return np.array([line.split(",") for line in lines])


def _tsv(name):
    return [line.split("\t") for line in read_verified(name).decode("utf-8").split("\n") if line]


def _remedy(name):
    if data_directory().name == "_data":
        return "Restore it by installing kerasnotes again: pip install --force-reinstall --no-deps kerasnotes"
    return f"Restore it from the repository: git checkout -- data/{name}"
