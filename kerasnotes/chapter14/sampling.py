"""Temperature and top-k decide how many of a model's choices stay open, from the likeliest one to all of them.

A language model gives probabilities; to write, somebody has to choose. What the reader should see: a temperature below
1 makes likely tokens likelier, one above 1 makes all more alike; top-k closes all but the k likeliest choices; both
ends are known, always the likeliest token, and the model as it is; and counted groups of letters that write one line
again and again, or nonsense, or something in between, with one and the same model.

Notes: chapter 14, "GPT" (GPT模型).
Source: Ackley, Hinton, Sejnowski 1985, doi:10.1207/s15516709cog0901_7 (temperature); Fan, Lewis, Dauphin 2018,
arXiv:1805.04833 (top-k sampling); Holtzman et al. 2020, arXiv:1904.09751 (why the likeliest text is not the best).
"""

import re
from collections import Counter, defaultdict

import keras
import numpy as np

from kerasnotes import data, plots
from kerasnotes.parts import positive, shape, whole

SMOKE = {"characters": 20_000, "draws": 2000, "length": 60}
SECONDS = 2


def open_choices(logits, temperature=1.0, top_k=None):
    """Probabilities of the next token: softmax of logits/temperature, over the k tokens with the largest logits.

    Args:
        logits: (vocabulary,), any real numbers; a logarithm of probabilities will do. Minus infinity is allowed.
        temperature: Positive. Every probability is raised to 1/temperature, and all are made to sum to 1 again.
        top_k: How many tokens stay open, or None for all. Of equal logits the smaller ids stay.

    Returns:
        Array (vocabulary,), float64, with sum 1, exactly 0 for closed tokens.

    Raises:
        ValueError: If an argument is out of range, or a logit is NaN or infinite, or all are minus infinity.
    """
    logits = shape("logits", np.asarray(logits, np.float64), None)
    if not (logits < np.inf).all() or logits.max(initial=-np.inf) == -np.inf:
        raise ValueError("logits: expected numbers or minus infinity, at least one number")
    scaled = (logits - logits.max()) / positive("temperature", temperature)  # the largest is 0: no overflow
    if top_k is not None and whole("top_k", top_k) < len(logits):
        scaled[np.argsort(-logits, kind="stable")[top_k:]] = -np.inf
    p = np.exp(scaled)
    return p / p.sum()


def sample(logits, temperature=1.0, top_k=None, rng=None):
    """Draw the next token from `open_choices`.

    Args:
        logits, temperature, top_k: As there.
        rng: `numpy.random.Generator`, or None for one without a seed.

    Returns:
        The token's id, int.
    """
    total = open_choices(logits, temperature, top_k).cumsum()
    drawn = (np.random.default_rng() if rng is None else rng).random() * total[-1]
    return int(np.searchsorted(total, drawn, side="right"))


def equal_choices(probabilities):
    """Exp of the entropy: between how many equally likely choices a draw would hesitate as much.

    Args:
        probabilities: (choices,), with sum 1.
    """
    p = shape("probabilities", np.asarray(probabilities, np.float64), None)
    if not (p >= 0).all() or abs(p.sum() - 1) > 1e-6:
        raise ValueError(f"probabilities: expected numbers of at least 0 with sum 1, got the sum {p.sum()}")
    p = p[p > 0]
    return float(np.exp(-(p * np.log(p)).sum()))


class CountedLetters:
    """The letter that follows, by counting: after the last `order - 1` letters of a text, or fewer if never seen.

    Args:
        text: The text to count in.
        order: Letters of the longest group that is counted.

    Attribute: `letters`, the text's different letters.
    """

    def __init__(self, text, order=5):
        self.letters, self.order = sorted(set(text)), whole("order", order)
        self.counts = defaultdict(Counter)
        for size in range(order):
            for at in range(len(text) - size):
                self.counts[text[at : at + size]][text[at + size]] += 1

    def logits(self, text):
        """Logarithms of the shares (letters,) of what followed; minus infinity for what never did."""
        begun = next(text[at:] for at in range(max(0, len(text) - self.order + 1), len(text) + 1)
                     if text[at:] in self.counts)  # fmt: skip
        with np.errstate(divide="ignore"):
            return np.log([self.counts[begun][letter] for letter in self.letters])

    def write(self, prefix, length, temperature=1.0, top_k=None, seed=0):
        """`length` letters that go on with the prefix, without it."""
        text, rng = prefix, np.random.default_rng(seed)
        for _ in range(length):
            text += self.letters[sample(self.logits(text), temperature, top_k, rng)]
        return text[len(prefix) :]


def example():
    """Four tokens: hot, cold, two open, and Keras's softmax; ten draws."""
    logits = np.log([0.5, 0.3, 0.15, 0.05])
    for temperature, top_k in ((1.0, None), (0.5, None), (2.0, None), (1.0, 2), (1.0, 1)):
        p = open_choices(logits, temperature, top_k)
        print(f"temperature {temperature}, top_k {top_k}: {p.round(3)}, as {equal_choices(p):.2f} equal choices")
    print("Keras, temperature 0.5:  ", keras.ops.softmax(logits / 0.5).numpy().round(3))
    rng = np.random.default_rng(0)
    print("ten draws:", [sample(logits, rng=rng) for _ in range(10)])
    print("written by counting:", repr(CountedLetters("banana bandana ", 3).write("ba", 20)))


