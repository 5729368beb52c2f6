"""The tasks of chapter 11: distances, the losses of two players, scores, critics and their penalty."""

import math

import numpy as np

from kerasnotes.course.tasks import Mend, Predict, Value, Write, Wrong

# --- 11.1 Distances by hand -----------------------------------------------------------------------------------------

_P, _Q, _PLACES, _FAR = (0.5, 0.5, 0.0), (0.0, 0.5, 0.5), (0.0, 1.0, 3.0), (0.0, 1.0, 30.0)


def _distance(name, *arguments):
    from kerasnotes.chapter11 import divergences

    return np.asarray(getattr(divergences, name)(*arguments)).tolist()


distances = Predict(
    title="Distances by hand",
    lesson="chapter11.divergences",
    minutes=15,
    text=r"""At the places 0, 1 and 3, $p$ has the probabilities ½, ½, 0 and $q$ has 0, ½, ½. Both KL
divergences are infinite: see why. Compute JS in nats, the Wasserstein distance, the best discriminator's
answers at the three places if $p$ are the data, and what it wins, $E_p \ln D + E_q \ln(1 - D)$. Which of
these numbers change if the third place moves from 3 to 30, and to what?""",
    hints=(
        "The middle of both is m = (¼, ½, ¼); where a probability is 0, its term is 0.",
        "KL(p ‖ m) has one term that is not 0: ½ ln 2. The other one is alike.",
        "For the Wasserstein distance add up |F_p − F_q| times the width of each gap: 1 and 2.",
        "The best answer is $p/(p + q)$ at each place, and it wins 2 JS − 2 ln 2. Where the places "
        "lie occurs in one of the numbers only.",
    ),
    values=(
        Value(
            "js",
            "JS(p, q), nats",
            want=lambda: _distance("js", _P, _Q),
            wrong=(
                (
                    lambda: math.log(2),
                    "JS is half the sum of two divergences; it is ln 2 only if no outcome is common",
                ),
                (lambda: 0.5, "that is in bits: with the natural logarithm it is in nats"),
                (lambda: math.log(2) / 4, "both halves count: the divergence of q from the middle is missing"),
            ),
        ),
        Value(
            "wasserstein",
            "the Wasserstein distance",
            want=lambda: _distance("wasserstein_1d", _P, _Q, _PLACES),
            wrong=(
                (lambda: 0.5, "that is the mass that is carried: multiply it by the way"),
                (lambda: 1.0, "the last gap is 2 wide, from 1 to 3"),
                (lambda: 3.0, "that is the way: only half of the mass has to go it"),
            ),
        ),
        Value(
            "best_answers",
            "the best discriminator's answers at the three places, a list",
            want=lambda: _distance("optimal_discriminator", _P, _Q),
            wrong=(
                (lambda: [0.0, 0.5, 1.0], "those are the probabilities of q, the model: the answer is p/(p + q)"),
                (lambda: [0.5, 0.5, 0.0], "that is p itself: divide by p + q"),
            ),
        ),
        Value(
            "wins",
            "what the best discriminator wins, nats",
            want=lambda: _distance("game_value", _P, _Q, _distance("optimal_discriminator", _P, _Q)),
            wrong=(
                (lambda: math.log(2), "2 ln 2 has to be taken off: nobody wins more than 0"),
                (lambda: -math.log(2) / 2, "the expectations over p and q are added, not averaged"),
                (lambda: -2 * math.log(2), "so much wins a discriminator that always says ½"),
            ),
        ),
        Value(
            "wasserstein_far",
            "the Wasserstein distance if the third place is 30",
            want=lambda: _distance("wasserstein_1d", _P, _Q, _FAR),
            wrong=(
                (lambda: 1.5, "this one does change: it is mass times way"),
                (lambda: 30.0, "that is the way: only half of the mass has to go it"),
                (lambda: 14.5, "the first gap, from 0 to 1, is missing"),
            ),
        ),
    ),
    solution_code="""import math

# KL(p || q) is infinite because q is 0 at the first place, where p is not; KL(q || p) because of the third place.
js = (0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.25)) / 2  # the middle is (1/4, 1/2, 1/4)
wasserstein = 0.5 * 1 + 0.5 * 2  # half of the mass crosses both gaps
best_answers = [0.5 / (0.5 + 0), 0.5 / (0.5 + 0.5), 0 / (0 + 0.5)]
wins = 2 * js - 2 * math.log(2)
wasserstein_far = 0.5 * 1 + 0.5 * 29  # in the other numbers the places do not occur
""",
)

# --- 11.2 The Wasserstein distance on a line ------------------------------------------------------------------------


def _work(p, q, x, surplus):
    import tensorflow as tf

    return tf.reduce_sum(surplus[:-1] * (x[1:] - x[:-1]))


def _no_widths(p, q, x):
    import tensorflow as tf

    return tf.reduce_sum(tf.abs(tf.cumsum(p - q)))


def _no_sums(p, q, x):
    import tensorflow as tf

    return _work(p, q, x, tf.abs(p - q))


def _signed(p, q, x):
    import tensorflow as tf

    return _work(p, q, x, tf.cumsum(p - q))


def _sums_of_sizes(p, q, x):
    import tensorflow as tf

    return _work(p, q, x, tf.cumsum(tf.abs(p - q)))


def _next_gap(p, q, x):
    import tensorflow as tf

    return tf.reduce_sum(tf.abs(tf.cumsum(p - q))[1:] * (x[1:] - x[:-1]))


def _mean_over_gaps(p, q, x):
    import tensorflow as tf

    return tf.reduce_mean(tf.abs(tf.cumsum(p - q))[:-1] * (x[1:] - x[:-1]))


def _check_wasserstein(trial):
    import tensorflow as tf

    from kerasnotes.chapter11.divergences import wasserstein_1d

    p, q, x = (tf.constant(each) for each in ([0.4, 0.6, 0.0], [0.0, 0.5, 0.5], [1.0, 2.0, 4.0]))
    trial.equal("0.4 of the mass goes over the first gap, 0.5 over the second", p, q, x)
    p, q, x = (tf.constant(each) for each in ([0.5, 0.0, 0.5], [0.0, 1.0, 0.0], [0.0, 1.0, 2.0]))
    trial.equal("equal means: half a unit goes up, half a unit comes down", p, q, x)
    for points in (2, 5, 40):
        p, q = (tf.constant(trial.rng.dirichlet(np.ones(points)), tf.float32) for _ in range(2))
        x = tf.constant(np.cumsum(trial.rng.uniform(0.5, 2, points)) - 3, tf.float32)
        trial.equal(f"random distributions on {points} points", p, q, x, rtol=1e-4, atol=1e-5)
        trial.gradient(f"slopes by the places of {points} points", p, q, x, of=(2,))  # what pulls the points together
    trial.check("equals the lesson's", got=trial.answer(p, q, x), want=wasserstein_1d(p, q, x), rtol=1e-4)
    got = [trial.answer(tf.constant([1.0, 0.0]), tf.constant([0.0, 1.0]), tf.constant([0.0, d])) for d in (1.0, 7.0)]
    trial.check("two points at the distance 1 and 7", got=got, want=[1.0, 7.0])


