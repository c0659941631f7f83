"""Compute what the page on feature denoising (Xie et al. 2019) shows: the accuracies on CIFAR-10 of
networks with different denoising blocks.
"""

from collections.abc import Mapping
from statistics import fmean

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.published import Version, printed, settings, values
from robustbook.chapters.wording import minus, spread, spread_or
from robustbook.figures import LOOKS, Table, table
from robustbook.ledger import Record, difference_interval

FILTERS: Mapping[str, str] = {
    "mean": "mean 3 x 3",
    "median": "median 3 x 3",
    "bilateral": "bilateral 3 x 3",
    "nonlocal-dot": "non-local, dot product",
    "nonlocal-gaussian": "non-local, Gaussian",
}
CONTROLS: Mapping[str, str] = {"baseline": "no block", "null": "null block (no filter)"}
ABLATIONS: Mapping[str, str] = {
    "no-1x1": "Gaussian without 1 x 1 convolution",
    "no-residual": "Gaussian, input not added",
}
NAMES = {**CONTROLS, **FILTERS, **ABLATIONS}
AGAINST = {"baseline": "minus the network without blocks", "null": "minus the null block"}
MARKS = {"baseline": LOOKS["none"], "null": LOOKS["rse"]}
ATTACKS = {"clean": "clean", "pgd-20": "PGD, 20 steps", "worst": "worst of all attacks"}
STEPS = {
    "clean": "clean images",
    "pgd-10": "10 steps",
    "pgd-100": "100 steps",
    "pgd-1000": "1,000 steps",
}
IMAGENET = "survey/denoise-imagenet"
Interval = tuple[float, float, float]
"""A difference of two accuracies, and the two ends of its confidence interval."""


def network(record: Record) -> str:
    """Return the network and the data of a record (a file of stored results) as text, such as
    ResNet-18 on CIFAR-10.
    """
    if record.profile == "paper":
        return "ResNet-18 on CIFAR-10"
    data = "digits on photographs" if record.profile == "quick" else "CIFAR-10"
    return f"a narrow ResNet-18 on {data}"


def variants(record: Record) -> list[str]:
    """Return the names of the adversarially trained networks for which a record has results, in the
    order of `NAMES`.
    """
    found = settings(record, "accuracy", "variant", training="adversarial")
    return [name for name in NAMES if name in found]


def accuracy(record: Record, variant: str, attack: str, training: str = "adversarial") -> float:
    """Return the accuracy of a network under an attack in per cent, as the mean over the seeds."""
    return fmean(values(record, "accuracy", training=training, variant=variant, attack=attack))


def difference(record: Record, variant: str, against: str) -> Interval:
    """Return the difference of the accuracies of two networks under PGD, and its 95 % confidence
    interval.

    The difference is the accuracy of ``variant`` minus the accuracy of ``against``. With several
    seeds, the interval is computed by Student's distribution from the difference for each seed.
    With one seed, the interval is computed from the predictions of both networks for each test
    image.
    """
    found = values(record, "difference", variant=variant, against=against)
    if len(found) > 1:
        low, high = difference_interval(found, [0.0] * len(found), paired=True)
        return fmean(found), low, high
    (half,) = values(record, "half width", variant=variant, against=against)
    return found[0], found[0] - half, found[0] + half


def resolved(interval: Interval) -> bool:
    """Return whether 0 is outside the confidence interval of a difference."""
    _, low, high = interval
    return low > 0 or high < 0


