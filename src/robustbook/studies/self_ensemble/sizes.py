"""Define the lengths of trainings and attacks, by profile.

The book's pages state these numbers too, so this module does not import torch.
"""

from collections.abc import Mapping

EPOCHS: Mapping[tuple[str, str], int] = {
    ("quick", "vgg16"): 4,
    ("quick", "resnext"): 4,
    ("reduced", "vgg16"): 6,
    ("reduced", "resnext"): 8,
    ("paper", "vgg16"): 12,
    ("paper", "resnext"): 24,
    ("paper", "model-a"): 24,
}
"""The number of training epochs, for each profile and network."""
LENGTHS: Mapping[tuple[str, str], tuple[int, ...]] = {
    ("quick", "vgg16"): (2, 4),
    ("quick", "resnext"): (2, 4),
    ("reduced", "vgg16"): (6, 12, 24),
    ("reduced", "resnext"): (8, 16),
    ("paper", "vgg16"): (12, 24),
    ("paper", "resnext"): (12, 24),
    ("paper", "model-a"): (12, 24, 40),
}
"""The numbers of training epochs that are compared, for each profile and network."""
TRAINING_IMAGES: Mapping[tuple[str, str], int] = {
    ("reduced", "vgg16"): 50_000,
    ("reduced", "resnext"): 20_000,
    ("paper", "vgg16"): 50_000,
    ("paper", "resnext"): 50_000,
    ("paper", "model-a"): 5_000,
}
"""The number of images with which the networks are trained. CIFAR-10 has 50,000 training images,
and STL-10 has 5,000.
"""
STEPS = {"quick": 30, "reduced": 300, "paper": 300}
"""The number of steps of the paper's attack."""
TARGETED_STEPS = {"quick": 40, "reduced": 1000, "paper": 1000}
"""The number of steps of the targeted attack of Table 3."""
AVERAGED = {"quick": 4, "reduced": 10, "paper": 10}
"""The number of noise draws over which PGD averages its loss, on the page on other forms of the
defenses.
"""
