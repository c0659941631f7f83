"""Compute what the page on Szegedy et al. (2013) shows: minimum distortions of adversarial images,
and how often these images transfer to other networks.
"""

import re
from collections import Counter
from collections.abc import Mapping
from statistics import fmean

import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure

from robustbook import catalogue, figures, ledger
from robustbook.chapters.badges import of_page
from robustbook.chapters.published import (
    Version,
    as_printed,
    images_of,
    mean,
    printed,
    rows_of,
    settings,
    tolerance,
    values,
)
from robustbook.chapters.wording import beside, from_to, listed, ranges, spread
from robustbook.figures import Picture, Table
from robustbook.ledger import Record
from robustbook.ledger.intervals import clearly_above, clearly_differ, sampling_error
from robustbook.studies.survey.sizes import DEEP_EPOCHS, POOLED_EPOCHS, PRINTED_HALVES

TABLE_1, TABLE_2 = "survey/szegedy-table-1", "survey/szegedy-table-2"
HALVES = "survey/szegedy-tables-3-4"
NETWORKS: Mapping[str, str] = {
    "fc10-1e-4": "FC10, decay 0.0001",
    "fc10-1e-2": "FC10, decay 0.01",
    "fc10-1": "FC10, decay 1",
    "fc100-100-10": "FC100-100-10",
    "fc200-200-10": "FC200-200-10",
    "ae400-10": "AE400-10",
}
COLUMNS = ("fc10-1e-4", "fc100-100-10", "ae400-10")
"""The networks whose columns in the paper's Table 2 are known to us, which the figure shows."""
TRAINING = " on training images"
"""The end of a source of images that are training images; all other sources are test images."""
NOISES = ("gaussian-0.1", "gaussian-0.3")
"""Gaussian noise on test images. The second one is larger than all our distortions."""
SOURCES: Mapping[str, str] = {
    **NETWORKS,
    f"gaussian-0.1{TRAINING}": "Gaussian noise 0.1, training images",
    f"gaussian-0.3{TRAINING}": "Gaussian noise 0.3, training images",
    "gaussian-0.1": "Gaussian noise 0.1, test images",
    "gaussian-0.3": "Gaussian noise 0.3, test images",
}
OURS = ("ae400-10", *NOISES)
"""The sources for which we do not know printed errors. The paper's noise is on training images."""
OTHERS: Mapping[str, str] = {
    "fc123-456-10 first half": "FC123-456-10, same half",
    "fc100-100-10 other half": "FC100-100-10, other half",
    "fc123-456-10 other half": "FC123-456-10, other half",
}
"""Networks that classify the adversarial images of FC100-100-10, which was trained on the first
half of the training set. The first two are those of Tables 3 and 4.
"""
HALF_SOURCES: Mapping[str, tuple[str, str]] = {
    "fc100-100-10 first half": ("attacked images", ""),
    "amplified": ("amplified to distortion 0.1", "-amplified"),
    "noise": ("Gaussian noise 0.1", ""),
}
MAIN = "fc100-100-10"
SIDE = 28
"""The number of pixels on a side of an image, by which a distortion is multiplied to give the l2
norm.
"""
KINDS: Mapping[str, str] = {"train": "training", "test": "test"}
_LARGEST_DECAY = "fc10-1"
_LINEAR = ("fc10-1e-4", "fc10-1e-2", "fc10-1")
SHARE, LEAST = 0.3, 0.5
"""The tolerance of an error in Tables 2 to 4: a share of the printed error or accuracy, whichever
is smaller, but at least this many percentage points.
"""
JUDGED: Mapping[str, str] = {
    "distortions": "/distortion$",
    "transfer errors": r"/szegedy-table-2/(?!gaussian)(.+)-on-(?!\1/)",
    "all others": "",
}
"""The kinds of the page's verdicts. The first two are about its answer: the distortions, and the
errors of the networks whose columns we know, on images that were made for another network.
"""


def data(record: Record) -> str:
    """Return the name of the data set of a record (a file of stored results)."""
    return "MNIST" if record.profile == "paper" else "the embedded digits"


def answer(record: Record) -> str:
    """Return a sentence that states the largest mean distortion of a network, and how much more
    often other networks misclassify adversarial images than clean images. The verdicts of the page
    follow.
    """
    more = fmean(transfer_errors(record).values()) - _clean(record)
    return (
        f"On {data(record)}, the mean distortion is at most {_largest(record):.3f} (root mean "
        f"square) for every network, and other networks misclassify {more:.1f} percentage points "
        f"more of such images than of clean images. {of_page('survey/szegedy', JUDGED)}"
    )


