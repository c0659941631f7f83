"""Compute the tables, figures and sentences for the page of Table 1.

The page compares the accuracies in the paper with ours. The page also shows which choices of the
implementation change the accuracy.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from math import log
from statistics import fmean, median
from typing import Any

from matplotlib.figure import Figure

from robustbook import catalogue, figures
from robustbook.chapters.published import (
    Version,
    accuracies,
    as_printed,
    mean,
    of_target,
    printed,
    record_of,
    rows_of,
    settings,
    values,
)
from robustbook.chapters.survey import fast
from robustbook.chapters.wording import (
    beside,
    from_to,
    listed,
    minus,
    ranges,
    seeds_in_words,
    spread,
    spread_or,
)
from robustbook.diagnosis import diagnose
from robustbook.figures import MISSING, Table, table
from robustbook.ledger import Record
from robustbook.ledger.intervals import difference_interval
from robustbook.studies.saturating.sizes import ANNEALS

from .names import (
    COMPARED,
    IN_SENTENCES,
    METHODS,
    MLPS,
    NETWORKS,
    fgsm_target,
    verdicts_of_table_1,
)

ATTACKS = {
    "float32": "FGSM, float32",
    "flushed": "... denormals flushed",
    "float64": "... float64",
    "rescaled": "... logits rescaled",
    "probabilities": "... clipped probabilities",
    "squared": "... squared error",
    "margin": "... logit difference",
    "signs": "random signs",
    "float32, clipped": "in [0, 1]: FGSM",
    "probabilities, clipped": "in [0, 1]: clipped probabilities",
    "signs, clipped": "in [0, 1]: random signs",
    "transfer": "in [0, 1]: FGSM from vanilla",
    "pgd": "in [0, 1]: PGD, 20 steps",
    "pgd margin": "in [0, 1]: PGD, logit difference",
    "pgd softened": "in [0, 1]: PGD, softened slopes",
}
"""The attacks of the figure, from top to bottom. Images of attacks that begin with "in [0, 1]" are
clipped.
"""
TABLED = (
    *("float32", "flushed", "float64", "rescaled", "probabilities", "signs"),
    *("float32, clipped", "signs, clipped", "transfer", "pgd", "pgd softened"),
)
SEARCHED = ("clean", "float32", "float64", "flushed", "probabilities", "signs", "pgd softened")
GRADIENTS = {
    "float32": "float32",
    "flushed": "denormals flushed",
    "float64": "float64",
    "probabilities": "clipped probabilities",
}
LENGTH = "optimiser steps per step of lambda"
SEARCHES = {
    "tab-table-1-search": (
        "Saturated sigmoid MLPs. From the fourth row on, each differs from the first row only in "
        "the choice that it names.",
        {
            LENGTH: "lambda rises every {} optimiser steps",
            "start": "initial weights: {}",
            "learning rate": "learning rate {}",
            "width": "width {}",
            "final lambda": "final lambda {}",
            "penalty": "penalty on the {}",
        },
    ),
    "tab-table-1-search-others": (
        "Saturated CNNs, which differ from that of Table 1 only in the choice that they name, and "
        "saturated ReLU MLPs, in which lambda also rises faster (every 10 optimiser steps).",
        {
            "ReLU, lambda times": "ReLU MLP, {} times the paper's lambda",
            "CNN, lambda times": "CNN, {} times the paper's lambda",
            "CNN, length times": "CNN, {} times as many epochs",
        },
    ),
    "tab-table-1-search-vanilla": (
        "Vanilla MLPs, which differ from those of Table 1 only in the number of epochs.",
        {
            "sigmoid, vanilla, epochs": "sigmoid MLP, epochs: {}",
            "relu, vanilla, epochs": "ReLU MLP, epochs: {}",
        },
    ),
}
"""The tables of other trainings: for each name, the beginning of its caption, and for each varied
choice the name of its rows.
"""
EVIDENCE = {
    "one_step": "float32, clipped",
    "random_signs": "signs, clipped",
    "many_steps": "pgd",
    "repaired": "pgd softened",
    "float64": "float64, clipped",
    "rescaled": "rescaled, clipped",
    "transfer": "transfer",
}
"""For each accuracy that `diagnose` needs, the attack under which it was measured, by the attack's
name in the record. All of these attacks clip images to [0, 1], so that they can be compared.
"""
IMAGES = 60_000
"""The number of training images of MNIST."""
PAPER_ROW = "FGSM, the paper"
"""The label of the row of figures that shows the accuracies in the paper."""
EPS = 0.25
"""The size of FGSM in the paper."""
VANISHES = 150 * log(2)
"""The exponent x from which float32 rounds exp(-x) to 0: half of the smallest number, 2^-149."""


def answer(record: Record) -> str:
    """Return a sentence that states the accuracy of the saturated networks under the strongest
    attack. The first word is "No" if this accuracy is below 50 %. It ends with the page's verdicts.
    """
    left = _softened(record)
    return (
        f"{'No' if left < 50 else 'Yes'}: after PGD with flatter slopes in the backward pass, no "
        f"saturated network of Table 1 has a mean accuracy above {left:.1f} %. "
        f"{verdicts_of_table_1()}"
    )


def after_fgsm(record: Record) -> str:
    """Return sentences that compare the accuracies of the saturated networks under FGSM with those
    in the paper, and the accuracies under clipped FGSM with those under the strongest attack, whose
    images are clipped too.
    """
    clipped = [fmean(of["saturated"]["float32, clipped"]) for of in accuracies(record).values()]
    kept: list[str] = []
    for network, title in IN_SENTENCES.items():
        target = fgsm_target(network, "saturated")
        kept.append(
            f"{fmean(of_target(record, target)):.1f} % for the {title} "
            f"({'' if kept else 'in the paper '}{printed(target):.3g} %)"
        )
    return (
        "All accuracies here are means over the seeds. After one FGSM step, the accuracy of the "
        f"saturated networks on {_images(record):,} test images is {', '.join(kept[:-1])} and "
        f"{kept[-1]}. These images may leave [0, 1]. We also clipped images to [0, 1], on "
        f"{record.parameters['controls']:,} test images. Then the accuracy is "
        f"{listed(f'{each:.1f}' for each in clipped)} % after FGSM, and at most "
        f"{_softened(record):.1f} % after PGD with softened slopes. So on the MLPs, FGSM misses "
        "many adversarial images."
    )


def two_groups(record: Record) -> str:
    """Return sentences that state the FGSM accuracies of the saturated sigmoid networks in two
    groups, which are separated by the largest gap between two seeds, and whether these groups have
    different signs of the logits.
    """
    high, low = in_two_groups(of_target(record, fgsm_target("sigmoid-mlp", "saturated")))
    return (
        "*The FGSM accuracies of the saturated sigmoid networks lie in two groups.* With "
        f"{len(high)} of {len(high) + len(low)} seeds they are {from_to(high, '.1f')} %, and with "
        f"the other {len(low)} they are {from_to(low, '.1f')} %. So their mean describes none of "
        "the networks. The prediction interval assumes a normal distribution, and is therefore "
        "wide. The verdict *inconclusive* rests on this wide interval."
        f"{_signs_of_groups(record, low)}"
    )


def _signs_of_groups(record: Record, low: Sequence[float]) -> str:
    """Return sentences that state which saturated sigmoid networks have only positive logits, and
    how often their gradients are zero, or "" unless these are the networks with the FGSM accuracies
    ``low``.
    """
    of = {"network": "sigmoid-mlp", "method": "saturated"}
    positive = {
        row.seed: row.value
        for row in rows_of(record_of("saturating/figure-2"), "active", layer=3, **of)
    }
    found = {
        row.seed: row.value
        for row in record.rows
        if row.target == fgsm_target("sigmoid-mlp", "saturated")
    }
    zero = {row.seed: row.value for row in rows_of(record, "unmoved", reading="float32", **of)}
    if record.profile != "paper" or not found.keys() == positive.keys() == zero.keys():
        return ""
    ten = {seed for seed, share in positive.items() if share > 99}
    if ten != {seed for seed, accuracy in found.items() if accuracy in low}:
        return ""
    lead = {row.seed: row.value for row in rows_of(record, "lead", **of)}
    many, few, far, near = (
        [float(of[seed]) for seed in zero if (seed in ten) == each]
        for of in (zero, lead)
        for each in (False, True)
    )
    return (
        "\n\nThe networks with the lower accuracy are those in which all ten logits are positive "
        "for nearly every image. In the others about one of ten is ([Figure 3](./figure3.ipynb) "
        "shows the same two kinds). Their float32 gradients are zero for "
        f"{from_to(few, '.0f')} % of the images, and for {from_to(many, '.0f')} % in the others. "
        f"The median lead of the true class's logit is {from_to(near, '.0f')} in these networks, "
        f"and {from_to(far, '.0f')} in the others. Float32 rounds the other probabilities to 0 "
        f"from a lead of about {VANISHES:.0f}. With {len(found)} networks we cannot say that the "
        "signs of the logits cause the smaller lead."
    )


def clipped_probabilities(record: Record) -> str:
    """Return the accuracies of the MLPs under FGSM if the loss is computed from clipped
    probabilities: those of the saturated MLPs are near the paper's numbers, but that of the vanilla
    ReLU MLP is not.
    """
    found = accuracies(record)

    def left(network: str, method: str) -> str:
        return f"{fmean(found[network][method]['probabilities']):.1f}"

    def theirs(network: str, method: str) -> str:
        return as_printed(fgsm_target(network, method)) or MISSING

    both = [(network, "saturated") for network in MLPS]
    return (
        "*With another loss the saturated MLPs come near the paper's numbers, but the vanilla "
        "ReLU MLP does not.* If FGSM computes the loss from clipped probabilities, the saturated "
        f"MLPs classify {listed(left(*each) for each in both)} % of the images correctly (the "
        f"paper: {listed(theirs(*each) for each in both)} %). But the vanilla ReLU MLP then "
        f"classifies {left('relu-mlp', 'vanilla')} % correctly (the paper: "
        f"{theirs('relu-mlp', 'vanilla')} %)."
    )


def zero_gradients(record: Record) -> str:
    """Return sentences on why a gradient is exactly zero, and why a true-class probability of 1 is
    not enough: the probabilities of all other classes must be rounded to 0 too.
    """
    of = {"network": "relu-mlp", "method": "vanilla"}
    certain, zero = mean(record, "certain", **of), mean(record, "unmoved", reading="float32", **of)
    without = f"{zero:.0f} % of its images have" if zero else "none of its images has"
    return (
        "*The accuracy under FGSM depends on the arithmetic.* The gradient of the saturated MLPs "
        "is exactly zero far more often than that of the other networks in "
        "{numref}`tab-table-1-evidence`. The gradient of the cross entropy with respect to the "
        "logits is $p - e_y$, the difference of the probabilities and the one-hot true class. If "
        f"the true class leads by more than about {VANISHES:.0f}, float32 rounds the "
        "probabilities of all other classes to 0, and this gradient is exactly zero ([Gradient "
        "masking](../basics/gradient_masking.ipynb)). In the sigmoid network, the tiny slopes of "
        "the units probably make the gradient vanish at a smaller lead. A probability of exactly "
        f"1 for the true class is not enough: {certain:.0f} % of the images of the vanilla ReLU "
        f"network have it, and {without} a zero gradient. In float64 no gradient is zero. If the "
        "logits are divided by a constant, hardly any gradient of the saturated MLPs is zero."
    )


def in_two_groups(found: Sequence[float]) -> tuple[list[float], list[float]]:
    """Return the numbers above and below the largest gap between two neighbours."""
    ordered = sorted(found)
    gaps = [b - a for a, b in pairwise(ordered)]
    at = gaps.index(max(gaps)) + 1
    return ordered[at:], ordered[:at]


def random_signs(record: Record) -> str:
    """Return sentences that state by how much random signs reduce the accuracy of the vanilla and
    the saturated networks. They also compare clipped random signs with clipped FGSM on the
    saturated MLPs.
    """
    found = accuracies(record)
    lost = [
        fmean(of_target(record, f"saturating/table-1/{network.removesuffix('-mlp')}-{m}/accuracy"))
        - fmean(found[network][m]["signs"])
        for network in NETWORKS
        for m in COMPARED
    ]
    return (
        "*A high accuracy under FGSM alone does not show robustness.* Changing each pixel by plus "
        "or minus eps at random, without clipping to [0, 1], reduces the accuracy of the vanilla "
        f"and the saturated networks by only {from_to(lost, '.0f')} points. So if the gradient of "
        "FGSM is as uninformative as random signs, even a vulnerable network looks robust."
        f"\n\n{_clipped_signs(record)}"
    )


def _clipped_signs(record: Record) -> str:
    """Return sentences that compare random signs with FGSM on the saturated MLPs, if images are
    clipped to [0, 1].
    """
    found = [accuracies(record)[network]["saturated"] for network in MLPS]
    signs, fgsm = (
        [fmean(each[f"{attack}, clipped"]) for each in found] for attack in ("signs", "float32")
    )
    more = all(a < b for a, b in zip(signs, fgsm, strict=True))
    titles = listed(IN_SENTENCES[network] for network in MLPS)
    return (
        f"*With clipping, FGSM does {'less' if more else 'not less'} harm to the saturated MLPs "
        "than random signs.* If images are clipped to [0, 1], random signs leave "
        f"{listed(f'{x:.1f}' for x in signs)} % of the images correctly classified ({titles}), "
        f"and FGSM leaves {listed(f'{x:.1f}' for x in fgsm)} %. Where the gradient is zero, FGSM "
        "does not change the image, so it does not even add noise. (Clipped random signs do more "
        "harm than unclipped ones, probably because black pixels can only become brighter.)"
    )


def _softened(record: Record) -> float:
    """Return the highest mean accuracy of a saturated network after PGD with softened slopes."""
    found = accuracies(record)
    return max(fmean(found[network]["saturated"]["pgd softened"]) for network in NETWORKS)


def accuracy_table(version: Version) -> Table:
    """Return the paper's Table 1. In every cell of the table, the accuracy printed in the paper
    stands before our accuracy.
    """
    columns = [(n, measure) for n in NETWORKS for measure in ("accuracy", "fgsm-accuracy")]
    eps = version.record.parameters["eps"]
    other = "" if eps == EPS else f" FGSM has eps {eps:g}, and {EPS:g} in the paper."
    return version.table(
        f": accuracy in per cent, paper / **ours**{ranges(version.record)}.{other}",
        "table-1",
        ["Training", *(f"{name}, {m}" for name in NETWORKS.values() for m in ("clean", "FGSM"))],
        [
            [
                method.capitalize(),
                *(_cell(version.record, network, method, measure) for network, measure in columns),
            ]
            for method in METHODS
        ],
    )


def attacks_figure(record: Record, attacks: Mapping[str, str] = ATTACKS) -> Figure:
    """Draw the accuracy of each network under each attack, with one dot per seed.

    ``attacks``: the labels of the attacks, by name. If there are fewer than in ``ATTACKS``, the
        panels stand below each other.
    """
    there = {
        network: {
            method: number
            for method in METHODS
            if (number := printed(fgsm_target(network, method))) is not None
        }
        for network in NETWORKS
    }
    return figures.readings(
        accuracies(record),
        attacks,
        NETWORKS,
        there,
        PAPER_ROW,
        stacked=len(attacks) < len(ATTACKS),
    )


def trainings() -> Table:
    """Return a table of the networks of this chapter: their layers, and how they are trained on
    MNIST.
    """
    of = catalogue.study("saturating/table-1")
    found = {**of.mlps("paper"), **of.cnns("paper")}
    return table(
        f"The networks and their training, on the {IMAGES:,} training images of MNIST with Adam. "
        "*Epochs* and *rate*: vanilla / adversarial / saturated; the rate of the CNN falls "
        "linearly to 0. The last three columns describe the penalty's weight λ in the training of "
        "the saturated network: its final value, the step in which it rises, and the number of "
        "epochs without a penalty at the beginning. After these, λ rises by one step in each "
        "epoch (in the CNN only once).",
        "tab-table-1-trainings",
        ["Network", "Layers", "Epochs", "Rate", "Batch", "λ up to", "in steps of", "after epochs"],
        [_training_row(network, found) for network in NETWORKS],
        align="ll" + 6 * "r",
    )


def attacks_table(record: Record) -> Table:
    """Return a table of each network's accuracy under the attacks in ``TABLED``."""
    return table(
        f"Accuracy in per cent on {record.parameters['controls']:,} test images under most of the "
        "attacks in {numref}`fig-table-1-readings`, mean (range over the seeds).",
        "tab-table-1-readings",
        ["Network, attack", *METHODS],
        list(_attack_rows(record)),
    )


