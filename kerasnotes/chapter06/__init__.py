"""Chapter 06 · Convolutional networks · 卷积神经网络.

One small set of weights, slid over the whole picture: convolution forwards and backwards, pooling, normalization by the
batch, and how much of the picture a unit sees.
"""

LESSONS = (
    "padding",
    "convolution",
    "equivariance",
    "convolution_gradient",
    "upsampling",
    "adaptive_pooling",
    "pooling",
    "subsampling",
    "shift_tolerance",
    "normalization_gradient",
    "batch_norm",
    "scanning",
    "receptive_field",
    "affine_grid",
    "sampling_slope",
    "spatial_transformer",
)
BUDGET = 80  # seconds of the whole chapter at default scale, on two CPU cores
