"""Read the points of Figure 6 of Random Self-Ensemble from a file of the authors' repository.

The file lists the accuracy at 17 values of c for each of three networks and five defenses. It also
lists the five numbers in the row RSE of Table 2. The authors measured these numbers separately, so
they differ from VGG16's points in the figure.
"""

import csv
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from robustbook.studies.shortened import reaches

FILE = Path(__file__).resolve().parents[4] / "book" / "targets" / "random-self-ensemble-figure6.csv"
NETWORKS = {"Model A": "model-a", "VGG16": "vgg16", "ResNeXt29-2x64d": "resnext"}
DEFENSES = {"plain": "none", "adv": "adv", "brelu": "brelu", "dd": "distill", "rse": "rse"}
Points = Mapping[float, tuple[float, float]]
"""The accuracy in percent and the distortion for each c; c = 0 stands for clean images."""


def shorter(network: str, defense: str, clean: float | int) -> str:
    """Return how our training of a network differs from the authors', or "" if our training counts
    as theirs.

    All our trainings are shorter than the authors'. A training counts as theirs if the accuracy
    ``clean`` of the network on clean images, in percent, reaches theirs (see `reaches`). It
    also counts if the authors' accuracy is not known.
    """
    if (network, defense) not in points():
        return ""
    theirs, _ = points()[network, defense][0.0]
    if reaches(clean, theirs):
        return ""
    return (
        "our training is shorter than the authors', and its accuracy on clean images is "
        f"{clean:.1f} %, not {theirs:.1f} %"
    )


@cache
def points() -> Mapping[tuple[str, str], Points]:
    """Return for each pair (network, defense) the authors' accuracy and distortion at each c."""
    found: dict[tuple[str, str], dict[float, tuple[float, float]]] = {}
    with FILE.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["origin"] == "repository":
                key = NETWORKS[row["network"]], DEFENSES[row["defense"]]
                at = 100 * float(row["accuracy"]), float(row["rms_l2_distortion"])
                found.setdefault(key, {})[float(row["c"])] = at
    return found
