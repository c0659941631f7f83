"""Draw a network's convolutions in a row, each with the noise layer in front of it."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch

from .style import BRIGHT, WIDTH, style

STEP, TALL = 0.5, 0.85  # inches: distance of convolutions, height of a row


def noise_layers(rows: Mapping[str, Sequence[float]]) -> Figure:
    """Draw a row for each network, with the standard deviation of the noise before each
    convolution.

    The highest standard deviation of a row is red; the others are green.
    """
    longest = max(len(sigmas) for sigmas in rows.values())
    height = TALL * len(rows) + 0.1
    with style():
        figure = Figure(figsize=(WIDTH, height))
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(0, height))
        axes.axis("off")
        step = min(STEP, (WIDTH - 0.4) / longest)
        for i, (title, sigmas) in enumerate(rows.items()):
            y = height - TALL * i - 0.6
            axes.text(0.1, y + 0.3, title, size=9, va="bottom")
            axes.plot([0.1, 0.1 + step * len(sigmas) + 0.2], [y, y], color="0.6", zorder=1)
            for place, sigma in enumerate(sigmas):
                x = 0.25 + step * place
                color = BRIGHT["red" if sigma == max(sigmas) else "green"]
                axes.add_patch(Circle((x, y), 0.1, facecolor=color, zorder=2))
                axes.text(x, y - 0.13, f"{sigma:g}", size=7, ha="center", va="top")
                box = FancyBboxPatch(
                    (x + 0.16, y - 0.12),
                    0.14,
                    0.24,
                    boxstyle="round,pad=0.02",
                    facecolor=BRIGHT["blue"],
                    edgecolor="none",
                    zorder=2,
                )
                axes.add_patch(box)
                number = str(place + 1)
                axes.text(x + 0.23, y, number, size=7, color="white", ha="center", va="center")
    return figure
