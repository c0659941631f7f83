"""Sort the claims of Random Self-Ensemble by our results: claims that hold in our runs, claims that
do not hold, and open claims.

The map of claims on the first page of the book uses only runs with the paper's setting. This module
also uses runs with narrow networks.
"""

from collections.abc import Iterable, Iterator
from statistics import fmean

from robustbook.chapters.published import (
    as_printed,
    of_target,
    printed,
    record_of,
    records_of,
    verdicts,
)
from robustbook.chapters.wording import from_to, listed
from robustbook.ledger import Record
from robustbook.ledger.intervals import clearly_ordered

from . import fifty, figure2, figure3, figure5, figure6, names, table1, table2, zoo

PAPER = "self_ensemble"
GROUPS = {True: "Hold in our runs", False: "Do not hold in our runs", None: "Open or partly true"}
PROVEN = (
    "True for any network: the training loss is an upper bound on the ensemble's loss (Jensen's "
    "inequality).",
    "Does not follow from the paper's expansion: training with noise is equivalent to a penalty on "
    "a Lipschitz constant of the loss. In a linear network with two classes, the penalty almost "
    "vanishes on confidently misclassified images, where the loss is steepest (the page on the "
    "[theory](./theory.ipynb)).",
)
"""Claims that a proof or a calculation decides."""
SAME = "vgg16"
"""The network for which the paper also compares RSE with no defense at the same distortion."""


def sorted_claims() -> str:
    """Return a nested list in Markdown: the claims that hold in our runs, those that do not hold,
    the open claims, and a difference between the paper's text and its code.
    """
    found = list(_judged())
    parts = []
    for status, words in GROUPS.items():
        claims = [claim for claim, holds in found if holds is status]
        if claims:
            parts += [f"- *{words}*", *(f"  - {claim}" for claim in claims)]
    parts += ["- *Decided without any run*", *(f"  - {claim}" for claim in PROVEN)]
    noisiest = _noisiest()
    if noisiest:
        parts += [
            "- *Differences between text and code*",
            "  - The text places VGG16's strongest noise before the first convolution; the "
            f"released code places it before convolution {1 + noisiest}.",
        ]
    return "\n".join(parts)


def _judged() -> Iterator[tuple[str, bool | None]]:
    """Yield each claim with True if it holds, False if it does not, and None if it is open. A claim
    about accuracies holds or fails only if these differ by more than two standard errors.
    """
    record = record_of(f"{PAPER}/table-2")
    where = names.full_title(record, table2.NETWORK)
    yield (
        f"On {where}, RSE is more accurate than a network without a defense under the paper's "
        f"attack ($c = {table2.AT:g}$).",
        _above_none(table2.AT),
    )
    c = table2.equally_far(record)
    if c is not None:
        yield (
            f"At almost the same distortion, RSE is more accurate than a network without a defense "
            f"({where}, $c = {c:g}$).",
            _above_none(c),
        )
    yield _below_ten(record)
    for each, network in names.best(records_of(f"{PAPER}/figure-6")):
        ours = "; the paper does not compare this" * (network != SAME)
        yield (
            "At the same distortion, RSE is more accurate than a network without a defense "
            f"({names.full_title(each, network)}{ours}).",
            _at_equal_distance(each, network),
        )
    for each, network in names.best(records_of(f"{PAPER}/figure-2")):
        yield (
            "RSE is more accurate with noise in training and at test time than with noise in only "
            f"one of them ($c = {figure2.SMALL:g}$, {names.full_title(each, network)})"
            f"{figure2.alone(each, network)}.",
            figure2.needs_both(each, network) or None,
        )
    yield _no_gradient()
    yield _zoo_fails()
    where = names.full_title(table2.placed(), table2.NETWORK)
    yield f"RSE is far ahead of the three other defenses ({where}).", _first_of_all()
    yield from _ahead()
    yield _distorted()
    yield _clean()
    yield _more_noise()
    yield fifty.more_noise(record_of(f"{PAPER}/figure-3"))
    yield from fifty.claims()
    yield "Ten draws of the noise are enough for clean images.", _ten()
    yield "A targeted attack needs a larger distortion with RSE (we attacked one image).", None


