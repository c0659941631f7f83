"""The pages of Goodfellow's loss and of fast training: content, ideas and solutions."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import nn

from robustbook import catalogue, notebooks
from robustbook.chapters.published import record_of, version_of
from robustbook.chapters.survey import fast, goodfellow
from robustbook.chapters.wording import ON_OUR_IMAGES
from robustbook.defenses import goodfellow as weights_of
from robustbook.defenses import inner_fgsm, inner_fgsm_rs, inner_n_fgsm, weighted_training
from robustbook.ledger import Record, Row
from robustbook.ledger.outcomes import paired_error
from robustbook.randomness import generator
from robustbook.studies.rows import share_row
from robustbook.studies.survey import fast as fast_study
from robustbook.studies.survey import goodfellow as study

from .reading import body, numbers
from .test_ideas import idea

# Made-up records.


def rows_of_goodfellow() -> Iterator[Row]:
    """The error grows with alpha, from test to test, and from seed to seed."""
    for seed in range(2):

        def row(value: float, target: str | None = None, name: str = "error", **labels: str) -> Row:
            of = target and f"survey/goodfellow/{target}"
            images = 300 if labels.get("attack") in ("pgd-40", "worst") else 10_000
            return Row(value, "percent", of, name, seed, images, setting=dict(labels))  # noqa: B023

        for alpha in (0.0, 0.5, 1.0):
            for i, attack in enumerate(goodfellow.TESTS):
                network = f"maxout {alpha:g}"
                yield row(40 * alpha + 10 * i + seed, network=network, attack=attack)
        for noise in ("sign", "uniform"):
            yield row(80 + seed, network=f"noise {noise}", attack="fgsm")
        for target in goodfellow.ERRORS:
            yield row(50 + seed, target)
        for name in goodfellow.RUBBISH:
            yield row(60 + seed, f"rubbish/{name}/error", rubbish=name)
        yield row(90, None, "confidence", network="maxout 1", attack="fgsm")
        target = "survey/goodfellow/claim/fgsm-training-not-pgd-robust"
        yield Row(60, "percent", target, "accuracy", seed, 300, seed == 0)


@pytest.fixture
def mixed() -> Record:
    return Record("survey", "goodfellow", "reduced", {}, (0, 1), tuple(rows_of_goodfellow()))


def test_goodfellow_draws_the_large_network_alone(mixed: Record) -> None:
    """A reader can choose it without the other one."""
    (axis,) = goodfellow.sweep(mixed).axes
    assert axis.get_title() == "" and axis.lines[0].get_xdata().tolist() == [0, 0.5, 1]
    rows = tuple(
        replace(row, setting={**row.setting, "network": network.replace("maxout", "maxout-large")})
        for row in mixed.rows
        if (network := str(row.setting.get("network"))) in ("maxout 0.5", "maxout 1")
    )
    (axis,) = goodfellow.sweep(replace(mixed, rows=rows)).axes
    assert axis.get_title() == "large maxout" and axis.lines[0].get_xdata().tolist() == [0.5, 1]


def test_goodfellow_answer(mixed: Record) -> None:
    text = goodfellow.answer(mixed)
    assert numbers(text)[:3] == [30.5, 17.9, 40.5]
    assert "*Lower error under FGSM*: <" in text, "not the clean error"
    assert text.endswith("; *larger under PGD (our own claim)*: in 1 of 2 runs")
    assert numbers(goodfellow.lowered(mixed)) == [
        *(10_000, 50.5, 89.4, 30.5, 17.9, 40, 40.5, 300, 10_000, 2)
    ]


def test_goodfellow_tables(mixed: Record) -> None:
    """Each printed number stands beside ours; a number that was not measured is a dash."""
    rows = body(goodfellow.printed_beside(version_of(mixed)))
    assert {images for *_, images in rows} == {"10,000"}
    table = {name: cell for name, cell, _ in rows}
    assert len(table) == len(goodfellow.ERRORS)
    assert numbers(table["maxout, FGSM"].replace("**", ""))[:2] == [89.4, 50.5]
    assert table["maxout with the adversarial loss, FGSM"].startswith("**50.5**")
    found = dict(body(goodfellow.confidences(version_of(mixed))))
    assert numbers(found["maxout"].replace("**", "")) == [97.6, 90, 90, 90][:2]
    assert numbers(found["softmax regression"]) == [79.3]
    noise = dict(body(goodfellow.rubbish(version_of(mixed))))
    assert numbers(noise["maxout, softmax"].replace("**", ""))[:2] == [98.35, 60.5]
    alphas = body(goodfellow.alphas(version_of(mixed)))
    assert [row[0] for row in alphas] == ["0", "0.5", "1"]
    assert numbers(alphas[1][2])[0] == 30.5
    heads = goodfellow.alphas(version_of(mixed)).markdown
    assert all(cell.count("(") == 1 for row in alphas for cell in row[1:]), "a range in each cell"
    own = tuple(row for row in mixed.rows if row.seed == 0)
    alone = goodfellow.alphas(version_of(replace(mixed, rows=own, seeds=(0,)))).markdown
    assert "seed" not in alone
    assert heads.count("(10,000 images)") == heads.count("(300 images)") == 2


def test_goodfellow_sentences_and_figure(mixed: Record) -> None:
    """They have means over the two seeds, which are one point apart."""
    assert numbers(goodfellow.control(mixed)) == [10_000, 80.5, 80.5, 30.5]
    assert goodfellow.control(mixed).startswith("No.")
    told = goodfellow.strongest(mixed)
    assert told.startswith("Not for every seed.")
    assert numbers(told) == [0.5, 30.5, 10_000, 2, 50.5, 300, 300, 40, 40.5, 10, 1, 2]
    (axis,) = goodfellow.sweep(mixed).axes
    assert [list(line.get_ydata()) for line in axis.lines][0] == [0.5, 20.5, 40.5]
    assert len(axis.lines) == len(axis.collections) == 4, "each curve has a band over the seeds"


def test_the_page_states_the_radius_of_the_study() -> None:
    text = " ".join(
        " ".join(cell.source.split()) for cell in notebooks.stored("survey/goodfellow", ".md").cells
    )
    assert f"All attacks have the radius {study.EPS:g}; only FGSM does not clip" in text
    found = study.attacks(study.SETTINGS["paper"])
    assert {name: a.eps for name, a in found.items()} == dict.fromkeys(found, study.EPS)
    always = ("clean", "square")  # the first changes nothing, the second clips anyway
    assert [name for name, a in found.items() if not a.clip and name not in always] == ["fgsm"]


def test_the_clean_error_at_the_papers_alpha_and_at_the_best_other_one(mixed: Record) -> None:
    """Made up: 0.5 % at alpha 0, 20.5 % at 0.5 and 40.5 % at 1; then 0.5 has the largest error."""
    text = goodfellow.clean(mixed)
    assert text.startswith("Yes, at the paper's alpha of 0.5")
    assert numbers(text) == [0.5, 20.5, 40.5, 0.84, 0.94, 2, 2, 0, 0.5, 2, 2]
    rows = [
        replace(row, value=90)
        if row.setting == {"network": "maxout 0.5", "attack": "clean"}
        else row
        for row in mixed.rows
    ]
    text = goodfellow.clean(replace(mixed, rows=tuple(rows)))
    assert text.startswith("No,") and "lower for 0 of 2 seeds. At alpha 0 it is" in text
    stored = goodfellow.clean(record_of("survey/goodfellow"))
    assert "At alpha 0.75" in stored and stored.startswith("No,")


def test_fgsm_and_pgd_are_compared_on_the_same_images(mixed: Record) -> None:
    """Made up: of eight images, FGSM changes the class of two and PGD of five."""
    each = {goodfellow.SAME: torch.arange(8) < 2, "pgd-40": torch.arange(8) < 5}
    rows = [
        share_row(right, None, "error", 1, setting={"network": "maxout 0.5", "attack": attack})
        for attack, right in each.items()
    ]
    left = [r for r in mixed.rows if (r.seed, r.setting) != (1, rows[1].setting)]
    text = goodfellow.strongest(replace(mixed, rows=(*left, *rows)))
    error = paired_error([each["pgd-40"].numpy()], [each[goodfellow.SAME].numpy()])
    assert numbers(text)[-5:] == [1, 2, 37.5, 95, round(error, 1)]
    assert study.SAME == goodfellow.SAME
    stored = record_of("survey/goodfellow")
    found = {r.seed: r for r in stored.rows if r.setting.get("attack") == study.SAME}
    assert sorted(found) == [1, 2] and all(row.images == 1000 for row in found.values())


def rows_of_fast() -> Iterator[Row]:
    for seed in range(2):
        for i, method in enumerate(fast.METHODS):
            if seed and method != "fgsm-rs":
                continue
            for eps in (0.2, 0.3):
                for j, attack in enumerate(fast.ATTACKS):
                    if eps == 0.3 or attack in ("clean", "pgd-50"):
                        labels = {"set": "mnist", "method": method, "eps": eps, "attack": attack}
                        value = 90 - 10 * i - j + seed
                        images = 1000 if attack in ("clean", "pgd-50") else 300
                        yield Row(value, "percent", None, "accuracy", seed, images, setting=labels)
    yield Row(0.3, "ratio", None, "time ratio", 0, setting={"set": "mnist"})


@pytest.fixture
def single() -> Record:
    arrays = {
        f"mnist/{method}/0.3/{attack}": [50, 60 - 20 * (attack == "pgd")]
        for method in fast.METHODS
        for attack in fast.TESTED
    }
    arrays |= {"mnist/fgsm/0.2/fgsm": [40, 60, 90], "mnist/fgsm/0.2/pgd": [30, 50, 5]}
    return Record("survey", "fast", "paper", {}, (0, 1), tuple(rows_of_fast()), arrays)


def with_failed_pgd(record: Record) -> Record:
    """Return the record with an accuracy of 12 % on clean images after training with PGD."""
    rows = [
        replace(row, value=12.0)
        if row.setting.get("method") == "pgd" and row.setting.get("attack") == "clean"
        else row
        for row in record.rows
    ]
    return replace(record, rows=tuple(rows))


def test_fast_answer(single: Record) -> None:
    """FGSM with a random start has two seeds; a reference that learned nothing is named."""
    assert numbers(fast.answer(single))[:4] == [78.5, 88.77, 88, 10]
    text = fast.under_autoattack(single)
    assert numbers(text) == [77.5, 300, 82.93] and "in the paper" not in text
    told = fast.reference([single])
    assert numbers(told)[:6] == [300, 58, 57, 2, 78.5, 77.5]
    assert told.endswith(fast.FAVOURS_PGD) and numbers(told)[6:] == []
    failed = fast.reference([with_failed_pgd(single)])
    assert numbers(failed)[-2:] == [12, 1000] and failed.endswith("no working reference.")


def test_fast_tables(single: Record) -> None:
    version = version_of(single)
    table = body(fast.printed_beside(version))
    there = [numbers(cell)[0] if "/" in cell else None for cell in table[1][1:]]
    assert there == [98.5, None, 88.77, 82.93, None]
    assert all(cell.startswith("**") for cell in table[0][1:])
    heads = fast.printed_beside(version).markdown
    assert heads.count(fast.SOURCES["mnist"]) == 1 and "quote the paper" in heads
    assert "10 restarts (300 images)" in heads
    assert heads.count("(1,000 images)") == 2 and heads.count("(300 images)") == 3
    radii = body(fast.radii(version))
    assert len(radii) == len(fast.METHODS) and numbers(radii[1][1])[0] == 79.5
    rows = tuple(row for row in single.rows if row.setting.get("method") != "pgd")
    without = version_of(replace(single, rows=rows))
    for make in (fast.printed_beside, fast.radii):  # a method that was not run has no row
        assert len(body(make(without))) == len(fast.METHODS) - 1


def test_fast_sentences_and_figure(single: Record) -> None:
    """At radius 0.3 the accuracy falls by 10 points, which is too little; at 0.2 by 45."""
    told = fast.collapse(single)
    assert numbers(told) == [0.2, 2, 3, 50, 5, 60, 90, 0.3, 50, 1, 40, 50, 60, 20, 20, 500]
    assert told.startswith("Yes, at radius 0.2:")
    for change, end in (
        ({"mnist/fgsm/0.3/pgd": [50, 60]}, "PGD is highest after the last epoch (60.0 %)."),
        ({"mnist/fgsm/0.3/pgd": [50, 20], "mnist/fgsm/0.3/fgsm": [60, 50]}, "does not rise."),
    ):
        other = fast.collapse(replace(single, arrays={**single.arrays, **change}))
        assert f"{end} We chose the limit of 20 points after the first runs on MNIST." in other
    low = {"mnist/fgsm/0.2/pgd": [0, 0, 0], "mnist/n-fgsm/0.2/pgd": [4.5, 0, 0]}
    failed = replace(single, arrays={**single.arrays, **low})
    told = fast.collapse(failed)
    assert told.startswith("No fall was seen. At radius 0.2, the accuracy under PGD is 0.0")
    assert "under FGSM is 90.0 % (radius 0.2), so the result is the same." in told
    assert numbers(fast.others(failed))[-3:] == [0.2, 10, 4.5]
    assert numbers(fast.others(single)) == [0.3, 70, 1000, 68, 300, 0.2, 50, 69, 79.5]
    without = [row for row in single.rows if row.setting.get("method") != "pgd"]
    lean = replace(single, rows=tuple(without))
    assert "No network was trained with PGD" in fast.reference([lean])
    assert fast.reference([lean, single]) == fast.reference([single])
    found = numbers(fast.time_ratio([single]))
    assert found[:5] == [0.3, 10, 2, 11, 0.18] and found[-1] == 1
    times = fast.step_times()
    ratios = [times["FGSM-RS"][each] / times["PGD-10"][each] for each in times["PGD-10"]]
    assert {round(ratio, 2) for ratio in ratios} <= {*found[5:7]}
    assert fast._steps_alone(99) == ""


def test_the_second_data_set_of_a_record(single: Record) -> None:
    """CIFAR-10 has its own radii, in units of 1/255, and the network trained with PGD is its
    reference.
    """
    rows = [
        replace(row, setting={**row.setting, "set": "cifar10", "eps": {0.3: 8.0, 0.2: 16.0}[eps]})
        for row in single.rows
        if (eps := row.setting.get("eps"))
    ]
    curves = {"cifar10/fgsm/8/fgsm": [30, 40, 80], "cifar10/fgsm/8/pgd": [20, 30, 0]}
    both = replace(single, profile="reduced", rows=(*single.rows, *rows), arrays=curves)
    assert fast.first_set(both) == "mnist" and fast.main_radius(both, "cifar10") == 8
    told = fast.cifar10([single, both])
    assert numbers(told) == [18, 10000, 10, 8, 255, 50, 59, 89, 16, 255, 89]
    assert fast.cifar10([single]) == ""
    assert numbers(fast.restarts_run([single, both])) == [10, 10, 10, 5]
    assert fast.restarts_run([single]) == ""
    table = body(
        fast.printed_beside(
            fast.first_with([version_of(single), version_of(both)], "cifar10"), "cifar10"
        )
    )
    printed = [[numbers(row[1])[0], numbers(row[3])[0]] for row in table]
    assert printed[1] == [83.81, 46.06] and printed[3] == [87.3, 45.8]
    assert "eps 8/255" in fast.radii(version_of(both), "cifar10").markdown
    assert fast.overfitted(both, "cifar10") == [8]
    assert body(fast.peaks(version_of(both))) == [["FGSM", "30.0 (2)", "0.0 (3)", "0.0 (3)"]]
    told = fast.plain_step([single, both])
    assert "under FGSM on" in told and told.endswith("under FGSM, so it fails.")
    assert fast.plain_step([single]) == ""
    told = fast.overfits([single, both])
    assert told.startswith("Only with FGSM does") and numbers(told) == [20]
    low = {**curves, "cifar10/fgsm/8/pgd": [0, 15, 0]}
    told = fast.overfits([replace(both, arrays=low)])
    assert told.startswith("With no method does") and numbers(told) == [20, 1, 1, 15]
    assert fast.overfits([single]) == ""
    rows = tuple(row for row in both.rows if row.setting.get("set") == "cifar10")
    alone = replace(both, rows=rows)
    assert fast.collapse(alone).startswith("Yes, at radius 8/255: from epoch 2 to epoch")
    assert "radius 8/255" in fast.epochs(both, "cifar10").axes[0].get_title()


def test_few_images_cannot_decide_on_one_per_cent(single: Record) -> None:
    """Made up: 1 of 200 images is 0.5 %, with an error of 1.4 points; 0 of 2,000 is decided."""

    def made(value: float, images: int) -> Record:
        of = {"set": "cifar10", "eps": 8.0, "method": "fgsm-rs-2"}
        rows = [
            Row(value, "percent", None, "accuracy", 0, images, setting={**of, "attack": attack})
            for attack in ("pgd-50", "pgd-50-10")
        ]
        return replace(single, profile="reduced", rows=tuple(rows), seeds=(0,))

    told = fast.long_step([single, made(0.5, 200)])
    assert "cannot decide" in told and told.endswith(ON_OUR_IMAGES)
    restarts = fast_study.SETTINGS["reduced", "cifar10"].restarts
    assert numbers(told)[4:] == [0.5, 200, restarts, 0.5, 200, 1] and restarts == 5
    assert fast.long_step([made(0.0, 2000)]).endswith("This decides whether at most 1 % are left.")
    assert fast.long_step([single]) == ""


def test_the_page_states_steps_and_restarts_of_the_study() -> None:
    text = notebooks.stored("survey/fast", ".md").cells
    (table,) = (cell.source for cell in text if "PGD steps in a training step" in cell.source)
    rows = [line.split("|") for line in table.splitlines() if "`, `" not in line and "`" in line]
    told = {
        (profile.strip(" `"), name.strip().lower().replace("-", "")): (int(row[5]), int(row[6]))
        for row in rows
        if len(row) == 8
        for name, profile in [row[1].split(",")]
    }
    assert told == {
        of: (own.inner, own.restarts) for of, own in fast_study.SETTINGS.items() if of[0] != "quick"
    }


def test_the_page_states_the_single_steps_of_the_study() -> None:
    """The step sizes and the width of the start, in units of eps."""
    (text,) = (
        cell.source
        for cell in notebooks.stored("survey/fast", ".md").cells
        if "In *step 2 eps*" in cell.source
    )
    own = fast_study.SETTINGS["paper", "mnist"]
    rs, noisy, twice = (fast_study.inner(own, m, 0.2) for m in ("fgsm-rs", "n-fgsm", "fgsm-rs-2"))
    steps = [each.step_size / 0.2 for each in (rs, noisy, twice)]
    assert steps == pytest.approx([1.25, 1, 2]) and noisy.width == 2
    assert "uses $a = 1.25 \\epsilon$, and N-FGSM uses $k = 2$ and $a = \\epsilon$" in text
    assert "In *step 2 eps*, $a$ is $2 \\epsilon$" in text


def test_the_reason_for_autoattack_has_the_falls_of_both_networks() -> None:
    stored = record_of("survey/fast")
    pgd, auto = (
        fast.mean(stored, "accuracy", set="mnist", eps=0.3, method="fgsm-rs", attack=attack)
        for attack in ("pgd-50-10", "autoattack")
    )
    there, low = fast._printed("mnist", "pgd-50-10"), fast._printed("mnist", "autoattack")
    assert there is not None and low is not None
    reasons = (catalogue.BOOK / "reasons.csv").read_text(encoding="utf-8")
    told = reasons.partition("From PGD with restarts to AutoAttack, ")[2].partition(" So ours")[0]
    assert numbers(told) == [round(pgd - auto), round(there - low), there, low, there]


def test_a_constant_is_compared_with_a_rising_radius(single: Record) -> None:
    """From the first record that has the controls; without one there is no sentence."""
    lean = [r for r in single.rows if "rising" not in str(r.setting.get("method"))]
    lean = [r for r in lean if "constant" not in str(r.setting.get("method"))]
    without = replace(single, rows=tuple(lean))
    told = numbers(fast.rising([without, single]))
    assert told[-10:] == [40, 60, 50, 39, 59, 70, 30, 50, 69, 29]
    assert fast.rising([without]) == ""


def test_the_figure_shows_the_main_radius_and_that_of_overfitting(single: Record) -> None:
    """At radius 0.2 the accuracy of FGSM's network under PGD falls from 50 to 5 %."""
    assert fast.overfitted(single) == [0.2]
    left, right, low_left, low_right = fast.epochs(single).axes
    assert len(left.lines) == len(right.lines) == len(fast.METHODS)
    assert "500 images" in left.get_ylabel() and "radius 0.3" in left.get_title()
    assert low_right.get_title() == "radius 0.2, under PGD, 10 steps"
    assert list(low_left.lines[0].get_ydata()) == [40, 60, 90]
    assert list(low_right.lines[0].get_ydata()) == [30, 50, 5]
    kept = {"mnist/fgsm/0.2/pgd": [30, 50, 45]}
    assert len(fast.epochs(replace(single, arrays=single.arrays | kept)).axes) == 2


