"""List the names of networks and training methods for the pages on Nayebi & Ganguli 2017, and write
each verdict after the name of what it judges.
"""

from collections.abc import Mapping

from robustbook.chapters import published

MLPS = {"sigmoid-mlp": "Sigmoid MLP", "relu-mlp": "ReLU MLP"}
NETWORKS = {**MLPS, "cnn": "CNN"}
METHODS = ("vanilla", "adversarial", "saturated")
COMPARED = ("vanilla", "saturated")
"""The two training methods that most figures compare."""


def fgsm_target(network: str, method: str) -> str:
    """Return the id under which the book stores a number printed in Table 1: the FGSM accuracy of
    one network.
    """
    return f"saturating/table-1/{network.removesuffix('-mlp')}-{method}/fgsm-accuracy"


def fgsm_verdicts() -> str:
    """Return the verdicts on the FGSM accuracies of the saturated networks, each after the name of
    its network.
    """
    return labelled(
        {title: fgsm_target(network, "saturated") for network, title in NETWORKS.items()}
    )


def labelled(deciding: Mapping[str, str]) -> str:
    """Return verdicts as coloured words, each after a description of what it judges. ``deciding``
    maps each description to the id under which the book stores the judged number or statement.
    """
    targets = {words: (target,) for words, target in deciding.items()}
    return published.labelled("saturating", targets)
