"""The content of the pages on Deep Defense, from the published records."""

import inspect
import math
from dataclasses import replace
from itertools import pairwise

import pytest

from robustbook.chapters import benchmarks
from robustbook.chapters.deep_defense import (
    anchors,
    claims,
    deepfool,
    figure1,
    figure2,
    figure3,
    figure4,
    names,
    overview,
    replication,
    table1,
    today,
)
from robustbook.chapters.published import (
    Version,
    compared,
    entries,
    mean,
    printed,
    record_of,
    records_of,
    tolerance,
    values,
    version_of,
)
from robustbook.chapters.wording import badge, ranges
from robustbook.ledger import Record, Row, difference_interval
from robustbook.studies.deep_defense import (
    fashion,
    hyper_parameters,
    layer_masking,
    methods,
    readings,
    settings,
    sizes,
)
from robustbook.studies.deep_defense import today as study

from .reading import body, cells, numbers, ordered

PAPER = "deep_defense"


def record(item: str) -> Record:
    return record_of(f"{PAPER}/{item}")


def version(item: str) -> Version:
    return version_of(record(item))


def test_a_layer_has_a_share_of_what_all_layers_gain() -> None:
    """The reference has 0 % of the gain and all layers have 100 %: from 0.2 to 0.4, over both c."""
    alone = {"conv1": (0.2, 0.2), "conv2": (0.1, 0.2), "fc1": (0.4, 0.2), "fc2": (0.4, 0.4)}
    found = {"reference": (0.2,), "all": (0.5, 0.3), **alone}
    rows = tuple(
        Row(rho, "ratio", None, "rho2", 0, setting={"layer": layer, "c": c})
        for layer, each in found.items()
        for c, rho in enumerate(each)
    )
    shares = figure4.shares(Record("deep_defense", "figure-4", "quick", {}, (0,), rows))
    assert shares == pytest.approx({"conv1": 0, "conv2": -25, "fc1": 50, "fc2": 100}, abs=1e-9)


def test_a_narrowed_network_is_called_so() -> None:
    """Its numbers are not those of the paper's network."""
    rows = tuple(
        Row(1.0, "percent", None, "accuracy", setting={"network": n}) for n in ("mlp", "nin")
    )
    small, whole = (
        Record("deep_defense", "today", p, {}, (0,), rows) for p in ("reduced", "paper")
    )
    assert names.networks(small) == ["mlp", "nin"]
    assert [names.title(small, n) for n in ("mlp", "nin")] == ["MLP", "narrow NIN"]
    assert names.title(whole, "nin") == "NIN"
    for profile in ("quick", "reduced", "paper"):
        found = {n for n in settings.NAMES if settings.setting(n, profile).model.narrow > 1}
        assert found == set(names.NARROW.get(profile, ()))


def test_how_many_is_told_in_words() -> None:
    assert names.counted([True, True]) == "both networks"
    assert names.counted([True] * 3, "seeds") == "all 3 seeds"
    assert names.counted([True, False, False], "seeds") == "1 of 3 seeds"
    assert names.counted([False, False]) == "none of the 2 networks"


def test_a_caption_names_ranges_only_where_there_are_several_seeds() -> None:
    several = record("table-1")
    assert ranges(several) == " (range over the seeds)"
    assert ranges(Record("deep_defense", "table-1", "quick", {}, (0,), ())) == ""


