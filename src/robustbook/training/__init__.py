"""The one training loop: networks and a recipe in, weights and each loss term's history out."""

from .augmentation import Augmentation
from .loop import Fitted, fit
from .recipe import Recipe
from .state import Diverged
from .steps import Objective

__all__ = ["Augmentation", "Diverged", "Fitted", "Objective", "Recipe", "fit"]
