"""Train a network as a `Recipe` says, and return the mean of each loss term in each epoch."""

from .augmentation import Augmentation
from .loop import Fitted, fit
from .recipe import Recipe
from .state import Diverged
from .steps import Objective

__all__ = ["Augmentation", "Diverged", "Fitted", "Objective", "Recipe", "fit"]
