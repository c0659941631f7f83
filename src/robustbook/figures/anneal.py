"""Draw how the accuracy under attack depends on the number of optimiser steps between two increases
of the penalty weight lambda. There is one curve for each way of computing the attack's gradient.
"""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from .style import BRIGHT, HALF, WIDTH, panels, style


def anneal(
    curves: Mapping[str, Mapping[int, Sequence[float]]], *, printed: float, x_label: str
) -> Figure:
    """Draw ``curves``, where ``curves[gradient][optimiser steps]`` is a list of accuracies in
    percent, one for each seed.

    Lines join the means over seeds, and bands reach from the smallest to the largest accuracy. A
    horizontal line shows ``printed``, the paper's accuracy.
    """
    import pandas as pd  # imported here, because pandas and seaborn are slow to import
    import seaborn

    frame = pd.DataFrame(
        [
            {"length": length, "accuracy": value, "gradient": label}
            for label, points in curves.items()
            for length, values in points.items()
            for value in values
        ]
    )
    with style():
        figure, (axis,) = panels(width=WIDTH * 0.75, height=HALF)
        seaborn.lineplot(
            frame,
            x="length",
            y="accuracy",
            hue="gradient",
            style="gradient",
            markers=True,
            palette=list(BRIGHT.values())[: len(curves)],
            errorbar=("pi", 100),
            ax=axis,
        )
        axis.axhline(printed, color="black", linewidth=1, linestyle=":", label="the paper")
        axis.set(xscale="log", ylim=(-3, 103), xlabel=x_label, ylabel="correctly classified (%)")
        ticks = sorted(set(frame["length"]))
        axis.set_xticks(ticks, [str(n) for n in ticks])
        axis.minorticks_off()
        axis.grid(True)
        handles, labels = axis.get_legend_handles_labels()
        axis.legend().remove()  # outside the panel instead
        figure.legend(handles, labels, loc="outside right upper")
    return figure
