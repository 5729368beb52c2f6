"""In graph attention a node weighs its neighbours, but all nodes agree on who is worth listening to.

A graph convolution weighs neighbours by their degrees. Graph attention computes the weights from the states of both
nodes: it is the attention of sentences, with the edges as its mask. What the reader should see: weights that vanish
where there is no edge, and the mean over neighbours when nothing has been learnt; and a weakness that is easily
overlooked. The node that asks shifts all scores alike, so that one ranking of neighbours holds for every node. With the
nonlinearity in another place, as in additive attention, each node can have a favourite of its own.

Notes: chapter 13, "Graph networks" (图网络).
Source: Veličković et al. 2018, arXiv:1710.10903, equations 1 to 6; Brody, Alon, Yahav 2022, arXiv:2105.14491,
theorems 1 and 2.
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.chapter13.attention import additive_attention, attention_weights
from kerasnotes.chapter13.graph_network import adjacency, aggregate, neighbors
from kerasnotes.parts import floating, layer_seeds, shape, whole

SMOKE = {"networks": 1, "steps": 2, "draws": 5}
SECONDS = 3

LEADERS = (0, 33)  # of the karate club


def graph_attention(h, adjacency, w, a_self, a_neighbor, slope=0.2):
    """One head: each node's new state is a weighted mean of W h over its neighbours and itself.

    The score of node j for node i is LeakyReLU(a_self · W hᵢ + a_neighbor · W hⱼ).

    Args:
        h: States (nodes, features).
        adjacency: Matrix (nodes, nodes) of 0 and 1; row i marks the neighbours of node i. Loops are added.
        w: The matrix W (features, units).
        a_self: Weights of the node that asks (units,).
        a_neighbor: Weights of the node that is asked (units,).
        slope: Slope of LeakyReLU for negative numbers.

    Returns:
        `(output, weights)`: (nodes, units), and (nodes, nodes) with rows that sum to 1, exactly 0 without an edge.

    Raises:
        ValueError: If a shape does not fit.

    Source: Veličković et al. 2018, equations 3 and 4, without the last nonlinearity.
    """
    h = floating("h", h)
    w, a_self, a_neighbor = (
        tf.cast(floating(name, value), h.dtype)
        for name, value in {"w": w, "a_self": a_self, "a_neighbor": a_neighbor}.items()
    )
    seen = neighbors(adjacency)
    shape("w", w, shape("h", h, len(seen), None).shape[1], None)
    shape("a_self", a_self, w.shape[1])
    shape("a_neighbor", a_neighbor, w.shape[1])
    output, weights = _heads(h, seen, w[None], a_self[None], a_neighbor[None], slope)
    return output[0], weights[0]


def _heads(h, seen, w, a_self, a_neighbor, slope):
    """All heads at once: w (heads, features, units), a_self and a_neighbor (heads, units)."""
    states = h @ w  # (heads, nodes, units)
    asks, is_asked = (tf.einsum("hnu,hu->hn", states, a) for a in (a_self, a_neighbor))  # (heads, nodes)
    scores = tf.nn.leaky_relu(asks[:, :, None] + is_asked[:, None, :], slope)  # (heads, nodes, nodes)
    weights = attention_weights(scores, seen | tf.eye(seen.shape[0], dtype=tf.bool))
    return weights @ states, weights


class GraphAttention(keras.layers.Layer):
    """Several heads side by side: `layer(h, adjacency)` for states (nodes, features) gives (nodes, outputs).

    Args:
        units: Units of a head.
        num_heads: Number of heads.
        concat: True puts the heads side by side, num_heads · units outputs; False takes their mean, units outputs.
        activation: As in `keras.layers.Dense`.
        seed: Seed of the initial weights, or None.

    Source: Veličković et al. 2018, equations 5 and 6.
    """

    def __init__(self, units, num_heads, concat=True, activation=None, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.units, self.num_heads = whole("units", units), whole("num_heads", num_heads)
        self.concat, self.activation, self.seed = concat, keras.activations.get(activation), seed

    def build(self, h_shape, adjacency_shape):
        seeds = layer_seeds(self.seed)
        for name, size in (
            ("kernel", (h_shape[-1], self.units)),
            ("a_self", (self.units,)),
            ("a_neighbor", (self.units,)),
        ):
            start = keras.initializers.VarianceScaling(1.0, "fan_avg", "uniform", next(seeds))
            setattr(self, name, self.add_weight(shape=(self.num_heads, *size), initializer=start, name=name))

    def call(self, h, adjacency):
        output, _ = _heads(
            h, tf.cast(adjacency, tf.bool), self.kernel, self.a_self, self.a_neighbor, 0.2
        )  # (heads, nodes, units)
        if self.concat:
            output = tf.reshape(tf.transpose(output, (1, 0, 2)), (-1, self.num_heads * self.units))
        else:
            output = tf.reduce_mean(output, axis=0)
        return self.activation(output)


def build_gat(adjacency, units=8, num_heads=8, classes=2, seed=0):
    """Two layers for one graph: `model(np.eye(nodes))` gives logits (nodes, classes).

    Args:
        adjacency: Matrix (nodes, nodes) of 0 and 1.
        units: Units of each head of the first layer, whose heads stand side by side.
        num_heads: Heads of both layers; the second takes their mean.
        classes: Outputs of the second layer.
        seed: Seed of the initial weights.
    """
    graph, seeds = tf.constant(neighbors(adjacency)), layer_seeds(seed)
    inputs = keras.Input((len(graph),), batch_size=len(graph))
    h = GraphAttention(units, num_heads, activation="elu", seed=next(seeds))(inputs, graph)
    return keras.Model(inputs, GraphAttention(classes, num_heads, concat=False, seed=next(seeds))(h, graph))


def example():
    """Node 1 hears node 0, node 2 and itself; the same weights by Keras's softmax with a mask."""
    path, h = adjacency([[0, 1], [1, 2]], 3), tf.constant([[1.0], [2.0], [-4.0]])
    output, weights = graph_attention(h, path, w=[[1.0]], a_self=[0.5], a_neighbor=[1.0])
    scores = tf.nn.leaky_relu(0.5 * h + tf.transpose(h), 0.2)  # node that asks, node that is asked
    theirs = keras.layers.Softmax()(scores, mask=path + np.eye(3) > 0)
    print("scores of node 1: ", scores[1].numpy())
    print("weights:          ", weights[1].numpy().round(4))
    print("layers.Softmax:   ", theirs[1].numpy().round(4))
    print("new state:        ", output[1].numpy().round(4), "mean of the three:", h.numpy().mean().round(4))
    layer = GraphAttention(units=4, num_heads=2, seed=0)
    print("two heads of four:", layer(h, path).shape)


