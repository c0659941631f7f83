"""Compute what the page on Figure 2 shows: accuracy and rho2 after each epoch of fine-tuning."""

from collections.abc import Sequence
from statistics import fmean

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.published import mean, settings, values
from robustbook.ledger import Record

from . import names

DRAWN = ("par-networks", "adv-training-i", "deep-defense")
QUANTITIES = (
    ("accuracy", "accuracy", "accuracy (%)"),
    ("rho2", r"$\rho_2$", r"$\rho_2$"),
)
"""For each quantity three texts: its name in the stored results, the title of its panel, and the
label of its axis.
"""


def answer(record: Record) -> str:
    """Return text that says on which networks Deep Defense has the largest rho2 after the first
    epoch, and how much of its total increase in rho2 happens in the first epoch.
    """
    shown = names.networks(record)
    leads = ", ".join(
        f"{names.title(record, each)} {'yes' if _leads(record, each, 0) else 'no'}"
        for each in shown
    )
    shares = " and ".join(
        f"{early(record, each)[0]:.0f} % ({names.title(record, each)})" for each in shown
    )
    last = [names.title(record, each) for each in shown if _leads(record, each, -1)]
    return (
        f"After one epoch: {leads}. The first epoch gives {shares} of the whole increase in the "
        "robustness $\\rho_2$. After the last epoch Deep Defense has the largest "
        f"$\\rho_2$ on these networks: {', '.join(last) or 'none'}."
    )


def rival(record: Record) -> str:
    """Return sentences that compare Deep Defense with adversarial training I on LeNet, after the
    first and after the last epoch.
    """
    parts = []
    for words, place in (("first", 0), ("last", -1)):
        epoch = _marks(record, "lenet")[place]
        ours, theirs = (
            values(record, "rho2", network="lenet", method=method, epoch=epoch)
            for method in ("deep-defense", "adv-training-i")
        )
        larger = sum(b > a for a, b in zip(ours, theirs, strict=True))
        parts.append(
            f"After the {words} epoch $\\rho_2$ is {fmean(theirs):.3f} with adversarial training I "
            f"and {fmean(ours):.3f} with Deep Defense ({larger} of {len(ours)} seeds larger with "
            "adversarial training I)."
        )
    return " ".join(parts)


def early(record: Record, network: str) -> tuple[float, int, int]:
    """Return the percentage of the total increase in rho2 that Deep Defense reaches in the first
    epoch.

    Also return the numbers of the first and the last epoch for which rho2 is stored.
    """
    marks = _marks(record, network)
    start = mean(record, "rho2", network=network, method="reference")
    first, last = (_rho(record, network, "deep-defense", marks[i]) for i in (0, -1))
    return 100 * (first - start) / (last - start), marks[0], marks[-1]


def of_one(record: Record) -> Figure:
    """Draw the figure from the stored results of one run."""
    return epochs([record])


def epochs(records: Sequence[Record]) -> Figure:
    """Draw two panels per network: the accuracy against the epoch, and rho2 against the epoch. Each
    panel has a curve per method.
    """
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
    """Return one curve per seed: the values of a quantity, such as rho2, after each epoch of
    fine-tuning. The value at epoch 0 is that of the reference network.
    """
    of = {"network": network, "method": method}
    marks = sorted(settings(record, name, "epoch", **of))
    start = values(record, name, network=network, method="reference")
    each = [values(record, name, epoch=epoch, **of) for epoch in marks]
    return figures.Curve(
        [0.0, *map(float, marks)],
        [list(seed) for seed in zip(start, *each, strict=True)],
        figures.LOOKS[method],
    )


def _marks(record: Record, network: str) -> list[int]:
    return sorted(settings(record, "rho2", "epoch", network=network, method="deep-defense"))


def _rho(record: Record, network: str, method: str, epoch: int) -> float:
    return mean(record, "rho2", network=network, method=method, epoch=epoch)


def _leads(record: Record, network: str, place: int) -> bool:
    """Return whether Deep Defense has the largest rho2 after the first (0) or last (-1) epoch."""
    epoch = _marks(record, network)[place]
    ours = _rho(record, network, "deep-defense", epoch)
    return all(_rho(record, network, each, epoch) <= ours for each in DRAWN)
