"""Four changed lines turn a GAN into a WGAN, whose critic gives any number and keeps its weights inside a bound.

A critic has no sigmoid and no logarithm, so that its slope does not fade where it is sure; its weights are cut to a
bound after every step, which bounds its slopes; and momentum goes. What the reader should see: the four changes as a
diff against the GAN; weights inside their bound at every step, and how many of them end up at the bound. What the
critic's number is worth is the next lesson's question.

Notes: chapter 11, "Wasserstein GAN, WGAN" (Wasserstein生成对抗网络).
Source: Arjovsky, Chintala, Bottou 2017, arXiv:1701.07875, algorithm 1, figure 3 and section 4.
"""

import ast
import difflib
import inspect
import re
import textwrap

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.chapter11.gan import discriminator_step, generator_step, train_gan
from kerasnotes.chapter11.saturation import batch_mean, discriminator_loss
from kerasnotes.chapter11.side_by_side import parallel_mlp, take_turns

SMOKE = {"steps": 3}
SECONDS = 2


def critic_loss(real, fake):
    """What the critic descends: its mean over drawn samples minus its mean over real ones.

    With the sign turned it is the critic's estimate: at most K times the Wasserstein distance, if no slope of the
    critic exceeds K.

    Args:
        real, fake: The critic's values of real and of drawn samples, (batch,) or (batch, 1); axes before that are runs
            of their own. Any numbers: there is no sigmoid, and no logarithm.

    Returns:
        One number a run: () or (runs,).

    Raises:
        ValueError: If a batch is empty, or holds more than one value a sample.

    Source: Arjovsky, Chintala, Bottou 2017, arXiv:1701.07875, equation 2 and algorithm 1.
    """
    return batch_mean("fake", fake) - batch_mean("real", real)


def wgan_generator_loss(fake):
    """What the generator descends: minus the critic's mean over drawn samples. Shapes and errors as in `critic_loss`.

    Source: Arjovsky, Chintala, Bottou 2017, arXiv:1701.07875, algorithm 1.
    """
    return -batch_mean("fake", fake)


def clip_weights(model, limit):
    """Move every trainable weight into [−limit, limit], in place.

    Args:
        model: A Keras model, built.
        limit: The largest size allowed, positive; or an array that broadcasts to every weight.

    Raises:
        ValueError: If `limit` is not positive and finite, or the model has no trainable weights.

    Source: Arjovsky, Chintala, Bottou 2017, arXiv:1701.07875, algorithm 1.
    """
    if not (np.all(np.isfinite(limit)) and np.all(np.greater(limit, 0))):
        raise ValueError(f"limit: expected a positive number, got {limit!r}")
    if not model.trainable_variables:
        raise ValueError("model: expected trainable weights, got none; call the model once to build it")
    for weight in model.trainable_variables:
        weight.assign(tf.clip_by_value(weight, -limit, limit))


def train_wgan(generator, critic, sample_data, sample_noise, steps, *, critic_steps=5, learning_rate=5e-5, limit=0.01,
               critic_objective=critic_loss, generator_objective=wgan_generator_loss, every=None, record=None,
               seed=0):  # fmt: skip
    """Train a generator against a critic with clipped weights, both by RMSProp; else it is `gan.train_gan`.

    Args:
        generator, critic: Keras models; the critic's last layer is linear.
        sample_data, sample_noise, steps, every, record, seed: As in `gan.train_gan`.
        critic_steps: Steps of the critic before each of the generator.
        learning_rate: Learning rate of both, or a Keras schedule.
        limit: The critic's weights stay within ±limit, from the start on.
        critic_objective, generator_objective: Losses, as in `gan.train_gan`.

    Returns:
        The history, as from `gan.take_turns`; the critic's losses are under `"discriminator"`.

    Raises:
        ValueError: If a number of steps, or the limit, is not positive.

    Source: Arjovsky, Chintala, Bottou 2017, arXiv:1701.07875, algorithm 1 and its defaults.
    """
    generator_optimizer = keras.optimizers.RMSprop(learning_rate)
    critic_optimizer = keras.optimizers.RMSprop(learning_rate)
    generator_optimizer.build(generator.trainable_variables)
    critic_optimizer.build(critic.trainable_variables)
    clip_weights(critic, limit)

    # tell real from drawn, with weights inside their bound
    def critic_turn(seeds):
        real, noise = sample_data(seeds[0]), sample_noise(seeds[1])
        loss = discriminator_step(generator, critic, critic_optimizer, real, noise, critic_objective)
        clip_weights(critic, limit)
        return loss

    # draw what the critic values
    def generator_turn(seeds):
        return generator_step(generator, critic, generator_optimizer, sample_noise(seeds[1]), generator_objective)

    return take_turns(critic_turn, generator_turn, steps, critic_steps, every, record, seed)


