"""The tasks of chapter 08: clipping, fading, truncation, a step backwards through time, perplexity, padding."""

import math

import numpy as np

from kerasnotes.course.tasks import Mend, Predict, Value, Write, Wrong

# --- 08.1 The last state of padded sentences ------------------------------------------------------------------------


def _mask_ignored(x, mask, w_xh, w_hh, b):
    h = np.zeros((len(x), len(w_hh)))
    for t in range(x.shape[1]):
        h = np.tanh(x[:, t] @ w_xh + h @ w_hh + b)
    return h


def _zeros_for_padding(x, mask, w_xh, w_hh, b):
    h = np.zeros((len(x), len(w_hh)))
    for t in range(x.shape[1]):
        h = mask[:, t, None] * np.tanh(x[:, t] @ w_xh + h @ w_hh + b)
    return h


def _input_masked_only(x, mask, w_xh, w_hh, b):
    h = np.zeros((len(x), len(w_hh)))
    for t in range(x.shape[1]):
        h = np.tanh(mask[:, t, None] * x[:, t] @ w_xh + h @ w_hh + b)
    return h


def _mask_turned_round(x, mask, w_xh, w_hh, b):
    h = np.zeros((len(x), len(w_hh)))
    for t in range(x.shape[1]):
        h = np.where(mask[:, t, None], h, np.tanh(x[:, t] @ w_xh + h @ w_hh + b))
    return h


def _bias_forgotten(x, mask, w_xh, w_hh, b):
    h = np.zeros((len(x), len(w_hh)))
    for t in range(x.shape[1]):
        h = np.where(mask[:, t, None], np.tanh(x[:, t] @ w_xh + h @ w_hh), h)
    return h


def _check_masked(trial):
    import keras

    x, mask = np.array([[[1.0], [2.0], [5.0]]]), np.array([[True, True, False]])
    small = np.array([[0.5]]), np.array([[0.2]]), np.array([0.1])
    trial.equal("one sentence of two words and one padding", x, mask, *small)
    trial.equal("padding in the middle", x, np.array([[True, False, True]]), *small)
    for batch, steps, inputs, units in ((3, 5, 2, 4), (4, 7, 3, 2)):
        w = [trial.rng.normal(size=s) for s in ((inputs, units), (units, units), (units,))]
        x = trial.rng.normal(size=(batch, steps, inputs))
        mask = trial.rng.random((batch, steps)) < 0.6
        trial.equal(f"{batch} sentences of {steps} steps, a mask with gaps", x, mask, *w)
    layer = keras.layers.SimpleRNN(units)
    layer.build(x.shape)
    layer.set_weights(w)
    trial.check("equals layers.SimpleRNN with the same mask", got=trial.answer(x, mask, *w), want=layer(x, mask=mask))


masked = Write(
    title="The last state of padded sentences",
    lesson="chapter08.sequences",
    minutes=15,
    text=r"""Sentences of different lengths are padded to a rectangle, and a mask says what is a word. Write the loop
of a simple recurrent network, h_t = tanh(x_t W_xh + h_{t-1} W_hh + b), in which padding does not count:
where the mask is False, the state stays as it was. It begins at zeros. What is returned is the last
state.""",
    start='''import numpy as np


def last_state(x, mask, w_xh, w_hh, b):
    """The last state of a simple recurrent network that skips padding.

    Args:
        x: Array (batch, steps, inputs).
        mask: Boolean array (batch, steps), True where there is a word.
        w_xh, w_hh, b: Arrays (inputs, units), (units, units) and (units,).

    Returns:
        Array (batch, units).
    """
    ...
''',
    name="last_state",
    solution_code="""import numpy as np


def last_state(x, mask, w_xh, w_hh, b):
    h = np.zeros((len(x), len(w_hh)))  # (batch, units)
    for t in range(x.shape[1]):
        new = np.tanh(x[:, t] @ w_xh + h @ w_hh + b)
        h = np.where(mask[:, t, None], new, h)  # (batch, 1) against (batch, units)
    return h
""",
    hints=(
        "Loop over the steps, the second axis of x. Compute the new state as if every step were a word.",
        "Then choose for each sentence between the new state and the old one.",
        "`mask[:, t, None]` has the shape (batch, 1), and chooses with `np.where(…, new, h)`.",
        "h = np.where(mask[:, t, None], np.tanh(x[:, t] @ w_xh + h @ w_hh + b), h)",
    ),
    check=_check_masked,
    wrong=(
        Wrong(_mask_ignored, "the mask is not used: padding moves the state"),
        Wrong(_zeros_for_padding, "padding sets the state to zero: it should leave it as it was"),
        Wrong(_input_masked_only, "only the input is masked: the state still takes a step, tanh(h W_hh + b)"),
        Wrong(_mask_turned_round, "the mask is taken the wrong way round: True is a word"),
        Wrong(_bias_forgotten, "the bias b is missing"),
    ),
)

