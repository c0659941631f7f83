"""The pages on the theory, the black-box attack and the attacks of today, from their records."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from robustbook.chapters.published import (
    Version,
    array,
    entries,
    mean,
    record_of,
    records_of,
    settings,
    values,
    version_of,
)
from robustbook.chapters.self_ensemble import names, theory, today, zoo
from robustbook.chapters.self_ensemble.names import networks
from robustbook.chapters.wording import minus
from robustbook.ledger import Record, Row
from robustbook.measures import certified
from robustbook.studies.self_ensemble import theory as theory_study
from robustbook.studies.self_ensemble import today as today_study
from robustbook.studies.self_ensemble import zoo as zoo_study

from .reading import body, numbers


def versions(item: str) -> list[Version]:
    return [version_of(record) for record in records_of(f"self_ensemble/{item}")]


@pytest.mark.parametrize("version", versions("today"), ids=lambda v: v.tag)
def test_today(version: Version) -> None:
    """Every attack of the record has its row, upper bounds fall with the radius, and the sentences
    have numbers of the record."""
    record = version.record
    measured = {row.setting["attack"] for row in record.rows if row.name == "accuracy"}
    assert measured == set(today.ATTACKS)
    first = networks(record)[0]
    rows = [row for row in body(today.attacks(version)) if row[3]]
    assert len(rows) == sum(row.name == "accuracy" for row in record.rows) / len(record.seeds)
    for network, of, curve in (
        name.split("/") for name in record.arrays if not name.startswith("radii")
    ):
        for each in array(record, f"{network}/{of}/{curve}"):
            assert all(a >= b for a, b in pairwise(each))
    r = today.middle(record, first)
    left = today.within(record, first, "rse", "all", r)
    assert f"to {left:.1f} %" in today.answer(record)
    assert f"radius {r:g}, lower" in today.answer(record)
    counts = {row.images for row in record.rows if row.name == "accuracy"}
    assert all(f"{count:,} images" in today.ran([record]) for count in counts)
    caption = today.attacks(version).markdown
    assert all(f"{count:,} test images (" in caption for count in counts)
    assert ("(range over the seeds)" in caption) == (len(record.seeds) > 1)
    assert f"{min(counts):,} images" in today.answer(record)
    for attack, text in (
        ("off", today.noise_in_words([record])),
        ("frozen", today.frozen_in_words([record])),
    ):
        seen = mean(record, "accuracy as seen", network=first, defense="rse", attack=attack)
        assert f"{seen:.1f}" in text
    assert f"{left:.1f} % under all attacks" in today.networks_in_words([record])
    assert len(today.curves([record]).axes) >= 1


def test_the_page_knows_the_sizes_of_the_attacks() -> None:
    """The page has its own list, because the study's module imports torch."""
    for profile, of in today_study.SIZES.items():
        for own in of.values():
            assert today.SIZES[profile] == (own.steps, own.searches, own.queries, own.trials)
    assert today.ALPHA == today_study.ALPHA
    found = {
        profile: {network: own.c for network, own in of.items()}
        for profile, of in today_study.SIZES.items()
    }
    assert found == today.FIXED_C


@pytest.mark.parametrize("version", versions("today"), ids=lambda v: v.tag)
def test_no_certificate_is_beyond_what_the_votes_can_prove(version: Version) -> None:
    """The study certifies no image there, so a share of 0 % would say nothing on the network."""
    record, network = version.record, networks(version.record)[0]
    votes, sigma = today.SIZES[record.profile][-1], 0.4
    all_agree = torch.tensor([[0, votes]])
    for defense in ("rse", "rse paper 0.4"):
        if f"{network}/{defense}/certified" in record.arrays:
            sigma = mean(record, "deviation on the image", network=network, defense=defense)
            (radius,) = certified(all_agree, all_agree, sigma=sigma, alpha=today.ALPHA)[1].tolist()
            most = today.provable(record, network, defense)
            assert most == pytest.approx(radius, rel=1e-6)
            beyond = [i for i, r in enumerate(array(record, f"radii/{network}")) if r > most]
            for curve in array(record, f"{network}/{defense}/certified"):
                assert beyond and not any(curve[i] for i in beyond)
    for row in body(today.bounds(version)):
        if row[3] not in ("", "–"):
            assert float(row[0]) < 1 and float(row[3].split()[0]) > 0
    ends = [max(line.get_xdata()) for line in today.curves([record]).axes[0].lines]
    assert min(ends) < today.provable(record, network, "rse") + 0.1 < max(ends)


