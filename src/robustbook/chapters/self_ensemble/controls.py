"""Compute the content of the page on other forms of the defenses: adversarial training with PGD,
three forms of adversarial retraining, five networks of distillation, and the first prototype of
RSE.
"""

from collections.abc import Mapping
from itertools import pairwise
from statistics import fmean

from matplotlib.figure import Figure

from robustbook import figures
from robustbook.chapters import pairs
from robustbook.chapters.published import (
    Version,
    mean,
    of_target,
    printed,
    records_of,
    rows_of,
    settings,
    values,
)
from robustbook.chapters.wording import listed, ranges, spread_or
from robustbook.figures import LOOKS, MISSING, Look, Table
from robustbook.ledger import Record
from robustbook.ledger.intervals import clearly_ordered
from robustbook.studies.self_ensemble.sizes import AVERAGED

from . import names, sweeps, table2, today

DEFENSES: Mapping[str, str] = {
    "rse": "RSE",
    "prototype": "First prototype of RSE",
    "pgd": "PGD training",
    "adv": "Adv. retraining, released code",
    "adv twice": "Adv. retraining, twice as long",
    "adv paper": "Adv. retraining, paper",
    "distill": "Distillation, T = 40",
    "distill crops": "Distillation, T = 40, crops",
    "distill 100": "Distillation, T = 100, crops",
    "distill released": "Distillation, released code",
    "distill teacher 100": "Teacher, T = 100",
    "none": "No defense",
}
"""The defenses, in the order of the rows of the tables. ``crops`` stands for a student that is
trained on cropped and flipped images.
"""
STUDENTS = ("distill", "distill crops", "distill 100", "distill released")
"""The students of distillation; each is one step nearer to the released code."""
RIVALS: Mapping[str, Look] = {
    "rse": LOOKS["rse"],
    "prototype": LOOKS["train only"],
    "pgd": Look(figures.BRIGHT["yellow"], "*", "-."),
    "none": LOOKS["none"],
}
FORMS: Mapping[str, Look] = {
    "adv": LOOKS["adv"],
    "adv paper": Look(figures.BRIGHT["red"], "D", ":"),
    "distill": LOOKS["distill"],
    "distill released": Look(figures.BRIGHT["purple"], "X", ":"),
    "none": LOOKS["none"],
}
"""The curves of the two panels of the figure."""
AT = 0.03
"""The value of c at which two forms of a defense are compared."""
FAR = 15.0
"""A network counts as badly trained if its accuracy on clean images is lower by more points than
this than without a defense.
"""
PGD, TIME, EQUAL = "accuracy under PGD", "time per step", "accuracy at distortion"
NORMS: Mapping[str, str] = {"pgd-l2": "l2", "pgd-linf": "l-infinity"}
ORDERS = {
    True: "clearly more accurate",
    False: "clearly less accurate",
    None: "not clearly more or less accurate",
}
TRAINING_TIME = "self-ensemble/claim-pgd-training-time"
NATTACK = "self-ensemble/later/nattack-success"


def answer(record: Record) -> str:
    """Return sentences that state the accuracies on clean images and under PGD in two norms, of PGD
    training (or, without it, of the first prototype) and of RSE.
    """
    network = names.networks(record)[0]
    other = next((d for d in ("pgd", "prototype") if _ran(record, d, "rse")), "")
    if not other:
        return "RSE was not compared with another form of a defense."
    clean = ORDERS[_ordered(record, other, "rse", 0.0)]
    told = [
        f"On {names.in_text(record, network)} ({names.size(record, network)}), "
        f"{'PGD training' if other == 'pgd' else 'the first prototype'} is {clean} than RSE on "
        f"clean images ({_at(record, other, 0.0):.1f} and {_at(record, 'rse', 0.0):.1f} %)."
    ]
    for attack, words in NORMS.items():
        first, rse = (_under_pgd(record, d, attack) for d in (other, "rse"))
        told.append(
            f"Under {words} PGD with radius {_radius(record, attack)}, it is "
            f"{ORDERS[_above(record, first, rse)]} ({first:.1f} and {rse:.1f} %)."
        )
    return " ".join(told)


