"""What is computed from a network: robustness, and whether a measurement of it can be believed."""

from .diagnose import Evidence, Finding, diagnose
from .robustness import Attack, Survival, gradient_sizes, median_lead, predict, survival
from .views import rescaled, softened

__all__ = [
    "Attack",
    "Evidence",
    "Finding",
    "Survival",
    "diagnose",
    "gradient_sizes",
    "median_lead",
    "predict",
    "rescaled",
    "softened",
    "survival",
]
