"""What the pages on Nayebi & Ganguli 2017 show of the published records."""

from dataclasses import replace
from itertools import pairwise
from statistics import fmean

import pytest
import torch

from robustbook import catalogue, ledger, pearson
from robustbook.chapters.claims import undecided
from robustbook.chapters.published import (
    Version,
    array,
    entries,
    mean,
    of_target,
    printed,
    record_of,
    settings,
    values,
    version_of,
)
from robustbook.chapters.saturating import (
    claims,
    dissimilarity,
    figure1,
    figure2,
    figure3,
    figure4,
    figure5,
    figure6,
    figure7,
    figure8,
    lbfgs_pairs,
    names,
    overview,
    table1,
    table2,
    today,
)
from robustbook.ledger import Record, Row
from robustbook.ledger.words import outcome
from robustbook.measures import epsilon_min
from robustbook.networks import CNN
from robustbook.studies.saturating import ablations, descents, figure_6, sizes
from robustbook.studies.saturating import lbfgs_pairs as study
from robustbook.studies.saturating import settings as own

from .reading import body, numbers, ordered


def record(item: str) -> Record:
    return record_of(f"saturating/{item}")


def version(item: str) -> Version:
    return version_of(record(item))


# What a page repeats of its study, because the study imports torch.


def test_triesare_those_of_the_studies() -> None:
    """A name that no row has would leave its cells empty."""
    assert tuple(names.NETWORKS) == own.NETWORKS and tuple(names.MLPS) == own.MLPS
    assert names.METHODS == own.METHODS and names.COMPARED == own.COMPARED
    assert tuple(claims.READINGS) == ablations.READINGS
    assert {*claims.ALPHA.values()} == {*ablations.ALPHA.values()}
    assert tuple(lbfgs_pairs.SEARCHES) == (*study.READINGS, study.STRAIGHT)
    assert lbfgs_pairs.MAIN == study.MAIN
    assert (figure6.LIMIT, figure6.END) == (figure_6.LIMIT, figure_6.SHOWN)


def test_the_attacks_are_those_of_the_study() -> None:
    assert table1.ATTACKS.keys() - {"transfer"} <= own.readings(0.25).keys()


# Table 1.


def test_table_1_has_both_numbers_in_every_cell() -> None:
    """Printed first; ours between the ends of its range."""
    rows = body(table1.accuracy_table(version("table-1")))
    assert [len(row) for row in rows] == [7, 7, 7]
    for method, row in zip(names.METHODS, rows, strict=True):
        fgsm = row[2::2]
        for network, cell in zip(names.NETWORKS, fgsm, strict=True):
            there, ours = cell.split("/")
            assert float(there) == printed(names.fgsm_target(network, method))
            assert ordered(ours)


def test_table_1_with_another_eps_or_one_seed_says_so() -> None:
    """The paper's numbers beside ours have eps 0.25, and one seed has no range."""
    shown = record("table-1")
    assert "(range over the seeds)." in table1.accuracy_table(version_of(shown)).markdown
    rows = tuple(row for row in shown.rows if row.seed == 0)
    one = replace(shown, rows=rows, seeds=(0,), parameters={**shown.parameters, "eps": 0.1})
    text = table1.accuracy_table(version_of(one)).markdown
    assert "**ours**. FGSM has eps 0.1, and 0.25 in the paper." in text


def test_the_attacks_of_table_1() -> None:
    """A row per network and attack; random signs do less harm than the strongest attack."""
    shown = record("table-1")
    rows = body(table1.attacks_table(shown))
    assert len(rows) == 3 * (1 + len(table1.TABLED))
    assert all(ordered(cell) for row in rows for cell in row[1:] if cell)
    for found in table1.accuracies(shown).values():
        for of in found.values():
            assert min(of["signs, clipped"]) > max(of["pgd softened"])
    assert len(table1.attacks_figure(shown).axes) == 3


def test_shares_of_gradients_are_percentages() -> None:
    """And the median size is a positive number."""
    shown = record("table-1")
    for row in body(table1.gradients(shown)):
        assert all(0 <= n <= 100 for cell in row[1:4] for n in numbers(cell))
        assert numbers(row[5])[0] >= 0 and ordered(row[4])


def test_a_gradient_is_zero_only_if_all_probabilities_are_rounded() -> None:
    """Float32 rounds the other probabilities to 0 from the lead that the page states; then the
    gradient of the loss is zero. With a smaller lead the true class already has probability 1.
    """
    for lead, zero in ((table1.VANISHES + 1, True), (table1.VANISHES - 1, False), (20.0, False)):
        logits = torch.tensor([[lead, 0.0, 0.0]], requires_grad=True)
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor([0]))
        (gradient,) = torch.autograd.grad(loss, logits)
        assert logits.softmax(1)[0, 0] == 1
        assert bool((gradient == 0).all()) == zero
    text = table1.zero_gradients(record("table-1"))
    assert "more than about 104" in text and "none of its images has a zero gradient" in text


def test_a_diagnosis_asks_each_network() -> None:
    """Each question once, and each has an answer."""
    rows = body(table1.diagnosis(record("table-1")))
    of = {title: [row[1] for row in rows if row[0] == title] for title in names.NETWORKS.values()}
    assert all(each and len(set(each)) == len(each) for each in of.values())
    assert all(row[3] and row[2] in ("", "red") for row in rows)


def test_what_was_tried_for_table_1() -> None:
    """A row per setting; the longest anneal is the table's; the sentences have numbers."""
    tried, shown = record("table-1-search"), record("table-1")
    parts = [body(each) for each in table1.search(tried)]
    rows = [row for part in parts for row in part]
    assert [len(part) for part in parts] == [8, 7, 8]
    tries = {(row.setting["varied"], row.setting["how"]) for row in tried.rows}
    assert len(rows) == len(tries)  # no training is left out
    assert len({row[0] for row in rows}) == len(rows)
    assert all(ordered(cell) for row in rows for cell in row[1:])
    (axis,) = table1.anneal(shown, tried).axes
    assert max(axis.get_xticks()) == 937
    text = table1.longer_vanilla(shown, tried)
    assert "as many epochs as the saturated network (404)" in text
    # Seed by seed, on the same images: too few seeds to say that the penalty adds anything.
    assert "51, 22 and 2 points higher (seeds 0, 1 and 2)" in text and "contains 0. So 3" in text
    low = tuple(
        replace(row, value=20.0 + int(row.seed or 0)) if row.name == "accuracy" else row
        for row in tried.rows
    )
    text = table1.longer_vanilla(shown, replace(tried, rows=low))
    assert "contains 0" not in text
    *larger, longer = [row for row in parts[1] if row[0].startswith("CNN")]
    assert len(larger) == 3 and all("times the paper's lambda" in row[0] for row in larger)
    assert larger[-1][0].startswith("CNN, 1,000 times") and longer[0].endswith("as many epochs")


def test_the_page_explains_every_attack_of_the_figure() -> None:
    """Once, under the name that the figure uses."""
    page = (catalogue.BOOK.parent / "notebooks/saturating/table1.md").read_text(encoding="utf-8")
    for name in table1.ATTACKS.values():
        assert page.count(f"\n- *{name}*:") == 1, name
    clipped = [key for key, name in table1.ATTACKS.items() if name.startswith("in [0, 1]: ")]
    assert all("clipped" in key or key.startswith(("pgd", "transfer")) for key in clipped)