def trained_again(record: Record) -> str:
    """Return a sentence on whether the networks are those of Table 2."""
    return names.trained_again(record, values(record, "accuracy", defense="none", c=0)[0])


def accuracies(record: Record) -> Figure:
    """Draw accuracy against the attack's constant c in two panels: RSE, its first prototype, PGD
    training and no defense, and the forms of retraining and distillation.
    """
    network = names.networks(record)[0]
    parts = {"RSE and PGD training": RIVALS, "Forms of the other defenses": FORMS}
    panels = [
        sweeps.panel(
            record,
            network,
            {d: DEFENSES[d] for d in looks if d in _shown(record)},
            title=title,
            looks=looks,
        )
        for title, looks in parts.items()
        if any(d in _shown(record) for d in looks if d != "none")
    ]
    return figures.lines(panels, columns=len(panels), height=3.4)


def measured(version: Version) -> Table:
    """Return a table of accuracies, with one row for each network: on clean images, under the
    paper's attack at the same c and at the same distortion, and under PGD in two norms.
    """
    record = version.record
    network = names.networks(record)[0]
    shown = {d: words for d, words in DEFENSES.items() if d in _shown(record)}
    cs = (0.0, *_cs(record))
    rows = sweeps.rows(record, network, shown, cs)
    for row, d in zip(rows, shown, strict=True):
        of = {"network": network, "defense": d}
        row.append(spread_or(values(record, EQUAL, **of), missing=MISSING))
        row += [spread_or(values(record, PGD, attack=a, **of), missing=MISSING) for a in NORMS]
    found = settings(record, EQUAL, "distortion") or [0.1]
    radii = [f"{words} {_radius(record, attack)}" for attack, words in NORMS.items()]
    return version.table(
        f": accuracy in per cent of {names.in_text(record, network)} with each form of the "
        f"defenses ({names.images(record, network)}): on clean images, under the paper's attack "
        f"with each c, at the distortion {found[0]:g} of this attack, and under "
        f"PGD{ranges(record)}. A dash: the attack does not reach this distortion.",
        "rse-controls",
        [
            "Defense",
            *("clean" if c == 0 else f"c = {c:g}" for c in cs),
            f"distortion {found[0]:g}",
            *(f"PGD, {radius}" for radius in radii),
        ],
        rows,
    )


def distortions(version: Version) -> Table:
    """Return a table of the distortion of the attacked images, with one row for each network."""
    record = version.record
    cs = _cs(record)
    return version.table(
        f": distortion, the root of the mean squared l2 distance over all images{ranges(record)}. "
        "Pixels are in [0, 1].",
        "rse-controls-distortion",
        ["Defense", *(f"c = {c:g}" for c in cs)],
        sweeps.rows(record, names.networks(record)[0], DEFENSES, cs, "distortion", 3),
    )


def averaged(record: Record) -> str:
    """Return a sentence that states over how many draws of the noise PGD averages its loss."""
    return f"On RSE, PGD averages its loss over {AVERAGED[record.profile]} draws of the noise."


def pgd_training(record: Record) -> str:
    """Return sentences that compare PGD training with RSE: on clean images, at the largest c, at
    equal distortion, under PGD, and by the time of a training step. Return "" if one of the two was
    not run.
    """
    if not _ran(record, "pgd", "rse"):
        return ""
    network = names.networks(record)[0]
    c = _cs(record)[-1]
    clean = _ordered(record, "pgd", "rse", 0.0)
    told = [
        f"On clean images, PGD training is {ORDERS[clean]} than RSE "
        f"({_at(record, 'pgd', 0.0):.1f} and {_at(record, 'rse', 0.0):.1f} %).",
    ]
    for attack, words in NORMS.items():
        one, two = (_under_pgd(record, d, attack) for d in ("pgd", "rse"))
        unclear = ", which is not a clear difference" * (_above(record, one, two) is None)
        told.append(
            f"Under {words} PGD with radius {_radius(record, attack)}, PGD training keeps "
            f"{one:.1f} % and RSE {two:.1f} %{unclear}."
        )
    told.append(
        f"Under the paper's attack at $c = {c:g}$, PGD training keeps {_at(record, 'pgd', c):.1f} "
        f"% and RSE {_at(record, 'rse', c):.1f} %."
    )
    far = [mean(record, "distortion", network=network, defense=d, c=c) for d in ("pgd", "rse")]
    told.append(
        f"But at this $c$ the attack changes the images by a distortion of {far[0]:.2f} with PGD "
        f"training and {far[1]:.2f} with RSE, so it is not the same test for both."
    )
    equal = [values(record, EQUAL, network=network, defense=d) for d in ("pgd", "rse")]
    if all(equal):
        (d,) = settings(record, EQUAL, "distortion")
        one, two = map(fmean, equal)
        told.append(
            f"At the distortion {d:g} of this attack, PGD training keeps {one:.1f} % and RSE "
            f"{two:.1f} %."
        )
    ratio = of_target(record, TRAINING_TIME)
    longer = mean(record, TIME, network=network, defense="pgd")
    time = f"{fmean(ratio):.1f} times as long as a step of RSE, and " if ratio else ""
    told.append(
        f"On this network, a step of PGD training takes {time}{longer:.1f} times as long as a step "
        "without a defense."
    )
    return " ".join(told)