def test_constants_are_those_of_the_studies() -> None:
    """A share or a layer without rows would leave its cells empty."""
    assert table1.SHARES == replication.SHARES == readings.SHARES
    assert layer_masking.LAYERS == figure4.LAYERS
    usual = hyper_parameters.USUAL
    assert {"c": usual.c, "lam": usual.lam, "d": usual.d} == figure3.USUAL
    assert tuple(today.BOUNDED) == tuple(study.ATTACKS)
    usual = fashion.Tuning("clean", 100, 5)
    assert {"c": usual.c, "lam": usual.lam, "d": usual.d} == figure3.USUAL
    for network, (narrow, images, epochs, tuned) in names.NARROWED.items():
        own = settings.setting(network, "reduced")
        assert (own.model.narrow, own.model.images) == (narrow, images)
        steps = [n * images // 100 for n in (epochs, tuned)]
        assert steps == [own.reference.steps, own.tuning.steps]
        assert own.reference.batch_size == own.tuning.batch_size == 100
        assert tuned * sizes.STEPS[network] == own.tuning.steps
    for network, steps in sizes.STEPS.items():
        own = settings.setting(network, "reduced" if names.coloured(network) else "paper")
        assert steps == own.epoch
        if not names.coloured(network):
            assert names.TUNED_ON_DIGITS * steps == own.tuning.steps
    for network, eps in table1.RIVAL_EPS.items():
        assert eps == settings.setting(network, "paper").eps
        assert eps == settings.setting(network, "reduced").eps


def test_the_size_in_words_is_one_that_was_run() -> None:
    """It is a large eps on digits and the smallest one on coloured images."""
    for shown in records_of(f"{PAPER}/today"):
        for network in names.networks(shown):
            tried = names.sizes(shown, network)
            assert tried == sorted(tried) and names.shown_size(shown, network) in tried
    assert names.size_text("nin", 4 / 255) == "4/255" and names.size_text("mlp", 0.15) == "0.15"


def test_table_1() -> None:
    """Each network has a row per method; accuracy under FGS falls with its size.

    Deep Defense's own accuracy at eps_ref is one half by construction.
    """
    for shown in map(version_of, records_of(f"{PAPER}/table-1")):
        for row in body(table1.methods_table(shown)):
            if row[1]:
                assert all(ordered(cell) for cell in row[1:])
                under = [numbers(cell)[0] for cell in row[3:]]
                assert all(a >= b for a, b in pairwise(under))
                if row[0] == names.METHODS["deep-defense"]:
                    assert under[-1] == pytest.approx(50, abs=0.2)
    rows = body(table1.choices(record("table-1")))
    assert {row[0] for row in rows if row[1]} <= set(names.METHODS.values())
    found = [[numbers(cell)[0] for cell in row[1:4]] for row in rows if row[1]]
    by_class, by_clipping = numbers(table1.choices_in_words(record("table-1")))
    assert by_class == pytest.approx(max(abs(b - a) for a, b, _ in found), abs=0.11)
    assert by_clipping == pytest.approx(max(abs(c - a) for a, _, c in found), abs=0.11)


def test_the_gains_of_table_1() -> None:
    """Each network of every record has a ratio of means and a panel."""
    records = records_of(f"{PAPER}/table-1")
    text = table1.gains([version_of(each) for each in records])
    networks = names.each_network(records)
    ratios = numbers(text.split("ratio is")[1].replace("CIFAR-10", ""))
    assert len(ratios) == len(networks)
    shown, network = networks[0]
    ours, start = (
        mean(shown, "rho2", network=network, method=m) for m in ("deep-defense", "reference")
    )
    assert ratios[0] == pytest.approx(ours / start, abs=0.005)
    assert len(table1.strips(records).axes) >= len(networks)


def test_the_answer_of_table_1() -> None:
    """It has the gains of the table, and names the claim that fails. Only orders that we could read
    have a verdict. Below stands how many networks a method leads on.
    """
    shown = record("table-1")
    text = table1.answer(shown)
    for network in names.networks(shown):
        ours, start = (
            mean(shown, "rho2", network=network, method=m) for m in ("deep-defense", "reference")
        )
        assert f"{ours / start:.2f}" in text
    assert text.startswith("Partly, on MNIST: ")
    assert ", more than adversarial training on stored DeepFool images, but less than that" in text
    rows = tuple(
        replace(row, value=9.0) if row.setting.get("method") == "deep-defense" else row
        for row in shown.rows
        if row.name in ("rho2", "accuracy")
    )
    text_ahead = table1.answer(replace(shown, rows=rows))
    assert text_ahead.startswith("Yes") and "images, and more than that on new FGSM" in text_ahead
    assert text.endswith("with FGSM (authors' post)*: " + badge("not reproduced"))
    assert "*MNIST, ρ₂ above the reference network*: 2 " + badge("reproduced") in text
    assert "*CIFAR-10*: 4 " + badge("other setting") in text
    for method in ("adv-training-i", "par-networks"):  # remembered, and not a test
        found = [e.verdict for e in entries(PAPER, "table-1") if e.id.endswith(f"{method}/rho2")]
        assert found == ["no printed number"] * 4
    counted = table1.all_counts()
    unrun = [e for e in compared("deep_defense/table-1") if e.verdict == "not run"]
    unread = [e for e in unrun if e not in table1.stated(unrun)]
    assert f"did not measure {len(unread)} of these cells (all on ImageNet)" in counted
    rows = [row[3] for row in body(overview.claims()) if "Table\N{NO-BREAK SPACE}1" in row[1]]
    assert f"({len(unread)} of them *not run*)" in rows[0]  # as in the overview
    orders, *each, others = numbers(counted.split(" We did not measure")[0])
    assert orders == sum(each) == 12 and counted.count("not reproduced") == 2
    assert orders + others == len(compared("deep_defense/table-1"))
    assert table1.changes(shown).count("on both networks on MNIST") == 2
    assert numbers(table1.changes(shown).split("training I by")[1])[:2] == [39, 10]
    costs = numbers(table1.rival_cost(shown).split("on the MLP")[1])
    assert costs[0] < -table1.LOSS < costs[2] < costs[3] < costs[1]
    leads = table1._leads
    assert not leads(shown, "mlp", ("adv-training-ii",)) and leads(shown, "mlp", table1.PRINTED)


def test_the_accuracy_of_table_1_is_not_lower() -> None:
    """On LeNet the interval contains 0, so the page must not claim an increase."""
    text = table1.accuracy_in_words(record("table-1"))
    by_network = [numbers(part)[:3] for part in text.split(" points on ")[1:]]
    assert len(by_network) == 2
    (low_mlp, _, *_), (low_lenet, high_lenet, *_) = by_network
    assert low_mlp > 0 > low_lenet and high_lenet > 0


def test_a_loss_on_the_narrow_networks_is_not_shown() -> None:
    """Both intervals contain 0, and are those of the table of verdicts. Figure 2 has other losses,
    on half of the images.
    """
    text = table1.narrow_in_words(records_of(f"{PAPER}/table-1"))
    assert "The intervals contain 0, so neither a loss nor its absence is shown" in text
    assert text.count("lower with all 3 seeds") == 2 and "likely" not in text
    convnet, nin = numbers(text.split(" states")[1])[:2]
    curves = {n: each for each, n in names.each_network(records_of(f"{PAPER}/figure-2"))}
    for network, change in {"convnet": convnet, "nin": nin}.items():
        tested = settings.setting(network, "reduced")
        start, end = (
            mean(curves[network], "accuracy", network=network, method=method, epoch=epoch)
            for method, epoch in (("reference", 0), ("deep-defense", tested.kept[-1]))
        )
        assert change == pytest.approx(end - start, abs=0.06)
        assert (tested.test, tested.looked) == (2000, 1000)
    assert text.endswith("Only the test images differ: 2,000 here, and 1,000 of these there.")
    reversed_seed = [
        replace(
            shown,
            rows=tuple(
                replace(row, value=100.0)
                if row.name == "accuracy"
                and row.seed == 0
                and row.setting.get("method") == "deep-defense"
                else row
                for row in shown.rows
            ),
        )
        for shown in records_of(f"{PAPER}/table-1")
    ]
    assert table1.narrow_in_words(reversed_seed).count("lower with 2 of 3 seeds") == 2
    for network in ("convnet", "nin"):
        change, low, high = table1.accuracy_change(network)
        assert low < change < 0 < high
        assert f"{low:+.1f} to {high:+.1f}".replace("-", "\N{MINUS SIGN}") in text
    for shown, network in names.each_network(records_of(f"{PAPER}/table-1")):
        ours, start = (
            values(shown, "rho2", network=network, method=method)
            for method in ("deep-defense", "reference")
        )
        low, _ = difference_interval(ours, start, paired=True)
        assert low > 0  # the heading says that rho2 increases
    assert names.IDS == settings.NAMES


def test_deep_defense_is_not_always_ahead_under_fgs() -> None:
    """Adversarial training II is ahead on MNIST. On narrow networks one interval excludes 0."""
    records = records_of(f"{PAPER}/table-1")
    text = table1.under_fgs(records)
    assert min(numbers(text.split("by ", 1)[1])[:2]) > 10
    assert "With smaller steps the difference is smaller." in text
    small = numbers(text.split("steps the difference is smaller")[1])[:8:2]
    assert small[0] < 0 < small[1] < 1 < small[2] < small[3] < 10  # MLP, then LeNet
    assert "5 of the 6 differences are within the variation between seeds" in text
    assert "+3.6 points on the narrow ConvNet at $\\epsilon_\\mathrm{ref}$ (+2.5 to +4.8)" in text
    assert "interval" not in table1.under_fgs(records[:1])
    text = table1.parseval(record("table-1"))
    mlp, lenet, share, others = numbers(text.split("clean fine-tuning, by")[1])
    assert min(mlp, lenet) > 2 * others > 0 and share == 0.2
    shown = record("table-1")
    ours, clean = (
        mean(shown, "fgs", reading="plain", share=0.5, network="mlp", method=method)
        for method in ("par-networks", "clean")
    )
    assert mlp == pytest.approx(ours - clean, abs=0.05)


def test_the_eps_of_adversarial_training_is_told_in_units_of_the_reference_size() -> None:
    """It is below the reference size, the largest eps of the table, on MNIST, and several times as
    large on the narrow networks. There the differences are stated with their intervals.
    """
    records = records_of(f"{PAPER}/table-1")
    text = table1.rival_eps(records)
    *gray, convnet, nin = numbers(text.split(", is ")[1].split(" The table")[0])
    assert all(0.4 < each < max(table1.SHARES) for each in gray) and len(gray) == 2
    assert 3 < convnet < nin
    assert "So on the narrow ConvNet and the narrow NIN this method was trained for larger" in text
    rho, *ends = numbers(text.split("differs by")[1])
    shown = dict((n, each) for each, n in names.each_network(records))["convnet"]
    rival, ours = (
        mean(shown, "rho2", network="convnet", method=method)
        for method in ("adv-training-ii", "deep-defense")
    )
    assert rho == pytest.approx(rival - ours, abs=5e-5) and ends[0] < 0 < ends[1]
    points, low, high, nin_points, nin_low, nin_high = numbers(text.split("differs by")[2])
    assert low < 0 < points < high and nin_low < 0 < nin_points < nin_high
    assert "trained for larger" not in table1.rival_eps([record("table-1")])


def test_the_order_on_lenet_depends_on_c() -> None:
    """With the smallest c Deep Defense is ahead of adversarial training II, with c = 25 behind."""
    text = table1.by_c()
    smallest, _, tied, _, released, *_ = numbers(text.split(" is ", 1)[1])
    low, high, seeds, *_ = numbers(text.split("training II it is", 1)[1])
    assert smallest > high > low > released and tied - high < 0.002 and seeds == 3
    assert "At c = 15 the order is open: one seed cannot decide" in text
    rival, released = (
        values(record("table-1"), "rho2", network="lenet", method=method)
        for method in ("adv-training-ii", "deep-defense")
    )
    noise, *_ = numbers(text.split("differ by up to")[1])
    gap, *_ = numbers(text.split("a difference of")[1])
    assert noise == pytest.approx(max(released) - min(released), abs=5e-4)
    assert gap == pytest.approx(abs(tied - sum(rival) / 3), abs=1e-3) and gap < noise
    assert smallest - high > 10 * noise  # the page says: by far more


def test_today() -> None:
    """No single attack leaves less than all together, and the nearest image is no further than
    DeepFool's.

    The reference's gain over itself is 1.
    """
    for shown in map(version_of, records_of(f"{PAPER}/today")):
        for row in body(today.bounded(shown)):
            if row[1]:
                alone = [numbers(cell)[0] for cell in row[1:-1]]
                assert numbers(row[-1])[0] <= min(alone) + 0.05
        header, *rows = cells(today.nearest(shown))
        at = [header.index(today.NEAREST[name]) for name in ("deepfool", "best")]
        # A column without any number would puzzle the reader.
        assert all(any(row[i] for row in rows) for i in range(len(header)))
        for row in rows:
            if row[at[0]]:
                by_deepfool, nearest = (numbers(row[i])[0] for i in at)
                assert nearest <= by_deepfool
                if row[0] == names.METHODS["reference"]:
                    assert row[-1] in ("1.00", "")


def test_the_answer_of_today() -> None:
    """It has the gains and accuracies of the published networks, then a sentence per network."""
    records = records_of(f"{PAPER}/today")
    text = today.answer(records[0])
    assert text.startswith(
        "Yes on the MLP, LeNet and the narrow ConvNet, unclear on the narrow NIN: "
    )
    assert "1.27 (LeNet) times as large. " in text
    gain, other = numbers(text)
    assert gain > other > 1
    assert text.count("DeepFool") == 0  # it was used in the training
    gain = round(today.nearest_gain(records[0], "mlp"), 2)
    text = today.undecided(records)
    assert text.startswith("On the narrow NIN it is unclear whether Deep Defense helps: ")
    assert "does not help" not in text and "larger with 1 of 3 seeds" in text
    (nin,) = [table for table, network in overview._each("table-1") if network == "nin"]
    assert f"of the narrow NIN grows {today.rho_gain(nin, 'nin'):.2f} times" in text
    assert "on average only 46 images are shared" in text and "](./table1.ipynb) states" in text
    text = today.few_images(records)
    assert "200 on LeNet, 200 on the narrow ConvNet and 100 on the narrow NIN" in text
    assert "MLP" not in text
    text = today.overstated(records[0])
    assert text.count(" times (") == len(names.networks(records[0]))
    assert f" is {gain} times (MLP)" in text
    assert text.endswith(
        "which is too high an estimate of the robustness."
    )  # under all attacks less than half
    rows = body(today.summary(records))
    assert [row[0] for row in rows] == ["MLP", "LeNet", "narrow ConvNet", "narrow NIN"]
    assert [row[2] for row in rows] == ["5 of 5", "3 of 3", "3 of 3", "1 of 3"]
    for row in rows:
        ours, reference, rival, single = (numbers(cell)[0] for cell in row[5:])
        assert single > ours > reference and (rival > ours or row[0] == "narrow NIN")
        assert all(ordered(cell) for cell in row[1:] if "of" not in cell and "/" not in cell)
    assert "LeNet: 200 attacked, 198" in today.attacked(records)
    assert today._by_answer({"a": "yes", "b": "yes"}) == "yes"
    assert today._by_answer({"a": "yes", "b": "no", "c": "yes"}) == "yes on a and c, no on b"
    found = {n: today._further(r, n) for r, n in names.each_network(records)}
    assert found == {"mlp": "yes", "lenet": "yes", "convnet": "yes", "nin": "unclear"}
    halved = tuple(
        replace(row, value=row.value / 3) if row.setting.get("method") == today.OURS else row
        for row in records[0].rows
    )
    assert today._further(replace(records[0], rows=halved), "mlp") == "no"
    assert len(today.distances(records).axes) >= len(names.each_network(records))


def test_where_one_step_succeeds_more_often_than_many() -> None:
    """The only case in the records, and none if the accuracies are equal. The table has the cases
    in which all attacks together leave less than half as many images as PGD.
    """
    records = records_of(f"{PAPER}/today")
    text = today.masked(records)
    assert "here: narrow ConvNet with Deep Defense + II at eps 4/255 (2.5 and 4.2" in text
    made = today.weak(records)
    assert made is not None
    rows = [[row[0].removeprefix("narrow ConvNet with "), *row[1:]] for row in body(made)]
    assert rows == [
        ["Deep Defense", "8/255", "1.0", "1.0", "0.2"],
        ["Deep Defense + II", "4/255", "4.2", "2.8", "1.3"],
        ["Deep Defense + II", "8/255", "2.7", "1.7", "0.3"],
    ]
    # A difference of at most one point is not hidden, and not called clear.
    small = [row for row in rows if min(map(float, row[2:4])) - float(row[4]) <= 1]
    assert f"In {len(small)} of these {len(rows)} cases the difference is at most one point" in text
    shown = record("today")
    rows = tuple(replace(row, value=1.0) for row in shown.rows)
    assert today.masked([replace(shown, rows=rows)]).endswith("than PGD in no case.")
    assert today.weak([replace(shown, rows=rows)]) is None


def test_what_stands_against_deep_defense() -> None:
    """DDN says less than DeepFool at equal clipping, and adversarial training II is ahead."""
    attacked = record("today")
    found = numbers(today.growth(attacked).replace("[0, 1]", ""))
    for free, free_ddn, clipped, clipped_ddn in (found[:4], found[4:8]):
        assert free > free_ddn and clipped > clipped_ddn  # the attack
        assert free > clipped and free_ddn > clipped_ddn  # the clipping
    assert (found[0], found[1]) == (111, 107)
    # DDN without clipping is compared with DeepFool without clipping.
    free, clipped = (today.nearer(attacked, "deep-defense", clip) for clip in (False, True))
    for network, percent in zip(("mlp", "lenet"), free, strict=True):
        ddn, deepfool = (
            mean(attacked, "shared median", network=network, method="deep-defense", attack=a)
            for a in ("ddn free", "deepfool free")
        )
        assert ddn == pytest.approx(deepfool * (1 - percent / 100))
    assert all(a > b for a, b in zip(free, clipped, strict=True))
    assert numbers(today.nearer_in_words(attacked)) == [1, 5, 6, 9, 3, 9, 8, 16]
    found = {
        n: today._further(r, n, "ddn")
        for r, n in names.each_network(records_of("deep_defense/today"))
    }
    assert [n for n, words in found.items() if words != "yes"] == ["nin"]  # as its heading says
    eps, *rest, further_mlp, further_lenet = numbers(today.rival_in_words(attacked))
    rival_mlp, ours_mlp, rival_lenet, ours_lenet = rest
    assert eps == 0.15 and rival_mlp > 2 * ours_mlp and rival_lenet > ours_lenet
    assert further_mlp >= further_lenet >= 10
    _, *single, all_mlp, all_lenet = numbers(today.fgsm_in_words(attacked))
    assert single[0] > 2 * all_mlp and single[1] > all_lenet
    times, goodfellow = numbers(overview.cost())
    assert "on another processor (Intel Xeon Processor)" in overview.cost()
    assert times > 2 * goodfellow > 2
    assert len(body(overview.factors(record("table-1")))) == 4
    ours, rival = (
        values(record("table-1"), "accuracy", network="lenet", method=method)
        for method in ("deep-defense", "adv-training-ii")
    )
    low, high = difference_interval(ours, rival, paired=True)
    assert low < 0 < high  # the overview says that this difference may be chance
    assert "58.6 (54.4" in overview.combined()
    text = overview.combined_on_digits(record("table-1"))
    both, ours, *large, eps = numbers(text)[:5]
    assert abs(both - ours) < 0.1 and large[0] > large[1] and eps == 0.15
    mlp, lenet, by_ddn, by_ddn_lenet = numbers(text)[5:]
    assert 100 > mlp > lenet > 50 > by_ddn_lenet and by_ddn > 50
    bounded = [
        mean(attacked, "accuracy", network="mlp", method=method, attack="worst", eps=0.15)
        for method in ("deep-defense", "combination", "adv-training-ii")
    ]
    share = (bounded[1] - bounded[0]) / (bounded[2] - bounded[0])
    assert mlp == pytest.approx(100 * share, abs=0.5)


def test_all_images_would_change_the_result_on_cifar_10() -> None:
    """Deep Defense itself is below the reference network on the NIN, like all other networks, and
    above it on the ConvNet.
    """
    records = records_of(f"{PAPER}/today")
    text = today.over_all_images(records)
    convnet, nin = text.split("On the narrow NIN")
    assert "smaller with Clean fine-tuning, Par. Networks and Deep Defense + II than" in convnet
    assert "MLP" not in text and "smaller with every method than" in nin
    assert "misclassified image counts with distance 0" in text
    assert "{numref}`tab-dd-today-nearest-reduced`" in text
    assert "name: tab-dd-today-nearest-reduced" in today.nearest(version_of(records[1])).markdown


def test_minimal_attacks_fail_only_with_deep_defense() -> None:
    """Every other network has an adversarial image for each test image, by DeepFool and by DDN."""
    records = records_of(f"{PAPER}/today")
    failed = {
        (row.setting["network"], row.setting["method"])
        for record in records
        for row in record.rows
        if row.name == "missed" and row.value > 0
    }
    assert {method for _, method in failed} == {"deep-defense", "combination"}
    made = today.missed(records)
    assert made is not None and "{numref}`tab-dd-today-missed`" in today.failures(records)
    listed = body(made)
    assert len({row[0] for row in listed}) == len(failed) == 3
    assert all(" with Deep Defense" in row[0] for row in listed)
    assert listed[0][:2] == ["MLP with Deep Defense", "DDN without clipping"]
    assert listed[0][2].startswith("0.7 (0.5")
    rows = tuple(replace(r, value=0.0) if r.name == "missed" else r for r in records[0].rows)
    assert today.failures([replace(records[0], rows=rows)]).endswith("succeed on every image.")
    assert today.missed([replace(records[0], rows=rows)]) is None
    for shown in map(version_of, records):
        header, *rows = cells(today.nearest(shown))
        some = {row[0] for row in rows if row[header.index("fails")] not in ("", "0.0")}
        assert some and all(name.startswith("Deep Defense") for name in some)


def test_adversarial_training_is_in_the_table_that_decides_claim_7() -> None:
    gains = {row[0]: row for row in body(claims.gains(record("claims")))}
    assert numbers(gains["Adv. Training II"][3])[0] > 100
    ours = mean(record("table-1"), "rho2", network="mlp", method="deep-defense")
    assert numbers(gains["Deep Defense"][2])[0] == pytest.approx(ours, abs=5e-5)


def test_the_accuracy_on_clothing() -> None:
    """It is lower with all seeds, on the replication's page and on the others. There rho2 is
    smaller than on MNIST, so the same c acts more strongly.
    """
    assert "1.6 points lower than after the same training" in replication.on_clothing()
    text = replication.why_accuracy_falls()
    assert "different preprocessing" in text
    there, on_digits = numbers(text.split("is only")[1])[:2]
    assert there < on_digits / 2
    own = replication.with_gradient(record("followup-brown-2019"))
    assert "1.6 points lower" in own and "(lower with all 5 seeds)." in own
    assert "1.6 points lower" in claims.fifth_to_seventh()
    assert text.count("$e^{-c\\rho}$ is larger") == 1


def test_the_orders_of_deepfool_and_ddn() -> None:
    """They differ on the narrow NIN only, where the first by DeepFool is not the first by DDN."""
    records = records_of(f"{PAPER}/today")
    text = today.orders_in_words(records)
    assert "same order by DeepFool and by DDN" in text
    assert "on these networks: MLP, LeNet, narrow ConvNet." in text
    (nin,) = [r for r, network in names.each_network(records) if network == "nin"]
    by_deepfool, by_ddn = (today._order(nin, "nin", attack) for attack in ("deepfool", "ddn"))
    assert next(iter(by_deepfool)) == "adv-training-ii" != next(iter(by_ddn))
    assert list(by_ddn.values()) == sorted(by_ddn.values(), reverse=True)
    assert text.count("may be chance") == 1


def test_the_replication() -> None:
    """The gain from batches of 100 is a share of the printed gain; the constant changes nothing."""
    item = "followup-brown-2019"
    shown = record(item)
    assert replication._explained(shown, replication.THEIRS) == pytest.approx(100)
    assert replication._explained(shown, replication.TUNED) == 0
    share = replication._explained(shown, replication.LARGER)
    text = replication.answer(shown)
    assert "*Numbers of the replication*: 15 " + badge("reproduced") in text
    assert text.startswith("No:") and "comes almost entirely from larger batches." in text
    assert share > 90 and "(0.053 instead of 0.043)" in text
    assert f"give {share:.0f} % of this" in replication.batches(shown)
    assert f"larger batches alone give {share:.0f} % of the" in overview._replicated()
    assert replication.reasons().startswith("Comparisons in the replication's setting: 15 *repro")
    ours, control = (mean(shown, "rho2", method=m) for m in ("deep-defense", "clean-100"))
    assert f"{ours / control:.2f} times" in replication.with_gradient(shown)
    rows = body(replication.methods_table(version(item)))
    assert [row[0] for row in rows] == list(replication.METHODS.values())
    assert "over all seeds, is 0." in replication.constant(shown)
    theirs, same = (rows[i][1:] for i in (3, 4))
    assert [cell.split("/")[-1].strip() for cell in theirs] == same
    assert theirs[1].startswith("0.0554\N{NO-BREAK SPACE}/") and "/" not in "".join(same)
    text = replication.epochs_in_words(shown)
    assert f"{mean(shown, 'rho2', method='start'):.3f}" in text
    assert "*Fine-tuned on DeepFool's set* ends below its start" in text
    assert len(numbers(replication.with_gradient(shown))) >= 4


def test_the_numbers_of_the_replication() -> None:
    """All agree within their tolerances, but most lie outside our range, on the same side."""
    text = replication.agreement(record("followup-brown-2019"))
    of, outside, _, below, above, wide, pairs = numbers(text)
    assert "(6 of 10 cases)" in text
    assert text.startswith("All 15") and of == len(replication.PRINTED) * below and below == 5
    assert of / 2 < outside < of and above == len(replication.SHARES)
    assert "all 5 numbers are below" in text and "at all 3 sizes." in text
    assert pairs == (len(replication.PRINTED) - 1) * below and pairs / 2 < wide < pairs
    # For example, our vanilla network would reproduce rho2 of the network fine-tuned on DeepFool's.
    target = f"{replication.ITEM}/fine-tuned-deepfool-set/rho2"
    ours = mean(record("followup-brown-2019"), "rho2", method="vanilla")
    assert abs(ours - printed(target)) <= tolerance(target)


def test_the_figures_of_the_replication() -> None:
    """Printed numbers are markers at three sizes; all curves start at the same point."""
    shown = record("followup-brown-2019")
    figure = replication.under_fgs(shown)
    (printed,) = [line for line in figure.axes[0].lines if line.get_linestyle() == "None"]
    assert len(printed.get_xdata()) == len(replication.SHARES) * len(replication.PRINTED)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names[-1] == "numbers of the replication"
    assert set(names[:-1]) <= set(replication.METHODS.values())  # as in the table
    starts = {
        tuple(seed[0] for seed in replication._epochs(shown, method).y)
        for methods in replication.PANELS.values()
        for method in methods
    }
    assert len(starts) == 1
    left, right = replication.over_epochs(shown).axes
    assert left.get_ylim() == right.get_ylim()


def test_ten_statements() -> None:
    """Each claim has a row; the reference's gain is 0, and Deep Defense's 100 per cent of
    itself.
    """
    rows = body(claims.verdicts())
    assert [row[0].split(".")[0] for row in rows] == [str(i) for i in range(1, 11)]
    assert all("One case of the claim" in rows[i][0] for i in (1, 4, 5))  # claims 2, 5 and 6
    assert "(one network, and MNIST only)" in rows[5][3]
    ours = [numbers(row[2]) for row in rows]
    assert ours[3][0] < 3  # steps, as in the test of claim 4
    assert ours[4] == [ours[6][0], 0.110] and ours[6][0] < ours[6][1]  # claims 5 and 7
    assert ours[5][0] > ours[5][1] and ours[8][0] > ours[8][1] > 1  # claims 6 and 9
    assert ours[7][0] < 50 and ours[9][0] < 1 and ours[9][1] < 10  # claims 8 and 10
    assert not any("-" in row[2] for row in rows)
    gains = {row[0]: row[3] for row in body(claims.gains(record("claims")))}
    assert (gains["Reference"], gains["Deep Defense"]) == ("0.0", "100.0")
    sides = body(claims.sides(record("claims")))
    assert len(sides) == len(claims.SIDES)
    assert all(ordered(cell) for row in sides for cell in row[1:])


def test_the_answer_and_the_figure_of_the_claims() -> None:
    """Claim 7 fails against adversarial training II. Statements 8 and 9 have no test."""
    text = claims.answer(record("claims"))
    assert "4 claims pass our tests" in text and "adversarial training fails;" in text
    assert "*consequences of claims 4 and 10*: 2 " + badge("reproduced") in text
    passing, failing = claims._whole()
    assert not {*passing, *failing} & {*claims.CONSEQUENCES} and failing == [7]
    assert "*Claim 7*: " + badge("not reproduced") in text
    assert "untested*: 2 " + badge("no printed number") in text
    assert claims.in_short().endswith("claim 7 (against adversarial training II) fails")
    text = claims.failed(record("claims"))
    assert (
        text.startswith("Claim 7 fails: ") and "For CIFAR-10 we have only narrow networks (" in text
    )
    ours, rival, *_ = numbers(text.split("fails:", 1)[1])
    assert ours < rival
    right, of, wrong, zero, tested, *rest = numbers(claims.aim(record("claims")))
    assert right > 2 > wrong > 1 and zero == 0 and tested == 10_000
    points, corrected, among, others, after, every, before = rest
    assert corrected == pytest.approx(points / 100 * tested, abs=1) and among == of == every
    assert others == of - corrected and after > before
    axes = claims.strips(record("claims")).axes
    assert len(axes) == 2 and all(axis.get_xlim()[0] > 0 for axis in axes)
    rows = tuple(row for row in record("claims").rows if row.setting.get("network") == "lenet")
    axes = claims.strips(replace(record("claims"), rows=rows)).axes
    assert axes[1].get_title() == "misclassified, MLP not run"


def test_claims_in_words() -> None:
    """The sentences are numbered like the claims, and shares are percentages."""
    shown = record("claims")
    assert claims.first(shown).startswith("**Claim 1.**")
    rho = [1 / 370, 1 / 526, claims._mean(shown, "rho", "read")]  # means of perturbation / image
    for each, network in zip(rho, ("CaffeNet", "GoogLeNet", ""), strict=True):
        assert f"1/{1 / each:.0f}{' of that of its image' if network == 'CaffeNet' else ''}" in (
            claims.first(shown)
        )
    assert claims._mean(shown, "under deepfool", "noise") > 0.5 * (
        100 - claims._mean(shown, "clean", "noise")
    )  # most misclassified images move to their label, because the others were all moved away:
    assert values(record("table-1"), "unfooled", network="mlp", method="reference") == [0.0] * 5
    text = claims.second_to_fourth(shown)
    assert text.count("\n\n") == 2 and text.count(" on LeNet, 3 seeds)") == 2
    assert "That paper itself states 1,000 for such networks." in claims.first(shown)
    assert "on both networks" in claims.fifth_to_seventh()
    assert "4.6 % with Parseval training and of 4.7 % without" in claims.eighth()
    assert claims.tenth(shown).startswith("**Claim 10.**")
    parts = [part.split(".**")[0] for part in claims.notes(shown).split("\n\n") if ".**" in part]
    assert [numbers(part)[0] for part in parts] == [1, 2, 3, 4, 8, 9, 10]
    assert "8 % (MLP) and 16 % (LeNet) nearer, both attacks without" in claims.tenth(shown)
    assert "few steps do not show that the network is nearly linear" in text
    assert "6 % (MLP) and 9 % (LeNet) nearer, both attacks without" in text
    for name in ("fgsm turned", "pgd turned"):
        assert 0 <= claims._mean(shown, name, "confidence") <= 100


def test_misclassified_images_that_become_correct_count_as_zero() -> None:
    """At least as many as the accuracy rises; the others have a larger mean than the stored one."""
    shown = record("claims")
    count, corrected, before, after = claims._misclassified(shown)
    ours, start = (
        mean(shown, "accuracy", what="read", method=m, network="mlp")
        for m in ("deep-defense", "reference")
    )
    assert corrected == pytest.approx(10_000 * (ours - start) / 100)  # at least the net gain
    stored = mean(shown, "wrong", what="sides", method="deep-defense", network="mlp")
    assert after > stored > before
    assert after * (count - corrected) == pytest.approx(stored * count, rel=0.01)
    text = claims.aim(shown)
    assert "at least 42 of the 175 images" in text and "1.20 times as large" in text


def test_the_term_for_misclassified_images_did_not_act() -> None:
    """Its networks have the numbers of clean fine-tuning, so the run does not test the term."""
    shown = record("claims")
    text = claims.one_term(shown)
    assert "in all stored digits and with all 5 seeds" in text and "does not test the term" in text
    assert "1.5 % larger than with both terms (with all 5 seeds)" in text
    assert "on which the other term then acts" in text
    rows = tuple(
        replace(row, value=row.value * 1.01) if row.setting.get("method") == "wrong" else row
        for row in shown.rows
    )
    text = claims.one_term(replace(shown, rows=rows))
    assert "changes the perturbations" in text and "then acts" not in text
    alone, both = numbers(claims.terms_in_short(shown))[:2]
    assert alone > both > 2


def test_figure_1_draws_each_layer() -> None:
    """The table's last row is the sum of the others."""
    shown = version("figure-1")
    *rows, last = body(figure1.layers(shown))
    counts = [int(row[4].replace(",", "")) for row in rows]
    assert sum(counts) == int(last[4].replace(",", ""))
    fresh = Version(shown.record, "This run (quick)", fresh=True)
    assert " This run (quick): the layers of the network" in figure1.layers(fresh).markdown
    assert figure1.network_and_reverse(shown.record).axes
    assert "All 5 of our networks have as many parameters" in figure1.differentiable(shown.record)
    assert "code)*: 5 " + badge("reproduced") in figure1.answer(shown.record)


def test_figure_2_starts_at_the_reference() -> None:
    """At epoch 0 all methods have the reference's value, one per seed."""
    records = records_of(f"{PAPER}/figure-2")
    for shown, network in names.each_network(records):
        curves = [figure2.curve(shown, "rho2", network, method) for method in figure2.DRAWN]
        assert len({tuple(seed[0] for seed in curve.y) for curve in curves}) == 1
        assert all(curve.x[0] == 0 and sorted(curve.x) == list(curve.x) for curve in curves)
    assert len(figure2.epochs(records).axes) == 2 * len(names.each_network(records))
    assert len(figure2.epochs(records[:1]).axes) == 2 * len(names.networks(records[0]))


def test_the_answer_of_figure_2() -> None:
    """It gives shares of the final gain; on LeNet another method leads after the first epoch."""
    shown, records = record("figure-2"), records_of(f"{PAPER}/figure-2")
    text = figure2.answer(records)
    plain = text.replace("\N{NO-BREAK SPACE}", " ")
    assert all(f"{figure2.early(shown, each)[0]:.0f} % (" in plain for each in ("mlp", "lenet"))
    assert figure2._leads(shown, "mlp", 0) and figure2._leads(shown, "lenet", -1)
    assert not figure2._leads(shown, "lenet", 0)
    assert "then ahead of adversarial training I only on the MLP. " in text
    assert figure2._leads(shown, "mlp", 0, ["adv-training-i"])
    assert not figure2._leads(shown, "lenet", 0, ["adv-training-i"])
    text = figure2.later(records)
    assert "only on the MLP at the first" in text and "on all 4 networks after the last" in text
    assert "falls by 0.5 points on the MLP and 0.2 points on LeNet, but recovers" in text
    assert (
        "by 2.9 points on the narrow ConvNet (with all 3 seeds) and 1.2 points on the narrow "
        "NIN (with 2 of 3 seeds). [Table"
    ) in text
    assert (
        "states losses of 2.2 points on the narrow ConvNet and 1.7 points on the narrow NIN for "
        "the same networks. Only the test images differ: 2,000 there, and 1,000 of these here."
    ) in text
    assert text.endswith("There the confidence intervals of both losses contain 0.")
    for network in ("convnet", "nin"):
        _, low, high = table1.accuracy_change(network)
        assert low < 0 < high
    assert (
        "Adversarial training II, which has a larger $\\rho_2$ on MNIST than Deep Defense" in text
    )
    for network in ("mlp", "lenet"):
        rival, ours = (
            mean(record("table-1"), "rho2", network=network, method=method)
            for method in ("adv-training-ii", "deep-defense")
        )
        assert rival > ours
    start, first, epoch, worst, last, end = numbers(figure2.dip(records))
    assert start - first > 10 and worst > 20 and (epoch, last) == (2, 10) and first < end < start
    assert "1.5 points (narrow ConvNet)" in figure2.apart(records)
    text = figure2.rival(shown)
    first = text.index("(adversarial training I is ahead with all 3 seeds)")
    assert first < text.index("After the last")
    assert text.endswith("(Deep Defense is ahead with all 3 seeds).")
    assert "after every 2 epochs (10 epochs)" in figure2.tested(records)


def test_figure_2_by_training_step() -> None:
    """On the narrow networks the shares are of increases after fewer steps than on MNIST."""
    by_step = {
        network: figure2.shares_by_step(shown, network)
        for shown, network in names.each_network(records_of(f"{PAPER}/figure-2"))
    }
    assert [max(each) for each in by_step.values()] == [3000, 3000, 2000, 500]
    assert all(each[max(each)] == pytest.approx(100) for each in by_step.values())
    lenet = by_step["lenet"][600]
    assert by_step["convnet"][800] < lenet < by_step["nin"][200]
    text = figure2.per_step(records_of(f"{PAPER}/figure-2"))
    assert "narrow ConvNet: 17 % after 400 and 53 % after 800 of 2,000 steps" in text
    assert "112 % after 400 of 500 steps" in text


def test_figure_3() -> None:
    """The grid is that of the study, and the sentences give its range."""
    shown = record("figure-3")
    tried = tuple(tuple(figure3._tried(shown, name)) for name in ("c", "lam", "d"))
    # Training diverged at the largest d.
    assert tried == hyper_parameters.GRID["paper"] or len(tried[2]) < 4
    assert len(figure3.grid(shown).axes) == 4
    assert "we tried, c changes $\\rho_2$ most, from 0.403 with" in figure3.answer(shown)
    assert "the training diverged" in figure3.answer(shown)
    assert "by \N{MINUS SIGN}0.40 to +0.30 points on the same" in figure3.each_parameter(shown)
    top, bottom = (figure3.grid(shown).axes[k : k + 2] for k in (0, 2))
    assert all(left.get_ylim() == right.get_ylim() for left, right in (top, bottom))
    assert "At c = 25 the others (" in figure3.each_parameter(shown)
    assert f"But with d = {figure3.DIVERGES:g} the training" in figure3.each_parameter(shown)
    every, free, same, c, lam, times, among = numbers(figure3.grid_in_words(shown))
    assert every == among > free == same and times > 1 and c > 5 and lam in tried[1]
    text = figure3.lost_in_words(shown)
    c, lams, low, high, *_ = numbers(text)
    seeds, _, _, _, images, few = numbers(text.split("differ by at most", 1)[1])
    assert (lams, c) == (3, 5) and max(seeds, few) < low < high
    assert text.endswith("may well be real, but one seed cannot settle it.")
    assert images == settings.setting("lenet", "paper").looked == figure3.IMAGES
    assert "differs from that of the reference network by +0.05 to" in figure3.d_in_words(shown)
    for axis in figure3.grid(shown).axes[1::2]:
        assert axis.texts[0].get_text() == "diverged" and axis.get_xlim()[1] > figure3.DIVERGES
    down, steps = numbers(figure3.falls_in_words(shown).split("falls in")[1])
    assert down == steps == len(tried[1]) * (len(tried[0]) - 1)
    rho, _, weight = numbers(figure3.typical_in_words().replace("$\\rho_2$", ""))
    assert weight == pytest.approx(math.exp(figure3.DIVERGES * rho), abs=0.05)
    count, below, _, _, above = numbers(figure3.lambda_in_words(shown))[:5]
    assert count == len(tried[0]) and below > 2 * above > 0
    rows = body(figure3.varied(shown))
    assert [row[0] for row in rows[1:]] == ["c"] * 5 + ["λ"] * 3 + ["d"] * len(tried[2])
    low, high = (numbers(part)[0] for part in figure3.spanned().split(" and "))
    assert low < high


def test_figure_4() -> None:
    """There is a curve per layer and one for all; counts of parameters add up to the network's."""
    shown = record("figure-4")
    assert set(figure4.shares(shown)) == set(figure4.LAYERS)
    assert figure4.shares_in_words(shown).count("%") == figure4.masked(shown).count("%") == 4
    best = max(figure4.shares(shown).values())
    text = figure4.answer(shown)
    assert text.startswith("The first fully connected layer: ")
    assert numbers(text)[0] == round(best) and "one seed); no other layer gives a cons" in text
    assert "4 " + badge("no printed number") in text  # the paper's figure is a memory
    assert "one seed" in figure4.shares_in_words(shown)
    furthest, lower, of, _, c, whole, *shares = numbers(figure4.others_in_words(shown))
    assert furthest < 0.01 < whole and (lower, of, c) == (4, 5, 45)
    assert len(shares) == 4 and sum(shares) == pytest.approx(100, abs=2)
    count, low, high, start = numbers(figure4.accuracies_in_words(shown))[:4]
    assert count == 25 and low < start < high
    rows = body(figure4.layers_table(version("figure-4")))
    counts = [int(row[1].replace(",", "")) for row in rows]
    assert sum(counts[:-1]) == counts[-1]
    narrow = figure4.layers_table(Version(replace(shown, profile="quick"), "This run", fresh=True))
    assert "narrow LeNet" in narrow.markdown and "Parameters" not in narrow.markdown
    # The page includes the function `confined` from its fifth line, below the docstring.
    assert inspect.getsource(methods.confined).splitlines()[4].startswith("    gradients = ")
    for axis in (axes := figure4.layers(shown).axes):
        assert len(axes) == 2 and len(axis.lines) == len(figure4.LOOKS) + 1


def test_deepfool_by_name() -> None:
    """Each implementation has a row; the two ranges in the sentence are those of the table, and
    they do not overlap.
    """
    shown = record("deepfool")
    rows = body(deepfool.programs(version("deepfool")))
    assert len(rows) == len(deepfool.PROGRAMS) * len(names.networks(shown))
    assert all(0 <= n <= 100 for row in rows for n in numbers(row[3]))
    means = [numbers(row[1])[0] for row in rows[: len(deepfool.PROGRAMS)]]
    text = deepfool.ranges(shown)
    assert f"{min(means):.3f}" in text and f"{max(means):.3f}" in text
    free, clipped = numbers(deepfool.answer(shown))
    assert min(means) < free < clipped < max(means) and clipped > 0.9  # without torchattacks
    assert "with the 5 that do. This counts the implementations that succeed on at least" in text
    assert "one seed and 200 test images" in deepfool.attacked(shown)
    without = [mean(shown, "distance", preset=preset) for preset in deepfool.UNCLIPPED]
    assert len(without) == sum(each < 0.85 for each in means) == 3 and max(without) < 0.85
    assert "torchattacks succeeds on only 67.8 %" in deepfool.failures(shown)
    assert "the library succeeds on 35 % of the images and the preset on 70 %" in deepfool.checked()
    axes = deepfool.strips(shown).axes
    assert len(axes) >= len(names.networks(shown)) and axes[0].get_xlim()[0] > 0.5
    hollow = [dots for dots in axes[0].collections if not len(dots.get_facecolor())]
    assert len(hollow) == 1  # torchattacks fails on many images
    assert hollow[0].get_offsets()[0, 0] == pytest.approx(0.892, abs=0.001)


def test_anchors() -> None:
    """Errors are percentages and rho2 is positive; printed numbers come before ours."""
    for shown in map(version_of, records_of(f"{PAPER}/anchors")):
        assert set(names.networks(shown.record)) <= anchors.THERE.keys() == anchors.TARGETS.keys()
        for row in body(anchors.errors(shown)):
            if row[1]:
                there, ours, *_ = numbers(row[1].replace("*", " "))
                assert not row[1].startswith("1.0")  # the paper prints 1, without a decimal
                assert 0 <= there <= 100 and 0 <= ours <= 100
                assert numbers(row[2].replace("*", " "))[0] > 0
                assert ("/" in row[2]) == (row[0] == anchors.METHODS["reference"])


def test_the_answer_and_the_figure_of_the_anchors() -> None:
    """The DeepFool paper prints rho2 0.11 and 0.20; each row has a printed marker."""
    shown = record("anchors")
    text = anchors.references(shown)
    assert "(DeepFool paper: 0.11)" in text and "(DeepFool paper: 0.20)" in text
    text = anchors.answer(shown)
    assert text.startswith("Yes, on MNIST before fine-tuning: ") and numbers(text)[0] <= 0.005
    assert "after fine-tuning, 3 numbers differ by more than the tolerance (inconclusive). " in text
    lines = [e for e in entries(PAPER) if e.verdict == "inconclusive" and "anchor" in e.id]
    assert len(lines) == 3
    for line in lines:
        there = printed(line.id)
        assert there is not None and line.ours is not None
        assert abs(line.ours - there) > tolerance(line.id)
    assert "*reproduced* for the MLP and *inconclusive* for LeNet." in anchors.gain(shown)
    text = anchors.gain(shown)
    assert "On LeNet the increase is below 35 % (the printed number minus the tolerance)" in text
    assert "widened by 15 points on each side" in text
    text = anchors.after_fgs(shown)
    assert "lower than the paper's on the MLP with all 5 seeds and on LeNet with all 3" in text
    assert "Both differ from the paper's by more than the tolerance of 0.4 points, but" in text
    allowed, *found = numbers(anchors.small_effect(shown))
    for there, tuned, ours, after in (found[:4], found[4:]):
        assert 0 < there - tuned < allowed  # the untouched network would pass, too
        assert ours >= after and abs(ours - tuned) <= allowed
    stated, mlp, _, lenet, *_ = numbers(anchors.gain(shown).split(" by ", 1)[1])
    assert stated == 50 > mlp > lenet > 20
    first = numbers(anchors._first_epoch(shown).split("our increase is")[1])
    assert first[0] > mlp and stated > first[1] > lenet
    assert numbers(anchors._axis().split("ends at")[1]) == [0.28, 40]
    assert " from 1.7 to 1.5 % in" in anchors.small_effect(shown)
    assert " from 1 (rounded) to 0.8 % in" in anchors.small_effect(shown)
    for each, n in names.each_network(records_of(f"{PAPER}/anchors")):  # as in the DeepFool paper
        start, after = (
            values(each, "error", network=n, method=m) for m in ("reference", "fgs-set")
        )
        assert all(a > b for a, b in zip(after, start, strict=True))
    axes = anchors.strips(shown).axes
    assert len(axes) >= len(names.networks(shown))
    assert len(axes[0].collections) == 2 * len(anchors.METHODS)


def test_the_overview_counts_every_verdict_once() -> None:
    """Each claim has a finding; no row of the ledger belongs to two claims."""
    rows = body(overview.claims())
    decided = [sum(claim.decides(e.id) for claim in overview.CLAIMS) for e in entries(PAPER)]
    assert set(decided) == {1} and all(row[2] for row in rows)
    lines = [e for e in entries(PAPER) if not e.same_as]
    repeated = 2  # claims 5 and 6 repeat orderings of Table 1
    there = "[Table\N{NO-BREAK SPACE}1]"
    assert f"(including {repeated} reproduced that {there}" in rows[-1][3]
    # As on the page on the claims.
    assert rows[-1][3].startswith("claim tested by us: 6 reproduced, 1 not reproduced")
    counts = [int(n) for row in rows for n in numbers(row[3].split(" (")[0])]
    assert sum(counts) - repeated == len(lines)


def test_the_answer_of_the_overview() -> None:
    """The gains are those of the page with stronger attacks, both on the same images."""
    text = overview.answer(record("table-1"))
    attacked = record("today")
    gains = [today.nearest_gain(attacked, n) for n in ("mlp", "lenet")]
    assert f"becomes {gains[0]:.2f} (MLP) and {gains[1]:.2f} (LeNet) times as large, but" in text
    assert badge("not reproduced") in text  # claim 7 of the authors' post
    rows = body(overview.factors(record("table-1")))
    assert [row[-1] for row in rows[::2]] == [f"{gain:.2f}" for gain in gains]
    assert all(float(row[1]) > float(row[-1]) for row in rows)
    assert all(float(row[2]) > float(row[3]) > float(row[5]) for row in rows)  # clipping, DDN


def test_the_same_networks_asked_in_several_ways() -> None:
    """For each method, all attacks together leave no more than FGSM."""
    for item in ("table-1", "today"):  # the caption has one number of seeds for each network
        for shown, network in names.each_network(records_of(f"{PAPER}/{item}")):
            seeds = len({row.seed for row in shown.rows if row.setting.get("network") == network})
            assert f"{names.title(shown, network)} {seeds}" in overview.asked().markdown
    rows = body(overview.asked())
    for fgsm, together in pairwise(rows):
        if together[0].startswith("under all attacks"):
            pairs = zip(fgsm[1:], together[1:], strict=True)
            assert all(float(b) <= float(a) for a, b in pairs)
    rows = body(overview.against_adversarial_training())
    assert len(rows) == len(overview._each("table-1"))
    assert [float(row[1]) > 1 for row in rows] == [True, True, True, False]  # all but the NIN


def test_benchmarks() -> None:
    """Our ratio to ours is 1, a plain step's ratio to a plain step is 1, and every library has a
    row.
    """
    for table in (benchmarks.attacks(), benchmarks.geometry(), benchmarks.lbfgs()):
        assert body(table)
    ours = [row for row in body(benchmarks.attacks()) if row[0] == "robustbook"]
    assert all(float(row[2]) == 1 for row in ours)
    assert float(body(benchmarks.geometry())[0][2]) == 1
    pair = [{"seconds": 2.0, "ratio": 1}, {"seconds": 6.0, "ratio": 2.0}]
    assert benchmarks._unlike(pair) == benchmarks._unlike([pair[0], {"seconds": 2.0, "ratio": 1.5}])
    assert benchmarks._unlike(pair) == pytest.approx(1.5)
    low, high = numbers(benchmarks.early_stop())[:2]
    assert (low, high) == (2, 9)  # 2.042 to 2.005, and 1.470 to 1.343
    assert numbers(benchmarks.early_stop())[-1] == 1.2  # 87.2 to 72.8
    assert float(body(benchmarks.deep_defense())[0][2]) == 1
    assert all(len(row) == 6 for row in body(benchmarks.deepfool()))
    assert float(body(benchmarks.carlini_wagner())[0][3]) == 1
    assert "divides by our time on the same images." in benchmarks.carlini_wagner().markdown
    ratios = numbers(benchmarks.answer())
    assert len(ratios) == 7 and ratios[0] <= ratios[1] and ratios[2] <= ratios[3]
    assert "All libraries give the same accuracy" in benchmarks.answer()
    assert benchmarks.same_accuracy().startswith("Under PGD every library")
    assert not any("free" in row[0] for row in body(benchmarks.deepfool()))
    distances = {row[0]: float(row[4]) for row in body(benchmarks.deepfool())}
    times, further = numbers(benchmarks.active_pixels())[:2]
    ratio = distances["robustbook, active pixels"] / distances["robustbook"]
    assert times < 1 and further == round(100 * (ratio - 1))
    assert len(benchmarks.relative_to_ours().axes) == len(benchmarks.ATTACKS)


def test_benchmarks_rank_no_library_that_differs_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library is ranked only if it differs by more than the two comparisons disagree."""
    made = [("robustbook", 1.0, 1.0), ("near", 1.08, 0.98), ("far", 1.5, 1.5)]
    rows = [
        {"attack": a, "library": name, "ratio_to_ours": r, "ratio_to_floor": f, "accuracy": 1.0}
        for a in benchmarks.ATTACKS
        for name, r, f in made
    ]
    monkeypatch.setattr(benchmarks, "benchmark", lambda name: {"rows": rows})
    text = benchmarks.answer()
    assert text.startswith("**Answer.** No. ") and "10 %" in text
    assert "The times of near differ from ours by no more than this" in text
    for row in rows:
        if row["library"] == "far":
            row.update(ratio_to_ours=0.5, ratio_to_floor=0.5)
    assert benchmarks.answer().startswith("**Answer.** Yes. ")