def rank_correlation(a, b):
    """Spearman's rank correlation: 1 if two series rise and fall together, whatever their units. Ties share a rank.

    Args:
        a, b: Series (n,), at least two values each.

    Returns:
        Float between −1 and 1.

    Raises:
        ValueError: If the lengths differ, a value is not finite, or a series is constant.

    Source: Spearman 1904, doi:10.2307/1412159.
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    if a.ndim != 1 or a.shape != b.shape or len(a) < 2:
        raise ValueError(f"a, b: expected two series of one length, got the shapes {a.shape} and {b.shape}")
    if not np.isfinite([a, b]).all():
        raise ValueError("a, b: expected finite values, got NaN or infinity")
    below = [np.sum(each[:, None] > each, axis=1) + np.sum(each[:, None] == each, axis=1) / 2 for each in (a, b)]
    ranks = [each - each.mean() for each in below]
    sizes = [np.linalg.norm(each) for each in ranks]
    if min(sizes) == 0:
        raise ValueError("a, b: expected series that vary, got a constant one")
    return float(ranks[0] @ ranks[1] / (sizes[0] * sizes[1]))


def example():
    """A WGAN that learns where a hill of numbers lies; its critic's estimate; and a step of Keras's RMSprop."""
    starts = [keras.initializers.GlorotUniform(seed) for seed in range(3)]
    generator = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer=starts[0])])
    judge = [keras.layers.Dense(16, "relu", kernel_initializer=starts[1])]
    critic = keras.Sequential([keras.Input((1,)), *judge, keras.layers.Dense(1, kernel_initializer=starts[2])])

    def noise(seed):
        return tf.random.stateless_normal((64, 1), seed)

    def real(seed):
        return 3.0 + 0.5 * noise(seed)

    history = train_wgan(generator, critic, real, noise, 300, learning_rate=0.01, limit=0.3, every=100)
    print("drawn after training:", generator(noise((0, 0))).numpy().mean(), "where the data have 3")
    print("the critic's estimate on the way:", -history["discriminator"])
    print("its largest weight:", max(float(tf.reduce_max(tf.abs(weight))) for weight in critic.trainable_variables))
    keras.optimizers.RMSprop(learning_rate=0.05).apply([tf.ones(1)], [critic.trainable_variables[-1]])
    clip_weights(critic, 0.01)
    print("after clipping:", max(float(tf.reduce_max(tf.abs(weight))) for weight in critic.trainable_variables))


def lesson(report, *, steps: int = 100, limit: float = 0.1, seed: int = 0):
    """Show the four changes as a diff, and what clipping does to the weights.

    Args:
        report: The report to write to.
        steps: Steps after each of which all weights are looked at (1 to 10000).
        limit: Largest size of the critic's weights (0.0001 to 100).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _four_changes(report)
    _clipping(report, steps, limit, seed)


def _body(function):
    """The function's code without docstring, in one layout, with the critic under the discriminator's name."""
    node = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    node.body = node.body[1:]
    return re.sub(r"critic", "discriminator", ast.unparse(node)).splitlines()