def on_cifar(record: Record) -> str:
    """Return a sentence that says where PGD training is clearly more or less accurate than no
    defense. Return "" if one of the two was not run.
    """
    if not _ran(record, "pgd", "none"):
        return ""
    orders = {
        f"under {words} PGD": _above(record, *(_under_pgd(record, d, a) for d in ("pgd", "none")))
        for a, words in NORMS.items()
    }
    orders["on clean images"] = _ordered(record, "pgd", "none", 0.0)
    return f"Compared with a network without a defense, PGD training is {_sorted(orders)}."


def cost(record: Record) -> str:
    """Return a sentence that states how much longer a training step takes with RSE than without a
    defense. Return "" if this was not measured.
    """
    network = names.networks(record)[0]
    found = values(record, TIME, network=network, defense="rse")
    if not found:
        return ""
    ratio = fmean(found)
    lead = "Training is slower too" if round(ratio, 2) > 1 else "Training is not slower"
    return (
        f"{lead}: a training step with RSE takes {ratio:.2f} times as long as one without a "
        f"defense ({names.title(record, network)}, one measurement)."
    )


def trained_elsewhere(record: Record) -> str:
    """Return a sentence with RSE's accuracy under the same l-infinity PGD on the page on stronger
    attacks, whose networks come from another training; or "" if that page has no such result.
    """
    network = names.networks(record)[0]
    other, kept = _stronger(record), kept_elsewhere(record)
    if other is None or kept is None or not _ran(record, "rse"):
        return ""
    return (
        "On the page on [stronger attacks](./today.ipynb), the same l-infinity PGD leaves "
        f"{kept:.1f} % with RSE ({names.size(other, network)}). There the "
        "network was trained again."
    )


def kept_elsewhere(record: Record) -> float | None:
    """Return RSE's accuracy under the same l-infinity PGD on the page on stronger attacks, or None
    if that page has no such result.
    """
    other = _stronger(record)
    if other is None:
        return None
    (eps,) = settings(record, PGD, "eps", attack="pgd-linf")
    k = AVERAGED[record.profile]
    return today.accuracy(other, names.networks(record)[0], "pgd linf", k, float(eps))


def _stronger(record: Record) -> Record | None:
    """Return the record of the page on stronger attacks that has the same profile and network."""
    network = names.networks(record)[0]
    found = records_of("self_ensemble/today")
    same = (r for r in found if r.profile == record.profile and network in names.networks(r))
    return next(same, None)


def retraining(record: Record) -> str:
    """Return sentences that compare the forms of adversarial retraining, on clean images and under
    the attack. The first comparison is between two networks with the same number of training steps.
    Return "" if one form was not run.
    """
    forms = ("adv paper", "adv twice", "adv")
    if not _ran(record, *forms):
        return ""
    clean, under = ([_at(record, d, c) for d in forms] for c in (0.0, AT))
    cs = _cs(record)
    orders = {c: _ordered(record, *forms[:2], c) for c in (0.0, *cs)}
    pgd = max(_under_pgd(record, d, attack) for d in forms[:2] for attack in NORMS)
    return (
        f"Started from a trained network, adversarial retraining has an accuracy of {clean[0]:.1f} "
        f"% on clean images and of {under[0]:.1f} % at $c = {AT:g}$. With as many training steps, "
        f"but from random weights, it has {clean[1]:.1f} and {under[1]:.1f} %. "
        f"The network that started from a trained one is {ORDERS[orders[0.0]]} on clean images. "
        f"Under attack, it is {_grouped({c: orders[c] for c in cs})}. "
        f"PGD leaves at most {pgd:.1f} % with either. This is one pair of networks, "
        "and another training can change the accuracies. With half of the steps, the form of "
        f"Table 2, it has {clean[2]:.1f} and {under[2]:.1f} %."
    )


