"""The page of Figure 1: one step of DeepFool drawn as a network."""

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.published import Version, printed
from robustbook.figures import Table, table
from robustbook.ledger import Record

if TYPE_CHECKING:
    from robustbook.studies.deep_defense.networks import Networks


def answer(record: Record) -> str:
    """Return how the gradient is computed, and how many networks have the right size."""
    same = [row.value == printed(row.target) for row in record.rows if row.target]
    return (
        "Each step of DeepFool is computed from logits and their gradients. The gradient is itself "
        "a network with the same weights, so the whole attack can be differentiated. "
        f"{sum(same)} of our {len(same)} networks have as many parameters as the released code's."
    )


def of_record(record: Record) -> Figure:
    """Draw the network that a record names."""
    return network_and_reverse(record.parameters["network"])


def layers_of(version: Version) -> Table:
    """Return the layers of the network that a record names."""
    name = "tab-deep-defense-layers" + ("-run" if version.fresh else "")
    return layers(version.record.parameters["network"], name)


def network_and_reverse(network: "Networks") -> Figure:
    """Draw the layers from image to logits, and the reverse network beside them."""
    from robustbook.studies.deep_defense import figure_1  # here, as it imports torch

    return figures.recursive(_stages(network), figure_1.image_shape(network))


def layers(network: "Networks", name: str = "tab-deep-defense-layers") -> Table:
    """Return each layer, its counterpart in the reverse network, and its number of parameters."""
    stages = _stages(network)
    return table(
        f"The layers of the network drawn ({network}): what each does, what stands for it in the "
        "reverse network, the shape it gives for one image, and its trainable parameters.",
        name,
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
