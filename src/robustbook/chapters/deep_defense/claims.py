"""The page of the ten claims of the authors' post."""

from collections.abc import Sequence
from statistics import fmean

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
        "Networks name adversarial images wrongly with high confidence",
        "mean confidence in the wrong answer under PGD at least 0.7 (our threshold)",
    ),
    (
        "Random noise of the same size is far less harmful",
        "how many times longer noise has to be than DeepFool's perturbation, to make half of the "
        "images wrong: at least 5 (our threshold)",
    ),
    (
        "The cause is that networks are too linear",
        "DeepFool, which assumes that they are linear, needs fewer than three steps in the mean; "
        "the value is one over that number",
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
        "both, on images fixed by the reference; the value is the factor for the correct ones",
    ),
    (
        "The regulariser is exact and trained jointly",
        "its gradient agrees with finite differences to 1 %; and without that gradient the gain "
        "is gone",
    ),
)
"""Each claim in our words, and what decides it."""
COMPARED = ("reference", "clean", "par-networks", "adv-training-i", "deep-defense")
SIDES = {
    "reference": "Reference",
    "clean": "Clean fine-tuning",
    "deep-defense": "Deep Defense",
    "correct": "only the term of correct images",
    "wrong": "only the term of wrong images",
}


def verdicts() -> Table:
    """The ten claims, each with our number and the verdict."""
    found = {entry.item: entry for entry in entries("deep_defense")}
    rows = []
    for i, (claim, decides) in enumerate(CLAIMS, 1):
        entry = found[f"claim-{i}"]
        ours = "" if entry.ours is None else f"{entry.ours:.3g}"
        rows.append([f"{i}. {claim}", decides, ours, entry.verdict])
    return table(
        "The claims, what decides each, the number found, and the verdict.",
        "tab-dd-claims",
        ["Claim", "Decided by", "Ours", "Verdict"],
        rows,
        align="llrl",
    )


def first(record: Record) -> str:
    """Claim 1: how much longer the image is than its perturbation."""
    caffenet, googlenet = (
        1 / float(printed(f"deep_defense/anchor-deepfool-table-1/{network}-ilsvrc2012/rho2") or 0)
        for network in ("caffenet", "googlenet")
    )
    return (
        "**1.** needs a network for photographs. The DeepFool paper {cite}`moosavi2016` prints a "
        f"rho2 for two of them from which the image is {caffenet:.0f} and {googlenet:.0f} times as "
        f"long as the perturbation; on digits it is {1 / _mean(record, 'rho', 'read'):.0f} times "
        "as long. The code for ImageNet is there, the photographs are not."
    )


def second_to_fourth(record: Record) -> str:
    """Claims 2 to 4: confidence in wrong answers, noise, and how many steps DeepFool takes."""
    clean, fgsm, fgsm_share, pgd, pgd_share = (
        _mean(record, name, "confidence")
        for name in ("clean", "fgsm", "fgsm turned", "pgd", "pgd turned")
    )
    noise, deepfool, ratio = (
        _mean(record, name, "noise") for name in ("accuracy", "under deepfool", "ratio")
    )
    return "\n\n".join(
        [
            f"**2.** Clean test images are classified with a mean confidence of {clean:.2f}, "
            "images that are misclassified after one step of FGSM (a tenth of the range, "
            f"{fgsm_share:.0f} % of them) with {fgsm:.2f}, those that are after PGD "
            f"({pgd_share:.0f} %) with {pgd:.2f}. The smallest perturbations are another matter: "
            "they lie on the boundary, where two classes share the probability.",
            "**3.** Under noise as long as each image's DeepFool perturbation "
            f"{noise:.1f} % of the images are still classified correctly, under the perturbation "
            f"itself {deepfool:.1f} %. For half of them to be misclassified the noise has to be "
            f"{ratio:.1f} times as long.",
            f"**4.** DeepFool takes {_mean(record, 'iterations', 'read'):.2f} steps in the mean. A "
            "network on which linear steps nearly suffice is nearly linear between an image and "
            "its boundary; that supports the view and cannot prove it.",
        ]
    )


def gains(record: Record) -> Table:
    """Accuracy and rho2 of each method, and its gain as a share of Deep Defense's."""
    rho = {method: _got(record, "rho", "read", method) for method in COMPARED}
    start, whole = fmean(rho["reference"]), fmean(rho["deep-defense"])
    return table(
        "Accuracy in percent, rho2, and the gain in rho2 over the reference in percent of Deep "
        "Defense's.",
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
    """Perturbations of images that the reference classifies correctly, and of the others."""
    return table(
        "Mean relative size of DeepFool's perturbation: of images that the reference classifies "
        "correctly, away from the answer; of those it misclassifies, to their label.",
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
    """Claim 10: how well the gradient agrees with finite differences."""
    error = fmean(_got(record, "error", "exactness", "deep-defense"))
    return (
        "**10.** Along random directions in the weights the gradient and central differences "
        f"differ by {error:.1e} of its size (the median). Where the perturbations are computed "
        "outside the graph the regulariser is a constant and nothing is left of the method: "
        "[a replication](./replication.ipynb) shows it."
    )


def _got(record: Record, name: str, what: str, method: str) -> Sequence[float]:
    return values(record, name, what=what, method=method, network="mlp")


def _mean(record: Record, name: str, what: str) -> float:
    """Of the reference network."""
    return fmean(_got(record, name, what, "reference"))
