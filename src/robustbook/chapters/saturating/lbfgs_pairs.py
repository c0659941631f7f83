"""What the pages of Figures 5 and 8 share: L-BFGS from ten images towards nine classes each."""

import math
from collections.abc import Iterator

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
"""The search that the verdicts are on."""
STRAIGHT = "straight line"
"""The control: no search and no gradient."""
SEARCHES = {
    MAIN: MAIN,
    "float32, no tolerances": "float32, no tolerances",
    "float64, no tolerances": "float64, no tolerances",
    "float32, in the box": "float32, clipped to [0, 1]",
    STRAIGHT: STRAIGHT,
}
"""Each search of a record, to its name on the page."""


def squares(
    record: Record, method: str
) -> tuple[UInt8[np.ndarray, "k k h w"], Bool[np.ndarray, "k k"]]:
    """The images of a record, by source and target class, and which of them there are."""
    cells = record.arrays[method]
    pixels = len(cells[0][0]) // 2  # of the first source, which there always is
    side = math.isqrt(pixels)
    raw = b"".join(bytes.fromhex(cell) or bytes(pixels) for row in cells for cell in row)
    images = np.frombuffer(raw, np.uint8).reshape(CLASSES, CLASSES, side, side)
    return images, np.array([[bool(cell) for cell in row] for row in cells])


def found_images(record: Record) -> Figure:
    """The images that the main search found, a square per network."""
    return figures.grid(
        {f"{method.capitalize()} network": squares(record, method) for method in COMPARED}
    )


def count(record: Record, name: str, method: str = "saturated", search: str = MAIN) -> str:
    """How many of the sigmoid network's searches ended so, or took so long; over the seeds."""
    of = {"network": "sigmoid-mlp", "method": method, "reading": search}
    return spread(values(record, name, **of), 0)


def searches(record: Record) -> Table:
    """How the searches ended, for each network and way of searching."""
    return table(
        "How the 90 searches ended, and the median number of iterations and distance (l2) of those "
        "that found an image and those that did not; mean over the seeds (range).",
        f"tab-{record.item}-readings",
        [
            "Network and reading",
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