def lesson(report, *, networks: int = 10, steps: int = 100, draws: int = 50, seed: int = 0):
    """Attention with edges as its mask, one ranking for all, and the karate club once more.

    Args:
        report: The report to write to.
        networks: Networks with different initial weights (1 to 100).
        steps: Training steps of each network (1 to 10000).
        draws: Random graphs and weights for each statement (1 to 1000).
        seed: Seed of graphs and weights (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    _is_attention(report, rng, draws)
    _one_ranking(report, rng, draws)
    _karate_club(report, rng.integers(2**31, size=networks), steps)


def _is_attention(report, rng, draws):
    found = []
    for _ in range(draws):
        graph, h, w = (rng.random((9, 9)) < 0.3).astype(float), rng.normal(size=(9, 4)), rng.normal(size=(4, 3))
        a, states, seen = rng.normal(size=6), h @ w, (graph + np.eye(9)) > 0
        output, weights = graph_attention(h, graph, w, a[:3], a[3:])
        pairs = np.concatenate([np.repeat(states[:, None], 9, 1), np.repeat(states[None], 9, 0)], axis=2)  # [Whᵢ; Whⱼ]
        masked = attention_weights(tf.nn.leaky_relu(pairs @ a, 0.2), seen)
        equal, _ = graph_attention(h, graph, w, 0 * a[:3], 0 * a[3:])
        mean = aggregate(seen.astype(float), states, "mean")
        found.append([np.abs(weights - masked).max(), np.abs(output - masked @ states).max(),
                      np.abs(equal - mean).max(), np.abs(weights.numpy()[~seen]).max(initial=0),
                      np.abs(weights.numpy().sum(axis=1) - 1).max()])  # fmt: skip
    by_pairs, states, mean, outside, total = np.max(found, axis=0)
    report.at_most("weights against masked attention with a · [W hᵢ; W hⱼ]: differ by", by_pairs, 1e-9)
    report.at_most("outputs against masked attention: differ by", states, 1e-9)
    report.check("the largest weight where there is no edge", outside, 0.0, rtol=0, atol=0)
    report.at_most("sums of weights: distance from 1", total, 1e-9)
    report.at_most("with a = 0: differs from the mean over neighbours and itself by", mean, 1e-9)


def _one_ranking(report, rng, draws):
    """All nodes hear all others; how many different orders, from least to most listened to, are there?"""
    everybody, h, rankings, own = np.ones((8, 8)) - np.eye(8), np.eye(8), [], []
    for _ in range(draws):
        w, v, a = rng.normal(size=(8, 8)), rng.normal(size=(8, 8)), rng.normal(size=(2, 8))
        _, weights = graph_attention(h, everybody, w, *a)
        _, additive = additive_attention(h[None], h[None], h[None], a[0], w_query=w, w_key=v)
        rankings.append([len(np.unique(np.argsort(each, axis=1), axis=0)) for each in (weights, additive[0])])
        own.append(np.mean(np.argmax(weights, axis=1) == np.arange(8)))
    report.check("graph attention, eight nodes: rankings of the neighbours", np.max(rankings, axis=0)[0], 1)
    report.at_least("additive attention, eight nodes: rankings of the neighbours", np.min(rankings, axis=0)[1], 2)
    report.at_most("graph attention: share of nodes whose favourite is the one with their own number", own, 1 / 8)
    # Σ -20 tanh(2δ + 2δ'): one unit at 4 costs less than two units at 2, so each node prefers its own key.
    _, looked_up = additive_attention(h[None], h[None], h[None], np.full(8, -20.0), w_query=2 * h, w_key=2 * h)
    own = np.mean(np.argmax(looked_up[0], axis=1) == np.arange(8))
    report.check("additive attention with weights set by hand: the same share", own, 1.0)
    figure, axes = plots.subplots(1, 2, figsize=(9, 4.2))
    titles = ("Graph attention: one favourite", "Additive: one each")
    for ax, shown, title in zip(axes, (weights, looked_up[0]), titles, strict=True):
        plots.heatmap(shown, xlabel="node that is asked", ylabel="node that asks", label="weight", title=title, ax=ax,
                      vmin=0)  # fmt: skip
    report.figure("Who listens to whom", figure,
                  alt="Two matrices of weights, a row for each node that asks. In graph attention the same columns "
                  "are bright in all rows. In additive attention the diagonal is bright.")  # fmt: skip


def _karate_club(report, seeds, steps):
    """As in the lesson on graph convolutions: told the leaders' clubs, say those of the other 32."""
    edges, clubs = data.karate_club()
    club, known = adjacency(edges, 34), np.isin(np.arange(34), LEADERS)
    model, x, right = build_gat(club), np.eye(34, dtype=np.float32), []
    model.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    restart = training.restarter(model)
    for seed in report.track(seeds, "networks"):
        restart(build_gat(club, seed=int(seed)).get_weights())
        training.fit(model, np.tile(x, (steps, 1)), np.tile(clubs, steps), batch_size=34, shuffle=False, form="loop",
                     sample_weight=np.tile(known.astype(np.float32), steps))  # fmt: skip
        right.append(np.sum((model(x).numpy().argmax(axis=1) == clubs)[~known]))
    report.table("karate club: right of the other 32", ["networks", "mean", "worst", "best"],
                 [[len(right), np.mean(right), min(right), max(right)]])  # fmt: skip
    report.at_least("karate club: right of 32, mean of the networks", np.mean(right), 28, trained=True)
    report.note("Graph convolutions, whose weights are fixed by the degrees, are not beaten here: two labels say "
                "little about whom to listen to.")  # fmt: skip
