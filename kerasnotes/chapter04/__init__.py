"""Chapter 04 · Back-propagation · 反向传播.

How a network learns which weight to blame: the chain rule on a computation graph, the same rule written for whole
layers and used to train a network by hand, and what happens to the gradient on its way back through many layers.
"""

LESSONS = ("chain_rule", "backpropagation", "order_of_steps", "rectifiers", "depth", "tanh_or_sigmoid")
BUDGET = 100  # seconds of the whole chapter at default scale, on two CPU cores