# --- 08.2 How fast a gradient fades ---------------------------------------------------------------------------------


def _fading(lag, weight=1.25):
    from kerasnotes.chapter08.fading_gradients import gradient_by_lag

    slopes = np.full((lag, 1), 1 - 0.6**2)
    return float(gradient_by_lag(np.array([[weight]]), lag, slopes)[-1])


def _steps_to_a_hundredth():
    return next(lag for lag in range(1, 100) if _fading(lag) < 0.01)


_SLOPE_MISSING = "that is the weight alone: the slope of tanh is missing"

fading = Predict(
    title="How fast a gradient fades",
    lesson="chapter08.fading_gradients",
    minutes=10,
    text=r"""A cell has one unit with the recurrent weight 1.25, and its inputs happen to hold the state at h = 0.6
throughout. By which factor does a gradient change in one step back, and in ten? After how many steps is
less than one per cent left? For which positive recurrent weight would it neither fade nor grow at this state?
Ask yourself why that is no remedy.""",
    hints=(
        "One step back multiplies by the recurrent weight and by the slope of tanh at the state.",
        "The slope of tanh where its value is h is 1 − h², here 0.64.",
        "So a step multiplies by 1.25 · 0.64. Over n steps the factors multiply; take logarithms to find n.",
        "factor = 1.25 · (1 − 0.36) = 0.8; 0.8ⁿ < 0.01 for n > ln 0.01 / ln 0.8; the last weight is 1 / 0.64.",
    ),
    values=(
        Value(
            "factor_one",
            "the factor of one step back",
            want=lambda: _fading(1),
            wrong=(
                (lambda: 1.25, _SLOPE_MISSING),
                (lambda: 0.64, "that is the slope alone: the weight is missing"),
                (lambda: 1.25 * 0.4, "the slope of tanh is 1 − h², not 1 − h"),
                (
                    lambda: 1.25 * (1 - math.tanh(0.6) ** 2),
                    "0.6 is the state itself, after tanh: do not take tanh again",
                ),
            ),
        ),
        Value(
            "factor_ten",
            "the factor of ten steps back",
            want=lambda: _fading(10),
            wrong=(
                (lambda: 1.25**10, _SLOPE_MISSING),
                (lambda: 10 * 0.8, "factors of steps multiply, they do not add"),
            ),
        ),
        Value(
            "steps",
            "the number of steps after which less than one per cent is left",
            want=_steps_to_a_hundredth,
            rtol=0,
            wrong=(
                (lambda: 20, "after 20 steps it is still a little more than one per cent: 0.0115"),
                (lambda: 11, "that is where it falls below a tenth, not a hundredth"),
            ),
        ),
        Value(
            "steady_weight",
            "the recurrent weight with which it neither fades nor grows",
            want=lambda: 1.25 / _fading(1),
            wrong=(
                (lambda: 1.0, "that is right for a linear cell: here the slope of tanh shortens every step"),
                (lambda: 0.64, "the other way round: weight times slope is to be 1"),
            ),
        ),
    ),
    solution_code="""import math

slope = 1 - 0.6**2  # of tanh, where its value is 0.6
factor_one = 1.25 * slope  # 0.8
factor_ten = factor_one**10
steps = math.ceil(math.log(0.01) / math.log(factor_one))  # 20.6, rounded up
steady_weight = 1 / slope  # no remedy: at h = 0 the slope is 1, and the gradient would grow by more than half
""",
)

# --- 08.3 The gradient of the recurrent weights ---------------------------------------------------------------------