def lesson(report, *, characters: int = 300_000, draws: int = 20_000, length: int = 110, seed: int = 0):
    """Compare with the softmax, go to both ends, draw, and let counted letters write.

    Args:
        report: The report to write to.
        characters: Characters of the novel to count in, from its beginning (10000 to 684768).
        draws: Draws whose frequencies are compared (1000 to 1000000).
        length: Letters of each sample (10 to 10000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    _closed_forms(report, rng)
    _frequencies(report, draws, rng)
    text = data.novel()[:characters]
    model = CountedLetters(text)
    _written(report, model, text, length, seed)
    _draw(report, model)


def _closed_forms(report, rng):
    logits = rng.normal(size=50) * 2
    p = open_choices(logits)
    report.check("temperature 1, all open: Keras's softmax", p, keras.ops.softmax(logits), atol=1e-7)
    report.check("top_k = vocabulary: nothing changes", open_choices(logits, 1.0, 50), p)
    power = p ** (1 / 0.7)
    report.check("temperature 0.7: probabilities to the power of 1/0.7", open_choices(logits, 0.7), power / power.sum())
    largest = np.sort(p)[-5:].sum()
    want = np.where(p >= np.sort(p)[-5], p / largest, 0)
    report.check("top_k = 5: the five likeliest, over their sum", open_choices(logits, 1.0, 5), want)
    report.check("greedy: top_k = 1, and temperature 0.0001", [open_choices(logits, 1.0, 1),
                 open_choices(logits, 1e-4)], [np.eye(50)[logits.argmax()]] * 2)  # fmt: skip
    report.check("temperature 1e9: all choices alike", equal_choices(open_choices(logits, 1e9)), 50.0)
    hotter = [equal_choices(open_choices(logits, t)) for t in np.geomspace(0.05, 20, 60)]
    report.at_least("a higher temperature: smallest change of the equal choices", np.diff(hotter).min(), -1e-9)
    wider = [equal_choices(open_choices(logits, 1.0, k)) for k in range(1, 51)]
    report.check("one choice open: as one equal choice; all: as the softmax", [wider[0], wider[-1]],
                 [1.0, equal_choices(p)])  # fmt: skip


def _frequencies(report, draws, rng):
    logits = np.log([0.4, 0.3, 0.2, 0.1])
    for name, arguments in {
        "top_k = vocabulary": (1.0, 4),
        "temperature 0.5": (0.5, None),
        "top_k = 2": (1.0, 2),
    }.items():
        p = open_choices(logits, *arguments)
        drawn = np.bincount([sample(logits, *arguments, rng) for _ in range(draws)], minlength=4) / draws
        error = np.sqrt(p * (1 - p) / draws)
        report.at_most(f"{name}: frequencies less probabilities, standard errors",
                       np.max(np.abs(drawn - p)[p > 0] / error[p > 0]), 3.0)  # fmt: skip
        report.check(f"{name}: draws of closed tokens", float(drawn[p == 0].sum()), 0.0)
    greedy = {sample(logits, rng=rng, top_k=1) for _ in range(100)}
    report.check("top_k = 1: the only token that is ever drawn", sorted(greedy), [0])


def _written(report, model, text, length, seed):
    """One model, several ways to choose: how much is repeated, and how much is words."""
    known = set(re.findall(r"[a-z]+", text.lower()))
    ways = {"greedy": (1.0, 1), "temperature 0.5": (0.5, None), "temperature 1": (1.0, None), "temperature 2":
            (2.0, None), "top-k 3": (1.0, 3)}  # fmt: skip
    rows, novel = [], {}
    for name, arguments in ways.items():
        written = model.write("It was ", 20 * length, *arguments, seed)
        words = re.findall(r"[a-z]+", written.lower())[:-1]  # the last one may be cut off
        groups = [written[at : at + 20] for at in range(len(written) - 19)]
        novel[name] = len(set(groups)) / len(groups)
        share = 100 * sum(word in known for word in words) / max(len(words), 1)
        rows.append([name, share, 100 * novel[name], written[:length].replace("\n", "↵")])
    report.table("Counted groups of five letters go on with “It was ” (↵ starts a new line)",
                 ["choice", "words of the novel, %", "different passages of 20 letters, %", "text"], rows)  # fmt: skip
    report.at_most("greedy: share of its passages of 20 letters that are different", novel["greedy"], 0.5, trained=True)
    report.at_least("temperature 1: the same share", novel["temperature 1"], 0.95, trained=True)
    report.at_least("words of the novel, temperature 0.5 less temperature 2, %", rows[1][1] - rows[3][1], 5.0,
                    trained=True)  # fmt: skip


def _draw(report, model, shown=8):
    logits = model.logits("the ")
    order = np.argsort(-logits, kind="stable")[:shown]
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 4.2))
    names = [repr(model.letters[i])[1:-1].replace(" ", "␣") for i in order]
    for number, temperature in enumerate((0.5, 1.0, 2.0)):
        places = np.arange(shown) + 0.27 * (number - 1)
        left.bar(places, open_choices(logits, temperature)[order], 0.27, label=f"temperature {temperature:g}")
    left.set_xticks(range(shown), names)
    left.set(xlabel="letter after “the ”", ylabel="probability", title="Cold prefers, hot levels")
    left.legend()
    temperatures = np.geomspace(0.1, 10, 60)
    series = {f"top-k {k}" if k else "all open": [equal_choices(open_choices(logits, t, k)) for t in temperatures]
              for k in (3, 10, None)}  # fmt: skip
    plots.curves(temperatures, series, xlabel="temperature", ylabel="as many equal choices", xscale="log", ax=right,
                 title="The number of open choices, after “the ”")  # fmt: skip
    report.figure("How many choices are open", figure, alt="Left: probabilities of letters at three temperatures. "
                  "Right: equal choices against temperature, a curve each for top-k 3, 10 and none, which all begin "
                  "at one and end at k or at the number of letters that were ever seen there.")  # fmt: skip