def test_table_1_is_answered_by_the_strongest_attack() -> None:
    """No, as long as PGD with softened slopes leaves less than half of the images."""
    shown = record("table-1")
    assert table1.answer(shown).startswith("No: after PGD with flatter slopes in the backward pass")
    text = table1.after_fgsm(shown)
    assert text.count("(") == 3 and "82.6 % for the sigmoid MLP (in the" in text
    # The strongest attack is clipped, so FGSM beside it is clipped too, on the same images.
    clipped_fgsm = [
        fmean(of["saturated"]["float32, clipped"]) for of in table1.accuracies(shown).values()
    ]
    beside = text.partition("1,000 test images. Then the accuracy is ")[2]
    assert numbers(beside) == [*(round(each, 1) for each in clipped_fgsm), 1.8]
    plain, clipped = table1.random_signs(shown).split("\n\n")
    assert "by only 2 to 7 points." in plain and "FGSM does less harm" in clipped
    signs, fgsm = numbers(clipped)[2:4], numbers(clipped)[4:6]
    assert all(a < b for a, b in zip(signs, fgsm, strict=True))
    assert "above 1.8 %." in table1.answer(shown)
    text = table1.clipped_probabilities(shown).partition("If FGSM")[2]
    assert numbers(text) == [95.8, 96.8, 94.43, 94.59, 39.1, 0.41]
    strong = [
        replace(row, value=90.0) if row.setting.get("reading") == "pgd softened" else row
        for row in shown.rows
    ]
    assert table1.answer(replace(shown, rows=tuple(strong))).startswith("Yes")


def test_accuracies_in_two_groups() -> None:
    """The largest gap separates them, and the sentence says how many seeds are in each."""
    assert table1.in_two_groups([70.0, 93.0, 68.0, 91.0]) == ([91, 93], [68, 70])
    text = table1.two_groups(record("table-1"))
    high, seeds, least, most, low, bottom, top = numbers(text.partition("\n")[0])
    assert (high, seeds, low) == (3, 5, 2) and bottom < top < 70 < 90 < least < most


def test_the_two_groups_differ_in_the_signs_of_their_logits() -> None:
    """The seeds with a low FGSM accuracy are those whose ten logits are all positive."""
    shown, pre = record("table-1"), record("figure-2")
    of = {"network": "sigmoid-mlp", "method": "saturated"}
    positive = values(pre, "active", layer=3, **of)
    accuracy = of_target(shown, names.fgsm_target("sigmoid-mlp", "saturated"))
    assert [share > 99 for share in positive] == [each < 70 for each in accuracy]
    assert all(share > 99 or 9 < share < 11 for share in positive)
    text = table1.two_groups(shown).partition("float32 gradients")[2]
    few, some, most, all_, *leads, _, limit, _ = numbers(text)
    found = values(shown, "lead", **of)
    assert leads == [round(end(found)) for end in (min, lambda x: sorted(x)[1])] + [
        round(end(found)) for end in (lambda x: sorted(x)[2], max)
    ]
    assert leads[1] < limit < leads[2]
    zero = values(shown, "unmoved", reading="float32", **of)
    assert (few, all_) == (round(min(zero)), round(max(zero))) and some < 40 < 80 < most
    # Another split has another explanation.
    mixed = tuple(
        replace(row, value=100 - row.value)
        if row.target == names.fgsm_target("sigmoid-mlp", "saturated")
        else row
        for row in shown.rows
    )
    assert "logits" not in table1.two_groups(replace(shown, rows=mixed))
    reasons = (catalogue.BOOK / "reasons.csv").read_text(encoding="utf-8")
    assert f"{most:.0f} to {all_:.0f} % of the images have a float32 gradient of zero" in reasons
    assert f"three seeds, and {few:.0f} to {some:.0f} % with two" in reasons


def test_the_trainings_are_those_of_the_study() -> None:
    """Epochs follow from the settings; the last lambda is the number in the paper."""
    rows = body(table1.trainings())
    for network, title in names.MLPS.items():
        (row,) = (row for row in rows if row[0] == title)
        plain, _, rises, every = sizes.ANNEALS["paper"][network]
        saturated = (plain + rises * every) / sizes.EPOCH["paper"]
        assert numbers(row[2]) == [sizes.EPOCHS["paper"], sizes.EPOCHS["paper"], saturated]
    for row, short in zip(rows, ("sigmoid", "relu", "cnn"), strict=True):
        assert float(row[5]) == printed(f"saturating/text-4/settings/lambda-max-{short}")
        assert float(row[6]) == printed(f"saturating/text-4/settings/lambda-step-{short}")
    assert [row[1] for row in rows[:2]] == ["784-200-200-10"] * 2


# Claims of the text.


def test_the_range_of_errors_is_a_range() -> None:
    """The smallest error lies below the largest."""
    low, high = (
        mean_of(record("claims"), f"saturating/text-1/error-range/{end}") for end in ("low", "high")
    )
    assert low < high and f"{low:.1f}" in claims.error_range(record("claims"))


def mean_of(shown: Record, target: str) -> float:
    found = [row.value for row in shown.rows if row.target == target]
    return sum(found) / len(found)


def test_each_choice_is_undone_alone() -> None:
    """A row per network with as many seeds as it was run at; alphas ascend."""
    rows = body(claims.ablations(version("claims")))
    assert [row[0] for row in rows[1:]] == list(claims.UNDONE.values())[1:]
    assert rows[0][0].startswith("lambda rises every 10 steps")
    assert int(rows[0][-1]) == len(record("claims").seeds)
    assert all(ordered(cell) for row in rows for cell in row[1:-1])
    table = claims.alphas(version("claims"))
    head = next(line for line in table.markdown.splitlines() if line.startswith("| Accuracy"))
    assert numbers(head) == list(ablations.ALPHAS)
    assert len(body(table)) == 6


def test_the_answer_of_the_claims() -> None:
    """It names the long runs and the shorter ones, which are counted by image below."""
    text = claims.answer(record("claims"))
    assert text.startswith("No: without clipping, every long run of Adam on one network changes a")
    assert "as a 7; shorter runs fail for 62 of 90 pairs. " in text
    text = claims.adam_in_words(record("claims"))
    least, most, either = (f"{k} of 5 seeds" for k in (2, 1, 2))
    assert text.index(least) < text.index(most) and text.count(either) == 2
    assert "fails on 62 (56\N{EN DASH}\N{WORD JOINER}69) of our 90 pairs" in text


def test_a_sudden_rise_is_compared_with_a_slow_one_of_the_same_seed() -> None:
    """It loses less than training with the full penalty from the first step."""
    shown = record("claims")
    (lost,), (clean,) = (claims._lost_by_a_jump(shown, each) for each in ("float32", "clean"))
    assert lost == pytest.approx(44.76 - 27.02) and 0 < clean < lost
    words = f"{lost:.1f} points and the clean accuracy {clean:.1f} points lower (one seed)"
    assert f"the FGSM accuracy is {words}" in claims.undone_in_words(shown)


