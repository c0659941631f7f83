"""List the names of networks and training methods for the pages on Nayebi & Ganguli 2017, and the
verdicts on Table 1.
"""

from robustbook.chapters.badges import of_page

MLPS = {"sigmoid-mlp": "Sigmoid MLP", "relu-mlp": "ReLU MLP"}
NETWORKS = {**MLPS, "cnn": "CNN"}
IN_SENTENCES = {network: title.replace("S", "s") for network, title in NETWORKS.items()}
"""The networks' names within a sentence, where only abbreviations have capital letters."""
METHODS = ("vanilla", "adversarial", "saturated")
COMPARED = ("vanilla", "saturated")
"""The two training methods that most figures compare."""


def fgsm_target(network: str, method: str) -> str:
    """Return the id under which the book stores a number printed in Table 1: the FGSM accuracy of
    one network.
    """
    return f"saturating/table-1/{network.removesuffix('-mlp')}-{method}/fgsm-accuracy"


def verdicts_of_table_1(*, main: bool = False) -> str:
    """Return the verdicts on the numbers and orders of Table 1, or with ``main`` only those on the
    accuracies of the saturated networks under FGSM.
    """
    of_saturated = {"accuracy under FGSM, saturated": "-saturated/fgsm"}
    rest = {
        "others under FGSM": "/fgsm",
        "saturated above adversarial": "/order/",
        "on clean images": "/accuracy|clean-loss",
    }
    return of_page("saturating/table-1", of_saturated | ({"": ""} if main else rest))
