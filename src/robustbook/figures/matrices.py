"""Draw dissimilarity matrices as heat maps, with one row per network and one column per layer.

The heat maps follow Figures 3 and 7 of Nayebi & Ganguli 2017, whose colour scales we could not
read.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from .style import WIDTH, panels, style


def unfold(lower: Sequence[float]) -> Float[np.ndarray, "n n"]:
    """Return the symmetric matrix whose lower triangle, including the diagonal, is the list
    ``lower``, row by row.
    """
    n = round((np.sqrt(8 * len(lower) + 1) - 1) / 2)
    matrix = np.zeros((n, n))
    rows, columns = np.tril_indices(n)
    matrix[rows, columns] = matrix[columns, rows] = lower
    return matrix


def matrices(
    rows: Mapping[str, Mapping[str, Float[np.ndarray, "n n"]]],
    *,
    classes: Sequence[str],
    scale: str,
    shared: bool = True,
    decades: int | None = None,
) -> Figure:
    """Draw the square matrices ``rows[network][layer]``, whose rows and columns stand for images.
    The images are sorted by class, and each of the ``classes`` has equally many images.

    If ``shared``, all panels have one colour scale, from 0 to the largest value of all panels, and
    a colour bar with the label ``scale``. Otherwise the scale of each panel ends at its own largest
    value, which is written above it. With ``decades``, the shared scale is logarithmic, from
    10^-decades times the largest value to the largest value. Smaller values have the colour of the
    lower end of the scale.
    """
    columns = len(next(iter(rows.values())))
    top = max(float(m.max()) for row in rows.values() for m in row.values())
    with style():
        side = (WIDTH - 1.2 if shared else WIDTH) / columns  # inches; the colour bar needs space
        figure, axes = panels(
            len(rows), columns, width=WIDTH, height=(0.6 if shared else 0.9) + side * len(rows)
        )
        for i, (network, layers) in enumerate(rows.items()):
            for j, (layer, matrix) in enumerate(layers.items()):
                axis = axes[i * columns + j]
                norm = Normalize(0, top if shared else float(matrix.max()))
                if shared and decades:
                    norm = LogNorm(top / 10**decades, top, clip=True)
                image = axis.imshow(
                    matrix,
                    cmap="viridis",
                    norm=norm,
                    interpolation="none",  # do not blur pixels, also in an SVG
                )
                size = len(matrix) / len(classes)
                middles = [size * (k + 0.5) - 0.5 for k in range(len(classes))]
                axis.set_xticks(middles, classes if i == len(rows) - 1 else [], fontsize=8)
                axis.set_yticks(middles, classes if j == 0 else [], fontsize=8)
                axis.tick_params(length=0)
                axis.spines[:].set_visible(False)
                title = [layer] if i == 0 or not shared else []
                if not shared:
                    title.append(f"dark 0, bright {float(f'{matrix.max():.3g}'):,g}")
                axis.set_title("\n".join(title), fontsize=9)
                if j == 0:
                    axis.set_ylabel(f"{network}\nclass of the image", fontsize=9)
                if i == len(rows) - 1:
                    axis.set_xlabel("class of the image", fontsize=9)
        if shared:
            bar = figure.colorbar(
                image, ax=axes, shrink=0.8, pad=0.02, extend="min" if decades else "neither"
            )
            bar.set_label(scale)
    return figure
