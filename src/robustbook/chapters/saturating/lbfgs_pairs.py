"""Compute what the pages of Figures 5 and 8 share: L-BFGS from ten images to nine other classes
each.
"""

import math
from collections.abc import Iterator
from statistics import fmean

import numpy as np
from jaxtyping import Bool, UInt8
from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.published import values
from robustbook.chapters.wording import spread, spread_or
from robustbook.figures import Table, table
from robustbook.ledger import Record

from .names import COMPARED, MLPS

CLASSES = 10
PAIRS = CLASSES * (CLASSES - 1)
MAIN = "float32"
"""The variant of L-BFGS that the verdicts judge."""
STRAIGHT = "straight line"
"""A method without gradients, for comparison: bisection between the source image and a
test image.
"""
SEARCHES = {
    MAIN: MAIN,
    "float32, no tolerances": "float32, no tolerances",
    "float64, no tolerances": "float64, no tolerances",
    "float32, in the box": "float32, clipped to [0, 1]",
    STRAIGHT: STRAIGHT,
}
"""The variants of L-BFGS by their names in the records, with their names on the page."""


def squares(
    record: Record, method: str
) -> tuple[UInt8[np.ndarray, "k k h w"], Bool[np.ndarray, "k k"]]:
    """Return the images that L-BFGS found, by source and target class, and for which pairs L-BFGS
    found an image.
    """
    cells = record.arrays[method]
    pixels = len(cells[0][0]) // 2  # of the first source, which there always is
    side = math.isqrt(pixels)
    raw = b"".join(bytes.fromhex(cell) or bytes(pixels) for row in cells for cell in row)
    images = np.frombuffer(raw, np.uint8).reshape(CLASSES, CLASSES, side, side)
    return images, np.array([[bool(cell) for cell in row] for row in cells])


def found_images(record: Record) -> Figure:
    """Draw the images that L-BFGS found in the variant that decides the verdicts, with a square of
    images per network.
    """
    return figures.grid(
        {f"{method.capitalize()} network": squares(record, method) for method in COMPARED}
    )


def count(
    record: Record,
    name: str,
    method: str = "saturated",
    search: str = MAIN,
    network: str = "sigmoid-mlp",
) -> str:
    """Return a count or a median over the 90 runs of L-BFGS, such as ``found``, as mean and range
    over seeds.
    """
    of = {"network": network, "method": method, "reading": search}
    return spread(values(record, name, **of), 0)


def without_tolerances(record: Record) -> tuple[str, str]:
    """Return how often L-BFGS without tolerances succeeds on the saturated network, in float32 and
    in float64.
    """
    single, double = (
        count(record, "found", search=f"{precision}, no tolerances")
        for precision in ("float32", "float64")
    )
    return single, double


def straight(record: Record) -> str:
    """Return at which distance along a straight line the network predicts the target class."""
    of = {"network": "sigmoid-mlp", "reading": STRAIGHT}
    vanilla, saturated = (
        values(record, "distance, found", method=method, **of) for method in COMPARED
    )
    times = fmean(saturated) / fmean(vanilla)
    return (
        "The straight line to the nearest test image of the target class, which needs no gradient, "
        f"reaches the target class for all {PAIRS} pairs. The median distance (l2) at which it "
        f"does so is {spread(vanilla)} on the vanilla sigmoid network and {spread(saturated)} on "
        f"the saturated one, which is {times:.2f} times as far."
    )


def searches(record: Record) -> Table:
    """Return how the runs of L-BFGS ended, for each network and variant."""
    return table(
        f"How the {PAIRS} runs of L-BFGS ended, with the median number of iterations and the "
        "median distance (l2) of successful and of failed runs; mean over the seeds (range). *At "
        "once* counts the stalled runs that took no step.",
        f"tab-{record.item}-readings",
        [
            "Network and search",
            *("found", "stalled", "... at once", "limit"),
            *("iterations, found", "distance", "iterations, failed", "distance"),
        ],
        list(_search_rows(record)),
    )


def _search_rows(record: Record) -> Iterator[list[str]]:
    ends = ("found", "stalled", "stalled at once", "limit")
    sizes = ("iterations, found", "distance, found", "iterations, failed", "distance, failed")
    for network in MLPS:
        for method in COMPARED:
            for search, title in SEARCHES.items():
                of = {"network": network, "method": method, "reading": search}
                found = {name: values(record, name, **of) for name in (*ends, *sizes)}
                if not any(found.values()):
                    continue
                if search == STRAIGHT:  # it always arrives
                    found["found"] = [float(PAIRS) for _ in found["distance, found"]]
                name = network.removesuffix("-mlp").replace("relu", "ReLU")
                yield [
                    f"{name}, {method}: {title}",
                    *(spread_or(found[end], 0) for end in ends),
                    *(spread_or(found[size]) for size in sizes),
                ]