def _through_time(w_hh, states, d_last, slope=True, transpose=True, before=True, steps=None, sign=1.0):
    total, d = np.zeros_like(w_hh), d_last
    stop = 0 if steps is None else len(states) - 1 - steps
    for t in range(len(states) - 1, stop, -1):
        delta = d * (1 - states[t] ** 2) if slope else d
        total += np.outer(states[t - 1] if before else states[t], delta)
        d = delta @ (w_hh.T if transpose else w_hh)
    return sign * total


def _no_slopes(w_hh, states, d_last):
    return _through_time(w_hh, states, d_last, slope=False)


def _not_transposed(w_hh, states, d_last):
    return _through_time(w_hh, states, d_last, transpose=False)


def _state_after(w_hh, states, d_last):
    return _through_time(w_hh, states, d_last, before=False)


def _last_step_only(w_hh, states, d_last):
    return _through_time(w_hh, states, d_last, steps=1)


def _outer_turned(w_hh, states, d_last):
    return _through_time(w_hh, states, d_last).T


def _check_through_time(trial):
    import tensorflow as tf

    trial.equal("one unit, two steps", np.array([[2.0]]), np.array([[0.0], [0.5], [0.8]]), np.array([1.0]))
    for steps, units in ((1, 3), (4, 2), (9, 5)):
        w, states = trial.rng.normal(size=(units, units)) / 2, np.tanh(trial.rng.normal(size=(steps + 1, units)))
        trial.equal(f"{steps} steps, {units} units", w, states, trial.rng.normal(size=units))
    # The states of a real run, and the tape's gradient of d · h_T.
    steps, units = 6, 4
    w, inputs = trial.rng.normal(size=(units, units)) / 2, trial.rng.normal(size=(steps, units))
    d_last, variable = trial.rng.normal(size=units), tf.Variable(w)
    with tf.GradientTape() as tape:
        h, states = tf.zeros((1, units), tf.float64), [np.zeros(units)]
        for each in inputs:
            h = tf.tanh(each[None] + h @ variable)
            states.append(h.numpy()[0])
        total = tf.reduce_sum(d_last * h)
    got = trial.answer(w, np.array(states), d_last)
    trial.check("equals the tape's gradient of a recurrent network", got=got, want=tape.gradient(total, variable))


through_time = Write(
    title="The gradient of the recurrent weights",
    lesson="chapter08.bptt",
    minutes=20,
    text=r"""A network h_t = tanh(x_t W_xh + h_{t-1} W_hh + b) has run over T steps; the loss depends on the last
state only. Go back from there: with δ_t the gradient at the sum inside the tanh of step t, add up what
each step gives to the gradient of W_hh, and carry δ_t back through W_hh to the state before. In the
first check W_hh is 2, the states are 0, 0.5 and 0.8, and the gradient of the last state is 1: work it
out by hand first.""",
    start='''import numpy as np


def recurrent_gradient(w_hh, states, d_last):
    """Back-propagation through time: the gradient of the recurrent weights.

    Args:
        w_hh: Array (units, units); the state before is multiplied from the left, h @ w_hh.
        states: Array (steps + 1, units), the state before the first step and after each step.
        d_last: Array (units,), the gradient of the loss by the last state.

    Returns:
        Array (units, units), the gradient of the loss by w_hh.
    """
    ...
''',
    name="recurrent_gradient",
    solution_code="""import numpy as np


def recurrent_gradient(w_hh, states, d_last):
    total, d_state = np.zeros_like(w_hh), d_last
    for t in range(len(states) - 1, 0, -1):  # the last step first
        delta = d_state * (1 - states[t] ** 2)  # through tanh, (units,)
        total += np.outer(states[t - 1], delta)  # this step's share
        d_state = delta @ w_hh.T  # what reaches the state before
    return total
""",
    hints=(
        "Begin at the last step, with the gradient of its state. A loop goes back to step 1.",
        "Through the tanh of step t: δ_t is the state's gradient times 1 − h_t², number by number.",
        "Step t multiplied h_{t-1} by W_hh, so its share of the gradient is the outer product of h_{t-1} and δ_t.",
        "np.outer(states[t - 1], delta) is added to the sum, then d_state = delta @ w_hh.T goes to the state before.",
    ),
    check=_check_through_time,
    wrong=(
        Wrong(_no_slopes, "the slopes of tanh, 1 − h_t², are missing"),
        Wrong(_not_transposed, "on the way back the matrix is transposed: δ_t W_hhᵀ"),
        Wrong(_state_after, "step t multiplied the state *before* it, h_{t-1}, by W_hh"),
        Wrong(
            _last_step_only, "only the last step is there: the same weights served at every step, so all shares add up"
        ),
        Wrong(_outer_turned, "the outer product is turned round: rows belong to the state before, columns to δ_t"),
    ),
)

