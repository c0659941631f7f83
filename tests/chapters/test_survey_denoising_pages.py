"""The pages of feature denoising and of the post: content, ideas and solutions."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from pytest import approx
from torch import nn

from robustbook import notebooks
from robustbook.chapters.published import version_of
from robustbook.chapters.survey import denoising, post
from robustbook.defenses.denoising import Denoising
from robustbook.ledger import Record, Row
from robustbook.ledger.intervals import sampling_error
from robustbook.measures import feature_noise
from robustbook.randomness import generator
from robustbook.studies.survey import denoising_networks as study
from robustbook.studies.survey.post import EPS_L2

from .reading import body, numbers
from .test_ideas import idea

Names = dict[str, Any]
PAGES = ("survey/denoising", "survey/post")


def row(name: str, value: float, seed: int, unit: str = "percent", **setting: Any) -> Row:
    images = (100 if setting["attack"] == "worst" else 400) if name == "accuracy" else None
    return Row(value, unit, None, name, seed, images, setting=setting)


def rows_of_denoising(seeds: int) -> Iterator[Row]:
    """Made up: each variant is a point above the one before it; a seed adds half a point to the
    mean filter alone. Filters halve the noise, the null block keeps it.
    """
    for seed in range(seeds):
        for i, name in enumerate(denoising.NAMES):
            own = 20 + i + (seed / 2 if name == "mean" else 0)
            for attack, more in (("clean", 20), ("pgd-20", 0), ("worst", -2)):
                label = {"variant": name, "attack": attack}
                yield row("accuracy", own + more, seed, training="adversarial", **label)
                if name in study.STANDARD:
                    left = 60.0 if attack == "clean" else 0.0
                    yield row("accuracy", left, seed, training="standard", **label)
            for j, against in enumerate(denoising.AGAINST):
                label = {"variant": name, "against": against}
                if name != against:
                    yield row("difference", own - 20 - j, seed, **label)
                    yield row("half width", 2.5, seed, **label)
            if name in study.BLOCKED:
                for stage, before in (("stage3", 0.5), ("stage4", 1.0)):
                    after = before * (1 if name == "null" else 0.5)
                    label = {"variant": name, "stage": stage}
                    yield row("noise before", before, seed, "ratio", **label)
                    yield row("noise after", after, seed, "ratio", **label)
                    moved = (3 if name == "null" else 4) * 2 * before
                    own = 0 if name == "null" else moved / 2
                    for training in ("adversarial", "standard"):
                        of = {"training": training, **label}
                        yield row("change by block", moved, seed, **of)
                        yield row("change by filter", own, seed, **of)
                    yield row("ratio", after / before, seed, "ratio", **label)


def rows_of_post(seeds: int) -> Iterator[Row]:
    """Made up: the noise of the standard network grows by 0.2 a stage and falls at the last."""
    for seed in range(seeds):
        for training, scale in (("standard", 1.0), ("adversarial", 0.5)):
            for kind, less in (("attack", 1.0), ("random", 0.25)):
                for layer, value in zip(post.LAYERS, (0.1, 0.3, 0.5, 0.9, 0.8), strict=True):
                    label = {"training": training, "perturbation": kind, "layer": layer}
                    yield row("relative noise", scale * less * value, seed, "ratio", **label)
        accuracies = {
            ("standard", "clean"): 70,
            ("adversarial", "clean"): 50,
            ("adversarial", "l2"): 20,
            ("adversarial", "linf"): 25,
            ("l2", "l2"): 30,
            ("l2", "linf"): 15,
        }
        for (training, attack), value in accuracies.items():
            yield row("accuracy", value, seed, training=training, attack=attack)
        target = "survey/blog/figure-1/noise-grows-with-depth"
        yield Row(8.0, "ratio", target, seed=seed, holds=False)


def pictures() -> dict[str, Any]:
    """Two images of 4 x 4 pixels, with feature maps of 2 x 2."""
    image = np.full((2, 4, 4, 3), 100).tolist()
    maps = [[[0.0, 1.0], [2.0, 3.0]]] * 2
    arrays: dict[str, Any] = {}
    for network in ("standard", "adversarial", "denoised"):
        arrays |= {f"{network}/label": [3, 5], f"{network}/predicted": [1, 9]}
        for name in ("clean", "attacked"):
            arrays[f"{network}/{name}"] = image
            for where in ("stage", "before"):
                arrays[f"{network}/{name}/{where}"] = maps
    return arrays


def record(item: str, seeds: int = 1) -> Record:
    rows = {"denoising": rows_of_denoising, "post": rows_of_post}[item](seeds)
    arrays = pictures() if item == "post" else {}
    every = tuple(range(seeds))
    return Record("survey", item, "reduced", {}, every, tuple(rows), arrays)


def test_names_are_those_of_the_study() -> None:
    """A variant without a name would be left out of tables and figures."""
    assert set(denoising.NAMES) == {*study.VARIANTS, *study.ABLATIONS}
    assert set(denoising.FILTERS) == set(study.FILTERS)
    assert set(post.LAYERS) == {"images", *study.STAGES}


def of_variants(record: Record, *names: str, profile: str = "quick") -> Record:
    """Return the record with the rows of some variants only."""
    own = [r for r in record.rows if r.setting["variant"] in names]
    return Record("survey", "denoising", profile, {}, record.seeds, tuple(own))


def test_the_answer_ranks_only_what_the_intervals_rank() -> None:
    """With one seed the interval against a control is over images: 2.5 points to each side. The
    filters are one point apart, which two samples of 400 images do not tell apart.
    """
    text = denoising.compared(record("denoising"))
    plain = text.replace("ResNet-18", "").replace("CIFAR-10", "").replace("3 x 3", "")
    assert numbers(plain) == [10, 0, 10_000, 20, 400, 22, 26, 5, 20, 21, 95]
    assert (
        "both controls: *bilateral 3 x 3*, *non-local, dot product*, *non-local, Gaussian*" in text
    )
    assert "Of 10 pairs of filters, 0 can be told apart." in text
    assert text.endswith("leave out the variation between trainings.")
    own = record("denoising")
    few = of_variants(own, "mean", "median", "baseline", "null", profile="reduced")
    text = denoising.compared(few)
    assert "No filter beats both controls; these filters differ from one or both: *median" in text
    rows = [replace(r, value=9.0) if r.name == "half width" else r for r in own.rows]
    wide = replace(own, rows=tuple(rows))
    text = denoising.compared(wide)
    assert "apart from the controls. The intervals of the differences between two" in text
    assert "(10 pairs, not in the table) contain 0 too." in text
    alone = of_variants(own, "mean", "baseline", "null")
    assert "22.0 % with the filter *mean 3 x 3*" in denoising.compared(alone)
    assert "no filter can be told apart from the controls. We" in denoising.compared(alone)


def test_the_answer_names_no_filter_that_may_be_better_by_chance() -> None:
    """Made up: three of five filters are more than 2.5 points above both controls."""
    own = record("denoising")
    text = denoising.answer(own)
    assert text.startswith("In our small experiment, some filters clearly raise the accuracy")
    assert numbers(text)[:2] == [26, 20] and ", and the filters cannot be ranked." in text
    few = of_variants(own, "mean", "median", "baseline", "null", profile="paper")
    assert denoising.answer(few).startswith("In our experiment, no filter clearly raises the")
    one = denoising.answer(of_variants(own, "bilateral", "baseline", "null"))
    assert "every filter clearly raises" in one and "ranked" not in one
    far = [
        replace(r, value=90.0) if r.setting.get("variant") == "nonlocal-dot" else r
        for r in own.rows
        if r.name == "accuracy"
    ]
    text = denoising.answer(replace(own, rows=tuple(far)))
    assert "some filters clearly differ from others" in text


def test_the_interval_covers_the_test_images_and_the_seeds() -> None:
    """The made-up half-width over images is 2.5. The mean filter has 0 and half a point more, so
    Student's half-width with one degree of freedom is added. The median has equal differences.
    """
    two = record("denoising", 2)
    mean, low, high = denoising.difference(two, "mean", "baseline")
    half = math.hypot(12.706 * 0.25, 2.5)
    assert (mean, high - mean, mean - low) == approx((2.25, half, half), rel=1e-3)
    assert not denoising.apart(two, "mean", "baseline")
    assert denoising.difference(two, "median", "baseline") == approx((3, 0.5, 5.5))
    assert denoising.difference(record("denoising"), "mean", "baseline") == (2, -0.5, 4.5)
    text = denoising.compared(two)
    assert text.endswith("variation over 2 seeds.") and "Of 10 pairs of filters, 0 can" in text


def test_incomplete_blocks_are_compared_with_the_whole_block() -> None:
    """Without a half-width in the record, by that of two independent samples of images."""
    one = record("denoising")
    shares = [(share * 400 + 1) / 402 for share in (0.26, 0.28)]
    half = 195.9964 * (sum(share * (1 - share) for share in shares) / 402) ** 0.5
    found = denoising.difference(one, "no-residual", denoising.WHOLE)
    assert found == approx((2, 2 - half, 2 + half))
    rows = body(denoising.paired(version_of(one)))
    assert rows[-3][3] == "–" and numbers(rows[-1][3])[0] == 2
    assert "No incomplete block can be told apart" in denoising.ablated(one)
    label = {"variant": "no-residual", "against": denoising.WHOLE}
    known = replace(one, rows=(*one.rows, row("half width", 1.5, 0, **label)))
    assert denoising.difference(known, "no-residual", denoising.WHOLE) == (2, 0.5, 3.5)
    assert "differ clearly" in denoising.ablated(known)


def test_the_sizes_in_words() -> None:
    text = denoising.size_in_words(record("denoising")).replace("1/8", "").replace("ResNet-18", "")
    assert numbers(text) == [312, 64, 2, 10_000, 400, 100, 40]
    assert "uses one attack step in each" in text and text.count("1/8") == 0
    sizes = post.sizes(record("post"))
    assert numbers(sizes.replace("1/8", "").replace("ResNet-18", "")) == [312, 64, 2, 10_000]


def test_the_tables_of_denoising() -> None:
    """Printed and ours; every variant with every attack; intervals with a word."""
    version = version_of(record("denoising"))
    beside = body(denoising.printed_beside(version))
    assert [numbers(cell) for cell in beside[1][1:]] == [[52.5], [55.7], [3.2]]
    assert [numbers(cell) for cell in beside[-1][1:]] == [[20], [26], [6]]
    rows = body(denoising.accuracies(version))
    assert len(rows) == 2 + len(denoising.NAMES) + 2
    assert rows[1] == ["no block", "40.0", "20.0", "18.0"]
    heads = denoising.accuracies(version).markdown
    assert heads.count("(400 images)") == 2 and heads.count("(100 images)") == 1
    assert rows[-1][1:] == ["60.0", "0.0", "0.0"]
    paired = body(denoising.paired(version))
    assert len(paired) == 7
    assert "resolved" not in paired[0][1] and numbers(paired[0][1]) == [2, -0.5, 4.5]
    assert paired[3][1].endswith("] resolved") and paired[3][1].count(" ") == 2
    noise = body(denoising.noise(version))
    assert noise[0][1:] == ["3", "0.50", "0.50", "1.00", "3.0", "0.0"] and len(noise) == 12


def test_the_sentences_of_denoising() -> None:
    own = record("denoising")
    text = denoising.quieter(own)
    assert numbers(text) == [50, 3, 4, 0.5, 3, 4, 3, 4]
    assert (
        text.startswith("Yes.")
        and "lower the relative noise by 50" in text
        and text.count("at most") == 1
    )
    changed = [
        replace(r, value=1.16 if r.setting["stage"] == "stage4" else 0.9993)
        if r.name == "ratio" and r.setting["variant"] != "null"
        else r
        for r in own.rows
    ]
    text = denoising.quieter(replace(own, rows=tuple(changed)))
    assert text.startswith("No. Blocks with a filter change the relative noise by at most 0.5")
    assert "raise it by 16" in text and numbers(text)[:4] == [0.5, 3, 16, 4]
    text = denoising.control(own)
    error = round(sampling_error(0, "percent", 100), 1)
    assert numbers(text) == [0, 0, 100, 2, 2, 4, 100, 1, 0, error]
    assert "AutoAttack, which has not been run" in text
    many = tuple(replace(row, images=row.images and 10_000) for row in own.rows)
    assert "cannot decide" not in denoising.control(replace(own, rows=many))
    assert text.startswith("For the Gaussian filter, we see no sign of gradient masking.")
    left = {"training": "standard", "variant": denoising.WHOLE, "attack": "worst"}
    rows = [replace(r, value=5.0) if r.setting == left else r for r in own.rows]
    text = denoising.control(replace(own, rows=tuple(rows)))
    assert text.startswith("For the Gaussian filter, gradient masking is likely.")
    auto = [
        row("accuracy", value, 0, training="standard", variant=name, attack="autoattack")
        for name, value in (("baseline", 1.0), (denoising.WHOLE, 3.0))
    ]
    text = denoising.control(replace(own, rows=(*own.rows, *auto)))
    assert (
        numbers(text) == [0, 0, 100, 2, 2, 4, 1, 3, 100, 1, 0, error] and "not been run" not in text
    )
    assert numbers(denoising.ablated(own)) == [400, 26, 27, 1, 1, 1, 28, 2]
    few = [r for r in own.rows if r.setting.get("variant") not in denoising.ABLATIONS]
    shorter = Record("survey", "denoising", "quick", {}, (0,), tuple(few))
    assert "have not been run" in denoising.ablated(shorter)


def test_the_page_on_the_post_states_both_radii() -> None:
    text = "".join(cell.source for cell in notebooks.stored("survey/post", ".md").cells)
    own = study.SETTINGS["reduced"].pgd
    assert (own.eps, own.steps) == (8 / 255, 20)
    told = f"20 steps and l-infinity radius 8/255, and with 40 steps and l2 radius {EPS_L2:g}"
    assert told in text


def test_means_over_seeds_are_called_means() -> None:
    """Made up: the second seed of the mean filter raises the noise by 10 %. With one seed, there is
    nothing to average.
    """
    rows = [
        replace(r, value=1.1)
        if r.name == "ratio" and r.seed == 1 and r.setting["variant"] == "mean"
        else r
        for r in record("denoising", 2).rows
    ]
    text = denoising.quieter(replace(record("denoising", 2), rows=tuple(rows)))
    assert "On average over the seeds, blocks with a filter" in text
    single = text.partition("In single networks, ")[2].partition(".")[0]
    assert numbers(single) == [-50, 10, 3, -50, 10, 4]
    alone = denoising.quieter(record("denoising"))
    assert "average" not in alone and "single" not in alone


def test_the_intervals_are_compared_with_the_paper_s_gain() -> None:
    """Made up: 2.5 points to each side with one seed. The largest printed gain is 3.8 points under
    white-box PGD. Under black-box attacks, all gains are above a baseline of 43.1 %: 43.6 to 44.4,
    46.4 and 49.5 %.
    """
    own = record("denoising")
    black_box = [0.5, 1.3, 3.3, 6.4]
    assert numbers(denoising.precision(own)) == [3.8, *black_box, 2.5, 3.8, 0, 10, 0]
    assert denoising.precision(own).endswith("as small as those of local filters.")
    assert "four local filters gain 0.5 to 1.3 points," in denoising.precision(own)
    rows = [
        replace(r, value=4.0)
        if r.name == "half width" and r.setting["variant"] in ("mean", "median")
        else r
        for r in own.rows
    ]
    text = denoising.precision(replace(own, rows=tuple(rows)))
    assert numbers(text) == [3.8, *black_box, 2.5, 4, 3.8, 4, 10, 0]
    rows = [replace(r, value=1.0) if r.name == "half width" else r for r in own.rows]
    assert "none can show" not in denoising.precision(replace(own, rows=tuple(rows)))


def test_the_change_by_blocks_and_by_filters() -> None:
    """Made up: with a filter, blocks change their input by 4 and 8 %, half of it by the filter.
    Without a filter, they change it by 3 and 6 %.
    """
    own = record("denoising")
    text = denoising.change_in_words(own)
    assert "change their input by 4 % (stage 3) and 8 % (stage 4) of its norm" in text
    assert "without a filter change it by 3 % (stage 3) and 6 % (stage 4)." in text
    assert "changes by 2 to 4 % with the 3 x 3 filters, 2 to 4 % with the dot product and 2" in text
    assert text.endswith("means over 100 test images.")
    rows = {tuple(line[:2]): line[-2:] for line in body(denoising.noise(version_of(own)))}
    assert rows["null block (no filter)", "4"] == ["6.0", "0.0"]
    assert rows["mean 3 x 3", "3"] == ["4.0", "2.0"]
    assert (
        "The filter changes the output of this network's blocks by 2 to 4 %."
        in denoising.control(own)
    )
    old = replace(own, rows=tuple(r for r in own.rows if not r.name.startswith("change")))
    assert denoising.change_in_words(old) == "" and "The filter changes" not in denoising.control(
        old
    )
    assert {line[-1] for line in body(denoising.noise(version_of(old)))} == {"–"}


def test_the_noise_with_and_without_a_filter() -> None:
    """Made up: filters halve the noise, and the null block keeps it; then the ranges overlap after
    one stage or after both.
    """
    own = record("denoising")
    assert denoising.noise_factors(own, ["mean", "median"])["stage3"] == [0.5, 0.5]
    unknown = "We do not know why blocks without a filter raise the noise."
    for at3, at4, end in (
        (1.0, 1.2, f"do not overlap after stage 3 and 4. {unknown}"),
        (0.5, 1.2, f"do not overlap after stage 4. {unknown}"),
        (0.5, 0.5, "overlap after every stage, so we see no effect of the filters."),
    ):
        null = {"stage3": at3, "stage4": at4}
        rows = [
            replace(r, value=null[r.setting["stage"]])
            if r.name == "ratio" and r.setting["variant"] == "null"
            else replace(r, value=0.4)
            if r.name == "ratio"
            and r.setting["variant"] == "mean"
            and r.setting["stage"] == "stage4"
            else r
            for r in own.rows
        ]
        assert denoising.quieter(replace(own, rows=tuple(rows))).endswith(end)


def test_the_interval_of_the_ledger_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands beside that of the page; without a measurement in the ledger, nothing is said."""
    (entry,) = (e for e in denoising.entries("survey") if e.id.endswith("/mean/pgd-20-accuracy"))

    def judged(difference: tuple[float, float, float] | None) -> None:
        found = replace(entry, judgement=replace(entry.judgement, difference=difference))
        monkeypatch.setattr(denoising, "entries", lambda paper: [found])

    judged((2.0, -9.0, 13.0))
    text = denoising.ledger_interval(record("denoising")).replace("3 x 3", "")
    assert numbers(text) == [-9, 13, -0.5, 4.5]
    judged(None)
    assert denoising.ledger_interval(record("denoising")) == ""


