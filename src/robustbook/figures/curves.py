"""Draw accuracy under attack against the attack radius eps, with one panel per network and one
curve per training method.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .style import LOOKS, WIDTH, draw_band, draw_printed, draw_seeds, panels, style

Curves = Mapping[str, Mapping[str, Sequence[Sequence[float]]]]
"""For each network and training method, a curve for each seed: a list of accuracies in percent."""
Dots = Mapping[str, Mapping[str, Sequence[float]]]
"""For each network and training method, a list of accuracies in percent: one for each seed, or only
the number in the paper.
"""


def curves(
    sizes: Sequence[float],
    values: Curves,
    titles: Mapping[str, str],
    *,
    at: float,
    single: Dots,
    printed: Dots,
) -> Figure:
    """Draw the accuracies ``values`` against the attack radii ``sizes``. A line shows the mean over
    seeds, and a band reaches from the lowest to the highest accuracy.

    At the radius ``at``, dots show the accuracies in ``single``, one for each seed, and open
    diamonds show the paper's numbers in ``printed``. Dots and diamonds have the colour of the
    training method.

    The first keys of ``values``, ``single`` and ``printed`` are networks, and ``titles`` contains
    the title of each network's panel.
    """
    with style():
        figure, axes = panels(1, len(titles), width=WIDTH, height=3.1)
        x, here = np.array(sizes), np.array([at])
        for axis, network in zip(axes, titles, strict=True):
            for training, look in LOOKS.items():
                if training in values[network]:
                    seeds = np.array(values[network][training], dtype=float)
                    axis.plot(x, seeds.mean(0), look.dash, color=look.color, label=training)
                    draw_band(axis, x, seeds.min(0), seeds.max(0), training)
                if dots := single[network].get(training):
                    draw_seeds(axis, here, np.array(dots, dtype=float)[:, None], training)
                for number in printed[network].get(training, ()):
                    draw_printed(axis, here, np.array([number], dtype=float))
                    axis.lines[-1].set_markeredgecolor(look.color)
            axis.set(xlim=(0, max(sizes)), ylim=(-3, 103), title=titles[network])
            axis.set_yticks([0, 25, 50, 75, 100])
            # Omit the last label of the x axis, because it would touch the next panel's first
            # label.
            axis.locator_params(axis="x", prune="upper")
            if axis is not axes[0]:
                axis.tick_params(labelleft=False)
            axis.grid(True)
        axes[0].set_ylabel("correctly classified (%)")
        figure.supxlabel("size of the attack, eps")
        handles, labels = axes[0].get_legend_handles_labels()
        handles += [
            Line2D([], [], linestyle="none", marker=marker, color="black", markerfacecolor=fill)
            for marker, fill in (("o", "black"), ("D", "none"))
        ]
        labels += ["one FGSM step, ours", "one FGSM step, the paper"]
        figure.legend(handles, labels, loc="outside upper left", ncols=2)
    return figure
