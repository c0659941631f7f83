"""Draw the accuracy of networks under several attacks, with one panel for each network and one dot
for each seed.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from .style import LOOKS, WIDTH, panels, style

Values = Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]]
"""Accuracies in percent by network, training method and attack; the innermost sequence has one
accuracy for each seed.
"""


TRAININGS = ("vanilla", "adversarial", "saturated")


def readings(
    values: Values,
    names: Mapping[str, str],
    titles: Mapping[str, str],
    printed: Mapping[str, Mapping[str, float]],
    main: str,
) -> Figure:
    """Draw the accuracies ``values``, with a panel for each network, and in it a row for each
    attack.

    ``names`` are the labels of the attacks, and ``titles`` those of the networks. Open markers show
    ``printed[network][training]``, the accuracy that the paper states for the attack ``main``.
    """
    with style():
        height = 0.9 + 0.21 * len(names)
        figure, axes = panels(1, len(titles), width=WIDTH, height=height)
        for axis, network in zip(axes, titles, strict=True):
            for shift, training in zip((-0.22, 0.0, 0.22), TRAININGS, strict=True):
                look = LOOKS[training]
                of = values[network].get(training, {})
                spots = [(x, y + shift) for y, r in enumerate(names) for x in of.get(r, ())]
                if spots:
                    x, y = np.array(spots).T
                    axis.scatter(
                        x, y, s=12, c=look.color, marker=look.marker, linewidths=0, label=training
                    )
                if training in printed.get(network, {}):
                    axis.plot(
                        printed[network][training],
                        list(names).index(main) + shift,
                        linestyle="none",
                        marker="D",
                        markersize=6,
                        markerfacecolor="none",
                        markeredgecolor="black",
                        label="the paper" if shift > 0 else None,
                    )
            axis.set(xlim=(-4, 104), ylim=(len(names) - 0.5, -0.5), title=titles[network])
            axis.set_yticks(range(len(names)), list(names.values()) if axis is axes[0] else [])
            axis.set_xticks([0, 25, 50, 75, 100])
            axis.grid(True)
        axes[len(axes) // 2].set_xlabel("correctly classified (%)")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=4)
    return figure