wasserstein = Write(
    title="The Wasserstein distance on a line",
    lesson="chapter11.divergences",
    minutes=15,
    text=r"""Write W(p, q) = ∫ |F_p(x) − F_q(x)| dx for two distributions on the same points of a line. Between two
neighbouring points the distribution functions $F$ are constant, so that the integral is a sum over the gaps:
the size of what $p$ has more than $q$ up to the gap, times the gap's width. Use TensorFlow, so that slopes
pass.""",
    start='''import tensorflow as tf


def wasserstein(p, q, x):
    """The Wasserstein distance between two distributions on points of a line.

    Args:
        p, q: Tensors (points,) of probabilities, each summing to 1.
        x: Tensor (points,), the places of the points, ascending.

    Returns:
        Scalar tensor, in the units of x.
    """
    ...
''',
    name="wasserstein",
    solution_code="""import tensorflow as tf


def wasserstein(p, q, x):
    surplus = tf.cumsum(p - q)  # what has to be carried on to the next point, whichever way: F_p − F_q
    return tf.reduce_sum(tf.abs(surplus[:-1]) * (x[1:] - x[:-1]))  # after the last point nothing is left
""",
    hints=(
        "Walk along the line from the left: at each gap, how much mass has to be carried over it, and how far?",
        "What has to be carried over a gap is the sum of p − q over all points before it: a cumulative sum.",
        "The widths are `x[1:] - x[:-1]`, one fewer than points; the cumulative sum's last number is 0 and not needed.",
        "`tf.reduce_sum(tf.abs(tf.cumsum(p - q))[:-1] * (x[1:] - x[:-1]))`",
    ),
    check=_check_wasserstein,
    wrong=(
        Wrong(_no_widths, "the widths of the gaps are missing: work is mass times way"),
        Wrong(
            _no_sums, "differences at each point alone: mass from further left has to cross the gap, too (`tf.cumsum`)"
        ),
        Wrong(_signed, "without sizes, mass to the right and to the left cancel: that is the difference of the means"),
        Wrong(_sums_of_sizes, "sizes were taken before summing: surplus and want may fill each other on the way"),
        Wrong(
            _next_gap, "each gap got the sum one point too far: the first gap is crossed by the first point's surplus"
        ),
        Wrong(_mean_over_gaps, "a mean over the gaps: the work over all gaps is added up"),
    ),
)

# --- 11.3 The discriminator's loss ----------------------------------------------------------------------------------


def _game_value(real_logits, fake_logits):
    import tensorflow as tf

    return -tf.reduce_mean(tf.nn.softplus(-real_logits)) - tf.reduce_mean(tf.nn.softplus(fake_logits))


def _labels_exchanged(real_logits, fake_logits):
    import tensorflow as tf

    return tf.reduce_mean(tf.nn.softplus(real_logits)) + tf.reduce_mean(tf.nn.softplus(-fake_logits))


def _both_real(real_logits, fake_logits):
    import tensorflow as tf

    return tf.reduce_mean(tf.nn.softplus(-real_logits)) + tf.reduce_mean(tf.nn.softplus(-fake_logits))


def _mean_of_halves(real_logits, fake_logits):
    return -_game_value(real_logits, fake_logits) / 2


def _losses_summed(real_logits, fake_logits):
    import tensorflow as tf

    return tf.reduce_sum(tf.nn.softplus(-real_logits)) + tf.reduce_sum(tf.nn.softplus(fake_logits))


def _clipped_probabilities(real_logits, fake_logits):
    import tensorflow as tf

    real, fake = (tf.clip_by_value(tf.sigmoid(logits), 1e-7, 1 - 1e-7) for logits in (real_logits, fake_logits))
    return -tf.reduce_mean(tf.math.log(real)) - tf.reduce_mean(tf.math.log(1 - fake))


def _sigmoid_twice(real_logits, fake_logits):
    import tensorflow as tf

    return -_game_value(tf.sigmoid(real_logits), tf.sigmoid(fake_logits))


def _check_discriminator(trial):
    import keras
    import tensorflow as tf

    trial.equal("undecided: every logit is 0, every probability ½", tf.zeros(2), tf.zeros(2))
    trial.equal("D is 3/4 for real samples, 1/3 for fakes", tf.math.log([3.0, 3.0]), tf.math.log([0.5, 0.5]))
    for batch in (1, 5, 64):
        logits = [tf.constant(2 * trial.rng.normal(size=batch), tf.float32) for _ in range(2)]
        trial.equal(f"random logits of {batch} samples each", *logits)
        trial.gradient(f"its gradient, {batch} samples each", *logits, of=(0, 1))
    trial.equal("sure and wrong: logits −15 and 15", tf.fill((2,), -15.0), tf.fill((2,), 15.0))
    trial.equal("very sure and wrong: logits −60 and 60", tf.fill((2,), -60.0), tf.fill((2,), 60.0))
    entropy = keras.losses.BinaryCrossentropy(from_logits=True)
    want = entropy(tf.ones(64), logits[0]) + entropy(tf.zeros(64), logits[1])
    trial.check("equals Keras's cross-entropies with labels 1 and 0", got=trial.answer(*logits), want=want)


discriminator = Write(
    title="The discriminator's loss",
    lesson="chapter11.saturation",
    minutes=10,
    text=r"""Write what the discriminator *descends*: −E ln D(x) over real samples plus −E ln(1 − D(x̃)) over fakes,
each a mean over its own batch. D = σ(a) is the sigmoid of the logits that you are given. The loss has to
be finite for any logits, also where the discriminator is very sure and wrong.""",
    start='''import tensorflow as tf


def discriminator_loss(real_logits, fake_logits):
    """The discriminator's cross-entropy, with labels 1 for real samples and 0 for fakes.

    Args:
        real_logits, fake_logits: Tensors (batch,), logits of the answer "real".

    Returns:
        Scalar tensor: the mean over real samples plus the mean over fakes.
    """
    ...
''',
    name="discriminator_loss",
    solution="chapter11.saturation.discriminator_loss",
    hints=(
        "It is the cross-entropy of a classifier of two classes; the label of real samples is 1, that of fakes 0.",
        "`tf.nn.sigmoid_cross_entropy_with_logits(labels=…, logits=…)` gives one number a sample, from logits.",
        "−ln σ(a) = ln(1 + exp(−a)) is `tf.nn.softplus(-a)`; −ln(1 − σ(a)) is `softplus(a)`.",
        "`tf.reduce_mean(tf.nn.softplus(-real_logits)) + tf.reduce_mean(tf.nn.softplus(fake_logits))`",
    ),
    check=_check_discriminator,
    wrong=(
        Wrong(_game_value, "that is what the discriminator wins: a loss has the opposite sign"),
        Wrong(_labels_exchanged, "labels exchanged: D is the probability of *real*, and real samples have the label 1"),
        Wrong(_both_real, "fakes got the label 1, as in the generator's loss: for the discriminator it is 0"),
        Wrong(_mean_of_halves, "half of it: the two means are added, not averaged"),
        Wrong(_losses_summed, "summed over the batch: take the mean of each batch"),
        Wrong(
            _clipped_probabilities,
            "near 1 the sigmoid is rounded, and clipping it hides only the infinity: use the logits",
        ),
        Wrong(
            _sigmoid_twice, "the sigmoid was applied twice: the function takes logits, and so does the cross-entropy"
        ),
    ),
)

