"""Compute what the overview of the survey shows: the finding of each page, and the factor by which
each defense slows down training.
"""

from dataclasses import dataclass
from statistics import fmean

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.claims import Finding, claims_table, of_all, of_best
from robustbook.chapters.published import (
    benchmark,
    first,
    images_of,
    mean,
    record_of,
    records_of,
    settings,
    values,
    without_quick,
)
from robustbook.chapters.wording import from_to, listed
from robustbook.figures import LOOKS, MISSING, Table, table
from robustbook.ledger import Record
from robustbook.studies.survey.sizes import RADIUS

from . import (
    certified,
    denoising,
    fast,
    madry,
    pairing,
    post,
    szegedy,
    transformations,
)

EPS = 0.25
"""The radius of the attacks on the page on Goodfellow's loss."""
WEAK, STRONG = "weaker attack", "stronger attack"
TRAINED = "at100"
"""The kind of adversarial training in `kept`: on adversarial images alone."""
SINGLE_STEP = ("fgsm", "fgsm-rs", "fgsm-rs-2", "n-fgsm")
"""The methods of fast training that have a single attack step and a constant radius."""
LOOK = {WEAK: LOOKS["none"], STRONG: LOOKS["adv"]}


def _szegedy(record: Record) -> str:
    found = szegedy.distortions(record)
    small = [own for own, _ in found.values()]
    above, pairs = szegedy.above_noise(record)
    return (
        f"Changes of {from_to(small, '.3f')} (root mean square) lead {len(found)} networks to a "
        f"random class; in {above} of {pairs} pairs, others misclassify clearly more than under "
        "noise of size 0.1"
    )


def _goodfellow(record: Record) -> str:
    fgsm, pgd = (
        mean(record, "error", network="maxout 0.5", attack=attack) for attack in ("fgsm", "pgd-40")
    )
    plain, clean = (
        mean(record, "error", network=network, attack="clean")
        for network in ("maxout 1", "maxout 0.5")
    )
    return (
        f"Error of {clean:.2f} % on clean images ({plain:.2f} % without FGSM images in training), "
        f"{fgsm:.0f} % under FGSM and {pgd:.0f} % under PGD"
    )


def _madry(record: Record) -> str:
    images = images_of(record, "accuracy", source="white", attack="worst")
    worst = mean(record, "accuracy", source="white", attack="worst")
    network = madry.network(record)
    share = madry.effort(record)
    shorter = f"with {100 * share:.1g} % of the paper's training passes, " if share < 1 else ""
    pgd = fmean(madry.on_first(record, images, "pgd-40"))
    text = (
        f"{shorter}{network} has {worst:.0f} % under all strong attacks, and {pgd:.0f} % under "
        f"PGD, on {images} images"
    )
    return f"{text[0].upper()}{text[1:]}"


def _fast(record: Record) -> str:
    name, eps = fast.first_set(record), fast.main_radius(record)
    pgd, auto = (
        mean(record, "accuracy", set=name, eps=eps, method="fgsm-rs", attack=attack)
        for attack in ("pgd-50-10", "autoattack")
    )
    return (
        f"Accuracy of {pgd:.0f} % under PGD with restarts and {auto:.0f} % under AutoAttack at "
        f"radius {eps:g}"
    )


def _pairing(records: list[Record]) -> str:
    record = pairing.first_with(records, pairing.FALLEN)
    clp, lsq = (pairing.at_strongest(record, method) for method in pairing.FALLEN)
    text = f"Under strong attacks together, {clp:.1f} % with CLP and {lsq:.1f} % with LSQ"
    narrow = pairing.most_methods(records)
    trained = [m for m in pairing.methods(narrow) if m not in ("plain", *pairing.FALLEN)]
    told = []
    for words, inside in (("with ALP", True), ("with AT alone", False)):
        left = [pairing.at_strongest(narrow, m) for m in trained if m.endswith("-alp") == inside]
        if left:
            told.append(f"{from_to(left, '.0f')} % {words}")
    return f"{text}; narrow networks: {listed(told)}" if told else text


def _filters(record: Record) -> tuple[list[str], int]:
    """Return the filters of a record, and how many of them clearly change the accuracy under PGD,
    compared with the network without blocks.
    """
    filters = [name for name in denoising.variants(record) if name in denoising.FILTERS]
    return filters, sum(denoising.apart(record, name, "baseline") for name in filters)


def _denoising(record: Record) -> str:
    filters, clear = _filters(record)
    found = [denoising.accuracy(record, name, "pgd-20") for name in filters]
    return (
        f"Under PGD, {from_to(found, '.1f')} % with filters, "
        f"{denoising.accuracy(record, 'baseline', 'pgd-20'):.1f} % without ({clear} of "
        f"{len(filters)} clear)"
    )


