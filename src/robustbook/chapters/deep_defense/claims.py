"""Compute the content of the page on ten statements in the authors' blog post."""

from collections.abc import Sequence
from statistics import fmean
from textwrap import fill

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.badges import of_page
from robustbook.chapters.published import (
    entries,
    images_of,
    mean,
    printed,
    record_of,
    values,
)
from robustbook.chapters.wording import listed, minus, page_link, power, spread
from robustbook.figures import Table, table
from robustbook.ledger import Record, difference_interval

from .names import (
    METHODS,
    counted,
    networks,
    size_text,
    sizes,
    title,
)
from .replication import on_clothing
from .today import nearer

CLAIMS = (
    (
        "Perturbations that fool a network can be a thousand times smaller than the image",
        "the norm of the image divided by that of the perturbation, on a network for large images",
    ),
    (
        "One case of the claim that even leading networks can be fooled to misclassify adversarial "
        "images with high confidence",
        "mean confidence of a small network in the wrong class under PGD at least 0.7 (our "
        "threshold)",
    ),
    (
        "Instability to random noise is less critical",
        "our reading: to fool the network on half of the images, noise has to be at least 5 times "
        "as large as DeepFool's perturbation (our threshold)",
    ),
    (
        "One consequence of the view of Goodfellow and others that linearity is the main reason "
        "for adversarial images: few linear steps reach the class boundary",
        "DeepFool, which assumes that networks are linear, needs fewer than 3 steps on "
        "average; this is consistent with the view, but does not test the cause",
    ),
    (
        "One case of the claim that Deep Defense significantly improves the resistance of "
        "different networks to advanced attacks",
        "the ρ₂ of Deep Defense is above that of the reference network (one network, and DeepFool "
        "only)",
    ),
    (
        "One case of the claim that no loss of accuracy was observed (MNIST, CIFAR-10, ImageNet)",
        "the accuracy of Deep Defense is not more than 0.2 points below that of the reference "
        "network (one network, and MNIST only)",
    ),
    (
        "Deep Defense gives far more robustness than adversarial training and Parseval training",
        "the ρ₂ of Deep Defense is above that of adversarial training II, the method of "
        "Goodfellow and others that the post cites",
    ),
    (
        "Approximations make Parseval training less effective against very strong attacks",
        "not decided, because our Parseval training is only a short fine-tuning; the number is its "
        "increase in ρ₂ as a share of that by Deep Defense",
    ),
    (
        "The regulariser is meant to encourage relatively large perturbations for correctly "
        "classified images and possibly small ones for misclassified images (an aim, not a claim)",
        "not decided, because the post reports no such result; the numbers compare the sizes on "
        "test images with those of the reference network",
    ),
    (
        "One consequence of the claim that the regulariser is precise and trained jointly: its "
        "gradient is exact",
        "the gradient of the regulariser agrees with finite differences to 1 %, and training "
        "without the regulariser gives less than 10 % of the increase in ρ₂",
    ),
)
"""The statements of the post in our words, and for each the measurement that decides it."""
SMALLER = 1000
"""By how much a perturbation can be smaller than its image, according to claim 1."""
CONSEQUENCES = (4, 10)
"""The claims of which we tested one consequence, and not the claim itself."""
LOOKS = {
    "Deep Defense": figures.LOOKS["deep-defense"],
    "with one of its two terms": figures.LOOKS["combination"],
    "other networks": figures.LOOKS["reference"],
}
COMPARED = ("reference", "clean", "par-networks", "adv-training-i", "deep-defense")
SIDES = {
    "reference": "Reference",
    "clean": "Clean fine-tuning",
    "deep-defense": "Deep Defense",
    "correct": "only the term for correct images",
    "wrong": "only the term for wrong images",
}