def gradients(record: Record) -> Table:
    """Return a table that states for each network how often its gradient is exactly zero, and how
    large the gradient's largest component is.
    """
    return table(
        "How often the gradient vanishes. *Zero*: the share of test images (%) whose gradient is "
        "exactly zero, if the loss is computed from logits or from clipped probabilities. "
        "*Certain*: the share of test images (%) whose true class has probability exactly 1 in "
        "float32. *Lead*: the median over images of the true class's logit minus the largest other "
        "logit. *Gradient*: the median over images of the largest gradient component.",
        "tab-table-1-evidence",
        ["Network", "Zero, logits", "Zero, clipped p", "Certain", "Lead", "Gradient"],
        list(_gradient_rows(record)),
    )


def evidence(record: Record, network: str, method: str = "saturated") -> dict[str, float]:
    """Return the measurements from which `diagnose` judges a network: its accuracies under several
    attacks, and the share of images with a zero gradient.

    Each measurement is a mean over the seeds, in percent.
    """

    def found(name: str, reading: str) -> float:
        return mean(record, name, network=network, method=method, reading=reading)

    accuracies = {name: found("accuracy", reading) for name, reading in EVIDENCE.items()}
    return accuracies | {"zero_gradients": found("unmoved", "float32")}


def diagnosis(record: Record) -> Table:
    """Return a table of questions about the evaluation of each saturated network, with their
    answers.
    """
    return table(
        "Questions about the evaluation of the saturated networks. An answer marked *red* is a "
        "sign that the measured accuracy overstates the robustness. All attacks clip images to "
        "[0, 1].",
        "tab-table-1-diagnosis",
        ["Network", "Question", "Sign", "Answer"],
        [
            [title, found.question, "red" if found.red else "", found.sentence]
            for network, title in NETWORKS.items()
            for found in diagnose(evidence(record, network))
        ],
        align="llll",
    )


