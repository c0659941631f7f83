"""Draw square grids of images with one row per source class and one column per target class; a red
cross marks a missing image.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, UInt8
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .style import BRIGHT, HALF, WIDTH, panels, style

GAP = 2  # pixels between images


def grid(
    squares: Mapping[str, tuple[UInt8[np.ndarray, "k k h w"], Bool[np.ndarray, "k k"]]],
) -> Figure:
    """Draw square grids of images side by side, labelled with the letters A, B and so on. Frames
    mark the images on the diagonal, where the source class equals the target class.

    ``squares``: a dictionary from the title of each grid to its images (source class, target class,
        height, width) and a boolean array that is False where an image is missing.

    Raises ValueError for images that are not bytes, because images in [0, 1] would all be black.
    """
    for title, (images, _) in squares.items():
        if images.dtype != np.uint8:
            raise ValueError(f"images of {title} must be bytes (uint8), got {images.dtype}")
    with style():
        figure, axes = panels(1, len(squares), width=WIDTH, height=HALF + 0.45)
        for letter, axis, (title, (images, there)) in zip(
            "ABCD", axes, squares.items(), strict=False
        ):
            k, _, h, w = images.shape
            page = np.full((k, h + GAP, k, w + GAP), 255, np.uint8)
            shown = np.where(there[:, :, None, None], images, 225)
            page[:, GAP // 2 : GAP // 2 + h, :, GAP // 2 : GAP // 2 + w] = shown.transpose(
                0, 2, 1, 3
            )
            extent = (-0.5, k - 0.5, k - 0.5, -0.5)  # the image of class c is centred at c
            axis.imshow(page.reshape(k * (h + GAP), k * (w + GAP)), vmin=0, vmax=255, extent=extent)
            rows, columns = np.nonzero(~there)
            axis.plot(columns, rows, "x", color=BRIGHT["red"], markersize=9, markeredgewidth=2)
            for c in range(k):
                axis.add_patch(
                    Rectangle((c - 0.5, c - 0.5), 1, 1, fill=False, color=BRIGHT["cyan"], lw=1.5)
                )
            axis.set(xlabel="target class", title=f"{letter}  {title}")
            axis.set_xticks(range(k))
            axis.set_yticks(range(k))
            axis.tick_params(length=0)
            for spine in axis.spines.values():
                spine.set_visible(False)
        axes[0].set_ylabel("source class")
    return figure
