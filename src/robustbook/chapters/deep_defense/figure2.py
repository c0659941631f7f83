"""The page of Figure 2: accuracy and rho2 after each epoch of fine-tuning."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.published import settings, values
from robustbook.ledger import Record

from . import names

DRAWN = ("par-networks", "adv-training-i", "deep-defense")
QUANTITIES = (
    ("accuracy", "accuracy", "accuracy (%)"),
    ("rho2", r"$\rho_2$", r"$\rho_2$"),
)
"""Name of the rows, title of the panel, label of the axis."""


def epochs(records: Sequence[Record]) -> Figure:
    """Two panels per network, a curve per method."""
    return figures.lines(
        [
            figures.Panel(
                f"{names.title(record, network)}: {title}",
                "epoch of fine-tuning",
                label,
                {names.METHODS[method]: curve(record, name, network, method) for method in DRAWN},
                {},
            )
            for record, network in names.each_network(records)
            for name, title, label in QUANTITIES
        ]
    )


def curve(record: Record, name: str, network: str, method: str) -> figures.Curve:
    """A quantity over the epochs, the reference at 0; one line per seed."""
    of = {"network": network, "method": method}
    marks = sorted(settings(record, name, "epoch", **of))
    start = values(record, name, network=network, method="reference")
    each = [values(record, name, epoch=epoch, **of) for epoch in marks]
    return figures.Curve(
        [0.0, *map(float, marks)],
        [list(seed) for seed in zip(start, *each, strict=True)],
        figures.LOOKS[method],
    )