def test_larger_c_of_the_paper_s_attack_are_compared_at_the_same_distortion() -> None:
    """Figure 6 has the same network with several c; the attack with c = 0.1 stops early."""
    shown = record_of("self_ensemble/today")
    figure_6 = names.with_network(records_of("self_ensemble/figure-6"), "vgg16")
    assert figure_6 is not None
    of = {"network": "vgg16", "defense": "rse"}
    curve = [
        [mean(figure_6, name, c=c, **of) for name in ("distortion", "accuracy")]
        for c in names.strengths(figure_6, "vgg16", "rse")
    ]
    moved = mean(shown, "distortion", attack="pgd l2", eps=0.5, averaged=50, **of)
    ((near, high), (far, low)) = next(
        (a, b) for a, b in pairwise(sorted(curve)) if a[0] <= moved <= b[0]
    )
    left = high + (low - high) * (moved - near) / (far - near)
    text = today.larger_c([shown]).replace("\N{NO-BREAK SPACE}", " ")
    assert text.endswith(f"the paper's attack leaves {left:.1f} % at this distortion.")
    search = mean(shown, "distortion", attack="search", **of)
    stated = [f"{acc:.1f} % with $c" in text for d, acc in curve if d <= search]
    assert sum(stated) == 3 and "So it is not clearly stronger" in text
    assert text.startswith("One weakness may be its small $c$: at about equal distortion, the")
    weaker = [
        replace(row, value=8.0)
        if row.name == "accuracy"
        and {"attack": "pgd l2", "averaged": 50}.items() <= row.setting.items()
        else row
        for row in shown.rows
    ]
    assert "One weakness" not in today.larger_c([replace(shown, rows=tuple(weaker))])
    assert today.larger_c([replace(shown, profile="paper")]) == ""


@pytest.mark.parametrize("version", versions("theory"), ids=lambda v: v.tag)
def test_theory(version: Version) -> None:
    """No point of the figure of step 1 lies below the diagonal."""
    record = version.record
    cloud = theory.jensen(record).axes[0].lines[0]
    assert all(y >= x - 1e-6 for x, y in zip(*cloud.get_data(), strict=True))
    assert all(len(draw(record).axes) == 1 for draw in (theory.taylor, theory.lipschitz))
    first = networks(record)[0]
    ratio = mean(record, "gap over norm", network="digits", scale=theory.SMALL)
    assert f" and {ratio:.2f} (standard error " in theory.smooth_in_words(record)
    for defense in theory.DEFENSES:
        found = mean(record, "rank correlation", network=networks(record)[0], defense=defense)
        assert f"{found:.2f}" in theory.correlations_in_words(record)
    assert f"{len(record.arrays[f'{first}/rse/bent/trace'])} images" in theory.ran(record)
    scales = settings(record, "gap over trace", "scale", network=first)
    for name in ("gap", "error"):
        found = [mean(record, f"{name} over trace", network=first, scale=s) for s in scales]
        assert all(minus(f"{each:.2f}") in theory.taylor_in_words(record) for each in found)
    loss = array(record, f"{first}/rse/steep/loss")
    assert f"the mean loss is {sum(loss) / len(loss):.2f} without" in theory.fall_in_words(record)
    assert len(body(theory.slopes(version))) >= 2
    assert len(body(theory.bounds(version))) == len(theory_study.COUNTS)  # with a heading
    for row in body(theory.gaps(version)):
        assert row[1] or row[0].startswith("**")


