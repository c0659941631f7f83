"""The page of Table 2: the layers of the CNN."""

from robustbook.figures import Table, table

LAYERS = {
    "conv1": "ReLU convolution, 32 filters of 5 x 5",
    "conv2": "ReLU convolution, 64 filters of 5 x 5",
    "hidden": "ReLU fully connected, 1024 units",
    "readout": "softmax, 10 units",
    "max pooling": "max pooling, 2 x 2",
}


def layers() -> Table:
    """Each layer with its output's shape and its number of parameters, read from the module."""
    from robustbook.studies.saturating import table_2  # here, as it imports torch

    found = list(table_2.layers())
    return table(
        "The layers, the shape of what each gives for one image, and its trainable parameters.",
        "tab-table-2-layers",
        ["Layer", "Output", "Parameters"],
        [
            *([LAYERS[name], " x ".join(map(str, shape)), f"{n:,}"] for name, shape, n in found),
            ["all", "", f"{sum(n for *_, n in found):,}"],
        ],
    )
