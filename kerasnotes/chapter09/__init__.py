"""Chapter 09 · LSTM and GRU · 长短期记忆与门控循环单元.

Gates that decide what is kept, written and read: how they carry a gradient over a hundred steps, and what they do with
reviews, Tang quatrains, sunspots and translations.
"""

LESSONS = (
    "lstm", "peepholes", "gates", "backward_pass", "lstm_gradient", "gru", "memory_tasks", "long_memory", "sentiment",
    "poetry", "autoregression", "forecasting", "bleu", "encoder_decoder", "seq2seq",
)  # fmt: skip
BUDGET = 360  # seconds of the whole chapter at default scale, on two CPU cores
