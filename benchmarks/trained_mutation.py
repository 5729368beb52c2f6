"""Breaks the training of cheap lessons by hand, one thing at a time, and sees whether a check fails.

    python benchmarks/trained_mutation.py [chapter09.gates ...] [--seed 0]

Every change is a piece of text that stands in the lesson once: labels shuffled, a layer frozen, a sign, a missing
factor, the wrong axis. Each lesson runs at default scale, once for each change in its own fork; what it gives as it is,
its record says. Printed are the checks that fail. Where none does, the lesson's checks would not have noticed.
"""

import argparse
import importlib
import os
import sys
import tempfile
import time
from importlib import util
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")

ROOT = Path(__file__).resolve().parent.parent
BREAKS = {
    "chapter02.regression": [
        ("no slope of the penalty", "x.T @ slope + 2 * l2 * w", "x.T @ slope"),
        ("bias frozen", "b - learning_rate * slope.sum()", "b"),
        ("factor 2 of the squared error missing", "2 * (sums - y) / len(y)", "(sums - y) / len(y)"),
        ("diagnoses shuffled", "fit_logistic(x, y, 0.3, steps, l2)\n    accuracy",
         "fit_logistic(x, y := rng.permutation(y), 0.3, steps, l2)\n    accuracy"),
    ],
    "chapter03.rprop": [
        ("labels shuffled", "model, x, y, batch_size", "model, x, np.random.default_rng(0).permutation(y), batch_size"),
        ("hidden layer frozen", 'keras.layers.Dense(16, "tanh")', 'keras.layers.Dense(16, "tanh", trainable=False)'),
        ("output layer frozen", 'Dense(1, kernel_initializer="zeros")',
         'Dense(1, kernel_initializer="zeros", trainable=False)'),
    ],
    "chapter05.capacity": [
        ("random labels are the true ones", "rng.integers(10, size=pictures)", "digits[chosen]"),
        ("true labels shuffled", '("true", digits[chosen])', '("true", rng.permutation(digits[chosen]))'),
        ("hidden layer frozen", "gradients = tape.gradient(loss, weights)",
         "gradients = [tf.zeros_like(g) if n < 2 else g for n, g in enumerate(tape.gradient(loss, weights))]"),
        ("no mean of squares in Adam", "rate * m / (tf.sqrt(s) + 1e-7)", "rate * m"),
    ],
    "chapter08.simple_rnn": [
        ("recurrent layer frozen", 'return_sequences=gives == "many")(sequence)',
         'return_sequences=gives == "many", trainable=False)(sequence)'),
        ("labels shuffled", "x[drawn], y[drawn]", "x[drawn], y[rng.permutation(drawn)]"),
        ("carry forgotten", "carry = total % 2, total // 2", "carry = total % 2, 0 * total"),
        ("probabilities taken for logits", "loss(from_logits=True)", "loss()"),
    ],
    "chapter09.gates": [
        ("labels shuffled", "spoken[train], batch_size",
         "spoken[np.random.default_rng(0).permutation(train)], batch_size"),
        ("LSTM frozen", "keras.layers.RNN(LSTMCell(units, seed=seed), return_sequences=True)",
         "keras.layers.RNN(LSTMCell(units, seed=seed), return_sequences=True, trainable=False)"),
        ("embedding frozen", "Embedding(len(letters), 16)", "Embedding(len(letters), 16, trainable=False)"),
        ("probabilities taken for logits", "BinaryCrossentropy(from_logits=True)", "BinaryCrossentropy()"),
        ("marks counted down the passages", "np.cumsum(marks, axis=1)", "np.cumsum(marks, axis=0)"),
    ],
    "chapter09.encoder_decoder": [
        ("targets shuffled", "target_out[:samples], batch_size",
         "np.random.default_rng(0).permutation(target_out[:samples]), batch_size"),
        ("sources shuffled", "(source[:samples], target_in",
         "(np.random.default_rng(0).permutation(source[:samples]), target_in"),
        ("encoder frozen", "    steps = epochs * -(-samples // 50)\n",
         "    steps, model.encoder.trainable = epochs * -(-samples // 50), False\n"),
        ("learning rate a hundredth", "CosineDecay(1e-2", "CosineDecay(1e-4"),
    ],
    "chapter09.forecasting": [
        ("targets shuffled", "*windows(scaled[:early], size), batch_size",
         "windows(scaled[:early], size)[0], np.random.default_rng(0).permutation(windows(scaled[:early], size)[1]), "
         "batch_size"),
        ("not trained", "optimizers.Adam(learning_rate)", "optimizers.Adam(1e-9)"),
        ("scale of the whole series", "series[:early].mean(), series[:early].std()", "series.mean(), series.std()"),
    ],
    "chapter09.sentiment": [
        ("labels shuffled", "labels[train, None], batch_size",
         "np.random.default_rng(0).permutation(labels[train, None]), batch_size"),
        ("embedding frozen", "mask_zero=True, embeddings_initializer=start)",
         "mask_zero=True, embeddings_initializer=start, trainable=False)"),
        ("recurrent layer frozen", '"return_sequences": True,\n', '"return_sequences": True, "trainable": False,\n'),
        ("bag frozen", '1, embeddings_initializer="zeros")', '1, embeddings_initializer="zeros", trainable=False)'),
    ],
    "chapter10.vae": [
        ("codes cost nothing", "return reconstruction + kl, ", "return reconstruction, "),
        ("codes cost ten times", "return reconstruction + kl, ", "return reconstruction + 10 * kl, "),
        ("codes without noise", "self.decoder(self.sampling((mean, log_variance)))", "self.decoder(mean)"),
        ("encoder frozen", "vae.compile(keras.optimizers.Adam(rate))",
         "vae.encoder.trainable = False\n    vae.compile(keras.optimizers.Adam(rate))"),
        ("decoder frozen", "vae.compile(keras.optimizers.Adam(rate))",
         "vae.decoder.trainable = False\n    vae.compile(keras.optimizers.Adam(rate))"),
        ("mean over pixels", "reconstruction = tf.reduce_mean(", "reconstruction = 1 / 784 * tf.reduce_mean("),
    ],
    "chapter04.backpropagation": [("weights frozen", "w -= rate / len(rows) * ", "w -= 0 * ")],
    "chapter04.rectifiers": [("not trained", "0.9 * velocity - learning_rate * gradient", "0 * velocity")],
    "chapter04.tanh_or_sigmoid": [("not trained", "assign_sub(self.rates * ", "assign_sub(0 * ")],
    "chapter05.error_decomposition": [("network not trained", "now = rate * ", "now = 0 * ")],
    "chapter05.learning_rate_decay": [("not trained", "w = w - rate * 2 * ", "w = w - 0 * ")],
    "chapter06.batch_norm": [("not trained", "assign_sub(learning_rate * ", "assign_sub(0 * ")],
    "chapter08.short_window": [("not trained", "p[name] - rate * ", "p[name] - 0 * ")],
    "chapter08.clipping": [("not trained", "moves = [learning_rate * ", "moves = [0 * ")],
    "chapter08.word_vectors": [("not trained", "rates = learning_rate * ", "rates = 0 * ")],
    "chapter12.sarsa": [("not trained", "q[s][a] += rate(visits[s][a]) * ", "q[s][a] += 0 * ")],
    "chapter12.q_learning": [("not trained", "q[s][a] += rate(visits[s][a]) * ", "q[s][a] += 0 * ")],
    "chapter15.boltzmann_learning": [("not trained", "momentum * step_w + rate * dw, momentum * step_b + rate * db",
                                      "0 * step_w, 0 * step_b")],
    "chapter15.rbm": [("not trained", "number += rate * ", "number += 0 * ")],
    "chapter15.self_organizing_map": [("not trained", "w += (rate * along)", "w += (0 * along)")],
    "chapter13.graph_convolution": [
        ("leaders told wrong", "np.tile(clubs, steps)", "np.tile(1 - clubs, steps)"),
        ("no friendships for either", "predicted = _trained(club,", "predicted = _trained(0 * club,"),
        ("all members told", "np.isin(np.arange(34), LEADERS).astype(np.float32)", "np.ones(34, np.float32)"),
        ("not trained", "optimizers.Adam(0.01)", "optimizers.Adam(1e-9)"),
    ],
    "chapter10.denoising": [
        ("targets shuffled", "target.reshape(len(x), -1), batch_size",
         "np.random.default_rng(0).permutation(target.reshape(len(x), -1)), batch_size"),
        ("repairer trained to copy the noise", "add_noise(x_train, deviation, (seed, run, 3)), x_train, epochs",
         "*[add_noise(x_train, deviation, (seed, run, 3))] * 2, epochs"),
        ("hidden layer frozen", "keras.layers.Dense(hidden, ", "keras.layers.Dense(hidden, trainable=False, "),
    ],
}  # fmt: skip