def test_every_claim_has_its_verdict() -> None:
    """All lines of the ledger on sections 1, 4 and 7, but the partner and what was not run."""
    rows = body(claims.verdicts())
    assert all(any(v in row[4] for v in ledger.VERDICTS) for row in rows)
    there = {
        entry.id for entry in entries("saturating") if entry.item in ("text-1", "text-4", "text-7")
    }
    rest = {target for target in there - claims.CLAIMED.keys() if "/settings/" not in target}
    assert rest <= {
        "saturating/text-4/claim/hidden-only",
        "saturating/text-7/adam/iterations-tried",
    }
    assert rows[-1][2] == rows[-1][3] == "10"
    assert rows[-2][2:] == ["", "2 of 5", "no printed number"]  # an example, not a claim
    (example,) = (e for e in entries("saturating") if e.id.endswith("saturated-3-to-7"))
    assert outcome(example) == ("yes in 2 of 5 runs", "")
    assert rows[-3][2:] == ["several", "62", "other setting"]


def test_choices_in_words() -> None:
    """Three of them; counts grow or fall with the points."""
    parts = claims.undone_in_words(record("claims")).split("\n\n")
    assert len(parts) == 3
    half, other = numbers(parts[2].partition("(one seed)")[2])[0:3:2]
    assert half > other
    assert claims._exceeding([0.2, 2.0, 0.7]).endswith(
        "point with 1 of 3 seeds; it exceeds 0.5 points with 2 and 3 points with 0 of them."
    )
    assert "every seed; with 0.5 or 3 points" in claims._exceeding([9.0])


def test_pairs_that_adam_did_not_fool() -> None:
    """At most 90 each; a median of iterations only where one was fooled."""
    for row in body(claims.adam(version("claims"))):
        assert all(0 <= n <= 90 for n in numbers(row[4]))
        fooled, seeds = numbers(row[5])
        assert 0 <= fooled <= seeds
        assert (row[6] == "none") == (numbers(row[4])[0] == 90)
    text = claims.adam_in_words(record("claims"))
    for cause in ("settings of Adam.*", "arithmetic.*", "too short?*"):
        assert cause in text
    last = text.partition("too short?*")[2]
    found = numbers(last)
    near, close, main, failed, far, long_, longer = found
    assert (main, far) == (0.01, 0.1) and near < close
    assert failed < near / 2 and close < long_ / 2 < longer / 2
    assert text.count("On the vanilla network they") == 2 and text.count("for no pair.") == 2


def test_a_larger_step_size_has_fewer_steps() -> None:
    """The caption, the sentence and the study agree."""
    shown = record("claims")
    size, steps = shown.parameters["step_size"], shown.parameters["steps"]
    for _, each, most in descents.settings(size, steps):
        assert claims._steps_at(shown, each) == most
        assert f"{most:,} for the step size {each:g}" in claims.adam(version("claims")).markdown
    assert "with 1,000 instead of 10,000 steps" in claims.adam_in_words(shown)
    for steps, profile, most in ((10_000, "quick", [300, 100]), (1, "paper", [1, 1])):
        few = replace(shown, profile=profile, parameters={**shown.parameters, "steps": steps})
        assert [claims._steps_at(few, times * size) for times in (1, 3)] == most


def test_why_the_long_descents_wait() -> None:
    """A large early gradient shortens the steps of three runs to the end; the fourth has none."""
    shown = record("long-descent")
    text = claims.plateaus(shown)
    assert "class changes by at most 1 %. It takes 89 to 98 % of the steps, by run" in text
    assert claims._plateau([0.0, 1.0, 5.0, 9.0, 10.0], [9.0, 2.0, 2.0, 2.01, 1.0]) == 0.8
    # The runs with a large early gradient are those that the next paragraph counts.
    soon = {
        (r.setting["rule"], r.setting["precision"])
        for r in shown.rows
        if r.name == "iterations" and r.value <= 11_000
    }
    assert soon == {("least", "float32"), ("least", "float64"), ("most", "float64")}
    assert "In 3 of the 4 runs (those that succeed within 11,000 steps), some early" in text
    assert "steps (3 within 11,000 steps)" in claims.long_in_words(shown)
    late = [
        replace(r, value=12_000) if r.name == "iterations" and r.value < 10_300 else r
        for r in shown.rows
    ]
    assert "In 3 of the 4 runs, some" in claims.plateaus(replace(shown, rows=tuple(late)))
    # Each plateau takes thousands of steps, as the solution of the second exercise says.
    for rule, precision in (*soon, ("most", "float32")):
        at = f"{rule} {precision}"
        steps, losses = (array(shown, f"{at} {each}") for each in ("iterations", "loss"))
        assert claims._plateau(steps, losses) * steps[-1] > 5000
    assert "first 1,000 steps: the largest gradient component in them is 12 to 6,436, by" in text
    assert text.count("In the run from the most confident source, float32") == 1
    assert "float64, the gradient" not in text
    # The first gradient of the third run is tiny, but a later one still dominates the mean.
    size, steps = (shown.arrays[f"most float64 {name}"] for name in ("gradient", "iterations"))
    early = max(zip(size, steps, strict=True), key=lambda pair: pair[0] * (pair[1] <= 1000))
    assert size[0] < 1e-6 < 1 < early[0]
    root = (0.001 * 0.999 ** (steps[-2] - early[1])) ** 0.5 * early[0]
    assert root > 100 * size[-2] > 100 * claims.EPSILON
    # Without large gradients in the early steps there is no such cause.
    small = {
        name: [min(x, 0.01) for x in of] if name.endswith("gradient") else of
        for name, of in shown.arrays.items()
    }
    assert "a possible cause" in text
    assert "a possible cause" not in claims.plateaus(replace(shown, arrays=small))


def test_the_first_gradients_of_the_long_descents() -> None:
    """Huge from one source image, tiny from the other; and the final images leave [0, 1]."""
    shown = record("long-descent")
    text = claims.first_gradients(shown)
    assert "is 1,000 from the least confident source. It is" in text
    found = {f"most {p}": shown.arrays[f"most {p} gradient"][0] for p in ("float32", "float64")}
    assert found["most float32"] < 1e-12 < 1e-8 < found["most float64"]
    assert f"{claims.power(found['most float32'])} in float32" in text
    inside = {name: [0.5] * 4 for name in shown.arrays if name.endswith("image")}
    half = inside | {"least float32 image": [-1.0, 2.0, 0.0, 1.0]}
    for images, share in ((inside, "0 %"), (half, "0 to 50 %")):
        made = replace(shown, arrays={**shown.arrays, **images})
        assert f": {share} of the pixels of the final images" in claims.outside(made)
    assert ": 47 to 58 % of" in claims.outside(shown)


def test_the_paper_contradicts_its_own_errors() -> None:
    text = claims.error_range(record("claims"))
    assert "own Table 1 gives errors of 1.55 to 5.57 %, and not 2 to 7 %" in text


def test_the_long_descents() -> None:
    """Four of them, each with an end; the share of the way that came late is a percentage."""
    shown = record("long-descent")
    rows = body(claims.long_ends(shown))
    assert len(rows) == 4 and {row[2] for row in rows} <= set(claims.ENDS.values())
    for rule in claims.SOURCES:
        for precision in ("float32", "float64"):
            assert claims._late_share(shown, rule, precision) <= 100
    text = claims.long_in_words(shown)
    assert text.startswith("All 4 longer runs of Adam")
    assert claims.long_figure(shown).axes