# --- 11.4 A generator that does not move ----------------------------------------------------------------------------

_GENERATOR = '''import keras
import tensorflow as tf


def generator_loss(fake_logits):
    """What the generator descends.

    Args:
        fake_logits: Tensor (batch,), the discriminator's logits of generated samples.

    Returns:
        Scalar tensor, the mean over the batch.
    """
{body}


def generator_step(generator, discriminator, optimizer, noise):
    with tf.GradientTape() as tape:
        logits = discriminator(generator(noise))[:, 0]
        loss = generator_loss(logits)
    weights = generator.trainable_variables
    optimizer.apply(tape.gradient(loss, weights), weights)
    return loss


def networks(noise_size, sample_size):
    def stack(inputs, outputs):
        return keras.Sequential([keras.Input((inputs,)), keras.layers.Dense(32, "relu"), keras.layers.Dense(outputs)])

    return stack(noise_size, sample_size), stack(sample_size, 1)
'''


def _saturating(fake_logits):
    import tensorflow as tf

    return -tf.reduce_mean(tf.nn.softplus(fake_logits))


def _helps_the_opponent(fake_logits):
    import tensorflow as tf

    return -tf.reduce_mean(tf.nn.softplus(-fake_logits))


def _opponents_loss(fake_logits):
    import tensorflow as tf

    return tf.reduce_mean(tf.nn.softplus(fake_logits))


def _fakes_summed(fake_logits):
    import tensorflow as tf

    return tf.reduce_sum(tf.nn.softplus(-fake_logits))


def _bare_logarithm(fake_logits):
    import tensorflow as tf

    return -tf.reduce_mean(tf.math.log(tf.sigmoid(fake_logits)))


def _small_added(fake_logits):
    import tensorflow as tf

    return -tf.reduce_mean(tf.math.log(tf.sigmoid(fake_logits) + 1e-8))


def _minus_logit(fake_logits):
    import tensorflow as tf

    return -tf.reduce_mean(fake_logits)


def _check_generator(trial):
    import keras
    import tensorflow as tf

    trial.equal("two fakes to which the discriminator gives D = ¼", tf.math.log([1 / 3, 1 / 3]))
    for batch in (1, 5, 64):
        logits = tf.constant(2 * trial.rng.normal(size=batch), tf.float32)
        trial.equal(f"random logits of {batch} fakes", logits)
        trial.gradient(f"its slope, {batch} fakes", logits)
    trial.gradient("its slope where the discriminator is sure: logits −20", tf.fill((4,), -20.0))
    trial.equal("a discriminator that is very sure: logits −200", tf.fill((2,), -200.0))
    want = keras.losses.BinaryCrossentropy(from_logits=True)(tf.ones(64), logits)
    trial.check("equals Keras's cross-entropy of fakes with the label 1", got=trial.answer(logits), want=want)


generator = Mend(
    title="A generator that does not move",
    lesson="chapter11.saturation",
    minutes=10,
    text=r"""In this program the discriminator was trained alone for a while, until its logits of all fakes
were near −20. From then on the generator learns nothing: its gradient is about 10⁻⁹, and its loss stays at
0 where it was. No error is raised, and its loss is one that the page has, too. Mend `generator_loss`: put the
page's other form in its place, whose slope is largest where the generator is caught; loss and slope have to
be finite for any logits.""",
    start=_GENERATOR.format(body="    return tf.reduce_mean(-tf.nn.softplus(fake_logits))  # the mean of ln(1 - D)"),
    name="generator_loss",
    solution_code=_GENERATOR.format(
        body="    return tf.reduce_mean(tf.nn.softplus(-fake_logits))  # the mean of -ln D: its slope is -(1 - D)"
    ),
    hints=(
        "The page has two forms of the generator's loss. What are their slopes along the logit, at $a = -20$?",
        "ln(1 − D) has the slope −σ(a), nearly 0 for a fake that is caught. The other form is −ln D.",
        "−ln σ(a) = ln(1 + exp(−a)), which is `tf.nn.softplus(-a)`.",
    ),
    check=_check_generator,
    wrong=(
        Wrong(_saturating, "this is still ln(1 − D), whose slope dies where the discriminator is sure"),
        Wrong(_helps_the_opponent, "the sign is wrong: descending ln D makes fakes easier to tell"),
        Wrong(
            _opponents_loss, "that is the discriminator's loss for fakes, −ln(1 − D): the generator wants the opposite"
        ),
        Wrong(_fakes_summed, "summed over the batch: it is a mean"),
        Wrong(_bare_logarithm, "the sigmoid of −200 is 0 in float32, and ln 0 infinite: compute it from the logit"),
        Wrong(_small_added, "a small number inside the logarithm cuts off the slope: compute it from the logit"),
        Wrong(_minus_logit, "minus the logit is the loss of a WGAN's generator, not −ln D"),
    ),
)

# --- 11.5 The inception score ---------------------------------------------------------------------------------------


def _image_divergences(p, marginal):
    return np.sum(p * np.log(np.where(p > 0, p, 1) / np.where(p > 0, marginal, 1)), axis=1)  # 0 ln 0 is 0


def _score_without_exponential(probabilities):
    return float(np.mean(_image_divergences(probabilities, probabilities.mean(axis=0))))


def _score_summed(probabilities):
    return float(np.exp(np.sum(_image_divergences(probabilities, probabilities.mean(axis=0)))))


def _score_mean_of_exponentials(probabilities):
    return float(np.mean(np.exp(_image_divergences(probabilities, probabilities.mean(axis=0)))))


def _score_uniform_marginal(probabilities):
    uniform = np.full(probabilities.shape[1], 1 / probabilities.shape[1])
    return float(np.exp(np.mean(_image_divergences(probabilities, uniform))))


def _score_over_classes(probabilities):
    divergences = _image_divergences(probabilities, probabilities.mean(axis=0))
    return float(np.exp(np.mean(divergences) / probabilities.shape[1]))


def _score_of_variety(probabilities):
    marginal = probabilities.mean(axis=0)
    return float(np.exp(-np.sum(marginal * np.log(np.where(marginal > 0, marginal, 1)))))