# --- 08.4 Where truncation loses everything -------------------------------------------------------------------------


def _reaches(every_is_window):
    from kerasnotes.chapter08.bptt import truncated_bptt
    from kerasnotes.chapter08.simple_rnn import rnn

    rng = np.random.default_rng(0)
    p = {"w_xh": (2, 3), "w_hh": (3, 3), "w_ho": (3, 1), "b": (3,), "b_o": (1,)}
    p = {name: rng.normal(size=shape) / 2 for name, shape in p.items()}
    x = rng.normal(size=(1, 10, 2))
    x[:, 6:] = 0.0
    states = np.asarray(rnn(x, np.zeros((1, 3)), p["w_xh"], p["w_hh"], p["b"]))
    y = states @ p["w_ho"] + p["b_o"]  # its own outputs: no loss, but for the last step
    y[:, 9] += 1.0
    return [
        int(np.abs(truncated_bptt(x, y, p, k, every=k if every_is_window else 1)["w_xh"]).max() > 1e-12)
        for k in range(1, 11)
    ]


truncation = Predict(
    title="Where truncation loses everything",
    lesson="chapter08.bptt",
    minutes=15,
    text=r"""A sequence has steps 0 to 9. Its inputs are zero from step 6 on, and there is a loss only at step 9. The
gradient of W_xh is computed with truncation, for each window k = 1, …, 10: with sliding windows, where
the loss reaches back over k steps, its own included, and in chunks of k steps that begin at step 0. In
which cases is it not zero? Two lists of ten numbers, 1 for not zero. (Is a longer chunk always better?
Look at k = 5 and k = 9.)""",
    hints=(
        "The gradient of W_xh gets x_t times δ_t from each step: only steps 0 to 5 have inputs.",
        "So the question is whether the way back from step 9 reaches step 5.",
        "With a sliding window of k it reaches step 10 − k.",
        "In chunks it reaches the start of step 9's own chunk, step k · ⌊9 / k⌋: 9, 8, 9, 8, 5, 6, 7, 8, 9, 0.",
    ),
    values=(
        Value(
            "sliding",
            "for k = 1, …, 10: 1 if the gradient with a sliding window is not zero",
            want=lambda: _reaches(False),
            rtol=0,
            wrong=(
                (lambda: [0, 0, 0, 1, 1, 1, 1, 1, 1, 1], "one step too far: a window of 4 holds steps 6 to 9"),
                (
                    lambda: [0, 0, 0, 0, 0, 1, 1, 1, 1, 1],
                    "the loss's own step counts: a window of 5 holds steps 5 to 9",
                ),
            ),
        ),
        Value(
            "chunks",
            "for k = 1, …, 10: 1 if the gradient in chunks of k steps is not zero",
            want=lambda: _reaches(True),
            rtol=0,
            wrong=(
                (
                    lambda: [0, 0, 0, 0, 1, 1, 1, 1, 1, 1],
                    "chunks begin at multiples of k: step 9 may stand at the very beginning of one",
                ),
            ),
        ),
    ),
    solution_code="""sliding = [int(10 - k <= 5) for k in range(1, 11)]  # the window holds steps 10 - k to 9
chunks = [int(9 // k * k <= 5) for k in range(1, 11)]  # the chunk of step 9 begins at the last multiple of k
# Chunks of 5 keep what chunks of 6, 7, 8 and 9 lose: longer is not always better, where they begin matters.
""",
)

# --- 08.5 Clip by the global norm -----------------------------------------------------------------------------------


def _each_tensor(gradients, clip_norm):
    import tensorflow as tf

    norm = tf.sqrt(tf.add_n([tf.reduce_sum(g**2) for g in gradients]))
    return [g * clip_norm / tf.maximum(tf.norm(g), clip_norm) for g in gradients], norm


