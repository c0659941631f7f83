"""Compute what the page on feature denoising (Xie et al. 2019) shows: the accuracies on CIFAR-10 of
networks with different denoising blocks.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from math import hypot
from statistics import fmean

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.badges import of_page
from robustbook.chapters.published import (
    Version,
    entries,
    images_of,
    printed,
    rows_of,
    settings,
    values,
)
from robustbook.chapters.wording import (
    ON_OUR_IMAGES,
    from_to,
    listed,
    minus,
    ranges,
    seeds_in_words,
    spread,
    spread_or,
    with_images,
)
from robustbook.figures import LOOKS, MISSING, Table
from robustbook.ledger import Record, difference_interval
from robustbook.ledger.intervals import sampling_error, share_difference
from robustbook.studies.survey.sizes import DENOISING

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
WHOLE = "nonlocal-gaussian"
"""The network whose blocks are complete. The networks in `ABLATIONS` are compared with it."""
MARKS = {"baseline": LOOKS["none"], "null": LOOKS["rse"], WHOLE: LOOKS["adv"]}
ATTACKS = {"clean": "clean", "pgd-20": "PGD, 20 steps", "worst": "worst of all attacks"}
STEPS = {
    "clean": "clean images",
    "pgd-10": "10 steps",
    "pgd-100": "100 steps",
    "pgd-1000": "1,000 steps",
}
IMAGENET = "survey/denoise-imagenet"
LOCAL = (43.6, 44.4)
"""The lowest and the highest accuracy in per cent of a network with four local filters on ImageNet,
under attacks without its gradients, according to notes of another reader.
"""
NEAR = 0.5
"""The change of the relative noise, in per cent, up to which we call the noise unchanged."""
MASKED = 1.0
"""The accuracy under attack, in per cent, above which a network that was trained on clean images
counts as a sign of gradient masking. The claim in the ledger has the same limit.
"""
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


def _by_seed(record: Record, variant: str) -> dict[int | None, float]:
    """Return the accuracies under PGD of an adversarially trained network, one for each seed."""
    of = {"training": "adversarial", "variant": variant, "attack": "pgd-20"}
    return {row.seed: float(row.value) for row in rows_of(record, "accuracy", **of)}


def difference(record: Record, variant: str, against: str) -> Interval:
    """Return the difference of the accuracies of two networks under PGD, and its 95 % confidence
    interval.

    The difference is the accuracy of ``variant`` minus the accuracy of ``against``. The half-width
    of the interval is the square root of the sum of two squared parts. The first part describes the
    choice of the test images. The second part needs several seeds: it is the half-width of
    Student's t interval for the differences of the seeds. Two seeds can have the same difference by
    chance, so the second part alone could be 0.
    """
    ours, theirs = _by_seed(record, variant), _by_seed(record, against)
    changes = [value - theirs[seed] for seed, value in ours.items() if seed in theirs]
    half = _over_images(record, variant, against)
    if len(changes) > 1:
        low, high = difference_interval(changes, [0.0] * len(changes), paired=True)
        half = hypot(half, (high - low) / 2)
    mean = fmean(changes)
    return mean, mean - half, mean + half


def _over_images(record: Record, variant: str, against: str) -> float:
    """Return the half-width of the 95 % interval of a difference of accuracies. It describes only
    the uncertainty from the choice of the test images.

    The record contains the half-width for some pairs of networks, from the predictions of both
    networks for each test image. For the other pairs, the half-width is computed for two
    independent samples of test images. In fact both classify the same
    images and their errors are usually correlated, so this half-width is usually too large.
    """
    found = values(record, "half width", variant=variant, against=against)
    if found:
        return fmean(found)
    ours, theirs = (accuracy(record, name, "pgd-20") for name in (variant, against))
    low, high = share_difference(ours, theirs, _images(record))
    return (high - low) / 2


def resolved(interval: Interval) -> bool:
    """Return whether 0 is outside the confidence interval of a difference."""
    _, low, high = interval
    return low > 0 or high < 0


def apart(record: Record, variant: str, against: str) -> bool:
    """Return whether the accuracies of two networks under PGD can be told apart."""
    return resolved(difference(record, variant, against))


def _images(record: Record, attack: str = "pgd-20") -> int:
    """Return the number of test images under an attack."""
    return images_of(record, "accuracy", attack=attack)


def answer(record: Record) -> str:
    """Return a sentence that says whether filters clearly raise the accuracy under PGD, and whether
    they can be ranked. It states the highest accuracy with a filter, and that without blocks. The
    verdicts of the page follow.
    """
    shown = [name for name in variants(record) if name in FILTERS]
    best = max(accuracy(record, name, "pgd-20") for name in shown)
    useful = len(_useful(record, shown))
    which = "every filter clearly raises" if useful == len(shown) else "some filters clearly raise"
    ranked = ""
    if len(shown) > 1:
        ranked = ", and the filters cannot be ranked"
        if any(apart(record, *pair) for pair in combinations(shown, 2)):
            ranked = ", and some filters clearly differ from others"
    badges = of_page(
        "survey/denoising",
        {
            "filters": "/(mean|median|bilateral|nonlocal-[a-z]+)(-against-null)?/",
            "claims about the blocks": "/claim/",
            "accuracies of the controls": "/(baseline|null)/",
        },
    )
    shares = (
        f" ({best:.1f} % with the best one, {accuracy(record, 'baseline', 'pgd-20'):.1f} % without "
        "blocks)"
    )
    return (
        f"In our {'small ' * (record.profile != 'paper')}experiment, "
        f"{which if useful else 'no filter clearly raises'} the accuracy under PGD"
        f"{shares}{ranked}. {badges}"
    )


def compared(record: Record) -> str:
    """Return sentences that state the accuracies under PGD of the networks with filters and of the
    two controls. One control has no denoising blocks, the other has blocks without a filter. The
    sentences also state which filters can be told apart from the controls and from each other.
    """
    shown = [name for name in variants(record) if name in FILTERS]
    found = sorted(accuracy(record, name, "pgd-20") for name in shown)
    baseline, null = (accuracy(record, name, "pgd-20") for name in CONTROLS)
    filters = (
        f"{found[0]:.1f} % with the filter *{FILTERS[shown[0]]}*"
        if len(shown) == 1
        else f"{found[0]:.1f} to {found[-1]:.1f} % with the {len(shown)} filters"
    )
    few = DENOISING[record.profile].images
    size = "" if few is None else f"{few:,} training images; "
    return (
        f"{_ranking(record, shown)} We test {network(record)} "
        f"({size}{seeds_in_words(len(record.seeds))}). Under PGD with 20 steps, the accuracy on "
        f"{_images(record):,} test images is {filters}, {baseline:.1f} % without blocks and "
        f"{null:.1f} % with null blocks. The paper's accuracies are for "
        f"ImageNet, so this smaller experiment cannot refute them. {_scope(record)}"
    )


def _useful(record: Record, shown: list[str]) -> list[str]:
    """Return the filters whose accuracy under PGD is clearly higher than that of both controls."""
    return [
        name for name in shown if all(difference(record, name, each)[1] > 0 for each in AGAINST)
    ]


def _ranking(record: Record, shown: list[str]) -> str:
    """Return a sentence that states which filters can be told apart from both controls, and how
    many pairs of filters can be told apart.
    """
    above = _useful(record, shown)
    clear = [name for name in shown if any(apart(record, name, each) for each in AGAINST)]
    pairs = list(combinations(shown, 2))
    distinct = sum(apart(record, *pair) for pair in pairs)
    if above:
        names = ", ".join(f"*{FILTERS[name]}*" for name in above)
        text = f"These filters have a higher accuracy than both controls: {names}"
    elif clear:
        names = ", ".join(f"*{FILTERS[name]}*" for name in clear)
        text = f"No filter beats both controls; these filters differ from one or both: {names}"
    elif pairs and not distinct:
        return (
            "By the accuracy under PGD, no filter can be told apart from the controls. The "
            f"intervals of the differences between two filters ({len(pairs)} pairs, not in the "
            "table) contain 0 too."
        )
    else:
        text = "By the accuracy under PGD, no filter can be told apart from the controls"
    if not pairs:
        return f"{text}."
    return f"{text}. Of {len(pairs)} pairs of filters, {distinct} can be told apart."


def _scope(record: Record) -> str:
    """Return a sentence that says what the confidence intervals describe."""
    if len(record.seeds) > 1:
        return (
            "The 95 % intervals of the differences cover the choice of the test images, and the "
            f"variation over {len(record.seeds)} seeds."
        )
    return (
        "The 95 % intervals of the differences cover the choice of the test images. With one seed, "
        "they leave out the variation between trainings."
    )


def size_in_words(record: Record) -> str:
    """Return sentences that state the size of the networks, of their training and of their test.
    The last sentence states the accuracy of the network without blocks on clean images.
    """
    return (
        f"The networks of the stored results have {training_in_words(record)}. They were tested on "
        f"{_images(record):,} images, or on {_images(record, 'worst'):,} of them under the "
        f"stronger attacks. The network without blocks classifies "
        f"{accuracy(record, 'baseline', 'clean'):.1f} % of the clean images correctly."
    )


def training_in_words(record: Record) -> str:
    """Return words on the width and the training of the networks."""
    own = DENOISING[record.profile]
    images = "all images" if own.images is None else f"the first {own.images:,} training images"
    width = "the width" if own.narrow == 1 else f"1/{own.narrow} of the channels"
    passes = (
        "" if own.images is None else f" (about {own.steps * own.batch / own.images:.0f} epochs)"
    )
    inner = "one attack step" if own.inner == 1 else f"{own.inner} attack steps"
    return (
        f"{width} of ResNet-18, and were trained for {own.steps:,} steps of {own.batch} images"
        f"{passes} on {images}. Adversarial training uses {inner} in each training step"
    )


def _compared(name: str) -> tuple[str, ...]:
    """Return the networks with which a network is compared: both controls and, for a network with
    an incomplete block, the network with the whole block.
    """
    return (*AGAINST, WHOLE) if name in ABLATIONS else tuple(AGAINST)


def effects(record: Record) -> Figure:
    """Draw differences of accuracies under PGD, with 95 % confidence intervals. The accuracies of
    two control networks are subtracted from the accuracy with each filter. One control network has
    no denoising blocks, the other has blocks without a filter. For networks with incomplete blocks,
    the accuracy with whole blocks is subtracted too.
    """
    named = {**AGAINST, WHOLE: "minus the whole block"}
    rows = {
        NAMES[name]: {named[each]: difference(record, name, each) for each in _compared(name)}
        for name in variants(record)
        if name not in CONTROLS
    }
    looks = {words: MARKS[each] for each, words in named.items()}
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
    return version.table(
        f": accuracy in per cent of {network(record)}{ranges(record)}. The last column is the "
        "share of the first test images that are classified correctly under PGD and under "
        "stronger attacks. It is on fewer images, so it can be larger than the accuracy under PGD "
        "alone.",
        "survey-denoising-accuracies",
        [
            "Blocks",
            *(with_images(words, _images(record, attack)) for attack, words in ATTACKS.items()),
        ],
        rows,
    )


def printed_beside(version: Version) -> Table:
    """Return a table that compares networks with and without Gaussian denoising blocks. Some rows
    show the paper's accuracies on ImageNet, and the other rows show our accuracies on CIFAR-10.
    """
    record = version.record
    rows = []
    for attack, (without, with_blocks) in _on_imagenet().items():
        words = STEPS[attack]
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
        where = f"ours, {'PGD, 20 steps' if attack == 'pgd-20' else 'clean'}"
        where = with_images(where, _images(record, attack))
        told = [f"**{value:.1f}**" for value in ours]
        rows.append([where, *told, minus(f"**{ours[1] - ours[0]:+.1f}**")])
    return version.table(
        ": accuracy in per cent after adversarial training, without and with Gaussian blocks: the "
        f"authors' released ResNet-152 on ImageNet, and **{network(record)}**. Differences are "
        "computed before rounding.",
        "survey-denoising",
        ["Data and attack", "without", "with blocks", "difference"],
        rows,
        align="lrrr",
    )


def paired(version: Version) -> Table:
    """Return a table of differences of accuracies, with confidence intervals. The accuracies of two
    control networks are subtracted from the accuracy with each filter. One control network has no
    denoising blocks, the other has blocks without a filter. The last column compares incomplete
    blocks with the whole block.
    """
    record = version.record
    rows = []
    for name in (each for each in variants(record) if each not in CONTROLS):
        cells = [
            _cell(record, name, each) if each in _compared(name) else MISSING
            for each in (*AGAINST, WHOLE)
        ]
        rows.append([NAMES[name], *cells])
    seeds = len(record.seeds)
    how = (
        f"over {seeds} seeds and the test images" if seeds > 1 else "of one seed, over test images"
    )
    return version.table(
        f": differences of accuracies under PGD on {_images(record):,} images, in percentage "
        f"points, with the 95 % confidence interval {how}. From the accuracy with the blocks of "
        "the row, we subtract the accuracy without blocks, with null blocks, or with whole "
        f"Gaussian blocks. A dash: not compared. {_resolved(rows)}",
        "survey-denoising-paired",
        ["Blocks", "minus no block", "minus null block", "minus whole block"],
        rows,
    )


def ledger_interval(record: Record) -> str:
    """Return sentences that name the interval of the ledger, which the table of verdicts shows, and
    say how it differs from the one that the page uses everywhere else.
    """
    shown = next(name for name in variants(record) if name in FILTERS)
    target = f"survey/denoise-cifar/{shown}/pgd-20-accuracy"
    found = next(entry.judgement for entry in entries("survey") if entry.id == target)
    if found.difference is None:
        return ""
    _, low, high = found.difference
    _, bottom, top = difference(record, shown, "baseline")
    return minus(
        "The intervals in the table of verdicts are those of the ledger. Both kinds of intervals "
        "compare two networks image by image. For the error from the choice of images, the ledger "
        "averages each image over the seeds first. The other intervals use the mean error of "
        "single seeds, which is larger. For example, the interval of the difference "
        f"*{FILTERS[shown]}* minus no block is {low:.1f} to {high:.1f} points in the ledger, and "
        f"{bottom:.1f} to {top:.1f} points in the figure and in the other tables."
    )


def precision(record: Record) -> str:
    """Return sentences that compare the half-widths of our intervals with the largest gain under
    targeted PGD of four Gaussian blocks, by the error rates of the released networks, in percentage
    points. They also state the gains under attacks without these gradients, and whether an interval
    could show that of local filters.
    """
    gain = max(_white_box_gains())
    shown = [name for name in variants(record) if name in FILTERS]
    found = [difference(record, name, each) for name in shown for each in AGAINST]
    halves = [(high - low) / 2 for _, low, high in found]
    wide = sum(half >= gain for half in halves)
    too_wide = ", and none can show a gain as small as those of local filters"
    too_wide *= min(halves) >= max(_local_gains())
    return (
        "By the error rates of the released networks, the largest gain of four Gaussian blocks "
        f"under targeted PGD is {gain:.1f} points. {_black_box_gains()} The half-widths of our "
        f"intervals for filters are {from_to(halves, '.1f')} points. So if all our differences "
        f"were {gain:.1f} points, {wide} of {len(halves)} intervals would still contain 0"
        f"{too_wide}."
    )


def _black_box_gains() -> str:
    """Return sentences that state the gains under attacks without the gradients of the network, by
    the kind of blocks.
    """
    return (
        "Another reader's notes, which we could not check, report a second test: five attacks "
        "without the network's gradients, at twice the radius. An image counts as correct only if "
        f"all five fail. In this test, four local filters gain {from_to(_local_gains(), '.1f')} "
        f"points, four non-local blocks {_black_box_gain('4-non-local'):.1f}, and blocks "
        f"everywhere {_black_box_gain('all-blocks'):.1f}."
    )


def _local_gains() -> list[float]:
    """Return the smallest and the largest reported gain of local filters in points."""
    return [there - float(printed(f"{IMAGENET}/text/black-box-baseline") or 0) for there in LOCAL]


def _white_box_gains() -> list[float]:
    """Return the printed gains of four Gaussian blocks under PGD, in percentage points."""
    found = _on_imagenet().items()
    return [after - before for attack, (before, after) in found if attack != "clean"]


def _black_box_gain(blocks: str) -> float:
    """Return the printed gain of a kind of blocks under black-box attacks, in points."""
    before, after = (
        float(printed(f"{IMAGENET}/text/black-box-{name}") or 0) for name in ("baseline", blocks)
    )
    return after - before


def _on_imagenet() -> dict[str, tuple[float, float]]:
    """Return for each number of steps of the attack the paper's accuracies in per cent, without and
    with Gaussian blocks.
    """
    return {
        attack: (
            100 - float(printed(f"{IMAGENET}/r152-baseline/{attack}-error") or 0),
            100 - float(printed(f"{IMAGENET}/r152-denoise/{attack}-error") or 0),
        )
        for attack in STEPS
    }


def _resolved(rows: Sequence[Sequence[str]]) -> str:
    if any("resolved" in cell for row in rows for cell in row):
        return "*Resolved*: the interval does not contain 0."
    return "All intervals contain 0."


def _cell(record: Record, name: str, against: str) -> str:
    """Return the text of a table cell: a difference of two accuracies, its confidence interval, and
    the word "resolved" if the interval does not contain 0. A line can only break before the
    interval and before the word.
    """
    mean, low, high = difference(record, name, against)
    mark = " resolved" if resolved((mean, low, high)) else ""
    return minus(f"{mean:+.1f} [{low:.1f},\N{NO-BREAK SPACE}{high:.1f}]{mark}")


def changes(
    record: Record, part: str, names: Iterable[str], training: str = "adversarial"
) -> dict[str, list[float]]:
    """Return for each stage by how many per cent of its norm the blocks after it change their
    input, one number for each of the networks ``names`` and each seed.

    ``part``: "block" for the change by the whole block, or "filter" for the difference between the
        block's outputs with and without its filter.
    ``training``: how the networks were trained, "adversarial" or "standard".
    """
    row, found = f"change by {part}", dict[str, list[float]]()
    for name in names:
        of = {"training": training, "variant": name}
        for stage in settings(record, row, "stage", **of):
            of_stage = values(record, row, stage=stage, **of)
            found.setdefault(stage.removeprefix("stage"), []).extend(of_stage)
    return dict(sorted(found.items()))


def changed_by_filter(record: Record, names: Iterable[str], training: str = "adversarial") -> str:
    """Return the smallest and the largest change by the filters over the networks ``names``, the
    stages and the seeds, in per cent as text, or "" if it was not measured.
    """
    found = [x for of in changes(record, "filter", names, training).values() for x in of]
    return f"{from_to(found, '.0f')} %" if found else ""


def change_in_words(record: Record) -> str:
    """Return sentences that state how much the trained blocks, and the filters in them, change
    their input. Return "" if this was not measured.
    """
    shown = [name for name in variants(record) if name in FILTERS]
    blocks, null = (
        listed(f"{from_to(of, '.0f')} % (stage {stage})" for stage, of in found.items())
        for found in (changes(record, "block", names) for names in (shown, ["null"]))
    )
    if not blocks:
        return ""
    groups = {
        "the 3 x 3 filters": [name for name in shown if not name.startswith("nonlocal")],
        "the dot product": [name for name in shown if name == "nonlocal-dot"],
        "the Gaussian filter": [name for name in shown if name == WHOLE],
    }
    filters = listed(
        f"{changed_by_filter(record, names)} with {words}"
        for words, names in groups.items()
        if names
    )
    return (
        f"After training, the blocks with a filter change their input by {blocks} of its norm. The "
        f"blocks without a filter change it by {null}. So this change says little about the "
        "filters. We also leave out the filter of a trained block: its output then changes by "
        f"{filters}, in per cent of the norm of the input. These numbers are means over "
        f"{_images(record, 'worst')} test images."
    )


def noise_factors(record: Record, names: Iterable[str]) -> dict[str, list[float]]:
    """Return for each stage the factors by which the blocks after it multiply the relative noise,
    one for each of the networks ``names`` and each seed.
    """
    found: dict[str, list[float]] = {}
    for name in names:
        for stage in settings(record, "ratio", "stage", variant=name):
            found.setdefault(stage, []).extend(values(record, "ratio", variant=name, stage=stage))
    return found


def _overlap(record: Record) -> str:
    """Return a sentence that names the stages at which the factors of `noise_factors` have separate
    ranges for blocks with and without a filter.
    """
    filters, null = noise_factors(record, FILTERS), noise_factors(record, ["null"])
    distinct = [
        stage.removeprefix("stage")
        for stage, found in filters.items()
        if max(found) < min(null[stage]) or max(null[stage]) < min(found)
    ]
    overlap = "overlap after every stage, so we see no effect of the filters"
    if distinct:
        overlap = f"do not overlap after stage {listed(distinct)}"
    return f"Over the networks and seeds, the ranges with and without a filter {overlap}."


def noise(version: Version) -> Table:
    """Return a table with one row for each denoising block. The columns are the relative noise of
    the feature maps before the block and after the block, the ratio, and how much the block and its
    filter change the feature maps.
    """
    record = version.record
    rows = []
    for name in (each for each in variants(record) if each in ("null", *FILTERS)):
        for stage in settings(record, "ratio", "stage", variant=name):
            of = {"variant": name, "stage": stage}
            cells = [
                *(
                    spread(values(record, what, **of), 2)
                    for what in ("noise before", "noise after", "ratio")
                ),
                *(
                    spread_or(
                        changes(record, part, [name]).get(stage.removeprefix("stage"), []),
                        missing=MISSING,
                    )
                    for part in ("block", "filter")
                ),
            ]
            rows.append([NAMES[name], stage.removeprefix("stage"), *cells])
    return version.table(
        ": relative noise of the feature maps before and after each block, under PGD with 20 "
        "steps, and the mean over images of the ratio noise after / noise "
        f"before{ranges(record)}. If the ratio is below 1, the block reduces the noise. *Change*: "
        "the l2 norm of the block's output minus its input, in per cent of the norm of the input. "
        "*By the filter*: the same for the block's output minus its output without the filter.",
        "survey-denoising-noise",
        ["Blocks", "Stage", "before", "after", "ratio", "change (%)", "by the filter (%)"],
        rows,
    )


def quieter(record: Record) -> str:
    """Return sentences that state by how many per cent the blocks change the relative noise of the
    feature maps, for each stage, as means over the seeds and for single networks. The first word
    says whether every filter, no filter, or some of the filters lower the noise by more than `NEAR`
    per cent. The last sentence compares blocks with and without a filter.
    """
    changes: dict[tuple[str, str], float] = {
        (name, stage): 100 * (fmean(values(record, "ratio", variant=name, stage=stage)) - 1)
        for name in variants(record)
        for stage in settings(record, "ratio", "stage", variant=name)
    }
    said: list[str] = []
    for words, group in (("with a filter", tuple(FILTERS)), ("without a filter", ("null",))):
        found: dict[str, list[float]] = {}
        for (name, stage), change in changes.items():
            if name in group:
                found.setdefault(stage.removeprefix("stage"), []).append(change)
        stages: dict[str, list[str]] = {}
        for stage, each in found.items():
            stages.setdefault(_changed(each), []).append(stage)
        told = [
            f"{change} if they stand after stage {' or '.join(at)}" for change, at in stages.items()
        ]
        text = ". They ".join(told)
        if not said:
            text = text.replace(" it ", " the relative noise ", 1)
        said.append(f"Blocks {words} {text}.")
    if len(record.seeds) > 1:
        said[0] = f"On average over the seeds, {said[0][0].lower()}{said[0][1:]}"
        said.append(_singly(record))
    lower = [change < -NEAR for (name, _), change in changes.items() if name in FILTERS]
    word = "Yes." if all(lower) else "In part." if any(lower) else "No."
    raised = any(change > NEAR for (name, _), change in changes.items() if name == "null")
    why = " We do not know why blocks without a filter raise the noise." * raised
    return minus(f"{word} {' '.join(said)} {_overlap(record)}{why}")


def _singly(record: Record) -> str:
    """Return a sentence that states by how many per cent the blocks with a filter change the
    relative noise in single networks, for each stage.
    """
    told = [
        f"{from_to([float(round(100 * (factor - 1))) for factor in found], '+.0f')} % (stage "
        f"{stage.removeprefix('stage')})"
        for stage, found in noise_factors(record, FILTERS).items()
    ]
    return f"In single networks, the change by a block with a filter is {listed(told)}."


def _changed(percents: list[float]) -> str:
    """Return a verb and changes in per cent, either their range or that all are at most `NEAR`."""
    if max(map(abs, percents)) <= NEAR:
        return f"change it by at most {NEAR} %"
    if min(percents) > 0:
        return f"raise it by {from_to(percents, '.0f')} %"
    if max(percents) < 0:
        return f"lower it by {from_to([-percent for percent in percents], '.0f')} %"
    return f"change it by {from_to(percents, '+.0f')} %"


def control(record: Record) -> str:
    """Return sentences that say whether the network with Gaussian blocks shows gradient masking.
    They state the accuracy under attack of the networks that were trained on clean images, and
    under AutoAttack alone, which the claim in the table of verdicts names.
    """
    masked = accuracy(record, WHOLE, "worst", "standard") > MASKED
    sign = "gradient masking is likely" if masked else "we see no sign of gradient masking"
    moved = changed_by_filter(record, [WHOLE], "standard")
    moved = f" The filter changes the output of this network's blocks by {moved}." * bool(moved)
    worst, auto = (
        [
            f"{fmean(found):.1f} % ({NAMES[name]})"
            for name in ("baseline", WHOLE)
            if (
                found := values(
                    record, "accuracy", training="standard", variant=name, attack=attack
                )
            )
        ]
        for attack in ("worst", "autoattack")
    )
    blocks = len(settings(record, "ratio", "stage", variant=WHOLE))
    alone = (
        f"Under AutoAttack alone, the accuracy is {' and '.join(auto)}."
        if auto
        else "The claim about this network names AutoAttack, which has not been run for these "
        "stored results. They contain PGD on the cross entropy and on the margin. Each further "
        "attack can only lower the accuracy under all attacks together."
    )
    return (
        f"For the Gaussian filter, {sign}. After training on clean images, the networks classify "
        f"{' and '.join(worst)} of {_images(record, 'worst'):,} test images correctly under all of "
        f"our attacks. The second network has {blocks} Gaussian blocks.{moved} {alone} "
        f"{_too_few(record)}"
    )


def _too_few(record: Record) -> str:
    """Return a sentence that says whether our images can decide that at most `MASKED` per cent are
    left, the limit of the claim on the network with Gaussian blocks.
    """
    images = _images(record, "worst")
    error = sampling_error(0, "percent", images)
    if error <= MASKED:
        return ""
    return (
        f"But {images:,} images cannot decide whether at most {MASKED:g} % are left: even 0 % has "
        f"a sampling error of {error:.1f} points. {ON_OUR_IMAGES}"
    )


def ablated(record: Record) -> str:
    """Return sentences that compare the accuracies under PGD of networks with incomplete Gaussian
    blocks with the accuracy of the network with whole blocks. In an incomplete block, either the
    1 x 1 convolution is left out, or the input is not added to the output.
    """
    shown = [name for name in variants(record) if name in ABLATIONS]
    if not shown:
        return "Networks with an incomplete block have not been run for this profile."
    full = accuracy(record, WHOLE, "pgd-20")
    told, clear = [], []
    for name in shown:
        own = accuracy(record, name, "pgd-20")
        told.append(f"{own:.1f} % ({ABLATIONS[name]}; {minus(f'{own - full:+.1f}')} points)")
        clear += [ABLATIONS[name]] * apart(record, name, WHOLE)
    verdict = (
        f"These differ clearly from the whole block: {', '.join(clear)}."
        if clear
        else "No incomplete block can be told apart from the whole one."
    )
    return (
        f"On {_images(record):,} test images ({seeds_in_words(len(record.seeds))}), the accuracy "
        f"under PGD is {full:.1f} % with the whole Gaussian block. With an incomplete block, it is "
        f"{' and '.join(told)}. {verdict}"
    )
