"""Draw how an iterative attack moves an image towards a target class: the distance and the
probability of the target class.

The figure has a column for each source image. The curves of a column show the attacks on this image
at each measured iteration. The axes are logarithmic, because the images change less and less. Below
the curves are the source image and the last image of each attack.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from .style import BRIGHT, WIDTH, panels, style


@dataclass(frozen=True, eq=False)
class Trail:
    """The measurements of one attack on an image, which we call a descent.

    ``iterations``: the iterations at which the attack was measured. At each of these iterations,
        ``moved`` is the mean absolute change of a pixel, and ``loss`` is the cross entropy for the
        target class, in nats.

    ``image``: the last image of the descent.
    ``reached``: whether the network predicts the target class for the last image.
    """

    iterations: Sequence[float]
    moved: Sequence[float]
    loss: Sequence[float]
    image: Float[np.ndarray, "h w"]
    reached: bool


def descent(
    descents: Mapping[str, Mapping[str, Trail]], starts: Mapping[str, Float[np.ndarray, "h w"]]
) -> Figure:
    """Draw the descents ``descents[source][label]``, which start at the images ``starts[source]``.

    A curve ends in a circle if the network predicts the target class for the last image, and in a
    red X if not. Pixels are clipped to [0, 1] for display. Raises ValueError for images stored as
    bytes (0..255), which would be drawn all white.
    """
    looks = {label: (BRIGHT[c], dash) for label, c, dash in _looks(descents)}
    with style():
        columns = len(descents)
        figure, axes = panels(3, columns, width=WIDTH, height=5.8)
        if grid := axes[0].get_gridspec():
            grid.set_height_ratios([1, 1, 0.75])
        for column, (source, trails) in enumerate(descents.items()):
            far, likely, pictures = axes[column::columns]
            if column:
                far.sharey(axes[0])
                likely.sharey(axes[columns])
            for label, trail in trails.items():
                color, dash = looks[label]
                keep = np.array(trail.iterations) >= 1  # logarithmic axes cannot show iteration 0
                at = np.array(trail.iterations)[keep]
                for axis, values in (
                    (far, np.array(trail.moved)[keep]),
                    (likely, -np.array(trail.loss)[keep] / log(10)),
                ):
                    axis.plot(at, values, color=color, linestyle=dash, label=label)
                    axis.plot(
                        at[-1:],
                        values[-1:],
                        linestyle="none",
                        marker="o" if trail.reached else "X",
                        markersize=8,
                        markerfacecolor="white" if trail.reached else BRIGHT["red"],
                        markeredgecolor=color if trail.reached else BRIGHT["red"],
                    )
            far.set(title=source, xscale="log", yscale="log")
            likely.set(xscale="log", xlabel="steps")
            far.grid(True)
            likely.grid(True)
            shown = {"start": starts[source]} | {k: t.image for k, t in trails.items()}
            pictures.axis("off")
            for place, (label, image) in enumerate(shown.items()):
                if np.asarray(image).dtype == np.uint8:
                    raise ValueError(f"the image of {label} must be in [0, 1], got bytes")
                inset = pictures.inset_axes((place / len(shown), 0, 0.96 / len(shown), 0.85))
                inset.imshow(image, vmin=0, vmax=1)
                inset.set(title=label, xticks=[], yticks=[])
        axes[0].set_ylabel("mean change of a pixel")
        axes[columns].set_ylabel("log10 of target's\nprobability")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    return figure


def _looks(descents: Mapping[str, Mapping[str, Trail]]) -> list[tuple[str, str, str]]:
    labels = list(dict.fromkeys(label for trails in descents.values() for label in trails))
    return list(zip(labels, ("blue", "yellow", "purple"), ("-", "--", ":"), strict=False))