def test_descents_that_do_not_arrive() -> None:
    """The sentence counts those that do, and says how far the others still moved."""
    kinds = {"least": ("reached", 50), "most": ("steps", 100)}
    rows = tuple(
        Row(
            n,
            "count",
            None,
            "iterations",
            0,
            setting={"rule": rule, "precision": "float32", "ended": e},
        )
        for rule, (e, n) in kinds.items()
    )
    arrays = {
        "most float32 moved": [0.0, 0.1, 0.4],
        "most float32 iterations": [0.0, 10.0, 100.0],
    }
    text = claims.long_in_words(
        Record("saturating", "long-descent", "quick", {}, (0,), rows, arrays)
    )
    assert text.startswith("1 of 2 longer runs of Adam")
    assert "Starting from the most confident source in float32, Adam took all 100 steps" in text
    assert text.endswith("float32: 75 %.")


# Today.


def test_all_attacks_together_leave_least() -> None:
    """Per image the worst case: no attack inside the range of pixels leaves less."""
    shown = record("critique")
    rows = body(today.clipped_attacks(version("critique")))
    assert [row[0] for row in rows] == list(today.CLIPPED.values())
    together = numbers(" ".join(rows[-1][1:]))
    for row in rows[:-1]:
        if all(row[1:7]):  # of the MLPs: the CNN's rows rest on different images
            assert all(
                a <= b + 0.05 for a, b in zip(together[:6], map(float, row[1:7]), strict=True)
            )
    assert len(body(today.free_attacks(version("critique")))) == len(today.FREE)
    text = today.answer(shown)
    assert text.startswith(
        "No: if all attacks are tried, the saturated networks classify no attacked"
    )
    some = [
        replace(row, value=0.4)
        if row.setting.get("reading") == "worst" and row.setting["method"] == "saturated"
        else row
        for row in shown.rows
    ]
    assert "classify at most 0.4 % of" in today.answer(replace(shown, rows=tuple(some)))
    assert "float64 gradients alone repair FGSM only on the ReLU MLP." in text
    for reading in ("float64", "float64, clipped"):
        relu, sigmoid = (
            mean(shown, "accuracy", network=network, method="saturated", reading=reading)
            for network in ("relu-mlp", "sigmoid-mlp")
        )
        assert relu < today.FEW < 40 < sigmoid
    pgd = max(
        mean(shown, "accuracy", network=network, method="adversarial", reading="pgd")
        for network in names.NETWORKS
    )
    assert f"is at most {pgd:.1f} %" in today.trained_on_fgsm(shown) and pgd < 1


def test_half_way_sizes() -> None:
    """All attacks together need the smallest; the vanilla network's is once its own."""
    rows = body(today.alone(version("critique")))
    together = [float(cell) for cell in rows[-1][1:]]
    for row in rows[:-1]:
        for cell, least in zip(row[1:], together, strict=True):
            if cell and not cell.startswith("over"):
                assert float(cell) >= least - 5e-4
    rows = body(today.summary(version("critique")))
    assert all(row[-1] == "1.00" for row in rows if row[0].endswith("vanilla"))
    text = today.zero_gradients(record("critique"))
    assert "zero for 66.1 (28.9" in text and "78.9 (76.9" in text
    assert text.endswith("In float64 it is zero for none of the images of any network.")
    text = today.gains(record("critique"))
    assert text.count("\n- ") == len(names.NETWORKS) and text.count("Sigmoid MLP: 1.05") == 1


def test_fgsm_beside_stronger_attacks() -> None:
    """A row per network, in which no attack together with others leaves more than it does alone."""
    rows = body(today.summary(version("critique")))
    assert len(rows) == len(today.ALL)
    for row in rows:
        assert all(ordered(cell) for cell in row[2:])
        assert numbers(row[3])[0] <= numbers(row[2])[0] + 0.05
    text = today.each_network(record("critique"))
    assert "float32, whose images may leave [0, 1]. The second is under all attacks, whose" in text
    assert "30 images per seed" in text and text.count("\n- ") == len(names.NETWORKS)
    bullets = [numbers(line) for line in text.splitlines() if line.startswith("- ")]
    assert max(each[-1] for each in bullets) == 0
    assert all(low <= kept <= high for kept, low, high, _ in bullets)
    assert "rest on 30 images per seed" in today.summary(version("critique")).markdown


def test_reproduced_predictions_of_ours_speak_against_the_paper() -> None:
    text = today.reasons()
    assert text.startswith(
        "A prediction of ours speaks against the paper if it holds. 3 of our 4 predictions hold "
        "(1 is inconclusive), and 3 of 3 criteria that we added after the runs. All together: 6 *"
    )
    assert "paper's setting" not in text and "These comparisons are inconclusive:" in text
    assert body(overview.claims())[-2][1] == f"No. {today.held()}"


def test_networks_trained_on_fgsm_resist_only_one_step() -> None:
    """FGSM succeeds less often than random signs, but on the CNN not if images are clipped, and PGD
    succeeds nearly always.
    """
    text = table1.overfitted(record("table-1")).replace("[0, 1]", "").replace(",", "")
    before, cnn, rest = text.partition(" On the CNN clipping to  reverses")
    count, networks, single, images, signs = numbers(before)
    after, random, steps, left = numbers(rest)
    assert cnn and after < random and (count, networks) == (2, 3)
    assert single > signs > 50 > 1 > left and (images, steps) == (1000, 20)


def test_training_on_fgsm_fails_only_at_a_larger_radius() -> None:
    """Other networks of the book, by radius, and with a random start."""
    small, _, large, _, started, _ = numbers(table1.elsewhere().split("with the same eps.")[1])
    assert small > 80 > 1 > large and started > 80


def test_questions_to_each_network() -> None:
    """Four per network, of two percentages each; the figure has a panel per network."""
    shown = record("critique")
    rows = body(today.checks(shown))
    assert [len(row) for row in rows] == [5] * 9
    for row in rows:
        for cell in row[1:]:
            assert len(numbers(cell.replace("*", ""))) == 2
    assert len(today.curves(shown).axes) == 3


# The figures.


def test_figure_1() -> None:
    """Controls have one seed; longer training lies between vanilla and saturated."""
    shown = record("figure-1")
    rows = body(figure1.layers(shown))
    assert len(rows) == 7 and all(ordered(cell) for row in rows for cell in row[1:5])
    assert all(float(cell) > 0 for row in rows for cell in row[5:])
    vanilla, longer, saturated = numbers(figure1.epochs(shown))[:3]
    assert vanilla < longer <= saturated
    assert len(figure1.weights(shown).axes) == len(figure1.shapes(shown).axes) == 6
    text = figure1.controls(shown)
    seed, plain, long, most = numbers(text)
    assert seed == 0 and plain < long < most and most == 9.3  # not the mean over the seeds
    of = {"network": "relu-mlp", "method": "saturated, stronger"}
    stronger = [mean(shown, "kurtosis", layer=layer, **of) for layer in (1, 2)]
    assert stronger[0] < long and stronger[1] < 0.5, "the page says hardly any heavy tails"