def _by_value(gradients, clip_norm):
    import tensorflow as tf

    norm = tf.sqrt(tf.add_n([tf.reduce_sum(g**2) for g in gradients]))
    return [tf.clip_by_value(g, -clip_norm, clip_norm) for g in gradients], norm


def _lengthened(gradients, clip_norm):
    import tensorflow as tf

    norm = tf.sqrt(tf.add_n([tf.reduce_sum(g**2) for g in gradients]))
    return [g * clip_norm / norm for g in gradients], norm


def _norms_added(gradients, clip_norm):
    import tensorflow as tf

    norm = tf.add_n([tf.norm(g) for g in gradients])
    return [g * clip_norm / tf.maximum(norm, clip_norm) for g in gradients], norm


def _norm_after(gradients, clip_norm):
    import tensorflow as tf

    norm = tf.sqrt(tf.add_n([tf.reduce_sum(g**2) for g in gradients]))
    return [g * clip_norm / tf.maximum(norm, clip_norm) for g in gradients], tf.minimum(norm, clip_norm)


def _fixed_factor(gradients, clip_norm):
    import tensorflow as tf

    norm = tf.sqrt(tf.add_n([tf.reduce_sum(g**2) for g in gradients]))
    factor = min(clip_norm / float(norm), 1.0)  # a plain number
    return [g * factor for g in gradients], norm


def _check_clipping(trial):
    import tensorflow as tf

    trial.equal("gradients (3, 4) and (12) at 6.5", [tf.constant([3.0, 4.0]), tf.constant([12.0])], 6.5)
    trial.equal("the same at 20, where nothing is too long", [tf.constant([3.0, 4.0]), tf.constant([12.0])], 20.0)
    for shapes in (((2, 3), (3,)), ((4, 1), (2, 2, 2), (5,))):
        gradients = [tf.constant(trial.rng.normal(size=shape)) for shape in shapes]
        for clip_norm in (0.5, 2.0, 100.0):
            trial.equal(f"shapes {', '.join(map(str, shapes))} at {clip_norm:g}", gradients, clip_norm)
    halved = [tf.constant([3.0, 4.0]), tf.constant([12.0])]
    trial.gradient("the slopes of the clipped numbers by the gradients, at 6.5", halved, 6.5, of=(0,))
    trial.gradient("the same at 20, where the factor is 1", halved, 20.0, of=(0,))
    theirs, norm = tf.clip_by_global_norm(gradients, 2.0)
    got, own = trial.answer(gradients, 2.0)
    trial.check("equals tf.clip_by_global_norm", got=[*got, own], want=[*theirs, norm])


clipping = Write(
    title="Clip by the global norm",
    lesson="chapter08.clipping",
    minutes=10,
    text=r"""Write gradient clipping by global norm: the norm ‖g‖ of all numbers of all gradients together, and one
common factor c / max(‖g‖, c) for all of them. Keep to TensorFlow's operations: a tape is to see the
factor as well. Before you run it: what becomes of the gradients (3, 4) and (12) at c = 6.5, and what at
c = 20?""",
    start='''import tensorflow as tf


def clip_by_global_norm(gradients, clip_norm):
    """Shorten all gradients by one common factor if they are too long together.

    Args:
        gradients: List of float tensors of any shapes.
        clip_norm: The largest global norm allowed, a positive number.

    Returns:
        `(clipped, norm)`: the list of tensors of the same shapes, and the global norm before clipping, a scalar.
    """
    ...
''',
    name="clip_by_global_norm",
    solution_code="""import tensorflow as tf


def clip_by_global_norm(gradients, clip_norm):
    squares = [tf.reduce_sum(tf.square(gradient)) for gradient in gradients]
    norm = tf.sqrt(tf.add_n(squares))  # of all numbers together
    factor = clip_norm / tf.maximum(norm, clip_norm)  # 1 where nothing is too long
    return [gradient * factor for gradient in gradients], norm
""",
    hints=(
        "First the norm: square every number of every gradient, add up, take the root. (3, 4) and (12) give 13.",
        "Then one factor for all. Gradients that are short enough stay as they are.",
        "max(‖g‖, c) makes the factor 1 for them: `clip_norm / tf.maximum(norm, clip_norm)`.",
        "norm = tf.sqrt(tf.add_n([tf.reduce_sum(tf.square(g)) for g in gradients])), then each g times the factor.",
    ),
    check=_check_clipping,
    wrong=(
        Wrong(_each_tensor, "every gradient was clipped by its own norm: one factor for all keeps the direction"),
        Wrong(_by_value, "that is clipping by value, number by number: the direction changes"),
        Wrong(_lengthened, "short gradients are lengthened: clipping never lengthens, hence max(‖g‖, c)"),
        Wrong(_norms_added, "the norms were added up: squares add up, and the root comes last"),
        Wrong(_norm_after, "the norm asked for is that *before* clipping"),
        Wrong(_fixed_factor, "the factor has become a plain number: keep to TensorFlow, so that a tape sees it"),
    ),
)

