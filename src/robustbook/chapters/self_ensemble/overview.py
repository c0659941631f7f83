"""Compute what the overview of Random Self-Ensemble shows: the paper's claims, and our finding on
each of them.
"""

from collections.abc import Sequence

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.claims import Finding, claims_table, of_all, of_best
from robustbook.chapters.published import mean, record_of, records_of, settings, verdicts
from robustbook.chapters.wording import badge, listed
from robustbook.figures import Table
from robustbook.ledger import Record
from robustbook.ledger.intervals import clearly_above

from . import (
    controls,
    fifty,
    figure2,
    figure5,
    figure6,
    names,
    sweeps,
    table1,
    table2,
    table3,
    theory,
    today,
    zoo,
)
from .names import DEFENSES, NETWORKS

ON_IMAGE = "rse paper 0.4"
"""The variant of RSE whose strongest noise is on the image."""


def answer(record: Record) -> str:
    """Return sentences that state the accuracies under PGD with RSE and without a defense, and
    those with the strongest noise on the image. ``record`` contains the stored results of the page
    on stronger attacks.
    """
    network = names.networks(record)[0]
    found = today.shares(record, network)
    sure = clearly_above(found.rse, found.none, names.counted(record, network))
    text = f"{'Partly' if sure else 'Not clearly'}: {under_pgd(record)}."
    shown = ["rse", "none"]
    if ON_IMAGE in settings(record, "accuracy", "defense", network=network):
        shown.append(ON_IMAGE)
        text += (
            " With the strongest noise on the image, as in the text, it is "
            f"{today.shares(record, network, ON_IMAGE).rse:.1f} %."
        )
    eps = _largest_radius(record, network)
    most = today.draws(record, network, "pgd linf")[-1]
    of = {"network": network, "attack": "pgd linf", "eps": round(eps, 5)}
    left = [
        mean(record, "accuracy", defense=d, averaged=1 if d == "none" else most, **of)
        for d in shown
    ]
    clean = [mean(record, "accuracy", network=network, defense=d, attack="clean") for d in shown]
    return (
        f"{text} In this order, it is {_percents(left)} within l-infinity "
        f"{255 * eps:.0f}/255, and {_percents(clean)} on clean images."
    )


def _percents(accuracies: Sequence[float]) -> str:
    return f"{listed([f'{each:.1f}' for each in accuracies])} %"


def _largest_radius(record: Record, network: str) -> float:
    """Return the largest radius of l-infinity PGD."""
    return max(map(float, settings(record, "accuracy", "eps", network=network, attack="pgd linf")))


def without_new_noise(record: Record) -> str:
    """Return sentences that state which share of the gain under PGD remains without new noise: if
    the noise is switched off, and if it is frozen. ``record`` contains the stored results of the
    page on stronger attacks.
    """
    network = names.networks(record)[0]
    off, frozen = (today.shares(record, network, noise=way).remains for way in ("off", "frozen"))
    return (
        f"Under PGD, {off:.0f} % of it with the noise switched off at test time, and {frozen:.0f} "
        "% with one fixed draw of the noise. The gain is the accuracy with RSE minus that without "
        f"a defense ({_ran(record)})."
    )


def abstract() -> str:
    """Return a sentence with the verdicts on three claims of the abstract."""
    found = verdicts("self_ensemble")
    told = [
        f"{words} {badge(found[f'self-ensemble/abstract/{name}'])}"
        for words, name in (
            ("the accuracy of RSE under attack (second version)", "rse-under-attack"),
            ("an accuracy below 10 % without a defense", "no-defense-under-attack"),
            ("RSE above the best earlier defense", "rse-beats-best-previous"),
        )
    ]
    return f"*Claims of the abstract:* {'; '.join(told)}."


def under_pgd(record: Record) -> str:
    """Return a clause that states the accuracies under PGD with RSE and without a defense.
    ``record`` contains the stored results of the page on stronger attacks.
    """
    network = names.networks(record)[0]
    found = today.shares(record, network)
    return (
        f"under PGD within the l2 radius {today.middle(record, network):g}, the accuracy is "
        f"{found.rse:.1f} % with RSE and {found.none:.1f} % without a defense "
        f"({names.title(record, network)}; {names.size(record, network)})"
    )


def still_open(record: Record) -> str:
    """Return a sentence that names the networks on which the stronger attacks were not run, or ""
    if there are none. ``record`` contains the stored results of the page on stronger attacks.
    """
    there = names.networks(record)
    rest = listed([name for network, name in NETWORKS.items() if network not in there])
    return f"The stronger attacks were not run on {rest}." if rest else ""


