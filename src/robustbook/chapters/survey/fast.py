"""Compute what the page on training with one FGSM step shows (Wong et al. 2020, and N-FGSM)."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.published import Version, array, mean, of_target, printed, settings, values
from robustbook.chapters.wording import beside, spread_or
from robustbook.figures import LOOKS, Curve, Panel, Table, table
from robustbook.ledger import Record

METHODS: Mapping[str, tuple[str, str]] = {
    "fgsm": ("FGSM", "adv"),
    "fgsm-rs": ("FGSM with random start", "none"),
    "n-fgsm": ("N-FGSM", "rse"),
    "pgd": ("PGD", "distill"),
    "fgsm-rs-2": ("FGSM with random start, step 2 eps", "brelu"),
}
TESTED = {"fgsm": "under FGSM", "pgd": "under PGD, 10 steps"}
PRINTED: Mapping[str, Mapping[str, str]] = {
    "mnist": {
        "clean": "wong/mnist-fgsm-rs/accuracy",
        "pgd-50-10": "wong/mnist-fgsm-rs/pgd-50-10-accuracy",
        "worst": "wong/mnist-fgsm-rs/autoattack-accuracy",
    },
    "cifar10": {
        "clean": "wong/cifar10-fgsm-rs/accuracy",
        "pgd-50-10": "wong/cifar10-fgsm-rs/pgd-50-10-accuracy",
        "worst": "wong/cifar10-fgsm-rs/autoattack-accuracy",
    },
}
ATTACKS = {
    "clean": "clean images",
    "pgd-50": "PGD, 50 steps",
    "pgd-50-10": "PGD, 50 steps, restarts",
    "worst": "worst of PGD, margin and Square",
}


def first_set(record: Record) -> str:
    """Return the name of the first data set for which a record (a file of stored results) contains
    results.
    """
    name: str = settings(record, "accuracy", "set")[0]
    return name


def main_radius(record: Record) -> float:
    """Return the main radius of a record: the eps of the networks that are also attacked by PGD
    with restarts.
    """
    at = settings(record, "accuracy", "eps", set=first_set(record), attack="pgd-50-10")
    return float(at[0])


def data(record: Record) -> str:
    """Return a description of the images on which the networks of a record were trained."""
    if record.profile == "quick":
        return "the embedded digits"
    if record.profile == "reduced":
        return "10,000 images of MNIST"
    return {"mnist": "MNIST", "cifar10": "CIFAR-10"}[first_set(record)]


def answer(record: Record) -> str:
    """Return sentences that state the accuracies of two networks: trained on FGSM with a random
    start, and trained on FGSM without a random start.
    """
    eps = main_radius(record)
    ours, clean, plain = (
        mean(record, "accuracy", set=first_set(record), eps=eps, method=method, attack=attack)
        for method, attack in (
            ("fgsm-rs", "pgd-50-10"),
            ("fgsm-rs", "clean"),
            ("fgsm", "pgd-50-10"),
        )
    )
    of = PRINTED[first_set(record)]
    there = printed(f"survey/{of['pgd-50-10']}")
    return (
        f"On {data(record)}, a network trained on FGSM with a random start has an "
        f"accuracy of {clean:.1f} % on clean images, and {ours:.1f} % under PGD with 50 steps and "
        f"restarts ({there} % printed). A network trained on FGSM without a random start has an "
        f"accuracy of {plain:.1f} % under the same attack."
    )


def epochs(record: Record) -> Figure:
    """Draw the accuracy after each epoch of training. One panel shows the accuracy under FGSM, the
    other panel the accuracy under PGD. All networks are trained with the radius that `main_radius`
    returns.
    """
    name, eps = first_set(record), main_radius(record)
    panels = []
    for attack, words in TESTED.items():
        curves = {}
        for method, (told, look) in METHODS.items():
            key = f"{name}/{method}/{eps:g}/{attack}"
            if key in record.arrays:
                y = array(record, key)
                x = [float(i + 1) for i in range(len(y))]
                curves[told] = Curve(x, [y], LOOKS[look])
        panels.append(Panel(words, "epochs of training", "accuracy (%)", curves, {}))
    return figures.lines(panels, columns=2, height=2.8)


def radii(version: Version) -> Table:
    """Return a table of accuracies under PGD, with one row for each training method and one column
    for each radius of training and attack.
    """
    record = version.record
    name = first_set(record)
    at = sorted(settings(record, "accuracy", "eps", set=name))
    unit = "/255" if name == "cifar10" else ""
    return table(
        f"{version.heading}: accuracy in per cent under PGD with 50 steps, by the radius of "
        "both training and attack (range over the seeds).",
        f"tab-survey-fast-radii-{version.tag}",
        ["Training", *(f"eps {eps:g}{unit}" for eps in at)],
        [
            [
                words,
                *(
                    spread_or(
                        values(
                            record, "accuracy", set=name, method=method, eps=eps, attack="pgd-50"
                        ),
                        missing="-",
                    )
                    for eps in at
                ),
            ]
            for method, (words, _) in METHODS.items()
        ],
    )


def printed_beside(version: Version) -> Table:
    """Return a table of the accuracies of networks that were trained with the radius that
    `main_radius` returns. The paper prints accuracies only for training on FGSM with a random
    start.
    """
    record = version.record
    name, eps = first_set(record), main_radius(record)
    rows = []
    for method, (words, _) in METHODS.items():
        found = {
            attack: values(record, "accuracy", set=name, method=method, eps=eps, attack=attack)
            for attack in ATTACKS
        }
        of = PRINTED[name] if method == "fgsm-rs" else {}
        rows.append(
            [
                words,
                *(
                    beside(ours, printed(f"survey/{of[attack]}") if attack in of else None)
                    for attack, ours in found.items()
                ),
            ]
        )
    return table(
        f"{version.heading}: accuracy in per cent, printed / **ours** (range over the seeds), of "
        "networks trained and attacked with the same radius. In the last column, the printed "
        "number is for AutoAttack.",
        f"tab-survey-fast-{version.tag}",
        ["Training", *ATTACKS.values()],
        rows,
    )


def collapse(record: Record) -> str:
    """Return sentences that state two accuracies of the network trained on FGSM without a random
    start: under FGSM, and under PGD. The accuracies are measured after the last epoch.
    """
    name, eps = first_set(record), main_radius(record)
    fgsm, pgd = (array(record, f"{name}/fgsm/{eps:g}/{attack}") for attack in TESTED)
    best = max(pgd)
    return (
        f"After the last epoch, the network trained on FGSM without a random start has an accuracy "
        f"of {fgsm[-1]:.1f} % under FGSM and {pgd[-1]:.1f} % under PGD. Its highest accuracy under "
        f"PGD was {best:.1f} %, after epoch {pgd.index(best) + 1} of {len(pgd)}."
    )


GUESSING = 20.0
"""The accuracy on clean images, in per cent, below which a network counts as having learned
nothing. Random guessing has an accuracy of 10 %.
"""


def others(record: Record) -> str:
    """Return sentences that state the accuracies after training with N-FGSM and with PGD."""
    name, eps = first_set(record), main_radius(record)
    noisy, clean, pgd = (
        mean(record, "accuracy", set=name, eps=eps, method=method, attack=attack)
        for method, attack in (("n-fgsm", "pgd-50-10"), ("pgd", "clean"), ("pgd", "pgd-50-10"))
    )
    text = (
        f"At the radius of {eps:g}, the network trained with N-FGSM classifies {noisy:.1f} % "
        "of the images correctly under PGD with restarts. "
    )
    if clean < GUESSING:
        return text + (
            f"The network trained with PGD classifies {clean:.1f} % of the clean images correctly, "
            "which is close to guessing. The training schedule is too short for training with PGD."
        )
    return text + (
        f"The network trained with PGD classifies {pgd:.1f} % of the images correctly under PGD "
        "with restarts."
    )


def gap(record: Record) -> str:
    """Return sentences that state two accuracies: under PGD alone, and under several attacks
    together. Under several attacks, an image counts as correct only if all attacks fail.
    """
    name, eps = first_set(record), main_radius(record)
    pgd, worst = (
        mean(record, "accuracy", set=name, eps=eps, method="fgsm-rs", attack=attack)
        for attack in ("pgd-50-10", "worst")
    )
    there = [printed(f"survey/{PRINTED[name][attack]}") for attack in ("pgd-50-10", "worst")]
    return (
        "The network trained on FGSM with random start classifies "
        f"{worst:.1f} % of the images correctly under the worst of our attacks for each image, and "
        f"{pgd:.1f} % under PGD with restarts. The printed accuracies are {there[1]} % under "
        f"AutoAttack and {there[0]} % under PGD."
    )


def time_ratio(record: Record) -> str:
    """Return sentences that state the time of an epoch of training with FGSM, divided by the time
    of an epoch of training with PGD.
    """
    found = values(record, "time ratio", set=first_set(record))
    there = printed("survey/wong/claim/time")
    if not found:
        return "The time of an epoch was not measured in this record."
    return (
        f"An epoch with FGSM from a random start took {found[0]:.2f} times as long as an epoch "
        "with PGD, including the measurement after each epoch. From the number of forward and "
        f"backward passes, one expects a factor of {there} if the training uses 7 PGD steps."
    )


def claims(version: Version) -> Table:
    """Return a table of our accuracies that decide the papers' claims about CIFAR-10."""
    told = {
        "wong/claim/plain-fgsm-collapses": "FGSM without random start, 30 epochs, eps 8/255",
        "wong/claim/alpha-16-collapses": "FGSM with random start and steps of 16/255, eps 8/255",
        "n-fgsm/cifar10-eps-8/pgd-50-10-accuracy": "N-FGSM, eps 8/255",
        "n-fgsm/cifar10-eps-16/no-collapse": "N-FGSM, eps 16/255",
    }
    return table(
        f"{version.heading}: accuracy in per cent under PGD with 50 steps on CIFAR-10 (range over "
        "the seeds).",
        f"tab-survey-fast-claims-{version.tag}",
        ["Training", "Accuracy"],
        [
            [words, spread_or(of_target(version.record, f"survey/{name}"), missing="not run")]
            for name, words in told.items()
        ],
    )