def _largest(record: Record) -> float:
    return max(own for own, _ in distortions(record).values())


def _clean(record: Record) -> float:
    """Return the mean error of the networks on clean test images."""
    return fmean(mean(record, "test error", network=name) for name in NETWORKS)


def agreement(record: Record) -> str:
    """Return sentences that state the range of the distortions, and how often other networks
    misclassify the adversarial images. The sentences also state how many of the printed errors
    agree with ours, and the largest difference.
    """
    found = distortions(record)
    ours = [own for own, _ in found.values()]
    errors = transfer_errors(record)
    compared = _compared(record)
    counts = Counter(verdict for *_, verdict in compared)
    agree, unsure = counts["reproduced"], counts["inconclusive"]
    far_ours, far_there, _ = max(compared, key=lambda each: abs(each[0] - each[1]))
    return (
        "The attack makes a network predict the chosen class with a mean distortion of "
        f"{min(ours):.3f} to {max(ours):.3f}. Other networks misclassify "
        f"{min(errors.values()):.1f} to {max(errors.values()):.1f} % of its images. Of the "
        f"{len(compared)} printed errors of networks FC, ours agree with {agree} and differ from "
        f"{counts['not reproduced']}; for the other {unsure}, our results for different networks "
        f"or images vary too much. The largest difference is between {far_there:g} % (printed) and "
        f"{far_ours:.1f} % (ours). We do not judge the errors of AE400-10, because our autoencoder "
        "has no sparsity penalty. "
        f"Our numbers are for {_attacked(record)} test images and {_runs(record)}."
    )


def by_source(record: Record) -> str:
    """Return sentences that state the mean error of other networks on adversarial images, on clean
    images, and on images with larger Gaussian noise. They also state this error for those made for
    linear networks and for the others, and the largest distortion as an l2 norm.
    """
    linear, others = _means(record)
    noise = fmean(under_noise(record, NOISES[-1]).values())
    size = NOISES[-1].removeprefix("gaussian-")
    return (
        f"On average, other networks misclassify {fmean(transfer_errors(record).values()):.1f} % "
        f"of the adversarial images, {_clean(record):.1f} % of the clean test images, and "
        f"{noise:.1f} % of images with larger Gaussian noise (standard deviation {size}). A "
        f"distortion of {_largest(record):.3f} is an $\\ell_2$ norm of "
        f"{SIDE * _largest(record):.1f}. Of the images made for the linear networks FC10, they "
        f"misclassify {linear:.1f} %, and of those made for the other networks {others:.1f} %."
    )


def own_error(record: Record) -> str:
    """Return a sentence that says how large the sampling error is even if all images are
    misclassified. The ledger's reasons name this error, but its interval can have width 0.
    """
    images = _attacked(record)
    return (
        f"With {images} images, even an error of 100 % has a sampling error of "
        f"{sampling_error(100, 'percent', images):.1f} points. It can make a row inconclusive, "
        "also if its interval has width 0."
    )


def _means(record: Record) -> tuple[float, float]:
    """Return the mean error of other networks on the images made for linear networks, and on those
    made for the other networks.
    """
    linear, others = (
        fmean(e for (a, _), e in transfer_errors(record).items() if (a in _LINEAR) == inside)
        for inside in (True, False)
    )
    return linear, others


def _smaller(record: Record) -> str:
    """Return words that state for how many networks our distortion is smaller than printed."""
    found = distortions(record)
    less = sum(own < there for own, there in found.values())
    return (
        f"For all {less} networks" if less == len(found) else f"For {less} of {len(found)} networks"
    )


def distortions(record: Record) -> dict[str, tuple[float, float]]:
    """Return for each network our mean distortion and the distortion printed in the paper."""
    found = {}
    for name in NETWORKS:
        there = _there(name, "distortion")
        assert there is not None
        found[name] = mean(record, "distortion", network=name, target="random"), there
    return found


def transfer_errors(record: Record) -> dict[tuple[str, str], float]:
    """Return the errors of networks on adversarial images that were made for a different network.
    The keys are pairs: the attacked network, and the network that classifies its images.
    """
    return {
        (a, b): mean(record, "transfer error", source=a, network=b)
        for a in NETWORKS
        for b in NETWORKS
        if a != b
    }


def under_noise(record: Record, noise: str) -> dict[str, float]:
    """Return for each network the error on test images with Gaussian noise (one of `NOISES`)."""
    return {b: mean(record, "transfer error", source=noise, network=b) for b in NETWORKS}


