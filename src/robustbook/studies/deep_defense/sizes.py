"""Define a number that the book's pages state too. This module does not import torch."""

LOOKED = {"mlp": 10_000, "lenet": 2000, "convnet": 1000, "nin": 1000}
"""For each network, the number of test images after each epoch, in all profiles but ``quick``."""