def _compared(first: float | None, second: float | None, images: int) -> bool | None:
    """Return whether the first accuracy is higher, or None if the difference is too small."""
    return clearly_ordered(first or 0.0, second or 0.0, images)


def _above_none(c: float) -> bool | None:
    record = record_of(f"{PAPER}/table-2")
    rse, none = (names.at(record, table2.NETWORK, d, c) for d in ("rse", "none"))
    return _compared(rse, none, names.counted(record, table2.NETWORK))


def _below_ten(record: Record) -> tuple[str, bool | None]:
    """Return the claim of the abstract on a network without a defense, and whether
    it holds, by its verdict at the c of the abstract's accuracies. The abstract names no c, so the
    claim is open if only a larger c of Table 2 gives so low an accuracy. ``record`` contains the
    stored results of Table 2.
    """
    target = "self-ensemble/abstract/no-defense-under-attack"
    limit = printed(target) or 0.0
    at = {c: names.at(record, table2.NETWORK, "none", c) or 0.0 for c in table2.CS}
    holds = {"reproduced": True, "not reproduced": False}.get(verdicts(PAPER)[target])
    told = f"{at[table2.AT]:.1f} % at $c = {table2.AT:g}$"
    low = [c for c in table2.CS if c > table2.AT and at[c] < limit]
    if holds is False and low:
        told += f", but {at[low[0]]:.1f} % at $c = {low[0]:g}$"
        holds = None
    return (
        "The attack lowers the accuracy of VGG16 without a defense to less than "
        f"{as_printed(target)} % (abstract, which names no $c$; ours: {told}).",
        holds,
    )


def _at_equal_distance(record: Record, network: str) -> bool | None:
    found = figure6.at_equal_distance(record, network)
    return None if found is None else _compared(*found[1:], names.counted(record, network))


def _noisiest() -> int:
    """Return before which convolution the released VGG16 has its strongest noise, counted from
    0.
    """
    noise = table1.sigmas(record_of(f"{PAPER}/table-1"), "vgg16")
    return noise.index(max(noise))


def _no_gradient() -> tuple[str, bool | None]:
    """Return the claim about ZOO's estimate. It holds if also the mean of the estimate is wrong;
    otherwise it is partly true, because the variance of the estimate grows as h goes to 0.
    """
    record = record_of(f"{PAPER}/zoo")
    ratio = fmean(of_target(record, zoo.UNBIASED))
    claim = "With RSE, ZOO's finite differences estimate no gradient, even for $h \\to 0$."
    where = f"{ratio:.2f} times the derivative at $h = {zoo.MODERATE:g}$"
    if abs(ratio - 1) > 0.1:
        return f"{claim} (Even their mean is wrong: {where}.)", True
    return (
        f"{claim} (Their mean is right: {where}. But their variance grows without bound for "
        "$h \\to 0$, so a single estimate with small $h$ is useless.)",
        None,
    )


def _zoo_fails() -> tuple[str, bool | None]:
    """Return the claim about ZOO's successes, and whether it holds. It is open if ZOO averaged over
    fewer draws than its estimate along one pixel needs.
    """
    record = record_of(f"{PAPER}/zoo")
    network = names.networks(record)[0]
    none, rse = (max(zoo.success(record, network, d).values()) for d in ("none", "rse"))
    most, needed = zoo.averaged(record, network)
    few = f"; our ZOO averaged over at most {most} draws, and needs more" * (most < needed)
    fails = _compared(none, rse, names.counted(record, network))
    return (
        f"ZOO with about {zoo.queries(record, network)} queries per image succeeds on fewer images "
        f"with RSE than without a defense ({names.full_title(record, network)}; the paper says "
        f"that RSE perfectly prevents ZOO{few}).",
        None if fails and few else fails,
    )