# --- 08.6 Three ways to clip, by hand -------------------------------------------------------------------------------


def _clipped(kind, bound):
    import tensorflow as tf

    from kerasnotes.chapter08 import clipping as lesson

    gradients = [tf.constant([2.0, 3.0]), tf.constant([6.0])]
    result = {
        "global_norm": lambda: lesson.clip_by_global_norm(gradients, bound)[0],
        "value": lambda: lesson.clip_by_value(gradients, -bound, bound),
        "norm": lambda: [lesson.clip_by_norm(gradient, bound) for gradient in gradients],
    }[kind]()
    return [float(number) for tensor in result for number in np.asarray(tensor)]


def _cosine(kind, bound):
    from kerasnotes.chapter08.clipping import cosine

    return cosine([[2.0, 3.0, 6.0]], [_clipped(kind, bound)])


by_hand = Predict(
    title="Three ways to clip, by hand",
    lesson="chapter08.clipping",
    minutes=10,
    text=r"""Gradients (2, 3) and (6) are clipped by hand: by global norm at 3.5, by value at 2.5, and tensor by
tensor at norm 2.5. What comes out in the three cases (lists of three numbers)? And what is the cosine of
the angle between the original gradient and the one clipped by global norm, and by value? (Take all three
numbers as one vector.)""",
    hints=(
        "All numbers together: 4 + 9 + 36 = 49.",
        "By value every number is cut to at most 2.5. Tensor by tensor, (2, 3) has the norm √13 and (6) the norm 6.",
        "A tensor of norm n > c is multiplied by c / n.",
        "A cosine is the sum of products over the product of the two norms; by value 26.5 / (7 · √16.5).",
    ),
    values=(
        Value(
            "global_norm",
            "the three numbers, clipped by global norm at 3.5",
            want=lambda: _clipped("global_norm", 3.5),
            wrong=((lambda: [2.0 * 3.5 / 13**0.5, 3.0 * 3.5 / 13**0.5, 3.5], "that is tensor by tensor"),),
        ),
        Value(
            "value",
            "the three numbers, clipped by value at 2.5",
            want=lambda: _clipped("value", 2.5),
            wrong=((lambda: [2.0 * 2.5 / 7, 3.0 * 2.5 / 7, 6.0 * 2.5 / 7], "that is clipping by global norm"),),
        ),
        Value(
            "tensors",
            "the three numbers, clipped tensor by tensor at norm 2.5",
            want=lambda: _clipped("norm", 2.5),
            wrong=((lambda: [2.0, 2.5, 2.5], "that is clipping by value"),),
        ),
        Value(
            "cosine_global_norm",
            "cosine of the angle between the gradient and the one clipped by global norm",
            want=lambda: _cosine("global_norm", 3.5),
            rtol=1e-3,
            wrong=(
                (lambda: 0.5, "that is the factor: the cosine is divided by both lengths"),
                (lambda: 0.0, "0 is a right angle; one factor for all numbers leaves the direction as it is"),
            ),
        ),
        Value(
            "cosine_value",
            "cosine of the angle between the gradient and the one clipped by value",
            want=lambda: _cosine("value", 2.5),
            rtol=3e-3,
            wrong=(
                (lambda: 1.0, "clipping by value changes the ratios of the numbers, so the direction is another"),
                (lambda: 26.5 / 49, "divide by both lengths, 7 and √16.5"),
            ),
        ),
    ),
    solution_code="""import math

global_norm = [2 * 0.5, 3 * 0.5, 6 * 0.5]  # the norm is 7, the factor one half
value = [2.0, 2.5, 2.5]
factor = 2.5 / math.sqrt(13)  # (2, 3) has the norm √13, (6) the norm 6
tensors = [2 * factor, 3 * factor, 2.5]
cosine_global_norm = 1.0  # half of the gradient points where the gradient does
cosine_value = (2 * 2 + 3 * 2.5 + 6 * 2.5) / (7 * math.sqrt(2**2 + 2.5**2 + 2.5**2))
""",
)

