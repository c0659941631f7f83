"""Define for each profile how long the fully connected networks are trained, and how long Adam
attacks them.

The book's pages state these numbers too, so this module does not import torch.
"""

from collections.abc import Mapping

EPOCH = {"quick": 43, "paper": 937}
"""The number of optimiser steps per epoch."""
EPOCHS = {"quick": 5, "paper": 10}
"""The number of epochs of the vanilla and of the adversarially trained networks."""
LONGEST = {"sigmoid-mlp": 100, "relu-mlp": 404}
"""The largest number of epochs of the vanilla networks that are trained for longer."""
ANNEALS: Mapping[str, Mapping[str, tuple[int, float, int, int]]] = {
    "quick": {"sigmoid-mlp": (60, 0.005, 348, 2), "relu-mlp": (60, 3.99e-10, 100, 4)},
    # Section 4: lambda rises to 1.74 by 0.001 (sigmoid), and to 3.99e-8 by 1e-10 (ReLU).
    "paper": {"sigmoid-mlp": (5 * 937, 0.001, 1740, 937), "relu-mlp": (5 * 937, 1e-10, 399, 937)},
}
"""How the weight lambda of the saturated networks' penalty rises: the four fields of `Anneal`."""
STRONGER = {"quick": 1, "paper": 10}
"""The number of optimiser steps per rise of lambda for the ReLU network with a stronger penalty."""
ADAM_STEPS = {"quick": 300, "paper": 1_000_000}
"""The largest number of steps that Adam takes; a reader can choose fewer."""