def test_the_trace_is_compared_by_medians_over_the_images() -> None:
    """Of the two misclassified images one has the ratio 1, the other 3; the right ones have 8."""
    shown = theoretical(-3.0, 1.0, [0.4, 0.9, 0.5, 0.6])
    of = {"trace": [4.0, 12.0, 8.0, 8.0], "slope": [2.0, 2.0, 1.0, 1.0]}
    more = {f"vgg16/rse/steep/{name}": each for name, each in of.items()}
    shown = replace(shown, arrays={**shown.arrays, **more})
    rows = body(theory.slopes(version_of(shown)))
    assert [row[1:] for row in rows] == [["8", "2", "2"], ["8", "1", "8"]]
    text = theory.slopes_in_words(shown)
    assert (
        "the trace is 4 times smaller on misclassified images" in text
        and "The median trace" not in text
    )
    more["vgg16/rse/steep/trace"] = [4.0, 24.0, 4.0, 4.0]
    text = theory.slopes_in_words(replace(shown, arrays={**shown.arrays, **more}))
    assert "is 4 times larger on misclassified" in text  # 14 / 4


def test_the_answer_states_the_outcome_for_each_size_of_the_noise() -> None:
    """At a second size of the noise, the ratio on RSE is within two standard errors of 1."""
    shown = theoretical(-3.0, 1.0, [0.4, 0.9, 0.5, 0.6])
    at = {"network": "vgg16", "scale": 0.001}
    more = (
        Row(-1.0, "ratio", None, "gap over trace", 0, setting=at),
        Row(2.0, "ratio", None, "error over trace", 0, setting=at),
    )
    text = theory.answer(replace(shown, rows=shown.rows + more))
    assert "it fails at 0.01 times the noise in training (at 0.01 by " in text
    assert "At 0.001 times the noise in training, our test is too imprecise." in text


def theoretical(rse: float, error: float, noisy: list[float]) -> Record:
    """A record of the theory: a smooth network whose loss rises as the trace predicts, and RSE with
    one ratio and its error. RSE classifies two of four images correctly, and three with noise."""
    rows = [Row(0.1, "fraction", theory.JENSEN, "", 0)]
    for network, ratio, off in (("digits", 1.0, 0.01), ("vgg16", rse, error)):
        of = {"network": network, "scale": 0.01}
        for over, value in (("trace", ratio), ("norm", ratio + 0.5)):
            target = theory.TRACE if (network, over) == ("digits", "trace") else None
            rows.append(Row(value, "ratio", target, f"gap over {over}", 0, setting=of))
            rows.append(Row(off, "ratio", None, f"error over {over}", 0, setting=of))
    rows.append(Row(0.0, "percent", None, "negative trace", 0, setting={"network": "vgg16"}))
    arrays = {
        "digits/smooth/smooth/trace": [1.0],
        "vgg16/rse/bent/trace": [1.0, 1.0],
        "vgg16/rse/steep/loss": [2.0, 3.0, 0.4, 0.5],
        "vgg16/rse/steep/right": [False, False, True, True],
        "vgg16/rse/averaged/mean": [noisy],
        "vgg16/rse/averaged/right": [True, False, True, True],
    }
    return Record("self_ensemble", "theory", "reduced", {}, (0,), tuple(rows), arrays)