def _grouped(orders: Mapping[float, bool | None]) -> str:
    """Return in words at which values of c an accuracy is clearly higher or lower, or neither."""
    return _sorted({f"{c:g}": order for c, order in orders.items()}, "at $c$ = ")


def _sorted(orders: Mapping[str, bool | None], before: str = "") -> str:
    """Return in words where an accuracy is clearly higher or lower, or neither. The text ``before``
    stands in front of each enumeration.
    """
    found = {
        words: [where for where, order in orders.items() if order is key]
        for key, words in ORDERS.items()
    }
    return "; ".join(f"{words} {before}{listed(each)}" for words, each in found.items() if each)


def distillation(record: Record) -> str:
    """Return sentences that state the accuracies on clean images of the teacher with temperature
    100 and of four students, which approach the released code step by step. Return "" if one of
    them was not run.
    """
    if not _ran(record, *STUDENTS, "distill teacher 100"):
        return ""
    steps = ("cropped and flipped images", "the temperature 100", "the loss of the released code")
    told = []
    for words, (before, after) in zip(steps, pairwise(STUDENTS), strict=True):
        above = _ordered(record, after, before, 0.0)
        change = "no clear change" if above is None else "a clear rise" if above else "a clear fall"
        told.append(f"{_at(record, after, 0.0):.1f} % with {words} too ({change})")
    return (
        "On clean images, our student with the temperature 40 has an accuracy of "
        f"{_at(record, STUDENTS[0], 0.0):.1f} %. It has {listed(told)}. The teacher with the "
        f"temperature 100 has {_at(record, 'distill teacher 100', 0.0):.1f} %."
    )


def distillation_under_attack(record: Record) -> str:
    """Return sentences that compare the students with a network without a defense under the paper's
    attack, and name the values of c at which Table 2 prints a higher accuracy with distillation.
    Return "" if one of the networks was not run.
    """
    if not _ran(record, *STUDENTS, "none"):
        return ""
    cs = _cs(record)
    orders = {d: [_ordered(record, d, "none", c) for c in cs] for d in STUDENTS}
    better = {
        d: [f"{c:g}" for c, above in zip(cs, orders[d], strict=True) if above] for d in orders
    }
    told = [f"{DEFENSES[d]} at $c$ = {listed(at)}" for d, at in better.items() if at]
    less = sum(each.count(False) for each in orders.values())
    theirs = [f"{c:g}" for c in table2.CS if _printed("distill", c) > _printed("none", c)]
    lead = (
        "These students are clearly more accurate than the network without a defense: "
        f"{'; '.join(told)}."
        if told
        else f"At none of the {len(cs)} values of $c$ is one of the {len(STUDENTS)} students "
        "clearly more accurate than the network without a defense."
    )
    return (
        f"{lead} In {less} of {len(cs) * len(STUDENTS)} comparisons, the student is clearly less "
        "accurate. The paper's Table 2 itself prints a higher accuracy with distillation than "
        f"without a defense at $c$ = {listed(theirs)}."
    )


def _printed(defense: str, c: float) -> float:
    return printed(table2.target(defense, c)) or 0.0