def _score_in_bits(probabilities):
    return float(np.exp(np.mean(_image_divergences(probabilities, probabilities.mean(axis=0))) / np.log(2)))


def _check_score(trial):
    from kerasnotes.chapter11.scores import inception_score

    p = np.array([[0.8, 0.2], [0.2, 0.8], [0.8, 0.2], [0.8, 0.2]])
    trial.equal("four images of two classes, p(c) = (0.65, 0.35)", p)
    trial.equal("three images, sure of three classes: 0 ln 0 is 0", np.eye(3))
    for samples, classes in ((5, 2), (40, 10), (300, 4)):
        p = trial.rng.dirichlet(np.linspace(0.2, 2, classes), samples)
        trial.equal(f"{samples} images, {classes} classes", p)
    trial.check("equals the lesson's with one part", got=trial.answer(p), want=inception_score(p, splits=1)[0])
    trial.check("images of which nothing is known", got=trial.answer(np.full((6, 4), 0.25)), want=1.0)


score = Write(
    title="The inception score",
    lesson="chapter11.scores",
    minutes=10,
    text=r"""Write exp(1/n Σ_i KL(p(c | x_i) ‖ p(c))) in NumPy, where $p(c)$ is the mean of p(c | x_i) over the images.
A classifier may be sure: a probability of 0 contributes 0 to the divergence, not NaN.""",
    start='''import numpy as np


def inception_score(probabilities):
    """The inception score of a set of images, all in one part.

    Args:
        probabilities: Array (images, classes), a classifier's probabilities; each row sums to 1 and may hold zeros.

    Returns:
        Float, from 1 to the number of classes.
    """
    ...
''',
    name="inception_score",
    solution_code="""import numpy as np


def inception_score(probabilities):
    marginal = probabilities.mean(axis=0)  # (classes,)
    ratio = np.where(probabilities > 0, probabilities, 1) / np.where(marginal > 0, marginal, 1)
    divergences = np.sum(probabilities * np.log(ratio), axis=1)  # (images,): where p is 0, so is the product
    return float(np.exp(np.mean(divergences)))
""",
    hints=(
        "Start with $p(c)$: the mean over the images, one number for each class.",
        "The divergence of one image is Σ_c p(c | x_i) ln (p(c | x_i) / p(c)), summed over classes.",
        "Replace zeros inside the logarithm by 1, `np.where(p > 0, p, 1)`: the factor $p$ in front makes the term 0.",
        "Then a mean over the images, and the exponential of that mean, last.",
    ),
    check=_check_score,
    wrong=(
        Wrong(_score_without_exponential, "that is the mean divergence: the score is its exponential"),
        Wrong(_score_summed, "summed over the images: it is the exponential of the *mean* divergence"),
        Wrong(
            _score_mean_of_exponentials, "the mean of exponentials: first the mean over images, then the exponential"
        ),
        Wrong(
            _score_uniform_marginal, "compared with equal shares, as a mean over classes gives: p(c) is one over images"
        ),
        Wrong(_score_over_classes, "a mean over the classes: a divergence sums over them"),
        Wrong(
            _score_of_variety, "that is the exponential of p(c)'s entropy: how sure each image is does not count yet"
        ),
        Wrong(_score_in_bits, "logarithm to base 2 and exponential to base e do not fit: use `np.log`"),
    ),
)

# --- 11.6 The losses of a WGAN --------------------------------------------------------------------------------------


def _means(real, fake):
    import tensorflow as tf

    return tf.reduce_mean(real), tf.reduce_mean(fake)


def _critic_turned(real, fake):
    real, fake = _means(real, fake)
    return real - fake, -fake


def _generator_turned(real, fake):
    real, fake = _means(real, fake)
    return fake - real, fake


def _both_turned(real, fake):
    real, fake = _means(real, fake)
    return real - fake, fake


def _wgan_summed(real, fake):
    import tensorflow as tf

    return tf.reduce_sum(fake) - tf.reduce_sum(real), -tf.reduce_sum(fake)


def _generator_is_minus_critic(real, fake):
    real, fake = _means(real, fake)
    return fake - real, real - fake


def _with_size(real, fake):
    import tensorflow as tf

    real, fake = _means(real, fake)
    return -tf.abs(fake - real), -fake


def _with_logarithms(real, fake):
    import tensorflow as tf

    critic = tf.reduce_mean(tf.nn.softplus(-real)) + tf.reduce_mean(tf.nn.softplus(fake))
    return critic, tf.reduce_mean(tf.nn.softplus(-fake))


def _check_wgan(trial):
    import tensorflow as tf

    trial.equal("means 4 and 1: the estimate is 3", tf.constant([3.0, 5.0]), tf.constant([0.0, 2.0]))
    for reals, fakes in ((1, 1), (8, 8), (10, 30)):
        values = [tf.constant(3 * trial.rng.normal(size=batch), tf.float32) for batch in (reals, fakes)]
        trial.equal(f"{reals} real samples, {fakes} drawn ones", *values)
        trial.gradient(f"slopes, {reals} real samples, {fakes} drawn ones", *values, of=(0, 1))
    trial.equal("a critic that is wrong: drawn samples are valued higher", tf.constant([1.0]), tf.constant([2.0]))


wgan = Write(
    title="The losses of a WGAN",
    lesson="chapter11.wgan",
    minutes=5,
    text=r"""Write both losses of a Wasserstein GAN, the critic's L_f and the generator's L_G, from the critic's values
of real samples and of drawn ones. Both are *descended*. The estimate of the distance is −L_f; it may come
out below 0.""",
    start='''import tensorflow as tf


def wgan_losses(real, fake):
    """What critic and generator descend.

    Args:
        real: Tensor (batch,), the critic's values of real samples: any numbers.
        fake: Tensor (drawn,), its values of drawn samples; the two batches may differ in size.

    Returns:
        `(critic_loss, generator_loss)`, two scalar tensors.
    """
    ...
''',
    name="wgan_losses",
    solution_code="""import tensorflow as tf


def wgan_losses(real, fake):
    real, fake = tf.reduce_mean(real), tf.reduce_mean(fake)
    return fake - real, -fake  # the critic wants real samples high and drawn ones low
""",
    hints=(
        "The critic wants high values for real samples and low ones for drawn ones. A loss gets *smaller* then.",
        "No sigmoid and no logarithm: the losses are means of the critic's values, with signs.",
        "The critic's loss is the mean over drawn samples minus the mean over real ones; the generator's is minus the "
        "mean over drawn ones.",
    ),
    check=_check_wgan,
    wrong=(
        Wrong(_with_size, "a critic that is wrong must pay for it: no absolute value"),
        Wrong(_critic_turned, "the critic's loss has the wrong sign: this is its estimate, which it wants to be large"),
        Wrong(_generator_turned, "the generator's loss has the wrong sign: it wants its samples to be valued highly"),
        Wrong(_both_turned, "both signs are wrong: losses are descended, so minus what each player wants"),
        Wrong(_wgan_summed, "sums depend on the batches' sizes: take the mean of each batch"),
        Wrong(_generator_is_minus_critic, "real samples do not depend on the generator: leave them out of its loss"),
        Wrong(_with_logarithms, "those are a GAN's losses: a critic's values are no logits"),
    ),
)