def _four_changes(report):
    """Diff of the two training functions, and what the changed lines do."""
    gan, wgan = _body(train_gan), _body(train_wgan)
    changes = [line for line in difflib.ndiff(gan[1:], wgan[1:]) if line[0] in "+-"]
    report.table(
        "train_gan (−) against train_wgan (+), below the first line and with critic for discriminator",
        ["diff"],
        [[line.replace("-", "−", 1)] for line in changes],
    )
    kinds = ["optimizer" if "keras.optimizers" in line else "clipping" if "clip_weights" in line else line.strip()
             for line in changes]  # fmt: skip
    label = "the diff: two lines for the optimizers, out and in, and two that clip"
    report.check(label, sorted(kinds), ["clipping"] * 2 + ["optimizer"] * 4)

    values = tf.constant([-30.0, 0.0, 30.0])
    slopes = {}
    for name, loss in {"discriminator": discriminator_loss, "critic": critic_loss}.items():
        with tf.GradientTape() as tape:
            tape.watch(values)
            value = loss(values, values[:1])
        slopes[name] = 3 * tape.gradient(value, values)[1:]
    report.check("no sigmoid, no logarithm: the critic's slope is −1 at any value", slopes["critic"], [-1.0, -1.0])
    report.check("the discriminator's is −½ at 0 and fades", slopes["discriminator"], [-0.5, 0.0], atol=1e-9)
    defaults = {
        name: {key: value.default for key, value in inspect.signature(function).parameters.items()}
        for name, function in {"GAN": train_gan, "WGAN": train_wgan}.items()
    }
    rows = [
        ["no sigmoid on the output", "discriminator_objective", "softplus(±logits): sigmoid and log in one",
         "mean(values)"],
        ["no logarithm in the losses", "generator_objective", defaults["GAN"]["generator_objective"].__name__,
         defaults["WGAN"]["generator_objective"].__name__],
        ["weights clipped after each step", "clip_weights(critic, limit)", "not there",
         f"±{defaults['WGAN']['limit']:g}"],
        ["no momentum", "keras.optimizers", "Adam(β₁ = 0.5)", "RMSprop"],
    ]  # fmt: skip
    report.table("the four changes of the paper, and their lines", ["change", "line", "GAN", "WGAN"], rows)
    report.note(
        f"Beside the four, the critic takes {defaults['WGAN']['critic_steps']} steps for one of the generator, the "
        f"discriminator {defaults['GAN']['discriminator_steps']}: a critic may, and should, be trained well."
    )


def _clipping(report, steps, limit, seed):
    generator, critic = parallel_mlp(2, 1, (16,), 1, seed), parallel_mlp(2, 1, (16,), 1, seed + 1000)
    moments = []

    def record(step):
        if step:
            moments.append(np.abs(np.concatenate([np.ravel(weight) for weight in critic.get_weights()])))

    sample = lambda seed: tf.random.stateless_normal((2, 32, 1), seed)  # noqa: E731
    train_wgan(generator, critic, lambda seed: 3 + sample(seed), sample, steps, critic_steps=1,
               learning_rate=0.01, limit=limit, every=1, record=record, seed=seed)  # fmt: skip
    sizes = np.stack(moments)  # (steps, weights)
    report.at_most("largest weight of the critic after every step", sizes.max(axis=1), float(np.float32(limit)))
    at_bound = np.mean(sizes >= 0.999 * limit, axis=1)
    report.note(f"Share of weights that stand at their bound after {steps} steps: {at_bound[-1]:.0%}.")
    figure, (left, right) = plots.subplots(1, 2, figsize=(10.5, 4.2))
    plots.curves(np.arange(1, steps + 1), {"share": at_bound}, xlabel="steps", ylabel="weights at the bound",
                 title="Some weights stand at the bound", ax=left)  # fmt: skip
    left.set(ylim=(0, 1))
    right.hist(
        [sizes[0], sizes[-1]], bins=np.linspace(0, 1.001 * limit, 11), label=["after one step", f"after {steps}"]
    )
    right.set(xlabel="size of a weight", ylabel="weights")
    right.set_title("Where the others lie")
    right.legend()
    report.figure(
        "Where clipping leaves the weights",
        figure,
        alt="Left: the share of the critic's weights that stand at their bound, step by step; it varies and never "
        "reaches one. Right: sizes of the weights after one step and at the end, from 0 to the bound.",
    )
