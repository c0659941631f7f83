"""Compute the figures, tables and sentences that the pages of Figures 5 and 8 share.

On both pages L-BFGS attacks ten source images, each with the nine other classes as target classes.
"""

import math
from collections.abc import Iterator
from statistics import fmean

import numpy as np
from jaxtyping import Bool, UInt8
from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.published import benchmark, record_of, values
from robustbook.chapters.wording import listed, spread, spread_or
from robustbook.figures import Table, table
from robustbook.ledger import Record

from .names import COMPARED, MLPS

CLASSES = 10
PAIRS = CLASSES * (CLASSES - 1)
MAIN = "float32"
"""The variant of L-BFGS that decides the verdicts."""
STRAIGHT = "straight line"
"""A search without gradients, for comparison: bisection between the source image and a test image
of the target class.
"""
SEARCHES = {
    MAIN: MAIN,
    "float32, no tolerances": "float32, no tolerances",
    "float64, no tolerances": "float64, no tolerances",
    "float32, in the box": "float32, clipped to [0, 1]",
    STRAIGHT: STRAIGHT,
}
"""The variants of L-BFGS: for each name in the records, the name that the page shows."""


def unbroken(text: str) -> str:
    """Return the text without a line break within L-BFGS."""
    return text.replace("L-BFGS", "L\N{NON-BREAKING HYPHEN}BFGS")


def squares(
    record: Record, method: str
) -> tuple[UInt8[np.ndarray, "k k h w"], Bool[np.ndarray, "k k"]]:
    """Return two arrays for the pairs of a source and a target class: the adversarial images that
    L-BFGS found, and whether L-BFGS succeeded.

    The first axis of each array is the source class, and the second axis is the target class.
    """
    cells = record.arrays[method]
    pixels = len(cells[0][0]) // 2  # of the first source image, which is always stored
    side = math.isqrt(pixels)
    raw = b"".join(bytes.fromhex(cell) or bytes(pixels) for row in cells for cell in row)
    images = np.frombuffer(raw, np.uint8).reshape(CLASSES, CLASSES, side, side)
    return images, np.array([[bool(cell) for cell in row] for row in cells])


def found_images(record: Record) -> Figure:
    """Draw the images that L-BFGS found, as one square grid of images for each network.

    The images are from the main variant of L-BFGS (float32), on which the verdicts are based.
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
    """Return as text one measurement of L-BFGS: its mean over the seeds, followed by its range.

    A measurement is a number of runs, such as the number of successful runs, or a median over runs.
    """
    of = {"network": network, "method": method, "reading": search}
    return spread(values(record, name, **of), 0)


def found(record: Record) -> list[float]:
    """Return for how many pairs L-BFGS succeeds on the saturated sigmoid network, one number per
    seed.
    """
    return values(record, "found", network="sigmoid-mlp", method="saturated", reading=MAIN)


def without_tolerances(record: Record) -> tuple[str, str]:
    """Return two texts: for how many pairs L-BFGS without stopping tolerances succeeds in float32,
    and for how many in float64. The numbers of pairs are for the saturated sigmoid network.
    """
    single, double = (
        count(record, "found", search=f"{precision}, no tolerances")
        for precision in ("float32", "float64")
    )
    return single, double


def implementations() -> str:
    """Return a sentence that states on how many pairs the implementations of L-BFGS in the
    benchmark succeed, on one saturated network.
    """
    found = {
        row["way"].removesuffix(", loop"): row["found"]
        for row in benchmark("lbfgs")["rows"]
        if row["method"] == "saturated" and "alone" not in row["way"]
    }
    return unbroken(
        "The number of pairs also depends on the implementation of L-BFGS. From the least "
        "confident images of one saturated network, "
        + listed(f"{'our own' if k == 'ours' else k} succeeds for {n}" for k, n in found.items())
        + " ([benchmarks](../benchmarks.ipynb))."
    )


def straight(record: Record) -> str:
    """Return sentences on bisection, a search without gradients on the straight line from a source
    image to an image of the target class. The sentences state how far the points that bisection
    finds are from the source images.
    """
    vanilla, saturated = (straight_distances(record, method) for method in COMPARED)
    times = fmean(saturated) / fmean(vanilla)
    return (
        "Bisection on the straight line to the nearest test image of the target class needs no "
        f"gradient, and succeeds for all {PAIRS} pairs. The points that it finds have a median l2 "
        f"distance from the source image of {spread(vanilla)} on the vanilla sigmoid network, and "
        f"of {spread(saturated)} on the saturated one. This is {times:.2f} times as far. (Each "
        "network has its own source images.)"
    )


def straight_distances(record: Record, method: str) -> list[float]:
    """Return the median l2 distance at which bisection finds the target class on a sigmoid network,
    one number per seed.
    """
    of = {"network": "sigmoid-mlp", "reading": STRAIGHT}
    return values(record, "distance, found", method=method, **of)


def bounds() -> Table:
    """Return a table of upper bounds on the distance from a source image to the nearest image that
    the network classifies as the target class. There is one row for each network, and one column
    each for the least and the most confident source images.
    """
    return table(
        "Upper bounds on the l2 distance from the source image to the nearest image that the "
        f"network classifies as the target class. Each bound is the median over {PAIRS} pairs of "
        "the distances that bisection finds; mean (range over the seeds).",
        "tab-lbfgs-bounds",
        ["Network", "From the least confident images", "From the most confident images"],
        [
            [f"sigmoid MLP, {method}", *(spread(_distances(item, method)) for item in CONFIDENCE)]
            for method in COMPARED
        ],
    )


def bounds_in_words() -> str:
    """Return sentences that compare the upper bounds from the most confident source images with
    those from the least confident ones, for both networks.
    """
    texts = []
    for method in COMPARED:
        least, most = (_distances(item, method) for item in CONFIDENCE)
        ahead = sum(b > a for a, b in zip(least, most, strict=True))
        change = 100 * (fmean(most) / fmean(least) - 1)
        texts.append(
            f"{abs(change):.0f} % {'larger' if change > 0 else 'smaller'} on the {method} network "
            f"(larger with {ahead} of {len(most)} seeds)"
        )
    return (
        "We compare the mean of these upper bounds from the most confident images with the mean "
        f"from the least confident ones. It is {', and '.join(texts)}."
    )


CONFIDENCE = ("saturating/figure-5", "saturating/figure-8")
"""The studies that attack the least and the most confident images."""


def _distances(item: str, method: str) -> list[float]:
    return straight_distances(record_of(item), method)


def searches(record: Record) -> Table:
    """Return a table of how the runs of L-BFGS ended, with one row for each combination of network
    and variant of L-BFGS.
    """
    return table(
        unbroken(
            f"How the {PAIRS} runs of L-BFGS ended, with the median number of iterations and the "
            "median distance (l2) of successful and of failed runs; mean over the seeds (range). "
            "*At once*: the number of stalled runs that took no step."
        ),
        f"tab-{record.item}-readings",
        [
            "Network and variant",
            *("found", "stalled", "... at once", "limit"),
            *("iterations, found", "distance, found", "iterations, failed", "distance, failed"),
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
                if search == STRAIGHT:  # bisection always succeeds
                    found["found"] = [float(PAIRS) for _ in found["distance, found"]]
                name = network.removesuffix("-mlp").replace("relu", "ReLU")
                yield [
                    f"{name}, {method}: {title}",
                    *(spread_or(found[end], 0) for end in ends),
                    *(spread_or(found[size]) for size in sizes),
                ]
