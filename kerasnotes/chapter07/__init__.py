"""Chapter 07 · Classic convolutional networks · 经典卷积神经网络.

From LeNet-5 to DenseNet: the published networks at full size, and small siblings from the same code, trained on a
laptop.
"""

LESSONS = ("lenet", "alexnet", "vgg", "googlenet", "resnet", "densenet", "highway", "comparison")
BUDGET = 300  # seconds of the whole chapter at default scale, on two CPU cores
