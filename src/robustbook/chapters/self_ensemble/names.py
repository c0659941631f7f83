"""List the names of networks and defenses for the pages on Random Self-Ensemble. Functions look up
which networks and defenses a record (stored results of a run) contains.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean

from robustbook.chapters.published import images_of, records_of, values, without_quick
from robustbook.chapters.wording import listed, seeds_in_words
from robustbook.counting import number_of
from robustbook.figures import LOOKS, Look
from robustbook.ledger import Record
from robustbook.studies.self_ensemble.sizes import EPOCHS, STEPS, TRAINING_IMAGES

THEIR_EPOCHS = 200
"""The epochs of training in the authors' released code. Adversarial retraining takes 300 epochs."""
DEFENSES: Mapping[str, str] = {
    "rse": "RSE",
    "adv": "Adv. retraining",
    "brelu": "Robust Opt. + BReLU",
    "distill": "Distillation",
    "none": "No defense",
}
"""The defenses, in the order of the rows of Table 2."""

PLACES: Mapping[str, str] = {
    "rse": "0.4, as released",
    "rse code 0.2": "0.2, as released",
    "rse paper 0.4": "0.4, on the image",
    "rse paper 0.2": "0.2, on the image",
}
"""The variants of RSE on VGG16. They differ in the standard deviation and the place of the initial
noise; inside the network the standard deviation is always 0.1.
"""

NETWORKS: Mapping[str, str] = {"model-a": "Model A", "vgg16": "VGG16", "resnext": "ResNeXt"}
"""The networks, in the order of the columns of Figure 6."""

PLACE_LOOKS: Mapping[str, Look] = {
    "rse": LOOKS["rse"],
    "rse code 0.2": LOOKS["reference"],
    "rse paper 0.4": LOOKS["train only"],
    "rse paper 0.2": LOOKS["test only"],
}
BASELINES = ("adv", "brelu", "distill")
"""The defenses with which the paper compares RSE."""


def networks(record: Record) -> list[str]:
    """Return the networks for which a record contains results. The networks are in the order of
    Figure 6.
    """
    found = {row.setting["network"] for row in record.rows if "network" in row.setting}
    return [network for network in NETWORKS if network in found]


def best(records: Sequence[Record]) -> list[tuple[Record, str]]:
    """Return one pair for each network: the first record (stored results of a run) that contains
    the network, and the network's name.

    The ``records`` must be sorted from the largest run to the smallest. Records for profile
    ``quick`` (short runs on small images) are ignored if there are records for other profiles.
    """
    return [(found, each) for each in NETWORKS if (found := with_network(records, each))]


def with_network(records: Sequence[Record], network: str) -> Record | None:
    """Return the record (stored results) from which the pages take a network's results, or None if
    the network was not run.
    """
    return next((each for each in without_quick(records) if network in networks(each)), None)


def title(record: Record, network: str) -> str:
    """Return a network's name. The word narrow is added for a network narrower than the paper's,
    and the word digits for results on the digits included in the package.
    """
    data = ", digits" if record.profile == "quick" else ""
    return f"{_width(record)}{NETWORKS[network]}{data}"


def full_title(record: Record, network: str) -> str:
    """Return a network's name with its data set."""
    data = "STL-10" if network == "model-a" else "CIFAR-10"
    if record.profile == "quick":
        data = "digits on photographs"
    return f"{_width(record)}{NETWORKS[network]} on {data}"


def in_text(record: Record, network: str) -> str:
    """Return a network's name with its data set, for the middle of a sentence. A narrow network has
    an article.
    """
    return f"{'a ' if _width(record) else ''}{full_title(record, network)}"


def first_title(record: Record, network: str) -> str:
    """Return a network's name with its data set, for the beginning of a sentence."""
    text = full_title(record, network)
    return f"{text[0].upper()}{text[1:]}"


def _width(record: Record) -> str:
    return "" if record.profile == "paper" else "narrow "


def images(record: Record, network: str) -> str:
    """Return, as text, the number of test images from which a network's accuracies were
    computed.
    """
    return number_of("test image", images_of(record, "accuracy", network=network))


def size(record: Record, network: str) -> str:
    """Return, as text, the number of test images and the number of seeds, such as "200 images, one
    seed".
    """
    seeds = seeds_in_words(max(len(record.seeds), 1))
    return f"{counted(record, network):,} images, {seeds}"


def counted(record: Record, network: str, baselines: bool = False) -> int:
    """Return the smallest number of test images from which an accuracy or success rate of a network
    was computed. The paper's other defenses (`BASELINES`) may have fewer images than RSE; they
    count only with ``baselines``, or if the record has no other defense.
    """
    found = [
        (row.images, row.setting.get("defense") in BASELINES)
        for row in record.rows
        if row.name in ("accuracy", "success")
        and row.images
        and row.setting.get("network") == network
    ]
    return min([n for n, other in found if other == baselines] or [n for n, _ in found])


