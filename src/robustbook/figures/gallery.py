"""Draw targeted perturbations of one colour image, with a row per defense and a column per target
class.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure

from .style import WIDTH, style

GAP = 3  # pixels between pictures


def gallery(
    image: UInt8[np.ndarray, "h w 3"],
    rows: Mapping[str, UInt8[np.ndarray, "k h w 3"]],
    columns: Sequence[str],
    words: str,
) -> Figure:
    """Draw the original image on the left, and to its right a row of pictures for each entry of
    ``rows``.

    ``words``: the text below the original image.

    Raises ValueError for a row that does not have one picture per column.
    """
    for name, pictures in rows.items():
        if len(pictures) != len(columns):
            raise ValueError(
                f"rows must have a picture for each of the {len(columns)} columns, "
                f"got {len(pictures)} in row {name}"
            )
    h, w, _ = image.shape
    k, n = len(columns), len(rows)
    page = np.full((n, h + GAP, k, w + GAP, 3), 255, np.uint8)
    for row, pictures in zip(page, rows.values(), strict=True):
        row[GAP // 2 : GAP // 2 + h, :, GAP // 2 : GAP // 2 + w] = pictures.transpose(1, 0, 2, 3)
    with style():
        figure = Figure(figsize=(WIDTH, 0.6 * n + 0.5), layout="constrained")
        first, axis = figure.subplots(1, 2, width_ratios=(1, 6))
        first.imshow(image)
        first.set_xlabel(words)
        axis.imshow(
            page.reshape(n * (h + GAP), k * (w + GAP), 3), extent=(-0.5, k - 0.5, n - 0.5, -0.5)
        )
        axis.set_aspect("equal")
        axis.set_xticks(range(k), columns)
        axis.set_yticks(range(n), list(rows))
        axis.xaxis.tick_top()
        axis.tick_params(length=0)
        first.set_xticks([])
        first.set_yticks([])
        for each in (first, axis):
            for spine in each.spines.values():
                spine.set_visible(False)
    return figure
