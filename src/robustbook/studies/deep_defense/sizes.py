"""Define numbers that the book's pages state too. This module does not import torch."""

LOOKED = {"mlp": 10_000, "lenet": 2000, "convnet": 1000, "nin": 1000}
"""For each network, the number of test images after each epoch, in all profiles but ``quick``."""
STEPS = {"mlp": 600, "lenet": 600, "convnet": 200, "nin": 100}
"""For each network, the number of training steps in an epoch of fine-tuning, in the profile whose
results are stored: ``paper`` on MNIST, ``reduced`` on CIFAR-10.
"""