def search(tried: Record) -> list[Table]:
    """Return tables of the accuracies of networks that were trained with other settings than those
    of Table 1: saturated sigmoid MLPs, other saturated networks, and vanilla MLPs.
    """
    head = [
        "Training",
        *(ATTACKS.get(attack, attack).lstrip(". ") for attack in SEARCHED),
        "zero gradient",
    ]
    return [
        table(
            f"{caption} Accuracy in per cent on clean images and under each attack, mean (range "
            f"over {seeds_in_words(len(tried.seeds))}). *Zero gradient*: the share of images (%) "
            "with a gradient of exactly zero.",
            name,
            head,
            list(_search_rows(tried, words)),
        )
        for name, (caption, words) in SEARCHES.items()
    ]


def anneal(record: Record, tried: Record) -> Figure:
    """Draw the FGSM accuracy of the saturated sigmoid network against a training setting: the
    number of optimiser steps between two increases of lambda.

    The record ``tried`` contains results of networks that were trained with other settings than
    those of Table 1. If ``record`` (Table 1) and ``tried`` have the same profile (size of the
    experiment), each curve ends with the network of Table 1.
    """
    curves: dict[str, dict[int, list[float]]] = {label: {} for label in GRADIENTS.values()}
    for row in tried.rows:
        reading = str(row.setting.get("reading"))
        if row.name == "accuracy" and row.setting["varied"] == LENGTH and reading in GRADIENTS:
            of = curves[GRADIENTS[reading]]
            of.setdefault(int(row.setting["how"]), []).append(row.value)
    if tried.profile == record.profile:
        ours = accuracies(record)["sigmoid-mlp"]["saturated"]
        *_, every = ANNEALS[record.profile]["sigmoid-mlp"]
        for reading, label in GRADIENTS.items():
            curves[label].setdefault(every, []).extend(ours[reading])
    level = printed(fgsm_target("sigmoid-mlp", "saturated"))
    assert level is not None
    return figures.anneal(curves, printed=level, x_label=LENGTH)


