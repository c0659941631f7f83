"""The first chapter: its pages run, their code does what the package does, solutions are right.

The cells of a page are run once, in their order and in one namespace. All pages share a store, so
that each network is trained once.
"""

import inspect
import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robustbook import ledger, notebooks
from robustbook.attacks import carlini_wagner, deepfool, fgsm, pgd
from robustbook.attacks.norms import project
from robustbook.chapters.basics import (
    gradient_masking,
    many_steps,
    networks,
    one_gradient,
    randomised,
    threat_models,
    verdicts,
)
from robustbook.defenses import ensemble
from robustbook.measures import diagnose
from robustbook.measures.answers import gradients

from .reading import body, numbers

Ran = Callable[[str], dict[str, Any]]
pytestmark = pytest.mark.slow  # running a page takes about five seconds


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Return a function that runs a page's cells once and returns the names they define. Cells
    that only draw are left out; nbval runs them.
    """
    store = str(tmp_path_factory.mktemp("basics"))
    spaces: dict[str, dict[str, Any]] = {}

    def run(name: str) -> dict[str, Any]:
        if name not in spaces:
            space: dict[str, Any] = {}
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("ROBUSTBOOK_STORE", store)
                for cell in notebooks.stored(f"basics/{name}", ".ipynb").cells:
                    drawn = "remove-input" in cell.metadata.get("tags", [])
                    if cell.cell_type == "code" and not drawn:
                        exec(cell.source, space)
            spaces[name] = space
        return spaces[name]

    return run


def _page(name: str) -> str:
    """Return the text of a page's source."""
    return (notebooks.ROOT / "notebooks" / "basics" / f"{name}.md").read_text(encoding="utf-8")


# The networks


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(ValueError, match="kind must be one of plain, adversarial, masked, noisy"):
        networks.network("strong")


def test_digits_are_test_images_in_the_unit_interval() -> None:
    images, labels = networks.digits(7)
    assert images.shape == (7, 1, 28, 28) and labels.shape == (7,)
    assert images.min() == 0 and images.max() == 1
    assert torch.equal(images, networks.digits()[0][:7])


# One image, one gradient


def test_fgsm_is_the_packages(ran: Ran) -> None:
    page = ran("one_gradient")
    net, images, labels = page["net"], page["images"], page["labels"]
    for eps in (0.01, 0.3):
        ours = page["fgsm"](net, images, labels, eps)
        assert torch.equal(ours, fgsm(net, images, labels, eps=eps).images)
    assert net(page["x_adv"]).argmax() != page["y"] == net(page["x"]).argmax()


def test_the_slider_starts_where_the_answer_changes(ran: Ran) -> None:
    """The sentence, the sweep and the slider name the same eps and the same digits."""
    shown = ran("one_gradient")["shown"]
    first = next(moved for moved in shown.sweep if not moved.right)
    said = numbers(one_gradient.on_the_image(shown))
    assert said[0] == shown.sweep[0].answer == int(shown.labels[one_gradient.IMAGE])
    assert said[2:4] == [first.eps, first.answer]
    right = ~fgsm(shown.net, shown.images, shown.labels, eps=0.1).found
    clean = shown.net(shown.images).argmax(1) == shown.labels
    accuracies = [round(networks.accuracy(each), 1) for each in (clean, right)]
    assert numbers(one_gradient.answer(shown)) == accuracies and one_gradient.EPS == 0.1
    html = one_gradient.slides(shown).html
    assert html.count('<div class="frame"') == len(shown.sweep) == 16
    assert f'value="{shown.sweep.index(first)}" autocomplete' in html
    for moved in shown.sweep:
        assert np.abs(moved.image - shown.sweep[0].image).max() <= moved.eps + 1e-6


def test_only_the_gradient_does_harm(ran: Ran) -> None:
    shown = ran("one_gradient")["shown"]
    clean, signs, gradient = (float(row[1]) for row in body(one_gradient.controls(shown)))
    assert clean > 90 and clean - signs < 5 and gradient < clean / 2
    titles = [axis.get_title() for axis in one_gradient.ten(shown).axes]
    assert sum(int(said) == k for k, said in enumerate(titles[:10])) >= 8
    assert sum(int(said) != k for k, said in enumerate(titles[10:])) >= 3


