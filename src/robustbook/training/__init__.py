"""Train networks by a recipe, and return the history of each loss term."""

from .augmentation import Augmentation
from .loop import Fitted, fit
from .recipe import Recipe
from .state import Diverged
from .steps import Objective

__all__ = ["Augmentation", "Diverged", "Fitted", "Objective", "Recipe", "fit"]