def longer_vanilla(record: Record, tried: Record) -> str:
    """Return sentences that compare the FGSM accuracies of two ReLU networks that were trained
    for the same number of epochs: the saturated network, and a network without any penalty.
    """
    varied = "relu, vanilla, epochs"
    longest = str(max(map(int, settings(tried, "accuracy", "how", varied=varied))))
    plain, wide = (_of(tried, varied, longest, reading) for reading in ("float32", "float64"))
    ours = accuracies(record)["relu-mlp"]["saturated"]
    seeds = len(tried.seeds)
    return (
        "We trained a vanilla ReLU network for as many epochs as the saturated network "
        f"({longest}), without any penalty. It classifies {plain} % of "
        f"{record.parameters['controls']:,} test images correctly under FGSM in float32, and "
        f"{wide} % under FGSM in float64 ({seeds} seeds). With the penalty of the paper these "
        f"accuracies are {spread(ours['float32'])} % and {spread(ours['float64'])} %. So in "
        "float32 the long training alone raises the FGSM accuracy, because it saturates the "
        f"softmax. {_by_the_penalty(record, tried, longest)}"
        f"\n\n{_longest_sigmoid(tried)}"
    )


def _by_the_penalty(record: Record, tried: Record, longest: str) -> str:
    """Return sentences that state, seed by seed, by how much the saturated ReLU network exceeds the
    vanilla network of equal length in its accuracy under FGSM in float32, and whether the interval
    of the mean difference contains 0.
    """
    setting = {"varied": "relu, vanilla, epochs", "how": longest}
    plain, ours = (
        {row.seed: float(row.value) for row in rows_of(each, "accuracy", reading="float32", **of)}
        for each, of in (
            (tried, setting),
            (record, {"network": "relu-mlp", "method": "saturated"}),
        )
    )
    seeds = [seed for seed in plain if seed in ours]
    more = [ours[seed] - plain[seed] for seed in seeds]
    if len(more) < 2:
        return ""
    low, high = difference_interval(
        [ours[seed] for seed in seeds], [plain[seed] for seed in seeds], paired=True
    )
    ends = f"{minus(f'{low:.0f}')} to {high:.0f}"
    text = (
        f"With the penalty the accuracy is {listed(f'{each:.0f}' for each in more)} points higher "
        f"(seeds {listed(seeds)}). The 95 % confidence interval of the mean difference is {ends}"
    )
    if low > 0 or high < 0:
        return f"{text}."
    return (
        f"{text} and contains 0. So {len(seeds)} seeds do not show that the penalty raises the "
        "accuracy under FGSM any further."
    )