def answer(record: Record) -> str:
    """Return a sentence that states how many claims pass our tests, and that of two others only a
    consequence was tested. It ends with the page's verdicts.
    """
    passing, failing = _whole()
    badges = of_page(
        "deep_defense/claims",
        {
            "claim 7": "claim-7/",
            "statements 8 and 9, untested": "claim-[89]/",
            "consequences of claims 4 and 10": "claim-(4|10)/",
            "the others": "",
        },
    )
    return (
        f"On one MLP, {len(passing)} claims pass our tests, and the claim of more robustness than "
        f"adversarial training {'fails' if 7 in failing else 'passes'}; of {len(CONSEQUENCES)} "
        f"other claims we tested only a consequence. {badges}"
    )


def in_short() -> str:
    """Return our finding as a phrase for the overview page."""
    passing, failing = _whole()
    held = [i for i in CONSEQUENCES if _verdicts()[i - 1] == "reproduced"]
    return (
        f"on one MLP, {_named(passing)} pass our tests; of {_named(CONSEQUENCES)} one consequence "
        f"each was tested ({counted([i in held for i in CONSEQUENCES], 'tests')} passed); "
        f"{_named(failing)} (against adversarial training II) {_fails(failing)}"
    )


def _whole() -> tuple[list[int], list[int]]:
    """Return the numbers of the claims that pass our tests, and of those that fail, without the
    claims of which only a consequence was tested.
    """
    tested = {i: v for i, v in enumerate(_verdicts(), 1) if i not in CONSEQUENCES}
    passing, failing = (
        [i for i, verdict in tested.items() if verdict == kind]
        for kind in ("reproduced", "not reproduced")
    )
    return passing, failing


def _named(failing: Sequence[int]) -> str:
    return f"claim{'s' if len(failing) > 1 else ''} {listed(failing)}"


def _fails(failing: Sequence[int]) -> str:
    return "fail" if len(failing) > 1 else "fails"


def failed(record: Record) -> str:
    """Return sentences that name the claims that fail, with the numbers that decide claim 7."""
    _, failing = _whole()
    table_1 = record_of("deep_defense/table-1")
    ours, rival = (
        mean(table_1, "rho2", network="mlp", method=method)
        for method in ("deep-defense", "adv-training-ii")
    )
    return (
        f"{_named(failing).capitalize()} {_fails(failing)}: $\\rho_2$ is {ours:.3f} with Deep "
        f"Defense and {rival:.3f} with adversarial training II. Claim 6 (no loss of accuracy) "
        "passes on MNIST for Deep Defense. For CIFAR-10 we have only narrow networks "
        f"({page_link('table1')} states the accuracies)."
    )


def aim(record: Record) -> str:
    """Return sentences that state how Deep Defense changes the perturbations of correctly
    classified and of misclassified test images, and which images count as 0 in the second mean.
    """
    right, wrong = _factors(record)
    count, corrected, before, after = _misclassified(record)
    ours, start = (
        fmean(_got(record, "accuracy", "read", m)) for m in ("deep-defense", "reference")
    )
    images = images_of(record_of("deep_defense/table-1"), "accuracy", network="mlp")
    return (
        f"On test images, the perturbations of correctly classified images become {right:.2f} "
        f"times as large, as intended. Over the {count:.0f} images that the reference network "
        f"misclassifies, the mean becomes {wrong:.2f} times as large, although the aim is "
        "possibly small perturbations. In this mean, an image that is classified correctly after "
        f"Deep Defense counts as 0. The accuracy on the {images:,} test images rises by "
        f"{ours - start:.2f} points, so at least {corrected:.0f} of the {count:.0f} images are now "
        f"classified correctly, as intended. Over the other {count - corrected:.0f} or fewer "
        f"images the mean is at least {after:.3f}. For the reference network we stored only "
        f"the mean over all {count:.0f}, {before:.3f}. We did not measure the "
        "training images, on which the regulariser acts."
    )