def test_solutions_of_one_gradient(ran: Ran) -> None:
    page = ran("one_gradient")
    found = [eps for eps in page["found"] if eps]
    assert max(found) >= 4 * min(found), "the largest eps is several times the smallest"
    assert 1 <= len(page["reached"]) <= 4, "few of nine classes"
    for t in (0, 1):
        t_ = torch.tensor([t])
        ours = page["targeted"](page["net"], page["x"], t_, 0.1)
        package = fgsm(page["net"], page["x"], page["y"], eps=0.1, targets=t_).images
        assert torch.equal(ours, package)
    growths = page["growths"]
    promised, true = growths[page["cross_entropy"], 0.0001]
    assert true == pytest.approx(promised, rel=0.02)
    times = {eps: b / a for (of, eps), (a, b) in growths.items() if of is page["cross_entropy"]}
    assert times[0.001] < 1.2 and 1.6 < times[0.01] < 3 and 50 < times[0.1] < 200
    promised, true = growths[page["attacks"].margin, 0.1]
    assert true == pytest.approx(promised, rel=0.1), "the margin is nearly linear"


def test_the_margin_grows_by_many_small_changes(ran: Ran) -> None:
    shown = ran("one_gradient")["shown"]
    one = slice(one_gradient.IMAGE, one_gradient.IMAGE + 1)
    found = one_gradient.growth(shown.net, shown.images[one], shown.labels[one], one_gradient.EPS)
    assert found.pixel < 0.05 * found.predicted and found.start + found.true > 0
    said = numbers(one_gradient.add_up(shown))
    assert said[0] == round(found.start, 1) and said[3:] == [
        round(found.predicted, 1),
        round(found.true, 1),
    ]


# Threat models


def test_the_projection_is_the_packages(ran: Ran) -> None:
    ours = ran("threat_models")["project"]
    chance = torch.Generator().manual_seed(0)
    x = torch.rand(3, 20, generator=chance)
    x_adv = x + 0.4 * torch.randn(3, 20, generator=chance)
    for norm, eps in ((math.inf, 0.1), (2.0, 0.5), (2.0, 50.0)):
        for one, moved in zip(x, x_adv, strict=True):
            package = project(moved[None], one[None], eps, norm, clip=True)[0]
            torch.testing.assert_close(ours(moved, one, eps, norm), package)


def test_a_permitted_image_is_nearer_than_the_l2_projection(ran: Ran) -> None:
    """The image that the page names: scaling first and clipping then does not find it."""
    page = ran("threat_models")
    x, x_adv = torch.tensor([0.0, 0.5, 1.0]), torch.tensor([0.4, 0.1, 1.4])
    named = torch.tensor([0.141, 0.359, 1.0])
    assert "(0.141, 0.359, 1)" in (notebooks.ROOT / "notebooks/basics/threat_models.md").read_text()
    assert (named - x).norm() <= 0.2
    assert (named - x_adv).norm() < (page["project"](x_adv, x, 0.2, 2) - x_adv).norm()