def start(name, source, seed, number):
    """Fork; the child runs the lesson from `source` and prints which checks fail. Returns its process id."""
    child = os.fork()
    if child:
        return child
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"broken{number}.py")
            path.write_text(source, encoding="utf-8")
            package, short = name.rsplit(".", 1)
            spec = util.spec_from_file_location(name, path)
            module = sys.modules[name] = util.module_from_spec(spec)
            setattr(importlib.import_module(package), short, module)
            spec.loader.exec_module(module)
            from kerasnotes import run

            checks = [record for record in run(module, seed=seed).records if record["kind"] == "check"]
            failed = [check["label"] for check in checks if check["status"] == "failed"]
            print(f"    {len(failed)} of {len(checks)} checks fail:", "; ".join(failed) or "none", flush=True)
    except Exception as error:
        print(f"    {error!r}", flush=True)
    os._exit(0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lessons", nargs="*", help="all of the list if none is named")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    sys.dont_write_bytecode = True
    for module in ("tensorflow", "keras", "matplotlib.figure", "kerasnotes.course.run"):
        importlib.import_module(module)
    for lesson in arguments.lessons or BREAKS:
        name = f"kerasnotes.{lesson}"
        source = (ROOT / f"{name.replace('.', '/')}.py").read_text(encoding="utf-8")
        for number, (what, old, new) in enumerate(BREAKS[lesson]):
            if source.count(old) != 1:
                raise SystemExit(f"{lesson}: {old!r} stands there {source.count(old)} times")
            began = time.perf_counter()
            print(f"{lesson}: {what}", flush=True)
            os.waitpid(start(name, source.replace(old, new), arguments.seed, number), 0)
            print(f"    {time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
