"""What the page of Figure 7 shows besides `dissimilarity`, which also serves Figure 3."""

from robustbook.chapters.published import mean
from robustbook.ledger import Record

from .names import COMPARED

LAYERS = ("1", "2", "3")
RATIO = "within over between"


def answer(record: Record) -> str:
    """Return where classes lie further apart, and how close images of one class lie in layer 1."""
    plain, saturated = (_means(record, "between", method) for method in COMPARED)
    times = [ours / theirs for ours, theirs in zip(saturated, plain, strict=True)]
    ratio = [_means(record, RATIO, method)[0] for method in COMPARED]
    ahead, closer = sum(t > 1 for t in times), "closer" if ratio[1] < ratio[0] else "no closer"
    return (
        f"In {ahead} of {len(times)} layers the dissimilarity between classes is larger in the "
        f"saturated network; in layers 1, 2, 3 it is {', '.join(f'{t:.0f}' for t in times)} times "
        f"that of the vanilla one. Relative to it, images of one class are {closer} in layer 1: "
        f"their dissimilarity is {100 * ratio[1]:.0f} % of that between classes, against "
        f"{100 * ratio[0]:.0f} % in the vanilla network."
    )


def ratios(record: Record) -> str:
    """Return the ratio of the dissimilarity within to that between classes, layer by layer."""
    plain, saturated = (
        ", ".join(f"{ratio:.2f}" for ratio in _means(record, RATIO, method)) for method in COMPARED
    )
    return (
        "In layers 1, 2, 3 the dissimilarity within classes, divided by that between classes, is "
        f"{plain} in the vanilla network and {saturated} in the saturated one."
    )


def _means(record: Record, name: str, method: str) -> list[float]:
    """Return the mean over the seeds for each layer."""
    return [mean(record, name, method=method, layer=layer) for layer in LAYERS]
