"""Draw the accuracy of networks under several attacks, with one panel for each network and one dot
for each seed.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from .style import LOOKS, WIDTH, panels, style, width_of

Values = Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]]
"""Accuracies in percent, one for each seed, by three keys: the network, the training method and the
attack.
"""


TRAININGS = ("vanilla", "adversarial", "saturated")


def readings(
    values: Values,
    names: Mapping[str, str],
    titles: Mapping[str, str],
    printed: Mapping[str, Mapping[str, float]],
    printed_name: str,
    *,
    stacked: bool = False,
) -> Figure:
    """Draw the accuracies ``values``, with a panel for each network, and in it a row for each
    attack.

    ``names`` are the labels of the attacks, and ``titles`` are the labels of the networks. Open
    diamonds in the first row show ``printed[network][training]``, the accuracies that the paper
    states, with the label ``printed_name``. With ``stacked`` the panels stand below each other and
    have larger symbols, so that a narrow screen shows them all.
    """
    labels = [printed_name, *names.values()]
    height = (0.34 if stacked else 0.21) * len(labels) + (0.35 if stacked else 0.9)
    size = 34 if stacked else 12
    with style():
        figure, axes = (
            panels(len(titles), 1, width=width_of(1), height=height * len(titles) + 0.5)
            if stacked
            else panels(1, len(titles), width=WIDTH, height=height)
        )
        for axis, network in zip(axes, titles, strict=True):
            for shift, training in zip((-0.22, 0.0, 0.22), TRAININGS, strict=True):
                look = LOOKS[training]
                of = values[network].get(training, {})
                spots = [(x, y + shift) for y, r in enumerate(names, 1) for x in of.get(r, ())]
                if spots:
                    x, y = np.array(spots).T
                    axis.scatter(
                        *(x, y),
                        s=size,
                        c=look.color,
                        marker=look.marker,
                        linewidths=0,
                        label=training,
                        clip_on=False,
                        zorder=3,
                    )
                if training in printed.get(network, {}):
                    axis.plot(
                        printed[network][training],
                        shift,
                        linestyle="none",
                        marker="D",
                        markersize=6,
                        markerfacecolor="none",
                        markeredgecolor=look.color,
                        clip_on=False,
                    )
            axis.set(xlim=(-4, 104), ylim=(len(labels) - 0.5, -0.5), title=titles[network])
            axis.set_yticks(range(len(labels)), labels if stacked or axis is axes[0] else [])
            axis.set_xticks([0, 25, 50, 75, 100])
            axis.grid(True)
        label = "correctly classified (%)"
        if stacked:
            axes[-1].set_xlabel(label)
        else:
            figure.supxlabel(label)
        handles, names_of = axes[0].get_legend_handles_labels()
        figure.legend(handles, names_of, loc="outside upper left", ncols=4)
    return figure
