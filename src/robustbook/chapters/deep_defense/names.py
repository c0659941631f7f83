"""What the chapter's pages call networks and methods, and which networks a record is about."""

from collections.abc import Mapping

from robustbook.ledger import Record

from .today import SIZES

METHODS: Mapping[str, str] = {
    "reference": "Reference",
    "clean": "Clean fine-tuning",
    "par-networks": "Par. Networks",
    "adv-training-i": "Adv. Training I",
    "adv-training-ii": "Adv. Training II",
    "deep-defense": "Deep Defense",
    "combination": "Deep Defense + II",
}
"""The rows of Table 1, in its order."""

TITLES: Mapping[str, str] = {"mlp": "MLP", "lenet": "LeNet", "convnet": "ConvNet", "nin": "NIN"}


def networks(record: Record) -> list[str]:
    """The networks that a record's rows are about, in their order."""
    return list(dict.fromkeys(str(row.setting["network"]) for row in record.rows if row.setting))


def coloured(network: str) -> bool:
    """Whether the network is for coloured images."""
    return network in ("convnet", "nin")


def title(record: Record, network: str) -> str:
    """A network's name, and whether it is narrower than the paper's: ``narrow ConvNet``."""
    narrow = coloured(network) and record.profile != "paper"
    return f"{'narrow ' if narrow else ''}{TITLES[network]}"


def shown_size(network: str) -> float:
    """The l-infinity size at which the accuracies of "today" are told in words: a large one on
    digits, the smallest on coloured images."""
    sizes = SIZES[coloured(network)]
    return round(sizes[0] if coloured(network) else sizes[2], 5)