@pytest.mark.parametrize(
    ("ratio", "error", "words"),
    [
        (-3.0, 1.0, "fails"),
        (-3.0, 3.0, "cannot be judged"),  # within two standard errors of 1
        (1.0, 0.3, "cannot be judged"),  # the error exceeds the tolerance
        (1.02, 0.03, "holds"),
        (1.07, 0.01, "holds"),  # within the tolerance
    ],
)
def test_the_taylor_expansion_is_judged_by_its_standard_error(
    ratio: float, error: float, words: str
) -> None:
    shown = theoretical(ratio, error, [0.4, 0.9, 0.5, 0.6])
    text = theory.answer(shown)
    assert "The Taylor expansion holds on a small smooth network." in text
    judged = f" images) it {words} at 0.01 times the noise in training" in text
    assert ("standard errors)." in text) is (words == theory.FAILS)
    assert judged is (words != theory.OPEN)
    assert ("At 0.01 times the noise in training, our test" in text) is not judged
    told = theory.taylor_in_words(shown)
    assert f"It {words} with 0.01 times the noise" in told
    assert minus(f"{ratio:.2f} times the predicted one (standard error {error:.2f}).") in told
    smooth = theory.smooth_in_words(shown)
    assert smooth.endswith("So the expansion holds with the trace, and fails with the norm.")


def test_the_loss_falls_if_it_does_so_by_more_than_two_standard_errors() -> None:
    falls = theory.fall_in_words(theoretical(-3.0, 1.0, [1.8, 2.9, 0.3, 0.3]))
    falls = falls.replace("\N{NO-BREAK SPACE}", " ")
    assert "is 1.48 without noise and 1.32 with the noise of the training" in falls
    assert "the difference is \u22120.15 (standard error 0.03). So the loss falls, alth" in falls
    assert falls.endswith(
        "The accuracy is 50.0 % without noise and 75.0 % for the ensemble with noise."
    )
    same = theory.fall_in_words(theoretical(-3.0, 1.0, [2.1, 2.9, 0.4, 0.5]))
    assert "So the loss falls" not in same and "on none of the 2 images" in same
    some = theoretical(-3.0, 1.0, [2.1, 2.9, 0.4, 0.5])
    rows = [replace(r, value=50.0) if r.name == "negative trace" else r for r in some.rows]
    text = theory.fall_in_words(replace(some, rows=tuple(rows)))
    assert "on 50 % of the 2 images" in text


@pytest.mark.parametrize("version", versions("zoo"), ids=lambda v: v.tag)
def test_zoo(version: Version) -> None:
    """The draws that a pixel needs exceed those along the gradient by the number of pixels."""
    record = version.record
    network = networks(record)[0]
    pixel, along = (
        mean(record, f"draws along {name}", network=network, h=zoo.MODERATE)
        for name in ("a pixel", "the gradient")
    )
    assert pixel / along == pytest.approx(3 * (96 if network == "model-a" else 32) ** 2, rel=1e-3)
    blocks = len(networks(record)) * (1 + len(zoo_study.STEPS))
    assert len(body(zoo.numbers(version))) == blocks
    low = {"mean over derivative": -0.3, "standard error": 4.0}
    rows = tuple(replace(row, value=low.get(row.name, row.value)) for row in record.rows)
    assert body(zoo.numbers(replace(version, record=replace(record, rows=rows))))[1][4] == "0"
    assert len(zoo.estimates(record).axes) == 2
    table = body(zoo.attacks(version))
    assert [row[0] for row in table if row[3]]
    images = {row.images for row in record.rows if row.name == "success"}
    rse, none = (max(zoo.success(record, network, d).values()) for d in ("rse", "none"))
    assert f"{none:.1f} % of the images without a defense and on {rse:.1f} %" in zoo.answer(record)
    moved = values(record, "distance", network=network, defense="rse")
    text = zoo.needed_in_words(record)
    unmoved = not any(moved) and bool(moved)
    assert ("new noise alone" in text) == unmoved
    control = mean(record, "errors without attack", network=network, defense="rse")
    assert f"misclassify {control:.1f} % of the same images" in text
    assert f"new noise makes RSE misclassify {control:.1f} %" in zoo.answer(record)
    most = max(draws for _, draws in zoo.success(record, network, "rse"))
    assert (f"averages over at most {most}, so its failure was" in text) == (most < pixel)
    assert f"attacks {min(images)} images" in zoo.ran(record)
    wide = zoo.widest(record, network)
    assert wide in zoo_study.STEPS and wide >= zoo.MODERATE and f"h = {wide:g}" in text


