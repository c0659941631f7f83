"""Compute what the page on Figure 4 shows: LeNet after training in which the regulariser changes
the weights of one layer only.
"""

from collections.abc import Iterator
from statistics import fmean

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.badges import of_page
from robustbook.chapters.published import Version, mean, record_of, settings, values
from robustbook.chapters.wording import listed, minus, seeds_in_words
from robustbook.figures import Table
from robustbook.ledger import Record

from .figure1 import stages
from .names import NARROW, title, with_article

LAYERS = ("conv1", "conv2", "fc1", "fc2")
LOOKS = {
    "conv1": figures.LOOKS["par-networks"],
    "conv2": figures.LOOKS["adv-training-i"],
    "fc1": figures.LOOKS["deep-defense"],
    "fc2": figures.LOOKS["reference"],
    "all": figures.Look("black", "D", "-"),
}

WORDS = {
    "conv1": "the first convolution",
    "conv2": "the second convolution",
    "fc1": "the first fully connected layer",
    "fc2": "the last layer",
}


def answer(record: Record) -> str:
    """Return a sentence that states which single layer gives the largest increase in rho2 if the
    regulariser may change only this layer, in per cent of the increase with all layers, and whether
    another layer increases rho2 at every c.
    """
    found = sorted(((share, layer) for layer, share in shares(record).items()), reverse=True)
    (first, best), *_ = found
    others = [
        layer for layer in LAYERS if layer != best and min(changes(record, layer).values()) > 0
    ]
    more = listed(WORDS[layer] for layer in others) or "no other layer"
    badges = of_page("deep_defense/figure-4", {"order of the layers": ""})
    return (
        minus(
            f"{WORDS[best].capitalize()}: alone, it gives {first:.0f} % of the increase in "
            "$\\rho_2$ with all layers (both averaged over c, "
            f"{seeds_in_words(len(record.seeds))}); {more} gives a consistent increase. "
        )
        + badges
    )


def changes(record: Record, layer: str) -> dict[float, float]:
    """Return for each c the change of rho2 compared with the reference network, if the regulariser
    may change only this layer.
    """
    start = mean(record, "rho2", layer="reference")
    return {c: mean(record, "rho2", layer=layer, c=c) - start for c in _cs(record)}


def others_in_words(record: Record) -> str:
    """Return sentences that compare rho2 with that of the reference network, if the regulariser may
    change only a convolution or only the last layer. They also state the share of each layer at the
    largest c.
    """
    furthest = max(
        abs(each) for name in ("conv1", "conv2") for each in changes(record, name).values()
    )
    last, whole, top = changes(record, "fc2"), changes(record, "all"), max(_cs(record))
    lower = sum(each < 0 for each in last.values())
    at_top = listed(
        f"{layer} {100 * changes(record, layer)[top] / whole[top]:.0f} %" for layer in LAYERS
    )
    return minus(
        "If the regulariser changes only one of the convolutions, $\\rho_2$ differs from that of "
        f"the reference network by at most {furthest:.3f}, upwards or downwards. If it changes "
        f"only the last layer, $\\rho_2$ is lower than that of the reference network at {lower} of "
        f"{len(last)} values of c, by at most {-min(last.values()):.3f}. So the means over c are "
        f"small because positive and negative values cancel. At c = {top:g}, where the increase "
        f"with all layers is only {whole[top]:.3f}, the shares are {at_top}."
    )


def accuracies_in_words(record: Record) -> str:
    """Return a sentence with the lowest and the highest accuracy of the fine-tuned networks."""
    found = [
        each
        for layer in LOOKS
        for c in _cs(record)
        for each in values(record, "accuracy", layer=layer, c=c)
    ]
    start = mean(record, "accuracy", layer="reference")
    return (
        f"The accuracies of the {len(found)} networks lie between {min(found):.2f} and "
        f"{max(found):.2f} % (reference network: {start:.2f} %)."
    )