def test_the_answer_of_figure_1() -> None:
    """Layer 3 of the ReLU network is not ahead with every seed; the example is in the table."""
    rows = body(figure1.orders(version("figure-1")))
    assert len(rows) == 6 and all(ordered(cell) for row in rows for cell in row[2:4])
    whole = [row for row in rows if row[4] == "5 of 5 seeds"]
    assert rows[-1] not in whole
    first = tuple(row for row in record("figure-1").rows if row.seed in (0, None))
    one = replace(record("figure-1"), rows=first, seeds=(0,))
    assert {row[4].partition(" of ")[2] for row in body(figure1.orders(version_of(one)))} == {
        "1 seed"
    }
    text = figure1.answer(record("figure-1"))
    assert len(whole) == 5
    assert text.startswith("Yes, in all layers of the sigmoid MLP and in 2 of 3 layers of the ReLU")
    saturated, vanilla = numbers(figure1.largest_gain(record("figure-1")))[-2:]
    assert [vanilla, saturated] == [numbers(cell)[0] for cell in rows[1][2:4]]


@pytest.mark.parametrize("profile", ["quick", "paper"])
def test_epochs_are_those_of_the_settings(profile: str) -> None:
    """The page computes them from the same numbers."""
    trained = own.compared(profile, 0)
    epochs = [
        round(trained[network, method].recipe.steps / own.EPOCH[profile])
        for network in names.MLPS
        for method in ("vanilla", "vanilla, longer", "saturated", "saturated, stronger")
        if (network, method) in trained
    ]
    assert numbers(figure1.epochs(replace(record("figure-1"), profile=profile))) == epochs


def test_a_histogram_in_standard_deviations_keeps_its_area() -> None:
    """Density times width does not change when both are rescaled."""
    shown = record("figure-1")
    areas = []
    for in_deviations in (False, True):
        bars = figure1._bars(shown, "sigmoid-mlp", "saturated", 1, in_deviations)
        areas.append(sum(bars.density) * (bars.high - bars.low))
    assert areas[0] == pytest.approx(areas[1])


def test_figure_2() -> None:
    """Shares fall with the size that they lie beyond."""
    shown = record("figure-2")
    for row in body(figure2.layers(shown)):
        beyond = [numbers(cell)[0] for cell in row[4:]]
        assert all(a >= b for a, b in pairwise(beyond))
    assert len(figure2.preactivations(shown).axes) == 12
    assert 0 < figure2._responding(shown, "relu-mlp", "vanilla", 1) < 100


def test_the_answer_of_figure_2() -> None:
    """Nearly all units of one sigmoid network are saturated; numbers are of the tables."""
    shown = record("figure-2")
    least, most = numbers(figure2.answer(shown))
    active = numbers(figure2.active_units(shown))
    assert most < 1 and least > 97
    rows = body(figure2.orders(version("figure-2")))
    assert figure2.answer(shown).startswith("Yes: ")
    assert [row[1] for row in rows] == ["larger"] * 3 + ["lower"] * 3 + ["fewer"] * 3
    assert all(ordered(cell) for row in rows for cell in row[2:])
    shares = [[numbers(row[column])[0] for row in rows[6:]] for column in (3, 2)]
    ends = [end for each in shares for end in (min(each), max(each))]
    assert active == [round(end) for end in ends]
    assert figure2.answer(shown).count("fewer ReLU units are active") == 1
    assert numbers(figure2.longer_sigmoid(shown)) == [100, 39.5, 97.8, 0, 1745]
    text = figure2.equally_long(shown)  # in layer 1 the difference is smaller than between seeds
    assert "range over its seeds, only in layer 2. The" in text and "32 to 75 %" in text


def test_findings_of_the_overview_follow_the_records() -> None:
    """Longer training explains less than half of the change in layer 2 of the ReLU network."""
    first, second, third = figure2.explained_by_length()
    assert second == pytest.approx(100 * (8.41027 - 0.305441) / (25.3828 - 0.305441))
    assert second < 50 < first < third < 100
    text = figure1.tails()
    assert text.startswith("In 5 of 6 layers with every seed. In layer 3 of the ReLU MLP the sat")
    assert "ReLU network 1.75 values are large" in figure4.relu_values()
    assert figure6.heavy_without_gain(record("figure-6")) == (
        "in layer 2 of the ReLU MLP the weights have heavy tails (excess kurtosis 3.0), but the "
        "ratio grows by only 2 %"
    )


def test_the_answer_of_the_overview() -> None:
    """One step in float32 and in float64, and many steps with a repaired gradient, seed by seed."""
    shown = record("table-1")
    text = overview.gradients_compared(shown)
    for name in ("float32", "float64", "[0, 1]"):
        text = text.replace(name, "")
    eps, high, seeds, least, most, low, bottom, top, there, images, *rest = numbers(text)
    *wide, fewest, largest, down, up, steps = rest
    assert eps == shown.parameters["eps"]
    assert (high, seeds, low, steps) == (3, 5, 2, 20) and least < most and bottom < top < 70
    assert (images, there) == (shown.parameters["controls"], 94.4)
    assert bottom > max(wide) > 10 > up > down
    assert min(wide) > 50, "the page says that FGSM in float64 fails on more than half"
    of = {"network": "sigmoid-mlp", "method": "saturated"}
    clipped = values(shown, "accuracy", reading="float32, clipped", **of)
    assert [fewest, largest] == [min(clipped), max(clipped)] and fewest < bottom
    assert numbers(overview.answer(shown))[:2] == [fewest, up]
    assert len(overview.attacks_figure(shown).axes) == 3


def test_figure_7_in_words() -> None:
    """Distances between classes grow by orders of magnitude, but not relative to those within."""
    shown = record("figure-7")
    low, high = numbers(figure7.further(shown))
    assert 10 < low < high
    least, most = numbers(figure7.answer(shown))[:2]
    shares = [
        100 * (within / between - 1)
        for layer in figure7.LAYERS
        for between, within in [
            (figure7._ratio(shown, name, layer) for name in ("between", "within"))
        ]
    ]
    assert 0 < least <= most < 30 and "6 to 21 % further apart than" in figure7.answer(shown)
    assert min(shares) == pytest.approx(least, abs=3) and max(shares) == pytest.approx(most, abs=3)
    _, ours, longer, stronger = numbers(figure7.controls(shown))
    assert ours > longer > 1 > stronger
    assert ", but also after longer training alone (one seed). " in figure7.answer(shown)
    longer_runs = [row for row in shown.rows if row.setting.get("method") == "vanilla, longer"]
    assert len({row.seed for row in longer_runs}) == 1
    text = figure7.equally_long(shown)
    assert "It is 0.68, 0.44 and 0.23 in the vanilla network with longer training" in text
    rows = [replace(row, value=0) if "longer" in str(row.setting) else row for row in shown.rows]
    assert "longer training" not in figure7.answer(replace(shown, rows=tuple(rows)))