def test_a_random_start_matters_where_the_accuracies_differ_by_more_than_their_error(
    single: Record,
) -> None:
    """On 1,000 images, 89 and 79.5 % differ, and 79 and 79.5 % do not."""
    text = fast.start_matters(single)
    assert "told apart" not in text
    assert numbers(text) == [50, 1000, 0.2, 89, 79.5, 0.3, 89, 79.5]
    assert "first without and then with a random start" in text
    rows = [
        replace(row, value=79.0)
        if row.setting.get("method") == "fgsm" and row.setting["eps"] == 0.2
        else row
        for row in single.rows
    ]
    text = fast.start_matters(replace(single, rows=tuple(rows)))
    assert numbers(text)[-3:] == [0.2, 79, 79.5] and text.endswith("too close to be told apart.")
    rows = [replace(row, value=0.0) if row.setting.get("eps") == 0.2 else row for row in rows]
    text = fast.start_matters(replace(single, rows=tuple(rows)))
    assert "At radius 0.2, both accuracies are 0.0" in text and "told apart" not in text


# The ideas.


def network() -> nn.Module:
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 4))
    with torch.no_grad():
        for i, p in enumerate(net.parameters()):
            p.copy_(torch.randn(p.shape, generator=generator(i)))
    return net


def test_the_mixed_loss() -> None:
    """The page's loss and its gradient are those of the package."""
    shown = idea("survey/goodfellow")
    net, x = network(), torch.rand(5, 1, 4, 4, generator=generator(1))
    y = torch.tensor([0, 1, 2, 3, 0])
    ours = sum(
        weighted_training(net, x, y, weights=weights_of(0.3), attack=inner_fgsm(0.1)).values()
    )
    theirs = shown["mixed"](net, x, y, 0.1, 0.3)
    weights = list(net.parameters())
    torch.testing.assert_close(theirs, ours)
    for one, other in zip(
        torch.autograd.grad(theirs, weights), torch.autograd.grad(ours, weights), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_one_step_from_a_random_start() -> None:
    """From the same random numbers, both forms of the page give the package's images. On MNIST the
    start of FGSM is not clipped, and the start of N-FGSM is.
    """
    shown = idea("survey/fast")
    net, x = network(), torch.rand(5, 1, 4, 4, generator=generator(1))
    y = torch.tensor([0, 1, 2, 3, 0])
    for attack, options in (
        (inner_fgsm_rs(0.1, clip_start=False), {"step_size": 0.125}),
        (inner_n_fgsm(0.1), {"step_size": 0.1, "k": 2.0, "project": False}),
    ):
        torch.manual_seed(3)
        ours = attack(net, x, y)
        torch.manual_seed(3)
        theirs = shown["one_step"](net, x, y, 0.1, **options)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
