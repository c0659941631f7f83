"""Compute what the overview of Random Self-Ensemble shows: the paper's claims, and our finding on
each of them.
"""

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters.claims import Claim, claims_table, of_all, of_best
from robustbook.chapters.published import record_of, records_of
from robustbook.figures import Table
from robustbook.ledger import Record

from . import (
    figure2,
    figure3,
    figure4,
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

PAPER = "self_ensemble"


def answer(record: Record) -> str:
    """Return sentences that state the accuracies under the paper's attack (the stored results of
    Table 2, ``record``) and under all attacks of today together.
    """
    rse, none = (names.at(record, table2.NETWORK, d, table2.AT) or 0.0 for d in ("rse", "none"))
    sure = names.clearly(rse, none, names.counted(record, table2.NETWORK))
    same = names.listed(figure6.undecided(records_of(f"{PAPER}/figure-6")))
    other = (
        f" On {same} at $c = {figure6.AT:g}$ the accuracies with and without noise are too close "
        "to tell."
        if same
        else ""
    )
    return (
        f"On {names.full_title(record, table2.NETWORK)} under the paper's attack at "
        f"$c = {table2.AT:g}$ {'yes' if sure else 'not clearly'}: {rse:.1f} % of the images are "
        f"classified correctly with noise, and {none:.1f} % without "
        f"({names.size(record, table2.NETWORK)}).{other} "
        f"{today.finding(record_of(f'{PAPER}/today'))}"
    )


def accuracies() -> Figure:
    """Draw the upper row of Figure 6: accuracy against c, with a panel per network."""
    records = records_of(f"{PAPER}/figure-6")
    panels = []
    for network, plain in NETWORKS.items():
        record = names.with_network(records, network)
        title = f"{plain}, not run" if record is None else names.title(record, network)
        theirs = sweeps.printed_curves(network, 0)
        panels.append(sweeps.panel(record, network, DEFENSES, title=title, theirs=theirs))
    return figures.lines(panels, columns=3, height=2.8)


def claims() -> Table:
    """Return a table of the paper's claims. A row states the claim, the page that tests it, our
    finding, and how often each verdict occurs.
    """
    caption = (
        "What the paper claims, the page that tests it, what we find, and counts of the verdicts."
    )
    return claims_table(PAPER, caption, "tab-rse-overview", CLAIMS)


CLAIMS = (
    Claim(
        "The settings (copied from the text or the code), with noise in front of every convolution",
        "table1",
        ("table-1", "setup", "figure-1"),
        of_best(table1.answer, f"{PAPER}/table-1"),
    ),
    Claim(
        "On VGG16, RSE is far ahead of the other defenses under the Carlini-Wagner attack",
        "table2",
        ("table-2", "abstract"),
        of_best(table2.answer, f"{PAPER}/table-2"),
    ),
    Claim(
        "Noise is needed both in training and at test time",
        "figure2",
        ("figure-2",),
        of_all(figure2.shares, f"{PAPER}/figure-2"),
    ),
    Claim(
        "More noise makes RSE more robust and lowers its clean accuracy",
        "figure3",
        ("figure-3",),
        of_best(figure3.answer, f"{PAPER}/figure-3"),
    ),
    Claim(
        "An ensemble of 50 draws is better than one draw under weak attacks, and worse under "
        "strong attacks",
        "figure4",
        ("figure-4",),
        of_all(figure4.answer, f"{PAPER}/figure-4"),
    ),
    Claim(
        "Ten draws of the noise are enough",
        "figure5",
        ("figure-5",),
        of_all(figure5.answer, f"{PAPER}/figure-5"),
    ),
    Claim(
        "On three networks, RSE has a higher accuracy under attack than the other defenses, and "
        "attacks on RSE need a larger distortion",
        "figure6",
        ("figure-6", "text-3", "text-4.3"),
        of_all(figure6.crossings, f"{PAPER}/figure-6"),
    ),
    Claim(
        "A targeted attack on one image needs a larger distortion with RSE than without",
        "table3",
        ("table-3",),
        of_best(table3.answer, f"{PAPER}/table-3"),
    ),
    Claim(
        "Training with noise minimises a bound on the ensemble's loss and a Lipschitz constant",
        "theory",
        ("claim",),
        of_best(theory.answer, f"{PAPER}/theory"),
    ),
    Claim(
        "A black-box attack by finite differences does not converge",
        "zoo",
        ("text-3.3",),
        of_best(zoo.finding, f"{PAPER}/zoo"),
    ),
    Claim(
        "Our question, which the paper does not ask: does RSE resist stronger attacks?",
        "today",
        ("later-1",),
        of_best(today.answer, f"{PAPER}/today"),
    ),
)
