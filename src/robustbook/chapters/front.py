"""Compute what the landing page shows: a finding for each paper, and a picture of an adversarial
image.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from jaxtyping import Int, UInt8

from robustbook.chapters.deep_defense.names import TITLES, networks
from robustbook.chapters.deep_defense.today import nearest_gain
from robustbook.chapters.published import accuracies, images_of, of_target, record_of, records_of
from robustbook.chapters.saturating.names import IN_SENTENCES, fgsm_target
from robustbook.chapters.self_ensemble import figure6, names, table2
from robustbook.chapters.self_ensemble import overview as self_ensemble_overview
from robustbook.chapters.survey import overview, szegedy, transformations
from robustbook.chapters.wording import from_to, listed, seeds_in_words


def saturating() -> str:
    """Return sentences that state the accuracies of the saturated networks under FGSM and under a
    stronger attack. For each attack they are about the kind of network with the highest mean
    accuracy under this attack.
    """
    record = record_of("saturating/table-1")
    found = accuracies(record)
    (first, kept), (second, left) = (
        max(each.items(), key=lambda x: fmean(x[1]))
        for each in (
            {n: of_target(record, fgsm_target(n, "saturated")) for n in found},
            {n: of["saturated"]["pgd softened"] for n, of in found.items()},
        )
    )
    lost = fmean(left) < fmean(kept) / 2
    return (
        f"The saturated networks are {'not' if lost else 'partly'} robust. After FGSM the most "
        f"accurate of {len(found)} kinds of network, the {IN_SENTENCES[first]}, still classifies "
        f"{from_to(kept, '.0f')} % of the images correctly (range over "
        f"{seeds_in_words(len(kept))}). {'But after' if lost else 'After'} an attack with smoother "
        f"gradients, the most accurate kind, {'again ' * (first == second)}the "
        f"{IN_SENTENCES[second]}, classifies "
        f"{'only ' * lost}{from_to(left, '.0f')} %."
    )


def deep_defense() -> str:
    """Return text that states by which factor Deep Defense on MNIST increases the median distance
    of the adversarial images that DeepFool or DDN finds. This is an upper bound on the distance to
    the nearest adversarial image.

    The text also says for how many networks adversarial training with FGSM gives larger distances
    than Deep Defense.
    """
    attacked = record_of("deep_defense/today")
    shown = networks(attacked)
    gains = " and ".join(
        f"{nearest_gain(attacked, n):.2f} ({TITLES[n]}, "
        f"{images_of(attacked, 'accuracy', network=n):,} test images)"
        for n in shown
    )
    ahead = sum(nearest_gain(attacked, n, RIVAL) > nearest_gain(attacked, n) for n in shown)
    on = "both" if ahead == len(shown) == 2 else f"{ahead} of {len(shown)}"
    return (
        "On MNIST, Deep Defense multiplies the median distance of the adversarial images that "
        f"DeepFool or DDN finds by {gains}. {'But adversarial' if ahead else 'Adversarial'} "
        "training with FGSM increases this distance more than Deep Defense on "
        f"{on} networks. We tuned neither method."
    )


def self_ensemble() -> str:
    """Return sentences that state the accuracies of Random Self-Ensemble and of a network without
    noise, under the paper's attack and under PGD.

    The first sentence is about the first network in the stored results of the largest experiment.
    It compares the two where the attack changes the images equally, because at the same c it
    changes them more on one network than on the other. The last sentence names the networks of the
    paper that this experiment lacks.
    """
    record = record_of("self_ensemble/figure-6")
    first, *_ = there = names.networks(record)
    found = figure6.at_equal_distance(record, first)
    assert found is not None  # the paper's profile attacks all networks up to these distortions
    distance, rse, none = found
    text = (
        "If the paper's attack changes the images equally far (root mean square l2 distance "
        f"{distance:g}), {names.in_text(record, first)} has an accuracy of {rse:.1f} % with RSE "
        f"and {none:.1f} % without noise: {figure6.order(record, first, rse, none)} "
        f"({names.size(record, first)})."
    )
    stronger = self_ensemble_overview.under_pgd(record_of("self_ensemble/today"))
    text += f" {stronger[:1].upper()}{stronger[1:]}."
    wide = [each for each in records_of("self_ensemble/table-2") if each.profile == "paper"]
    ran = {network for each in wide for network in names.networks(each)}
    for each in wide:
        found_c = table2.equally_far(each)
        c = table2.AT if found_c is None else found_c
        alike = "" if found_c is None else ", which changes the images almost equally far"
        rse, none = (names.at(each, table2.NETWORK, d, c) or 0.0 for d in ("rse", "none"))
        text += (
            f" Under the paper's attack with c = {c:g}{alike}, "
            f"{names.in_text(each, table2.NETWORK)} has an accuracy of {rse:.1f} % with RSE and "
            f"{none:.1f} % without noise ({names.size(each, table2.NETWORK)})."
        )
    missing = [words for key, words in names.NETWORKS.items() if key not in {*there, *ran}]
    if missing:
        were = "was" if len(missing) == 1 else "were"
        text += f" {listed(missing)} on CIFAR-10 {were} not yet attacked at full width."
    return text


def survey() -> str:
    """Return sentences that state how far the accuracies with two defenses fall under stronger
    attacks, and what JPEG leaves if PGD ignores it and if PGD attacks through it. Each sentence
    says which networks and how many images the numbers are for.
    """
    found = overview.kept()
    trained, paired = found["pgd"], found["pairing"]
    assert trained.network == paired.network  # the first sentence names it for both
    text = (
        f"We train {trained.network} with PGD: its accuracy is {trained.weak:.1f} % under PGD and "
        f"{trained.strong:.1f} % under several stronger attacks together. With clean logit pairing "
        f"it is {paired.weak:.1f} and {paired.strong:.1f} %."
    )
    record = record_of("survey/transformations")
    through = transformations.clearly_stronger(record)
    if "jpeg" in through:
        eps, blind, aware = through["jpeg"][-1]
        images = images_of(record, "accuracy", front="jpeg", attack="pgd", eps=eps)
        text += (
            f" If JPEG compresses the inputs of {transformations.network(record)} ({images:,} test "
            f"images), PGD at radius {eps:g}/255 leaves {blind:.1f} % if it ignores JPEG and "
            f"{aware:.1f} % if it attacks through it."
        )
    return text


RIVAL = "adv-training-ii"
SHOWN = "fc100-100-10"
"""The network of the landing page's picture."""
FINDINGS: Mapping[str, Callable[[], str]] = {
    "saturating": saturating,
    "deep_defense": deep_defense,
    "self_ensemble": self_ensemble,
    "survey": survey,
}
"""For each paper with a chapter, the function that returns its finding."""


