"""The one training loop: networks and a recipe in, weights and each loss term's history out."""

from .loop import Fitted, fit
from .recipe import Recipe
from .state import Diverged
from .steps import Objective

__all__ = ["Diverged", "Fitted", "Objective", "Recipe", "fit"]