# --- 11.7 The slope of a clipped critic -----------------------------------------------------------------------------


def _largest_slope(units, limit):
    from kerasnotes.chapter11.critic_estimate import slope_bound

    return float(slope_bound([np.full(sizes, limit) for sizes in ((1, units), (units, units), (units, 1))]))


def _limit_for_slope_one(units, powers=3):
    return _largest_slope(units, 1.0) ** (-1 / powers)


_NOT_DEVIATIONS = "that is for a distance in plain units: one deviation is half a unit"

slopes = Predict(
    title="The slope of a clipped critic",
    lesson="chapter11.critic_estimate",
    minutes=15,
    text=r"""A critic takes one number, has two hidden layers of $n$ ReLU units and one output; its weights lie in $[-c,
c]$. What is its largest slope for $n = 3$ and c = ½? Which $c$ allows slope 1 with $n = 16$? By which factor
does the bound on the estimate change if $c$ is halved? In the lesson $n = 32$, $c = 0.1$, and the data have
deviation ½: above which line, estimate = factor · true distance *in deviations*, can no point of the middle
panel lie, and above which for $c = 0.05$?""",
    hints=(
        "The slope is largest if all weights are $c$ and all units are active: the network is a product of matrices.",
        "A way through the network picks one unit of each hidden layer. How many ways, each with how many weights?",
        "There are n · n ways, and each passes three weights: the slope is n² c³.",
        "The estimate is at most slope · distance, and a distance of $d$ deviations is $d/2$ long.",
    ),
    values=(
        Value(
            "largest_slope",
            "largest slope for n = 3 and c = ½",
            want=lambda: _largest_slope(3, 0.5),
            wrong=(
                (lambda: 3 * 0.5**3, "there are n² ways through two hidden layers of n units"),
                (lambda: 3**2 * 0.5**2, "each way passes three weights: into, between and out of the hidden layers"),
                (lambda: 3**3 * 0.5**3, "one factor n too many: there is one output"),
                (lambda: 0.5**3, "that is one way through the network: all ways add up"),
            ),
        ),
        Value(
            "limit_for_one",
            "the c that allows slope 1 for n = 16",
            want=lambda: _limit_for_slope_one(16),
            wrong=(
                (lambda: 1 / 16, "each way passes three weights, and there are n² ways: n² c³ = 1"),
                (lambda: 16 ** (-1 / 3), "there are n² ways through two hidden layers of n units"),
                (lambda: 16**-2.0, "n² c³ = 1 has to be solved for c: take the third root"),
            ),
        ),
        Value(
            "factor_halved",
            "the factor by which the bound changes if c is halved",
            want=lambda: _largest_slope(5, 0.5) / _largest_slope(5, 1.0),
            wrong=(
                (lambda: 0.5, "three matrices shrink, each by half"),
                (lambda: 0.25, "three matrices shrink, each by half"),
                (lambda: 8.0, "it gets smaller: the other way round"),
            ),
        ),
        Value(
            "line",
            "the line's factor for n = 32 and c = 0.1",
            want=lambda: _largest_slope(32, 0.1) / 2,
            wrong=(
                (lambda: _largest_slope(32, 0.1), _NOT_DEVIATIONS),
                (lambda: 2 * _largest_slope(32, 0.1), "multiply by the deviation: d deviations are d/2 long"),
                (lambda: 32 * 0.1**3 / 2, "there are n² ways through two hidden layers of n units"),
            ),
        ),
        Value(
            "line_halved",
            "the line's factor for n = 32 and c = 0.05",
            want=lambda: _largest_slope(32, 0.05) / 2,
            wrong=(
                (lambda: _largest_slope(32, 0.05), _NOT_DEVIATIONS),
                (lambda: _largest_slope(32, 0.1) / 4, "c occurs three times: halving it divides by eight"),
            ),
        ),
    ),
    solution_code="""def largest_slope_of(n, c):
    return n**2 * c**3  # n · n ways through the two hidden layers, each of which multiplies three weights


largest_slope = largest_slope_of(3, 0.5)
limit_for_one = (1 / 16**2) ** (1 / 3)  # n² c³ = 1
factor_halved = 0.5**3
line = largest_slope_of(32, 0.1) * 0.5  # a distance of one deviation is half a unit
line_halved = largest_slope_of(32, 0.05) * 0.5
""",
)

# --- 11.8 The gradient penalty --------------------------------------------------------------------------------------


def _slope_of(critic, points):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(points)
        values = critic(points)
    return tape.gradient(values, points)


def _norms(slope):
    import tensorflow as tf

    return tf.sqrt(tf.reduce_sum(tf.square(slope), axis=list(range(1, len(slope.shape)))))


def _penalty_without_one(critic, points):
    import tensorflow as tf

    return tf.reduce_mean(tf.square(_norms(_slope_of(critic, points))))


def _penalty_squared_norm(critic, points):
    import tensorflow as tf

    return tf.reduce_mean(tf.square(tf.square(_norms(_slope_of(critic, points))) - 1))


def _penalty_not_squared(critic, points):
    import tensorflow as tf

    return tf.reduce_mean(_norms(_slope_of(critic, points)) - 1)


def _penalty_batch_norm(critic, points):
    import tensorflow as tf

    return tf.square(tf.norm(_slope_of(critic, points)) - 1)


def _penalty_summed(critic, points):
    import tensorflow as tf

    return tf.reduce_sum(tf.square(_norms(_slope_of(critic, points)) - 1))


def _penalty_one_sided(critic, points):
    import tensorflow as tf

    return tf.reduce_mean(tf.square(tf.nn.relu(_norms(_slope_of(critic, points)) - 1)))


def _penalty_last_axis(critic, points):
    import tensorflow as tf

    return tf.reduce_mean(tf.square(tf.norm(_slope_of(critic, points), axis=-1) - 1))


def _penalty_of_mean(critic, points):
    import tensorflow as tf

    return tf.square(tf.reduce_mean(_norms(_slope_of(critic, points))) - 1)


def _penalty_each_number(critic, points):
    import tensorflow as tf

    return tf.reduce_mean(tf.square(tf.abs(_slope_of(critic, points)) - 1))


def _penalty_frozen(critic, points):
    import tensorflow as tf

    return tf.reduce_mean(tf.square(tf.stop_gradient(_norms(_slope_of(critic, points))) - 1))


def _penalty_root_of_zero(critic, points):
    import tensorflow as tf

    return tf.reduce_mean(tf.square(_norms(_slope_of(critic, points)) - 1))