def _misclassified(record: Record) -> tuple[float, float, float, float]:
    """Return four means over the seeds for the test images that the reference network
    misclassifies: their number; the smallest possible number of them that Deep Defense classifies
    correctly; the relative size of their perturbations before Deep Defense; and the smallest
    possible relative size after it, over the images that stay misclassified.

    At least as many images become correct as the number of all correct images grows. The stored
    size is a mean in which these images count as 0.
    """
    counts = _got(record, "images", "sides", "reference")
    ours, start = (_got(record, "accuracy", "read", m) for m in ("deep-defense", "reference"))
    of = images_of(record_of("deep_defense/table-1"), "accuracy", network="mlp")
    corrected = [max(0.0, of * (a - b) / 100) for a, b in zip(ours, start, strict=True)]
    sizes = _got(record, "wrong", "sides", "deep-defense")
    after = [size * n / (n - k) for size, n, k in zip(sizes, counts, corrected, strict=True)]
    before = _got(record, "wrong", "sides", "reference")
    return fmean(counts), fmean(corrected), fmean(before), fmean(after)


def one_term(record: Record) -> str:
    """Return sentences that state what each term of the regulariser does alone: whether the term
    for misclassified images changes any stored number, and how the perturbations of correct images
    change if only the other term is used.
    """
    same = all(
        _got(record, side, "sides", "wrong") == _got(record, side, "sides", "clean")
        for side in ("correct", "wrong")
    )
    alone, both = (_got(record, "correct", "sides", m) for m in ("correct", "deep-defense"))
    ratio = fmean(alone) / fmean(both)
    low, high = difference_interval(alone, both, paired=True)
    chance = "" if low > 0 or high < 0 else ", but the confidence interval contains 0"
    untested = (
        "gives the same sizes of perturbations as clean fine-tuning, in all stored digits and with "
        f"{counted([True] * len(alone), 'seeds')}. So during this run probably no training image "
        "was misclassified, and the run does not test the term."
        if same
        else "changes the perturbations."
    )
    acts = (
        " Probably the term for correct images makes the network misclassify some training "
        "images, on which the other term then acts."
        if same and not chance
        else ""
    )
    return (
        f"Training with the term for misclassified images alone {untested} With the other term "
        f"alone, the perturbations of correct images are {100 * abs(ratio - 1):.1f} % "
        f"{'larger' if ratio > 1 else 'smaller'} than with both terms (with "
        f"{counted([(a > b) == (ratio > 1) for a, b in zip(alone, both, strict=True)], 'seeds')}"
        f"{chance}).{acts} The accuracies of these networks were not measured."
    )


def terms_in_short(record: Record) -> str:
    """Return sentences for the overview page that state what the regulariser's two terms do."""
    right, _ = _factors(record)
    alone, start = (
        fmean(_got(record, "correct", "sides", method)) for method in ("correct", "reference")
    )
    return (
        "On the MLP, the term for correctly classified images alone makes their perturbations "
        f"{alone / start:.2f} times as large, and both terms together {right:.2f} times "
        f"({page_link('claims')}). The term for misclassified images alone was not tested, because "
        "probably no training image was misclassified in that run."
    )


def _verdicts() -> list[str]:
    found = {entry.item: entry.verdict for entry in entries("deep_defense")}
    return [found[f"claim-{i}"] for i in range(1, len(CLAIMS) + 1)]


def strips(record: Record) -> Figure:
    """Draw the mean relative size of DeepFool's perturbations after each training method. One panel
    is for correctly classified images, the other for misclassified images. Each mark is the result
    of training with one seed. Only the MLP is measured. If it was not run, the titles say so.
    """
    end = "" if "mlp" in networks(record) else ", MLP not run"
    panels = {"correct": f"classified correctly{end}", "wrong": f"misclassified{end}"}
    found = {
        words: {
            fill(name, 18): {_drawn(method): _got(record, side, "sides", method)}
            for method, name in SIDES.items()
        }
        for side, words in panels.items()
    }
    return figures.strips(found, LOOKS, "relative size (axis not from 0)", from_zero=False)


def _drawn(method: str) -> str:
    """Return the legend entry of a method's points."""
    whole, part, others = LOOKS
    return whole if method == "deep-defense" else part if method in ("correct", "wrong") else others


def verdicts() -> Table:
    """Return a table of the ten statements with our numbers and verdicts, such as "reproduced"."""
    ours = ["", *_numbers(record_of("deep_defense/claims"))]
    return table(
        "The statements, the test that decides each of them, our numbers on one MLP (means over "
        "the seeds), and the verdict.",
        "tab-dd-claims",
        ["Statement", "Verdict", "Ours", "Decided by"],
        [
            [f"{i}. {claim}", verdict, number, decides]
            for i, ((claim, decides), number, verdict) in enumerate(
                zip(CLAIMS, ours, _verdicts(), strict=True), 1
            )
        ],
        align="llll",
    )