def _certified(records: list[Record]) -> str:
    record = certified.measured(records)
    share = 100 * certified.certified(record, certified.AT, 0.25)
    return f"A certified accuracy of {share:.0f} % at l2 radius 0.25, for a small network"


# Each function above returns one short finding for the table of claims.
CLAIMS = (
    Finding(
        "Small perturbations fool networks, and transfer between them (Szegedy et al. 2013)",
        ("szegedy",),
        "szegedy.*",
        of_best(_szegedy, "survey/szegedy"),
        "Szegedy et al. 2013",
    ),
    Finding(
        "Training on clean and FGSM images lowers the error on both (Goodfellow et al. 2015)",
        ("goodfellow",),
        "goodfellow/.*",
        of_best(_goodfellow, "survey/goodfellow"),
        "Goodfellow's loss",
        r"goodfellow/claim/fgsm-training-not-pgd-robust",
    ),
    Finding(
        "Adversarial training with PGD makes networks robust (Madry et al. 2018)",
        ("madry",),
        "madry-(table-1|mnist)/.*",
        of_best(_madry, "survey/madry"),
        "Madry's Table 1",
    ),
    Finding(
        "One FGSM step from a random start is enough in training (Wong et al. 2020)",
        ("fast",),
        "(wong|n-fgsm|fgsm-rs)/.*",
        of_best(_fast, "survey/fast"),
        "Fast training",
        r"fgsm-rs/.*/collapse",
    ),
    Finding(
        "Pairing or squeezing logits makes networks robust (Kannan et al. 2018)",
        ("pairing",),
        "(mosbach-mnist|mosbach-cifar10|engstrom)/.*",
        of_all(_pairing, "survey/pairing"),
        "Logit pairing",
        r"mosbach-.*/claim/(clp|lsq)-falls|engstrom/claim/bumpy-landscape",
    ),
    Finding(
        "A perturbation grows through the layers of a network",
        ("post",),
        "blog/.*",
        of_best(post.growing_in_words, "survey/post"),
        "The post",
    ),
    Finding(
        "Feature denoising improves adversarial training (Xie et al. 2019)",
        ("denoising",),
        "denoise-cifar/.*",
        of_best(_denoising, "survey/denoising"),
        "Feature denoising",
    ),
    Finding(
        "Random resizing and JPEG reduce the effect of attacks (Xie et al. 2018, Das et al. 2017)",
        ("transformations",),
        "transform-cifar/.*",
        of_best(transformations.adaptive_in_words, "survey/transformations"),
        "Input transformations",
        r"transform-cifar/.*/(eot|bpda)-accuracy",
    ),
    Finding(
        "Random noise gives a proof of robustness (Cohen et al. 2019, not in the post)",
        ("certified",),
        "cohen-cifar10/.*",
        of_all(_certified, "survey/certified"),
        "Certified accuracy",
    ),
)


@dataclass(frozen=True)
class Kept:
    """The accuracies in per cent of one network with a defense, under a weak attack and under a
    strong attack on the same images. The field ``network`` names the network and its data.
    """

    weak: float
    strong: float
    network: str


def kept() -> dict[str, Kept]:
    """Return for each of four defenses the accuracies of a network with this defense, under a weak
    attack and under a strong attack.

    The keys of the dict are ``pgd`` (training with PGD), ``pairing`` (clean logit pairing),
    ``squeezing`` (logit squeezing) and ``jpeg`` (JPEG compression). The first three are for the
    same network architecture and the same test images. For JPEG, both attacks are on the network
    without JPEG: the weak attack is DeepFool, and the strong attack is PGD.
    """
    record = pairing.most_methods(records_of("survey/pairing"))
    found = {
        name: _trained(record, method)
        for name, method in (("pgd", TRAINED), ("pairing", "clp"), ("squeezing", "lsq"))
    }
    changed = record_of("survey/transformations")
    weak, strong = (transformations.accuracy(changed, "jpeg", a) for a in ("deepfool", "pgd"))
    return {**found, "jpeg": Kept(weak, strong, transformations.network(changed))}


def _trained(record: Record, method: str) -> Kept:
    """Return the accuracies of the network of a training method on logit pairing's page."""
    images = images_of(record, "accuracy", network=method, attack="strongest")
    return Kept(
        pairing.at_baseline(record, method),
        pairing.at_strongest(record, method),
        f"{pairing.title(record)} ({images:,} test images)",
    )