def _penalty_with_weight(critic, points):
    import tensorflow as tf

    return 10.0 * tf.reduce_mean(tf.square(_norms(_slope_of(critic, points)) - 1))


def _linear_critic(penalty, points, kernel):
    """The penalty of the critic f(x) = Σ kernel · x, over all axes of a sample."""
    import tensorflow as tf

    return penalty(lambda x: tf.reduce_sum(x * kernel, axis=list(range(1, len(x.shape)))), points)


def _curved_critic(penalty, points, kernel):
    """The penalty of a small network: tanh of kernel · x, summed."""
    import tensorflow as tf

    return penalty(lambda x: tf.reduce_sum(tf.tanh(tf.reshape(x, (x.shape[0], -1)) @ kernel), axis=1), points)


def _check_penalty(trial):
    import tensorflow as tf

    points, kernel = tf.constant([[0.0, 0.0], [1.0, 2.0]]), tf.constant([3.0, 4.0])
    label = "f(x) = 3 x₁ + 4 x₂ has slope 5 at both points: (5 − 1)²"
    trial.equal(label, points, kernel, call=_linear_critic)
    trial.equal("f(x) = 0.3 x₁ + 0.4 x₂ has slope ½: (½ − 1)²", points, kernel / 10, call=_linear_critic)
    for shape in ((3, 2), (5, 4), (4, 3, 3, 1), (2, 4, 4, 2)):
        points = tf.constant(trial.rng.normal(size=shape), tf.float32)
        kernel = tf.constant(trial.rng.normal(size=(math.prod(shape[1:]), 6)), tf.float32)
        trial.equal(f"a small network on points {shape}", points, kernel, call=_curved_critic)
        label = f"slopes by the network's weights, points {shape}"  # the penalty is there to move them
        trial.gradient(label, points, kernel, call=_curved_critic, of=(1,))
    points, kernel = tf.constant([[0.0, 0.0], [1.0, 2.0]]), tf.zeros(2)
    trial.gradient("a critic of slope 0: finite slopes by its weights", points, kernel, call=_linear_critic, of=(1,),
                   rtol=1e-3)  # fmt: skip


penalty = Write(
    title="The gradient penalty",
    lesson="chapter11.gradient_penalty",
    minutes=15,
    text=r"""Write the gradient penalty E (‖∇ f(x̂)‖ − 1)² of a critic $f$ at given points x̂, without the factor λ. The
norm is taken of one sample's gradient as a whole, over all axes but the first; the mean is taken over the
batch. The result must itself have a gradient by the critic's weights, and a finite one also where the slope
∇ f is 0: a norm has no direction there, and the gradient of a root at 0 is infinite.""",
    start='''import tensorflow as tf


def gradient_penalty(critic, points):
    """The mean of (norm of the critic's slope - 1) squared.

    Args:
        critic: Function from (batch, ...) to (batch,), which treats every sample for itself.
        points: Tensor (batch, ...), where the slope is asked for.

    Returns:
        Scalar tensor.
    """
    ...
''',
    name="gradient_penalty",
    solution_code="""import tensorflow as tf


def gradient_penalty(critic, points):
    with tf.GradientTape() as tape:
        tape.watch(points)  # they are no variables
        values = critic(points)  # (batch,)
    slope = tape.gradient(values, points)  # each value depends on its own sample only: (batch, ...)
    axes = list(range(1, len(points.shape)))
    square = tf.reduce_sum(tf.square(slope), axis=axes)  # (batch,)
    norm = tf.sqrt(tf.maximum(square, 1e-12))  # a maximum that is held at a number has the gradient 0
    return tf.reduce_mean(tf.square(norm - 1.0))
""",
    hints=(
        "First the slope: a tape that watches the points, the critic's values inside it, then `tape.gradient`.",
        "`tape.gradient(values, points)` adds up the values; each depends on its own sample only, so nothing is mixed.",
        "One norm for each sample: sum the squares over all axes but the first, then take the root: (batch,).",
        "`tf.reduce_mean(tf.square(norm - 1))`. Keep to TensorFlow's operations: an outer tape has to see all of it.",
        "At slope 0 the root's gradient is ∞ · 0, no number. `tf.sqrt(tf.maximum(square, 1e-12))` never takes the root "
        "of 0.",
    ),
    check=_check_penalty,
    wrong=(
        Wrong(
            _penalty_root_of_zero,
            "at slope 0 the gradient is NaN, and one such sample spoils all weights: keep the root's argument above 0",
        ),
        Wrong(_penalty_without_one, "slopes were punished for not being 0: the norm shall be 1"),
        Wrong(_penalty_squared_norm, "the norm is squared before 1 is taken off: its root is missing"),
        Wrong(_penalty_not_squared, "the difference is not squared: slopes below 1 would be rewarded"),
        Wrong(_penalty_batch_norm, "one norm of the whole batch: every sample has a slope of its own"),
        Wrong(_penalty_summed, "summed over the batch: it is a mean"),
        Wrong(_penalty_one_sided, "only slopes above 1 pay here: those below 1 pay as well"),
        Wrong(_penalty_last_axis, "the norm was taken over the last axis only: an image has three of them"),
        Wrong(_penalty_of_mean, "the mean slope was compared with 1: square each sample's difference first"),
        Wrong(_penalty_each_number, "each number of the gradient was compared with 1: it is the norm that shall be 1"),
        Wrong(_penalty_frozen, "no gradient passes to the critic: do not turn the slope into a constant"),
        Wrong(_penalty_with_weight, "the factor λ = 10 is not a part of it here"),
    ),
)

# --- 11.9 A penalty at the wrong places -----------------------------------------------------------------------------

_PROGRAM = '''import tensorflow as tf


def gradient_penalty(critic, real, fake, rng):
    """The mean of (norm of the critic's slope - 1) squared, at one point for each pair of samples.

    Args:
        critic: Function from (batch, ...) to (batch,).
        real, fake: Tensors (batch, ...) of one shape.
        rng: NumPy's random generator, for all draws.

    Returns:
        Scalar tensor.
    """
{weights}
    points = real + tf.cast(weights, real.dtype) * (fake - real)
    with tf.GradientTape() as tape:
        tape.watch(points)
        values = critic(points)
    slope = tape.gradient(values, points)
    square = tf.reduce_sum(tf.square(slope), axis=list(range(1, len(points.shape))))
    norm = tf.sqrt(tf.maximum(square, 1e-12))
    return tf.reduce_mean(tf.square(norm - 1.0))


def critic_loss(critic, real, fake, rng, weight=10.0):
    estimate = tf.reduce_mean(critic(real)) - tf.reduce_mean(critic(fake))
    return weight * gradient_penalty(critic, real, fake, rng) - estimate


def critic_step(critic, optimizer, real, fake, rng):
    with tf.GradientTape() as tape:
        loss = critic_loss(lambda x: critic(x)[:, 0], real, fake, rng)
    weights = critic.trainable_variables
    optimizer.apply(tape.gradient(loss, weights), weights)
    return loss
'''


