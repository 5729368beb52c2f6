"""Chapter 08 · Recurrent networks · 循环神经网络.

One cell, used again at every step: how text becomes numbers, how a recurrent network is trained through time, why its
gradients explode or fade, and how far back it remembers.
"""

LESSONS = (
    "sequences",
    "simple_rnn",
    "fading_gradients",
    "bptt",
    "short_window",
    "clipping",
    "deep_rnn",
    "time_delay",
    "counting_models",
    "stateful_training",
    "language_model",
    "sensitivity",
    "memory_span",
    "recurrent_activations",
    "sequence_labelling",
    "ctc",
    "word_vectors",
)
BUDGET = 160  # seconds of the whole chapter at default scale, on two CPU cores
