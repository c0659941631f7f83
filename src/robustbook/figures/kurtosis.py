"""Draw the scaled ratio eps_min / intensity against the excess kurtosis of the weights, as in
Figure 6 of Nayebi & Ganguli 2017. The ratio is the size of the smallest adversarial perturbation,
divided by the intensity of the image.
"""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from .style import BRIGHT, WIDTH, panels, style

Measured = Mapping[float, Sequence[float]]
"""A dictionary from each excess kurtosis to scaled ratios, one for each seed. The Gaussian has
excess kurtosis 0.
"""


def kurtosis(
    measured: Mapping[str, Measured],
    closed: Mapping[str, Sequence[float]],
    x: Sequence[float],
    *,
    end: float,
    example: float,
) -> Figure:
    """Draw one panel for each title in ``measured``, with a dot for each seed, and a line through
    the means over the seeds.

    The dots at excess kurtosis 0 (the Gaussian) are red. A thick grey line shows the closed-form
    ratio ``closed[title]`` at the excess kurtoses ``x``. The horizontal axis ends at ``end``.

    ``example``: the ratio that the paper's caption gives as an example, drawn as a line across the
        first panel.
    """
    with style():
        figure, axes = panels(1, len(measured), width=WIDTH, height=3.1)
        for axis, (title, ratios) in zip(axes, measured.items(), strict=True):
            axis.plot(
                x, closed[title], color=BRIGHT["grey"], lw=4, label="closed form, many components"
            )
            shown = {k: v for k, v in sorted(ratios.items()) if k <= end}
            means = [sum(values) / len(values) for values in shown.values()]
            axis.plot(list(shown), means, color=BRIGHT["blue"], label="mean of the draws")
            places = [k for k, values in shown.items() for _ in values]
            dots = [value for values in shown.values() for value in values]
            axis.scatter(places, dots, s=10, color=BRIGHT["blue"], label="one seed each")
            gaussian = shown[0.0]
            axis.scatter(
                [0.0] * len(gaussian), gaussian, s=30, color="#CC0000", label="Gaussian", zorder=4
            )
            axis.set(xlim=(-0.03 * end, 1.03 * end), title=title)
            axis.set_xlabel("excess kurtosis")
            axis.grid(True)
        axes[0].axhline(
            example, color="black", lw=1, ls=":", label=f"{example:g}, an example in the caption"
        )
        axes[0].set_ylabel("scaled ratio")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=2)
    return figure