def answer(_: Record) -> str:
    """Return a sentence that states how far the accuracies fall under stronger attacks after all
    kinds of adversarial training, and with clean logit pairing.
    """
    falls = from_to([of.weak - of.strong for of in _adversarial()], ".0f")
    return (
        f"If stronger attacks replace PGD on the same images, the accuracy falls by {falls} "
        "percentage points after adversarial training, and from "
        f"{_fall(kept()['pairing'])} with clean logit pairing."
    )


def _adversarial() -> list[Kept]:
    """Return the accuracies of all adversarially trained networks on logit pairing's page."""
    record = pairing.most_methods(records_of("survey/pairing"))
    return [_trained(record, m) for m in pairing.ADVERSARIAL if m in pairing.methods(record)]


def _fall(of: Kept) -> str:
    return f"{of.weak:.1f} to {of.strong:.1f} %"


def others() -> str:
    """Return sentences that state on which networks the page's answer is measured, the accuracies
    after adversarial training and at the paper's width, and how far the accuracies of three more
    defenses fall.
    """
    found, trained = kept(), _adversarial()
    pgd, squeezing, jpeg = (found[k] for k in ("pgd", "squeezing", "jpeg"))
    aware = transformations.aware(record_of("survey/transformations"), "jpeg", 1)
    before, after = (from_to(ends, ".0f") for ends in zip(*map(_ends, trained), strict=True))
    kinds = f"{len(trained)} kinds" if len(trained) > 1 else "one kind"
    return (
        f"The numbers of the answer are for {pgd.network}. After {kinds} of adversarial training, "
        f"the accuracy is {before} % under PGD and {after} % under the stronger attacks. With "
        f"logit squeezing, it changes from {_fall(squeezing)}. {_at_width()}With pairing and "
        "squeezing, the training images also have noise, so we do not know what the penalties "
        f"contribute. {_denoised(record_of('survey/denoising'))} We also put JPEG in front of "
        f"{jpeg.network}. If the attack uses the network alone, the accuracy is {jpeg.weak:.1f} % "
        f"under DeepFool and {jpeg.strong:.1f} % under PGD at radius {RADIUS}/255. If PGD attacks "
        f"through JPEG, it is {aware:.1f} %."
    )


def _ends(of: Kept) -> tuple[float, float]:
    return of.weak, of.strong


def _at_width() -> str:
    """Return a sentence on both penalties in the largest experiment that has them, or "" if the
    answer is from this experiment.
    """
    records = records_of("survey/pairing")
    largest = pairing.first_with(records, pairing.FALLEN)
    if largest is pairing.most_methods(records):
        return ""
    clp, lsq = (_trained(largest, method) for method in pairing.FALLEN)
    return (
        f"For {clp.network}, the accuracy falls from {_fall(clp)} with clean logit pairing, and "
        f"from {_fall(lsq)} with logit squeezing. "
    )


def _denoised(record: Record) -> str:
    """Return a sentence that states how many filters change the accuracy of adversarially trained
    networks under PGD.
    """
    filters, clear = _filters(record)
    return (
        f"Of {len(filters)} filters for feature denoising, {clear or 'none'} clearly "
        f"change{'s' * (clear < 2)} the accuracy under PGD."
    )


def on_training() -> str:
    """Return sentences that state whether our networks can show that adversarial training is robust
    and that penalties on logits are not. The last sentence is about training with a single step.
    """
    record = pairing.most_methods(records_of("survey/pairing"))
    page = "On the page [Logit pairing](./pairing.ipynb)"
    trained = [method for method in pairing.ADVERSARIAL if method in pairing.methods(record)]
    if not pairing.inconclusive(record, record):
        others = [m for m in pairing.methods(record) if m not in pairing.ADVERSARIAL]
        better = {m: pairing.is_robust(record, m) for m in others}
        penalty = " So is Plain + ALP, which uses adversarial images only in its penalty."
        return (
            f"{page}, the {len(trained)} networks trained on PGD images are better than guessing "
            f"under the stronger attacks.{penalty * better.get('plain-alp', False)} "
            f"{listed(pairing.METHODS[m] for m in others if not better[m])} are not. "
            f"{_single_step()}"
        )
    robust = sum(pairing.is_robust(record, method) for method in trained)
    return (
        f"{page}, the comparison is inconclusive: {robust} of {len(trained)} networks trained on "
        f"PGD images are better than guessing under the stronger attacks. {_single_step()}"
    )