def _compared(record: Record) -> list[tuple[float, float, str]]:
    """Return one entry for each pair of different networks for which the paper prints an error. An
    entry contains our error, the printed error, and the verdict of the ledger's rules, as if the
    record had the paper's setting. Networks that differ from the paper's are left out.
    """
    targets = ledger.read_targets(catalogue.BOOK / "targets")
    found = []
    for (a, b), own in transfer_errors(record).items():
        target = targets.get(_error_id(a, b))
        rows = rows_of(record, "transfer error", source=a, network=b)
        if target is not None and target.printed is not None and not rows[0].differs:
            measured = ledger.Measurement(record.item, "paper", tuple(rows))
            found.append((own, target.printed, ledger.judge(target, measured).verdict))
    return found


def _error_id(source: str, network: str) -> str:
    return f"{TABLE_2}/{source}-on-{network}/error"


def _attacked(record: Record) -> int:
    """Return the number of test images that are attacked."""
    return images_of(record, "found")


def _runs(record: Record) -> str:
    count = len(record.seeds)
    return "one network of each kind" if count == 1 else f"{count} networks of each kind"


def gallery(record: Record) -> Figure:
    """Draw the first test images: one row of clean images, and one row of adversarial images for
    each of several networks. The title of a clean image is its label; the title of an adversarial
    image is the target class of the attack.
    """
    labels, targets = (record.arrays[name] for name in ("labels", "targets"))
    clean = zip(pixels(record, "clean") / 255, labels, strict=True)
    rows = [("clean", [Picture(image, f"label {label}") for image, label in clean])]
    for name in COLUMNS:
        attacked = zip(pixels(record, name) / 255, targets, strict=True)
        shown = [Picture(image, f"as {target}", True) for image, target in attacked]
        rows.append((NETWORKS[name].replace(", ", ",\n"), shown))
    return figures.pictures(rows)


def pixels(record: Record, name: str) -> UInt8[np.ndarray, "n 28 28"]:
    """Return the images of the figure: the clean ones (``clean``) or those of a network."""
    raw = np.frombuffer(bytes.fromhex("".join(record.arrays[name])), np.uint8)
    return raw.reshape(-1, 28, 28)


def table_1(version: Version) -> Table:
    """Return the paper's Table 1. In every cell of the table, the number printed in the paper
    stands before our number.
    """
    record = version.record
    rows = []
    for name, words in NETWORKS.items():
        cells = [
            beside(
                values(record, f"{kind} error", network=name),
                as_printed(f"{TABLE_1}/{name}/{short}-error"),
                2,
            )
            for short, kind in KINDS.items()
        ]
        found = values(record, "distortion", network=name, target="random")
        rows.append([words, *cells, beside(found, as_printed(f"{TABLE_1}/{name}/distortion"), 3)])
    return version.table(
        f": Table 1 on {data(record)}, printed / **ours**{ranges(record)}. Errors are in per "
        "cent. The distortion is the mean over the attacked test images.",
        "survey-szegedy-1",
        ["Network", "Training error", "Test error", "Minimum distortion"],
        rows,
    )


def _there(name: str, metric: str) -> float | None:
    return printed(f"{TABLE_1}/{name}/{metric}")


def table_2(version: Version) -> Table:
    """Return the paper's Table 2. A cell contains the error of the column's network on adversarial
    images that were made for the row's network.
    """
    record = version.record
    rows = []
    for source, words in SOURCES.items():
        cells = []
        for name in NETWORKS:
            there = None
            if name in COLUMNS and source not in OURS:
                there = as_printed(_error_id(source.removesuffix(TRAINING), name))
            found = values(record, "transfer error", source=source, network=name)
            cells.append(beside(found, there))
        rows.append([words, *cells])
    return version.table(
        ": error in per cent of the network of the column on the images that the attack made for "
        f"the network of the row, printed / **ours**{ranges(record)}. A number alone is ours; we "
        "do not know the printed one. The numbers in brackets are weight decays. The paper's "
        "images are training images; ours are test images, except for two rows with noise.",
        "survey-szegedy-2",
        ["Images of", *(re.sub(r", decay (.*)", r" (\1)", words) for words in NETWORKS.values())],
        rows,
    )


