"""Compute the content of the page on Figure 1, which draws one step of DeepFool as a network."""

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.badges import of_page
from robustbook.chapters.published import Version, printed
from robustbook.figures import Table, table
from robustbook.ledger import Record

from .names import TITLES, coloured


def answer(record: Record) -> str:
    """Return a sentence that states how training makes the perturbation larger. It ends with the
    page's verdicts.
    """
    return (
        "By gradient descent on a loss that contains the size of this perturbation, because this "
        "size can be differentiated with respect to the weights. "
        + of_page(
            "deep_defense/figure-1", {"numbers of parameters (settings in the released code)": ""}
        )
    )


def differentiable(record: Record) -> str:
    """Return sentences that state why the perturbation can be differentiated, and how many of our
    networks have as many parameters as the networks in the released code.
    """
    same = [row.value == printed(row.target) for row in record.rows if row.target]
    return (
        "Each step of DeepFool is computed from logits and their gradients, and these gradients "
        "can be written as a second network with the same weights. So the size of the perturbation "
        "can be differentiated with respect to the weights. "
        f"{'All' if all(same) else f'{sum(same)} of'} {len(same)} of our networks have "
        "as many parameters as the same networks in the released code."
    )


def network_and_reverse(record: Record) -> Figure:
    """Draw the layers from image to logits, and the layers of the reverse network."""
    network = str(record.parameters["network"])
    shape = (3, 32, 32) if coloured(network) else (1, 28, 28)
    return figures.recursive(stages(record, network), shape)


def layers(version: Version) -> Table:
    """Return a table of the layers: the operation of each layer in the forward pass and in the
    reverse network, and its number of parameters.
    """
    network = str(version.record.parameters["network"])
    found = stages(version.record, network)
    start = f"{version.heading}: the" if version.fresh else "The"
    return table(
        f"{start} layers of the network in the figure ({TITLES[network]}). *Forward* and *in "
        "reverse*: the operation of each layer in the forward pass and in the reverse network. "
        "*Output*: the shape of its output for one image. *Parameters*: how many are trainable.",
        f"tab-deep-defense-layers-{version.tag}",
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
                for stage in found
            ),
            ["all", "", "", "", f"{sum(stage.parameters for stage in found):,}"],
        ],
        align="lllrr",
    )


def stages(record: Record, network: str) -> list[figures.Stage]:
    """Return the layers of a network in the order of a forward pass."""
    rows = [
        row
        for row in record.rows
        if row.name == "layer parameters" and row.setting["network"] == network
    ]
    return [
        figures.Stage(
            name=str(row.setting["layer"]),
            forward=str(row.setting["forward"]),
            reverse=str(row.setting["reverse"]),
            kept=str(row.setting["kept"]),
            shape=tuple(map(int, str(row.setting["shape"]).split(" x "))),
            parameters=int(row.value),
        )
        for row in sorted(rows, key=lambda row: int(row.setting["place"]))
    ]
