"""Chapter 01 · Introduction: tensors and tools · 引言.

The objects that every later chapter uses, for readers who come from NumPy or PyTorch: tensors, gradients, batches and
devices.
"""

LESSONS = ("equivalents", "tensors", "autodiff", "pipelines", "devices")
BUDGET = 10  # seconds of the whole chapter at default scale, on two CPU cores