def test_the_figures_draw_every_variant_and_stage() -> None:
    (axis,) = denoising.effects(record("denoising", 2)).axes
    assert len(axis.texts) == 7 and not axis.get_yticklabels()
    assert axis.figure.bbox.width / axis.figure.dpi <= 4.6, "fits on a phone as a whole"
    first, second = post.growth(record("post", 2)).axes
    assert first.lines[0].get_ydata() == approx([0.1, 0.3, 0.5, 0.9, 0.8])
    assert second.lines[1].get_ydata() == approx([0.0125, 0.0375, 0.0625, 0.1125, 0.1])
    assert first.get_ylim() == second.get_ylim()
    shown = post.first_picture(record("post")).axes
    titles = [axis.get_title() for axis in shown]
    assert titles[:4] == ["cat", "attacked: automobile", "clean", "attacked"]
    assert titles[4:8] == titles[:4]
    block = [axis.get_title() for axis in post.second_picture(record("post")).axes]
    assert block[:3] == ["attacked: automobile", "before the block", "after the block"]


def test_the_growth_does_not_depend_on_the_norm_of_a_layer() -> None:
    """A constant that is added to the features of a stage divides the noise of both perturbations
    by the same number.
    """
    own = record("post")
    smaller = [
        replace(r, value=r.value / 10) if r.setting.get("layer") == "stage4" else r
        for r in own.rows
    ]
    moved = replace(own, rows=tuple(smaller))
    assert post.noise(moved, "standard", "stage4") == approx(0.08)
    assert post.through_layers(moved) == approx(post.through_layers(own))
    assert post.growing_in_words(moved) == post.growing_in_words(own)
    assert numbers(post.growing_in_words(own)) == [4, 4]