def _first_of_all() -> bool | None:
    record = table2.placed()
    if figure6.failed(record, table2.NETWORK):
        return None
    rse, *others = (
        names.at(record, table2.NETWORK, d, table2.AT) or 0.0
        for d in names.defenses(record, table2.NETWORK, list(names.DEFENSES))
    )
    return _compared(rse, max(others), names.counted(record, table2.NETWORK))


def _ahead() -> Iterator[tuple[str, bool | None]]:
    """Yield for each network of the paper's width whether RSE is more accurate under a strong
    attack than no defense and those other defenses whose networks trained well.
    """
    c = figure6.LARGE
    for record, network in names.best(records_of(f"{PAPER}/figure-6")):
        failed = figure6.failed(record, network)
        others = names.defenses(record, network, [*names.BASELINES, "none"])
        trained = [d for d in others if d not in failed]
        if record.profile != "paper" or set(trained) <= {"none"}:
            continue
        rse, *under = (names.at(record, network, d, c) or 0.0 for d in ("rse", *trained))
        left_out = f"; without {_named(failed)}, which trained badly" if failed else ""
        yield (
            f"Under a stronger attack, RSE is more accurate than {_named(trained)} ($c = {c:g}$, "
            f"{names.full_title(record, network)}{left_out}).",
            _compared(rse, max(under), names.counted(record, network, baselines=True)),
        )


def _distorted() -> tuple[str, bool | None]:
    """Return the claim that the attack with the largest c perturbs the images most with RSE, and
    whether it holds. It is open unless RSE's distortion is a quarter larger on each network,
    because not every record has the sampling error of the distortions.
    """
    told, larger = [], []
    for record, network in names.best(records_of(f"{PAPER}/figure-6")):
        c = max(names.strengths(record, network, "rse"))
        rse, *others = (
            names.at(record, network, d, c, "distortion") or 0.0
            for d in names.defenses(record, network, list(names.DEFENSES))
        )
        larger.append(rse > 1.25 * max(others))
        told.append(
            f"{rse:.2f} and at most {max(others):.2f} ($c = {c:g}$, "
            f"{names.full_title(record, network)})"
        )
    claim = "Under the strongest attack the distortion is larger with RSE than with the others"
    return f"{claim}: {listed(told)}.", all(larger) or None


def _clean() -> tuple[str, bool | None]:
    """Return the claim on the accuracy on clean images, which is open because the paper does not
    say how much is slight.
    """
    records = [record_of(f"{PAPER}/table-2"), *records_of(f"{PAPER}/figure-6")]
    cost = from_to([points for *_, points in figure6.costs(records)], ".1f")
    return (
        f"RSE only slightly lowers the accuracy on clean images (by {cost} points, which depends "
        "on the network; the paper does not say how much is slight).",
        None,
    )


def _named(defenses: Iterable[str]) -> str:
    return listed([{**names.DEFENSES, "none": "no defense"}[d] for d in defenses])


def _more_noise() -> tuple[str, bool | None]:
    """Return the claim about the highest noise level at c = 0.1."""
    record = record_of(f"{PAPER}/figure-3")
    network = names.networks(record)[0]
    low, high = figure3.ends(record, network)
    words = figure3.levels(record)
    less, more = (names.at(record, network, d, figure3.STRONG, figure3.ONE) for d in (low, high))
    return (
        f"More noise raises the accuracy of one draw at $c = {figure3.STRONG:g}$ "
        f"({words[high]} instead of {words[low]}).",
        _compared(more, less, names.counted(record, network)),
    )


def _ten() -> bool | None:
    found = {figure5.enough(*each) for each in names.best(records_of(f"{PAPER}/figure-5"))}
    return found.pop() if len(found) == 1 else None