def _numbers(record: Record) -> list[str]:
    """Return for each of the claims 2 to 10 our numbers as text, as the claim's test compares
    them.
    """
    start, ours, clean, parseval = (
        {name: fmean(_got(record, name, "read", method)) for name in ("rho", "accuracy")}
        for method in ("reference", "deep-defense", "clean", "par-networks")
    )
    rival = mean(record_of("deep_defense/table-1"), "rho2", network="mlp", method="adv-training-ii")
    gained = ours["rho"] - start["rho"]
    clean_share, share = (100 * (each["rho"] - start["rho"]) / gained for each in (clean, parseval))
    right, wrong = _factors(record)
    error = fmean(_got(record, "error", "exactness", "deep-defense"))
    return [
        f"confidence {_mean(record, 'pgd', 'confidence'):.2f}",
        f"{_mean(record, 'ratio', 'noise'):.1f} times",
        f"{_mean(record, 'iterations', 'read'):.2f} steps",
        f"Deep Defense {ours['rho']:.3f}, reference {start['rho']:.3f}",
        f"Deep Defense {ours['accuracy']:.2f} %, reference {start['accuracy']:.2f} %",
        f"Deep Defense {ours['rho']:.3f}, adversarial training II {rival:.3f}",
        minus(f"{share:.1f} %"),
        f"correct images {right:.2f} times, misclassified images {wrong:.2f} times",
        f"relative error {power(error)}; without the regulariser {minus(f'{clean_share:.1f}')} % "
        "of the increase",
    ]


def _factors(record: Record) -> tuple[float, float]:
    """Return by which factor Deep Defense changes the size of the perturbations: first of
    correctly classified images, then of misclassified images.
    """
    right, wrong = (
        fmean(_got(record, side, "sides", "deep-defense"))
        / fmean(_got(record, side, "sides", "reference"))
        for side in ("correct", "wrong")
    )
    return right, wrong


def first(record: Record) -> str:
    """Return sentences that state the result for claim 1: the norm of an image divided by the norm
    of DeepFool's perturbation, for three networks.
    """
    caffenet, googlenet = (
        1 / float(printed(f"deep_defense/anchor-deepfool-table-1/{network}-ilsvrc2012/rho2") or 0)
        for network in ("caffenet", "googlenet")
    )
    return (
        f"**Claim 1.** According to the post, perturbations *can be* {SMALLER:,} times smaller "
        "than the image. This can only be tested with a network for photographs. We have code for "
        "ImageNet but not the photographs, so we use $\\rho_2$ of two networks in the DeepFool "
        "paper {cite}`moosavi2016`. "
        f"That paper itself states {SMALLER:,} for such networks. But on average, the norm of the "
        f"perturbation is 1/{caffenet:.0f} of that of its image for CaffeNet and "
        f"1/{googlenet:.0f} for GoogLeNet (for our MLP on digits, "
        f"1/{1 / _mean(record, 'rho', 'read'):.0f}). Single images may reach "
        f"1/{SMALLER:,}; we could not check this."
    )


