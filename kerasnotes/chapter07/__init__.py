"""Chapter 07 · Classic convolutional networks · 经典卷积神经网络.

From LeNet-5 to DenseNet: the published networks at full size, and small siblings from the same code, trained on a
laptop.
"""

LESSONS = (
    "conv_pool",
    "lenet_1998",
    "lenet",
    "features",
    "local_response",
    "alexnet",
    "vgg",
    "inception",
    "googlenet",
    "residual_block",
    "resnet",
    "dense_block",
    "densenet",
    "highway",
    "comparison",
    "hand_made_features",
    "detection",
    "window_search",
    "proposals",
    "faster_rcnn",
    "triplet",
)
BUDGET = 450  # seconds of the whole chapter at default scale, on two CPU cores
