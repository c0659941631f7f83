"""Compute the content of the page that compares nine implementations of DeepFool.

A preset of our function imitates each implementation. All presets attack the same networks and
images.
"""

from collections.abc import Iterator
from statistics import fmean

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.published import Version, values
from robustbook.chapters.wording import from_to, seeds_in_words, spread
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
UNCLIPPED = ("authors", "matlab", "python")
"""The implementations that do not clip images to [0, 1]."""
COLUMNS = {"distance": 3, "shown": 3, "fooled": 1, "steps": 2, "backwards": 1}
"""For each measured quantity, the number of digits that the table shows."""


def answer(record: Record) -> str:
    """Return sentences that say when distances by two implementations of DeepFool can be compared.
    The sentences state the range of the mean distances without and with clipping.
    """
    parts = "; ".join(
        f"on the {TITLES[network]} the {len(UNCLIPPED)} presets without clipping find mean "
        f"distances from {_range(record, network, True)}, and the {len(PROGRAMS) - len(UNCLIPPED)} "
        f"with clipping find {_range(record, network, False)} where they succeed"
        for network in networks(record)
    )
    return (
        f"Only if both clip images to [0, 1] or neither does: {parts} "
        f"({seeds_in_words(len(record.seeds))}, {record.parameters['images']} images)."
    )


def attacked(record: Record) -> str:
    """Return a sentence that states the networks, seeds and images of the stored results."""
    shown = " and ".join(TITLES[network] for network in networks(record))
    return (
        f"The stored results are for the {shown}, with {seeds_in_words(len(record.seeds))} and "
        f"{record.parameters['images']} test images."
    )


def failures(record: Record) -> str:
    """Return a sentence with the lowest success rate of an implementation, and the lowest of the
    others.
    """
    parts = []
    for network in networks(record):
        (least, name), (next_least, _), *_ = sorted(
            (fmean(values(record, "fooled", network=network, preset=preset)), title)
            for preset, title in PROGRAMS.items()
        )
        parts.append(
            f"On the {TITLES[network]} the preset {name} succeeds on only {least:.1f} % of the "
            f"images, and every other preset on at least {next_least:.1f} %."
        )
    return " ".join(parts)


def strips(record: Record) -> Figure:
    """Draw the mean distance that each implementation finds, with a mark per seed."""
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
    """Return a table with one row for each combination of implementation and network. The columns
    are two mean distances, the success rate, and the numbers of steps and gradients per image.
    """
    return table(
        f"{version.heading}. *Distance*: the mean distance over correctly classified images on "
        "which the attack succeeds. *Reported*: the mean distance that the implementation itself "
        "reports, which may include misclassified images and failures. *Fooled*: the share of "
        "images on which the attack succeeds (%). Steps and gradients are per image.",
        f"tab-dd-deepfool-{version.tag}",
        ["Implementation", "distance", "reported", "fooled", "steps", "gradients"],
        list(_rows(version.record)),
    )


def _range(record: Record, network: str, unclipped: bool) -> str:
    means = [
        fmean(values(record, "distance", network=network, preset=preset))
        for preset in PROGRAMS
        if (preset in UNCLIPPED) == unclipped
    ]
    return from_to(means, ".3f")


def _rows(record: Record) -> Iterator[list[str]]:
    for network in networks(record):
        for preset, name in PROGRAMS.items():
            cells = (
                spread(values(record, what, network=network, preset=preset), digits)
                for what, digits in COLUMNS.items()
            )
            yield [f"{TITLES[network]}: {name}", *cells]