def test_an_attack_weaker_than_that_of_training_tests_nothing() -> None:
    """Of 400 images, 20 % are left under l2 and 25 % under the attack of training; then 28 %."""
    own = record("post")
    text = post.unseen(own).replace("l2", "")
    assert not post.unseen_is_weaker(own) and numbers(text) == [25, 400, 20, 15, 30]
    assert text.count("network not trained with it is clearly worse") == 2
    easy = [
        replace(r, value=28.0) if r.setting == {"training": "adversarial", "attack": "l2"} else r
        for r in own.rows
    ]
    weak = replace(own, rows=tuple(easy))
    text = post.unseen(weak)
    assert post.unseen_is_weaker(weak) and "cannot test the statement" in text
    assert "*does not hold*: 28.0 and 30.0 % do not differ" in text
    assert text.count("clearly worse") == 1, "the other direction is tested"
    near = [
        replace(r, value=24.0) if r.setting == {"training": "l2", "attack": "linf"} else r
        for r in own.rows
    ]
    text = post.unseen(replace(own, rows=tuple(near)))
    assert text.endswith("Under the l-infinity attack, the two networks cannot be told apart.")


def test_the_sentences_of_the_post() -> None:
    own = record("post")
    text = post.answer(own)
    assert numbers(text)[:2] == [4, 4] and "times: no reduction (one network each)" in text
    fewer = [
        replace(r, value=r.value / 2)
        if r.setting.get("training") == "adversarial" and r.setting.get("perturbation") == "attack"
        else r
        for r in own.rows
    ]
    assert ": a reduction (" in post.answer(replace(own, rows=tuple(fewer)))
    text = post.grew(own)
    assert numbers(text) == [4, 4, 4, 4, 4, 1, 4, 1, 2, 3, 4, 8, 4]
    assert "4: it does not grow at stage 1, 2, 3 and 4." in text and text.endswith("stage 4.")
    text = post.random_against_attack(own).replace("ResNet-18", "").replace("CIFAR-10", "")
    assert numbers(text) == [80, 20, 40, 10, 4, 4] and "one network for each training" in text
    assert numbers(post.clean_drop(own)) == [70, 50, 20, 400]
    assert "20.0 percentage points less" in post.clean_drop(own)
    assert numbers(post.measured(own)) == [8, 40, 80]
    assert numbers(post.winner(own)) == [50.6, 48]
    noises = body(post.noises(version_of(own)))
    assert len(noises) == 4 and noises[0][1:] == ["0.10", "0.30", "0.50", "0.90", "0.80"]
    assert [cells[1:] for cells in body(post.caveats(version_of(own)))] == [
        ["70.0", "–", "–"],
        ["50.0", "25.0", "20.0"],
        ["–", "15.0", "30.0"],
    ]


