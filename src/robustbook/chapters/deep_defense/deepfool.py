"""Compute the content of the page that compares nine implementations of DeepFool.

All implementations attack the same networks and images.
"""

from collections.abc import Iterator
from statistics import fmean

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.published import Version, values
from robustbook.chapters.wording import spread
from robustbook.figures import Table, table
from robustbook.ledger import Record

from .names import TITLES, networks

PROGRAMS = {
    "authors": "Deep Defense's code",
    "matlab": "DeepFool, Matlab",
    "python": "DeepFool, Python",
    "foolbox": "foolbox",
    "art": "ART",
    "torchattacks": "torchattacks",
    "adversarial_library": "adversarial-library",
    "ours": "ours",
    "free": "ours, only pixels free to move",
}
COLUMNS = {"distance": 3, "shown": 3, "fooled": 1, "steps": 2, "backwards": 1}
"""For each measured quantity, the number of digits that the table shows."""


def answer(record: Record) -> str:
    """Return a sentence that states for each network which implementation of DeepFool finds the
    smallest mean distance, and which the largest.
    """
    parts = "; ".join(_range(record, network) for network in networks(record))
    return (
        f"Only with care: on the same images and the same network, {len(PROGRAMS)} implementations "
        f"of DeepFool find mean distances {parts}."
    )


def strips(record: Record) -> Figure:
    """Draw the mean distance that each implementation finds, with a dot per seed."""
    found = {
        TITLES[network]: {
            name: {"distance": values(record, "distance", network=network, preset=preset)}
            for preset, name in PROGRAMS.items()
        }
        for network in networks(record)
    }
    looks = {"distance": figures.LOOKS["reference"]}
    return figures.strips(found, looks, r"mean $\ell_2$ perturbation")


def programs(version: Version) -> Table:
    """Return a table with one row for each pair of an implementation and a network. The columns are
    two mean distances, the success rate, and the numbers of steps and gradients per image.
    """
    return table(
        f"{version.heading}. *Distance*: the mean distance over correctly classified images on "
        "which the attack succeeds. *Shown*: the mean distance that the implementation itself "
        "reports, which may include misclassified images and failures. *Fooled*: the share of "
        "images on which the attack succeeds (%). Steps and gradients are per image.",
        f"tab-dd-deepfool-{version.tag}",
        ["Implementation", "distance", "shown", "fooled", "steps", "gradients"],
        list(_rows(version.record)),
    )


def _range(record: Record, network: str) -> str:
    means = {
        name: fmean(values(record, "distance", network=network, preset=preset))
        for preset, name in PROGRAMS.items()
    }
    low, high = (end(means, key=lambda name: means[name]) for end in (min, max))
    return f"from {means[low]:.3f} ({low}) to {means[high]:.3f} ({high}) on the {TITLES[network]}"


def _rows(record: Record) -> Iterator[list[str]]:
    for network in networks(record):
        for preset, name in PROGRAMS.items():
            cells = (
                spread(values(record, what, network=network, preset=preset), digits)
                for what, digits in COLUMNS.items()
            )
            yield [f"{TITLES[network]}: {name}", *cells]