def _penalty_at(weights, critic, real, fake):
    import tensorflow as tf

    points = real + tf.cast(weights, real.dtype) * (fake - real)
    return tf.reduce_mean(tf.square(_norms(_slope_of(critic, points)) - 1))


def _normal_weights(critic, real, fake, rng):
    return _penalty_at(rng.normal(size=(real.shape[0], *[1] * (len(real.shape) - 1))), critic, real, fake)


def _clipped_weights(critic, real, fake, rng):
    weights = rng.normal(size=(real.shape[0], *[1] * (len(real.shape) - 1)))
    return _penalty_at(np.clip(weights, 0, 1), critic, real, fake)


def _weights_for_numbers(critic, real, fake, rng):
    return _penalty_at(rng.random(real.shape), critic, real, fake)


def _one_weight(critic, real, fake, rng):
    return _penalty_at(rng.random(), critic, real, fake)


def _weights_both_ways(critic, real, fake, rng):
    return _penalty_at(rng.uniform(-1, 1, (real.shape[0], *[1] * (len(real.shape) - 1))), critic, real, fake)


def _middle(critic, real, fake, rng):
    return _penalty_at(0.5, critic, real, fake)


def _bowl(penalty, fake, seed):
    """The penalty of ½ ‖x‖², whose slope is ‖x‖, between −fake and fake: alike in whichever direction it is walked."""
    import tensorflow as tf

    def critic(x):
        return tf.reduce_sum(tf.square(x), axis=list(range(1, len(x.shape)))) / 2

    return penalty(critic, -fake, fake, np.random.default_rng(seed))


def _check_places(trial):
    import tensorflow as tf

    label = "f(x) = ½ ‖x‖², from (−3, −4) to (3, 4) twice: at the uniform share u the slope is 5 |2u − 1|"
    trial.equal(label, tf.constant([[3.0, 4.0], [3.0, 4.0]]), 0, call=_bowl)
    for seed, shape in enumerate(((1, 3), (6, 2), (4, 3, 3, 1), (3, 4, 4, 2)), 1):
        fake = tf.constant(trial.rng.normal(size=shape), tf.float32)
        trial.equal(f"the same critic, samples {shape}", fake, seed, call=_bowl)
    fake = tf.ones((20000, 1))  # from −1 to 1 the slope is |2u − 1|, and (|2u − 1| − 1)² has the mean 1/3
    trial.check(
        "from −1 to 1, the mean over 20,000 pairs is 1/3", got=_bowl(trial.answer, fake, 9), want=1 / 3, rtol=0.03
    )


places = Mend(
    title="A penalty at the wrong places",
    lesson="chapter11.gradient_penalty",
    minutes=10,
    text=r"""This penalty was copied into many programs. A critic whose slope is 1 on all lines between real
and drawn samples should pay nothing, whatever its slope is elsewhere; here it pays a lot. Mend
`gradient_penalty`. One point is drawn for each pair, uniformly on the line between its two samples; all
draws come from `rng`.""",
    start=_PROGRAM.format(
        weights="    weights = rng.normal(size=[real.shape[0]] + [1] * (len(real.shape) - 1))  # one for each pair"
    ),
    name="gradient_penalty",
    solution_code=_PROGRAM.format(
        weights="    # uniform in [0, 1): other weights leave the line between the two samples\n"
        "    weights = rng.random(size=[real.shape[0]] + [1] * (len(real.shape) - 1))  # one number for each pair"
    ),
    hints=(
        "If the critic pays, some points must lie off the lines between real and drawn samples. Print a few of them.",
        "A point is `real + weight * (fake - real)`: for which weights does it lie between the two?",
        "The page says how $u$ is distributed. `rng.normal` is below 0 or above 1 in two of three draws.",
        "`rng.random(size=…)` is uniform in [0, 1). Keep the shape: one number for each pair, whatever its axes.",
    ),
    check=_check_places,
    wrong=(
        Wrong(
            _normal_weights, "the weights are still normal: two of three points lie off the line between the samples"
        ),
        Wrong(_clipped_weights, "cut to [0, 1], two of three points lie *at* a sample: u has to be uniform"),
        Wrong(_weights_for_numbers, "a weight for each number: points leave the line; one weight for each pair"),
        Wrong(_one_weight, "one weight for the whole batch: every pair has a weight of its own"),
        Wrong(_weights_both_ways, "weights from −1 to 1: half of the points lie beyond the real sample"),
        Wrong(_middle, "always the middle: the slope has to be asked for everywhere on the line"),
    ),
)

# --- 11.10 What a bowl pays -----------------------------------------------------------------------------------------


def _bowl_pays(distance):
    shares = (np.arange(10000) + 0.5) / 10000  # points evenly along the line stand for a uniform draw
    return float(np.mean((distance * shares - 1) ** 2))


def _bowl_distances():
    return np.arange(1, 6001) / 1000


def _best_bowl():
    return float(min(_bowl_distances(), key=_bowl_pays))


def _paying_one():
    return float(max(d for d in _bowl_distances() if _bowl_pays(d) <= 1))


def _lesson_pays():
    import tensorflow as tf

    from kerasnotes.chapter11.gradient_penalty import slope_norms

    shares = (np.arange(10000, dtype=np.float32)[:, None] + 0.5) / 10000
    norms = slope_norms(lambda x: tf.reduce_sum(tf.square(x), axis=-1) / 2, shares * np.float32([3, 4]))
    return float(tf.reduce_mean(tf.square(norms - 1)))