def halves(version: Version) -> Table:
    """Return the paper's Tables 3 and 4: the errors of several networks on adversarial images. The
    images were made for a network that was trained on the first half of the training set.
    """
    record = version.record
    rows = []
    for source, (words, end) in HALF_SOURCES.items():
        cells = []
        for network in OTHERS:
            there = None
            if network in PRINTED_HALVES and source != "noise":
                there = as_printed(f"{HALVES}/{PRINTED_HALVES[network]}{end}/error")
            found = values(record, "error across halves", source=source, network=network)
            cells.append(beside(found, there))
        rows.append([words, *cells])
    return version.table(
        ": error in per cent on images that the attack made for FC100-100-10, trained on the "
        f"first half of the training set, printed / **ours**{ranges(record)}. A number alone is "
        "ours.",
        "survey-szegedy-halves",
        ["Images", *OTHERS.values()],
        rows,
    )


def choices(version: Version) -> Table:
    """Return a table of minimum distortions for two choices of the target class: a random wrong
    class, and the most probable wrong class.
    """
    return version.table(
        f": minimum distortion for two choices of the target class{ranges(version.record)}.",
        "survey-szegedy-targets",
        ["Network", "printed", "random wrong class", "most probable wrong class"],
        [
            [
                words,
                f"{_there(name, 'distortion'):g}",
                *(
                    spread(values(version.record, "distortion", network=name, target=choice), 3)
                    for choice in ("random", "second")
                ),
            ]
            for name, words in NETWORKS.items()
        ],
    )


def order(record: Record) -> str:
    """Return sentences that state whether the minimum distortion of FC10 grows with its weight
    decay, and its test errors.
    """
    names = ("fc10-1e-4", "fc10-1e-2", "fc10-1")
    found = [mean(record, "distortion", network=name, target="random") for name in names]
    there = [_there(name, "distortion") for name in names]
    rising = "rises" if found == sorted(found) else "does not always rise"
    errors = [mean(record, "test error", network=name) for name in names]
    also = found == sorted(found) and errors == sorted(errors)
    return (
        f"With weight decays of 0.0001, 0.01 and 1, the minimum distortions of the linear network "
        f"FC10 are {found[0]:.3f}, {found[1]:.3f} and {found[2]:.3f} ({there[0]}, {there[1]} and "
        f"{there[2]} printed). So the distortion {rising} with the weight decay"
        f"{', but so does the test error: it is' if also else '. The test errors are'} "
        f"{errors[0]:.1f}, {errors[1]:.1f} and {errors[2]:.1f} %."
    )


def smaller(record: Record) -> str:
    """Return sentences that state for how many networks our distortion is smaller than the printed
    one, and by how many per cent. They name the networks whose difference exceeds the tolerance.
    """
    less = {
        name: 100 * (1 - own / there)
        for name, (own, there) in distortions(record).items()
        if own < there
    }
    allowed = {
        name: 100 * tolerance(f"{TABLE_1}/{name}/distortion") / there
        for name, (_, there) in distortions(record).items()
        if name in less
    }
    outside = [name for name in less if less[name] > allowed[name]]
    inside = [less[name] for name in less if name not in outside]
    text = f"{_smaller(record)}, our distortion is smaller than the printed one."
    if outside:
        named = listed(f"{NETWORKS[n]} ({less[n]:.0f} %)" for n in outside)
        text += f" The difference exceeds the tolerance for {named}."
    if inside:
        text += (
            f" {'For the others it' if outside else 'The difference'} is "
            f"{from_to(inside, '.0f')} %, within the tolerance of "
            f"{from_to(list(allowed.values()), '.0f')} %, so their verdicts hide that these "
            "differences all have the same sign."
        )
    return (
        f"{text} The tolerance is this large because the paper states neither the target class nor "
        "the search for $c$. According to summaries, the printed distortions are for training "
        "images, and ours are for test images; we do not know how much this changes."
    )


def above_noise(record: Record) -> tuple[int, int]:
    """Return for how many pairs of different networks the error on adversarial images is larger
    than under the smaller noise, by more than the sampling error, and the number of pairs.
    """
    noise, images = under_noise(record, NOISES[0]), _attacked(record)
    errors = transfer_errors(record)
    return sum(clearly_above(e, noise[b], images) for (_, b), e in errors.items()), len(errors)