def small_c(record: Record) -> str:
    """Return a sentence that says so if the paper's attack is weak mostly because of its small c,
    otherwise "". ``record`` contains the stored results of the page on stronger attacks.
    """
    if not today.mostly_small_c(record):
        return ""
    return (
        "One weakness of the paper's attack may be its small $c$: at about equal distortion, the "
        "search over $c$ and PGD are not clearly stronger. But the compared networks are from "
        "different trainings, and for PGD we interpolate between distant values of $c$. So we "
        "cannot separate this weakness from the others."
    )


def _ran(record: Record) -> str:
    """Return in words the networks of a record."""
    return listed([names.in_text(record, network) for network in names.networks(record)])


def paper_attack(record: Record) -> str:
    """Return sentences that state the accuracies under the paper's attack, for each network.
    ``record`` contains the stored results of Table 2.
    """
    c = table2.equally_far(record)
    at = table2.AT if c is None else c
    where = names.in_text(record, table2.NETWORK)
    lead = f"Under the paper's attack with $c = {at:g}$, the accuracy of {where}"
    if c is not None:
        lead = (
            f"On {where}, the paper's attack with $c = {at:g}$ changes the images almost equally "
            "far with RSE and without a defense. There the accuracy"
        )
    rse, none = (names.at(record, table2.NETWORK, d, at) or 0.0 for d in ("rse", "none"))
    other = "".join(
        (_too_close if names.NETWORKS[network] in figure6.undecided([each]) else _decided)(
            each, network
        )
        for each, network in names.best(records_of("self_ensemble/figure-6"))
        if network != table2.NETWORK
    )
    return (
        f"{lead} is {rse:.1f} % with RSE and {none:.1f} % without a defense "
        f"({names.size(record, table2.NETWORK)}).{other}"
    )


def _decided(record: Record, network: str) -> str:
    """Return a sentence that compares RSE with no defense at c = 0.1 and at the same distortion."""
    rse, none = figure6.at_equal_c(record, network)
    text = (
        f" On {names.in_text(record, network)} ({names.size(record, network)}), it is {rse:.1f} "
        f"and {none:.1f} % at $c = {figure6.AT:g}$"
    )
    found = figure6.at_equal_distance(record, network)
    if found is None:
        return f"{text} ({figure6.order(record, network, rse, none)})."
    distance, rse, none = found
    return (
        f"{text}, and {rse:.1f} and {none:.1f} % if the images are changed equally far (distortion "
        f"{distance:g}; {figure6.order(record, network, rse, none)})."
    )


def _too_close(record: Record, network: str) -> str:
    """Return a sentence about a network on which RSE and no defense are too close to be told apart
    at c = 0.1. It adds whether this also holds at the same distortion, and the smallest c with a
    clear difference.
    """
    images = names.counted(record, network)
    where = f"$c = {figure6.AT:g}$"
    found = figure6.at_equal_distance(record, network)
    if found and not any(clearly_above(*pair, images) for pair in (found[1:], found[:0:-1])):
        where += f" and at the same distortion ({found[0]:g})"
    text = (
        f" On {names.in_text(record, network)} ({names.size(record, network)}), the accuracies "
        f"with and without noise are not distinguishable at {where}"
    )
    for c in names.strengths(record, network, "rse"):
        rse, none = (names.at(record, network, d, c) or 0.0 for d in ("rse", "none"))
        if clearly_above(rse, none, images):
            return (
                f"{text}. At $c = {c:g}$ the accuracy is {rse:.1f} % with noise and {none:.1f} % "
                "without noise."
            )
    return f"{text}."


def against_pgd_training(record: Record) -> str:
    """Return the answer of the page on other forms of the defenses, with a sentence on the
    accuracy of RSE under the same PGD after the training of the answer at the top of the overview.
    ``record`` contains the stored results of the former page.
    """
    kept = controls.kept_elsewhere(record)
    if kept is None:
        return controls.answer(record)
    return (
        f"{controls.answer(record)} (RSE was trained again here. With the training of the answer "
        f"at the top, it keeps {kept:.1f} % under the same l-infinity PGD.)"
    )


def averaging(record: Record) -> str:
    """Return sentences that state what averaging over the noise changes: for the paper's attack,
    and for PGD within the largest l-infinity radius.
    """
    network = names.networks(record)[0]
    eps = _largest_radius(record, network)
    told = []
    for attack, radius in (("paper", 0.0), ("pgd linf", eps)):
        counts = today.draws(record, network, attack)
        one, many = (
            today.accuracy(record, network, attack, k, radius) for k in (counts[0], counts[-1])
        )
        sure = clearly_above(one, many, names.counted(record, network))
        told.append(
            f"from {one:.1f} to {many:.1f} % ({'more' if sure else 'no more'} than two standard "
            "errors)"
        )
    return (
        f"Averaging over {counts[-1]} draws instead of one changes RSE's accuracy under the "
        f"paper's attack with $c = {today.fixed_c(record, network):g}$ {told[0]}. Under PGD "
        f"with the l-infinity radius {255 * eps:.0f}/255 it changes it {told[1]}. "
        f"(These results are for {names.in_text(record, network)}; {names.size(record, network)}.)"
    )