def test_the_logs_of_another_black_box_attack_are_quoted() -> None:
    own = {row.id: row.target.printed for row in entries("self_ensemble")}
    rse, none = (own[f"self-ensemble/later/nes100-eps-0.2/{d}"] for d in ("rse", "none"))
    assert numbers(zoo.nes_in_words()) == [100, 0.05, 0.1, 0.2, 17.5, 16.6, rse, 4.3, 13.3, none]


def test_the_square_attack_is_quoted_from_the_page_on_stronger_attacks() -> None:
    shown = record_of("self_ensemble/today")
    rse, none = (
        mean(shown, "accuracy", attack="square", network="vgg16", defense=d)
        for d in ("rse", "none")
    )
    assert zoo.square(shown).endswith(
        f"is {rse:.1f} % with RSE and {none:.1f} % without a defense."
    )


def test_constants_are_those_of_the_studies() -> None:
    assert theory.SMALL == theory_study.AT and zoo.MODERATE == zoo_study.MODERATE
    assert set(today_study.OWN["vgg16"]) <= set(today.DEFENSES)


def attacked(left: float, many: float, off: float) -> Record:
    """A record of today's attacks: RSE has 90 % without an attack and 60 % under the paper's attack
    and under PGD; the accuracies under all attacks, with averaging and without noise are given."""
    of = {"network": "vgg16", "defense": "rse"}
    none = {**of, "defense": "none"}
    pgd = {"attack": "pgd l2", "averaged": 50, "eps": 0.5}
    found = [
        ("accuracy", 90.0, {**of, "attack": "clean", "averaged": 1, "eps": 0}),
        ("accuracy", 60.0, {**of, "attack": "paper", "averaged": 1, "eps": 0}),
        ("accuracy", many, {**of, "attack": "paper", "averaged": 10, "eps": 0}),
        ("accuracy", 60.0, {**of, "attack": "large steps", "averaged": 1, "eps": 0}),
        ("accuracy", 60.0, {**of, "attack": "large steps", "averaged": 10, "eps": 0}),
        ("accuracy", 60.0, {**of, "attack": "large steps", "averaged": 50, "eps": 0}),
        ("accuracy", 66.0, {**of, "attack": "nearest", "averaged": 10, "eps": 0}),
        ("accuracy", 8.0, {**of, "attack": "search", "averaged": 10, "eps": 0}),
        ("accuracy", 75.0, {**of, **pgd, "averaged": 1}),
        ("accuracy", 60.0, {**of, **pgd}),
        ("accuracy", 10.0, {**none, **pgd, "averaged": 1}),
        ("accuracy", 55.0, {**of, "attack": "frozen", "averaged": 1, "eps": 0.5}),
        ("accuracy", 50.0, {**of, "attack": "off", "averaged": 1, "eps": 0.5}),
        ("accuracy as seen", 20.0, {**of, "attack": "frozen"}),
        ("accuracy as seen", off, {**of, "attack": "off"}),
        ("accuracy within", 60.0, {**of, "attack": "paper", "eps": 0.5}),
        ("accuracy within", left, {**of, "attack": "all", "eps": 0.5}),
        ("accuracy within", 1.0, {**none, "attack": "all", "eps": 0.5}),
        ("spread", 2.0, of),
        ("accuracy of votes", 91.0, of),
        ("deviation on the image", 0.1, of),
    ]
    shares = ("accuracy", "accuracy as seen")
    rows = tuple(
        Row(value, "percent", None, name, 0, 50 if name in shares else None, setting=setting)
        for name, value, setting in found
    )
    arrays = {"radii/vgg16": [0.0, 0.1], "vgg16/rse/certified": [[80.0, 0.0]]}
    return Record("self_ensemble", "today", "paper", {}, (0,), rows, arrays)