@pytest.mark.parametrize("item", ["figure-3", "figure-7"])
def test_dissimilarity(item: str) -> None:
    """Ratios are of the two numbers before them; a pattern holds in at most all seeds."""
    shown = record(item)
    for network_layer, _, _, ratio in body(dissimilarity.layers(shown)):
        method, title = network_layer.rsplit(", ", 1)
        layer = next(k for k, v in dissimilarity.LAYERS.items() if v == title)
        of = {"method": method, "layer": layer}
        parts = zip(*(values(shown, n, **of) for n in ("within", "between")), strict=True)
        exact = values(shown, "within over between", **of)
        if layer != "softmax":  # where both can be 0 to six digits
            assert exact == pytest.approx([a / b if b else 0 for a, b in parts], rel=1e-4, abs=1e-9)
        assert numbers(ratio)
    rows = body(dissimilarity.patterns(shown))
    assert [row[0] for row in rows if not row[1]] == [
        "**within near zero**",
        "**grows with depth**",
        "**last layer: larger between classes with saturation**",
    ]
    decided = [row[3:] for row in rows if any(row[3:])]
    assert len(decided) == (3 if item == "figure-3" else 0)  # the paper says it of Figure 3 only
    for row in rows:
        if row[1]:
            held, seeds = numbers(row[2])
            assert 0 <= held <= seeds == len(shown.seeds)


def test_matrices_share_a_scale_or_have_their_own() -> None:
    """Colours of two panels can be compared in the first figure only."""
    shown = record("figure-3")
    shared, own_scales = dissimilarity.matrices(shown), dissimilarity.own_scales(shown)
    limits = [
        {image.get_clim() for axis in figure.axes for image in axis.images}
        for figure in (shared, own_scales)
    ]
    assert len(limits[0]) == 1 < len(limits[1])


def test_the_answer_of_figure_3() -> None:
    """Its numbers are those of the tables; one class is not close together."""
    shown = record("figure-3")
    rows = body(dissimilarity.orders(version("figure-3")))
    means = [[numbers(cell)[0] for cell in row[2:]] for row in rows]
    saturated, vanilla, *shares = numbers(figure3.hidden_layers(shown))
    assert [s > v for v, s in means] == [True, False, False]
    assert numbers(figure3.answer(shown))[:2] == [1, len(rows) - 1]  # without the last layer
    assert [vanilla, saturated] == pytest.approx(means[1], abs=0.005)
    within = [
        mean(shown, "within over between", method=method, layer="1")
        for method in ("vanilla", "saturated")
    ]
    assert shares == pytest.approx([100 * share for share in within], abs=0.5)
    assert len(shares) == 2 and max(shares) > 100 * shown.parameters["near_zero"]
    assert "are not close together" in figure3.answer(shown)
    assert "In 2 of 5 saturated networks" in figure3.collapsed(shown)
    assert "saturated, layer 3* of {numref}`tab-figure-3-layers`" in figure3.collapsed(shown)
    *_, vanilla, saturated, longer = numbers(figure3.longer(shown).partition(" With the ")[0])
    assert vanilla < longer < saturated
    assert "these three numbers are 0.194, 0.199 and 0.198." in figure3.longer(shown)
    # The softmax reverses the order of the sigmoids, with every seed.
    text = figure3.with_softmax(shown)
    saturated, vanilla, more = numbers(text)[:3]
    assert saturated > vanilla and more == 2 and "with 5 of 5 seeds" in text
    *_, sigmoids, softmax = body(dissimilarity.patterns(shown))
    assert sigmoids[2].startswith("0 of") and softmax[2] == "5 of 5"


def test_figure_4() -> None:
    """A row per walk; shares fall with the threshold; counts are of ten singular values."""
    shown = record("figure-4")
    walks = 2 * len(shown.parameters["pairs"])
    assert len(body(figure4.peaks(shown))) == walks
    rows = body(figure4.thresholds(shown))
    assert len(rows) == walks
    for row in rows:
        flat = [numbers(cell)[0] for cell in row[1:4]]
        assert flat == sorted(flat, reverse=True)
        assert all(0 <= n <= 10 for cell in row[4:] for n in numbers(cell))
    even, resolved = numbers(figure4.peaks_in_words(shown))[:2]
    assert resolved > even > 1
    saturated, vanilla = (
        sum(values(shown, "peak", grid="even", method=m)) for m in ("saturated", "vanilla")
    )
    assert even == round(saturated / vanilla)
    assert all(0 < n < 1 for n in numbers(figure4.other_peaks(shown)))
    text = figure4.singular_values(shown)
    flat, still, single, several, more_flat, same_still, one, same_several = numbers(text)
    assert 100 > flat > still > 0 and 10 > several > 2 > single > 1
    assert single == 1.05  # 1.1 would count four paths of five seeds twice
    # Added points raise the peaks of the saturated networks, and change nothing in the others.
    assert 100 > more_flat > flat and one == 1 and (same_still, same_several) == (still, several)
    low, high, least, most = numbers(figure4.still(shown).partition("below 0.3")[2])[:4]
    assert least < most < low < high
    assert figure4.walks(shown).axes


def test_the_answer_of_figure_4_counts_with_added_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """Evenly spaced points miss jumps. With added points one value is large on every path of the
    sigmoid network, but not of the ReLU network.
    """
    shown, of = record("figure-4"), {"grid": "resolved", "method": "saturated"}
    counts, relu = (
        values(each, "large singular values", threshold=figure4.LARGE, **of)
        for each in (shown, record("figure-4-relu"))
    )
    shares = values(shown, "flat share", threshold=figure4.FLAT, **of)
    assert counts == [1.0] * 20 and max(relu) > 1
    text = figure4.answer(shown)
    assert text.startswith("Mostly yes: ") and "one large singular value at each peak" in text
    assert numbers(text)[:2] == [round(100 * fmean(shares)), fmean(relu)]
    # Only the counts with added points decide, on every path of both networks.
    counted = {"name": "large singular values"} | of
    two = [
        replace(row, value=2)
        if counted.items() <= {"name": row.name, **row.setting}.items()
        else row
        for row in shown.rows
    ]
    assert figure4.answer(replace(shown, rows=tuple(two))).startswith("No: ")
    monkeypatch.setattr(figure4, "record_of", lambda item: shown)
    assert figure4.answer(shown).startswith("Yes: ")


def test_medians_of_singular_values_that_are_nearly_zero() -> None:
    """Then every value exceeds twice its median, so that the counts say little."""
    text = figure4.doubled_in_words(record("figure-4"))
    zeros, of = numbers(text.partition("seed 0, ")[2])[:2]
    assert of == 40 and zeros > 30 and "vanilla network none of the medians is" in text
    rows = [[[0.0, 0.0, 5.0], [1.0, 1.0, 9.0]]]
    made = Record("saturating", "figure-4", "quick", {}, (0,), (), {"vanilla/singular": rows})
    assert figure4._nearly_zero_medians(made, "vanilla") == "1 of 2"


