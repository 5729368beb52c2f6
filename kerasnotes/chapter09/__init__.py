"""Chapter 09 · LSTM and GRU · 长短期记忆与门控循环单元.

Gates that decide what is kept, written and read: how they carry a gradient over a hundred steps, and what they do with
reviews, Tang quatrains, sunspots and translations.
"""

LESSONS = ("lstm", "lstm_gradient", "gru", "long_memory", "sentiment", "poetry", "forecasting", "seq2seq")