def second_to_fourth(record: Record) -> str:
    """Return paragraphs that state the results for claims 2, 3 and 4. Claim 2 is about the
    confidence in wrong predictions, claim 3 about the size of noise that fools the network, and
    claim 4 about the number of DeepFool steps.
    """
    clean, fgsm, fgsm_share, pgd, pgd_share = (
        _mean(record, name, "confidence")
        for name in ("clean", "fgsm", "fgsm turned", "pgd", "pgd turned")
    )
    noise, deepfool, ratio = (
        _mean(record, name, "noise") for name in ("accuracy", "under deepfool", "ratio")
    )
    return "\n\n".join(
        [
            f"**Claim 2.** The mean confidence is {clean:.2f} on correctly classified clean test "
            "images. With eps 0.1, FGSM makes the network misclassify "
            f"{fgsm_share:.0f} % of the test images, with a mean confidence of {fgsm:.2f}, and PGD "
            f"{pgd_share:.0f} %, with a mean confidence of {pgd:.2f}. But the smallest "
            "perturbations do not lead to confident predictions: they end at the class boundary, "
            "where two classes have the same probability.",
            "**Claim 3.** With random noise as large as DeepFool's perturbation of the same "
            f"image, {noise:.1f} % of the images are classified correctly; with DeepFool's "
            f"perturbation itself, {deepfool:.1f} %. The network misclassifies these images at "
            "first, and DeepFool moves them out of the wrong class, most of them to their label. "
            f"To fool the network on half of the images, noise has to be {ratio:.1f} times as "
            "large as DeepFool's perturbation "
            f"({_on_lenet(record, 'ratio', 'noise', 1, 'times')}).",
            f"**Claim 4.** DeepFool takes {_mean(record, 'iterations', 'read'):.2f} steps on "
            f"average on the MLP ({_on_lenet(record, 'iterations', 'read', 2, 'steps')}). If the "
            "network were linear, one step would suffice. So few steps are a consequence of the "
            "view, which the post takes from Goodfellow and others, that linearity is the main "
            "reason. But the converse does not hold: few steps do not show that the network is "
            "nearly linear. They reach some point beyond the boundary, which need not be near. "
            f"On the reference networks DDN finds images that are {_nearer('reference')} nearer, "
            f"both attacks without clipping ({page_link('today')}). So the verdict is on the "
            "consequence only.",
        ]
    )


def fifth_to_seventh() -> str:
    """Return sentences that state what our other networks say about claims 5 to 7."""
    table_1 = record_of("deep_defense/table-1")
    ahead = [
        mean(table_1, "rho2", network=network, method="adv-training-ii")
        > mean(table_1, "rho2", network=network, method="deep-defense")
        for network in networks(table_1)
    ]
    return (
        "The post speaks of three data sets, but our verdicts on **claims 5 to 7** come from the "
        "MLP on MNIST alone. The verdict on claim 5 uses DeepFool, the attack of the training; the "
        f"page {page_link('today')} uses stronger attacks. Claim 6 does not carry over to our run "
        f"on another data set, with another network and optimiser. {on_clothing()} For claim 7 we "
        "compare Deep Defense with adversarial training II, whose settings we chose. It has the "
        f"larger $\\rho_2$ on {counted(ahead)} for MNIST. But compared with adversarial training "
        "I, which we remember as the method of the paper's table, Deep Defense has the "
        f"larger $\\rho_2$ ({page_link('table1')})."
    )


def eighth() -> str:
    """Return sentences that state what the accuracies under all attacks say about statement 8."""
    attacked = record_of("deep_defense/today")
    eps = sizes(attacked, "mlp")[1]
    start, parseval = (
        mean(attacked, "accuracy", network="mlp", method=m, attack="worst", eps=eps)
        for m in ("reference", "par-networks")
    )
    return (
        "**Statement 8.** According to the post, approximations make Parseval training less "
        "effective against very strong attacks. This sentence compares Parseval training with no "
        f"other method. Under all attacks of the page {page_link('today')} at eps "
        f"{size_text('mlp', eps)}, the MLP has an accuracy of {parseval:.1f} % with Parseval "
        f"training and of {start:.1f} % without. This agrees with the statement but does not test "
        "it: our Parseval training consists of five epochs of fine-tuning, which hardly change the "
        "network. Its authors {cite}`cisse2017` train with it from the start."
    )


def notes(record: Record) -> str:
    """Return paragraphs on statements 1 to 4 and 8 to 10, in this order."""
    return "\n\n".join(
        [
            first(record),
            second_to_fourth(record),
            eighth(),
            "**Statement 9.** The post says what the regulariser is meant to encourage. This is "
            f"the authors' aim, not a result that they report. {aim(record)}",
            "The regulariser has one term for correctly classified images and one for "
            "misclassified images. {numref}`tab-dd-claims-sides` shows networks that were trained "
            f"with only one of them. {one_term(record)}",
            tenth(record),
        ]
    )