class Sum(nn.Module):
    """A model of one pixel with logits x and 0.5: class 0 above one half."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x.flatten(1), torch.full((len(x), 1), 0.5)], 1)


def test_a_curve_counts_distances_to_the_boundary() -> None:
    """On a model whose boundary is known, an image survives up to its distance."""
    x = torch.tensor([0.55, 0.65, 0.75, 0.95, 0.45])[:, None, None, None]
    labels = torch.zeros(5, dtype=torch.int64)
    for norm in (math.inf, 2.0):
        found = threat_models.curve(Sum(), x, labels, norm, (0.0, 0.1, 0.2, 0.3))
        assert found == (80.0, 60.0, 40.0, 20.0)


def test_the_curves_fall_and_training_against_attacks_helps(ran: Ran) -> None:
    shown = ran("threat_models")["shown"]
    for norm, of in shown.curves.items():
        for values in of.values():
            assert list(values) == sorted(values, reverse=True) and values[-1] < 15
        middle = len(threat_models.SIZES[norm]) // 2
        assert of["adversarially trained"][middle] > of["plain"][middle] + 10
    said = numbers(threat_models.in_both_norms(shown))
    at = threat_models.SIZES[math.inf].index(0.1)
    assert said[0] == 0.1
    assert said[1:3] == [round(of[at], 1) for of in shown.curves[math.inf].values()]
    said = numbers(threat_models.crossing(shown))
    plain, trained = (list(of) for of in shown.curves[math.inf].values())
    assert said[:3] == [plain[0], 200, trained[0]]
    assert said[3] > said[4] and "too few to rank" in threat_models.crossing(shown)
    assert said[5:] == [0.05, plain[2], trained[2]]
    assert trained[1] <= plain[1] and trained[2] > plain[2]
    legend = threat_models.curves(shown).legends[0].get_texts()
    assert {text.get_text() for text in legend} == {*threat_models.NETWORKS, "guessing"}


def test_sizes_and_clipping(ran: Ran) -> None:
    """No perturbation exceeds its budget, and clipping weakens the attack."""
    shown = ran("threat_models")["shown"]
    (one, many, two) = (list(map(float, row[1:])) for row in body(threat_models.measured(shown)))
    assert one[0] == many[0] == 0.1 and one[1] <= 2.8 and two[1] <= 1.0
    _, kept, clipped, free = numbers(threat_models.clipping(shown))[-4:]
    assert free < clipped and kept < 80
    assert len(threat_models.budgets(shown).axes) == 10


def test_solutions_of_threat_models(ran: Ran) -> None:
    page = ran("threat_models")
    (_, clipped, few), (_, free, all_pixels) = page["sizes"][True], page["sizes"][False]
    assert free == pytest.approx(0.1 * math.sqrt(784), rel=1e-3) and all_pixels == 784
    assert clipped < free and few < 700
    assert len(page["different"]) == 1
    assert page["both"].sum() <= min(each.sum() for each in page["left"])
    assert page["both"].sum() < max(each.sum() for each in page["left"])


# From one step to many


def test_pgd_visits_the_packages_points(ran: Ran) -> None:
    page = ran("many_steps")
    net, x, y = page["net"], page["points"][3:4], page["classes"][3:4]
    ours = torch.cat(page["pgd"](net, x, y, 0.08, 6, 0.03, x))
    options = {"eps": 0.08, "steps": 6, "step_size": 0.03, "random_start": False}
    package = many_steps.path(net, lambda model: pgd(model, x, y, **options), 7)
    new = torch.ones(len(ours), dtype=torch.bool)
    new[1:] = (ours[1:] != ours[:-1]).any(1)
    torch.testing.assert_close(ours[new], torch.from_numpy(package))


def test_exact_distances_are_those_of_a_straight_boundary() -> None:
    line = torch.linspace(0, 1, 101)
    grid = torch.cartesian_prod(line, line)
    answers = (grid.sum(1) > 1.005).long()  # between two diagonals of the grid
    points = torch.tensor([[0.25, 0.25], [0.9, 0.9]])
    for norm, sizes in ((2.0, [0.51 / 2**0.5, 0.8 / 2**0.5]), (math.inf, [0.255, 0.4])):
        found = many_steps.distances(grid, answers, points, torch.tensor([0, 1]), norm)
        assert found.tolist() == pytest.approx(sizes, abs=0.01)


def test_no_attack_beats_the_exhaustive_search(ran: Ran) -> None:
    shown = ran("many_steps")["shown"]
    spacing = 1 / (many_steps.SIDE - 1)
    *attacks, truth = shown.budget.values()
    safe = shown.exact[math.inf] > many_steps.EPS + 2 * spacing
    assert all(bool(right[safe].all()) for right in attacks)
    assert all(right.sum() >= truth.sum() - 2 for right in attacks)
    one, _, start, starts = (int(right.sum()) for right in attacks)
    assert starts < start and starts < one and starts - truth.sum() <= 2
    for name, result in shown.minimal.items():
        assert bool((result.distance[result.found] >= 0).all())
        rows = result.found & (shown.exact[2.0] > 2 * spacing)
        assert bool((result.distance[rows] > shown.exact[2.0][rows] - 2 * spacing).all()), name


def test_the_minimal_norm_attacks_in_words(ran: Ran) -> None:
    """DeepFool overshoots, the others come close in the median, as the page says."""
    shown = ran("many_steps")["shown"]
    ratios = {row[0]: float(row[2]) for row in body(many_steps.minimal_table(shown))}
    assert ratios["DeepFool"] > 1.1 and ratios["DDN"] <= 1.1 and ratios["Carlini-Wagner"] <= 1.1
    said = numbers(many_steps.each_attack(shown))
    assert said[-2:] == [ratios["DeepFool"], ratios["Carlini-Wagner"]]
    rows = [float(row[1]) for row in body(many_steps.budget_table(shown))]
    assert [said[i] for i in (1, 4, 5, 6, 8)] == rows, "all five accuracies of the table"


def test_attacks_are_compared_point_by_point(ran: Ran) -> None:
    one = torch.tensor([True, True, True, False])
    other = torch.tensor([False, True, False, True])
    assert networks.apart(one, other) == (2, 1)
    assert not networks.in_order((5, 0)) and networks.in_order((6, 0))
    assert not networks.in_order((0, 0)) and not networks.in_order((6, 5))
    shown = ran("many_steps")["shown"]
    text = many_steps.compared(shown)
    assert text.count("The difference may be chance.") == 2
    assert text.count("The difference is clear.") == 1
    *_, start, starts, _ = shown.budget.values()
    assert numbers(many_steps.restarted(shown))[:2] == [int(start.sum()), len(start)]
    assert numbers(many_steps.restarted(shown))[3:5] == list(networks.apart(start, starts))
    text = many_steps.answer(shown)
    assert "Restarts do, more steps alone not clearly: PGD with restarts" in text
    assert "; DDN and Carlini-Wagner usually" in text
    first, *_ = shown.budget.values()
    left = [round(networks.accuracy(right)) for right in (starts, first)]
    assert numbers(many_steps.answer(shown)) == left
    *same, truth = shown.budget
    weak = replace(shown, budget={**dict.fromkeys(same, start), truth: start}, minimal={})
    text = many_steps.answer(weak)
    assert text.startswith("**Answer.** Restarts not clearly, ")
    assert "; no attack usually comes" in text


def test_the_drawn_point_shows_what_the_caption_says(ran: Ran) -> None:
    shown = ran("many_steps")["shown"]
    i = many_steps.chosen(shown)
    x, y = shown.points[i : i + 1], shown.classes[i : i + 1]
    assert not fgsm(shown.net, x, y, eps=many_steps.EPS).found
    assert carlini_wagner(shown.net, x, y, **many_steps.PENALTY).found
    four = many_steps.paths(shown).axes
    assert [axis.get_title() for axis in four][2:] == ["DeepFool", "Carlini-Wagner"]
    red = [sum(line.get_color() == "#C00020" for line in axis.lines) for axis in four]
    assert red[0] == 0 and 3 <= red[1] <= 7 and red[2:] == [1, 1], "a success has a red cross"


def test_solutions_of_many_steps(ran: Ran) -> None:
    page = ran("many_steps")
    survive, left = page["survive"], page["left"]
    assert survive[100] > survive[4] + 20 and survive[0.25] > survive[4]
    assert left[1] == max(left.values()) and left[8] < left[1]
    torch.testing.assert_close(page["moved"], page["package"])
    first = deepfool(page["net"], page["x"], page["classes"][:1], preset="matlab", steps=1)
    assert min(page["steps"]) * 1.02 == pytest.approx(first.distance.item(), rel=1e-4)


# Gradient masking


def test_the_gradient_of_scaled_logits(ran: Ran) -> None:
    """Autograd gives the formula of the page, in float64, for a linear network."""
    gradient = ran("gradient_masking")["gradient"]
    chance = torch.Generator().manual_seed(0)
    w = torch.randn(3, 5, generator=chance, dtype=torch.float64)
    x, y, T = torch.rand(1, 5, generator=chance, dtype=torch.float64), torch.tensor([2]), 4.0
    p = (T * x @ w.T).softmax(1)
    expected = T * (p - nn.functional.one_hot(y, 3)) @ w
    torch.testing.assert_close(gradient(lambda x: T * x @ w.T, x, y), expected)


def test_a_factor_hides_the_gradient_and_changes_no_answer(ran: Ran) -> None:
    page = ran("gradient_masking")
    zeros, right = zip(*(page["found"][T] for T in (1, 10, 100)), strict=True)
    assert zeros[0] == 0 and list(zeros) == sorted(zeros) and zeros[-1] > 80
    assert list(right) == sorted(right) and right[-1] > right[0] + 40
    net, images, labels = page["net"], page["images"], page["labels"]
    scaled = gradients(lambda x: 100 * net(x), images, labels)
    assert int((scaled == 0).flatten(1).all(1).sum()) == zeros[-1]
    left = ~fgsm(lambda x: 100 * net(x), images, labels, eps=0.1).found
    assert int(left.sum()) == right[-1]


def test_the_diagnosis_sees_through_the_mask(ran: Ran) -> None:
    shown = ran("gradient_masking")["shown"]
    plain, masked = shown.evidence.values()
    red = {f.question for f in diagnose(masked) if f.red}
    assert "Are gradients exactly zero?" in red and len(red) >= 6
    assert sum(f.red for f in diagnose(plain)) <= 1, "the page says that it has one at most"
    assert masked["many_steps"] > plain["many_steps"] + 30
    for attack in ("float64", "rescaled", "repaired", "gradient_free", "transfer"):
        assert masked[attack] < masked["many_steps"] - 20, attack
    assert masked["repaired"] < plain["many_steps"] + 5
    said = numbers(gradient_masking.both_networks(shown))
    assert said[1:4] == [plain["many_steps"], masked["many_steps"], masked["zero_gradients"]]
    rows = body(gradient_masking.findings(shown))
    assert sum(row[2] == "**yes**" for row in rows) == len(red) == said[5]
    assert "FGSM succeeds *less* often" in _page("gradient_masking")
    assert plain["rescaled"] > plain["one_step"] + 5, "the red answer of the plain network"
    attacks = {row[0]: row[1:] for row in body(gradient_masking.broken(shown))}
    assert attacks["no attack"] == [f"{plain['clean']:.0f}", f"{masked['clean']:.0f}"]
    together = [float(cell) for cell in attacks.pop("all together")]
    for column, left in enumerate(together):
        assert left <= min(float(row[column]) for row in attacks.values())
    assert together[::-1] == said[6:], "masked first in the sentence"
    assert numbers(gradient_masking.answer(shown)) == [masked["many_steps"], said[6]]


def test_the_captions_name_the_limits_of_the_diagnosis() -> None:
    defaults = inspect.signature(diagnose).parameters
    assert (defaults["points"].default, defaults["share"].default) == (5.0, 1.0)
    words = " ".join(_page("gradient_masking").split())
    assert "above 1 % the answer is yes" in words and "a limit of 5 percentage points" in words


def test_each_question_has_its_picture(ran: Ran) -> None:
    shown = ran("gradient_masking")["shown"]
    drawn = [gradient_masking.gradients(shown), gradient_masking.attacks(shown)]
    panels = [axis for figure in drawn for axis in figure.axes]
    asked = [*gradient_masking.GRADIENTS, *gradient_masking.ATTACKS]
    found = diagnose(shown.evidence["masked network"])
    red = {gradient_masking.SHORT[each.question] for each in found if each.red}
    assert [axis.get_title() for axis in panels] == [
        f"{question} Yes" if question in red else question for question in asked
    ]
    assert set(asked) <= set(gradient_masking.SHORT.values()), "one name everywhere"
    listed = re.findall(r"^- \*(.+?)\*", _page("gradient_masking"), re.MULTILINE)
    assert listed == list(gradient_masking.SHORT.values())
    dots = drawn[0].axes[0].collections
    values = [of["zero_gradients"] for of in shown.evidence.values()]
    assert [dot.get_offsets()[0, 0] for dot in dots] == values
    (axis,) = gradient_masking.curves(shown).axes
    assert max(line.get_xdata()[-1] for line in axis.lines) == 1


def test_solutions_of_gradient_masking(ran: Ran) -> None:
    page = ran("gradient_masking")
    assert page["left"]["margin"] < page["left"]["cross_entropy"] - 30
    assert "Are gradients exactly zero?" in page["red"] and page["own"]["zero_gradients"] == 100
    assert page["kept"] < page["own"]["many_steps"] / 2
    assert abs(page["predicted"] - page["counted"]) <= 6 and page["counted"] > 20


# Randomised defenses


def test_averages_are_the_packages(ran: Ran) -> None:
    page = ran("randomised")
    net, images, labels = page["net"], page["images"], page["labels"]
    keys = page["keys"]
    with torch.no_grad():
        ours = page["F"](images, n=3, start=7)
    torch.testing.assert_close(ours, ensemble(net, images, keys, draws=3, start=7))
    x_adv = (images + 0.1 * page["g"](images, labels, 4).sign()).clamp(0, 1)
    package = fgsm(net, images, labels, eps=0.1, draws=4).images
    assert (x_adv != package).double().mean() < 1e-3, "only signs of rounded gradients may differ"


def test_judging_by_the_draw_that_was_attacked_is_wrong(ran: Ran) -> None:
    shown = ran("randomised")["shown"]
    one = shown.attacked[randomised.FGSM, 1]
    own, many = networks.accuracy(one.own), networks.accuracy(one.many)
    assert own < many - 4
    averaged = networks.accuracy(shown.attacked[randomised.PGD, 16].many)
    assert averaged < many - 4
    said = numbers(randomised.each_attack(shown))
    keys = ((randomised.FGSM, 16), (randomised.PGD, 1))
    step, climb = (int(shown.attacked[key].many.sum()) for key in keys)
    first, last = int(one.many.sum()), int(shown.attacked[randomised.PGD, 16].many.sum())
    assert [said[i] for i in (1, 4, 6, 7)] == [first, step, climb, last]
    assert numbers(randomised.answer(shown)) == [round(many), round(averaged)]
    pairs = {
        key: networks.apart(one.many, shown.attacked[key].many)
        for key in (*keys, (randomised.PGD, 16))
    }
    clear = [more > fewer and networks.in_order((more, fewer)) for more, fewer in pairs.values()]
    assert clear == [False, False, True], "only both together are clearly stronger"
    assert last < min(step, climb) and max(step, climb) < first
    new = one.single.sum(1).double()
    kept, average = int(one.own.sum()), round(float(new.mean()))
    assert said[8:10] == [kept, average] and said[11:13] == [int(new.min()), int(new.max())]
    assert new.min() <= kept < average, "fewer, but within the range, as the page says"
    text = randomised.compared(shown)
    assert numbers(text)[1:3] == [6, 0] and "too few to rank the attacks" in text
    assert numbers(text)[-1] < average - kept, "the page says: a smaller difference"
    off = networks.accuracy(shown.attacked[randomised.OFF, 0].many)
    plain = body(one_gradient.controls(ran("one_gradient")["shown"]))[2][1]
    assert off > float(plain) + 5, "the page says that something remains"
    assert abs(off - averaged) < 2 < many - off, "the page says: about as much as averaging"
    rows = body(randomised.judges(shown))
    assert rows[1][0] == "FGSM, 1 draw" and float(rows[1][1]) == round(own)
    assert rows[0][1] == rows[-1][1] == "\N{EN DASH}", "these attacks use no draw"
    page = ran("randomised")
    kept = int((~page["result"].found).sum())
    with torch.no_grad():
        right = page["F"](page["x_adv"], n=20, start=2**40).argmax(1) == page["labels"]
    assert kept == int(right.sum()) == step, "one number in the answer and in both outputs"
    assert len(randomised.draws(shown).axes) == 2
    assert torch.equal(shown.probabilities, shown.probabilities.clamp(0, 1))


def test_solutions_of_randomised_defenses(ran: Ran) -> None:
    page = ran("randomised")
    changed = page["changed"]
    assert changed[1] >= changed[5] >= changed[25] and changed[1] > changed[25]
    assert page["always"] < page["mean"] - 10
    assert 0 < page["left"]["always"] - page["left"]["never"] <= 15, "fewer without noise"
    assert page["net"].when == "always"


# Verdicts


def test_the_prediction_interval_is_the_ledgers(ran: Ran) -> None:
    page = ran("verdicts")
    for runs in ([1.0, 2.0], page["runs"]):
        assert page["prediction_interval"](runs) == pytest.approx(ledger.prediction_interval(runs))


def test_the_simulated_coverage() -> None:
    """95 % for one more run; for a confidence interval what the formula says."""
    found = verdicts.coverage()
    error = 100 * 4 * math.sqrt(0.05 * 0.95 / verdicts.WORLDS)
    assert all(abs(share - 95) < error for share in found.prediction)
    assert list(found.confidence) == sorted(found.confidence, reverse=True)
    from scipy.special import stdtr, stdtrit

    for n, share in zip(verdicts.SIZES, found.confidence, strict=True):
        t = stdtrit(n - 1, 0.975) / math.sqrt(n + 1)
        exact = 100 * (2 * stdtr(n - 1, t) - 1)
        assert share == pytest.approx(exact, abs=100 * 4 * math.sqrt(0.25 / verdicts.WORLDS))


def test_made_examples_have_the_verdicts_of_the_rules() -> None:
    found = [row[3].strip("*") for row in body(verdicts.examples())]
    number = ["reproduced", "not reproduced", "inconclusive", "not reproduced", "reproduced"]
    three = ["reproduced", "inconclusive", "not reproduced"]
    assert found == [*number, *three, "reproduced", *three]
    quiet, noisy = verdicts.RUNS.values()
    assert sum(quiet) == pytest.approx(sum(noisy)), "both groups have the same mean"
    lost, unsure = (
        verdicts.judged(runs, None, compare="greater_than", partner=quiet, no_loss=True).verdict
        for runs in ((86.1, 87.4, 86.9, 88.0, 87.2), (83.1, 92.4, 86.9, 91.0, 89.2))
    )
    assert (lost, unsure) == ("not reproduced", "inconclusive")
    # The answer names the verdicts of the slider: near the mean, and far outside the spread.
    for printed in verdicts.PRINTED:
        calm, loud = (verdicts.judged(runs, printed).verdict for runs in verdicts.RUNS.values())
        low, high = ledger.prediction_interval(quiet)
        near = abs(printed - sum(quiet) / 5) <= verdicts.TOLERANCE
        far = not low - verdicts.TOLERANCE <= printed <= high + verdicts.TOLERANCE
        words = "reproduced" if near else "not reproduced" if far else "inconclusive"
        assert (calm, loud) == (words, "inconclusive")
    for said in (verdicts.answer(), verdicts.both_groups()):
        assert "*not reproduced*" in said and "*inconclusive*" in said


def test_the_slider_shows_each_verdict() -> None:
    html = verdicts.slides().html
    assert html.count('<div class="frame"') == len(verdicts.PRINTED)
    for verdict in ("reproduced", "not-reproduced", "inconclusive"):
        assert f'class="verdict-badge {verdict}"' in html
    for printed, frame in zip(verdicts.PRINTED, html.split('<div class="frame"')[1:], strict=True):
        for name, runs in verdicts.RUNS.items():
            verdict = verdicts.judged(runs, printed).verdict
            assert f'{name}: <span class="verdict-badge {verdict.replace(" ", "-")}">' in frame


def test_solutions_of_verdicts(ran: Ran) -> None:
    page = ran("verdicts")
    halves, widths = page["halves"], page["widths"]
    assert halves[2] > 5 * halves[5] and halves[3] - halves[5] > 1
    assert (halves[5] - halves[10]) / 5 < 0.2 and halves[10] - halves[100] < 0.5
    assert halves[100] == pytest.approx(1.96, abs=0.04)
    low, high = ledger.prediction_interval(page["runs"])
    assert widths[100] > 3 * (high - low) and widths[10_000] < 1.2 * (high - low)
    paired, unpaired = page["intervals"][True], page["intervals"][False]
    assert paired[0] > 0 and unpaired[0] < 0 < unpaired[1]
