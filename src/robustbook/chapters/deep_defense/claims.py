"""The page of the ten claims of the authors' post."""

from collections.abc import Sequence
from statistics import fmean

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.published import entries, printed, values
from robustbook.chapters.wording import spread
from robustbook.figures import Table, table
from robustbook.ledger import Record

from .names import METHODS

CLAIMS = (
    (
        "Perturbations that fool a network can be a thousand times smaller than the image",
        "the norm of the image over that of the perturbation, on a network for large images",
    ),
    (
        "Networks misclassify adversarial images with high confidence",
        "mean confidence in the wrong answer under PGD at least 0.7 (our threshold)",
    ),
    (
        "Random noise of the same size is far less harmful",
        "how many times as large as DeepFool's perturbation noise has to be to fool the network on "
        "half of the images: at least 5 (our threshold)",
    ),
    (
        "The cause is that networks are too linear",
        "DeepFool, which assumes that they are linear, needs fewer than three steps on average; "
        "the value is one divided by that number",
    ),
    (
        "Deep Defense improves robustness significantly",
        "its rho2 above the reference's",
    ),
    (
        "Accuracy is not lost",
        "its accuracy not below the reference's",
    ),
    (
        "It beats adversarial and Parseval training by large margins",
        "its rho2 above adversarial training's",
    ),
    (
        "Bounds such as Parseval's do less",
        "Parseval's gain in rho2 over Deep Defense's: below one half",
    ),
    (
        "Perturbations become larger for images classified correctly, smaller for the others",
        "both, on images sorted by the reference's answers; the value is the factor for correct "
        "images",
    ),
    (
        "The regulariser is exact and trained jointly",
        "its gradient agrees with finite differences to 1 %, and without that gradient there is "
        "no gain",
    ),
)
"""Each claim in our words, and the measurement that decides it."""
COMPARED = ("reference", "clean", "par-networks", "adv-training-i", "deep-defense")
SIDES = {
    "reference": "Reference",
    "clean": "Clean fine-tuning",
    "deep-defense": "Deep Defense",
    "correct": "only the term of correct images",
    "wrong": "only the term of wrong images",
}


def answer(record: Record) -> str:
    """Return how many claims are reproduced, and the two halves of claim 9."""
    found = [verdict for verdict in _verdicts() if verdict != "not run"]
    before, after = (
        {side: fmean(_got(record, side, "sides", method)) for side in ("correct", "wrong")}
        for method in ("reference", "deep-defense")
    )
    correct, wrong = (after[side] / before[side] for side in ("correct", "wrong"))
    return (
        f"{found.count('reproduced')} of the {len(found)} that were tested. Claim 9 says that "
        "perturbations become larger for correct images and smaller for misclassified ones. They "
        f"become {correct:.2f} times as large for correct images and {wrong:.2f} times as large "
        "for misclassified ones."
    )


def _verdicts() -> list[str]:
    found = {entry.item: entry.verdict for entry in entries("deep_defense")}
    return [found[f"claim-{i}"] for i in range(1, len(CLAIMS) + 1)]


def strips(record: Record) -> Figure:
    """Draw the size of perturbations of correct and of misclassified images, a dot per seed."""
    panels = {"correct": "classified correctly", "wrong": "misclassified"}
    found = {
        title: {
            name: {"size": _got(record, side, "sides", method)} for method, name in SIDES.items()
        }
        for side, title in panels.items()
    }
    return figures.strips(found, {"size": figures.LOOKS["deep-defense"]}, "relative size")


def verdicts() -> Table:
    """Return the ten claims, each with our number and the verdict."""
    found = {entry.item: entry for entry in entries("deep_defense")}
    rows = []
    for i, (claim, decides) in enumerate(CLAIMS, 1):
        entry = found[f"claim-{i}"]
        ours = "" if entry.ours is None else f"{entry.ours:.3g}"
        rows.append([f"{i}. {claim}", decides, ours, entry.verdict])
    return table(
        "The claims, what decides each, our number, and the verdict.",
        "tab-dd-claims",
        ["Claim", "Decided by", "Ours", "Verdict"],
        rows,
        align="llrl",
    )