def accuracies() -> Figure:
    """Draw the upper row of Figure 6: accuracy against c, with a panel per network."""
    records = records_of("self_ensemble/figure-6")
    panels = []
    for network, plain in NETWORKS.items():
        record = names.with_network(records, network)
        title = f"{plain}, not run" if record is None else names.title(record, network)
        theirs = sweeps.printed_curves(network, 0)
        panels.append(
            sweeps.panel(
                record, network, DEFENSES, title=title, theirs=theirs, thin=names.BASELINES
            )
        )
    return figures.lines(panels, columns=3, height=2.8)


def claims() -> Table:
    """Return a table of the paper's claims. A row states the claim, the page that tests it, our
    finding, and how often each verdict occurs.
    """
    caption = (
        "What the paper claims (the two rows before the last are our own questions), the page that "
        "tests it, what we find, and counts of the verdicts."
    )
    return claims_table("self_ensemble", caption, "tab-rse-overview", CLAIMS)


AT_EQUAL_DISTORTION = "figure-6/equal-distortion/model-a/none-above-rse/.*"
"""The ids of the comparisons at equal distortion in which the network without a defense has the
higher accuracy in the authors' data.
"""
CLAIMS = (
    Finding(
        "The settings, with noise in front of every convolution",
        ("table1",),
        "(table-1|setup|figure-1)/.*",
        of_best(table1.answer, "self_ensemble/table-1"),
    ),
    Finding(
        "On VGG16, RSE is far ahead of the other defenses under the Carlini-Wagner attack",
        ("table2",),
        r"table-2/(rse.*|caption-75)|abstract/(rse-.*|best-previous.*)",
        of_best(table2.answer, "self_ensemble/table-2"),
    ),
    Finding(
        "Noise is needed both in training and at test time",
        ("figure2",),
        "figure-2/.*",
        of_all(figure2.answer, "self_ensemble/figure-2"),
    ),
    Finding(
        "More noise makes RSE more robust and lowers its accuracy under weak attacks",
        ("figure3",),
        "figure-3/.*",
        of_best(fifty.cost, "self_ensemble/figure-3"),
    ),
    Finding(
        "An ensemble of 50 draws is better than one draw under weak attacks, and worse under "
        "strong attacks",
        ("figure4",),
        "figure-4/.*",
        fifty.answer,
    ),
    Finding(
        "Ten draws of the noise are enough for clean images",
        ("figure5",),
        "figure-5/.*",
        of_all(figure5.answer, "self_ensemble/figure-5"),
    ),
    Finding(
        "On three networks, RSE has a higher accuracy and a larger distortion under strong attacks "
        "than the other defenses",
        ("figure6",),
        r"figure-6/((vgg16|resnext)/rse|[^/]+/rse-distortion)-above-.*|text-4\.3/.*|"
        + AT_EQUAL_DISTORTION,
        of_all(figure6.answer, "self_ensemble/figure-6"),
        against=AT_EQUAL_DISTORTION,
    ),
    Finding(
        "RSE only slightly lowers the accuracy on clean images",
        ("figure6",),
        "text-3/.*",
        lambda: figure6.clean_costs(
            [record_of("self_ensemble/table-2"), *records_of("self_ensemble/figure-6")]
        ),
    ),
    Finding(
        "A targeted attack on one image needs a larger distortion with RSE than with the others",
        ("table3",),
        "table-3/.*|figure-7/.*",
        of_best(table3.answer, "self_ensemble/table-3"),
    ),
    Finding(
        "Training with noise minimises a bound on the ensemble's loss and a Lipschitz constant",
        ("theory",),
        "claim-(jensen|jensen-b|taylor-trace)",
        of_best(theory.answer, "self_ensemble/theory"),
    ),
    Finding(
        "A black-box attack by finite differences does not converge",
        ("zoo",),
        r"text-3\.3/.*",
        of_best(zoo.answer, "self_ensemble/zoo"),
        against=r"text-3\.3/zoo-unbiased",
    ),
    Finding(
        "Our question: how does RSE compare with training on the images of PGD?",
        ("controls",),
        "claim-pgd-training-time",
        of_best(against_pgd_training, "self_ensemble/controls"),
        title="Other forms of the defenses",
    ),
    Finding(
        "Our question, which the paper does not ask: does RSE resist stronger attacks?",
        ("today",),
        "later/.*",
        of_best(today.answer, "self_ensemble/today"),
    ),
)
