"""Chapter 13 · Attention, graphs and Transformers · 注意力、图网络与Transformer.

Attention asks all places at once and weighs the answers. Heads, positions, masks and blocks make a Transformer of it,
which translates the sentences of chapter 09; the same weighing serves pictures, and nodes of a graph.
"""

LESSONS = (
    "attention", "sliding_window", "multi_head", "positional_encoding", "convolution_as_attention",
    "transformer_block", "rank_collapse", "transformer", "beam_search", "translation", "exposure_bias",
    "copy_mechanism", "parallel_decoding", "non_autoregressive", "insertion_deletion", "image_attention",
    "attention_pooling", "graph_network", "graph_convolution", "graph_attention", "multi_label",
)  # fmt: skip
BUDGET = 242  # seconds of the whole chapter at default scale, on two CPU cores
