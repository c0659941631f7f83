"""The page of Figure 1: one turn of DeepFool drawn as a network."""

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.figures import Table, table

if TYPE_CHECKING:
    from robustbook.studies.deep_defense.networks import Networks


def network_and_reverse(network: "Networks") -> Figure:
    """The layers from image to logits, and the reverse network beside them."""
    from robustbook.studies.deep_defense import figure_1  # here, as it imports torch

    return figures.recursive(_stages(network), figure_1.image_shape(network))


def layers(network: "Networks") -> Table:
    """Each layer, what stands for it in the reverse network, and its number of parameters."""
    stages = _stages(network)
    return table(
        f"The layers of the network drawn ({network}): what each does, what stands for it in the "
        "reverse network, the shape it gives for one image, and its trainable parameters.",
        "tab-deep-defense-layers",
        ["Layer", "Forward", "In reverse", "Output", "Parameters"],
        [
            *(
                [
                    f"`{stage.name}`",
                    stage.forward,
                    stage.reverse,
                    " x ".join(map(str, stage.shape)),
                    f"{stage.parameters:,}",
                ]
                for stage in stages
            ),
            ["all", "", "", "", f"{sum(stage.parameters for stage in stages):,}"],
        ],
        align="lllrr",
    )


def _stages(network: "Networks") -> list[figures.Stage]:
    from robustbook.studies.deep_defense import figure_1

    return [figures.Stage(*layer) for layer in figure_1.layers(network)]
