"""List the names of networks and methods for the pages on Deep Defense."""

from collections.abc import Iterable, Mapping, Sequence

from robustbook.chapters.published import settings
from robustbook.ledger import Record
from robustbook.studies.deep_defense.sizes import STEPS

METHODS: Mapping[str, str] = {
    "reference": "Reference",
    "clean": "Clean fine-tuning",
    "par-networks": "Par. Networks",
    "adv-training-i": "Adv. Training I",
    "adv-training-ii": "Adv. Training II",
    "deep-defense": "Deep Defense",
    "combination": "Deep Defense + II",
}
"""The methods in the rows of our Table 1, in their order."""

TITLES: Mapping[str, str] = {"mlp": "MLP", "lenet": "LeNet", "convnet": "ConvNet", "nin": "NIN"}
IDS: Mapping[str, str] = {
    "mlp": "mnist-mlp",
    "lenet": "mnist-lenet",
    "convnet": "cifar10-convnet",
    "nin": "cifar10-nin",
}
"""The names of the networks in the ids of the paper's numbers."""
NARROW = {"quick": ("lenet", "convnet", "nin"), "reduced": ("convnet", "nin")}
"""For each profile (a named size of the experiment), the networks that are narrower than the
paper's.
"""

NARROWED = {"convnet": (4, 20_000, 30, 10), "nin": (8, 10_000, 60, 5)}
"""For each narrow network of profile ``reduced``: the number by which its width is divided, the
number of training images, and the epochs of training and of fine-tuning.
"""
TUNED_ON_DIGITS = 5
"""The epochs of fine-tuning on MNIST."""


def networks(record: Record) -> list[str]:
    """Return the names of the networks for which a record (the stored results of a run) has
    results, in the order of the record.
    """
    return list(dict.fromkeys(str(row.setting["network"]) for row in record.rows if row.setting))


def each_network(records: Iterable[Record]) -> list[tuple[Record, str]]:
    """Return all pairs of a record (the stored results of a run) and a network for which it has
    results.
    """
    return [(record, network) for record in records for network in networks(record)]


def coloured(network: str) -> bool:
    """Return whether the inputs of the network are colour images."""
    return network in ("convnet", "nin")


def title(record: Record, network: str) -> str:
    """Return a network's name, such as ``narrow ConvNet`` if it is narrower than the paper's."""
    return f"{'narrow ' if network in NARROW.get(record.profile, ()) else ''}{TITLES[network]}"


def counted(holds: Sequence[bool], noun: str = "networks") -> str:
    """Return text that says for how many of several things a statement holds, such as ``both
    networks``, ``all 3 seeds`` or ``1 of 3 seeds``.
    """
    of = len(holds)
    if all(holds):
        return f"both {noun}" if of == 2 else f"all {of} {noun}"
    return f"{sum(holds)} of {of} {noun}" if any(holds) else f"none of the {of} {noun}"


def narrowed() -> str:
    """Return sentences that state the width of the narrow networks for CIFAR-10, how many training
    images they have, and how long they are trained, and how long fine-tuning takes on MNIST.
    """
    text = " ".join(
        f"The narrow {TITLES[network]} has 1/{factor} of the paper's width, {images:,} training "
        f"images, {epochs} epochs of training and {tuned} of fine-tuning "
        f"({tuned * STEPS[network]:,} steps)."
        for network, (factor, images, epochs, tuned) in NARROWED.items()
    )
    return f"{text} Fine-tuning on MNIST takes {TUNED_ON_DIGITS * STEPS['mlp']:,} steps."


def with_article(record: Record, network: str) -> str:
    """Return a network's name for use in a sentence, such as ``the MLP`` or ``LeNet``."""
    name = title(record, network)
    return name if name == "LeNet" else f"the {name}"


def sizes(record: Record, network: str) -> list[float]:
    """Return the l-infinity radii at which a network was attacked for the page with stronger
    attacks, in ascending order.
    """
    return [float(eps) for eps in settings(record, "accuracy", "eps", network=network)]


def shown_size(record: Record, network: str) -> float:
    """Return the eps at which the text of the pages states a network's accuracy under attack.

    For networks on colour images, the result is the smallest eps that was tested; for networks on
    digits, the third smallest.
    """
    return sizes(record, network)[0 if coloured(network) else 2]


def size_text(network: str, eps: float) -> str:
    """Return eps as it is usually written: as a decimal number (0.15) for digits, and as a fraction
    (4/255) for colour images.
    """
    return f"{255 * eps:.0f}/255" if coloured(network) else f"{eps:g}"