bowl = Predict(
    title="What a bowl pays",
    lesson="chapter11.gradient_penalty",
    minutes=15,
    text=r"""A critic in the plane is f(x) = ½ ‖x‖². All real samples lie at $(0, 0)$, all drawn ones at $(3, 4)$. What
gradient penalty does it pay in expectation over $u$, without the factor λ? For drawn samples at the distance
$d$ in place of 5, write the penalty as a function of $d$: for which $d$ is it least, how large is it there
(and why is it not zero), and for which $d$ other than 0 does the critic pay as much as one of slope 0?""",
    hints=(
        "The gradient of ½ ‖x‖² is $x$, so the slope at a point is its distance from $(0, 0)$.",
        "At the share $u$ of the way the slope is $u d$, and $u$ is uniform: it pays ∫₀¹ (u d − 1)² du.",
        "The integral is d²/3 − d + 1.",
        "It is least where $2d/3 = 1$, and it is 1 again where d²/3 = d.",
    ),
    values=(
        Value(
            "pays",
            "expected penalty for drawn samples at (3, 4)",
            want=_lesson_pays,
            wrong=(
                (lambda: 2.25, "that is (mean slope − 1)²: take the mean of the squares"),
                (lambda: 16.0, "that is paid at (3, 4) itself: points lie everywhere between"),
                (lambda: 10 * _bowl_pays(5.0), "the factor λ = 10 is not a part of it here"),
                (lambda: 25 / 3, "the 1 that is taken off the slope is missing"),
                (lambda: 25 / 3 + 1, "the mixed term of the square, −2 · 5u, is missing"),
            ),
        ),
        Value(
            "best_distance",
            "the d for which the penalty is least",
            want=_best_bowl,
            wrong=(
                (lambda: 2.0, "there the *mean* slope is 1: the mean of squares is least elsewhere"),
                (lambda: 1.0, "there the slope is 1 at the drawn samples only"),
            ),
        ),
        Value(
            "least",
            "the penalty at that d",
            want=lambda: _bowl_pays(_best_bowl()),
            atol=1e-3,
            wrong=(
                (lambda: 0.0, "the slope changes along the line, so it cannot be 1 everywhere"),
                (lambda: 1 / 3, "that is paid at d = 1 and at d = 2: between them it is less"),
            ),
        ),
        Value(
            "as_slope_zero",
            "the d other than 0 for which the critic pays as much as one of slope 0",
            want=_paying_one,
            wrong=(
                (lambda: 2.0, "there the slope at the drawn samples pays 1, but points lie everywhere between"),
                (lambda: 1.5, "there the penalty is least: set it equal to what slope 0 pays, 1"),
            ),
        ),
    ),
    solution_code="""def pays_at(d):
    return d**2 / 3 - d + 1  # the integral of (u d - 1)² over u from 0 to 1


pays = pays_at(5)
best_distance = 3 / 2  # where the derivative 2 d/3 - 1 is 0
least = pays_at(best_distance)  # the slope goes from 0 to 3/2 along the line: it is 1 at one place only
as_slope_zero = 3.0  # a critic of slope 0 pays 1, and d²/3 = d
""",
)

# --- 11.11 Counting modes -------------------------------------------------------------------------------------------


def _near(samples, centers, deviation):
    return np.linalg.norm(samples[:, None] - centers, axis=-1) <= 3 * deviation


def _modes_of_any_sample(samples, centers, deviation):
    return int(np.sum(np.any(_near(samples, centers, deviation), axis=0)))


def _modes_above(samples, centers, deviation):
    return int(np.sum(np.mean(_near(samples, centers, deviation), axis=0) > 0.01))


def _modes_one_deviation(samples, centers, deviation):
    return int(np.sum(np.mean(_near(samples, centers, deviation / 3), axis=0) >= 0.01))


def _modes_in_squares(samples, centers, deviation):
    near = np.all(np.abs(samples[:, None] - centers) <= 3 * deviation, axis=-1)
    return int(np.sum(np.mean(near, axis=0) >= 0.01))


def _modes_fair_share(samples, centers, deviation):
    share = np.mean(_near(samples, centers, deviation), axis=0)
    return int(np.sum(share >= 1 / len(centers)))


def _samples_near(samples, centers, deviation):
    return int(np.sum(np.any(_near(samples, centers, deviation), axis=1)))


def _check_modes(trial):
    from kerasnotes.chapter11.ring import modes_found, ring_of_gaussians

    centers = np.array([[0.0, 0.0], [10.0, 0.0]])
    samples = np.array([[0.0, 1.0], [0.5, 0.0], [12.5, 2.5]])
    trial.equal("three samples, two modes of deviation 1", samples, centers, 1.0)
    centers = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    samples = np.array([[0.0, 1.0], [0.5, 0.0], [1.0, 1.0], [2.0, 10.0], [0.0, 12.0], [12.5, 2.5]])
    trial.equal("six samples, three modes of deviation 1", samples, centers, 1.0)
    few = np.concatenate([np.zeros((995, 2)), np.full((5, 2), [10.0, 0.0])])
    trial.equal("1000 samples: 995 at the first mode, 5 at the second", few, centers, 1.0)
    few = np.concatenate([np.zeros((90, 2)), np.full((10, 2), [10.0, 0.0])])
    trial.equal("100 samples: 90 at the first mode, 10 at the second", few, centers, 1.0)
    few = np.concatenate([np.zeros((99, 2)), [[10.0, 0.0]]])
    trial.equal("100 samples: 99 at the first mode, 1 at the second", few, centers, 1.0)
    for modes, kept in ((8, 8), (8, 3), (25, 10)):
        samples, centers = ring_of_gaussians(modes, 4.0, 0.1, 2000, int(trial.rng.integers(1000)))
        nearest = np.argmin(np.linalg.norm(samples[:, None] - centers, axis=-1), axis=1)
        samples = samples[nearest < kept]
        trial.equal(f"a ring of {modes} modes, of which {kept} are kept", samples, centers, 0.1)
    trial.check(
        "equals the lesson's", got=trial.answer(samples, centers, 0.1), want=int(modes_found(samples, centers, 0.1))
    )


modes = Write(
    title="Counting modes",
    lesson="chapter11.ring",
    minutes=10,
    text=r"""Write the count of modes that a set of samples covers. A mode counts as found if at least one per cent of
all the samples lie within three deviations of its centre, measured by the ordinary distance in the plane.""",
    start='''import numpy as np


def modes_found(samples, centers, deviation):
    """How many modes a set of samples covers.

    Args:
        samples: Array (samples, 2) of points.
        centers: Array (modes, 2), the centres of the modes.
        deviation: Standard deviation of each mode.

    Returns:
        Whole number from 0 to the number of modes, an `int`.
    """
    ...
''',
    name="modes_found",
    solution_code="""import numpy as np


def modes_found(samples, centers, deviation):
    distances = np.linalg.norm(samples[:, None] - centers, axis=-1)  # (samples, modes)
    shares = np.mean(distances <= 3 * deviation, axis=0)  # (modes,)
    return int(np.sum(shares >= 0.01))
""",
    hints=(
        "A table of all distances, samples down and modes across, answers everything.",
        "`samples[:, None] - centers` has the shape (samples, modes, 2); `np.linalg.norm(…, axis=-1)` makes distances.",
        "The mean of `distances <= 3 * deviation` over the samples (axis 0) is each mode's share.",
        "Count the shares that are at least 0.01, and return `int(…)` of it.",
    ),
    check=_check_modes,
    wrong=(
        Wrong(_modes_of_any_sample, "one stray sample is not enough: a mode needs one per cent of the samples"),
        Wrong(_modes_above, "*at least* one per cent: exactly one per cent is enough"),
        Wrong(_modes_one_deviation, "within one deviation: the limit is three"),
        Wrong(_modes_in_squares, "each coordinate was compared by itself, which is a square: take the distance"),
        Wrong(_modes_fair_share, "a fair share of each mode was asked for: one per cent is enough"),
        Wrong(_samples_near, "samples near any mode were counted: count the modes"),
    ),
)

TASKS = (
    distances,
    wasserstein,
    discriminator,
    generator,
    score,
    wgan,
    slopes,
    penalty,
    places,
    bowl,
    modes,
)