def steps(record: Record) -> int:
    """Return how many steps the paper's attack takes in the record's profile (size of the
    experiment).
    """
    return STEPS[record.profile]


def epochs(record: Record, network: str) -> int:
    """Return for how many epochs the networks of a record were trained."""
    return EPOCHS[record.profile, network]


def ran(record: Record, network: str) -> str:
    """Return a sentence that states what was attacked for a page's results: network, images, seeds,
    values of c, and steps of the attack.
    """
    return (
        f"In the stored results, the attack is run on {in_text(record, network)} "
        f"({size(record, network)}) with {span_of_c(record, network)}, and {steps(record)} steps."
    )


def trained_on(record: Record, network: str, before: str = "") -> str:
    """Return in words with how many images the networks of a record were trained, or "" if these
    are all training images of the data set.

    ``before``: a text to put before the words, if there are any.
    """
    whole = TRAINING_IMAGES["paper", network]
    found = TRAINING_IMAGES.get((record.profile, network), whole)
    return f"{before}trained on {found:,} of the {whole:,} training images" * (found < whole)


def trained_again(record: Record, ours: float) -> str:
    """Return a sentence on whether the networks of a record are those of Table 2.

    ``ours``: the clean accuracy of the record's network without a defense, for its first seed,
        which is compared with that of Table 2.
    """
    of_table_2 = [r for r in records_of("self_ensemble/table-2") if r.profile == record.profile]
    found = [
        value
        for each in of_table_2
        for value in values(each, "accuracy", network="vgg16", defense="none", c=0.0)
    ]
    theirs = found[0] if found else ours
    if theirs == ours or record.profile == "quick":
        return "The networks have the settings of [Table 2](./table2.ipynb)."
    return (
        "The networks have the layers, the data and the seeds of [Table 2](./table2.ipynb), but "
        "were trained again in another run, so their weights and accuracies differ. Without a "
        f"defense, the accuracy on clean images is {ours:.1f} % here and {theirs:.1f} % "
        "there (first seed of each)."
    )


def drawn_again(records: Sequence[Record], figure: int) -> str:
    """Return sentences on the networks with RSE that are the same as on the page on another figure,
    but have another accuracy on clean images: their draws of the noise differ. Networks count as
    the same if the first seeds have the same accuracies under each attack on both pages.
    """
    there = dict((each[1], each[0]) for each in best(records_of(f"self_ensemble/figure-{figure}")))
    told = []
    for record, network in best(records):
        if network not in there or there[network].profile != record.profile:
            continue
        (ours, *under), (theirs, *others) = (
            [
                values(of, "accuracy", network=network, defense="rse", c=c)[:1]
                for c in (0.0, *strengths(record, network, "rse"))
            ]
            for of in (record, there[network])
        )
        if ours and theirs and ours != theirs and under == others:
            told.append(
                f"On clean images the accuracy of RSE is {ours[0]:.1f} % here and {theirs[0]:.1f} "
                f"% in [Figure {figure}](./figure{figure}.ipynb) ({title(record, network)}, first "
                "seed): the network is the same, but the draws of the noise differ."
            )
    return " ".join(told)


def span_of_c(record: Record, network: str) -> str:
    """Return in words with how many values of c a network was attacked, and from which to which."""
    found = sorted(
        {
            float(row.setting["c"])
            for row in record.rows
            if row.name == "distortion" and row.setting.get("network") == network
        }
    )
    return f"{len(found)} values of $c$, from {found[0]:g} to {found[-1]:g}"


def comparison(defenses: Sequence[str]) -> str:
    """Return a sentence that names the defenses with which a page compares RSE."""
    words = {**DEFENSES, "none": "a network without a defense"}
    return f"We compare RSE with {listed([words[d] for d in defenses if d != 'rse'])}."


def defenses(record: Record, network: str, known: Sequence[str]) -> list[str]:
    """Return those defenses of the list ``known`` for which the record has accuracies. The defenses
    keep the order of ``known``.
    """
    found = {
        row.setting["defense"]
        for row in record.rows
        if row.name == "accuracy" and row.setting.get("network") == network
    }
    return [defense for defense in known if defense in found]


def strengths(record: Record, network: str, defense: str, name: str = "accuracy") -> list[float]:
    """Return the values of the attack's constant c with which a defense was attacked, in ascending
    order. The value 0, which stands for clean images, is left out.
    """
    found = {
        float(row.setting["c"])
        for row in record.rows
        if row.name == name
        and row.setting.get("network") == network
        and row.setting.get("defense") == defense
    }
    return sorted(found - {0.0})


def at(
    record: Record, network: str, defense: str, c: float, name: str = "accuracy"
) -> float | None:
    """Return the mean of a measurement over the seeds at one value of c, or None if nothing was
    measured there.
    """
    found = values(record, name, network=network, defense=defense, c=c)
    return fmean(found) if found else None