def answer(record: Record) -> str:
    """Return sentences that state the accuracies under PGD of three networks: with the best filter,
    without denoising blocks, and with blocks that have no filter. The two networks without a filter
    are the controls. The sentences also state how many filters are better than both controls.
    """
    shown = [name for name in variants(record) if name in FILTERS]
    best = max(shown, key=lambda name: accuracy(record, name, "pgd-20"))
    there = {name: f"{accuracy(record, name, 'pgd-20'):.1f} %" for name in (best, *CONTROLS)}
    above = [
        name for name in shown if all(difference(record, name, each)[1] > 0 for each in AGAINST)
    ]
    if len(shown) == 1:
        count = "The filter beats" if above else "The filter does not beat"
    else:
        verb = "beats" if len(above) < 2 else "beat"
        count = f"{len(above) or 'None'} of the {len(shown)} filters {verb}"
    over = "seeds" if len(record.seeds) > 1 else "test images"
    which = "filter that was run" if len(shown) == 1 else "best filter"
    return (
        f"For {network(record)}, attacked by PGD with 20 steps, the {which} is *{FILTERS[best]}* "
        f"with an accuracy of {there[best]}. The accuracy is {there['baseline']} without blocks "
        f"and {there['null']} with null blocks, which have no filter. {count} both controls "
        f"significantly (95 % confidence intervals over {over})."
    )


def effects(record: Record) -> Figure:
    """Draw differences of accuracies under PGD, with 95 % confidence intervals. The accuracies of
    two control networks are subtracted from the accuracy with each filter. One control network has
    no denoising blocks, the other has blocks without a filter.
    """
    rows = {
        NAMES[name]: {words: difference(record, name, each) for each, words in AGAINST.items()}
        for name in variants(record)
        if name not in CONTROLS
    }
    looks = {words: MARKS[each] for each, words in AGAINST.items()}
    return figures.differences(rows, looks, "difference of the accuracies under PGD (points)")


def accuracies(version: Version) -> Table:
    """Return a table of the accuracies of all networks on clean images and under attack."""
    record = version.record
    rows = []
    for training, heading in (
        ("adversarial", "**adversarial training**"),
        ("standard", "**training on clean images**"),
    ):
        rows.append([heading, *[""] * len(ATTACKS)])
        for name in NAMES:
            cells = [
                values(record, "accuracy", training=training, variant=name, attack=attack)
                for attack in ATTACKS
            ]
            if any(cells):
                rows.append([NAMES[name], *(spread_or(each) for each in cells)])
    few = min(row.images or 0 for row in record.rows if row.setting.get("attack") == "worst")
    return table(
        f"{version.heading}: accuracy in per cent of {network(record)} (range over the seeds). The "
        f"last column is the share of the first {few:,} images that are classified correctly under "
        "PGD and under stronger attacks.",
        f"tab-survey-denoising-accuracies-{version.tag}",
        ["Blocks", *ATTACKS.values()],
        rows,
    )


def printed_beside(version: Version) -> Table:
    """Return a table that compares networks with and without Gaussian denoising blocks. Some rows
    show the paper's accuracies on ImageNet, and the other rows show our accuracies on CIFAR-10.
    """
    record = version.record
    rows = []
    for attack, words in STEPS.items():
        without, with_blocks = (
            100 - float(printed(f"{IMAGENET}/{net}/{attack}-error") or 0)
            for net in ("r152-baseline", "r152-denoise")
        )
        rows.append(
            [
                f"ImageNet, targeted PGD, {words}" if attack != "clean" else f"ImageNet, {words}",
                f"{without:.1f}",
                f"{with_blocks:.1f}",
                minus(f"{with_blocks - without:+.1f}"),
            ]
        )
    for attack in ("clean", "pgd-20"):
        ours = [accuracy(record, name, attack) for name in ("baseline", "nonlocal-gaussian")]
        where = f"ours, {'PGD, 20 steps' if attack == 'pgd-20' else 'clean images'}"
        told = [f"**{value:.1f}**" for value in ours]
        rows.append([where, *told, minus(f"**{ours[1] - ours[0]:+.1f}**")])
    return table(
        f"{version.heading}: accuracy in per cent after adversarial training, without and with "
        f"Gaussian blocks: the paper's ResNet-152 on ImageNet, and **{network(record)}**.",
        f"tab-survey-denoising-{version.tag}",
        ["Data and attack", "without", "with blocks", "difference"],
        rows,
        align="lrrr",
    )