def test_the_relu_network_is_judged_by_the_two_patterns_of_figure_4() -> None:
    """Each pattern holds or not by itself, and one network is not called several."""
    rows = [
        Row(value, unit, None, name, 0, setting={"method": method, "grid": "even", "threshold": at})
        for name, unit, at, values in (
            ("flat share", "fraction", 0.01, (0.3, 0.6)),
            ("large singular values", "count", 0.5, (2, 3)),
        )
        for method, value in zip(("vanilla", "saturated"), values, strict=True)
    ]
    text = figure4.relu(Record("saturating", "figure-4-relu", "paper", {}, (0,), tuple(rows)))
    assert "one network for each" in text and "60 % of a path" in text
    assert "30 %" in text
    assert "So the first pattern holds. Not fewer singular values" in text
    assert "but on only 0 of 1 paths is exactly one value large, so the second" in text
    one = tuple(replace(row, value=1) if row.name.startswith("large") else row for row in rows)
    text = figure4.relu(Record("saturating", "figure-4-relu", "paper", {}, (0,), one))
    assert "and on 1 of 1 paths is exactly one value large, so the second pattern holds" in text
    text = figure4.relu(record("figure-4-relu"))
    assert "Fewer singular values are large" in text
    assert "but on only 1 of 4 paths is exactly one value large, so the second" in text
    assert "second pattern does not hold. With added points all counts are the same." in text
    verdicts = {entry.id: entry.verdict for entry in entries("saturating", "figure-4")}
    of = "saturating/figure-4/relu/singular-values"
    assert verdicts[f"{of}-saturated"] == "not reproduced"


def test_with_added_points_one_value_is_large_on_the_path_without_a_verdict() -> None:
    """The reason for the inconclusive verdict says so."""
    of = {"threshold": figure4.LARGE, "method": "saturated", "start": 1, "end": 7}
    even, resolved = (
        values(record("figure-4"), "large singular values", grid=grid, **of)
        for grid in ("even", "resolved")
    )
    assert even.count(1) == 4 and resolved == [1.0] * 5
    lines = {entry.id: entry for entry in entries("saturating", "figure-4")}
    line = lines["saturating/figure-4/s1-t7/singular-values-saturated"]
    assert line.verdict == "inconclusive"
    assert line.reason.endswith("the claim holds on this path with all five seeds")


def test_the_computed_peak_can_miss_the_jump_of_the_probabilities() -> None:
    """A peak without a change of class is not where the class changes."""
    t = [[0.0, 0.1, 0.2, 0.3, 0.4]]
    arrays = {
        "saturated/t": t,
        "saturated/length": [[0.0, 0.0, 0.0, 0.0, 9.0]],
        "saturated/probabilities": [[[1.0, 1.0, 0.0, 0.0, 0.01], [0.0, 0.0, 1.0, 1.0, 0.99]]],
    }
    made = Record("saturating", "figure-4", "quick", {}, (0,), (), arrays)
    assert figure4.jumps_apart(made) == [pytest.approx(0.2)]
    near = arrays | {"saturated/length": [[0.0, 9.0, 0.0, 0.0, 0.0]]}
    assert figure4.jumps_apart(replace(made, arrays=near)) == [0]
    shown = record("figure-4")
    apart = figure4.jumps_apart(shown)
    assert [each > 0.05 for each in apart] == [True, False, True, False]
    text = figure4.missed_jumps(shown)
    assert "2 of 4 paths, 0.10 to 0.24" in text and "one on 20 of 20 paths" in text


def test_a_negative_kurtosis_contradicts_a_large_positive_one() -> None:
    """Layer 3 of the ReLU network is negative with every seed; no other layer is."""
    shown = record("figure-1")
    rows = [
        row
        for row in shown.rows
        if row.name == "kurtosis" and row.setting["method"] == "saturated" and row.target
    ]
    below = {
        (row.setting["network"], row.setting["layer"])
        for row in rows
        if all(each.value < 0 for each in rows if each.setting == row.setting)
    }
    assert below == {("relu-mlp", 3)}
    text = figure1.negative(shown)
    assert text.startswith("In layer 3 of the ReLU MLP") and text.count("every seed") == 1
    positive = tuple(replace(row, value=abs(row.value)) for row in shown.rows)
    assert figure1.negative(replace(shown, rows=positive)) == ""


def test_prototypes_that_are_not_orthogonal_are_easier_to_attack() -> None:
    """For vectors of length 1 the exact smallest eps is 1 minus the cosine times the formula."""
    generator = torch.Generator().manual_seed(0)
    w = torch.randn(2, 5000, generator=generator, dtype=torch.float64) + 0.5
    w1, w2 = w / w.norm(dim=1, keepdim=True)
    cosine = (w1 @ w2).item()
    direction = (w2 - w1).sign()
    exact = (w1 @ (w1 - w2)) / (direction @ (w2 - w1))
    formula = float(epsilon_min(w1, w2))
    assert formula / exact.item() == pytest.approx(1 / (1 - cosine))
    shares = {"mean": [formula], "cosine": [cosine]}
    orthogonal = {"mean": [exact.item()], "cosine": [0.0]}
    assert pearson.exact_gains(orthogonal, shares) == [pytest.approx(0, abs=1e-6)]
    shown = record("figure-6")
    text = figure6.not_orthogonal(shown)
    assert "In layer 2 of the ReLU MLP the cosine is 0.08" in text
    assert "the gain is -5 % instead of 16 %" in text.replace("−", "-")
    assert figure6.smaller(shown) == ["layer 3 of the ReLU MLP"]
    # The row of the record is the smallest of these gains, without a verdict.
    (row,) = (r for r in shown.rows if r.seed == 0 and str(r.target).endswith("every-layer"))
    assert row.value == pytest.approx(figure6._exact(shown)["relu-mlp", 3][0], abs=1e-3)


def test_no_verdict_rests_on_two_norms_of_one_derivative() -> None:
    found = [e for e in entries("saturating", "figure-4") if "length-follows" in e.id]
    assert len(found) == 4 and {e.verdict for e in found} == {"no printed number"}


def test_growth_of_singular_values_is_that_of_the_verdict() -> None:
    """The sentences and the verdict count at the same points."""
    shown = record("figure-4")
    for method in names.COMPARED:
        target = f"saturating/figure-4/grown-singular-values-{method}"
        decided = of_target(shown, target)
        assert figure4._grown(shown, method) == pytest.approx(sum(decided) / len(decided))
        assert f"{figure4._grown(shown, method):.1f}" in figure4.doubled_in_words(shown)


@pytest.mark.parametrize("item", ["figure-5", "figure-8"])
def test_the_90_searches_all_end(item: str) -> None:
    """Found, stalled, or at the limit: 90 in each seed; and the counts on the page."""
    shown = record(item)
    rows = body(lbfgs_pairs.searches(shown))
    assert all(ordered(cell) for row in rows for cell in row[1:] if cell)
    for method in names.COMPARED:
        of = {"network": "sigmoid-mlp", "method": method, "reading": "float32"}
        ends = zip(*(values(shown, n, **of) for n in ("found", "stalled", "limit")), strict=True)
        assert all(sum(each) == lbfgs_pairs.PAIRS for each in ends)
    page = figure5 if item == "figure-5" else figure8
    longer = figure5.networks(shown) if item == "figure-5" else figure8.successes(shown)
    assert page.answer(shown).startswith("Yes") and numbers(longer)[3] == 90
    assert "L-BFGS" not in page.answer(shown)  # a line may break after its plain hyphen
    assert len(lbfgs_pairs.found_images(shown).axes) == 2