def gains(record: Record) -> Table:
    """Return a table with a row for each training method. The columns are the accuracy, the
    robustness rho2, and the increase in rho2 as a share of the increase by Deep Defense.

    Adversarial training II, which decides claim 7, is measured for Table 1.
    """
    rho = {method: _got(record, "rho", "read", method) for method in COMPARED}
    accuracy = {method: _got(record, "accuracy", "read", method) for method in COMPARED}
    table_1 = record_of("deep_defense/table-1")
    if record.profile == table_1.profile:
        of = {"network": "mlp", "method": "adv-training-ii"}
        rho["adv-training-ii"] = values(table_1, "rho2", **of)
        accuracy["adv-training-ii"] = values(table_1, "accuracy", **of)
    start, whole = fmean(rho["reference"]), fmean(rho["deep-defense"])
    return table(
        "Accuracy in per cent, and ρ₂. *Gain*: the increase in ρ₂ compared with the reference "
        "network, in per cent of the increase with Deep Defense.",
        "tab-dd-claims-gains",
        ["Method", "accuracy", "ρ₂", "gain"],
        [
            [
                METHODS[method],
                spread(accuracy[method], 2),
                spread(rho[method], 4),
                minus(f"{100 * (fmean(rho[method]) - start) / (whole - start):.1f}"),
            ]
            for method in rho
        ],
    )


def sides(record: Record) -> Table:
    """Return a table of the mean relative size of DeepFool's perturbations. One column is for
    images that the reference network classifies correctly, the other for images that it
    misclassifies.
    """
    return table(
        "Mean relative size of DeepFool's perturbations. *Correct*: images that the reference "
        "network classifies correctly, perturbed away from their class. *Wrong*: images that it "
        "misclassifies, perturbed towards their label; an image that the fine-tuned network "
        "already classifies correctly counts as 0.",
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
    """Return sentences that state the result for claim 10: how well the gradient of the regulariser
    agrees with finite differences, and how much nearer images DDN finds than DeepFool.
    """
    error = fmean(_got(record, "error", "exactness", "deep-defense"))
    return (
        "**Claim 10.** The post says that Deep Defense integrates its regulariser precisely, "
        "while other methods optimise possibly untight bounds. It also says *efficiently*, which "
        f"we did not test; the {page_link('overview')} states how long a training step takes. Our "
        "test says only that the *gradient* of the perturbation is exact. We compare it with "
        "central differences along random directions in weight space, and the median relative "
        f"error is {power(error)}. The perturbation itself is not the smallest one, so its size is "
        "an upper bound on the distance. On networks with Deep Defense, DDN finds images that are "
        f"{_nearer('deep-defense')} nearer, both attacks without clipping as in the training "
        f"({page_link('today')}). If the perturbations were computed before the training, the "
        "regulariser would be a constant with zero gradient and have no effect, as "
        "[a replication](./replication.ipynb) shows."
    )


def _nearer(method: str) -> str:
    """Return text that states by how many per cent the images that DDN finds are nearer than those
    of DeepFool, on each network after ``method``. Both attacks do not clip.
    """
    attacked = record_of("deep_defense/today")
    found = zip(nearer(attacked, method, clip=False), networks(attacked), strict=True)
    return listed(f"{percent:.0f} % ({title(attacked, network)})" for percent, network in found)


def _got(record: Record, name: str, what: str, method: str) -> Sequence[float]:
    return values(record, name, what=what, method=method, network="mlp")


def _on_lenet(record: Record, name: str, what: str, digits: int, unit: str) -> str:
    """Return the mean of one measurement on the reference LeNet, and the number of seeds."""
    found = values(record, name, what=what, method="reference", network="lenet")
    if not found:
        return "LeNet: not run"
    return f"{fmean(found):.{digits}f} {unit} on LeNet, {len(found)} seeds"


def _mean(record: Record, name: str, what: str) -> float:
    """Return the mean over the seeds of one measurement on the reference network."""
    return fmean(_got(record, name, what, "reference"))