def _single_step() -> str:
    """Return sentences that say how many kinds of training with a single attack step are below
    guessing under strong attacks, on the pages on Goodfellow's loss and on fast training, and which
    are not.
    """
    found, quick = single_step_accuracies(), record_of("survey/fast")
    low = [accuracy for accuracy in found.values() if accuracy < pairing.GUESSING]
    alphas = sum(name.startswith("alpha") for name in found)
    told = f" ({from_to(low, '.1f')} %)" if low else ""
    rest = [f"{n} ({a:.0f} %)" for n, a in found.items() if a >= pairing.GUESSING]
    told += f", but not {listed(rest)}" if rest else ""
    return (
        "The pages [Goodfellow's loss](./goodfellow.ipynb) and [Fast training](./fast.ipynb) have "
        f"{len(found)} kinds of training with a single attack step on MNIST ({alphas} values of "
        f"alpha, and {len(found) - alphas} methods). Under strong attacks of radius {EPS:g} or "
        f"{fast.main_radius(quick):g}, {len(low)} of them are below guessing{told}."
        f"{_smaller_experiments()}{_smaller_radii(quick)}"
    )


def _smaller_experiments() -> str:
    """Return a sentence on trainings with a single attack step in smaller experiments, after which
    the network is better than guessing under PGD: N-FGSM with a rising radius, and networks with
    few units on Madry's page. Return "" if there are none.
    """
    of = {"method": "n-fgsm-rising", "attack": "pgd-50"}
    found = {}
    risen = first(records_of("survey/fast"), "accuracy", **of)
    if risen is not None:
        found["N-FGSM with a rising radius"] = mean(risen, "accuracy", **of)
    of = {"training": "fgsm", "attack": "pgd-40"}
    narrow = first(records_of("survey/madry"), "accuracy", **of)
    if narrow is not None:
        for units in settings(narrow, "accuracy", "units", **of):
            words = f"FGSM for {units} hidden units on [Madry's page](./madry.ipynb)"
            found[words] = mean(narrow, "accuracy", units=units, **of)
    told = [f"{words} ({a:.0f} %)" for words, a in found.items() if a >= pairing.GUESSING]
    if not told:
        return ""
    return f" In smaller experiments, tested with PGD alone, exceptions are {listed(told)}."


def _smaller_radii(record: Record) -> str:
    """Return sentences that state the accuracies under PGD at radii below the main one, first for
    those methods of fast training with a single step that are better than guessing at all of them,
    and then for each of the others.
    """
    main = fast.main_radius(record)
    at = {"set": fast.first_set(record), "attack": "pgd-50"}
    found = {
        method: {
            eps: mean(record, "accuracy", method=method, eps=eps, **at)
            for eps in settings(record, "accuracy", "eps", method=method, **at)
            if eps < main
        }
        for method in SINGLE_STEP
    }
    kept = {m: of for m, of in found.items() if of and min(of.values()) > pairing.GUESSING}
    radii = sorted({eps for of in kept.values() for eps in of})
    shares = [share for of in kept.values() for share in of.values()]
    told = (
        f" At radius {listed(f'{eps:g}' for eps in radii)}, networks trained on "
        f"{' or on '.join(fast.METHODS[m][0] for m in kept)} keep {from_to(shares, '.0f')} % under "
        "PGD with 50 steps."
        if kept
        else ""
    )
    for method, of in found.items():
        if of and method not in kept:
            left = listed(f"{share:.1f} % at radius {eps:g}" for eps, share in of.items())
            told += f" Training on {fast.METHODS[method][0]} keeps {left}."
    return told


def single_step_accuracies() -> dict[str, float]:
    """Return the accuracies in per cent under strong attacks of networks trained on MNIST with a
    single attack step, as means over the seeds: for each alpha below 1 in Goodfellow's loss, and
    for each method of fast training at its main radius. The keys are names for the reader.
    """
    loss, quick = record_of("survey/goodfellow"), record_of("survey/fast")
    found = {
        network.replace("maxout", "alpha"): 100
        - mean(loss, "error", network=network, attack="worst")
        for network in settings(loss, "error", "network", attack="worst")
        if network != "maxout 1"
    }
    at = {"set": fast.first_set(quick), "eps": fast.main_radius(quick)}
    for method in SINGLE_STEP:
        under = [
            fmean(each)
            for attack in ("pgd-50-10", "autoattack", "worst")
            if (each := values(quick, "accuracy", method=method, attack=attack, **at))
        ]
        if under:
            found[fast.METHODS[method][0]] = min(under)
    return found