def transfer(record: Record) -> str:
    """Return sentences on transfer: how often a network misclassifies adversarial images that were
    made for a different network, compared with images with Gaussian noise and with clean images.
    For FC10 with the largest weight decay, the sentences also say for how many networks no transfer
    is visible. The last ones say for how many networks the error under noise is smaller than that
    on clean images, of which there are more.
    """
    errors = transfer_errors(record)
    noise, larger = (under_noise(record, each) for each in NOISES)
    clean = {b: mean(record, "test error", network=b) for b in NETWORKS}
    linear, others = _means(record)
    images = _attacked(record)
    tests = images_of(record, "test error", network=_LARGEST_DECAY)
    above, pairs = above_noise(record)
    own = [error for (_, b), error in errors.items() if b == _LARGEST_DECAY]
    decayed = clean[_LARGEST_DECAY]
    near = [error for error in own if not clearly_differ(error, decayed, images, tests)]
    told = (
        f" But FC10 with decay 1 misclassifies {decayed:.1f} % of the clean test images. On the "
        f"adversarial images of {len(near)} of the {len(own)} other networks, its error "
        f"({from_to(near, '.1f')} %) does not differ from this by more than the sampling error, so "
        "no transfer is visible."
        if near
        else ""
    )
    below = sum(noise[n] < clean[n] for n in NETWORKS)
    told += (
        f" For {below} of {len(NETWORKS)} networks, the error under the smaller noise is smaller "
        f"than the error on clean images. But the first is for {images} images, and the second for "
        f"{tests:,}, so this does not show that noise helps."
    ) * (below > 0)
    return (
        f"In {above} of the {pairs} pairs of different networks, adversarial images lead to "
        "a larger error than Gaussian noise of standard deviation 0.1, by more than the sampling "
        f"error of {images} images. The mean error is {fmean(errors.values()):.1f} % on "
        f"adversarial images: {linear:.1f} % on those for the linear networks FC10, and "
        f"{others:.1f} % on the others. It is {fmean(noise.values()):.1f} and "
        f"{fmean(larger.values()):.1f} % under noise of standard deviation 0.1 and 0.3, and "
        f"{fmean(clean.values()):.1f} % on clean test images.{told}"
    )


def amplified(record: Record) -> str:
    """Return sentences that state for the networks of Tables 3 and 4 whether the error on amplified
    images is larger than the error on attacked images.
    """
    told, larger = [], []
    for network, words in OTHERS.items():
        before, after = (
            mean(record, "error across halves", source=source, network=network)
            for source in ("fc100-100-10 first half", "amplified")
        )
        told.append(f"from {before:.1f} to {after:.1f} % ({words})")
        larger.append(after > before)
    word = "Yes." if all(larger) else "In part." if any(larger) else "No."
    return (
        f"{word} We amplify the perturbations that were made for FC100-100-10 (first half of the "
        f"training set). The errors of other networks then change {listed(told)}."
    )


def tolerances() -> str:
    """Return sentences that state the tolerances of the errors and when we chose them."""
    errors = {tolerance(f"{TABLE_1}/{name}/{kind}-error") for name in NETWORKS for kind in KINDS}
    return (
        f"An error of Table 1 has a tolerance of {max(errors):g} percentage points. In Tables 2 to "
        f"4, the tolerance is {100 * SHARE:.0f} % of the printed error or of the printed accuracy, "
        f"whichever is smaller, but at least {LEAST:g} points. No tolerance is more than half of "
        "the printed error. We chose these tolerances after the runs, because some of the earlier "
        "ones, up to 15 points, accepted almost every result."
    )


def pool(record: Record) -> str:
    """Return sentences that state two test errors: after training with a pool of adversarial
    images, and after training without a pool. If the two trainings have different numbers of
    epochs, the sentences say that this comparison cannot decide.
    """
    (plain,) = settings(record, "test error", "network", network=MAIN)
    without, pooled = (
        mean(record, "test error", network=plain),
        mean(record, "test error with a pool"),
    )
    there = printed("survey/szegedy/adversarial-pool/test-error")
    with_pool, alone = POOLED_EPOCHS[record.profile], DEEP_EPOCHS[record.profile]
    told = f"So in our run the pool {'lowers' if pooled < without else 'does not lower'} it."
    if with_pool != alone:
        told = (
            f"But our network was trained for {with_pool} epochs with the pool, and for {alone} "
            "epochs without. So our runs cannot decide whether the pool lowers the test error."
        )
    return (
        f"The test error of our FC100-100-10 is {pooled:.2f} % with the pool, and {without:.2f} % "
        f"without. {told} The paper reports less than {there} % with a pool for each "
        "layer. According to a copy of its text, only the pools for all layers gave an "
        "improvement. Ours is for the images alone, so our error does not contradict the paper."
    )


def found(record: Record) -> str:
    """Return a sentence that states on how many test images the attack was run, and on how many it
    succeeded.
    """
    lowest = min(float(row.value) for row in record.rows if row.name == "found")
    images = _attacked(record)
    share = f"all {images}" if lowest == 100 else f"at least {lowest:.1f} % of the {images}"
    return (
        f"On every network, the attack found an image of the target class for {share} attacked "
        "test images."
    )