def first(record: Record) -> str:
    """Return the result for claim 1: how much larger the image is than its perturbation."""
    caffenet, googlenet = (
        1 / float(printed(f"deep_defense/anchor-deepfool-table-1/{network}-ilsvrc2012/rho2") or 0)
        for network in ("caffenet", "googlenet")
    )
    return (
        "**1.** needs a network for photographs. The DeepFool paper {cite}`moosavi2016` prints a "
        f"rho2 for two of them, so the image is {caffenet:.0f} and {googlenet:.0f} times as large "
        f"as the perturbation. On digits it is {1 / _mean(record, 'rho', 'read'):.0f} times as "
        "large. We have the code for ImageNet but not the photographs."
    )


def second_to_fourth(record: Record) -> str:
    """Return claims 2 to 4: confidence in wrong answers, noise, and the steps of DeepFool."""
    clean, fgsm, fgsm_share, pgd, pgd_share = (
        _mean(record, name, "confidence")
        for name in ("clean", "fgsm", "fgsm turned", "pgd", "pgd turned")
    )
    noise, deepfool, ratio = (
        _mean(record, name, "noise") for name in ("accuracy", "under deepfool", "ratio")
    )
    return "\n\n".join(
        [
            f"**2.** The mean confidence is {clean:.2f} on clean test images. With eps 0.1 one "
            f"step of FGSM makes the network misclassify {fgsm_share:.0f} % of them, with a mean "
            f"confidence of {fgsm:.2f}, and PGD {pgd_share:.0f} %, with {pgd:.2f}. The smallest "
            "perturbations are different: they end at the boundary, where two classes have the "
            "same probability.",
            "**3.** With noise as large as each image's DeepFool perturbation "
            f"{noise:.1f} % of the images are still classified correctly; with the perturbation "
            f"itself {deepfool:.1f} % are. Noise has to be {ratio:.1f} times as large to fool the "
            "network on half of the images.",
            f"**4.** DeepFool takes {_mean(record, 'iterations', 'read'):.2f} steps on average. If "
            "few linear steps suffice, the network is nearly linear between an image and its "
            "boundary. This supports the claim but does not prove it.",
        ]
    )


def gains(record: Record) -> Table:
    """Return accuracy and rho2 of each method, and its gain as a share of Deep Defense's."""
    rho = {method: _got(record, "rho", "read", method) for method in COMPARED}
    start, whole = fmean(rho["reference"]), fmean(rho["deep-defense"])
    return table(
        "Accuracy in per cent, rho2, and the gain in rho2 over the reference in per cent of the "
        "gain of Deep Defense.",
        "tab-dd-claims-gains",
        ["Method", "accuracy", "rho2", "gain"],
        [
            [
                METHODS[method],
                spread(_got(record, "accuracy", "read", method), 2),
                spread(rho[method], 4),
                f"{100 * (fmean(rho[method]) - start) / (whole - start):.1f}",
            ]
            for method in COMPARED
        ],
    )


def sides(record: Record) -> Table:
    """Return the size of perturbations of correct images and of misclassified ones."""
    return table(
        "Mean relative size of DeepFool's perturbation: of images that the reference classifies "
        "correctly (away from this class), and of those it misclassifies (towards their label).",
        "tab-dd-claims-sides",
        ["Network", "correct", "wrong"],
        [
            [
                name,
                *(spread(_got(record, side, "sides", method), 4) for side in ("correct", "wrong")),
            ]
            for method, name in SIDES.items()
        ],
    )


def tenth(record: Record) -> str:
    """Return claim 10: how well the gradient agrees with finite differences."""
    error = fmean(_got(record, "error", "exactness", "deep-defense"))
    return (
        "**10.** Along random directions in the weights the gradient and central differences "
        f"differ by {error:.1e} of its size (the median). If the perturbations are computed before "
        "the training, the regulariser is a constant and has no effect, as "
        "[a replication](./replication.ipynb) shows."
    )


def _got(record: Record, name: str, what: str, method: str) -> Sequence[float]:
    return values(record, name, what=what, method=method, network="mlp")


def _mean(record: Record, name: str, what: str) -> float:
    """Return the mean over the seeds for the reference network."""
    return fmean(_got(record, name, what, "reference"))