def _longest_sigmoid(tried: Record) -> str:
    """Return a sentence on the vanilla sigmoid network with the longest training, which is shorter
    than that of the saturated sigmoid network.
    """
    varied = "sigmoid, vanilla, epochs"
    longest = str(max(map(int, settings(tried, "accuracy", "how", varied=varied))))
    return (
        "For the sigmoid network we have no vanilla network of equal length. Our longest training "
        f"of one has {longest} epochs, far fewer than the training of the saturated sigmoid "
        f"network ({{numref}}`tab-table-1-trainings`); under FGSM in float32 this network has an "
        f"accuracy of {_of(tried, varied, longest, 'float32')} %. So we cannot say how much of the "
        "accuracy of the saturated sigmoid network comes from its long training."
    )


def overfitted(record: Record) -> str:
    """Return sentences that show that the adversarially trained networks resist one step of FGSM
    but not PGD. The first sentence counts the networks on which even random signs succeed more
    often. If clipping to [0, 1] changes this on a network, a sentence says so.
    """
    found = {network: each["adversarial"] for network, each in accuracies(record).items()}
    ahead = {network: _above_signs(each) for network, each in found.items()}
    network = max(ahead, key=lambda each: ahead[each])
    single, signs = (fmean(found[network][name]) for name in ("float32", "signs"))
    left = max(fmean(each["pgd"]) for each in found.values())
    return (
        f"On {sum(more > 0 for more in ahead.values())} of the {len(ahead)} networks that were "
        "trained on FGSM images, one FGSM step succeeds less often than random signs of the "
        f"same size. The adversarially trained {IN_SENTENCES[network]} classifies {single:.1f} % "
        f"of {record.parameters['controls']:,} test images correctly after FGSM, and {signs:.1f} % "
        f"after random signs (both not clipped).{_reversed(found)} After 20 steps of PGD in "
        "float32 no network that was trained in this way has a mean accuracy above "
        f"{left:.1f} %."
    )