def test_the_wording_follows_the_numbers() -> None:
    """The answer claims a lower accuracy only if the number of images carries it."""
    weak, same = attacked(10.0, 20.0, 35.0), attacked(88.0, 58.0, 14.0)
    text = today.answer(weak).replace("\N{NO-BREAK SPACE}", " ")
    assert text.startswith("No: all attacks together, within the l2 radius 0.5, lower the accuracy")
    assert (
        "from 90.0 to 10.0 %, and leave 1.0 % without a defense (VGG16; 50 images, one seed). "
        "Averaging gradients over draws clearly lowers RSE's accuracy under the paper's attack, but"
    ) in text
    assert today.answer(attacked(40.0, 20.0, 35.0)).startswith("Partly: all attacks together")
    assert today.answer(same).startswith("This run cannot tell: ")
    told = today.networks_in_words([weak]).replace("\N{NO-BREAK SPACE}", " ")
    assert "in each step, and 20.0 % with 10 draws. So averaging lowers it." in told
    assert "A search over $c$ lowers it to 8.0 %. " in told
    proven = today.certified_in_words([weak]).replace("\N{NO-BREAK SPACE}", " ")
    assert "a radius of at most 0.246 for RSE (standard deviation 0.1 on the image" in proven
    assert proven.endswith("The certified accuracies are 0.0 % within 0.1 and 0.0 % within 0.2.")
    assert "changes an accuracy by up to 2.0 points" in told
    assert "of 50 draws" not in told and "instead of one does not clearly lower the" in told
    assert told.startswith(
        "On VGG16 on CIFAR-10 within the l2 radius 0.5, the accuracy of RSE is 10.0"
    )
    assert "10.0 % under all attacks together, and 60.0 % under the paper's attack with $c" in told
    assert "it is 66.0 %, because" in told and "new noise (with the last one 60.0 %)." in told
    assert "So averaging does not clearly change it." in today.networks_in_words([same])


def test_the_share_of_the_weights_is_what_remains_of_the_gain_without_noise() -> None:
    """From 10 % without a defense to 35 %, which is half of the way to RSE's 60 %."""
    shown = attacked(10.0, 20.0, 35.0)
    assert today.shares(shown, "vgg16") == today.Shares(10.0, 35.0, 60.0)
    text = today.noise_in_words([shown])
    assert "So 50 % of the gain remains without the noise. The noise" in text
    assert "adds about 25 points" in text and text.endswith(
        "Both parts exceed two standard errors."
    )
    close = today.noise_in_words([attacked(10.0, 20.0, 14.0)])
    assert close.endswith("At least one part does not exceed two standard errors.")
    frozen = today.frozen_in_words([shown])
    assert "so only 20 % of the gain remains" in frozen
    both = (*shown.rows, *(replace(r, setting=on_image(r)) for r in shown.rows if noisy(r)))
    text = today.noise_in_words([replace(shown, rows=both)])
    assert (
        "For RSE with the strongest noise on the image the three accuracies are 10.0, 35.0 and 60.0"
        in text
    )


def noisy(row: Row) -> bool:
    return row.setting["defense"] == "rse"


def on_image(row: Row) -> dict[str, str | float | int | bool]:
    return {**row.setting, "defense": "rse paper 0.4"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.3, "1"),
        (12.4, "12"),
        (1127.7, "1,100"),
        (3.6e8, "360\N{NO-BREAK SPACE}million"),
        (1.66e9, "1.7\N{NO-BREAK SPACE}billion"),
    ],
)
def test_a_number_of_draws_has_two_digits(value: float, text: str) -> None:
    assert zoo._power(value) == text
