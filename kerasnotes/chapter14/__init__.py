"""Chapter 14 · Self-supervision · 自监督学习.

A text teaches by itself: what comes next, and what stands in a gap. Pieces of words, models that predict them, what a
trained start is worth, many experts of which one works at a time, and a layer that is cut over several devices.
"""

LESSONS = (
    "subwords",
    "sampling",
    "gpt",
    "gpt_on_a_novel",
    "masked_words",
    "known_texts",
    "masked_language_model",
    "bert",
    "next_sentence",
    "elmo",
    "t5",
    "switch",
    "divided_vocabulary",
    "model_parallel",
)
BUDGET = 240  # seconds of the whole chapter at default scale, on two CPU cores
