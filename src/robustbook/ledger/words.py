"""Write the ids of the papers' numbers as words, and measured numbers as text, for tables and
sentences.
"""

import math
import re

from .targets import Target

NAMES = {
    name.lower().replace("-", ""): name
    for name in (
        "ALP AutoAttack BPDA BReLU CLP CNN ConvNet DeepFool EOT FGSM JPEG L-BFGS LSQ MLP NIN PGD "
        "RBF ReLU RS RSE ZOO AlexNet CaffeNet CIFAR-10 GoogLeNet ImageNet LeNet MNIST ResNet-18 "
        "ResNeXt TRADES VGG16"
    ).split()
} | {"linf": "l-infinity", "par": "Parseval", "fgs": "FGS", "bn": "batch norm", "rho2": "ρ₂"}
"""Words in ids, and how they are written in tables."""


def in_words(id_: str) -> str:
    """Return the id of a paper's number as words for a table, such as "RSE: accuracy c 0.1" for
    "rse/accuracy-c-0.1".

    A hyphen stays if it belongs to a name such as L-BFGS, or to an exponent such as 1e-4.
    """
    parts = [re.split(r"(?<!\de)-", part) for part in id_.split("/")]
    return ": ".join(" ".join(NAMES.get(word, word) for word in words) for words in parts)


def quantity(target: Target, item: str) -> str:
    """Return in words what a row of a table of verdicts compares.

    For a number, these are the words of its id, and "(%)" for a number in per cent. For an order,
    these are the words of both ids. For a pattern, these are the words with which the list of the
    paper's numbers describes the pattern, and in brackets what our number measures.

    ``item``: the name of the page's table or figure, which is left out of the ids.
    """

    def short(id_: str) -> str:
        return in_words(id_.partition("/")[2].removeprefix(f"{item}/"))

    stated = target.kind == "claim" or target.note.lower().startswith(("shape", "pattern"))
    if target.compare == "shape" and stated:
        return f"{target.setting} ({target.metric.replace('_', ' ')})"
    unit = " (%)" if target.unit == "percent" else ""
    if target.partner is None:
        return short(target.id) + unit
    side = "above" if target.compare == "greater_than" else "below"
    side = f"not {'below' if side == 'above' else 'above'}" if target.no_loss else side
    return f"{short(target.id)}, {side} {short(target.partner)}{unit}"


def measured(value: float | int | None, tolerance: float | None) -> str:
    """Return a measured number as text, with one decimal more than the tolerance, but with at most
    four significant digits. Without a tolerance, return three significant digits. A whole number
    without a tolerance keeps all its digits. Return "" for None.
    """
    if value is None:
        return ""
    if value == int(value) and (not tolerance or abs(value) >= 10_000):
        text = f"{value:,.0f}"
    elif not tolerance:
        text = f"{value:.3g}"
    else:
        decimals = max(0, 1 - math.floor(math.log10(tolerance)))
        most = 3 - math.floor(math.log10(abs(value))) if value else decimals
        text = f"{value:.{max(0, min(decimals, most))}f}"
    return text.replace("-", "\N{MINUS SIGN}")