@dataclass(frozen=True)
class Example:
    """An image, its label, an adversarial image, and the class that the network predicts for it."""

    image: UInt8[np.ndarray, "h w"]
    adversarial: UInt8[np.ndarray, "h w"]
    label: int
    answer: int

    @property
    def size(self) -> float:
        """Return the l-infinity norm of the perturbation, for pixels in [0, 1]."""
        return float(np.abs(self._change).max()) / 255

    @property
    def perturbation(self) -> UInt8[np.ndarray, "h w"]:
        """Return the perturbation as an image: grey means no change, black and white mean the
        largest change.
        """
        largest = max(int(np.abs(self._change).max()), 1)
        grey: UInt8[np.ndarray, "h w"] = np.round(127.5 * (1 + self._change / largest)).astype(
            np.uint8
        )
        return grey

    @property
    def _change(self) -> Int[np.ndarray, "h w"]:
        change: Int[np.ndarray, "h w"] = self.adversarial.astype(int) - self.image
        return change


def example() -> Example:
    """Return a test image of MNIST and an adversarial image of it, from the figure of the page on
    Szegedy et al.: of the images in the figure, the one whose pixels change least.

    The attack is L-BFGS with a chosen class and pixels in [0, 1], on a network with two hidden
    layers.
    """
    record = record_of("survey/szegedy")
    clean, changed = (szegedy.pixels(record, name) for name in ("clean", SHOWN))
    least = int(np.abs(changed.astype(int) - clean).max((1, 2)).argmin())
    label, answer = (int(record.arrays[name][least]) for name in ("labels", "targets"))
    return Example(clean[least], changed[least], label, answer)