def test_what_figures_5_and_8_say() -> None:
    """Counts are the record's, and so are the lengths of the straight lines."""
    five, eight = record("figure-5"), record("figure-8")
    of = {"network": "sigmoid-mlp", "reading": lbfgs_pairs.STRAIGHT}
    for shown in (five, eight):
        vanilla, saturated = (
            mean(shown, "distance, found", method=method, **of) for method in names.COMPARED
        )
        text = lbfgs_pairs.straight(shown)
        assert f"{vanilla:.1f}" in text and f"{saturated:.1f}" in text
        assert f"{saturated / vanilla:.2f} times" in text
    (found,) = set(of_target(five, "saturating/figure-5/relu-saturated/successes"))
    assert numbers(figure5.relu(five))[0] == found
    assert numbers(figure5.answer(five))[0] == 20
    shares = [100 * count / lbfgs_pairs.PAIRS for count in (8, 20)]
    assert numbers(figure8.answer(eight))[:2] == [round(share) for share in shares]
    assert numbers(figure8.successes(eight))[0] == 8
    assert len(numbers(figure5.stalled(five))) >= 5
    assert numbers(figure8.stopped(eight))[0] <= lbfgs_pairs.PAIRS
    # With every seed at least as many runs succeed without tolerances, and more in float64. Some
    # runs take no step without tolerances too, so the tolerances do not explain all of them.
    of = {"network": "sigmoid-mlp", "method": "saturated"}
    plain, free, wide = (
        values(eight, "found", reading=each, **of)
        for each in (lbfgs_pairs.MAIN, "float32, no tolerances", "float64, no tolerances")
    )
    assert all(a <= b < c for a, b, c in zip(plain, free, wide, strict=True)) and plain != free
    idle, still = (
        values(eight, "stalled at once", reading=each, **of)
        for each in (lbfgs_pairs.MAIN, "float32, no tolerances")
    )
    assert sum(map(bool, idle)) == 4 and 0 < sum(still) < sum(idle)
    found = numbers(figure8.stopped(eight))
    assert found[0] == round(fmean(idle)) and found[4] == round(fmean(still))
    assert "in the paper: 5" in figure8.successes(eight)
    assert "our own succeeds for 17, scipy succeeds for 12" in lbfgs_pairs.implementations()
    rows = body(lbfgs_pairs.bounds())
    assert [row[0].split()[-1] for row in rows] == list(names.COMPARED)
    assert all(ordered(cell) for row in rows for cell in row[1:])
    assert "5 of 5 seeds" in lbfgs_pairs.bounds_in_words()
    text = figure8.nearer(eight)
    assert "19 % nearer (nearer with 5 of 5 seeds)" in text


def test_figure_6() -> None:
    """The gain of the Gaussian over itself is zero, and gains grow with the kurtosis."""
    shown = record("figure-6")
    rows = body(figure6.gains(shown))
    gains = [numbers(row[3])[0] for row in rows]
    assert gains[0] == 0 and gains == sorted(gains)
    assert rows[-1][0] == "infinite"
    assert len(body(figure6.own_weights(shown))) == 6
    best = max(row.value for row in shown.rows if row.name == "gain")
    assert best < 1000 and numbers(figure6.largest_gain(shown))
    assert len(figure6.ratios(shown).axes) == 2
    text = figure6.answer(shown)
    assert "VII weights, its measure of robustness increases by at most 22 % (almost 40" in text
    # A heavier tail has the same, infinite kurtosis and exceeds this limit.
    assert pearson.student_ratio(4) == pytest.approx(pearson.expected_ratio(1e12))
    assert "an increase of 48 %" in figure6.heavier()
    drawn = torch.distributions.StudentT(3.0).sample((2, 2_000_000))
    ratio = drawn[0].square().mean() / ((drawn[0] - drawn[1]).abs().mean() * drawn[0].abs().mean())
    assert pearson.student_ratio(3) == pytest.approx(ratio.item(), rel=0.1)
    assert text.startswith("They make it more robust, but less than the paper says:")
    assert "300 %" in figure6.increases(shown)


def test_the_layers_of_table_2_add_up() -> None:
    """Shapes and counts are those of the network; the last row is the sum of the others."""
    *rows, last = body(table2.layers(version("table-2")))
    net = CNN()
    trained = [row for row in rows if row[3] != "0"]
    outputs = net.preactivations(torch.zeros(1, 1, 28, 28))
    for row, layer, output in zip(trained, net.children(), outputs, strict=True):
        assert int(row[3].replace(",", "")) == sum(w.numel() for w in layer.parameters())
        assert [int(n) for n in row[2].split(" x ")] == list(output.shape[1:])
    for column, kind in ((3, "same"), (4, "valid")):
        counts = [int(row[column].replace(",", "")) for row in rows]
        whole = int(last[column].replace(",", ""))
        assert sum(counts) == whole
        assert [whole] == of_target(record("table-2"), f"{table2.CNN}/parameters-{kind}-padding")


def test_table_2_has_both_numbers_in_every_cell() -> None:
    """Equal ones; the answer counts them, and the figure has a row per layer with parameters."""
    shown = record("table-2")
    cells = [
        pair for row in body(table2.layers(version("table-2")))[:-1] for pair in row[1].split(", ")
    ]
    assert len(cells) == 8
    for cell in cells:
        there, ours = numbers(cell.replace("*", " "))
        assert there == ours
    assert numbers(table2.paddings(shown)) == [2, 3274634, 1111946]
    assert table2.answer(shown).startswith(
        "Yes: our network agrees with all 8 counts in the paper's table."
    )
    (axis,) = table2.parameters(shown).axes
    assert len(axis.get_yticks()) == 4 and axis.get_xscale() == "log"


def test_the_overview_counts_every_verdict_once() -> None:
    """Each line of the ledger stands under one claim, or in the last row. A setting, and a network
    without the penalty, decide no claim.
    """
    rows = body(overview.claims())
    lines = entries("saturating")
    for line in lines:
        deciding = [claim for claim in overview.CLAIMS if claim.decides(line.id)]
        assert len(deciding) <= 1
        assert not deciding or (
            line.target.tally != "setting" and "table-1/cnn-vanilla" not in line.id
        )
    assert all(any(claim.decides(line.id) for line in lines) for claim in overview.CLAIMS)
    assert sum(int(n) for row in rows for n in numbers(row[2])) == sum(
        not entry.same_as for entry in lines
    )
    assert "setting: 27 reproduced" in rows[-1][2]
    rest = undecided("saturating", overview.CLAIMS)
    items = {"table-1", "table-2", "figure-6", "figure-7", "text-4", "text-8"}
    assert {line.item for line in rest} == items
    assert rows[-1][1] == (
        "18 of 18 settings that the paper states agree, and 9 of 15 measured numbers. 9 of 9 "
        "checks of formulas that we derived ourselves hold"
    )
    (*_, last) = rest
    other = [replace(last, judgement=replace(last.judgement, verdict="not reproduced"))]
    assert "9 of 10 checks of formulas" in overview._rest_found([*rest, *other])
    assert not any("{" in row[1] for row in rows) and all(row[1] for row in rows)
    assert "[Stronger attacks](./today.ipynb)" in rows[-2][3]


def test_settings_tried_are_in_the_record() -> None:
    """So that a caption of three scales is of three scales."""
    assert settings(record("table-1-search"), "accuracy", "how", varied="CNN, lambda times")