def on_transformations() -> str:
    """Return sentences that state at which radii PGD is weaker if it does not know that JPEG is
    used. They also state how large the perturbations of PGD and of DeepFool are, and the accuracy
    after JPEG on DeepFool's images.
    """
    record = record_of("survey/transformations")
    weak = kept()["jpeg"].weak
    alone = transformations.accuracy(record, "jpeg", "pgd")
    near = mean(record, "median distance", attack="deepfool")
    far = mean(record, "median distance", attack="pgd", eps=RADIUS)
    needs = "needs no" if alone < transformations.BROKEN else "needs"
    helps = [
        f"{eps:g}/255 ({blind:.1f} against {through:.1f} %)"
        for eps, blind, through in transformations.clearly_stronger(record).get("jpeg", [])
        if eps < RADIUS
    ]
    images = images_of(record, "accuracy", front="jpeg", attack="pgd", eps=RADIUS)
    return (
        f"At radius {RADIUS}/255, PGD {needs} knowledge of JPEG: if it attacks our "
        f"network without JPEG, the accuracy with JPEG is {alone:.1f} % ({images:,} test images, "
        f"{'one network' if len(record.seeds) == 1 else f'{len(record.seeds)} networks'}). "
        f"{f'Knowledge helps at {listed(helps)}. ' if helps else ''}After DeepFool's attack the "
        f"accuracy is {weak:.0f} %, but the median l2 norm of DeepFool's perturbations is "
        f"{near:.2f}, and of PGD's {far:.2f} at {RADIUS}/255."
    )


def accuracies() -> Figure:
    """Draw the accuracy under a weak attack and under the strongest attack, with one row for each
    defense. Each record on logit pairing has a panel, and the transformations have one.
    """
    changed = record_of("survey/transformations")
    shown = {}
    for paired in without_quick(records_of("survey/pairing")):
        rows = {}
        for method in pairing.methods(paired):
            _, weak, strong = pairing.marks(paired, method).values()
            rows[pairing.METHODS[method]] = {WEAK: weak, STRONG: strong}
        shown[f"training: {pairing.heading(paired)}"] = rows
    shown[f"transformations: {_data(changed)}"] = {
        transformations.FRONTS[name]: {
            WEAK: transformations.found(changed, name, "deepfool"),
            STRONG: transformations.found(changed, name, "pgd"),
        }
        for name in transformations.SHOWN
    }
    figure = figures.strips(shown, LOOK, "correctly classified (%)", own_rows=True)
    for axis in figure.axes:  # the same scale for all panels
        axis.set_xlim(-3, 103)
    return figure


def claims() -> Table:
    """Return a table with one row for each claim of a paper. The columns are the claim, the page
    that tests the claim, our finding, and the counts of the verdicts.
    """
    caption = (
        "Each claim, the page that tests it, our finding, and the number of verdicts of each kind. "
        "A reproduced number need not support the claim. *Claim tested by us*: we chose the "
        "experiment that tests it. *Statement against the claim*: a statement of ours or of "
        "another paper; if it is reproduced, it speaks against the claim. The last row has the "
        "numbers that decide no claim, also those of pages with a row of their own."
    )
    return claims_table("survey", caption, "tab-survey-overview", CLAIMS)


def on_costs() -> str:
    """Return a sentence that states how much longer a training step takes with Goodfellow's loss
    and with PGD than on clean images.
    """
    times = fast.step_times()
    fgsm, pgd = (from_to([*times[case].values()], ".1f") for case in ("Goodfellow", "PGD-7"))
    return (
        f"Compared with a training step on clean images, a step with Goodfellow's loss takes "
        f"{fgsm} times as long. A step with 7 steps of PGD takes {pgd} times as long."
    )


def costs() -> Table:
    """Return a table of the times of a training step with several training objectives, divided by
    the time of a training step on clean images.
    """
    processor = benchmark("adversarial_training")["processor"]
    networks = {"lenet": "LeNet", "vgg16, 1/8": "VGG-16 with 1/8 of the channels"}
    return table(
        "Time of a training step divided by that of a training step on clean images, for two "
        f"networks on one thread ({processor}). PGD-7 is adversarial training with 7 "
        "steps of PGD; Goodfellow is training on clean and on FGSM adversarial images; FGSM-RS is "
        "training with FGSM from a random start; 50% AT + ALP is adversarial logit pairing with "
        "half of the loss on adversarial images; TRADES is another form of adversarial training.",
        "tab-survey-costs",
        ["Training", *networks.values()],
        [
            [case, *(f"{of[net]:.1f}" if net in of else MISSING for net in networks)]
            for case, of in fast.step_times().items()
        ],
    )


def _data(record: Record) -> str:
    return "digits" if record.profile == "quick" else "CIFAR-10, narrow"