def shares(record: Record) -> dict[str, float]:
    """Return for each layer the increase in rho2 if the regulariser changes only this layer, in per
    cent of the increase with all layers.

    An increase is the mean rho2 (over all values of c and all seeds) minus the rho2 of the
    reference network.
    """
    start, whole, *each = (
        fmean(values(record, "rho2", layer=layer)) for layer in ("reference", "all", *LAYERS)
    )
    return {
        layer: 100 * (rho - start) / (whole - start)
        for layer, rho in zip(LAYERS, each, strict=True)
    }


def shares_in_words(record: Record) -> str:
    """Return a sentence with the result of `shares`."""
    return (
        "The regulariser changes a single layer. The increase in $\\rho_2$, averaged over $c$ and "
        "divided by the average increase with all layers, is "
        f"({seeds_in_words(len(record.seeds))}): "
        f"{_listed(record)}."
    )


def masked(record: Record) -> str:
    """Return the result of `shares` as a phrase for the overview page."""
    return f"increase in ρ₂ with one layer, as a share of that with all layers: {_listed(record)}"


def layers(record: Record) -> Figure:
    """Draw two panels, rho2 and the accuracy against c, with a curve for each choice of the layer
    that the regulariser may change. A dotted line marks the reference network.
    """
    cs = _cs(record)
    panels = [
        figures.Panel(
            heading,
            "c",
            label,
            {
                layer: figures.Curve(
                    cs,
                    [list(seed) for seed in zip(*_each(record, name, layer), strict=True)],
                    look,
                )
                for layer, look in LOOKS.items()
            },
            {"reference": mean(record, name, layer="reference")},
            ticks=tuple(cs),
        )
        for name, heading, label in (
            ("rho2", rf"{title(record, 'lenet')}: $\rho_2$", r"$\rho_2$"),
            ("accuracy", f"{title(record, 'lenet')}: accuracy", "accuracy (%)"),
        )
    ]
    return figures.lines(panels, columns=1, height=2.9)


def _each(record: Record, name: str, layer: str) -> list[list[float]]:
    """Return the values of a quantity for each c, one number per seed."""
    return [values(record, name, layer=layer, c=c) for c in _cs(record)]


def layers_table(version: Version) -> Table:
    """Return a table of rho2 and accuracy. There is one row for each layer that the regulariser may
    change, and one column for each value of c. For the network of the paper's size, another column
    states the number of parameters.
    """
    record, rows = version.record, _rows(version.record)
    counted = ["Parameters"] if _counts(record) else []
    return version.table(
        f". ρ₂ of {with_article(record, 'lenet')}, and in brackets its accuracy in per cent. A "
        "row names the layer that the regulariser may change. The reference network has "
        f"{_cell(record, 'reference', 0.0)}.",
        "dd-figure-4",
        ["Layer", *counted, *(f"c = {c:g}" for c in _cs(record))],
        list(rows),
    )


def _listed(record: Record) -> str:
    parts = (f"{layer} {share:.0f} %" for layer, share in shares(record).items())
    return ", ".join(map(minus, parts))


def _cs(record: Record) -> list[float]:
    return list(map(float, settings(record, "rho2", "c", layer="all")))


def _counts(record: Record) -> dict[str, int]:
    """Return the number of parameters of each layer and of all layers, or an empty dict for a
    narrow network, whose numbers are not stored.
    """
    if "lenet" in NARROW.get(record.profile, ()):
        return {}
    lenet = stages(record_of("deep_defense/figure-1"), "lenet")
    counts = {stage.name: stage.parameters for stage in lenet}
    return {**counts, "all": sum(counts.values())}


def _rows(record: Record) -> Iterator[list[str]]:
    counts = _counts(record)
    for layer in LOOKS:
        count = [f"{counts[layer]:,}"] if counts else []
        yield [layer, *count, *(_cell(record, layer, c) for c in _cs(record))]


def _cell(record: Record, layer: str, c: float) -> str:
    """Return rho2, and the accuracy in brackets."""
    rho, accuracy = (mean(record, name, layer=layer, c=c) for name in ("rho2", "accuracy"))
    return f"{rho:.3f} ({accuracy:.2f})"