def masking(record: Record) -> str:
    """Return a list of the networks on which the paper's attack succeeds on clearly more images
    than l2 PGD, although it changes the images less. Return "" if there are none.
    """
    network, c = names.networks(record)[0], _cs(record)[-1]
    radius = float(_radius(record, "pgd-l2"))
    pairs = {
        d: (_under_pgd(record, d, "pgd-l2"), _at(record, d, c))
        for d in _shown(record)
        if mean(record, "distortion", network=network, defense=d, c=c) < radius
    }
    found = {d: pair for d, pair in pairs.items() if _above(record, *pair)}
    if not found:
        return ""
    told = [f"- {DEFENSES[d]}: {pgd:.1f} and {cw:.1f} %" for d, (pgd, cw) in found.items()]
    others = listed(
        f"{DEFENSES[d]} ({pgd:.1f} and {cw:.1f} %)"
        for d, (pgd, cw) in pairs.items()
        if d not in found and ("distill" in d or "teacher" in d)
    )
    lead = (
        f"On some networks, l2 PGD with radius {radius:g} leaves clearly more accuracy than the "
        f"paper's attack at $c = {c:g}$, although the latter changes the images less. The "
        "accuracies are, first under PGD and then under the paper's attack:"
    )
    rest = f"This is not so with {others}."
    return "\n".join([lead, "", *told, *(["", rest] if others else [])])


def prototype(record: Record) -> str:
    """Return sentences that compare the first prototype with RSE under PGD and under the paper's
    attack. Return "" if one of the two or no defense was not run.
    """
    three = ("prototype", "rse", "none")
    if not _ran(record, *three):
        return ""
    clean = [_at(record, d, 0.0) for d in three]
    if clean[0] < clean[2] - FAR:
        return (
            f"The prototype was trained badly: its accuracy on clean images is {clean[0]:.1f} %, "
            f"without a defense {clean[2]:.1f} %. So our runs say little about it."
        )
    under = {a: [_under_pgd(record, d, a) for d in three] for a in NORMS}
    better = [NORMS[a] for a, (ours, rse, _) in under.items() if _above(record, rse, ours)]
    told = []
    if len(better) == 1:
        told.append(
            f"Of the two PGD attacks, only {better[0]} PGD leaves RSE clearly more accurate than "
            "the prototype."
        )
    elif better:
        told.append("Both PGD attacks leave RSE clearly more accurate than the prototype.")
    orders = {c: _ordered(record, "rse", "prototype", c) for c in _cs(record)}
    told.append(f"Compared with the prototype under the paper's attack, RSE is {_grouped(orders)}.")
    success = of_target(record, NATTACK)
    if success:
        rse = 100 * (1 - under["pgd-linf"][1] / clean[1])
        told.append(
            f"Within the l-infinity radius {_radius(record, 'pgd-linf')}, PGD lowers the accuracy "
            f"of the prototype by {fmean(success):.1f} % of its value on clean images, and that of "
            f"RSE by {rse:.1f} %."
        )
    return " ".join(told)


def _above(record: Record, first: float, second: float) -> bool | None:
    """Return whether the first accuracy is higher, or None if the difference is too small. For
    accuracies under PGD, of which the record does not say which images are classified correctly.
    """
    images = names.counted(record, names.networks(record)[0])
    return clearly_ordered(first, second, images)


def _ordered(record: Record, first: str, second: str, c: float) -> bool | None:
    """Return whether the accuracy at one c is clearly higher with the first defense (True) or with
    the second (False), or None if the difference is not clear.
    """
    network = names.networks(record)[0]
    return pairs.ordered(
        *(rows_of(record, "accuracy", network=network, defense=d, c=c) for d in (first, second))
    )


def _shown(record: Record) -> list[str]:
    return names.defenses(record, names.networks(record)[0], list(DEFENSES))


def _ran(record: Record, *defenses: str) -> bool:
    return set(defenses) <= set(_shown(record))


def _cs(record: Record) -> list[float]:
    return names.strengths(record, names.networks(record)[0], _shown(record)[0])


def _at(record: Record, defense: str, c: float) -> float:
    found = names.at(record, names.networks(record)[0], defense, c)
    assert found is not None  # the study runs the same values of c for all defenses
    return found


def _under_pgd(record: Record, defense: str, attack: str) -> float:
    return mean(record, PGD, network=names.networks(record)[0], defense=defense, attack=attack)


def _radius(record: Record, attack: str) -> str:
    (eps,) = settings(record, PGD, "eps", attack=attack)
    return f"{255 * float(eps):.0f}/255" if attack == "pgd-linf" else f"{float(eps):g}"