def _reversed(found: Mapping[str, dict[str, list[float]]]) -> str:
    """Return a sentence for each network on which FGSM succeeds less often than random signs
    without clipping, but more often if both are clipped to [0, 1].
    """
    ending = ", clipped"
    return "".join(
        f" On the {IN_SENTENCES[network]} clipping to [0, 1] reverses the order: "
        f"{fmean(each[f'float32{ending}']):.1f} % after FGSM, and "
        f"{fmean(each[f'signs{ending}']):.1f} % after random signs."
        for network, each in found.items()
        if _above_signs(each) > 0 > _above_signs(each, ending)
    )


def elsewhere() -> str:
    """Return sentences that state the accuracy under PGD of other networks of this book that were
    trained on FGSM images: at two radii, and with a random start.
    """
    return fast.under_pgd(record_of("survey/fast"))


def _training_row(network: str, trainings: Mapping[tuple[str, str], Any]) -> list[str]:
    """Return a row of the table of trainings. ``trainings`` has an entry for each pair (network,
    training method).
    """
    each = [trainings[network, method] for method in METHODS]
    recipes, saturated = [training.recipe for training in each], each[-1]
    anneal, (batch,) = saturated.anneal, {recipe.batch_size for recipe in recipes}
    epoch, width = IMAGES // batch, saturated.width
    return [
        NETWORKS[network],
        f"784-{width}-{width}-10" if width else "[Table 2](./table2.ipynb)",
        " / ".join(f"{round(recipe.steps / epoch):,}" for recipe in recipes),
        " / ".join(f"{recipe.lr:g}" for recipe in recipes),
        f"{batch}",
        *(f"{x:.3g}".replace("e-0", "e-") for x in (anneal.rise * anneal.rises, anneal.rise)),
        f"{round(anneal.plain / epoch)}",
    ]


