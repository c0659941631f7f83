"""Measure the robustness, the weights, the layers and the geometry of a network, and look for signs
of overstated robustness.
"""

from robustbook.diagnosis import Finding, diagnose
from robustbook.pearson import Intensity, expected_ratio

from .answers import logits_of, predict
from .certificate import certified, lower_limit, votes
from .curvature import Curvature, curvature
from .evidence import battery, evidence
from .features import feature_maps, feature_noise
from .geometry import (
    Walk,
    fisher_distance,
    jacobian,
    length_element,
    resolve,
    straight_path,
    walk,
)
from .minimal import Strike, smallest, surviving
from .prototypes import epsilon_min, pearson_vii, resampled, scaled_ratio, unit
from .representations import Activity, activity, class_means, dissimilarity, preactivations
from .robustness import Attack, Survival, gradient_sizes, median_lead, strike, survival
from .single_step import accuracy_along, eps_leaving, gradient_signs
from .views import bypassed, rescaled, softened
from .weights import Histogram, excess_kurtosis, histogram, layer_weights

__all__ = [
    "Activity",
    "Attack",
    "Curvature",
    "Finding",
    "Histogram",
    "Intensity",
    "Strike",
    "Survival",
    "Walk",
    "accuracy_along",
    "activity",
    "battery",
    "bypassed",
    "certified",
    "class_means",
    "curvature",
    "diagnose",
    "dissimilarity",
    "eps_leaving",
    "epsilon_min",
    "evidence",
    "excess_kurtosis",
    "expected_ratio",
    "feature_maps",
    "feature_noise",
    "fisher_distance",
    "gradient_signs",
    "gradient_sizes",
    "histogram",
    "jacobian",
    "layer_weights",
    "length_element",
    "logits_of",
    "lower_limit",
    "median_lead",
    "pearson_vii",
    "preactivations",
    "predict",
    "resampled",
    "rescaled",
    "resolve",
    "scaled_ratio",
    "smallest",
    "softened",
    "straight_path",
    "strike",
    "survival",
    "surviving",
    "unit",
    "votes",
    "walk",
]