# --- 08.7 A model that is too sure of nothing -----------------------------------------------------------------------

_SOFTMAX_TWICE = '''import tensorflow as tf


def perplexity(logits, targets):
    """Perplexity of a language model: exp of the mean cross-entropy of the characters that came.

    Args:
        logits: Tensor (characters, vocabulary), the model's logits for each next character.
        targets: Tensor (characters,) of whole numbers, the characters that came.

    Returns:
        Scalar tensor.
    """
    probabilities = tf.nn.softmax(logits)
    losses = tf.keras.losses.sparse_categorical_crossentropy(targets, probabilities, from_logits=True)
    return tf.exp(tf.reduce_mean(losses))
'''


def _check_perplexity(trial):
    import tensorflow as tf

    trial.equal("equal logits for four characters: it hesitates between four", tf.zeros((3, 4)), tf.constant([0, 1, 3]))
    sure = tf.constant([[9.0, 0.0], [0.0, 9.0]])
    trial.equal("nearly sure and right", sure, tf.constant([0, 1]))
    trial.equal("nearly sure and wrong once", sure, tf.constant([0, 0]))
    for characters, vocabulary in ((5, 3), (40, 30)):
        logits = tf.constant(3 * trial.rng.normal(size=(characters, vocabulary)), tf.float32)
        targets = tf.constant(trial.rng.integers(0, vocabulary, characters))
        trial.equal(f"{characters} characters of {vocabulary}", logits, targets)
    trial.equal("sure and wrong: e⁴⁰", tf.constant([[0.0, 40.0]]), tf.constant([0]), rtol=1e-3)


def _clipped_probabilities(logits, targets):
    import tensorflow as tf

    losses = tf.keras.losses.sparse_categorical_crossentropy(targets, tf.nn.softmax(logits) + 0.0)
    return tf.exp(tf.reduce_mean(losses))


def _base_two(logits, targets):
    import tensorflow as tf

    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=logits)
    return tf.pow(2.0, tf.reduce_mean(losses))


def _mean_of_exp(logits, targets):
    import tensorflow as tf

    return tf.reduce_mean(tf.exp(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=logits)))


def _no_exp(logits, targets):
    import tensorflow as tf

    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=logits))


surprise = Mend(
    title="A model that can never be sure",
    lesson="chapter08.language_model",
    minutes=10,
    text=r"""This program computes the perplexity of a language model. For a model with equal logits it is right. But
for one that is nearly sure of the right character, of two, it says 1.37 in place of 1.0001, and however
sure the model is, it never falls below that. Mend `perplexity`.""",
    start=_SOFTMAX_TWICE,
    name="perplexity",
    solution_code=_SOFTMAX_TWICE.replace("    probabilities = tf.nn.softmax(logits)\n", "").replace(
        "(targets, probabilities, from", "(targets, logits, from"
    ),
    hints=(
        "Follow what goes into the loss: are these logits?",
        "`from_logits=True` lets the loss take the softmax itself.",
        "So the softmax is taken twice. Of numbers between 0 and 1 it can make no probability close to 1.",
        "Give the loss the logits: sparse_categorical_crossentropy(targets, logits, from_logits=True).",
    ),
    check=_check_perplexity,
    wrong=(
        Wrong(_SOFTMAX_TWICE.replace("    return", "\n    return"), "the softmax is still taken twice"),
        Wrong(
            _clipped_probabilities,
            "given probabilities, Keras clips them at 10⁻⁷: no answer costs more than 16.1 nats; give it the logits",
        ),
        Wrong(_base_two, "the cross-entropy is in nats, powers of e: exp takes it back, 2 to its power does not"),
        Wrong(_mean_of_exp, "the mean comes first, then exp: this is the mean of single perplexities"),
        Wrong(_no_exp, "that is the mean cross-entropy: perplexity is exp of it"),
    ),
)

TASKS = (masked, fading, through_time, truncation, clipping, by_hand, surprise)