def test_the_block() -> None:
    """The page's block is the package's, with the page's weights."""
    shown = idea("survey/denoising")
    c, n = shown["C"], shown["positions"]
    block: Any = Denoising(c, "gaussian", generator(0)).train()
    for conv, weight in (
        (block.filter.theta, shown["theta"]),
        (block.filter.phi, shown["phi"]),
        (block.conv, shown["W"]),
    ):
        conv.weight.data = weight[:, :, None, None]
    block.norm.weight.data.fill_(0.5)
    block.norm.eps = 1e-12
    x = shown["x"].view(1, c, 3, n // 3)
    torch.testing.assert_close(block(x).view(c, n), shown["y"])
    torch.testing.assert_close(block.filter(x).view(c, n), shown["gaussian"](shown["x"]))


def test_the_relative_noise() -> None:
    """The page's numbers are those of the package's measure, for the same small network."""
    shown = idea("survey/post")
    layers: list[nn.Module] = []
    for weight in shown["weights"]:
        layer = nn.Linear(100, 100, bias=False)
        layer.weight.data = weight
        layers.append(nn.Sequential(layer, nn.Tanh()))
    x, z = torch.randn(2, 100, generator=generator(0))
    found = feature_noise(nn.Sequential(*layers).eval(), x[None], z[None], ["0", "1", "2", "3"])
    assert [value.item() for value in found.values()] == approx(shown["relative_noise"](x, z))