def paired(version: Version) -> Table:
    """Return a table of differences of accuracies, with confidence intervals. The accuracies of two
    control networks are subtracted from the accuracy with each filter. One control network has no
    denoising blocks, the other has blocks without a filter.
    """
    record = version.record
    rows = []
    for name in (each for each in variants(record) if each not in CONTROLS):
        cells = []
        for against in AGAINST:
            mean, low, high = difference(record, name, against)
            mark = "" if resolved((mean, low, high)) else ", not resolved"
            cells.append(minus(f"{mean:+.1f} [{low:.1f}, {high:.1f}]{mark}"))
        rows.append([NAMES[name], *cells])
    how = "between seeds" if len(record.seeds) > 1 else "of one seed, over test images"
    return table(
        f"{version.heading}: accuracy under PGD of the network with each kind of block minus the "
        "accuracy of the network without blocks or with null blocks, in percentage points, with "
        f"the 95 % confidence interval {how}. Not resolved: the interval contains 0.",
        f"tab-survey-denoising-paired-{version.tag}",
        ["Blocks", "minus no block", "minus null block"],
        rows,
    )


def noise(version: Version) -> Table:
    """Return a table with one row for each denoising block. The columns are the relative noise of
    the feature maps before the block and after the block, and the ratio.
    """
    record = version.record
    rows = []
    for name in (each for each in variants(record) if each in ("null", *FILTERS)):
        for stage in settings(record, "ratio", "stage", variant=name):
            cells = [
                spread(values(record, what, variant=name, stage=stage), 2)
                for what in ("noise before", "noise after", "ratio")
            ]
            rows.append([NAMES[name], f"{stage.removeprefix('stage')}", *cells])
    return table(
        f"{version.heading}: relative noise of the feature maps before and after each block, under "
        "PGD with 20 steps, and the mean over images of the ratio noise after / noise before "
        "(range over the seeds). If the ratio is below 1, the block reduces the noise.",
        f"tab-survey-denoising-noise-{version.tag}",
        ["Blocks", "Stage", "before", "after", "ratio"],
        rows,
    )


def quieter(record: Record) -> str:
    """Return sentences that state how many blocks reduce the relative noise of the feature maps.
    Blocks with a filter and blocks without a filter are counted separately.
    """
    said = []
    for words, group in (("with a filter", tuple(FILTERS)), ("without a filter", ("null",))):
        found = [
            fmean(values(record, "ratio", variant=name, stage=stage))
            for name in variants(record)
            if name in group
            for stage in settings(record, "ratio", "stage", variant=name)
        ]
        lower = sum(value < 1 for value in found)
        said.append(
            f"After {lower} of the {len(found)} blocks {words}, the relative noise is smaller than "
            f"before the block. For the blocks {words}, the relative noise after the block "
            f"divided by the relative noise before it is {min(found):.2f} to {max(found):.2f}."
        )
    return " ".join(said)


def control(record: Record) -> str:
    """Return a sentence that states the accuracy under attack of the networks that were trained on
    clean images.
    """
    told = [
        f"{accuracy(record, name, 'worst', 'standard'):.1f} % ({NAMES[name]})"
        for name in ("baseline", "nonlocal-gaussian")
    ]
    return (
        "After training on clean images, the networks classify "
        f"{' and '.join(told)} of the test images correctly under all of our attacks."
    )


def ablated(record: Record) -> str:
    """Return a sentence that states the accuracies under PGD of networks with incomplete Gaussian
    blocks. In an incomplete block, either the 1 x 1 convolution is left out, or the input is not
    added to the output.
    """
    shown = [name for name in variants(record) if name in ABLATIONS]
    if not shown:
        return "Networks with an incomplete block have not been run for this profile."
    full = accuracy(record, "nonlocal-gaussian", "pgd-20")
    told = [f"{accuracy(record, name, 'pgd-20'):.1f} % ({ABLATIONS[name]})" for name in shown]
    return (
        f"The accuracy under PGD is {full:.1f} % with the whole Gaussian block, and "
        f"{' and '.join(told)}."
    )