def _images(record: Record) -> int:
    """Return the number of test images on which the verdicts' FGSM accuracies were measured."""
    target = fgsm_target("sigmoid-mlp", "saturated")
    return min(row.images for row in record.rows if row.target == target and row.images)


def _above_signs(found: dict[str, list[float]], ending: str = "") -> float:
    """Return by how much the accuracy after FGSM exceeds the accuracy after random signs. If the
    number is positive, the gradient misleads the attack. With ``ending`` ", clipped", both attacks
    clip images to [0, 1].
    """
    return fmean(found[f"float32{ending}"]) - fmean(found[f"signs{ending}"])


def _cell(record: Record, network: str, method: str, measure: str) -> str:
    """Return the text of a table cell: the paper's accuracy, followed by our mean accuracy with its
    range.
    """
    target = f"saturating/table-1/{network.removesuffix('-mlp')}-{method}/{measure}"
    return beside(of_target(record, target), as_printed(target))


def _attack_rows(record: Record) -> Iterator[list[str]]:
    found = accuracies(record)
    for network, title in NETWORKS.items():
        yield [f"**{title}**", *[""] * len(METHODS)]
        for attack in TABLED:
            cells = [found[network][method].get(attack, []) for method in METHODS]
            yield [ATTACKS[attack], *map(spread_or, cells)]


def _gradient_rows(record: Record) -> Iterator[list[str]]:
    for network, title in NETWORKS.items():
        for method in METHODS:
            of = {"network": network, "method": method}
            shares = [
                values(record, "unmoved", reading="float32", **of),
                values(record, "unmoved", reading="probabilities", **of),
                values(record, "certain", **of),
            ]
            size = median(values(record, "gradient", **of))
            lead = spread(values(record, "lead", **of), 0)
            yield [f"{title}, {method}", *map(spread, shares), lead, minus(f"{size:.2g}")]


def _search_rows(tried: Record, words: Mapping[str, str]) -> Iterator[list[str]]:
    """Yield a row for each training. ``words`` has the name of a row for each varied choice."""
    pairs = dict.fromkeys((row.setting["varied"], row.setting["how"]) for row in tried.rows)
    for varied, how in ((str(a), str(b)) for a, b in pairs if a in words):
        cells = [_of(tried, varied, how, attack) for attack in SEARCHED]
        zero = values(tried, "unmoved", varied=varied, how=how, reading="float32")
        number = f"{int(float(how)):,}" if how.endswith("000") or "e+" in how else how
        yield [words[varied].format(number), *cells, spread(zero)]


def _of(tried: Record, varied: str, how: str, reading: str) -> str:
    """Return as text a network's accuracy if one training setting differs from Table 1."""
    return spread(values(tried, "accuracy", varied=varied, how=how, reading=reading))
