"""What the pages on Nayebi & Ganguli 2017 call networks and trainings."""

MLPS = {"sigmoid-mlp": "Sigmoid MLP", "relu-mlp": "ReLU MLP"}
NETWORKS = {**MLPS, "cnn": "CNN"}
METHODS = ("vanilla", "adversarial", "saturated")
COMPARED = ("vanilla", "saturated")
"""The trainings that most figures set side by side."""


def fgsm_target(network: str, method: str) -> str:
    """The target of the FGSM accuracy that Table 1 prints for a network."""
    return f"saturating/table-1/{network.removesuffix('-mlp')}-{method}/fgsm-accuracy"
